#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/clock.h"
#include "plan/worth.h"

#define S WEFT_NS_PER_S

/* Home, A, A, B -> home, A, A, home. */
static const struct weft_plan one_move = {
    .moves_n = 1, .now = {.hosts = 3, .cross_pairs = 5}, .then = {.hosts = 2, .cross_pairs = 4}};

static void a_small_rank_that_has_run_for_seconds_is_worth_moving(void **state)
{
    (void)state;
    struct weft_worth_app app = {.started_ns = 100 * S, .bytes_per_rank = 3 << 20};
    struct weft_worth worth = weft__worth(NULL, &app, &one_move, 4, 102 * S);
    assert_int_equal(worth.verdict, WEFT_VERDICT_GO);
    assert_true(worth.gain_ns >= 2 * worth.cost_ns);
}

static void a_huge_rank_of_a_short_app_is_not(void **state)
{
    (void)state;
    struct weft_worth_app app = {.started_ns = 100 * S, .bytes_per_rank = 8ull << 30};
    assert_int_equal(weft__worth(NULL, &app, &one_move, 4, 102 * S).verdict, WEFT_VERDICT_TOO_DEAR);
    /* The same app, once it is known to run for an hour. */
    app.expect_ns = 3600 * S;
    assert_int_equal(weft__worth(NULL, &app, &one_move, 4, 102 * S).verdict, WEFT_VERDICT_GO);
}

static void an_app_that_is_expected_to_be_over_is_left_alone(void **state)
{
    (void)state;
    struct weft_worth_app app = {.started_ns = 100 * S, .expect_ns = 5 * S};
    assert_int_equal(weft__worth(NULL, &app, &one_move, 4, 106 * S).verdict, WEFT_VERDICT_TOO_DEAR);
}

static void an_app_rests_after_its_start_and_after_a_plan(void **state)
{
    (void)state;
    struct weft_worth_app app = {.started_ns = 100 * S};
    struct weft_worth worth = weft__worth(NULL, &app, &one_move, 4, 100 * S + S / 2);
    assert_int_equal(worth.verdict, WEFT_VERDICT_TOO_EARLY);
    assert_int_equal(worth.ask_again_ns, 101 * S);
    app.plan_ended_ns = 110 * S;
    assert_int_equal(weft__worth(NULL, &app, &one_move, 4, 110 * S + 1).verdict,
                     WEFT_VERDICT_TOO_EARLY);
    assert_int_equal(weft__worth(NULL, &app, &one_move, 4, 111 * S).verdict, WEFT_VERDICT_GO);
}

static void failed_plans_back_off_longer_each_time_up_to_a_limit(void **state)
{
    (void)state;
    struct weft_worth_app app = {.started_ns = 1 * S, .plan_ended_ns = 100 * S, .plan_failures = 1};
    assert_int_equal(weft__worth(NULL, &app, &one_move, 4, 101 * S).ask_again_ns, 102 * S);
    assert_int_equal(weft__worth(NULL, &app, &one_move, 4, 101 * S).verdict,
                     WEFT_VERDICT_BACKING_OFF);
    app.plan_failures = 3;
    assert_int_equal(weft__worth(NULL, &app, &one_move, 4, 101 * S).ask_again_ns, 108 * S);
    app.plan_failures = UINT32_MAX;
    assert_int_equal(weft__worth(NULL, &app, &one_move, 4, 101 * S).ask_again_ns, 160 * S);
    assert_int_equal(weft__worth(NULL, &app, &one_move, 4, 160 * S).verdict, WEFT_VERDICT_GO);
}

static void one_plan_at_a_time_and_only_better_ones(void **state)
{
    (void)state;
    struct weft_worth_app app = {.started_ns = 100 * S, .plan_active = true};
    struct weft_plan nothing = {.now = {1, 0}, .then = {1, 0}};
    assert_int_equal(weft__worth(NULL, &app, &one_move, 4, 200 * S).verdict,
                     WEFT_VERDICT_PLAN_ACTIVE);
    assert_int_equal(weft__worth(NULL, &app, &nothing, 4, 200 * S).verdict,
                     WEFT_VERDICT_NOT_BETTER);
}

static void verdicts_have_names(void **state)
{
    (void)state;
    for (int i = WEFT_VERDICT_GO; i <= WEFT_VERDICT_TOO_DEAR; i++)
        assert_string_not_equal(weft__verdict_name((enum weft_verdict)i), "?");
    assert_string_equal(weft__verdict_name((enum weft_verdict)77), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_rank_that_has_run_for_seconds_is_worth_moving),
        cmocka_unit_test(a_huge_rank_of_a_short_app_is_not),
        cmocka_unit_test(an_app_that_is_expected_to_be_over_is_left_alone),
        cmocka_unit_test(an_app_rests_after_its_start_and_after_a_plan),
        cmocka_unit_test(failed_plans_back_off_longer_each_time_up_to_a_limit),
        cmocka_unit_test(one_plan_at_a_time_and_only_better_ones),
        cmocka_unit_test(verdicts_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
