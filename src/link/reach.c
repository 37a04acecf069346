/* Whether paths lead to a lane.
 *
 * For each path of the address an endpoint is opened here, as the lane of this machine would have
 * it, and the other one is spoken to, which needs no consent there: a message without the token is
 * dropped by whoever gets it, a get with a key that nobody has is refused. Over libfabric a
 * message's completion tells that there is a connection; elsewhere a message may wait here for its
 * connection, and the refusal is what tells.
 */
#include "link/reach.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "link/net.h"
#include "link/probe.h"
#include "transport/shim/shim.h"
#include "weft/error.h"

#define REACH_NS (5 * WEFT_NS_PER_S)

struct reach {
    struct weft_tp_ep *ep;
    struct weft_tp_peer peer;
    struct weft_tp_op op;
    unsigned char byte;
    bool ended, lost;
    int err;
};

static void ended(struct weft_tp_op *op, int err)
{
    struct reach *reach = op->user;
    reach->ended = true;
    reach->err = err;
}

static void ignore(void *ctx, const void *data, size_t len_bytes)
{
    (void)ctx;
    (void)data;
    (void)len_bytes;
}

static void lost(void *ctx, struct weft_tp_peer peer)
{
    struct reach *reach = ctx;
    (void)peer;
    reach->lost = true;
}

static int speak(struct reach *reach, bool by_message)
{
    struct iovec iov = {&reach->byte, 1};
    struct weft_tp_rma_desc desc = {.local = &reach->byte, .len_bytes = 1};
    reach->op.done = ended;
    reach->op.user = reach;
    if (by_message)
        return reach->ep->transport->msg->send(reach->ep, reach->peer, &iov, 1, &reach->op);
    if (getrandom(&desc.remote_key.key, sizeof(desc.remote_key.key), 0) < 0)
        return weft_fail(WEFT_EIO, "no random number");
    desc.remote_key.len_bytes = 1;
    return reach->ep->transport->rma->get(reach->ep, reach->peer, &desc, &reach->op);
}

static int answered(struct reach *reach, bool by_message)
{
    const struct weft_tp_core_ops *core = reach->ep->transport->core;
    uint64_t deadline_ns = weft__now_ns() + REACH_NS;
    int err = WEFT_EAGAIN;
    while (!reach->ended && !reach->lost) {
        if (err == WEFT_EAGAIN)
            err = speak(reach, by_message);
        if (err != WEFT_OK && err != WEFT_EAGAIN)
            return err;
        int moved = core->progress(reach->ep);
        if (moved < 0)
            return moved;
        if (weft__now_ns() >= deadline_ns)
            return weft_fail(WEFT_ETIMEDOUT, "no answer within 5 s: a firewall may drop what is "
                                             "sent, or the way back leads elsewhere");
        sched_yield();
    }
    if (!by_message && reach->err == WEFT_EACCES)
        return WEFT_OK;
    if (reach->ended && reach->err != WEFT_OK)
        return weft_fail(reach->err, "%s", weft_error_text(reach->err));
    return reach->lost ? weft_fail(WEFT_EHOSTUNREACH, "no connection") : WEFT_OK;
}

/* "ofi:net+shim": transport, provider and whether it is behind the shim. */
struct parts {
    char scheme[32];
    char *provider;
    bool shim;
    const struct weft_transport *transport;
};

static void take_apart(const struct weft__select *select, const char *name, struct parts *parts)
{
    *parts = (struct parts){.provider = NULL};
    snprintf(parts->scheme, sizeof(parts->scheme), "%s", name);
    char *shim = strstr(parts->scheme, "+shim");
    if (shim) {
        *shim = '\0';
        parts->shim = true;
    }
    parts->provider = strchr(parts->scheme, ':');
    if (parts->provider)
        *parts->provider++ = '\0';
    for (size_t i = 0; i < select->transports_n; i++)
        if (strcmp(select->transports[i]->scheme, parts->scheme) == 0)
            parts->transport = select->transports[i];
}

static int try_path(const struct weft__select *select, const struct weft__address_path *path,
                    const char *bind)
{
    static const struct weft_tp_handlers handlers = {.message = ignore, .peer_lost = lost};
    struct reach reach = {.ended = false};
    struct weft_tp_open open = select->open;
    struct parts parts;
    take_apart(select, path->name, &parts);
    if (!parts.transport || !parts.transport->msg)
        return weft_fail(WEFT_ENOTSUP, "not built in");
    open.bind = bind;
    open.provider = parts.provider;
    open.port_first = open.port_last = 0;
    open.handlers = &handlers;
    open.ctx = &reach;
    int err = parts.shim ? weft__shim_open(parts.transport, &open, &reach.ep)
                         : weft__probe_open(parts.transport, &open, &reach.ep);
    if (err != WEFT_OK)
        return err;
    const struct weft_tp_core_ops *core = reach.ep->transport->core;
    err = core->peer_add(reach.ep, &path->addr, &reach.peer);
    if (err == WEFT_OK)
        err = answered(&reach, parts.transport->rma && !parts.shim && parts.provider);
    reach.ended = true;
    core->close(reach.ep);
    return err;
}

static int try_one(const struct weft__select *select, const struct weft__address *theirs,
                   unsigned i, const char *bind)
{
    bool elsewhere = theirs->machine && theirs->machine != weft__net_machine();
    if (elsewhere && weft__net_is_ours(theirs->paths[i].bind))
        return weft_fail(WEFT_EADDRNOTAVAIL,
                         "an address of this machine too, as that of docker0 is everywhere: it "
                         "leads nowhere");
    return try_path(select, &theirs->paths[i], bind);
}

/* A lane of this host has paths of its own choice: one that was reached is used only where the two
 * have a name in common. */
static void tell_use(const struct weft__select *select, const struct weft__address *theirs,
                     FILE *out)
{
    static const struct weft_tp_handlers handlers = {.message = ignore};
    struct weft__select own = *select;
    struct weft__selected selected;
    struct weft__address_routes routes;
    own.open.handlers = &handlers;
    own.open.ctx = NULL;
    if (weft__select(&own, &selected) != WEFT_OK)
        return; /* that no transport works here is told elsewhere */
    int err = weft__address_pair(&selected.address, theirs, &routes);
    if (err != WEFT_OK)
        fprintf(out, "to it no data goes: %s\n", weft_fail_text(err));
    selected.transport->core->close(selected.ep);
    free(selected.report);
}

int weft__reach_report(const struct weft__select *select, const char *lane, FILE *out)
{
    struct weft__address theirs;
    struct weft__net net;
    int err = weft__address_parse(lane, &theirs);
    if (err == WEFT_OK)
        err = weft__net_choose(select->net ? select->net : "", select->open.bind, NULL, &net);
    for (unsigned i = 0; err == WEFT_OK && i < theirs.n; i++) {
        const struct weft__address_path *path = &theirs.paths[i];
        const char *bind = net.address[i < net.n ? i : net.n - 1];
        uint64_t began_ns = weft__now_ns();
        fprintf(out, "to %s by %s from %s: ", *path->bind ? path->bind : "(not told)", path->name,
                bind);
        int reached = try_one(select, &theirs, i, bind);
        if (reached == WEFT_OK)
            fprintf(out, "reached in %.1f ms\n", (double)(weft__now_ns() - began_ns) / 1e6);
        else
            fprintf(out, "%s\n", weft_fail_text(reached));
    }
    if (err == WEFT_OK)
        tell_use(select, &theirs, out);
    return err;
}
