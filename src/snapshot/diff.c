/* Differences: made, kept, applied.
 *
 * Making them walks the dirty ranges and the merge regions side by side, both sorted, and compares
 * what they have in common, so that the cost is that of what was written, not of what there is. The
 * application's memory is read only. Runs of bytes to be overwritten are exact: an equal byte in
 * between may be somebody else's, changed by him. An equal byte xored is harmless, so those runs
 * span up to 32 of them.
 *
 * Applying checks the whole list before the first byte changes.
 *
 * Rejected: computing operands in place in the memory, which then has to be mapped anew; one
 * difference per page.
 */
#include "snapshot/diff.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot/scan.h"
#include "weft/error.h"

#define XOR_SPAN 32
#define RUN_STEP 32768 /* bytes of elements for which there is room at a time */

/* ---- the list ---- */

void weft__diffs_fini(struct weft_diffs *diffs)
{
    free(diffs->at);
    free(diffs->data);
    *diffs = (struct weft_diffs){0};
}

void weft__diffs_clear(struct weft_diffs *diffs)
{
    diffs->n = 0;
    diffs->data_len = 0;
}

static int room_for_diff(struct weft_diffs *diffs)
{
    if (diffs->n < diffs->capacity)
        return 0;
    if (diffs->n == WEFT_DIFFS_MAX)
        return weft_fail(WEFT_EMSGSIZE,
                         "more than %u differences: bytes changed all over the snapshot; merge it "
                         "by xor, or in regions of numbers",
                         WEFT_DIFFS_MAX);
    size_t capacity = diffs->capacity ? 2 * diffs->capacity : 64;
    struct weft_diff *at = realloc(diffs->at, capacity * sizeof(*at));
    if (!at)
        return weft_fail(WEFT_ENOMEM, "no memory for %zu differences", capacity);
    diffs->at = at;
    diffs->capacity = capacity;
    return 0;
}

static int room_for_data(struct weft_diffs *diffs, size_t len)
{
    if (len <= diffs->data_capacity - diffs->data_len)
        return 0;
    size_t capacity = diffs->data_capacity ? diffs->data_capacity : 4096;
    while (capacity - diffs->data_len < len)
        capacity *= 2;
    unsigned char *data = realloc(diffs->data, capacity);
    if (!data)
        return weft_fail(WEFT_ENOMEM, "no memory for differences of 0x%zx bytes", capacity);
    diffs->data = data;
    diffs->data_capacity = capacity;
    return 0;
}

/* Appends one without its operands' bytes, which the caller writes to *data_out. */
static int append(struct weft_diffs *diffs, const struct weft_diff *diff, unsigned char **data_out)
{
    int err = room_for_diff(diffs);
    if (!err)
        err = room_for_data(diffs, diff->len_bytes);
    if (err)
        return err;
    struct weft_diff *at = &diffs->at[diffs->n++];
    *at = *diff;
    at->data_at = diffs->data_len;
    *data_out = diffs->data + diffs->data_len;
    diffs->data_len += diff->len_bytes;
    return 0;
}

int weft__diffs_add(struct weft_diffs *diffs, const struct weft_diff *diff, const void *data)
{
    unsigned char *into;
    int err = append(diffs, diff, &into);
    if (!err && diff->len_bytes)
        memcpy(into, data, diff->len_bytes);
    return err;
}

uint64_t weft__diffs_end(const struct weft_diffs *diffs)
{
    uint64_t end = 0;
    for (size_t i = 0; i < diffs->n; i++)
        if (diffs->at[i].offset + diffs->at[i].len_bytes > end)
            end = diffs->at[i].offset + diffs->at[i].len_bytes;
    return end;
}

/* ---- making ---- */

struct maker {
    const unsigned char *base, *now;
    struct weft_diffs *diffs;
    const struct weft_merge_region *region;
};

static int overwrite(struct maker *maker, size_t at, size_t end, enum weft_merge_type type)
{
    const struct weft_diff diff = {
        .offset = at, .len_bytes = end - at, .type = (uint8_t)type, .op = WEFT_MERGE_OVERWRITE};
    return weft__diffs_add(maker->diffs, &diff, maker->now + at);
}

static int make_overwrite(struct maker *maker, size_t at, size_t end)
{
    int err = 0;
    while (!err && (at = weft__scan_differ(maker->base, maker->now, at, end)) < end) {
        size_t stop = weft__scan_equal(maker->base, maker->now, at, end);
        err = overwrite(maker, at, stop, WEFT_MERGE_RAW);
        at = stop;
    }
    return err;
}

static void xor_into(unsigned char *into, const unsigned char *a, const unsigned char *b, size_t n)
{
    size_t i = 0;
    for (; n - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
        uint64_t x, y;
        memcpy(&x, a + i, sizeof(x));
        memcpy(&y, b + i, sizeof(y));
        x ^= y;
        memcpy(into + i, &x, sizeof(x));
    }
    for (; i < n; i++)
        into[i] = a[i] ^ b[i];
}

/* Where a run that begins at `at` and may span some equal bytes ends. */
static size_t xor_run(const struct maker *maker, size_t at, size_t end)
{
    for (;;) {
        size_t stop = weft__scan_equal(maker->base, maker->now, at, end);
        size_t look = end - stop < XOR_SPAN ? end : stop + XOR_SPAN;
        at = weft__scan_differ(maker->base, maker->now, stop, look);
        if (at == look)
            return stop;
    }
}

static int make_xor(struct maker *maker, size_t at, size_t end)
{
    int err = 0;
    while (!err && (at = weft__scan_differ(maker->base, maker->now, at, end)) < end) {
        size_t stop = xor_run(maker, at, end);
        const struct weft_diff diff = {
            .offset = at, .len_bytes = stop - at, .type = WEFT_MERGE_RAW, .op = WEFT_MERGE_XOR};
        unsigned char *into;
        err = append(maker->diffs, &diff, &into);
        if (!err)
            xor_into(into, maker->base + at, maker->now + at, stop - at);
        at = stop;
    }
    return err;
}

/* One run of differing elements that have operands; returns where it ends in *at. */
static int make_run(struct maker *maker, size_t *at, size_t end)
{
    const size_t size = weft__merge_element(maker->region->type);
    const struct weft_diff diff = {
        .offset = *at, .type = (uint8_t)maker->region->type, .op = (uint8_t)maker->region->op};
    struct weft_diffs *diffs = maker->diffs;
    unsigned char *into;
    size_t stop = *at, wanted, made;
    int err = append(diffs, &diff, &into);
    do {
        wanted = end - stop < RUN_STEP ? end - stop : RUN_STEP;
        if (!err)
            err = room_for_data(diffs, wanted);
        if (err)
            return err;
        made = size * weft__merge_operands(maker->region, maker->base + stop, maker->now + stop,
                                           wanted / size, diffs->data + diffs->data_len);
        diffs->data_len += made;
        stop += made;
    } while (made == wanted && stop < end);
    diffs->at[diffs->n - 1].len_bytes = stop - *at;
    if (stop == *at) { /* none: the very first has no operand */
        diffs->n--;
        stop += size;
        err = overwrite(maker, *at, stop, maker->region->type);
    }
    *at = stop;
    return err;
}

static int make_typed(struct maker *maker, size_t at, size_t end)
{
    const size_t size = weft__merge_element(maker->region->type);
    int err = 0;
    end -= end % size; /* a snapshot may end within an element, which then has no value */
    while (!err && at < end && (at = weft__scan_differ(maker->base, maker->now, at, end)) < end) {
        at -= at % size;
        err = make_run(maker, &at, end);
    }
    return err;
}

static int make_range(struct maker *maker, size_t at, size_t end)
{
    switch (maker->region->op) {
    case WEFT_MERGE_IGNORE:
        return 0;
    case WEFT_MERGE_OVERWRITE:
        return make_overwrite(maker, at, end);
    case WEFT_MERGE_XOR:
        return make_xor(maker, at, end);
    default:
        return make_typed(maker, at, end);
    }
}

/* What a dirty range has in common with [low, high). */
static bool common(const struct weft_extent *run, size_t *low, size_t *high)
{
    if (run->offset > *low)
        *low = run->offset;
    if (run->offset + run->len_bytes < *high)
        *high = run->offset + run->len_bytes;
    return *low < *high;
}

/* What of the memory lies behind the snapshot's end. */
static int make_tail(struct maker *maker, const struct weft_diff_desc *desc,
                     const struct weft_extents *dirty)
{
    int err = 0;
    for (size_t i = 0; i < dirty->n && !err; i++) {
        size_t low = desc->base_len, high = desc->now_len;
        if (low < high && common(&dirty->at[i], &low, &high))
            err = overwrite(maker, low, high, WEFT_MERGE_RAW);
    }
    return err;
}

static int make_regions(struct maker *maker, const struct weft_diff_desc *desc,
                        const struct weft_extents *dirty)
{
    const size_t limit = desc->base_len < desc->now_len ? desc->base_len : desc->now_len;
    size_t i = 0, j = 0;
    int err = 0;
    while (!err && i < desc->merge->n && j < dirty->n && dirty->at[j].offset < limit) {
        const struct weft_merge_region *region = &desc->merge->at[i];
        size_t low = region->offset, high = limit;
        if (region->len_bytes && region->offset + region->len_bytes < limit)
            high = region->offset + region->len_bytes;
        const size_t region_end = high;
        maker->region = region;
        if (common(&dirty->at[j], &low, &high))
            err = make_range(maker, low, high);
        if (dirty->at[j].offset + dirty->at[j].len_bytes < region_end)
            j++;
        else
            i++;
    }
    return err;
}

int weft__diffs_make(const struct weft_diff_desc *desc, struct weft_diffs *diffs_out)
{
    struct weft_extent anything = {.len_bytes = desc->now_len};
    const struct weft_extents all = {.at = &anything, .n = desc->now_len > 0};
    const struct weft_extents *dirty = desc->dirty ? desc->dirty : &all;
    struct maker maker = {.base = desc->base, .now = desc->now, .diffs = diffs_out};
    weft__diffs_clear(diffs_out);
    int err = make_tail(&maker, desc, dirty);
    if (!err && desc->merge)
        err = make_regions(&maker, desc, dirty);
    if (err)
        weft__diffs_clear(diffs_out);
    return err;
}

/* ---- applying ---- */

static int check(const struct weft_diff *diff, size_t len_bytes)
{
    if (!weft__merge_allows(diff->type, diff->op) || diff->op == WEFT_MERGE_IGNORE)
        return weft_fail(WEFT_EINVAL,
                         "the difference at 0x%" PRIx64 " is of type %u and operation "
                         "%u, which do not go together",
                         diff->offset, diff->type, diff->op);
    size_t element = diff->op >= WEFT_MERGE_SUM ? weft__merge_element(diff->type) : 1;
    if (diff->offset % element || diff->len_bytes % element)
        return weft_fail(WEFT_EINVAL,
                         "the difference at 0x%" PRIx64 " of 0x%" PRIx64 " bytes is "
                         "not whole elements of %s",
                         diff->offset, diff->len_bytes, weft__merge_type_name(diff->type));
    if (diff->offset > len_bytes || diff->len_bytes > len_bytes - diff->offset)
        return weft_fail(WEFT_ERANGE,
                         "the difference at 0x%" PRIx64 " of 0x%" PRIx64 " bytes "
                         "leaves the snapshot of 0x%zx bytes",
                         diff->offset, diff->len_bytes, len_bytes);
    return 0;
}

int weft__diffs_apply(const struct weft_diffs *diffs, void *base, size_t len_bytes)
{
    for (size_t i = 0; i < diffs->n; i++) {
        int err = check(&diffs->at[i], len_bytes);
        if (err)
            return err;
    }
    for (size_t i = 0; i < diffs->n; i++) {
        const struct weft_diff *diff = &diffs->at[i];
        const struct weft_merge_region how = {.type = diff->type, .op = diff->op};
        size_t element = diff->op >= WEFT_MERGE_SUM ? weft__merge_element(diff->type) : 1;
        weft__merge_apply(&how, (char *)base + diff->offset, weft__diff_data(diffs, i),
                          diff->len_bytes / element);
    }
    return 0;
}
