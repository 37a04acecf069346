/* Calls about files, through the service and its client, over the lane inside the process. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/wake.h"
#include "control/client.h"
#include "host_scene.h"
#include "link/data.h"
#include "snapshot/client.h"
#include "snapshot/service.h"
#include "weft/error.h"
#include "wire/snapshot.pb-c.h"

enum { MEMORY = 256 << 20, LARGE = 48 << 20, CALL_MS = 60000, CALLS = 12 };

struct rig {
    char folder[200];
    struct host host;
    struct asker asker;
};

static int rig_open(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    const char *tmp = getenv("TMPDIR");
    assert_non_null(rig);
    (void)snprintf(rig->folder, sizeof(rig->folder), "%s/weft-jobs-XXXXXX",
                   tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(rig->folder));
    host_open(&rig->host, MEMORY, rig->folder);
    asker_open(&rig->asker);
    *state = rig;
    return 0;
}

/* Those whose name begins like this; removes them when asked to. */
static unsigned names(const struct rig *rig, const char *prefix, bool remove_them)
{
    DIR *dir = opendir(rig->folder);
    const struct dirent *entry;
    unsigned n = 0;
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.' || strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        n++;
        if (remove_them)
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    }
    (void)closedir(dir);
    return n;
}

static int rig_close(void **state)
{
    struct rig *rig = *state;
    asker_close(&rig->asker);
    if (rig->host.server != NULL)
        host_close(&rig->host);
    (void)names(rig, "", true);
    assert_int_equal(rmdir(rig->folder), 0);
    free(rig);
    return 0;
}

static struct weft_snapshot_at at(const struct rig *rig, const char *key)
{
    return (struct weft_snapshot_at){.url = rig->host.url, .key = key, .timeout_ms = CALL_MS};
}

static void push(struct rig *rig, const char *key, size_t len)
{
    struct weft_snapshot_at where = at(rig, key);
    char *bytes = malloc(len);
    assert_non_null(bytes);
    memset(bytes, key[0], len);
    assert_int_equal(weft__snapshot_push_bytes(rig->asker.snapshots, &where, bytes, len), WEFT_OK);
    free(bytes);
}

static uint64_t bytes_moved(const struct rig *rig)
{
    struct weft_lane_stats stats;
    weft__lane_stats(weft__data_peek(rig->host.data), &stats);
    return stats.rma_bytes_got;
}

/* Pushes a region with 10 MiB in it, then what has changed since, far behind 4 GiB. */
static void push_and_update(struct rig *rig, const struct weft_snapshot_at *where,
                            const struct weft_region *region)
{
    const size_t far = region->len_bytes / 160 * 100 / 4096 * 4096;
    struct weft_extents changed = {0};
    struct weft_snapshot_update update = {.region = region, .changed = &changed};
    assert_int_equal(
        weft__snapshot_update(rig->asker.snapshots, where, &update, &update.base_version), WEFT_OK);
    assert_int_equal(bytes_moved(rig), 10 << 20);
    memset((char *)region->base + far, 201, 4096);
    assert_int_equal(weft__extents_add(&changed, far, 4096), WEFT_OK);
    assert_int_equal(weft__snapshot_update(rig->asker.snapshots, where, &update, NULL), WEFT_OK);
    assert_int_equal(bytes_moved(rig), (10 << 20) + 4096);
    weft__extents_fini(&changed);
}

static void a_sparse_snapshot_comes_back_sparse_after_a_restart(void **state)
{
    struct rig *rig = *state;
    struct weft_snapshot_at where = at(rig, "sparse");
    struct weft_region region;
    struct weft_snapshot_copy copy;
    struct weft_extents touched = {0};
    struct weft_snapshot_file *files;
    size_t n;
    const size_t len = (size_t)64 << 30;
    assert_int_equal(weft__region_init(&region, "jobs-test", NULL, len), WEFT_OK);
    for (size_t i = 0; i < 160; i++) /* 10 MiB over all of it */
        memset((char *)region.base + i * (len / 160) / 4096 * 4096, (int)i + 1, 64 << 10);
    push_and_update(rig, &where, &region);
    assert_int_equal(weft__snapshot_save(rig->asker.snapshots, &where), WEFT_OK);
    weft__region_fini(&region);
    asker_close(&rig->asker);
    host_close(&rig->host);
    host_open(&rig->host, MEMORY, rig->folder);
    asker_open(&rig->asker);
    where = at(rig, "sparse");
    assert_int_equal(weft__snapshot_pull(rig->asker.snapshots, &where, &copy), WEFT_ENOENT);
    assert_int_equal(weft__snapshot_verify(rig->asker.snapshots, &where), WEFT_OK);
    assert_int_equal(weft__snapshot_restore(rig->asker.snapshots, &where, NULL), WEFT_OK);
    assert_int_equal(weft__snapshot_pull(rig->asker.snapshots, &where, &copy), WEFT_OK);
    struct weft_lane_stats moved;
    weft__snapshots_lane_stats(rig->asker.snapshots, &moved);
    assert_int_equal(moved.rma_bytes_got, 10 << 20);
    assert_int_equal(copy.size_bytes, len);
    assert_int_equal(weft__region_touched(&copy.region, &touched), WEFT_OK);
    assert_int_equal(touched.total_bytes, 10 << 20);
    for (size_t i = 0; i < 160; i++)
        assert_int_equal(((unsigned char *)copy.region.base)[i * (len / 160) / 4096 * 4096 + 65535],
                         i + 1);
    assert_int_equal(((unsigned char *)copy.region.base)[len / 160 * 100 / 4096 * 4096], 201);
    weft__extents_fini(&touched);
    weft__region_fini(&copy.region);
    where = at(rig, "");
    assert_int_equal(weft__snapshot_stored(rig->asker.snapshots, &where, &files, &n), WEFT_OK);
    assert_int_equal(n, 1);
    assert_int_equal(files[0].size_bytes, len);
    assert_true(files[0].file_bytes < (11 << 20));
    weft__snapshot_stored_free(files, n);
}

static void small_snapshots_keep_their_exact_size(void **state)
{
    struct rig *rig = *state;
    static const size_t sizes[] = {1, 4095, 4096, 4097, 65536, 65537, 1000001};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct weft_snapshot_at where = at(rig, "x");
        struct weft_snapshot_copy copy;
        push(rig, "x", sizes[i]);
        assert_int_equal(weft__snapshot_save(rig->asker.snapshots, &where), WEFT_OK);
        assert_int_equal(weft__snapshot_delete(rig->asker.snapshots, &where, NULL), WEFT_OK);
        assert_int_equal(weft__snapshot_restore(rig->asker.snapshots, &where, NULL), WEFT_OK);
        assert_int_equal(weft__snapshot_pull(rig->asker.snapshots, &where, &copy), WEFT_OK);
        assert_int_equal(copy.size_bytes, sizes[i]);
        assert_int_equal(((char *)copy.region.base)[sizes[i] - 1], 'x');
        if (sizes[i] < copy.region.len_bytes)
            assert_int_equal(((char *)copy.region.base)[sizes[i]], 0);
        weft__region_fini(&copy.region);
    }
}

/* Calls under way. */
static _Atomic uint32_t over_n;
static atomic_uint good, again, ended, wrong;

static void answered(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    (void)ctx;
    (void)reply;
    atomic_fetch_add(err == WEFT_OK          ? &good
                     : err == WEFT_EAGAIN    ? &again
                     : err == WEFT_ESHUTDOWN ? &ended
                                             : &wrong,
                     1);
    if (err != WEFT_OK && err != WEFT_EAGAIN && err != WEFT_ESHUTDOWN)
        (void)fprintf(stderr, "%d: %s\n", err, text);
    atomic_fetch_add(&over_n, 1);
    weft__futex_wake(&over_n);
}

static struct weft_client_ticket save_soon(struct rig *rig, const char *key)
{
    Weft__Snapshot__FileRequest request = WEFT__SNAPSHOT__FILE_REQUEST__INIT;
    struct weft_client_ticket ticket;
    request.key = (char *)(uintptr_t)key;
    assert_int_equal(
        weft__client_start(rig->asker.client, &(struct weft_client_call){.url = rig->host.url,
                                                                         .code = WEFT_SNAPSHOT_SAVE,
                                                                         .request = &request.base,
                                                                         .timeout_ms = CALL_MS,
                                                                         .done = answered,
                                                                         .ticket_out = &ticket}),
        WEFT_OK);
    return ticket;
}

static void await_over(uint32_t n)
{
    for (uint32_t seen = atomic_load(&over_n); seen < n; seen = atomic_load(&over_n))
        (void)weft__futex_wait(&over_n, seen, UINT64_MAX);
}

static void forget_calls(void)
{
    atomic_store(&over_n, 0);
    atomic_store(&good, 0);
    atomic_store(&again, 0);
    atomic_store(&ended, 0);
    atomic_store(&wrong, 0);
}

static void calls_beyond_the_bound_are_told_to_come_again(void **state)
{
    struct rig *rig = *state;
    struct weft_snapshot_at where = at(rig, "large");
    forget_calls();
    push(rig, "large", LARGE);
    for (unsigned i = 0; i < CALLS; i++)
        (void)save_soon(rig, "large");
    await_over(CALLS);
    assert_int_equal(atomic_load(&good) + atomic_load(&again), CALLS);
    assert_true(atomic_load(&good) >= 1);
    assert_int_equal(weft__snapshot_verify(rig->asker.snapshots, &where), WEFT_OK);
    assert_int_equal(names(rig, "", false), 1);
}

static void a_host_that_stops_ends_them_and_leaves_nothing_half_done(void **state)
{
    struct rig *rig = *state;
    forget_calls();
    push(rig, "large", LARGE);
    for (unsigned i = 0; i < WEFT_SNAPSHOT_JOBS_MAX; i++)
        (void)save_soon(rig, "large");
    host_close(&rig->host);
    await_over(WEFT_SNAPSHOT_JOBS_MAX);
    assert_int_equal(atomic_load(&good) + atomic_load(&ended) + atomic_load(&wrong),
                     WEFT_SNAPSHOT_JOBS_MAX);
    assert_int_equal(names(rig, "weft-save-", false), 0);
    host_open(&rig->host, MEMORY, rig->folder);
}

static void a_call_that_is_given_up_ends_or_is_done(void **state)
{
    struct rig *rig = *state;
    forget_calls();
    push(rig, "large", LARGE);
    weft__client_cancel(rig->asker.client, save_soon(rig, "large"));
    await_over(1);
    host_close(&rig->host);
    assert_int_equal(names(rig, "weft-save-", false), 0);
    host_open(&rig->host, MEMORY, rig->folder);
}

static void a_file_that_does_not_fit_into_memory_is_refused(void **state)
{
    struct rig *rig = *state;
    struct weft_snapshot_at a = at(rig, "a"), b = at(rig, "b");
    push(rig, "a", LARGE);
    assert_int_equal(weft__snapshot_save(rig->asker.snapshots, &a), WEFT_OK);
    assert_int_equal(weft__snapshot_delete(rig->asker.snapshots, &a, NULL), WEFT_OK);
    push(rig, "b", MEMORY - LARGE);
    int err = weft__snapshot_restore(rig->asker.snapshots, &a, NULL);
    assert_int_equal(err, WEFT_ENOSPC);
    assert_non_null(strstr(weft_fail_text(err), "WEFT_SNAPSHOT_MEMORY"));
    assert_int_equal(weft__snapshot_delete(rig->asker.snapshots, &b, NULL), WEFT_OK);
    assert_int_equal(weft__snapshot_restore(rig->asker.snapshots, &a, NULL), WEFT_OK);
}

/* Bytes of the host's memory files. */
static uint64_t in_regions(void)
{
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;
    uint64_t bytes = 0;
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        char target[64];
        struct stat status;
        ssize_t len = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target));
        if (len > 20 && memcmp(target, "/memfd:weft-snapshot", 20) == 0 &&
            fstatat(dirfd(dir), entry->d_name, &status, 0) == 0)
            bytes += (uint64_t)status.st_blocks * 512;
    }
    (void)closedir(dir);
    return bytes;
}

static void a_damaged_file_is_not_restored_and_takes_no_memory(void **state)
{
    struct rig *rig = *state;
    struct weft_snapshot_at where = at(rig, "d");
    struct weft_snapshot_info before, after;
    char path[300];
    const off_t len = 6 << 20;
    push(rig, "d", (size_t)len);
    assert_int_equal(weft__snapshot_save(rig->asker.snapshots, &where), WEFT_OK);
    push(rig, "d", 5);
    assert_int_equal(weft__snapshot_info(rig->asker.snapshots, &where, &before), WEFT_OK);
    (void)snprintf(path, sizeof(path), "%s/d.snapshot", rig->folder);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (off_t place = len; place > 0; place -= len / 3) { /* in more and more places */
        assert_int_equal(pwrite(fd, "!", 1, place), 1);
        int err = weft__snapshot_restore(rig->asker.snapshots, &where, NULL);
        assert_true(err == WEFT_ECHECKSUM || err == WEFT_EPROTO);
        assert_non_null(strstr(weft_fail_text(err), path));
        assert_int_equal(in_regions(), 0);
    }
    assert_int_equal(ftruncate(fd, len / 2), 0);
    assert_int_equal(weft__snapshot_restore(rig->asker.snapshots, &where, NULL), WEFT_EPROTO);
    (void)close(fd);
    assert_int_equal(in_regions(), 0);
    assert_int_equal(weft__snapshot_info(rig->asker.snapshots, &where, &after), WEFT_OK);
    assert_int_equal(after.version, before.version); /* what was there is there */
    assert_int_equal(after.size_bytes, 5);
}

#define ON_A_RIG(test) cmocka_unit_test_setup_teardown(test, rig_open, rig_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_RIG(a_sparse_snapshot_comes_back_sparse_after_a_restart),
        ON_A_RIG(small_snapshots_keep_their_exact_size),
        ON_A_RIG(calls_beyond_the_bound_are_told_to_come_again),
        ON_A_RIG(a_host_that_stops_ends_them_and_leaves_nothing_half_done),
        ON_A_RIG(a_call_that_is_given_up_ends_or_is_done),
        ON_A_RIG(a_file_that_does_not_fit_into_memory_is_refused),
        ON_A_RIG(a_damaged_file_is_not_restored_and_takes_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
