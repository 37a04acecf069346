/* Sorted arrays, binary search. A change replaces the run of ranges that it touches by at most two:
 * all that a push or a pull needs is a walk in order, and real programs touch few, long ranges.
 * Rejected: a mask of one byte per byte (twice the value's memory), a tree (ranges are few, and
 * walks are what is done most). */
#include "state/ranges.h"

#include <stdlib.h>
#include <string.h>

#include "weft/error.h"

void weft__ranges_fini(struct weft_ranges *ranges)
{
    free(ranges->at);
    memset(ranges, 0, sizeof(*ranges));
}

void weft__ranges_clear(struct weft_ranges *ranges)
{
    ranges->n = 0;
}

static uint64_t end_of(const struct weft_range64 *range)
{
    return range->offset + range->len;
}

/* The first range that ends at or behind offset. */
static size_t first_touching(const struct weft_ranges *ranges, uint64_t offset)
{
    size_t low = 0, high = ranges->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (end_of(&ranges->at[middle]) < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int reserve(struct weft_ranges *ranges, size_t n)
{
    if (n <= ranges->room)
        return WEFT_OK;
    size_t room = ranges->room == 0 ? 8 : ranges->room * 2;
    struct weft_range64 *at = realloc(ranges->at, room * sizeof(*at));
    if (at == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a list of %zu ranges", room);
    ranges->at = at;
    ranges->room = room;
    return WEFT_OK;
}

/* Puts n (<= 2) ranges in the place of those from first up to behind. */
static int replace(struct weft_ranges *ranges, size_t first, size_t behind,
                   const struct weft_range64 *by, size_t n)
{
    int err = reserve(ranges, ranges->n - (behind - first) + n);
    if (err != WEFT_OK)
        return err;
    memmove(&ranges->at[first + n], &ranges->at[behind],
            (ranges->n - behind) * sizeof(*ranges->at));
    for (size_t i = 0; i < n; i++)
        ranges->at[first + i] = by[i];
    ranges->n = ranges->n - (behind - first) + n;
    return WEFT_OK;
}

int weft__ranges_add(struct weft_ranges *ranges, uint64_t offset, uint64_t len)
{
    struct weft_range64 all = {.offset = offset, .len = len};
    if (len == 0)
        return WEFT_OK;
    size_t first = first_touching(ranges, offset), behind = first;
    while (behind < ranges->n && ranges->at[behind].offset <= offset + len)
        behind++;
    if (behind > first) {
        uint64_t end = end_of(&ranges->at[behind - 1]);
        if (ranges->at[first].offset < offset)
            all.offset = ranges->at[first].offset;
        all.len = (end > offset + len ? end : offset + len) - all.offset;
    }
    return replace(ranges, first, behind, &all, 1);
}

int weft__ranges_remove(struct weft_ranges *ranges, uint64_t offset, uint64_t len)
{
    struct weft_range64 rest[2];
    size_t n = 0;
    if (len == 0)
        return WEFT_OK;
    size_t first = first_touching(ranges, offset + 1), behind = first;
    while (behind < ranges->n && ranges->at[behind].offset < offset + len)
        behind++;
    if (behind == first)
        return WEFT_OK;
    if (ranges->at[first].offset < offset)
        rest[n++] = (struct weft_range64){.offset = ranges->at[first].offset,
                                          .len = offset - ranges->at[first].offset};
    if (end_of(&ranges->at[behind - 1]) > offset + len)
        rest[n++] = (struct weft_range64){.offset = offset + len,
                                          .len = end_of(&ranges->at[behind - 1]) - (offset + len)};
    return replace(ranges, first, behind, rest, n);
}

bool weft__ranges_hold(const struct weft_ranges *ranges, uint64_t offset, uint64_t len)
{
    size_t i = first_touching(ranges, offset + 1);
    return len == 0 || (i < ranges->n && ranges->at[i].offset <= offset &&
                        end_of(&ranges->at[i]) >= offset + len);
}

int weft__ranges_missing(const struct weft_ranges *ranges, uint64_t offset, uint64_t len,
                         struct weft_ranges *out)
{
    uint64_t at = offset, end = offset + len;
    int err = WEFT_OK;
    weft__ranges_clear(out);
    for (size_t i = first_touching(ranges, offset + 1); err == WEFT_OK && at < end; i++) {
        bool last = i >= ranges->n || ranges->at[i].offset >= end;
        uint64_t gap_end = last ? end : ranges->at[i].offset;
        if (gap_end > at)
            err = weft__ranges_add(out, at, gap_end - at);
        at = last ? end : end_of(&ranges->at[i]);
    }
    return err;
}

uint64_t weft__ranges_bytes(const struct weft_ranges *ranges)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < ranges->n; i++)
        sum += ranges->at[i].len;
    return sum;
}
