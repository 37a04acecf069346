/* The member's side of a fork: what a rank has forked into this process.
 *
 * A crew is made by its first run, keeps the program and the copy of the shared memory between
 * runs, and goes with the fork's end. One run at a time; it is a deferred call: fetch the memory
 * (the pull's thread), run (a thread for each slot), answer (the last of these threads). No worker
 * of the server waits for any of it.
 *
 * Invariant: a crew that is busy belongs to the thread that carries its run on; who finds it busy
 * may only set `cancelled`, cancel its pull, and leave the end's call with it. That is what
 * crews_lock covers. Rejected: a thread per crew that takes orders; it would sleep nearly always,
 * and the last thread of a run knows all that is needed to end it. */
#include "exec/crew.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/wake.h"
#include "control/server.h"
#include "exec/fork_calls.h"
#include "exec/impl.h"
#include "weft/error.h"

#define CREWS_MAX 256u /* of a process */

static void crew_free(struct weft__crew *crew)
{
    weft__crew_forget_results(crew);
    weft__crew_forget_copy(crew);
    weft__program_unload(&crew->program);
    free(crew->threads);
    free(crew);
}

/* Ends the run's bookkeeping; returns the call that asked it.  ending_out: the end's, if it has
 * come: the crew is no more then. */
static struct weft_call *run_over(struct weft__crew *crew, struct weft_call **ending_out)
{
    struct weft_exec *exec = crew->exec;
    struct weft_call *call = crew->call;
    atomic_fetch_add(&exec->handovers, 1);
    pthread_mutex_lock(&exec->crews_lock);
    struct weft_call *ending = crew->ending;
    crew->call = NULL;
    crew->request = NULL;
    if (ending)
        DL_DELETE(exec->crews, crew);
    else
        crew->busy = false;
    pthread_mutex_unlock(&exec->crews_lock);
    if (ending)
        crew_free(crew);
    *ending_out = ending;
    return call;
}

void weft__crew_answer(struct weft__crew *crew, const Weft__Host__ForkRunReply *reply)
{
    struct weft_call *ending;
    struct weft_call *call = run_over(crew, &ending);
    weft__call_reply(call, &reply->base);
    if (ending)
        weft__call_reply(ending, NULL);
}

void weft__crew_fail(struct weft__crew *crew, int err, const char *text)
{
    struct weft_call *ending;
    struct weft_call *call = run_over(crew, &ending);
    weft__call_fail(call, err, text);
    if (ending)
        weft__call_reply(ending, NULL);
}

static struct weft__crew *find(struct weft_exec *exec, uint64_t fork)
{
    struct weft__crew *crew;
    DL_FOREACH(exec->crews, crew)
    if (crew->fork == fork)
        return crew;
    return NULL;
}

/* A crew of this fork that is busy with this call; the caller holds crews_lock. */
static int begin(struct weft_exec *exec, struct weft_call *call,
                 const Weft__Host__ForkRunRequest *request, struct weft__crew **crew_out)
{
    unsigned n;
    struct weft__crew *crew;
    DL_COUNT(exec->crews, crew, n);
    crew = find(exec, request->fork);
    if (crew && crew->busy)
        return weft_fail(WEFT_EBUSY, "threads of this fork run here already");
    if (!crew && n >= CREWS_MAX)
        return weft_fail(WEFT_EAGAIN, "ranks have forked into process %u %u times already",
                         exec->process, CREWS_MAX);
    if (!crew) {
        crew = calloc(1, sizeof(*crew));
        if (!crew)
            return weft_fail(WEFT_ENOMEM, "no memory for the threads of a fork");
        crew->exec = exec;
        crew->fork = request->fork;
        crew->copy.fd = crew->results.fd = -1;
        crew->program.fd = -1;
        DL_APPEND(exec->crews, crew);
    }
    crew->busy = true;
    crew->call = call;
    crew->request = request;
    atomic_store(&crew->cancelled, false);
    *crew_out = crew;
    return WEFT_OK;
}

static int check_range(const struct weft_exec *exec, const Weft__Host__ForkRunRequest *request)
{
    if (request->rank < 0 || request->rank >= exec->size || request->threads == 0 ||
        request->threads > WEFT_FORK_THREADS_MAX || request->all_threads > WEFT_FORK_THREADS_MAX ||
        request->first > request->all_threads ||
        request->threads > request->all_threads - request->first)
        return weft_fail(WEFT_EPROTO, "threads %u to %u of %u, of rank %d, cannot be",
                         request->first, request->first + request->threads, request->all_threads,
                         (int)request->rank);
    uint64_t range = exec->base + (uint64_t)request->rank * exec->stride;
    if (request->address % WEFT_REGION_PAGE || request->len_bytes % WEFT_REGION_PAGE ||
        request->len_bytes == 0 || request->address < range ||
        request->address - range > exec->stride ||
        request->len_bytes > exec->stride - (request->address - range) ||
        request->skew >= WEFT_REGION_PAGE || request->shared_bytes > request->len_bytes ||
        request->skew > request->len_bytes - request->shared_bytes)
        return weft_fail(WEFT_EPROTO, "0x%llx bytes at 0x%llx are no memory of rank %d",
                         (unsigned long long)request->len_bytes,
                         (unsigned long long)request->address, (int)request->rank);
    return WEFT_OK;
}

/* Whether the memory is mapped: threads of this process run in it as it is. */
static int check_here(struct weft_exec *exec, int32_t number)
{
    struct weft__rank *rank = weft__rank_find(exec, number);
    bool here = false;
    if (rank) {
        pthread_mutex_lock(&rank->lock);
        here = weft__rank_is_here(rank) && rank->forks;
        pthread_mutex_unlock(&rank->lock);
    }
    return here ? WEFT_OK
                : weft_fail(WEFT_EPROTO, "rank %d has not forked in this process", (int)number);
}

/* The function, in a copy of the program that is the crew's own. */
static int load(struct weft__crew *crew)
{
    const struct weft_exec *exec = crew->exec;
    const Weft__Host__ForkRunRequest *request = crew->request;
    if (request->build_id.len != exec->program.elf.build_id_len ||
        memcmp(request->build_id.data, exec->program.elf.build_id, request->build_id.len) != 0)
        return weft_fail(WEFT_ENOEXEC, "%s on host %s is another build than that of rank %d",
                         exec->program.path, exec->host, (int)request->rank);
    if (!crew->program.handle) {
        int err = weft__program_load(&exec->program, &crew->program);
        if (err)
            return err;
    }
    uintptr_t function = weft__program_at(&crew->program, request->function);
    if (!function)
        return weft_fail(WEFT_EINVAL, "there is no function at 0x%llx of %s",
                         (unsigned long long)request->function, exec->program.path);
    crew->function = (weft_fork_function *)function;
    return WEFT_OK;
}

static int run(struct weft__crew *crew)
{
    struct weft_exec *exec = crew->exec;
    const Weft__Host__ForkRunRequest *request = crew->request;
    int err = check_range(exec, request);
    if (!err)
        err = load(crew);
    if (err)
        return err;
    weft__crew_forget_results(crew);
    crew->remote = request->process != exec->process;
    if (!crew->remote) {
        err = check_here(exec, request->rank);
        if (!err)
            weft__crew_start(crew);
        return err;
    }
    err = weft__process_add(
        exec, &(struct weft_exec_process){request->process, request->host, request->lane});
    return err ? err : weft__crew_fetch(crew);
}

void weft__exec_fork_run(struct weft_exec *exec, struct weft_call *call,
                         const ProtobufCMessage *message)
{
    const Weft__Host__ForkRunRequest *request = (const Weft__Host__ForkRunRequest *)message;
    struct weft__crew *crew = NULL;
    pthread_mutex_lock(&exec->crews_lock);
    atomic_fetch_add(&exec->handovers, 1);
    int err = atomic_load(&exec->closing) ? weft_fail(WEFT_ESHUTDOWN, "this process is ending")
                                          : begin(exec, call, request, &crew);
    pthread_mutex_unlock(&exec->crews_lock);
    if (err) {
        weft__call_fail(call, err, weft_fail_text(err));
        return;
    }
    err = run(crew);
    if (err)
        weft__crew_fail(crew, err, weft_fail_text(err));
}

void weft__exec_fork_end(struct weft_exec *exec, struct weft_call *call,
                         const ProtobufCMessage *message)
{
    const Weft__Host__ForkEndRequest *request = (const Weft__Host__ForkEndRequest *)message;
    pthread_mutex_lock(&exec->crews_lock);
    struct weft__crew *crew = find(exec, request->fork);
    bool waits = crew && crew->busy && !crew->ending;
    bool twice = crew && crew->busy && crew->ending;
    if (waits) {
        crew->ending = call;
        atomic_store(&crew->cancelled, true);
        if (crew->pull)
            weft__pull_cancel(crew->pull);
    } else if (crew && !twice) {
        DL_DELETE(exec->crews, crew);
    }
    pthread_mutex_unlock(&exec->crews_lock);
    if (twice)
        weft__call_fail(call, WEFT_EBUSY, "the fork is ending already");
    if (waits || twice)
        return;
    if (crew)
        crew_free(crew);
    weft__call_reply(call, NULL);
}

void weft__crews_cancel(struct weft_exec *exec)
{
    struct weft__crew *crew;
    pthread_mutex_lock(&exec->crews_lock);
    DL_FOREACH(exec->crews, crew)
    {
        atomic_store(&crew->cancelled, true);
        if (crew->pull)
            weft__pull_cancel(crew->pull);
    }
    pthread_mutex_unlock(&exec->crews_lock);
}

static bool any_busy(struct weft_exec *exec)
{
    struct weft__crew *crew;
    bool busy = false;
    pthread_mutex_lock(&exec->crews_lock);
    DL_FOREACH(exec->crews, crew)
    busy = busy || crew->busy;
    pthread_mutex_unlock(&exec->crews_lock);
    return busy;
}

int weft__crews_end(struct weft_exec *exec, uint64_t deadline_ns)
{
    weft__crews_cancel(exec);
    while (any_busy(exec)) {
        if (weft__now_ns() >= deadline_ns)
            return weft_fail(WEFT_ETIMEDOUT, "threads that ranks have forked do not end");
        weft__futex_wait(&exec->threads, atomic_load(&exec->threads),
                         weft__now_ns() + WEFT_NS_PER_MS);
    }
    return WEFT_OK;
}

void weft__crews_free(struct weft_exec *exec)
{
    struct weft__crew *crew, *next;
    DL_FOREACH_SAFE(exec->crews, crew, next)
    {
        DL_DELETE(exec->crews, crew);
        crew_free(crew);
    }
}

int weft_fork_is_cancelled(const struct weft_fork_thread *thread)
{
    const struct weft__crew_thread *own = (const struct weft__crew_thread *)(const void *)thread;
    return atomic_load(&own->crew->cancelled);
}
