/* How changes to parts of a snapshot are merged: regions, each with a type and an operation.
 *
 * What several threads or hosts do to copies of one snapshot comes back as differences. Where all
 * add to the same counter the differences are added up; where each writes bytes of its own they are
 * written over; scratch memory is ignored. */
#ifndef WEFT_SNAPSHOT_MERGE_H
#define WEFT_SNAPSHOT_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEFT_MERGE_REGIONS_MAX 65536u

enum weft_merge_type {
    WEFT_MERGE_RAW,
    WEFT_MERGE_BOOL, /* one byte */
    WEFT_MERGE_INT32,
    WEFT_MERGE_INT64,
    WEFT_MERGE_FLOAT,
    WEFT_MERGE_DOUBLE,
    WEFT_MERGE_TYPES
};

/* The first three take bytes, whatever the type; the others a number type. */
enum weft_merge_op {
    WEFT_MERGE_OVERWRITE,
    WEFT_MERGE_XOR,
    WEFT_MERGE_IGNORE,
    WEFT_MERGE_SUM,
    WEFT_MERGE_SUBTRACT,
    WEFT_MERGE_PRODUCT,
    WEFT_MERGE_MAX,
    WEFT_MERGE_MIN,
    WEFT_MERGE_OPS
};

struct weft_merge_region {
    uint64_t offset;
    uint64_t len_bytes; /* 0: to the end */
    enum weft_merge_type type;
    enum weft_merge_op op;
};

/* Sorted by offset, never overlapping. A zeroed one is empty and takes any offset. */
struct weft_merge {
    struct weft_merge_region *at;
    size_t n, capacity;
    uint64_t limit_bytes; /* as large as the snapshot may get; 0: no limit */
    uint64_t origin;      /* offset from which the texts of errors count */
};

void weft__merge_fini(struct weft_merge *merge);
/* Removes all regions. */
void weft__merge_clear(struct weft_merge *merge);
/* Errors: WEFT_EINVAL the operation does not take the type, or the region is not whole elements at
 * an element's offset; WEFT_ERANGE behind the limit; WEFT_EEXIST it overlaps another; WEFT_ENOSPC
 * too many; WEFT_ENOMEM. The texts name the regions. */
int weft__merge_add(struct weft_merge *merge, const struct weft_merge_region *region);
/* Covers every byte that no region covers with raw ones; the last is open-ended.
 * op: WEFT_MERGE_OVERWRITE or WEFT_MERGE_XOR.  Errors: WEFT_EINVAL; WEFT_ENOSPC; WEFT_ENOMEM: it is
 * as it was. */
int weft__merge_fill(struct weft_merge *merge, enum weft_merge_op op);

/* Bytes of an element. */
size_t weft__merge_element(enum weft_merge_type type);
/* Whether the operation takes the type. */
bool weft__merge_allows(enum weft_merge_type type, enum weft_merge_op op);
const char *weft__merge_type_name(enum weft_merge_type type);
const char *weft__merge_op_name(enum weft_merge_op op);

/* The operands that lead from n elements to n others: applied to `from` they give `to`, for
 * floating point but for rounding, for max and min where they go that way. Integers wrap around.
 * op: one of a number. Returns how many it made: it stops before an element that is equal, and
 * before one that has none (a product from 0, or that is not whole; from infinity). */
size_t weft__merge_operands(const struct weft_merge_region *how, const void *from, const void *to,
                            size_t n, void *operands_out);
/* Applies n operands to n elements, or for the byte operations n bytes; alignment does not matter.
 */
void weft__merge_apply(const struct weft_merge_region *how, void *into, const void *operands,
                       size_t n);

#endif
