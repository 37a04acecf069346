/* The log: torn at every byte, damaged in the middle, compacted, locked, and on a disk that is
 * full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "registry/journal.h"
#include "weft/error.h"

struct folder {
    char path[64];
    char log[80];
};

static int folder_make(void **state)
{
    struct folder *folder = calloc(1, sizeof(*folder));
    snprintf(folder->path, sizeof(folder->path), "/tmp/weft-journal-XXXXXX");
    if (!folder || !mkdtemp(folder->path))
        return -1;
    snprintf(folder->log, sizeof(folder->log), "%s/log", folder->path);
    *state = folder;
    return 0;
}

static int folder_remove(void **state)
{
    struct folder *folder = *state;
    char fresh[96];
    snprintf(fresh, sizeof(fresh), "%s.new", folder->log);
    unlink(folder->log);
    unlink(fresh);
    int err = rmdir(folder->path);
    free(folder);
    return err;
}

static void change(struct weft_journal *journal, struct weft_values *keys, const char *key,
                   const char *value)
{
    const struct weft_values_change step = {.key = {key, strlen(key)},
                                            .value = {value, value ? strlen(value) : 0},
                                            .erase = !value,
                                            .revision = keys->revision + 1};
    assert_int_equal(weft__journal_add(journal, &step), 0);
    assert_int_equal(weft__journal_commit(journal), 0);
    assert_int_equal(weft__values_apply(keys, &step), 0);
}

static void expect(const struct weft_values *keys, const char *key, const char *value)
{
    const struct weft_values_entry *entry =
        weft__values_find(keys, (struct weft_bytes){key, strlen(key)});
    if (!value) {
        assert_null(entry);
        return;
    }
    assert_non_null(entry);
    assert_int_equal(entry->value_len, strlen(value));
    assert_memory_equal(entry->value, value, strlen(value));
}

static size_t read_file(const char *path, uint8_t *into, size_t room)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t len = fread(into, 1, room, file);
    fclose(file);
    return len;
}

static void write_file(const char *path, const uint8_t *bytes, size_t len)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static void what_was_committed_is_there_again_under_the_next_epoch(void **state)
{
    const struct folder *folder = *state;
    struct weft_journal journal;
    struct weft_values keys = {0};
    assert_int_equal(weft__journal_open(&journal, folder->log, &keys), 0);
    uint64_t epoch = journal.epoch, id = journal.id;
    assert_true(epoch > 0 && id != 0);
    change(&journal, &keys, "a", "one");
    change(&journal, &keys, "b", "");
    change(&journal, &keys, "a", "two");
    change(&journal, &keys, "c", "gone");
    change(&journal, &keys, "c", NULL);
    weft__journal_close(&journal);
    weft__values_fini(&keys);
    for (int again = 0; again < 3; again++) {
        assert_int_equal(weft__journal_open(&journal, folder->log, &keys), 0);
        assert_true(journal.epoch > epoch);
        assert_int_equal(journal.id, id);
        epoch = journal.epoch;
        assert_int_equal(journal.torn_at, 0);
        assert_int_equal(keys.revision, 5);
        assert_int_equal(keys.n, 2);
        expect(&keys, "a", "two");
        expect(&keys, "b", "");
        weft__journal_close(&journal);
        weft__values_fini(&keys);
    }
}

static void what_was_added_but_not_committed_is_not_there(void **state)
{
    const struct folder *folder = *state;
    const struct weft_values_change step = {.key = {"a", 1}, .value = {"1", 1}, .revision = 1};
    struct weft_journal journal;
    struct weft_values keys = {0};
    assert_int_equal(weft__journal_open(&journal, folder->log, &keys), 0);
    assert_int_equal(weft__journal_add(&journal, &step), 0);
    weft__journal_close(&journal);
    assert_int_equal(weft__journal_open(&journal, folder->log, &keys), 0);
    expect(&keys, "a", NULL);
    weft__journal_close(&journal);
    weft__values_fini(&keys);
}

/* A file of five changes; offsets_out: its length after each of them. */
static size_t five_changes(const char *path, uint8_t *bytes, size_t room, uint64_t offsets_out[6])
{
    struct weft_journal journal;
    struct weft_values keys = {0};
    assert_int_equal(weft__journal_open(&journal, path, &keys), 0);
    offsets_out[0] = journal.len_bytes;
    for (int i = 1; i <= 5; i++) {
        char value[32];
        snprintf(value, sizeof(value), "value %d", i);
        change(&journal, &keys, "key", value);
        offsets_out[i] = journal.len_bytes;
    }
    weft__journal_close(&journal);
    weft__values_fini(&keys);
    return read_file(path, bytes, room);
}

/* What stands after opening the file cut at len, and then filled up to fill with zeros. */
static void open_torn(const char *path, const uint8_t *bytes, const uint64_t offsets[6], size_t len)
{
    struct weft_journal journal;
    struct weft_values keys = {0};
    assert_int_equal(weft__journal_open(&journal, path, &keys), 0);
    int whole = 0;
    while (whole < 5 && offsets[whole + 1] <= len)
        whole++;
    char value[32];
    snprintf(value, sizeof(value), "value %d", whole);
    expect(&keys, "key", whole ? value : NULL);
    (void)bytes;
    /* And it goes on from there. */
    change(&journal, &keys, "more", "x");
    weft__journal_close(&journal);
    weft__values_fini(&keys);
    assert_int_equal(weft__journal_open(&journal, path, &keys), 0);
    assert_int_equal(journal.torn_at, 0);
    expect(&keys, "more", "x");
    expect(&keys, "key", whole ? value : NULL);
    weft__journal_close(&journal);
    weft__values_fini(&keys);
}

static void a_log_torn_at_any_byte_keeps_every_whole_change(void **state)
{
    const struct folder *folder = *state;
    uint8_t bytes[1024];
    uint64_t offsets[6];
    size_t len = five_changes(folder->log, bytes, sizeof(bytes), offsets);
    assert_int_equal(len, offsets[5]);
    for (size_t cut = 0; cut <= len; cut++) {
        write_file(folder->log, bytes, cut);
        open_torn(folder->log, bytes, offsets, cut);
    }
}

static void a_tail_of_zeros_or_noise_is_cut_off_and_its_offset_noted(void **state)
{
    const struct folder *folder = *state;
    uint8_t bytes[2048];
    uint64_t offsets[6];
    struct weft_journal journal;
    struct weft_values keys = {0};
    size_t len = five_changes(folder->log, bytes, sizeof(bytes), offsets);
    for (size_t cut = offsets[4] + 1; cut < len; cut++) {
        uint8_t torn[2048] = {0};
        memcpy(torn, bytes, cut);
        if (cut % 2)
            memset(torn + cut, 0xa5, 200);
        write_file(folder->log, torn, cut + 200);
        assert_int_equal(weft__journal_open(&journal, folder->log, &keys), 0);
        assert_int_equal(journal.torn_at, offsets[4]);
        expect(&keys, "key", "value 4");
        weft__journal_close(&journal);
        weft__values_fini(&keys);
    }
}

static void damage_before_the_end_is_refused_with_its_offset(void **state)
{
    const struct folder *folder = *state;
    uint8_t bytes[1024];
    uint64_t offsets[6];
    size_t len = five_changes(folder->log, bytes, sizeof(bytes), offsets);
    for (size_t at = offsets[1]; at < offsets[4]; at++) {
        struct weft_journal journal;
        struct weft_values keys = {0};
        char offset[40];
        int frame = 1;
        while (offsets[frame + 1] <= at)
            frame++;
        bytes[at] ^= 0x40;
        write_file(folder->log, bytes, len);
        bytes[at] ^= 0x40;
        assert_int_equal(weft__journal_open(&journal, folder->log, &keys), WEFT_ECHECKSUM);
        snprintf(offset, sizeof(offset), "at offset %llu", (unsigned long long)offsets[frame]);
        assert_non_null(strstr(weft_fail_text(WEFT_ECHECKSUM), offset));
        weft__values_fini(&keys);
    }
}

static void values_that_look_like_frames_deceive_nobody(void **state)
{
    const struct folder *folder = *state;
    uint8_t bytes[1024], value[1024];
    uint64_t offsets[6];
    struct weft_journal journal;
    struct weft_values keys = {0};
    size_t len = five_changes(folder->log, bytes, sizeof(bytes), offsets);
    size_t frame_len = len - offsets[4];
    memcpy(value, bytes + offsets[4], frame_len);
    assert_int_equal(weft__journal_open(&journal, folder->log, &keys), 0);
    const struct weft_values_change step = {
        .key = {"trick", 5}, .value = {value, frame_len}, .revision = 6};
    assert_int_equal(weft__journal_add(&journal, &step), 0);
    assert_int_equal(weft__journal_commit(&journal), 0);
    uint64_t end = journal.len_bytes;
    weft__journal_close(&journal);
    weft__values_fini(&keys);
    assert_int_equal(truncate(folder->log, (off_t)end - 1), 0);
    assert_int_equal(weft__journal_open(&journal, folder->log, &keys), 0);
    assert_true(journal.torn_at > 0);
    expect(&keys, "key", "value 5");
    expect(&keys, "trick", NULL);
    weft__journal_close(&journal);
    weft__values_fini(&keys);
}

static void a_log_in_use_is_refused_and_another_file_too(void **state)
{
    const struct folder *folder = *state;
    struct weft_journal journal, second;
    struct weft_values keys = {0};
    assert_int_equal(weft__journal_open(&journal, folder->log, &keys), 0);
    assert_int_equal(weft__journal_open(&second, folder->log, &keys), WEFT_EBUSY);
    weft__journal_close(&journal);
    weft__values_fini(&keys);
    write_file(folder->log, (const uint8_t *)"#!/bin/sh\nexit 0\n", 17);
    assert_int_equal(weft__journal_open(&journal, folder->log, &keys), WEFT_EINVAL);
    assert_int_equal(weft__journal_open(&journal, "/nonexistent/folder/log", &keys), WEFT_ENOENT);
    weft__values_fini(&keys);
}

static void a_log_of_another_format_is_refused_and_left_as_it_is(void **state)
{
    const struct folder *folder = *state;
    uint8_t before[1024], after[1024];
    uint64_t offsets[6];
    struct weft_journal journal;
    struct weft_values keys = {0};
    size_t len = five_changes(folder->log, before, sizeof(before), offsets);
    static const uint8_t digits[] = {'1', '3'};
    for (size_t i = 0; i < sizeof(digits); i++) {
        before[7] = digits[i];
        write_file(folder->log, before, len);
        assert_int_equal(weft__journal_open(&journal, folder->log, &keys), WEFT_EVERSION);
        assert_non_null(strstr(weft_fail_text(WEFT_EVERSION), "use the one that wrote it"));
        assert_int_equal(keys.n, 0);
        assert_int_equal(read_file(folder->log, after, sizeof(after)), len);
        assert_memory_equal(before, after, len);
    }
    weft__values_fini(&keys);
}

static void a_full_batch_says_so_and_goes_on_after_a_commit(void **state)
{
    const struct folder *folder = *state;
    static const char value[4000];
    struct weft_journal journal;
    struct weft_values keys = {0};
    struct weft_values_change step = {.value = {value, sizeof(value)}};
    uint64_t added = 0;
    int err;
    assert_int_equal(weft__journal_open(&journal, folder->log, &keys), 0);
    do {
        char key[16];
        snprintf(key, sizeof(key), "k%llu", (unsigned long long)added);
        step.key = (struct weft_bytes){key, strlen(key)};
        step.revision = added + 1;
        err = weft__journal_add(&journal, &step);
        added += !err;
    } while (!err);
    assert_int_equal(err, WEFT_EAGAIN);
    assert_int_equal(weft__journal_commit(&journal), 0);
    weft__journal_close(&journal);
    assert_int_equal(weft__journal_open(&journal, folder->log, &keys), 0);
    assert_int_equal(keys.n, added);
    weft__journal_close(&journal);
    weft__values_fini(&keys);
}

static void compaction_keeps_values_revisions_epoch_and_the_lock(void **state)
{
    const struct folder *folder = *state;
    struct weft_journal journal, second;
    struct weft_values keys = {0};
    struct stat st;
    char key[32], value[600];
    memset(value, 'v', sizeof(value));
    value[sizeof(value) - 1] = '\0';
    assert_int_equal(weft__journal_open(&journal, folder->log, &keys), 0);
    while (!weft__journal_bloated(&journal, &keys)) {
        for (int i = 0; i < 500; i++) {
            snprintf(key, sizeof(key), "k%d", i % 50);
            const struct weft_values_change step = {.key = {key, strlen(key)},
                                                    .value = {value, 300 + (size_t)i % 200},
                                                    .revision = keys.revision + 1};
            assert_int_equal(weft__journal_add(&journal, &step), 0);
            assert_int_equal(weft__values_apply(&keys, &step), 0);
        }
        assert_int_equal(weft__journal_commit(&journal), 0);
    }
    change(&journal, &keys, "erased", "x");
    change(&journal, &keys, "erased", NULL);
    uint64_t revision = keys.revision, length = journal.len_bytes;
    assert_int_equal(weft__journal_compact(&journal, &keys), 0);
    assert_true(journal.len_bytes < length / 4);
    assert_int_equal(stat(folder->log, &st), 0);
    assert_int_equal(st.st_size, journal.len_bytes);
    assert_false(weft__journal_bloated(&journal, &keys));
    struct weft_values none = {0};
    assert_int_equal(weft__journal_open(&second, folder->log, &none), WEFT_EBUSY);
    change(&journal, &keys, "after", "y");
    uint64_t epoch = journal.epoch, id = journal.id;
    weft__journal_close(&journal);
    struct weft_values again = {0};
    assert_int_equal(weft__journal_open(&journal, folder->log, &again), 0);
    assert_true(journal.epoch > epoch);
    assert_int_equal(journal.id, id);
    assert_int_equal(again.revision, revision + 1);
    assert_int_equal(again.n, keys.n);
    expect(&again, "after", "y");
    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        const struct weft_bytes name = {key, strlen(key)};
        assert_int_equal(weft__values_find(&again, name)->revision,
                         weft__values_find(&keys, name)->revision);
    }
    weft__journal_close(&journal);
    weft__values_fini(&keys);
    weft__values_fini(&again);
}

static void after_the_loss_of_its_log_a_registry_has_a_higher_epoch_and_another_id(void **state)
{
    const struct folder *folder = *state;
    struct weft_journal journal;
    struct weft_values keys = {0};
    assert_int_equal(weft__journal_open(&journal, folder->log, &keys), 0);
    uint64_t epoch = journal.epoch, id = journal.id;
    weft__journal_close(&journal);
    assert_int_equal(unlink(folder->log), 0);
    assert_int_equal(weft__journal_open(&journal, folder->log, &keys), 0);
    assert_true(journal.epoch >= epoch); /* it is of the clock's seconds */
    assert_true(journal.epoch >= 1500000000);
    assert_int_not_equal(journal.id, id);
    weft__journal_close(&journal);
    weft__values_fini(&keys);
}

static void a_full_disk_changes_nothing_and_the_log_goes_on_when_there_is_room(void **state)
{
    const struct folder *folder = *state;
    const struct weft_values_change step = {.key = {"b", 1}, .value = {"lost", 4}, .revision = 2};
    struct weft_journal journal;
    struct weft_values keys = {0};
    struct rlimit limit, small;
    assert_int_equal(weft__journal_open(&journal, folder->log, &keys), 0);
    change(&journal, &keys, "a", "kept");
    uint64_t length = journal.len_bytes;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = length + 10;
    signal(SIGXFSZ, SIG_IGN);
    for (int i = 0; i < 3; i++) {
        struct stat st;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        assert_int_equal(weft__journal_add(&journal, &step), 0);
        int err = weft__journal_commit(&journal);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_int_equal(err, WEFT_ENOSPC);
        assert_non_null(strstr(weft_fail_text(err), "nothing was changed, make room"));
        assert_false(journal.broken);
        assert_int_equal(stat(folder->log, &st), 0); /* no half record */
        assert_int_equal(st.st_size, length);
    }
    change(&journal, &keys, "c", "room again");
    weft__journal_close(&journal);
    weft__values_fini(&keys);
    assert_int_equal(weft__journal_open(&journal, folder->log, &keys), 0);
    assert_int_equal(journal.torn_at, 0);
    expect(&keys, "a", "kept");
    expect(&keys, "b", NULL);
    expect(&keys, "c", "room again");
    weft__journal_close(&journal);
    weft__values_fini(&keys);
}

static void a_log_that_was_deleted_is_written_anew_but_never_over_another_one(void **state)
{
    const struct folder *folder = *state;
    struct weft_journal journal, other;
    struct weft_values keys = {0}, none = {0};
    assert_int_equal(weft__journal_open(&journal, folder->log, &keys), 0);
    change(&journal, &keys, "a", "kept");
    assert_false(weft__journal_is_lost(&journal));
    assert_int_equal(unlink(folder->log), 0);
    assert_true(weft__journal_is_lost(&journal));
    assert_int_equal(weft__journal_compact(&journal, &keys), 0);
    assert_false(weft__journal_is_lost(&journal));
    assert_int_equal(weft__journal_open(&other, folder->log, &none), WEFT_EBUSY);
    assert_int_equal(unlink(folder->log), 0);
    assert_int_equal(weft__journal_open(&other, folder->log, &none), 0);
    assert_true(weft__journal_is_lost(&journal));
    assert_int_equal(weft__journal_compact(&journal, &keys), WEFT_EBUSY);
    assert_non_null(strstr(weft_fail_text(WEFT_EBUSY), "stop one of the two"));
    weft__journal_close(&other);
    weft__journal_close(&journal);
    weft__values_fini(&keys);
    weft__values_fini(&none);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_committed_is_there_again_under_the_next_epoch),
        TEST(what_was_added_but_not_committed_is_not_there),
        TEST(a_log_torn_at_any_byte_keeps_every_whole_change),
        TEST(a_tail_of_zeros_or_noise_is_cut_off_and_its_offset_noted),
        TEST(damage_before_the_end_is_refused_with_its_offset),
        TEST(values_that_look_like_frames_deceive_nobody),
        TEST(a_log_in_use_is_refused_and_another_file_too),
        TEST(a_log_of_another_format_is_refused_and_left_as_it_is),
        TEST(a_full_batch_says_so_and_goes_on_after_a_commit),
        TEST(compaction_keeps_values_revisions_epoch_and_the_lock),
        TEST(a_log_that_was_deleted_is_written_anew_but_never_over_another_one),
        TEST(after_the_loss_of_its_log_a_registry_has_a_higher_epoch_and_another_id),
        TEST(a_full_disk_changes_nothing_and_the_log_goes_on_when_there_is_room),
    };
    weft__log_set_level(WEFT_LOG_ERROR); /* torn tails are warned about, hundreds of times here */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
