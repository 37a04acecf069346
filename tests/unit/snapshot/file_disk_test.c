/* Snapshot files on disks that are full or fail, by processes that are killed or not permitted to
 * use io_uring. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "denied.h"
#include "file_scene.h"
#include "weft/error.h"

enum { SKIPPED = DENIED_SKIPPED };

/* ---- disks that fail ---- */

static unsigned fail_at; /* the request that fails, from 1 on; 0: none */
static int64_t fail_with;

static int failing_supported(void)
{
    return WEFT_OK;
}

static int failing_open(uint32_t depth, void **queue_out)
{
    return weft__file_io_threads.open(depth, queue_out);
}

static void failing_start(void *queue, struct weft_file_op *op)
{
    weft__file_io_threads.start(queue, op);
}

static struct weft_file_op *failing_next(void *queue)
{
    struct weft_file_op *op = weft__file_io_threads.next(queue);
    if (fail_at != 0 && --fail_at == 0)
        op->result = fail_with;
    return op;
}

static void failing_close(void *queue)
{
    weft__file_io_threads.close(queue);
}

static const struct weft_file_io failing = {"failing",     failing_supported, failing_open,
                                            failing_start, failing_next,      failing_close};

static void a_failing_disk_is_named_and_leaves_the_old_file(void **state)
{
    struct scene *scene = *state;
    struct weft_region old = scene_region(PAGE), region = scene_region((uint64_t)6 << 20),
                       to = scene_region(PAGE);
    memset(region.base, 5, region.len_bytes);
    ((char *)old.base)[0] = 'o';
    scene_files(scene, &failing, WEFT_FILES_CACHED);
    scene_save(scene, "a", &old);
    const unsigned open_before = scene_descriptors();
    for (unsigned at = 1; at <= 6; at++) {
        fail_at = at;
        fail_with = at % 2 ? -EIO : -ENOSPC;
        int err = weft__file_save_region(scene->files, "a", &region, NULL);
        assert_int_equal(err, at % 2 ? WEFT_EIO : WEFT_ENOSPC);
        assert_int_equal(scene_descriptors(), open_before);
        assert_non_null(strstr(weft_fail_text(err), "/a.snapshot"));
        assert_non_null(strstr(weft_fail_text(err), "WEFT_SNAPSHOT_DIR"));
        assert_int_equal(scene_names(scene, false), 1);
    }
    assert_int_equal(scene_load(scene, "a", &to), WEFT_OK);
    scene_assert_same(&old, &to);
    scene_save(scene, "b", &region);
    for (unsigned at = 1; at <= 6; at++) {
        fail_at = at;
        fail_with = -EIO;
        int err = scene_load(scene, "b", NULL);
        assert_int_equal(err, WEFT_EIO);
        assert_non_null(strstr(weft_fail_text(err), "/b.snapshot"));
        assert_int_equal(scene_descriptors(), open_before);
    }
    weft__region_fini(&old);
    weft__region_fini(&region);
    weft__region_fini(&to);
}

static void requests_that_are_done_in_part_are_continued(void **state)
{
    struct scene *scene = *state;
    struct weft_region region = scene_region((uint64_t)3 << 20),
                       to = scene_region((uint64_t)3 << 20);
    uint64_t seed = 11;
    scene_touch(&region, &seed, 50, 90);
    scene_files(scene, &failing, WEFT_FILES_CACHED);
    for (unsigned at = 1; at <= 3; at++) {
        fail_at = at;
        fail_with = at == 2 ? -EINTR : 5000;
        scene_save(scene, "a", &region);
        fail_at = at;
        assert_int_equal(scene_load(scene, "a", &to), WEFT_OK);
        scene_assert_same(&region, &to);
    }
    fail_at = 0;
    weft__region_fini(&region);
    weft__region_fini(&to);
}

static void a_cancelled_save_leaves_nothing(void **state)
{
    struct scene *scene = *state;
    struct weft_region region = scene_region((uint64_t)4 << 20);
    struct weft_extents all = {0};
    atomic_bool stop = true;
    memset(region.base, 1, region.len_bytes);
    assert_int_equal(weft__region_touched(&region, &all), WEFT_OK);
    const struct weft_file_source source = {.key = "a",
                                            .bytes = region.base,
                                            .size_bytes = region.len_bytes,
                                            .extents = &all,
                                            .stop = &stop};
    assert_int_equal(weft__file_save(scene->files, &source, NULL), WEFT_ECANCELED);
    assert_int_equal(scene_names(scene, false), 0);
    weft__extents_fini(&all);
    weft__region_fini(&region);
}

/* ---- in a process of its own ---- */

static int says(int err, int wanted, const char *text)
{
    if (err == wanted && strstr(weft_fail_text(err), text) != NULL)
        return 0;
    (void)fprintf(stderr, "%d, wanted %d: %s\n", err, wanted, weft_fail_text(err));
    return 1;
}

/* Saves 4 MiB over what is there. */
static int save_4m(struct scene *scene)
{
    struct weft_region region;
    if (weft__region_init(&region, "file-test", NULL, (size_t)4 << 20) != WEFT_OK)
        return WEFT_ENOMEM;
    memset(region.base, 1, region.len_bytes);
    int err = weft__file_save_region(scene->files, "a", &region, NULL);
    weft__region_fini(&region);
    return err;
}

static int limited(void *arg)
{
    struct scene *scene = arg;
    struct weft_region region;
    if (weft__region_init(&region, "file-test", NULL, (size_t)4 << 20) != WEFT_OK)
        return 1;
    memset(region.base, 1, region.len_bytes);
    const struct rlimit low = {.rlim_cur = 1 << 20, .rlim_max = 1 << 20};
    if (setrlimit(RLIMIT_FSIZE, &low) != 0)
        return 1;
    return says(weft__file_save_region(scene->files, "a", &region, NULL), WEFT_ENOSPC, "ulimit -f");
}

static void a_limit_of_file_sizes_is_an_error_and_no_signal(void **state)
{
    struct scene *scene = *state;
    assert_int_equal(in_child(limited, scene), 0);
    assert_int_equal(scene_names(scene, false), 0);
}

static uint64_t free_bytes(const struct scene *scene)
{
    struct statvfs status;
    return statvfs(scene->folder, &status) == 0 ? status.f_bfree * status.f_bsize : 0;
}

/* Nothing but the old file is there, whole, and what the save took is free again. */
static int old_file_alone(struct scene *scene, uint64_t free_before, unsigned open_before)
{
    bool whole = scene_names(scene, false) == 1 && scene_load(scene, "a", NULL) == WEFT_OK;
    bool clean = free_bytes(scene) == free_before && scene_descriptors() == open_before;
    if (!whole || !clean)
        (void)fprintf(stderr, "%u files; %llu bytes free, before %llu; %u open, before %u\n",
                      scene_names(scene, false), (unsigned long long)free_bytes(scene),
                      (unsigned long long)free_before, scene_descriptors(), open_before);
    return whole && clean ? 0 : 1;
}

/* A disk of 2 MiB, mounted where nobody else sees it. */
static int full(void *arg)
{
    struct scene *scene = arg;
    struct weft_region small;
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", scene->folder, "tmpfs", 0, "size=2m") != 0)
        return SKIPPED;
    for (size_t i = 0; i < scene_ways_n; i++) {
        if (weft__region_init(&small, "file-test", NULL, PAGE) != WEFT_OK)
            return 1;
        scene_files(scene, scene_ways[i], WEFT_FILES_AUTO);
        ((char *)small.base)[0] = 'o';
        if (weft__file_save_region(scene->files, "a", &small, NULL) != WEFT_OK)
            return 1;
        uint64_t before = free_bytes(scene);
        unsigned open_before = scene_descriptors();
        if (says(save_4m(scene), WEFT_ENOSPC, "free some space") != 0 ||
            old_file_alone(scene, before, open_before) != 0)
            return 1;
        weft__region_fini(&small);
    }
    weft__files_close(scene->files);
    return 0;
}

/* The same where space cannot be set apart: the disk is full in the middle. */
static int full_later(void *arg)
{
    return deny(SYS_fallocate, EOPNOTSUPP) ? full(arg) : SKIPPED;
}

static void a_full_disk_is_named_and_leaves_the_old_file(void **state)
{
    int code = in_child(full, *state), later = in_child(full_later, *state);
    if (code == SKIPPED || later == SKIPPED) {
        print_message("skipped: mounting a file system, or seccomp, is not permitted here\n");
        skip();
    }
    assert_int_equal(code, 0);
    assert_int_equal(later, 0);
}

static int without_uring(void *arg)
{
    struct scene *scene = arg;
    struct weft_region region, to;
    uint64_t seed = 5;
    if (!deny(SYS_io_uring_setup, EPERM))
        return SKIPPED;
    if (says(weft__file_io_uring.supported(), WEFT_ENOTSUP, "io_uring") != 0)
        return 1;
    scene_files(scene, NULL, WEFT_FILES_AUTO);
    if (strcmp(weft__files_io(scene->files), "threads") != 0)
        return 1;
    region = scene_region((uint64_t)8 << 20);
    to = scene_region(region.len_bytes);
    scene_touch(&region, &seed, 30, 100);
    scene_save(scene, "a", &region);
    if (scene_load(scene, "a", &to) != WEFT_OK)
        return 1;
    scene_assert_same(&region, &to);
    weft__region_fini(&region);
    weft__region_fini(&to);
    weft__files_close(scene->files);
    return 0;
}

static void threads_serve_where_io_uring_is_not_permitted(void **state)
{
    int code = in_child(without_uring, *state);
    if (code == SKIPPED) {
        print_message("skipped: seccomp is not permitted here\n");
        skip();
    }
    assert_int_equal(code, 0);
}

/* Waits until something appears in the folder. */
static void await_name(int watch)
{
    struct pollfd look = {.fd = watch, .events = POLLIN};
    char events[4096];
    assert_int_equal(poll(&look, 1, 60000), 1);
    assert_true(read(watch, events, sizeof(events)) > 0);
}

static void a_killed_save_leaves_the_old_file_and_is_tidied_up(void **state)
{
    struct scene *scene = *state;
    struct weft_region old = scene_region(PAGE), to = scene_region(PAGE),
                       region = scene_region((uint64_t)64 << 20);
    int watch = inotify_init1(IN_CLOEXEC), status;
    ((char *)old.base)[0] = 'o';
    memset(region.base, 1, region.len_bytes);
    scene_save(scene, "a", &old);
    assert_true(watch >= 0 && inotify_add_watch(watch, scene->folder, IN_CREATE) >= 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        for (;;) /* one of them is hit, each under a key of its own but the old one's */
            (void)weft__file_save_region(scene->files, "b", &region, NULL);
    }
    await_name(watch);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    (void)close(watch);
    scene_files(scene, NULL, WEFT_FILES_AUTO);
    bool saved = scene_load(scene, "b", NULL) == WEFT_OK;
    assert_int_equal(scene_names(scene, false), saved ? 2 : 1);
    assert_int_equal(scene_load(scene, "a", &to), WEFT_OK);
    scene_assert_same(&old, &to);
    weft__region_fini(&old);
    weft__region_fini(&to);
    weft__region_fini(&region);
}

static void what_another_process_is_writing_is_no_leftover(void **state)
{
    struct scene *scene = *state;
    struct weft_region region = scene_region((uint64_t)64 << 20);
    int watch = inotify_init1(IN_CLOEXEC), status;
    memset(region.base, 1, region.len_bytes);
    assert_true(watch >= 0 && inotify_add_watch(watch, scene->folder, IN_CREATE) >= 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(weft__file_save_region(scene->files, "a", &region, NULL) == WEFT_OK ? 0 : 1);
    await_name(watch);
    for (int i = 0; i < 20; i++)
        scene_files(scene, NULL, WEFT_FILES_AUTO);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(scene_load(scene, "a", NULL), WEFT_OK);
    (void)close(watch);
    weft__region_fini(&region);
}

static void a_folder_that_cannot_be_used_is_named(void **state)
{
    struct scene *scene = *state;
    struct weft_files *files;
    struct weft_files_desc desc = {.folder = "/proc/nowhere"};
    int err = weft__files_open(&desc, &files);
    assert_int_not_equal(err, WEFT_OK);
    assert_non_null(strstr(weft_fail_text(err), "/proc/nowhere"));
    char path[600];
    scene_path(scene, "file", path);
    (void)close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    desc.folder = path;
    assert_int_not_equal(weft__files_open(&desc, &files), WEFT_OK);
    desc.folder = "";
    assert_int_equal(weft__files_open(&desc, &files), WEFT_EINVAL);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_failing_disk_is_named_and_leaves_the_old_file),
        CASE(requests_that_are_done_in_part_are_continued),
        CASE(a_cancelled_save_leaves_nothing),
        CASE(a_limit_of_file_sizes_is_an_error_and_no_signal),
        CASE(a_full_disk_is_named_and_leaves_the_old_file),
        CASE(threads_serve_where_io_uring_is_not_permitted),
        CASE(a_killed_save_leaves_the_old_file_and_is_tidied_up),
        CASE(what_another_process_is_writing_is_no_leftover),
        CASE(a_folder_that_cannot_be_used_is_named),
    };
    scene_find_ways();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
