/* A set of pages of a range: a bitmap, sparse, so that a set over 1 TiB costs what is in it. */
#ifndef WEFT_SNAPSHOT_PAGES_H
#define WEFT_SNAPSHOT_PAGES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "snapshot/extent.h"

struct weft_pages {
    _Atomic uint64_t *words;  /* a bit per page */
    _Atomic uint64_t *groups; /* a bit per 4 KiB of words: some page in them may be set */
    size_t n;
    size_t mapped_bytes;
};

/* An empty set over n > 0 pages.  Owns: weft__pages_fini().  Errors: WEFT_ENOMEM. */
int weft__pages_init(struct weft_pages *pages_out, size_t n);
/* A zeroed set is fine. */
void weft__pages_fini(struct weft_pages *pages);
/* Adds the pages [first, first + n).  Thread: any, also a signal handler. */
void weft__pages_set(struct weft_pages *pages, size_t first, size_t n);
/* Thread: any, also a signal handler. */
bool weft__pages_has(const struct weft_pages *pages, size_t page);
/* Moves the set into a list of ranges in bytes, which is cleared first. A page that is added
 * meanwhile is in the list or stays in the set.
 * Errors: WEFT_ENOMEM: the set is as it was. */
int weft__pages_take(struct weft_pages *pages, struct weft_extents *extents_out);

#endif
