/* Too many connections, too few descriptors, connections that never say anything, messages that are
 * too long: refused, counted, and everybody else is served. */
#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "base/clock.h"
#include "transport/zmq/zmq.h"
#include "weft/error.h"

enum { FLOOD = 200, MESSAGE_MAX = 1000, LIMIT_S = 60 };

struct server {
    struct weft_tp_ep *ep;
    uint16_t sync, async;
    unsigned requests, messages, lost;
};

static void take_request(void *ctx, unsigned port_index, const struct weft_tp_from *from,
                         const void *data, size_t len_bytes)
{
    struct server *server = ctx;
    (void)port_index;
    server->requests++;
    if (from)
        (void)weft__tp_zmq.ctl->reply(server->ep, from, data, len_bytes);
}

static void take_message(void *ctx, const void *data, size_t len_bytes)
{
    struct server *server = ctx;
    (void)data;
    (void)len_bytes;
    server->messages++;
}

static void take_lost(void *ctx, struct weft_tp_peer peer)
{
    struct server *server = ctx;
    (void)peer;
    server->lost++;
}

static const struct weft_tp_handlers handlers = {
    .request = take_request, .message = take_message, .peer_lost = take_lost};

static void server_open(struct server *server, uint32_t families, uint32_t connections_max)
{
    memset(server, 0, sizeof(*server));
    const struct weft_tp_open desc = {.bind = "127.0.0.1",
                                      .families = families,
                                      .msg_max_bytes = MESSAGE_MAX,
                                      .connections_max = connections_max,
                                      .handlers = &handlers,
                                      .ctx = server};
    assert_int_equal(weft__tp_zmq.core->open(&desc, &server->ep), WEFT_OK);
    if (!(families & WEFT_TP_CTL))
        return;
    assert_int_equal(weft__tp_zmq.ctl->listen(server->ep, WEFT_TP_SYNC, 0, &server->sync), WEFT_OK);
    assert_int_equal(weft__tp_zmq.ctl->listen(server->ep, WEFT_TP_ASYNC, 0, &server->async),
                     WEFT_OK);
}

static void server_close(struct server *server)
{
    weft__tp_zmq.core->close(server->ep);
}

static void run(struct server *server)
{
    struct pollfd fd = {.fd = weft__tp_zmq.core->wait_fd(server->ep), .events = POLLIN};
    assert_true(weft__tp_zmq.core->progress(server->ep) >= 0);
    if (weft__tp_zmq.core->wait_arm(server->ep) == WEFT_OK)
        poll(&fd, 1, 10);
}

static struct weft_zmq_gate_stats gate(const struct server *server)
{
    struct weft_zmq_gate_stats stats;
    weft__zmq_gate_stats(server->ep, &stats);
    return stats;
}

#define RUN_UNTIL(server, condition)                                                               \
    do {                                                                                           \
        uint64_t limit_ = weft__now_ns() + LIMIT_S * WEFT_NS_PER_S;                                \
        while (!(condition)) {                                                                     \
            assert_true(weft__now_ns() < limit_);                                                  \
            run(server);                                                                           \
        }                                                                                          \
    } while (0)

static void *client_open(void *context, int type, uint16_t port)
{
    char url[64];
    int zero = 0, later = 2000000;
    void *client = zmq_socket(context, type);
    assert_non_null(client);
    zmq_setsockopt(client, ZMQ_LINGER, &zero, sizeof(zero));
    zmq_setsockopt(client, ZMQ_RECONNECT_IVL, &later, sizeof(later));
    snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", (unsigned)port);
    assert_int_equal(zmq_connect(client, url), 0);
    return client;
}

static void served(struct server *server, void *client)
{
    char reply[8];
    assert_int_equal(zmq_send(client, "hello", 5, 0), 5);
    RUN_UNTIL(server, zmq_recv(client, reply, sizeof(reply), ZMQ_DONTWAIT) == 5);
}

/* A connection that says nothing. */
static int silent_open(uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

/* Whether the other side has closed it; what it has said before is thrown away. */
static bool is_closed(int fd)
{
    char bytes[128];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
    }
    return n == 0 || (errno != EAGAIN && errno != EINTR);
}

static void a_connection_beyond_the_limit_is_closed_and_the_others_go_on(void **state)
{
    struct server server;
    void *context = zmq_ctx_new(), *clients[3];
    (void)state;
    server_open(&server, WEFT_TP_CTL, 3);
    for (unsigned i = 0; i < 3; i++) {
        clients[i] = client_open(context, ZMQ_REQ, server.sync);
        served(&server, clients[i]);
    }
    assert_int_equal(gate(&server).connections, 3);
    int more = silent_open(server.sync);
    RUN_UNTIL(&server, is_closed(more));
    close(more);
    assert_int_equal(gate(&server).refused, 1);
    for (unsigned i = 0; i < 3; i++)
        served(&server, clients[i]);
    zmq_close(clients[0]);
    RUN_UNTIL(&server, gate(&server).connections == 2);
    clients[0] = client_open(context, ZMQ_REQ, server.sync);
    served(&server, clients[0]);
    assert_int_equal(gate(&server).refused, 1);
    for (unsigned i = 0; i < 3; i++)
        zmq_close(clients[i]);
    zmq_ctx_term(context);
    server_close(&server);
}

static void each_port_has_its_own_limit(void **state)
{
    struct server server;
    void *context = zmq_ctx_new();
    (void)state;
    server_open(&server, WEFT_TP_CTL, 1);
    void *req = client_open(context, ZMQ_REQ, server.sync);
    served(&server, req);
    void *push = client_open(context, ZMQ_PUSH, server.async);
    assert_int_equal(zmq_send(push, "x", 1, 0), 1);
    RUN_UNTIL(&server, server.requests == 2);
    assert_int_equal(gate(&server).connections, 2);
    assert_int_equal(gate(&server).refused, 0);
    zmq_close(req);
    zmq_close(push);
    zmq_ctx_term(context);
    server_close(&server);
}

static void a_flood_of_silent_connections_does_not_keep_others_out(void **state)
{
    struct server server;
    void *context = zmq_ctx_new();
    int flood[FLOOD];
    (void)state;
    server_open(&server, WEFT_TP_CTL, 20);
    void *client = client_open(context, ZMQ_REQ, server.sync);
    served(&server, client);
    for (unsigned i = 0; i < FLOOD; i++)
        flood[i] = silent_open(server.sync);
    RUN_UNTIL(&server, gate(&server).refused == FLOOD - 19);
    served(&server, client);
    for (unsigned i = 0; i < FLOOD; i++)
        close(flood[i]);
    RUN_UNTIL(&server, gate(&server).connections == 1);
    void *other = client_open(context, ZMQ_REQ, server.sync);
    served(&server, other);
    zmq_close(client);
    zmq_close(other);
    zmq_ctx_term(context);
    server_close(&server);
}

static void a_server_that_is_not_driven_closes_in_the_middle_of_a_flood(void **state)
{
    struct server server;
    int flood[FLOOD];
    (void)state;
    server_open(&server, WEFT_TP_CTL, 20);
    for (unsigned i = 0; i < FLOOD; i++)
        flood[i] = silent_open(server.sync);
    server_close(&server);
    for (unsigned i = 0; i < FLOOD; i++)
        close(flood[i]);
}

/* ---- a server in a process of its own, which may run out of descriptors ---- */

struct shared {
    _Atomic uint16_t port;
    _Atomic uint64_t refused, accept_failed, connections;
};

static pid_t other_start(struct shared *shared)
{
    pid_t parent = getpid(), pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    struct server server;
    assert_int_equal(close_range(3, ~0u, 0), 0); /* what was inherited would leave gaps */
    server_open(&server, WEFT_TP_CTL, 0);
    atomic_store(&shared->port, server.sync);
    while (getppid() == parent) {
        struct weft_zmq_gate_stats stats = gate(&server);
        atomic_store(&shared->refused, stats.refused);
        atomic_store(&shared->accept_failed, stats.accept_failed);
        atomic_store(&shared->connections, stats.connections);
        run(&server);
    }
    _exit(0);
}

#define AWAIT(condition)                                                                           \
    do {                                                                                           \
        uint64_t limit_ = weft__now_ns() + LIMIT_S * WEFT_NS_PER_S;                                \
        while (!(condition)) {                                                                     \
            assert_true(weft__now_ns() < limit_);                                                  \
            (void)usleep(1000);                                                                    \
        }                                                                                          \
    } while (0)

static void served_there(void *client)
{
    char reply[8];
    assert_int_equal(zmq_send(client, "hello", 5, 0), 5);
    AWAIT(zmq_recv(client, reply, sizeof(reply), ZMQ_DONTWAIT) == 5);
}

static uint64_t cpu_ns(pid_t pid)
{
    clockid_t clock;
    struct timespec used;
    assert_int_equal(clock_getcpuclockid(pid, &clock), 0);
    assert_int_equal(clock_gettime(clock, &used), 0);
    return (uint64_t)used.tv_sec * WEFT_NS_PER_S + (uint64_t)used.tv_nsec;
}

/* Whether it used less than a quarter of a fifth of a second. */
static bool is_calm(pid_t pid)
{
    uint64_t before = cpu_ns(pid);
    (void)usleep(200000);
    return cpu_ns(pid) - before < 50 * WEFT_NS_PER_MS;
}

/* The lowest descriptor that the process has not open, above all that it has. */
static unsigned top_fd(pid_t pid)
{
    char path[64];
    unsigned top = 0;
    for (unsigned fd = 0; fd < 1024; fd++) {
        snprintf(path, sizeof(path), "/proc/%d/fd/%u", (int)pid, fd);
        if (access(path, F_OK) == 0 || readlink(path, (char[8]){0}, 8) >= 0)
            top = fd + 1;
    }
    return top;
}

/* room: how many descriptors the limit leaves above those in use. */
static void flood_other(unsigned room, bool expect_failures)
{
    struct shared *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    void *context, *client;
    int flood[FLOOD];
    assert_ptr_not_equal(shared, MAP_FAILED);
    memset(shared, 0, sizeof(*shared));
    pid_t pid = other_start(shared);
    AWAIT(atomic_load(&shared->port) != 0);
    context = zmq_ctx_new();
    client = client_open(context, ZMQ_REQ, atomic_load(&shared->port));
    served_there(client);
    struct rlimit before, low;
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, NULL, &before), 0);
    low = before;
    low.rlim_cur = top_fd(pid) + room;
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &low, NULL), 0);
    for (unsigned i = 0; i < FLOOD; i++)
        flood[i] = silent_open(atomic_load(&shared->port));
    AWAIT(atomic_load(&shared->refused) + room >= FLOOD);
    assert_true(!expect_failures || atomic_load(&shared->accept_failed) > 0);
    AWAIT(is_calm(pid));
    served_there(client);
    for (unsigned i = 0; i < FLOOD; i++)
        close(flood[i]);
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &before, NULL), 0);
    AWAIT(atomic_load(&shared->connections) == 1);
    void *other = client_open(context, ZMQ_REQ, atomic_load(&shared->port));
    served_there(other);
    zmq_close(client);
    zmq_close(other);
    zmq_ctx_term(context);
    int status;
    assert_int_equal(waitpid(pid, &status, WNOHANG), 0); /* it lives */
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    munmap(shared, sizeof(*shared));
}

static void few_descriptors_are_kept_for_the_process_itself(void **state)
{
    (void)state;
    flood_other(40, false);
}

static void no_descriptor_at_all_neither_kills_the_server_nor_keeps_it_busy(void **state)
{
    (void)state;
    flood_other(0, true);
}

/* ---- time and size ---- */

static void a_connection_that_never_says_anything_goes_away(void **state)
{
    struct server server;
    (void)state;
    server_open(&server, WEFT_TP_CTL, 0);
    int sync = silent_open(server.sync), async = silent_open(server.async);
    RUN_UNTIL(&server, gate(&server).connections == 2);
    RUN_UNTIL(&server, is_closed(sync) && is_closed(async));
    RUN_UNTIL(&server, gate(&server).connections == 0);
    assert_int_equal(gate(&server).handshakes_failed, 2);
    close(sync);
    close(async);
    server_close(&server);
}

/* A message that is too long closes its connection, and the next client is served. */
static void too_long(struct server *server, int type, uint16_t port, const unsigned *taken)
{
    static char bytes[MESSAGE_MAX + 100];
    void *context = zmq_ctx_new();
    unsigned before = *taken;
    uint64_t accepted = gate(server).accepted;
    void *bad = client_open(context, type, port);
    assert_int_equal(zmq_send(bad, bytes, sizeof(bytes), 0), sizeof(bytes));
    RUN_UNTIL(server, gate(server).accepted == accepted + 1 && gate(server).connections == 0);
    assert_int_equal(*taken, before);
    void *good = client_open(context, type, port);
    assert_int_equal(zmq_send(good, bytes, MESSAGE_MAX, 0), MESSAGE_MAX);
    RUN_UNTIL(server, *taken == before + 1);
    zmq_close(bad);
    zmq_close(good);
    zmq_ctx_term(context);
    RUN_UNTIL(server, gate(server).connections == 0);
}

static void a_message_that_is_too_long_closes_its_connection_on_every_port(void **state)
{
    struct server server;
    struct weft_tp_addr address;
    (void)state;
    server_open(&server, WEFT_TP_CTL, 0);
    too_long(&server, ZMQ_DEALER, server.sync, &server.requests);
    too_long(&server, ZMQ_PUSH, server.async, &server.requests);
    server_close(&server);
    server_open(&server, WEFT_TP_MSG, 0);
    assert_int_equal(weft__tp_zmq.core->address(server.ep, &address), WEFT_OK);
    address.bytes[address.len] = '\0';
    const char *colon = strrchr((const char *)address.bytes, ':');
    too_long(&server, ZMQ_DEALER, (uint16_t)atoi(colon + 1), &server.messages);
    server_close(&server);
}

static void an_answer_that_is_too_long_breaks_the_connection(void **state)
{
    static char bytes[MESSAGE_MAX + 100];
    struct server client;
    struct weft_tp_peer peer;
    char url[128], id[64];
    size_t len = sizeof(url);
    (void)state;
    void *context = zmq_ctx_new(), *router = zmq_socket(context, ZMQ_ROUTER);
    assert_int_equal(zmq_bind(router, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, url, &len), 0);
    server_open(&client, WEFT_TP_CTL, 0);
    assert_int_equal(weft__tp_zmq.ctl->connect(client.ep, url, WEFT_TP_SYNC, &peer), WEFT_OK);
    assert_int_equal(weft__tp_zmq.ctl->request(client.ep, peer, "hello", 5), WEFT_OK);
    int id_len = -1;
    RUN_UNTIL(&client, (id_len = zmq_recv(router, id, sizeof(id), ZMQ_DONTWAIT)) > 0);
    assert_int_equal(zmq_send(router, id, (size_t)id_len, ZMQ_SNDMORE), id_len);
    assert_int_equal(zmq_send(router, bytes, sizeof(bytes), 0), sizeof(bytes));
    RUN_UNTIL(&client, client.lost == 1);
    server_close(&client);
    zmq_close(router);
    zmq_ctx_term(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            few_descriptors_are_kept_for_the_process_itself), /* fork: no threads yet */
        cmocka_unit_test(no_descriptor_at_all_neither_kills_the_server_nor_keeps_it_busy),
        cmocka_unit_test(a_connection_beyond_the_limit_is_closed_and_the_others_go_on),
        cmocka_unit_test(each_port_has_its_own_limit),
        cmocka_unit_test(a_flood_of_silent_connections_does_not_keep_others_out),
        cmocka_unit_test(a_server_that_is_not_driven_closes_in_the_middle_of_a_flood),
        cmocka_unit_test(a_message_that_is_too_long_closes_its_connection_on_every_port),
        cmocka_unit_test(an_answer_that_is_too_long_breaks_the_connection),
        cmocka_unit_test(a_connection_that_never_says_anything_goes_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
