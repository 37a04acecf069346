/* The agent: has the far endpoint and does what it is told. One process for each endpoint, so that
 * one can die. It ends with its connection. */
#include "tests/conform/far.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "weft/error.h"

enum { ROUNDS = 16 };

struct send_op {
    struct weft_tp_op op;
    struct agent *agent;
    uint64_t number;
    unsigned char data[];
};

/* seen: what the asker has. */
struct range {
    struct range *next;
    uint64_t id;
    size_t len;
    bool writable;
    unsigned char *bytes, *seen;
    struct weft_tp_region *region;
};

struct agent {
    int fd;
    const struct weft_transport *transport;
    struct weft_tp_ep *ep;
    struct range *ranges;
    uint64_t ranges_n;
    unsigned char *events;
    size_t events_len, events_room;
};

static void tell(struct agent *agent, const struct far_head *event, const void *bytes)
{
    size_t len = agent->events_len + sizeof(*event) + event->len;
    if (len > agent->events_room) {
        agent->events_room = 2 * len;
        agent->events = realloc(agent->events, agent->events_room);
        if (!agent->events)
            abort();
    }
    memcpy(agent->events + agent->events_len, event, sizeof(*event));
    if (event->len)
        memcpy(agent->events + agent->events_len + sizeof(*event), bytes, event->len);
    agent->events_len = len;
}

static void heard(void *ctx, const void *data, size_t len_bytes)
{
    tell(ctx, &(struct far_head){.what = FAR_MESSAGE, .len = len_bytes}, data);
}

static void lost(void *ctx, struct weft_tp_peer peer)
{
    tell(ctx, &(struct far_head){.what = FAR_LOST, .id = peer.id}, NULL);
}

static void sent(struct weft_tp_op *op, int err)
{
    struct send_op *own = op->user;
    tell(own->agent, &(struct far_head){.what = FAR_DONE, .number = own->number, .err = err}, NULL);
    free(own);
}

static void reply(struct agent *agent, int err, uint64_t id, const void *bytes, size_t len)
{
    const char *text = err < 0 ? weft_fail_text(err) : "";
    struct far_head head = {.err = err, .id = id, .len = err < 0 ? strlen(text) : len};
    if (!far_write(agent->fd, &head, err < 0 ? text : bytes))
        _exit(0);
}

static void reply_events(struct agent *agent, int err)
{
    struct far_head head = {.err = err, .len = agent->events_len};
    if (!far_write(agent->fd, &head, agent->events))
        _exit(0);
    agent->events_len = 0;
}

static void on_open(struct agent *agent, const unsigned char *bytes)
{
    static const struct weft_tp_handlers handlers = {.message = heard, .peer_lost = lost};
    struct far_open open;
    struct weft_tp_limits limits = {0};
    memcpy(&open, bytes, sizeof(open));
    struct weft_tp_open desc = {.bind = open.bind,
                                .families = open.families,
                                .sends_max = open.sends_max,
                                .msg_max_bytes = open.msg_max_bytes,
                                .provider = open.provider[0] ? open.provider : NULL,
                                .handlers = &handlers,
                                .ctx = agent};
    int err = agent->transport->core->open(&desc, &agent->ep);
    if (!err) {
        agent->transport = agent->ep->transport;
        agent->transport->core->limits(agent->ep, &limits);
    }
    reply(agent, err, 0, &limits, sizeof(limits));
}

static void on_send(struct agent *agent, const struct far_head *head, const unsigned char *bytes)
{
    struct send_op *own = calloc(1, sizeof(*own) + head->len);
    if (!own)
        abort();
    own->agent = agent;
    own->number = head->number;
    own->op.done = sent;
    own->op.user = own;
    memcpy(own->data, bytes, head->len);
    struct iovec iov = {own->data, head->len};
    int err = agent->transport->msg->send(agent->ep, (struct weft_tp_peer){(uint32_t)head->id},
                                          &iov, 1, &own->op);
    if (err)
        free(own);
    reply(agent, err, 0, NULL, 0);
}

static void on_reg(struct agent *agent, const struct far_head *head, const unsigned char *bytes)
{
    struct range *range = calloc(1, sizeof(*range));
    struct weft_tp_key key = {0};
    if (!range || !(range->bytes = malloc(head->len + 1)) || !(range->seen = malloc(head->len + 1)))
        abort();
    range->id = ++agent->ranges_n;
    range->len = head->len;
    range->writable = head->number & WEFT_TP_WRITE;
    memcpy(range->bytes, bytes, head->len);
    memcpy(range->seen, bytes, head->len);
    int err = agent->transport->rma->reg(agent->ep, range->bytes, range->len,
                                         (uint32_t)head->number, &range->region);
    if (!err) {
        agent->transport->rma->key(range->region, &key);
        range->next = agent->ranges;
        agent->ranges = range;
    }
    reply(agent, err, range->id, &key, sizeof(key));
}

/* Its memory stays until the end: what is under way may still look at it. */
static void on_unreg(struct agent *agent, const struct far_head *head)
{
    for (struct range **at = &agent->ranges; *at; at = &(*at)->next)
        if ((*at)->id == head->id) {
            agent->transport->rma->unreg(agent->ep, (*at)->region);
            *at = (*at)->next;
            break;
        }
    reply(agent, 0, 0, NULL, 0);
}

/* Some rounds, as each question takes longer than many of them. */
static void on_progress(struct agent *agent)
{
    int n = 0;
    for (unsigned i = 0; i < ROUNDS && n == 0; i++)
        n = agent->transport->core->progress(agent->ep);
    for (struct range *range = agent->ranges; range; range = range->next) {
        if (!range->writable || memcmp(range->bytes, range->seen, range->len) == 0)
            continue;
        memcpy(range->seen, range->bytes, range->len);
        tell(agent, &(struct far_head){.what = FAR_MEMORY, .id = range->id, .len = range->len},
             range->seen);
    }
    reply_events(agent, n);
}

static void on_close(struct agent *agent)
{
    if (agent->ep)
        agent->transport->core->close(agent->ep);
    agent->ep = NULL;
    reply_events(agent, 0);
}

static void obey(struct agent *agent, const struct far_head *head, const unsigned char *bytes)
{
    struct weft_tp_addr addr = {0};
    struct weft_tp_peer peer = {(uint32_t)head->id};
    int err;
    switch (head->what) {
    case FAR_OPEN:
        on_open(agent, bytes);
        break;
    case FAR_ADDRESS:
        err = agent->transport->core->address(agent->ep, &addr);
        reply(agent, err, 0, &addr, sizeof(addr));
        break;
    case FAR_PEER_ADD:
        memcpy(&addr, bytes, sizeof(addr));
        err = agent->transport->core->peer_add(agent->ep, &addr, &peer);
        reply(agent, err, peer.id, NULL, 0);
        break;
    case FAR_PEER_DROP:
        agent->transport->core->peer_drop(agent->ep, peer);
        reply(agent, 0, 0, NULL, 0);
        break;
    case FAR_PROGRESS:
        on_progress(agent);
        break;
    case FAR_SEND:
        on_send(agent, head, bytes);
        break;
    case FAR_REG:
        on_reg(agent, head, bytes);
        break;
    case FAR_UNREG:
        on_unreg(agent, head);
        break;
    case FAR_CLOSE:
        on_close(agent);
        break;
    default:
        (void)raise(SIGKILL);
    }
}

static _Noreturn void serve_one(int fd, const struct weft_transport *transport)
{
    struct agent agent = {.fd = fd, .transport = transport};
    struct far_head head;
    while (far_read(fd, &head, sizeof(head))) {
        unsigned char *bytes = malloc(head.len + 1);
        if (!bytes || !far_read(fd, bytes, head.len))
            break;
        obey(&agent, &head, bytes);
        free(bytes);
    }
    _exit(0);
}

int far_listen(const char *address, uint16_t port, uint16_t *port_out)
{
    const int on = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || inet_pton(AF_INET, address, &at.sin_addr) != 1 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 64) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0) {
        perror("agent");
        return -1;
    }
    *port_out = ntohs(at.sin_port);
    return fd;
}

_Noreturn void far_serve(int listen_fd, const struct weft_transport *transport)
{
    const int on = 1;
    (void)signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (fork() == 0) {
            close(listen_fd);
            serve_one(fd, transport);
        }
        close(fd);
    }
}
