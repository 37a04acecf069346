/* Leases on this host's slots, for planners here and elsewhere: the calls around plan/lease.h.
 *
 * Each lease is one slot. A reservation that nobody commits ends at its deadline; a committed one
 * ends with its rank, its app's process, the app's home, or the host. Slots beyond the free ones
 * are given to the app's home host itself only, which says so when the user allowed it. Only who
 * knows an app's token can speak for it (weftd_guest.c); calls for an app that has nothing here
 * change nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "base/parse.h"
#include "control/server.h"
#include "host/weftd_events.h"
#include "host/weftd_guest.h"

enum { LEASES_MAX = 65536, LEASES_PER_CALL = 4096, HOLD_MAX_MS = 600000 };

static void expire_arm(struct weft_host *host)
{
    uint64_t at = weft__leases_deadline(&host->leases);
    if (at == WEFT_NEVER)
        weft__loop_timer_off(host->asker.loop, &host->lease_timer);
    else
        weft__loop_timer(host->asker.loop, &host->lease_timer, at);
}

/* error: of a refusal; NULL. */
static void tell(struct weft_host *host, enum weft_event_kind kind, uint64_t app, uint64_t slots,
                 const char *error)
{
    if (slots > 0)
        weft__weftd_event(host,
                          &(struct weft_event_note){
                              .kind = kind,
                              .app = app,
                              .rank = WEFT_EVENT_NO_RANK,
                              .n = {slots, weft__leases_used(&host->leases), host->leases.slots},
                              .text = {error}});
}

static void expire_fired(struct weft_timer *timer)
{
    struct weft_host *host = weft__loop_owner(timer, struct weft_host, lease_timer);
    struct weft_lease ended[16];
    size_t n = weft__leases_expire(&host->leases, weft__now_ns(), ended, 16);
    for (size_t i = 0; i < n; i++) {
        weft__info("the reservation of a slot for app %llx has ended unused",
                   (unsigned long long)ended[i].app);
        host->counts.slots_expired += ended[i].n;
        tell(host, WEFT_EVENT_LEASE_EXPIRED, ended[i].app, ended[i].n, NULL);
        weft__weftd_guest_check(host, ended[i].app);
    }
    if (n > 0)
        weft__weftd_slots_changed(host);
    expire_arm(host);
}

int weft__weftd_slots_init(struct weft_host *host, uint32_t slots)
{
    host->lease_timer.fire = expire_fired;
    int err = weft__leases_init(&host->leases, slots, LEASES_MAX);
    host->leases.moves_max = (uint32_t)weft__config_u64("WEFT_MOVES_MAX");
    return err;
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
    uint32_t n = weft__leases_release_app(&host->leases, app);
    host->counts.slots_released += n;
    tell(host, WEFT_EVENT_LEASE_RELEASED, app, n, NULL);
    if (n > 0)
        weft__weftd_slots_changed(host);
    expire_arm(host);
    weft__weftd_guest_check(host, app);
}

/* Whether ranks of this tenant may come. */
static int check_tenant(const struct weft_host *host, const Weft__Host__LeaseRequest *request)
{
    struct weft_tenancy tenancy;
    int err = weft__parse_tenant(request->tenant);
    if (err != WEFT_OK)
        return err;
    weft__leases_tenancy(&host->leases, &tenancy);
    if (weft__tenancy_admits(&tenancy, request->tenant, request->apart))
        return WEFT_OK;
    return weft_fail(WEFT_ENOSLOTS, "host %s has ranks of another tenant, and %s", host->name,
                     tenancy.apart ? "they are to be apart" : "the app's are to be apart");
}

static int check_lease(const struct weft_host *host, const Weft__Host__LeaseRequest *request)
{
    if (host->stopping)
        return weft_fail(WEFT_ESHUTDOWN, "host %s is shutting down", host->name);
    if (host->leaving)
        return weft_fail(WEFT_ENOSLOTS, "host %s is being drained: it takes no ranks", host->name);
    if (request->n_leases > LEASES_PER_CALL)
        return weft_fail(WEFT_ENOSLOTS, "host %s takes at most %d ranks of an app, not %zu",
                         host->name, LEASES_PER_CALL, request->n_leases);
    if (request->app == 0 || request->n_leases == 0 || request->hold_ms == 0 ||
        request->hold_ms > HOLD_MAX_MS)
        return weft_fail(WEFT_EINVAL, "a lease needs an app, a slot and 1 to %d ms", HOLD_MAX_MS);
    if (request->overcommit && strcmp(request->home, host->name) != 0)
        return weft_fail(WEFT_EPERM, "only the app's home host itself may take more ranks than it "
                                     "has slots");
    return check_tenant(host, request);
}

static uint32_t reserve(struct weft_host *host, const Weft__Host__LeaseRequest *request,
                        int *err_out)
{
    uint64_t now = weft__now_ns();
    uint32_t granted = 0;
    *err_out = WEFT_OK;
    for (size_t i = 0; i < request->n_leases; i++) {
        struct weft_lease_ask ask = {.id = request->leases[i],
                                     .app = request->app,
                                     .n = 1,
                                     .overcommit = request->overcommit,
                                     .tenant = request->tenant,
                                     .apart = request->apart,
                                     .deadline_ns = now + request->hold_ms * WEFT_NS_PER_MS,
                                     .comes = request->moves};
        uint32_t one;
        *err_out = weft__leases_reserve(&host->leases, &ask, now, &one);
        if (*err_out != WEFT_OK)
            break;
        granted += one;
    }
    return granted;
}

void weft__weftd_on_lease(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_host *host = ctx;
    const Weft__Host__LeaseRequest *request = (const Weft__Host__LeaseRequest *)message;
    int err = check_lease(host, request);
    if (err == WEFT_OK)
        err = weft__weftd_guest_add(host, request);
    if (err != WEFT_OK) {
        host->counts.slots_refused += request->n_leases;
        tell(host, WEFT_EVENT_LEASE_REFUSED, request->app, request->n_leases, weft_error_name(err));
        weft__call_fail(call, err, weft_fail_text(err));
        return;
    }
    uint32_t before = weft__leases_used(&host->leases);
    Weft__Host__LeaseReply reply = WEFT__HOST__LEASE_REPLY__INIT;
    reply.granted = reserve(host, request, &err);
    reply.busy = err == WEFT_EBUSY;
    uint32_t fresh = weft__leases_used(&host->leases) - before;
    host->counts.slots_granted += fresh;
    host->counts.slots_refused += request->n_leases - reply.granted;
    tell(host, WEFT_EVENT_LEASE_GRANTED, request->app, fresh, NULL);
    tell(host, WEFT_EVENT_LEASE_REFUSED, request->app, request->n_leases - reply.granted,
         weft_error_name(err == WEFT_EBUSY ? err : WEFT_ENOSLOTS));
    reply.slots = host->leases.slots;
    reply.used = weft__leases_used(&host->leases);
    expire_arm(host);
    if (reply.granted > 0)
        weft__weftd_slots_changed(host);
    weft__weftd_guest_check(host, request->app);
    weft__call_reply(call, &reply.base);
}

void weft__weftd_on_lease_leave(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_host *host = ctx;
    const Weft__Host__LeaseLeaveRequest *request = (const Weft__Host__LeaseLeaveRequest *)message;
    uint64_t now = weft__now_ns();
    uint32_t hold_ms = request->hold_ms < HOLD_MAX_MS ? request->hold_ms : HOLD_MAX_MS;
    struct weft_lease_ask ask = {.id = request->lease,
                                 .app = request->app,
                                 .deadline_ns = hold_ms > 0 ? now + hold_ms * WEFT_NS_PER_MS : 0};
    int err = weft__weftd_guest_of(host, request->app, request->token, NULL);
    if (err == WEFT_OK)
        err = weft__leases_leave(&host->leases, &ask, now);
    if (err == WEFT_OK)
        weft__call_reply(call, NULL);
    else
        weft__call_fail(call, err, weft_fail_text(err));
}

static int commit(struct weft_host *host, const Weft__Host__LeaseCommitRequest *request)
{
    int err = weft__weftd_guest_of(host, request->app, request->token, NULL);
    for (size_t i = 0; i < request->n_leases && err == WEFT_OK; i++) {
        const struct weft_lease *lease = weft__leases_find(&host->leases, request->leases[i]);
        err = lease == NULL || lease->app != request->app
                  ? weft_fail(WEFT_ENOENT, "the reservation of a slot has ended")
                  : weft__leases_commit(&host->leases, request->leases[i], weft__now_ns());
    }
    return err;
}

void weft__weftd_on_lease_commit(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_host *host = ctx;
    int err = commit(host, (const Weft__Host__LeaseCommitRequest *)message);
    expire_arm(host);
    if (err == WEFT_OK)
        weft__call_reply(call, NULL);
    else
        weft__call_fail(call, err, weft_fail_text(err));
}

static void end_leases(struct weft_host *host, const Weft__Host__LeaseEndRequest *request)
{
    uint32_t before = weft__leases_used(&host->leases);
    for (size_t i = 0; i < request->n_leases; i++) {
        const struct weft_lease *lease = weft__leases_find(&host->leases, request->leases[i]);
        if (lease != NULL && lease->app == request->app)
            weft__leases_release(&host->leases, request->leases[i]);
    }
    uint32_t released = before - weft__leases_used(&host->leases);
    host->counts.slots_released += released;
    tell(host, WEFT_EVENT_LEASE_RELEASED, request->app, released, NULL);
    if (released > 0)
        weft__weftd_slots_changed(host);
    expire_arm(host);
    weft__weftd_guest_check(host, request->app);
}

void weft__weftd_on_lease_end(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_host *host = ctx;
    const Weft__Host__LeaseEndRequest *request = (const Weft__Host__LeaseEndRequest *)message;
    int err = weft__weftd_guest_of(host, request->app, request->token, NULL);
    if (err == WEFT_EACCES) {
        weft__call_fail(call, err, weft_fail_text(err));
        return;
    }
    if (err == WEFT_OK && request->n_leases == 0)
        weft__weftd_lease_end_app(host, request->app);
    else if (err == WEFT_OK)
        end_leases(host, request);
    weft__call_reply(call,
                     NULL); /* also where nothing of the app is here: that is what was wanted */
}
