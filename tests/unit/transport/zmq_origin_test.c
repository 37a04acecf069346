/* Whose going is told when a descriptor is used again at once, by a client of another port. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "transport/zmq/zmq.h"
#include "weft/error.h"

#define FDS_MAX 1024
#define UNTIL(condition)                                                                           \
    for (uint64_t give_up = weft__now_ns() + 30 * WEFT_NS_PER_S; !(condition); sched_yield())      \
    assert_true(weft__now_ns() < give_up)

struct server {
    struct weft_tp_ep *ep;
    uint16_t port[2];
    unsigned requests[2];
    unsigned gone[2];
};

static void take_request(void *ctx, unsigned port_index, const struct weft_tp_from *from,
                         const void *data, size_t len_bytes)
{
    struct server *server = ctx;
    (void)data;
    (void)len_bytes;
    assert_non_null(from);
    server->requests[port_index]++;
}

static void take_gone(void *ctx, const struct weft_tp_from *from)
{
    struct server *server = ctx;
    server->gone[from->port_index]++;
}

static const struct weft_tp_handlers handlers = {.request = take_request, .client_gone = take_gone};

static void server_open(struct server *server)
{
    struct weft_tp_open desc = {
        .bind = "127.0.0.1", .families = WEFT_TP_CTL, .handlers = &handlers, .ctx = server};
    memset(server, 0, sizeof(*server));
    assert_int_equal(weft__tp_zmq.core->open(&desc, &server->ep), WEFT_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(weft__tp_zmq.ctl->listen(server->ep, WEFT_TP_SYNC, 0, &server->port[i]),
                         WEFT_OK);
}

static bool progress(struct server *server)
{
    assert_true(weft__tp_zmq.core->progress(server->ep) >= 0);
    return true;
}

static int client_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    return fd;
}

static void read_all(int fd, size_t len)
{
    char bytes[64];
    while (len > 0) {
        ssize_t n = recv(fd, bytes, len < sizeof(bytes) ? len : sizeof(bytes), 0);
        assert_true(n > 0);
        len -= (size_t)n;
    }
}

/* What a DEALER says, and one message. */
static void ask(int fd, uint16_t port)
{
    static const unsigned char greeting[64] = {0xff, 0,    0, 0, 0,   0,   0,   0,
                                               1,    0x7f, 3, 0, 'N', 'U', 'L', 'L'};
    static const unsigned char ready[] = "\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06"
                                         "DEALER";
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    unsigned char head[2];
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(send(fd, greeting, sizeof(greeting), MSG_NOSIGNAL), sizeof(greeting));
    read_all(fd, sizeof(greeting));
    assert_int_equal(send(fd, ready, sizeof(ready) - 1, MSG_NOSIGNAL), sizeof(ready) - 1);
    assert_int_equal(recv(fd, head, sizeof(head), MSG_WAITALL), sizeof(head));
    read_all(fd, head[1]);
    assert_int_equal(send(fd, "\0\x02hi", 4, MSG_NOSIGNAL), 4);
}

/* The server's side of a connection to port; -1: there is none. */
static int accepted(uint16_t port)
{
    for (int fd = 3; fd < FDS_MAX; fd++) {
        struct sockaddr_in here = {0}, there;
        socklen_t here_len = sizeof(here), there_len = sizeof(there);
        if (getsockname(fd, (struct sockaddr *)&here, &here_len) == 0 &&
            here.sin_family == AF_INET && here.sin_port == htons(port) &&
            getpeername(fd, (struct sockaddr *)&there, &there_len) == 0)
            return fd;
    }
    return -1;
}

/* Makes fd, which is free, the lowest that is. */
static void fill_below(int fd, int from, int filled[FDS_MAX], unsigned *n_out)
{
    unsigned n = 0;
    int copy;
    while ((copy = fcntl(from, F_DUPFD_CLOEXEC, 0)) < fd) {
        assert_true(copy >= 0 && n < FDS_MAX);
        filled[n++] = copy;
    }
    close(copy);
    *n_out = n;
}

static bool all_read(int fd)
{
    int left = 0;
    return ioctl(fd, FIONREAD, &left) == 0 && left == 0;
}

/* One client goes, another takes his descriptor before the server looks. */
static void succeed(void)
{
    struct server server;
    int filled[FDS_MAX];
    unsigned filled_n;
    server_open(&server);
    int first = client_socket(), second = client_socket();
    ask(first, server.port[0]);
    UNTIL(progress(&server) && server.requests[0] == 1);
    int fd = accepted(server.port[0]);
    assert_true(fd >= 0);
    close(first);
    UNTIL(fcntl(fd, F_GETFD) < 0); /* libzmq's thread has seen it; nobody has read so */
    fill_below(fd, second, filled, &filled_n);
    ask(second, server.port[1]);
    UNTIL(accepted(server.port[1]) >= 0);
    assert_int_equal(accepted(server.port[1]), fd);
    UNTIL(all_read(fd));
    UNTIL(progress(&server) && server.requests[1] == 1 && server.gone[0] == 1);
    assert_int_equal(server.gone[1], 0);
    close(second);
    for (unsigned i = 0; i < filled_n; i++)
        close(filled[i]); /* copies of the second client's socket */
    UNTIL(progress(&server) && server.gone[1] == 1);
    assert_int_equal(server.gone[0], 1);
    weft__tp_zmq.core->close(server.ep);
}

static void a_descriptor_used_again_at_another_port_is_not_gone(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        succeed();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_descriptor_used_again_at_another_port_is_not_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
