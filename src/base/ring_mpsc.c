/* A bounded ring for many producers and one consumer at a time.
 *
 * Each slot carries a turn: it equals the position when the slot is free for it, position + 1 when
 * its item is there, and position + capacity after the consumer has taken it. A producer claims a
 * position by compare-and-swap on head, writes the item and publishes it with the turn (release);
 * the consumer reads the turn (acquire). A producer stopped between claim and publish holds up the
 * consumer at its slot, but nobody waits inside a call: pop says empty, and the producer's wake-up
 * comes after its publish. Linked queues without a bound were rejected: every queue here has a
 * limit.
 *
 * Source: D. Vyukov's bounded queue, with the consumer side reduced to one thread.
 */
#include "base/ring.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"
#include "weft/error.h"

int weft__mpsc_init(struct weft_mpsc *ring, size_t capacity)
{
    /* With a capacity of 1 the turns "taken" and "free for the next round" would be the same
     * number. */
    if (capacity < 2 || (capacity & (capacity - 1)) != 0)
        return weft_fail(WEFT_EINVAL,
                         "a ring of %zu items: the capacity must be a power of two, 2 or more",
                         capacity);
    struct weft_mpsc_slot *slots = calloc(capacity, sizeof(*slots));
    if (!slots)
        return weft_fail(WEFT_ENOMEM, "no memory for a ring of %zu items", capacity);
    for (size_t i = 0; i < capacity; i++)
        atomic_init(&slots[i].turn, i);
    ring->slots = slots;
    ring->mask = capacity - 1;
    atomic_init(&ring->head, 0);
    ring->tail = 0;
    return WEFT_OK;
}

void weft__mpsc_fini(struct weft_mpsc *ring)
{
    free(ring->slots);
    ring->slots = NULL;
}

bool weft__mpsc_push(struct weft_mpsc *ring, void *item)
{
    weft__check(item);
    size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    for (;;) {
        struct weft_mpsc_slot *slot = &ring->slots[head & ring->mask];
        size_t turn = atomic_load_explicit(&slot->turn, memory_order_acquire);
        intptr_t ahead = (intptr_t)(turn - head);
        if (ahead < 0)
            return false; /* the slot still holds the item of one round ago */
        if (ahead > 0) {
            head = atomic_load_explicit(&ring->head, memory_order_relaxed);
            continue;
        }
        if (atomic_compare_exchange_weak_explicit(&ring->head, &head, head + 1,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            slot->item = item;
            atomic_store_explicit(&slot->turn, head + 1, memory_order_release);
            return true;
        }
    }
}

void *weft__mpsc_pop(struct weft_mpsc *ring)
{
    struct weft_mpsc_slot *slot = &ring->slots[ring->tail & ring->mask];
    if (atomic_load_explicit(&slot->turn, memory_order_acquire) != ring->tail + 1)
        return NULL;
    void *item = slot->item;
    atomic_store_explicit(&slot->turn, ring->tail + ring->mask + 1, memory_order_release);
    ring->tail++;
    return item;
}

bool weft__mpsc_empty(struct weft_mpsc *ring)
{
    struct weft_mpsc_slot *slot = &ring->slots[ring->tail & ring->mask];
    return atomic_load_explicit(&slot->turn, memory_order_acquire) != ring->tail + 1;
}

bool weft__mpsc_idle(const struct weft_mpsc *ring)
{
    return atomic_load_explicit(&ring->head, memory_order_relaxed) == ring->tail;
}
