/* Two ranks flood a third while it moves there and back: nothing is lost, doubled or out of order.
 * The receiver checks every message (programs/flood.c) and ends the app when one is wrong. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ask.h"
#include "cluster.h"
#include "stage.h"

enum { SINK = 2, MOVES = 20, MESSAGES = 50, ROUNDS = 5 };

static uint64_t received(const struct stage *stage)
{
    return atomic_load(&stage->board->ranks[SINK].received);
}

/* What the senders say they sent is what the receiver says it got. */
static void check_counts(struct cluster *cluster, const struct child *run)
{
    unsigned long long sent[2] = {0, 0}, got[2] = {1, 1}, bytes = 0, entered = 0;
    char *text = child_read(run->out);
    const char *at = strstr(text, "flood sink");
    const char *first = strstr(text, "flood sender 0"), *second = strstr(text, "flood sender 1");
    cluster_check(cluster,
                  first != NULL && sscanf(first, "flood sender 0 sent %llu", &sent[0]) == 1);
    cluster_check(cluster,
                  second != NULL && sscanf(second, "flood sender 1 sent %llu", &sent[1]) == 1);
    cluster_check(cluster,
                  at != NULL &&
                      sscanf(at, "flood sink received %llu and %llu, %llu bytes, entered %llu",
                             &got[0], &got[1], &bytes, &entered) == 4);
    free(text);
    fprintf(stderr, "%llu and %llu messages, %llu MiB, entered %llu times\n", got[0], got[1],
            bytes >> 20, entered);
    cluster_check(cluster, got[0] == sent[0] && got[1] == sent[1]);
}

/* home, a and b run ranks 0, 1 and 2; c is free. */
struct flood {
    struct cluster *cluster;
    struct stage stage;
    struct cluster_app app;
};

static void flood_open(struct flood *flood, struct cluster *cluster)
{
    flood->cluster = cluster;
    cluster_three(cluster, 1);
    (void)cluster_host(cluster, "c", 1);
    stage_open(&flood->stage, cluster);
    flood->app = cluster_run(cluster, &cluster->hosts[0], "-n", "3", cluster_program("flood"),
                             flood->stage.path, NULL);
    cluster_await_while(cluster, CLUSTER_MS, received(&flood->stage) > MESSAGES,
                        !child_over(flood->app.run));
    cluster_check(cluster, ask_rank_is(cluster, &flood->app, SINK, "b"));
}

static void flood_goes_on(struct flood *flood)
{
    uint64_t before = received(&flood->stage);
    cluster_await_while(flood->cluster, CLUSTER_MS, received(&flood->stage) > before + MESSAGES,
                        !child_over(flood->app.run));
}

static void flood_close(struct flood *flood)
{
    stage_finish(flood->cluster, &flood->stage, &flood->app);
    check_counts(flood->cluster, flood->app.run);
    stage_all_free(flood->cluster);
    stage_close(&flood->stage);
}

static void flood_moves(struct cluster *cluster, int moves)
{
    struct flood flood;
    struct ask_app now;
    flood_open(&flood, cluster);
    for (int i = 0; i < moves; i++) {
        stage_move(cluster, &flood.app, SINK, i % 2 == 0 ? "c" : "b");
        flood_goes_on(&flood);
    }
    cluster_check(cluster, ask_app(cluster, &flood.app, &now));
    fprintf(stderr, "%u moves by %s, %llu packets forwarded\n", now.moved, now.last.transport,
            (unsigned long long)now.forwarded);
    cluster_check(cluster, now.moved == (unsigned)moves);
    cluster_check(cluster, now.forwarded > 0);
    cluster_check(cluster, now.ranks[SINK].incarnation == (unsigned)moves + 1);
    flood_close(&flood);
}

static void a_flood_follows_a_rank_that_moves_twenty_times(void **state)
{
    flood_moves(*state, MOVES);
}

static void a_flood_follows_over_zmq(void **state)
{
    (void)setenv("WEFT_DATA", "zmq", 1);
    flood_moves(*state, MOVES / 2);
}

static void senders_move_as_well_as_the_receiver(void **state)
{
    struct cluster *cluster = *state;
    struct flood flood;
    struct ask_app now;
    char free_host[16] = "c";
    flood_open(&flood, cluster);
    for (int i = 0; i < MOVES; i++) { /* whoever moves leaves its host to the next one */
        unsigned rank = (unsigned)i % 3;
        cluster_check(cluster, ask_app(cluster, &flood.app, &now));
        stage_move(cluster, &flood.app, (int)rank, free_host);
        snprintf(free_host, sizeof(free_host), "%s", now.ranks[rank].host);
        flood_goes_on(&flood);
    }
    cluster_check(cluster, ask_app(cluster, &flood.app, &now) && now.moved == MOVES);
    flood_close(&flood);
}

/* ---- with failures ---- */

static struct child *migrate(struct flood *flood, const char *to)
{
    return cluster_start(flood->cluster, "weft", "migrate", "--at", flood->app.home->address,
                         flood->app.hex, "2", to, NULL);
}

static void moves_that_fail_cost_no_message(void **state)
{
    struct cluster *cluster = *state;
    struct flood flood;
    struct ask_app now;
    flood_open(&flood, cluster);
    const struct cluster_host *c = &cluster->hosts[3];
    for (int i = 0; i < ROUNDS; i++) {
        struct child *move = stage_hold_move(cluster, &flood.stage, &flood.app, SINK, "c");
        uint64_t dest = stage_process_on(cluster, c);
        stage_signal(cluster, dest, SIGSTOP);
        atomic_store(&flood.stage.board->hold, 0);
        uint64_t seen; /* until nothing arrives any more: the rank stands */
        do {
            seen = received(&flood.stage);
            for (int k = 0; k < 10; k++)
                child_nap();
        } while (received(&flood.stage) != seen);
        stage_signal(cluster, dest, SIGKILL);
        cluster_check(cluster, child_wait(move, CLUSTER_MS) == 1);
        flood_goes_on(&flood);
        cluster_await(cluster, CLUSTER_MS, ask_used(cluster, c) == 0);
    }
    cluster_check(cluster, ask_app(cluster, &flood.app, &now) && now.moved == 0);
    stage_move(cluster, &flood.app, SINK, "c");
    flood_goes_on(&flood);
    flood_close(&flood);
}

/* The old process dies with what it was to forward: the senders still have it. */
static void a_source_that_dies_while_it_forwards_costs_no_message(void **state)
{
    struct cluster *cluster = *state;
    struct flood flood;
    flood_open(&flood, cluster);
    const struct cluster_host *hosts[] = {&cluster->hosts[2], &cluster->hosts[3]};
    const struct board_rank *sink = &flood.stage.board->ranks[SINK];
    for (int i = 0; i < ROUNDS; i++) {
        const struct cluster_host *from = hosts[i % 2], *to = hosts[1 - i % 2];
        uint64_t entered = atomic_load(&sink->entered);
        uint64_t source = stage_process_on(cluster, from);
        cluster_check(cluster, cluster_is_marked(cluster, source));
        struct child *move = migrate(&flood, to->name);
        uint64_t until = child_now_ms() + CLUSTER_MS;
        while (atomic_load(&sink->entered) == entered && child_now_ms() < until)
            ; /* the next moment counts */
        stage_signal(cluster, source, SIGKILL);
        cluster_check(cluster, child_wait(move, CLUSTER_MS) == 0);
        flood_goes_on(&flood);
        cluster_await(cluster, CLUSTER_MS, ask_used(cluster, from) == 0);
    }
    flood_close(&flood);
}

/* The senders stand still while the old process dies with all that it held: what arrives is what
 * their windows keep. */
static void what_only_the_source_held_is_sent_again_by_those_who_sent_it(void **state)
{
    struct cluster *cluster = *state;
    struct flood flood;
    flood_open(&flood, cluster);
    const struct board_rank *sink = &flood.stage.board->ranks[SINK];
    uint64_t senders[] = {stage_process_on(cluster, &cluster->hosts[0]),
                          stage_process_on(cluster, &cluster->hosts[1])};
    uint64_t source = stage_process_on(cluster, &cluster->hosts[2]), seen;
    struct child *move = stage_hold_move(cluster, &flood.stage, &flood.app, SINK, "c");
    uint64_t dest = stage_process_on(cluster, &cluster->hosts[3]);
    stage_signal(cluster, dest, SIGSTOP);
    atomic_store(&flood.stage.board->hold, 0);
    do { /* the rank stands, and the senders fill their windows */
        seen = received(&flood.stage);
        for (int k = 0; k < 20; k++)
            child_nap();
    } while (received(&flood.stage) != seen);
    for (int i = 0; i < 2; i++)
        stage_signal(cluster, senders[i], SIGSTOP);
    stage_signal(cluster, dest, SIGCONT);
    cluster_await_while(cluster, CLUSTER_MS, atomic_load(&sink->entered) == 2, !child_over(move));
    stage_signal(cluster, source, SIGKILL);
    for (int i = 0; i < 2; i++)
        stage_signal(cluster, senders[i], SIGCONT);
    cluster_check(cluster, child_wait(move, CLUSTER_MS) == 0);
    flood_goes_on(&flood);
    flood_close(&flood);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest moves[] = {
        CASE(a_flood_follows_a_rank_that_moves_twenty_times),
        CASE(a_flood_follows_over_zmq),
        CASE(senders_move_as_well_as_the_receiver),
    };
    const struct CMUnitTest failures[] = {
        CASE(moves_that_fail_cost_no_message),
        CASE(a_source_that_dies_while_it_forwards_costs_no_message),
        CASE(what_only_the_source_held_is_sent_again_by_those_who_sent_it),
    };
    bool all = argc < 2, first = !all && argv[1][0] == 'm', second = !all && argv[1][0] == 'f';
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    int failed = all || first ? cmocka_run_group_tests(moves, NULL, NULL) : 0;
    return failed + (all || second ? cmocka_run_group_tests(failures, NULL, NULL) : 0);
}
