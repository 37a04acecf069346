/* Packets between ranks of one process, without entering the runtime: the sender writes them into
 * the receiver's mailbox itself, through its door (exec/door.h).
 *
 * This code runs on the program's stack, with the program's thread pointer: it uses no thread-local
 * storage, makes no system call, and nothing of it is left when it returns, so a rank that is moved
 * never stands in it. It is open while nothing of the sender waits to be acknowledged by the
 * receiver, so all that was sent before is in the mailbox already; a packet takes no sequence then,
 * because it is accepted in the moment in which it is sent. For everything else there is the gate:
 * where a rank of another worker has to be woken, somebody wants the sender to stop, or the packet
 * is so long that a part of it may not be memory (a fault here would leave the door locked).
 *
 * A message of 8 bytes between two ranks of one worker takes 0.14 us with it, and took 0.20 by way
 * of the gate, whose two changes of the thread pointer cost 11 ns each, and of both ranks' locks.
 * Between two workers it takes 0.07 us, and took 0.21: what counts there is how many cache lines go
 * from one core to the other, which is the packet's alone as long as the receiver does not wait in
 * the runtime (glances, calls.c). */
#include <stddef.h>
#include <sys/uio.h>

#include "cell/gate.h"
#include "cell/impl.h"
#include "cell/park.h"
#include "cell/runqueue.h"
#include "exec/door.h"
#include "exec/impl.h"

_Static_assert(offsetof(struct weft__worker, gate) == 0, "a rank's gate is its worker");

enum { PART_MAX = 4096 }; /* both its ends are memory: then all of it is */

/* Whether a call of the rank may end without a look at what others want of it. A tortured rank's
 * calls are counted here, but for the one at which it is to be moved. */
static bool may_pass(const struct weft__rank *rank)
{
    const struct weft_exec *exec = rank->exec;
    bool tortured = exec->torture_move && rank->range->torture_calls + 1 >= exec->torture_move;
    return !atomic_load_explicit(&rank->cell->move_pending, memory_order_relaxed) &&
           !atomic_load_explicit(&exec->closing, memory_order_relaxed) && !tortured &&
           !rank->trace && !weft__cell_of(rank)->system.state->signals.alarm_ns;
}

/* Whether the rank can be put into the worker's own queue, and nobody else has to hear of it. */
static bool is_simple(const struct weft__worker *worker, const struct weft__rank *rank)
{
    const struct weft__worker *home = atomic_load_explicit(&rank->stay.owner, memory_order_relaxed);
    return atomic_load_explicit(&rank->stay.worker, memory_order_relaxed) == worker &&
           (home == worker || !atomic_load_explicit(&home->spins, memory_order_relaxed)) &&
           atomic_load(&rank->stay.order) == WEFT__ORDER_NONE && !atomic_load(&worker->all->deep);
}

/* As weft__turn_wake(). False: that has to be called. */
static bool wake(struct weft__worker *worker, struct weft__rank *rank)
{
    for (;;) {
        uint32_t now = atomic_load(&rank->stay.turn);
        if (now == WEFT__TURN_PARKING) {
            if (weft__park_change(&rank->stay.turn, now, WEFT__TURN_WOKEN))
                return true;
        } else if (now != WEFT__TURN_ASLEEP) {
            return true;
        } else if (!is_simple(worker, rank)) {
            return false;
        } else if (weft__park_change(&rank->stay.turn, now, WEFT__TURN_READY)) {
            weft__runqueue_push(&worker->queue, rank);
            return true;
        }
    }
}

static int put(const struct weft__rank *rank, struct weft__rank *receiver,
               const struct iovec *parts, unsigned n)
{
    struct weft__door *door = &receiver->door;
    int done = WEFT__GATE_ENTERS;
    if (!weft__door_try(door))
        return done;
    if (door->cell && weft__mailbox_put(&door->cell->mailbox, rank->number, parts, n)) {
        done = WEFT__GATE_SENT;
        if (!door->hears) {
            door->unheard = true;
        } else {
            door->hears = false;
            atomic_fetch_add(&door->cell->bell, 1);
            if (!wake(rank->gate, receiver))
                done = WEFT__GATE_RING;
        }
    }
    weft__door_unlock(door);
    return done;
}

static void add(_Atomic uint64_t *count, uint64_t n)
{
    uint64_t now = atomic_load_explicit(count, memory_order_relaxed);
    atomic_store_explicit(count, now + n, memory_order_relaxed);
}

int weft__near_send(struct weft_cell *cell, int32_t dest, const struct iovec *parts, unsigned n)
{
    struct weft__rank *rank = cell->host;
    size_t len = 0;
    if (dest < 0 || dest >= cell->size || dest == rank->number || !may_pass(rank))
        return WEFT__GATE_ENTERS;
    for (unsigned i = 0; i < n; len += parts[i++].iov_len)
        if (parts[i].iov_len > PART_MAX)
            return WEFT__GATE_ENTERS;
    struct weft_channel *channel = &rank->range->channels[dest];
    struct weft__rank *receiver = weft__rank_find(rank->exec, dest);
    if (!receiver || len > WEFT_EXEC_PACKET_MAX ||
        atomic_load_explicit(&channel->first, memory_order_acquire))
        return WEFT__GATE_ENTERS;
    int done = put(rank, receiver, parts, n);
    if (done == WEFT__GATE_ENTERS)
        return done;
    add(&channel->near.packets, 1);
    add(&channel->near.bytes, len);
    add(&rank->near, 1);
    if (rank->exec->torture_move && done == WEFT__GATE_SENT)
        rank->range->torture_calls++;
    return done;
}

void weft__near_listen(struct weft__rank *rank, uint32_t seen, bool sleeps)
{
    struct weft__door *door = &rank->door;
    weft__door_lock(door);
    if (door->unheard)
        atomic_fetch_add(&rank->cell->bell, 1);
    door->unheard = false;
    door->hears = sleeps && atomic_load(&rank->cell->bell) == seen;
    weft__door_unlock(door);
}
