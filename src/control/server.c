/* Start, stop and what may be asked of a server.
 *
 * start opens and binds everything in the caller's thread and then hands the endpoint to the fan-in
 * thread, so a client can connect and be queued by the transport before start returns: there is
 * nothing to wait for. stop goes in two steps, because answers need the fan-in thread until the
 * last worker has ended: REFUSING (nothing new; the queues are emptied), then the workers are
 * joined, then FINISHING (fail what is left, close). Each step has its deadline; a thread that does
 * not keep it is left behind with a reference of its own.
 */
#include "control/server.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "control/core.h"
#include "control/dedupe.h"
#include "control/security.h"
#include "transport/zmq/zmq.h"
#include "weft/error.h"
#include "wire/frame.h"

#define FANIN_END_NS WEFT_NS_PER_S

static const struct weft_tp_handlers handlers = {.request = weft__fanin_request,
                                                 .client_gone = weft__fanin_client_gone};

void weft__server_get(struct weft_server *server)
{
    atomic_fetch_add(&server->refs, 1);
}

void weft__server_put(struct weft_server *server)
{
    if (atomic_fetch_sub(&server->refs, 1) != 1)
        return;
    for (size_t i = 0; i < server->services_n; i++)
        weft__service_fini(&server->services[i]);
    weft__dedupe_free(server->dedupe);
    weft__parties_fini(&server->parties);
    weft__pump_fini(&server->pump);
    weft__mpsc_fini(&server->answers);
    weft__lock_fini(&server->drain_lock);
    free(server->services);
    free(server->ports);
    free(server);
}

static int server_new(const struct weft_server_desc *desc, struct weft_server **server_out)
{
    struct weft_server *server = calloc(1, sizeof(*server));
    int rc = WEFT_OK;

    if (server == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a control server");
    atomic_init(&server->refs, 1);
    weft__lock_init(&server->drain_lock);
    server->services = calloc(desc->services_n, sizeof(*server->services));
    server->ports = calloc(desc->services_n * 2, sizeof(*server->ports));
    if (server->services == NULL || server->ports == NULL)
        rc = weft_fail(WEFT_ENOMEM, "no memory for a control server");
    if (rc == WEFT_OK)
        rc = weft__mpsc_init(&server->answers, WEFT_CALLS_MAX);
    for (size_t i = 0; rc == WEFT_OK && i < desc->services_n; i++) {
        rc = weft__service_init(&server->services[i], server, &desc->services[i]);
        if (rc == WEFT_OK)
            server->services_n++;
    }
    if (rc != WEFT_OK) {
        weft__server_put(server);
        return rc;
    }
    *server_out = server;
    return WEFT_OK;
}

/* A port is opened where a handler takes its kind of calls, or where desc names it. */
static int listen_on(struct weft_server *server, struct weft_service *service,
                     enum weft_tp_port_mode mode, uint16_t port)
{
    uint16_t *port_out = mode == WEFT_TP_SYNC ? &service->sync_port : &service->async_port;
    int rc;

    if (port == 0 && !weft__service_takes(service, mode))
        return WEFT_OK;
    rc = server->pump.transport->ctl->listen(server->pump.ep, mode, port, port_out);
    if (rc == WEFT_OK)
        server->ports[server->ports_n++] =
            (struct weft_server_port){.service = service, .mode = mode};
    return rc;
}

static int open_ports(struct weft_server *server, const struct weft_server_desc *desc)
{
    struct weft_tp_open open = {.bind = desc->bind,
                                .port_first = desc->port_first,
                                .port_last = desc->port_last,
                                .families = WEFT_TP_CTL,
                                .msg_max_bytes = WEFT_FRAME_HEADER_BYTES + WEFT_FRAME_BODY_MAX,
                                .handlers = &handlers,
                                .ctx = server};
    int rc = weft__security_resolve(desc->security, &open.security);

    open.connections_max = (uint32_t)weft__config_u64("WEFT_CONNECTIONS_MAX");
    if (rc == WEFT_OK && desc->security == NULL)
        rc = weft__security_check_bind(desc->bind, open.security);
    if (rc == WEFT_OK)
        rc = weft__pump_open(&server->pump, desc->scheme, &open);
    for (size_t i = 0; rc == WEFT_OK && i < server->services_n; i++) {
        rc = listen_on(server, &server->services[i], WEFT_TP_SYNC, desc->services[i].sync_port);
        if (rc == WEFT_OK)
            rc = listen_on(server, &server->services[i], WEFT_TP_ASYNC,
                           desc->services[i].async_port);
    }
    return rc;
}

int weft__server_start(const struct weft_server_desc *desc, struct weft_server **server_out)
{
    struct weft_server *server = NULL;
    int rc;

    if (desc->bind == NULL || desc->services_n == 0 || desc->port_first > desc->port_last)
        return weft_fail(WEFT_EINVAL,
                         "a control server needs an address, services and a port range in order");
    rc = server_new(desc, &server);
    if (rc != WEFT_OK)
        return rc;
    rc = open_ports(server, desc);
    if (rc == WEFT_OK) {
        weft__server_get(server);
        rc = weft__thread_start(&server->fanin, "weft fan-in", weft__fanin_run, server);
        if (rc != WEFT_OK)
            weft__server_put(server);
    }
    if (rc != WEFT_OK) {
        weft__server_put(server);
        return rc;
    }
    *server_out = server;
    return WEFT_OK;
}

static void set_phase(struct weft_server *server, uint32_t phase)
{
    atomic_store(&server->phase, phase);
    weft__wakefd_set(&server->pump.wake);
}

static bool await_refused(struct weft_server *server, uint64_t deadline_ns)
{
    while (atomic_load(&server->phase) != WEFT_SERVER_REFUSED) {
        if (weft__now_ns() >= deadline_ns)
            return false;
        weft__futex_wait(&server->phase, WEFT_SERVER_REFUSING, deadline_ns);
    }
    return true;
}

void weft__server_stop(struct weft_server *server, uint32_t timeout_ms)
{
    uint64_t deadline_ns = weft__now_ns() + timeout_ms * WEFT_NS_PER_MS;

    if (server == NULL)
        return;
    set_phase(server, WEFT_SERVER_REFUSING);
    if (await_refused(server, deadline_ns + FANIN_END_NS)) {
        for (size_t i = 0; i < server->services_n; i++)
            weft__service_join(&server->services[i], deadline_ns);
        set_phase(server, WEFT_SERVER_FINISHING);
        weft__thread_await(&server->fanin, WEFT_NEVER);
        weft__thread_join(&server->fanin);
    } else {
        weft__error(
            "an inline handler has not returned in time; the fan-in thread is left to end alone");
        set_phase(server, WEFT_SERVER_LEFT);
        weft__thread_leave(&server->fanin);
    }
    weft__server_put(server);
}

void weft__server_access(const struct weft_server *server, struct weft_server_access *access_out)
{
    struct weft_zmq_gate_stats gate = {0};

    if (server->pump.transport == &weft__tp_zmq)
        weft__zmq_gate_stats(server->pump.ep, &gate);
    *access_out = (struct weft_server_access){.connections = gate.connections,
                                              .connections_max = gate.connections_max,
                                              .refused = gate.refused,
                                              .denied = gate.denied,
                                              .handshakes_failed = gate.handshakes_failed};
}

uint16_t weft__server_sync_port(const struct weft_server *server, size_t service)
{
    return server->services[service].sync_port;
}

uint16_t weft__server_async_port(const struct weft_server *server, size_t service)
{
    return server->services[service].async_port;
}

void weft__server_stats(const struct weft_server *server, size_t service,
                        struct weft_service_stats *stats_out)
{
    struct weft_service *from = &server->services[service];

    *stats_out = (struct weft_service_stats){
        .accepted = weft__counter_get(&from->accepted),
        .pushes = weft__counter_get(&from->pushes),
        .answered = weft__counter_get(&from->answered),
        .failed = weft__counter_get(&from->failed),
        .deferred = weft__counter_get(&from->deferred),
        .cancelled = weft__counter_get(&from->cancelled),
        .refused_malformed = weft__counter_get(&from->malformed),
        .refused_unknown = weft__counter_get(&from->unknown),
        .refused_full = weft__counter_get(&from->full),
        .refused_late = weft__counter_get(&from->late),
        .refused_client_full = weft__counter_get(&from->client_full),
        .repeated = weft__counter_get(&from->repeated),
        .dropped = weft__counter_get(&from->dropped),
        .queue_depth = weft__queue_length(&from->queue),
        .open = atomic_load(&from->open),
        .workers = atomic_load(&from->workers_n),
    };
    weft__times_get(&from->queued, &stats_out->queued);
    weft__times_get(&from->handled, &stats_out->handled);
}
