/* The packets around a move, of an app that is run with --trace: marked when a phase of a move
 * concerns this process, collected a moment later and told as events. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/must.h"
#include "host/app.h"

enum { COLLECT_MS = 30 };

static const enum weft_event_kind kinds[] = {
    [WEFT_EXEC_TRACED_SENT] = WEFT_EVENT_MESSAGE_SENT,
    [WEFT_EXEC_TRACED_RECEIVED] = WEFT_EVENT_MESSAGE_RECEIVED,
    [WEFT_EXEC_TRACED_HELD] = WEFT_EVENT_MESSAGE_HELD,
    [WEFT_EXEC_TRACED_FORWARDED] = WEFT_EVENT_MESSAGE_FORWARDED,
};

static void tell_rank(struct weft_process_app *app, int32_t rank, struct weft_exec_trace *packets)
{
    size_t n = weft__exec_trace_take(app->exec, rank, packets);
    uint64_t now_ns = weft__now_ns(), utc_ns = weft__wall_ns();
    for (size_t i = 0; i < n; i++) {
        struct weft_event event = {
            .time_ns = utc_ns - (now_ns - packets[i].mono_ns),
            .mono_ns = packets[i].mono_ns,
            .app = app->orders->app,
            .kind = kinds[packets[i].what],
            .rank = rank,
            .n = {(uint64_t)packets[i].peer, packets[i].sequence, packets[i].len_bytes}};
        weft__app_event_add(app, &event);
    }
}

static void collect(struct weft_timer *timer)
{
    struct weft_process_app *app = weft__loop_owner(timer, struct weft_process_app, trace_timer);
    struct weft_exec_trace *packets = weft__must_alloc(WEFT_APP_TRACE_PACKETS, sizeof(*packets));
    for (uint32_t r = 0; r < app->orders->size; r++)
        tell_rank(app, (int32_t)r, packets);
    free(packets);
}

void weft__app_trace_mark(struct weft_process_app *app)
{
    if (!app->orders->trace)
        return;
    weft__exec_trace_mark(app->exec);
    app->trace_timer.fire = collect;
    if (!app->trace_timer.armed)
        weft__loop_timer(app->asker.loop, &app->trace_timer,
                         weft__now_ns() + COLLECT_MS * WEFT_NS_PER_MS);
}
