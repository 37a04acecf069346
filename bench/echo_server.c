/* The two servers of the fan-in question. */
#include "echo_server.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

#include "bench.h"
#include "control/server.h"
#include "echo.pb-c.h"
#include "weft/error.h"

enum { SERVICES_MAX = 8, WORKERS_MAX = 16 };

/* ---- weft's ---- */

static void echo(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    Weft__Bench__Echo reply = WEFT__BENCH__ECHO__INIT;
    (void)ctx;
    reply.data = ((const Weft__Bench__Echo *)request)->data;
    weft__call_reply(call, &reply.base);
}

struct weft_server *bench_echo_start(const unsigned *workers, size_t n, uint16_t *ports_out)
{
    static const struct weft_handler_desc pooled = {.code = BENCH_ECHO_CALL,
                                                    .flags = WEFT_HANDLER_SYNC,
                                                    .name = "echo",
                                                    .request_type = &weft__bench__echo__descriptor,
                                                    .run = echo};
    static struct weft_handler_desc inlined;
    struct weft_service_desc services[SERVICES_MAX] = {0};
    struct weft_server *server;
    inlined = pooled;
    inlined.flags |= WEFT_HANDLER_INLINE;
    for (size_t i = 0; i < n; i++) {
        bool on_fan_in = workers[i] == BENCH_ECHO_INLINE;
        services[i] = (struct weft_service_desc){.name = "echo",
                                                 .handlers = on_fan_in ? &inlined : &pooled,
                                                 .handlers_n = 1,
                                                 .workers = on_fan_in ? 1 : workers[i]};
    }
    const struct weft_server_desc desc = {
        .bind = "127.0.0.1", .services = services, .services_n = n};
    bench_check("start a server", weft__server_start(&desc, &server));
    for (size_t i = 0; i < n; i++)
        ports_out[i] = weft__server_sync_port(server, i);
    return server;
}

void bench_echo_stop(struct weft_server *server)
{
    weft__server_stop(server, 1000);
}

/* ---- the plain one ---- */

struct bench_proxy {
    void *zmq, *front, *back;
    char inner[32];
    unsigned workers;
    pthread_t threads[WORKERS_MAX], proxy;
};

static _Noreturn void zmq_die(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, zmq_strerror(zmq_errno()));
    exit(1);
}

static void *work(void *arg)
{
    struct bench_proxy *proxy = arg;
    void *socket = zmq_socket(proxy->zmq, ZMQ_REP);
    zmq_msg_t message;
    if (!socket || zmq_connect(socket, proxy->inner) != 0)
        zmq_die("a proxy's worker");
    zmq_msg_init(&message);
    while (zmq_msg_recv(&message, socket, 0) >= 0 && zmq_msg_send(&message, socket, 0) >= 0) {
    }
    zmq_msg_close(&message);
    zmq_close(socket);
    return NULL;
}

static void *run_proxy(void *arg)
{
    struct bench_proxy *proxy = arg;
    zmq_proxy(proxy->front, proxy->back, NULL);
    zmq_close(proxy->front);
    zmq_close(proxy->back);
    return NULL;
}

struct bench_proxy *bench_proxy_start(unsigned workers, uint16_t *port_out)
{
    struct bench_proxy *proxy = calloc(1, sizeof(*proxy));
    char url[64];
    size_t len = sizeof(url);
    if (!proxy || workers > WORKERS_MAX || !(proxy->zmq = zmq_ctx_new()))
        bench_die("start a proxy", WEFT_ENOMEM);
    proxy->workers = workers;
    snprintf(proxy->inner, sizeof(proxy->inner), "inproc://workers");
    proxy->front = zmq_socket(proxy->zmq, ZMQ_ROUTER);
    proxy->back = zmq_socket(proxy->zmq, ZMQ_DEALER);
    if (!proxy->front || !proxy->back || zmq_bind(proxy->front, "tcp://127.0.0.1:*") != 0 ||
        zmq_bind(proxy->back, proxy->inner) != 0 ||
        zmq_getsockopt(proxy->front, ZMQ_LAST_ENDPOINT, url, &len) != 0)
        zmq_die("start a proxy");
    *port_out = (uint16_t)strtoul(strrchr(url, ':') + 1, NULL, 10);
    for (unsigned i = 0; i < workers; i++)
        if (pthread_create(&proxy->threads[i], NULL, work, proxy) != 0)
            bench_die("start a proxy's worker", WEFT_EAGAIN);
    if (pthread_create(&proxy->proxy, NULL, run_proxy, proxy) != 0)
        bench_die("start a proxy", WEFT_EAGAIN);
    return proxy;
}

void bench_proxy_stop(struct bench_proxy *proxy)
{
    zmq_ctx_shutdown(proxy->zmq);
    for (unsigned i = 0; i < proxy->workers; i++)
        pthread_join(proxy->threads[i], NULL);
    pthread_join(proxy->proxy, NULL);
    zmq_ctx_term(proxy->zmq);
    free(proxy);
}
