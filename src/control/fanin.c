/* The fan-in thread: it alone touches the endpoint.
 *
 * Requests come in here and are checked, then run (INLINE) or queued for their service's workers.
 * Answers come back through a ring of which each open call owns one place, so the ring is never
 * full and an answering thread never waits. Every call is on the list `open` from its arrival until
 * its answer is sent: that list is what stop has to fail.
 *
 * After the endpoint is closed the ring has no reader. `closed` decides by one atomic exchange who
 * reads it last: an owner that adds its answer after the exchange sees `closed` and drains the ring
 * itself, one that came before is seen by the last drain.
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "control/core.h"
#include "control/repeat.h"
#include "control/unsent.h"
#include "weft/error.h"
#include "wire/frame.h"

#define LAST_ANSWERS_NS (100 * WEFT_NS_PER_MS)

static _Thread_local const struct weft_server *here; /* whose fan-in thread this is */

/* A counter that this thread alone writes. */
static void open_count(struct weft_service *service, uint64_t change)
{
    atomic_store_explicit(&service->open,
                          atomic_load_explicit(&service->open, memory_order_relaxed) + change,
                          memory_order_relaxed);
}

static void open_add(struct weft_server *server, struct weft_call *call)
{
    LIST_INSERT_HEAD(&server->open, call, in_open);
    server->open_n++;
    open_count(call->service, 1);
}

static void open_remove(struct weft_server *server, struct weft_call *call)
{
    LIST_REMOVE(call, in_open);
    server->open_n--;
    weft__party_leave(&server->parties, call);
    open_count(call->service, UINT64_MAX);
}

void weft__fanin_finish(struct weft_server *server, struct weft_call *call)
{
    open_remove(server, call);
    weft__repeat_end(server, call);
    weft__call_free(call);
}

void weft__fanin_send(struct weft_server *server, struct weft_call *call)
{
    if (weft__unsent_send(server, call))
        weft__fanin_finish(server, call);
}

/* What is in the ring when the endpoint is gone can only be freed. */
static void drain_closed(struct weft_server *server)
{
    struct weft_call *call;

    weft__lock_take(&server->drain_lock);
    while ((call = weft__mpsc_pop(&server->answers)) != NULL)
        weft__call_free(call);
    weft__lock_drop(&server->drain_lock);
}

void weft__fanin_answer(struct weft_server *server, struct weft_call *call)
{
    bool pushed;

    if (here == server && !server->calling_back) {
        weft__fanin_send(server, call);
        return;
    }
    weft__server_get(
        server); /* the call may be gone, with its reference, as soon as it is in the ring */
    pushed = weft__mpsc_push(&server->answers, call);
    weft__check(pushed);
    weft__wakefd_set(&server->pump.wake);
    if (atomic_fetch_add(&server->closed, 0) != 0)
        drain_closed(server);
    weft__server_put(server);
}

static void refuse(struct weft_server *server, const struct weft_tp_from *from,
                   const struct weft_frame *frame, int err)
{
    const struct weft_call_error error = {
        .err = err, .retry_ms = weft_fail_retry_ms(), .text = weft_fail_text(err)};
    uint8_t *data;
    size_t len_bytes;

    if (from == NULL)
        return;
    data = weft__call_error_frame(frame->call, frame->correlation, &error, &len_bytes);
    if (data == NULL)
        return;
    server->pump.transport->ctl->reply(server->pump.ep, from, data, len_bytes);
    free(data);
}

static void run_on_cancel(struct weft_server *server, struct weft_call *call)
{
    int bits = atomic_load(&call->cancel);

    if (call->on_cancel_ran || (bits & WEFT_CALL_LISTENS) == 0 ||
        (bits & (WEFT_CALL_CANCELLED | WEFT_CALL_LEFT)) == 0 ||
        atomic_load(&call->state) != WEFT_CALL_OPEN)
        return;
    call->on_cancel_ran = true;
    server->calling_back = true;
    call->on_cancel(call->on_cancel_ctx, call);
    server->calling_back = false;
}

void weft__fanin_cancel_due(struct weft_server *server)
{
    atomic_store(&server->cancel_due, 1);
    weft__wakefd_set(&server->pump.wake);
}

/* Callbacks that were set after their call was cancelled. */
static void run_due(struct weft_server *server)
{
    struct weft_call *call;

    if (atomic_load(&server->cancel_due) == 0 || atomic_exchange(&server->cancel_due, 0) == 0)
        return;
    LIST_FOREACH(call, &server->open, in_open)
    {
        run_on_cancel(server, call);
    }
}

/* Whatever becomes of the call, it is not answered. */
static void cancel(struct weft_server *server, const struct weft_tp_from *from,
                   uint64_t correlation)
{
    struct weft_call *call = weft__party_find(&server->parties, from, correlation);
    int bits;

    if (call == NULL)
        return;
    bits = atomic_fetch_or(&call->cancel, WEFT_CALL_CANCELLED);
    if ((bits & WEFT_CALL_CANCELLED) != 0)
        return;
    if ((bits & WEFT_CALL_LATE) == 0)
        weft__counter_add(&call->service->cancelled, 1);
    if (weft__queue_remove(&call->service->queue, call)) {
        weft__fanin_finish(server, call);
        return;
    }
    weft__repeat_end(server, call);
    run_on_cancel(server, call);
}

/* Its calls go on, and their answers are kept for a client that comes back; but who waits for an
 * answer of his own, in a queue of somebody's, must not stand in the way of others. */
void weft__fanin_client_gone(void *ctx, const struct weft_tp_from *from)
{
    struct weft_server *server = ctx;
    struct weft_call *call = weft__party_calls(&server->parties, from), *next;

    for (; call != NULL; call = next) {
        next = LIST_NEXT(call, in_party);
        atomic_fetch_or(&call->cancel, WEFT_CALL_LEFT);
        run_on_cancel(server, call);
    }
}

/* One service, all of whose callers wait for something, leaves a quarter of the places to the
 * others. */
static bool has_place(const struct weft_server *server, const struct weft_service *service)
{
    uint64_t most = server->services_n > 1 ? WEFT_CALLS_MAX / 4 * 3 : WEFT_CALLS_MAX;

    return server->open_n < WEFT_CALLS_MAX &&
           atomic_load_explicit(&service->open, memory_order_relaxed) < most;
}

/* What can be said against a frame before its handler sees it. */
static int check_request(struct weft_server *server, const struct weft_server_port *port,
                         const struct weft_frame *frame,
                         const struct weft_handler_desc **handler_out)
{
    struct weft_service *service = port->service;
    const struct weft_handler_desc *handler;

    if ((frame->flags & (WEFT_FRAME_REPLY | WEFT_FRAME_ERROR | WEFT_FRAME_CANCEL)) != 0) {
        weft__counter_add(&service->malformed, 1);
        return weft_fail(WEFT_EPROTO, "service %s got a frame that is no request", service->name);
    }
    handler = weft__service_find(service, frame->call, port->mode);
    if (handler == NULL) {
        weft__counter_add(&service->unknown, 1);
        return weft_fail(WEFT_EUNKNOWNCALL, "service %s has no call %u on its %s port",
                         service->name, frame->call, port->mode == WEFT_TP_SYNC ? "sync" : "async");
    }
    if (server->refusing) {
        weft__counter_add(&service->failed, 1);
        return weft_fail(WEFT_ESHUTDOWN, "service %s is shutting down", service->name);
    }
    if (!has_place(server, service)) {
        weft__counter_add(&service->full, 1);
        weft_fail(WEFT_EAGAIN, "service %s: too many calls are under way already; try again later",
                  service->name);
        weft_fail_set_retry_ms(weft__service_retry_ms(service));
        return WEFT_EAGAIN;
    }
    *handler_out = handler;
    return WEFT_OK;
}

static int take_call(struct weft_server *server, struct weft_service *service,
                     struct weft_call *call, const struct weft_frame *frame)
{
    const unsigned flags = call->handler->flags;
    int rc;

    weft__counter_add(call->push ? &service->pushes : &service->accepted, 1);
    if (!weft__repeat_begin(server, call, frame, &rc)) {
        weft__call_free(call);
        return rc;
    }
    rc = weft__party_join(&server->parties, call);
    if (rc != WEFT_OK) {
        weft_fail_set_retry_ms(weft__service_retry_ms(service));
        weft__counter_add(&service->client_full, 1);
        weft__repeat_undo(server, call);
        weft__call_free(call);
        return rc;
    }
    open_add(server, call);
    if ((flags & (WEFT_HANDLER_INLINE | WEFT_HANDLER_BYTES)) == WEFT_HANDLER_INLINE) {
        weft__call_run(call, frame->body, frame->body_len);
        return WEFT_OK;
    }
    rc = weft__call_keep_body(call, frame);
    if (rc == WEFT_OK && (flags & WEFT_HANDLER_INLINE) != 0)
        weft__call_run(call, call->body, call->body_len);
    else if (rc == WEFT_OK)
        rc = weft__service_feed(service, call);
    if (rc != WEFT_OK) {
        if (rc == WEFT_EAGAIN)
            weft_fail_set_retry_ms(weft__service_retry_ms(service));
        weft__counter_add(&service->full, 1);
        weft__repeat_undo(server, call);
        weft__fanin_finish(server, call);
    }
    return rc;
}

/* One look at the clock for all requests of a turn. What a request waits behind its predecessors'
 * inline handlers counts as waiting. */
static uint64_t turn_ns(struct weft_server *server)
{
    if (server->turn_ns == 0)
        server->turn_ns = weft__now_ns();
    return server->turn_ns;
}

void weft__fanin_request(void *ctx, unsigned port_index, const struct weft_tp_from *from,
                         const void *data, size_t len_bytes)
{
    struct weft_server *server = ctx;
    const struct weft_server_port *port = &server->ports[port_index];
    struct weft_service *service = port->service;
    struct weft_frame frame;
    struct weft_arrival arrival = {.from = from, .frame = &frame};
    struct weft_call *call;
    int rc = weft__frame_decode(data, len_bytes, service->body_max, &frame);

    if (rc == WEFT_OK && (frame.flags & WEFT_FRAME_CANCEL) != 0 && from != NULL) {
        cancel(server, from, frame.correlation);
        return;
    }
    if (rc != WEFT_OK)
        weft__counter_add(&service->malformed, 1);
    else
        rc = check_request(server, port, &frame, &arrival.handler);
    arrival.at_ns = turn_ns(server);
    if (rc == WEFT_OK)
        rc = weft__call_new(service, &arrival, &call);
    if (rc == WEFT_OK)
        rc = take_call(server, service, call, &frame);
    if (rc != WEFT_OK)
        refuse(server, from, &frame, rc);
}

static void send_answers(struct weft_server *server)
{
    struct weft_call *call;

    while ((call = weft__mpsc_pop(&server->answers)) != NULL)
        weft__fanin_send(server, call);
    weft__unsent_retry(server);
}

/* All that others may ask of the fan-in thread. */
static bool asked(void *ctx)
{
    struct weft_server *server = ctx;

    return !weft__mpsc_empty(&server->answers) || atomic_load(&server->cancel_due) != 0 ||
           atomic_load(&server->phase) != server->phase_seen;
}

static void turn(struct weft_server *server, uint64_t deadline_ns)
{
    uint64_t due_ns = weft__unsent_due_ns(server);

    server->turn_ns = 0;
    weft__pump_turn(&server->pump, due_ns < deadline_ns ? due_ns : deadline_ns);
    for (size_t i = 0; i < server->services_n; i++)
        weft__queue_wake(&server->services[i].queue);
    run_due(server);
    send_answers(server);
}

/* From here on nothing is accepted; what waited for a worker is failed, and the workers end after
 * what they are at. */
static void refuse_new(struct weft_server *server)
{
    if (server->refusing)
        return;
    server->refusing = true;
    for (size_t i = 0; i < server->services_n; i++) {
        struct weft_call *call = weft__queue_close(&server->services[i].queue);

        while (call != NULL) {
            struct weft_call *next = call->next;

            weft__call_fail(call, WEFT_ESHUTDOWN, "the server is shutting down");
            call = next;
        }
    }
}

/* Takes the call from its owner, who frees it when he answers. */
static void give_up(struct weft_server *server, struct weft_call *call)
{
    struct weft_frame frame = {.call = call->handler->code, .correlation = call->asked};
    struct weft_tp_from from = call->from;
    struct weft_service *service = call->service;
    bool silent = call->push || (atomic_load(&call->cancel) & WEFT_CALL_CANCELLED) != 0;
    int expected = WEFT_CALL_OPEN;

    open_remove(server, call);
    if (!atomic_compare_exchange_strong(&call->state, &expected, WEFT_CALL_GIVEN_UP)) {
        open_add(server, call); /* answered just now: it is on the way */
        return;
    }
    /* The call may be gone from here on. */
    weft__counter_add(&service->failed, 1);
    refuse(
        server, silent ? NULL : &from, &frame,
        weft_fail(WEFT_ESHUTDOWN, "service %s shut down before it had an answer", service->name));
}

static void give_up_open(struct weft_server *server)
{
    struct weft_call *call = LIST_FIRST(&server->open), *next;

    for (; call != NULL; call = next) {
        next = LIST_NEXT(call, in_open);
        if (atomic_load(&call->state) == WEFT_CALL_OPEN)
            give_up(server, call);
    }
}

static void leave_workers(struct weft_server *server)
{
    for (size_t i = 0; i < server->services_n; i++) {
        struct weft_service *service = &server->services[i];

        for (unsigned j = 0; j < service->workers_n; j++)
            weft__thread_leave(&service->workers[j].thread);
    }
}

static void shut(struct weft_server *server)
{
    uint64_t limit_ns = weft__now_ns() + LAST_ANSWERS_NS;

    server->phase_seen = atomic_load(&server->phase);
    refuse_new(server);
    give_up_open(server);
    while (!LIST_EMPTY(&server->open) && weft__now_ns() < limit_ns)
        turn(server, limit_ns);
    weft__unsent_clear(server);
    weft__pump_close(&server->pump);
    atomic_fetch_or(&server->closed, 1);
    drain_closed(server);
    if (atomic_load(&server->phase) == WEFT_SERVER_LEFT)
        leave_workers(server);
}

void *weft__fanin_run(void *arg)
{
    struct weft_server *server = arg;
    uint32_t phase;

    here = server;
    server->pump.more = asked;
    server->pump.more_ctx = server;
    while ((phase = atomic_load(&server->phase)) < WEFT_SERVER_FINISHING) {
        if (phase == WEFT_SERVER_REFUSING) {
            refuse_new(server);
            atomic_compare_exchange_strong(&server->phase, &phase, WEFT_SERVER_REFUSED);
            weft__futex_wake(&server->phase);
            phase = WEFT_SERVER_REFUSED;
        }
        server->phase_seen = phase;
        turn(server, WEFT_NEVER);
    }
    shut(server);
    here = NULL;
    weft__thread_end(&server->fanin);
    weft__server_put(server);
    return NULL;
}
