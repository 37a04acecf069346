/* Trackers of the parts of a region.
 *
 * Only the kernel's own tracker can follow a program that runs on: page protection would take its
 * SIGSEGV and make its system calls fail. Small parts are left out, as are the smallest of many:
 * whoever copies takes what is not tracked for written. A part that the program protects otherwise
 * while it is looked at is left out too; one that it protects later stays tracked, and one that it
 * maps something else over makes the next collect fail.
 */
#include "snapshot/tracks.h"

#include <string.h>

#include "base/config.h"
#include "weft/error.h"

#define PART_MIN (16 * (uint64_t)WEFT_REGION_PAGE)
#define TRACKER "pagemap_scan"

static size_t count(const struct weft_extents *parts, uint64_t least)
{
    size_t n = 0;
    for (size_t i = 0; i < parts->n; i++)
        n += parts->at[i].len_bytes >= least;
    return n;
}

static int start_part(struct weft_tracks *tracks, const struct weft_extent *part)
{
    const struct weft_track_desc desc = {.tracker = TRACKER,
                                         .base = (char *)tracks->region->base + part->offset,
                                         .len_bytes = part->len_bytes,
                                         .fd = tracks->region->fd};
    struct weft_track *track;
    int err = weft__track_start(&desc, &track);
    if (err)
        return err;
    err = weft__extents_add(&tracks->parts, part->offset, part->len_bytes);
    if (err)
        weft__track_stop(track);
    else
        tracks->tracks[tracks->parts.n - 1] = track;
    return err;
}

static int check_setting(void)
{
    const char *name = weft__config_text("WEFT_SNAPSHOT_TRACKER");
    if (strcmp(name, "auto") == 0 || strcmp(name, TRACKER) == 0)
        return WEFT_OK;
    return weft_fail(WEFT_ENOTSUP,
                     "the tracker %s (WEFT_SNAPSHOT_TRACKER) cannot follow a running program",
                     name);
}

int weft__tracks_start(struct weft_tracks *tracks_out, const struct weft_region *region)
{
    struct weft_tracks tracks = {.region = region};
    struct weft_extents parts = {0};
    uint64_t least = PART_MIN;
    int err = check_setting();
    if (!err)
        err = weft__track_parts(region, &parts);
    while (count(&parts, least) > WEFT_TRACKS_MAX)
        least *= 2;
    for (size_t i = 0; i < parts.n && !err; i++) {
        if (parts.at[i].len_bytes < least)
            continue;
        err = start_part(&tracks, &parts.at[i]);
        if (err == WEFT_EINVAL) /* it has been protected, or cut, meanwhile */
            err = WEFT_OK;
    }
    weft__extents_fini(&parts);
    if (!err && tracks.parts.n == 0)
        err = weft_fail(WEFT_ENOTSUP, "nothing of the region at %p can be tracked", region->base);
    if (err)
        weft__tracks_stop(&tracks);
    else
        *tracks_out = tracks;
    return err;
}

void weft__tracks_stop(struct weft_tracks *tracks)
{
    for (size_t i = 0; i < tracks->parts.n; i++)
        weft__track_stop(tracks->tracks[i]);
    weft__extents_fini(&tracks->parts);
    *tracks = (struct weft_tracks){0};
}

int weft__tracks_collect(struct weft_tracks *tracks, struct weft_extents *extents_out)
{
    struct weft_extents found = {0};
    int err = 0;
    weft__extents_clear(extents_out);
    for (size_t i = 0; i < tracks->parts.n && !err; i++) {
        err = weft__track_collect(tracks->tracks[i], &found);
        for (size_t k = 0; k < found.n && !err; k++)
            err = weft__extents_add(extents_out, tracks->parts.at[i].offset + found.at[k].offset,
                                    found.at[k].len_bytes);
    }
    weft__extents_fini(&found);
    return err;
}
