/* A growing array of ranges. Ranges come in ascending order only, so that no list can hold an
 * overlap. */
#include "snapshot/extent.h"

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
