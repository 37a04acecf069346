/* A call has one owner, who answers it once: the handler, or whoever it handed the call to. Only
 * stop competes with the owner, by one exchange on `state`. The loser does nothing but drop what it
 * has, so an owner may answer long after the server is gone: the call's reference keeps the few
 * bytes that this needs.
 *
 * The answer is packed by the thread that gives it; the fan-in thread only sends it.
 */
#include "control/call.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "control/core.h"
#include "weft/error.h"
#include "wire/message.h"

#define ERROR_TEXT_MAX 512
#define BODIES_MAX_BYTES ((size_t)64 << 20) /* kept for a service's calls that wait or are open */

static _Thread_local const struct weft_call *in_hand; /* its handler runs and has not answered */

int weft__call_new(struct weft_service *service, const struct weft_arrival *arrival,
                   struct weft_call **call_out)
{
    const struct weft_frame *frame = arrival->frame;
    struct weft_call *call = calloc(1, sizeof(*call));

    if (call == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a call of %s", service->name);
    weft__server_get(service->server);
    call->server = service->server;
    call->service = service;
    call->handler = arrival->handler;
    call->correlation = frame->correlation;
    call->asked = frame->correlation;
    call->arrived_ns = arrival->at_ns;
    call->deadline_ns = WEFT_NEVER;
    if (frame->deadline_ms != 0)
        call->deadline_ns = arrival->at_ns + frame->deadline_ms * WEFT_NS_PER_MS;
    call->client = frame->client;
    call->push = arrival->from == NULL;
    if (arrival->from != NULL)
        call->from = *arrival->from;
    *call_out = call;
    return WEFT_OK;
}

/* One body fits always. */
static bool reserve_body(struct weft_service *service, size_t len_bytes)
{
    size_t before = atomic_fetch_add(&service->body_bytes, len_bytes);

    if (before == 0 || before + len_bytes <= BODIES_MAX_BYTES)
        return true;
    atomic_fetch_sub(&service->body_bytes, len_bytes);
    return false;
}

static void drop_body(struct weft_call *call)
{
    if (call->body == NULL)
        return;
    free(call->body);
    call->body = NULL;
    atomic_fetch_sub(&call->service->body_bytes, call->body_len);
}

void weft__call_free(struct weft_call *call)
{
    struct weft_server *server = call->server;

    weft__message_free(call->request);
    drop_body(call);
    free(call->answer);
    free(call);
    weft__server_put(server);
}

static bool takes_bytes(const struct weft_call *call)
{
    return (call->handler->flags & WEFT_HANDLER_BYTES) != 0;
}

int weft__call_keep_body(struct weft_call *call, const struct weft_frame *frame)
{
    if (frame->body_len == 0 || (call->handler->request_type == NULL && !takes_bytes(call)))
        return WEFT_OK;
    if (!reserve_body(call->service, frame->body_len))
        return weft_fail(WEFT_EAGAIN,
                         "service %s: its calls hold %zu MiB of bodies already; try again later",
                         call->service->name, BODIES_MAX_BYTES >> 20);
    call->body = malloc(frame->body_len);
    if (call->body == NULL) {
        atomic_fetch_sub(&call->service->body_bytes, frame->body_len);
        return weft_fail(WEFT_ENOMEM, "no memory for a body of %u bytes", frame->body_len);
    }
    memcpy(call->body, frame->body, frame->body_len);
    call->body_len = frame->body_len;
    return WEFT_OK;
}

uint8_t *weft__call_error_frame(uint16_t code, uint64_t correlation,
                                const struct weft_call_error *error, size_t *len_out)
{
    struct weft_frame frame = {.call = code,
                               .flags = WEFT_FRAME_REPLY | WEFT_FRAME_ERROR,
                               .error = error->err,
                               .correlation = correlation,
                               .deadline_ms = error->err == WEFT_EAGAIN ? error->retry_ms : 0};
    uint8_t *data;

    frame.body_len = (uint32_t)strnlen(error->text, ERROR_TEXT_MAX);
    data = malloc(WEFT_FRAME_HEADER_BYTES + frame.body_len);
    if (data == NULL)
        return NULL;
    weft__frame_encode_header(&frame, data);
    memcpy(data + WEFT_FRAME_HEADER_BYTES, error->text, frame.body_len);
    *len_out = WEFT_FRAME_HEADER_BYTES + frame.body_len;
    return data;
}

/* The call is the server's, or gone, when this returns. */
static void settle(struct weft_call *call)
{
    if (in_hand == call)
        in_hand = NULL;
    if (atomic_exchange(&call->state, WEFT_CALL_ANSWERED) == WEFT_CALL_GIVEN_UP)
        weft__call_free(call);
    else
        weft__fanin_answer(call->server, call);
}

static void settle_error(struct weft_call *call, struct weft_call_error error)
{
    if (error.text == NULL)
        error.text = weft_fail_text(error.err);
    if (!call->push)
        call->answer = weft__call_error_frame(call->handler->code, call->correlation, &error,
                                              &call->answer_len);
    settle(call);
}

static int fail_late(struct weft_call *call)
{
    if ((atomic_fetch_or(&call->cancel, WEFT_CALL_LATE) & WEFT_CALL_CANCELLED) == 0)
        weft__counter_add(&call->service->late, 1);
    return weft_fail(WEFT_ETIMEDOUT, "%s.%s: its deadline passed before a worker was free",
                     call->service->name, call->handler->name);
}

void weft__call_refuse_late(struct weft_call *call)
{
    settle_error(call, (struct weft_call_error){.err = fail_late(call)});
}

/* What can be said against a call before its handler sees it. */
static int check_call(struct weft_call *call, const void *body, size_t body_len, uint64_t now_ns)
{
    struct weft_service *service = call->service;
    const struct weft_handler_desc *handler = call->handler;
    int rc = WEFT_OK;

    if ((atomic_load_explicit(&call->cancel, memory_order_relaxed) & WEFT_CALL_CANCELLED) != 0)
        return weft_fail(WEFT_ECANCELED, "%s.%s: its client has given it up", service->name,
                         handler->name);
    if (now_ns >= call->deadline_ns)
        return fail_late(call);
    if (handler->request_type != NULL)
        rc = weft__message_decode(handler->request_type, body, body_len, &call->request);
    if (rc != WEFT_OK)
        weft__counter_add(&service->malformed, 1);
    return rc;
}

static void run_it(struct weft_call *call, const struct weft_handler_desc *handler)
{
    if ((handler->flags & WEFT_HANDLER_RUN_BYTES) == 0)
        handler->run(call->service->ctx, call, call->request);
    else
        ((weft_bytes_handler *)(void (*)(void))handler->run)(call->service->ctx, call, call->body,
                                                             call->body_len);
}

/* The call may be gone when its handler returns; the service stays. */
static void run_handler(struct weft_call *call, uint64_t now_ns)
{
    struct weft_service *service = call->service;

    weft__times_add(&service->queued, (now_ns - call->arrived_ns) / WEFT_NS_PER_US);
    in_hand = call;
    run_it(call, call->handler);
    if (in_hand != NULL)
        weft__counter_add(&service->deferred, 1);
    in_hand = NULL;
    weft__times_add(&service->handled, (weft__now_ns() - now_ns) / WEFT_NS_PER_US);
}

void weft__call_run(struct weft_call *call, const void *body, size_t body_len)
{
    uint64_t now_ns = weft__now_ns();
    int rc = check_call(call, body, body_len, now_ns);

    if (rc != WEFT_OK) {
        settle_error(call, (struct weft_call_error){.err = rc});
        return;
    }
    if (!takes_bytes(call)) {
        drop_body(call);
    }
    run_handler(call, now_ns);
}

uint16_t weft__call_code(const struct weft_call *call)
{
    return call->handler->code;
}

uint64_t weft__call_deadline_ns(const struct weft_call *call)
{
    return call->deadline_ns;
}

uint64_t weft__call_client(const struct weft_call *call)
{
    return call->client;
}

const void *weft__call_body(const struct weft_call *call, size_t *len_bytes_out)
{
    *len_bytes_out = call->body_len;
    return call->body;
}

static struct weft_frame reply_to(const struct weft_call *call)
{
    return (struct weft_frame){
        .call = call->handler->code, .flags = WEFT_FRAME_REPLY, .correlation = call->correlation};
}

void weft__call_reply(struct weft_call *call, const ProtobufCMessage *reply)
{
    struct weft_frame frame = reply_to(call);
    int rc = WEFT_OK;

    if (!call->push)
        rc = weft__message_frame(&frame, reply, &call->answer, &call->answer_len);
    if (rc != WEFT_OK) {
        weft__call_fail(call, rc, NULL);
        return;
    }
    weft__counter_add(&call->service->answered, 1);
    settle(call);
}

static int pack_bytes(struct weft_call *call, const void *body, size_t len_bytes)
{
    struct weft_frame frame = reply_to(call);
    uint8_t *data;

    if (len_bytes > WEFT_FRAME_BODY_MAX)
        return weft_fail(WEFT_EMSGSIZE, "an answer of %zu bytes is over the limit of %u", len_bytes,
                         WEFT_FRAME_BODY_MAX);
    data = malloc(WEFT_FRAME_HEADER_BYTES + len_bytes);
    if (data == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for an answer of %zu bytes", len_bytes);
    frame.body_len = (uint32_t)len_bytes;
    weft__frame_encode_header(&frame, data);
    if (len_bytes > 0)
        memcpy(data + WEFT_FRAME_HEADER_BYTES, body, len_bytes);
    call->answer = data;
    call->answer_len = WEFT_FRAME_HEADER_BYTES + len_bytes;
    return WEFT_OK;
}

void weft__call_reply_bytes(struct weft_call *call, const void *body, size_t len_bytes)
{
    int rc = call->push ? WEFT_OK : pack_bytes(call, body, len_bytes);

    if (rc != WEFT_OK) {
        weft__call_fail(call, rc, NULL);
        return;
    }
    weft__counter_add(&call->service->answered, 1);
    settle(call);
}

void weft__call_fail(struct weft_call *call, int err, const char *text)
{
    weft__check(err < 0);
    weft__counter_add(&call->service->failed, 1);
    settle_error(call, (struct weft_call_error){.err = err, .text = text});
}

void weft__call_fail_again(struct weft_call *call, uint32_t retry_ms, const char *text)
{
    weft__counter_add(&call->service->failed, 1);
    settle_error(call,
                 (struct weft_call_error){.err = WEFT_EAGAIN, .retry_ms = retry_ms, .text = text});
}

void weft__call_on_cancel(struct weft_call *call, weft_call_cancelled *cancelled, void *ctx)
{
    call->on_cancel = cancelled;
    call->on_cancel_ctx = ctx;
    if (atomic_fetch_or(&call->cancel, WEFT_CALL_LISTENS) != 0)
        weft__fanin_cancel_due(call->server);
}
