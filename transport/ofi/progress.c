/* Moving an ofi endpoint forward, and sleeping on it.
 *
 * Completions of both endpoints are read until there are none (bounded, so that a flood does not
 * keep the caller for ever); operations whose end is known stand in the ready list, and their done
 * runs here and nowhere else but in close. Rejected: reading those of messages in every fourth turn
 * only while gets are under way, which gains nothing.
 *
 * Sleeping: fi_trywait() says whether the completion queues' descriptors are armed. net's does
 * nothing, which leaves its descriptor readable after the first completion; fi_wait() with no
 * time-out on the wait set does the same work properly.
 *
 * Sockets stand in an epoll set of the provider's, that in one of its wait object, that in this
 * endpoint's, and that in those of its users: each piece that arrives wakes them all the way up,
 * also while nobody sleeps. Of gets over net that took 3 % at 64 KiB and 9 % at 1 MiB. So who only
 * spins is found out, and the endpoint's set then looks at nothing until somebody wants to sleep.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include <rdma/fi_errno.h>

#include "base/log.h"
#include "transport/ofi/impl.h"
#include "weft/error.h"

#define BATCHES 16
#define SPINNING_TURNS 200u

static struct ofi_buffer *buffer_of(struct ofi_context *context)
{
    return (struct ofi_buffer *)(void *)((char *)context - offsetof(struct ofi_buffer, context));
}

static void completed(struct ofi_ep *ep, struct ofi_context *context, size_t len_bytes, int err)
{
    if (context->kind == OFI_RECV)
        weft__ofi_received(ep, buffer_of(context), len_bytes, err);
    else if (context->kind == OFI_SEND)
        weft__ofi_sent(ep, buffer_of(context), err);
    else
        weft__ofi_rma_ended(ep, context, err);
}

/* One failed operation; false: there is none. */
static bool reap_error(struct ofi_ep *ep, struct ofi_half *half)
{
    struct fi_cq_err_entry entry = {0};
    if (fi_cq_readerr(half->cq, &entry, 0) <= 0)
        return false;
    weft__debug("ofi: an operation failed: %s (provider's code %d)", fi_strerror(entry.err),
                entry.prov_errno);
    if (entry.op_context)
        completed(ep, entry.op_context, 0, weft__ofi_completion_err(ep, &entry));
    return true;
}

int weft__ofi_reap(struct ofi_ep *ep, struct ofi_half *half)
{
    struct fi_cq_msg_entry entries[OFI_CQ_BATCH];
    int n = 0;
    for (int batch = 0; batch < BATCHES && half->cq; batch++) {
        ssize_t got = fi_cq_read(half->cq, entries, OFI_CQ_BATCH);
        if (got == -FI_EAGAIN)
            break;
        if (got == -FI_EAVAIL) {
            if (!reap_error(ep, half))
                break;
            n++;
            continue;
        }
        if (got < 0) {
            ep->broken =
                weft_fail(WEFT_ESHUTDOWN, "libfabric's %s: the completion queue failed: %s",
                          ep->provider, fi_strerror((int)-got));
            break;
        }
        for (ssize_t i = 0; i < got; i++)
            completed(ep, entries[i].op_context, entries[i].len, WEFT_OK);
        n += (int)got;
        if (got < OFI_CQ_BATCH)
            break;
    }
    return n;
}

/* Runs after the one-sided half was made anew, where that was due: a completion that libfabric
 * reports twice must find its operation still there. Only what is ready now: done may make more. */
static int finish(struct ofi_ep *ep)
{
    int n = 0;
    struct weft_op_list ready = ep->ready;
    ep->ready = (struct weft_op_list){0};
    struct weft_tp_op *op;
    while ((op = weft__op_pop(&ready))) {
        n++;
        op->done(op, weft__op_node(op)->err);
    }
    return n;
}

/* Makes the endpoint's descriptor tell of completions, or not. */
static void mask(struct ofi_ep *ep, bool masked)
{
    const struct ofi_half *halves[] = {&ep->msg, &ep->rma};
    ep->masked = masked;
    for (unsigned i = 0; i < 2; i++) {
        int fd = halves[i]->wait_fd;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        int op = masked ? EPOLL_CTL_DEL : EPOLL_CTL_ADD;
        if (fd >= 0 && epoll_ctl(ep->epoll_fd, op, fd, &event) != 0)
            ep->broken = weft_fail(WEFT_ESHUTDOWN, "cannot sleep on libfabric's %s: %s",
                                   ep->provider, strerrordesc_np(errno));
    }
}

int weft__ofi_progress(struct weft_tp_ep *tp)
{
    struct ofi_ep *ep = ofi_ep_of(tp);
    if (++ep->turns > SPINNING_TURNS && !ep->masked)
        mask(ep, true);
    int n = weft__ofi_reap(ep, &ep->msg);
    if (ep->rmas || ep->rma_rounds) {
        n += weft__ofi_reap(ep, &ep->rma);
        ep->rma_rounds -= ep->rma_rounds != 0;
    }
    if (ep->unposted)
        weft__ofi_post(ep);
    if (ep->domain->registrations)
        weft__regcache_sweep(ep->domain->registrations);
    weft__ofi_silence_look(ep);
    if (ep->renew)
        weft__ofi_rma_renew(ep);
    else if (ep->waiting)
        weft__ofi_rma_again(ep);
    n += finish(ep);
    if (ep->lost_n)
        n += weft__ofi_peers_tell(ep);
    return ep->broken ? ep->broken : n;
}

int weft__ofi_wait_fd(struct weft_tp_ep *tp)
{
    return ofi_ep_of(tp)->epoll_fd;
}

static bool armed(struct ofi_half *half)
{
    if (half->wait_set)
        return fi_wait(half->wait_set, 0) == -FI_ETIMEDOUT;
    struct fid *fid = &half->cq->fid;
    return fi_trywait(half->fabric, &fid, 1) == 0;
}

int weft__ofi_wait_arm(struct weft_tp_ep *tp)
{
    struct ofi_ep *ep = ofi_ep_of(tp);
    ep->turns = 0;
    if (ep->masked)
        mask(ep, false);
    weft__ofi_silence_arm(ep);
    if (ep->ready.first || ep->unposted || ep->waiting || ep->renew || ep->lost_n || ep->broken)
        return WEFT_EAGAIN;
    if (!armed(&ep->rma)) {
        weft__ofi_reap(ep,
                       &ep->rma); /* a broken connection must be known before the next operation */
        return WEFT_EAGAIN;
    }
    return armed(&ep->msg) ? WEFT_OK : WEFT_EAGAIN;
}
