/* Snapshots in files, from the command line, on hosts that end and start again. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cluster.h"
#include "snapshots.h"

enum { LARGE = 3000000, SMALL = 100 };

static const char *folder_of(struct cluster *cluster)
{
    const char *folder = cluster_file(cluster, "stored");
    (void)setenv("WEFT_SNAPSHOT_DIR", folder, 1);
    return folder;
}

static int close_all(void **state)
{
    (void)unsetenv("WEFT_SNAPSHOT_DIR");
    (void)unsetenv("WEFT_SNAPSHOT_IO");
    (void)unsetenv("WEFT_SNAPSHOT_TRACKER");
    return cluster_close(state);
}

static void saved_snapshots_outlive_the_host(void **state)
{
    struct cluster *cluster = *state;
    const char *folder = folder_of(cluster);
    struct cluster_host *host = cluster_host(cluster, "home", 1);
    const char *large = snapshots_file(cluster, LARGE), *small = snapshots_file(cluster, SMALL);
    cluster_check(cluster, snapshots_weft(cluster, 0, "push", "run/large", large)->code == 0);
    cluster_check(cluster, snapshots_weft(cluster, 0, "push", "run/small", small)->code == 0);
    cluster_check(cluster, snapshots_weft(cluster, 0, "save", "run/large", NULL)->code == 0);
    cluster_check(cluster, snapshots_weft(cluster, 0, "save", "run/small", NULL)->code == 0);
    cluster_check(cluster, snapshots_weft(cluster, 0, "save", "none", NULL)->code == 4);
    cluster_host_stop(cluster, host);
    cluster_host_again(cluster, host);
    cluster_check(cluster, snapshots_weft(cluster, 0, "pull", "run/large", NULL)->code == 4);
    struct child *stored = snapshots_weft(cluster, 0, "stored", "run/", NULL);
    cluster_check(cluster, stored->code == 0 && child_said(stored, "3000000"));
    cluster_check(cluster, child_said(stored, "run/large") && child_said(stored, "run/small"));
    cluster_check(cluster, snapshots_weft(cluster, 0, "restore", "run/large", NULL)->code == 0);
    cluster_check(cluster, snapshots_weft(cluster, 0, "restore", "run/small", NULL)->code == 0);
    snapshots_assert_pulled(cluster, 0, "run/large", large);
    snapshots_assert_pulled(cluster, 0, "run/small", small);
    cluster_check(cluster, snapshots_weft(cluster, 0, "discard", "run/small", NULL)->code == 0);
    cluster_check(cluster, snapshots_weft(cluster, 0, "discard", "run/small", NULL)->code == 4);
    cluster_check(cluster, snapshots_weft(cluster, 0, "restore", "run/small", NULL)->code == 4);
    cluster_remove(folder);
}

static void a_killed_host_leaves_what_was_saved_and_its_successor_tidies_up(void **state)
{
    struct cluster *cluster = *state;
    const char *folder = folder_of(cluster);
    char leftover[200];
    struct cluster_host *host = cluster_host(cluster, "home", 1);
    const char *large = snapshots_file(cluster, LARGE);
    cluster_check(cluster, snapshots_weft(cluster, 0, "push", "a", large)->code == 0);
    cluster_check(cluster, snapshots_weft(cluster, 0, "save", "a", NULL)->code == 0);
    (void)snprintf(leftover, sizeof(leftover), "%s/weft-save-0123456789abcdef", folder);
    int fd = open(leftover, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    cluster_check(cluster, fd >= 0 && close(fd) == 0);
    cluster_host_kill(host);
    (void)setenv("WEFT_SNAPSHOT_IO", "threads", 1);
    cluster_host_again(cluster, host);
    cluster_check(cluster, access(leftover, F_OK) != 0);
    cluster_check(cluster, snapshots_weft(cluster, 0, "verify", "a", NULL)->code == 0);
    cluster_check(cluster, snapshots_weft(cluster, 0, "restore", "a", NULL)->code == 0);
    snapshots_assert_pulled(cluster, 0, "a", large);
    cluster_remove(folder);
}

static void a_host_tells_how_it_tracks_pages_and_stores_files(void **state)
{
    struct cluster *cluster = *state;
    const char *folder = folder_of(cluster);
    (void)setenv("WEFT_SNAPSHOT_TRACKER", "segv", 1);
    (void)setenv("WEFT_SNAPSHOT_IO", "threads", 1);
    struct cluster_host *host = cluster_host(cluster, "home", 1);
    struct child *info = cluster_weft(cluster, "info", "--at", host->address, NULL);
    cluster_check(cluster, info->code == 0 && child_said(info, folder));
    cluster_check(cluster, child_said(info, "  segv: chosen by WEFT_SNAPSHOT_TRACKER"));
    cluster_check(cluster, child_said(info, "  none: works, but WEFT_SNAPSHOT_TRACKER names"));
    cluster_check(cluster, child_said(info, "  threads: chosen by name"));
    cluster_remove(folder);
}

static void hosts_that_share_a_folder_restore_what_others_saved(void **state)
{
    struct cluster *cluster = *state;
    const char *folder = folder_of(cluster), *large = snapshots_file(cluster, LARGE);
    cluster_three(cluster, 1);
    cluster_check(cluster, snapshots_weft(cluster, 1, "push", "a", large)->code == 0);
    cluster_check(cluster, snapshots_weft(cluster, 1, "save", "a", NULL)->code == 0);
    cluster_check(cluster, snapshots_weft(cluster, 2, "restore", "a", NULL)->code == 0);
    snapshots_assert_pulled(cluster, 2, "a", large);
    cluster_remove(folder);
}

static void damage_is_told_with_file_and_offset(void **state)
{
    struct cluster *cluster = *state;
    const char *folder = folder_of(cluster), *large = snapshots_file(cluster, LARGE);
    char path[200];
    (void)cluster_host(cluster, "home", 1);
    cluster_check(cluster, snapshots_weft(cluster, 0, "push", "a", large)->code == 0);
    cluster_check(cluster, snapshots_weft(cluster, 0, "save", "a", NULL)->code == 0);
    (void)snprintf(path, sizeof(path), "%s/a.snapshot", folder);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    cluster_check(cluster, fd >= 0 && pwrite(fd, "!", 1, 1 << 21) == 1 && close(fd) == 0);
    struct child *verify = snapshots_weft(cluster, 0, "verify", "a", NULL);
    cluster_check(cluster, verify->code != 0 && child_complained(verify, path));
    cluster_check(cluster, child_complained(verify, "at offset 0x101000"));
    cluster_check(cluster, snapshots_weft(cluster, 0, "delete", "a", NULL)->code == 0);
    cluster_check(cluster, snapshots_weft(cluster, 0, "restore", "a", NULL)->code != 0);
    cluster_check(cluster,
                  snapshots_weft(cluster, 0, "pull", "a", NULL)->code == 4); /* nothing of it */
    cluster_check(cluster, truncate(path, 100) == 0);
    struct child *stored = snapshots_weft(cluster, 0, "stored", NULL, NULL);
    cluster_check(cluster, stored->code == 0 && child_said(stored, "verify"));
    cluster_remove(folder);
}

static void a_host_without_a_folder_says_how_to_get_one(void **state)
{
    struct cluster *cluster = *state;
    (void)cluster_host(cluster, "home", 1);
    struct child *save = snapshots_weft(cluster, 0, "save", "a", NULL);
    cluster_check(cluster, save->code == 4 && child_complained(save, "WEFT_SNAPSHOT_DIR"));
    cluster_check(cluster, snapshots_weft(cluster, 0, "save", NULL, NULL)->code == 2);
}

static void a_folder_that_cannot_be_used_ends_the_start(void **state)
{
    struct cluster *cluster = *state;
    (void)setenv("WEFT_SNAPSHOT_DIR", "/proc/nowhere", 1);
    struct child *weftd = cluster_start(cluster, "weftd", "--name", "bad", NULL);
    cluster_check(cluster, child_wait(weftd, CLUSTER_MS) > 0);
    cluster_check(cluster, child_complained(weftd, "/proc/nowhere"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, close_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(saved_snapshots_outlive_the_host),
        CASE(a_killed_host_leaves_what_was_saved_and_its_successor_tidies_up),
        CASE(a_host_tells_how_it_tracks_pages_and_stores_files),
        CASE(hosts_that_share_a_folder_restore_what_others_saved),
        CASE(damage_is_told_with_file_and_offset),
        CASE(a_host_without_a_folder_says_how_to_get_one),
        CASE(a_folder_that_cannot_be_used_ends_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
