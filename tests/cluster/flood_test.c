/* Two ranks flood a third while it moves there and back: nothing is lost, doubled or out of order.
 * The receiver checks every message (programs/flood.c) and ends the app when one is wrong. */
#include <setjmp.h>
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

enum { SINK = 2, MOVES = 20, MESSAGES = 50 };

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

static void flood(struct cluster *cluster, int moves)
{
    struct stage stage;
    struct ask_app now;
    cluster_three(cluster, 1);
    struct cluster_host *extra = cluster_host(cluster, "c", 1);
    stage_open(&stage, cluster);
    struct cluster_app app = cluster_run(cluster, &cluster->hosts[0], "-n", "3",
                                         cluster_program("flood"), stage.path, NULL);
    cluster_await_while(cluster, CLUSTER_MS, received(&stage) > MESSAGES, !child_over(app.run));
    cluster_check(cluster, ask_app(cluster, &app, &now));
    char away[16], back[16];
    snprintf(back, sizeof(back), "%s", now.ranks[SINK].host);
    snprintf(away, sizeof(away), "%s", extra->name);
    for (unsigned h = 0; h < cluster->hosts_n; h++) {
        bool used = false;
        for (unsigned r = 0; r < 3; r++)
            used |= strcmp(now.ranks[r].host, cluster->hosts[h].name) == 0;
        if (!used)
            snprintf(away, sizeof(away), "%s", cluster->hosts[h].name);
    }
    for (int i = 0; i < moves; i++) {
        uint64_t before = received(&stage);
        stage_move(cluster, &app, SINK, i % 2 == 0 ? away : back);
        cluster_await_while(cluster, CLUSTER_MS, received(&stage) > before + MESSAGES,
                            !child_over(app.run));
    }
    cluster_check(cluster, ask_app(cluster, &app, &now));
    fprintf(stderr, "%u moves, %llu packets forwarded\n", now.moved,
            (unsigned long long)now.forwarded);
    cluster_check(cluster, now.moved == (unsigned)moves);
    cluster_check(cluster, now.forwarded > 0);
    cluster_check(cluster, now.ranks[SINK].incarnation == (unsigned)moves + 1);
    stage_finish(cluster, &stage, &app);
    check_counts(cluster, app.run);
    stage_all_free(cluster);
    stage_close(&stage);
}

static void a_flood_follows_a_rank_that_moves_twenty_times(void **state)
{
    flood(*state, MOVES);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(a_flood_follows_a_rank_that_moves_twenty_times),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
