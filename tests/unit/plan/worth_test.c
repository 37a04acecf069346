#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
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

/* Half a second of communication per second stops to cross hosts. */
static struct weft_plan by_traffic(uint64_t now, uint64_t then)
{
    return (struct weft_plan){.moves_n = 2,
                              .traffic_known = true,
                              .by_traffic = true,
                              .now = {.hosts = 2, .cross_pairs = 16, .traffic = now},
                              .then = {.hosts = 2, .cross_pairs = 16, .traffic = then}};
}

static void traffic_that_stops_to_cross_is_a_gain_and_pairs_are_none_then(void **state)
{
    (void)state;
    struct weft_worth_app app = {.started_ns = 100 * S, .traffic_since_ns = 100 * S};
    struct weft_plan plan = by_traffic(S / 2, 0);
    struct weft_worth worth = weft__worth(NULL, &app, &plan, 8, 104 * S);
    assert_int_equal(worth.verdict, WEFT_VERDICT_GO);
    assert_int_equal(worth.gain_ns, 2 * S); /* of bytes: both hosts wait for all of it */
    plan.message_share = 1.0;
    assert_int_equal(weft__worth(NULL, &app, &plan, 8, 104 * S).gain_ns, S / 2);
    plan.then.traffic = plan.now.traffic;
    plan.then.cross_pairs = 0;
    assert_int_equal(weft__worth(NULL, &app, &plan, 8, 104 * S).gain_ns, 0);
    plan = by_traffic(100 * S, 0);
    assert_true(weft__worth(NULL, &app, &plan, 8, 104 * S).gain_ns < 4 * S);
}

static void traffic_alone_waits_until_its_rates_have_settled(void **state)
{
    (void)state;
    struct weft_worth_app app = {.started_ns = 100 * S, .traffic_since_ns = 110 * S};
    struct weft_plan plan = by_traffic(S / 2, 0);
    struct weft_worth worth = weft__worth(NULL, &app, &plan, 8, 111 * S);
    assert_int_equal(worth.verdict, WEFT_VERDICT_TOO_EARLY);
    assert_int_equal(worth.ask_again_ns, 112 * S);
    assert_int_equal(weft__worth(NULL, &app, &plan, 8, 112 * S).verdict, WEFT_VERDICT_GO);
    plan.by_traffic = false; /* a plan with another reason does not */
    assert_int_equal(weft__worth(NULL, &app, &plan, 8, 111 * S).verdict, WEFT_VERDICT_GO);
}

static void little_less_traffic_is_no_reason_and_more_is_wanted_after_each_plan(void **state)
{
    (void)state;
    struct weft_worth_app app = {.started_ns = 1 * S, .traffic_since_ns = 1 * S};
    struct weft_plan plan = by_traffic(1000 * S / 1000, 850 * S / 1000);
    assert_int_equal(weft__worth(NULL, &app, &plan, 8, 600 * S).verdict, WEFT_VERDICT_TOO_CLOSE);
    plan.then.traffic = 750 * S / 1000;
    assert_int_equal(weft__worth(NULL, &app, &plan, 8, 600 * S).verdict, WEFT_VERDICT_GO);
    app.traffic_plans = 1;
    assert_int_equal(weft__worth(NULL, &app, &plan, 8, 600 * S).verdict, WEFT_VERDICT_TOO_CLOSE);
    app.traffic_plans = UINT32_MAX;
    plan.then.traffic = S / 20;
    assert_int_equal(weft__worth(NULL, &app, &plan, 8, 600 * S).verdict, WEFT_VERDICT_GO);
}

/* What a move has to save for the search is what makes a plan pay in the end. */
static void a_plan_whose_moves_save_their_price_is_not_too_dear(void **state)
{
    (void)state;
    unsigned seed = 3;
    for (int i = 0; i < 1000; i++) {
        struct weft_worth_app app = {.started_ns = 100 * S,
                                     .bytes_per_rank = (uint64_t)rand_r(&seed) % (1u << 30)};
        uint64_t now = (110 + (uint64_t)rand_r(&seed) % 1000) * S;
        struct weft_worth_spread spread = {.ranks = 2 + (size_t)rand_r(&seed) % 100,
                                           .hosts = 2,
                                           .message_share = (double)rand_r(&seed) / RAND_MAX};
        uint64_t price = weft__worth_move_cost(NULL, &app, &spread, now);
        struct weft_plan plan = by_traffic(2 * price + 2, 0);
        plan.message_share = spread.message_share;
        enum weft_verdict verdict = weft__worth(NULL, &app, &plan, spread.ranks, now).verdict;
        /* unless it would have to save more than all of the time */
        if (verdict != WEFT_VERDICT_GO)
            assert_true((double)price * spread.message_share > 1e8 || price > S / 4);
        plan.now.traffic = price; /* half of it */
        assert_int_equal(weft__worth(NULL, &app, &plan, spread.ranks, now).verdict,
                         WEFT_VERDICT_TOO_DEAR);
    }
}

static void verdicts_have_names(void **state)
{
    (void)state;
    for (int i = WEFT_VERDICT_GO; i <= WEFT_VERDICT_TOO_CLOSE; i++)
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
        cmocka_unit_test(traffic_that_stops_to_cross_is_a_gain_and_pairs_are_none_then),
        cmocka_unit_test(traffic_alone_waits_until_its_rates_have_settled),
        cmocka_unit_test(little_less_traffic_is_no_reason_and_more_is_wanted_after_each_plan),
        cmocka_unit_test(a_plan_whose_moves_save_their_price_is_not_too_dear),
        cmocka_unit_test(verdicts_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
