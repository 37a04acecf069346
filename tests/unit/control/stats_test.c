/* What a service tells of itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <zmq.h>

#include "base/wake.h"
#include "raw.h"
#include "rig.h"
#include "weft/error.h"

#define PAUSE_NS (20 * WEFT_NS_PER_MS)
#define PAUSE_US 20000

static struct rig rig;

static struct weft_service_stats stats(void)
{
    struct weft_service_stats now;

    weft__server_stats(rig.server, 0, &now);
    return now;
}

static void let_time_pass(void)
{
    uint64_t until_ns = weft__now_ns() + PAUSE_NS;

    assert_true(RIG_UNTIL(weft__now_ns() >= until_ns));
}

static void a_new_service_has_done_nothing(void **state)
{
    struct weft_service_stats now;
    const struct weft_service_stats nothing = {0};

    (void)state;
    rig_open(&rig, &(struct rig_desc){0});
    now = stats();
    assert_memory_equal(&now, &nothing, sizeof(now));
    rig_close(&rig);
}

static void calls_that_wait_and_calls_that_are_open_are_told(void **state)
{
    struct rig_ask inside, waiting[3];
    struct weft_service_stats now;

    (void)state;
    rig_open(&rig, &(struct rig_desc){.workers = 1});
    assert_int_equal(rig_start(&rig, RIG_BLOCK, "x", RIG_TIMEOUT_MS, &inside), WEFT_OK);
    assert_true(RIG_UNTIL(atomic_load(&rig.inside) == 1));
    for (int i = 0; i < 3; i++)
        assert_int_equal(rig_start(&rig, RIG_ECHO, "x", RIG_TIMEOUT_MS, &waiting[i]), WEFT_OK);
    assert_true(RIG_UNTIL((now = stats(), now.queue_depth == 3)));
    assert_true(now.open == 4 && now.accepted == 4 && now.workers == 1 && now.answered == 0);
    let_time_pass();
    rig_release(&rig);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rig_await(&waiting[i]), WEFT_OK);
    assert_int_equal(rig_await(&inside), WEFT_OK);
    assert_true(RIG_UNTIL((now = stats(), now.handled.n == 4 && now.open == 0)));
    assert_true(now.queue_depth == 0 && now.answered == 4 && now.deferred == 0);
    assert_true(now.queued.n == 4 && now.queued.max_us >= PAUSE_US);
    assert_true(now.queued.p99_us >= PAUSE_US && now.queued.p99_us <= now.queued.max_us);
    assert_true(now.handled.max_us >= PAUSE_US && now.handled.p50_us <= now.handled.p99_us);
    rig_close(&rig);
}

static void deferred_calls_count_and_their_handlers_are_quick(void **state)
{
    struct rig_ask asks[2];
    struct weft_service_stats now;

    (void)state;
    rig_open(&rig, &(struct rig_desc){0});
    for (int i = 0; i < 2; i++)
        assert_int_equal(rig_start(&rig, RIG_DEFER, "x", RIG_TIMEOUT_MS, &asks[i]), WEFT_OK);
    assert_true(RIG_UNTIL((now = stats(), now.handled.n == 2)));
    assert_true(now.deferred == 2 && now.open == 2 && now.answered == 0);
    rig_answer_deferred(&rig);
    for (int i = 0; i < 2; i++)
        assert_int_equal(rig_await(&asks[i]), WEFT_OK);
    assert_int_equal(rig_ask(&rig, rig.client, RIG_ECHO_INLINE, "x", NULL), WEFT_OK);
    assert_true(RIG_UNTIL((now = stats(), now.open == 0)));
    assert_true(now.deferred == 2 && now.answered == 3);
    rig_close(&rig);
}

static void ask(struct raw *raw, uint16_t code, uint64_t correlation)
{
    raw_say(raw, (struct weft_frame){.call = code, .correlation = correlation}, "");
}

/* One handler took so long that two that wait mean twice as much. */
static void the_hint_follows_the_queue_and_the_handlers(void **state)
{
    struct raw_answer answer;
    struct raw raw;

    (void)state;
    rig_open(&rig, &(struct rig_desc){.workers = 1, .queue_max = 2});
    raw_open(&raw, ZMQ_DEALER, rig.url);
    ask(&raw, RIG_BLOCK, 1);
    assert_true(RIG_UNTIL(atomic_load(&rig.inside) == 1));
    let_time_pass();
    rig_release(&rig);
    assert_int_equal(raw_hear_of(&raw, 1, &answer), 0);
    assert_true(RIG_UNTIL(stats().handled.n == 1));
    atomic_store(&rig.released, 0);
    for (uint64_t i = 2; i <= 5; i++) {
        ask(&raw, RIG_BLOCK, i);
        assert_true(RIG_UNTIL(i > 2 || atomic_load(&rig.inside) == 1));
    }
    assert_int_equal(raw_hear_of(&raw, 5, &answer), WEFT_EAGAIN);
    assert_in_range(answer.frame.deadline_ms, 3 * PAUSE_US / 1000, 1000);
    rig_release(&rig);
    for (uint64_t i = 2; i <= 4; i++)
        assert_int_equal(raw_hear_of(&raw, i, &answer), 0);
    raw_close(&raw);
    rig_close(&rig);
}

/* Nobody waits for what fills the queue. */
static void late_calls_make_room_in_a_full_queue(void **state)
{
    struct raw_answer answer;
    struct raw raw;

    (void)state;
    rig_open(&rig, &(struct rig_desc){.workers = 1, .queue_max = 2});
    raw_open(&raw, ZMQ_DEALER, rig.url);
    ask(&raw, RIG_BLOCK, 1);
    assert_true(RIG_UNTIL(atomic_load(&rig.inside) == 1));
    for (uint64_t i = 2; i <= 3; i++)
        raw_say(&raw,
                (struct weft_frame){.call = RIG_BOTH, .correlation = i, .deadline_ms = (uint32_t)i},
                "");
    assert_true(RIG_UNTIL(stats().queue_depth == 2));
    let_time_pass();
    ask(&raw, RIG_BOTH, 4);
    assert_int_equal(raw_hear_of(&raw, 2, &answer), WEFT_ETIMEDOUT);
    assert_int_equal(raw_hear_of(&raw, 3, &answer), WEFT_ETIMEDOUT);
    assert_true(stats().refused_late == 2 && stats().refused_full == 0);
    rig_release(&rig);
    assert_int_equal(raw_hear_of(&raw, 1, &answer), 0);
    assert_int_equal(raw_hear_of(&raw, 4, &answer), 0);
    assert_int_equal(atomic_load(&rig.counted), 1);
    raw_close(&raw);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_service_has_done_nothing),
        cmocka_unit_test(calls_that_wait_and_calls_that_are_open_are_told),
        cmocka_unit_test(deferred_calls_count_and_their_handlers_are_quick),
        cmocka_unit_test(the_hint_follows_the_queue_and_the_handlers),
        cmocka_unit_test(late_calls_make_room_in_a_full_queue),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
