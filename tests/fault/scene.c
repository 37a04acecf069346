/* How a test gets to a certain step of a move: see programs/board.h. */
#include "scene.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STANDS_LOOKS = 60 }; /* naps without a step */

static void open_with(struct scene *scene, struct cluster *cluster, unsigned on_a)
{
    char ranks[8];
    memset(scene, 0, sizeof(*scene));
    scene->cluster = cluster;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    (void)setenv("WEFT_DEAD_MS", "5000", 1);
#else
    (void)unsetenv("WEFT_DEAD_MS"); /* what is promised, with the default */
#endif
    scene->head = cluster_host(cluster, "head", 0);
    scene->home = cluster_host(cluster, "home", 1);
    scene->a = cluster_host(cluster, "a", on_a);
    scene->b = cluster_host(cluster, "b", 1);
    stage_open(&scene->stage, cluster);
    snprintf(ranks, sizeof(ranks), "%u", 1 + on_a);
    scene->app = cluster_run(cluster, scene->home, "-n", ranks, cluster_program("chain"),
                             scene->stage.path, "0", "4", "1000", NULL);
    stage_runs(cluster, &scene->stage, 1 + on_a, 3);
    cluster_check(cluster, ask_rank_is(cluster, &scene->app, 0, "home"));
    cluster_check(cluster, ask_rank_is(cluster, &scene->app, SCENE_MOVER, "a"));
}

void scene_open(struct scene *scene, struct cluster *cluster)
{
    open_with(scene, cluster, 1);
}

void scene_open_with_third(struct scene *scene, struct cluster *cluster)
{
    open_with(scene, cluster, 2);
    cluster_check(cluster, ask_rank_is(cluster, &scene->app, 2, "a"));
}

void scene_ends_well(struct scene *scene)
{
    stage_runs(scene->cluster, &scene->stage, SCENE_RANKS, 20);
    stage_finish(scene->cluster, &scene->stage, &scene->app);
    stage_all_free(scene->cluster);
    stage_close(&scene->stage);
}

void scene_ends(struct scene *scene, int code, const char *words)
{
    struct cluster *cluster = scene->cluster;
    int is = child_wait(scene->app.run, SCENE_FATAL_MS);
    if (is != code)
        cluster_fail(cluster, "weft run: exit code %d instead of %d", is, code);
    if (!child_complained(scene->app.run, words))
        cluster_fail(cluster, "weft run does not say \"%s\"", words);
    stage_all_free(cluster);
    stage_close(&scene->stage);
}

struct child *scene_asked(struct scene *scene)
{
    return stage_hold_move(scene->cluster, &scene->stage, &scene->app, SCENE_MOVER, "b");
}

uint64_t scene_process(struct scene *scene, const struct cluster_host *host)
{
    uint64_t pid = stage_process_on(scene->cluster, host);
    if (pid == 0)
        cluster_fail(scene->cluster, "no process of the app on host %s", host->name);
    return pid;
}

struct child *scene_stands(struct scene *scene, uint64_t *dest_out)
{
    struct child *move = scene_asked(scene);
    const struct board_rank *mover = &scene->stage.board->ranks[SCENE_MOVER];
    *dest_out = scene_process(scene, scene->b);
    stage_signal(scene->cluster, *dest_out, SIGSTOP);
    atomic_store(&scene->stage.board->hold, 0);
    struct child_patience patience = child_patience(CLUSTER_MS);
    uint64_t steps = atomic_load(&mover->steps);
    for (unsigned still = 0; still < STANDS_LOOKS; still++) {
        child_nap();
        if (child_over(move) || child_patience_over(&patience))
            cluster_fail(scene->cluster, "the mover does not stand at its migration point");
        if (atomic_load(&mover->steps) != steps)
            still = 0;
        steps = atomic_load(&mover->steps);
    }
    return move;
}

void scene_stayed(struct scene *scene, struct child *move)
{
    struct cluster *cluster = scene->cluster;
    int code = child_wait(move, 2 * CLUSTER_MS);
    if (code != 1 || !child_said(move, "aborted"))
        cluster_fail(cluster, "weft migrate: exit code %d instead of 1 and \"aborted\"", code);
    cluster_check(cluster, ask_rank_is(cluster, &scene->app, SCENE_MOVER, "a"));
    stage_runs(cluster, &scene->stage, SCENE_RANKS, 20);
    cluster_check(cluster, atomic_load(&scene->stage.board->ranks[SCENE_MOVER].entered) == 1);
}

void scene_moved(struct scene *scene, struct child *move)
{
    struct cluster *cluster = scene->cluster;
    int code = child_wait(move, 2 * CLUSTER_MS);
    if (code != 0 || !child_said(move, "moved"))
        cluster_fail(cluster, "weft migrate: exit code %d instead of 0 and \"moved\"", code);
    cluster_check(cluster, ask_rank_is(cluster, &scene->app, SCENE_MOVER, "b"));
    stage_runs(cluster, &scene->stage, SCENE_RANKS, 20);
    cluster_check(cluster, atomic_load(&scene->stage.board->ranks[SCENE_MOVER].entered) == 2);
}
