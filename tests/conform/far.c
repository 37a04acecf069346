/* An endpoint that is elsewhere, as one of this process. Each call is a question that is answered
 * at once; the far endpoint moves only when progress() is called here, as one here would. What it
 * was told meanwhile comes with the answer. A range that is registered there is a copy of the range
 * here; what has been written into it comes back with progress(), too.
 */
#include "tests/conform/far.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "transport/slots.h"
#include "weft/error.h"

#define OPS_MAX 32768u

struct weft_tp_region {
    struct weft_tp_region *next;
    uint64_t id;
    void *addr;
    size_t len;
    struct weft_tp_key key;
};

struct far_ep {
    struct weft_tp_ep base;
    struct weft_tp_handlers on;
    void *ctx;
    int fd;
    struct weft_tp_limits limits;
    struct weft_slots ops;
    struct weft_tp_region *regions;
};

static struct sockaddr_in agents;

static struct far_ep *far_of(struct weft_tp_ep *ep)
{
    return (struct far_ep *)(void *)ep;
}

/* ---- bytes ---- */

bool far_read(int fd, void *into, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = read(fd, (char *)into + done, len - done);
        if (n == 0 || (n < 0 && errno != EINTR))
            return false;
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

static bool write_all(int fd, const void *from, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = send(fd, (const char *)from + done, len - done, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return false;
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

bool far_write(int fd, const struct far_head *head, const void *bytes)
{
    return write_all(fd, head, sizeof(*head)) && (!head->len || write_all(fd, bytes, head->len));
}

/* The answer's bytes are the caller's. */
static struct far_head ask(struct far_ep *ep, const struct far_head *head, const void *bytes,
                           unsigned char **bytes_out)
{
    struct far_head reply;
    unsigned char *got;
    if (!far_write(ep->fd, head, bytes) || !far_read(ep->fd, &reply, sizeof(reply)))
        fail_msg("the far side has gone");
    got = malloc(reply.len + 1);
    assert_non_null(got);
    if (!far_read(ep->fd, got, reply.len))
        fail_msg("the far side has gone");
    got[reply.len] = '\0';
    if (bytes_out)
        *bytes_out = got;
    else
        free(got);
    return reply;
}

static int ask_simply(struct far_ep *ep, const struct far_head *head, const void *bytes)
{
    unsigned char *text;
    struct far_head reply = ask(ep, head, bytes, &text);
    int err =
        reply.err < 0 ? weft_fail(reply.err, "the far side: %s", (const char *)text) : reply.err;
    free(text);
    return err;
}

/* ---- events ---- */

static void take(struct far_ep *ep, const struct far_head *event, const unsigned char *bytes)
{
    struct weft_tp_op *op;
    switch (event->what) {
    case FAR_MESSAGE:
        ep->on.message(ep->ctx, bytes, event->len);
        break;
    case FAR_DONE:
        op = weft__slots_take(&ep->ops, (uint32_t)event->number);
        assert_non_null(op);
        op->done(op, event->err);
        break;
    case FAR_LOST:
        if (ep->on.peer_lost)
            ep->on.peer_lost(ep->ctx, (struct weft_tp_peer){(uint32_t)event->id});
        break;
    case FAR_MEMORY:
        for (struct weft_tp_region *region = ep->regions; region; region = region->next)
            if (region->id == event->id && region->len == event->len)
                memcpy(region->addr, bytes, event->len);
        break;
    default:
        fail_msg("the far side says %d", (int)event->what);
    }
}

static void take_all(struct far_ep *ep, const unsigned char *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        struct far_head event;
        memcpy(&event, bytes + at, sizeof(event));
        at += sizeof(event);
        take(ep, &event, bytes + at);
        at += event.len;
    }
}

/* ---- the tables ---- */

static const struct weft_transport far_transport;

static int connect_agent(void)
{
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    for (unsigned i = 0; i < 300; i++) { /* the other machine may not be as far yet */
        if (fd >= 0 && connect(fd, (struct sockaddr *)&agents, sizeof(agents)) == 0) {
            (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
            return fd;
        }
        usleep(100000);
    }
    fail_msg("no agent answers");
    return -1;
}

int far_open(const struct weft_tp_open *desc, struct weft_tp_ep **ep_out)
{
    struct far_open open = {.families = desc->families,
                            .sends_max = desc->sends_max,
                            .msg_max_bytes = desc->msg_max_bytes};
    struct far_ep *ep = calloc(1, sizeof(*ep));
    unsigned char *limits;
    assert_non_null(ep);
    snprintf(open.bind, sizeof(open.bind), "%s", desc->bind);
    snprintf(open.provider, sizeof(open.provider), "%s", desc->provider ? desc->provider : "");
    ep->base.transport = &far_transport;
    ep->on = *desc->handlers;
    ep->ctx = desc->ctx;
    ep->fd = connect_agent();
    weft__slots_init(&ep->ops, OPS_MAX);
    struct far_head reply =
        ask(ep, &(struct far_head){.what = FAR_OPEN, .len = sizeof(open)}, &open, &limits);
    if (reply.err) {
        int err = weft_fail(reply.err, "the far side: %s", (const char *)limits);
        free(limits);
        close(ep->fd);
        free(ep);
        return err;
    }
    memcpy(&ep->limits, limits, sizeof(ep->limits));
    free(limits);
    *ep_out = &ep->base;
    return WEFT_OK;
}

static void far_close(struct weft_tp_ep *base)
{
    struct far_ep *ep = far_of(base);
    struct weft_tp_region *region;
    unsigned char *bytes;
    if (ep->fd >= 0) {
        struct far_head reply = ask(ep, &(struct far_head){.what = FAR_CLOSE}, NULL, &bytes);
        take_all(ep, bytes, reply.len);
        free(bytes);
        close(ep->fd);
    }
    while ((region = ep->regions)) {
        ep->regions = region->next;
        free(region);
    }
    weft__slots_fini(&ep->ops);
    free(ep);
}

void far_kill(struct side *side)
{
    struct far_ep *ep = far_of(side->ep);
    char byte;
    assert_true(far_write(ep->fd, &(struct far_head){.what = FAR_DIE}, NULL));
    (void)!read(ep->fd, &byte, 1); /* its end */
    close(ep->fd);
    ep->fd = -1;
    far_close(side->ep);
    side->ep = NULL;
}

static int far_address(struct weft_tp_ep *base, struct weft_tp_addr *addr_out)
{
    unsigned char *bytes;
    struct far_head reply =
        ask(far_of(base), &(struct far_head){.what = FAR_ADDRESS}, NULL, &bytes);
    if (!reply.err)
        memcpy(addr_out, bytes, sizeof(*addr_out));
    free(bytes);
    return reply.err;
}

static int far_peer_add(struct weft_tp_ep *base, const struct weft_tp_addr *addr,
                        struct weft_tp_peer *peer_out)
{
    struct far_head reply = ask(
        far_of(base), &(struct far_head){.what = FAR_PEER_ADD, .len = sizeof(*addr)}, addr, NULL);
    if (!reply.err)
        peer_out->id = (uint32_t)reply.id;
    return reply.err;
}

static void far_peer_drop(struct weft_tp_ep *base, struct weft_tp_peer peer)
{
    (void)ask_simply(far_of(base), &(struct far_head){.what = FAR_PEER_DROP, .id = peer.id}, NULL);
}

static int far_progress(struct weft_tp_ep *base)
{
    unsigned char *bytes;
    struct far_head reply =
        ask(far_of(base), &(struct far_head){.what = FAR_PROGRESS}, NULL, &bytes);
    take_all(far_of(base), bytes, reply.len);
    free(bytes);
    return reply.err;
}

static int far_wait_fd(struct weft_tp_ep *base)
{
    (void)base;
    return -1;
}

static int far_wait_arm(struct weft_tp_ep *base)
{
    (void)base;
    return WEFT_OK;
}

static int far_cancel(struct weft_tp_ep *base, struct weft_tp_op *op)
{
    (void)base;
    (void)op;
    return WEFT_EBUSY;
}

static void far_limits(struct weft_tp_ep *base, struct weft_tp_limits *limits_out)
{
    *limits_out = far_of(base)->limits;
}

static int far_send(struct weft_tp_ep *base, struct weft_tp_peer peer, const struct iovec *iov,
                    unsigned n, struct weft_tp_op *op)
{
    struct far_ep *ep = far_of(base);
    struct far_head head = {.what = FAR_SEND, .id = peer.id};
    uint32_t id;
    for (unsigned i = 0; i < n; i++)
        head.len += iov[i].iov_len;
    unsigned char *data = malloc(head.len + 1), *at = data;
    assert_non_null(data);
    for (unsigned i = 0; i < n; at += iov[i].iov_len, i++)
        if (iov[i].iov_len)
            memcpy(at, iov[i].iov_base, iov[i].iov_len);
    assert_int_equal(weft__slots_put(&ep->ops, op, &id), WEFT_OK);
    head.number = id;
    int err = ask_simply(ep, &head, data);
    if (err)
        weft__slots_take(&ep->ops, id);
    free(data);
    return err;
}

static int far_reg(struct weft_tp_ep *base, void *addr, size_t len_bytes, uint32_t access,
                   struct weft_tp_region **region_out)
{
    struct far_ep *ep = far_of(base);
    struct weft_tp_region *region = calloc(1, sizeof(*region));
    unsigned char *key;
    assert_non_null(region);
    struct far_head reply = ask(
        ep, &(struct far_head){.what = FAR_REG, .number = access, .len = len_bytes}, addr, &key);
    if (!reply.err) {
        *region = (struct weft_tp_region){
            .next = ep->regions, .id = reply.id, .addr = addr, .len = len_bytes};
        memcpy(&region->key, key, sizeof(region->key));
        ep->regions = region;
        *region_out = region;
    } else {
        (void)weft_fail(reply.err, "the far side: %s", (const char *)key);
        free(region);
    }
    free(key);
    return reply.err;
}

static void far_unreg(struct weft_tp_ep *base, struct weft_tp_region *region)
{
    struct far_ep *ep = far_of(base);
    (void)ask_simply(ep, &(struct far_head){.what = FAR_UNREG, .id = region->id}, NULL);
    for (struct weft_tp_region **at = &ep->regions; *at; at = &(*at)->next)
        if (*at == region) {
            *at = region->next;
            break;
        }
    free(region);
}

static void far_key(struct weft_tp_region *region, struct weft_tp_key *key_out)
{
    *key_out = region->key;
}

/* The suite reaches from here to there only. */
static int far_move(struct weft_tp_ep *base, struct weft_tp_peer peer,
                    const struct weft_tp_rma_desc *desc, struct weft_tp_op *op)
{
    (void)base;
    (void)peer;
    (void)desc;
    (void)op;
    return weft_fail(WEFT_ENOTSUP, "the far side does not ask");
}

static int far_flush(struct weft_tp_ep *base, struct weft_tp_peer peer, struct weft_tp_op *op)
{
    return far_move(base, peer, NULL, op);
}

static const struct weft_tp_core_ops core = {
    .open = far_open,
    .close = far_close,
    .address = far_address,
    .peer_add = far_peer_add,
    .peer_drop = far_peer_drop,
    .progress = far_progress,
    .wait_fd = far_wait_fd,
    .wait_arm = far_wait_arm,
    .cancel = far_cancel,
    .limits = far_limits,
};
static const struct weft_tp_msg_ops msg = {.send = far_send};
static const struct weft_tp_rma_ops rma = {.reg = far_reg,
                                           .unreg = far_unreg,
                                           .key = far_key,
                                           .get = far_move,
                                           .put = far_move,
                                           .flush = far_flush};
static const struct weft_transport far_transport = {
    .scheme = "far", .core = &core, .msg = &msg, .rma = &rma};

/* ---- agents ---- */

static void start_here(void)
{
    uint16_t port = 0;
    int fd = far_listen("127.0.0.1", 0, &port);
    if (fd < 0)
        abort();
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        far_serve(fd, conform_subject->transport);
    }
    close(fd);
    agents.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    agents.sin_port = htons(port);
}

void far_start(void)
{
    const char *where = getenv("CONFORM_FAR");
    const char *colon = where ? strchr(where, ':') : NULL;
    char address[32];
    agents = (struct sockaddr_in){.sin_family = AF_INET};
    if (!colon || colon - where >= (ptrdiff_t)sizeof(address)) {
        start_here();
        return;
    }
    memcpy(address, where, (size_t)(colon - where));
    address[colon - where] = '\0';
    if (inet_pton(AF_INET, address, &agents.sin_addr) != 1)
        abort();
    agents.sin_port = htons((uint16_t)atoi(colon + 1));
}
