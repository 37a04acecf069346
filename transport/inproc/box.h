/* A box: the part of an inproc endpoint that other threads touch. It outlives its endpoint while
 * somebody refers to it. */
#ifndef WEFT_TRANSPORT_INPROC_BOX_H
#define WEFT_TRANSPORT_INPROC_BOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ring.h"
#include "base/wake.h"
#include "transport/keys.h"
#include "transport/spi.h"

#define WEFT_INPROC_LETTERS 1024 /* in a box; a power of two */
#define WEFT_INPROC_WAITERS 256
#define WEFT_INPROC_NAME_MAX 128

enum weft_inproc_kind {
    WEFT_INPROC_MESSAGE,
    WEFT_INPROC_REQUEST,
    WEFT_INPROC_PUSH,
    WEFT_INPROC_REPLY
};

/* What lies in a box. Belongs to the box once it is pushed. */
struct weft_inproc_letter {
    enum weft_inproc_kind kind;
    uint16_t port_index; /* REQUEST, PUSH */
    uint32_t peer_id;    /* REQUEST: the client's peer; REPLY: the same, coming back */
    uint64_t from;       /* REQUEST: serial of the client's box */
    size_t len_bytes;
    unsigned char data[];
};

struct weft_inproc_box {
    atomic_uint refs;
    atomic_bool closed;
    uint64_t serial; /* never given twice in a process */
    struct weft_mpsc letters;
    struct weft_mpsc waiters; /* who wants to know when there is room again */
    atomic_uint gate;         /* orders "room was made" against "a waiter came" */
    struct weft_wakefd wake;
    struct weft_keys keys;        /* guarded by the registry */
    struct weft_inproc_box *next; /* guarded by the registry */
};

/* A sender that found a box full; shared by the sender and the box's list. */
struct weft_inproc_waiter {
    atomic_uint refs;
    atomic_bool queued;
    struct weft_inproc_box *box; /* the sender's */
};

/* A box with one reference, not yet in the registry. */
int weft__inproc_box_new(struct weft_inproc_box **box_out);
struct weft_inproc_box *weft__inproc_box_get(struct weft_inproc_box *box);
void weft__inproc_box_put(struct weft_inproc_box *box); /* NULL is fine */

/* A letter with the gathered parts.  NULL: no memory. */
struct weft_inproc_letter *weft__inproc_letter_new(enum weft_inproc_kind kind,
                                                   const struct iovec *iov, unsigned n);
/* Hands the letter over and wakes the owner; false: full, the letter stays the caller's.  Thread:
 * any. */
bool weft__inproc_box_push(struct weft_inproc_box *box, struct weft_inproc_letter *letter);

struct weft_inproc_waiter *
weft__inproc_waiter_new(struct weft_inproc_box *sender);         /* NULL: no memory */
void weft__inproc_waiter_put(struct weft_inproc_waiter *waiter); /* NULL is fine */
/* Enters the waiter; false: the list is full. The caller must look for room once more afterwards.
 */
bool weft__inproc_box_wait(struct weft_inproc_box *box, struct weft_inproc_waiter *waiter);
/* Wakes the waiters.  Thread: the box's owner, after it has taken letters. */
void weft__inproc_box_room(struct weft_inproc_box *box);

#endif
