/* Messages: a fixed number of posted receives, and sends from copies.
 *
 * A message is copied before it is sent and its operation completes at the next progress(): the
 * copy stays libfabric's until it lets go, so that dropping a peer never leaves a fabric reading
 * memory that its owner uses for something else. It also gives providers that want local memory
 * registered (FI_MR_LOCAL) memory that is. A message whose copy fails later is reported as a lost
 * peer.
 *
 * Receives are posted again as soon as their message has been handled; the total is fixed, and a
 * sender that is faster than its receiver is held up by the provider's own flow control.
 * FI_MULTI_RECV was rejected: it hung with net.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <rdma/fi_errno.h>

#include "base/check.h"
#include "base/log.h"
#include "transport/ofi/impl.h"
#include "weft/error.h"

#define SENDS_MADE_MAX(ep) ((ep)->sends_max * 4) /* with those that dropped peers still hold */

int weft__ofi_recvs_open(struct ofi_ep *ep)
{
    size_t page = 4096;
    ep->recv_bytes = (sizeof(struct ofi_buffer) + ep->msg_max_bytes + page - 1) & ~(page - 1);
    ep->recv_slab_bytes = ep->recv_bytes * ep->recvs;
    void *slab = mmap(NULL, ep->recv_slab_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (slab == MAP_FAILED)
        return weft_fail(WEFT_ENOMEM, "no address space for %u receive buffers of %zu bytes",
                         ep->recvs, ep->recv_bytes);
    ep->recv_slab = slab;
    if (ep->mr_local) {
        int rc = fi_mr_reg(ep->msg.domain, slab, ep->recv_slab_bytes, FI_RECV, 0, 0, 0,
                           &ep->recv_mr, NULL);
        if (rc != 0)
            return weft_fail(
                weft__ofi_err(rc),
                "cannot register %zu bytes of receive buffers: %s; raise the limit of locked "
                "memory (ulimit -l)",
                ep->recv_slab_bytes, fi_strerror(-rc));
    }
    for (unsigned i = 0; i < ep->recvs; i++) {
        struct ofi_buffer *buffer =
            (struct ofi_buffer *)(void *)(ep->recv_slab + i * ep->recv_bytes);
        buffer->context.kind = OFI_RECV;
        buffer->mr = ep->recv_mr;
        buffer->next = ep->unposted;
        ep->unposted = buffer;
    }
    weft__ofi_post(ep);
    return WEFT_OK;
}

/* libfabric's endpoint is closed already. */
void weft__ofi_buffers_close(struct ofi_ep *ep)
{
    for (unsigned i = 0; i < ep->sends_made; i++) {
        struct ofi_buffer *buffer = ep->sends[i];
        if (buffer->peer) {
            buffer->peer->sends--;
            weft__ofi_peer_release(buffer->peer);
        }
        if (buffer->mr)
            fi_close(&buffer->mr->fid);
        free(buffer);
    }
    free(ep->sends);
    ep->sends = NULL;
    ep->sends_made = 0;
    if (ep->recv_mr)
        fi_close(&ep->recv_mr->fid);
    ep->recv_mr = NULL;
    if (ep->recv_slab)
        munmap(ep->recv_slab, ep->recv_slab_bytes);
    ep->recv_slab = NULL;
}

void weft__ofi_post(struct ofi_ep *ep)
{
    while (ep->unposted) {
        struct ofi_buffer *buffer = ep->unposted;
        ssize_t rc =
            fi_recv(ep->msg.ep, buffer->bytes, ep->msg_max_bytes,
                    buffer->mr ? fi_mr_desc(buffer->mr) : NULL, FI_ADDR_UNSPEC, &buffer->context);
        if (rc == -FI_EAGAIN)
            return;
        ep->unposted = buffer->next;
        if (rc != 0) {
            ep->broken = weft_fail(WEFT_ESHUTDOWN, "libfabric's %s takes no more receives: %s",
                                   ep->provider, fi_strerror((int)-rc));
            return;
        }
    }
}

void weft__ofi_received(struct ofi_ep *ep, struct ofi_buffer *buffer, size_t len_bytes, int err)
{
    if (err == WEFT_OK && !ep->closing)
        ep->handlers.message(ep->ctx, buffer->bytes, len_bytes);
    else if (err != WEFT_OK)
        weft__debug("ofi: a receive failed: %s",
                    weft_error_text(err)); /* its sender went away in the middle */
    buffer->next = ep->unposted;
    ep->unposted = buffer;
}

static int make_buffer(struct ofi_ep *ep, struct ofi_buffer **buffer_out)
{
    if (ep->sends_made == SENDS_MADE_MAX(ep))
        return WEFT_EAGAIN;
    if (!ep->sends)
        ep->sends = calloc(SENDS_MADE_MAX(ep), sizeof(struct ofi_buffer *));
    size_t bytes = sizeof(struct ofi_buffer) + ep->msg_max_bytes;
    struct ofi_buffer *buffer = ep->sends ? aligned_alloc(64, (bytes + 63u) & ~(size_t)63u) : NULL;
    if (!buffer)
        return weft_fail(WEFT_ENOMEM, "no memory for a send buffer of %zu bytes", bytes);
    memset(buffer, 0, sizeof(*buffer));
    buffer->context.kind = OFI_SEND;
    if (ep->mr_local) {
        int rc = fi_mr_reg(ep->msg.domain, buffer->bytes, ep->msg_max_bytes, FI_SEND, 0, 0, 0,
                           &buffer->mr, NULL);
        if (rc != 0) {
            int err = weft__ofi_err(rc);
            weft__check(err != WEFT_OK);
            free(buffer);
            return weft_fail(err,
                             "cannot register a send buffer: %s; raise the limit of locked "
                             "memory (ulimit -l)",
                             fi_strerror(-rc));
        }
    }
    ep->sends[ep->sends_made++] = buffer;
    *buffer_out = buffer;
    return WEFT_OK;
}

static int take_buffer(struct ofi_ep *ep, struct ofi_buffer **buffer_out)
{
    if (ep->sends_n >= ep->sends_max)
        return WEFT_EAGAIN;
    struct ofi_buffer *buffer = ep->free_sends;
    if (!buffer)
        return make_buffer(ep, buffer_out);
    ep->free_sends = buffer->next;
    *buffer_out = buffer;
    return WEFT_OK;
}

static void give_buffer(struct ofi_ep *ep, struct ofi_buffer *buffer)
{
    buffer->peer = NULL;
    buffer->next = ep->free_sends;
    ep->free_sends = buffer;
}

static int gather(const struct ofi_ep *ep, const struct ofi_peer *peer, const struct iovec *iov,
                  unsigned n, size_t *len_out)
{
    size_t max = ep->msg_max_bytes < peer->msg_max_bytes ? ep->msg_max_bytes : peer->msg_max_bytes;
    if (n > WEFT_TP_IOV_MAX)
        return weft_fail(WEFT_EINVAL, "a message of %u parts; at most %d", n, WEFT_TP_IOV_MAX);
    size_t len = 0;
    for (unsigned i = 0; i < n; i++) {
        if (iov[i].iov_len > max - len)
            return weft_fail(WEFT_EMSGSIZE, "a message of more than %zu bytes", max);
        len += iov[i].iov_len;
    }
    *len_out = len;
    return WEFT_OK;
}

int weft__ofi_send(struct weft_tp_ep *tp, struct weft_tp_peer peer_id, const struct iovec *iov,
                   unsigned n, struct weft_tp_op *op)
{
    struct ofi_ep *ep = ofi_ep_of(tp);
    struct ofi_peer *peer = NULL;
    struct ofi_buffer *buffer = NULL;
    size_t len = 0;
    int err = weft__ofi_peer_find(ep, peer_id, &peer);
    if (err == WEFT_OK && weft__ofi_peer_rests(peer))
        err = WEFT_EAGAIN;
    if (err == WEFT_OK)
        err = gather(ep, peer, iov, n, &len);
    if (err == WEFT_OK)
        err = take_buffer(ep, &buffer);
    if (err != WEFT_OK)
        return err;
    unsigned char *out = buffer->bytes;
    for (unsigned i = 0; i < n; i++) {
        if (iov[i].iov_len)
            memcpy(out, iov[i].iov_base, iov[i].iov_len);
        out += iov[i].iov_len;
    }
    ssize_t rc = fi_send(ep->msg.ep, buffer->bytes, len, buffer->mr ? fi_mr_desc(buffer->mr) : NULL,
                         peer->msg_addr, &buffer->context);
    if (rc != 0) {
        give_buffer(ep, buffer);
        return weft__ofi_peer_refused(ep, peer, rc);
    }
    peer->stalled_ns = 0;
    peer->used = true;
    peer->sends++;
    ep->sends_n++;
    buffer->peer = peer;
    weft__op_node(op)->err = WEFT_OK;
    weft__op_append(&ep->ready, op);
    return WEFT_OK;
}

void weft__ofi_sent(struct ofi_ep *ep, struct ofi_buffer *buffer, int err)
{
    struct ofi_peer *peer = buffer->peer;
    peer->ended++;
    peer->sends--;
    if (!peer->dropped)
        ep->sends_n--;
    if (err != WEFT_OK)
        weft__ofi_peer_lost(ep, peer);
    give_buffer(ep, buffer);
    weft__ofi_peer_release(peer);
}
