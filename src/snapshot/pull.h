/* Pulling an image over a lane, into a region or into plain memory.
 *
 * One thread per pull keeps a window of gets in flight into buffers of its own, checks each piece's
 * sum while it is in the cache, and writes it into the region's file: nothing wrong ever lands, and
 * holes stay holes. What must land whole or not at all is pulled into memory first, one piece
 * behind the other.
 */
#ifndef WEFT_SNAPSHOT_PULL_H
#define WEFT_SNAPSHOT_PULL_H

#include <stdint.h>

#include "link/lane.h"
#include "snapshot/image.h"
#include "snapshot/region.h"

#define WEFT_PULL_WINDOW 8

struct weft_pull;

/* Runs exactly once on the pull's thread: err 0 and the whole image is in the region, or
 * WEFT_ECHECKSUM (the text has the offset), WEFT_ECANCELED, WEFT_ETIMEDOUT, or the lane's or
 * region's error. No get is outstanding any more. text: NULL on success, else valid during the
 * call. May call weft__pull_free(). */
typedef void weft_pull_done(struct weft_pull *pull, int err, const char *text, void *user);

struct weft_pull_desc {
    struct weft_lane *lane;
    struct weft_lane_peer peer;
    const struct weft_image *image; /* decoded; must live until done */
    const struct weft_region *into; /* as long as the source's; any address; or NULL, and */
    void *memory;                   /* the image's total_bytes, pieces in their order, checked */
    uint32_t window;                /* gets in flight, at most 64; 0: WEFT_PULL_WINDOW */
    uint32_t stall_ms; /* no piece for this long: WEFT_ETIMEDOUT, and the lane's peer is dropped; 0:
                          10000 */
    weft_pull_done *done;
    void *user;
};

struct weft_pull_progress {
    uint64_t total_bytes;
    uint64_t landed_bytes; /* checked and in the region */
    uint64_t gets;         /* completed */
};

/* *pull_out is set before done can run.
 * Thread: any.  Blocks: no.  Errors: WEFT_EINVAL the region's length differs; WEFT_ENOMEM. */
int weft__pull_start(const struct weft_pull_desc *desc, struct weft_pull **pull_out);
/* No new gets; done runs once the ones in flight are over (with 0 where the last piece was faster).
 * Thread: any; before free. */
void weft__pull_cancel(struct weft_pull *pull);
void weft__pull_progress(const struct weft_pull *pull, struct weft_pull_progress *progress_out);
/* Once done has run, or in done. Outside done it waits for the thread to end.  NULL is fine. */
void weft__pull_free(struct weft_pull *pull);

#endif
