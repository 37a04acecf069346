/* Calls from outside to a rank of this process.
 *
 * The rank's lock covers its box, so a call is queued only while the rank's state says that it is
 * here, and the same critical section that ends this state empties the box: no call is left behind
 * in a place where nobody looks. Whatever leaves the box is answered after unlocking, by whoever
 * took it out; that is who owns it.
 *
 * A call that a rank has taken is between it and its caller: it pins the rank, because the answer
 * goes out by this process. Rejected: a ring between the two threads; the rank's lock is taken for
 * the state anyway, and cancelled calls leave from the middle. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "exec/impl.h"
#include "weft/error.h"

static struct weft__rank *find(struct weft_exec *exec, int32_t number)
{
    return number >= 0 && number < exec->size ? weft__rank_find(exec, number) : NULL;
}

void weft__called_return(struct weft__rank *rank, struct weft_exec_call *list, int err,
                         const char *text)
{
    char whole[160];
    snprintf(whole, sizeof(whole), "rank %d %s", (int)rank->number, text);
    while (list) {
        struct weft_exec_call *call = list;
        list = call->next;
        weft__counter_add(&rank->exec->count.calls_returned, 1);
        call->answered(call, err, whole, strlen(whole));
    }
}

void weft__called_end(struct weft__rank *rank)
{
    pthread_mutex_lock(&rank->lock);
    struct weft_exec_call *waiting = weft__callbox_empty(&rank->box);
    struct weft_exec_call *taken = weft__callbox_empty_taken(&rank->box);
    pthread_mutex_unlock(&rank->lock);
    weft__called_return(rank, waiting, WEFT_ENOENT, "has ended");
    weft__called_return(rank, taken, WEFT_EPEERDEAD, "has ended without an answer");
}

/* Why a rank in this state takes no calls. */
static int refuse(const struct weft__rank *rank, int32_t number)
{
    if (!rank || rank->state == WEFT_RANK_ABSENT || rank->state == WEFT_RANK_DEPARTED)
        return weft_fail(WEFT_ESTALE, "rank %d is not in this process (any more)", (int)number);
    if (rank->state == WEFT_RANK_EXITED)
        return weft_fail(WEFT_ENOENT, "rank %d has ended", (int)number);
    return weft_fail(WEFT_ESTALE, "rank %d is just moving", (int)number);
}

int weft__exec_call(struct weft_exec *exec, int32_t number, struct weft_exec_call *call)
{
    struct weft__rank *rank = find(exec, number);
    struct weft_exec_call *late = NULL;
    int err;
    if (number < 0 || number >= exec->size)
        return weft_fail(WEFT_EINVAL, "no rank %d in an app of %d", (int)number, (int)exec->size);
    if (!rank) {
        err = refuse(NULL, number);
    } else {
        pthread_mutex_lock(&rank->lock);
        if (!weft__rank_is_here(rank) || rank->state == WEFT_RANK_EXITED) {
            err = refuse(rank, number);
        } else {
            err = weft__callbox_put(&rank->box, call, exec->calls_max);
            if (err == WEFT_EAGAIN && (late = weft__callbox_late(&rank->box, weft__now_ns())))
                err = weft__callbox_put(&rank->box, call, exec->calls_max);
            if (!err)
                weft__rank_ring(rank);
        }
        pthread_mutex_unlock(&rank->lock);
        if (late)
            weft__called_return(rank, late, WEFT_ETIMEDOUT, "did not take the call in time");
    }
    weft__counter_add(err ? &exec->count.calls_refused : &exec->count.calls, 1);
    return err;
}

void weft__exec_call_cancel(struct weft_exec *exec, int32_t number, const void *key)
{
    struct weft__rank *rank = find(exec, number);
    if (!rank)
        return;
    pthread_mutex_lock(&rank->lock);
    struct weft_exec_call *call = weft__callbox_cancel(&rank->box, key);
    pthread_mutex_unlock(&rank->lock);
    weft__called_return(rank, call, WEFT_ECANCELED, "had not begun the call that was cancelled");
}

/* ---- the rank's side ---- */

static void put_out(const struct weft__rank *rank, const struct weft_exec_call *call,
                    struct weft_executor_call *call_out)
{
    uint64_t deadline = call->deadline_ns;
    if (deadline != WEFT_NEVER)
        deadline += (uint64_t)rank->cell->clock_offset_ns;
    *call_out = (struct weft_executor_call){.id = call->id,
                                            .code = call->code,
                                            .body = call->body,
                                            .body_bytes = call->len_bytes,
                                            .deadline_ns = deadline};
}

int weft__called_try(struct weft__rank *rank, struct weft_executor_call *call_out)
{
    uint64_t now_ns = weft__now_ns();
    int err = WEFT_OK;
    pthread_mutex_lock(&rank->lock);
    struct weft_exec_call *late = weft__callbox_late(&rank->box, now_ns), *call = NULL;
    if (rank->state == WEFT_RANK_FREEZING && !rank->told_of_wish)
        err = WEFT_EAGAIN;
    else if (rank->box.taken_n >= WEFT__CALLS_TAKEN_MAX)
        err = WEFT_EBUSY;
    else if (!(call = weft__callbox_take(&rank->box, now_ns)))
        err = WEFT_ENOENT;
    if (err == WEFT_EAGAIN)
        rank->told_of_wish = true; /* once: it may have no migration point to go to */
    if (call)
        put_out(rank, call, call_out);
    pthread_mutex_unlock(&rank->lock);
    if (late)
        weft__called_return(rank, late, WEFT_ETIMEDOUT, "did not take the call in time");
    if (err == WEFT_EAGAIN)
        return weft_fail(err, "rank %d is wanted at a migration point", (int)rank->number);
    if (err == WEFT_EBUSY)
        return weft_fail(err, "rank %d has taken %u calls and answered none of them",
                         (int)rank->number, WEFT__CALLS_TAKEN_MAX);
    return err;
}

int weft__called_next(struct weft__rank *rank, uint64_t deadline_ns,
                      struct weft_executor_call *call_out)
{
    for (;;) {
        uint32_t seen = atomic_load(&rank->cell->bell);
        int err = weft__called_try(rank, call_out);
        if (err != WEFT_ENOENT)
            return err;
        err = weft__rank_wait(rank, seen, deadline_ns);
        if (err == WEFT_ETIMEDOUT)
            return err;
    }
}

int weft__called_answer(struct weft__rank *rank, uint64_t id, int err, const void *bytes,
                        size_t len_bytes)
{
    pthread_mutex_lock(&rank->lock);
    struct weft_exec_call *call = weft__callbox_find(&rank->box, id);
    if (call)
        weft__callbox_answered(&rank->box, call, weft__now_ns());
    pthread_mutex_unlock(&rank->lock);
    if (!call)
        return weft_fail(WEFT_ENOENT, "rank %d has no open call %llu", (int)rank->number,
                         (unsigned long long)id);
    weft__counter_add(&rank->exec->count.calls_answered, 1);
    call->answered(call, err, bytes, len_bytes);
    return WEFT_OK;
}

bool weft__called_is_cancelled(struct weft__rank *rank, uint64_t id)
{
    pthread_mutex_lock(&rank->lock);
    const struct weft_exec_call *call = weft__callbox_find(&rank->box, id);
    bool cancelled = call && call->cancelled;
    pthread_mutex_unlock(&rank->lock);
    return cancelled;
}
