/* Threads that can be waited for with a deadline: a thread that never ends must not keep its
 * stopper for ever. */
#ifndef WEFT_CONTROL_THREAD_H
#define WEFT_CONTROL_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct weft_thread {
    pthread_t id;
    const char *name;
    void *(*run)(void *);
    void *arg;
    _Atomic uint32_t ended; /* set by weft__thread_end, a futex word */
    bool started;
};

/* Starts a thread that takes no signals but its own faults, so that those of the program reach the
 * program's own threads. name: at most 15 characters; it outlives the start.  Errors: WEFT_EAGAIN,
 * the system refuses another thread. */
int weft__thread_start(struct weft_thread *thread, const char *name, void *(*run)(void *),
                       void *arg);
/* The thread's last act but for giving up its reference to the memory in which `thread` lies. */
void weft__thread_end(struct weft_thread *thread);
/* Waits for weft__thread_end until deadline_ns.  Errors: WEFT_ETIMEDOUT. */
int weft__thread_await(struct weft_thread *thread, uint64_t deadline_ns);
/* Joins a thread that has ended or is about to. */
void weft__thread_join(struct weft_thread *thread);
/* Lets it run on alone: whatever it touches must stay valid until it ends. */
void weft__thread_leave(struct weft_thread *thread);

#endif
