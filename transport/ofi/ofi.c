/* The ofi transport's table, and an endpoint's beginning and end.
 *
 * Parts: library.c (loads libfabric), fabric.c (its objects and the choice of a provider),
 * domain.c, peer.c, msg.c, region.c, rma.c, progress.c, error.c, signals.c. Everything runs on the
 * thread that drives the endpoint; libfabric is opened with FI_THREAD_DOMAIN (FI_THREAD_SAFE where
 * endpoints share a domain) and manual progress, and starts no thread.
 */
#include "transport/ofi/ofi.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rdma/fi_cm.h>
#include <rdma/fi_errno.h>

#include "transport/ofi/impl.h"
#include "weft/error.h"

#define CLOSING_ROUNDS 8

static void close_ep(struct weft_tp_ep *tp);

static int open_ep(const struct weft_tp_open *desc, struct weft_tp_ep **ep_out)
{
    if (desc->families & WEFT_TP_CTL)
        return weft_fail(WEFT_ENOTSUP, "ofi has no control messages");
    if (!desc->bind || !desc->handlers || !desc->handlers->message)
        return weft_fail(WEFT_EINVAL, "ofi needs an address and a handler of messages");
    if (desc->provider && weft__ofi_lacks_device(desc->provider))
        return weft_fail(WEFT_ENOTSUP,
                         "there is no RDMA device for libfabric's %s (nothing in "
                         "/sys/class/infiniband)",
                         desc->provider);
    int err = weft__ofi_library_load();
    weft__ofi_reset_signals();
    if (err != WEFT_OK)
        return err;
    struct ofi_ep *ep = calloc(1, sizeof(*ep));
    if (!ep)
        return weft_fail(WEFT_ENOMEM, "no memory for an endpoint");
    ep->base.transport = &weft__tp_ofi;
    ep->handlers = *desc->handlers;
    ep->ctx = desc->ctx;
    ep->msg_max_bytes = desc->msg_max_bytes ? desc->msg_max_bytes : OFI_MSG_DEFAULT;
    ep->sends_max = desc->sends_max ? desc->sends_max : OFI_SENDS_MAX;
    ep->recvs = desc->receives_max ? desc->receives_max : OFI_RECVS;
    snprintf(ep->bind, sizeof(ep->bind), "%s", desc->bind);
    weft__slots_init(&ep->peers, OFI_PEERS_MAX);
    err = weft__ofi_fabric_open(ep, desc);
    if (err == WEFT_OK)
        err = weft__ofi_recvs_open(ep);
    weft__ofi_reset_signals(); /* a provider that was loaded now may have brought its own */
    if (err != WEFT_OK) {
        close_ep(&ep->base);
        return err;
    }
    *ep_out = &ep->base;
    return WEFT_OK;
}

/* net forgets a connection that it has accepted and not yet answered when its endpoint closes, and
 * with it a descriptor. So what has arrived is looked at once more; nothing of it is handed on. */
static void answer_last_callers(struct ofi_ep *ep)
{
    ep->closing = true;
    for (int i = 0; i < CLOSING_ROUNDS; i++)
        weft__ofi_reap(ep, &ep->msg);
}

/* First libfabric's endpoints, so that it touches no buffer any more; then everything ends. */
static void close_ep(struct weft_tp_ep *tp)
{
    struct ofi_ep *ep = ofi_ep_of(tp);
    answer_last_callers(ep);
    weft__ofi_half_stop(ep, &ep->rma);
    weft__ofi_half_stop(ep, &ep->msg);
    weft__ofi_rma_cancel_all(ep);
    struct weft_tp_op *op;
    while ((op = weft__op_pop(&ep->ready)))
        op->done(op, weft__op_node(op)->err);
    weft__ofi_regions_close(ep);
    weft__ofi_buffers_close(ep);
    weft__ofi_peers_fini(ep);
    weft__ofi_fabric_close(ep);
    free(ep);
}

static int address(struct weft_tp_ep *tp, struct weft_tp_addr *addr_out)
{
    struct ofi_ep *ep = ofi_ep_of(tp);
    struct weft_tp_addr addr = {0};
    size_t len = strlen(ep->provider);
    addr.bytes[0] = (uint8_t)len;
    memcpy(addr.bytes + 1, ep->provider, len);
    size_t at = 1 + len;
    for (size_t i = 0; i < OFI_BLOB_MAX; i++)
        addr.bytes[at++] = (uint8_t)(ep->msg_max_bytes >> 8 * i);
    size_t name_len = sizeof(addr.bytes) - at;
    int rc = fi_getname(&ep->msg.ep->fid, addr.bytes + at, &name_len);
    if (rc != 0)
        return weft_fail(weft__ofi_err(rc), "libfabric's %s does not tell its address: %s",
                         ep->provider, fi_strerror(-rc));
    addr.len = (uint16_t)(at + name_len);
    *addr_out = addr;
    return WEFT_OK;
}

static int cancel(struct weft_tp_ep *tp, struct weft_tp_op *op)
{
    (void)tp;
    (void)op;
    return WEFT_EBUSY;
}

static void limits(struct weft_tp_ep *tp, struct weft_tp_limits *limits_out)
{
    struct ofi_ep *ep = ofi_ep_of(tp);
    *limits_out = (struct weft_tp_limits){
        .msg_max_bytes = ep->msg_max_bytes,
        .rma_max_bytes = ep->info->ep_attr->max_msg_size,
        .sends_max = ep->sends_max,
        .peers_max = OFI_PEERS_MAX,
        .needs_target_poll =
            true, /* true of every tcp-class provider; harmless to assume of the others */
    };
}

static uint64_t memory_of(const struct ofi_ep *ep)
{
    uint64_t buffer = sizeof(struct ofi_buffer) + ep->msg_max_bytes;
    return sizeof(*ep) + ep->recv_slab_bytes + ep->sends_made * buffer +
           ep->peers.live * sizeof(struct ofi_peer);
}

static void usage(struct weft_tp_ep *tp, struct weft_tp_usage *usage_out)
{
    const struct ofi_ep *ep = ofi_ep_of(tp);
    struct weft_regcache_stats cache = {0};
    struct ofi_domain *domain = ep->domain;
    if (domain->registrations)
        weft__regcache_stats(domain->registrations, &cache);
    *usage_out = (struct weft_tp_usage){
        .connections = weft__ofi_connections(ep),
        .memory_bytes = memory_of(ep),
        .registrations =
            cache.entries + atomic_load_explicit(&domain->regions_n, memory_order_relaxed),
        .registered_bytes =
            cache.bytes + atomic_load_explicit(&domain->regions_bytes, memory_order_relaxed),
        .registration_hits = cache.hits,
        .registration_misses = cache.misses,
        .domain = domain->number,
    };
}

void weft__ofi_stats(const struct weft_tp_ep *tp, struct weft_ofi_stats *stats_out)
{
    const struct ofi_ep *ep = (const struct ofi_ep *)(const void *)tp;
    struct weft_ofi_stats stats = ep->stats;
    stats.provider = ep->provider;
    *stats_out = stats;
}

static const struct weft_tp_core_ops core = {
    .open = open_ep,
    .close = close_ep,
    .address = address,
    .peer_add = weft__ofi_peer_add,
    .peer_drop = weft__ofi_peer_drop,
    .progress = weft__ofi_progress,
    .wait_fd = weft__ofi_wait_fd,
    .wait_arm = weft__ofi_wait_arm,
    .cancel = cancel,
    .limits = limits,
};

static const struct weft_tp_msg_ops msg = {.send = weft__ofi_send};

const struct weft_transport weft__tp_ofi = {.scheme = "ofi",
                                            .core = &core,
                                            .ctl = NULL,
                                            .msg = &msg,
                                            .rma = &weft__ofi_rma_ops,
                                            .usage = usage};
