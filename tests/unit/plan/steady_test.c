/* Reports, rates, detection and worth together, over minutes of simulated time: a workload that
 * stays what it is comes to rest and is left alone, however noisy its reports are; one that changes
 * is followed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "plan/detect.h"
#include "plan/traffic.h"
#include "plan/worth.h"
#include "weft/error.h"

#define S WEFT_NS_PER_S
#define RANKS_MAX 24
#define HOSTS_MAX 4
#define START (1000 * S)

struct sim {
    unsigned seed;
    uint32_t ranks, hosts_n;
    double rate[RANKS_MAX][RANKS_MAX]; /* bytes per second that a rank sends to another */
    double noise;                      /* each report is off by up to this share */
    struct weft_plan_host hosts[HOSTS_MAX];
    uint32_t host_of[RANKS_MAX], left[RANKS_MAX], rank_list[RANKS_MAX];
    uint64_t left_ns[RANKS_MAX];
    struct weft_traffic traffic;
    struct weft_worth_app app;
    uint64_t plan_ns[4];
    unsigned moves;
    bool steady;
};

static double uniform(struct sim *sim)
{
    return (double)rand_r(&sim->seed) / RAND_MAX;
}

static void sim_init(struct sim *sim, unsigned seed, uint32_t ranks, uint32_t hosts)
{
    memset(sim, 0, sizeof(*sim));
    sim->seed = seed;
    sim->ranks = ranks;
    sim->hosts_n = hosts;
    sim->noise = 0.2;
    sim->steady = true;
    sim->app.started_ns = START;
    for (uint32_t h = 0; h < hosts; h++)
        sim->hosts[h].slots = ranks / hosts + 2;
    for (uint32_t r = 0; r < ranks; r++) {
        sim->rank_list[r] = r;
        sim->host_of[r] = r * hosts / ranks;
        sim->hosts[sim->host_of[r]].used++;
    }
    assert_int_equal(weft__traffic_init(&sim->traffic, ranks), WEFT_OK);
}

static void report(struct sim *sim, uint64_t now)
{
    for (uint32_t r = 0; r < sim->ranks; r++) {
        struct weft_traffic_news news[RANKS_MAX];
        size_t n = 0;
        for (uint32_t p = 0; p < sim->ranks; p++) {
            double bytes = sim->rate[r][p] * (1 + sim->noise * (2 * uniform(sim) - 1));
            if (sim->rate[r][p] > 0)
                news[n++] = (struct weft_traffic_news){
                    .peer = p, .sent_bytes = (uint64_t)bytes, .sent = (uint64_t)(bytes / 8192)};
        }
        struct weft_traffic_report one = {.rank = r, .news = news, .n = n, .covered_ns = S};
        assert_int_equal(weft__traffic_add(&sim->traffic, &one, now), WEFT_OK);
    }
}

static double crossing(const struct sim *sim)
{
    double sum = 0;
    for (uint32_t r = 0; r < sim->ranks; r++)
        for (uint32_t p = 0; p < sim->ranks; p++)
            sum += sim->host_of[r] != sim->host_of[p] ? sim->rate[r][p] : 0;
    return sum;
}

/* Each plan is an improvement in truth, not only by its noisy figures: so none is ever undone. */
static void carry_out(struct sim *sim, const struct weft_plan *plan, uint64_t now)
{
    double before = crossing(sim);
    for (size_t i = 0; i < plan->moves_n; i++) {
        const struct weft_plan_move *move = &plan->moves[i];
        sim->hosts[move->from].used--;
        sim->hosts[move->to].used++;
        sim->host_of[move->rank] = move->to;
        sim->left[move->rank] = move->from;
        sim->left_ns[move->rank] = now;
    }
    if (sim->steady && crossing(sim) >= before)
        fail_msg("a plan of %zu moves: %.0f bytes/s crossed, now %.0f", plan->moves_n, before,
                 crossing(sim));
    sim->moves += (unsigned)plan->moves_n;
    sim->app.plan_ended_ns = now;
    memmove(sim->plan_ns + 1, sim->plan_ns, 3 * sizeof(sim->plan_ns[0]));
    sim->plan_ns[0] = now;
}

static void check(struct sim *sim, uint64_t now)
{
    struct weft_roster roster;
    struct weft_graph graph;
    struct weft_plan_move moves[RANKS_MAX];
    struct weft_plan plan = {.moves = moves};
    uint32_t left[RANKS_MAX];
    struct weft_traffic_placed placed = {
        .ranks = sim->rank_list, .n = sim->ranks, .cost = {2.0, 10000.0}};
    assert_int_equal(weft__traffic_graph(&sim->traffic, &placed, now, &graph), WEFT_OK);
    struct weft_worth_spread spread = {
        .ranks = sim->ranks, .hosts = sim->hosts_n, .message_share = graph.message_share};
    sim->app.traffic_since_ns = sim->traffic.since_ns;
    sim->app.traffic_plans = 0;
    for (int i = 0; i < 4; i++)
        sim->app.traffic_plans += sim->plan_ns[i] != 0 && now - sim->plan_ns[i] < 60 * S;
    for (uint32_t r = 0; r < sim->ranks; r++) {
        bool lately = sim->left_ns[r] != 0 && now - sim->left_ns[r] < 60 * S;
        left[r] = lately ? sim->left[r] : UINT32_MAX;
    }
    assert_int_equal(weft__roster_init(&roster, sim->hosts, sim->hosts_n), WEFT_OK);
    struct weft_detect ask = {.roster = &roster,
                              .host_of = sim->host_of,
                              .ranks = sim->ranks,
                              .traffic = &graph,
                              .left = left,
                              .move_cost = weft__worth_move_cost(NULL, &sim->app, &spread, now)};
    assert_int_equal(weft__detect(&ask, &plan), WEFT_OK);
    struct weft_worth worth = weft__worth(NULL, &sim->app, &plan, sim->ranks, now);
    weft__roster_fini(&roster);
    weft__graph_fini(&graph);
    if (worth.verdict == WEFT_VERDICT_GO)
        carry_out(sim, &plan, now);
}

static void run(struct sim *sim, unsigned from_s, unsigned to_s)
{
    for (unsigned s = from_s; s < to_s; s++) {
        report(sim, START + s * S);
        check(sim, START + s * S + S / 2);
    }
}

static void random_rates(struct sim *sim)
{
    for (uint32_t r = 0; r < sim->ranks; r++)
        for (int i = 0; i < 4; i++) {
            uint32_t p = (r + 1 + (uint32_t)(uniform(sim) * (sim->ranks - 2))) % sim->ranks;
            sim->rate[r][p] = p == r ? 0 : 20e6 * uniform(sim);
        }
}

static void a_steady_workload_with_noise_comes_to_rest(void **state)
{
    (void)state;
    unsigned moved = 0;
    for (unsigned seed = 1; seed <= 12; seed++) {
        struct sim sim;
        sim_init(&sim, seed, 4 + seed % (RANKS_MAX - 3), 2 + seed % (HOSTS_MAX - 1));
        random_rates(&sim);
        sim.app.expect_ns = 7200 * S; /* else what does not pay now may pay later */
        double before = crossing(&sim);
        run(&sim, 1, 300);
        assert_true(crossing(&sim) <= before);
        unsigned settled = sim.moves;
        run(&sim, 300, 400);
        assert_int_equal(sim.moves, settled);
        moved += settled;
        weft__traffic_fini(&sim.traffic);
    }
    assert_true(moved > 12);
}

/* The worst case: a rank that talks with both hosts alike. */
static void a_rank_between_two_hosts_does_not_go_to_and_fro(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 40; seed++) {
        struct sim sim;
        sim_init(&sim, seed, 7, 2);
        for (uint32_t r = 0; r < 6; r++) {
            sim.rate[r][(r / 3) * 3 + (r + 1) % 3] = 100e6; /* two groups of three */
            sim.rate[6][r] = 20e6;
        }
        run(&sim, 1, 600);
        if (sim.moves > 1)
            fail_msg("seed %u: %u moves", seed, sim.moves);
        weft__traffic_fini(&sim.traffic);
    }
}

/* Every rank talks with one of the other host from now on. */
static void split_anew(struct sim *sim)
{
    uint32_t of[2][RANKS_MAX], n[2] = {0};
    memset(sim->rate, 0, sizeof(sim->rate));
    for (uint32_t r = 0; r < sim->ranks; r++)
        of[sim->host_of[r]][n[sim->host_of[r]]++] = r;
    assert_int_equal(n[0], n[1]);
    for (uint32_t i = 0; i < n[0]; i++)
        sim->rate[of[0][i]][of[1][i]] = sim->rate[of[1][i]][of[0][i]] = 30e6;
}

static void a_workload_that_changes_is_followed(void **state)
{
    (void)state;
    struct sim sim;
    sim_init(&sim, 1, 8, 2);
    for (uint32_t r = 0; r < 8; r++)
        sim.rate[r][(r + 4) % 8] = 30e6; /* with the rank half a world away */
    sim.steady = false;
    run(&sim, 1, 60);
    assert_true(crossing(&sim) < 1);
    unsigned moves = sim.moves;
    split_anew(&sim);
    assert_true(crossing(&sim) > 1);
    run(&sim, 120, 240);
    assert_true(crossing(&sim) < 1);
    print_message("%u moves, and %u after the change\n", moves, sim.moves - moves);
    assert_true(sim.moves > moves && sim.moves <= moves + 8);
    weft__traffic_fini(&sim.traffic);
}

static void what_is_exchanged_rarely_moves_nobody(void **state)
{
    (void)state;
    struct sim sim;
    sim_init(&sim, 1, 8, 2);
    for (uint32_t r = 0; r < 8; r++)
        sim.rate[r][(r + 4) % 8] = 1000; /* bytes per second */
    run(&sim, 1, 120);
    assert_int_equal(sim.moves, 0);
    weft__traffic_fini(&sim.traffic);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_steady_workload_with_noise_comes_to_rest),
        cmocka_unit_test(a_rank_between_two_hosts_does_not_go_to_and_fro),
        cmocka_unit_test(a_workload_that_changes_is_followed),
        cmocka_unit_test(what_is_exchanged_rarely_moves_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
