/* The calls from outside that wait for one rank, and those that it has taken: two lists and the
 * arithmetic of bounds, deadlines and hints. Pure: no lock, no clock, nothing is answered here. */
#ifndef WEFT_EXEC_CALLBOX_H
#define WEFT_EXEC_CALLBOX_H

#include <stdint.h>

#include "exec/exec.h"

#define WEFT__CALLS_TAKEN_MAX 256u
#define WEFT__CALLS_BYTES_MAX (64u << 20) /* of bodies that wait */

/* A zeroed box is an empty one. Lists that are cut off are linked by next. */
struct weft__callbox {
    struct weft_exec_call *waiting, *taken;
    uint32_t waiting_n, taken_n;
    uint64_t waiting_bytes;
    uint64_t ids;
    uint64_t each_ns; /* what a call takes the rank, on average of late */
};

/* Queues a call.  Errors: WEFT_EAGAIN there are max already; the hint is in weft_fail_retry_ms().
 */
int weft__callbox_put(struct weft__callbox *box, struct weft_exec_call *call, uint32_t max);
/* Cuts off what waits and has missed its deadline. */
struct weft_exec_call *weft__callbox_late(struct weft__callbox *box, uint64_t now_ns);
/* The oldest call that waits, as taken now.  NULL: none.  WEFT__CALLS_TAKEN_MAX is the caller's to
 * look at. */
struct weft_exec_call *weft__callbox_take(struct weft__callbox *box, uint64_t now_ns);
/* A taken call.  NULL: none has this id. */
struct weft_exec_call *weft__callbox_find(const struct weft__callbox *box, uint64_t id);
/* Takes a taken call out: it is answered now. */
void weft__callbox_answered(struct weft__callbox *box, struct weft_exec_call *call,
                            uint64_t now_ns);
/* Marks a taken call as cancelled, or cuts off the one that waits and has this key. NULL: none
 * waits. */
struct weft_exec_call *weft__callbox_cancel(struct weft__callbox *box, const void *key);
/* Cuts off all that wait. */
struct weft_exec_call *weft__callbox_empty(struct weft__callbox *box);
/* Cuts off all that were taken. */
struct weft_exec_call *weft__callbox_empty_taken(struct weft__callbox *box);

#endif
