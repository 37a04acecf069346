/* Assignments: near the best of all placements, within bounds, with no more moves than it takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plan/assign.h"
#include "weft/error.h"

#define RANKS_MAX 300
#define HOSTS_MAX 8

struct scene {
    struct weft_graph graph;
    uint32_t n, k;
    uint32_t host_of[RANKS_MAX], left[RANKS_MAX], out[RANKS_MAX];
    uint32_t target[HOSTS_MAX], most[HOSTS_MAX], free_slots[HOSTS_MAX];
    struct weft_assign ask;
};

static struct weft_graph_pair *no_pairs(void)
{
    static struct weft_graph_pair none[1];
    return none;
}

/* host_of as text, a is the first host; every host may get `most` and has so many free slots. */
static void set_up(struct scene *s, const char *now, uint32_t k, uint32_t most)
{
    memset(s, 0, sizeof(*s));
    s->n = (uint32_t)strlen(now);
    s->k = k;
    for (uint32_t i = 0; i < s->n; i++) {
        s->host_of[i] = (uint32_t)(now[i] - 'a');
        s->target[s->host_of[i]]++;
    }
    for (uint32_t h = 0; h < k; h++) {
        s->most[h] = most;
        s->free_slots[h] = most > s->target[h] ? most - s->target[h] : 0;
    }
    assert_int_equal(weft__graph_init(&s->graph, s->n, no_pairs(), 0), WEFT_OK);
    s->ask = (struct weft_assign){.graph = &s->graph,
                                  .host_of = s->host_of,
                                  .hosts_n = k,
                                  .target = s->target,
                                  .most = s->most,
                                  .free = s->free_slots};
}

static void talk(struct scene *s, const struct weft_graph_pair *pairs, size_t n)
{
    weft__graph_fini(&s->graph);
    assert_int_equal(weft__graph_init(&s->graph, s->n, pairs, n), WEFT_OK);
}

static uint64_t cross(const struct scene *s, const uint32_t *host_of)
{
    uint64_t weight;
    assert_int_equal(weft__graph_cross(&s->graph, host_of, s->k, &weight), WEFT_OK);
    return weight;
}

static uint32_t moves(const struct scene *s, const uint32_t *host_of)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n; i++)
        n += host_of[i] != s->host_of[i];
    return n;
}

/* No host has more than it may, nor more new ones than it has free slots. */
static bool fits(const struct scene *s, const uint32_t *host_of)
{
    uint32_t count[HOSTS_MAX] = {0}, came[HOSTS_MAX] = {0};
    for (uint32_t i = 0; i < s->n; i++) {
        count[host_of[i]]++;
        came[host_of[i]] += host_of[i] != s->host_of[i];
    }
    for (uint32_t h = 0; h < s->k; h++)
        if (count[h] > s->most[h] || came[h] > s->free_slots[h])
            return false;
    return true;
}

static void run(struct scene *s)
{
    assert_int_equal(weft__assign(&s->ask, s->out), WEFT_OK);
    assert_true(fits(s, s->out));
}

static void check(struct scene *s, const char *wanted)
{
    run(s);
    for (uint32_t i = 0; i < s->n; i++)
        assert_int_equal(s->out[i], (uint32_t)(wanted[i] - 'a'));
}

static void pairs_that_are_split_come_together(void **state)
{
    (void)state;
    static const struct weft_graph_pair pairs[] = {{0, 4, 9}, {1, 5, 9}, {2, 6, 9}, {3, 7, 9}};
    struct scene s;
    set_up(&s, "aaaabbbb", 2, 6);
    talk(&s, pairs, 4);
    run(&s);
    assert_int_equal(cross(&s, s.out), 0);
    assert_int_equal(moves(&s, s.out), 4);
    weft__graph_fini(&s.graph);
}

static void nobody_moves_where_nothing_is_exchanged_or_nothing_crosses(void **state)
{
    (void)state;
    static const struct weft_graph_pair pairs[] = {{0, 1, 9}, {2, 3, 9}};
    struct scene s;
    set_up(&s, "aabb", 2, 4);
    check(&s, "aabb");
    talk(&s, pairs, 2);
    check(&s, "aabb");
    weft__graph_fini(&s.graph);
}

static void a_rank_goes_where_its_peers_are_and_not_for_less_than_a_move_costs(void **state)
{
    (void)state;
    static const struct weft_graph_pair pairs[] = {{0, 1, 9}, {1, 2, 9}, {0, 2, 9}, {2, 3, 10}};
    struct scene s;
    set_up(&s, "aaab", 2, 4);
    talk(&s, pairs, 4);
    check(&s, "aaaa");
    s.ask.move_cost = 11;
    check(&s, "aaab");
    weft__graph_fini(&s.graph);
}

static void without_free_slots_nobody_moves(void **state)
{
    (void)state;
    static const struct weft_graph_pair pairs[] = {{0, 2, 9}, {1, 3, 9}};
    struct scene s;
    set_up(&s, "aabb", 2, 2);
    talk(&s, pairs, 2);
    check(&s, "aabb");
    s.free_slots[0] = 1; /* one side only: nobody could come in exchange */
    check(&s, "aabb");
    s.free_slots[1] = 1;
    run(&s);
    assert_int_equal(cross(&s, s.out), 0);
    weft__graph_fini(&s.graph);
}

static void a_rank_does_not_go_back_to_the_host_that_it_has_left(void **state)
{
    (void)state;
    static const struct weft_graph_pair pairs[] = {{0, 1, 9}, {1, 2, 30}};
    struct scene s;
    set_up(&s, "aab", 2, 3);
    talk(&s, pairs, 2);
    check(&s, "aaa");
    for (uint32_t i = 0; i < s.n; i++)
        s.left[i] = WEFT_ASSIGN_NO_HOST;
    s.left[2] = 0;
    s.ask.left = s.left;
    run(&s);
    assert_int_equal(s.out[2], 1);
    weft__graph_fini(&s.graph);
}

static void many_ranks_do_not_go_back_together_either(void **state)
{
    (void)state;
    struct scene s;
    char now[RANKS_MAX];
    for (uint32_t n = 8; n < RANKS_MAX; n *= 3) {
        memset(now, 'a', n);
        now[n] = '\0';
        set_up(&s, now, 3, n);
        for (uint32_t i = 0; i < n; i++)
            s.left[i] = 1;
        s.ask.left = s.left;
        s.target[0] = 0;
        s.target[1] = n;
        check(&s, now);
        weft__graph_fini(&s.graph);
    }
}

static void only_ranks_of_hosts_with_too_many_move_when_told_so(void **state)
{
    (void)state;
    static const struct weft_graph_pair pairs[] = {{0, 2, 50}, {1, 3, 9}};
    struct scene s;
    set_up(&s, "abcc", 3, 4); /* c goes */
    talk(&s, pairs, 2);
    s.target[0] = 2;
    s.target[1] = 2;
    s.target[2] = s.most[2] = 0;
    s.ask.only_excess = true;
    check(&s, "abab");
    weft__graph_fini(&s.graph);
}

/* ---- against all placements ---- */

static void random_scene(struct scene *s, unsigned *seed, uint32_t n, uint32_t k)
{
    struct weft_graph_pair pairs[3 * RANKS_MAX];
    size_t pairs_n = (size_t)rand_r(seed) % (3 * n);
    char now[RANKS_MAX + 1] = "";
    for (uint32_t i = 0; i < n; i++)
        now[i] = (char)('a' + rand_r(seed) % (int)k);
    set_up(s, now, k, 0);
    for (uint32_t h = 0; h < k; h++) {
        s->free_slots[h] = (uint32_t)rand_r(seed) % (1 + n / 2);
        s->most[h] = s->target[h] + s->free_slots[h];
    }
    for (size_t i = 0; i < pairs_n; i++) {
        uint32_t a = (uint32_t)rand_r(seed) % n;
        uint32_t b = (a + 1 + (uint32_t)rand_r(seed) % (n - 1)) % n;
        pairs[i] = (struct weft_graph_pair){a, b, 1 + (uint64_t)rand_r(seed) % 100};
    }
    talk(s, pairs, pairs_n);
    for (uint32_t i = 0; i < n && rand_r(seed) % 3 == 0; i++)
        s->graph.base[i] = (uint64_t)rand_r(seed) % 20;
}

static uint64_t best_of_all(const struct scene *s)
{
    uint32_t host_of[RANKS_MAX] = {0};
    uint64_t best = UINT64_MAX;
    for (;;) {
        if (fits(s, host_of) && cross(s, host_of) < best)
            best = cross(s, host_of);
        uint32_t i = 0;
        while (i < s->n && ++host_of[i] == s->k)
            host_of[i++] = 0;
        if (i == s->n)
            return best;
    }
}

static void small_cases_come_close_to_the_best_of_all_placements(void **state)
{
    (void)state;
    unsigned seed = 1;
    uint64_t found = 0, best = 0, now = 0;
    for (int round = 0; round < 300; round++) {
        struct scene s;
        random_scene(&s, &seed, 2 + (uint32_t)rand_r(&seed) % 6, 2 + (uint32_t)rand_r(&seed) % 2);
        run(&s);
        uint64_t cost = cross(&s, s.out), least = best_of_all(&s);
        assert_true(cost >= least && cost <= cross(&s, s.host_of));
        found += cost;
        best += least;
        now += cross(&s, s.host_of);
        weft__graph_fini(&s.graph);
    }
    print_message("traffic that crosses: now %llu, found %llu, best %llu (%.4f)\n",
                  (unsigned long long)now, (unsigned long long)found, (unsigned long long)best,
                  (double)found / (double)best);
    assert_true(found * 100 <= best * 103);
}

static void every_move_pays_its_price(void **state)
{
    (void)state;
    unsigned seed = 7;
    for (int round = 0; round < 300; round++) {
        struct scene s;
        random_scene(&s, &seed, 2 + (uint32_t)rand_r(&seed) % 20, 2 + (uint32_t)rand_r(&seed) % 4);
        s.ask.move_cost = (uint64_t)rand_r(&seed) % 60;
        run(&s);
        assert_true(cross(&s, s.out) + s.ask.move_cost * moves(&s, s.out) <= cross(&s, s.host_of));
        weft__graph_fini(&s.graph);
    }
}

static void the_same_question_has_the_same_answer_and_an_answer_is_final(void **state)
{
    (void)state;
    unsigned seed = 3;
    for (int round = 0; round < 100; round++) {
        struct scene s;
        uint32_t again[RANKS_MAX];
        random_scene(&s, &seed, 2 + (uint32_t)rand_r(&seed) % 150, 2 + (uint32_t)rand_r(&seed) % 6);
        run(&s);
        memcpy(again, s.out, sizeof(again));
        run(&s);
        assert_memory_equal(again, s.out, s.n * sizeof(*again));
        weft__graph_fini(&s.graph);
    }
}

/* A ring of 256 ranks dealt out to 8 hosts like cards. */
static void a_large_world_gets_much_better_in_bounded_time(void **state)
{
    (void)state;
    enum { N = 256 };
    struct weft_graph_pair pairs[N];
    struct scene s;
    char now[N + 1] = "";
    for (uint32_t i = 0; i < N; i++) {
        now[i] = (char)('a' + i % 8);
        pairs[i] = (struct weft_graph_pair){i, (i + 1) % N, 10};
    }
    set_up(&s, now, 8, 64);
    talk(&s, pairs, N);
    run(&s);
    print_message("a ring of %d on 8 hosts: %llu crossed, %llu do\n", N,
                  (unsigned long long)cross(&s, s.host_of), (unsigned long long)cross(&s, s.out));
    assert_true(cross(&s, s.out) * 4 < cross(&s, s.host_of));
    weft__graph_fini(&s.graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_that_are_split_come_together),
        cmocka_unit_test(nobody_moves_where_nothing_is_exchanged_or_nothing_crosses),
        cmocka_unit_test(a_rank_goes_where_its_peers_are_and_not_for_less_than_a_move_costs),
        cmocka_unit_test(without_free_slots_nobody_moves),
        cmocka_unit_test(a_rank_does_not_go_back_to_the_host_that_it_has_left),
        cmocka_unit_test(many_ranks_do_not_go_back_together_either),
        cmocka_unit_test(only_ranks_of_hosts_with_too_many_move_when_told_so),
        cmocka_unit_test(small_cases_come_close_to_the_best_of_all_placements),
        cmocka_unit_test(every_move_pays_its_price),
        cmocka_unit_test(the_same_question_has_the_same_answer_and_an_answer_is_final),
        cmocka_unit_test(a_large_world_gets_much_better_in_bounded_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
