/* An origin: the snapshot that threads on many hosts fork from, and into which the differences of
 * their copies are merged.
 *
 * It grows up to a bound that is set at the start. Differences come in from any thread and are
 * queued; only the owner writes them, so that whoever runs on a view meanwhile does not see them
 * come in. What changed since the last push is known by page: hosts that hold an older copy need no
 * more. */
#ifndef WEFT_SNAPSHOT_ORIGIN_H
#define WEFT_SNAPSHOT_ORIGIN_H

#include <stddef.h>
#include <stdint.h>

#include "snapshot/diff.h"
#include "snapshot/extent.h"
#include "snapshot/merge.h"
#include "snapshot/region.h"

#define WEFT_ORIGIN_QUEUE_MAX 4096u                     /* lists of differences */
#define WEFT_ORIGIN_QUEUE_BYTES_MAX (UINT64_C(1) << 30) /* of their operands and descriptions */

struct weft_origin;

/* An empty one of len_bytes that may grow to max_bytes (0: len_bytes), both whole pages; memory is
 * only what is touched.  Owns: origin_out, weft__origin_close().  Errors: the region's. */
int weft__origin_open(const char *name, size_t len_bytes, size_t max_bytes,
                      struct weft_origin **origin_out);
/* With what is queued. NULL is fine. Views of it stay. */
void weft__origin_close(struct weft_origin *origin);

/* For views, images and differences; longer than the snapshot where it may grow. Writing to it goes
 * by the functions below, or the updates miss it.  Thread: any. */
const struct weft_region *weft__origin_region(const struct weft_origin *origin);
size_t weft__origin_len(const struct weft_origin *origin);
/* How it is merged; its limit is max_bytes.  Thread: owner. */
struct weft_merge *weft__origin_merge(struct weft_origin *origin);

/* Copies bytes in; behind the end it grows by whole pages.
 * Thread: owner.  Errors: WEFT_ERANGE over max_bytes; the region's. */
int weft__origin_write(struct weft_origin *origin, uint64_t offset, const void *data,
                       size_t len_bytes);
/* What a copy changed: bytes now[0, now_len), of which only `dirty` may differ (NULL: any).
 * Thread: any, while the owner does not write, grow, merge or change its merge regions.
 * Errors: weft__diffs_make's. */
int weft__origin_diff(const struct weft_origin *origin, const struct weft_diff_desc *copy,
                      struct weft_diffs *diffs_out);
/* Queues differences.  Thread: any.  Blocks: no.  Owns: takes the list's content over, leaves it
 * empty.  Errors: WEFT_EAGAIN the queue is full; WEFT_ERANGE behind max_bytes. */
int weft__origin_queue(struct weft_origin *origin, struct weft_diffs *diffs);
size_t weft__origin_queued(struct weft_origin *origin);
/* Forgets what is queued.  Thread: owner. */
void weft__origin_drop_queued(struct weft_origin *origin);
/* Merges what is queued, in the order in which it came. A list that cannot be applied is dropped
 * and its error returned, the others are merged all the same.  *lists_out: how many were.
 * Thread: owner.  Errors: WEFT_EINVAL; WEFT_ENOSPC, WEFT_ENOMEM no memory for what it changes. */
int weft__origin_merge_queued(struct weft_origin *origin, size_t *lists_out);
/* The same, all or none, of lists that weft__origin_diff() or weft__diffs_decode() has made.
 * Thread: owner.  Errors: WEFT_ENOSPC, WEFT_ENOMEM: nothing is merged, the queue is empty. */
int weft__origin_merge_all(struct weft_origin *origin);
/* Sets memory apart in a region, run of pages by run, for all that a list changes `at` bytes (whole
 * pages) further on.  Errors: the region's. */
int weft__origin_make_room(const struct weft_region *region, uint64_t at,
                           const struct weft_diffs *diffs);
/* Pages changed since the start or the last call, by whichever of the above.
 * Thread: owner.  Errors: WEFT_ENOMEM: nothing is lost. */
int weft__origin_updates(struct weft_origin *origin, struct weft_extents *extents_out);

#endif
