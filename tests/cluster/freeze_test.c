/* Apps that are frozen into the store and thawed: what they compute is what they would have computed
 * without, and nothing of them is left anywhere else in between. */
#include <dirent.h>
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
#include "snapshots.h"
#include "stage.h"

enum { RANKS = 4, ROUNDS = 3, SLOW_MS = 3 * CLUSTER_MS };

/* home, a and b with two slots each, and an app on home and a. */
struct scene {
    struct cluster *cluster;
    struct cluster_host *home, *a, *b;
    struct stage stage;
    struct cluster_app app;
    const char *folder;
};

static const char *folder_of(struct cluster *cluster)
{
    const char *folder = cluster_file(cluster, "frozen");
    (void)setenv("WEFT_SNAPSHOT_DIR", folder, 1);
    return folder;
}

static int close_all(void **state)
{
    (void)unsetenv("WEFT_SNAPSHOT_DIR");
    (void)unsetenv("WEFT_SNAPSHOT_MEMORY");
    return cluster_close(state);
}

static void hosts_open(struct cluster *cluster, struct scene *scene)
{
    scene->cluster = cluster;
    scene->folder = folder_of(cluster);
    cluster_three(cluster, 2);
    scene->home = &cluster->hosts[0];
    scene->a = &cluster->hosts[1];
    scene->b = &cluster->hosts[2];
    stage_open(&scene->stage, cluster);
}

static void scene_open(struct cluster *cluster, struct scene *scene)
{
    hosts_open(cluster, scene);
    scene->app = cluster_run(cluster, scene->home, "-n", "4", "--policy", "spot",
                             cluster_program("chain"), scene->stage.path, "0", "1", "1000", NULL);
    stage_runs(cluster, &scene->stage, RANKS, 20);
}

/* Files in the store; the folder may be there or not. */
static unsigned stored(const struct scene *scene)
{
    DIR *dir = opendir(scene->folder);
    unsigned n = 0;
    const struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        n += entry->d_name[0] != '.';
    if (dir != NULL)
        (void)closedir(dir);
    return n;
}

/* The same number of steps without any interruption comes to the same digest. */
static void check_digest(const struct scene *scene)
{
    struct cluster *cluster = scene->cluster;
    char steps[32] = "", ranks[16] = "4";
    const char *digest = stage_digest(scene->app.run);
    cluster_check(cluster, sscanf(digest, "chain steps %31s", steps) == 1);
    struct stage stage;
    stage_open(&stage, cluster);
    struct child *still = cluster_weft(cluster, "run", "--hosts", "1", "--slots", ranks, "-n", ranks,
                                       cluster_program("chain"), stage.path, steps, "4", "0", NULL);
    if (still->code != 0 || strcmp(digest, stage_digest(still)) != 0)
        cluster_fail(cluster, "frozen: %s, without: %s", digest, stage_digest(still));
    stage_close(&stage);
}

static void scene_close(struct scene *scene)
{
    stage_finish(scene->cluster, &scene->stage, &scene->app);
    stage_all_free(scene->cluster);
    check_digest(scene);
    cluster_await(scene->cluster, CLUSTER_MS, stored(scene) == 0);
    stage_close(&scene->stage);
    cluster_remove(scene->folder);
}

static struct child *freeze_at(const struct scene *scene, const struct cluster_host *host)
{
    return cluster_weft(scene->cluster, "freeze", "--at", host->address, scene->app.hex, NULL);
}

static struct child *thaw_at(const struct scene *scene, const struct cluster_host *host)
{
    return cluster_weft(scene->cluster, "thaw", "--at", host->address, scene->app.hex, NULL);
}

static bool is_frozen(const struct scene *scene)
{
    return ask_state_is(scene->cluster, &scene->app, "frozen");
}

static bool is_running(const struct scene *scene)
{
    return ask_state_is(scene->cluster, &scene->app, "running");
}

/* In the store and nowhere else. */
static void check_frozen(const struct scene *scene)
{
    struct cluster *cluster = scene->cluster;
    cluster_check(cluster, is_frozen(scene));
    stage_all_free(cluster);
    for (unsigned i = 0; i < cluster->hosts_n; i++)
        if (!child_over(cluster->hosts[i].weftd))
            cluster_await(cluster, CLUSTER_MS, stage_process_on(cluster, &cluster->hosts[i]) == 0);
    cluster_check(cluster, stored(scene) == RANKS + 1);
    cluster_check(cluster, !child_over(scene->app.run));
}

static void a_frozen_app_goes_on_where_it_was_and_computes_the_same(void **state)
{
    struct scene scene;
    scene_open(*state, &scene);
    for (int round = 0; round < ROUNDS; round++) {
        struct child *frozen = freeze_at(&scene, scene.b);
        cluster_check(scene.cluster, frozen->code == 0 && child_said(frozen, "is frozen"));
        check_frozen(&scene);
        cluster_await(scene.cluster, CLUSTER_MS,
                      child_complained(scene.app.run, "weft run: the app is frozen"));
        struct child *listed =
            cluster_weft(scene.cluster, "apps", "--at", scene.b->address, scene.app.hex, NULL);
        cluster_check(scene.cluster, child_said(listed, "MiB in"));
        cluster_check(scene.cluster, thaw_at(&scene, scene.b)->code == 0);
        stage_runs(scene.cluster, &scene.stage, RANKS, 50);
        cluster_check(scene.cluster, is_running(&scene));
    }
    cluster_check(scene.cluster, child_complained(scene.app.run, "weft run: the app runs again"));
    scene_close(&scene);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, close_all)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(a_frozen_app_goes_on_where_it_was_and_computes_the_same),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
