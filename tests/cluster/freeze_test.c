/* Apps that are frozen into the store and thawed: what they compute is what they would have
 * computed without, and nothing of them is left anywhere else in between. */
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
#include "weft/error.h"

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
    struct child *still =
        cluster_weft(cluster, "run", "--hosts", "1", "--slots", ranks, "-n", ranks,
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

/* Sent minus received of each sender is checked by the sink itself, message by message. */
static void check_flood(struct cluster *cluster, const struct child *run)
{
    unsigned long long sent[2] = {0, 0}, got[2] = {1, 1};
    char *text = child_read(run->out);
    const char *at = strstr(text, "flood sink");
    const char *first = strstr(text, "flood sender 0"), *second = strstr(text, "flood sender 1");
    cluster_check(cluster,
                  first != NULL && sscanf(first, "flood sender 0 sent %llu", &sent[0]) == 1);
    cluster_check(cluster,
                  second != NULL && sscanf(second, "flood sender 1 sent %llu", &sent[1]) == 1);
    cluster_check(cluster, at != NULL && sscanf(at, "flood sink received %llu and %llu", &got[0],
                                                &got[1]) == 2);
    free(text);
    cluster_check(cluster, got[0] == sent[0] && got[1] == sent[1]);
}

static void irregular_messages_in_flight_come_once_and_in_order(void **state)
{
    struct scene scene;
    hosts_open(*state, &scene);
    struct cluster *cluster = scene.cluster;
    scene.app = cluster_run(cluster, scene.home, "-n", "3", cluster_program("flood"),
                            scene.stage.path, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t received = atomic_load(&scene.stage.board->ranks[2].received);
        cluster_await(cluster, SLOW_MS,
                      atomic_load(&scene.stage.board->ranks[2].received) > received + 100);
        cluster_check(cluster, freeze_at(&scene, scene.a)->code == 0);
        stage_all_free(cluster);
        cluster_check(cluster, thaw_at(&scene, scene.a)->code == 0);
    }
    stage_finish(cluster, &scene.stage, &scene.app);
    check_flood(cluster, scene.app.run);
    stage_all_free(cluster);
    cluster_await(cluster, CLUSTER_MS, stored(&scene) == 0);
    stage_close(&scene.stage);
    cluster_remove(scene.folder);
}

/* Something that takes both slots of b. */
static struct cluster_app occupy(const struct scene *scene, struct stage *stage)
{
    struct cluster *cluster = scene->cluster;
    stage_open(stage, cluster);
    struct cluster_app app =
        cluster_run(cluster, scene->b, "-n", "2", "--hint", "FORCE_LOCAL", cluster_program("chain"),
                    stage->path, "0", "1", "1000", NULL);
    stage_runs(cluster, stage, 2, 1);
    return app;
}

static void without_room_a_spot_app_is_frozen_and_thaws_itself_when_there_is(void **state)
{
    struct scene scene;
    struct stage occupied;
    scene_open(*state, &scene);
    struct cluster *cluster = scene.cluster;
    struct cluster_app occupier = occupy(&scene, &occupied);
    struct child *drained =
        cluster_weft(cluster, "drain", "--at", scene.home->address, "--timeout", "60", "a", NULL);
    cluster_check(cluster, drained->code == 0 && child_said(drained, "host a has left"));
    cluster_check(cluster, child_wait(scene.a->weftd, CLUSTER_MS) == 0);
    cluster_check(cluster, is_frozen(&scene));
    cluster_check(cluster, stored(&scene) == RANKS + 1);
    cluster_check(cluster, child_complained(scene.app.run, "it goes on when there is room"));
    stage_finish(cluster, &occupied, &occupier);
    cluster_await(cluster, SLOW_MS, is_running(&scene));
    stage_runs(cluster, &scene.stage, RANKS, 20);
    scene_close(&scene);
    stage_close(&occupied);
}

static void a_thaw_without_room_leaves_it_frozen(void **state)
{
    struct scene scene;
    struct stage occupied;
    scene_open(*state, &scene);
    struct cluster *cluster = scene.cluster;
    struct cluster_app occupier = occupy(&scene, &occupied);
    cluster_check(cluster, freeze_at(&scene, scene.a)->code == 0);
    cluster_host_stop(cluster, scene.a);
    struct child *thawed = thaw_at(&scene, scene.home);
    cluster_check(cluster, thawed->code == 1 && child_complained(thawed, "slots"));
    cluster_check(cluster, is_frozen(&scene) && stored(&scene) == RANKS + 1);
    cluster_check(cluster, thaw_at(&scene, scene.home)->code == 1);
    stage_finish(cluster, &occupied, &occupier);
    cluster_check(cluster, thaw_at(&scene, scene.home)->code == 0);
    stage_runs(cluster, &scene.stage, RANKS, 20);
    scene_close(&scene);
    stage_close(&occupied);
}

static void a_frozen_app_outlives_its_home(void **state)
{
    struct scene scene;
    hosts_open(*state, &scene);
    struct cluster *cluster = scene.cluster;
    scene.app = cluster_run(cluster, scene.a, "-n", "4", "--policy", "spot",
                            cluster_program("chain"), scene.stage.path, "0", "1", "1000", NULL);
    stage_runs(cluster, &scene.stage, RANKS, 20);
    /* Its home is drained: it is frozen, and the home leaves without it. */
    struct child *drained =
        cluster_weft(cluster, "drain", "--at", scene.home->address, "--timeout", "60", "a", NULL);
    cluster_check(cluster, drained->code == 0 && child_said(drained, "host a has left"));
    cluster_check(cluster, child_wait(scene.app.run, CLUSTER_MS) != 0);
    cluster_check(cluster, child_complained(scene.app.run, "it lies frozen in"));
    cluster_check(cluster, stored(&scene) == RANKS + 1);
    uint64_t before = atomic_load(&scene.stage.board->ranks[0].steps);
    cluster_check(cluster, thaw_at(&scene, scene.b)->code == 0);
    scene.app.home = scene.b;
    stage_runs(cluster, &scene.stage, RANKS, 20);
    cluster_check(cluster, atomic_load(&scene.stage.board->ranks[0].steps) > before);
    cluster_check(cluster, thaw_at(&scene, scene.home)->code == 1); /* it is not frozen any more */
    atomic_store(&scene.stage.board->stop, 1);
    cluster_await(cluster, CLUSTER_MS, ask_state_is(cluster, &scene.app, "ended"));
    stage_all_free(cluster);
    cluster_await(cluster, CLUSTER_MS, stored(&scene) == 0);
    stage_close(&scene.stage);
    cluster_remove(scene.folder);
}

static void a_home_that_was_killed_finds_its_frozen_apps_again(void **state)
{
    struct scene scene;
    hosts_open(*state, &scene);
    struct cluster *cluster = scene.cluster;
    scene.app = cluster_run(cluster, scene.a, "-n", "4", cluster_program("chain"), scene.stage.path,
                            "0", "1", "1000", NULL);
    stage_runs(cluster, &scene.stage, RANKS, 20);
    cluster_check(cluster, freeze_at(&scene, scene.b)->code == 0);
    cluster_host_kill(scene.a);
    cluster_check(cluster, child_wait(scene.app.run, SLOW_MS) != 0);
    cluster_host_again(cluster, scene.a);
    cluster_await(cluster, CLUSTER_MS, is_frozen(&scene));
    cluster_check(cluster, thaw_at(&scene, scene.b)->code == 0);
    stage_runs(cluster, &scene.stage, RANKS, 20);
    atomic_store(&scene.stage.board->stop, 1);
    cluster_await(cluster, CLUSTER_MS, ask_state_is(cluster, &scene.app, "ended"));
    stage_all_free(cluster);
    cluster_await(cluster, CLUSTER_MS, stored(&scene) == 0);
    stage_close(&scene.stage);
    cluster_remove(scene.folder);
}

/* Files in the store that a home of this name has written. */
static unsigned stored_by(const struct scene *scene, const char *name)
{
    char begin[64];
    DIR *dir = opendir(scene->folder);
    unsigned n = 0;
    const struct dirent *entry;
    snprintf(begin, sizeof(begin), "frozen%%2F%s%%2F", name);
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        n += strncmp(entry->d_name, begin, strlen(begin)) == 0;
    if (dir != NULL)
        (void)closedir(dir);
    return n;
}

static void copy_files(struct cluster *cluster, const char *from, const char *to)
{
    char command[512];
    snprintf(command, sizeof(command), "mkdir -p '%s' && cp -n '%s'/* '%s'", to, from, to);
    cluster_check(cluster, system(command) == 0);
}

/* What a home could not remove after its app was thawed lies beside what the next home writes. */
static void of_two_manifests_the_newest_counts(void **state)
{
    struct scene scene;
    hosts_open(*state, &scene);
    struct cluster *cluster = scene.cluster;
    const char *kept = cluster_file(cluster, "kept");
    scene.app = cluster_run(cluster, scene.a, "-n", "4", cluster_program("chain"), scene.stage.path,
                            "0", "1", "1000", NULL);
    stage_runs(cluster, &scene.stage, RANKS, 20);
    cluster_check(cluster, freeze_at(&scene, scene.a)->code == 0);
    copy_files(cluster, scene.folder, kept);
    cluster_host_stop(cluster, scene.a);
    cluster_check(cluster, thaw_at(&scene, scene.b)->code == 0);
    scene.app.home = scene.b;
    stage_runs(cluster, &scene.stage, RANKS, 20);
    cluster_check(cluster, freeze_at(&scene, scene.b)->code == 0);
    cluster_check(cluster, stored_by(&scene, "b") == RANKS + 1);
    copy_files(cluster, kept, scene.folder);
    cluster_check(cluster, stored_by(&scene, "a") == RANKS + 1);
    cluster_host_again(cluster, scene.a); /* removes its own: it is the older one */
    cluster_await(cluster, CLUSTER_MS, stored_by(&scene, "a") == 0);
    copy_files(cluster, kept, scene.folder);
    cluster_host_stop(cluster, scene.b);
    cluster_check(cluster, thaw_at(&scene, scene.home)->code == 0);
    scene.app.home = scene.home;
    cluster_await(cluster, CLUSTER_MS, stored_by(&scene, "b") == 0);
    cluster_check(cluster, stored_by(&scene, "a") == RANKS + 1);
    stage_runs(cluster, &scene.stage, RANKS, 20);
    atomic_store(&scene.stage.board->stop, 1);
    cluster_await(cluster, CLUSTER_MS, ask_state_is(cluster, &scene.app, "ended"));
    stage_all_free(cluster);
    stage_close(&scene.stage);
    cluster_remove(scene.folder);
    cluster_remove(kept);
}

static const char *file_ending(const struct scene *scene, const char *end)
{
    static char path[512];
    DIR *dir = opendir(scene->folder);
    const struct dirent *entry;
    path[0] = '\0';
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        size_t len = strlen(entry->d_name);
        if (len > strlen(end) && strcmp(entry->d_name + len - strlen(end), end) == 0)
            snprintf(path, sizeof(path), "%s/%s", scene->folder, entry->d_name);
    }
    if (dir != NULL)
        (void)closedir(dir);
    return path;
}

/* Changes a byte in the middle of the file; the second time it is as it was. */
static void spoil(const struct scene *scene, const char *path)
{
    FILE *file = fopen(path, "r+e");
    cluster_check(scene->cluster, file != NULL && fseek(file, 0, SEEK_END) == 0);
    long middle = ftell(file) / 2;
    cluster_check(scene->cluster, fseek(file, middle, SEEK_SET) == 0);
    int byte = fgetc(file);
    cluster_check(scene->cluster, fseek(file, middle, SEEK_SET) == 0);
    cluster_check(scene->cluster, fputc(byte ^ 1, file) != EOF && fclose(file) == 0);
}

static void check_refused(const struct scene *scene, const struct cluster_host *host,
                          const char *words)
{
    struct child *thaw = thaw_at(scene, host);
    if (thaw->code != 1 || !child_complained(thaw, words))
        cluster_fail(scene->cluster, "weft thaw: exit code %d instead of 1 and \"%s\"", thaw->code,
                     words);
}

static void what_is_damaged_in_the_store_stays_there(void **state)
{
    struct scene scene;
    hosts_open(*state, &scene);
    struct cluster *cluster = scene.cluster;
    scene.app = cluster_run(cluster, scene.a, "-n", "4", cluster_program("chain"), scene.stage.path,
                            "0", "1", "1000", NULL);
    stage_runs(cluster, &scene.stage, RANKS, 20);
    cluster_check(cluster, freeze_at(&scene, scene.a)->code == 0);
    const char *rank = file_ending(&scene, "1.snapshot");
    char elsewhere[600];
    spoil(&scene, rank);
    check_refused(&scene, scene.a, "damaged");
    check_frozen(&scene);
    spoil(&scene, rank);
    snprintf(elsewhere, sizeof(elsewhere), "%s.away", rank);
    cluster_check(cluster, rename(rank, elsewhere) == 0);
    check_refused(&scene, scene.a, "rank 1 cannot be loaded");
    cluster_check(cluster, rename(elsewhere, rank) == 0);
    cluster_host_stop(cluster, scene.a);
    cluster_check(cluster, child_wait(scene.app.run, SLOW_MS) != 0);
    const char *manifest = file_ending(&scene, "app.snapshot");
    spoil(&scene, manifest);
    check_refused(&scene, scene.b, "damaged");
    cluster_check(cluster, stored(&scene) == RANKS + 1);
    spoil(&scene, manifest);
    cluster_host_again(cluster, scene.a);
    cluster_check(cluster, thaw_at(&scene, scene.b)->code == 0);
    stage_runs(cluster, &scene.stage, RANKS, 20);
    atomic_store(&scene.stage.board->stop, 1);
    stage_all_free(cluster);
    cluster_await(cluster, CLUSTER_MS, stored(&scene) == 0);
    stage_close(&scene.stage);
    cluster_remove(scene.folder);
}

static void what_cannot_be_frozen_says_why_and_goes_on(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene = {.cluster = cluster};
    (void)unsetenv("WEFT_SNAPSHOT_DIR");
    struct cluster_host *bare = cluster_host(cluster, "home", 4);
    stage_open(&scene.stage, cluster);
    scene.app = cluster_run(cluster, bare, "-n", "4", cluster_program("chain"), scene.stage.path,
                            "0", "1", "1000", NULL);
    stage_runs(cluster, &scene.stage, RANKS, 1);
    struct child *refused = freeze_at(&scene, bare);
    cluster_check(cluster, refused->code != 0 && child_complained(refused, "WEFT_SNAPSHOT_DIR"));
    stage_runs(cluster, &scene.stage, RANKS, 20);
    cluster_check(cluster, thaw_at(&scene, bare)->code == 1);
    stage_finish(cluster, &scene.stage, &scene.app);
    stage_close(&scene.stage);
}

static void a_rank_that_cannot_be_stored_lets_all_go_on(void **state)
{
    struct scene scene;
    (void)setenv("WEFT_SNAPSHOT_MEMORY", "64K", 1);
    scene_open(*state, &scene);
    struct cluster *cluster = scene.cluster;
    struct child *refused = freeze_at(&scene, scene.b);
    cluster_check(cluster, refused->code == 1 && child_complained(refused, "cannot be stored"));
    cluster_check(cluster, is_running(&scene));
    stage_runs(cluster, &scene.stage, RANKS, 20);
    cluster_await(cluster, CLUSTER_MS, stored(&scene) == 0);
    struct child *listed =
        cluster_weft(cluster, "apps", "--at", scene.b->address, scene.app.hex, NULL);
    cluster_check(cluster, child_said(listed, "was given up"));
    scene_close(&scene);
}

/* The move has made a record of a process on b, which was never launched. */
static void a_move_that_was_given_up_is_no_obstacle(void **state)
{
    struct cluster *cluster = *state;
    struct scene scene;
    scene_open(cluster, &scene);
    const char *at = scene.home->address;
    cluster_check(cluster,
                  cluster_weft(cluster, "drain", "--at", at, "--stay", "b", NULL)->code == 0);
    cluster_check(cluster, ask_migrate(cluster, &scene.app, 0, "b", NULL) != WEFT_OK ||
                               ask_rank_is(cluster, &scene.app, 0, "home"));
    cluster_check(cluster,
                  cluster_weft(cluster, "drain", "--at", at, "--cancel", "b", NULL)->code == 0);
    cluster_check(cluster, freeze_at(&scene, scene.home)->code == 0);
    check_frozen(&scene);
    cluster_check(cluster, thaw_at(&scene, scene.home)->code == 0);
    scene_close(&scene);
}

static void a_frozen_app_can_be_killed(void **state)
{
    struct scene scene;
    scene_open(*state, &scene);
    struct cluster *cluster = scene.cluster;
    cluster_check(cluster, freeze_at(&scene, scene.a)->code == 0);
    cluster_check(
        cluster,
        cluster_weft(cluster, "kill", "--at", scene.a->address, scene.app.hex, NULL)->code == 0);
    cluster_check(cluster, child_wait(scene.app.run, CLUSTER_MS) == 1);
    cluster_await(cluster, CLUSTER_MS, stored(&scene) == 0);
    cluster_check(cluster, thaw_at(&scene, scene.a)->code != 0);
    stage_close(&scene.stage);
    cluster_remove(scene.folder);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, close_all)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(a_frozen_app_goes_on_where_it_was_and_computes_the_same),
        CASE(irregular_messages_in_flight_come_once_and_in_order),
        CASE(without_room_a_spot_app_is_frozen_and_thaws_itself_when_there_is),
        CASE(a_thaw_without_room_leaves_it_frozen),
        CASE(a_frozen_app_outlives_its_home),
        CASE(a_home_that_was_killed_finds_its_frozen_apps_again),
        CASE(of_two_manifests_the_newest_counts),
        CASE(what_is_damaged_in_the_store_stays_there),
        CASE(what_cannot_be_frozen_says_why_and_goes_on),
        CASE(a_rank_that_cannot_be_stored_lets_all_go_on),
        CASE(a_move_that_was_given_up_is_no_obstacle),
        CASE(a_frozen_app_can_be_killed),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
