/* A view: a private mapping of a snapshot. It begins as the snapshot's bytes, what is written into
 * it stays there, and it costs what is written. */
#ifndef WEFT_SNAPSHOT_VIEW_H
#define WEFT_SNAPSHOT_VIEW_H

#include <stddef.h>

#include "snapshot/region.h"

struct weft_view {
    void *base;
    size_t len_bytes;
};

/* Maps the first len_bytes (whole pages) of a region at `at`, or, where that is NULL, anywhere.
 * While pages of the view are not written yet they show the region's, also what is written there
 * later.
 * Owns: view_out, weft__view_fini(); the region may go before the view.
 * Errors: WEFT_EEXIST the address is taken; WEFT_EINVAL; WEFT_ERANGE longer than the region;
 * WEFT_ENOMEM. */
int weft__view_init(struct weft_view *view_out, const struct weft_region *region, void *at,
                    size_t len_bytes);
/* The same in place of what is mapped at [over, over + len_bytes), all of which is the caller's.
 * A tracker of the range must be stopped first. */
int weft__view_over(struct weft_view *view_out, const struct weft_region *region, void *over,
                    size_t len_bytes);
/* Unmaps; a zeroed view is fine. */
void weft__view_fini(struct weft_view *view);
/* Drops what was written: the view shows the region's bytes as they are now. Trackers go on; what
 * the tracker saw before may still be reported.  Errors: WEFT_EIO. */
int weft__view_reset(const struct weft_view *view);

#endif
