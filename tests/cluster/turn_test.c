/* Hosts let so many ranks come and go at once, whatever apps they are of. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ask.h"
#include "cluster.h"
#include "stage.h"

enum { APPS = 2, RANKS = 2 };

/* Two apps on home; rank 0 of the first one stands on its way to a. */
struct scene {
    struct cluster_app app[APPS];
    struct stage stage[APPS];
    struct child *move[APPS];
    uint64_t dest; /* the stopped process on a */
};

static void scene_open(struct cluster *cluster, struct scene *scene)
{
    struct cluster_host *home = cluster_host(cluster, "home", 8);
    (void)cluster_host(cluster, "a", 8);
    for (int i = 0; i < APPS; i++) {
        stage_open(&scene->stage[i], cluster);
        scene->app[i] =
            cluster_run(cluster, home, "-n", "2", "--hint", "FORCE_LOCAL", cluster_program("chain"),
                        scene->stage[i].path, "0", "1", "1000", NULL);
        stage_runs(cluster, &scene->stage[i], RANKS, 1);
    }
    scene->move[0] = stage_hold_move(cluster, &scene->stage[0], &scene->app[0], 0, "a");
    scene->dest = stage_process_on(cluster, &cluster->hosts[1]);
    stage_signal(cluster, scene->dest, SIGSTOP);
    atomic_store(&scene->stage[0].board->hold, 0);
    scene->move[1] = cluster_start(cluster, "weft", "migrate", "--at", home->address,
                                   scene->app[1].hex, "0", "a", NULL);
}

/* The first one goes on; both have moved in the end, and nothing counts as moving any more. */
static void scene_close(struct cluster *cluster, struct scene *scene)
{
    stage_signal(cluster, scene->dest, SIGCONT);
    for (int i = 0; i < APPS; i++) {
        cluster_check(cluster, child_wait(scene->move[i], CLUSTER_MS) == 0);
        cluster_check(cluster, ask_rank_is(cluster, &scene->app[i], 0, "a"));
    }
    for (int i = 0; i < APPS; i++)
        stage_move(cluster, &scene->app[i], 0, "home");
    for (int i = 0; i < APPS; i++) {
        stage_finish(cluster, &scene->stage[i], &scene->app[i]);
        stage_close(&scene->stage[i]);
    }
    stage_all_free(cluster);
}

static int one_at_once(void **state)
{
    int err = cluster_open(state); /* which clears settings */
    (void)setenv("WEFT_MOVES_MAX", "1", 1);
    return err;
}

static int one_at_once_over(void **state)
{
    (void)unsetenv("WEFT_MOVES_MAX");
    return cluster_close(state);
}

static void a_rank_of_another_app_waits_for_its_turn(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene;
    struct ask_app now;
    scene_open(cluster, &scene);
    cluster_await(cluster, CLUSTER_MS, ask_app(cluster, &scene.app[1], &now) && now.pending == 1);
    stage_runs(cluster, &scene.stage[1], RANKS, 200);
    cluster_check(cluster, !child_over(scene.move[0]) && !child_over(scene.move[1]));
    cluster_check(cluster, ask_app(cluster, &scene.app[1], &now) && now.moves_n == 0);
    scene_close(cluster, &scene);
}

static void two_ranks_move_at_once_where_two_may(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene;
    scene_open(cluster, &scene);
    cluster_check(cluster, child_wait(scene.move[1], CLUSTER_MS) == 0);
    cluster_check(cluster, !child_over(scene.move[0]));
    scene_close(cluster, &scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_rank_of_another_app_waits_for_its_turn, one_at_once,
                                        one_at_once_over),
        cmocka_unit_test_setup_teardown(two_ranks_move_at_once_where_two_may, cluster_open,
                                        cluster_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
