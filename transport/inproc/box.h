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

#define WEFT_INPROC_LETTERS 1024
#define WEFT_INPROC_WAITERS 256
#define WEFT_INPROC_NAME_MAX 128

enum weft_inproc_kind {
    WEFT_INPROC_MESSAGE,
    WEFT_INPROC_REQUEST,
    WEFT_INPROC_PUSH,
    WEFT_INPROC_REPLY
};

/* cells taken, before senders are told */
#define WEFT_INPROC_ROOM 64

/* What lies in a box and is no short message. Belongs to the box once it is pushed. */
struct weft_inproc_letter {
    enum weft_inproc_kind kind;
    uint16_t port_index; /* REQUEST, PUSH */
    uint32_t peer_id;    /* REQUEST: the client's peer; REPLY: the same, coming back */
    uint64_t from;       /* REQUEST: serial of the client's box */
    size_t len_bytes;
    unsigned char data[];
};

/* A place of the box's ring. A short message lies in it, so that it comes with the word that says
 * it is there: one cache line from core to core. Two lines long, because lines are fetched in
 * pairs.
 */
#define WEFT_INPROC_CELL_BYTES 128
#define WEFT_INPROC_SHORT_MAX (WEFT_INPROC_CELL_BYTES - 16)
#define WEFT_INPROC_IN_LETTER UINT32_MAX

struct weft_inproc_cell {
    _Alignas(WEFT_INPROC_CELL_BYTES) _Atomic uint64_t turn; /* its number + 1: filled */
    uint32_t len_bytes; /* of data; WEFT_INPROC_IN_LETTER: it is a letter */
    union {
        _Alignas(16) unsigned char data[WEFT_INPROC_SHORT_MAX];
        struct weft_inproc_letter *letter;
    };
};
_Static_assert(sizeof(struct weft_inproc_cell) == WEFT_INPROC_CELL_BYTES, "a cell is two lines");

/* Ring 0 is every sender's; each of the others belongs to one peer of one endpoint for a time. */
#define WEFT_INPROC_RINGS 3

/* What different threads write lies on different lines, with a gap as in base/ring.h. */
struct weft_inproc_ring {
    void *memory;
    unsigned char gap_before_head[128];
    _Atomic uint64_t head;  /* the next cell to fill; the senders' */
    _Atomic uint64_t limit; /* below it cells are known to be free; the senders' */
    atomic_uint door;       /* orders "a cell was filled" against "the owner goes to sleep" */
    unsigned char gap_before_tail[128];
    _Atomic uint64_t tail; /* below it all cells are free; the owner's */
    uint64_t next_cell;    /* to take; the owner's own */
    unsigned taken;        /* cells that senders have not been told of; the owner's own */
    unsigned char gap_behind[128];
};

struct weft_inproc_box {
    atomic_uint refs;
    atomic_bool closed;
    uint64_t serial;         /* never given twice in a process */
    struct weft_wakefd wake; /* written only when the owner sleeps */
    /* NULL: a ring that nobody has used; written once. */
    _Atomic(struct weft_inproc_cell *) cells[WEFT_INPROC_RINGS];
    atomic_bool lent[WEFT_INPROC_RINGS]; /* to a peer */
    struct weft_inproc_ring rings[WEFT_INPROC_RINGS];
    atomic_uint gate;             /* orders "room was made" against "a waiter came" */
    struct weft_mpsc waiters;     /* who wants to know when there is room again */
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
 * any, for ring 0; else the one that drives the endpoint which has the ring. */
bool weft__inproc_box_push(struct weft_inproc_box *box, unsigned ring,
                           struct weft_inproc_letter *letter);
/* The same for a message of at most WEFT_INPROC_SHORT_MAX bytes, which it copies. */
bool weft__inproc_box_write(struct weft_inproc_box *box, unsigned ring, const struct iovec *iov,
                            unsigned n);
/* A ring for the caller alone until it gives it back; 0: there is none left. */
unsigned weft__inproc_box_borrow(struct weft_inproc_box *box);
void weft__inproc_box_give_back(struct weft_inproc_box *box, unsigned ring);

/* Tells senders of the cells that were taken, and wakes the waiters.  Thread: the box's owner. */
void weft__inproc_box_room(struct weft_inproc_box *box, unsigned ring);

/* A ring's oldest cell; NULL: none is filled. It is the caller's until weft__inproc_box_take(), and
 * so is a letter in it.  Thread: the box's owner. */
static inline struct weft_inproc_cell *weft__inproc_box_peek(struct weft_inproc_box *box,
                                                             unsigned ring)
{
    struct weft_inproc_cell *cells = atomic_load_explicit(&box->cells[ring], memory_order_acquire);
    uint64_t number = box->rings[ring].next_cell;
    if (!cells)
        return NULL;
    cells += number % WEFT_INPROC_LETTERS;
    return atomic_load_explicit(&cells->turn, memory_order_acquire) == number + 1 ? cells : NULL;
}

/* Senders are told of the room when there is some of it: one that waits for room would take the
 * count's line from here with every look. A sender that finds no room has at least as many cells
 * before it as are still to be taken, so it is told in any case. */
static inline void weft__inproc_box_take(struct weft_inproc_box *box, unsigned ring)
{
    box->rings[ring].next_cell++;
    if (++box->rings[ring].taken == WEFT_INPROC_ROOM)
        weft__inproc_box_room(box, ring);
}

struct weft_inproc_waiter *
weft__inproc_waiter_new(struct weft_inproc_box *sender);         /* NULL: no memory */
void weft__inproc_waiter_put(struct weft_inproc_waiter *waiter); /* NULL is fine */
/* Enters the waiter; false: the list is full. The caller must look for room once more afterwards.
 */
bool weft__inproc_box_wait(struct weft_inproc_box *box, struct weft_inproc_waiter *waiter);
/* Before the owner sleeps: from now on who fills a cell wakes it; false: one is filled, or is being
 * filled.  Thread: the box's owner. */
bool weft__inproc_box_arm(struct weft_inproc_box *box);
#endif
