/* A region: shared mapping of a memfd, as large as it may ever get from the start, sparse. What was
 * never touched costs nothing and is a hole of the file, which is how touched pages are found. */
#ifndef WEFT_SNAPSHOT_REGION_H
#define WEFT_SNAPSHOT_REGION_H

#include <stddef.h>
#include <stdint.h>

#include "snapshot/extent.h"

#define WEFT_REGION_MAX_BYTES ((size_t)1 << 40)
#define WEFT_REGION_PAGE 4096u

struct weft_region {
    void *base;
    size_t len_bytes;
    int fd;
};

/* Reserves len_bytes (a multiple of the page, at most 1 TiB), at `at` or, where that is NULL,
 * anywhere. name: shown in /proc/PID/maps and in errors. The file can neither shrink nor grow
 * afterwards. Owns: region_out, weft__region_fini(). Errors: WEFT_EEXIST the address is taken (the
 * text names the range and who holds it); WEFT_EINVAL; WEFT_ENOMEM. */
int weft__region_init(struct weft_region *region_out, const char *name, void *at, size_t len_bytes);
/* Unmaps and closes; a zeroed region is fine. No operation of a lane may be under way in it. */
void weft__region_fini(struct weft_region *region);
/* The pages that have ever been touched (reading a page touches it too), ascending; the list is
 * cleared first. What is touched or given back meanwhile may be in it.  Errors: WEFT_ENOMEM;
 * WEFT_EIO. */
int weft__region_touched(const struct weft_region *region, struct weft_extents *extents_out);
/* Writes bytes into the region's file: lands whole pages without faulting them in first. Trackers
 * of the region hear of it. Errors: WEFT_ERANGE outside; WEFT_ENOMEM, WEFT_ENOSPC, WEFT_EIO. */
int weft__region_write(const struct weft_region *region, uint64_t offset, const void *data,
                       size_t len_bytes);
/* Sets memory apart for the pages that hold these bytes, which stay as they are: from then on no
 * write to them through the mapping can find that there is none (SIGBUS).
 * Errors: WEFT_ERANGE outside; WEFT_ENOSPC, WEFT_ENOMEM. */
int weft__region_reserve(const struct weft_region *region, uint64_t offset, uint64_t len_bytes);
/* Gives whole pages back to the system: they are zeros from then on. Registrations of them that
 * were kept are forgotten, trackers hear of it.  Errors: WEFT_ERANGE outside; errno's. */
int weft__region_punch(const struct weft_region *region, uint64_t offset, uint64_t len_bytes);

#endif
