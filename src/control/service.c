/* A service: its handlers and its workers.
 *
 * Workers start when calls wait and none sleeps, up to the service's number, and stay until stop.
 * The first call of an idle service starts a worker before it is queued, so a call is never queued
 * where nobody could take it. A worker whose handler does not return when the server stops is left:
 * its thread is detached, and its reference keeps the server's memory (not the service's ctx, which
 * is the caller's) until the handler returns.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "control/core.h"
#include "weft/error.h"

#define WORKERS_DEFAULT 2
#define QUEUE_DEFAULT 2048 /* more than one client may have under way */
#define CLIENT_CALLS_DEFAULT 1024
#define BODY_DEFAULT ((size_t)1 << 20)
#define RETRY_MAX_MS 1000u
#define RETRY_BLIND_MS 10u /* before any handler has returned */
#define SWEEP_PAUSE_NS WEFT_NS_PER_MS
#define IDLE_END_NS WEFT_NS_PER_S /* for a worker that is in no handler: it is ending already */

static int check_handlers(const struct weft_service_desc *desc)
{
    const unsigned bytes = WEFT_HANDLER_BYTES | WEFT_HANDLER_RUN_BYTES;

    for (size_t i = 0; i < desc->handlers_n; i++) {
        const struct weft_handler_desc *handler = &desc->handlers[i];

        if (handler->run == NULL || handler->name == NULL ||
            (handler->flags & (WEFT_HANDLER_SYNC | WEFT_HANDLER_ASYNC)) == 0)
            return weft_fail(WEFT_EINVAL,
                             "service %s: handler %zu lacks a function, a name or a port",
                             desc->name, i);
        if (handler->request_type != NULL && (handler->flags & bytes) != 0)
            return weft_fail(WEFT_EINVAL, "service %s: handler %s takes bytes and a message",
                             desc->name, handler->name);
        for (size_t j = 0; j < i; j++) {
            if (desc->handlers[j].code == handler->code)
                return weft_fail(WEFT_EINVAL,
                                 "service %s: handlers %s and %s have the same code %u", desc->name,
                                 desc->handlers[j].name, handler->name, handler->code);
        }
    }
    return WEFT_OK;
}

int weft__service_init(struct weft_service *service, struct weft_server *server,
                       const struct weft_service_desc *desc)
{
    int rc;

    if (desc->name == NULL || desc->handlers_n == 0 || desc->body_max > WEFT_FRAME_BODY_MAX)
        return weft_fail(WEFT_EINVAL,
                         "a service needs a name, handlers and a body_max of at most %u",
                         WEFT_FRAME_BODY_MAX);
    rc = check_handlers(desc);
    if (rc != WEFT_OK)
        return rc;
    service->server = server;
    service->name = desc->name;
    service->ctx = desc->ctx;
    service->handlers_n = desc->handlers_n;
    service->body_max = desc->body_max == 0 ? BODY_DEFAULT : desc->body_max;
    service->client_calls_max =
        desc->client_calls_max == 0 ? CLIENT_CALLS_DEFAULT : desc->client_calls_max;
    service->workers_max = desc->workers == 0 ? WORKERS_DEFAULT : desc->workers;
    service->handlers = malloc(desc->handlers_n * sizeof(*desc->handlers));
    service->workers = calloc(service->workers_max, sizeof(*service->workers));
    if (service->handlers == NULL || service->workers == NULL) {
        free(service->handlers);
        free(service->workers);
        service->handlers = NULL;
        return weft_fail(WEFT_ENOMEM, "no memory for service %s", desc->name);
    }
    memcpy(service->handlers, desc->handlers, desc->handlers_n * sizeof(*desc->handlers));
    weft__queue_init(&service->queue, desc->queue_max == 0 ? QUEUE_DEFAULT : desc->queue_max);
    return WEFT_OK;
}

void weft__service_fini(struct weft_service *service)
{
    if (service->handlers == NULL)
        return;
    weft__queue_fini(&service->queue);
    free(service->handlers);
    free(service->workers);
    service->handlers = NULL;
}

static unsigned port_flag(enum weft_tp_port_mode mode)
{
    return mode == WEFT_TP_SYNC ? WEFT_HANDLER_SYNC : WEFT_HANDLER_ASYNC;
}

bool weft__service_takes(const struct weft_service *service, enum weft_tp_port_mode mode)
{
    for (size_t i = 0; i < service->handlers_n; i++) {
        if ((service->handlers[i].flags & port_flag(mode)) != 0)
            return true;
    }
    return false;
}

const struct weft_handler_desc *weft__service_find(const struct weft_service *service,
                                                   uint16_t code, enum weft_tp_port_mode mode)
{
    for (size_t i = 0; i < service->handlers_n; i++) {
        const struct weft_handler_desc *handler = &service->handlers[i];

        if (handler->code == code)
            return (handler->flags & port_flag(mode)) != 0 ? handler : NULL;
    }
    return NULL;
}

static void *worker_run(void *arg)
{
    struct weft_worker *worker = arg;
    struct weft_server *server = worker->service->server;
    struct weft_call *call;

    while ((call = weft__queue_pop(&worker->service->queue)) != NULL) {
        atomic_store(&worker->running, call->handler->name);
        weft__call_run(call, call->body, call->body_len);
        atomic_store(&worker->running, NULL);
    }
    weft__thread_end(&worker->thread);
    weft__server_put(server);
    return NULL;
}

static int start_worker(struct weft_service *service)
{
    struct weft_worker *worker = &service->workers[atomic_load(&service->workers_n)];
    int rc;

    worker->service = service;
    weft__server_get(service->server);
    rc = weft__thread_start(&worker->thread, "weft worker", worker_run, worker);
    if (rc != WEFT_OK) {
        weft__server_put(service->server);
        return rc;
    }
    atomic_fetch_add(&service->workers_n, 1);
    return WEFT_OK;
}

uint32_t weft__service_retry_ms(struct weft_service *service)
{
    uint64_t waiting = weft__queue_length(&service->queue) + 1;
    uint64_t mean_us = weft__times_mean_us(&service->handled);
    unsigned workers = atomic_load(&service->workers_n);
    uint64_t ms = waiting * mean_us / (workers == 0 ? 1 : workers) / 1000;

    if (mean_us == 0)
        return RETRY_BLIND_MS;
    return ms < 1 ? 1 : ms > RETRY_MAX_MS ? RETRY_MAX_MS : (uint32_t)ms;
}

/* A full queue of calls that nobody waits for any more makes room for those that somebody does. */
static void sweep_late(struct weft_service *service, uint64_t now_ns)
{
    struct weft_call *call;

    if (now_ns < service->swept_ns + SWEEP_PAUSE_NS)
        return;
    service->swept_ns = now_ns;
    call = weft__queue_remove_late(&service->queue, now_ns);
    while (call != NULL) {
        struct weft_call *next = call->next;

        weft__call_refuse_late(call);
        call = next;
    }
}

static int push(struct weft_service *service, struct weft_call *call, bool *short_out)
{
    int rc = weft__queue_push(&service->queue, call, short_out);

    if (rc == WEFT_OK)
        return rc;
    sweep_late(service, call->arrived_ns);
    return weft__queue_push(&service->queue, call, short_out);
}

int weft__service_feed(struct weft_service *service, struct weft_call *call)
{
    bool more = false;
    int rc = WEFT_OK;

    if (service->workers_n == 0)
        rc = start_worker(service);
    if (rc == WEFT_OK && push(service, call, &more) != WEFT_OK)
        rc = weft_fail(WEFT_EAGAIN, "service %s: %zu requests wait already; try again later",
                       service->name, service->queue.length_max);
    if (rc == WEFT_OK && more && service->workers_n < service->workers_max &&
        start_worker(service) != WEFT_OK)
        weft__warn("service %s goes on with %u workers: %s", service->name, service->workers_n,
                   weft_fail_text(WEFT_EAGAIN));
    return rc;
}

static void join_worker(struct weft_worker *worker, uint64_t deadline_ns)
{
    const char *running;
    int rc = weft__thread_await(&worker->thread, deadline_ns);

    if (rc != WEFT_OK && atomic_load(&worker->running) == NULL)
        rc = weft__thread_await(&worker->thread, weft__now_ns() + IDLE_END_NS);
    if (rc == WEFT_OK) {
        weft__thread_join(&worker->thread);
        return;
    }
    running = atomic_load(&worker->running);
    weft__error("service %s: handler %s has not returned in time; its thread is left to end alone",
                worker->service->name, running == NULL ? "?" : running);
    weft__thread_leave(&worker->thread);
}

void weft__service_join(struct weft_service *service, uint64_t deadline_ns)
{
    for (unsigned i = 0; i < service->workers_n; i++) {
        if (service->workers[i].thread.started)
            join_worker(&service->workers[i], deadline_ns);
    }
}
