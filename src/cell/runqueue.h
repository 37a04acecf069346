/* What a worker is to run next, in the order in which it became ready.
 *
 * A worker's own pushes and pops cost no more than a few plain loads and one compare-and-swap;
 * other threads push through an inbox, and may take what the worker has not begun. Each item is in
 * at most one queue at a time, so a queue that has room for all items is never full. */
#ifndef WEFT_CELL_RUNQUEUE_H
#define WEFT_CELL_RUNQUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ring.h"

struct weft__runqueue {
    _Atomic(void *) *slots;
    uint32_t mask;
    unsigned char gap_before_head[64];
    _Atomic uint32_t head; /* taken up to here; by anybody */
    unsigned char gap_before_tail[64];
    _Atomic uint32_t tail; /* pushed up to here; by the owner */
    unsigned char gap_before_mail[64];
    _Atomic int32_t mail; /* in the inbox; below 0 while somebody counts late */
    atomic_bool emptying; /* the inbox: one consumer at a time */
    struct weft_mpsc inbox;
};

/* items: how many there are.  Errors: WEFT_ENOMEM.  fini of a zeroed one is fine. */
int weft__runqueue_init(struct weft__runqueue *queue, size_t items);
void weft__runqueue_fini(struct weft__runqueue *queue);
/* Thread: the owner. */
void weft__runqueue_push(struct weft__runqueue *queue, void *item);
/* Thread: any. */
void weft__runqueue_send(struct weft__runqueue *queue, void *item);
/* The oldest; NULL: none.  Thread: the owner. */
void *weft__runqueue_pop(struct weft__runqueue *queue);
/* As pop.  Thread: any.  NULL also where the owner was faster. */
void *weft__runqueue_steal(struct weft__runqueue *queue);
/* Whether pop would find nothing.  Thread: the owner; to others it is so roughly. */
bool weft__runqueue_is_empty(const struct weft__runqueue *queue);
/* Roughly how many there are, without those in the inbox.  Thread: any. */
static inline uint32_t weft__runqueue_len(const struct weft__runqueue *queue)
{
    uint32_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);
    uint32_t len = atomic_load_explicit(&queue->tail, memory_order_relaxed) - head;
    return len <= queue->mask ? len : 0;
}

#endif
