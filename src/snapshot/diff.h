/* Differences between a snapshot and memory that began as a copy of it. */
#ifndef WEFT_SNAPSHOT_DIFF_H
#define WEFT_SNAPSHOT_DIFF_H

#include <stddef.h>
#include <stdint.h>

#include "snapshot/extent.h"
#include "snapshot/merge.h"

#define WEFT_DIFFS_MAX (1u << 22)                /* of one list */
#define WEFT_DIFFS_ENCODED_MAX ((size_t)1 << 32) /* bytes */

struct weft_diff {
    uint64_t offset;
    uint64_t len_bytes;
    uint64_t data_at; /* of the operands, in the list's data */
    uint8_t type, op; /* enum weft_merge_type, enum weft_merge_op */
};

/* In the order in which they are applied. A zeroed list is an empty one. */
struct weft_diffs {
    struct weft_diff *at;
    size_t n, capacity;
    unsigned char *data;
    size_t data_len, data_capacity;
};

struct weft_diff_desc {
    const void *base; /* the snapshot */
    size_t base_len;
    const void *now; /* the memory */
    size_t now_len;
    const struct weft_extents *dirty; /* of the memory, what may have changed; NULL: anything */
    const struct weft_merge *merge;   /* what is outside of its regions is left out */
};

void weft__diffs_fini(struct weft_diffs *diffs);
void weft__diffs_clear(struct weft_diffs *diffs);
static inline const void *weft__diff_data(const struct weft_diffs *diffs, size_t i)
{
    return diffs->data + diffs->at[i].data_at;
}
/* First what lies behind the snapshot's end (raw, overwrite), then region by region: bytes to be
 * overwritten in runs of differing ones, xor in runs that may span a few equal ones, numbers in
 * runs of differing elements, each with its operand (weft__merge_operand), or to be overwritten
 * where there is none. The list is cleared first. Neither memory may be written meanwhile. Errors:
 * WEFT_EMSGSIZE more than WEFT_DIFFS_MAX; WEFT_ENOMEM: the list is empty. */
int weft__diffs_make(const struct weft_diff_desc *desc, struct weft_diffs *diffs_out);
/* Adds one, behind the others.  data: len_bytes of operands.  Errors: as above, nothing is added.
 */
int weft__diffs_add(struct weft_diffs *diffs, const struct weft_diff *diff, const void *data);
/* Where the last byte that a list changes ends. */
uint64_t weft__diffs_end(const struct weft_diffs *diffs);
/* Applies all, or none.  base: aligned like the snapshot.
 * Errors: WEFT_ERANGE one lies outside; WEFT_EINVAL its type, operation or alignment is none. */
int weft__diffs_apply(const struct weft_diffs *diffs, void *base, size_t len_bytes);

/* The form that travels, little endian.  Owns: *bytes_out, free().
 * Errors: WEFT_EMSGSIZE over WEFT_DIFFS_ENCODED_MAX; WEFT_ENOMEM. */
int weft__diffs_encode(const struct weft_diffs *diffs, uint8_t **bytes_out, size_t *len_out);
/* Whole and checked: every difference is one that weft__diffs_apply takes, in a large enough
 * snapshot.  Errors: WEFT_EPROTO malformed, the text says what; WEFT_EVERSION; WEFT_ENOMEM. */
int weft__diffs_decode(const void *bytes, size_t len_bytes, struct weft_diffs *diffs_out);

#endif
