/* Memory of the rank's region: what is allocated here moves with the rank, to the same addresses.
 */
#ifndef WEFT_MEMORY_H
#define WEFT_MEMORY_H

#include <stddef.h>

#include "weft/api.h"

#ifdef __cplusplus
extern "C" {
#endif

/* 16-byte aligned, zero-filled.  Thread: rank.  Blocks: no.  NULL: the region is full (weft run
 * --rank-memory). */
WEFT_API void *weft_alloc(size_t len_bytes);
/* NULL is fine.  Thread: rank. */
WEFT_API void weft_free(void *ptr);

#ifdef __cplusplus
}
#endif

#endif
