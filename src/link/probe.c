/* Whether a transport really moves bytes on an interface.
 *
 * Opening an endpoint proves little: a firewall drops what it sends, an address that two machines
 * own leads nowhere, a provider that advertises an operation may never complete it. So two
 * endpoints are opened on the interface, and one message and one get pass between them, driven in
 * turn by the calling thread, against a deadline that counts from when both are open: the first one
 * loads libraries, which says nothing about the network.
 *
 * Both ends are in this process: what lies between two machines is not tested here.
 */
#include "link/probe.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "transport/shim/shim.h"
#include "weft/error.h"

#define PROBE_BYTES 20000u

int weft__probe_open(const struct weft_transport *transport, const struct weft_tp_open *open,
                     struct weft_tp_ep **ep_out)
{
    if (!transport->msg)
        return weft_fail(WEFT_ENOTSUP, "%s moves no data", transport->scheme);
    if (transport->rma)
        return transport->core->open(open, ep_out);
    return weft__shim_open(transport, open, ep_out);
}

struct probe {
    struct weft_tp_ep *here, *there;
    struct weft_tp_peer peer; /* there, seen from here */
    unsigned heard;
    unsigned ended;
    int err;
    unsigned char from[PROBE_BYTES], into[PROBE_BYTES];
    struct weft_tp_region *region;
    struct weft_tp_op send, get;
};

static void heard(void *ctx, const void *data, size_t len_bytes)
{
    struct probe *probe = ctx;
    if (len_bytes == PROBE_BYTES && memcmp(data, probe->from, PROBE_BYTES) == 0)
        probe->heard++;
}

static void ended(struct weft_tp_op *op, int err)
{
    struct probe *probe = op->user;
    probe->ended++;
    if (probe->err == WEFT_OK)
        probe->err = err;
}

static int both(struct probe *probe)
{
    int err = probe->here->transport->core->progress(probe->here);
    if (err < 0)
        return err;
    err = probe->there->transport->core->progress(probe->there);
    return err < 0 ? err : WEFT_OK;
}

static int submit_send(struct probe *probe)
{
    struct iovec iov = {probe->from, PROBE_BYTES};
    return probe->here->transport->msg->send(probe->here, probe->peer, &iov, 1, &probe->send);
}

static int submit_get(struct probe *probe)
{
    struct weft_tp_rma_desc desc = {.local = probe->into, .len_bytes = PROBE_BYTES};
    probe->there->transport->rma->key(probe->region, &desc.remote_key);
    return probe->here->transport->rma->get(probe->here, probe->peer, &desc, &probe->get);
}

static int until(struct probe *probe, int (*submit)(struct probe *), unsigned ends,
                 uint64_t deadline_ns)
{
    int err = WEFT_EAGAIN;
    for (;;) {
        if (err == WEFT_EAGAIN)
            err = submit(probe);
        if (err != WEFT_OK && err != WEFT_EAGAIN)
            return err;
        int moved = both(probe);
        if (moved != WEFT_OK)
            return moved;
        if (probe->err != WEFT_OK)
            return probe->err;
        if (probe->ended == ends && probe->heard == 1)
            return WEFT_OK;
        if (weft__now_ns() >= deadline_ns)
            return weft_fail(WEFT_ETIMEDOUT,
                             "no %s within the deadline: a firewall may drop what it sends",
                             ends == 1 ? "message arrived" : "get completed");
        sched_yield();
    }
}

static int pass(struct probe *probe, uint64_t deadline_ns)
{
    struct weft_tp_addr addr;
    int err = probe->there->transport->core->address(probe->there, &addr);
    if (err == WEFT_OK)
        err = probe->here->transport->core->peer_add(probe->here, &addr, &probe->peer);
    if (err == WEFT_OK)
        err = probe->there->transport->rma->reg(probe->there, probe->from, PROBE_BYTES,
                                                WEFT_TP_READ, &probe->region);
    if (err != WEFT_OK)
        return err;
    err = until(probe, submit_send, 1, deadline_ns);
    if (err == WEFT_OK)
        err = until(probe, submit_get, 2, deadline_ns);
    if (err == WEFT_OK && memcmp(probe->from, probe->into, PROBE_BYTES) != 0)
        err = weft_fail(WEFT_EIO, "a get completed with wrong bytes");
    return err;
}

int weft__probe(const struct weft_transport *transport, const struct weft_tp_open *open,
                uint64_t within_ns)
{
    static const struct weft_tp_handlers handlers = {.message = heard};
    struct probe *probe = calloc(1, sizeof(*probe));
    if (!probe)
        return weft_fail(WEFT_ENOMEM, "no memory for a probe");
    for (unsigned i = 0; i < PROBE_BYTES; i++)
        probe->from[i] = (unsigned char)(i * 7 + (i >> 8));
    probe->send.done = probe->get.done = ended;
    probe->send.user = probe->get.user = probe;
    struct weft_tp_open desc = *open;
    desc.port_first = desc.port_last = 0;
    desc.msg_max_bytes = PROBE_BYTES;
    desc.group = NULL;
    desc.handlers = &handlers;
    desc.ctx = probe;
    int err = weft__probe_open(transport, &desc, &probe->here);
    if (err == WEFT_OK)
        err = weft__probe_open(transport, &desc, &probe->there);
    if (err == WEFT_OK)
        err = pass(probe, weft__now_ns() + within_ns);
    if (probe->here)
        probe->here->transport->core->close(probe->here);
    if (probe->region)
        probe->there->transport->rma->unreg(probe->there, probe->region);
    if (probe->there)
        probe->there->transport->core->close(probe->there);
    free(probe);
    return err;
}
