/* What a client makes of somebody who closes the connection in the middle of the handshake. The
 * somebody is a plain TCP socket of the test: it closes the first connection and answers the
 * question that comes then in its own way. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "transport/zmq/zmq.h"
#include "weft/error.h"

enum { LIMIT_S = 60, GREETING = 64 };

struct client {
    struct weft_tp_ep *ep;
    struct weft_tp_peer peer;
    unsigned lost, refused;
    char why[512];
    int listener, first, second; /* what the test accepts on */
};

static void take_lost(void *ctx, struct weft_tp_peer peer)
{
    struct client *client = ctx;
    (void)peer;
    client->lost++;
}

static void take_refused(void *ctx, struct weft_tp_peer peer)
{
    struct client *client = ctx;
    (void)peer;
    client->refused++;
    snprintf(client->why, sizeof(client->why), "%s", weft_fail_text(WEFT_EACCES));
}

static const struct weft_tp_handlers handlers = {.peer_lost = take_lost,
                                                 .peer_refused = take_refused};

static uint16_t listen_at(struct client *client)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    client->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(client->listener >= 0);
    assert_int_equal(bind(client->listener, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(client->listener, 8), 0);
    assert_int_equal(getsockname(client->listener, (struct sockaddr *)&at, &len), 0);
    return ntohs(at.sin_port);
}

static void run(struct client *client)
{
    struct pollfd fd = {.fd = weft__tp_zmq.core->wait_fd(client->ep), .events = POLLIN};
    assert_true(weft__tp_zmq.core->progress(client->ep) >= 0);
    if (weft__tp_zmq.core->wait_arm(client->ep) == WEFT_OK)
        poll(&fd, 1, 5);
}

#define RUN_UNTIL(client, condition)                                                               \
    do {                                                                                           \
        uint64_t limit_ = weft__now_ns() + LIMIT_S * WEFT_NS_PER_S;                                \
        while (!(condition)) {                                                                     \
            assert_true(weft__now_ns() < limit_);                                                  \
            run(client);                                                                           \
        }                                                                                          \
    } while (0)

static void client_open(struct client *client)
{
    char url[64];
    memset(client, 0, sizeof(*client));
    client->first = client->second = -1;
    const struct weft_tp_open desc = {
        .bind = "127.0.0.1", .families = WEFT_TP_CTL, .handlers = &handlers, .ctx = client};
    assert_int_equal(weft__tp_zmq.core->open(&desc, &client->ep), WEFT_OK);
    snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", (unsigned)listen_at(client));
    assert_int_equal(weft__tp_zmq.ctl->connect(client->ep, url, WEFT_TP_SYNC, &client->peer),
                     WEFT_OK);
}

static void client_close(struct client *client)
{
    if (client->ep)
        weft__tp_zmq.core->close(client->ep);
    close(client->listener);
    if (client->second >= 0)
        close(client->second);
}

/* Takes the client's connection, hears what it says first, and closes; then it is asked. */
static void close_the_first(struct client *client)
{
    char bytes[128];
    RUN_UNTIL(client, (client->first = accept4(client->listener, NULL, NULL, SOCK_NONBLOCK)) >= 0);
    RUN_UNTIL(client, recv(client->first, bytes, sizeof(bytes), 0) > 0);
    close(client->first);
    RUN_UNTIL(client, (client->second = accept4(client->listener, NULL, NULL, SOCK_NONBLOCK)) >= 0);
}

/* A greeting of ZMTP 3.1 with this mechanism. */
static void greet(struct client *client, const char *mechanism)
{
    unsigned char bytes[GREETING] = {0xff, [9] = 0x7f, 3, 1}, heard[32];
    size_t len = 0;
    memcpy(bytes + 12, mechanism, strlen(mechanism));
    while (len < 11) { /* it says hello first */
        ssize_t n = recv(client->second, heard + len, sizeof(heard) - len, 0);
        len += n > 0 ? (size_t)n : 0;
        run(client);
    }
    assert_int_equal(heard[0], 0xff);
    assert_int_equal(send(client->second, bytes, 20, MSG_NOSIGNAL), 20); /* in two pieces */
    run(client);
    assert_int_equal(send(client->second, bytes + 20, GREETING - 20, MSG_NOSIGNAL), GREETING - 20);
}

static void a_host_that_asks_for_keys_refuses_a_client_without(void **state)
{
    struct client client;
    (void)state;
    client_open(&client);
    close_the_first(&client);
    greet(&client, "CURVE");
    RUN_UNTIL(&client, client.refused == 1);
    assert_int_equal(client.lost, 0);
    assert_non_null(strstr(client.why, "WEFT_SECURITY=curve"));
    client_close(&client);
}

static void a_host_that_speaks_as_we_do_has_just_gone(void **state)
{
    struct client client;
    (void)state;
    client_open(&client);
    close_the_first(&client);
    greet(&client, "NULL");
    RUN_UNTIL(&client, client.lost == 1);
    assert_int_equal(client.refused, 0);
    client_close(&client);
}

static void somebody_who_closes_again_is_lost(void **state)
{
    struct client client;
    (void)state;
    client_open(&client);
    close_the_first(&client);
    close(client.second);
    client.second = -1;
    RUN_UNTIL(&client, client.lost == 1);
    assert_int_equal(client.refused, 0);
    client_close(&client);
}

static void somebody_who_is_not_there_any_more_is_lost(void **state)
{
    struct client client;
    char bytes[128];
    (void)state;
    client_open(&client);
    RUN_UNTIL(&client, (client.first = accept4(client.listener, NULL, NULL, SOCK_NONBLOCK)) >= 0);
    RUN_UNTIL(&client, recv(client.first, bytes, sizeof(bytes), 0) > 0);
    close(client.listener);
    close(client.first);
    RUN_UNTIL(&client, client.lost == 1);
    assert_int_equal(client.refused, 0);
    client.listener = -1;
    client_close(&client);
}

static void somebody_who_speaks_something_else_is_lost(void **state)
{
    struct client client;
    static const char text[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 11\r\n\r\nBad "
                               "Request and so on and so on";
    (void)state;
    client_open(&client);
    close_the_first(&client);
    assert_true(send(client.second, text, sizeof(text), MSG_NOSIGNAL) > GREETING);
    RUN_UNTIL(&client, client.lost == 1);
    assert_int_equal(client.refused, 0);
    client_close(&client);
}

static void somebody_who_never_answers_is_lost_after_a_while(void **state)
{
    struct client client;
    (void)state;
    client_open(&client);
    close_the_first(&client);
    assert_int_equal(weft__tp_zmq.ctl->request(client.ep, client.peer, "x", 1), WEFT_EAGAIN);
    RUN_UNTIL(&client, client.lost == 1);
    assert_int_equal(client.refused, 0);
    client_close(&client);
}

static void a_peer_may_be_dropped_while_its_host_is_asked(void **state)
{
    struct client client;
    (void)state;
    client_open(&client);
    close_the_first(&client);
    weft__tp_zmq.core->peer_drop(client.ep, client.peer);
    for (unsigned i = 0; i < 5; i++)
        run(&client);
    assert_int_equal(client.lost + client.refused, 0);
    client_close(&client);
}

static void an_endpoint_may_be_closed_while_a_host_is_asked(void **state)
{
    struct client client;
    (void)state;
    client_open(&client);
    close_the_first(&client);
    weft__tp_zmq.core->close(client.ep);
    client.ep = NULL;
    assert_int_equal(client.lost + client.refused, 0);
    client_close(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_that_asks_for_keys_refuses_a_client_without),
        cmocka_unit_test(a_host_that_speaks_as_we_do_has_just_gone),
        cmocka_unit_test(somebody_who_closes_again_is_lost),
        cmocka_unit_test(somebody_who_is_not_there_any_more_is_lost),
        cmocka_unit_test(somebody_who_speaks_something_else_is_lost),
        cmocka_unit_test(somebody_who_never_answers_is_lost_after_a_while),
        cmocka_unit_test(a_peer_may_be_dropped_while_its_host_is_asked),
        cmocka_unit_test(an_endpoint_may_be_closed_while_a_host_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
