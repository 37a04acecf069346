/* Ranks that are copied while they run: what they change meanwhile arrives as it is, and whoever
 * dies in the midst of it costs the move at most. */
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
#include "weft/error.h"

enum { RANKS = 4, MOVES = 24, FREEZES = 2 };

static struct cluster_app start(struct cluster *cluster, const char *end)
{
    cluster_three(cluster, RANKS);
    struct cluster_app app = cluster_run(cluster, &cluster->hosts[0], "-x", "WEFT_PRECOPY_ABOVE=0",
                                         "-n", "4", CELL_PROGRAMS "/pages", end, NULL);
    cluster_await_while(cluster, CLUSTER_MS, child_said(app.run, "ready"), !child_over(app.run));
    return app;
}

/* Each rank has found in its memory what it must hold, to the end. */
static void ends_well(struct cluster *cluster, struct cluster_app *app, const char *end)
{
    FILE *file = fopen(end, "w");
    cluster_check(cluster, file && fclose(file) == 0);
    cluster_check(cluster, child_wait(app->run, 3 * CLUSTER_MS) == 0);
    for (int rank = 0; rank < RANKS; rank++) {
        char words[32];
        snprintf(words, sizeof(words), "rank %d: right", rank);
        cluster_check(cluster, child_said(app->run, words));
    }
    stage_all_free(cluster);
}

static void memory_that_changes_while_it_is_copied_arrives(void **state)
{
    struct cluster *cluster = *state;
    const char *end = cluster_file(cluster, "end");
    struct cluster_app app = start(cluster, end);
    struct child_patience patience = child_patience(6 * CLUSTER_MS);
    unsigned copied = 0; /* a move may do without: a rank that does not run is frozen at once */
    for (unsigned turn = 0; copied < MOVES; turn++) {
        struct ask_move move = {.copied = 0};
        const char *to = cluster->hosts[(turn / RANKS + turn) % 3].name;
        cluster_check(cluster, !child_over(app.run) && !child_patience_over(&patience));
        if (ask_migrate(cluster, &app, (int)(turn % RANKS), to, &move) == WEFT_OK)
            copied += strcmp(move.outcome, "moved") == 0 && move.copied > 0;
    }
    ends_well(cluster, &app, end);
}

/* The same program, which is written to files and comes back, some of its memory closed. */
static void memory_that_is_protected_is_frozen_and_thawed(void **state)
{
    struct cluster *cluster = *state;
    const char *end = cluster_file(cluster, "end"), *folder = cluster_file(cluster, "frozen");
    (void)setenv("WEFT_SNAPSHOT_DIR", folder, 1);
    struct cluster_app app = start(cluster, end);
    const char *at = cluster->hosts[1].address;
    struct child_patience patience = child_patience(6 * CLUSTER_MS);
    for (unsigned n = 0; n < FREEZES;) {
        cluster_check(cluster, !child_over(app.run) && !child_patience_over(&patience));
        if (cluster_weft(cluster, "freeze", "--at", at, app.hex, NULL)->code != 0)
            continue; /* a rank is at a place where it cannot be moved */
        cluster_check(cluster, cluster_weft(cluster, "thaw", "--at", at, app.hex, NULL)->code == 0);
        n++;
    }
    ends_well(cluster, &app, end);
    (void)unsetenv("WEFT_SNAPSHOT_DIR");
    cluster_remove(folder);
}

/* ---- deaths in the midst of it ---- */

enum { TRIES = 4 };

/* Rank 1 on a, a move of it to b that copies, and b's process, stopped so that it goes on copying.
 */
struct copying {
    struct cluster_app app;
    struct child *move; /* weft migrate */
    uint64_t dest;
};

static bool is_stopped_in_time(struct cluster *cluster, struct copying *copying)
{
    struct ask_app now;
    cluster_check(cluster, ask_app(cluster, &copying->app, &now));
    unsigned before = now.moves_n;
    copying->move = cluster_start(cluster, "weft", "migrate", "--at", cluster->hosts[0].address,
                                  copying->app.hex, "1", "b", NULL);
    struct child_patience patience = child_patience(CLUSTER_MS);
    do {
        cluster_check(cluster, !child_patience_over(&patience));
        cluster_check(cluster, ask_app(cluster, &copying->app, &now));
    } while (!child_over(copying->move) && (now.moves_n == before || now.last.copied == 0));
    if (child_over(copying->move))
        return false;
    copying->dest = stage_process_on(cluster, &cluster->hosts[2]);
    stage_signal(cluster, copying->dest, SIGSTOP);
    if (!child_over(copying->move) && ask_rank_is(cluster, &copying->app, 1, "a"))
        return true;
    stage_signal(cluster, copying->dest, SIGCONT);
    return false;
}

/* Its memory of some hundred megabytes takes so many rounds that there is time; where a machine
 * stood still for longer the rank has arrived, goes back and is moved again. */
static struct copying copying_open(struct cluster *cluster)
{
    struct copying copying = {.dest = 0};
    cluster_three(cluster, 2);
    copying.app = cluster_run(cluster, &cluster->hosts[0], "-n", "2", "--place", "home:1,a:1",
                              CELL_PROGRAMS "/large", "512", NULL);
    cluster_await_while(cluster, CLUSTER_MS, child_said(copying.app.run, "ready"),
                        !child_over(copying.app.run));
    for (unsigned n = 0; !is_stopped_in_time(cluster, &copying); n++) {
        cluster_check(cluster, n < TRIES);
        if (child_wait(copying.move, CLUSTER_MS) == 0)
            stage_move(cluster, &copying.app, 1, "a");
    }
    return copying;
}

static void goes_on(struct cluster *cluster, struct copying *copying)
{
    cluster_check(cluster, child_wait(copying->move, CLUSTER_MS) == 1);
    cluster_check(cluster, ask_rank_is(cluster, &copying->app, 1, "a"));
    cluster_check(cluster, !child_over(copying->app.run));
}

static void a_destination_process_that_dies_costs_the_move(void **state)
{
    struct cluster *cluster = *state;
    struct copying copying = copying_open(cluster);
    stage_signal(cluster, copying.dest, SIGKILL);
    goes_on(cluster, &copying);
    stage_move(cluster, &copying.app, 1, "b");
    cluster_check(cluster, ask_kill(cluster, &copying.app) == WEFT_OK);
    stage_all_free(cluster);
}

static void a_destination_host_that_dies_costs_the_move(void **state)
{
    struct cluster *cluster = *state;
    struct copying copying = copying_open(cluster);
    cluster_host_kill(&cluster->hosts[2]);
    goes_on(cluster, &copying);
    stage_move(cluster, &copying.app, 1, "home");
    cluster_check(cluster, ask_kill(cluster, &copying.app) == WEFT_OK);
}

static void a_source_that_dies_ends_the_app_with_a_reason(void **state)
{
    struct cluster *cluster = *state;
    struct copying copying = copying_open(cluster);
    stage_signal(cluster, stage_process_on(cluster, &cluster->hosts[1]), SIGKILL);
    cluster_check(cluster, child_wait(copying.app.run, CLUSTER_MS) != 0);
    cluster_check(cluster, child_complained(copying.app.run, "rank 1 is lost in a move"));
    stage_all_free(cluster);
}

static void a_home_that_dies_ends_the_app_everywhere(void **state)
{
    struct cluster *cluster = *state;
    struct copying copying = copying_open(cluster);
    uint64_t source = stage_process_on(cluster, &cluster->hosts[1]);
    cluster_host_kill(&cluster->hosts[0]);
    cluster_await(cluster, CLUSTER_MS,
                  stage_parent_of(source) == 0 && stage_parent_of(copying.dest) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(memory_that_changes_while_it_is_copied_arrives,
                                        cluster_open, cluster_close),
        cmocka_unit_test_setup_teardown(memory_that_is_protected_is_frozen_and_thawed, cluster_open,
                                        cluster_close),
        cmocka_unit_test_setup_teardown(a_destination_process_that_dies_costs_the_move,
                                        cluster_open, cluster_close),
        cmocka_unit_test_setup_teardown(a_destination_host_that_dies_costs_the_move, cluster_open,
                                        cluster_close),
        cmocka_unit_test_setup_teardown(a_source_that_dies_ends_the_app_with_a_reason, cluster_open,
                                        cluster_close),
        cmocka_unit_test_setup_teardown(a_home_that_dies_ends_the_app_everywhere, cluster_open,
                                        cluster_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
