/* Bounded joins.
 *
 * pthread_join has no limit, and its timed forms are GNU extensions that ThreadSanitizer does not
 * know in full. So a thread announces its end in a futex word; its stopper waits for the word with
 * a deadline and then either joins (the rest is the return from the thread function) or detaches. A
 * detached thread keeps a reference to all that it uses.
 */
#include "control/thread.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/wake.h"
#include "weft/error.h"

/* It names itself: who finds its work done finds its name as well. */
static void *begin(void *arg)
{
    struct weft_thread *thread = arg;

    pthread_setname_np(pthread_self(), thread->name);
    return thread->run(thread->arg);
}

int weft__thread_start(struct weft_thread *thread, const char *name, void *(*run)(void *),
                       void *arg)
{
    sigset_t all, before;
    int rc;

    thread->name = name;
    thread->run = run;
    thread->arg = arg;
    atomic_store(&thread->ended, 0);
    sigfillset(&all);
    sigdelset(&all, SIGSEGV); /* a first write to tracked memory is one */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&thread->id, NULL, begin, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return weft_fail(WEFT_EAGAIN,
                         "cannot start thread %s: %s; look at ulimit -u and the cgroup's pids.max",
                         name, strerror(rc));
    thread->started = true;
    return WEFT_OK;
}

void weft__thread_end(struct weft_thread *thread)
{
    atomic_store(&thread->ended, 1);
    weft__futex_wake(&thread->ended);
}

int weft__thread_await(struct weft_thread *thread, uint64_t deadline_ns)
{
    while (atomic_load(&thread->ended) == 0) {
        if (weft__now_ns() >= deadline_ns)
            return WEFT_ETIMEDOUT;
        weft__futex_wait(&thread->ended, 0, deadline_ns);
    }
    return WEFT_OK;
}

void weft__thread_join(struct weft_thread *thread)
{
    pthread_join(thread->id, NULL);
    thread->started = false;
}

void weft__thread_leave(struct weft_thread *thread)
{
    pthread_detach(thread->id);
    thread->started = false;
}
