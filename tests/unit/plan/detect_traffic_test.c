/* Detection that knows what the ranks exchange. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rounds.h"

/* Pairs as letters of ranks: "ae" is rank 0 with rank 4; each exchanges 100. */
static void talk(struct weft_graph *graph, const struct round *r, const char *pairs)
{
    struct weft_graph_pair list[RANKS_MAX];
    size_t n = 0;
    for (; pairs[0] != '\0'; pairs += pairs[2] == ' ' ? 3 : 2)
        list[n++] =
            (struct weft_graph_pair){(uint32_t)(pairs[0] - 'a'), (uint32_t)(pairs[1] - 'a'), 100};
    assert_int_equal(weft__graph_init(graph, (uint32_t)r->ask.ranks, list, n), WEFT_OK);
}

/* What comes of it, under a policy; leaving: hosts that are about to go. */
static void plan(struct round *r, const char *pairs, enum weft_policy policy, const char *leaving)
{
    struct weft_graph graph;
    r->ask.policy = policy;
    talk(&graph, r, pairs);
    r->ask.traffic = &graph;
    for (; *leaving != '\0'; leaving++)
        r->hosts[*leaving - 'a'].leaving = true;
    assert_int_equal(detect(r), WEFT_OK);
    weft__graph_fini(&graph);
}

static void check(struct round *r, const char *wanted)
{
    char after[RANKS_MAX + 1];
    apply(r, after);
    assert_string_equal(after, wanted);
}

static void split_pairs_share_hosts_after_as_few_moves_as_it_takes(void **state)
{
    (void)state;
    struct round r;
    set_up(&r, "66", "44", "aaaabbbb");
    plan(&r, "ae bf cg dh", WEFT_POLICY_BIN_PACK, "");
    assert_int_equal(r.plan.moves_n, 4);
    assert_true(r.plan.by_traffic);
    assert_int_equal(r.plan.now.traffic, 400);
    assert_int_equal(r.plan.then.traffic, 0);
    assert_int_equal(r.plan.then.hosts, 2);
}

static void where_nothing_crosses_more_pairs_on_a_host_are_no_reason_to_move(void **state)
{
    (void)state;
    struct round r;
    set_up(&r, "33", "22", "aabb");
    assert_int_equal(detect(&r), WEFT_OK);
    assert_int_equal(r.plan.moves_n, 1); /* by the number of pairs */
    set_up(&r, "33", "22", "aabb");
    plan(&r, "ab cd", WEFT_POLICY_BIN_PACK, "");
    assert_int_equal(r.plan.moves_n, 0);
    assert_memory_equal(&r.plan.now, &r.plan.then, sizeof(r.plan.now));
}

static void fewer_hosts_are_a_reason_still_and_peers_go_together(void **state)
{
    (void)state;
    struct round r;
    set_up(&r, "332", "211", "aabc");
    plan(&r, "ad bc", WEFT_POLICY_BIN_PACK, "");
    assert_false(r.plan.by_traffic);
    assert_int_equal(r.plan.then.hosts, 2);
    assert_true(r.plan.then.traffic <= 100);
}

static void under_spot_traffic_moves_nobody(void **state)
{
    (void)state;
    struct round r;
    set_up(&r, "44", "22", "aabb");
    plan(&r, "ac bd", WEFT_POLICY_SPOT, "");
    assert_int_equal(r.plan.moves_n, 0);
}

static void empty_hosts_frees_its_hosts_and_then_minds_the_traffic(void **state)
{
    (void)state;
    struct round r;
    set_up(&r, "44", "22", "aabb");
    plan(&r, "ac", WEFT_POLICY_EMPTY_HOSTS, "");
    assert_int_equal(r.plan.then.unused, 1);
    assert_int_equal(r.plan.then.traffic, 0);
    set_up(&r, "33", "22", "aabb"); /* no host can become free */
    plan(&r, "ac bd", WEFT_POLICY_EMPTY_HOSTS, "");
    assert_true(r.plan.by_traffic);
    assert_int_equal(r.plan.then.traffic, 0);
}

static void who_must_leave_goes_to_his_peers_and_nobody_else_moves(void **state)
{
    (void)state;
    struct round r;
    set_up(&r, "442", "222", "aabbcc");
    plan(&r, "ae cf ac", WEFT_POLICY_BIN_PACK, "c");
    assert_true(r.plan.must && !r.plan.by_traffic);
    check(&r, "aabbab");
    assert_int_equal(r.plan.then.traffic, 100); /* a and c: they were not to move */
}

static void a_move_has_to_save_what_it_costs(void **state)
{
    (void)state;
    struct round r;
    set_up(&r, "66", "44", "aaaabbbb");
    r.ask.move_cost = 101;
    plan(&r, "ae bf cg dh", WEFT_POLICY_BIN_PACK, "");
    assert_int_equal(r.plan.moves_n, 0);
}

static void traffic_of_another_number_of_ranks_is_refused(void **state)
{
    (void)state;
    struct round r;
    struct weft_graph graph;
    set_up(&r, "44", "22", "aab");
    talk(&graph, &r, "ab");
    set_up(&r, "44", "22", "aabb");
    r.ask.traffic = &graph;
    assert_int_equal(detect(&r), WEFT_EINVAL);
    weft__graph_fini(&graph);
}

/* ---- random rounds ---- */

static void random_traffic(struct weft_graph *graph, uint32_t ranks, unsigned *seed)
{
    struct weft_graph_pair pairs[3 * RANKS_MAX];
    size_t n = (size_t)rand_r(seed) % (3 * ranks);
    for (size_t i = 0; i < n; i++) {
        uint32_t a = (uint32_t)rand_r(seed) % ranks;
        uint32_t b = (a + 1 + (uint32_t)rand_r(seed) % (ranks - 1)) % ranks;
        pairs[i] = (struct weft_graph_pair){a, b, (uint64_t)rand_r(seed) % 1000};
    }
    assert_int_equal(weft__graph_init(graph, ranks, pairs, n), WEFT_OK);
}

static void check_slots(const struct round *r)
{
    uint32_t came[HOSTS_MAX] = {0};
    for (size_t i = 0; i < r->plan.moves_n; i++) {
        assert_int_equal(r->moves[i].from, r->host_of[r->moves[i].rank]);
        assert_true(r->moves[i].from != r->moves[i].to);
        came[r->moves[i].to]++;
        for (size_t k = 0; k < i; k++)
            assert_true(r->moves[i].rank != r->moves[k].rank);
    }
    for (size_t h = 0; h < r->hosts_n; h++)
        assert_true(came[h] <= weft__plan_host_free(&r->hosts[h]));
}

static void carry_out(struct round *r)
{
    for (size_t i = 0; i < r->plan.moves_n; i++) {
        r->hosts[r->moves[i].from].used--;
        r->hosts[r->moves[i].to].used++;
        r->host_of[r->moves[i].rank] = r->moves[i].to;
    }
}

static void plans_fit_are_better_and_come_to_an_end(void **state)
{
    (void)state;
    unsigned seed = 11, planned = 0;
    for (int i = 0; i < 2000; i++) {
        struct round r;
        struct weft_graph graph;
        random_round(&r, &seed, HOSTS_MAX, RANKS_MAX);
        r.ask.policy = (enum weft_policy)(rand_r(&seed) % 4);
        for (size_t h = 0; h < r.hosts_n; h++)
            r.hosts[h].leaving = rand_r(&seed) % 20 == 0;
        random_traffic(&graph, (uint32_t)r.ask.ranks, &seed);
        r.ask.traffic = &graph;
        unsigned rounds = 0;
        for (;;) {
            assert_int_equal(detect(&r), WEFT_OK);
            if (r.plan.moves_n == 0)
                break;
            check_slots(&r);
            assert_true(!r.plan.by_traffic || r.plan.then.traffic < r.plan.now.traffic);
            assert_true(!r.plan.by_traffic || r.plan.then.hosts <= r.plan.now.hosts);
            carry_out(&r);
            planned++;
            assert_true(++rounds < 20);
        }
        weft__graph_fini(&graph);
    }
    assert_true(planned > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(split_pairs_share_hosts_after_as_few_moves_as_it_takes),
        cmocka_unit_test(where_nothing_crosses_more_pairs_on_a_host_are_no_reason_to_move),
        cmocka_unit_test(fewer_hosts_are_a_reason_still_and_peers_go_together),
        cmocka_unit_test(under_spot_traffic_moves_nobody),
        cmocka_unit_test(empty_hosts_frees_its_hosts_and_then_minds_the_traffic),
        cmocka_unit_test(who_must_leave_goes_to_his_peers_and_nobody_else_moves),
        cmocka_unit_test(a_move_has_to_save_what_it_costs),
        cmocka_unit_test(traffic_of_another_number_of_ranks_is_refused),
        cmocka_unit_test(plans_fit_are_better_and_come_to_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
