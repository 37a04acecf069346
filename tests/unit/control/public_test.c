/* What weft/service.h and weft/client.h promise, one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "party.h"

enum code { WHO = 1, REFUSE, FULL, BOTH, HOLD, LEAVE, OTHER };

static struct party party;
static struct weft_call *_Atomic held;
static _Atomic unsigned pushed, cancelled;

/* What the call says of itself. */
static void run_who(void *ctx, struct weft_call *call, const void *body, size_t body_bytes)
{
    char text[PARTY_TEXT];
    uint32_t left_ms = weft_call_left_ms(call);
    size_t same_bytes;
    int len = snprintf(text, sizeof(text), "%s %u %s %s", (const char *)ctx, weft_call_code(call),
                       weft_call_client(call) != 0 ? "known" : "unknown",
                       left_ms > 0 && left_ms <= PARTY_TIMEOUT_MS ? "in time" : "without limit");

    assert_ptr_equal(weft_call_body(call, &same_bytes), body);
    assert_int_equal(same_bytes, body_bytes);
    weft_call_reply(call, text, (size_t)len);
}

static void run_refuse(void *ctx, struct weft_call *call, const void *body, size_t body_bytes)
{
    (void)ctx;
    (void)body;
    if (body_bytes == 0)
        weft_call_fail(call, WEFT_EPERM, NULL);
    else
        weft_call_fail(call, WEFT_EBUSY, "not on sundays");
}

static void run_full(void *ctx, struct weft_call *call, const void *body, size_t body_bytes)
{
    (void)ctx;
    (void)body;
    (void)body_bytes;
    weft_call_fail_again(call, 40, "the house is full");
}

static void run_both(void *ctx, struct weft_call *call, const void *body, size_t body_bytes)
{
    (void)ctx;
    (void)body;
    atomic_fetch_add(&pushed, (unsigned)body_bytes);
    weft_call_reply(call, NULL, 0);
}

static void note_cancelled(void *ctx, struct weft_call *call)
{
    atomic_fetch_add((_Atomic unsigned *)ctx, 1);
    assert_int_equal(weft_call_code(call), HOLD);
}

static void run_hold(void *ctx, struct weft_call *call, const void *body, size_t body_bytes)
{
    (void)ctx;
    (void)body;
    (void)body_bytes;
    weft_call_on_cancel(call, note_cancelled, &cancelled);
    atomic_store(&held, call);
}

static void answer_cancelled(void *ctx, struct weft_call *call)
{
    weft_call_fail(call, WEFT_ECANCELED, NULL);
    atomic_fetch_add((_Atomic unsigned *)ctx, 1);
}

static void run_leave(void *ctx, struct weft_call *call, const void *body, size_t body_bytes)
{
    (void)ctx;
    (void)body;
    (void)body_bytes;
    weft_call_on_cancel(call, answer_cancelled, &cancelled);
}

#define SYNC WEFT_HANDLER_SYNC

static const struct weft_service_handler handlers[] = {
    {.code = WHO, .flags = SYNC, .name = "who", .run = run_who},
    {.code = REFUSE, .flags = SYNC, .name = "refuse", .run = run_refuse},
    {.code = FULL, .flags = SYNC | WEFT_HANDLER_INLINE, .name = "full", .run = run_full},
    {.code = BOTH, .flags = SYNC | WEFT_HANDLER_ASYNC, .name = "both", .run = run_both},
    {.code = HOLD, .flags = SYNC, .name = "hold", .run = run_hold},
    {.code = LEAVE, .flags = SYNC, .name = "leave", .run = run_leave},
};
enum { HANDLERS_N = sizeof(handlers) / sizeof(handlers[0]) };

static int setup(void **state)
{
    static char first[] = "first";
    const struct weft_service_options service = {
        .name = "first", .handlers = handlers, .handlers_n = HANDLERS_N, .ctx = first};

    (void)state;
    atomic_store(&held, NULL);
    atomic_store(&pushed, 0);
    atomic_store(&cancelled, 0);
    party_open(&party, &service);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    party_close(&party);
    return 0;
}

static void a_call_says_who_sends_it_and_how_long_he_waits(void **state)
{
    char text[PARTY_TEXT];

    (void)state;
    assert_int_equal(party_ask(&party, party.client, WHO, "x", text), WEFT_OK);
    assert_string_equal(text, "first 1 known in time");
}

static void a_handlers_error_comes_with_its_text(void **state)
{
    (void)state;
    assert_int_equal(party_ask(&party, party.client, REFUSE, "x", NULL), WEFT_EBUSY);
    assert_string_equal(weft_fail_text(WEFT_EBUSY), "not on sundays");
    assert_int_equal(party_ask(&party, party.client, REFUSE, "", NULL), WEFT_EPERM);
    assert_string_equal(weft_fail_text(WEFT_EPERM), weft_error_text(WEFT_EPERM));
    assert_int_equal(party_ask(&party, party.client, OTHER, "x", NULL), WEFT_EUNKNOWNCALL);
}

static void a_full_service_says_when_to_try_again(void **state)
{
    struct party_answer answer;

    (void)state;
    assert_int_equal(party_ask(&party, party.client, FULL, "x", NULL), WEFT_EAGAIN);
    assert_int_equal(weft_fail_retry_ms(), 40);
    assert_int_equal(party_start(&party, FULL, "x", PARTY_TIMEOUT_MS, &answer), WEFT_OK);
    assert_true(PARTY_UNTIL(atomic_load(&answer.over) == 1));
    assert_int_equal(answer.err, WEFT_EAGAIN);
    assert_int_equal(answer.retry_ms, 40);
    assert_string_equal(answer.text, "the house is full");
}

static void a_handler_may_take_requests_and_pushes(void **state)
{
    (void)state;
    assert_int_equal(party_ask(&party, party.client, BOTH, "four", NULL), WEFT_OK);
    assert_int_equal(weft_client_push(party.client, party.async_url, BOTH, "more", 4), WEFT_OK);
    assert_true(PARTY_UNTIL(atomic_load(&pushed) == 8));
    /* no handler of pushes: counted */
    assert_int_equal(weft_client_push(party.client, party.async_url, WHO, "x", 1), WEFT_OK);
    assert_true(PARTY_UNTIL(party_stats(&party).refused_unknown == 1));
}

static void an_owner_hears_that_nobody_waits_any_more(void **state)
{
    struct party_answer answer;

    (void)state;
    assert_int_equal(party_start(&party, HOLD, "x", PARTY_TIMEOUT_MS, &answer), WEFT_OK);
    assert_true(PARTY_UNTIL(atomic_load(&held) != NULL));
    weft_client_cancel(party.client, answer.ticket);
    assert_true(PARTY_UNTIL(atomic_load(&cancelled) == 1));
    weft_call_reply(atomic_load(&held), "nobody hears it", 15);
    assert_true(PARTY_UNTIL(atomic_load(&answer.over) == 1));
    assert_int_equal(answer.err, WEFT_ECANCELED);
    assert_true(PARTY_UNTIL(party_stats(&party).open == 0));
    assert_true(party_stats(&party).cancelled == 1);
}

static void a_time_out_is_heard_too(void **state)
{
    struct party_answer answer;

    (void)state;
    do { /* where the machine stands still the deadline may pass before the handler begins */
        assert_int_equal(party_start(&party, LEAVE, "x", 300, &answer), WEFT_OK);
        assert_true(PARTY_UNTIL(atomic_load(&answer.over) == 1));
        assert_int_equal(answer.err, WEFT_ETIMEDOUT);
    } while (party_stats(&party).deferred == 0);
    assert_true(PARTY_UNTIL(atomic_load(&cancelled) >= 1));
}

static void a_server_may_have_several_services_on_ports_of_ones_choice(void **state)
{
    static char names[2][8] = {"one", "two"};
    struct weft_service_options services[2];
    struct weft_server_options options = {.services = services, .services_n = 2};
    struct party two = {.client = party.client};
    struct weft_server *second;
    char text[PARTY_TEXT];
    uint16_t port;

    (void)state;
    for (int i = 0; i < 2; i++)
        services[i] = (struct weft_service_options){
            .name = names[i], .handlers = handlers, .handlers_n = 1, .ctx = names[i]};
    assert_int_equal(weft_server_start(&options, &two.server), WEFT_OK);
    for (size_t i = 0; i < 2; i++) {
        snprintf(two.url, sizeof(two.url), "tcp://127.0.0.1:%u",
                 weft_server_sync_port(two.server, i));
        assert_int_equal(weft_server_async_port(two.server, i), 0);
        assert_int_equal(party_ask(&two, party.client, WHO, "x", text), WEFT_OK);
        assert_memory_equal(text, names[i], 3);
    }
    port = weft_server_sync_port(two.server, 1);
    services[0].sync_port = port;
    options.services_n = 1;
    assert_int_equal(weft_server_start(&options, &second), WEFT_EADDRINUSE);
    weft_server_stop(two.server, PARTY_TIMEOUT_MS);
    assert_int_equal(weft_server_start(&options, &second), WEFT_OK); /* at once */
    assert_int_equal(weft_server_sync_port(second, 0), port);
    assert_true(PARTY_UNTIL(party_ask(&two, party.client, WHO, "x", text) == WEFT_OK));
    assert_memory_equal(text, names[0], 3);
    weft_server_stop(second, PARTY_TIMEOUT_MS);
}

static void what_makes_no_sense_is_refused(void **state)
{
    const struct weft_service_handler no_port = {.code = 1, .name = "x", .run = run_who};
    const struct weft_service_handler no_run = {.code = 1, .name = "x", .flags = SYNC};
    struct weft_service_options service = {.name = "x", .handlers = &no_port, .handlers_n = 1};
    const struct weft_server_options options = {.services = &service, .services_n = 1};
    const struct weft_client_request no_url = {.code = 1, .timeout_ms = 1};
    struct weft_client_request request = {.url = party.url, .code = WHO};
    struct weft_server *server;

    (void)state;
    assert_int_equal(weft_server_start(&options, &server), WEFT_EINVAL);
    service.handlers = &no_run;
    assert_int_equal(weft_server_start(&options, &server), WEFT_EINVAL);
    service.handlers_n = 0;
    assert_int_equal(weft_server_start(&options, &server), WEFT_EINVAL);
    assert_int_equal(weft_client_call(party.client, &no_url, NULL, NULL), WEFT_EINVAL);
    assert_int_equal(weft_client_call(party.client, &request, NULL, NULL), WEFT_EINVAL);
    request.timeout_ms = 1000;
    assert_int_equal(weft_client_start(party.client, &request, NULL, NULL, NULL), WEFT_EINVAL);
    request.body_bytes = 1;
    assert_int_equal(weft_client_call(party.client, &request, NULL, NULL), WEFT_EINVAL);
    request.body = "x";
    request.body_bytes = ((size_t)8 << 20) + 1;
    assert_int_equal(weft_client_call(party.client, &request, NULL, NULL), WEFT_EMSGSIZE);
    weft_client_close(NULL);
    weft_server_stop(NULL, 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_call_says_who_sends_it_and_how_long_he_waits),
        CASE(a_handlers_error_comes_with_its_text),
        CASE(a_full_service_says_when_to_try_again),
        CASE(a_handler_may_take_requests_and_pushes),
        CASE(an_owner_hears_that_nobody_waits_any_more),
        CASE(a_time_out_is_heard_too),
        CASE(a_server_may_have_several_services_on_ports_of_ones_choice),
        CASE(what_makes_no_sense_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
