/* Calls of bytes and calls that their client gives up, by a client of plain ZeroMQ. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "gate.h"
#include "raw.h"
#include "rig.h"
#include "weft/error.h"

#define HELD 64

enum code { TURN = 1, TURN_INLINE, GATE, HOLD, HOLD_LATE, AGAIN, COUNT };

static struct held {
    struct weft_server *server;
    struct weft_call *calls[HELD];
    _Atomic uint32_t calls_n;
    _Atomic uint32_t cancelled;
    _Atomic uint32_t counted;
    _Atomic bool answer_in_callback;
    char url[64], async_url[64];
    struct raw raw;
} held;

/* The body backwards. */
static void run_turn(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    size_t len_bytes;
    const char *body = weft__call_body(call, &len_bytes);
    char turned[RAW_BODY];

    (void)ctx;
    assert_null(request);
    for (size_t i = 0; i < len_bytes; i++)
        turned[i] = body[len_bytes - 1 - i];
    weft__call_reply_bytes(call, turned, len_bytes);
}

static void on_cancel(void *ctx, struct weft_call *call)
{
    assert_ptr_equal(ctx, &held);
    atomic_fetch_add(&held.cancelled, 1);
    if (held.answer_in_callback) {
        weft__call_fail(call, WEFT_ECANCELED, NULL);
        assert_int_equal(weft__call_code(call), HOLD);
    }
}

static void keep(struct weft_call *call)
{
    uint32_t at = atomic_load(&held.calls_n);

    held.calls[at] = call;
    atomic_store(&held.calls_n, at + 1);
}

static void run_hold(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    (void)ctx;
    (void)request;
    weft__call_on_cancel(call, on_cancel, &held);
    keep(call);
}

/* Begins to listen when the gate is open. */
static void run_hold_late(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    (void)ctx;
    (void)request;
    gate_pass();
    weft__call_on_cancel(call, on_cancel, &held);
    keep(call);
}

static void run_again(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    (void)ctx;
    (void)request;
    weft__call_fail_again(call, 250, "the shop is full");
}

static void run_count(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    (void)ctx;
    (void)request;
    atomic_fetch_add(&held.counted, 1);
    weft__call_reply(call, NULL);
}

#define INLINE (WEFT_HANDLER_SYNC | WEFT_HANDLER_INLINE)

static const struct weft_handler_desc handlers[] = {
    {TURN, WEFT_HANDLER_SYNC | WEFT_HANDLER_BYTES, "turn", NULL, run_turn},
    {TURN_INLINE, INLINE | WEFT_HANDLER_BYTES, "turn inline", NULL, run_turn},
    {GATE, WEFT_HANDLER_SYNC, "gate", NULL, run_gate},
    {HOLD, INLINE, "hold", NULL, run_hold},
    {HOLD_LATE, WEFT_HANDLER_SYNC, "hold late", NULL, run_hold_late},
    {AGAIN, INLINE, "again", NULL, run_again},
    {COUNT, WEFT_HANDLER_SYNC | WEFT_HANDLER_ASYNC, "count", NULL, run_count},
};

static int setup(void **state)
{
    const struct weft_service_desc service = {.name = "held",
                                              .handlers = handlers,
                                              .handlers_n = sizeof(handlers) / sizeof(handlers[0]),
                                              .workers = 1};
    const struct weft_server_desc desc = {
        .bind = "127.0.0.1", .services = &service, .services_n = 1};

    (void)state;
    memset(&held, 0, sizeof(held));
    gate_reset();
    assert_int_equal(weft__server_start(&desc, &held.server), WEFT_OK);
    snprintf(held.url, sizeof(held.url), "tcp://127.0.0.1:%u",
             weft__server_sync_port(held.server, 0));
    snprintf(held.async_url, sizeof(held.async_url), "tcp://127.0.0.1:%u",
             weft__server_async_port(held.server, 0));
    raw_open(&held.raw, ZMQ_DEALER, held.url);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    raw_close(&held.raw);
    weft__server_stop(held.server, RIG_TIMEOUT_MS);
    return 0;
}

static struct weft_service_stats stats(void)
{
    struct weft_service_stats now;

    weft__server_stats(held.server, 0, &now);
    return now;
}

static void open_gate(void)
{
    gate_open();
}

static void ask(uint16_t code, uint64_t correlation)
{
    raw_say(&held.raw, (struct weft_frame){.call = code, .correlation = correlation}, "");
}

static void cancel(struct raw *raw, uint64_t correlation)
{
    raw_say(
        raw,
        (struct weft_frame){.call = GATE, .flags = WEFT_FRAME_CANCEL, .correlation = correlation},
        "");
}

/* What was sent before has been taken, and its answer, if there is one, is here. */
static void fence(void)
{
    struct raw_answer answer;

    ask(TURN_INLINE, 999);
    assert_int_equal(raw_hear_of(&held.raw, 999, &answer), 0);
    (void)atomic_load(&held.calls_n); /* what keep() wrote is seen */
}

static void bytes_are_taken_and_answered(void **state)
{
    struct raw_answer answer;

    (void)state;
    for (uint16_t code = TURN; code <= TURN_INLINE; code++) {
        raw_say(&held.raw, (struct weft_frame){.call = code, .correlation = code}, "stressed");
        assert_int_equal(raw_hear_of(&held.raw, code, &answer), 0);
        assert_string_equal(answer.body, "desserts");
        raw_say(&held.raw, (struct weft_frame){.call = code, .correlation = code}, "");
        assert_int_equal(raw_hear_of(&held.raw, code, &answer), 0);
        assert_string_equal(answer.body, "");
    }
}

static void a_full_owner_says_when_to_try_again(void **state)
{
    struct raw_answer answer;

    (void)state;
    ask(AGAIN, 7);
    assert_int_equal(raw_hear_of(&held.raw, 7, &answer), WEFT_EAGAIN);
    assert_int_equal(answer.frame.deadline_ms, 250);
    assert_string_equal(answer.body, "the shop is full");
}

static void a_cancelled_call_that_waits_never_runs(void **state)
{
    struct raw_answer answer;

    (void)state;
    ask(GATE, 1);
    ask(COUNT, 2);
    ask(COUNT, 3);
    ask(COUNT, 4);
    assert_true(RIG_UNTIL(atomic_load(&gate.inside) == 1));
    cancel(&held.raw, 4);
    cancel(&held.raw, 2);
    cancel(&held.raw, 2);
    cancel(&held.raw, 77);
    fence();
    assert_true(stats().cancelled == 2);
    open_gate();
    assert_int_equal(raw_hear_of(&held.raw, 1, &answer), 0);
    assert_int_equal(raw_hear_of(&held.raw, 3, &answer), 0);
    ask(COUNT, 5);
    assert_int_equal(raw_hear_of(&held.raw, 5, &answer), 0);
    assert_int_equal(atomic_load(&held.counted), 2);
}

static void a_cancelled_call_that_runs_is_not_answered(void **state)
{
    struct raw_answer answer;

    (void)state;
    ask(GATE, 1);
    assert_true(RIG_UNTIL(atomic_load(&gate.inside) == 1));
    cancel(&held.raw, 1);
    fence();
    open_gate();
    ask(COUNT, 2);
    assert_int_equal(raw_hear_of(&held.raw, 2, &answer), 0);
    assert_true(stats().cancelled == 1);
}

static void the_owner_of_a_deferred_call_hears_of_its_cancelling(void **state)
{
    struct raw_answer answer;

    (void)state;
    ask(HOLD, 1);
    ask(HOLD, 2);
    cancel(&held.raw, 1);
    cancel(&held.raw, 1);
    fence();
    assert_int_equal(atomic_load(&held.cancelled), 1);
    weft__call_reply(held.calls[0], NULL);
    weft__call_reply(held.calls[1], NULL);
    assert_int_equal(raw_hear_of(&held.raw, 2, &answer), 0);
    fence();
    assert_int_equal(atomic_load(&held.cancelled), 1);
}

static void a_callback_may_answer_its_call(void **state)
{
    (void)state;
    held.answer_in_callback = true;
    for (uint64_t i = 1; i <= 10; i++) {
        ask(HOLD, i);
        cancel(&held.raw, i);
    }
    fence();
    assert_int_equal(atomic_load(&held.cancelled), 10);
    fence();
}

static void who_listens_late_hears_it_all_the_same(void **state)
{
    (void)state;
    ask(HOLD_LATE, 1);
    assert_true(RIG_UNTIL(atomic_load(&gate.inside) == 1));
    cancel(&held.raw, 1);
    fence();
    open_gate();
    assert_true(RIG_UNTIL(atomic_load(&held.cancelled) == 1));
    assert_true(RIG_UNTIL(atomic_load(&held.calls_n) == 1));
    weft__call_reply(held.calls[0], NULL);
    fence();
}

static void nobody_cancels_for_another(void **state)
{
    struct raw_answer answer;
    struct raw other;

    (void)state;
    ask(HOLD, 1);
    fence();
    raw_open(&other, ZMQ_DEALER, held.url);
    cancel(&other, 1);
    raw_say(&other, (struct weft_frame){.call = TURN_INLINE, .correlation = 1}, "");
    assert_int_equal(raw_hear_of(&other, 1, &answer), 0);
    raw_close(&other);
    assert_int_equal(atomic_load(&held.cancelled), 0);
    weft__call_reply(held.calls[0], NULL);
    assert_int_equal(raw_hear_of(&held.raw, 1, &answer), 0);
}

static void the_owner_hears_that_a_connection_has_gone(void **state)
{
    struct raw_answer answer;
    struct raw other;

    (void)state;
    for (uint32_t round = 1; round <= 20; round++) {
        raw_open(&other, ZMQ_DEALER, held.url);
        raw_say(&other, (struct weft_frame){.call = HOLD, .correlation = 1}, "");
        assert_true(RIG_UNTIL(atomic_load(&held.calls_n) == 2 * round - 1));
        ask(HOLD, 1);
        fence();
        raw_close(&other);
        assert_true(RIG_UNTIL(atomic_load(&held.cancelled) == round));
        weft__call_reply(held.calls[2 * round - 2], NULL);
        weft__call_reply(held.calls[2 * round - 1], NULL);
        assert_int_equal(raw_hear_of(&held.raw, 1, &answer), 0);
    }
    assert_true(stats().cancelled == 0);
}

static void touch_port(void)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons(weft__server_sync_port(held.server, 0)),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    close(fd);
}

/* Whoever gets the descriptor of a connection that has just gone. */
static void a_connection_that_is_there_is_not_taken_for_one_that_has_gone(void **state)
{
    struct raw_answer answer;
    struct raw other;

    (void)state;
    for (uint32_t round = 1; round <= HELD; round++) {
        touch_port();
        raw_open(&other, ZMQ_DEALER, held.url);
        raw_say(&other, (struct weft_frame){.call = HOLD, .correlation = 1}, "");
        touch_port();
        assert_true(RIG_UNTIL(atomic_load(&held.calls_n) == round));
        touch_port();
        fence();
        assert_int_equal(atomic_load(&held.cancelled), 0);
        weft__call_reply(held.calls[round - 1], NULL);
        assert_int_equal(raw_hear_of(&other, 1, &answer), 0);
        raw_close(&other);
    }
}

static void what_a_client_sent_before_it_went_is_run(void **state)
{
    struct raw other;

    (void)state;
    for (uint32_t round = 1; round <= 20; round++) {
        int linger_ms = RIG_TIMEOUT_MS;

        raw_open(&other, ZMQ_DEALER, held.url);
        zmq_setsockopt(other.sock, ZMQ_LINGER, &linger_ms, sizeof(linger_ms));
        raw_say(&other, (struct weft_frame){.call = COUNT, .correlation = 1}, "");
        raw_close(&other);
        assert_true(RIG_UNTIL(atomic_load(&held.counted) == round));
    }
}

static void a_cancel_by_the_wrong_port_is_counted(void **state)
{
    struct raw push;

    (void)state;
    raw_open(&push, ZMQ_PUSH, held.async_url);
    cancel(&push, 1);
    assert_true(RIG_UNTIL(stats().refused_malformed == 1));
    raw_close(&push);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(bytes_are_taken_and_answered),
        CASE(a_full_owner_says_when_to_try_again),
        CASE(a_cancelled_call_that_waits_never_runs),
        CASE(a_cancelled_call_that_runs_is_not_answered),
        CASE(the_owner_of_a_deferred_call_hears_of_its_cancelling),
        CASE(a_callback_may_answer_its_call),
        CASE(who_listens_late_hears_it_all_the_same),
        CASE(nobody_cancels_for_another),
        CASE(the_owner_hears_that_a_connection_has_gone),
        CASE(a_connection_that_is_there_is_not_taken_for_one_that_has_gone),
        CASE(what_a_client_sent_before_it_went_is_run),
        CASE(a_cancel_by_the_wrong_port_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
