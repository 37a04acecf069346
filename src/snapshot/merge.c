/* Merge regions: the list.
 *
 * It is sorted and free of overlaps at any time: the region at the place where a new one would go,
 * and the one before, are all that it could touch. What is wrong is refused here, where whoever
 * describes his memory hears of it, not when differences are made or applied. Elements lie at
 * multiples of their size, so none crosses a page.
 */
#include "snapshot/merge.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "weft/error.h"

static const char *const type_names[] = {"raw", "bool", "int32", "int64", "float", "double"};
static const char *const op_names[] = {"overwrite", "xor",     "ignore", "sum",
                                       "subtract",  "product", "max",    "min"};

size_t weft__merge_element(enum weft_merge_type type)
{
    static const size_t sizes[] = {1, 1, 4, 8, 4, 8};
    return sizes[type];
}

bool weft__merge_allows(enum weft_merge_type type, enum weft_merge_op op)
{
    if ((unsigned)type >= WEFT_MERGE_TYPES || (unsigned)op >= WEFT_MERGE_OPS)
        return false;
    return op <= WEFT_MERGE_IGNORE || type >= WEFT_MERGE_INT32;
}

const char *weft__merge_type_name(enum weft_merge_type type)
{
    return (unsigned)type < WEFT_MERGE_TYPES ? type_names[type] : "?";
}

const char *weft__merge_op_name(enum weft_merge_op op)
{
    return (unsigned)op < WEFT_MERGE_OPS ? op_names[op] : "?";
}

void weft__merge_fini(struct weft_merge *merge)
{
    free(merge->at);
    *merge = (struct weft_merge){0};
}

void weft__merge_clear(struct weft_merge *merge)
{
    merge->n = 0;
}

static uint64_t end_of(const struct weft_merge_region *region)
{
    return region->len_bytes ? region->offset + region->len_bytes : UINT64_MAX;
}

static int check(const struct weft_merge *merge, const struct weft_merge_region *region)
{
    if (!weft__merge_allows(region->type, region->op))
        return weft_fail(WEFT_EINVAL,
                         "the merge region at 0x%" PRIx64 " cannot %s %s: unsupported combination "
                         "of type and operation (numbers take every operation; raw and bool "
                         "overwrite, xor, ignore)",
                         region->offset - merge->origin, weft__merge_op_name(region->op),
                         weft__merge_type_name(region->type));
    size_t element = weft__merge_element(region->type);
    if (region->offset % element || region->len_bytes % element)
        return weft_fail(WEFT_EINVAL,
                         "the merge region at 0x%" PRIx64 " of 0x%" PRIx64 " bytes is misaligned: "
                         "elements of %s have %zu bytes; offset%s and length must be multiples",
                         region->offset - merge->origin, region->len_bytes,
                         weft__merge_type_name(region->type), element,
                         merge->origin % element ? ", in its page," : "");
    uint64_t limit = merge->limit_bytes ? merge->limit_bytes : UINT64_MAX;
    if (region->offset >= limit || region->len_bytes > limit - region->offset)
        return weft_fail(WEFT_ERANGE,
                         "the merge region at 0x%" PRIx64 " of 0x%" PRIx64 " bytes leaves the "
                         "snapshot, which has at most 0x%" PRIx64,
                         region->offset - merge->origin, region->len_bytes, limit - merge->origin);
    return 0;
}

/* Where a region belongs: the first one that begins at its offset or behind. */
static size_t place_of(const struct weft_merge *merge, uint64_t offset)
{
    size_t low = 0, high = merge->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (merge->at[middle].offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int fail_overlap(const struct weft_merge *merge, const struct weft_merge_region *region,
                        const struct weft_merge_region *other)
{
    return weft_fail(WEFT_EEXIST,
                     "the merge region at 0x%" PRIx64 " of 0x%" PRIx64 " bytes overlaps the one at "
                     "0x%" PRIx64 " of 0x%" PRIx64 " (0: to the end)",
                     region->offset - merge->origin, region->len_bytes,
                     other->offset - merge->origin, other->len_bytes);
}

static int make_room(struct weft_merge *merge)
{
    if (merge->n == WEFT_MERGE_REGIONS_MAX)
        return weft_fail(WEFT_ENOSPC, "a snapshot has at most %u merge regions",
                         WEFT_MERGE_REGIONS_MAX);
    if (merge->n < merge->capacity)
        return 0;
    size_t capacity = merge->capacity ? 2 * merge->capacity : 16;
    struct weft_merge_region *at = realloc(merge->at, capacity * sizeof(*at));
    if (!at)
        return weft_fail(WEFT_ENOMEM, "no memory for %zu merge regions", capacity);
    merge->at = at;
    merge->capacity = capacity;
    return 0;
}

int weft__merge_add(struct weft_merge *merge, const struct weft_merge_region *region)
{
    int err = check(merge, region);
    if (err)
        return err;
    size_t place = place_of(merge, region->offset);
    if (place < merge->n && merge->at[place].offset < end_of(region))
        return fail_overlap(merge, region, &merge->at[place]);
    if (place > 0 && end_of(&merge->at[place - 1]) > region->offset)
        return fail_overlap(merge, region, &merge->at[place - 1]);
    err = make_room(merge);
    if (err)
        return err;
    memmove(&merge->at[place + 1], &merge->at[place], (merge->n - place) * sizeof(*merge->at));
    merge->at[place] = *region;
    merge->n++;
    return 0;
}

static int fill_into(const struct weft_merge *merge, enum weft_merge_op op,
                     struct weft_merge *filled)
{
    uint64_t covered = 0;
    int err = 0;
    for (size_t i = 0; i <= merge->n && !err; i++) {
        const struct weft_merge_region *next = i < merge->n ? &merge->at[i] : NULL;
        const uint64_t end = next                 ? next->offset
                             : merge->limit_bytes ? merge->limit_bytes
                                                  : UINT64_MAX;
        if (covered < end) {
            const struct weft_merge_region gap = {
                .offset = covered, .len_bytes = next ? end - covered : 0, .op = op};
            err = weft__merge_add(filled, &gap);
        }
        if (next && !err)
            err = weft__merge_add(filled, next);
        covered = next ? end_of(next) : end;
    }
    return err;
}

int weft__merge_fill(struct weft_merge *merge, enum weft_merge_op op)
{
    struct weft_merge filled = {.limit_bytes = merge->limit_bytes, .origin = merge->origin};
    if (op != WEFT_MERGE_OVERWRITE && op != WEFT_MERGE_XOR)
        return weft_fail(WEFT_EINVAL,
                         "bytes between merge regions can be overwritten or xored, not: %s",
                         weft__merge_op_name(op));
    int err = fill_into(merge, op, &filled);
    if (err) {
        weft__merge_fini(&filled);
        return err;
    }
    weft__merge_fini(merge);
    *merge = filled;
    return 0;
}
