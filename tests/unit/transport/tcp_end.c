#include "tcp_end.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "weft/error.h"

#define GIVE_UP_NS (30 * WEFT_NS_PER_S)

static void take_message(void *ctx, const void *data, size_t len_bytes)
{
    struct end *end = ctx;
    uint32_t number;
    if (end->numbered) {
        assert_true(len_bytes >= sizeof(number));
        memcpy(&number, data, sizeof(number));
        assert_int_equal(number, end->next);
        end->next++;
    }
    end->messages++;
    end->bytes += len_bytes;
}

static void take_lost(void *ctx, struct weft_tp_peer peer)
{
    struct end *end = ctx;
    end->lost++;
    if (end->drops)
        weft__tp_tcp.core->peer_drop(end->ep, peer);
}

void end_open(struct end *end, uint32_t connections_max)
{
    static const struct weft_tp_handlers handlers = {.message = take_message,
                                                     .peer_lost = take_lost};
    const struct weft_tp_open desc = {.bind = "127.0.0.1",
                                      .families = WEFT_TP_MSG | WEFT_TP_RMA,
                                      .msg_max_bytes = 1u << 20,
                                      .connections_max = connections_max,
                                      .handlers = &handlers,
                                      .ctx = end};
    int err = weft__tp_tcp.core->open(&desc, &end->ep);
    if (err)
        fail_msg("open: %s", weft_fail_text(err));
}

void end_close(struct end *end)
{
    if (end->ep)
        weft__tp_tcp.core->close(end->ep);
    end->ep = NULL;
}

struct weft_tp_peer end_add(struct end *end, const struct end *other)
{
    struct weft_tp_addr addr;
    struct weft_tp_peer peer;
    assert_int_equal(weft__tp_tcp.core->address(other->ep, &addr), WEFT_OK);
    assert_int_equal(weft__tp_tcp.core->peer_add(end->ep, &addr, &peer), WEFT_OK);
    return peer;
}

void ends_join(struct end *a, struct end *b)
{
    a->peer = end_add(a, b);
    b->peer = end_add(b, a);
}

struct weft_tcp_name end_name(const struct end *end)
{
    struct weft_tp_addr addr;
    struct weft_tcp_name name;
    assert_int_equal(weft__tp_tcp.core->address(end->ep, &addr), WEFT_OK);
    assert_int_equal(addr.len, sizeof(name));
    memcpy(&name, addr.bytes, sizeof(name));
    return name;
}

struct weft_tcp_stats end_stats(const struct end *end)
{
    struct weft_tcp_stats stats;
    weft__tcp_stats(end->ep, &stats);
    return stats;
}

int end_turn(struct end *end)
{
    int events = weft__tp_tcp.core->progress(end->ep);
    assert_true(events >= 0);
    return events;
}

void ends_run(struct end *a, struct end *b)
{
    struct pollfd fds[2] = {{.fd = -1}, {.fd = -1}};
    struct end *ends[2] = {a, b};
    int events = 0;
    for (unsigned i = 0; i < 2; i++)
        if (ends[i] && ends[i]->ep)
            events += end_turn(ends[i]);
    if (events)
        return;
    for (unsigned i = 0; i < 2; i++) {
        if (!ends[i] || !ends[i]->ep)
            continue;
        fds[i] = (struct pollfd){.fd = weft__tp_tcp.core->wait_fd(ends[i]->ep), .events = POLLIN};
        if (weft__tp_tcp.core->wait_arm(ends[i]->ep) != WEFT_OK)
            return;
    }
    poll(fds, 2, 20);
}

void ends_until(struct end *a, struct end *b, const uint64_t *count, uint64_t wanted)
{
    uint64_t give_up = weft__now_ns() + GIVE_UP_NS;
    while (*count < wanted) {
        ends_run(a, b);
        if (weft__now_ns() > give_up)
            fail_msg("gave up at %llu of %llu", (unsigned long long)*count,
                     (unsigned long long)wanted);
    }
}

static void post_done(struct weft_tp_op *op, int err)
{
    struct post *post = op->user;
    assert_int_equal(post->done, 0);
    post->done++;
    post->err = err;
    if (post->total)
        ++*post->total;
}

static struct weft_tp_op *post_init(struct post *post)
{
    uint64_t *total = post->total;
    memset(post, 0, sizeof(*post));
    post->op.done = post_done;
    post->op.user = post;
    post->total = total;
    return &post->op;
}

int end_post(struct end *end, struct post *post, const void *data, size_t len_bytes)
{
    struct iovec iov = {(void *)(uintptr_t)data, len_bytes};
    return weft__tp_tcp.msg->send(end->ep, end->peer, &iov, 1, post_init(post));
}

int end_get(struct end *end, struct post *post, const struct weft_tp_rma_desc *desc)
{
    return weft__tp_tcp.rma->get(end->ep, end->peer, desc, post_init(post));
}

int end_put(struct end *end, struct post *post, const struct weft_tp_rma_desc *desc)
{
    return weft__tp_tcp.rma->put(end->ep, end->peer, desc, post_init(post));
}

int end_flush(struct end *end, struct post *post)
{
    return weft__tp_tcp.rma->flush(end->ep, end->peer, post_init(post));
}

void end_say(struct end *a, struct end *b)
{
    struct post post = {.total = NULL};
    uint64_t before = b->messages;
    assert_int_equal(end_post(a, &post, "hello", 5), WEFT_OK);
    ends_until(a, b, &b->messages, before + 1);
    ends_until(a, b, &post.done, 1);
    assert_int_equal(post.err, WEFT_OK);
}

int end_dial(const struct end *end)
{
    struct weft_tcp_name name = end_name(end);
    struct sockaddr_in to = {.sin_family = AF_INET};
    memcpy(&to.sin_port, name.port, sizeof(name.port));
    memcpy(&to.sin_addr, name.ip, sizeof(to.sin_addr));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

struct weft_tcp_hello end_hello(const struct end *end)
{
    struct weft_tcp_hello hello = {.magic = WEFT_TCP_HELLO_MAGIC, .from = end_name(end)};
    memcpy(hello.target, hello.from.id, sizeof(hello.target));
    hello.from.id[0] ^= 1;
    hello.from.port[0] = 0; /* nobody listens on port 1 */
    hello.from.port[1] = 1;
    return hello;
}

void end_hangs_up(struct end *end, int fd)
{
    uint64_t give_up = weft__now_ns() + GIVE_UP_NS;
    char byte;
    while (recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR)) {
        ends_run(end, NULL);
        assert_true(weft__now_ns() < give_up);
    }
    close(fd);
}
