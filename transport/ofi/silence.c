/* Peers that say nothing any more.
 *
 * RDMA connections may not end at all: on a cut wire an operation of verbs had no completion after
 * a minute. The kernel ends a TCP connection that leads nowhere after a quarter of an hour. On the
 * other hand a network card answers by itself, whatever its process does. So once a second, while
 * something is under way to a peer, it is looked whether anything to it has ended since; after
 * OFI_SILENT_TICKS without, the peer is lost and its one-sided operations end with
 * WEFT_EHOSTUNREACH. Where the peer's process has to answer, which may compute meanwhile, only
 * one-sided operations count, and it has OFI_SILENT_TICKS_POLLED: messages may wait in the kernel.
 * Counting ticks costs an operation nothing but an increment, and a process that has been stopped
 * itself has not counted.
 *
 * Ticks come from the clock while progress() runs, and from a timer in the set of wait descriptors
 * while nobody does. The timer is not stopped when the last operation ends, but by its next tick.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "transport/ofi/impl.h"
#include "weft/error.h"

#define ROUNDS 1024u /* of progress between two looks at the clock */

int weft__ofi_silence_open(struct ofi_ep *ep)
{
    ep->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = ep->timer_fd};
    if (ep->timer_fd < 0 || epoll_ctl(ep->epoll_fd, EPOLL_CTL_ADD, ep->timer_fd, &event) != 0)
        return weft_fail(-errno, "cannot open a timer: %s", strerrordesc_np(errno));
    return WEFT_OK;
}

void weft__ofi_silence_close(struct ofi_ep *ep)
{
    if (ep->timer_fd >= 0)
        close(ep->timer_fd);
    ep->timer_fd = -1;
}

static bool under_way(const struct ofi_ep *ep)
{
    return ep->rmas || (ep->card && ep->sends_n);
}

static void set_timer(struct ofi_ep *ep, bool runs)
{
    struct itimerspec every = {0};
    if (runs)
        every.it_value.tv_sec = every.it_interval.tv_sec = OFI_TICK_NS / WEFT_NS_PER_S;
    timerfd_settime(ep->timer_fd, 0, &every, NULL);
    ep->timer_runs = runs;
}

static void listen_to(struct ofi_ep *ep, struct ofi_peer *peer)
{
    unsigned limit = ep->card ? OFI_SILENT_TICKS : OFI_SILENT_TICKS_POLLED;
    unsigned counted = peer->rmas + (ep->card ? peer->sends : 0);
    if (peer->lost || counted == 0 || peer->ended != peer->ended_seen) {
        peer->ended_seen = peer->ended;
        peer->silent = 0;
        return;
    }
    if (++peer->silent < limit)
        return;
    weft__info("ofi: nothing to a peer has ended for %u s", peer->silent);
    weft__ofi_peer_lost(ep, peer);
    if (peer->rmas)
        weft__ofi_rma_abandon(ep, peer, WEFT_EHOSTUNREACH);
}

static void tick(struct ofi_ep *ep)
{
    uint64_t now = weft__now_ns();
    if (!under_way(ep)) {
        ep->tick_ns = 0;
        return;
    }
    if (ep->tick_ns && now - ep->tick_ns < OFI_TICK_NS / 10 * 9)
        return;
    ep->tick_ns = now;
    uint32_t cursor = 0, id;
    struct ofi_peer *peer;
    while ((peer = weft__slots_next(&ep->peers, &cursor, &id)))
        listen_to(ep, peer);
}

void weft__ofi_silence_look(struct ofi_ep *ep)
{
    if (++ep->rounds < ROUNDS)
        return;
    ep->rounds = 0;
    tick(ep);
}

void weft__ofi_silence_arm(struct ofi_ep *ep)
{
    uint64_t expired;
    bool fired = ep->timer_runs && read(ep->timer_fd, &expired, sizeof(expired)) == sizeof(expired);
    if (fired)
        tick(ep);
    if (under_way(ep) ? !ep->timer_runs : fired)
        set_timer(ep, !ep->timer_runs);
}
