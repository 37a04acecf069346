/* A growing array of ranges. Ranges come in ascending order only, so that no list can hold an
 * overlap.
 *
 * Two lists are combined by one walk over the ends of both: between two ends nothing changes, so
 * each stretch is in or out as a whole. */
#include "snapshot/extent.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/check.h"
#include "weft/error.h"

void weft__extents_fini(struct weft_extents *list)
{
    free(list->at);
    *list = (struct weft_extents){0};
}

void weft__extents_clear(struct weft_extents *list)
{
    list->n = 0;
    list->total_bytes = 0;
}

int weft__extents_add(struct weft_extents *list, uint64_t offset, uint64_t len_bytes)
{
    struct weft_extent *last = list->n ? &list->at[list->n - 1] : NULL;
    weft__check(len_bytes > 0 && offset + len_bytes > offset);
    weft__check(!last || offset >= last->offset + last->len_bytes);
    if (last && offset == last->offset + last->len_bytes) {
        last->len_bytes += len_bytes;
        list->total_bytes += len_bytes;
        return 0;
    }
    if (list->n == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 64;
        struct weft_extent *at = realloc(list->at, capacity * sizeof(*at));
        if (!at)
            return weft_fail(WEFT_ENOMEM, "no memory for a list of %zu ranges", capacity);
        list->at = at;
        list->capacity = capacity;
    }
    list->at[list->n++] = (struct weft_extent){.offset = offset, .len_bytes = len_bytes};
    list->total_bytes += len_bytes;
    return 0;
}

/* A walk over the ends of a list's ranges. */
struct walk {
    const struct weft_extents *list;
    size_t next;
    bool inside;
};

static uint64_t next_end(const struct walk *walk)
{
    if (walk->next == walk->list->n)
        return UINT64_MAX;
    const struct weft_extent *at = &walk->list->at[walk->next];
    return walk->inside ? at->offset + at->len_bytes : at->offset;
}

static void step(struct walk *walk, uint64_t at)
{
    while (next_end(walk) == at) {
        walk->next += walk->inside;
        walk->inside = !walk->inside;
    }
}

/* in: what is wanted of a stretch that is in neither (bit 0), in a (1), in b (2), in both (3). */
static int combine(const struct weft_extents *a, const struct weft_extents *b, unsigned in,
                   struct weft_extents *out)
{
    struct walk of_a = {.list = a}, of_b = {.list = b};
    uint64_t at = 0;
    int err = 0;
    weft__extents_clear(out);
    while (!err) {
        uint64_t end_a = next_end(&of_a), end_b = next_end(&of_b);
        uint64_t end = end_a < end_b ? end_a : end_b;
        if (end == UINT64_MAX)
            break;
        if (end > at && in >> (of_a.inside + 2 * of_b.inside) & 1)
            err = weft__extents_add(out, at, end - at);
        step(&of_a, end);
        step(&of_b, end);
        at = end;
    }
    return err;
}

int weft__extents_either(const struct weft_extents *a, const struct weft_extents *b,
                         struct weft_extents *out)
{
    return combine(a, b, 0xe, out);
}

int weft__extents_without(const struct weft_extents *a, const struct weft_extents *b,
                          struct weft_extents *out)
{
    return combine(a, b, 0x2, out);
}

int weft__extents_both(const struct weft_extents *a, const struct weft_extents *b,
                       struct weft_extents *out)
{
    return combine(a, b, 0x8, out);
}
