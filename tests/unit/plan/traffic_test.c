/* Rates of what ranks exchange: they come from reports, fade, stay bounded and lose nothing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "plan/traffic.h"
#include "weft/error.h"

#define S 1000000000ull
#define START (100 * S)

static void report(struct weft_traffic *traffic, uint32_t rank,
                   const struct weft_traffic_news *news, size_t n, uint64_t now)
{
    struct weft_traffic_report one = {.rank = rank, .news = news, .n = n, .covered_ns = S};
    assert_int_equal(weft__traffic_add(traffic, &one, now), WEFT_OK);
}

static bool near(double value, double wanted)
{
    return fabs(value - wanted) <= 0.06 * wanted;
}

static void a_steady_flow_shows_its_rate_from_the_first_report_on(void **state)
{
    (void)state;
    struct weft_traffic traffic;
    struct weft_traffic_pair pairs[4];
    size_t n;
    assert_int_equal(weft__traffic_init(&traffic, 4), WEFT_OK);
    for (uint64_t second = 1; second <= 60; second++) {
        struct weft_traffic_news news = {.peer = 2, .sent_bytes = 5000, .sent = 10};
        report(&traffic, 1, &news, 1, START + second * S);
        assert_int_equal(weft__traffic_heaviest(&traffic, START + second * S, 4, pairs, &n),
                         WEFT_OK);
        assert_int_equal(n, 1);
        assert_true(pairs[0].source == 1 && pairs[0].dest == 2);
        assert_true(near(pairs[0].bytes, 5000) && near(pairs[0].messages, 10));
    }
    weft__traffic_fini(&traffic);
}

static void a_pair_that_falls_silent_is_forgotten(void **state)
{
    (void)state;
    struct weft_traffic traffic;
    struct weft_traffic_pair pairs[4];
    size_t n;
    assert_int_equal(weft__traffic_init(&traffic, 4), WEFT_OK);
    for (uint64_t second = 1; second <= 60; second++) {
        struct weft_traffic_news news = {.peer = 2, .sent_bytes = 5000, .sent = 10};
        report(&traffic, 1, &news, 1, START + second * S);
    }
    uint64_t then = START + 60 * S + WEFT_TRAFFIC_FADE_NS;
    assert_int_equal(weft__traffic_heaviest(&traffic, then, 4, pairs, &n), WEFT_OK);
    assert_int_equal(n, 1);
    assert_true(near(pairs[0].bytes, 5000 / 2.718));
    then = START + 400 * S;
    assert_int_equal(weft__traffic_heaviest(&traffic, then, 4, pairs, &n), WEFT_OK);
    assert_int_equal(n, 0);
    weft__traffic_fini(&traffic);
}

static void what_the_sender_and_the_puller_count_is_one_pair(void **state)
{
    (void)state;
    struct weft_traffic traffic;
    struct weft_traffic_pair pairs[8];
    size_t n;
    assert_int_equal(weft__traffic_init(&traffic, 4), WEFT_OK);
    struct weft_traffic_news sent = {.peer = 3, .sent_bytes = 100, .sent = 1};
    struct weft_traffic_news got = {.peer = 0, .got_bytes = 900, .got = 1, .sent_bytes = 7};
    report(&traffic, 0, &sent, 1, START);
    report(&traffic, 3, &got, 1, START);
    assert_int_equal(weft__traffic_heaviest(&traffic, START, 8, pairs, &n), WEFT_OK);
    assert_int_equal(n, 2);
    assert_true(pairs[0].source == 0 && pairs[0].dest == 3 && pairs[1].source == 3);
    assert_true(near(pairs[0].bytes, 1000) && near(pairs[0].messages, 2));
    assert_true(near(pairs[1].bytes, 7));
    weft__traffic_fini(&traffic);
}

static void the_heaviest_are_picked_and_the_rest_is_summed_up(void **state)
{
    (void)state;
    struct weft_traffic_news news[] = {
        {.peer = 1, .sent_bytes = 10, .sent = 1},
        {.peer = 2, .sent_bytes = 1000000, .sent = 1},
        {.peer = 3, .got_bytes = 2000000, .got = 1},
        {.peer = 4, .sent_bytes = 20, .sent = 2},
    };
    struct weft_traffic_rest rest;
    assert_int_equal(weft__traffic_pick(news, 4, 2, &rest), 2);
    assert_true(news[0].peer == 3 && news[1].peer == 2);
    assert_true(rest.bytes == 30 && rest.messages == 3);
    assert_int_equal(weft__traffic_pick(news, 2, 2, &rest), 2);
    assert_true(rest.bytes == 0 && rest.messages == 0);
}

static double sum(const struct weft_traffic_row *row)
{
    double bytes = row->rest_bytes;
    for (uint32_t i = 0; i < row->n; i++)
        bytes += row->entries[i].to_bytes + row->entries[i].from_bytes;
    return bytes;
}

static void a_row_is_bounded_keeps_the_heaviest_and_loses_no_byte(void **state)
{
    (void)state;
    enum { RANKS = 300 };
    struct weft_traffic traffic;
    assert_int_equal(weft__traffic_init(&traffic, RANKS), WEFT_OK);
    double told = 0;
    for (uint32_t peer = 1; peer < RANKS; peer++) {
        struct weft_traffic_news news = {.peer = peer, .sent_bytes = peer * 1000};
        report(&traffic, 0, &news, 1, START);
        told += peer * 1000.0;
    }
    const struct weft_traffic_row *row = &traffic.rows[0];
    assert_int_equal(row->n, WEFT_TRAFFIC_PEERS_MAX);
    for (uint32_t i = 0; i < row->n; i++)
        assert_true(row->entries[i].peer >= RANKS - WEFT_TRAFFIC_PEERS_MAX);
    assert_true(fabs(sum(row) - told) < 1e-3 * told);
    weft__traffic_fini(&traffic);
}

static void the_number_of_peers_is_bounded_by_the_size_of_the_app(void **state)
{
    (void)state;
    assert_int_equal(weft__traffic_peers_max(2), 64);
    assert_int_equal(weft__traffic_peers_max(4096), 64);
    assert_int_equal(weft__traffic_peers_max(8192), 32);
    assert_int_equal(weft__traffic_peers_max(65536), 8);
}

static void ranks_that_are_not_there_are_refused_and_change_nothing(void **state)
{
    (void)state;
    struct weft_traffic traffic;
    assert_int_equal(weft__traffic_init(&traffic, 4), WEFT_OK);
    struct weft_traffic_news news[] = {{.peer = 1, .sent_bytes = 5}, {.peer = 4, .sent_bytes = 5}};
    struct weft_traffic_report of_peer = {.rank = 0, .news = news, .n = 2};
    struct weft_traffic_report of_rank = {.rank = 4, .news = news, .n = 1};
    assert_int_equal(weft__traffic_add(&traffic, &of_peer, START), WEFT_EINVAL);
    assert_int_equal(weft__traffic_add(&traffic, &of_rank, START), WEFT_EINVAL);
    assert_int_equal(traffic.rows[0].n, 0);
    assert_int_equal(traffic.since_ns, 0);
    weft__traffic_fini(&traffic);
}

/* ---- the graph ---- */

static void graph_of(const struct weft_traffic *traffic, const uint32_t *ranks, uint32_t n,
                     struct weft_graph *graph)
{
    struct weft_traffic_placed placed = {.ranks = ranks, .n = n, .cost = {1.0, 1000.0}};
    assert_int_equal(weft__traffic_graph(traffic, &placed, START, graph), WEFT_OK);
}

static void the_graph_weighs_bytes_and_messages_of_ranks_that_are_left(void **state)
{
    (void)state;
    static const uint32_t left[] = {0, 2, 3};
    struct weft_traffic traffic;
    struct weft_graph graph;
    assert_int_equal(weft__traffic_init(&traffic, 4), WEFT_OK);
    struct weft_traffic_news of_0[] = {{.peer = 1, .sent_bytes = 1 << 20},
                                       {.peer = 3, .sent_bytes = 50000, .sent = 50}};
    struct weft_traffic_news of_3 = {.peer = 0, .got_bytes = 100000, .got = 100};
    report(&traffic, 0, of_0, 2, START);
    report(&traffic, 3, &of_3, 1, START);
    graph_of(&traffic, left, 3, &graph);
    assert_int_equal(graph.n, 3);
    assert_true(near((double)weft__graph_weight(&graph, 0, 2), 300000));
    assert_int_equal(weft__graph_weight(&graph, 0, 2), weft__graph_weight(&graph, 2, 0));
    assert_int_equal(weft__graph_weight(&graph, 0, 1), 0);
    assert_true(near(graph.message_share, 0.5));
    weft__graph_fini(&graph);
    weft__traffic_fini(&traffic);
}

/* All-to-all in a world too large to name all peers: no pair weighs more than another. */
static void an_even_exchange_stays_even_where_not_all_peers_are_named(void **state)
{
    (void)state;
    enum { RANKS = 200 };
    struct weft_traffic traffic;
    struct weft_graph graph;
    uint32_t ranks[RANKS];
    struct weft_traffic_news news[RANKS];
    assert_int_equal(weft__traffic_init(&traffic, RANKS), WEFT_OK);
    for (uint32_t rank = 0; rank < RANKS; rank++) {
        struct weft_traffic_rest rest;
        size_t n = 0;
        ranks[rank] = rank;
        for (uint32_t peer = 0; peer < RANKS; peer++)
            if (peer != rank)
                news[n++] = (struct weft_traffic_news){.peer = peer, .sent_bytes = 100000};
        n = weft__traffic_pick(news, n, weft__traffic_peers_max(RANKS), &rest);
        struct weft_traffic_report one = {
            .rank = rank, .news = news, .n = n, .rest = rest, .covered_ns = S};
        assert_int_equal(weft__traffic_add(&traffic, &one, START), WEFT_OK);
    }
    graph_of(&traffic, ranks, RANKS, &graph);
    for (uint32_t a = 0; a < RANKS; a += 7)
        for (uint32_t b = 0; b < RANKS; b++)
            if (a != b)
                assert_true(near((double)weft__graph_weight(&graph, a, b), 200000));
    weft__graph_fini(&graph);
    weft__traffic_fini(&traffic);
}

static void what_crosses_hosts_is_the_sum_over_pairs(void **state)
{
    (void)state;
    enum { N = 9, HOSTS = 3 };
    unsigned seed = 5;
    for (int round = 0; round < 50; round++) {
        struct weft_graph_pair pairs[20];
        struct weft_graph graph;
        uint32_t host_of[N];
        uint64_t wanted = 0, weight;
        for (int i = 0; i < 20; i++) {
            uint32_t a = (uint32_t)rand_r(&seed) % N,
                     b = (a + 1 + (uint32_t)rand_r(&seed) % (N - 1)) % N;
            pairs[i] = (struct weft_graph_pair){a, b, (uint64_t)rand_r(&seed) % 100};
        }
        assert_int_equal(weft__graph_init(&graph, N, pairs, 20), WEFT_OK);
        for (uint32_t r = 0; r < N; r++) {
            host_of[r] = (uint32_t)rand_r(&seed) % HOSTS;
            graph.base[r] = (uint64_t)rand_r(&seed) % 10;
        }
        for (int i = 0; i < 20; i++)
            wanted += host_of[pairs[i].a] != host_of[pairs[i].b] ? pairs[i].weight : 0;
        for (uint32_t a = 0; a < N; a++)
            for (uint32_t b = 0; b < a; b++)
                wanted += host_of[a] != host_of[b] ? graph.base[a] + graph.base[b] : 0;
        assert_int_equal(weft__graph_cross(&graph, host_of, HOSTS, &weight), WEFT_OK);
        assert_int_equal(weight, wanted);
        weft__graph_fini(&graph);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_steady_flow_shows_its_rate_from_the_first_report_on),
        cmocka_unit_test(a_pair_that_falls_silent_is_forgotten),
        cmocka_unit_test(what_the_sender_and_the_puller_count_is_one_pair),
        cmocka_unit_test(the_heaviest_are_picked_and_the_rest_is_summed_up),
        cmocka_unit_test(a_row_is_bounded_keeps_the_heaviest_and_loses_no_byte),
        cmocka_unit_test(the_number_of_peers_is_bounded_by_the_size_of_the_app),
        cmocka_unit_test(ranks_that_are_not_there_are_refused_and_change_nothing),
        cmocka_unit_test(the_graph_weighs_bytes_and_messages_of_ranks_that_are_left),
        cmocka_unit_test(an_even_exchange_stays_even_where_not_all_peers_are_named),
        cmocka_unit_test(what_crosses_hosts_is_the_sum_over_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
