/* A ring that one thread fills, and all may empty: who moves head over a slot has what was in it. A
 * slot is written anew only after head has gone over it, so a thief that has read an old one fails
 * with its compare-and-swap. Positions wrap at 2^32, far beyond what happens while a thief sleeps
 * between its two steps and every slot of the ring is used 2^32 / capacity times.
 *
 * Rejected: a lock. Two ranks of a worker that send to each other would pay for it twice with each
 * message, and it is next to the whole price of a switch. */
#include "cell/runqueue.h"

#include <sched.h>
#include <stdlib.h>

#include "base/check.h"
#include "weft/error.h"

int weft__runqueue_init(struct weft__runqueue *queue, size_t items)
{
    size_t room = 2;
    while (room < items)
        room *= 2;
    *queue = (struct weft__runqueue){.mask = (uint32_t)room - 1};
    queue->slots = calloc(room, sizeof(*queue->slots));
    if (!queue->slots)
        return weft_fail(WEFT_ENOMEM, "no memory for a queue of %zu ranks", items);
    int err = weft__mpsc_init(&queue->inbox, room);
    if (err)
        weft__runqueue_fini(queue);
    return err;
}

void weft__runqueue_fini(struct weft__runqueue *queue)
{
    weft__mpsc_fini(&queue->inbox);
    free((void *)queue->slots);
    queue->slots = NULL;
}

void weft__runqueue_push(struct weft__runqueue *queue, void *item)
{
    uint32_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);
    uint32_t head = atomic_load_explicit(&queue->head, memory_order_acquire);
    weft__check(tail - head <= queue->mask);
    atomic_store_explicit(&queue->slots[tail & queue->mask], item, memory_order_relaxed);
    atomic_store_explicit(&queue->tail, tail + 1, memory_order_release);
}

static void *take(struct weft__runqueue *queue)
{
    uint32_t head = atomic_load_explicit(&queue->head, memory_order_acquire);
    for (;;) {
        uint32_t tail = atomic_load_explicit(&queue->tail, memory_order_acquire);
        if ((int32_t)(tail - head) <= 0)
            return NULL;
        void *item = atomic_load_explicit(&queue->slots[head & queue->mask], memory_order_relaxed);
        if (atomic_compare_exchange_strong_explicit(&queue->head, &head, head + 1,
                                                    memory_order_acq_rel, memory_order_acquire))
            return item;
    }
}

static bool begin_emptying(struct weft__runqueue *queue)
{
    return !atomic_exchange_explicit(&queue->emptying, true, memory_order_acquire);
}

static void end_emptying(struct weft__runqueue *queue)
{
    atomic_store_explicit(&queue->emptying, false, memory_order_release);
}

static bool has_mail(const struct weft__runqueue *queue)
{
    return atomic_load_explicit(&queue->mail, memory_order_relaxed) > 0;
}

/* The caller has begun to empty the inbox. */
static void *open_mail(struct weft__runqueue *queue)
{
    void *item = weft__mpsc_pop(&queue->inbox);
    if (item)
        atomic_fetch_sub_explicit(&queue->mail, 1, memory_order_relaxed);
    return item;
}

/* Everything from the inbox goes behind what is there. A thief holds the inbox for the time of one
 * pop. */
static void empty_inbox(struct weft__runqueue *queue)
{
    while (!begin_emptying(queue))
        sched_yield();
    for (void *item; (item = open_mail(queue));)
        weft__runqueue_push(queue, item);
    end_emptying(queue);
}

void weft__runqueue_send(struct weft__runqueue *queue, void *item)
{
    bool sent = weft__mpsc_push(&queue->inbox, item);
    weft__check(sent);
    atomic_fetch_add(&queue->mail, 1); /* before the sender looks whether the owner sleeps */
}

void *weft__runqueue_pop(struct weft__runqueue *queue)
{
    if (has_mail(queue))
        empty_inbox(queue);
    return take(queue);
}

void *weft__runqueue_steal(struct weft__runqueue *queue)
{
    void *item = take(queue);
    if (item || !has_mail(queue) || !begin_emptying(queue))
        return item;
    item = open_mail(queue);
    end_emptying(queue);
    return item;
}

bool weft__runqueue_is_empty(const struct weft__runqueue *queue)
{
    return atomic_load(&queue->mail) <= 0 && atomic_load(&queue->head) == atomic_load(&queue->tail);
}
