/* Callers who wait for each other, with one worker: a barrier and a latch whose handlers defer. And
 * many calls under way at once. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "party.h"

#define CALLERS 64
#define ROUNDS 20
#define MANY 4000
#define LATCH 8

enum code { BARRIER, LATCH_WAIT, LATCH_DOWN, KEEP };

static struct party party;

/* Calls that were deferred. The lock orders handlers, whoever answers, and cancelled calls. */
static struct waiting {
    pthread_mutex_t lock;
    struct weft_call *calls[MANY];
    unsigned calls_n;
    unsigned left; /* of the latch */
    _Atomic unsigned released;
} waiting = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void add(struct weft_call *call)
{
    waiting.calls[waiting.calls_n++] = call;
}

static void release_all(void)
{
    for (unsigned i = 0; i < waiting.calls_n; i++) {
        size_t body_bytes;
        const void *body = weft_call_body(waiting.calls[i], &body_bytes);

        atomic_fetch_add(&waiting.released, 1);
        weft_call_reply(waiting.calls[i], body, body_bytes);
    }
    waiting.calls_n = 0;
}

/* A caller has given up: it no longer counts. Who was answered before is not in the list. */
static void leave(void *ctx, struct weft_call *call)
{
    (void)ctx;
    pthread_mutex_lock(&waiting.lock);
    for (unsigned i = 0; i < waiting.calls_n; i++) {
        if (waiting.calls[i] == call) {
            waiting.calls[i] = waiting.calls[--waiting.calls_n];
            weft_call_fail(call, WEFT_ECANCELED, NULL);
            break;
        }
    }
    pthread_mutex_unlock(&waiting.lock);
}

static void run_barrier(void *ctx, struct weft_call *call, const void *body, size_t body_bytes)
{
    (void)ctx;
    (void)body;
    (void)body_bytes;
    pthread_mutex_lock(&waiting.lock);
    weft_call_on_cancel(call, leave, NULL);
    add(call);
    if (waiting.calls_n == CALLERS)
        release_all();
    pthread_mutex_unlock(&waiting.lock);
}

static void run_latch_wait(void *ctx, struct weft_call *call, const void *body, size_t body_bytes)
{
    (void)ctx;
    pthread_mutex_lock(&waiting.lock);
    if (waiting.left == 0)
        weft_call_reply(call, body, body_bytes);
    else
        add(call);
    pthread_mutex_unlock(&waiting.lock);
}

static void run_latch_down(void *ctx, struct weft_call *call, const void *body, size_t body_bytes)
{
    (void)ctx;
    pthread_mutex_lock(&waiting.lock);
    if (waiting.left > 0 && --waiting.left == 0)
        release_all();
    pthread_mutex_unlock(&waiting.lock);
    weft_call_reply(call, body, body_bytes);
}

static void run_keep(void *ctx, struct weft_call *call, const void *body, size_t body_bytes)
{
    (void)ctx;
    (void)body;
    (void)body_bytes;
    pthread_mutex_lock(&waiting.lock);
    add(call);
    pthread_mutex_unlock(&waiting.lock);
}

static const struct weft_service_handler handlers[] = {
    {.code = BARRIER, .flags = WEFT_HANDLER_SYNC, .name = "barrier", .run = run_barrier},
    {.code = LATCH_WAIT, .flags = WEFT_HANDLER_SYNC, .name = "wait", .run = run_latch_wait},
    {.code = LATCH_DOWN, .flags = WEFT_HANDLER_SYNC, .name = "down", .run = run_latch_down},
    {.code = KEEP, .flags = WEFT_HANDLER_SYNC, .name = "keep", .run = run_keep},
};

static int setup(void **state)
{
    const struct weft_service_options service = {.name = "together",
                                                 .handlers = handlers,
                                                 .handlers_n =
                                                     sizeof(handlers) / sizeof(handlers[0]),
                                                 .workers = 1,
                                                 .queue_max = 2 * MANY,
                                                 .client_calls_max = 2 * MANY};

    (void)state;
    waiting.calls_n = 0;
    waiting.left = LATCH;
    atomic_store(&waiting.released, 0);
    party_open(&party, &service);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    party_close(&party);
    return 0;
}

static unsigned waiting_n(void)
{
    unsigned n;

    pthread_mutex_lock(&waiting.lock);
    n = waiting.calls_n;
    pthread_mutex_unlock(&waiting.lock);
    return n;
}

static _Atomic unsigned entered[ROUNDS];

/* Returns how often somebody was let through before all had come, or got another's answer. */
static void *go_round(void *arg)
{
    intptr_t wrong = 0;

    for (int round = 0; round < ROUNDS; round++) {
        char text[PARTY_TEXT], answer[PARTY_TEXT] = "";

        snprintf(text, sizeof(text), "%d in round %d", *(const int *)arg, round);
        atomic_fetch_add(&entered[round], 1);
        wrong += party_ask(&party, party.client, BARRIER, text, answer) != WEFT_OK;
        wrong += strcmp(text, answer) != 0;
        wrong += atomic_load(&entered[round]) != CALLERS;
    }
    return (void *)wrong;
}

static void sixty_four_callers_meet_at_a_barrier_of_one_worker(void **state)
{
    pthread_t threads[CALLERS];
    int numbers[CALLERS];

    (void)state;
    for (int i = 0; i < CALLERS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, go_round, &numbers[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        void *wrong;

        pthread_join(threads[i], &wrong);
        assert_int_equal((intptr_t)wrong, 0);
    }
    assert_int_equal(atomic_load(&waiting.released), CALLERS * ROUNDS);
    assert_int_equal(party_stats(&party).workers, 1);
    assert_true(party_stats(&party).deferred >= (CALLERS - 1) * ROUNDS);
}

static void sixty_four_callers_wait_for_a_latch_of_one_worker(void **state)
{
    static struct party_answer answers[CALLERS];
    char text[PARTY_TEXT];

    (void)state;
    for (int i = 0; i < CALLERS; i++) {
        snprintf(text, sizeof(text), "waiter %d", i);
        assert_int_equal(party_start(&party, LATCH_WAIT, text, PARTY_TIMEOUT_MS, &answers[i]),
                         WEFT_OK);
    }
    assert_true(PARTY_UNTIL(waiting_n() == CALLERS));
    for (int i = 0; i < LATCH; i++) {
        assert_int_equal(atomic_load(&waiting.released), 0);
        assert_int_equal(party_ask(&party, party.client, LATCH_DOWN, "x", NULL), WEFT_OK);
    }
    for (int i = 0; i < CALLERS; i++) {
        snprintf(text, sizeof(text), "waiter %d", i);
        assert_true(PARTY_UNTIL(atomic_load(&answers[i].over) == 1));
        assert_int_equal(answers[i].err, WEFT_OK);
        assert_string_equal(answers[i].text, text);
    }
    assert_int_equal(party_ask(&party, party.client, LATCH_WAIT, "open", text), WEFT_OK);
    assert_string_equal(text, "open");
    assert_int_equal(party_stats(&party).workers, 1);
}

static void who_leaves_a_barrier_does_not_count(void **state)
{
    static struct party_answer answers[CALLERS], left;

    (void)state;
    assert_int_equal(party_start(&party, BARRIER, "leaves", PARTY_TIMEOUT_MS, &left), WEFT_OK);
    for (int i = 0; i < CALLERS - 1; i++) {
        assert_int_equal(party_start(&party, BARRIER, "stays", PARTY_TIMEOUT_MS, &answers[i]),
                         WEFT_OK);
        if (i == 0) {
            assert_true(PARTY_UNTIL(waiting_n() == 2));
            weft_client_cancel(party.client, left.ticket);
            assert_true(PARTY_UNTIL(waiting_n() == 1));
        }
    }
    assert_true(PARTY_UNTIL(waiting_n() == CALLERS - 1));
    assert_int_equal(atomic_load(&waiting.released), 0);
    assert_true(PARTY_UNTIL(atomic_load(&left.over) == 1)); /* what it was told lies there */
    assert_int_equal(left.err, WEFT_ECANCELED);
    assert_int_equal(
        party_start(&party, BARRIER, "the last", PARTY_TIMEOUT_MS, &answers[CALLERS - 1]), WEFT_OK);
    for (int i = 0; i < CALLERS; i++) {
        assert_true(PARTY_UNTIL(atomic_load(&answers[i].over) == 1));
        assert_int_equal(answers[i].err, WEFT_OK);
    }
    assert_int_equal(atomic_load(&left.over), 1);
}

/* Puts the calls that wait into another order. */
static void shuffle(void)
{
    uint32_t random = 2463534242u;

    for (unsigned i = waiting.calls_n - 1; i > 0; i--) {
        struct weft_call *call = waiting.calls[i];
        unsigned other;

        random = random * 1664525u + 1013904223u;
        other = (random >> 8) % (i + 1);
        waiting.calls[i] = waiting.calls[other];
        waiting.calls[other] = call;
    }
}

static void thousands_under_way_each_get_their_own_answer(void **state)
{
    struct party_answer *answers = calloc(MANY, sizeof(*answers));
    char text[PARTY_TEXT];

    (void)state;
    assert_non_null(answers);
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof(text), "request %d", i);
        assert_int_equal(party_start(&party, KEEP, text, PARTY_TIMEOUT_MS, &answers[i]), WEFT_OK);
    }
    assert_true(PARTY_UNTIL(waiting_n() == MANY));
    pthread_mutex_lock(&waiting.lock);
    shuffle();
    release_all();
    pthread_mutex_unlock(&waiting.lock);
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof(text), "request %d", i);
        assert_true(PARTY_UNTIL(atomic_load(&answers[i].over) == 1));
        assert_int_equal(answers[i].err, WEFT_OK);
        assert_string_equal(answers[i].text, text);
    }
    free(answers);
}

static void more_than_pending_max_are_told_to_try_again(void **state)
{
    const struct weft_client_options options = {.pending_max = 16};
    struct party_answer answers[17];

    (void)state;
    weft_client_close(party.client);
    assert_int_equal(weft_client_open(&options, &party.client), WEFT_OK);
    for (int i = 0; i < 16; i++)
        assert_int_equal(party_start(&party, KEEP, "x", PARTY_TIMEOUT_MS, &answers[i]), WEFT_OK);
    assert_int_equal(party_start(&party, KEEP, "x", PARTY_TIMEOUT_MS, &answers[16]), WEFT_EAGAIN);
    assert_true(answers[16].ticket.id == 0);
    assert_int_equal(weft_client_push(party.client, party.url, KEEP, "x", 1), WEFT_EAGAIN);
    assert_true(PARTY_UNTIL(waiting_n() == 16));
    pthread_mutex_lock(&waiting.lock);
    release_all();
    pthread_mutex_unlock(&waiting.lock);
    for (int i = 0; i < 16; i++)
        assert_true(PARTY_UNTIL(atomic_load(&answers[i].over) == 1));
    assert_true(PARTY_UNTIL(party_ask(&party, party.client, LATCH_DOWN, "x", NULL) != WEFT_EAGAIN));
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(sixty_four_callers_meet_at_a_barrier_of_one_worker),
        CASE(sixty_four_callers_wait_for_a_latch_of_one_worker),
        CASE(who_leaves_a_barrier_does_not_count),
        CASE(thousands_under_way_each_get_their_own_answer),
        CASE(more_than_pending_max_are_told_to_try_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
