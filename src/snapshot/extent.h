/* A list of byte ranges in a region: sorted by offset, never overlapping. */
#ifndef WEFT_SNAPSHOT_EXTENT_H
#define WEFT_SNAPSHOT_EXTENT_H

#include <stddef.h>
#include <stdint.h>

struct weft_extent {
    uint64_t offset;
    uint64_t len_bytes; /* > 0 */
};

struct weft_extents {
    struct weft_extent *at;
    size_t n;
    size_t capacity;
    uint64_t total_bytes;
};

/* A zeroed list is an empty one. */
void weft__extents_fini(struct weft_extents *list);
void weft__extents_clear(struct weft_extents *list);
/* Adds a range at or behind the end of the last one (assert); joins them where they touch.  Errors:
 * WEFT_ENOMEM. */
int weft__extents_add(struct weft_extents *list, uint64_t offset, uint64_t len_bytes);
/* What is in either list; what is in the first and not in the second; what is in both. out is
 * cleared first and is neither of them.  Errors: WEFT_ENOMEM. */
int weft__extents_either(const struct weft_extents *a, const struct weft_extents *b,
                         struct weft_extents *out);
int weft__extents_without(const struct weft_extents *a, const struct weft_extents *b,
                          struct weft_extents *out);
int weft__extents_both(const struct weft_extents *a, const struct weft_extents *b,
                       struct weft_extents *out);

#endif
