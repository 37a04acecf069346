/* kill -9 of anything at any moment of a move, from a seed. Whatever is hit: the app either goes on
 * and comes to the right result, or ends with a reason within its deadline; slots are free again
 * and nothing is left. kill_test [SEEDS [FIRST]]
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "scene.h"

enum { DELAY_MAX_MS = 150, VERDICT_MS = 25000 };

enum victim { DEST_PROCESS, SOURCE_PROCESS, DEST_HOST, SOURCE_HOST, OTHER_PROCESS, HEAD, VICTIMS };
static const char *const victims[VICTIMS] = {"the destination's process", "the source's process",
                                             "the destination host",      "the source host",
                                             "the other process",         "the head"};

static long seeds = 6, first_seed = 1;
static uint64_t dice_state;

static uint64_t dice(uint64_t below)
{
    dice_state ^= dice_state << 13;
    dice_state ^= dice_state >> 7;
    dice_state ^= dice_state << 17;
    return (dice_state >> 20) % below;
}

static void wait_us(uint64_t us)
{
    struct timespec time = {.tv_sec = (time_t)(us / 1000000),
                            .tv_nsec = (long)(us % 1000000) * 1000};
    (void)nanosleep(&time, NULL);
}

/* A process that is not there (yet, or any more) is no victim. */
static bool kill_process(struct scene *scene, const struct cluster_host *host)
{
    uint64_t pid = stage_process_on(scene->cluster, host);
    if (pid == 0)
        return false;
    stage_signal(scene->cluster, pid, SIGKILL);
    return true;
}

static bool strike(struct scene *scene, enum victim victim, struct cluster_host *source,
                   struct cluster_host *dest)
{
    switch (victim) {
    case DEST_PROCESS:
        return kill_process(scene, dest);
    case SOURCE_PROCESS:
        return kill_process(scene, source);
    case OTHER_PROCESS:
        return kill_process(scene, scene->home);
    case DEST_HOST:
        cluster_host_kill(dest);
        return true;
    case SOURCE_HOST:
        cluster_host_kill(source);
        return true;
    default:
        cluster_host_kill(scene->head);
        cluster_host_again(scene->cluster, scene->head);
        return true;
    }
}

/* Steps go on, or weft run has ended. */
static bool settled(struct scene *scene, uint64_t from)
{
    return child_over(scene->app.run) ||
           (atomic_load(&scene->stage.board->ranks[0].steps) > from + 20 &&
            atomic_load(&scene->stage.board->ranks[1].steps) > from + 20);
}

static void check_digest(struct scene *scene)
{
    char steps[32] = "";
    const char *digest = stage_digest(scene->app.run);
    cluster_check(scene->cluster, sscanf(digest, "chain steps %31s", steps) == 1);
    struct stage stage;
    stage_open(&stage, scene->cluster);
    struct child *still =
        cluster_weft(scene->cluster, "run", "--hosts", "1", "--slots", "2", "-n", "2",
                     cluster_program("chain"), stage.path, steps, "4", "0", NULL);
    if (still->code != 0 || strcmp(digest, stage_digest(still)) != 0)
        cluster_fail(scene->cluster, "after the fault: %s, without: %s", digest,
                     stage_digest(still));
    stage_close(&stage);
}

static void verdict(struct scene *scene)
{
    struct cluster *cluster = scene->cluster;
    uint64_t a = atomic_load(&scene->stage.board->ranks[0].steps);
    uint64_t b = atomic_load(&scene->stage.board->ranks[1].steps);
    cluster_await(cluster, VERDICT_MS, settled(scene, a > b ? a : b));
    if (!child_over(scene->app.run))
        atomic_store(&scene->stage.board->stop, 1);
    int code = child_wait(scene->app.run, VERDICT_MS);
    fprintf(stderr, "    weft run: %d\n", code);
    if (code == 0)
        check_digest(scene);
    else if ((code != 1 && code != 3) || !child_complained(scene->app.run, "weft run: the app "))
        cluster_fail(cluster, "weft run ends with %d, or without a reason", code);
    stage_all_free(cluster);
}

static void one_seed(struct cluster *cluster, long seed)
{
    struct scene scene;
    dice_state = (uint64_t)seed * 0x9e3779b97f4a7c15u;
    for (int i = 0; i < 8; i++)
        (void)dice(2);
    scene_open(&scene, cluster);
    uint64_t moves_before = dice(3);
    for (uint64_t i = 0; i < moves_before; i++)
        stage_move(cluster, &scene.app, SCENE_MOVER, i % 2 == 0 ? "b" : "a");
    struct cluster_host *source = moves_before % 2 == 0 ? scene.a : scene.b;
    struct cluster_host *dest = moves_before % 2 == 0 ? scene.b : scene.a;
    enum victim victim = (enum victim)dice(VICTIMS);
    uint64_t delay_us = dice(2) * dice(DELAY_MAX_MS * 1000) + dice(30000);
    fprintf(stderr, "seed %ld: %s dies %llu us into a move\n", seed, victims[victim],
            (unsigned long long)delay_us);
    struct child *move = cluster_start(cluster, "weft", "migrate", "--at", scene.home->address,
                                       scene.app.hex, "1", dest->name, NULL);
    wait_us(delay_us);
    if (!strike(&scene, victim, source, dest))
        fprintf(stderr, "    it is not there\n");
    verdict(&scene);
    cluster_check(cluster, child_wait(move, VERDICT_MS) >= 0);
    stage_close(&scene.stage);
}

static void whatever_dies_in_a_move_the_app_goes_on_or_ends_with_a_reason(void **state)
{
    (void)state;
    for (long seed = first_seed; seed < first_seed + seeds; seed++) {
        void *cluster = NULL;
        assert_int_equal(cluster_open(&cluster), 0);
        one_seed(cluster, seed);
        assert_int_equal(cluster_close(&cluster), 0);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_dies_in_a_move_the_app_goes_on_or_ends_with_a_reason),
    };
    if (argc > 1)
        seeds = strtol(argv[1], NULL, 10);
    if (argc > 2)
        first_seed = strtol(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
