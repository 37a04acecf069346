/* ZMTP 3.0 with the NULL mechanism, on plain sockets: a libzmq socket per client, with its threads
 * and wake-ups, costs more than the servers that are to be measured. One system call sends a
 * request, one takes its answer, and one finds the connections that are ready. A heartbeat's PING
 * is answered, so that a server keeps its connections. */
#include "load.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench.h"
#include "weft/error.h"

enum {
    GREETING_BYTES = 64,
    HEAD_MAX = 2 + 9, /* the delimiter's frame, a long frame's head */
    IN_BYTES = 64 << 10,
    WAIT_MS = 20000,
    FRAME_MORE = 1,
    FRAME_LONG = 2,
    FRAME_COMMAND = 4
};

struct client {
    int fd;
    bool waits, rare;
    uint64_t asked_ns;
    size_t len;
    uint8_t in[IN_BYTES];
};

struct times {
    uint32_t *ns;
    size_t n, room;
};

struct load {
    const struct load_desc *desc;
    struct client *clients;
    int epfd, timer; /* timer: ticks when requests are due */
    uint64_t due_ns, interval_ns;
    struct client **idle;
    unsigned idle_n;
    uint8_t *request, *rare; /* with their ZMTP heads */
    size_t request_len, rare_len;
    uint64_t asked;
    struct times others, all; /* of a run */
    uint64_t until_ns;
};

struct frame {
    uint8_t flags;
    const uint8_t *body;
    size_t len, whole; /* whole: with its head */
};

/* False: not all of it is here. */
static bool frame_at(const uint8_t *at, size_t have, struct frame *frame_out)
{
    if (have < 2)
        return false;
    size_t head = at[0] & FRAME_LONG ? 9 : 2;
    uint64_t len = at[1];
    if (have < head)
        return false;
    if (at[0] & FRAME_LONG) {
        memcpy(&len, at + 1, sizeof(len));
        len = be64toh(len);
    }
    if (len > IN_BYTES - head)
        bench_die("an answer", WEFT_EMSGSIZE);
    *frame_out = (struct frame){at[0], at + head, len, head + len};
    return have >= head + len;
}

/* [empty delimiter][frame], as REQ sends it. */
static uint8_t *envelop(const uint8_t *frame, size_t len, size_t *len_out)
{
    uint8_t *bytes = malloc(HEAD_MAX + len);
    size_t n = 0;
    uint64_t big = htobe64(len);
    if (!bytes)
        bench_die("a request", WEFT_ENOMEM);
    bytes[n++] = FRAME_MORE;
    bytes[n++] = 0;
    bytes[n++] = len > 255 ? FRAME_LONG : 0;
    if (len > 255) {
        memcpy(bytes + n, &big, sizeof(big));
        n += sizeof(big);
    } else {
        bytes[n++] = (uint8_t)len;
    }
    memcpy(bytes + n, frame, len);
    *len_out = n + len;
    return bytes;
}

static void receive(struct client *client)
{
    ssize_t n;
    do {
        n = recv(client->fd, client->in + client->len, IN_BYTES - client->len, 0);
    } while (n < 0 && errno == EINTR);
    if (n <= 0)
        bench_die("wait for an answer", n < 0 ? -errno : WEFT_ECONNRESET);
    client->len += (size_t)n;
}

static void drop(struct client *client, size_t len)
{
    client->len -= len;
    memmove(client->in, client->in + len, client->len);
}

static void handshake(struct client *client)
{
    static const uint8_t ready[] = "\4\46\5READY\13Socket-Type\0\0\0\3REQ\10Identity\0\0\0";
    uint8_t greeting[GREETING_BYTES] = {0xff, 0,    0, 0, 0,   0,   0,   0,
                                        1,    0x7f, 3, 0, 'N', 'U', 'L', 'L'};
    struct frame frame;
    bench_send(client->fd, greeting, sizeof(greeting));
    while (client->len < GREETING_BYTES)
        receive(client);
    drop(client, GREETING_BYTES);
    bench_send(client->fd, ready, sizeof(ready));
    while (!frame_at(client->in, client->len, &frame))
        receive(client);
    if (!(frame.flags & FRAME_COMMAND) || frame.len < 6 || memcmp(frame.body, "\5READY", 6) != 0)
        bench_die("a server's greeting", WEFT_EPROTO);
    drop(client, frame.whole);
}

static void connect_client(struct load *load, struct client *client)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(load->desc->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = WAIT_MS / 1000};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    int on = 1;
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd < 0 || connect(client->fd, (const struct sockaddr *)&to, sizeof(to)) != 0 ||
        setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
        setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0 ||
        epoll_ctl(load->epfd, EPOLL_CTL_ADD, client->fd, &event) != 0)
        bench_die("connect", -errno);
    handshake(client);
}

struct load *load_open(const struct load_desc *desc)
{
    struct load *load = calloc(1, sizeof(*load));
    if (!load || !(load->clients = calloc(desc->clients, sizeof(*load->clients))) ||
        !(load->idle = calloc(desc->clients, sizeof(struct client *))))
        bench_die("clients", WEFT_ENOMEM);
    load->desc = desc;
    load->interval_ns = desc->per_s ? WEFT_NS_PER_S / desc->per_s : 0;
    load->request = envelop(desc->request, desc->request_len, &load->request_len);
    if (desc->rare)
        load->rare = envelop(desc->rare, desc->rare_len, &load->rare_len);
    struct epoll_event event = {.events = EPOLLIN};
    load->epfd = epoll_create1(EPOLL_CLOEXEC);
    load->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (load->epfd < 0 || load->timer < 0 ||
        epoll_ctl(load->epfd, EPOLL_CTL_ADD, load->timer, &event) != 0)
        bench_die("epoll", -errno);
    for (unsigned i = 0; i < desc->clients; i++) {
        connect_client(load, &load->clients[i]);
        load->idle[load->idle_n++] = &load->clients[i];
    }
    return load;
}

void load_close(struct load *load)
{
    for (unsigned i = 0; i < load->desc->clients; i++)
        close(load->clients[i].fd);
    close(load->timer);
    close(load->epfd);
    free(load->idle);
    free(load->clients);
    free(load->request);
    free(load->rare);
    free(load->others.ns);
    free(load->all.ns);
    free(load);
}

static void ask(struct load *load, uint64_t due_ns)
{
    struct client *client = load->idle[--load->idle_n];
    bool rare = load->rare && ++load->asked % load->desc->rare_every == 0;
    client->asked_ns = due_ns;
    client->rare = rare;
    client->waits = true;
    bench_send(client->fd, rare ? load->rare : load->request,
               rare ? load->rare_len : load->request_len);
}

/* What is due, as far as there are free clients. */
static void ask_due(struct load *load, uint64_t now_ns)
{
    if (!load->interval_ns) {
        while (load->idle_n && now_ns < load->until_ns)
            ask(load, now_ns);
        return;
    }
    for (; load->idle_n && load->due_ns <= now_ns && load->due_ns < load->until_ns;
         load->due_ns += load->interval_ns)
        ask(load, load->due_ns);
}

static void note(struct times *times, uint64_t took_ns)
{
    if (times->n == times->room) {
        times->room = times->room ? 2 * times->room : 1 << 16;
        times->ns = realloc(times->ns, times->room * sizeof(*times->ns));
        if (!times->ns)
            bench_die("times", WEFT_ENOMEM);
    }
    times->ns[times->n++] = took_ns > UINT32_MAX ? UINT32_MAX : (uint32_t)took_ns;
}

static void command(const struct client *client, const struct frame *frame)
{
    uint8_t pong[2 + 5 + 16] = {FRAME_COMMAND, 0, 4, 'P', 'O', 'N', 'G'};
    if (frame->len < 7 || memcmp(frame->body, "\4PING", 5) != 0)
        return;
    size_t context = frame->len - 7 < 16 ? frame->len - 7 : 16;
    memcpy(pong + 7, frame->body + 7, context);
    pong[1] = (uint8_t)(5 + context);
    bench_send(client->fd, pong, 7 + context);
}

/* Whether a whole answer has come. */
static bool take(struct client *client)
{
    struct frame frame;
    size_t at = 0;
    bool answered = false;
    receive(client);
    while (frame_at(client->in + at, client->len - at, &frame)) {
        if (frame.flags & FRAME_COMMAND)
            command(client, &frame);
        else if (!(frame.flags & FRAME_MORE))
            answered = true;
        at += frame.whole;
    }
    drop(client, at);
    return answered;
}

static int by_time(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Sorts. */
static double rank_us(struct times *times, unsigned percent)
{
    size_t rank = (times->n * percent + 99) / 100;
    if (times->n == 0)
        return 0;
    qsort(times->ns, times->n, sizeof(*times->ns), by_time);
    return times->ns[rank - 1] / 1e3;
}

/* The answers that one wait has brought. */
static void turn(struct load *load)
{
    struct epoll_event events[64];
    uint64_t ticks;
    int n = epoll_wait(load->epfd, events, 64, WAIT_MS);
    if (n == 0 || (n < 0 && errno != EINTR))
        bench_die("wait for answers", n ? -errno : WEFT_ETIMEDOUT);
    for (int i = 0; i < n; i++) {
        struct client *client = events[i].data.ptr;
        if (!client) {
            (void)!read(load->timer, &ticks, sizeof(ticks));
            continue;
        }
        if (!take(client) || !client->waits)
            continue;
        note(&load->all, weft__now_ns() - client->asked_ns);
        if (!client->rare)
            note(&load->others, load->all.ns[load->all.n - 1]);
        client->waits = false;
        load->idle[load->idle_n++] = client;
        if (!load->interval_ns) /* the next one at once, not after all answers */
            ask_due(load, weft__now_ns());
    }
}

static void set_timer(struct load *load, uint64_t interval_ns)
{
    struct timespec tick = {.tv_nsec = (long)interval_ns};
    timerfd_settime(load->timer, 0, &(struct itimerspec){tick, tick}, NULL);
}

static bool over(const struct load *load)
{
    uint64_t next_ns = load->interval_ns ? load->due_ns : weft__now_ns();
    return load->idle_n == load->desc->clients && next_ns >= load->until_ns;
}

void load_run(struct load *load, uint64_t budget_ns, struct load_result *result_out)
{
    uint64_t start_ns = weft__now_ns();
    load->asked = load->all.n = load->others.n = 0;
    load->until_ns = start_ns + budget_ns;
    load->due_ns = start_ns;
    set_timer(load, load->interval_ns);
    ask_due(load, start_ns);
    while (!over(load)) {
        turn(load);
        ask_due(load, weft__now_ns());
    }
    set_timer(load, 0);
    uint64_t took_ns = weft__now_ns() - start_ns;
    *result_out = (struct load_result){.answered = load->all.n,
                                       .per_s = (double)load->all.n * 1e9 / (double)took_ns,
                                       .p50_us = rank_us(&load->others, 50),
                                       .p99_us = rank_us(&load->others, 99),
                                       .p99_all_us = rank_us(&load->all, 99)};
}
