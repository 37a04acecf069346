/* Where two pieces of memory differ, and where they are equal again. */
#ifndef WEFT_SNAPSHOT_SCAN_H
#define WEFT_SNAPSHOT_SCAN_H

#include <stddef.h>

/* The first position in [at, end) at which a and b differ, or end. */
size_t weft__scan_differ(const unsigned char *a, const unsigned char *b, size_t at, size_t end);
/* The first position in [at, end) at which a and b are equal, or end. */
size_t weft__scan_equal(const unsigned char *a, const unsigned char *b, size_t at, size_t end);

#endif
