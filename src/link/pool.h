/* A stack of free indices, 0 to n - 1, for any thread: the last one given back is the first one
 * handed out. */
#ifndef WEFT_LINK_POOL_H
#define WEFT_LINK_POOL_H

#include <stdatomic.h>
#include <stdint.h>

#define WEFT_POOL_NONE UINT32_MAX

struct weft__pool {
    _Alignas(64) _Atomic uint64_t top; /* tag << 32 | index + 1; 0 in the low half: empty */
    _Atomic uint32_t *below;           /* index + 1 of the next one down */
    uint32_t n;
};

int weft__pool_init(struct weft__pool *pool, uint32_t n);
void weft__pool_fini(struct weft__pool *pool);
uint32_t weft__pool_get(struct weft__pool *pool); /* WEFT_POOL_NONE: all are out */
void weft__pool_put(struct weft__pool *pool, uint32_t index);

#endif
