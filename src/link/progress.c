/* The progress thread: drives the lane while nobody else does, and sleeps when there is nothing to
 * do (sleeper.c).
 *
 * Ranks visit the lane and go, many thousand times a second, and must neither wake the thread with
 * each message nor pay for a hand-over with each visit. So the first visit masks the wait fd in the
 * thread's epoll set, and the thread steps back: it looks after WATCH_NS whether there were visits,
 * and takes the lane back when there were none and no guest sleeps on it (guest.c). While a guest
 * sleeps for longer, the thread sleeps without limit and is woken when the guest goes. Nobody
 * drives for up to two WATCH_NS after the last visit; weft__lane_leave() ends that at once.
 *
 * Who visits often puts the look off: a thread that woke on the core of a rank each millisecond
 * took 2 % from messages of 8 bytes.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "link/impl.h"
#include "weft/error.h"

#define SPINS 40u
#define SPINS_PINNED 4000u
#define WATCH_NS 1000000u
#define PUT_OFF 64u /* visits between two looks at the clock */
#define WATCHES 5u  /* of a sleeping guest, before the thread sleeps too */

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

/* ---- visits ---- */

/* Makes the thread's epoll set watch the wait fd, or not. */
static void watch(struct weft_lane *lane, bool on)
{
    pthread_mutex_lock(&lane->watch_lock);
    if (atomic_load(&lane->watching) != on) {
        atomic_store(&lane->watching, on);
        struct epoll_event event = {.events = on ? EPOLLIN : 0, .data.fd = lane->wait_fd};
        int rc = lane->wait_fd < 0
                     ? 0
                     : epoll_ctl(lane->host.epoll_fd, EPOLL_CTL_MOD, lane->wait_fd, &event);
        weft__check(rc == 0);
    }
    pthread_mutex_unlock(&lane->watch_lock);
}

static void put_off(struct weft_lane *lane)
{
    uint64_t now_ns = weft__now_ns(), before_ns = atomic_load(&lane->put_off_ns);
    if (atomic_load(&lane->parked)) /* there is no look */
        return;
    if (now_ns - before_ns > WATCH_NS / 2 &&
        atomic_compare_exchange_strong(&lane->put_off_ns, &before_ns, now_ns))
        weft__sleeper_set_timer(&lane->host, WATCH_NS);
}

void weft__lane_visit(struct weft_lane *lane)
{
    if (!lane->thread_runs)
        return;
    /* What is lost between two threads at once was not needed. */
    uint64_t visits = atomic_load_explicit(&lane->visits, memory_order_relaxed) + 1;
    atomic_store_explicit(&lane->visits, visits, memory_order_relaxed);
    if (atomic_load_explicit(&lane->watching, memory_order_relaxed)) {
        watch(lane, false);
        /* It sleeps as one who watches: it has to sleep for WATCH_NS instead. */
        if (atomic_exchange(&lane->host.asleep, false))
            weft__wakefd_set(&lane->host.wake);
    } else if (visits % PUT_OFF == 0) {
        put_off(lane);
    }
}

void weft__lane_leave(struct weft_lane *lane)
{
    if (!lane->thread_runs || atomic_load(&lane->watching))
        return;
    atomic_store(&lane->left, true);
    weft__wakefd_set(&lane->host.wake);
}

void weft__lane_polling(struct weft_lane *lane, bool polling)
{
    if (polling) {
        atomic_fetch_add(&lane->polling, 1);
        weft__lane_visit(lane);
        return;
    }
    unsigned before = atomic_fetch_sub(&lane->polling, 1);
    weft__check(before > 0);
    if (before == 1)
        weft__lane_leave(lane);
}

static bool occupied(struct weft_lane *lane)
{
    return atomic_load(&lane->guest_word) || atomic_load(&lane->polling);
}

/* ---- the thread ---- */

/* Drives until there is nothing to do, with the lane held; how long to sleep. */
static int work(struct weft_lane *lane)
{
    unsigned quiet = 0;
    do {
        quiet = weft__lane_round(lane) ? 0 : quiet + 1;
    } while (quiet < lane->spins && atomic_load(&lane->watching) &&
             !atomic_load_explicit(&lane->stop, memory_order_relaxed));
    atomic_store(&lane->host.asleep, true);
    int ms = weft__sleeper_nap_ms(lane);
    if (ms == 0)
        atomic_store(&lane->host.asleep, false);
    return ms;
}

static void drive_and_sleep(struct weft_lane *lane)
{
    int ms;
    weft__counter_add(&lane->wakeups, 1);
    if (!weft__sleeper_turn(lane, &lane->host)) {
        weft__sleeper_await(&lane->host, -1);
        return;
    }
    ms = work(lane);
    if (ms != 0)
        weft__lane_release_armed(lane);
    else
        weft__lane_release(lane);
    if (ms != 0 && atomic_load(&lane->watching))
        weft__sleeper_sleep(&lane->host, ms);
    atomic_store(&lane->host.asleep, false);
}

/* Looks after WATCH_NS whether there were visits. A guest who goes while parked is set wakes us. */
static void stand_back(struct weft_lane *lane, unsigned *quiet)
{
    uint64_t visits = atomic_load(&lane->visits);
    if (*quiet >= WATCHES)
        atomic_store(&lane->parked, true);
    bool parks = *quiet >= WATCHES && occupied(lane);
    weft__sleeper_set_timer(&lane->host, parks ? 0 : WATCH_NS);
    weft__sleeper_sleep(&lane->host, -1);
    atomic_store(&lane->parked, false);
    bool left = atomic_exchange(&lane->left, false);
    bool quiet_now = left || (visits == atomic_load(&lane->visits) &&
                              !atomic_load(&lane->held)); /* a long one */
    *quiet = quiet_now ? *quiet + 1 : 0;
    if (!quiet_now || occupied(lane))
        return;
    *quiet = 0;
    weft__sleeper_set_timer(&lane->host, 0);
    watch(lane, true);
}

static void *run(void *arg)
{
    struct weft_lane *lane = arg;
    unsigned quiet = 0;
    pthread_setname_np(pthread_self(), "weft lane"); /* else it has the name of who opened it */
    while (!atomic_load(&lane->stop)) {
        if (atomic_load(&lane->watching))
            drive_and_sleep(lane);
        else
            stand_back(lane, &quiet);
    }
    return NULL;
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
    lane->wait_fd = lane->tp->core->wait_fd(lane->ep);
    atomic_init(&lane->watching, true);
    int err = weft__sleeper_open(lane, &lane->guest);
    if (err != WEFT_OK || lane->mode == LANE_BY_WORKERS)
        return err;
    err = weft__sleeper_open(lane, &lane->host);
    if (err == WEFT_OK)
        err = weft__sleeper_open_timer(&lane->host);
    if (err == WEFT_OK)
        err = thread_start(lane);
    if (err != WEFT_OK) {
        weft__sleeper_close(&lane->host);
        weft__sleeper_close(&lane->guest);
    }
    return err;
}

void weft__lane_progress_stop(struct weft_lane *lane)
{
    if (lane->thread_runs) {
        atomic_store(&lane->stop, true);
        weft__wakefd_set(&lane->host.wake);
        pthread_join(lane->thread, NULL);
        lane->thread_runs = false;
    }
    weft__sleeper_close(&lane->host);
    weft__sleeper_close(&lane->guest);
}
