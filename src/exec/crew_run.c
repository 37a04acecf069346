/* Running a fork's threads.
 *
 * All threads are made before the first one runs: they wait at a gate, so that a system that gives
 * some of them and refuses the next leaves nothing half run. They are detached, and counted like
 * the threads of ranks: closing waits for them. The last one to return carries the run on.
 *
 * A thread is made by a thread of the server or of a pull, which may have blocked signals; it runs
 * with none blocked, because a dirty tracker may live on SIGSEGV. */
#include "exec/crew.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/wake.h"
#include "exec/impl.h"
#include "weft/error.h"

#define STACK_BYTES (8u << 20)

enum { GATE_SHUT, GATE_OPEN, GATE_NEVER };

/* On the last thread to return. */
static void all_returned(struct weft__crew *crew)
{
    Weft__Host__ForkRunReply reply = WEFT__HOST__FORK_RUN_REPLY__INIT;
    int err = crew->remote ? weft__crew_diff(crew, &reply) : WEFT_OK;
    char text[256];
    snprintf(text, sizeof(text), "%s", err ? weft_fail_text(err) : "");
    weft__crew_unmap(crew);
    reply.values = err ? NULL : calloc(crew->threads_n, sizeof(*reply.values));
    if (!err && !reply.values)
        err = weft_fail(WEFT_ENOMEM, "no memory for what threads return");
    for (uint32_t i = 0; !err && i < crew->threads_n; i++)
        reply.values[i] = crew->threads[i].value;
    reply.n_values = crew->threads_n;
    if (err)
        weft__crew_fail(crew, err, text);
    else
        weft__crew_answer(crew, &reply);
    free(reply.values);
    free(reply.diffs.data);
    free(reply.image.data);
}

static void *thread_main(void *arg)
{
    struct weft__crew_thread *thread = arg;
    struct weft__crew *crew = thread->crew;
    struct weft_exec *exec = crew->exec;
    uint32_t gate;
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    while ((gate = atomic_load(&crew->gate)) == GATE_SHUT)
        weft__futex_wait(&crew->gate, GATE_SHUT, WEFT_NEVER);
    if (gate == GATE_OPEN)
        thread->value = crew->function(&thread->seen);
    if (atomic_fetch_sub(&crew->threads_left, 1) == 1 && gate == GATE_OPEN)
        all_returned(crew);
    atomic_fetch_sub(&exec->threads, 1);
    weft__futex_wake(&exec->threads);
    return NULL;
}

static int make_thread(struct weft__crew *crew, struct weft__crew_thread *thread)
{
    pthread_attr_t attributes;
    pthread_t id;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    atomic_fetch_add(&crew->exec->threads, 1);
    atomic_fetch_add(&crew->threads_left, 1);
    int error = pthread_create(&id, &attributes, thread_main, thread);
    pthread_attr_destroy(&attributes);
    if (!error)
        return WEFT_OK;
    atomic_fetch_sub(&crew->threads_left, 1);
    atomic_fetch_sub(&crew->exec->threads, 1);
    return weft_fail(-error, "cannot make thread %u of %u on host %s: %s", thread->seen.index,
                     thread->seen.threads, crew->exec->host, strerrordesc_np(error));
}

static int make_threads(struct weft__crew *crew)
{
    const Weft__Host__ForkRunRequest *request = crew->request;
    free(crew->threads);
    crew->threads_n = request->threads;
    crew->threads = calloc(crew->threads_n, sizeof(*crew->threads));
    atomic_store(&crew->gate, GATE_SHUT);
    int err = crew->threads ? WEFT_OK : weft_fail(WEFT_ENOMEM, "no memory for threads");
    for (uint32_t i = 0; !err && i < crew->threads_n; i++) {
        struct weft__crew_thread *thread = &crew->threads[i];
        *thread = (struct weft__crew_thread){
            .seen = {.index = request->first + i,
                     .threads = request->all_threads,
                     .base = (char *)(uintptr_t)request->address + request->skew,
                     .len_bytes = request->shared_bytes,
                     .argument = request->argument.data,
                     .argument_bytes = request->argument.len,
                     .host = crew->exec->host},
            .crew = crew,
        };
        err = make_thread(crew, thread);
    }
    return err;
}

/* Sends those that were made home, and waits until they do not look at the crew any more. */
static void unmake_threads(struct weft__crew *crew)
{
    atomic_store(&crew->gate, GATE_NEVER);
    weft__futex_wake(&crew->gate);
    while (atomic_load(&crew->threads_left))
        sched_yield();
}

void weft__crew_start(struct weft__crew *crew)
{
    int err =
        atomic_load(&crew->cancelled) ? weft_fail(WEFT_ECANCELED, "the fork has ended") : WEFT_OK;
    if (!err && crew->remote)
        err = weft__crew_map(crew);
    if (!err) {
        err = make_threads(crew);
        if (err)
            unmake_threads(crew);
    }
    if (!err) {
        atomic_store(&crew->gate, GATE_OPEN); /* the crew may be gone right after */
        weft__futex_wake(&crew->gate);
        return;
    }
    char text[256];
    snprintf(text, sizeof(text), "%s", weft_fail_text(err));
    weft__crew_unmap(crew);
    weft__crew_fail(crew, err, text);
}
