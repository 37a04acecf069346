/* How many requests per second does a control server answer?
 *
 * Eight clients, each a thread with a plain ZeroMQ REQ socket over tcp, send a frame with 64 bytes
 * and wait for its echo. The servers run in another process: weft's control server with 1, 2 and 4
 * workers and with the handler on its fan-in thread, and ROUTER, zmq_proxy_steerable, DEALER, REP
 * with as many workers, which run the same handler. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

#include "base/clock.h"
#include "demo.h"
#include "echo_server.h"
#include "reference_server.h"
#include "weft/error.h"
#include "wire/frame.h"

enum { CLIENTS = 8, DATA_BYTES = 64, TIMEOUT_MS = 20000 };

static const unsigned workers[] = {1, 2, 4, BENCH_ECHO_INLINE};
enum { SERVERS = 4, PROXIES = 3 };
_Static_assert(sizeof(workers) / sizeof(workers[0]) == SERVERS, "as many as there are");

struct ports {
    uint16_t weft[SERVERS], proxy[PROXIES];
};

struct client {
    pthread_t thread;
    void *zmq;
    uint16_t port;
    uint64_t budget_ns, answered;
    double took_ns;
    pthread_barrier_t *barrier;
};

static int server_main(void *ctx, int fd)
{
    struct reference_server *proxies[PROXIES];
    struct ports ports;
    char byte;
    (void)ctx;
    for (size_t i = 0; i < PROXIES; i++)
        proxies[i] = bench_echo_reference_start(workers[i], &ports.proxy[i]);
    struct weft_server *server = bench_echo_start(workers, SERVERS, ports.weft);
    bench_send(fd, &ports, sizeof(ports));
    while (bench_receive(fd, &byte, 1)) {
    }
    bench_echo_stop(server);
    for (size_t i = 0; i < PROXIES; i++)
        reference_server_stop(proxies[i]);
    return 0;
}

static void exchange(void *socket, const uint8_t *bytes, size_t len)
{
    uint8_t answer[512];
    struct weft_frame frame;
    if (zmq_send(socket, bytes, len, 0) != (int)len)
        bench_die("send a request", WEFT_EIO);
    int got = zmq_recv(socket, answer, sizeof(answer), 0);
    if (got < 0)
        bench_die("wait for an answer", WEFT_ETIMEDOUT);
    if (weft__frame_decode(answer, (size_t)got, sizeof(answer), &frame) != WEFT_OK ||
        frame.error != WEFT_OK || (size_t)got != len)
        bench_die("an answer", WEFT_EPROTO);
}

static void *ask(void *arg)
{
    struct client *client = arg;
    char url[64];
    int timeout_ms = TIMEOUT_MS, linger_ms = 0;
    uint8_t *bytes;
    size_t len;
    void *socket = zmq_socket(client->zmq, ZMQ_REQ);
    snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", client->port);
    bench_echo_frame(DATA_BYTES, 0, &bytes, &len);
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof(timeout_ms));
    zmq_setsockopt(socket, ZMQ_LINGER, &linger_ms, sizeof(linger_ms));
    if (zmq_connect(socket, url) != 0)
        bench_die("connect", WEFT_EIO);
    exchange(socket, bytes, len); /* connects, and starts workers */
    pthread_barrier_wait(client->barrier);
    uint64_t start_ns = weft__now_ns(), now_ns;
    do {
        exchange(socket, bytes, len);
        client->answered++;
        now_ns = weft__now_ns();
    } while (now_ns - start_ns < client->budget_ns);
    client->took_ns = (double)(now_ns - start_ns);
    zmq_close(socket);
    free(bytes);
    return NULL;
}

/* Thousands of requests per second. */
static double measure(const struct bench *bench, void *zmq, uint16_t port)
{
    struct client clients[CLIENTS] = {0};
    pthread_barrier_t barrier;
    double rate = 0;
    pthread_barrier_init(&barrier, NULL, CLIENTS);
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.zmq = zmq,
                                     .port = port,
                                     .budget_ns = (bench->quick ? 5 : 250) * WEFT_NS_PER_MS,
                                     .barrier = &barrier};
        if (pthread_create(&clients[i].thread, NULL, ask, &clients[i]) != 0)
            bench_die("start a client", WEFT_EAGAIN);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        rate += (double)clients[i].answered / clients[i].took_ns;
    }
    pthread_barrier_destroy(&barrier);
    return rate * 1e6;
}

static void label(struct bench_series *series, const char *subject, unsigned n, const char *config)
{
    char name[24];
    snprintf(name, sizeof(name), n == BENCH_ECHO_INLINE ? "inline" : "%u_workers", n);
    snprintf(series->id, sizeof(series->id), "demo.fanin.%s.%s", name, subject);
    snprintf(series->what, sizeof(series->what), "64 B requests, 8 clients, %s", name);
    snprintf(series->subject, sizeof(series->subject), "%s", subject);
    snprintf(series->unit, sizeof(series->unit), "k/s");
    snprintf(series->config, sizeof(series->config), "%s", config);
}

int demo_fanin(const struct bench *bench)
{
    static struct bench_series weft[SERVERS], proxy[PROXIES];
    struct ports ports;
    int fd;
    pid_t pid = bench_fork(server_main, NULL, &fd);
    if (!bench_receive(fd, &ports, sizeof(ports)))
        bench_die("the servers", WEFT_EPEERDEAD);
    for (size_t i = 0; i < SERVERS; i++)
        label(&weft[i], "weft", workers[i], "control server over zmq, clients are REQ sockets");
    for (size_t i = 0; i < PROXIES; i++)
        label(&proxy[i], "zmq_proxy", workers[i],
              "ROUTER, zmq_proxy_steerable, DEALER, REP workers over inproc; clients are REQ "
              "sockets");
    void *zmq = zmq_ctx_new();
    for (unsigned round = 0; round < bench->rounds; round++)
        for (size_t i = 0; i < SERVERS; i++) {
            bench_add(&weft[i], measure(bench, zmq, ports.weft[i]));
            if (i < PROXIES)
                bench_add(&proxy[i], measure(bench, zmq, ports.proxy[i]));
        }
    zmq_ctx_term(zmq);
    for (size_t i = 0; i < SERVERS; i++) {
        if (i < PROXIES)
            bench_print(bench, &proxy[i]);
        bench_print(bench, &weft[i]);
    }
    return bench_join(pid, fd);
}
