/* Calls that change a value: begun, made and ended under the lock, then answered. A push whose
 * bytes have to be fetched is begun here, and made by the service's thread. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "state/parts.h"
#include "weft/error.h"

#define STAGE_MS 60000

static void answer(struct weft_call *call, const struct weft_outcome *outcome)
{
    Weft__State__ChangeReply reply = WEFT__STATE__CHANGE_REPLY__INIT;
    if (outcome->err != WEFT_OK) {
        weft__state_fail(call, outcome->err);
        return;
    }
    reply.outcome = outcome->result;
    reply.version = outcome->version;
    reply.items = outcome->items;
    reply.size = outcome->size;
    weft__call_reply(call, &reply.base);
}

/* The change of one call, whichever it is. */
struct change {
    struct weft_state_place place;
    struct weft_state_writer writer;
    struct weft_kept *kept;
    struct weft_outcome outcome;
};

/* Locks, finds the value and begins. true: make it now, under the lock, then finish(). false: the
 * call is answered, nothing is locked. */
static bool begin(struct weft_state_server *server, struct weft_call *call, struct change *change)
{
    bool make = false;
    weft__state_lock(server);
    int err = weft__main_find(&server->main, weft__now_ns(), &change->place, &change->kept);
    if (err == WEFT_OK)
        err = weft__change_begin(&server->main, change->kept, change->writer, &change->outcome,
                                 &make);
    if (err == WEFT_OK && make)
        return true;
    weft__state_unlock(server);
    if (err != WEFT_OK)
        weft__state_fail(call, err);
    else
        answer(call, &change->outcome);
    return false;
}

static void finish(struct weft_state_server *server, struct weft_call *call, struct change *change)
{
    weft__change_end(change->kept, change->writer, &change->outcome);
    weft__state_unlock(server);
    answer(call, &change->outcome);
}

/* ---- push ---- */

static struct change change_of(const Weft__State__PushRequest *request)
{
    return (struct change){.place = {request->user, request->key, request->epoch},
                           .writer = {request->session, request->op}};
}

/* The bytes that the ranges of a push come to; 0: they are wrong. */
static uint64_t bytes_of(const Weft__State__PushRequest *request)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < request->n_lengths; i++) {
        if (request->lengths[i] > WEFT_STATE_VALUE_MAX - sum)
            return 0;
        sum += request->lengths[i];
    }
    return sum;
}

/* With the lock; takes body over. */
static void make_push(struct weft_state_server *server, struct change *change,
                      const Weft__State__PushRequest *request, struct weft_body *body)
{
    size_t n = request->n_offsets;
    struct weft_range64 *ranges = calloc(n > 0 ? n : 1, sizeof(*ranges));
    struct weft_state_push push = {.expected = request->expected,
                                   .ranges = ranges,
                                   .ranges_n = n,
                                   .body = body,
                                   .data = request->data.data,
                                   .data_len = body != NULL ? body->len : request->data.len};
    if (ranges == NULL || n != request->n_lengths) {
        weft__main_put(&server->main, body);
        change->outcome.err =
            ranges == NULL
                ? weft_fail(WEFT_ENOMEM, "no memory for %zu ranges", n)
                : weft_fail(WEFT_EINVAL, "%zu offsets, but %zu lengths", n, request->n_lengths);
    } else {
        for (size_t i = 0; i < n; i++)
            ranges[i] = (struct weft_range64){request->offsets[i], request->lengths[i]};
        change->outcome = weft__kept_push(&server->main, change->kept, &push);
    }
    free(ranges);
}

void weft__state_push(struct weft_state_server *server, struct weft_call *call,
                      const Weft__State__PushRequest *request, struct weft_body *body)
{
    struct change change = change_of(request);
    weft__state_lock(server);
    int err = weft__main_find(&server->main, weft__now_ns(), &change.place, &change.kept);
    if (err == WEFT_OK) {
        make_push(server, &change, request, body);
        server->bulk_pushes++;
        finish(server, call, &change);
        return;
    }
    weft__main_put(&server->main, body);
    weft__state_unlock(server);
    weft__state_push_failed(server, call, request, err);
}

void weft__state_push_failed(struct weft_state_server *server, struct weft_call *call,
                             const Weft__State__PushRequest *request, int err)
{
    struct change change = change_of(request);
    char text[512];
    strncpy(text, weft_fail_text(err), sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    weft__state_lock(server);
    change.kept = weft__main_kept(&server->main, request->user, request->key);
    change.outcome.err = err;
    if (change.kept != NULL && change.kept->epoch == request->epoch)
        weft__change_end(change.kept, change.writer, &change.outcome);
    weft__state_unlock(server);
    weft__call_fail(call, err, text);
}

/* With the lock: room for bytes that are fetched.  NULL: outcome says why. */
static struct weft_body *room_for(struct weft_state_server *server, struct change *change,
                                  const Weft__State__PushRequest *request)
{
    struct weft_body *body = NULL;
    uint64_t bytes = bytes_of(request);
    change->outcome.err =
        bytes == 0 || bytes > request->rma_length
            ? weft_fail(WEFT_EINVAL, "the ranges of a push come to %llu bytes, %llu are offered",
                        (unsigned long long)bytes, (unsigned long long)request->rma_length)
            : weft__main_body(&server->main, bytes, &body);
    return body;
}

void weft__state_on_push(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_state_server *server = ctx;
    const Weft__State__PushRequest *request = (const Weft__State__PushRequest *)message;
    struct change change = change_of(request);
    struct weft_body *body = NULL;
    if (!begin(server, call, &change))
        return;
    if (request->lane[0] != '\0') {
        body = room_for(server, &change, request);
        if (body != NULL) {
            weft__state_unlock(server);
            weft__state_fetch(server, call, request, body);
            return;
        }
    } else if (request->staged) {
        body = weft__kept_staged(&server->main, change.kept, change.writer);
        if (body == NULL)
            change.outcome.err =
                weft_fail(WEFT_EINVAL, "the bytes of this push have not come, or too long ago");
        else
            make_push(server, &change, request, body);
    } else {
        make_push(server, &change, request, NULL);
    }
    finish(server, call, &change);
}

void weft__state_on_stage(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_state_server *server = ctx;
    const Weft__State__StageRequest *request = (const Weft__State__StageRequest *)message;
    struct weft_state_place place = {request->user, request->key, request->epoch};
    struct weft_state_piece piece = {.total = request->total,
                                     .offset = request->offset,
                                     .len = request->data.len,
                                     .data = request->data.data,
                                     .until_ns = weft__now_ns() + STAGE_MS * WEFT_NS_PER_MS};
    struct weft_kept *kept;
    Weft__State__ChangeReply reply = WEFT__STATE__CHANGE_REPLY__INIT;
    weft__state_lock(server);
    int err = weft__main_find(&server->main, weft__now_ns(), &place, &kept);
    if (err == WEFT_OK) {
        err = weft__kept_stage(&server->main, kept,
                               (struct weft_state_writer){request->session, request->op}, &piece);
        pthread_cond_signal(&server->wake);
        if (err == WEFT_ESTALE) { /* of the session, not of the value */
            reply.outcome = WEFT_STATE_NO_SESSION;
            err = WEFT_OK;
        }
    }
    weft__state_unlock(server);
    if (err != WEFT_OK)
        weft__state_fail(call, err);
    else
        weft__call_reply(call, &reply.base);
}

/* ---- the others ---- */

void weft__state_on_resize(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__State__ResizeRequest *request = (const Weft__State__ResizeRequest *)message;
    struct weft_state_server *server = ctx;
    struct change change = {.place = {request->user, request->key, request->epoch},
                            .writer = {request->session, request->op}};
    if (!begin(server, call, &change))
        return;
    change.outcome = weft__kept_resize(&server->main, change.kept, request->size);
    finish(server, call, &change);
}

void weft__state_on_append(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__State__AppendRequest *request = (const Weft__State__AppendRequest *)message;
    struct weft_state_server *server = ctx;
    struct change change = {.place = {request->user, request->key, request->epoch},
                            .writer = {request->session, request->op}};
    if (!begin(server, call, &change))
        return;
    change.outcome =
        weft__kept_append(&server->main, change.kept, request->item.data, request->item.len);
    finish(server, call, &change);
}

void weft__state_on_clear(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__State__ClearRequest *request = (const Weft__State__ClearRequest *)message;
    struct weft_state_server *server = ctx;
    struct change change = {.place = {request->user, request->key, request->epoch},
                            .writer = {request->session, request->op}};
    if (!begin(server, call, &change))
        return;
    change.outcome = weft__kept_clear(&server->main, change.kept);
    finish(server, call, &change);
}
