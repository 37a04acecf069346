/* Ranges of memory of each kind, and trackers of them, for tests. */
#ifndef WEFT_TESTS_SNAPSHOT_RANGES_H
#define WEFT_TESTS_SNAPSHOT_RANGES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "snapshot/region.h"
#include "snapshot/track.h"
#include "weft/error.h"

#define PAGE ((size_t)WEFT_REGION_PAGE)

enum memory { ANONYMOUS, SHARED, PRIVATE_FILE, MEMORIES };

struct range {
    char *base;
    size_t len;
    int fd;
};

static inline struct range range_make(enum memory memory, size_t len)
{
    struct range range = {.len = len, .fd = -1};
    int flags = MAP_NORESERVE | (memory == SHARED ? MAP_SHARED : MAP_PRIVATE);
    if (memory == ANONYMOUS) {
        flags |= MAP_ANONYMOUS;
    } else {
        range.fd = memfd_create("range", MFD_CLOEXEC);
        assert_true(range.fd >= 0);
        assert_int_equal(ftruncate(range.fd, (off_t)len), 0);
    }
    range.base = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, range.fd, 0);
    assert_true(range.base != MAP_FAILED);
    madvise(range.base, len, MADV_NOHUGEPAGE);
    return range;
}

static inline void range_drop(struct range *range)
{
    munmap(range->base, range->len);
    if (range->fd >= 0)
        close(range->fd);
}

/* Whether a tracker works here; where it does not, the reason is printed. */
static inline bool works(const char *tracker)
{
    int err = weft__track_probe(tracker);
    if (err)
        print_message("skipped for %s: %s\n", tracker, weft_fail_text(err));
    return err == 0;
}

static inline struct weft_track *track_make(const char *tracker, const struct range *range)
{
    const struct weft_track_desc desc = {
        .tracker = tracker, .base = range->base, .len_bytes = range->len, .fd = range->fd};
    struct weft_track *track = NULL;
    int err = weft__track_start(&desc, &track);
    if (err)
        print_message("%s: %s\n", tracker, weft_fail_text(err));
    assert_int_equal(err, 0);
    assert_string_equal(weft__track_name(track), tracker);
    return track;
}

static inline void collect_exactly(const char *tracker, struct weft_track *track,
                                   const bool *written, size_t pages)
{
    struct weft_extents found = {0};
    bool *flags = calloc(pages, sizeof(*flags));
    assert_int_equal(weft__track_collect(track, &found), 0);
    for (size_t i = 0; i < found.n; i++)
        for (size_t page = found.at[i].offset / PAGE, n = found.at[i].len_bytes / PAGE; n; n--)
            flags[page++] = true;
    for (size_t page = 0; page < pages; page++) {
        bool superset = strcmp(tracker, "none") == 0 && !written[page];
        if (!superset && flags[page] != written[page])
            print_message("%s: page %zu was %swritten and is %sreported\n", tracker, page,
                          written[page] ? "" : "not ", flags[page] ? "" : "not ");
        assert_true(superset || flags[page] == written[page]);
    }
    free(flags);
    weft__extents_fini(&found);
}

#endif
