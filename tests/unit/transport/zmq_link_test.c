/* What becomes of connections: refused, lost, dropped while they are made, shared, made again. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "transport/zmq/zmq.h"
#include "weft/error.h"

struct end {
    struct weft_tp_ep *ep;
    unsigned requests, replies, messages, lost;
    struct weft_tp_peer last_lost;
    bool drop_when_lost;
};

static void take_message(void *ctx, const void *data, size_t len_bytes)
{
    (void)data;
    (void)len_bytes;
    ((struct end *)ctx)->messages++;
}

static void take_request(void *ctx, unsigned port_index, const struct weft_tp_from *from,
                         const void *data, size_t len_bytes)
{
    struct end *end = ctx;
    (void)port_index;
    end->requests++;
    assert_int_equal(weft__tp_zmq.ctl->reply(end->ep, from, data, len_bytes), WEFT_OK);
}

static void take_reply(void *ctx, struct weft_tp_peer peer, const void *data, size_t len_bytes)
{
    (void)peer;
    (void)data;
    (void)len_bytes;
    ((struct end *)ctx)->replies++;
}

static void take_lost(void *ctx, struct weft_tp_peer peer)
{
    struct end *end = ctx;
    end->lost++;
    end->last_lost = peer;
    if (end->drop_when_lost)
        weft__tp_zmq.core->peer_drop(end->ep, peer);
}

static const struct weft_tp_handlers handlers = {
    .message = take_message, .request = take_request, .reply = take_reply, .peer_lost = take_lost};

static void end_open(struct end *end, uint32_t families)
{
    memset(end, 0, sizeof(*end));
    struct weft_tp_open desc = {
        .bind = "127.0.0.1", .families = families, .handlers = &handlers, .ctx = end};
    assert_int_equal(weft__tp_zmq.core->open(&desc, &end->ep), WEFT_OK);
}

static void end_close(struct end *end)
{
    if (end->ep)
        weft__tp_zmq.core->close(end->ep);
    end->ep = NULL;
}

static void run(struct end *a, struct end *b)
{
    struct pollfd fds[2] = {{.fd = -1}, {.fd = -1}};
    struct end *ends[2] = {a, b};
    for (unsigned i = 0; i < 2; i++) {
        if (!ends[i] || !ends[i]->ep)
            continue;
        assert_true(weft__tp_zmq.core->progress(ends[i]->ep) >= 0);
        fds[i].events = POLLIN;
        fds[i].fd = weft__tp_zmq.core->wait_fd(ends[i]->ep);
        if (weft__tp_zmq.core->wait_arm(ends[i]->ep) != WEFT_OK)
            return;
    }
    poll(fds, 2, 20);
}

static void run_until(struct end *a, struct end *b, const unsigned *count, unsigned wanted)
{
    uint64_t give_up = weft__now_ns() + 30 * WEFT_NS_PER_S;
    while (*count < wanted) {
        run(a, b);
        assert_true(weft__now_ns() < give_up);
    }
}

static uint16_t listen_sync(struct end *end, uint16_t port)
{
    uint16_t got = 0;
    int err = weft__tp_zmq.ctl->listen(end->ep, WEFT_TP_SYNC, port, &got);
    if (err)
        fail_msg("listen: %s", weft_fail_text(err));
    return got;
}

static struct weft_tp_peer connect_sync(struct end *end, uint16_t port)
{
    char url[64];
    struct weft_tp_peer peer;
    snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", (unsigned)port);
    assert_int_equal(weft__tp_zmq.ctl->connect(end->ep, url, WEFT_TP_SYNC, &peer), WEFT_OK);
    return peer;
}

static uint16_t free_port(void)
{
    struct end end;
    end_open(&end, WEFT_TP_CTL);
    uint16_t port = listen_sync(&end, 0);
    end_close(&end);
    return port;
}

static void a_refused_connection_is_told(void **state)
{
    (void)state;
    struct end client;
    end_open(&client, WEFT_TP_CTL);
    struct weft_tp_peer peer = connect_sync(&client, free_port());
    run_until(&client, NULL, &client.lost, 1);
    assert_int_equal(client.last_lost.id, peer.id);
    for (unsigned i = 0; i < 10; i++)
        run(&client, NULL);
    assert_int_equal(client.lost, 1); /* no tries behind our back */
    assert_int_equal(weft__tp_zmq.ctl->request(client.ep, peer, "x", 1), WEFT_OK);
    run_until(&client, NULL, &client.lost, 2); /* the request tried anew */
    end_close(&client);
}

static void a_request_connects_anew_after_a_loss(void **state)
{
    (void)state;
    struct end server, client;
    end_open(&server, WEFT_TP_CTL);
    end_open(&client, WEFT_TP_CTL);
    uint16_t port = listen_sync(&server, 0);
    struct weft_tp_peer peer = connect_sync(&client, port);
    for (unsigned i = 1; i <= 5; i++) {
        assert_int_equal(weft__tp_zmq.ctl->request(client.ep, peer, "x", 1), WEFT_OK);
        run_until(&client, &server, &client.replies, i);
        end_close(&server);
        run_until(&client, NULL, &client.lost, i);
        end_open(&server, WEFT_TP_CTL);
        listen_sync(&server, port);
    }
    end_close(&client);
    end_close(&server);
}

static void what_was_asked_before_a_loss_is_not_asked_again(void **state)
{
    (void)state;
    struct end server, client;
    uint16_t port = free_port();
    end_open(&client, WEFT_TP_CTL);
    struct weft_tp_peer peer = connect_sync(&client, port);
    assert_int_equal(weft__tp_zmq.ctl->request(client.ep, peer, "old", 3), WEFT_OK);
    run_until(&client, NULL, &client.lost, 1);
    end_open(&server, WEFT_TP_CTL);
    listen_sync(&server, port);
    assert_int_equal(weft__tp_zmq.ctl->request(client.ep, peer, "new", 3), WEFT_OK);
    run_until(&client, &server, &client.replies, 1);
    for (unsigned i = 0; i < 10; i++)
        run(&client, &server);
    assert_int_equal(server.requests, 1);
    end_close(&client);
    end_close(&server);
}

static void a_handler_may_drop_the_peer_that_it_is_told_of(void **state)
{
    (void)state;
    struct end client;
    end_open(&client, WEFT_TP_CTL);
    client.drop_when_lost = true;
    uint16_t port = free_port();
    for (unsigned i = 1; i <= 3; i++) {
        connect_sync(&client, port);
        connect_sync(&client, port); /* shares the connection */
        run_until(&client, NULL, &client.lost, 2 * i);
    }
    end_close(&client);
}

static void peers_come_and_go_while_connections_are_made(void **state)
{
    (void)state;
    struct end server, client;
    end_open(&server, WEFT_TP_CTL);
    end_open(&client, WEFT_TP_CTL);
    uint16_t port = listen_sync(&server, 0);
    for (unsigned i = 0; i < 200; i++) {
        struct weft_tp_peer peer = connect_sync(&client, port);
        if (i % 3 == 0)
            run(&client, &server);
        weft__tp_zmq.core->peer_drop(client.ep, peer);
    }
    struct weft_tp_peer peer = connect_sync(&client, port);
    assert_int_equal(weft__tp_zmq.ctl->request(client.ep, peer, "x", 1), WEFT_OK);
    run_until(&client, &server, &client.replies, 1);
    assert_int_equal(client.lost, 0);
    end_close(&client);
    end_close(&server);
}

static void one_endpoint_has_both_families(void **state)
{
    (void)state;
    struct end a, b;
    struct weft_tp_addr addr;
    struct weft_tp_peer peer;
    end_open(&a, WEFT_TP_CTL | WEFT_TP_MSG);
    end_open(&b, WEFT_TP_CTL | WEFT_TP_MSG);
    struct weft_tp_peer calls = connect_sync(&a, listen_sync(&b, 0));
    assert_int_equal(weft__tp_zmq.core->address(b.ep, &addr), WEFT_OK);
    assert_int_equal(weft__tp_zmq.core->peer_add(a.ep, &addr, &peer), WEFT_OK);
    struct weft_tp_op op = {.done = NULL};
    struct iovec iov = {"x", 1};
    assert_int_equal(weft__tp_zmq.msg->send(a.ep, calls, &iov, 1, &op), WEFT_EINVAL);
    assert_int_equal(weft__tp_zmq.ctl->request(a.ep, peer, "x", 1), WEFT_EINVAL);
    assert_int_equal(weft__tp_zmq.ctl->push(a.ep, calls, "x", 1), WEFT_EINVAL);
    assert_int_equal(weft__tp_zmq.ctl->request(a.ep, calls, "x", 1), WEFT_OK);
    run_until(&a, &b, &a.replies, 1);
    end_close(&a);
    end_close(&b);
}

static void many_peers_are_served_by_the_same_few_sockets(void **state)
{
    (void)state;
    enum { N = 50 };
    static struct end peers[N];
    struct end hub;
    struct weft_tp_addr addr;
    struct weft_tp_peer peer;
    end_open(&hub, WEFT_TP_CTL | WEFT_TP_MSG);
    assert_int_equal(weft__tp_zmq.core->address(hub.ep, &addr), WEFT_OK);
    for (unsigned i = 0; i < N; i++) {
        end_open(&peers[i], WEFT_TP_CTL);
        peer = connect_sync(&hub, listen_sync(&peers[i], 0));
        assert_int_equal(weft__tp_zmq.ctl->request(hub.ep, peer, "x", 1), WEFT_OK);
    }
    for (unsigned i = 0; i < N; i++)
        run_until(&hub, &peers[i], &peers[i].requests, 1);
    run_until(&hub, NULL, &hub.replies, N);
    for (unsigned i = 0; i < N; i++)
        end_close(&peers[i]);
    run_until(&hub, NULL, &hub.lost, N);
    end_close(&hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refused_connection_is_told),
        cmocka_unit_test(a_request_connects_anew_after_a_loss),
        cmocka_unit_test(what_was_asked_before_a_loss_is_not_asked_again),
        cmocka_unit_test(a_handler_may_drop_the_peer_that_it_is_told_of),
        cmocka_unit_test(peers_come_and_go_while_connections_are_made),
        cmocka_unit_test(one_endpoint_has_both_families),
        cmocka_unit_test(many_peers_are_served_by_the_same_few_sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
