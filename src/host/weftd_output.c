/* What the ranks of an app print, on its way from the hosts to the client that waits.
 *
 * While a client keeps fetching, a full queue makes the hosts wait (their answer is deferred),
 * which slows the ranks that print: nothing is lost. When nobody has fetched for some seconds the
 * hosts go on and the oldest pieces are dropped, counted. Each process has one piece under way at a
 * time, so the queue outgrows its limit by at most one piece per process.
 */
#include <stdlib.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/must.h"
#include "control/server.h"
#include "host/output.h"
#include "host/weftd_app.h"

enum { ASKS_AGAIN_MS = 1000, ATTENTIVE_MS = 5000, WAIT_MAX_MS = 60000 };

/* A client that waits for output or the end. */
struct waiter {
    struct waiter *prev, *next;
    struct weft_app *app;
    struct weft_call *call;
    struct weft_timer timer;
};

/* A host that waits for room. */
struct held {
    struct held *next;
    struct weft_call *call;
};

struct weft_app_output {
    struct weft_app *app;
    struct weft_output *queue;
    uint64_t fetched_ns;  /* when a client last asked, */
    uint64_t answered_ns; /* and when one was last answered */
    bool end_told;
    struct waiter *waiters;
    struct held *held;
    struct weft_timer patience; /* how long those are held without a client */
};

static void hosts_go_on(struct weft_app_output *output)
{
    struct held *held, *next;
    LL_FOREACH_SAFE(output->held, held, next)
    {
        weft__call_reply(held->call, NULL);
        free(held);
    }
    output->held = NULL;
    weft__loop_timer_off(output->app->host->asker.loop, &output->patience);
}

static uint64_t attentive_until(const struct weft_app_output *output)
{
    return output->fetched_ns + ATTENTIVE_MS * WEFT_NS_PER_MS;
}

static bool attentive(const struct weft_app_output *output)
{
    return output->waiters != NULL || weft__now_ns() < attentive_until(output);
}

static void patience_over(struct weft_timer *timer)
{
    struct weft_app_output *output = weft__loop_owner(timer, struct weft_app_output, patience);
    if (attentive(output)) {
        weft__loop_timer(output->app->host->asker.loop, timer,
                         weft__now_ns() + ATTENTIVE_MS * WEFT_NS_PER_MS);
        return;
    }
    weft__output_make_room(output->queue);
    hosts_go_on(output);
}

struct weft_app_output *weft__weftd_output_new(struct weft_app *app)
{
    struct weft_app_output *output = weft__must_alloc(1, sizeof(*output));
    output->app = app;
    output->queue = weft__output_new();
    output->fetched_ns = weft__now_ns();
    output->patience.fire = patience_over;
    return output;
}

static void answer(struct waiter *waiter)
{
    struct weft_app *app = waiter->app;
    struct weft_output_batch batch;
    char frozen[1024];
    Weft__Host__WaitReply reply = WEFT__HOST__WAIT_REPLY__INIT;
    weft__output_fetch(app->output->queue, &batch);
    reply.output = (ProtobufCBinaryData){.len = batch.out_len, .data = batch.out};
    reply.errors = (ProtobufCBinaryData){.len = batch.err_len, .data = batch.err};
    reply.next_offset = batch.next;
    reply.dropped = weft__output_dropped(app->output->queue);
    reply.ended = app->state == WEFT_APP_ENDED && batch.last;
    if (reply.ended) {
        reply.code = app->code;
        reply.err = app->err;
        reply.reason = app->reason;
    }
    weft__weftd_frozen_tell(app, frozen, sizeof(frozen));
    reply.frozen = frozen;
    app->output->answered_ns = weft__now_ns();
    app->output->end_told |= reply.ended != 0;
    weft__call_reply(waiter->call, &reply.base);
    free(batch.out);
    weft__loop_timer_off(app->host->asker.loop, &waiter->timer);
    DL_DELETE(app->output->waiters, waiter);
    free(waiter);
}

static void answer_all(struct weft_app_output *output)
{
    struct waiter *waiter, *next;
    DL_FOREACH_SAFE(output->waiters, waiter, next)
    answer(waiter);
}

void weft__weftd_output_free(struct weft_app_output *output)
{
    answer_all(output);
    hosts_go_on(output);
    weft__output_free(output->queue);
    free(output);
}

bool weft__weftd_output_end_awaited(const struct weft_app *app)
{
    const struct weft_app_output *output = app->output;
    return !output->end_told && output->answered_ns != 0 &&
           weft__now_ns() < output->answered_ns + ASKS_AGAIN_MS * WEFT_NS_PER_MS;
}

void weft__weftd_output_news(struct weft_app *app)
{
    answer_all(app->output);
}

void weft__weftd_output_ended(struct weft_app *app)
{
    answer_all(app->output);
}

static void hold(struct weft_app_output *output, struct weft_call *call)
{
    struct held *held = weft__must_alloc(1, sizeof(*held));
    held->call = call;
    LL_PREPEND(output->held, held);
    if (!output->patience.armed)
        weft__loop_timer(output->app->host->asker.loop, &output->patience, attentive_until(output));
}

/* Adds the piece, unless it is here already: then its sender has not had the answer. */
static int take(struct weft_app *app, const Weft__Host__OutputPush *push)
{
    struct weft_app_process *process = weft__weftd_app_process(app, push->process);
    if (process == NULL || push->piece == 0)
        return weft_fail(WEFT_EPROTO, "a piece of output of no process");
    if (push->piece <= process->piece)
        return WEFT_OK;
    int err =
        weft__output_add(app->output->queue, &(struct iovec){push->output.data, push->output.len},
                         &(struct iovec){push->errors.data, push->errors.len});
    if (err == WEFT_OK)
        process->piece = push->piece;
    return err;
}

void weft__weftd_on_output(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__Host__OutputPush *push = (const Weft__Host__OutputPush *)message;
    struct weft_app *app = weft__weftd_app_of(ctx, push->app, push->token, call);
    if (app == NULL)
        return;
    struct weft_app_output *output = app->output;
    int err = take(app, push);
    if (err != WEFT_OK) {
        weft__call_fail(call, err, weft_fail_text(err));
    } else if (weft__output_full(output->queue) && attentive(output)) {
        hold(output, call);
    } else {
        weft__output_make_room(output->queue);
        weft__call_reply(call, NULL);
    }
    answer_all(output);
}

static void wait_over(struct weft_timer *timer)
{
    answer(weft__loop_owner(timer, struct waiter, timer));
}

void weft__weftd_on_wait(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__Host__WaitRequest *request = (const Weft__Host__WaitRequest *)message;
    struct weft_app *app = weft__weftd_app_find(ctx, request->app);
    int err = app != NULL ? weft__output_taken(app->output->queue, request->offset)
                          : weft_fail(WEFT_ENOENT, "no such app is at home here");
    if (err != WEFT_OK) {
        weft__call_fail(call, err, weft_fail_text(err));
        return;
    }
    struct weft_app_output *output = app->output;
    struct waiter *waiter = weft__must_alloc(1, sizeof(*waiter));
    *waiter = (struct waiter){.app = app, .call = call, .timer = {.fire = wait_over}};
    uint32_t wait_ms = request->wait_ms < WAIT_MAX_MS ? request->wait_ms : WAIT_MAX_MS;
    output->fetched_ns = weft__now_ns();
    if (weft__output_has_room(output->queue))
        hosts_go_on(output);
    DL_APPEND(output->waiters, waiter);
    if (!weft__output_empty(output->queue) || app->state == WEFT_APP_ENDED || wait_ms == 0)
        answer(waiter);
    else
        weft__loop_timer(app->host->asker.loop, &waiter->timer,
                         output->fetched_ns + wait_ms * WEFT_NS_PER_MS);
}
