/* Requests that come again, by clients of plain ZeroMQ. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <zmq.h>

#include "gate.h"
#include "raw.h"
#include "rig.h"
#include "weft/error.h"

#define CLIENT UINT64_C(0xc11e47)
#define BIG ((size_t)1 << 20)

enum code { COUNT = 1, HOLD, FAIL, GATE, BIG_ANSWER };

static struct weft_server *server;
static struct raw raw, other;
static char url[64], async_url[64];
static struct weft_call *held;
static _Atomic uint32_t counted, holds;

static void run_count(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    char text[32];

    (void)ctx;
    (void)request;
    snprintf(text, sizeof(text), "run %u", atomic_fetch_add(&counted, 1) + 1);
    weft__call_reply_bytes(call, text, strlen(text));
}

static void run_hold(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    (void)ctx;
    (void)request;
    held = call;
    atomic_fetch_add(&holds, 1);
}

static void run_fail(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    (void)ctx;
    (void)request;
    atomic_fetch_add(&counted, 1);
    weft__call_fail(call, WEFT_EBUSY, "not today");
}

static void run_big(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    static const char body[BIG];

    (void)ctx;
    (void)request;
    atomic_fetch_add(&counted, 1);
    weft__call_reply_bytes(call, body, sizeof(body));
}

#define INLINE (WEFT_HANDLER_SYNC | WEFT_HANDLER_INLINE)

static const struct weft_handler_desc handlers[] = {
    {COUNT, WEFT_HANDLER_SYNC | WEFT_HANDLER_ASYNC, "count", NULL, run_count},
    {HOLD, INLINE, "hold", NULL, run_hold},
    {FAIL, INLINE, "fail", NULL, run_fail},
    {GATE, WEFT_HANDLER_SYNC, "gate", NULL, run_gate},
    {BIG_ANSWER, INLINE, "big answer", NULL, run_big},
};

static int setup(void **state)
{
    const struct weft_service_desc service = {.name = "repeats",
                                              .handlers = handlers,
                                              .handlers_n = sizeof(handlers) / sizeof(handlers[0]),
                                              .workers = 1,
                                              .queue_max = 1};
    const struct weft_server_desc desc = {
        .bind = "127.0.0.1", .services = &service, .services_n = 1};

    (void)state;
    held = NULL;
    atomic_store(&counted, 0);
    atomic_store(&holds, 0);
    gate_reset();
    assert_int_equal(weft__server_start(&desc, &server), WEFT_OK);
    snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", weft__server_sync_port(server, 0));
    snprintf(async_url, sizeof(async_url), "tcp://127.0.0.1:%u",
             weft__server_async_port(server, 0));
    raw_open(&raw, ZMQ_DEALER, url);
    raw_open(&other, ZMQ_DEALER, url);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    raw_close(&raw);
    raw_close(&other);
    weft__server_stop(server, RIG_TIMEOUT_MS);
    return 0;
}

static struct weft_service_stats stats(void)
{
    struct weft_service_stats now;

    weft__server_stats(server, 0, &now);
    return now;
}

static struct weft_frame numbered(uint16_t code, uint64_t sequence, uint64_t correlation)
{
    return (struct weft_frame){
        .call = code, .correlation = correlation, .client = CLIENT, .sequence = sequence};
}

static void ask(struct raw *from, uint16_t code, uint64_t sequence, uint64_t correlation)
{
    raw_say(from, numbered(code, sequence, correlation), "");
}

static void what_was_answered_is_answered_again(void **state)
{
    struct raw_answer answer;

    (void)state;
    for (uint64_t i = 1; i <= 5; i++) {
        struct raw *from = i % 2 ? &raw : &other;

        ask(from, COUNT, 1, 100 + i);
        assert_int_equal(raw_hear_of(from, 100 + i, &answer), 0);
        assert_string_equal(answer.body, "run 1");
    }
    ask(&raw, COUNT, 2, 7);
    assert_int_equal(raw_hear_of(&raw, 7, &answer), 0);
    assert_string_equal(answer.body, "run 2");
    assert_true(RIG_UNTIL(stats().open == 0));
    assert_true(stats().repeated == 4);
}

static void an_error_is_an_answer(void **state)
{
    struct raw_answer answer;

    (void)state;
    for (uint64_t i = 1; i <= 3; i++) {
        ask(&raw, FAIL, 1, i);
        assert_int_equal(raw_hear_of(&raw, i, &answer), WEFT_EBUSY);
        assert_string_equal(answer.body, "not today");
    }
    assert_int_equal(atomic_load(&counted), 1);
}

static void what_runs_is_answered_once_to_who_asked_last(void **state)
{
    struct raw_answer answer;

    (void)state;
    ask(&raw, HOLD, 1, 1);
    ask(&raw, HOLD, 1, 2);
    ask(&raw, COUNT, 2, 3);
    assert_int_equal(raw_hear_of(&raw, 3, &answer), 0);
    ask(&other, HOLD, 1, 4);
    ask(&other, COUNT, 3, 5);
    assert_int_equal(raw_hear_of(&other, 5, &answer), 0);
    assert_int_equal(atomic_load(&holds), 1);
    weft__call_reply_bytes(held, "held", 4);
    assert_int_equal(raw_hear_of(&other, 4, &answer), 0);
    assert_string_equal(answer.body, "held");
    ask(&raw, COUNT, 4, 6);
    assert_int_equal(raw_hear_of(&raw, 6, &answer), 0);
    assert_true(stats().repeated == 2);
}

static void an_idempotent_request_runs_again(void **state)
{
    struct raw_answer answer;

    (void)state;
    for (uint64_t i = 1; i <= 3; i++) {
        struct weft_frame frame = numbered(COUNT, 1, i);

        frame.flags = WEFT_FRAME_IDEMPOTENT;
        raw_say(&raw, frame, "");
        assert_int_equal(raw_hear_of(&raw, i, &answer), 0);
    }
    assert_int_equal(atomic_load(&counted), 3);
    assert_true(stats().repeated == 0);
}

static void a_push_that_comes_again_runs_once(void **state)
{
    struct raw push;

    (void)state;
    raw_open(&push, ZMQ_PUSH, async_url);
    ask(&push, COUNT, 1, 0);
    assert_true(RIG_UNTIL(atomic_load(&counted) == 1));
    for (int i = 0; i < 3; i++)
        ask(&push, COUNT, 1, 0);
    assert_true(RIG_UNTIL(stats().repeated == 3));
    ask(&push, COUNT, 2, 0);
    assert_true(RIG_UNTIL(atomic_load(&counted) == 2));
    raw_close(&push);
}

static void what_cannot_be_known_is_stale(void **state)
{
    struct raw_answer answer;
    struct weft_frame cancel = {.call = HOLD, .flags = WEFT_FRAME_CANCEL, .correlation = 1};

    (void)state;
    ask(&raw, HOLD, 5000, 1);
    raw_say(&raw, cancel, "");
    ask(&raw, HOLD, 5000, 2);
    assert_int_equal(raw_hear_of(&raw, 2, &answer), WEFT_ESTALE);
    assert_non_null(strstr(answer.body, "no longer kept"));
    ask(&raw, COUNT, 17, 3);
    assert_int_equal(raw_hear_of(&raw, 3, &answer), WEFT_ESTALE);
    assert_non_null(strstr(answer.body, "too old"));
    assert_int_equal(atomic_load(&counted), 0);
    assert_int_equal(atomic_load(&holds), 1);
    weft__call_reply(held, NULL);
    assert_true(RIG_UNTIL(stats().open == 0));
    ask(&raw, HOLD, 5000, 4);
    assert_int_equal(raw_hear_of(&raw, 4, &answer), WEFT_ESTALE);
    assert_true(stats().repeated == 3 && stats().cancelled == 1);
}

static void what_was_refused_may_come_again(void **state)
{
    struct raw_answer answer;
    uint64_t tries = 0;

    (void)state;
    ask(&raw, GATE, 1, 1);
    assert_true(RIG_UNTIL(atomic_load(&gate.inside) == 1));
    ask(&raw, COUNT, 2, 2);
    assert_true(RIG_UNTIL(stats().queue_depth == 1));
    for (; tries < 3; tries++) {
        ask(&other, COUNT, 3, 10 + tries);
        assert_int_equal(raw_hear_of(&other, 10 + tries, &answer), WEFT_EAGAIN);
        assert_in_range(answer.frame.deadline_ms, 1, 1000);
    }
    gate_open();
    assert_int_equal(raw_hear_of(&raw, 1, &answer), 0);
    assert_int_equal(raw_hear_of(&raw, 2, &answer), 0);
    ask(&other, COUNT, 3, 20);
    assert_int_equal(raw_hear_of(&other, 20, &answer), 0);
    assert_string_equal(answer.body, "run 2");
    assert_true(stats().repeated == 0 && stats().refused_full == 3);
}

static void a_number_belongs_to_one_call(void **state)
{
    struct raw_answer answer;

    (void)state;
    ask(&raw, COUNT, 1, 1);
    assert_int_equal(raw_hear_of(&raw, 1, &answer), 0);
    ask(&raw, FAIL, 1, 2);
    assert_int_equal(raw_hear_of(&raw, 2, &answer), WEFT_EPROTO);
    assert_non_null(strstr(answer.body, "numbers each request anew"));
}

/* Asks, and hears the start of the answer. */
static void ask_big(uint64_t sequence, uint64_t correlation)
{
    uint8_t data[RAW_BODY];
    struct weft_frame frame;

    ask(&other, BIG_ANSWER, sequence, correlation);
    assert_true(zmq_recv(other.sock, data, sizeof(data), 0) > WEFT_FRAME_HEADER_BYTES);
    weft__frame_decode(data, sizeof(data), BIG, &frame);
    assert_true(frame.correlation == correlation);
}

/* 32 MiB for a connection that does not read; then another one asks for the same again. */
static void an_answer_that_waits_for_room_follows_to_the_newest_connection(void **state)
{
    struct raw deaf;

    (void)state;
    raw_open_deaf(&deaf, url);
    for (uint64_t i = 1; i <= 32; i++)
        ask(&deaf, BIG_ANSWER, i, i);
    assert_true(RIG_UNTIL(atomic_load(&counted) + stats().refused_client_full == 32));
    assert_true(stats().open > 0);
    for (uint64_t i = 1; i <= 32; i++)
        ask_big(i, 100 + i);
    assert_true(RIG_UNTIL(stats().open == 0));
    raw_close(&deaf);
}

/* Two that do not read, the second with correlations of its own; then one with those of the first.
 */
static void an_answer_that_waits_has_the_newest_correlation(void **state)
{
    struct raw deaf, deafer;

    (void)state;
    raw_open_deaf(&deaf, url);
    raw_open_deaf(&deafer, url);
    for (uint64_t i = 1; i <= 32; i++)
        ask(&deaf, BIG_ANSWER, i, i);
    assert_true(RIG_UNTIL(atomic_load(&counted) + stats().refused_client_full == 32));
    for (uint64_t i = 1; i <= 32; i++)
        ask(&deafer, BIG_ANSWER, i, 100 + i);
    assert_true(RIG_UNTIL(stats().accepted == 64));
    assert_true(stats().open > 0);
    for (uint64_t i = 1; i <= 32; i++)
        ask_big(i, i);
    assert_true(RIG_UNTIL(stats().open == 0));
    raw_close(&deaf);
    raw_close(&deafer);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_was_answered_is_answered_again),
        CASE(an_error_is_an_answer),
        CASE(what_runs_is_answered_once_to_who_asked_last),
        CASE(an_idempotent_request_runs_again),
        CASE(a_push_that_comes_again_runs_once),
        CASE(what_cannot_be_known_is_stale),
        CASE(what_was_refused_may_come_again),
        CASE(a_number_belongs_to_one_call),
        CASE(an_answer_that_waits_for_room_follows_to_the_newest_connection),
        CASE(an_answer_that_waits_has_the_newest_correlation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
