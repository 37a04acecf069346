/* The calls that wait for a worker of one service: one bounded queue for all its workers, so that
 * no call waits behind a busy worker while another one sleeps. */
#ifndef WEFT_CONTROL_QUEUE_H
#define WEFT_CONTROL_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/lock.h"

struct weft_call;

struct weft_sleeper; /* a worker in pop() */

struct weft_queue {
    struct weft_lock lock;
    struct weft_call *head WEFT_GUARDED_BY(lock);
    struct weft_call **tail WEFT_GUARDED_BY(lock);
    size_t length WEFT_GUARDED_BY(lock);
    struct weft_sleeper *sleepers WEFT_GUARDED_BY(lock); /* the last to sleep first */
    size_t sleepers_n WEFT_GUARDED_BY(lock);
    bool coming WEFT_GUARDED_BY(lock); /* one sleeper has been woken and is not here yet */
    bool closed WEFT_GUARDED_BY(lock);
    size_t fed; /* pushed since the last wake; the pusher's own */
    size_t length_max;
};

void weft__queue_init(struct weft_queue *queue, size_t length_max);
void weft__queue_fini(struct weft_queue *queue);
/* A worker may take the call from here on; wake() sees to it that one does. short_out: whether more
 * calls wait now than workers sleep or are on their way.  Errors: WEFT_EAGAIN full; for a greedy
 * call: three quarters full. */
int weft__queue_push(struct weft_queue *queue, struct weft_call *call, bool *short_out);
/* Wakes a worker for what was pushed, unless one is on its way; that one sees to the next.  Thread:
 * the one that pushes. */
void weft__queue_wake(struct weft_queue *queue);
/* The next call; NULL: closed.  Blocks: until one of the two. */
struct weft_call *weft__queue_pop(struct weft_queue *queue);
/* Takes the call out; false: it is not in there (any more). */
bool weft__queue_remove(struct weft_queue *queue, struct weft_call *call);
/* Takes out the calls whose deadline has passed.  Returns them, a list by `next`. */
struct weft_call *weft__queue_remove_late(struct weft_queue *queue, uint64_t now_ns);
size_t weft__queue_length(struct weft_queue *queue);
/* Ends all pops.  Returns the calls that waited, a list by `next`. */
struct weft_call *weft__queue_close(struct weft_queue *queue);

#endif
