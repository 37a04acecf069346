/* Bounded rings of pointers on C11 atomics. A full ring says so; nothing is ever dropped or grown
 * silently. SPSC: one producer thread, one consumer thread. MPSC: any producers, one consumer
 * thread at a time. Capacities are powers of two. Source of the MPSC algorithm: D. Vyukov's bounded
 * queue. */
#ifndef WEFT_BASE_RING_H
#define WEFT_BASE_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* Gaps keep what different threads write on different cache lines, wherever the ring lies: a
 * required alignment would not hold for rings inside malloc()ed objects. */
struct weft_spsc {
    void **slots;
    size_t mask;
    unsigned char gap_before_head[64];
    atomic_size_t head; /* next to write */
    unsigned char gap_before_tail[64];
    atomic_size_t tail; /* next to read */
    unsigned char gap_behind[64];
};

struct weft_mpsc_slot {
    atomic_size_t turn;
    void *item;
};

struct weft_mpsc {
    struct weft_mpsc_slot *slots;
    size_t mask;
    unsigned char gap_before_head[64];
    atomic_size_t head;
    unsigned char gap_before_tail[64];
    size_t tail; /* the consumer's own */
    unsigned char gap_behind[64];
};

/* Errors: WEFT_EINVAL capacity is no power of two; WEFT_ENOMEM. fini of a zeroed ring is fine. */
int weft__spsc_init(struct weft_spsc *ring, size_t capacity);
void weft__spsc_fini(struct weft_spsc *ring);
bool weft__spsc_push(struct weft_spsc *ring, void *item); /* false: full */
void *weft__spsc_pop(struct weft_spsc *ring);             /* NULL: empty */

int weft__mpsc_init(struct weft_mpsc *ring, size_t capacity);
void weft__mpsc_fini(struct weft_mpsc *ring);
bool weft__mpsc_push(struct weft_mpsc *ring, void *item);
void *weft__mpsc_pop(struct weft_mpsc *ring);
bool weft__mpsc_empty(struct weft_mpsc *ring); /* consumer's view */
/* Consumer's view: nothing is in it and nobody is pushing, as far as this thread can know; what it
 * has pushed itself is popped. */
bool weft__mpsc_idle(const struct weft_mpsc *ring);

#endif
