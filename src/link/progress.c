/* The progress thread: drives the lane while no rank does, and sleeps when there is nothing to do.
 *
 * It sleeps in epoll_wait on the transport's wait fd and its own wake-up. That nothing is missed
 * rests on three facts.
 * 1. Before it sleeps it sets asleep, then arms the wait fd and looks at the queues, all with the
 * lane held. What happens in the network from then on makes the fd readable.
 * 2. Any other thread that drove the lane arms it again before it lets go, while asleep is set,
 * because its calls may have used up the fd's readiness (settle()). If arming says that there is
 * work, or operations wait to be handed over, or callbacks wait to be run, it wakes the thread. So
 * whenever the lane is free and the thread asleep, the fd is armed.
 * 3. When the lane is taken as the thread wants to drive, it sets wants_turn and sleeps on its own
 * wake-up only, because the wait fd may stay readable for as long as another drives: the holder
 * looks at wants_turn after letting go (weft__lane_turn()). Operations that the transport refused
 * for now (a full queue, a connection being made) have no fd of their own: while there are some,
 * the sleep is cut to a millisecond.
 *
 * While a rank polls by itself the wait fd is masked in the epoll set, so that the two do not wake
 * each other for nothing; masking is one system call and no hand-over. When the last one stops
 * polling it unmasks, and settles as in 2.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "link/impl.h"
#include "weft/error.h"

#define SPINS 40u
#define SPINS_PINNED 4000u
#define RETRY_MS 1

int weft__lane_progress_parse(struct weft_lane *lane, const char *text)
{
    lane->core = -1;
    lane->mode = LANE_BY_THREAD;
    lane->spins = SPINS;
    if (strcmp(text, "thread") == 0)
        return WEFT_OK;
    if (strcmp(text, "worker") == 0) {
        lane->mode = LANE_BY_WORKERS;
        return WEFT_OK;
    }
    char *end = NULL;
    long core = strncmp(text, "core:", 5) == 0 ? strtol(text + 5, &end, 10) : -1;
    if (core < 0 || core >= CPU_SETSIZE || end == text + 5 || *end)
        return weft_fail(WEFT_EINVAL, "WEFT_PROGRESS=%s: must be worker, thread or core:N", text);
    lane->core = (int)core;
    lane->spins = SPINS_PINNED;
    return WEFT_OK;
}

void weft__lane_settle(struct weft_lane *lane)
{
    if (!lane->thread_runs || !atomic_load(&lane->asleep) || atomic_load(&lane->polling))
        return;
    if (!weft__lane_idle(lane) || lane->tp->core->wait_arm(lane->ep) != WEFT_OK)
        weft__wakefd_set(&lane->wake);
}

void weft__lane_turn(struct weft_lane *lane)
{
    if (atomic_load(&lane->wants_turn) && !atomic_load(&lane->polling) &&
        atomic_exchange(&lane->wants_turn, false))
        weft__wakefd_set(&lane->wake);
}

/* Makes the epoll set watch the wait fd, or not. */
static void watch(struct weft_lane *lane, bool on)
{
    if (lane->wait_fd < 0)
        return;
    struct epoll_event event = {.events = on ? EPOLLIN : 0, .data.fd = lane->wait_fd};
    int rc = epoll_ctl(lane->epoll_fd, EPOLL_CTL_MOD, lane->wait_fd, &event);
    weft__check(rc == 0);
}

void weft__lane_polling(struct weft_lane *lane, bool polling)
{
    if (!lane->thread_runs)
        return;
    pthread_mutex_lock(&lane->polling_lock);
    bool last = false;
    if (polling) {
        if (atomic_fetch_add(&lane->polling, 1) == 0)
            watch(lane, false);
    } else {
        unsigned before = atomic_fetch_sub(&lane->polling, 1);
        weft__check(before > 0);
        last = before == 1;
        if (last)
            watch(lane, true);
    }
    pthread_mutex_unlock(&lane->polling_lock);
    if (last)
        weft__lane_submit(lane); /* settles */
}

/* With the lane held: how long to sleep; 0: not at all. */
static int nap_ms(struct weft_lane *lane)
{
    if (atomic_load(&lane->polling))
        return -1;
    if (!weft__lane_idle(lane))
        return RETRY_MS;
    if (lane->tp->core->wait_arm(lane->ep) != WEFT_OK)
        return 0;
    return lane->wait_fd < 0 ? RETRY_MS : -1;
}

static void sleep_ms(struct weft_lane *lane, int ms)
{
    struct epoll_event events[2];
    int n = epoll_wait(lane->epoll_fd, events, 2, ms);
    weft__check(n >= 0 || errno == EINTR);
    atomic_store(&lane->asleep, false);
    weft__wakefd_drain(&lane->wake);
    weft__counter_add(&lane->wakeups, 1);
}

/* Drives until there is nothing to do, with the lane held; how long to sleep. */
static int work(struct weft_lane *lane)
{
    unsigned quiet = 0;
    do {
        quiet = weft__lane_round(lane) ? 0 : quiet + 1;
    } while (quiet < lane->spins && !atomic_load(&lane->polling) &&
             !atomic_load_explicit(&lane->stop, memory_order_relaxed));
    atomic_store(&lane->asleep, true);
    int ms = nap_ms(lane);
    if (ms == 0)
        atomic_store(&lane->asleep, false);
    return ms;
}

/* Another thread drives: sleeps until it lets go, or rests from polling. */
static void await_turn(struct weft_lane *lane)
{
    struct pollfd wake = {.fd = lane->wake.fd, .events = POLLIN};
    int n = poll(&wake, 1, -1);
    weft__check(n >= 0 || errno == EINTR);
    weft__wakefd_drain(&lane->wake);
    weft__counter_add(&lane->wakeups, 1);
}

/* Takes the lane, or leaves word for who has it. The word comes before the second try: either that
 * succeeds, or the holder sees the word after it has let go. */
static bool take_turn(struct weft_lane *lane)
{
    if (weft__lane_hold(lane))
        return true;
    atomic_store(&lane->wants_turn, true);
    if (!weft__lane_hold(lane))
        return false;
    atomic_store(&lane->wants_turn, false);
    return true;
}

static void *run(void *arg)
{
    struct weft_lane *lane = arg;
    while (!atomic_load(&lane->stop)) {
        if (!take_turn(lane)) {
            await_turn(lane);
            continue;
        }
        int ms = work(lane);
        weft__lane_release(lane);
        if (ms != 0)
            sleep_ms(lane, ms);
    }
    return NULL;
}

static int epoll_open(struct weft_lane *lane)
{
    lane->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (lane->epoll_fd < 0)
        return weft_fail(-errno,
                         "cannot open an epoll set: %s; raise the limit of open files (ulimit -n)",
                         strerrordesc_np(errno));
    struct epoll_event event = {.events = EPOLLIN, .data.fd = lane->wake.fd};
    int rc = epoll_ctl(lane->epoll_fd, EPOLL_CTL_ADD, lane->wake.fd, &event);
    lane->wait_fd = lane->tp->core->wait_fd(lane->ep);
    event.data.fd = lane->wait_fd;
    if (rc == 0 && lane->wait_fd >= 0)
        rc = epoll_ctl(lane->epoll_fd, EPOLL_CTL_ADD, lane->wait_fd, &event);
    if (rc == 0)
        return WEFT_OK;
    int err = weft_fail(-errno, "cannot wait for %s's descriptor: %s", lane->name,
                        strerrordesc_np(errno));
    close(lane->epoll_fd);
    return err;
}

static int thread_start(struct weft_lane *lane)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    int rc = 0;
    if (lane->core >= 0) {
        cpu_set_t cpus;
        CPU_ZERO(&cpus);
        CPU_SET((size_t)lane->core, &cpus);
        rc = pthread_attr_setaffinity_np(&attr, sizeof(cpus), &cpus);
    }
    lane->thread_runs = true; /* before there are two threads */
    if (rc == 0)
        rc = pthread_create(&lane->thread, &attr, run, lane);
    pthread_attr_destroy(&attr);
    if (rc == 0)
        return WEFT_OK;
    lane->thread_runs = false;
    if (lane->core >= 0)
        return weft_fail(-rc,
                         "cannot start a progress thread on core %d: %s; choose another core in "
                         "WEFT_PROGRESS",
                         lane->core, strerrordesc_np(rc));
    return weft_fail(-rc, "cannot start a progress thread: %s", strerrordesc_np(rc));
}

int weft__lane_progress_start(struct weft_lane *lane)
{
    if (lane->mode == LANE_BY_WORKERS)
        return WEFT_OK;
    int err = weft__wakefd_open(&lane->wake);
    if (err != WEFT_OK)
        return err;
    err = epoll_open(lane);
    if (err == WEFT_OK) {
        err = thread_start(lane);
        if (err != WEFT_OK)
            close(lane->epoll_fd);
    }
    if (err != WEFT_OK)
        weft__wakefd_close(&lane->wake);
    return err;
}

void weft__lane_progress_stop(struct weft_lane *lane)
{
    if (!lane->thread_runs)
        return;
    atomic_store(&lane->stop, true);
    weft__wakefd_set(&lane->wake);
    pthread_join(lane->thread, NULL);
    lane->thread_runs = false;
    close(lane->epoll_fd);
    weft__wakefd_close(&lane->wake);
}
