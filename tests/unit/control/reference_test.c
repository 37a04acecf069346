/* The tests of the reference system's transport, as far as a program outside can see them: counts,
 * echoes, many clients, time-outs, handlers that wait for each other, the number of workers, late
 * messages. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "party.h"

#define CLIENTS 10
#define REQUESTS 1000
#define LATE_MS 500

enum code { COUNT, ECHO, GREET, WAIT, MEET };

static struct party party;
static _Atomic unsigned counted, inside, most_inside, open_gate;

static void run_count(void *ctx, struct weft_call *call, const void *body, size_t body_bytes)
{
    (void)ctx;
    assert_int_equal(body_bytes, 4);
    assert_memory_equal(body, "body", 4);
    atomic_fetch_add(&counted, 1);
    weft_call_reply(call, NULL, 0);
}

static void run_echo(void *ctx, struct weft_call *call, const void *body, size_t body_bytes)
{
    (void)ctx;
    weft_call_reply(call, body, body_bytes);
}

static void run_greet(void *ctx, struct weft_call *call, const void *body, size_t body_bytes)
{
    const char *text = ctx;

    (void)body;
    (void)body_bytes;
    weft_call_reply(call, text, strlen(text));
}

static void enter(void)
{
    unsigned now = atomic_fetch_add(&inside, 1) + 1, most = atomic_load(&most_inside);

    while (now > most && !atomic_compare_exchange_weak(&most_inside, &most, now)) {
    }
}

/* Holds its worker until the gate is open. */
static void run_wait(void *ctx, struct weft_call *call, const void *body, size_t body_bytes)
{
    (void)ctx;
    enter();
    assert_true(PARTY_UNTIL(atomic_load(&open_gate) != 0));
    atomic_fetch_sub(&inside, 1);
    weft_call_reply(call, body, body_bytes);
}

/* Holds its worker until a second one is inside. */
static void run_meet(void *ctx, struct weft_call *call, const void *body, size_t body_bytes)
{
    (void)ctx;
    enter();
    assert_true(PARTY_UNTIL(atomic_load(&inside) >= 2));
    weft_call_reply(call, body, body_bytes);
}

static const struct weft_service_handler handlers[] = {
    {.code = COUNT, .flags = WEFT_HANDLER_ASYNC, .name = "count", .run = run_count},
    {.code = ECHO, .flags = WEFT_HANDLER_SYNC, .name = "echo", .run = run_echo},
    {.code = GREET, .flags = WEFT_HANDLER_SYNC, .name = "greet", .run = run_greet},
    {.code = WAIT, .flags = WEFT_HANDLER_SYNC, .name = "wait", .run = run_wait},
    {.code = MEET, .flags = WEFT_HANDLER_SYNC, .name = "meet", .run = run_meet},
};

static void open_with(unsigned workers)
{
    static char text[] = "Response from server";
    const struct weft_service_options service = {.name = "reference",
                                                 .handlers = handlers,
                                                 .handlers_n =
                                                     sizeof(handlers) / sizeof(handlers[0]),
                                                 .ctx = text,
                                                 .workers = workers};

    atomic_store(&counted, 0);
    atomic_store(&inside, 0);
    atomic_store(&most_inside, 0);
    atomic_store(&open_gate, 0);
    party_open(&party, &service);
}

static void one_message_is_counted_once(void **state)
{
    (void)state;
    open_with(2);
    assert_int_equal(weft_client_push(party.client, party.async_url, COUNT, "body", 4), WEFT_OK);
    assert_true(PARTY_UNTIL(atomic_load(&counted) == 1));
    assert_true(PARTY_UNTIL(party_stats(&party).pushes == 1));
    party_close(&party);
    assert_int_equal(atomic_load(&counted), 1);
}

static void the_servers_own_text_comes_back(void **state)
{
    char text[PARTY_TEXT];

    (void)state;
    open_with(2);
    assert_int_equal(party_ask(&party, party.client, GREET, "hello", text), WEFT_OK);
    assert_string_equal(text, "Response from server");
    assert_int_equal(party_ask(&party, party.client, ECHO, "echo", text), WEFT_OK);
    assert_string_equal(text, "echo");
    party_close(&party);
}

/* Returns how many answers were wrong. */
static void *ask_many(void *arg)
{
    int number = *(const int *)arg;
    struct weft_client *client;
    intptr_t wrong = 0;

    if (weft_client_open(NULL, &client) != WEFT_OK)
        return (void *)(intptr_t)REQUESTS;
    for (int i = 0; i < REQUESTS; i++) {
        char text[PARTY_TEXT], answer[PARTY_TEXT] = "";

        snprintf(text, sizeof(text), "Message %d from client %d", i, number);
        wrong +=
            party_ask(&party, client, ECHO, text, answer) != WEFT_OK || strcmp(text, answer) != 0;
    }
    weft_client_close(client);
    return (void *)wrong;
}

static void ten_clients_each_get_their_own_answers(void **state)
{
    pthread_t threads[CLIENTS];
    int numbers[CLIENTS];

    (void)state;
    open_with(2);
    for (int i = 0; i < CLIENTS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, ask_many, &numbers[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        void *wrong;

        pthread_join(threads[i], &wrong);
        assert_int_equal((intptr_t)wrong, 0);
    }
    assert_true(party_stats(&party).answered == CLIENTS * REQUESTS);
    party_close(&party);
}

static void a_client_waits_as_long_as_it_said(void **state)
{
    struct party_answer patient, hasty;
    char text[PARTY_TEXT];

    (void)state;
    open_with(2);
    assert_int_equal(party_start(&party, WAIT, "patient", PARTY_TIMEOUT_MS, &patient), WEFT_OK);
    assert_true(PARTY_UNTIL(atomic_load(&inside) == 1));
    assert_int_equal(party_start(&party, WAIT, "hasty", 10, &hasty), WEFT_OK);
    assert_true(PARTY_UNTIL(atomic_load(&hasty.over) == 1));
    assert_int_equal(hasty.err, WEFT_ETIMEDOUT);
    assert_int_equal(atomic_load(&patient.over), 0);
    atomic_store(&open_gate, 1);
    assert_true(PARTY_UNTIL(atomic_load(&patient.over) == 1));
    assert_int_equal(patient.err, WEFT_OK);
    assert_string_equal(patient.text, "patient");
    for (int i = 0; i < 10; i++) { /* the same client, and no answer of another call */
        assert_int_equal(party_ask(&party, party.client, ECHO, "next", text), WEFT_OK);
        assert_string_equal(text, "next");
    }
    assert_true(PARTY_UNTIL(atomic_load(&inside) == 0));
    party_close(&party);
    assert_int_equal(atomic_load(&hasty.over), 1);
}

static void *meet(void *arg)
{
    struct weft_client *client;
    char text[PARTY_TEXT] = "";
    intptr_t ok = 0;

    if (weft_client_open(NULL, &client) == WEFT_OK) {
        ok = party_ask(&party, client, MEET, arg, text) == WEFT_OK && strcmp(text, arg) == 0;
        weft_client_close(client);
    }
    return (void *)ok;
}

static void two_handlers_really_run_at_once(void **state)
{
    static char texts[2][PARTY_TEXT] = {"Background thread A", "Background thread B"};
    pthread_t threads[2];

    (void)state;
    open_with(2);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, meet, texts[i]), 0);
    for (int i = 0; i < 2; i++) {
        void *ok;

        pthread_join(threads[i], &ok);
        assert_int_equal((intptr_t)ok, 1);
    }
    party_close(&party);
}

static void as_many_handlers_run_at_once_as_there_are_workers(void **state)
{
    struct party_answer answers[12];

    (void)state;
    for (unsigned workers = 1; workers <= 7; workers += 3) {
        open_with(workers);
        for (int i = 0; i < 12; i++)
            assert_int_equal(party_start(&party, WAIT, "x", PARTY_TIMEOUT_MS, &answers[i]),
                             WEFT_OK);
        assert_true(PARTY_UNTIL(atomic_load(&inside) == workers));
        assert_true(PARTY_UNTIL(party_stats(&party).queue_depth == 12 - workers));
        assert_int_equal(party_stats(&party).workers, workers);
        atomic_store(&open_gate, 1);
        for (int i = 0; i < 12; i++)
            assert_true(PARTY_UNTIL(atomic_load(&answers[i].over) == 1));
        assert_int_equal(atomic_load(&most_inside), workers);
        party_close(&party);
    }
}

/* Of what has no time-out here: the server sleeps until something comes. */
static void a_server_that_has_waited_long_serves_a_late_message(void **state)
{
    struct party_answer hasty;

    (void)state;
    open_with(1);
    poll(NULL, 0, LATE_MS);
    assert_int_equal(weft_client_push(party.client, party.async_url, COUNT, "body", 4), WEFT_OK);
    assert_true(PARTY_UNTIL(atomic_load(&counted) == 1));
    assert_int_equal(party_start(&party, WAIT, "x", 10, &hasty), WEFT_OK); /* its timers have run */
    assert_true(PARTY_UNTIL(atomic_load(&hasty.over) == 1));
    atomic_store(&open_gate, 1);
    poll(NULL, 0, LATE_MS);
    assert_int_equal(party_ask(&party, party.client, ECHO, "late", NULL), WEFT_OK);
    party_close(&party);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_message_is_counted_once),
        cmocka_unit_test(the_servers_own_text_comes_back),
        cmocka_unit_test(ten_clients_each_get_their_own_answers),
        cmocka_unit_test(a_client_waits_as_long_as_it_said),
        cmocka_unit_test(two_handlers_really_run_at_once),
        cmocka_unit_test(as_many_handlers_run_at_once_as_there_are_workers),
        cmocka_unit_test(a_server_that_has_waited_long_serves_a_late_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
