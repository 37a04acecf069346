/* The head's registry over faults of its process and its disk: what runs goes on, what it knew it
 * knows again, and what it cannot write down does not happen.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/client.h"
#include "host/calls.h"
#include "registry/client.h"
#include "scene.h"
#include "weft/error.h"
#include "weft/group.h"

enum { REFUSED = 4, FAILED = 3 };

/* The folder that this scene's head keeps its log in. */
static const char *log_of(struct cluster *cluster)
{
    static char path[256];
    const char *named = getenv("WEFT_STATE_DIR");
    if (named != NULL)
        snprintf(path, sizeof(path), "%s/registry.log", named);
    else
        snprintf(path, sizeof(path), "%s/tmp/weft-%u-%s-8100/registry.log", cluster->work,
                 (unsigned)getuid(), cluster->hosts[0].address);
    return path;
}

static long log_len(struct cluster *cluster)
{
    struct stat about;
    cluster_check(cluster, stat(log_of(cluster), &about) == 0);
    return (long)about.st_size;
}

/* The newest epoch that a host has told of; 0: none. */
static unsigned long long epoch_of(const struct cluster_host *host)
{
    unsigned long long epoch = 0;
    char *text = child_read(host->weftd->err), *at = text;
    while ((at = strstr(at, "joined again, epoch ")) != NULL) {
        at += strlen("joined again, epoch ");
        epoch = strtoull(at, NULL, 10);
    }
    free(text);
    return epoch;
}

static void head_dies_and_comes_back(struct scene *scene)
{
    cluster_host_kill(scene->head);
    stage_runs(scene->cluster, &scene->stage, SCENE_RANKS, 5);
    cluster_host_again(scene->cluster, scene->head);
    cluster_await(scene->cluster, CLUSTER_MS, ask_alive(scene->cluster, 4));
}

static struct child *migrate(struct scene *scene, const char *to)
{
    return cluster_weft(scene->cluster, "migrate", "--at", scene->home->address, scene->app.hex,
                        "1", to, NULL);
}

static struct child *state_of(struct scene *scene, const char *verb, const char *key,
                              const char *file)
{
    return cluster_weft(scene->cluster, "state", verb, "--at", scene->a->address, "user", key, file,
                        NULL);
}

static const char *file_with(struct cluster *cluster, const char *text)
{
    const char *path = cluster_file(cluster, "value");
    FILE *file = fopen(path, "we");
    cluster_check(cluster, file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
    return path;
}

/* ---- the process ---- */

static void what_a_killed_head_knew_it_knows_again_under_a_higher_epoch(void **state)
{
    struct scene scene;
    unsigned long long before = 0;
    scene_open(&scene, *state);
    cluster_check(scene.cluster,
                  state_of(&scene, "put", "key", file_with(*state, "kept"))->code == 0);
    for (int i = 0; i < 3; i++) {
        stage_move(*state, &scene.app, SCENE_MOVER, i % 2 == 0 ? "b" : "a"); /* a key of its own */
        head_dies_and_comes_back(&scene);
        cluster_await(scene.cluster, CLUSTER_MS, epoch_of(scene.a) > before);
        before = epoch_of(scene.a);
    }
    stage_move(*state, &scene.app, SCENE_MOVER, "a");
    struct child *value = state_of(&scene, "get", "key", NULL);
    cluster_check(scene.cluster, value->code == 0 && child_said(value, "kept"));
    cluster_check(scene.cluster,
                  state_of(&scene, "put", "key", file_with(*state, "changed"))->code == 0);
    struct child *run =
        cluster_weft(*state, "run", "--at", scene.b->address, cluster_program("hello"), NULL);
    cluster_check(scene.cluster, run->code == 0);
    scene_ends_well(&scene);
}

/* One member on a holds the lock, one on b waits for it. */
static void a_lock_and_who_waits_for_it_outlive_a_killed_head(void **state)
{
    struct scene scene;
    struct weft_groups *on[2];
    struct weft_group *members[2];
    scene_open(&scene, *state);
    const struct cluster_host *hosts[] = {scene.a, scene.b};
    const char *names[] = {"a", "b"};
    uint64_t id = 0;
    for (int i = 0; i < 2; i++)
        cluster_check(scene.cluster, weft_groups_open(hosts[i]->address, &on[i]) == WEFT_OK);
    const struct weft_group_desc desc = {
        .members = 2, .hosts = names, .timeout_ms = 2 * CLUSTER_MS};
    cluster_await(scene.cluster, CLUSTER_MS, weft_group_create(on[0], &desc, &id) == WEFT_OK);
    for (uint32_t i = 0; i < 2; i++)
        cluster_check(scene.cluster,
                      weft_group_open(on[i], id, i, CLUSTER_MS, &members[i]) == WEFT_OK);
    cluster_check(scene.cluster, weft_group_lock(members[0], CLUSTER_MS) == WEFT_OK);
    head_dies_and_comes_back(&scene);
    cluster_check(scene.cluster, weft_group_trylock(members[1]) != WEFT_OK);
    cluster_check(scene.cluster, weft_group_unlock(members[0]) == WEFT_OK);
    cluster_check(scene.cluster, weft_group_lock(members[1], CLUSTER_MS) == WEFT_OK);
    cluster_check(scene.cluster, weft_group_unlock(members[1]) == WEFT_OK);
    for (int i = 0; i < 2; i++) {
        weft_group_leave(members[i]);
        weft_groups_close(on[i]);
    }
    scene_ends_well(&scene);
}

static void a_head_that_is_stopped_politely_leaves_its_log_to_the_next_one(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    stage_move(*state, &scene.app, SCENE_MOVER, "b");
    cluster_host_stop(*state, scene.head);
    cluster_check(scene.cluster,
                  child_complained(scene.head->weftd, "the registry's log stays in"));
    stage_runs(*state, &scene.stage, SCENE_RANKS, 5);
    cluster_host_again(*state, scene.head);
    cluster_await(scene.cluster, CLUSTER_MS, ask_alive(*state, 4));
    stage_move(*state, &scene.app, SCENE_MOVER, "a");
    scene_ends_well(&scene);
}

static void a_head_that_has_lost_its_log_moves_no_rank_of_an_app_from_before(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    cluster_host_kill(scene.head);
    cluster_check(scene.cluster, unlink(log_of(*state)) == 0);
    cluster_host_again(*state, scene.head);
    cluster_await(scene.cluster, CLUSTER_MS, ask_alive(*state, 4));
    struct child *move = migrate(&scene, "b");
    if (move->code != 1 || !child_said(move, "the registry has lost its log"))
        cluster_fail(*state, "weft migrate: exit code %d instead of 1 and the log named",
                     move->code);
    cluster_check(scene.cluster, ask_rank_is(*state, &scene.app, SCENE_MOVER, "a"));
    cluster_check(scene.cluster, atomic_load(&scene.stage.board->ranks[SCENE_MOVER].stayed) == 0);
    scene_ends_well(&scene);
    struct stage stage; /* an app of its own time moves */
    stage_open(&stage, *state);
    struct cluster_app app = cluster_run(*state, scene.home, "-n", "1", cluster_program("chain"),
                                         stage.path, "0", "1", "1000", NULL);
    stage_runs(*state, &stage, 1, 3);
    stage_move(*state, &app, 0, "b");
    stage_finish(*state, &stage, &app);
    stage_all_free(*state);
    stage_close(&stage);
}

static void a_log_that_is_deleted_under_its_head_is_written_anew(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    cluster_check(scene.cluster, unlink(log_of(*state)) == 0);
    stage_move(*state, &scene.app, SCENE_MOVER, "b");
    head_dies_and_comes_back(&scene);
    stage_move(*state, &scene.app, SCENE_MOVER, "a");
    scene_ends_well(&scene);
}

static void a_second_head_in_the_same_folder_is_refused(void **state)
{
    struct cluster *cluster = *state;
    struct cluster_host *head;
    char address[24], folder[160];
    snprintf(folder, sizeof(folder), "%s/state", cluster->work);
    (void)setenv("WEFT_STATE_DIR", folder, 1);
    head = cluster_host(cluster, "head", 1);
    (void)unsetenv("WEFT_STATE_DIR");
    snprintf(address, sizeof(address), "%s.9", cluster->net);
    struct child *second = cluster_start(cluster, "weftd", "--name", "second", "--address", address,
                                         "--state-dir", folder, NULL);
    cluster_check(cluster, child_wait(second, CLUSTER_MS) == REFUSED);
    cluster_check(cluster, child_complained(second, folder) &&
                               child_complained(second, "another head runs here; stop it or choose "
                                                        "another folder"));
    struct child *run =
        cluster_weft(cluster, "run", "--at", head->address, cluster_program("hello"), NULL);
    cluster_check(cluster, run->code == 0);
}

/* ---- the file ---- */

static void change_byte(struct cluster *cluster, long at)
{
    unsigned char byte;
    int fd = open(log_of(cluster), O_RDWR | O_CLOEXEC);
    cluster_check(cluster, fd >= 0 && pread(fd, &byte, 1, at) == 1);
    byte ^= 0x20;
    cluster_check(cluster, pwrite(fd, &byte, 1, at) == 1);
    close(fd);
}

static void a_torn_end_of_the_log_is_cut_off_and_told(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    stage_move(*state, &scene.app, SCENE_MOVER, "b");
    cluster_host_kill(scene.head);
    int fd = open(log_of(*state), O_WRONLY | O_APPEND | O_CLOEXEC);
    cluster_check(scene.cluster, fd >= 0 && write(fd, "REGL\xff torn", 10) == 10);
    close(fd);
    cluster_host_again(*state, scene.head);
    cluster_check(scene.cluster, child_complained(scene.head->weftd, "ends in a torn record"));
    cluster_await(scene.cluster, CLUSTER_MS, ask_alive(*state, 4));
    stage_move(*state, &scene.app, SCENE_MOVER, "a");
    scene_ends_well(&scene);
}

static void a_damaged_log_is_refused_with_the_offset_and_what_to_do(void **state)
{
    struct scene scene;
    scene_open(&scene, *state);
    long at = log_len(*state); /* of the record that the move makes */
    stage_move(*state, &scene.app, SCENE_MOVER, "b");
    stage_move(*state, &scene.app, SCENE_MOVER, "a");
    cluster_host_kill(scene.head);
    change_byte(*state, at + 20);
    struct child *refused = cluster_start(*state, "weftd", "--name", "head", "--address",
                                          scene.head->address, "--slots", "0", NULL);
    char words[64];
    snprintf(words, sizeof(words), "is damaged at offset %ld", at);
    cluster_check(scene.cluster, child_wait(refused, CLUSTER_MS) == FAILED);
    cluster_check(scene.cluster, child_complained(refused, words) &&
                                     child_complained(refused, "restore it from a copy, or move"));
    stage_runs(*state, &scene.stage, SCENE_RANKS, 5);
    change_byte(*state, at + 20); /* the copy */
    cluster_host_again(*state, scene.head);
    cluster_await(scene.cluster, CLUSTER_MS, ask_alive(*state, 4));
    stage_move(*state, &scene.app, SCENE_MOVER, "b");
    scene_ends_well(&scene);
}

/* ---- the disk ---- */

static bool small_disk(struct cluster *cluster, char *folder, size_t room)
{
    snprintf(folder, room, "%s/disk", cluster->work);
    return mkdir(folder, 0700) == 0 && unshare(CLONE_NEWNS) == 0 &&
           mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", folder, "tmpfs", 0, "size=64k") == 0;
}

/* Takes all the room that is left. */
static void fill(const char *folder)
{
    static const char bytes[4096];
    char path[256];
    snprintf(path, sizeof(path), "%s/filler", folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (write(fd, bytes, sizeof(bytes)) > 0)
        ;
    close(fd);
}

/* The room of a page that is begun is there still: the smallest change of all uses it up. */
static void fill_log(struct scene *scene)
{
    char url[64];
    struct weft_registry_value now = {.revision = 0};
    snprintf(url, sizeof(url), "tcp://%s:%d", scene->head->address, 8100 + WEFT_PORT_REGISTRY);
    const struct weft_registry_at at = {.client = scene->cluster->client, .url = url};
    struct weft_registry_cas cas = {.key = "k", .value = "", .value_len = 0};
    int err;
    while ((err = weft__registry_cas_wait(&at, &cas, &now)) == WEFT_OK)
        cas.expected = now.revision;
    cluster_check(scene->cluster, err == WEFT_ENOSPC);
}

static void while_its_disk_is_full_the_head_refuses_changes_and_nothing_that_runs_ends(void **state)
{
    struct scene scene;
    char folder[160], filler[256];
    struct cluster *cluster = *state;
    if (!small_disk(cluster, folder, sizeof(folder))) {
        printf("skipped: no file system of our own can be mounted here: needs root\n");
        skip();
    }
    (void)setenv("WEFT_STATE_DIR", folder, 1);
    scene_open(&scene, cluster);
    fill(folder);
    fill_log(&scene);
    struct child *put = state_of(&scene, "put", "key", file_with(cluster, "value"));
    if (put->code != FAILED || !child_complained(put, "No space left on device"))
        cluster_fail(cluster, "weft state put: exit code %d instead of 3 and the disk named",
                     put->code);
    struct child *move = migrate(&scene, "b");
    if (move->code != 1 || !child_said(move, "the registry cannot write down who has the rank"))
        cluster_fail(cluster, "weft migrate: exit code %d instead of 1 and the registry named",
                     move->code);
    cluster_check(cluster, ask_rank_is(cluster, &scene.app, SCENE_MOVER, "a"));
    cluster_check(cluster, atomic_load(&scene.stage.board->ranks[SCENE_MOVER].stayed) == 0);
    snprintf(filler, sizeof(filler), "%s/filler", folder);
    cluster_check(cluster, unlink(filler) == 0);
    stage_move(cluster, &scene.app, SCENE_MOVER, "b"); /* without a restart of the head */
    head_dies_and_comes_back(&scene);
    stage_move(cluster, &scene.app, SCENE_MOVER, "a");
    (void)unsetenv("WEFT_STATE_DIR");
    scene_ends_well(&scene);
}

static int close_with_disk(void **state)
{
    struct cluster *cluster = *state;
    char folder[160];
    snprintf(folder, sizeof(folder), "%s/disk", cluster->work);
    (void)umount2(folder, MNT_DETACH);
    return cluster_close(state);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest process[] = {
        CASE(what_a_killed_head_knew_it_knows_again_under_a_higher_epoch),
        CASE(a_lock_and_who_waits_for_it_outlive_a_killed_head),
        CASE(a_head_that_is_stopped_politely_leaves_its_log_to_the_next_one),
        CASE(a_second_head_in_the_same_folder_is_refused),
    };
    const struct CMUnitTest file[] = {
        CASE(a_head_that_has_lost_its_log_moves_no_rank_of_an_app_from_before),
        CASE(a_log_that_is_deleted_under_its_head_is_written_anew),
        CASE(a_torn_end_of_the_log_is_cut_off_and_told),
        CASE(a_damaged_log_is_refused_with_the_offset_and_what_to_do),
        cmocka_unit_test_setup_teardown(
            while_its_disk_is_full_the_head_refuses_changes_and_nothing_that_runs_ends,
            cluster_open, close_with_disk),
    };
    bool all = argc < 2, first = !all && argv[1][0] == 'p', second = !all && argv[1][0] == 'f';
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    int failed = all || first ? cmocka_run_group_tests(process, NULL, NULL) : 0;
    return failed + (all || second ? cmocka_run_group_tests(file, NULL, NULL) : 0);
}
