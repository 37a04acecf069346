/* Waking ranks whose descriptors have become ready: one thread per process for all of them.
 *
 * A rank that waits for descriptors gathers them in a set of its own, which the kernel watches; the
 * thread sleeps on all sets, and calls back once for each that has something. Readiness that was
 * there before the set was armed counts, so nothing is lost between a look and a wait. */
#ifndef WEFT_CELL_WATCH_H
#define WEFT_CELL_WATCH_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

struct weft__watch;

/* One of the descriptors of the rank's set is ready, or was a moment ago.  Thread: the watch's. */
typedef void weft__watch_ready(void *ctx, int32_t rank);

/* The thread is started with the first set.
 * Owns: *watch_out.  Errors: WEFT_ENOMEM; errno's. */
int weft__watch_open(weft__watch_ready *ready, void *ctx, struct weft__watch **watch_out);
/* No set is armed any more. Nothing is called back afterwards. NULL is fine.  Blocks: until a
 * callback is over. */
void weft__watch_close(struct weft__watch *watch);

/* Calls back once, as soon as one of the descriptors is ready as its events say; negative ones are
 * left out.
 * Thread: any.  Owns: *set_out, for disarm.  Errors: errno's: they cannot be watched. */
int weft__watch_arm(struct weft__watch *watch, int32_t rank, const struct pollfd *fds, size_t n,
                    int *set_out);
/* A call back may be under way still. */
void weft__watch_disarm(int set);

#endif
