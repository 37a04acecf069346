/* Snapshot files: round trips, every kind of damage, names and lists. */
#include <endian.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <xxhash.h>

#include "file_scene.h"
#include "weft/error.h"

static void what_is_saved_is_loaded_and_holes_stay_holes(void **state)
{
    struct scene *scene = *state;
    for (uint64_t round = 1; round <= 24; round++) {
        uint64_t seed = round * 0x9e3779b97f4a7c15u;
        struct weft_region from = scene_region(PAGE * (1 + scene_dice(&seed) % 4000)),
                           to = scene_region(from.len_bytes);
        scene_files(scene, scene_ways[round % scene_ways_n], (enum weft_files_cache)(round % 3));
        scene_touch(&from, &seed, (unsigned)(scene_dice(&seed) % 40),
                    1 + (unsigned)(scene_dice(&seed) % 600));
        scene_save(scene, "a", &from);
        int err = scene_load(scene, "a", &to);
        if (err != WEFT_OK)
            print_error("seed %llu: %s\n", (unsigned long long)round, weft_fail_text(err));
        assert_int_equal(err, WEFT_OK);
        scene_assert_same(&from, &to);
        weft__region_fini(&from);
        weft__region_fini(&to);
    }
}

static void a_large_sparse_region_costs_what_was_touched(void **state)
{
    struct scene *scene = *state;
    struct weft_region from = scene_region((uint64_t)64 << 30),
                       to = scene_region((uint64_t)64 << 30);
    struct weft_file_head head;
    uint64_t seed = 7;
    struct stat status = {0};
    char path[600];
    scene_touch(&from, &seed, 2560, 1);
    ((char *)from.base)[from.len_bytes - 1] = 1; /* far behind 4 GiB */
    assert_int_equal(weft__file_save_region(scene->files, "sparse", &from, &head), WEFT_OK);
    scene_path(scene, "sparse", path);
    assert_int_equal(stat(path, &status), 0);
    assert_true(head.data_bytes <= 2561 * PAGE && head.data_bytes >= 2500 * PAGE);
    assert_true((uint64_t)status.st_size < head.data_bytes + (1u << 17));
    assert_int_equal(scene_load(scene, "sparse", &to), WEFT_OK);
    scene_assert_same(&from, &to);
    weft__region_fini(&from);
    weft__region_fini(&to);
}

static int append(void *ctx, uint64_t offset, const void *bytes, size_t len)
{
    memcpy((char *)ctx + offset, bytes, len);
    return WEFT_OK;
}

static void a_few_bytes_are_a_snapshot_too(void **state)
{
    struct scene *scene = *state;
    struct weft_extents all = {0};
    struct weft_file *file = NULL;
    char got[8] = "-------";
    assert_int_equal(weft__extents_add(&all, 0, PAGE), WEFT_OK);
    const struct weft_file_source source = {
        .key = "few", .bytes = "hello", .size_bytes = 5, .extents = &all};
    assert_int_equal(weft__file_save(scene->files, &source, NULL), WEFT_OK);
    assert_int_equal(weft__file_open(scene->files, "few", &file), WEFT_OK);
    assert_int_equal(weft__file_head(file)->size_bytes, 5);
    assert_int_equal(weft__file_load(file, append, got, NULL), WEFT_OK);
    assert_string_equal(got, "hello--");
    weft__file_close(file);
    weft__extents_fini(&all);
}

static void a_region_that_was_never_touched_is_stored_as_nothing(void **state)
{
    struct scene *scene = *state;
    struct weft_region from = scene_region((uint64_t)1 << 30), to = scene_region((uint64_t)1 << 30);
    scene_save(scene, "empty", &from);
    assert_int_equal(scene_load(scene, "empty", &to), WEFT_OK);
    scene_assert_same(&from, &to);
    weft__region_fini(&from);
    weft__region_fini(&to);
}

static void a_second_save_replaces_and_who_reads_the_first_gets_it_whole(void **state)
{
    struct scene *scene = *state;
    struct weft_region first = scene_region(8 * PAGE), second = scene_region(8 * PAGE),
                       to = scene_region(8 * PAGE);
    struct weft_file *file = NULL;
    uint64_t seed = 3;
    scene_touch(&first, &seed, 2, 2);
    scene_touch(&second, &seed, 3, 3);
    scene_save(scene, "a", &first);
    assert_int_equal(weft__file_open(scene->files, "a", &file), WEFT_OK);
    scene_save(scene, "a", &second);
    assert_int_equal(weft__file_load_region(file, &to), WEFT_OK);
    scene_assert_same(&first, &to);
    weft__file_close(file);
    weft__region_fini(&to);
    to = scene_region(8 * PAGE);
    assert_int_equal(scene_load(scene, "a", &to), WEFT_OK);
    scene_assert_same(&second, &to);
    assert_int_equal(scene_names(scene, false), 1);
    weft__region_fini(&first);
    weft__region_fini(&second);
    weft__region_fini(&to);
}

/* ---- damage ---- */

/* The bytes of a file that holds one page. */
static uint8_t *small_file(struct scene *scene, size_t *len_out)
{
    struct weft_region region = scene_region(16 * PAGE);
    struct stat status = {0};
    char path[600];
    ((char *)region.base)[5 * PAGE + 9] = 'x';
    scene_save(scene, "small", &region);
    weft__region_fini(&region);
    scene_path(scene, "small", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &status) == 0);
    uint8_t *bytes = malloc((size_t)status.st_size + 1);
    assert_non_null(bytes);
    assert_int_equal(read(fd, bytes, (size_t)status.st_size), status.st_size);
    (void)close(fd);
    *len_out = (size_t)status.st_size;
    return bytes;
}

static int count_delivered(void *ctx, uint64_t offset, const void *bytes, size_t len)
{
    (void)offset;
    (void)bytes;
    (void)len;
    ++*(unsigned *)ctx;
    return WEFT_OK;
}

/* Refused, with the file and an offset in the text, nothing delivered and nothing left open. */
static void assert_refused(struct scene *scene, size_t at)
{
    const unsigned open_before = at % 64 == 0 ? scene_descriptors() : 0; /* it takes its time */
    unsigned delivered = 0;
    struct weft_file *file = NULL;
    int err = weft__file_open(scene->files, "small", &file);
    if (err == WEFT_OK) {
        err = weft__file_load(file, count_delivered, &delivered, NULL);
        weft__file_close(file);
    }
    if (err != WEFT_ECHECKSUM && err != WEFT_EPROTO && err != WEFT_EVERSION)
        fail_msg("damage at %zu: %s", at, weft_fail_text(err));
    assert_int_equal(delivered, 0);
    assert_non_null(strstr(weft_fail_text(err), "small.snapshot: at offset "));
    if (at % 64 == 0)
        assert_int_equal(scene_descriptors(), open_before);
}

static void every_flipped_byte_is_refused(void **state)
{
    struct scene *scene = *state;
    size_t len;
    uint8_t *bytes = small_file(scene, &len);
    char path[600];
    scene_path(scene, "small", path);
    scene_files(scene, &weft__file_io_threads, WEFT_FILES_CACHED);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    for (size_t at = 0; at < len; at++) {
        uint8_t wrong = (uint8_t)(bytes[at] ^ (1u << at % 8));
        assert_int_equal(pwrite(fd, &wrong, 1, (off_t)at), 1);
        assert_refused(scene, at);
        assert_int_equal(pwrite(fd, &bytes[at], 1, (off_t)at), 1);
    }
    assert_int_equal(scene_load(scene, "small", NULL), WEFT_OK);
    (void)close(fd);
    free(bytes);
}

static void a_file_of_any_other_length_is_refused(void **state)
{
    struct scene *scene = *state;
    size_t len;
    uint8_t *bytes = small_file(scene, &len);
    char path[600];
    scene_path(scene, "small", path);
    scene_files(scene, scene_ways[0], WEFT_FILES_CACHED);
    assert_int_equal(truncate(path, (off_t)len + 1), 0);
    assert_refused(scene, len + 1);
    for (size_t cut = len - 1; cut > 0; cut--) {
        assert_int_equal(truncate(path, (off_t)cut), 0);
        assert_refused(scene, cut);
    }
    assert_int_equal(truncate(path, 0), 0);
    assert_refused(scene, 0);
    free(bytes);
}

static void the_offset_of_damaged_data_is_told(void **state)
{
    struct scene *scene = *state;
    struct weft_region region = scene_region((uint64_t)5 << 20);
    char path[600];
    memset(region.base, 7, region.len_bytes);
    scene_save(scene, "small", &region);
    scene_path(scene, "small", path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "!", 1, (3 << 20) + 5000), 1);
    (void)close(fd);
    int err = scene_load(scene, "small", NULL);
    assert_int_equal(err, WEFT_ECHECKSUM);
    assert_non_null(strstr(weft_fail_text(err), "at offset 0x301000: 1048576 bytes of data"));
    weft__region_fini(&region);
}

/* Changes bytes of the header of the small file, and its sum. */
static void forge_head(struct scene *scene, const uint8_t *bytes, size_t at, uint32_t value)
{
    uint8_t head[WEFT_FILE_HEADER_BYTES];
    char path[600];
    memcpy(head, bytes, sizeof(head));
    value = htole32(value);
    memcpy(head + at, &value, sizeof(value));
    uint64_t sum = htole64(XXH3_64bits(head, WEFT_FILE_HEADER_BYTES - sizeof(sum)));
    memcpy(head + WEFT_FILE_HEADER_BYTES - sizeof(sum), &sum, sizeof(sum));
    scene_path(scene, "small", path);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, head, sizeof(head), 0), sizeof(head));
    (void)close(fd);
}

static void a_file_of_another_version_or_page_says_so(void **state)
{
    struct scene *scene = *state;
    struct weft_region to = scene_region(16 * PAGE);
    struct weft_extents touched = {0};
    size_t len;
    uint8_t *bytes = small_file(scene, &len);
    const unsigned open_before = scene_descriptors();
    forge_head(scene, bytes, 8, 2);
    assert_int_equal(scene_load(scene, "small", &to), WEFT_EVERSION);
    assert_non_null(strstr(weft_fail_text(WEFT_EVERSION), "small.snapshot: at offset 8: "));
    static const uint32_t pages[] = {0, 512, 8192, 16384, 65536, 2 << 20, UINT32_MAX};
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "pages of %u bytes, this weft has 4096", pages[i]);
        forge_head(scene, bytes, 12, pages[i]);
        assert_int_equal(scene_load(scene, "small", &to), WEFT_EPROTO);
        assert_non_null(strstr(weft_fail_text(WEFT_EPROTO), "small.snapshot: at offset 12: "));
        assert_non_null(strstr(weft_fail_text(WEFT_EPROTO), text));
    }
    assert_int_equal(scene_descriptors(), open_before);
    assert_int_equal(weft__region_touched(&to, &touched), WEFT_OK);
    assert_int_equal(touched.n, 0);
    forge_head(scene, bytes, 12, PAGE);
    assert_int_equal(scene_load(scene, "small", &to), WEFT_OK);
    weft__extents_fini(&touched);
    weft__region_fini(&to);
    free(bytes);
}

/* ---- names ---- */

static void no_key_leads_out_of_the_folder(void **state)
{
    static const char *const keys[] = {"../../etc/passwd",
                                       "/etc/passwd",
                                       ".",
                                       "..",
                                       ".hidden",
                                       "a/b/c",
                                       "weft-save-0",
                                       "a\\b",
                                       "%2E%2E",
                                       "a.snapshot",
                                       "ключ",
                                       "a b",
                                       "CON",
                                       "-rf",
                                       "~"};
    struct scene *scene = *state;
    struct weft_region region = scene_region(PAGE);
    char name[WEFT_FILE_NAME_ROOM], key[WEFT_FILE_KEY_MAX + 1];
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        assert_int_equal(weft__file_name(keys[i], name), WEFT_OK);
        assert_null(strchr(name, '/'));
        assert_int_not_equal(name[0], '.');
        assert_true(weft__file_name_key(name, key));
        assert_string_equal(key, keys[i]);
        scene_save(scene, keys[i], &region);
        assert_int_equal(scene_load(scene, keys[i], NULL), WEFT_OK);
        assert_int_equal(scene_names(scene, false), i + 1);
    }
    assert_int_equal(weft__file_name("", name), WEFT_EINVAL);
    assert_int_equal(weft__file_name("a\nb", name), WEFT_EINVAL);
    assert_false(weft__file_name_key("a%0Ab.snapshot", key));
    assert_false(weft__file_name_key("a%2fb.snapshot", key)); /* another spelling */
    assert_false(weft__file_name_key(".snapshot", key));
    assert_false(weft__file_name_key("..snapshot", key));
    assert_false(weft__file_name_key("a%00.snapshot", key));
    weft__region_fini(&region);
}

static void keys_too_long_for_a_name_are_told_apart_and_listed(void **state)
{
    struct scene *scene = *state;
    struct weft_region region = scene_region(PAGE);
    struct weft_file_entry *entries;
    char a[WEFT_FILE_KEY_MAX + 1], b[WEFT_FILE_KEY_MAX + 1];
    size_t n;
    memset(a, '/', WEFT_FILE_KEY_MAX);
    a[WEFT_FILE_KEY_MAX] = '\0';
    memcpy(b, a, sizeof(b));
    b[WEFT_FILE_KEY_MAX - 1] = '!';
    scene_save(scene, a, &region);
    scene_save(scene, b, &region);
    scene_save(scene, "c", &region);
    assert_int_equal(scene_names(scene, false), 3);
    assert_int_equal(weft__files_list(scene->files, "", "", 10, &entries, &n), WEFT_OK);
    assert_int_equal(n, 3);
    assert_string_equal(entries[0].head.key, b);
    assert_string_equal(entries[1].head.key, a);
    assert_int_equal(entries[1].err, WEFT_OK);
    free(entries);
    weft__region_fini(&region);
}

static void a_file_under_the_name_of_another_is_refused(void **state)
{
    struct scene *scene = *state;
    struct weft_region region = scene_region(PAGE);
    char a[600], b[600];
    scene_save(scene, "a", &region);
    scene_path(scene, "a", a);
    scene_path(scene, "b", b);
    assert_int_equal(rename(a, b), 0);
    assert_int_equal(scene_load(scene, "b", NULL), WEFT_EPROTO);
    assert_int_equal(scene_load(scene, "a", NULL), WEFT_ENOENT);
    assert_int_equal(symlink(b, a), 0);
    assert_int_not_equal(scene_load(scene, "a", NULL), WEFT_OK);
    assert_int_equal(unlink(a), 0);
    assert_int_equal(mkfifo(a, 0600), 0); /* which nobody writes to */
    assert_int_equal(scene_load(scene, "a", NULL), WEFT_EPROTO);
    weft__region_fini(&region);
}

static void lists_are_sorted_cut_and_name_damaged_files(void **state)
{
    struct scene *scene = *state;
    struct weft_region region = scene_region(PAGE);
    struct weft_file_entry *entries;
    char path[600];
    bool existed;
    size_t n;
    scene_save(scene, "x/2", &region);
    scene_save(scene, "x/1", &region);
    scene_save(scene, "x/3", &region);
    scene_save(scene, "y", &region);
    scene_path(scene, "x/3", path);
    assert_int_equal(truncate(path, 10), 0);
    assert_int_equal(weft__files_list(scene->files, "x/", "x/1", 9, &entries, &n), WEFT_OK);
    assert_int_equal(n, 2);
    assert_string_equal(entries[0].head.key, "x/2");
    assert_int_equal(entries[0].head.size_bytes, PAGE);
    assert_int_equal(entries[1].err, WEFT_EPROTO);
    free(entries);
    assert_int_equal(weft__files_list(scene->files, "x/", "", 1, &entries, &n), WEFT_OK);
    assert_int_equal(n, 1);
    assert_string_equal(entries[0].head.key, "x/1");
    free(entries);
    assert_int_equal(weft__file_delete(scene->files, "x/1", &existed), WEFT_OK);
    assert_true(existed);
    assert_int_equal(weft__file_delete(scene->files, "x/1", &existed), WEFT_OK);
    assert_false(existed);
    weft__region_fini(&region);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_is_saved_is_loaded_and_holes_stay_holes),
        CASE(a_large_sparse_region_costs_what_was_touched),
        CASE(a_few_bytes_are_a_snapshot_too),
        CASE(a_region_that_was_never_touched_is_stored_as_nothing),
        CASE(a_second_save_replaces_and_who_reads_the_first_gets_it_whole),
        CASE(every_flipped_byte_is_refused),
        CASE(a_file_of_any_other_length_is_refused),
        CASE(the_offset_of_damaged_data_is_told),
        CASE(a_file_of_another_version_or_page_says_so),
        CASE(no_key_leads_out_of_the_folder),
        CASE(keys_too_long_for_a_name_are_told_apart_and_listed),
        CASE(a_file_under_the_name_of_another_is_refused),
        CASE(lists_are_sorted_cut_and_name_damaged_files),
    };
    scene_find_ways();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
