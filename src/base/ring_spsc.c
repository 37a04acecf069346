/* A bounded ring for one producer and one consumer thread.
 *
 * head and tail only grow and are masked on use; each is written by one side. The producer's
 * release store of head publishes the slot, the consumer's release store of tail gives it back;
 * there is no other ordering and no read-modify-write. Cached copies of the other side's index were
 * rejected: they save a cache miss per item, which the hand-overs of this project (a wake-up each)
 * never see.
 */
#include "base/ring.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"
#include "weft/error.h"

int weft__spsc_init(struct weft_spsc *ring, size_t capacity)
{
    if (capacity == 0 || (capacity & (capacity - 1)) != 0)
        return weft_fail(WEFT_EINVAL, "a ring of %zu items: the capacity must be a power of two",
                         capacity);
    void **slots = calloc(capacity, sizeof(*slots));
    if (!slots)
        return weft_fail(WEFT_ENOMEM, "no memory for a ring of %zu items", capacity);
    ring->slots = slots;
    ring->mask = capacity - 1;
    atomic_init(&ring->head, 0);
    atomic_init(&ring->tail, 0);
    return WEFT_OK;
}

void weft__spsc_fini(struct weft_spsc *ring)
{
    free(ring->slots);
    ring->slots = NULL;
}

bool weft__spsc_push(struct weft_spsc *ring, void *item)
{
    weft__check(item);
    size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (head - atomic_load_explicit(&ring->tail, memory_order_acquire) > ring->mask)
        return false;
    ring->slots[head & ring->mask] = item;
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return true;
}

void *weft__spsc_pop(struct weft_spsc *ring)
{
    size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail == atomic_load_explicit(&ring->head, memory_order_acquire))
        return NULL;
    void *item = ring->slots[tail & ring->mask];
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return item;
}
