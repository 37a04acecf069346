/* Leases on this host's slots, for planners here and elsewhere: the calls around plan/lease.h.
 *
 * Each lease is one slot. A reservation that nobody commits ends at its deadline; a committed one
 * ends with its rank, its app's process, or the host. Slots beyond the free ones are given only
 * when the ask says overcommit, which a planner may say of its own host (an overloaded home) or
 * when the user allowed it.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/server.h"
#include "host/weftd.h"

enum { LEASES_MAX = 65536, LEASES_PER_CALL = 4096, HOLD_MAX_MS = 600000 };

static void expire_arm(struct weft_host *host)
{
    uint64_t at = weft__leases_deadline(&host->leases);
    if (at == WEFT_NEVER)
        weft__loop_timer_off(host->asker.loop, &host->lease_timer);
    else
        weft__loop_timer(host->asker.loop, &host->lease_timer, at);
}

static void expire_fired(struct weft_timer *timer)
{
    struct weft_host *host =
        (struct weft_host *)((char *)timer - offsetof(struct weft_host, lease_timer));
    struct weft_lease ended[16];
    size_t n = weft__leases_expire(&host->leases, weft__now_ns(), ended, 16);
    for (size_t i = 0; i < n; i++)
        weft__info("the reservation of a slot for app %llx has ended unused",
                   (unsigned long long)ended[i].app);
    if (n > 0)
        weft__weftd_slots_changed(host);
    expire_arm(host);
}

int weft__weftd_slots_init(struct weft_host *host, uint32_t slots)
{
    host->lease_timer.fire = expire_fired;
    return weft__leases_init(&host->leases, slots, LEASES_MAX);
}

bool weft__weftd_lease_of(const struct weft_host *host, uint64_t app)
{
    for (size_t i = 0; i < host->leases.n; i++)
        if (host->leases.items[i].app == app)
            return true;
    return false;
}

void weft__weftd_lease_end_app(struct weft_host *host, uint64_t app)
{
    if (weft__leases_release_app(&host->leases, app) > 0)
        weft__weftd_slots_changed(host);
    expire_arm(host);
}

static uint32_t reserve(struct weft_host *host, const Weft__Host__LeaseRequest *request)
{
    uint64_t now = weft__now_ns();
    uint32_t granted = 0;
    for (size_t i = 0; i < request->n_leases; i++) {
        struct weft_lease_ask ask = {.id = request->leases[i],
                                     .app = request->app,
                                     .n = 1,
                                     .overcommit = request->overcommit,
                                     .deadline_ns = now + request->hold_ms * WEFT_NS_PER_MS};
        uint32_t one;
        if (weft__leases_reserve(&host->leases, &ask, now, &one) != WEFT_OK)
            break;
        granted += one;
    }
    return granted;
}

void weft__weftd_on_lease(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_host *host = ctx;
    const Weft__Host__LeaseRequest *request = (const Weft__Host__LeaseRequest *)message;
    if (host->stopping) {
        weft__call_fail(call, WEFT_ESHUTDOWN, NULL);
        return;
    }
    if (request->app == 0 || request->n_leases == 0 || request->n_leases > LEASES_PER_CALL ||
        request->hold_ms == 0 || request->hold_ms > HOLD_MAX_MS) {
        weft__call_fail(call, WEFT_EINVAL,
                        "a lease needs an app, 1 to 4096 slots and 1 to 600000 ms");
        return;
    }
    Weft__Host__LeaseReply reply = WEFT__HOST__LEASE_REPLY__INIT;
    reply.granted = reserve(host, request);
    reply.slots = host->leases.slots;
    reply.used = weft__leases_used(&host->leases);
    weft__call_reply(call, &reply.base);
    expire_arm(host);
    if (reply.granted > 0)
        weft__weftd_slots_changed(host);
}

void weft__weftd_on_lease_commit(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_host *host = ctx;
    const Weft__Host__LeaseCommitRequest *request = (const Weft__Host__LeaseCommitRequest *)message;
    int err = WEFT_OK;
    for (size_t i = 0; i < request->n_leases && err == WEFT_OK; i++) {
        const struct weft_lease *lease = weft__leases_find(&host->leases, request->leases[i]);
        err = lease == NULL || lease->app != request->app
                  ? WEFT_ENOENT
                  : weft__leases_commit(&host->leases, request->leases[i], weft__now_ns());
    }
    expire_arm(host);
    if (err == WEFT_OK)
        weft__call_reply(call, NULL);
    else
        weft__call_fail(call, err, "the reservation of a slot has ended");
}

void weft__weftd_on_lease_end(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_host *host = ctx;
    const Weft__Host__LeaseEndRequest *request = (const Weft__Host__LeaseEndRequest *)message;
    uint32_t before = weft__leases_used(&host->leases);
    for (size_t i = 0; i < request->n_leases; i++) {
        const struct weft_lease *lease = weft__leases_find(&host->leases, request->leases[i]);
        if (lease != NULL && lease->app == request->app)
            weft__leases_release(&host->leases, request->leases[i]);
    }
    if (request->n_leases == 0)
        (void)weft__leases_release_app(&host->leases, request->app);
    expire_arm(host);
    weft__call_reply(call, NULL);
    if (weft__leases_used(&host->leases) != before)
        weft__weftd_slots_changed(host);
}
