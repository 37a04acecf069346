/* Origins: threads fork from them, and what they did is merged back. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "denied.h"
#include "memory.h"
#include "snapshot/origin.h"
#include "snapshot/track.h"
#include "snapshot/view.h"
#include "weft/error.h"

#define PAGE ((size_t)WEFT_REGION_PAGE)

static const char *const trackers[] = {"pagemap_scan", "segv"};

static struct weft_origin *origin_make(size_t len, size_t max)
{
    struct weft_origin *origin = NULL;
    assert_int_equal(weft__origin_open("origin", len, max, &origin), 0);
    return origin;
}

static void add(struct weft_origin *origin, uint64_t offset, uint64_t len,
                enum weft_merge_type type, enum weft_merge_op op)
{
    const struct weft_merge_region region = {
        .offset = offset, .len_bytes = len, .type = type, .op = op};
    assert_int_equal(weft__merge_add(weft__origin_merge(origin), &region), 0);
}

static void put_int(struct weft_origin *origin, uint64_t offset, int32_t value)
{
    assert_int_equal(weft__origin_write(origin, offset, &value, sizeof(value)), 0);
}

static int32_t int_at(const struct weft_origin *origin, uint64_t offset)
{
    int32_t value;
    memcpy(&value, (char *)weft__origin_region(origin)->base + offset, sizeof(value));
    return value;
}

static void queue_int(struct weft_origin *origin, uint64_t offset, enum weft_merge_op op,
                      int32_t operand)
{
    const struct weft_diff diff = {
        .offset = offset, .len_bytes = 4, .type = WEFT_MERGE_INT32, .op = (uint8_t)op};
    struct weft_diffs diffs = {0};
    assert_int_equal(weft__diffs_add(&diffs, &diff, &operand), 0);
    assert_int_equal(weft__origin_queue(origin, &diffs), 0);
    assert_null(diffs.at); /* taken over */
}

static void queued_differences_are_written_by_the_owner(void **state)
{
    static const struct {
        enum weft_merge_op op;
        int32_t base, operand, merged;
    } cases[] = {{WEFT_MERGE_SUM, 100, 10, 110},    {WEFT_MERGE_SUBTRACT, 100, 10, 90},
                 {WEFT_MERGE_PRODUCT, 10, 20, 200}, {WEFT_MERGE_MIN, 1000, 100, 100},
                 {WEFT_MERGE_MIN, 10, 20, 10},      {WEFT_MERGE_MAX, 100, 1000, 1000},
                 {WEFT_MERGE_MAX, 20, 10, 20}};
    size_t lists;
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct weft_origin *origin = origin_make(5 * PAGE, 0);
        put_int(origin, 8, cases[i].base);
        queue_int(origin, 8, cases[i].op, cases[i].operand);
        assert_int_equal(weft__origin_queued(origin), 1);
        assert_int_equal(int_at(origin, 8), cases[i].base);
        assert_int_equal(weft__origin_merge_queued(origin, &lists), 0);
        assert_int_equal(lists, 1);
        assert_int_equal(weft__origin_queued(origin), 0);
        assert_int_equal(int_at(origin, 8), cases[i].merged);
        weft__origin_close(origin);
    }
    struct weft_origin *origin = origin_make(5 * PAGE, 0); /* a thread's result with two of them */
    put_int(origin, 8, 25);
    put_int(origin, 2 * PAGE, 60);
    queue_int(origin, 8, WEFT_MERGE_SUM, 123);
    queue_int(origin, 2 * PAGE, WEFT_MERGE_SUM, 345);
    assert_int_equal(weft__origin_merge_queued(origin, &lists), 0);
    assert_int_equal(lists, 2);
    assert_int_equal(int_at(origin, 8), 148);
    assert_int_equal(int_at(origin, 2 * PAGE), 405);
    queue_int(origin, 8, WEFT_MERGE_SUM, 1);
    weft__origin_close(origin); /* with what is queued */
    weft__origin_close(NULL);
}

static void updates_are_the_pages_that_changed(void **state)
{
    struct weft_origin *origin = origin_make(8 * PAGE, 16 * PAGE);
    struct weft_extents pages = {0};
    size_t lists;
    (void)state;
    assert_int_equal(weft__origin_updates(origin, &pages), 0);
    assert_int_equal(pages.n, 0);
    assert_int_equal(weft__origin_write(origin, 2 * PAGE - 1, "ab", 2), 0);
    put_int(origin, 7 * PAGE, 1);
    put_int(origin, 7 * PAGE + 8, 1);
    queue_int(origin, 5 * PAGE, WEFT_MERGE_SUM, 1);
    assert_int_equal(weft__origin_updates(origin, &pages), 0); /* a queue is not a change */
    assert_int_equal(pages.n, 2);
    assert_int_equal(pages.at[0].offset, PAGE);
    assert_int_equal(pages.at[0].len_bytes, 2 * PAGE);
    assert_int_equal(pages.at[1].offset, 7 * PAGE);
    assert_int_equal(weft__origin_merge_queued(origin, &lists), 0);
    assert_int_equal(weft__origin_updates(origin, &pages), 0);
    assert_int_equal(pages.n, 1);
    assert_int_equal(pages.at[0].offset, 5 * PAGE);
    assert_int_equal(pages.at[0].len_bytes, PAGE);
    weft__extents_fini(&pages);
    weft__origin_close(origin);
}

static void it_grows_by_writes_and_by_differences_up_to_its_bound(void **state)
{
    struct weft_origin *origin = origin_make(2 * PAGE, 4 * PAGE), *none = NULL;
    struct weft_diffs diffs = {0};
    const struct weft_diff behind = {
        .offset = 4 * PAGE - 1, .len_bytes = 2, .op = WEFT_MERGE_OVERWRITE};
    size_t lists;
    (void)state;
    assert_int_equal(weft__origin_len(origin), 2 * PAGE);
    put_int(origin, 2 * PAGE, 5);
    assert_int_equal(weft__origin_len(origin), 3 * PAGE);
    queue_int(origin, 4 * PAGE - 4, WEFT_MERGE_SUM, 7);
    assert_int_equal(weft__origin_merge_queued(origin, &lists), 0);
    assert_int_equal(weft__origin_len(origin), 4 * PAGE);
    assert_int_equal(int_at(origin, 4 * PAGE - 4), 7);
    assert_int_equal(weft__origin_write(origin, 4 * PAGE - 1, "ab", 2), WEFT_ERANGE);
    assert_int_equal(weft__diffs_add(&diffs, &behind, "ab"), 0);
    assert_int_equal(weft__origin_queue(origin, &diffs), WEFT_ERANGE);
    assert_int_equal(diffs.n, 1); /* still the caller's */
    weft__diffs_fini(&diffs);
    weft__origin_close(origin);
    assert_int_equal(weft__origin_open("x", PAGE + 1, 0, &none), WEFT_EINVAL);
    assert_int_equal(weft__origin_open("x", 2 * PAGE, PAGE, &none), WEFT_EINVAL);
    assert_int_equal(weft__origin_open("x", 0, 0, &none), WEFT_EINVAL);
    assert_null(none);
}

static void a_full_queue_says_so(void **state)
{
    struct weft_origin *origin = origin_make(PAGE, 0);
    const struct weft_diff diff = {.len_bytes = 1, .op = WEFT_MERGE_OVERWRITE};
    struct weft_diffs diffs = {0};
    size_t lists;
    (void)state;
    for (size_t i = 0; i < WEFT_ORIGIN_QUEUE_MAX; i++)
        queue_int(origin, 0, WEFT_MERGE_SUM, 1);
    assert_int_equal(weft__diffs_add(&diffs, &diff, "a"), 0);
    assert_int_equal(weft__origin_queue(origin, &diffs), WEFT_EAGAIN);
    assert_int_equal(weft__origin_merge_queued(origin, &lists), 0);
    assert_int_equal(lists, WEFT_ORIGIN_QUEUE_MAX);
    assert_int_equal(int_at(origin, 0), WEFT_ORIGIN_QUEUE_MAX);
    assert_int_equal(weft__origin_queue(origin, &diffs), 0);
    weft__origin_close(origin);
}

static void a_list_that_cannot_be_applied_does_not_keep_the_others(void **state)
{
    struct weft_origin *origin = origin_make(PAGE, 0);
    const struct weft_diff bad = {
        .offset = 2, .len_bytes = 4, .type = WEFT_MERGE_INT32, .op = WEFT_MERGE_SUM};
    struct weft_diffs diffs = {0};
    size_t lists;
    (void)state;
    queue_int(origin, 0, WEFT_MERGE_SUM, 1);
    assert_int_equal(weft__diffs_add(&diffs, &bad, "abcd"), 0);
    assert_int_equal(weft__origin_queue(origin, &diffs), 0);
    queue_int(origin, 0, WEFT_MERGE_SUM, 2);
    assert_int_equal(weft__origin_merge_queued(origin, &lists), WEFT_EINVAL);
    assert_int_equal(lists, 2);
    assert_int_equal(int_at(origin, 0), 3);
    weft__origin_close(origin);
}

static void what_is_queued_can_be_dropped_or_merged_all_at_once(void **state)
{
    struct weft_origin *origin = origin_make(2 * PAGE, 2 * PAGE);
    (void)state;
    put_int(origin, 0, 7);
    queue_int(origin, 0, WEFT_MERGE_SUM, 1);
    queue_int(origin, PAGE, WEFT_MERGE_SUM, 1);
    weft__origin_drop_queued(origin);
    assert_int_equal(weft__origin_queued(origin), 0);
    assert_int_equal(weft__origin_merge_all(origin), 0);
    assert_int_equal(int_at(origin, 0), 7);
    queue_int(origin, 0, WEFT_MERGE_SUM, 1);
    queue_int(origin, 0, WEFT_MERGE_PRODUCT, 2);
    assert_int_equal(weft__origin_merge_all(origin), 0);
    assert_int_equal(int_at(origin, 0), 16);
    assert_int_equal(weft__origin_queued(origin), 0);
    weft__origin_close(origin);
}

/* Merges two lists at once of which one has no memory; 0: as it should be. */
static int merge_all_in_vain(void *arg)
{
    struct weft_origin *origin = arg;
    queue_int(origin, 0, WEFT_MERGE_SUM, 1);
    queue_int(origin, 5 * PAGE, WEFT_MERGE_SUM, 1);
    if (!deny(SYS_fallocate, ENOSPC))
        return DENIED_SKIPPED;
    if (weft__origin_merge_all(origin) != WEFT_ENOSPC)
        return 2;
    return int_at(origin, 0) == 7 && weft__origin_queued(origin) == 0 ? 0 : 3;
}

/* Merges two lists for which there is no memory; 0: as it should be. */
static int merge_in_vain(void *arg)
{
    struct weft_origin *origin = arg;
    size_t lists = 99;
    queue_int(origin, 0, WEFT_MERGE_SUM, 1); /* a page that is there, */
    struct weft_diffs two = {0};
    const struct weft_diff here = {.offset = 8,
                                   .len_bytes = 4,
                                   .type = WEFT_MERGE_INT32,
                                   .op = WEFT_MERGE_SUM},
                           hole = {.offset = 5 * PAGE, .len_bytes = 4, .op = WEFT_MERGE_OVERWRITE};
    const int32_t one = 1;
    if (weft__diffs_add(&two, &here, &one) != 0 || weft__diffs_add(&two, &hole, "abcd") != 0 ||
        weft__origin_queue(origin, &two) != 0) /* and one that is not */
        return 1;
    if (!deny(SYS_fallocate, ENOSPC))
        return DENIED_SKIPPED;
    int err = weft__origin_merge_queued(origin, &lists);
    if (err != WEFT_ENOSPC || !strstr(weft_fail_text(err), "no memory for 0x1000 bytes"))
        return 2;
    if (lists != 0 || int_at(origin, 0) != 7 || int_at(origin, 8) != 0)
        return 3;
    return weft__origin_len(origin) == 2 * PAGE ? 0 : 4;
}

static void a_merge_for_which_there_is_no_memory_changes_nothing(void **state)
{
    struct weft_origin *origin = origin_make(2 * PAGE, 8 * PAGE);
    (void)state;
    put_int(origin, 0, 7);
    int code = in_child(merge_in_vain, origin);
    if (code == 0)
        code = in_child(merge_all_in_vain, origin);
    weft__origin_close(origin);
    if (code == DENIED_SKIPPED) {
        print_message("skipped: seccomp is not permitted here\n");
        skip();
    }
    assert_int_equal(code, 0);
}

/* ---- fork and join ---- */

static const char *tracker_or_skip(size_t i)
{
    if (weft__track_probe(trackers[i]) == 0)
        return trackers[i];
    print_message("skipped for %s\n", trackers[i]);
    return NULL;
}

struct fork {
    struct weft_view view;
    struct weft_track *track;
};

static struct fork fork_make(const struct weft_origin *origin, const char *tracker, size_t len)
{
    struct fork f;
    assert_int_equal(weft__view_init(&f.view, weft__origin_region(origin), NULL, len), 0);
    const struct weft_track_desc desc = {.tracker = tracker, .base = f.view.base, .len_bytes = len};
    assert_int_equal(weft__track_start(&desc, &f.track), 0);
    return f;
}

/* Queues what the fork changed; returns how many bytes of pages that was. */
static uint64_t fork_join(struct fork *f, struct weft_origin *origin, size_t expected)
{
    struct weft_extents dirty = {0};
    struct weft_diffs diffs = {0};
    assert_int_equal(weft__track_collect(f->track, &dirty), 0);
    const struct weft_diff_desc copy = {
        .now = f->view.base, .now_len = f->view.len_bytes, .dirty = &dirty};
    assert_int_equal(weft__origin_diff(origin, &copy, &diffs), 0);
    assert_int_equal(diffs.n, expected);
    assert_int_equal(weft__origin_queue(origin, &diffs), 0);
    uint64_t pages = dirty.total_bytes / PAGE;
    weft__track_stop(f->track);
    weft__view_fini(&f->view);
    weft__extents_fini(&dirty);
    return pages;
}

static void pages_are(struct fork *f, const bool *expected, size_t n)
{
    struct weft_extents dirty = {0};
    bool flags[16] = {0};
    assert_int_equal(weft__track_collect(f->track, &dirty), 0);
    for (size_t i = 0; i < dirty.n; i++)
        memset(flags + dirty.at[i].offset / PAGE, 1, dirty.at[i].len_bytes / PAGE);
    assert_memory_equal(flags, expected, n);
    for (size_t page = 0; page < n; page++) /* they count again */
        if (flags[page])
            ((volatile char *)f->view.base)[page * PAGE] =
                ((volatile char *)f->view.base)[page * PAGE];
    weft__extents_fini(&dirty);
}

static void changed_numbers_are_found_by_their_dirty_pages(void **state)
{
    static const bool second[] = {false, true, false, false, false},
                      edges[] = {true, true, false, false, true};
    const size_t last = 5 * PAGE - 4;
    size_t lists;
    (void)state;
    for (size_t i = 0; i < sizeof(trackers) / sizeof(trackers[0]); i++) {
        const char *tracker = tracker_or_skip(i);
        if (!tracker)
            continue;
        struct weft_origin *origin = origin_make(5 * PAGE, 0);
        add(origin, 0, 4, WEFT_MERGE_INT32, WEFT_MERGE_SUBTRACT);
        add(origin, PAGE + 8, 4, WEFT_MERGE_INT32, WEFT_MERGE_SUM);
        add(origin, PAGE + 12, 4, WEFT_MERGE_INT32, WEFT_MERGE_SUBTRACT);
        add(origin, PAGE + 40, 8, WEFT_MERGE_INT64, WEFT_MERGE_SUM);
        add(origin, last, 4, WEFT_MERGE_INT32, WEFT_MERGE_SUM);
        put_int(origin, 0, 5000000);
        put_int(origin, PAGE + 8, 10);
        put_int(origin, PAGE + 12, 999999999);
        put_int(origin, PAGE + 40, 100);
        put_int(origin, last, 100000000);
        struct fork f = fork_make(origin, tracker, 5 * PAGE);
        char *at = f.view.base;
        *(int64_t *)(void *)(at + PAGE + 40) = 150;
        pages_are(&f, second, 5);
        assert_int_equal(fork_join(&f, origin, 1), 1);
        f = fork_make(origin, tracker, 5 * PAGE);
        at = f.view.base;
        *(int32_t *)(void *)at = 2500001;
        *(int32_t *)(void *)(at + PAGE + 8) = 20000000;
        *(int32_t *)(void *)(at + PAGE + 12) = 1;
        *(int32_t *)(void *)(at + last) = 100000001;
        pages_are(&f, edges, 5);
        assert_int_equal(fork_join(&f, origin, 4), 3);
        assert_int_equal(weft__origin_merge_queued(origin, &lists), 0);
        assert_int_equal(int_at(origin, 0), 2500001);
        assert_int_equal(int_at(origin, PAGE + 8), 20000000);
        assert_int_equal(int_at(origin, PAGE + 12), 1);
        assert_int_equal(int_at(origin, PAGE + 40), 150);
        assert_int_equal(int_at(origin, last), 100000001);
        weft__origin_close(origin);
    }
}

enum { FORKS = 6, SLOTS = 2000 };

/* Counters that all add to, maxima, and an array in which each writes a part. */
struct job {
    struct weft_origin *origin;
    const char *tracker;
    int64_t number;
};

static void *job_run(void *user)
{
    const struct job *job = user;
    struct weft_extents dirty = {0};
    struct weft_diffs diffs = {0};
    struct fork f = fork_make(job->origin, job->tracker, weft__origin_len(job->origin));
    int64_t *sums = f.view.base, *tops = sums + SLOTS, *own = tops + SLOTS;
    for (int64_t i = 0; i < SLOTS; i++) {
        sums[i] += job->number * i;
        tops[i] = (i * job->number) % 7 > tops[i] ? (i * job->number) % 7 : tops[i];
        if (i % FORKS == job->number)
            own[i] = i + 1;
    }
    assert_int_equal(weft__track_collect(f.track, &dirty), 0);
    const struct weft_diff_desc copy = {
        .now = f.view.base, .now_len = f.view.len_bytes, .dirty = &dirty};
    assert_int_equal(weft__origin_diff(job->origin, &copy, &diffs), 0);
    assert_int_equal(weft__origin_queue(job->origin, &diffs), 0);
    weft__track_stop(f.track);
    weft__view_fini(&f.view);
    weft__extents_fini(&dirty);
    return NULL;
}

static void threads_that_fork_from_it_are_merged_into_it(void **state)
{
    const size_t array = SLOTS * sizeof(int64_t);
    (void)state;
    for (size_t t = 0; t < sizeof(trackers) / sizeof(trackers[0]); t++) {
        const char *tracker = tracker_or_skip(t);
        pthread_t threads[FORKS];
        struct job jobs[FORKS];
        size_t lists;
        if (!tracker)
            continue;
        struct weft_origin *origin = origin_make((3 * array + PAGE - 1) / PAGE * PAGE, 0);
        add(origin, 0, array, WEFT_MERGE_INT64, WEFT_MERGE_SUM);
        add(origin, array, array, WEFT_MERGE_INT64, WEFT_MERGE_MAX);
        assert_int_equal(weft__merge_fill(weft__origin_merge(origin), WEFT_MERGE_XOR), 0);
        for (int64_t i = 0; i < FORKS; i++) {
            jobs[i] = (struct job){.origin = origin, .tracker = tracker, .number = i};
            assert_int_equal(pthread_create(&threads[i], NULL, job_run, &jobs[i]), 0);
        }
        for (size_t i = 0; i < FORKS; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(weft__origin_merge_queued(origin, &lists), 0);
        assert_int_equal(lists, FORKS);
        const int64_t *sums = weft__origin_region(origin)->base, *tops = sums + SLOTS,
                      *own = tops + SLOTS;
        for (int64_t i = 0; i < SLOTS; i++) {
            int64_t top = 0;
            for (int64_t n = 0; n < FORKS; n++)
                top = (i * n) % 7 > top ? (i * n) % 7 : top;
            assert_int_equal(sums[i], i * (FORKS * (FORKS - 1) / 2));
            assert_int_equal(tops[i], top);
            assert_int_equal(own[i], i + 1);
        }
        weft__origin_close(origin);
    }
}

static void a_huge_one_costs_what_is_touched_in_it(void **state)
{
    const size_t writes = 1280, step = HUGE_BYTES / writes / PAGE * PAGE;
    struct weft_origin *origin = origin_make(HUGE_BYTES, 0);
    struct weft_extents pages = {0};
    size_t lists;
    (void)state;
    add(origin, 0, 0, WEFT_MERGE_INT64, WEFT_MERGE_SUM);
    for (size_t i = 0; i < writes; i += 2) {
        int64_t value = (int64_t)i;
        assert_int_equal(weft__origin_write(origin, i * step, &value, sizeof(value)), 0);
    }
    assert_int_equal(weft__origin_updates(origin, &pages), 0);
    assert_int_equal(pages.total_bytes, writes / 2 * PAGE);
    struct fork f = fork_make(origin, NULL, HUGE_BYTES);
    for (size_t i = 0; i < writes; i++)
        *(int64_t *)(void *)((char *)f.view.base + i * step) += 5;
    assert_int_equal(fork_join(&f, origin, writes), writes);
    assert_int_equal(weft__origin_merge_queued(origin, &lists), 0);
    for (size_t i = 0; i < writes; i++)
        assert_int_equal(int_at(origin, i * step), (i % 2 ? 0 : i) + 5);
    assert_int_equal(weft__origin_updates(origin, &pages), 0);
    assert_int_equal(pages.total_bytes, writes * PAGE);
    assert_int_equal(pages.at[writes - 1].offset, (writes - 1) * step);
    assert_int_equal(weft__region_touched(weft__origin_region(origin), &pages), 0);
    assert_int_equal(pages.total_bytes, writes * PAGE);
    weft__extents_fini(&pages);
    weft__origin_close(origin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queued_differences_are_written_by_the_owner),
        cmocka_unit_test(updates_are_the_pages_that_changed),
        cmocka_unit_test(it_grows_by_writes_and_by_differences_up_to_its_bound),
        cmocka_unit_test(a_full_queue_says_so),
        cmocka_unit_test(a_list_that_cannot_be_applied_does_not_keep_the_others),
        cmocka_unit_test(a_merge_for_which_there_is_no_memory_changes_nothing),
        cmocka_unit_test(what_is_queued_can_be_dropped_or_merged_all_at_once),
        cmocka_unit_test(changed_numbers_are_found_by_their_dirty_pages),
        cmocka_unit_test(threads_that_fork_from_it_are_merged_into_it),
        cmocka_unit_test(a_huge_one_costs_what_is_touched_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
