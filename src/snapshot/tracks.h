/* Trackers of all parts of a region that can be tracked, taken together: a region whose memory is
 * used by a program has parts that are protected, or lie under its code. */
#ifndef WEFT_SNAPSHOT_TRACKS_H
#define WEFT_SNAPSHOT_TRACKS_H

#include "snapshot/extent.h"
#include "snapshot/region.h"
#include "snapshot/track.h"

#define WEFT_TRACKS_MAX 64u

struct weft_tracks {
    const struct weft_region *region;
    struct weft_extents parts; /* tracked; what is written elsewhere nobody hears of */
    struct weft_track *tracks[WEFT_TRACKS_MAX];
};

/* Begins with no page written. Others may write to the region meanwhile, see weft__track_start().
 * Owns: weft__tracks_stop().
 * Errors: as weft__track_start(); WEFT_ENOTSUP the tracker in use cannot follow a running program.
 */
int weft__tracks_start(struct weft_tracks *tracks_out, const struct weft_region *region);
/* A zeroed one is fine. */
void weft__tracks_stop(struct weft_tracks *tracks);
/* The pages of the parts written since start or the last collect, as offsets in the region.
 * Errors: as weft__track_collect(); after one, what was written is not known any more. */
int weft__tracks_collect(struct weft_tracks *tracks, struct weft_extents *extents_out);

#endif
