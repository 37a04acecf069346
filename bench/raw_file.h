/* Plain ways to write memory to a file and to read it back, for comparison. */
#ifndef WEFT_BENCH_RAW_FILE_H
#define WEFT_BENCH_RAW_FILE_H

#include <stdint.h>

#include "snapshot/region.h"

struct raw_file_way {
    const char *name;
    /* Nanoseconds until all of the region is on the disk in a file made anew, fsync included. 0:
     * this system has not got what it needs. */
    uint64_t (*save)(const char *path, const struct weft_region *region);
    /* Nanoseconds until all of the file is in a region that was never touched. */
    uint64_t (*load)(const char *path, const struct weft_region *region);
};

extern const struct raw_file_way raw_file_buffered, raw_file_uring;

#endif
