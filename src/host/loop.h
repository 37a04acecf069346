/* The owner thread of a process: everything that a weftd or a weft-app decides, it decides here,
 * one thing at a time.
 *
 * Other threads post tasks; file descriptors and timers call back. No function of this file blocks
 * but weft__loop_run. Thread: the owner, but for weft__loop_post and weft__loop_stop (any).
 */
#ifndef WEFT_HOST_LOOP_H
#define WEFT_HOST_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct weft_loop;

/* The object that a task, timer or watch lies in. */
#define weft__loop_owner(pointer, type, member)                                                    \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

struct weft_task {
    void (*run)(struct weft_task *task); /* may free the task */
};

struct weft_timer {
    void (*fire)(struct weft_timer *timer);
    uint64_t at_ns;
    struct weft_timer *prev, *next;
    bool armed;
};

struct weft_watch {
    void (*ready)(struct weft_watch *watch, uint32_t events);
    int fd;
};

int weft__loop_open(struct weft_loop **loop_out);
void weft__loop_close(struct weft_loop *loop); /* tasks still queued are not run; NULL is fine */
/* Runs until weft__loop_stop. */
void weft__loop_run(struct weft_loop *loop);
void weft__loop_stop(struct weft_loop *loop);
/* Runs the tasks that are queued, after the loop has ended: what they own must not leak. */
void weft__loop_drain(struct weft_loop *loop);

/* Runs the task on the owner thread, in order of posting.  Thread: any.  Errors: WEFT_EAGAIN full.
 */
int weft__loop_post(struct weft_loop *loop, struct weft_task *task);
/* The same for news that nobody can be refused, such as the answer to a question: the queue holds
 * more than all that can be under way, so a full one means that this process is broken: it aborts.
 */
void weft__loop_must_post(struct weft_loop *loop, struct weft_task *task);
/* Whether the queue has room to spare: new work is refused first, so that answers to old work
 * always fit. */
bool weft__loop_busy(struct weft_loop *loop);

/* Sets (or moves) a timer that fires once. A zeroed timer with fire set is ready. */
void weft__loop_timer(struct weft_loop *loop, struct weft_timer *timer, uint64_t at_ns);
void weft__loop_timer_off(struct weft_loop *loop, struct weft_timer *timer);

/* Calls ready() while fd has any of the epoll events. */
int weft__loop_watch(struct weft_loop *loop, struct weft_watch *watch, uint32_t events);
void weft__loop_unwatch(struct weft_loop *loop, struct weft_watch *watch);

#endif
