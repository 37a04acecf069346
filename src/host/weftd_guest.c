/* The apps that have something on this host: who speaks for them, and whether their home still
 * lives.
 *
 * The first lease brings the app's token and its home's url; every later call about the app has to
 * bring the same token, so that a confused or hostile client cannot end, start or take over what is
 * not its own. While an app has a lease or a process here, its home is asked for a sign of life: a
 * home that is silent for WEFT_DEAD_MS, or that does not know the app, means that the app has
 * ended, and all that it has here goes. So nothing stays behind for good, whatever dies when.
 */
#include "host/weftd_guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "base/must.h"
#include "host/calls.h"
#include "host/weftd_app.h"
#include "host/weftd_process.h"

static uint64_t dead_ns(void)
{
    return weft__config_u64("WEFT_DEAD_MS") * WEFT_NS_PER_MS;
}

struct weft_guest *weft__weftd_guest_find(struct weft_host *host, uint64_t app)
{
    struct weft_guest *guest;
    HASH_FIND(hh, host->guests, &app, sizeof(app), guest);
    return guest;
}

int weft__weftd_guest_of(struct weft_host *host, uint64_t app, uint64_t token,
                         struct weft_guest **guest_out)
{
    struct weft_guest *guest = weft__weftd_guest_find(host, app);
    if (guest == NULL)
        return weft_fail(WEFT_ENOENT, "app %llx has nothing on host %s", (unsigned long long)app,
                         host->name);
    if (guest->token != token)
        return weft_fail(WEFT_EACCES, "wrong token for app %llx", (unsigned long long)app);
    if (guest_out != NULL)
        *guest_out = guest;
    return WEFT_OK;
}

static void guest_free(struct weft_guest *guest)
{
    struct weft_host *host = guest->host;
    HASH_DELETE(hh, host->guests, guest);
    free(guest);
}

void weft__weftd_guest_check(struct weft_host *host, uint64_t app)
{
    struct weft_guest *guest = weft__weftd_guest_find(host, app);
    if (guest != NULL && guest->process == NULL && !weft__weftd_lease_of(host, app))
        guest_free(guest);
}

int weft__weftd_guest_add(struct weft_host *host, const Weft__Host__LeaseRequest *request)
{
    struct weft_guest *guest = weft__weftd_guest_find(host, request->app);
    if (guest != NULL)
        return weft__weftd_guest_of(host, request->app, request->token, NULL);
    if (strlen(request->home_control) >= WEFT_URL_MAX ||
        strncmp(request->home_control, "tcp://", 6) != 0)
        return weft_fail(WEFT_EINVAL, "a lease needs the url of the app's home");
    guest = weft__must_alloc(1, sizeof(*guest));
    guest->host = host;
    guest->app = request->app;
    guest->token = request->token;
    guest->home_answered_ns = weft__now_ns();
    memcpy(guest->home_control, request->home_control, strlen(request->home_control));
    HASH_ADD(hh, host->guests, app, sizeof(guest->app), guest);
    return WEFT_OK;
}

/* The app has ended elsewhere. */
static void guest_end(struct weft_guest *guest, const char *why)
{
    struct weft_host *host = guest->host;
    uint64_t app = guest->app;
    if (guest->process != NULL)
        weft__weftd_process_kill(guest->process, why);
    weft__weftd_lease_end_app(host, app); /* may free the guest */
}

/* Where the home was only deaf, or asleep, this is what it tells its client. */
static void give_home_up(struct weft_guest *guest)
{
    char why[256];
    snprintf(why, sizeof(why), "host %s, which runs a rank of it, hears nothing of its home at %s",
             guest->host->name, guest->home_control);
    guest_end(guest, why);
}

/* ---- signs of life ---- */

struct beat {
    struct weft_host *host;
    uint64_t app;
};

static void home_beaten(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct beat *beat = ctx;
    struct weft_guest *guest = weft__weftd_guest_find(beat->host, beat->app);
    (void)text;
    free(beat);
    if (guest == NULL)
        return;
    guest->home_asked = false;
    if (err != WEFT_OK)
        return;
    guest->home_answered_ns = weft__now_ns();
    if (!((const Weft__Host__AppBeatReply *)reply)->known)
        guest_end(guest, "the app is no longer at home where it was");
}

static void ask_home(struct weft_guest *guest)
{
    struct beat *beat = weft__must_alloc(1, sizeof(*beat));
    *beat = (struct beat){.host = guest->host, .app = guest->app};
    guest->home_asked = true;
    Weft__Host__AppBeatRequest request = WEFT__HOST__APP_BEAT_REQUEST__INIT;
    request.app = guest->app;
    request.host = guest->host->name;
    request.token = guest->token;
    request.handed_over = guest->process == NULL || weft__weftd_streams_idle(guest->process);
    weft__ask(&guest->host->asker,
              &(struct weft_question){.url = guest->home_control,
                                      .code = WEFT_CALL_BEAT,
                                      .request = &request.base,
                                      .reply_type = &weft__host__app_beat_reply__descriptor,
                                      .timeout_ms = (uint32_t)weft__config_u64("WEFT_DEAD_MS") /
                                                    2, /* a lost one is asked again in time */
                                      .answered = home_beaten,
                                      .ctx = beat});
}

/* A timer that comes late tells of a silence of our own: the homes are not blamed for it. */
static uint64_t own_silence_ns(const struct weft_timer *timer, uint64_t now)
{
    uint64_t late_ns = now > timer->at_ns ? now - timer->at_ns : 0;
    return late_ns > dead_ns() / 6 ? late_ns : 0;
}

static void beat_homes(struct weft_timer *timer)
{
    struct weft_host *host = weft__loop_owner(timer, struct weft_host, home_beat_timer);
    struct weft_guest *guest, *next;
    uint64_t now = weft__now_ns(), silence_ns = own_silence_ns(timer, now);
    HASH_ITER(hh, host->guests, guest, next)
    {
        guest->home_answered_ns += silence_ns;
        if (now > guest->home_answered_ns + dead_ns())
            give_home_up(guest);
        else if (!guest->home_asked)
            ask_home(guest);
    }
    weft__weftd_apps_check_heard(host, now, silence_ns);
    weft__loop_timer(host->asker.loop, timer,
                     now + weft__config_u64("WEFT_HEARTBEAT_MS") * WEFT_NS_PER_MS);
}

void weft__weftd_guests_init(struct weft_host *host)
{
    host->home_beat_timer.fire = beat_homes;
    weft__loop_timer(host->asker.loop, &host->home_beat_timer, weft__now_ns());
}

void weft__weftd_guests_fini(struct weft_host *host)
{
    struct weft_guest *guest, *next;
    HASH_ITER(hh, host->guests, guest, next)
    guest_free(guest);
}
