/* Packets between ranks of one process, without entering the runtime: the sender writes them into
 * the receiver's mailbox itself, through its door (exec/door.h).
 *
 * This code runs on the program's stack, with the program's thread pointer: it uses no thread-local
 * storage, makes no system call, and nothing of it is left when it returns, so a rank that is moved
 * never stands in it. It is open while nothing of the sender waits to be acknowledged by the
 * receiver, so all that was sent before is in the mailbox already; a packet takes no sequence then,
 * because it is accepted in the moment in which it is sent. A rank that sleeps is put into its
 * worker's queue. For everything else there is the gate: where that worker sleeps, too, or somebody
 * wants the sender to stop. What is sent is touched before the door is locked, here or, where it is
 * short, by libmpi: a fault behind it would leave it so.
 *
 * A message of 8 bytes between two ranks of one worker takes 0.14 us with it, and took 0.20 by way
 * of the gate, whose two changes of the thread pointer cost 11 ns each, and of both ranks' locks.
 * Between two workers it takes 0.07 us, and took 0.21: what counts there is how many cache lines go
 * from one core to the other, which is the packet's alone as long as the receiver does not wait in
 * the runtime: so a rank that is the last of its worker to run looks into its mailbox for a while
 * before it does (glances), until others are to run. */
#include <stddef.h>
#include <sys/uio.h>

#include "cell/gate.h"
#include "cell/impl.h"
#include "cell/park.h"
#include "cell/runqueue.h"
#include "exec/door.h"
#include "exec/impl.h"

_Static_assert(offsetof(struct weft__worker, gate) == 0, "a rank's gate is its worker");

#define GLANCES 64u
#define PAGE 4096u

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

/* Whether a place in the queue of the worker that has the rank is all that the rank needs; else
 * more people have to hear of it. */
static bool is_simple(const struct weft__worker *self, const struct weft__rank *rank)
{
    struct weft__worker *worker = atomic_load_explicit(&rank->stay.worker, memory_order_relaxed);
    return atomic_load_explicit(&rank->stay.owner, memory_order_relaxed) == worker &&
           atomic_load(&rank->stay.order) == WEFT__ORDER_NONE && !atomic_load(&self->all->deep) &&
           !atomic_load(&worker->asleep);
}

/* Returns whether somebody has to look after it: the worker has gone to sleep meanwhile. */
static bool enqueue(struct weft__worker *self, struct weft__worker *worker, struct weft__rank *rank)
{
    if (worker != self) {
        weft__runqueue_send(&worker->queue, rank);
        return atomic_load(&worker->asleep);
    }
    weft__runqueue_push(&worker->queue, rank);
    self->now->cell->glances = 0; /* the sender's: it does not keep the other waiting */
    return false;
}

/* As weft__turn_wake(). False: that has to be called. */
static bool wake(struct weft__worker *self, struct weft__rank *rank)
{
    for (;;) {
        uint32_t now = atomic_load(&rank->stay.turn);
        if (now == WEFT__TURN_PARKING) {
            if (weft__park_change(&rank->stay.turn, now, WEFT__TURN_WOKEN))
                return true;
        } else if (now != WEFT__TURN_ASLEEP) {
            return true;
        } else if (!is_simple(self, rank)) {
            return false;
        } else if (weft__park_change(&rank->stay.turn, now, WEFT__TURN_READY)) {
            /* It may have been elsewhere since, and have come to sleep there. */
            return !enqueue(self, atomic_load(&rank->stay.worker), rank);
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
    if (door->cell &&
        weft__mailbox_put(&door->cell->mailbox, &door->writer, rank->number, parts, n)) {
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

/* What is not memory is found before a door is locked. */
static void touch(const struct iovec *part)
{
    const volatile unsigned char *bytes = part->iov_base;
    for (size_t i = 0; i < part->iov_len; i += PAGE)
        (void)bytes[i];
    if (part->iov_len > 0)
        (void)bytes[part->iov_len - 1];
}

int weft__near_send(struct weft_cell *cell, int32_t dest, const struct iovec *parts, unsigned n)
{
    struct weft__rank *rank = cell->host;
    size_t len = 0;
    if (dest < 0 || dest >= cell->size || dest == rank->number || !may_pass(rank))
        return WEFT__GATE_ENTERS;
    for (unsigned i = 0; i < n; len += parts[i++].iov_len)
        if (parts[i].iov_len > WEFT_EXEC_PACKET_MAX - len)
            return WEFT__GATE_ENTERS;
    struct weft_channel *channel = &rank->range->channels[dest];
    struct weft__rank *receiver = weft__rank_find(rank->exec, dest);
    if (!receiver || atomic_load_explicit(&channel->first, memory_order_acquire))
        return WEFT__GATE_ENTERS;
    for (unsigned i = 0; len > PAGE && i < n; i++)
        touch(&parts[i]);
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

void weft__near_glances(const struct weft__worker *worker, const struct weft__rank *rank)
{
    struct weft_cell *cell = rank->cell;
    bool last = weft__runqueue_is_empty(&worker->queue);
    uint32_t glances = last && !weft__exec_has_peers(rank->exec) ? GLANCES : 0;
    if (cell->glances != glances)
        cell->glances = glances;
    if (cell->others != &worker->queue.mail)
        cell->others = &worker->queue.mail;
}
