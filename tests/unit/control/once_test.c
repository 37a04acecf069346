/* Calls over control that loses, delays, doubles, reorders and cuts, from seeds: a plain call runs
 * at most once, whatever happens; every call ends exactly once, and never with another's answer. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "rig.h"
#include "weft/error.h"

#define CALLS 300
#define SEEDS 6
#define CALL_MS 300
#define MANY 50
#define FAULTY_LETTERS 300

enum code { WORKED = 1, INLINED, DEFERRED };

struct once_call {
    _Atomic unsigned ran, ended;
    int err;
    bool own_answer;
    bool may_run_twice;
    struct weft_client_ticket ticket;
};

static struct once {
    struct weft_server *server;
    struct weft_client *client;
    char url[64];
    pthread_mutex_t lock;
    struct weft_call *deferred; /* answered when the next one comes */
    struct once_call calls[CALLS];
    _Atomic unsigned ended;
} once = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void answer(struct weft_call *call)
{
    size_t len_bytes;
    const char *body = weft__call_body(call, &len_bytes);
    char text[64];
    int len = snprintf(text, sizeof(text), "answer to %.*s", (int)len_bytes, body);

    weft__call_reply_bytes(call, text, (size_t)len);
}

static void count(const void *body)
{
    unsigned number;

    assert_int_equal(sscanf(body, "%u", &number), 1);
    assert_true(number < CALLS);
    atomic_fetch_add(&once.calls[number].ran, 1);
}

static void run(void *ctx, struct weft_call *call, const void *body, size_t len_bytes)
{
    (void)ctx;
    (void)len_bytes;
    count(body);
    answer(call);
}

static void run_deferred(void *ctx, struct weft_call *call, const void *body, size_t len_bytes)
{
    struct weft_call *before;

    (void)ctx;
    (void)len_bytes;
    count(body);
    pthread_mutex_lock(&once.lock);
    before = once.deferred;
    once.deferred = call;
    pthread_mutex_unlock(&once.lock);
    if (before != NULL)
        answer(before);
}

static void once_open(const char *scheme, bool zmq)
{
    const unsigned bytes = WEFT_HANDLER_SYNC | WEFT_HANDLER_BYTES | WEFT_HANDLER_RUN_BYTES;
    const struct weft_handler_desc handlers[] = {
        {WORKED, (uint16_t)bytes, "worked", NULL, weft__bytes_handler(run)},
        {INLINED, (uint16_t)(bytes | WEFT_HANDLER_INLINE), "inlined", NULL,
         weft__bytes_handler(run)},
        {DEFERRED, (uint16_t)bytes, "deferred", NULL, weft__bytes_handler(run_deferred)},
    };
    const struct weft_service_desc service = {
        .name = "once", .handlers = handlers, .handlers_n = 3, .workers = 2};
    const struct weft_server_desc server = {.scheme = scheme,
                                            .bind = zmq ? "127.0.0.1" : "once",
                                            .services = &service,
                                            .services_n = 1};
    const struct weft_client_desc client = {.scheme = scheme};

    memset(once.calls, 0, sizeof(once.calls));
    atomic_store(&once.ended, 0);
    once.deferred = NULL;
    assert_int_equal(weft__server_start(&server, &once.server), WEFT_OK);
    assert_int_equal(weft__client_open(&client, &once.client), WEFT_OK);
    snprintf(once.url, sizeof(once.url), "%s:%u", zmq ? "tcp://127.0.0.1" : "once",
             weft__server_sync_port(once.server, 0));
}

static void once_close(void)
{
    struct weft_call *last;

    weft__client_close(once.client);
    weft__server_stop(once.server, RIG_TIMEOUT_MS);
    pthread_mutex_lock(&once.lock);
    last = once.deferred;
    pthread_mutex_unlock(&once.lock);
    if (last != NULL)
        answer(last); /* which frees it */
}

static void over(void *ctx, int err, const char *text, const void *body, size_t len_bytes)
{
    struct once_call *call = ctx;
    char wanted[64];

    (void)text;
    snprintf(wanted, sizeof(wanted), "answer to %zu", (size_t)(call - once.calls));
    call->err = err;
    call->own_answer =
        err == WEFT_OK && len_bytes == strlen(wanted) && memcmp(body, wanted, len_bytes) == 0;
    atomic_fetch_add(&call->ended, 1);
    atomic_fetch_add(&once.ended, 1);
}

static void start(unsigned number, uint16_t code, uint32_t flags, uint32_t timeout_ms)
{
    struct once_call *to = &once.calls[number];
    char text[16];
    struct weft_client_call call = {.url = once.url,
                                    .code = code,
                                    .flags = flags,
                                    .body = text,
                                    .timeout_ms = timeout_ms,
                                    .done_bytes = over,
                                    .ctx = to,
                                    .ticket_out = &to->ticket};

    to->may_run_twice = flags == WEFT_CLIENT_IDEMPOTENT;
    call.body_len = (size_t)snprintf(text, sizeof(text), "%u", number) + 1;
    assert_int_equal(weft__client_start(once.client, &call), WEFT_OK);
}

static void check_all(unsigned seed)
{
    for (unsigned i = 0; i < CALLS; i++) {
        const struct once_call *call = &once.calls[i];
        bool fine = call->ended == 1 && (call->ran <= 1 || call->may_run_twice) &&
                    (call->err != WEFT_OK || (call->own_answer && call->ran >= 1));

        if (!fine)
            fail_msg("seed %u, call %u: ran %u times, ended %u times with %s, %s answer", seed, i,
                     call->ran, call->ended, weft_error_name(call->err),
                     call->own_answer ? "its own" : "no or another's");
    }
}

/* Returns how many calls got their answer. */
static unsigned run_seed(unsigned seed, const char *faults, bool zmq)
{
    char scheme[200];
    unsigned answered = 0;

    snprintf(scheme, sizeof(scheme), "fault(seed=%u,%s)+%s", seed, faults, zmq ? "zmq" : "inproc");
    once_open(scheme, zmq);
    for (unsigned i = 0; i < CALLS; i++) {
        start(i, (uint16_t)(WORKED + i % 3), i % 4 == 0 ? WEFT_CLIENT_IDEMPOTENT : 0, CALL_MS);
        if (i % 10 == seed % 10)
            weft__client_cancel(once.client, once.calls[i].ticket);
    }
    assert_true(RIG_UNTIL(atomic_load(&once.ended) == CALLS));
    once_close();
    check_all(seed);
    for (unsigned i = 0; i < CALLS; i++)
        answered += once.calls[i].err == WEFT_OK;
    return answered;
}

static void run_seeds(const char *faults)
{
    unsigned answered = 0;

    for (unsigned seed = 1; seed <= SEEDS; seed++)
        answered += run_seed(seed, faults, seed % 3 == 0);
    assert_true(answered > 0);
}

static void doubled_and_late_letters_run_nothing_twice(void **state)
{
    (void)state;
    run_seeds("dup=30%,delay=9,late=40%,reorder=30%");
}

static void lost_letters_run_nothing_twice(void **state)
{
    (void)state;
    run_seeds("drop=20%,dup=20%,delay=5,late=30%");
}

static void cut_connections_run_nothing_twice(void **state)
{
    (void)state;
    run_seeds("cut=3%,dup=20%,delay=5,late=30%,reorder=10%");
}

/* What may run twice is sent again until it is answered, when no letter is lost without a word. */
static void what_may_run_twice_comes_through_cut_connections(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= SEEDS / 2; seed++) {
        char scheme[200];

        snprintf(scheme, sizeof(scheme), "fault(seed=%u,cut=5%%,for=%d)+inproc", seed,
                 FAULTY_LETTERS);
        once_open(scheme, false);
        for (unsigned i = 0; i < MANY; i++)
            start(i, WORKED, WEFT_CLIENT_IDEMPOTENT, RIG_TIMEOUT_MS);
        assert_true(RIG_UNTIL(atomic_load(&once.ended) == MANY));
        once_close();
        for (unsigned i = 0; i < MANY; i++) {
            assert_int_equal(once.calls[i].err, WEFT_OK);
            assert_true(once.calls[i].own_answer);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubled_and_late_letters_run_nothing_twice),
        cmocka_unit_test(lost_letters_run_nothing_twice),
        cmocka_unit_test(cut_connections_run_nothing_twice),
        cmocka_unit_test(what_may_run_twice_comes_through_cut_connections),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
