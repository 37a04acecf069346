/* A stack of free indices.
 *
 * A Treiber stack over an array: the top carries a tag that changes with every operation, so that a
 * thread that slept between reading the top and exchanging it cannot take a stack that only looks
 * the same (ABA). Last in, first out keeps the memory that is really touched small: a lane that has
 * few messages under way uses few buffers, and warm ones. A ring of free indices was rejected for
 * that reason: it goes round and touches every buffer.
 */
#include "link/pool.h"

#include <stdlib.h>

#include "base/check.h"
#include "weft/error.h"

#define TAG ((uint64_t)1 << 32)

int weft__pool_init(struct weft__pool *pool, uint32_t n)
{
    pool->below = calloc(n, sizeof(*pool->below));
    if (!pool->below)
        return weft_fail(WEFT_ENOMEM, "no memory for a pool of %u buffers", n);
    for (uint32_t i = 0; i < n; i++)
        atomic_init(&pool->below[i], i + 1 < n ? i + 2 : 0);
    atomic_init(&pool->top, n ? 1 : 0);
    pool->n = n;
    return WEFT_OK;
}

void weft__pool_fini(struct weft__pool *pool)
{
    free((void *)pool->below);
    pool->below = NULL;
}

uint32_t weft__pool_get(struct weft__pool *pool)
{
    uint64_t top = atomic_load_explicit(&pool->top, memory_order_acquire);
    uint32_t at;
    uint64_t next;
    do {
        at = (uint32_t)top;
        if (!at)
            return WEFT_POOL_NONE;
        uint32_t below = atomic_load_explicit(&pool->below[at - 1], memory_order_relaxed);
        next = ((top & ~(TAG - 1)) + TAG) | below;
    } while (!atomic_compare_exchange_weak_explicit(&pool->top, &top, next, memory_order_acq_rel,
                                                    memory_order_acquire));
    return at - 1;
}

void weft__pool_put(struct weft__pool *pool, uint32_t index)
{
    weft__check(index < pool->n);
    uint64_t top = atomic_load_explicit(&pool->top, memory_order_relaxed);
    uint64_t next;
    do {
        atomic_store_explicit(&pool->below[index], (uint32_t)top, memory_order_relaxed);
        next = ((top & ~(TAG - 1)) + TAG) | (index + 1);
    } while (!atomic_compare_exchange_weak_explicit(&pool->top, &top, next, memory_order_acq_rel,
                                                    memory_order_relaxed));
}
