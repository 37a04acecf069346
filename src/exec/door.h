/* Who may write into a rank's mailbox, and whether it wants to hear of it: beside the range, in
 * memory that stays when the rank moves.
 *
 * A lock of one word without thread-local storage, so that a rank which sends can take it with its
 * own thread pointer, on its own stack (cell/near.c); it is held for one packet. Whoever changes
 * the rank's state shuts the door before the range is frozen, moved or unmapped, and nobody writes
 * into a mailbox but through an open door. After the rank's lock; nobody takes another one with it.
 *
 * Where the next packet goes lies here, too, while the door is open: between two cores each line
 * that a sender has to fetch costs as much as the packet. The mailbox has it while the door is
 * shut, so that it moves with the range.
 *
 * A rank that runs is not told of what comes: it looks into its mailbox itself. Who puts a packet
 * there that nobody hears leaves a note instead, and the rank's next wait begins with it. */
#ifndef WEFT_EXEC_DOOR_H
#define WEFT_EXEC_DOOR_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "weft/cell.h"

#define WEFT__DOOR_TRIES 200u /* of who must not sleep */

struct weft__door {
    unsigned char gap_before[64];
    _Atomic uint32_t lock;
    bool hears;                        /* the rank waits: the next packet has to ring its bell */
    bool unheard;                      /* something has come and has not rung it */
    struct weft_cell *cell;            /* NULL: the door is shut */
    struct weft_mailbox_writer writer; /* the mailbox's, while it is open: in the line that a
                                          writer has already */
    unsigned char gap_behind[64];
};

static inline void weft__door_pause(void)
{
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
}

static inline bool weft__door_try(struct weft__door *door)
{
    for (unsigned i = 0; atomic_exchange_explicit(&door->lock, 1, memory_order_acquire);) {
        while (atomic_load_explicit(&door->lock, memory_order_relaxed)) {
            if (++i > WEFT__DOOR_TRIES)
                return false;
            weft__door_pause();
        }
    }
    return true;
}

/* Thread: any, with its own thread pointer. */
static inline void weft__door_lock(struct weft__door *door)
{
    while (!weft__door_try(door))
        sched_yield();
}

static inline void weft__door_unlock(struct weft__door *door)
{
    atomic_store_explicit(&door->lock, 0, memory_order_release);
}

#endif
