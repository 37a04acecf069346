/* Calls of clients straight to a rank: from the fan-in thread into the rank's queue, answered by
 * the rank's own thread. Nothing of the owner thread is touched: orders and exec stand as long as
 * the server runs.
 *
 * A wrong token is WEFT_ESTALE: ports are used again, so it is most likely a client that remembers
 * a process of another app, which did not begin anything; it has to ask the home again. That error
 * means "not begun" to clients, so a rank that answers with it has its answer turned into
 * WEFT_EFAULT. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "control/server.h"
#include "host/app.h"
#include "host/services.h"
#include "weft/error.h"

enum { TEXT_MAX = 512 };

struct execution {
    struct weft_exec_call call;
    struct weft_call *from;
};

void weft__app_doors_init(struct weft_process_app *app)
{
    app->doors = weft__must_alloc(app->orders->size, sizeof(*app->doors));
    for (uint32_t i = 0; i < app->orders->size; i++)
        app->doors[i] = (struct weft_app_door){.app = app, .rank = (int32_t)i};
}

/* Any thread. */
static void answered(struct weft_exec_call *call, int err, const void *bytes, size_t len_bytes)
{
    struct execution *execution = (struct execution *)(void *)call;
    Weft__Host__ExecuteReply reply = WEFT__HOST__EXECUTE_REPLY__INIT;
    struct weft_call *from = execution->from;
    bool begun = call->taken_ns != 0;
    free(execution);
    if (err == WEFT_OK) {
        reply.body.data = (uint8_t *)(uintptr_t)bytes;
        reply.body.len = len_bytes;
        weft__call_reply(from, &reply.base);
        return;
    }
    char text[TEXT_MAX];
    snprintf(text, sizeof(text), "%.*s", (int)(len_bytes < TEXT_MAX ? len_bytes : TEXT_MAX),
             (const char *)bytes);
    weft__call_fail(from, begun && err == WEFT_ESTALE ? WEFT_EFAULT : err, text);
}

/* The fan-in thread. The call may be answered meanwhile; its address is not used again yet. */
static void cancelled(void *ctx, struct weft_call *call)
{
    const struct weft_app_door *door = ctx;
    weft__exec_call_cancel(door->app->exec, door->rank, call);
}

static int start(struct weft_process_app *app, struct weft_call *call,
                 const Weft__Host__ExecuteRequest *request)
{
    if (request->token != app->orders->call_token)
        return weft_fail(WEFT_ESTALE, "the token is not that of an app in this process");
    if (request->rank < 0 || (uint32_t)request->rank >= app->orders->size)
        return weft_fail(WEFT_EINVAL, "no rank %d in an app of %u", request->rank,
                         app->orders->size);
    struct execution *execution = calloc(1, sizeof(*execution));
    if (execution == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a call");
    *execution = (struct execution){.call = {.code = request->code,
                                             .body = request->body.data,
                                             .len_bytes = request->body.len,
                                             .deadline_ns = weft__call_deadline_ns(call),
                                             .key = call,
                                             .answered = answered},
                                    .from = call};
    weft__call_on_cancel(call, cancelled, &app->doors[request->rank]);
    int err = weft__exec_call(app->exec, request->rank, &execution->call);
    if (err != WEFT_OK)
        free(execution);
    return err;
}

void weft__app_on_execute(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    int err = start(ctx, call, (const Weft__Host__ExecuteRequest *)request);
    if (err == WEFT_EAGAIN)
        weft__call_fail_again(call, weft_fail_retry_ms(), weft_fail_text(err));
    else if (err != WEFT_OK)
        weft__call_fail(call, err, weft_fail_text(err));
}

void weft__app_on_services(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    static const char *const names[] = {"app"};
    const struct weft_process_app *app = ctx;
    struct weft_exec_stats exec;
    char name[160];
    (void)request;
    weft__exec_stats(app->exec, &exec);
    const struct weft_services_counter counters[] = {
        {"calls.queued", exec.calls},
        {"calls.answered", exec.calls_answered},
        {"calls.refused", exec.calls_refused},
        {"calls.returned", exec.calls_returned},
    };
    struct weft_lane_stats lane, each[WEFT_LANES_MAX];
    weft__lanes_stats(weft__exec_lanes(app->exec), &lane);
    weft__lanes_each(weft__exec_lanes(app->exec), each);
    snprintf(name, sizeof(name), "process %u of app %" PRIx64 " on %.64s", app->orders->process,
             app->orders->app, app->orders->host_name);
    weft__services_answer(
        call, &(struct weft_services_desc){.name = name,
                                           .server = app->server,
                                           .services = names,
                                           .services_n = 1,
                                           .lane = &lane,
                                           .each = each,
                                           .counters = counters,
                                           .counters_n = sizeof(counters) / sizeof(counters[0])});
}
