/* Each direction is a half: a socket over tcp, one over inproc, a thread inside
 * zmq_proxy_steerable, and its workers. Written as well as the patterns allow: messages are never
 * copied by this code, an answer's buffer is handed to libzmq, nothing sleeps at start, and stop
 * ends the proxies by TERMINATE on their control sockets and the workers by the end of the context,
 * in which no message can be lost between two of them. What remains is the patterns' own: the
 * DEALER and the PUSH deal round robin, whoever is busy. */
#include "reference_server.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

#include "bench.h"
#include "weft/error.h"

enum { WORKERS_MAX = 16 };

struct half {
    struct reference_server *server;
    const char *inner, *control;
    int front_type, back_type, worker_type;
    void *front, *back, *steer, *steered;
    pthread_t proxy, workers[WORKERS_MAX];
};

struct reference_server {
    void *zmq;
    reference_answer *answer;
    unsigned workers;
    struct half sync, async;
};

static _Noreturn void zmq_die(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, zmq_strerror(zmq_errno()));
    exit(1);
}

static void free_answer(void *data, void *hint)
{
    (void)hint;
    free(data);
}

static bool reply(void *socket, uint8_t *answer, size_t len)
{
    zmq_msg_t message;
    if (zmq_msg_init_data(&message, answer, len, free_answer, NULL) != 0)
        zmq_die("an answer");
    if (zmq_msg_send(&message, socket, 0) >= 0)
        return true;
    zmq_msg_close(&message);
    return false;
}

static void *work(void *arg)
{
    struct half *half = arg;
    void *socket = zmq_socket(half->server->zmq, half->worker_type);
    zmq_msg_t message;
    bool going = true;
    if (!socket || zmq_connect(socket, half->inner) != 0)
        zmq_die("a worker of the reference");
    zmq_msg_init(&message);
    while (going && zmq_msg_recv(&message, socket, 0) >= 0) {
        uint8_t *answer;
        size_t len;
        half->server->answer(zmq_msg_data(&message), zmq_msg_size(&message), &answer, &len);
        if (half->worker_type == ZMQ_REP)
            going = reply(socket, answer, len);
        else
            free(answer);
    }
    zmq_msg_close(&message);
    zmq_close(socket);
    return NULL;
}

static void *run_proxy(void *arg)
{
    struct half *half = arg;
    zmq_proxy_steerable(half->front, half->back, NULL, half->steered);
    zmq_close(half->front);
    zmq_close(half->back);
    zmq_close(half->steered);
    return NULL;
}

static void half_open(struct half *half, uint16_t *port_out)
{
    void *zmq = half->server->zmq;
    char url[64];
    size_t len = sizeof(url);
    half->front = zmq_socket(zmq, half->front_type);
    half->back = zmq_socket(zmq, half->back_type);
    half->steered = zmq_socket(zmq, ZMQ_PAIR);
    half->steer = zmq_socket(zmq, ZMQ_PAIR);
    if (!half->front || !half->back || !half->steered || !half->steer ||
        zmq_bind(half->front, "tcp://127.0.0.1:*") != 0 ||
        zmq_getsockopt(half->front, ZMQ_LAST_ENDPOINT, url, &len) != 0 ||
        zmq_bind(half->back, half->inner) != 0 || zmq_bind(half->steered, half->control) != 0 ||
        zmq_connect(half->steer, half->control) != 0)
        zmq_die("start the reference");
    *port_out = (uint16_t)strtoul(strrchr(url, ':') + 1, NULL, 10);
}

static void half_start(struct half *half)
{
    for (unsigned i = 0; i < half->server->workers; i++)
        if (pthread_create(&half->workers[i], NULL, work, half) != 0)
            bench_die("start a worker of the reference", WEFT_EAGAIN);
    if (pthread_create(&half->proxy, NULL, run_proxy, half) != 0)
        bench_die("start a proxy of the reference", WEFT_EAGAIN);
}

static void half_stop_proxy(struct half *half)
{
    zmq_send(half->steer, "TERMINATE", 9, 0);
    pthread_join(half->proxy, NULL);
    zmq_close(half->steer);
}

static void half_join_workers(struct half *half)
{
    for (unsigned i = 0; i < half->server->workers; i++)
        pthread_join(half->workers[i], NULL);
}

struct reference_server *reference_server_start(unsigned workers, reference_answer *answer,
                                                uint16_t *sync_port_out, uint16_t *async_port_out)
{
    struct reference_server *server = calloc(1, sizeof(*server));
    if (!server || workers > WORKERS_MAX || !(server->zmq = zmq_ctx_new()))
        bench_die("start the reference", WEFT_ENOMEM);
    server->answer = answer;
    server->workers = workers;
    server->sync = (struct half){.server = server,
                                 .inner = "inproc://sync",
                                 .control = "inproc://sync-control",
                                 .front_type = ZMQ_ROUTER,
                                 .back_type = ZMQ_DEALER,
                                 .worker_type = ZMQ_REP};
    server->async = (struct half){.server = server,
                                  .inner = "inproc://async",
                                  .control = "inproc://async-control",
                                  .front_type = ZMQ_PULL,
                                  .back_type = ZMQ_PUSH,
                                  .worker_type = ZMQ_PULL};
    half_open(&server->sync, sync_port_out);
    half_open(&server->async, async_port_out);
    half_start(&server->sync);
    half_start(&server->async);
    return server;
}

void reference_server_stop(struct reference_server *server)
{
    half_stop_proxy(&server->sync);
    half_stop_proxy(&server->async);
    zmq_ctx_shutdown(server->zmq);
    half_join_workers(&server->sync);
    half_join_workers(&server->async);
    zmq_ctx_term(server->zmq);
    free(server);
}
