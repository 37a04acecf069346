/* Clients that take, break off, say nothing or read nothing, and a host without open files left:
 * whatever they do, the others are served, and when they are gone nothing of them is left.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "control/client.h"
#include "host/calls.h"
#include "scene.h"
#include "weft/error.h"
#include "wire/frame.h"

enum { HALVES = 60, SILENT = 2000, BATCH = 50, CROWD = 64, CLIENTS = 7, ROUNDS = 100, UNREAD = 50 };

/* ---- raw TCP ---- */

static uint16_t port_of(const struct cluster_host *host)
{
    return (uint16_t)strtoul(strrchr(host->url, ':') + 1, NULL, 10);
}

/* -1: refused. */
static int tcp_connect(const struct cluster_host *host)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port_of(host))};
    struct timeval timeout = {.tv_sec = 5};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)inet_pton(AF_INET, host->address, &to.sin_addr);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static void tcp_reset(int fd)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(fd);
}

static bool read_all(int fd, uint8_t *bytes, size_t len)
{
    for (size_t got = 0; got < len;) {
        ssize_t n = recv(fd, bytes + got, len - got, 0);
        if (n <= 0)
            return false;
        got += (size_t)n;
    }
    return true;
}

/* As a DEALER does: greeting and READY both ways. */
static bool zmtp_connect(int fd)
{
    static const uint8_t greeting[64] = {0xff, 0,    0, 0, 0,   0,   0,   0,
                                         1,    0x7f, 3, 0, 'N', 'U', 'L', 'L'};
    static const uint8_t ready[] = "\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06"
                                   "DEALER";
    uint8_t theirs[256], head[2];
    return send(fd, greeting, sizeof(greeting), MSG_NOSIGNAL) == sizeof(greeting) &&
           read_all(fd, theirs, sizeof(greeting)) &&
           send(fd, ready, sizeof(ready) - 1, MSG_NOSIGNAL) == sizeof(ready) - 1 &&
           read_all(fd, head, sizeof(head)) && head[0] == 4 && read_all(fd, theirs, head[1]);
}

/* A request in two parts, the second one cut off behind its first `keep` bytes. */
static void send_half(int fd, size_t keep)
{
    uint8_t bytes[2 + 2 + WEFT_FRAME_HEADER_BYTES] = {1, 0, 0, WEFT_FRAME_HEADER_BYTES};
    struct weft_frame frame = {.call = WEFT_CALL_PING, .correlation = 1};
    weft__frame_encode_header(&frame, bytes + 4);
    (void)send(fd, bytes, 2 + keep, MSG_NOSIGNAL);
}

/* ---- the host ---- */

static void takes_work(struct cluster *cluster, const struct cluster_host *host)
{
    struct child *run =
        cluster_weft(cluster, "run", "--at", host->address, cluster_program("hello"), NULL);
    if (run->code != 0)
        cluster_fail(cluster, "host %s takes no work: exit code %d", host->name, run->code);
}

/* A client that was not there before is served. */
static int ping_anew(const struct cluster_host *host)
{
    struct weft_client *client;
    struct weft_client_call call = {
        .url = host->url, .code = WEFT_CALL_PING, .timeout_ms = CLUSTER_MS};
    int err = weft__client_open(&(struct weft_client_desc){.pending_max = 0}, &client);
    if (err == WEFT_OK) {
        err = weft__client_wait(client, &call, NULL);
        weft__client_close(client);
    }
    return err;
}

/* How many files this process and its children may open. */
static void allow_files(rlim_t n)
{
    struct rlimit limit;
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max > n)
        limit.rlim_cur = n;
    else
        limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* ---- the cases ---- */

static void a_client_that_dies_between_two_parts_is_forgotten(void **state)
{
    struct cluster *cluster = *state;
    struct cluster_host *host = cluster_host(cluster, "home", 1);
    takes_work(cluster, host); /* with all that a host opens for its first app */
    unsigned before = cluster_host_fds(host);
    for (size_t i = 0; i < HALVES; i++) {
        int fd = tcp_connect(host);
        cluster_check(cluster, fd >= 0 && zmtp_connect(fd));
        send_half(fd, i % (2 + WEFT_FRAME_HEADER_BYTES));
        if (i % 2 == 0)
            tcp_reset(fd);
        else
            close(fd);
    }
    cluster_check(cluster, ping_anew(host) == WEFT_OK);
    takes_work(cluster, host);
    cluster_await(cluster, CLUSTER_MS, cluster_host_fds(host) <= before);
}

static void thousands_that_say_nothing_keep_nobody_out(void **state)
{
    struct cluster *cluster = *state;
    static int fds[SILENT];
    unsigned open = 0;
    allow_files(4 * SILENT);
    struct cluster_host *host = cluster_host(cluster, "home", 1);
    takes_work(cluster, host); /* with all that a host opens for its first app */
    unsigned before = cluster_host_fds(host);
    for (unsigned i = 0; i < SILENT; i++) {
        fds[open] = tcp_connect(host);
        open += fds[open] >= 0;
        if (i % BATCH == 0) /* what finds the host's backlog full waits a second */
            cluster_await(cluster, CLUSTER_MS, cluster_host_fds(host) >= before + open);
    }
    cluster_check(cluster, open == SILENT);
    cluster_check(cluster, ping_anew(host) == WEFT_OK);
    takes_work(cluster, host);
    for (unsigned i = 0; i < open; i++)
        close(fds[i]);
    cluster_await(cluster, CLUSTER_MS, cluster_host_fds(host) <= before);
    cluster_check(cluster, ping_anew(host) == WEFT_OK);
}

static void a_host_without_files_left_lives_on(void **state)
{
    struct cluster *cluster = *state;
    struct cluster_host *host = cluster_host(cluster, "home", 1);
    struct rlimit limit, few;
    int fds[CROWD];
    takes_work(cluster, host);
    cluster_check(cluster, ask_ping(cluster, host));
    unsigned before = cluster_host_fds(host);
    cluster_check(cluster, prlimit(host->weftd->pid, RLIMIT_NOFILE, NULL, &limit) == 0);
    few = limit;
    few.rlim_cur = before + 3;
    cluster_check(cluster, prlimit(host->weftd->pid, RLIMIT_NOFILE, &few, NULL) == 0);
    for (unsigned i = 0; i < CROWD; i++)
        fds[i] = tcp_connect(host);
    /* Who is connected goes on; who asks for work hears why there is none, soon. */
    cluster_check(cluster, ask_ping(cluster, host));
    struct child *run = cluster_start(cluster, "weft", "run", "--at", host->address,
                                      cluster_program("hello"), NULL);
    int code = child_wait(run, 2 * CLUSTER_MS);
    cluster_check(cluster, code > 0);
    cluster_check(cluster, ask_ping(cluster, host));
    for (unsigned i = 0; i < CROWD; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    cluster_await(cluster, CLUSTER_MS, ping_anew(host) == WEFT_OK); /* with the few that it has */
    cluster_check(cluster, prlimit(host->weftd->pid, RLIMIT_NOFILE, &limit, NULL) == 0);
    takes_work(cluster, host);
    cluster_await(cluster, CLUSTER_MS, cluster_host_fds(host) <= before + 1);
}

/* Asks and asks, and reads no answer. */
static void ask_without_reading(void *sock)
{
    uint8_t bytes[WEFT_FRAME_HEADER_BYTES];
    for (unsigned i = 0; i < UNREAD; i++) {
        struct weft_frame frame = {.call = WEFT_CALL_APPS, .correlation = i + 1};
        weft__frame_encode_header(&frame, bytes);
        if (zmq_send(sock, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT) != 0)
            return; /* it is not even read any more */
        (void)zmq_send(sock, bytes, sizeof(bytes), ZMQ_DONTWAIT);
    }
}

static void a_client_that_reads_nothing_slows_nobody(void **state)
{
    struct cluster *cluster = *state;
    struct cluster_host *host = cluster_host(cluster, "home", 1);
    struct weft_client *clients[CLIENTS];
    void *ctx = zmq_ctx_new(), *sock = zmq_socket(ctx, ZMQ_DEALER);
    int one = 1, small = 4096, zero = 0;
    (void)zmq_setsockopt(sock, ZMQ_RCVHWM, &one, sizeof(one));
    (void)zmq_setsockopt(sock, ZMQ_RCVBUF, &small, sizeof(small));
    (void)zmq_setsockopt(sock, ZMQ_LINGER, &zero, sizeof(zero));
    cluster_check(cluster, zmq_connect(sock, host->url) == 0);
    for (unsigned i = 0; i < CLIENTS; i++)
        cluster_check(cluster, weft__client_open(&(struct weft_client_desc){.pending_max = 0},
                                                 &clients[i]) == WEFT_OK);
    struct child_patience patience = child_patience(CLUSTER_MS);
    for (unsigned round = 0; round < ROUNDS; round++) {
        ask_without_reading(sock);
        for (unsigned i = 0; i < CLIENTS; i++) {
            struct weft_client_call call = {
                .url = host->url, .code = WEFT_CALL_PING, .timeout_ms = CLUSTER_MS};
            int err = weft__client_wait(clients[i], &call, NULL);
            if (err != WEFT_OK || child_patience_over(&patience))
                cluster_fail(cluster, "client %u in round %u: %s", i, round, weft_fail_text(err));
        }
    }
    takes_work(cluster, host);
    for (unsigned i = 0; i < CLIENTS; i++)
        weft__client_close(clients[i]);
    zmq_close(sock);
    zmq_ctx_term(ctx);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(a_client_that_dies_between_two_parts_is_forgotten),
        CASE(thousands_that_say_nothing_keep_nobody_out),
        CASE(a_host_without_files_left_lives_on),
        CASE(a_client_that_reads_nothing_slows_nobody),
    };
    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
