/* The layout of a rank's range:
 *
 *   struct weft_cell | runtime state, channels | exposures | heap of window packets | mailbox | the
 * rank's heap | memory of its program, where an executor wants it
 *
 * Each part begins on a page. Everything in it moves with the rank and points only into the range.
 */
#ifndef WEFT_EXEC_RANGE_H
#define WEFT_EXEC_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/heap.h"
#include "group/channel.h"
#include "weft/cell.h"

struct weft_region;

#define WEFT__EXPOSURES_MAX 16384u

struct weft__exposure {
    uint64_t id; /* slot, and the count of its uses above; 0: free */
    const void *addr;
    uint64_t len_bytes;
    uint32_t next_free; /* slot + 1 */
    uint32_t uses;
};

struct weft__range {
    uint64_t magic;
    uint32_t version;
    int32_t size;
    struct weft_heap *windows;
    uint64_t windows_bytes;
    struct weft__exposure *exposures;
    uint32_t exposures_used;    /* slots that were ever used */
    uint32_t exposures_free;    /* first free one of them + 1; 0: none */
    uint32_t exposures_foreign; /* of memory outside the range: the rank cannot move */
    uint32_t padding;
    uint64_t program_offset; /* of the program's memory; the end of the range: there is none */
    uint64_t points;         /* migration points that the rank has come to; its thread's */
    uint32_t torture_calls;  /* runtime calls since it last wanted to be moved */
    uint32_t torture_draws;  /* times that it has wanted to */
    struct weft_channel channels[]; /* by rank */
};

struct weft__range_desc {
    void *base;
    uint64_t len_bytes;
    uint64_t app;
    int32_t rank;
    int32_t size;
    size_t mailbox_bytes;
    uint64_t heap_share; /* bytes for the rank's heap; 0: all that is left */
};

/* Lays out a fresh, zero-filled range.  Errors: WEFT_EINVAL too small for a world of this size. */
int weft__range_init(const struct weft__range_desc *desc);
/* Whether a range that has arrived is what the description says; then its state can be trusted to
 * lie inside it. Errors: WEFT_EPROTO, naming the field. */
int weft__range_check(const struct weft__range_desc *desc);
/* Gives the pages of the mailbox that hold no packet back to the system, so that they are not
 * moved. */
void weft__range_trim(struct weft_cell *cell, const struct weft_region *region);

/* Writes a packet; false: no room. One writer at a time. */
bool weft__mailbox_put(const struct weft_mailbox *box, struct weft_mailbox_writer *writer,
                       int32_t source, const struct iovec *parts, unsigned n);

#endif
