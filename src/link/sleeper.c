/* Sleeping on a lane: in epoll_wait on the transport's wait fd, a wake-up of one's own and, for the
 * progress thread, a timer.
 *
 * There are two sleepers, the progress thread (host) and one thread that waits (guest). That
 * nothing is missed rests on three facts, which hold for both.
 * 1. Before it sleeps it sets asleep, then arms the wait fd and looks at the queues, all with the
 * lane held. What happens in the network from then on makes the fd readable.
 * 2. Any other thread that drove the lane arms it again before it lets go, while asleep is set,
 * because its calls may have used up the fd's readiness (settle()). If arming says that there is
 * work, or operations wait to be handed over, or callbacks wait to be run, it wakes the sleeper. So
 * whenever the lane is free and somebody is asleep, the fd is armed.
 * 3. When the lane is taken as a sleeper wants to drive, it sets wants_turn and sleeps on its own
 * wake-up only, because the wait fd may stay readable for as long as another drives: the holder
 * looks at wants_turn after letting go (weft__lane_turn()). Operations that the transport refused
 * for now (a full queue, a connection being made) have no fd of their own: while there are some,
 * the sleep is cut to a millisecond.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/check.h"
#include "link/impl.h"
#include "weft/error.h"

#define RETRY_MS 1

static int epoll_open(struct weft_lane *lane, struct weft__sleeper *sleeper)
{
    sleeper->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (sleeper->epoll_fd < 0)
        return weft_fail(-errno,
                         "cannot open an epoll set: %s; raise the limit of open files (ulimit -n)",
                         strerrordesc_np(errno));
    struct epoll_event event = {.events = EPOLLIN, .data.fd = sleeper->wake.fd};
    int rc = epoll_ctl(sleeper->epoll_fd, EPOLL_CTL_ADD, sleeper->wake.fd, &event);
    event.data.fd = lane->wait_fd;
    if (rc == 0 && lane->wait_fd >= 0)
        rc = epoll_ctl(sleeper->epoll_fd, EPOLL_CTL_ADD, lane->wait_fd, &event);
    if (rc == 0)
        return WEFT_OK;
    int err = weft_fail(-errno, "cannot wait for %s's descriptor: %s", lane->name,
                        strerrordesc_np(errno));
    close(sleeper->epoll_fd);
    return err;
}

int weft__sleeper_open(struct weft_lane *lane, struct weft__sleeper *sleeper)
{
    sleeper->timer_fd = -1;
    int err = weft__wakefd_open(&sleeper->wake);
    if (err != WEFT_OK)
        return err;
    err = epoll_open(lane, sleeper);
    if (err != WEFT_OK)
        weft__wakefd_close(&sleeper->wake);
    sleeper->is_open = err == WEFT_OK;
    return err;
}

int weft__sleeper_open_timer(struct weft__sleeper *sleeper)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (fd >= 0 && epoll_ctl(sleeper->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0) {
        sleeper->timer_fd = fd;
        return WEFT_OK;
    }
    int err = weft_fail(-errno,
                        "cannot open a timer: %s; raise the limit of open files (ulimit -n, or "
                        "fs.epoll.max_user_watches)",
                        strerrordesc_np(errno));
    if (fd >= 0)
        close(fd);
    return err;
}

void weft__sleeper_set_timer(struct weft__sleeper *sleeper, uint64_t after_ns)
{
    const struct itimerspec time = {.it_value = {.tv_sec = (time_t)(after_ns / 1000000000u),
                                                 .tv_nsec = (long)(after_ns % 1000000000u)}};
    weft__check(timerfd_settime(sleeper->timer_fd, 0, &time, NULL) == 0);
}

void weft__sleeper_close(struct weft__sleeper *sleeper)
{
    if (!sleeper->is_open)
        return;
    if (sleeper->timer_fd >= 0)
        close(sleeper->timer_fd);
    close(sleeper->epoll_fd);
    weft__wakefd_close(&sleeper->wake);
    sleeper->is_open = false;
}

/* The word comes before the second try: either that succeeds, or the holder sees the word after it
 * has let go. */
bool weft__sleeper_turn(struct weft_lane *lane, struct weft__sleeper *sleeper)
{
    if (weft__lane_hold(lane))
        return true;
    atomic_store(&sleeper->wants_turn, true);
    if (!weft__lane_hold(lane))
        return false;
    atomic_store(&sleeper->wants_turn, false);
    return true;
}

void weft__sleeper_await(struct weft__sleeper *sleeper, int ms)
{
    struct pollfd wake = {.fd = sleeper->wake.fd, .events = POLLIN};
    int n = poll(&wake, 1, ms);
    weft__check(n >= 0 || errno == EINTR);
    atomic_store(&sleeper->wants_turn, false);
    if (n > 0)
        weft__wakefd_drain(&sleeper->wake);
}

int weft__sleeper_nap_ms(struct weft_lane *lane)
{
    weft__check(weft__lane_mine(lane));
    if (lane->tp->core->wait_arm(lane->ep) != WEFT_OK)
        return 0;
    return lane->wait_fd < 0 || !weft__lane_idle(lane) ? RETRY_MS : -1;
}

void weft__sleeper_sleep(struct weft__sleeper *sleeper, int ms)
{
    struct epoll_event events[3];
    int n = epoll_wait(sleeper->epoll_fd, events, 3, ms);
    weft__check(n >= 0 || errno == EINTR);
    atomic_store(&sleeper->asleep, false);
    for (int i = 0; i < n; i++)
        if (events[i].data.fd == sleeper->wake.fd)
            weft__wakefd_drain(&sleeper->wake);
        else if (events[i].data.fd == sleeper->timer_fd)
            weft__sleeper_set_timer(sleeper, 0);
}

/* Who sleeps and has to be woken for what is left; NULL: nobody, somebody drives or will look. */
static struct weft__sleeper *asleep(struct weft_lane *lane)
{
    if (atomic_load(&lane->guest.asleep))
        return &lane->guest;
    return atomic_load(&lane->host.asleep) ? &lane->host : NULL;
}

void weft__lane_settle(struct weft_lane *lane)
{
    struct weft__sleeper *sleeper = asleep(lane);
    if (!sleeper)
        return;
    if (!weft__lane_idle(lane) || lane->tp->core->wait_arm(lane->ep) != WEFT_OK)
        weft__wakefd_set(&sleeper->wake);
}

static void give_turn(struct weft__sleeper *sleeper)
{
    if (atomic_load(&sleeper->wants_turn) && atomic_exchange(&sleeper->wants_turn, false))
        weft__wakefd_set(&sleeper->wake);
}

void weft__lane_turn(struct weft_lane *lane)
{
    give_turn(&lane->guest);
    give_turn(&lane->host);
}
