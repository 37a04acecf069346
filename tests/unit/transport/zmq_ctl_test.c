/* What only a server of plain ZeroMQ clients must cope with: REQ and DEALER clients, envelopes,
 * identities, garbage. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "base/clock.h"
#include "transport/zmq/zmq.h"
#include "weft/error.h"

struct server {
    struct weft_tp_ep *ep;
    uint16_t sync, async;
    unsigned requests, pushes;
    size_t len;
    char last[64];
    bool echo; /* answer at once */
    struct weft_tp_from from;
    unsigned gone;
    struct weft_tp_from last_gone;
};

static void take_request(void *ctx, unsigned port_index, const struct weft_tp_from *from,
                         const void *data, size_t len_bytes)
{
    struct server *server = ctx;
    assert_int_equal(port_index, from ? 0 : 1);
    server->requests += from != NULL;
    server->pushes += !from;
    server->len = len_bytes;
    memcpy(server->last, data, len_bytes < sizeof(server->last) ? len_bytes : sizeof(server->last));
    if (!from)
        return;
    server->from = *from;
    if (server->echo)
        assert_int_equal(weft__tp_zmq.ctl->reply(server->ep, from, data, len_bytes), WEFT_OK);
}

static void take_gone(void *ctx, const struct weft_tp_from *from)
{
    struct server *server = ctx;
    server->gone++;
    server->last_gone = *from;
}

static const struct weft_tp_handlers handlers = {.request = take_request, .client_gone = take_gone};

static void server_open(struct server *server)
{
    memset(server, 0, sizeof(*server));
    server->echo = true;
    struct weft_tp_open desc = {
        .bind = "127.0.0.1",
        .families = WEFT_TP_CTL,
        .msg_max_bytes = 100000,
        .handlers = &handlers,
        .ctx = server,
    };
    assert_int_equal(weft__tp_zmq.core->open(&desc, &server->ep), WEFT_OK);
    assert_int_equal(weft__tp_zmq.ctl->listen(server->ep, WEFT_TP_SYNC, 0, &server->sync), WEFT_OK);
    assert_int_equal(weft__tp_zmq.ctl->listen(server->ep, WEFT_TP_ASYNC, 0, &server->async),
                     WEFT_OK);
}

static void server_close(struct server *server)
{
    weft__tp_zmq.core->close(server->ep);
}

static uint64_t malformed(const struct server *server)
{
    struct weft_zmq_stats stats;
    weft__zmq_stats(server->ep, &stats);
    return stats.malformed;
}

static void run(struct server *server)
{
    struct pollfd fd = {.fd = weft__tp_zmq.core->wait_fd(server->ep), .events = POLLIN};
    assert_true(weft__tp_zmq.core->progress(server->ep) >= 0);
    if (weft__tp_zmq.core->wait_arm(server->ep) == WEFT_OK)
        poll(&fd, 1, 20);
}

static void *client_open(void *context, int type, uint16_t port)
{
    char url[64];
    int zero = 0;
    void *client = zmq_socket(context, type);
    assert_non_null(client);
    zmq_setsockopt(client, ZMQ_LINGER, &zero, sizeof(zero));
    snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", (unsigned)port);
    assert_int_equal(zmq_connect(client, url), 0);
    return client;
}

/* Runs the server until the client has a message; its parts but the last must be empty. */
static int receive(struct server *server, void *client, char *buffer, size_t size)
{
    uint64_t give_up = weft__now_ns() + 30 * WEFT_NS_PER_S;
    int n;
    while ((n = zmq_recv(client, buffer, size, ZMQ_DONTWAIT)) < 0) {
        run(server);
        assert_true(weft__now_ns() < give_up);
    }
    return n;
}

static void run_until(struct server *server, const unsigned *count, unsigned wanted)
{
    uint64_t give_up = weft__now_ns() + 30 * WEFT_NS_PER_S;
    while (*count < wanted) {
        run(server);
        assert_true(weft__now_ns() < give_up);
    }
}

static void run_until_malformed(struct server *server, uint64_t wanted)
{
    uint64_t give_up = weft__now_ns() + 30 * WEFT_NS_PER_S;
    while (malformed(server) < wanted) {
        run(server);
        assert_true(weft__now_ns() < give_up);
    }
}

static void a_req_client_is_served(void **state)
{
    (void)state;
    struct server server;
    char buffer[16];
    server_open(&server);
    void *context = zmq_ctx_new();
    void *client = client_open(context, ZMQ_REQ, server.sync);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(zmq_send(client, "hello", 5, 0), 5);
        assert_int_equal(receive(&server, client, buffer, sizeof(buffer)), 5);
        assert_memory_equal(buffer, "hello", 5);
        assert_int_equal(server.requests, i);
    }
    zmq_close(client);
    zmq_ctx_term(context);
    server_close(&server);
}

static void a_dealer_client_is_served_with_and_without_delimiter(void **state)
{
    (void)state;
    struct server server;
    char buffer[16];
    server_open(&server);
    void *context = zmq_ctx_new();
    void *client = client_open(context, ZMQ_DEALER, server.sync);
    assert_int_equal(zmq_send(client, "bare", 4, 0), 4);
    assert_int_equal(receive(&server, client, buffer, sizeof(buffer)), 4);
    assert_int_equal(zmq_send(client, "", 0, ZMQ_SNDMORE), 0);
    assert_int_equal(zmq_send(client, "wrapped", 7, 0), 7);
    assert_int_equal(receive(&server, client, buffer, sizeof(buffer)),
                     0); /* the delimiter comes back */
    assert_int_equal(receive(&server, client, buffer, sizeof(buffer)), 7);
    assert_memory_equal(buffer, "wrapped", 7);
    assert_int_equal(malformed(&server), 0);
    zmq_close(client);
    zmq_ctx_term(context);
    server_close(&server);
}

static void identities_up_to_255_bytes_are_kept(void **state)
{
    (void)state;
    struct server server;
    char buffer[16], identity[255];
    server_open(&server);
    void *context = zmq_ctx_new();
    for (unsigned len = 1; len <= 255; len += 127) {
        int zero = 0;
        char url[64];
        memset(identity, 'i', sizeof(identity));
        identity[0] = (char)('a' + len % 20);
        void *client = zmq_socket(context, ZMQ_DEALER);
        zmq_setsockopt(client, ZMQ_LINGER, &zero, sizeof(zero));
        assert_int_equal(zmq_setsockopt(client, ZMQ_ROUTING_ID, identity, len), 0);
        snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", (unsigned)server.sync);
        assert_int_equal(zmq_connect(client, url), 0);
        assert_int_equal(zmq_send(client, "x", 1, 0), 1);
        assert_int_equal(receive(&server, client, buffer, sizeof(buffer)), 1);
        assert_int_equal(server.from.len, len + 1);
        zmq_close(client);
    }
    zmq_ctx_term(context);
    server_close(&server);
}

static void send_parts(void *client, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(zmq_send(client, "part", 4, i + 1 < n ? ZMQ_SNDMORE : 0), 4);
}

static void messages_of_too_many_parts_come_empty_and_are_counted(void **state)
{
    (void)state;
    struct server server;
    char buffer[16];
    server_open(&server);
    void *context = zmq_ctx_new();
    void *dealer = client_open(context, ZMQ_DEALER, server.sync);
    void *push = client_open(context, ZMQ_PUSH, server.async);
    send_parts(dealer, 2);
    send_parts(dealer, 3);
    send_parts(dealer, 100);
    run_until_malformed(&server, 3);
    send_parts(push, 2);
    send_parts(push, 50);
    run_until_malformed(&server, 5);
    assert_int_equal(server.requests, 3);
    assert_int_equal(server.pushes, 2);
    assert_int_equal(server.len, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(receive(&server, dealer, buffer, sizeof(buffer)), 0);
    assert_int_equal(zmq_send(dealer, "fine", 4, 0), 4);
    assert_int_equal(receive(&server, dealer, buffer, sizeof(buffer)), 4);
    assert_int_equal(zmq_send(push, "fine", 4, 0), 4);
    run_until(&server, &server.pushes, 3);
    assert_int_equal(malformed(&server), 5);
    zmq_close(dealer);
    zmq_close(push);
    zmq_ctx_term(context);
    server_close(&server);
}

static bool same_from(const struct weft_tp_from *a, const struct weft_tp_from *b)
{
    return a->port_index == b->port_index && a->len == b->len &&
           memcmp(a->bytes, b->bytes, a->len) == 0;
}

/* identity: NULL, libzmq's own. */
static void ask_and_go(struct server *server, const char *identity)
{
    char buffer[16], url[64];
    void *context = zmq_ctx_new();
    void *stays = client_open(context, ZMQ_DEALER, server->sync), *goes;
    unsigned gone = server->gone;
    struct weft_tp_from from;
    int zero = 0;

    assert_int_equal(zmq_send(stays, "stay", 4, 0), 4);
    assert_int_equal(receive(server, stays, buffer, sizeof(buffer)), 4);
    goes = zmq_socket(context, ZMQ_REQ);
    zmq_setsockopt(goes, ZMQ_LINGER, &zero, sizeof(zero));
    if (identity)
        zmq_setsockopt(goes, ZMQ_ROUTING_ID, identity, strlen(identity));
    snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", (unsigned)server->sync);
    assert_int_equal(zmq_connect(goes, url), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(zmq_send(goes, "hello", 5, 0), 5);
        assert_int_equal(receive(server, goes, buffer, sizeof(buffer)), 5);
    }
    from = server->from;
    assert_int_equal(zmq_send(stays, "stay", 4, 0), 4);
    assert_int_equal(receive(server, stays, buffer, sizeof(buffer)), 4);
    assert_int_equal(server->gone, gone);
    zmq_close(goes);
    run_until(server, &server->gone, gone + 1);
    assert_true(same_from(&server->last_gone, &from));
    zmq_close(stays);
    run_until(server, &server->gone, gone + 2);
    zmq_ctx_term(context);
}

static void who_goes_is_told_by_the_name_of_his_requests(void **state)
{
    (void)state;
    struct server server;
    server_open(&server);
    ask_and_go(&server, NULL);
    for (int i = 0; i < 3; i++)
        ask_and_go(&server, "my own name");
    server_close(&server);
}

/* 64 KiB again and again, to one that does not read. */
static void replies_that_are_not_read_are_refused_by_their_bytes(void **state)
{
    (void)state;
    struct server server;
    static char big[65536];
    char buffer[16];
    int one = 1, small = 4096;
    size_t taken = 0;
    server_open(&server);
    server.echo = false;
    void *context = zmq_ctx_new();
    void *deaf = zmq_socket(context, ZMQ_DEALER);
    char url[64];
    snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", (unsigned)server.sync);
    zmq_setsockopt(deaf, ZMQ_RCVHWM, &one, sizeof(one));
    zmq_setsockopt(deaf, ZMQ_RCVBUF, &small, sizeof(small));
    assert_int_equal(zmq_connect(deaf, url), 0);
    assert_int_equal(zmq_send(deaf, "me", 2, 0), 2);
    run_until(&server, &server.requests, 1);
    while (weft__tp_zmq.ctl->reply(server.ep, &server.from, big, sizeof(big)) == WEFT_OK)
        assert_true(++taken < 1000); /* 4096 are libzmq's own limit */
    struct weft_tp_from deaf_from = server.from;
    void *reads = client_open(context, ZMQ_DEALER, server.sync);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(zmq_send(reads, "me", 2, 0), 2);
        run_until(&server, &server.requests, 2 + i);
        assert_int_equal(weft__tp_zmq.ctl->reply(server.ep, &server.from, big, sizeof(big)),
                         WEFT_OK);
        assert_int_equal(receive(&server, reads, buffer, sizeof(buffer)), sizeof(big));
    }
    for (size_t i = 0; i < taken; i++)
        assert_int_equal(receive(&server, deaf, buffer, sizeof(buffer)), sizeof(big));
    uint64_t give_up = weft__now_ns() + 30 * WEFT_NS_PER_S;
    while (weft__tp_zmq.ctl->reply(server.ep, &deaf_from, big, sizeof(big)) == WEFT_EAGAIN)
        assert_true(weft__now_ns() < give_up);
    assert_int_equal(receive(&server, deaf, buffer, sizeof(buffer)), sizeof(big));
    zmq_close(deaf);
    zmq_close(reads);
    zmq_ctx_term(context);
    server_close(&server);
}

static void raw_bytes_on_a_port_harm_nobody(void **state)
{
    (void)state;
    struct server server;
    char buffer[16], noise[4096];
    server_open(&server);
    void *context = zmq_ctx_new();
    void *client = client_open(context, ZMQ_REQ, server.sync);
    for (unsigned i = 0; i < sizeof(noise); i++)
        noise[i] = (char)(i * 2654435761u >> 13);
    for (unsigned i = 0; i < 10; i++) {
        struct sockaddr_in to = {.sin_family = AF_INET,
                                 .sin_port = htons(i % 2 ? server.sync : server.async)};
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
        assert_true(send(fd, noise + i, sizeof(noise) - i, MSG_NOSIGNAL) > 0);
        run(&server);
        close(fd);
    }
    assert_int_equal(zmq_send(client, "hello", 5, 0), 5);
    assert_int_equal(receive(&server, client, buffer, sizeof(buffer)), 5);
    assert_int_equal(server.requests, 1);
    zmq_close(client);
    zmq_ctx_term(context);
    server_close(&server);
}

static int connect_raw(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

/* An empty identity and a message, as libzmq 2 and 3 send them; and the end of the server before
 * libzmq has looked, which must not abort the process. */
static void who_speaks_an_old_protocol_is_refused(void **state)
{
    (void)state;
    static const char zmtp_1[] = "\x01\0\x06\0hello",
                      zmtp_2[] = "\xff\0\0\0\0\0\0\0\x01\x7f\x01\x05\0\0\0\x05hello";
    struct server server;
    server_open(&server);
    for (int i = 0; i < 2; i++) {
        char bytes[64];
        ssize_t n;
        int fd = connect_raw(server.sync);
        struct timeval limit = {.tv_sec = 30};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        assert_true(send(fd, i ? zmtp_2 : zmtp_1, i ? sizeof(zmtp_2) - 1 : sizeof(zmtp_1) - 1,
                         MSG_NOSIGNAL) > 0);
        do
            n = recv(fd, bytes, sizeof(bytes), 0);
        while (n > 0);
        assert_true(n == 0 || errno == ECONNRESET);
        close(fd);
    }
    run(&server);
    assert_int_equal(server.requests, 0);
    server_close(&server);
    for (int i = 0; i < 20; i++) {
        server_open(&server);
        int fd = connect_raw(server.sync);
        assert_true(send(fd, zmtp_1, sizeof(zmtp_1) - 1, MSG_NOSIGNAL) > 0);
        server_close(&server);
        close(fd);
    }
}

static void an_oversized_request_is_not_delivered_and_others_are_served(void **state)
{
    (void)state;
    struct server server;
    static char big[100001];
    char buffer[16];
    server_open(&server);
    void *context = zmq_ctx_new();
    void *rude = client_open(context, ZMQ_DEALER, server.sync);
    void *client = client_open(context, ZMQ_REQ, server.sync);
    assert_int_equal(zmq_send(rude, big, sizeof(big), 0), sizeof(big));
    for (unsigned i = 0; i < 5; i++)
        run(&server);
    assert_int_equal(zmq_send(client, "hello", 5, 0), 5);
    assert_int_equal(receive(&server, client, buffer, sizeof(buffer)), 5);
    assert_int_equal(server.requests, 1);
    zmq_close(rude);
    zmq_close(client);
    zmq_ctx_term(context);
    server_close(&server);
}

static void an_answer_given_just_before_the_end_arrives(void **state)
{
    (void)state;
    char buffer[16];
    for (unsigned i = 0; i < 20; i++) {
        struct server server;
        server_open(&server);
        void *context = zmq_ctx_new();
        void *client = client_open(context, ZMQ_REQ, server.sync);
        assert_int_equal(zmq_send(client, "hello", 5, 0), 5);
        run_until(&server, &server.requests, 1);
        server_close(&server);
        int wait_ms = 30000;
        zmq_setsockopt(client, ZMQ_RCVTIMEO, &wait_ms, sizeof(wait_ms));
        assert_int_equal(zmq_recv(client, buffer, sizeof(buffer), 0), 5);
        zmq_close(client);
        zmq_ctx_term(context);
    }
}

static void a_range_of_ports_is_used_from_its_start(void **state)
{
    (void)state;
    struct server server;
    struct weft_tp_ep *ep;
    uint16_t port = 0;
    server_open(&server); /* its sync port is certainly in use */
    struct weft_tp_open desc = {.bind = "127.0.0.1",
                                .families = WEFT_TP_CTL,
                                .port_first = server.sync,
                                .port_last = server.sync};
    assert_int_equal(weft__tp_zmq.core->open(&desc, &ep), WEFT_OK);
    assert_int_equal(weft__tp_zmq.ctl->listen(ep, WEFT_TP_SYNC, 0, &port), WEFT_EADDRINUSE);
    assert_int_equal(port, 0);
    weft__tp_zmq.core->close(ep);
    desc.port_last = (uint16_t)(server.sync < 65000 ? server.sync + 500 : 65535);
    assert_int_equal(weft__tp_zmq.core->open(&desc, &ep), WEFT_OK);
    assert_int_equal(weft__tp_zmq.ctl->listen(ep, WEFT_TP_SYNC, 0, &port), WEFT_OK);
    assert_true(port > server.sync && port <= desc.port_last);
    weft__tp_zmq.core->close(ep);
    desc.port_first = 10;
    desc.port_last = 9;
    assert_int_equal(weft__tp_zmq.core->open(&desc, &ep), WEFT_EINVAL);
    server_close(&server);
}

static void a_name_instead_of_an_address_is_refused(void **state)
{
    (void)state;
    struct weft_tp_ep *ep;
    struct weft_tp_peer peer;
    struct weft_tp_open desc = {.bind = "localhost", .families = WEFT_TP_CTL};
    assert_int_equal(weft__tp_zmq.core->open(&desc, &ep), WEFT_EINVAL);
    desc.bind = "*";
    assert_int_equal(weft__tp_zmq.core->open(&desc, &ep), WEFT_EINVAL);
    desc.bind = "127.0.0.1";
    assert_int_equal(weft__tp_zmq.core->open(&desc, &ep), WEFT_OK);
    const char *bad[] = {"tcp://localhost:1",     "ipc:///tmp/x", "tcp://127.0.0.1:0",
                         "tcp://127.0.0.1:99999", "tcp://[::1:5", "tcp://*:5",
                         "tcp://127.0.0.1:+5"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(weft__tp_zmq.ctl->connect(ep, bad[i], WEFT_TP_SYNC, &peer), WEFT_EINVAL);
    weft__tp_zmq.core->close(ep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_req_client_is_served),
        cmocka_unit_test(a_dealer_client_is_served_with_and_without_delimiter),
        cmocka_unit_test(identities_up_to_255_bytes_are_kept),
        cmocka_unit_test(messages_of_too_many_parts_come_empty_and_are_counted),
        cmocka_unit_test(who_goes_is_told_by_the_name_of_his_requests),
        cmocka_unit_test(replies_that_are_not_read_are_refused_by_their_bytes),
        cmocka_unit_test(raw_bytes_on_a_port_harm_nobody),
        cmocka_unit_test(who_speaks_an_old_protocol_is_refused),
        cmocka_unit_test(an_oversized_request_is_not_delivered_and_others_are_served),
        cmocka_unit_test(an_answer_given_just_before_the_end_arrives),
        cmocka_unit_test(a_range_of_ports_is_used_from_its_start),
        cmocka_unit_test(a_name_instead_of_an_address_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
