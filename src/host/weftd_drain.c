/* Emptying a host, and ending it when it is empty.
 *
 * The host says of itself that it is leaving, with its next beat; the registry's list carries that
 * to all homes, and each moves its ranks away, whatever the app has asked for. Nobody has to know
 * who asked for the drain: a home that starts anew, or that hears of it late, does its part all the
 * same. The host itself refuses new leases and new apps from the first moment on. What it cannot
 * give away are the apps at home on it: it ends when the last of them has ended, or lies in the
 * store, from where another host can thaw it. What ranks have printed before they left is handed
 * over first; a home that does not take it is not waited for longer than it takes to count as dead.
 * Who waits for an app that has just ended here has a moment to ask how it went.
 */
#include <string.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "control/server.h"
#include "host/weftd.h"
#include "host/weftd_app.h"

enum { EMPTY_POLL_MS = 100, REPORT_MS = 2000 };

static uint32_t apps_at_home(const struct weft_host *host)
{
    uint32_t n = 0;
    for (const struct weft_app *app = host->apps; app != NULL; app = app->hh.next)
        n += app->state != WEFT_APP_ENDED &&
             (app->state != WEFT_APP_FROZEN || weft__weftd_freeze_busy(app));
    return n;
}

/* An app at home here has ended so lately that its client may not have its report yet. */
static bool has_to_report(const struct weft_host *host, uint64_t now)
{
    for (const struct weft_app *app = host->apps; app != NULL; app = app->hh.next)
        if (app->state == WEFT_APP_ENDED && (now < app->ended_ns + REPORT_MS * WEFT_NS_PER_MS ||
                                             weft__weftd_output_end_awaited(app)))
            return true;
    return false;
}

static void poll_fired(struct weft_timer *timer)
{
    struct weft_host *host = weft__loop_owner(timer, struct weft_host, drain_timer);
    if (!host->leaves || host->stopping)
        return;
    uint64_t now = weft__now_ns();
    if (weft__leases_used(&host->leases) != 0 || apps_at_home(host) != 0 ||
        has_to_report(host, now))
        host->empty_ns = 0;
    else if (host->empty_ns == 0)
        host->empty_ns = now;
    if (host->empty_ns != 0 &&
        (weft__weftd_processes_idle(host) ||
         now > host->empty_ns + weft__config_u64("WEFT_DEAD_MS") * WEFT_NS_PER_MS)) {
        weft__info("is empty, and leaves");
        weft__weftd_stop(host);
        return;
    }
    weft__loop_timer(host->asker.loop, timer, now + EMPTY_POLL_MS * WEFT_NS_PER_MS);
}

static int set_leaving(struct weft_host *host, const Weft__Host__DrainRequest *request)
{
    bool before = host->leaving;
    if (host->stopping)
        return weft_fail(WEFT_ESHUTDOWN, "host %s is shutting down", host->name);
    if (strcmp(request->host, host->name) != 0)
        return weft_fail(WEFT_EINVAL, "this is host %s, not \"%s\"", host->name, request->host);
    if (request->look)
        return WEFT_OK;
    if (host->registry != NULL && !request->cancel && !request->stay)
        return weft_fail(WEFT_ENOTSUP,
                         "host %s is the head: without its registry nothing new can start; empty "
                         "it with --stay",
                         host->name);
    host->leaving = !request->cancel;
    host->leaves = host->leaving && !request->stay;
    host->empty_ns = 0;
    if (host->leaving != before) {
        weft__info(host->leaving ? "is being drained" : "takes work again");
        weft__weftd_slots_changed(host);
        weft__weftd_check_leaving(host);
    }
    host->drain_timer.fire = poll_fired;
    weft__loop_timer(host->asker.loop, &host->drain_timer, weft__now_ns());
    return WEFT_OK;
}

void weft__weftd_on_drain(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_host *host = ctx;
    int err = set_leaving(host, (const Weft__Host__DrainRequest *)message);
    if (err != WEFT_OK) {
        weft__call_fail(call, err, weft_fail_text(err));
        return;
    }
    Weft__Host__DrainReply reply = WEFT__HOST__DRAIN_REPLY__INIT;
    reply.used = weft__leases_used(&host->leases);
    reply.apps = apps_at_home(host);
    reply.leaving = host->leaving;
    weft__call_reply(call, &reply.base);
}
