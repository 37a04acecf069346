/* An epoll loop with a bounded task ring and a sorted timer list.
 *
 * Idea: state that has one owner needs no locks. Handlers, client callbacks and executors hand
 * their news over as tasks. Invariant: a task runs after every task posted before it; a timer never
 * fires before its time and never inside the call that sets it. The ring is larger than everything
 * that can be under way at once (the client's and the server's bounds), so posting an answer fails
 * only when the process is broken. Rejected: one thread per app (locks between apps for slots),
 * libuv (nothing else of it is needed here).
 */
#include "host/loop.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/ring.h"
#include "base/wake.h"
#include "weft/error.h"

enum { TASKS_MAX = 32768, TASKS_BUSY = 16384, TASKS_PER_TURN = 1024 };
#define LATE_NS WEFT_NS_PER_S

struct weft_loop {
    int epoll_fd;
    struct weft_wakefd wake;
    struct weft_watch wake_watch;
    struct weft_mpsc tasks;
    atomic_size_t tasks_n;
    struct weft_timer *timers; /* sorted by at_ns */
    atomic_bool stop;
};

static void wake_ready(struct weft_watch *watch, uint32_t events)
{
    (void)watch;
    (void)events; /* the tasks are run after every batch of events */
}

int weft__loop_watch(struct weft_loop *loop, struct weft_watch *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, watch->fd, &event) != 0)
        return weft_fail(-errno, "cannot watch file descriptor %d", watch->fd);
    return WEFT_OK;
}

void weft__loop_unwatch(struct weft_loop *loop, struct weft_watch *watch)
{
    if (watch->fd >= 0)
        (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
}

static int loop_init(struct weft_loop *loop)
{
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        return weft_fail(-errno, "cannot make an epoll file descriptor");
    int err = weft__wakefd_open(&loop->wake);
    if (err != WEFT_OK)
        return err;
    err = weft__mpsc_init(&loop->tasks, TASKS_MAX);
    if (err != WEFT_OK)
        return err;
    loop->wake_watch = (struct weft_watch){.ready = wake_ready, .fd = loop->wake.fd};
    return weft__loop_watch(loop, &loop->wake_watch, EPOLLIN);
}

int weft__loop_open(struct weft_loop **loop_out)
{
    struct weft_loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL)
        return WEFT_ENOMEM;
    loop->epoll_fd = -1;
    loop->wake.fd = -1;
    int err = loop_init(loop);
    if (err != WEFT_OK) {
        weft__loop_close(loop);
        return err;
    }
    *loop_out = loop;
    return WEFT_OK;
}

void weft__loop_close(struct weft_loop *loop)
{
    if (loop == NULL)
        return;
    weft__mpsc_fini(&loop->tasks);
    weft__wakefd_close(&loop->wake);
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    free(loop);
}

int weft__loop_post(struct weft_loop *loop, struct weft_task *task)
{
    /* Counted first: the owner may have run and uncounted it before this function goes on. */
    atomic_fetch_add_explicit(&loop->tasks_n, 1, memory_order_relaxed);
    if (!weft__mpsc_push(&loop->tasks, task)) {
        atomic_fetch_sub_explicit(&loop->tasks_n, 1, memory_order_relaxed);
        return weft_fail(WEFT_EAGAIN, "the process has %d tasks waiting", TASKS_MAX);
    }
    weft__wakefd_set(&loop->wake);
    return WEFT_OK;
}

void weft__loop_must_post(struct weft_loop *loop, struct weft_task *task)
{
    if (weft__loop_post(loop, task) == WEFT_OK)
        return;
    weft__error("%s; an answer would be lost", weft_fail_text(WEFT_EAGAIN));
    abort();
}

bool weft__loop_busy(struct weft_loop *loop)
{
    return atomic_load_explicit(&loop->tasks_n, memory_order_relaxed) > TASKS_BUSY;
}

void weft__loop_timer_off(struct weft_loop *loop, struct weft_timer *timer)
{
    if (!timer->armed)
        return;
    DL_DELETE(loop->timers, timer);
    timer->armed = false;
}

void weft__loop_timer(struct weft_loop *loop, struct weft_timer *timer, uint64_t at_ns)
{
    weft__loop_timer_off(loop, timer);
    timer->at_ns = at_ns;
    timer->armed = true;
    /* Most timers are set later than all others: look from the end. */
    struct weft_timer *before = loop->timers != NULL ? loop->timers->prev : NULL;
    while (before != NULL && before->at_ns > at_ns)
        before = before != loop->timers ? before->prev : NULL;
    if (before != NULL)
        DL_APPEND_ELEM(loop->timers, before, timer);
    else
        DL_PREPEND(loop->timers, timer);
}

static void run_timers(struct weft_loop *loop)
{
    uint64_t now = weft__now_ns();
    while (loop->timers != NULL && loop->timers->at_ns <= now) {
        struct weft_timer *timer = loop->timers;
        weft__loop_timer_off(loop, timer);
        timer->fire(timer);
    }
}

static bool run_task(struct weft_loop *loop)
{
    struct weft_task *task = weft__mpsc_pop(&loop->tasks);
    if (task == NULL)
        return false;
    atomic_fetch_sub_explicit(&loop->tasks_n, 1, memory_order_relaxed);
    task->run(task);
    return true;
}

/* Not without end: a flood of requests must not keep timers from firing. */
static void run_tasks(struct weft_loop *loop)
{
    weft__wakefd_drain(&loop->wake);
    for (unsigned i = 0; i < TASKS_PER_TURN; i++)
        if (!run_task(loop))
            return;
    weft__wakefd_set(&loop->wake);
}

void weft__loop_drain(struct weft_loop *loop)
{
    while (run_task(loop))
        ;
}

static int wait_ms(const struct weft_loop *loop)
{
    if (loop->timers == NULL)
        return -1;
    uint64_t now = weft__now_ns();
    if (loop->timers->at_ns <= now)
        return 0;
    uint64_t ms = (loop->timers->at_ns - now + WEFT_NS_PER_MS - 1) / WEFT_NS_PER_MS;
    return ms > 60000 ? 60000 : (int)ms;
}

/* Waits for events; returns when it woke up. One that wakes up long after it was to has not been
 * scheduled: that is worth a word, because others take it for dead. */
static uint64_t turn_wait(struct weft_loop *loop)
{
    struct epoll_event event;
    uint64_t due_ns = loop->timers != NULL ? loop->timers->at_ns : WEFT_NEVER;
    int n = epoll_wait(loop->epoll_fd, &event, 1, wait_ms(loop));
    uint64_t now = weft__now_ns();
    assert(n >= 0 || errno == EINTR);
    if (now > due_ns && now - due_ns > LATE_NS)
        weft__warn("woke up %llu ms late: is the machine overloaded?",
                   (unsigned long long)((now - due_ns) / WEFT_NS_PER_MS));
    /* One event at a time: a callback may unwatch and free another watch. */
    if (n > 0) {
        struct weft_watch *watch = event.data.ptr;
        watch->ready(watch, event.events);
    }
    return now;
}

void weft__loop_run(struct weft_loop *loop)
{
    while (!atomic_load(&loop->stop)) {
        uint64_t since = turn_wait(loop);
        run_tasks(loop);
        run_timers(loop);
        uint64_t took_ns = weft__now_ns() - since;
        if (took_ns > LATE_NS)
            weft__warn("was busy for %llu ms", (unsigned long long)(took_ns / WEFT_NS_PER_MS));
    }
}

void weft__loop_stop(struct weft_loop *loop)
{
    atomic_store(&loop->stop, true);
    weft__wakefd_set(&loop->wake);
}
