/* What happens in an app process, told to the host that it runs on.
 *
 * Events go into a ring (base/events.h); the owner thread tells what is new in it a moment later,
 * many at once, and again until the host has it: one question is under way at a time. The phases of
 * a move are read off the states of the two machines, before and after a step, so that what is told
 * is what was done.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/must.h"
#include "control/client.h"
#include "host/app.h"
#include "host/calls.h"
#include "host/events_wire.h"
#include "weft/error.h"

enum {
    KEPT = 1024,
    KEPT_TRACED = 16384,
    DELAY_MS = 10,
    LOOK_MS = 500,
    RETRY_MS = 200,
    TELL_TIMEOUT_MS = 2000,
    LAST_MS = 500
};

/* The timer is always armed: other threads note events too, and wake nobody. */
static void tell_later(struct weft_process_app *app, uint64_t delay_ms)
{
    uint64_t at_ns = weft__now_ns() + delay_ms * WEFT_NS_PER_MS;
    if (!app->events_under_way && (!app->events_timer.armed || at_ns < app->events_timer.at_ns))
        weft__loop_timer(app->asker.loop, &app->events_timer, at_ns);
}

static void told(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct weft_process_app *app = ctx;
    uint64_t next = app->events_next, lost = 0;
    struct weft_event event;
    (void)text;
    (void)reply;
    app->events_under_way = false;
    if (app->closing)
        return;
    if (err == WEFT_OK) {
        app->events_next = app->events_asked;
        app->events_lost = 0;
        next = app->events_next;
    }
    if (err != WEFT_OK)
        tell_later(app, RETRY_MS);
    else
        tell_later(app, weft__events_read(&app->events, &next, &event, 1, &lost) > 0 ? 0 : LOOK_MS);
}

/* What is new, as a message. Owns: request_free(). */
struct request {
    struct weft_event *events;
    struct weft_events_packed packed;
    Weft__Events__EventsTell tell;
};

static void request_make(struct weft_process_app *app, struct request *request)
{
    request->events = weft__must_alloc(WEFT_EVENTS_PER_MESSAGE, sizeof(*request->events));
    app->events_asked = app->events_next;
    size_t n = weft__events_read(&app->events, &app->events_asked, request->events,
                                 WEFT_EVENTS_PER_MESSAGE, &app->events_lost);
    weft__events_pack(request->events, n, &request->packed);
    weft__events__events_tell__init(&request->tell);
    request->tell.app = app->orders->app;
    request->tell.token = app->orders->token;
    request->tell.process = app->orders->process;
    request->tell.lost = app->events_lost;
    request->tell.events = request->packed.list;
    request->tell.n_events = n;
}

static bool is_empty(const struct request *request)
{
    return request->tell.n_events == 0 && request->tell.lost == 0;
}

static void request_free(struct request *request)
{
    weft__events_packed_free(&request->packed);
    free(request->events);
}

static void tell(struct weft_timer *timer)
{
    struct weft_process_app *app = weft__loop_owner(timer, struct weft_process_app, events_timer);
    struct request request;
    request_make(app, &request);
    if (is_empty(&request)) {
        tell_later(app, LOOK_MS);
    } else {
        app->events_under_way = true;
        weft__ask(&app->asker, &(struct weft_question){.url = app->orders->host_control,
                                                       .code = WEFT_CALL_EVENTS_TELL,
                                                       .request = &request.tell.base,
                                                       .timeout_ms = TELL_TIMEOUT_MS,
                                                       .answered = told,
                                                       .ctx = app});
    }
    request_free(&request);
}

void weft__app_events_start(struct weft_process_app *app)
{
    tell_later(app, LOOK_MS);
}

void weft__app_events_last(struct weft_process_app *app)
{
    struct request request;
    if (app->asker.client == NULL || app->events.slots == NULL)
        return;
    request_make(app, &request);
    if (!is_empty(&request))
        (void)weft__client_wait(app->asker.client,
                                &(struct weft_client_call){.url = app->orders->host_control,
                                                           .code = WEFT_CALL_EVENTS_TELL,
                                                           .request = &request.tell.base,
                                                           .timeout_ms = LAST_MS},
                                NULL); /* a host that does not answer has other worries */
    request_free(&request);
}

void weft__app_events_init(struct weft_process_app *app)
{
    app->events_timer.fire = tell;
    app->events_next = 1;
    size_t kept = app->orders->trace ? KEPT_TRACED : KEPT;
    if (weft__events_init(&app->events, kept) != WEFT_OK)
        app->events.slots = NULL; /* it does its work without */
    weft__events_own(&app->events, app->orders->app);
}

void weft__app_events_fini(struct weft_process_app *app)
{
    weft__events_own(NULL, 0);
    weft__events_fini(&app->events);
}

void weft__app_event(struct weft_process_app *app, const struct weft_event_note *note)
{
    weft__events_note(&app->events, note);
    tell_later(app, DELAY_MS);
}

void weft__app_event_add(struct weft_process_app *app, const struct weft_event *event)
{
    weft__events_add(&app->events, event);
    tell_later(app, DELAY_MS);
}

/* ---- the phases of a move ---- */

static void note(struct weft_app_mover *mover, enum weft_event_kind kind, uint64_t move,
                 uint64_t number)
{
    uint64_t now = weft__now_ns();
    struct weft_event_note note = {.kind = kind,
                                   .app = mover->app->orders->app,
                                   .rank = mover->rank,
                                   .mono_ns = now,
                                   .n = {move, now - mover->phase_ns, number}};
    if (kind == WEFT_EVENT_MOVE_COPIED) {
        note.n[2] = mover->pulled.bytes;
        note.n[3] = mover->pulled.touched;
        note.text[0] = mover->pulled.transport;
    }
    if (kind == WEFT_EVENT_MOVE_RESUMED)
        note.n[1] = number;
    weft__app_event(mover->app, &note);
    mover->phase_ns = now;
}

void weft__app_source_stepped(struct weft_app_mover *mover, enum weft_move_source_state before)
{
    uint64_t move = mover->source.id.move_id;
    if (mover->source.state == before)
        return;
    switch (mover->source.state) {
    case WEFT_SOURCE_WAITING:
        mover->phase_ns = weft__now_ns();
        break;
    case WEFT_SOURCE_FROZEN:
        weft__app_trace_mark(mover->app);
        note(mover, WEFT_EVENT_MOVE_FROZEN, move, 0);
        break;
    case WEFT_SOURCE_FORWARDING:
        weft__app_trace_mark(mover->app);
        mover->phase_ns = weft__now_ns();
        break;
    case WEFT_SOURCE_FLUSHED:
        note(mover, WEFT_EVENT_MOVE_FLUSHED, move, mover->forwarded);
        break;
    default:
        break; /* what was given up is told by the home */
    }
}

void weft__app_dest_stepped(struct weft_app_mover *mover, enum weft_move_dest_state before)
{
    uint64_t move = mover->dest.id.move_id;
    if (mover->dest.state == before)
        return;
    switch (mover->dest.state) {
    case WEFT_DEST_RESERVING:
    case WEFT_DEST_PULLING:
        mover->phase_ns = weft__now_ns();
        break;
    case WEFT_DEST_PREPARED:
        if (before == WEFT_DEST_RESERVING)
            note(mover, WEFT_EVENT_MOVE_PREPARED, move, 0);
        break;
    case WEFT_DEST_HOLDING:
        note(mover, WEFT_EVENT_MOVE_COPIED, move, 0);
        break;
    case WEFT_DEST_RUNNING:
        weft__app_trace_mark(mover->app);
        note(mover, WEFT_EVENT_MOVE_COMMITTED, move, mover->dest.id.incarnation + 1);
        break;
    default:
        break;
    }
}

void weft__app_resumed(struct weft_app_mover *mover)
{
    note(mover, WEFT_EVENT_MOVE_RESUMED, mover->dest.id.move_id,
         (uint64_t)(mover->pause_ms * (double)WEFT_NS_PER_MS));
}
