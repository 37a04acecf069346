/* Which pages of a range were written since they were last asked for.
 *
 * Trackers, by name:
 *   pagemap_scan  the kernel notes the first write to each page (6.7 and newer)
 *   segv          pages are read-only until their first write, which is a SIGSEGV of ours
 *   none          nothing is noted: everything that was ever touched counts as written
 *   auto          the first of these that proves, by really writing a page, that it works
 * WEFT_SNAPSHOT_TRACKER chooses for who does not name one.
 *
 * All give the same answers: every page that a thread of this process wrote, and (pagemap_scan,
 * segv) no other. What they do not see is announced to them:
 *   - bytes that no instruction of this process writes (the network's, another process's through a
 *     shared mapping, a write to the file): weft__region_will_write() and weft__region_written().
 *     Of weft's own, gets into a rank's memory and writes into a region announce themselves; other
 *     gets land where nothing is tracked: in buffers of pulls, in replicas and bodies of values;
 *   - system calls that write into the range (recv, read): pagemap_scan sees them, segv makes them
 *     fail with EFAULT unless they are announced. Announce them always;
 *   - threads that block SIGSEGV: segv's kernel ends the process when they write. What such a
 * thread (those of many libraries do) writes is announced too;
 *   - pages that are dropped (MADV_DONTNEED, holes, new mappings): their bytes change unseen. */
#ifndef WEFT_SNAPSHOT_TRACK_H
#define WEFT_SNAPSHOT_TRACK_H

#include <stddef.h>
#include <stdint.h>

#include "snapshot/extent.h"

struct weft_track;

struct weft_track_desc {
    const char *tracker; /* a name from above; NULL: WEFT_SNAPSHOT_TRACKER's */
    void *base;          /* whole pages, readable and writable, all of one kind: */
    size_t len_bytes;    /* anonymous, shared or private mapping of one file */
    int fd;              /* a shared mapping's file; otherwise ignored */
};

/* Begins with no page written. What of a shared file is not touched yet, and is read, may count as
 * written (pagemap_scan: reading a hole fills it); with transparent huge pages the first write to
 * fresh anonymous memory counts for all that the kernel filled in. The range must not be unmapped,
 * mapped anew or protected otherwise before weft__track_stop(). Does not survive fork().
 * Thread: any; nobody else may write to the range, but with pagemap_scan: there all that is written
 * after the call counts, and what is written meanwhile may.  Blocks: no.
 * Owns: track_out, weft__track_stop().
 * Errors: WEFT_EINVAL the range, and why; WEFT_ENOTSUP the tracker does not work here, and why;
 * WEFT_EBUSY the range is tracked already, or SIGSEGV was taken over; WEFT_EAGAIN too many ranges;
 * WEFT_ENOMEM. */
int weft__track_start(const struct weft_track_desc *desc, struct weft_track **track_out);
/* Ends it; the range stays as it is, writable.  NULL is fine.  Thread: any, once. */
void weft__track_stop(struct weft_track *track);
/* The pages written since start or the last collect; from now on they count again. A page that is
 * written meanwhile is in this list or the next. A range with a landing under way is in every list.
 * Thread: any.  Blocks: no.
 * Errors: WEFT_ENOMEM, WEFT_EIO: nothing is lost, the next collect has it. */
int weft__track_collect(struct weft_track *track, struct weft_extents *extents_out);
/* The tracker in use. */
const char *weft__track_name(const struct weft_track *track);

struct weft_track_counts {
    uint64_t collects;
    uint64_t faults;       /* segv: writes that were caught */
    uint64_t coarse_pages; /* segv: counted as written for their neighbours' sake: max_map_count */
    uint64_t landings;     /* under way */
};

/* Thread: any. */
void weft__track_counts(struct weft_track *track, struct weft_track_counts *counts_out);

/* The parts of a region that can be tracked, each by itself: what is mapped of it as readable and
 * writable. Parts that are protected otherwise, or lie under something else, are left out.
 * Errors: WEFT_EIO; WEFT_ENOMEM. */
struct weft_region;
int weft__track_parts(const struct weft_region *region, struct weft_extents *parts_out);

/* Whether a tracker works here, by writing to pages of each kind of memory.
 * Errors: WEFT_ENOTSUP and the others of weft__track_start(): the text says why. */
int weft__track_probe(const char *tracker);
/* One line for each tracker, "NAME: chosen" or what speaks against it, cut to room > 0.  Blocks:
 * some milliseconds. */
void weft__track_report(char *text, size_t room);

/* Before bytes land at [at, at + len) that the processor does not write, and once they have (or
 * will not any more): in pairs, with the same range. Ranges, or parts, that nobody tracks are fine.
 * Thread: any, not a signal handler.  Blocks: while a collect of the range runs. */
void weft__region_will_write(const void *at, size_t len_bytes);
void weft__region_written(const void *at, size_t len_bytes);

#endif
