/* Clients that ask too much, or do not read what they are answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zmq.h>

#include "gate.h"
#include "raw.h"
#include "rig.h"
#include "weft/error.h"

#define CALLS_MAX 4
#define HELD 8192 /* as many as a server has places */
#define BIG ((size_t)64 << 10)
#define READERS 7
#define READS 100

enum code { HOLD = 1, BIG_ANSWER, ECHO, GATE, SWALLOW };

static struct weft_server *server;
static struct weft_call *calls[HELD];
static _Atomic uint32_t calls_n;
static char url[64], async_url[64];
static size_t queue_max = 4096;

static void run_hold(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    uint32_t at = atomic_load(&calls_n);

    (void)ctx;
    (void)request;
    calls[at] = call;
    atomic_store(&calls_n, at + 1);
}

static void run_big(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    static const char body[BIG];

    (void)ctx;
    (void)request;
    weft__call_reply_bytes(call, body, sizeof(body));
}

static void run_echo(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    size_t len_bytes;
    const void *body = weft__call_body(call, &len_bytes);

    (void)ctx;
    (void)request;
    weft__call_reply_bytes(call, body, len_bytes);
}

static void run_swallow(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    (void)ctx;
    (void)request;
    weft__call_reply(call, NULL);
}

static const struct weft_handler_desc handlers[] = {
    {HOLD, WEFT_HANDLER_SYNC | WEFT_HANDLER_ASYNC | WEFT_HANDLER_INLINE, "hold", NULL, run_hold},
    {BIG_ANSWER, WEFT_HANDLER_SYNC, "big answer", NULL, run_big},
    {GATE, WEFT_HANDLER_SYNC, "gate", NULL, run_gate},
    {SWALLOW, WEFT_HANDLER_SYNC | WEFT_HANDLER_BYTES, "swallow", NULL, run_swallow},
    {ECHO, WEFT_HANDLER_SYNC | WEFT_HANDLER_BYTES, "echo", NULL, run_echo},
};

static void start(size_t client_calls_max)
{
    const struct weft_service_desc service = {.name = "slow",
                                              .handlers = handlers,
                                              .handlers_n = sizeof(handlers) / sizeof(handlers[0]),
                                              .queue_max = queue_max,
                                              .client_calls_max = client_calls_max};
    const struct weft_server_desc desc = {
        .bind = "127.0.0.1", .services = &service, .services_n = 1};

    atomic_store(&calls_n, 0);
    gate_reset();
    assert_int_equal(weft__server_start(&desc, &server), WEFT_OK);
    snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", weft__server_sync_port(server, 0));
    snprintf(async_url, sizeof(async_url), "tcp://127.0.0.1:%u",
             weft__server_async_port(server, 0));
}

static struct weft_service_stats stats(void)
{
    struct weft_service_stats now;

    weft__server_stats(server, 0, &now);
    return now;
}

static void hold(struct raw *raw, uint64_t client, uint64_t number)
{
    raw_say(raw,
            (struct weft_frame){.call = HOLD,
                                .correlation = number,
                                .client = client,
                                .sequence = client == 0 ? 0 : number},
            "");
}

static void answer_all(void)
{
    for (uint32_t i = 0; i < atomic_load(&calls_n); i++)
        weft__call_reply(calls[i], NULL);
}

static void a_connection_has_so_many_calls_under_way(void **state)
{
    struct raw_answer answer;
    struct raw raw, other;

    (void)state;
    start(CALLS_MAX);
    raw_open(&raw, ZMQ_DEALER, url);
    raw_open(&other, ZMQ_DEALER, url);
    for (uint64_t i = 1; i <= CALLS_MAX + 1; i++)
        hold(&raw, 0, i);
    assert_int_equal(raw_hear_of(&raw, CALLS_MAX + 1, &answer), WEFT_EAGAIN);
    assert_in_range(answer.frame.deadline_ms, 1, 1000);
    assert_non_null(strstr(answer.body, "this client has 4 calls under way"));
    hold(&other, 0, 1);
    assert_true(RIG_UNTIL(atomic_load(&calls_n) == CALLS_MAX + 1));
    assert_true(stats().refused_client_full == 1 && stats().open == CALLS_MAX + 1);
    answer_all();
    for (uint64_t i = 1; i <= CALLS_MAX; i++)
        assert_int_equal(raw_hear_of(&raw, i, &answer), 0);
    assert_int_equal(raw_hear_of(&other, 1, &answer), 0);
    hold(&raw, 0, 9);
    assert_true(RIG_UNTIL(atomic_load(&calls_n) == CALLS_MAX + 2));
    weft__call_reply(calls[CALLS_MAX + 1], NULL);
    assert_int_equal(raw_hear_of(&raw, 9, &answer), 0);
    assert_true(RIG_UNTIL(stats().open == 0));
    raw_close(&raw);
    raw_close(&other);
    weft__server_stop(server, RIG_TIMEOUT_MS);
}

static void a_client_is_counted_over_its_connections_and_ports(void **state)
{
    struct raw_answer answer;
    struct raw raw, other, push;

    (void)state;
    start(CALLS_MAX);
    raw_open(&raw, ZMQ_DEALER, url);
    raw_open(&other, ZMQ_DEALER, url);
    raw_open(&push, ZMQ_PUSH, async_url);
    hold(&raw, 77, 1);
    hold(&raw, 77, 2);
    assert_true(RIG_UNTIL(atomic_load(&calls_n) == 2));
    hold(&push, 77, 3);
    assert_true(RIG_UNTIL(atomic_load(&calls_n) == 3));
    hold(&other, 77, 4);
    hold(&other, 77, 5);
    assert_int_equal(raw_hear_of(&other, 5, &answer), WEFT_EAGAIN);
    hold(&push, 77, 6);
    assert_true(RIG_UNTIL(stats().refused_client_full == 2));
    hold(&other, 78, 1);
    assert_true(RIG_UNTIL(atomic_load(&calls_n) == 5));
    answer_all();
    assert_int_equal(raw_hear_of(&raw, 1, &answer), 0);
    assert_true(RIG_UNTIL(stats().open == 0));
    raw_close(&raw);
    raw_close(&other);
    raw_close(&push);
    weft__server_stop(server, RIG_TIMEOUT_MS);
}

/* Of two services of one server the first is asked all that it takes. */
static void a_service_leaves_places_to_the_others(void **state)
{
    const struct weft_service_desc services[] = {
        {.name = "crowded", .handlers = handlers, .handlers_n = 1, .client_calls_max = HELD},
        {.name = "quiet", .handlers = handlers, .handlers_n = 1, .client_calls_max = HELD}};
    const struct weft_server_desc desc = {
        .bind = "127.0.0.1", .services = services, .services_n = 2};
    const uint32_t most = HELD / 4 * 3;
    struct raw_answer answer;
    struct raw crowd, other;

    (void)state;
    atomic_store(&calls_n, 0);
    assert_int_equal(weft__server_start(&desc, &server), WEFT_OK);
    snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", weft__server_sync_port(server, 0));
    raw_open(&crowd, ZMQ_DEALER, url);
    for (uint64_t i = 1; i <= most + 1; i++)
        hold(&crowd, 0, i);
    assert_int_equal(raw_hear_of(&crowd, most + 1, &answer), WEFT_EAGAIN);
    assert_non_null(strstr(answer.body, "crowded"));
    snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", weft__server_sync_port(server, 1));
    raw_open(&other, ZMQ_DEALER, url);
    hold(&other, 0, 1);
    assert_true(RIG_UNTIL(atomic_load(&calls_n) == most + 1));
    answer_all();
    assert_int_equal(raw_hear_of(&other, 1, &answer), 0);
    raw_close(&crowd);
    raw_close(&other);
    weft__server_stop(server, RIG_TIMEOUT_MS);
}

/* A client that floods the queue, and one that has one question. */
static void a_busy_client_leaves_room_in_the_queue(void **state)
{
    struct raw_answer answer;
    struct weft_service_stats now;
    struct raw busy, modest;

    (void)state;
    queue_max = 40;
    start(0);
    raw_open(&busy, ZMQ_DEALER, url);
    raw_open(&modest, ZMQ_DEALER, url);
    for (uint64_t i = 1; i <= 2; i++)
        raw_say(&busy, (struct weft_frame){.call = GATE, .correlation = i}, "");
    assert_true(RIG_UNTIL(atomic_load(&gate.inside) == 2));
    for (uint64_t i = 101; i <= 140; i++)
        raw_say(&busy, (struct weft_frame){.call = SWALLOW, .correlation = i}, "");
    assert_int_equal(raw_hear_of(&busy, 131, &answer), WEFT_EAGAIN);
    assert_true(RIG_UNTIL((now = stats(), now.refused_full == 10)));
    assert_int_equal(now.queue_depth, 30);
    for (uint64_t i = 1; i <= 10; i++)
        raw_say(&modest, (struct weft_frame){.call = SWALLOW, .correlation = i}, "");
    assert_true(RIG_UNTIL((now = stats(), now.queue_depth == 40)));
    raw_say(&modest, (struct weft_frame){.call = SWALLOW, .correlation = 11}, "");
    assert_int_equal(raw_hear_of(&modest, 11, &answer), WEFT_EAGAIN);
    gate_open();
    for (uint64_t i = 1; i <= 10; i++) {
        raw_hear(&modest, &answer);
        assert_int_equal(answer.frame.error, 0);
    }
    assert_true(RIG_UNTIL((now = stats(), now.open == 0)));
    raw_close(&busy);
    raw_close(&modest);
    weft__server_stop(server, RIG_TIMEOUT_MS);
    queue_max = 4096;
}

/* A worker that is busy, and bodies of 1 MiB behind it. */
static void the_bytes_that_wait_are_bounded(void **state)
{
    char *text = malloc((1 << 20) - 1);
    struct raw_answer answer;
    struct weft_service_stats now;
    struct raw raw;

    (void)state;
    start(0);
    memset(text, 'x', (1 << 20) - 2);
    text[(1 << 20) - 2] = '\0';
    raw_open(&raw, ZMQ_DEALER, url);
    for (uint64_t i = 1; i <= 2; i++)
        raw_say(&raw, (struct weft_frame){.call = GATE, .correlation = i}, "");
    assert_true(RIG_UNTIL(atomic_load(&gate.inside) == 2));
    for (uint64_t i = 101; i <= 170; i++)
        raw_say(&raw, (struct weft_frame){.call = SWALLOW, .correlation = i}, text);
    assert_int_equal(raw_hear_of(&raw, 165, &answer), WEFT_EAGAIN);
    assert_non_null(strstr(answer.body, "64 MiB of bodies"));
    assert_true(RIG_UNTIL((now = stats(), now.refused_full == 6)));
    assert_int_equal(now.queue_depth, 64);
    gate_open();
    assert_true(RIG_UNTIL((now = stats(), now.open == 0)));
    raw_say(&raw, (struct weft_frame){.call = SWALLOW, .correlation = 200}, text);
    do
        raw_hear(&raw, &answer);
    while (answer.frame.correlation != 200);
    assert_int_equal(answer.frame.error, 0);
    raw_close(&raw);
    free(text);
    weft__server_stop(server, RIG_TIMEOUT_MS);
}

static void *read_answers(void *arg)
{
    uintptr_t wrong = 0;
    struct raw raw;

    (void)arg;
    raw_open(&raw, ZMQ_DEALER, url);
    for (uint64_t i = 1; i <= READS; i++) {
        struct raw_answer answer;
        char text[32];

        snprintf(text, sizeof(text), "number %d", (int)i);
        raw_say(&raw, (struct weft_frame){.call = ECHO, .correlation = i}, text);
        raw_hear(&raw, &answer);
        wrong += answer.frame.correlation != i || strcmp(answer.body, text) != 0;
    }
    raw_close(&raw);
    return (void *)wrong;
}

/* 400 MB of answers to one that does not read them. */
static void who_never_reads_slows_nobody_and_costs_little(void **state)
{
    pthread_t readers[READERS];
    struct weft_service_stats now;
    struct raw deaf;
    size_t before;

    (void)state;
    start(0);
    raw_open_deaf(&deaf, url);
    before = rig_resident_bytes();
    for (uint64_t i = 1; i <= 6400; i++) {
        raw_say(&deaf, (struct weft_frame){.call = BIG_ANSWER, .correlation = i}, "");
        if (i == 640) {
            for (int j = 0; j < READERS; j++)
                assert_int_equal(pthread_create(&readers[j], NULL, read_answers, NULL), 0);
        }
    }
    for (int j = 0; j < READERS; j++) {
        void *wrong;

        pthread_join(readers[j], &wrong);
        assert_null(wrong);
    }
    assert_true(RIG_UNTIL((now = stats(), now.dropped > 0 && now.refused_client_full > 0)));
    assert_true(now.refused_full == 0);
    print_message("%zu KiB more in memory\n", (rig_resident_bytes() - before) >> 10);
    assert_true(rig_resident_bytes() < before + ((size_t)200 << 20));
    raw_close(&deaf);
    weft__server_stop(server, RIG_TIMEOUT_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_has_so_many_calls_under_way),
        cmocka_unit_test(a_client_is_counted_over_its_connections_and_ports),
        cmocka_unit_test(a_service_leaves_places_to_the_others),
        cmocka_unit_test(a_busy_client_leaves_room_in_the_queue),
        cmocka_unit_test(the_bytes_that_wait_are_bounded),
        cmocka_unit_test(who_never_reads_slows_nobody_and_costs_little),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
