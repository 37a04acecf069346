/* The peers of a lane.
 *
 * A lane's peer is an address and lasts as long as the lane, unless its owner says that it has no
 * use for it any more; then it stays as long as there is room. What the transport calls a peer is
 * one connection's worth of it: attached on first use, detached when the connection breaks or the
 * owner drops the peer, attached anew on the next use. So the ids that the layers above hold stay
 * good, and healing is the same path as the first connection.
 *
 * Losing a peer is noted at once (nothing more is handed to it) and carried out after the
 * transport's progress() has returned: a transport is not asked to forget a peer from inside its
 * own callback.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/events.h"
#include "base/log.h"
#include "link/address.h"
#include "link/impl.h"
#include "weft/error.h"

struct weft__lane_to *weft__lane_to_get(struct weft_lane *lane, struct weft_lane_peer peer)
{
    if (peer.id >= LANE_PEERS_MAX)
        return NULL;
    return atomic_load_explicit(&lane->peers[peer.id], memory_order_acquire);
}

static int add(struct weft_lane *lane, const char *address, const struct weft_tp_addr *tp_addr,
               struct weft_lane_peer *peer_out)
{
    uint32_t id = atomic_load_explicit(&lane->peers_n, memory_order_relaxed);
    if (id == LANE_PEERS_MAX)
        return weft_fail(WEFT_ENOSPC, "a lane has at most %u peers in use", LANE_PEERS_MAX);
    struct weft__lane_to *to = calloc(1, sizeof(*to));
    if (!to)
        return weft_fail(WEFT_ENOMEM, "no memory for peer %u", id);
    to->id = id;
    snprintf(to->address, sizeof(to->address), "%s", address);
    to->tp_addr = *tp_addr;
    to->drop.kind = LANE_DROP;
    to->drop.to = to;
    to->doubt.kind = LANE_DOUBT;
    to->doubt.to = to;
    HASH_ADD_STR(lane->by_address, address, to);
    atomic_store_explicit(&lane->peers[id], to, memory_order_release);
    atomic_store_explicit(&lane->peers_n, id + 1, memory_order_relaxed);
    peer_out->id = id;
    return WEFT_OK;
}

/* An entry that nobody uses, made as new.  NULL: there is none. The caller holds the lane, outside
 * of the transport's callbacks, and the lock. */
static struct weft__lane_to *recycle(struct weft_lane *lane)
{
    for (uint32_t id = 0; id < LANE_PEERS_MAX; id++) {
        struct weft__lane_to *to = atomic_load_explicit(&lane->peers[id], memory_order_relaxed);
        if (to->uses > 0 || to->pending || to->lost || to->first || atomic_load(&to->drop_wanted) ||
            atomic_load(&to->doubted) || atomic_load(&to->buffers) > 0)
            continue;
        weft__lane_detach(lane, to);
        HASH_DEL(lane->by_address, to);
        return to;
    }
    return NULL;
}

static int find_or_add(struct weft_lane *lane, const char *address,
                       const struct weft_tp_addr *tp_addr, bool may_recycle,
                       struct weft_lane_peer *peer_out)
{
    struct weft__lane_to *to;
    int err = WEFT_OK;
    pthread_mutex_lock(&lane->peers_lock);
    HASH_FIND_STR(lane->by_address, address, to);
    if (to) {
        peer_out->id = to->id;
    } else if (may_recycle && (to = recycle(lane))) {
        snprintf(to->address, sizeof(to->address), "%s", address);
        to->tp_addr = *tp_addr;
        HASH_ADD_STR(lane->by_address, address, to);
        peer_out->id = to->id;
    } else {
        err = add(lane, address, tp_addr, peer_out);
    }
    if (err == WEFT_OK)
        weft__lane_to_get(lane, *peer_out)->uses++;
    pthread_mutex_unlock(&lane->peers_lock);
    return err;
}

/* Where it leads, and the one spelling of it. */
static int read_address(const struct weft_lane *lane, const char *address,
                        struct weft_tp_addr *addr_out, char text_out[WEFT_LANE_ADDRESS_MAX])
{
    struct weft__address theirs;
    struct weft__address_routes routes;
    int err = weft__address_parse(address, &theirs);
    if (err == WEFT_OK)
        err = weft__address_pair(&lane->own, &theirs, &routes);
    if (err == WEFT_OK && lane->paths)
        err = weft__address_pack(&routes, addr_out);
    else if (err == WEFT_OK)
        *addr_out = routes.route[0].addr;
    return err == WEFT_OK ? weft__address_format(&theirs, text_out) : err;
}

int weft__lane_peer(struct weft_lane *lane, const char *address, struct weft_lane_peer *peer_out)
{
    struct weft_tp_addr tp_addr;
    char text[WEFT_LANE_ADDRESS_MAX];
    int err = read_address(lane, address, &tp_addr, text);
    if (err != WEFT_OK)
        return err;
    err = find_or_add(lane, text, &tp_addr, false, peer_out);
    if (err != WEFT_ENOSPC || weft__lane_mine(lane))
        return err;
    weft__lane_seize(lane); /* before the lock: callbacks hold the lane and take the lock */
    err = find_or_add(lane, text, &tp_addr, true, peer_out);
    weft__lane_release(lane);
    return err;
}

void weft__lane_peer_put(struct weft_lane *lane, struct weft_lane_peer peer)
{
    struct weft__lane_to *to = weft__lane_to_get(lane, peer);
    weft__check(to);
    pthread_mutex_lock(&lane->peers_lock);
    weft__check(to->uses > 0);
    to->uses--;
    pthread_mutex_unlock(&lane->peers_lock);
}

void weft__lane_drop(struct weft_lane *lane, struct weft_lane_peer peer)
{
    struct weft__lane_to *to = weft__lane_to_get(lane, peer);
    if (!to || atomic_exchange(&to->drop_wanted, true))
        return;
    weft__lane_submit_item(lane, &to->drop);
}

int weft__lane_attach(struct weft_lane *lane, struct weft__lane_to *to)
{
    weft__check(weft__lane_mine(lane));
    if (to->attached)
        return WEFT_OK;
    int err = lane->tp->core->peer_add(lane->ep, &to->tp_addr, &to->tp);
    to->attached = err == WEFT_OK;
    if (lane->paths)
        to->trusted_ns = weft__now_ns();
    return err;
}

void weft__lane_detach(struct weft_lane *lane, struct weft__lane_to *to)
{
    if (!to->attached)
        return;
    to->attached = false;
    to->asked_ns = 0;
    lane->tp->core->peer_drop(lane->ep, to->tp);
}

void weft__lane_lose(struct weft_lane *lane, struct weft__lane_to *to, int err)
{
    weft__check(weft__lane_mine(lane));
    if (to->lost)
        return;
    to->lost = err;
    to->next_lost = lane->lost_first;
    lane->lost_first = to;
}

/* The part of the address that people read. */
static void note_lost(const struct weft__lane_to *to, int err)
{
    char peer[64];
    snprintf(peer, sizeof(peer), "%.*s", (int)strcspn(to->address, ";"), to->address);
    weft__events_here(&(struct weft_event_note){.kind = WEFT_EVENT_PATH_LOST,
                                                .rank = WEFT_EVENT_NO_RANK,
                                                .text = {peer, weft_error_text(err)}});
}

void weft__lane_tell_lost(struct weft_lane *lane)
{
    struct weft__lane_to *to;
    while ((to = lane->lost_first)) {
        lane->lost_first = to->next_lost;
        int err = to->lost;
        weft__info("lane %s: lost the connection to %s: %s", lane->name, to->address,
                   weft_error_text(err));
        note_lost(to, err);
        if (lane->paths && to->attached)
            weft__paths_leave(lane->ep, to->tp);
        weft__lane_detach(lane, to);
        weft__lane_drop_messages(lane, to);
        weft__lane_fail_gets(lane, to, err);
        to->lost = 0;
        weft__counter_add(&lane->lost, 1);
        if (lane->peer_lost)
            lane->peer_lost(lane->ctx, (struct weft_lane_peer){to->id}, err);
    }
}

/* The transport's word for it. Seldom, so a search over the peers is good enough. */
void weft__lane_tp_lost(void *ctx, struct weft_tp_peer tp)
{
    struct weft_lane *lane = ctx;
    uint32_t n = atomic_load_explicit(&lane->peers_n, memory_order_relaxed);
    for (uint32_t id = 0; id < n; id++) {
        struct weft__lane_to *to = weft__lane_to_get(lane, (struct weft_lane_peer){id});
        if (to && to->attached && to->tp.id == tp.id) {
            weft__lane_lose(lane, to, WEFT_ECONNRESET);
            return;
        }
    }
}

void weft__lane_peers_fini(struct weft_lane *lane)
{
    HASH_CLEAR(hh, lane->by_address);
    for (uint32_t id = 0; id < LANE_PEERS_MAX; id++)
        free(atomic_load_explicit(&lane->peers[id], memory_order_relaxed));
}
