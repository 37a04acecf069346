/* Where a rank is with the workers: one word, and who may change it how.
 *
 * The worker that has a rank says PARKING, then looks whether what the rank waits for has come, and
 * only then lets go of it. Who wakes a rank changes what is looked at before, and the word after:
 * so one of the two sees the other, and no wake-up is lost. */
#ifndef WEFT_CELL_PARK_H
#define WEFT_CELL_PARK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum weft__turn {
    WEFT__TURN_ASLEEP,  /* nobody's */
    WEFT__TURN_READY,   /* in a queue */
    WEFT__TURN_RUNNING, /* a worker has it */
    WEFT__TURN_PARKING, /* its worker is about to let go of it */
    WEFT__TURN_WOKEN,   /* was that, and has been woken meanwhile */
    WEFT__TURN_OVER     /* nobody will run it again */
};

static inline bool weft__park_change(_Atomic uint32_t *turn, uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong(turn, &from, to);
}

/* Before the worker looks for the last time. */
static inline void weft__park_begin(_Atomic uint32_t *turn)
{
    atomic_store(turn, WEFT__TURN_PARKING);
}

/* After it; false: the rank has been woken and is the caller's still. */
static inline bool weft__park_end(_Atomic uint32_t *turn)
{
    if (weft__park_change(turn, WEFT__TURN_PARKING, WEFT__TURN_ASLEEP))
        return true;
    atomic_store(turn, WEFT__TURN_RUNNING);
    return false;
}

/* Instead of it: the caller has seen that there is something. */
static inline void weft__park_stay(_Atomic uint32_t *turn)
{
    atomic_store(turn, WEFT__TURN_RUNNING);
}

/* Wakes it.  as: what it becomes if it was asleep, READY to put it into a queue.  Returns whether
 * it was.  Thread: any. */
static inline bool weft__park_wake(_Atomic uint32_t *turn, uint32_t as)
{
    for (;;) {
        uint32_t now = atomic_load(turn);
        if (now == WEFT__TURN_ASLEEP && weft__park_change(turn, now, as))
            return true;
        if (now == WEFT__TURN_PARKING && weft__park_change(turn, now, WEFT__TURN_WOKEN))
            return false;
        if (now != WEFT__TURN_ASLEEP && now != WEFT__TURN_PARKING)
            return false;
    }
}

#endif
