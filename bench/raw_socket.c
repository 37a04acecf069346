/* A TCP connection as ends, as fast as plain sockets go: TCP_NODELAY, no framing (both sides know
 * every length), no copies but the kernel's, one system call for a whole window of short messages
 * and for as much of a long one as there is.
 *
 * Spinning is send and recv that do not wait, over and over; asleep is send and recv that block. A
 * get is a request of one byte, answered with the bytes, window requests ahead; a put is the bytes,
 * answered with one byte. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "data_ends.h"
#include "weft/error.h"

enum { ASK = 1 };
#define LOOK_EVERY 65536u /* tries that moved nothing, before the clock is looked at */

struct end {
    int fd;
    unsigned char *bytes;    /* DATA_BYTES_MAX */
    unsigned char mark[ASK]; /* requests and acknowledgements */
};

static void check(const char *what, int result)
{
    if (result < 0)
        bench_die(what, -errno);
}

static int connection(unsigned side, int fd)
{
    struct sockaddr_in name = {.sin_family = AF_INET};
    socklen_t len = sizeof(name);
    int one = 1, sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check("socket", sock);
    inet_pton(AF_INET, data_address(side), &name.sin_addr);
    if (side == 0) {
        if (!bench_receive(fd, &name, sizeof(name)))
            bench_die("greet the other side", WEFT_EPEERDEAD);
        check("connect", connect(sock, (struct sockaddr *)&name, sizeof(name)));
    } else {
        int port = sock;
        check("bind", bind(port, (struct sockaddr *)&name, sizeof(name)));
        check("listen", listen(port, 1));
        check("getsockname", getsockname(port, (struct sockaddr *)&name, &len));
        bench_send(fd, &name, sizeof(name));
        sock = accept4(port, NULL, NULL, SOCK_CLOEXEC);
        check("accept", sock);
        close(port);
    }
    check("TCP_NODELAY", setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)));
    return sock;
}

static void *open_end(const struct data_subject *subject, unsigned side, int fd,
                      unsigned char *bytes)
{
    struct end *end = calloc(1, sizeof(*end));
    (void)subject;
    if (!end)
        bench_die("memory", WEFT_ENOMEM);
    end->bytes = bytes;
    end->fd = connection(side, fd);
    return end;
}

static void close_end(void *ctx)
{
    struct end *end = ctx;
    close(end->fd);
    free(end);
}

/* Whole lengths, in either direction. */
static void move(struct end *end, bool out, unsigned char *at, size_t len, bool asleep)
{
    uint64_t deadline_ns = 0;
    for (unsigned i = 1; len; i++) {
        ssize_t n = out ? send(end->fd, at, len, asleep ? 0 : MSG_DONTWAIT)
                        : recv(end->fd, at, len, asleep ? 0 : MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            bench_die("raw socket", n < 0 ? -errno : WEFT_EPEERDEAD);
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
        if (i % LOOK_EVERY != 0)
            continue;
        if (!deadline_ns)
            deadline_ns = weft__now_ns() + DATA_STALL_NS;
        else if (weft__now_ns() > deadline_ns)
            bench_die("raw socket", WEFT_ETIMEDOUT);
    }
}

static double pass(struct end *end, const struct data_task *task)
{
    struct bench_samples samples = {0};
    for (unsigned i = 0; i < task->n; i++) {
        uint64_t start_ns = weft__now_ns();
        move(end, true, end->bytes, task->bytes, task->asleep);
        move(end, false, end->bytes, task->bytes, task->asleep);
        bench_sample(&samples, (double)(weft__now_ns() - start_ns) / 2e3);
    }
    return bench_typical(&samples);
}

/* Messages of one burst: side 0's part or side 1's. */
static void messages(struct end *end, const struct data_task *task, bool out)
{
    size_t left = task->n * task->bytes, window = task->window * task->bytes;
    while (left) {
        size_t len = left < window ? left : window;
        move(end, out, end->bytes, len, task->asleep);
        left -= len;
    }
    move(end, !out, end->mark, ASK, task->asleep);
}

/* Where the i-th of gets and puts has its bytes. */
static unsigned char *slot(struct end *end, const struct data_task *task, unsigned i)
{
    return end->bytes + (task->window ? i % task->window * task->bytes : 0);
}

/* Side 0 of gets and puts: window of them ahead. */
static void ask_memory(struct end *end, const struct data_task *task)
{
    bool put = task->what == DATA_PUT;
    unsigned ahead = 0;
    for (unsigned asked = 0, done = 0; done < task->n;) {
        bool more = asked < task->n && ahead < task->window;
        unsigned char *at = slot(end, task, more ? asked : done);
        if (more)
            move(end, true, put ? at : end->mark, put ? task->bytes : ASK, task->asleep);
        else
            move(end, false, put ? end->mark : at, put ? ASK : task->bytes, task->asleep);
        asked += more;
        done += !more;
        ahead = asked - done;
    }
}

static void answer_memory(struct end *end, const struct data_task *task)
{
    bool put = task->what == DATA_PUT;
    for (unsigned i = 0; i < task->n; i++) {
        unsigned char *at = slot(end, task, i);
        move(end, false, put ? at : end->mark, put ? task->bytes : ASK, task->asleep);
        move(end, true, put ? end->mark : at, put ? ASK : task->bytes, task->asleep);
    }
}

static double ask(void *ctx, const struct data_task *task)
{
    struct end *end = ctx;
    struct bench_samples samples = {0};
    if (task->what == DATA_PASS)
        return pass(end, task);
    for (unsigned i = 0; i < task->bursts; i++) {
        uint64_t start_ns = weft__now_ns();
        if (task->what == DATA_RATE)
            messages(end, task, true);
        else
            ask_memory(end, task);
        bench_sample(&samples, (double)(weft__now_ns() - start_ns));
    }
    return data_result(task, bench_typical(&samples));
}

static void answer(void *ctx, const struct data_task *task)
{
    struct end *end = ctx;
    for (unsigned i = 0; task->what == DATA_PASS && i < task->n; i++) {
        move(end, false, end->bytes, task->bytes, task->asleep);
        move(end, true, end->bytes, task->bytes, task->asleep);
    }
    for (unsigned i = 0; task->what != DATA_PASS && i < task->bursts; i++)
        if (task->what == DATA_RATE)
            messages(end, task, false);
        else
            answer_memory(end, task);
}

const struct data_kind data_raw_socket = {
    .open = open_end, .close = close_end, .ask = ask, .answer = answer};
