/* The events of this host: a ring that its owner thread fills (base/events.h). Processes of apps
 * have a ring of their own and tell what is in it a moment later; it becomes part of ours, with the
 * times at which it happened: they have the same clocks. Whoever asks gets what is there and asks
 * again for more: nobody is kept waiting, and nobody who does not ask holds anything up.
 */
#include "host/weftd_events.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "base/must.h"
#include "control/server.h"
#include "host/event_file.h"
#include "host/events_wire.h"
#include "host/weftd_guest.h"
#include "weft/error.h"

enum { KEPT = 16384, KEPT_MESSAGES = 65536 };

int weft__weftd_events_init(struct weft_host *host)
{
    const char *path = weft__config_text("WEFT_EVENTS");
    int err = weft__events_init(&host->events, KEPT);
    if (err == WEFT_OK && path[0] != '\0')
        err = weft__event_file_open(
            &(struct weft_event_file_desc){.path = path,
                                           .host = host->name,
                                           .max_bytes = weft__config_u64("WEFT_EVENTS_MAX"),
                                           .events = &host->events},
            &host->event_file);
    weft__events_own(&host->events, 0);
    return err;
}

void weft__weftd_events_fini(struct weft_host *host)
{
    weft__events_own(NULL, 0);
    int err = weft__event_file_close(host->event_file);
    host->event_file = NULL;
    weft__events_fini(&host->messages);
    if (err == WEFT_OK)
        weft__events_fini(&host->events);
    else
        weft__warn("%s", weft_fail_text(err));
}

/* Reads from *next_io on, until max events are of the app or there are no more. */
static size_t read_some(const struct weft_host *host, const Weft__Events__EventsRequest *request,
                        struct weft_event *events, Weft__Events__EventsReply *reply)
{
    size_t max = request->max != 0 && request->max < WEFT_EVENTS_PER_MESSAGE
                     ? request->max
                     : WEFT_EVENTS_PER_MESSAGE;
    size_t n = 0;
    uint64_t next = request->from, lost = 0;
    const struct weft_events *ring = request->messages ? &host->messages : &host->events;
    while (n < max && weft__events_read(ring, &next, &events[n], 1, &lost) == 1)
        n += request->app == 0 || events[n].app == request->app;
    reply->next = next;
    reply->lost = lost;
    reply->more = n == max;
    return n;
}

void weft__weftd_on_events(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_host *host = ctx;
    const Weft__Events__EventsRequest *request = (const Weft__Events__EventsRequest *)message;
    Weft__Events__EventsReply reply = WEFT__EVENTS__EVENTS_REPLY__INIT;
    struct weft_events_packed packed;
    struct weft_event *events = malloc(WEFT_EVENTS_PER_MESSAGE * sizeof(*events));
    if (events == NULL) {
        weft__call_fail(call, WEFT_ENOMEM, "no memory to tell events");
        return;
    }
    size_t n = read_some(host, request, events, &reply);
    weft__events_pack(events, n, &packed);
    reply.host = host->name;
    reply.incarnation = host->incarnation;
    reply.time_ns = weft__wall_ns();
    reply.mono_ns = weft__now_ns();
    reply.events = packed.list;
    reply.n_events = n;
    weft__call_reply(call, &reply.base);
    weft__events_packed_free(&packed);
    free(events);
}

/* Messages have a ring of their own: there are many, and they must not push out what matters. */
static void keep(struct weft_host *host, const struct weft_event *event)
{
    bool message =
        event->kind >= WEFT_EVENT_MESSAGE_SENT && event->kind <= WEFT_EVENT_MESSAGE_FORWARDED;
    if (message && host->messages.slots == NULL &&
        weft__events_init(&host->messages, KEPT_MESSAGES) != WEFT_OK)
        return;
    weft__events_add(message ? &host->messages : &host->events, event);
}

/* A process speaks for its own app only, and may tell twice what it got no answer to. */
static void take(struct weft_host *host, struct weft_guest *guest,
                 const Weft__Events__EventsTell *tell)
{
    if (guest->events_process != tell->process)
        guest->events_next = 0;
    guest->events_process = tell->process;
    for (size_t i = 0; i < tell->n_events; i++) {
        struct weft_event event;
        weft__events_unpack(tell->events[i], &event);
        if (event.sequence < guest->events_next)
            continue;
        guest->events_next = event.sequence + 1;
        event.app = tell->app;
        if (event.kind != WEFT_EVENT_NOTHING)
            keep(host, &event);
    }
}

void weft__weftd_on_events_tell(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_host *host = ctx;
    const Weft__Events__EventsTell *tell = (const Weft__Events__EventsTell *)message;
    struct weft_guest *guest;
    int err = weft__weftd_guest_of(host, tell->app, tell->token, &guest);
    if (err != WEFT_OK) {
        weft__call_fail(call, err, weft_fail_text(err));
        return;
    }
    if (tell->lost > 0)
        weft__weftd_event(host, &(struct weft_event_note){.kind = WEFT_EVENT_EVENTS_LOST,
                                                          .app = tell->app,
                                                          .rank = WEFT_EVENT_NO_RANK,
                                                          .n = {tell->lost}});
    take(host, guest, tell);
    weft__call_reply(call, NULL);
}
