/* Calls over control that loses, doubles and delays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "rig.h"
#include "weft/error.h"

#define CALLS 200

static void every_call_gets_its_own_answer(const char *scheme)
{
    struct rig rig;
    rig_open(&rig, &(struct rig_desc){.scheme = scheme});
    static struct rig_ask asks[CALLS];
    memset(asks, 0, sizeof(asks));
    for (unsigned i = 0; i < CALLS; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%u", i);
        assert_int_equal(rig_start(&rig, RIG_ECHO, text, RIG_TIMEOUT_MS, &asks[i]), WEFT_OK);
    }
    for (unsigned i = 0; i < CALLS; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%u", i);
        assert_int_equal(rig_await(&asks[i]), WEFT_OK);
        assert_string_equal(asks[i].text, text);
    }
    rig_close(&rig);
}

static void answers_find_their_calls_though_letters_come_late_twice_and_out_of_order(void **state)
{
    (void)state;
    every_call_gets_its_own_answer("fault(seed=5,dup=30%,delay=6,late=50%,reorder=20%)+inproc");
    every_call_gets_its_own_answer("fault(seed=6,dup=30%,delay=300us,late=50%,reorder=20%)+zmq");
}

/* Requests and pushes, each of which counts one. */
static void every_call_runs_once(const char *scheme)
{
    struct rig rig;
    struct weft_service_stats now;
    rig_open(&rig, &(struct rig_desc){.scheme = scheme});
    static struct rig_ask asks[CALLS];
    memset(asks, 0, sizeof(asks));
    for (unsigned i = 0; i < CALLS; i++) {
        assert_int_equal(rig_start(&rig, RIG_BOTH, "x", RIG_TIMEOUT_MS, &asks[i]), WEFT_OK);
        assert_int_equal(weft__client_push(rig.client, rig.async_url, RIG_BOTH, NULL), WEFT_OK);
    }
    for (unsigned i = 0; i < CALLS; i++)
        assert_int_equal(rig_await(&asks[i]), WEFT_OK);
    assert_true(RIG_UNTIL((weft__server_stats(rig.server, 0, &now),
                           now.open == 0 && now.accepted + now.pushes == 2 * CALLS + now.repeated &&
                               atomic_load(&rig.counted) == 2 * CALLS)));
    assert_true(now.repeated > CALLS / 4);
    rig_close(&rig);
    assert_int_equal(atomic_load(&rig.counted), 2 * CALLS);
}

static void what_comes_twice_runs_once(void **state)
{
    (void)state;
    every_call_runs_once("fault(seed=7,dup=30%)+inproc");
    every_call_runs_once("fault(seed=8,dup=30%,delay=6,late=50%,reorder=20%)+inproc");
    every_call_runs_once("fault(seed=9,dup=50%,reorder=20%)+zmq");
}

static void a_client_goes_on_after_lost_replies(void **state)
{
    struct rig rig;
    char text[RIG_TEXT];
    (void)state;
    rig_open(&rig, &(struct rig_desc){.scheme = "fault(drop=100%,on=reply,way=out,for=3)+inproc"});
    static struct rig_ask asks[3];
    memset(asks, 0, sizeof(asks));
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(rig_start(&rig, RIG_ECHO, "lost", 200, &asks[i]), WEFT_OK);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(rig_await(&asks[i]), WEFT_ETIMEDOUT);
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO, "found", text), WEFT_OK);
    assert_string_equal(text, "found");
    rig_close(&rig);
}

/* CALLS calls that count how often they run; how many were answered. */
static unsigned count_calls(struct rig *rig, uint32_t flags, uint32_t timeout_ms)
{
    static struct rig_ask asks[CALLS];
    unsigned answered = 0;

    memset(asks, 0, sizeof(asks));
    for (unsigned i = 0; i < CALLS; i++) {
        const struct weft_client_call call = {.url = rig->url,
                                              .code = RIG_BOTH,
                                              .timeout_ms = timeout_ms,
                                              .flags = flags,
                                              .done = rig_over,
                                              .ctx = &asks[i]};
        assert_int_equal(weft__client_start(rig->client, &call), WEFT_OK);
    }
    for (unsigned i = 0; i < CALLS; i++)
        answered += rig_await(&asks[i]) == WEFT_OK;
    return answered;
}

static void whatever_the_network_does_no_call_runs_twice(void **state)
{
    unsigned lost = 0;

    (void)state;
    for (unsigned seed = 1; seed <= 8; seed++) {
        struct rig rig;
        char scheme[96];
        snprintf(scheme, sizeof(scheme),
                 "fault(seed=%u,drop=3%%,dup=40%%,reorder=20%%,delay=4,cut=1%%)+inproc", seed);
        rig_open(&rig, &(struct rig_desc){.scheme = scheme});
        unsigned answered = count_calls(&rig, 0, 300);
        assert_true(answered <= atomic_load(&rig.counted));
        assert_true(atomic_load(&rig.counted) <= CALLS);
        lost += CALLS - answered;
        rig_close(&rig);
    }
    assert_true(lost > 0); /* by their deadline, or with their connection */
}

static void idempotent_calls_survive_connections_that_break(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 6; seed++) {
        struct rig rig;
        char scheme[64];
        snprintf(scheme, sizeof(scheme), "fault(seed=%u,cut=1%%,delay=%s)+%s", seed,
                 seed % 2 ? "3" : "300us", seed % 2 ? "inproc" : "zmq");
        rig_open(&rig, &(struct rig_desc){.scheme = scheme});
        assert_int_equal(count_calls(&rig, WEFT_CLIENT_IDEMPOTENT, RIG_TIMEOUT_MS), CALLS);
        rig_close(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_find_their_calls_though_letters_come_late_twice_and_out_of_order),
        cmocka_unit_test(what_comes_twice_runs_once),
        cmocka_unit_test(a_client_goes_on_after_lost_replies),
        cmocka_unit_test(whatever_the_network_does_no_call_runs_twice),
        cmocka_unit_test(idempotent_calls_survive_connections_that_break),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
