/* What the ranks of an app print, on its way from the hosts to the client that waits.
 *
 * A queue of pieces, numbered; a client acknowledges by asking for the number after. While a client
 * keeps fetching, a full queue makes the hosts wait (their answer is deferred), which slows the
 * ranks that print: nothing is lost. When nobody has fetched for some seconds the oldest pieces go,
 * counted.
 */
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "base/clock.h"
#include "control/server.h"
#include "host/weftd_app.h"

enum {
    QUEUE_MAX = 4 << 20,
    REPLY_MAX = 512 * 1024,
    ATTENTIVE_S = 5,
    HELD_MAX = 1024,
    WAIT_MAX_MS = 60000
};

struct piece {
    struct piece *prev, *next;
    uint64_t number;
    size_t out_len, err_len;
    uint8_t bytes[];
};

/* A client that waits for output or the end. */
struct waiter {
    struct waiter *prev, *next;
    struct weft_app *app;
    struct weft_call *call;
    uint64_t offset;
    struct weft_timer timer;
};

struct weft_output {
    struct piece *pieces;
    size_t queued_bytes;
    uint64_t next_number;
    uint64_t dropped;
    uint64_t fetched_ns; /* when a client last asked */
    struct waiter *waiters;
    struct weft_call *held[HELD_MAX]; /* hosts that wait for room */
    size_t held_n;
};

struct weft_output *weft__output_new(void)
{
    return calloc(1, sizeof(struct weft_output));
}

static void piece_drop(struct weft_output *output, struct piece *piece)
{
    output->queued_bytes -= piece->out_len + piece->err_len;
    DL_DELETE(output->pieces, piece);
    free(piece);
}

static void hosts_go_on(struct weft_output *output)
{
    if (output->queued_bytes >= QUEUE_MAX / 2)
        return;
    for (size_t i = 0; i < output->held_n; i++)
        weft__call_reply(output->held[i], NULL);
    output->held_n = 0;
}

static void answer(struct waiter *waiter)
{
    struct weft_app *app = waiter->app;
    struct weft_output *output = app->output;
    Weft__Host__WaitReply reply = WEFT__HOST__WAIT_REPLY__INIT;
    uint8_t *out = malloc(2 * REPLY_MAX), *err = out + REPLY_MAX;
    if (out == NULL)
        abort();
    reply.next_offset = waiter->offset;
    struct piece *piece;
    DL_FOREACH(output->pieces, piece)
    {
        if (piece->number < waiter->offset)
            continue;
        if (reply.output.len + piece->out_len > REPLY_MAX ||
            reply.errors.len + piece->err_len > REPLY_MAX)
            break;
        memcpy(out + reply.output.len, piece->bytes, piece->out_len);
        memcpy(err + reply.errors.len, piece->bytes + piece->out_len, piece->err_len);
        reply.output.len += piece->out_len;
        reply.errors.len += piece->err_len;
        reply.next_offset = piece->number + 1;
    }
    reply.output.data = out;
    reply.errors.data = err;
    reply.dropped = output->dropped;
    reply.ended = app->state == WEFT_APP_ENDED && reply.next_offset == output->next_number;
    if (reply.ended) {
        reply.code = app->code;
        reply.err = app->err;
        reply.reason = app->reason;
    }
    weft__call_reply(waiter->call, &reply.base);
    free(out);
    weft__loop_timer_off(app->host->asker.loop, &waiter->timer);
    DL_DELETE(output->waiters, waiter);
    free(waiter);
}

static void answer_all(struct weft_output *output)
{
    struct waiter *waiter, *next;
    DL_FOREACH_SAFE(output->waiters, waiter, next)
    answer(waiter);
}

void weft__output_free(struct weft_output *output)
{
    if (output == NULL)
        return;
    struct piece *piece, *next;
    answer_all(output);
    DL_FOREACH_SAFE(output->pieces, piece, next)
    piece_drop(output, piece);
    hosts_go_on(output);
    free(output);
}

void weft__output_ended(struct weft_app *app)
{
    answer_all(app->output);
}

static bool attentive(const struct weft_output *output)
{
    return output->waiters != NULL ||
           weft__now_ns() - output->fetched_ns < ATTENTIVE_S * WEFT_NS_PER_S;
}

static void make_room(struct weft_output *output)
{
    while (output->queued_bytes > QUEUE_MAX && output->pieces != NULL) {
        output->dropped += output->pieces->out_len + output->pieces->err_len;
        piece_drop(output, output->pieces);
    }
}

void weft__weftd_on_output(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__Host__OutputPush *push = (const Weft__Host__OutputPush *)message;
    struct weft_app *app = weft__weftd_app_find(ctx, push->app);
    if (app == NULL) {
        weft__call_fail(call, WEFT_ENOENT, "no such app is at home here");
        return;
    }
    struct weft_output *output = app->output;
    struct piece *piece = malloc(sizeof(*piece) + push->output.len + push->errors.len);
    if (piece == NULL || push->output.len > REPLY_MAX || push->errors.len > REPLY_MAX) {
        free(piece);
        weft__call_fail(call, WEFT_EMSGSIZE, NULL);
        return;
    }
    piece->number = output->next_number++;
    piece->out_len = push->output.len;
    piece->err_len = push->errors.len;
    if (piece->out_len > 0)
        memcpy(piece->bytes, push->output.data, piece->out_len);
    if (piece->err_len > 0)
        memcpy(piece->bytes + piece->out_len, push->errors.data, piece->err_len);
    DL_APPEND(output->pieces, piece);
    output->queued_bytes += piece->out_len + piece->err_len;
    if (output->queued_bytes > QUEUE_MAX && attentive(output) && output->held_n < HELD_MAX) {
        output->held[output->held_n++] = call;
    } else {
        make_room(output);
        weft__call_reply(call, NULL);
    }
    answer_all(output);
}

static void wait_over(struct weft_timer *timer)
{
    answer((struct waiter *)((char *)timer - offsetof(struct waiter, timer)));
}

void weft__weftd_on_wait(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__Host__WaitRequest *request = (const Weft__Host__WaitRequest *)message;
    struct weft_app *app = weft__weftd_app_find(ctx, request->app);
    if (app == NULL) {
        weft__call_fail(call, WEFT_ENOENT, "no such app is at home here");
        return;
    }
    struct weft_output *output = app->output;
    struct waiter *waiter = calloc(1, sizeof(*waiter));
    if (waiter == NULL)
        abort();
    *waiter = (struct waiter){
        .app = app, .call = call, .offset = request->offset, .timer = {.fire = wait_over}};
    output->fetched_ns = weft__now_ns();
    while (output->pieces != NULL && output->pieces->number < request->offset)
        piece_drop(output, output->pieces);
    hosts_go_on(output);
    DL_APPEND(output->waiters, waiter);
    bool ready = output->pieces != NULL || app->state == WEFT_APP_ENDED;
    uint32_t wait_ms = request->wait_ms < WAIT_MAX_MS ? request->wait_ms : WAIT_MAX_MS;
    if (ready || wait_ms == 0)
        answer(waiter);
    else
        weft__loop_timer(app->host->asker.loop, &waiter->timer,
                         output->fetched_ns + wait_ms * WEFT_NS_PER_MS);
}
