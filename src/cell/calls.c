/* The runtime calls of a program in a cell, behind the gate.
 *
 * Whenever a call is done, and somebody wants the rank to stop, it stops there: the result of the
 * call lies in the frame, and is what the program gets when it goes on, here or elsewhere. So a
 * program needs no migration points, and one that waits is moved while it waits, because the wish
 * rings its bell.
 *
 * Calls that wait do not come back here where others are to run: turn.c goes on with them. */
#include <sched.h>

#include "cell/gate.h"
#include "cell/impl.h"
#include "exec/impl.h"
#include "weft/error.h"

#define WAITS_MAX 64u /* that were over at once, until it is the others' turn */

/* The rank stops here if somebody wants it to. */
static void point(struct weft_cell *cell, int64_t result)
{
    struct weft__rank *rank = cell->host;
    struct weft__cell *own = weft__cell_of(rank);
    if (__builtin_expect(own->system.state->signals.alarm_ns != 0, 0))
        weft__system_returns(&own->system, weft__cell_frame(own)->sp);
    bool tortured = weft__torture_is_due(rank);
    if (__builtin_expect(
            !tortured && !atomic_load_explicit(&cell->move_pending, memory_order_relaxed), 1))
        return;
    weft__cell_frame(own)->result = result;
    weft__turn_park(own, tortured ? weft__turn_torture : weft__turn_stop);
}

static int cell_send(struct weft_cell *cell, int32_t dest, const struct iovec *parts, unsigned n)
{
    int rc = weft__cell_calls.send(cell, dest, parts, n);
    point(cell, rc);
    return rc;
}

/* The packet lies in the mailbox. Where the rank is not here any more, it will look into it. */
static int cell_ring(struct weft_cell *cell, int32_t dest)
{
    const struct weft__rank *rank = cell->host;
    struct weft__rank *receiver = weft__rank_find(rank->exec, dest);
    pthread_mutex_lock(&receiver->lock);
    if (weft__rank_is_here(receiver)) {
        weft__rank_ring(receiver);
        weft__workers_attend(receiver);
    }
    pthread_mutex_unlock(&receiver->lock);
    point(cell, WEFT_OK);
    return WEFT_OK;
}

static int cell_expose(struct weft_cell *cell, const void *addr, size_t len_bytes, uint64_t *id_out)
{
    int rc = weft__cell_calls.expose(cell, addr, len_bytes, id_out);
    point(cell, rc);
    return rc;
}

static void cell_unexpose(struct weft_cell *cell, uint64_t id)
{
    weft__cell_calls.unexpose(cell, id);
    point(cell, 0);
}

/* No point: it is still of here when it is sent. */
static void cell_ticket(struct weft_cell *cell, uint64_t id, int32_t dest,
                        struct weft_cell_ticket *ticket_out)
{
    weft__cell_calls.ticket(cell, id, dest, ticket_out);
}

static int cell_get(struct weft_cell *cell, struct weft_cell_get *op)
{
    int rc = weft__cell_calls.get(cell, op);
    point(cell, rc);
    return rc;
}

/* The others' turn, if there are any. */
static void yield(struct weft__cell *own, int result)
{
    if (weft__runqueue_is_empty(&weft__workers_self()->queue))
        return;
    own->waits = 0;
    weft__cell_frame(own)->result = result;
    weft__turn_park(own, weft__turn_yield);
}

/* A look at what has come, and the others' turn. */
static int poke(struct weft__cell *own)
{
    const struct weft__rank *rank = own->rank;
    weft__workers_expire(weft__workers_self()->all);
    yield(own, WEFT_ETIMEDOUT);
    if (!weft__exec_has_peers(rank->exec) || !weft__lanes_drive(&rank->exec->lanes))
        sched_yield();
    return WEFT_ETIMEDOUT;
}

static int cell_wait(struct weft_cell *cell, uint32_t seen, uint64_t deadline_ns)
{
    struct weft__rank *rank = cell->host;
    struct weft__cell *own = weft__cell_of(rank);
    weft__near_listen(rank, seen, deadline_ns != 0);
    weft__rank_tend(rank);
    bool over = weft__rank_is_rung(rank, seen);
    if (over && ++own->waits % WAITS_MAX == 0)
        yield(own, WEFT_OK);
    if (over || deadline_ns == 0) {
        weft__near_glances(weft__workers_self(), rank);
        int rc = over ? WEFT_OK : poke(own);
        point(cell, rc);
        return rc;
    }
    own->hears = true;
    own->seen = seen;
    uint64_t until_ns = weft__system_deadline(&own->system, deadline_ns);
    own->late = until_ns == deadline_ns ? WEFT_ETIMEDOUT : WEFT_OK; /* its timer is due */
    own->deadline_ns = weft__rank_machine_ns(cell, until_ns);
    weft__turn_sleep(own);
    return (int)weft__cell_frame(own)->result;
}

static void cell_wake(struct weft_cell *cell)
{
    weft__cell_calls.wake(cell);
    point(cell, 0);
}

/* Going on where it was is all that can be wanted: the entry is for programs that are not moved
 * whole. */
static int cell_migration_point(struct weft_cell *cell, weft_entry *entry, void *argument)
{
    (void)entry;
    (void)argument;
    point(cell, 0);
    return 0;
}

static uint64_t cell_now(struct weft_cell *cell)
{
    uint64_t now_ns = weft__cell_calls.now(cell);
    point(cell, (int64_t)now_ns);
    return now_ns;
}

static int cell_info(struct weft_cell *cell, enum weft_cell_info what, void *out, size_t len_bytes)
{
    return weft__cell_calls.info(cell, what, out, len_bytes);
}

static void cell_exit(struct weft_cell *cell, int code) __attribute__((noreturn));
static void cell_exit(struct weft_cell *cell, int code)
{
    weft__cell_calls.exit(cell, code);
}

static void cell_log(struct weft_cell *cell, int level, const char *text)
{
    weft__cell_calls.log(cell, level, text);
}

/* The app ends when its home has heard of it; until then the rank only waits. */
static void cell_abort(struct weft_cell *cell, int code, const char *reason)
    __attribute__((noreturn));
static void cell_abort(struct weft_cell *cell, int code, const char *reason)
{
    struct weft__rank *rank = cell->host;
    weft__rank_abort(rank, code, reason);
    weft__turn_park(weft__cell_of(rank), weft__turn_never);
}

static int cell_call_next(struct weft_cell *cell, uint64_t deadline_ns,
                          struct weft_executor_call *call_out)
{
    struct weft__rank *rank = cell->host;
    struct weft__cell *own = weft__cell_of(rank);
    own->deadline_ns = weft__rank_machine_ns(cell, deadline_ns);
    own->call_out = call_out;
    weft__turn_park(own, weft__turn_next);
}

static int cell_call_answer(struct weft_cell *cell, uint64_t id, int err, const void *bytes,
                            size_t len_bytes)
{
    int rc = weft__cell_calls.call_answer(cell, id, err, bytes, len_bytes);
    point(cell, rc);
    return rc;
}

static int cell_call_is_cancelled(struct weft_cell *cell, uint64_t id)
{
    return weft__cell_calls.call_is_cancelled(cell, id);
}

const struct weft__gate_table weft__gate_table = {
    .calls = {.version = WEFT_CELL_VERSION,
              .len_bytes = sizeof(struct weft_cell_calls),
              .send = cell_send,
              .expose = cell_expose,
              .unexpose = cell_unexpose,
              .ticket = cell_ticket,
              .get = cell_get,
              .wait = cell_wait,
              .wake = cell_wake,
              .migration_point = cell_migration_point,
              .now = cell_now,
              .info = cell_info,
              .exit = cell_exit,
              .log = cell_log,
              .abort = cell_abort,
              .call_next = cell_call_next,
              .call_answer = cell_call_answer,
              .call_is_cancelled = cell_call_is_cancelled},
    .ring = cell_ring,
};
