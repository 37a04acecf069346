/* Whatever is killed while an app is frozen or thawed, the app goes on, lies whole in the store, or
 * ends with a reason; and nothing is left of it: no process, no slot, no file.
 *
 * fault_freeze_test SEEDS [FIRST]: so many seeds. */
#include <dirent.h>
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

enum { VERDICT_MS = 60000, DELAY_MAX_MS = 700, FILES = SCENE_RANKS + 1 };

enum victim { HOME, HEAD, OTHER_HOST, HOME_PROCESS, OTHER_PROCESS, VICTIMS };
static const char *const victims[] = {"the home", "the head", "host a", "the home's process",
                                      "the process on a"};

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

static unsigned stored(const char *folder)
{
    DIR *dir = opendir(folder);
    unsigned n = 0;
    const struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        n += entry->d_name[0] != '.';
    if (dir != NULL)
        (void)closedir(dir);
    return n;
}

static void kill_process(struct scene *scene, const struct cluster_host *host)
{
    uint64_t pid = stage_process_on(scene->cluster, host);
    if (pid != 0)
        stage_signal(scene->cluster, pid, SIGKILL);
    else
        fprintf(stderr, "    it is not there\n");
}

static void strike(struct scene *scene, enum victim victim)
{
    struct cluster_host *host = victim == HOME   ? scene->home
                                : victim == HEAD ? scene->head
                                                 : scene->a;
    switch (victim) {
    case HOME_PROCESS:
        kill_process(scene, scene->home);
        break;
    case OTHER_PROCESS:
        kill_process(scene, scene->a);
        break;
    default:
        cluster_host_kill(host);
        if (victim != OTHER_HOST)
            cluster_host_again(scene->cluster, host);
    }
}

static uint64_t steps(const struct scene *scene)
{
    uint64_t a = atomic_load(&scene->stage.board->ranks[0].steps);
    uint64_t b = atomic_load(&scene->stage.board->ranks[1].steps);
    return a < b ? a : b;
}

static bool state_is(struct scene *scene, const char *state)
{
    return ask_state_is(scene->cluster, &scene->app, state);
}

/* It runs, lies in the store, or is no more: a home that was started again looks for it first. */
static bool settled(struct scene *scene, uint64_t from, const char *folder)
{
    struct ask_app app;
    return state_is(scene, "frozen") || state_is(scene, "ended") || steps(scene) > from + 20 ||
           (child_over(scene->app.run) && stored(folder) == 0 &&
            !ask_app(scene->cluster, &scene->app, &app));
}

/* With room for it a frozen app can be thawed, sooner or later: who died may have to be noticed
 * first, and what it held to come free. */
static void thaw(struct scene *scene)
{
    struct cluster *cluster = scene->cluster;
    struct child_patience patience = child_patience(VERDICT_MS);
    struct child *thawed;
    do {
        thawed = cluster_weft(cluster, "thaw", "--at", scene->home->address, scene->app.hex, NULL);
        child_nap();
    } while (thawed->code != 0 && !child_patience_over(&patience));
    cluster_check(cluster, thawed->code == 0);
}

static void finish(struct scene *scene, bool frozen)
{
    struct cluster *cluster = scene->cluster;
    uint64_t from = steps(scene);
    if (frozen)
        thaw(scene);
    if (!state_is(scene, "running"))
        return;
    cluster_await(cluster, VERDICT_MS, steps(scene) > from + 20 || state_is(scene, "ended"));
    atomic_store(&scene->stage.board->stop, 1);
    cluster_await(cluster, VERDICT_MS, state_is(scene, "ended"));
}

static void verdict(struct scene *scene, struct child *command, const char *folder)
{
    struct cluster *cluster = scene->cluster;
    cluster_check(cluster, child_wait(command, VERDICT_MS) >= 0);
    uint64_t from = steps(scene);
    cluster_await(cluster, VERDICT_MS, settled(scene, from, folder));
    bool frozen = state_is(scene, "frozen");
    fprintf(stderr, "    the command: %d, then it %s\n", command->code,
            frozen                       ? "is frozen"
            : state_is(scene, "running") ? "runs"
                                         : "has ended");
    if (frozen)
        cluster_check(cluster, stored(folder) == FILES);
    finish(scene, frozen);
    int code = child_wait(scene->app.run, VERDICT_MS);
    if (code < 0 || (code > 0 && !child_complained(scene->app.run, "weft run: the app ")))
        cluster_fail(cluster, "weft run ends with %d, or without a reason", code);
    stage_all_free(cluster);
    cluster_await(cluster, VERDICT_MS, stored(folder) == 0);
}

static void one_seed(struct cluster *cluster, long seed)
{
    struct scene scene;
    dice_state = (uint64_t)seed * 0x9e3779b97f4a7c15u;
    for (int i = 0; i < 8; i++)
        (void)dice(2);
    const char *folder = cluster_file(cluster, "frozen");
    (void)setenv("WEFT_SNAPSHOT_DIR", folder, 1);
    scene_open(&scene, cluster);
    bool thaws = dice(2) == 1;
    enum victim victim = (enum victim)dice(VICTIMS);
    uint64_t delay_us = dice(4) == 0 ? dice(20000) : dice(DELAY_MAX_MS * 1000);
    fprintf(stderr, "seed %ld: %s dies %llu us into a %s\n", seed, victims[victim],
            (unsigned long long)delay_us, thaws ? "thaw" : "freeze");
    if (thaws)
        cluster_check(cluster, cluster_weft(cluster, "freeze", "--at", scene.home->address,
                                            scene.app.hex, NULL)
                                       ->code == 0);
    struct child *command = cluster_start(cluster, "weft", thaws ? "thaw" : "freeze", "--at",
                                          scene.home->address, scene.app.hex, NULL);
    wait_us(delay_us);
    strike(&scene, victim);
    verdict(&scene, command, folder);
    stage_close(&scene.stage);
    cluster_remove(folder);
    (void)unsetenv("WEFT_SNAPSHOT_DIR");
}

static void whatever_dies_the_app_goes_on_lies_in_the_store_or_ends(void **state)
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
        cmocka_unit_test(whatever_dies_the_app_goes_on_lies_in_the_store_or_ends),
    };
    if (argc > 1)
        seeds = strtol(argv[1], NULL, 10);
    if (argc > 2)
        first_seed = strtol(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
