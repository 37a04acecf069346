/* Memory with random bytes in it. */
#ifndef WEFT_TESTS_SNAPSHOT_MEMORY_H
#define WEFT_TESTS_SNAPSHOT_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "snapshot/region.h"

#define GIB ((size_t)1 << 30)

#ifdef WEFT_TSAN
#define HUGE_BYTES (16 * GIB) /* a shadow of more takes long to make */
#else
#define HUGE_BYTES (64 * GIB)
#endif

static inline uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Writes to these pages, and to no others. */
static inline void touch(const struct weft_region *region, size_t page, size_t pages, uint64_t seed)
{
    char *at = (char *)region->base + page * WEFT_REGION_PAGE;
    for (size_t i = 0; i < pages * WEFT_REGION_PAGE; i += 8) {
        uint64_t word = random_next(&seed);
        memcpy(at + i, &word, 8);
    }
}

#endif
