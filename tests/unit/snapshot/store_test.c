/* Snapshots by key: bounds, replacing, who owns what, lists. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "snapshot/service.h"
#include "snapshot/store.h"
#include "weft/error.h"

enum { MEMORY = 1 << 20, LARGE = 256 << 10, LONG_PAGES = 20 /* not packed */ };

static int store_open(void **state)
{
    return weft__store_open(MEMORY, (struct weft_store **)state);
}

static int store_close(void **state)
{
    weft__store_close(*state);
    return 0;
}

static void set(struct weft_store *store, const char *key, uint64_t size, char fill)
{
    struct weft_snapshot *snapshot;
    assert_int_equal(weft__snapshot_new(store, size, size, &snapshot), WEFT_OK);
    memset(snapshot->bytes ? (void *)snapshot->bytes : snapshot->region.base, fill, size);
    assert_int_equal(weft__store_set(store, key, snapshot), WEFT_OK);
    weft__snapshot_put(snapshot);
}

static uint64_t held(struct weft_store *store)
{
    struct weft_store_stats stats;
    weft__store_stats(store, &stats);
    return stats.held_bytes;
}

static void what_was_set_is_got_until_it_is_deleted(void **state)
{
    struct weft_store *store = *state;
    assert_null(weft__store_get(store, "a"));
    set(store, "a", 100, 'x');
    struct weft_snapshot *snapshot = weft__store_get(store, "a");
    assert_non_null(snapshot);
    assert_int_equal(snapshot->size_bytes, 100);
    assert_int_equal(snapshot->bytes[99], 'x');
    assert_true(weft__store_delete(store, "a"));
    assert_false(weft__store_delete(store, "a"));
    assert_null(weft__store_get(store, "a"));
    assert_int_equal(snapshot->bytes[0], 'x'); /* it is the reader's still */
    assert_int_equal(held(store), 100);
    weft__snapshot_put(snapshot);
    assert_int_equal(held(store), 0);
}

static void another_push_of_a_key_replaces_the_first_in_one_step(void **state)
{
    struct weft_store *store = *state;
    set(store, "a", 100, 'x');
    struct weft_snapshot *first = weft__store_get(store, "a");
    set(store, "a", LARGE, 'y');
    struct weft_snapshot *second = weft__store_get(store, "a");
    assert_true(second->version > first->version);
    assert_int_equal(first->bytes[0], 'x');
    assert_int_equal(((char *)second->region.base)[LARGE - 1], 'y');
    weft__snapshot_put(first);
    weft__snapshot_put(second);
    assert_int_equal(held(store), LARGE);
}

static void memory_has_a_bound_that_pushes_under_way_count_for(void **state)
{
    struct weft_store *store = *state;
    struct weft_snapshot *under_way, *more;
    assert_int_equal(weft__snapshot_new(store, MEMORY + 1, MEMORY + 1, &more), WEFT_ENOSPC);
    assert_int_equal(weft__snapshot_new(store, MEMORY, MEMORY, &under_way), WEFT_OK);
    assert_int_equal(weft__snapshot_new(store, 1, 1, &more), WEFT_EAGAIN);
    weft__snapshot_put(under_way); /* it did not come to its end */
    set(store, "all", MEMORY, 'x');
    assert_int_equal(weft__snapshot_new(store, 1, 1, &more), WEFT_ENOSPC);
    assert_non_null(strstr(weft_fail_text(WEFT_ENOSPC), "WEFT_SNAPSHOT_MEMORY"));
    assert_true(weft__store_delete(store, "all"));
    assert_int_equal(held(store), 0);
    set(store, "one", 1, 'x');
}

static void a_snapshot_of_no_bytes_is_none(void **state)
{
    struct weft_snapshot *snapshot;
    assert_int_equal(weft__snapshot_new(*state, 0, 0, &snapshot), WEFT_EINVAL);
    assert_int_equal(weft__snapshot_new(*state, UINT64_MAX, 0, &snapshot), WEFT_EINVAL);
    assert_int_equal(held(*state), 0);
}

/* A quarter of the descriptors that the process may open. */
static void large_snapshots_leave_descriptors_for_others(void **state)
{
    struct rlimit old, low;
    struct weft_store *store;
    struct weft_snapshot *snapshots[16], *more;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = (struct rlimit){.rlim_cur = 64, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    assert_int_equal(weft__store_open(UINT64_MAX, &store), WEFT_OK);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    for (int i = 0; i < 16; i++)
        assert_int_equal(weft__snapshot_new(store, LARGE, 1, &snapshots[i]), WEFT_OK);
    assert_int_equal(weft__snapshot_new(store, LARGE, 1, &more), WEFT_EMFILE);
    assert_int_equal(weft__snapshot_new(store, 100, 1, &more), WEFT_OK); /* a small one */
    weft__snapshot_put(more);
    weft__snapshot_put(snapshots[0]);
    assert_int_equal(weft__snapshot_new(store, LARGE, 1, &snapshots[0]), WEFT_OK);
    for (int i = 0; i < 16; i++)
        weft__snapshot_put(snapshots[i]);
    weft__store_close(store);
}

/* What is pulled of an image, in the order in which it is pulled. */
static void *bytes_of(const struct weft_image *image)
{
    char *bytes = malloc(image->total_bytes), *at = bytes;
    for (size_t i = 0; i < image->pieces_n; i++) {
        const struct weft_image_piece *piece = &image->pieces[i];
        const char *from = piece->packed ? (const char *)image->packed : image->region->base;
        memcpy(at, from + piece->source_offset, piece->len_bytes);
        at += piece->len_bytes;
    }
    return bytes;
}

/* Pages 1 and 3, and from 8 on LONG_PAGES, of a large snapshot become fill. */
static int update(struct weft_store *store, const char *key, uint64_t base_version, char fill)
{
    static const size_t firsts[] = {1, 3, 8}, pages[] = {1, 1, LONG_PAGES};
    struct weft_region region;
    struct weft_image *image;
    struct weft_extents runs = {0};
    uint64_t version = 0;
    assert_int_equal(weft__region_init(&region, "changes", NULL, LARGE), WEFT_OK);
    for (size_t i = 0; i < 3; i++) {
        const size_t offset = firsts[i] * WEFT_REGION_PAGE, len = pages[i] * WEFT_REGION_PAGE;
        memset((char *)region.base + offset, fill, len);
        assert_int_equal(weft__extents_add(&runs, offset, len), WEFT_OK);
    }
    const struct weft_image_desc desc = {.region = &region, .extents = &runs};
    assert_int_equal(weft__image_build(&desc, &image), WEFT_OK);
    void *bytes = bytes_of(image);
    int err = weft__store_update(store,
                                 &(struct weft_store_update){.key = key,
                                                             .base_version = base_version,
                                                             .size_bytes = LARGE,
                                                             .image = image,
                                                             .bytes = bytes},
                                 &version);
    assert_true(err || version > base_version);
    free(bytes);
    weft__image_free(image);
    weft__region_fini(&region);
    weft__extents_fini(&runs);
    return err;
}

static uint64_t version_of(struct weft_store *store, const char *key)
{
    struct weft_snapshot *snapshot = weft__store_get(store, key);
    uint64_t version = snapshot->version;
    weft__snapshot_put(snapshot);
    return version;
}

static void assert_updated(const struct weft_snapshot *snapshot, char old, char new)
{
    const char *bytes = snapshot->region.base;
    for (size_t i = 0; i < LARGE; i++) {
        size_t page = i / WEFT_REGION_PAGE;
        bool is_new = page == 1 || page == 3 || (page >= 8 && page < 8 + LONG_PAGES);
        if (bytes[i] != (is_new ? new : old))
            fail_msg("byte %zu is %c", i, bytes[i]);
    }
}

static void an_update_changes_the_pages_that_it_brings_and_no_others(void **state)
{
    struct weft_store *store = *state;
    set(store, "a", LARGE, 'x');
    assert_int_equal(update(store, "a", version_of(store, "a"), 'y'), WEFT_OK);
    assert_int_equal(update(store, "a", version_of(store, "a"), 'z'), WEFT_OK);
    struct weft_snapshot *snapshot = weft__store_get(store, "a");
    assert_updated(snapshot, 'x', 'z');
    weft__snapshot_put(snapshot);
    assert_int_equal(held(store), LARGE);
}

static void an_update_of_another_version_is_refused(void **state)
{
    struct weft_store *store = *state;
    set(store, "a", LARGE, 'x');
    uint64_t first = version_of(store, "a");
    set(store, "a", LARGE, 'y');
    assert_int_equal(update(store, "a", first, 'z'), WEFT_ESTALE);
    assert_int_equal(update(store, "b", first, 'z'), WEFT_ESTALE);
    struct weft_snapshot *snapshot = weft__store_get(store, "a");
    assert_updated(snapshot, 'y', 'y');
    weft__snapshot_put(snapshot);
    set(store, "a", LARGE / 2, 'x');
    assert_int_equal(update(store, "a", version_of(store, "a"), 'z'), WEFT_EINVAL);
    set(store, "a", 100, 'x');
    assert_int_equal(update(store, "a", version_of(store, "a"), 'z'), WEFT_EINVAL);
    assert_int_equal(held(store), 100);
}

static void who_reads_a_snapshot_keeps_its_version_when_it_is_updated(void **state)
{
    struct weft_store *store = *state;
    set(store, "a", LARGE, 'x');
    struct weft_snapshot *old = weft__store_get(store, "a");
    assert_int_equal(update(store, "a", old->version, 'y'), WEFT_OK);
    struct weft_snapshot *now = weft__store_get(store, "a");
    assert_updated(old, 'x', 'x');
    assert_updated(now, 'x', 'y');
    assert_true(now->version > old->version);
    assert_int_equal(held(store), 2 * LARGE);
    weft__snapshot_put(old);
    weft__snapshot_put(now);
    assert_int_equal(held(store), LARGE);
}

static void an_update_of_a_hole_counts_for_memory_once(void **state)
{
    struct weft_store *store = *state;
    struct weft_snapshot *snapshot;
    assert_int_equal(weft__snapshot_new(store, LARGE, 0, &snapshot), WEFT_OK);
    assert_int_equal(weft__store_set(store, "a", snapshot), WEFT_OK);
    assert_int_equal(update(store, "a", snapshot->version, 'y'), WEFT_OK); /* of a copy */
    weft__snapshot_put(snapshot);
    assert_int_equal(held(store), (2 + LONG_PAGES) * WEFT_REGION_PAGE);
    assert_int_equal(update(store, "a", version_of(store, "a"), 'z'), WEFT_OK);
    assert_int_equal(held(store), (2 + LONG_PAGES) * WEFT_REGION_PAGE);
    assert_true(weft__store_delete(store, "a"));
    assert_int_equal(weft__snapshot_new(store, LARGE, 0, &snapshot), WEFT_OK);
    assert_int_equal(weft__store_set(store, "a", snapshot), WEFT_OK);
    weft__snapshot_put(snapshot);
    assert_int_equal(update(store, "a", version_of(store, "a"), 'z'), WEFT_OK);
    assert_int_equal(held(store), (2 + LONG_PAGES) * WEFT_REGION_PAGE);
    assert_true(weft__store_delete(store, "a"));
    assert_int_equal(held(store), 0);
}

static void an_update_for_which_there_is_no_room_leaves_the_old_version(void **state)
{
    struct weft_store *store = *state;
    set(store, "a", LARGE, 'x');
    set(store, "b", MEMORY - 2 * LARGE, 'x');
    struct weft_snapshot *old = weft__store_get(store, "a"); /* so it takes a copy */
    assert_int_equal(update(store, "a", old->version, 'y'), WEFT_ENOSPC);
    struct weft_snapshot *now = weft__store_get(store, "a");
    assert_ptr_equal(now, old);
    assert_updated(now, 'x', 'x');
    weft__snapshot_put(old);
    weft__snapshot_put(now);
    assert_int_equal(held(store), MEMORY - LARGE);
}

struct reading {
    struct weft_store *store;
    atomic_bool over;
    atomic_uint reads;
};

/* Of whatever version is there all changed pages are alike. Returns the first that are not. */
static void *read_on(void *arg)
{
    struct reading *reading = arg;
    while (!atomic_load(&reading->over)) {
        struct weft_snapshot *snapshot = weft__store_get(reading->store, "a");
        const char *bytes = snapshot->region.base;
        const bool whole =
            bytes[WEFT_REGION_PAGE] == bytes[3 * WEFT_REGION_PAGE] &&
            bytes[WEFT_REGION_PAGE] == bytes[(8 + LONG_PAGES) * WEFT_REGION_PAGE - 1];
        weft__snapshot_put(snapshot);
        atomic_fetch_add(&reading->reads, 1);
        if (!whole)
            return arg;
    }
    return NULL;
}

static void who_reads_while_it_is_updated_gets_one_version_whole(void **state)
{
    struct weft_store *store = *state;
    struct reading reading = {.store = store};
    pthread_t threads[2];
    struct weft_store_entry entry;
    void *wrong;
    set(store, "a", LARGE, 'x');
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &reading), 0);
    for (int updates = 0; updates < 100 || atomic_load(&reading.reads) < 100; updates++) {
        assert_true(weft__store_info(store, "a", &entry));
        int err = update(store, "a", entry.version, (char)('a' + updates % 26));
        if (err != WEFT_OK && err != WEFT_EAGAIN) /* copies that are read still take room */
            assert_int_equal(err, WEFT_ENOSPC);
    }
    atomic_store(&reading.over, true);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    assert_int_equal(held(store), LARGE);
    assert_false(weft__store_info(store, "b", &entry));
}

static void a_snapshot_is_replaced_in_the_place_of_its_base_only(void **state)
{
    struct weft_store *store = *state;
    struct weft_snapshot *snapshot;
    set(store, "a", 100, 'x');
    uint64_t first = version_of(store, "a");
    assert_int_equal(weft__snapshot_new(store, 100, 100, &snapshot), WEFT_OK);
    assert_int_equal(weft__store_replace(store, "b", first, snapshot), WEFT_ESTALE);
    assert_int_equal(weft__store_replace(store, "a", first, snapshot), WEFT_OK);
    assert_int_equal(weft__store_replace(store, "a", first, snapshot), WEFT_ESTALE);
    weft__snapshot_put(snapshot);
    assert_int_equal(held(store), 100);
}

static void lists_are_sorted_and_cut_by_prefix_and_number(void **state)
{
    static const char *const keys[] = {"b/2", "a", "b/1", "c", "b/3"};
    struct weft_store *store = *state;
    struct weft_store_entry *entries;
    size_t n;
    for (size_t i = 0; i < 5; i++)
        set(store, keys[i], i + 1, 'x');
    assert_int_equal(weft__store_list(store, "", "", 10, &entries, &n), WEFT_OK);
    assert_int_equal(n, 5);
    assert_string_equal(entries[0].key, "a");
    assert_string_equal(entries[4].key, "c");
    assert_int_equal(entries[0].size_bytes, 2);
    weft__store_list_free(entries, n);
    assert_int_equal(weft__store_list(store, "b/", "b/1", 1, &entries, &n), WEFT_OK);
    assert_int_equal(n, 1);
    assert_string_equal(entries[0].key, "b/2");
    weft__store_list_free(entries, n);
    assert_int_equal(weft__store_list(store, "b/", "b/3", 1, &entries, &n), WEFT_OK);
    assert_int_equal(n, 0);
    weft__store_list_free(entries, n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_set_is_got_until_it_is_deleted, store_open,
                                        store_close),
        cmocka_unit_test_setup_teardown(another_push_of_a_key_replaces_the_first_in_one_step,
                                        store_open, store_close),
        cmocka_unit_test_setup_teardown(memory_has_a_bound_that_pushes_under_way_count_for,
                                        store_open, store_close),
        cmocka_unit_test_setup_teardown(a_snapshot_of_no_bytes_is_none, store_open, store_close),
        cmocka_unit_test_setup_teardown(an_update_changes_the_pages_that_it_brings_and_no_others,
                                        store_open, store_close),
        cmocka_unit_test_setup_teardown(an_update_of_another_version_is_refused, store_open,
                                        store_close),
        cmocka_unit_test_setup_teardown(who_reads_a_snapshot_keeps_its_version_when_it_is_updated,
                                        store_open, store_close),
        cmocka_unit_test_setup_teardown(an_update_of_a_hole_counts_for_memory_once, store_open,
                                        store_close),
        cmocka_unit_test_setup_teardown(an_update_for_which_there_is_no_room_leaves_the_old_version,
                                        store_open, store_close),
        cmocka_unit_test_setup_teardown(who_reads_while_it_is_updated_gets_one_version_whole,
                                        store_open, store_close),
        cmocka_unit_test_setup_teardown(a_snapshot_is_replaced_in_the_place_of_its_base_only,
                                        store_open, store_close),
        cmocka_unit_test(large_snapshots_leave_descriptors_for_others),
        cmocka_unit_test_setup_teardown(lists_are_sorted_and_cut_by_prefix_and_number, store_open,
                                        store_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
