/* Views: private copies of a snapshot that cost what is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "memory.h"
#include "snapshot/region.h"
#include "snapshot/track.h"
#include "snapshot/view.h"
#include "weft/error.h"

#define PAGE ((size_t)WEFT_REGION_PAGE)

static struct weft_region region_make(size_t len)
{
    struct weft_region region;
    assert_int_equal(weft__region_init(&region, "snapshot", NULL, len), 0);
    return region;
}

static void what_is_written_into_a_view_stays_there(void **state)
{
    struct weft_region region = region_make(4 * PAGE);
    struct weft_view one, two;
    char *base = region.base;
    (void)state;
    strcpy(base, "origin");
    strcpy(base + 2 * PAGE, "of all");
    assert_int_equal(weft__view_init(&one, &region, NULL, 4 * PAGE), 0);
    assert_int_equal(weft__view_init(&two, &region, NULL, 4 * PAGE), 0);
    assert_string_equal(one.base, "origin");
    strcpy(one.base, "first");
    strcpy(two.base, "second");
    strcpy((char *)two.base + 3 * PAGE, "new");
    assert_string_equal(base, "origin");
    assert_string_equal(one.base, "first");
    assert_string_equal(two.base, "second");
    assert_int_equal(base[3 * PAGE], 0);
    strcpy(base, "merged"); /* shown by a view that begins anew */
    assert_string_equal(one.base, "first");
    assert_int_equal(weft__view_reset(&one), 0);
    assert_string_equal(one.base, "merged");
    assert_string_equal((char *)one.base + 2 * PAGE, "of all");
    assert_string_equal(two.base, "second");
    assert_int_equal(weft__view_reset(&two), 0);
    assert_string_equal(two.base, "merged");
    assert_int_equal(((char *)two.base)[3 * PAGE], 0);
    weft__region_fini(&region); /* may go first */
    assert_string_equal(two.base, "merged");
    weft__view_fini(&one);
    weft__view_fini(&two);
    weft__view_fini(&two);
}

static void a_view_takes_the_place_of_memory(void **state)
{
    struct weft_region region = region_make(4 * PAGE), memory = region_make(4 * PAGE);
    struct weft_view view = {0};
    char *at = memory.base;
    (void)state;
    strcpy(region.base, "restored");
    strcpy(at, "before");
    strcpy(at + 2 * PAGE, "kept");
    assert_int_equal(weft__view_init(&view, &region, at, 2 * PAGE), WEFT_EEXIST);
    assert_null(view.base);
    assert_int_equal(weft__view_over(&view, &region, at, 2 * PAGE), 0);
    assert_ptr_equal(view.base, at);
    assert_string_equal(at, "restored");
    assert_string_equal(at + 2 * PAGE, "kept");
    weft__view_fini(&view);
    assert_int_equal(weft__view_init(&view, &region, at, 2 * PAGE), 0); /* it is free now */
    weft__view_fini(&view);
    weft__region_fini(&memory);
    weft__region_fini(&region);
}

static void views_that_do_not_fit_are_refused(void **state)
{
    struct weft_region region = region_make(4 * PAGE);
    struct weft_view view = {0};
    (void)state;
    assert_int_equal(weft__view_init(&view, &region, NULL, 0), WEFT_EINVAL);
    assert_int_equal(weft__view_init(&view, &region, NULL, PAGE + 1), WEFT_EINVAL);
    assert_int_equal(weft__view_init(&view, &region, (char *)region.base + 1, PAGE), WEFT_EINVAL);
    assert_int_equal(weft__view_init(&view, &region, NULL, 5 * PAGE), WEFT_ERANGE);
    assert_int_equal(weft__view_over(&view, &region, NULL, PAGE), WEFT_EINVAL);
    assert_null(view.base);
    weft__region_fini(&region);
}

static size_t resident_bytes(void)
{
    size_t size, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%zu %zu", &size, &resident), 2);
    fclose(file);
    return resident * PAGE;
}

static void a_huge_view_costs_what_is_written_in_it(void **state)
{
    struct weft_region region = region_make(HUGE_BYTES);
    struct weft_view view;
    struct weft_extents written = {0};
    struct weft_track *track;
    const size_t writes = 2560, step = HUGE_BYTES / writes / PAGE * PAGE;
    (void)state;
    for (size_t i = 0; i < writes; i += 2) /* half of them are in the snapshot */
        memset((char *)region.base + i * step, 1, PAGE);
    assert_int_equal(weft__view_init(&view, &region, NULL, HUGE_BYTES), 0);
    const struct weft_track_desc desc = {.base = view.base, .len_bytes = HUGE_BYTES};
    assert_int_equal(weft__track_start(&desc, &track), 0);
    size_t before = resident_bytes();
    for (size_t i = 0; i < writes; i++)
        memset((char *)view.base + i * step, 2, 16);
#ifndef WEFT_TSAN /* whose shadow counts too */
    assert_true(resident_bytes() - before < 8 * writes * PAGE);
#else
    (void)before;
#endif
    assert_int_equal(weft__track_collect(track, &written), 0);
    assert_int_equal(written.total_bytes, writes * PAGE);
    assert_int_equal(written.at[writes - 1].offset, (writes - 1) * step);
    assert_int_equal(weft__view_reset(&view), 0);
    assert_int_equal(((char *)view.base)[(writes - 2) * step], 1);
    assert_int_equal(((char *)view.base)[(writes - 1) * step], 0);
    assert_int_equal(((char *)region.base)[(writes - 2) * step], 1);
    weft__track_stop(track);
    weft__extents_fini(&written);
    weft__view_fini(&view);
    weft__region_fini(&region);
}

static void a_tracked_view_that_is_reset_reports_the_next_writes(void **state)
{
    static const char *const trackers[] = {"pagemap_scan", "segv"};
    struct weft_region region = region_make(4 * PAGE);
    (void)state;
    memset(region.base, 1, 4 * PAGE);
    for (size_t i = 0; i < sizeof(trackers) / sizeof(trackers[0]); i++) {
        struct weft_view view;
        struct weft_extents written = {0};
        struct weft_track *track;
        if (weft__track_probe(trackers[i])) {
            print_message("skipped for %s: %s\n", trackers[i], weft_fail_text(WEFT_ENOTSUP));
            continue;
        }
        assert_int_equal(weft__view_init(&view, &region, NULL, 4 * PAGE), 0);
        const struct weft_track_desc desc = {
            .tracker = trackers[i], .base = view.base, .len_bytes = view.len_bytes};
        assert_int_equal(weft__track_start(&desc, &track), 0);
        char *at = view.base;
        for (size_t round = 0; round < 3; round++) {
            at[round * PAGE] = 2;
            assert_int_equal(weft__track_collect(track, &written), 0);
            assert_int_equal(written.total_bytes, PAGE);
            assert_int_equal(written.at[0].offset, round * PAGE);
            at[round * PAGE] = 3;
            assert_int_equal(weft__view_reset(&view), 0);
            assert_int_equal(at[round * PAGE], 1);
            assert_int_equal(weft__track_collect(track, &written), 0); /* may say it once more */
        }
        weft__track_stop(track);
        weft__extents_fini(&written);
        weft__view_fini(&view);
    }
    weft__region_fini(&region);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_into_a_view_stays_there),
        cmocka_unit_test(a_view_takes_the_place_of_memory),
        cmocka_unit_test(views_that_do_not_fit_are_refused),
        cmocka_unit_test(a_huge_view_costs_what_is_written_in_it),
        cmocka_unit_test(a_tracked_view_that_is_reset_reports_the_next_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
