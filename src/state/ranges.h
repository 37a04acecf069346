/* Ranges of a value: sorted, apart from each other, none empty. What a replica has, and what it has
 * to push, are such lists: memory for what is scattered, not for every byte. */
#ifndef WEFT_STATE_RANGES_H
#define WEFT_STATE_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct weft_range64 {
    uint64_t offset, len;
};

/* Zeroed: empty. */
struct weft_ranges {
    struct weft_range64 *at;
    size_t n, room;
};

void weft__ranges_fini(struct weft_ranges *ranges); /* fine on a zeroed one; leaves it empty */
void weft__ranges_clear(struct weft_ranges *ranges);
/* offset + len must not overflow. 0 bytes: nothing.  Errors: WEFT_ENOMEM, nothing was changed. */
int weft__ranges_add(struct weft_ranges *ranges, uint64_t offset, uint64_t len);
int weft__ranges_remove(struct weft_ranges *ranges, uint64_t offset, uint64_t len);
/* Whether all of it is in. */
bool weft__ranges_hold(const struct weft_ranges *ranges, uint64_t offset, uint64_t len);
/* The parts of [offset, offset + len) that are not in; out is cleared first. */
int weft__ranges_missing(const struct weft_ranges *ranges, uint64_t offset, uint64_t len,
                         struct weft_ranges *out);
uint64_t weft__ranges_bytes(const struct weft_ranges *ranges);

#endif
