/* Peers of an ofi endpoint.
 *
 * An address is the provider's name and libfabric's own address. A peer is entered into the address
 * vectors; connections are libfabric's business and made on first use. A peer is lost when an
 * operation to it fails with its connection, or when it takes nothing for a while although nothing
 * is under way to it: rxm and net answer "try again" for as long as a connection cannot be made,
 * also to an address where nobody listens.
 *
 * Each try of theirs is a connect() anew, so the pauses between tries grow with the time that it
 * takes.
 *
 * A lost peer is told once and takes nothing more. libfabric connects anew by itself on the next
 * use of the address, so that dropping and adding the peer again is all the healing there is to do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <rdma/fi_cm.h>
#include <rdma/fi_errno.h>

#include "base/clock.h"
#include "transport/ofi/impl.h"
#include "weft/error.h"

/* The address blob: length of the provider's name, the name, the largest message that it receives
 * (4 bytes, little endian), libfabric's address. Larger ones are not sent: over verbs, rxm of
 * libfabric 1.17 crashes where one does not fit into the posted buffer. */
static int blob_check(const struct ofi_ep *ep, const struct weft_tp_addr *addr, size_t *at_out)
{
    size_t len = addr->len ? addr->bytes[0] : 0;
    if (addr->len < 3 || addr->len > WEFT_TP_ADDR_MAX || 1 + len + OFI_BLOB_MAX >= addr->len)
        return weft_fail(WEFT_EINVAL, "not an ofi address");
    if (len != strlen(ep->provider) ||
        strncasecmp((const char *)addr->bytes + 1, ep->provider, len) != 0)
        return weft_fail(
            WEFT_EINVAL,
            "the peer uses libfabric's %.*s, this process %s; set WEFT_DATA to the same on all "
            "hosts",
            (int)len, (const char *)addr->bytes + 1, ep->provider);
    *at_out = 1 + len;
    return WEFT_OK;
}

int weft__ofi_peer_add(struct weft_tp_ep *tp, const struct weft_tp_addr *addr,
                       struct weft_tp_peer *peer_out)
{
    struct ofi_ep *ep = ofi_ep_of(tp);
    size_t at = 0;
    int err = blob_check(ep, addr, &at);
    if (err != WEFT_OK)
        return err;
    struct ofi_peer *peer = calloc(1, sizeof(*peer));
    if (!peer)
        return weft_fail(WEFT_ENOMEM, "no memory for a peer");
    for (size_t i = 0; i < OFI_BLOB_MAX; i++)
        peer->msg_max_bytes |= (uint32_t)addr->bytes[at++] << 8 * i;
    peer->name_len = (uint16_t)(addr->len - at);
    memcpy(peer->name, addr->bytes + at, peer->name_len);
    peer->rma_generation = ep->rma_generation - 1;
    if (fi_av_insert(ep->msg.av, peer->name, 1, &peer->msg_addr, 0, NULL) != 1)
        err = weft_fail(WEFT_EINVAL, "libfabric's %s refuses the peer's address", ep->provider);
    if (err == WEFT_OK)
        err = weft__slots_put(&ep->peers, peer, &peer->id);
    if (err != WEFT_OK) {
        free(peer);
        return err;
    }
    peer_out->id = peer->id;
    return WEFT_OK;
}

int weft__ofi_peer_find(struct ofi_ep *ep, struct weft_tp_peer peer, struct ofi_peer **peer_out)
{
    if (!ep->msg.ep || ep->broken)
        return weft_fail(WEFT_ESHUTDOWN, "the endpoint is closed or has failed");
    struct ofi_peer *found = weft__slots_find(&ep->peers, peer.id);
    if (!found)
        return weft_fail(WEFT_EINVAL, "no such peer");
    if (found->lost)
        return weft_fail(WEFT_ECONNRESET, "the connection to the peer was lost");
    *peer_out = found;
    return WEFT_OK;
}

void weft__ofi_peer_release(struct ofi_peer *peer)
{
    if (peer->dropped && peer->sends == 0 && peer->rmas == 0)
        free(peer);
}

void weft__ofi_peer_lost(struct ofi_ep *ep, struct ofi_peer *peer)
{
    if (peer->lost || peer->dropped)
        return;
    peer->lost = true;
    ep->lost_n++;
}

int weft__ofi_peer_refused(struct ofi_ep *ep, struct ofi_peer *peer, ssize_t rc)
{
    if (rc != -FI_EAGAIN) {
        int err = weft__ofi_err(rc);
        if (weft_error_damage(err) == WEFT_DAMAGE_PEER)
            weft__ofi_peer_lost(ep, peer);
        return weft_fail(err, "libfabric's %s refuses an operation: %s", ep->provider,
                         fi_strerror((int)-rc));
    }
    if (peer->sends || peer->rmas) {
        peer->stalled_ns = 0;
        return WEFT_EAGAIN;
    }
    uint64_t now = weft__now_ns();
    if (!peer->stalled_ns)
        peer->stalled_ns = now;
    uint64_t stalled_for = now - peer->stalled_ns;
    if (stalled_for < OFI_CONNECT_NS) {
        uint64_t pause = stalled_for / 8;
        peer->retry_ns = now + (pause < OFI_RETRY_NS ? pause : OFI_RETRY_NS);
        return WEFT_EAGAIN;
    }
    weft__ofi_peer_lost(ep, peer);
    return weft_fail(WEFT_EHOSTUNREACH,
                     "no connection to the peer within %llu s: it has died, has no file "
                     "descriptors left (ulimit -n), or a firewall drops what is sent",
                     OFI_CONNECT_NS / WEFT_NS_PER_S);
}

bool weft__ofi_peer_rests(const struct ofi_peer *peer)
{
    return peer->stalled_ns && weft__now_ns() < peer->retry_ns;
}

uint64_t weft__ofi_connections(const struct ofi_ep *ep)
{
    uint64_t n = 0;
    uint32_t cursor = 0, id;
    const struct ofi_peer *peer;
    while ((peer = weft__slots_next(&ep->peers, &cursor, &id)))
        if (!peer->lost)
            n += (peer->used ? 1u : 0u) + (peer->rma_generation == ep->rma_generation ? 1u : 0u);
    return n;
}

int weft__ofi_peers_tell(struct ofi_ep *ep)
{
    int n = 0;
    uint32_t cursor = 0, id;
    struct ofi_peer *peer;
    while (ep->lost_n && (peer = weft__slots_next(&ep->peers, &cursor, &id))) {
        if (!peer->lost || peer->told)
            continue;
        peer->told = true;
        ep->lost_n--;
        n++;
        if (ep->handlers.peer_lost)
            ep->handlers.peer_lost(ep->ctx, (struct weft_tp_peer){id});
    }
    return n;
}

/* Buffers of messages under way stay libfabric's until it lets go; operations that pull into the
 * caller's memory cannot wait for that. */
void weft__ofi_peer_drop(struct weft_tp_ep *tp, struct weft_tp_peer id)
{
    struct ofi_ep *ep = ofi_ep_of(tp);
    struct ofi_peer *peer = weft__slots_take(&ep->peers, id.id);
    if (!peer)
        return;
    if (peer->lost && !peer->told)
        ep->lost_n--;
    peer->dropped = true;
    if (peer->rmas)
        weft__ofi_rma_abandon(ep, peer, WEFT_ECANCELED);
    /* Its messages under way no longer count against the limit. */
    ep->sends_n -= peer->sends;
    weft__ofi_peer_release(peer);
}

void weft__ofi_peers_fini(struct ofi_ep *ep)
{
    uint32_t cursor = 0, id;
    struct ofi_peer *peer;
    while ((peer = weft__slots_next(&ep->peers, &cursor, &id)))
        free(peer);
    weft__slots_fini(&ep->peers);
}
