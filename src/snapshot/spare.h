/* Buffers that are used again: up to WEFT_SPARE_BYTES of them wait for the next user, in memory
 * that is in the page tables already. What was in them is in them still. */
#ifndef WEFT_SNAPSHOT_SPARE_H
#define WEFT_SNAPSHOT_SPARE_H

#include <stddef.h>

#define WEFT_SPARES 4u
#define WEFT_SPARE_BYTES ((size_t)16 << 20) /* of each, at most */

/* At least len_bytes > 0, aligned to pages.  Thread: any, also for put.  NULL: no memory.
 * Owns: weft__spare_put() with the same length. */
void *weft__spare_get(size_t len_bytes);
/* NULL is fine. */
void weft__spare_put(void *bytes, size_t len_bytes);

#endif
