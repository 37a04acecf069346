/* A disk that fails, and one whose power goes: whatever call of the journal fails and wherever the
 * power is cut, the next head finds every change that was answered, and of the one that was under
 * way all or nothing.
 *
 * The disk stands between the journal and the kernel. It keeps what a sync has made durable; after
 * a power cut a file is a mix, sector by sector, of that and of what was written since, of any
 * length between, and a name whose folder was not synced names the old file or the new one.
 * registry_disk [RUNS [FIRST SEED]]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "registry/journal.h"
#include "weft/error.h"

enum { SECTOR = 512, FILE_MAX = 1 << 17, KEYS = 6, STEPS = 30, FAIL_PERCENT = 4 };

struct image {
    size_t len;
    uint8_t bytes[FILE_MAX];
};

static struct {
    char path[64], fresh_path[72]; /* of the log, and of the one that is to replace it */
    struct image file, fresh;      /* what is durable of them */
    struct image replaced;         /* what the name may still mean */
    bool may_be_replaced;
    bool on;
    long calls, cut_at; /* the power goes before this call; 0: not */
    bool cut;
    struct image left; /* what it leaves */
} disk;

static uint64_t dice_state;
static long runs = 40, first_seed = 1;

static uint64_t dice(uint64_t below)
{
    dice_state ^= dice_state << 13;
    dice_state ^= dice_state >> 7;
    dice_state ^= dice_state << 17;
    return (dice_state >> 20) % below;
}

static void image_read(struct image *image, const char *path)
{
    FILE *file = fopen(path, "rb");
    image->len = 0;
    memset(image->bytes, 0, sizeof(image->bytes));
    if (file == NULL)
        return;
    image->len = fread(image->bytes, 1, FILE_MAX, file);
    assert_true(image->len < FILE_MAX);
    fclose(file);
}

/* Any mix of what is durable and what was written since. */
static void image_mix(struct image *out, const struct image *durable, const char *path)
{
    static struct image now;
    image_read(&now, path);
    size_t low = durable->len < now.len ? durable->len : now.len;
    size_t high = durable->len < now.len ? now.len : durable->len;
    out->len = dice(3) ? (dice(2) ? low : high) : low + dice(high - low + 1);
    memset(out->bytes, 0, sizeof(out->bytes));
    for (size_t at = 0; at < out->len; at += SECTOR)
        memcpy(out->bytes + at, (dice(2) ? durable->bytes : now.bytes) + at, SECTOR);
    memset(out->bytes + out->len, 0, FILE_MAX - out->len);
}

/* Before every call: it may be the one before which the power goes, and it may fail. */
static bool disk_fails(void)
{
    disk.calls++;
    if (disk.on && disk.calls == disk.cut_at) {
        disk.cut = true;
        if (disk.may_be_replaced && dice(2))
            disk.left = disk.replaced;
        else
            image_mix(&disk.left, &disk.file, disk.path);
    }
    return disk.on && dice(100) < FAIL_PERCENT;
}

static bool is_fresh(int fd)
{
    struct stat mine, named;
    return fstat(fd, &mine) == 0 && stat(disk.fresh_path, &named) == 0 &&
           mine.st_ino == named.st_ino;
}

ssize_t __real_pwrite(int fd, const void *bytes, size_t len, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t len, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    bool fails = disk_fails();
    if (offset == 0 && is_fresh(fd))
        disk.fresh.len = 0;
    ssize_t n = __real_pwrite(fd, bytes, fails ? dice(len) : len, offset);
    if (!fails)
        return n;
    errno = dice(4) ? ENOSPC : EIO;
    return -1;
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
    if (disk_fails()) {
        errno = dice(2) ? EIO : ENOSPC;
        return -1;
    }
    bool fresh = is_fresh(fd);
    image_read(fresh ? &disk.fresh : &disk.file, fresh ? disk.fresh_path : disk.path);
    return __real_fdatasync(fd);
}

/* Only of the folder. */
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    if (disk_fails()) {
        errno = EIO;
        return -1;
    }
    disk.may_be_replaced = false;
    return __real_fsync(fd);
}

int __real_ftruncate(int fd, off_t len);
int __wrap_ftruncate(int fd, off_t len);
int __wrap_ftruncate(int fd, off_t len)
{
    if (disk_fails()) {
        errno = EIO;
        return -1;
    }
    return __real_ftruncate(fd, len);
}

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to)
{
    if (disk_fails()) {
        errno = ENOSPC;
        return -1;
    }
    if (!disk.may_be_replaced || dice(2))
        image_mix(&disk.replaced, &disk.file, disk.path);
    disk.may_be_replaced = true;
    disk.file = disk.fresh;
    return __real_rename(from, to);
}

/* ---- what must be there ---- */

struct model {
    uint32_t value[KEYS];  /* that was answered; 0: none */
    uint32_t wanted[KEYS]; /* of a change whose fate is not known; else value */
};

struct run {
    struct weft_journal journal;
    struct weft_values keys;
    struct model model;
    struct model at_cut; /* as it was when the power went */
    bool cut;
    uint32_t next;
};

static void note_cut(struct run *run)
{
    if (disk.cut && !run->cut)
        run->at_cut = run->model;
    run->cut = disk.cut;
}

static uint32_t value_of(const struct weft_values *keys, unsigned key)
{
    const char name[] = {(char)('a' + key)};
    const struct weft_values_entry *entry =
        weft__values_find(keys, (struct weft_bytes){name, sizeof(name)});
    uint32_t value = 0;
    if (entry != NULL)
        memcpy(&value, entry->value, sizeof(value));
    return value;
}

/* All that was answered, and of what was under way all or nothing. */
static void check(const struct weft_values *keys, const struct model *model)
{
    bool before = true, after = true;
    for (unsigned k = 0; k < KEYS; k++) {
        before = before && value_of(keys, k) == model->value[k];
        after = after && value_of(keys, k) == model->wanted[k];
    }
    assert_true(before || after);
}

static void check_left(const struct run *run)
{
    static struct weft_journal journal;
    struct weft_values keys = {0};
    char path[72];
    snprintf(path, sizeof(path), "%s.left", disk.path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(disk.left.bytes, 1, disk.left.len, file), disk.left.len);
    assert_int_equal(fclose(file), 0);
    disk.on = false;
    int err = weft__journal_open(&journal, path, &keys);
    if (err)
        fail_msg("%s", weft_fail_text(err));
    assert_true(journal.epoch > run->journal.epoch);
    assert_int_equal(journal.id, run->journal.id);
    check(&keys, &run->at_cut);
    weft__journal_close(&journal);
    weft__values_fini(&keys);
    unlink(path);
}

/* ---- what the registry does ---- */

/* Some changes in one piece, each of its own key. */
static void commit_some(struct run *run)
{
    static uint8_t bytes[KEYS][1500];
    struct weft_values_change changes[KEYS];
    static const char names[KEYS] = "abcdef";
    unsigned n = 0;
    for (unsigned k = 0; k < KEYS; k++) {
        if (dice(3))
            continue;
        bool erase = dice(4) == 0;
        uint32_t value = erase ? 0 : ++run->next;
        memset(bytes[k], (int)dice(256), sizeof(bytes[k]));
        memcpy(bytes[k], &value, sizeof(value));
        changes[n] = (struct weft_values_change){.key = {&names[k], 1},
                                                 .value = {bytes[k], 4 + dice(1400)},
                                                 .erase = erase,
                                                 .revision = run->keys.revision + 1 + n};
        if (weft__journal_add(&run->journal, &changes[n]) != 0)
            return; /* broken: nothing of it was added before either */
        run->model.wanted[k] = value;
        n++;
    }
    if (n == 0)
        return;
    int err = weft__journal_commit(&run->journal);
    note_cut(run);
    assert_true(!err || run->journal.broken == (err == WEFT_EIO));
    if (err == WEFT_EIO)
        return; /* nobody knows */
    for (unsigned i = 0; i < n && !err; i++)
        assert_int_equal(weft__values_apply(&run->keys, &changes[i]), 0);
    memcpy(err ? run->model.wanted : run->model.value, err ? run->model.value : run->model.wanted,
           sizeof(run->model.value));
}

static void rewrite(struct run *run)
{
    int err = weft__journal_compact(&run->journal, &run->keys);
    note_cut(run);
    assert_true(!err || access(disk.fresh_path, F_OK) != 0);
    if (!err) {
        assert_false(run->journal.broken);
        memcpy(run->model.wanted, run->model.value, sizeof(run->model.value));
    }
}

/* Returns how many calls there were. */
static long one_run(uint64_t seed, long cut_at)
{
    static struct run run;
    memset(&run, 0, sizeof(run));
    dice_state = seed * 0x9e3779b97f4a7c15u + 1;
    (void)dice(2);
    disk.on = disk.cut = disk.may_be_replaced = false;
    assert_int_equal(weft__journal_open(&run.journal, disk.path, &run.keys), 0);
    disk.calls = 0;
    disk.cut_at = cut_at;
    disk.on = true;
    for (unsigned i = 0; i < STEPS && !run.cut; i++) {
        if (run.journal.broken ? dice(2) : dice(8) == 0)
            rewrite(&run);
        else
            commit_some(&run);
        check(&run.keys, &run.model);
    }
    if (run.cut)
        check_left(&run);
    disk.on = false;
    weft__journal_close(&run.journal);
    weft__values_fini(&run.keys);
    /* Killed, or told to end: what the kernel has is there. */
    if (!run.cut) {
        assert_int_equal(weft__journal_open(&run.journal, disk.path, &run.keys), 0);
        check(&run.keys, &run.model);
        weft__journal_close(&run.journal);
        weft__values_fini(&run.keys);
    }
    unlink(disk.path);
    return disk.calls;
}

static void whatever_fails_and_wherever_the_power_goes_answered_changes_are_kept(void **state)
{
    (void)state;
    long cuts = 0;
    for (long seed = first_seed; seed < first_seed + runs; seed++) {
        long calls = one_run((uint64_t)seed, 0);
        for (int i = 0; i < 3; i++, cuts++) {
            dice_state = (uint64_t)seed * 7919u + (uint64_t)i + 1;
            (void)dice(2);
            (void)one_run((uint64_t)seed, 1 + (long)dice((uint64_t)calls));
        }
    }
    printf("%ld runs with failing calls, %ld power cuts\n", runs, cuts);
}

static void a_sync_that_fails_is_not_believed_and_a_rewrite_mends_it(void **state)
{
    (void)state;
    struct weft_journal journal;
    struct weft_values keys = {0};
    const struct weft_values_change first = {.key = {"a", 1}, .value = {"1", 1}, .revision = 1},
                                    second = {.key = {"b", 1}, .value = {"2", 1}, .revision = 1};
    assert_int_equal(weft__journal_open(&journal, disk.path, &keys), 0);
    assert_int_equal(weft__journal_add(&journal, &first), 0);
    journal.fd += 1000; /* no such file: neither the write nor what takes it back succeeds */
    assert_int_equal(weft__journal_commit(&journal), WEFT_EIO);
    journal.fd -= 1000;
    assert_true(journal.broken);
    assert_int_equal(weft__journal_add(&journal, &second), WEFT_EIO);
    assert_non_null(strstr(weft_fail_text(WEFT_EIO), "make room"));
    assert_int_equal(weft__journal_compact(&journal, &keys), 0);
    assert_int_equal(weft__journal_add(&journal, &second), 0);
    assert_int_equal(weft__journal_commit(&journal), 0);
    weft__journal_close(&journal);
    assert_int_equal(weft__journal_open(&journal, disk.path, &keys), 0);
    assert_null(weft__values_find(&keys, first.key));
    assert_non_null(weft__values_find(&keys, second.key));
    weft__journal_close(&journal);
    weft__values_fini(&keys);
    unlink(disk.path);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sync_that_fails_is_not_believed_and_a_rewrite_mends_it),
        cmocka_unit_test(whatever_fails_and_wherever_the_power_goes_answered_changes_are_kept),
    };
    char folder[] = "/tmp/weft-disk-XXXXXX";
    if (argc > 1)
        runs = strtol(argv[1], NULL, 10);
    if (argc > 2)
        first_seed = strtol(argv[2], NULL, 10);
    if (mkdtemp(folder) == NULL)
        return 1;
    snprintf(disk.path, sizeof(disk.path), "%s/log", folder);
    snprintf(disk.fresh_path, sizeof(disk.fresh_path), "%s/log.new", folder);
    weft__log_set_level(WEFT_LOG_ERROR); /* torn tails are warned about */
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return rmdir(folder) == 0 ? failed : 1;
}
