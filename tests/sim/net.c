/* Ends, and the turns that drive them.
 *
 * Everything happens in one thread and in an order that follows from the calls: an end is driven
 * when something of it is due, or when an end that sends to it has moved something. So a run is the
 * same whenever its seeds are. One thing of the real endpoints is not the same from run to run: the
 * number by which inproc names a client to a server. The decorator finds by it which requests and
 * replies at a server keep an order among each other: specs of servers therefore do not double
 * them, and hold them by `reorder` alone, where no order is kept.
 *
 * Rejected: waiting on the endpoints' descriptors, which would bring the machine's time in; driving
 * every end in every turn, which took most of a run's time.
 */
#include "net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/inproc/inproc.h"
#include "weft/error.h"

static uint32_t bit_of(const struct net_end *end)
{
    return UINT32_C(1) << (end - end->net->ends);
}

/* The first of what goes wrong is kept. */
static void failed(struct net *net, const char *what, int err)
{
    if (net->failure[0] == '\0')
        snprintf(net->failure, sizeof(net->failure), "%s: %s", what, weft_fail_text(err));
}

/* ---- what comes ---- */

static void take(struct net_end *end, const struct weft_tp_from *from, const void *data, size_t len)
{
    struct net_question question;
    struct weft_frame frame;
    int err = weft__frame_decode(data, len, WEFT_FRAME_BODY_MAX, &frame);
    if (err != WEFT_OK) {
        failed(end->net, "a frame that nobody packed", err);
        return;
    }
    if (from)
        question = (struct net_question){*from, frame.call, frame.correlation};
    end->take(end->ctx, from ? &question : NULL, &frame);
}

static void take_request(void *ctx, unsigned port_index, const struct weft_tp_from *from,
                         const void *data, size_t len_bytes)
{
    (void)port_index;
    take(ctx, from, data, len_bytes);
}

static void take_reply(void *ctx, struct weft_tp_peer peer, const void *data, size_t len_bytes)
{
    (void)peer;
    take(ctx, NULL, data, len_bytes);
}

static const struct weft_tp_handlers handlers = {.request = take_request, .reply = take_reply};

ProtobufCMessage *net_unpack(struct net *net, const struct weft_frame *frame,
                             const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *message = NULL;
    int err = weft__message_decode(type, frame->body, frame->body_len, &message);
    if (err != WEFT_OK)
        failed(net, type->name, err);
    return message;
}

/* ---- ends ---- */

static uint64_t clock_now(void *ctx)
{
    return *(const uint64_t *)ctx;
}

void net_init(struct net *net, const uint64_t *now)
{
    net->clock = (struct weft_clock){clock_now, (void *)(uintptr_t)now};
    memset(net->ends, 0, sizeof(net->ends));
    net->open = net->mail = 0;
    net->failure[0] = '\0';
    for (unsigned i = 0; i < NET_ENDS_MAX; i++)
        net->ends[i].net = net;
}

void net_fini(struct net *net)
{
    for (unsigned i = 0; i < NET_ENDS_MAX; i++)
        net_close(&net->ends[i]);
}

static int listen(const struct net_end *end)
{
    const struct weft_tp_ctl_ops *ctl = end->ep->transport->ctl;
    uint16_t port;
    int err = ctl->listen(end->ep, WEFT_TP_SYNC, NET_SYNC_PORT, &port);
    return err != WEFT_OK ? err : ctl->listen(end->ep, WEFT_TP_ASYNC, NET_ASYNC_PORT, &port);
}

struct net_end *net_open(struct net *net, unsigned index, const struct net_end_desc *desc)
{
    struct net_end *end = &net->ends[index];
    char spec[WEFT_FAULT_SPEC_MAX];
    struct weft_fault_desc fault = {.inner = &weft__tp_inproc, .spec = spec, .clock = &net->clock};
    struct weft_tp_open open = {.bind = desc->name ? desc->name : "client",
                                .families = desc->rma ? WEFT_TP_RMA : WEFT_TP_CTL,
                                .handlers = &handlers,
                                .ctx = end};
    const char *more = desc->spec ? desc->spec : "";
    uint32_t reaches = end->reaches; /* a server's clients */
    *end = (struct net_end){.net = net,
                            .take = desc->take,
                            .ctx = desc->ctx,
                            .reaches = desc->name ? reaches : 0,
                            .due_ns = WEFT_NEVER};
    snprintf(spec, sizeof(spec), "seed=%llu%s%s", (unsigned long long)desc->seed,
             more[0] != '\0' ? "," : "", more);
    int err = weft__fault_open(&fault, &open, &end->ep);
    if (err == WEFT_OK && desc->name) {
        snprintf(end->name, sizeof(end->name), "%s", desc->name);
        err = listen(end);
    }
    if (err != WEFT_OK)
        failed(net, "an end cannot open", err);
    else
        net->open |= bit_of(end);
    if (desc->rma)
        end->reaches |= bit_of(end); /* gets take several turns */
    return end;
}

static void add(struct weft_fault_counts *sum, const struct weft_fault_counts *one)
{
    sum->letters += one->letters;
    sum->dropped += one->dropped;
    sum->doubled += one->doubled;
    sum->held += one->held;
    sum->overtaken += one->overtaken;
    sum->cut += one->cut;
    sum->failed += one->failed;
}

void net_close(struct net_end *end)
{
    struct weft_fault_counts counts;
    if (!net_is_open(end))
        return;
    weft__fault_counts(end->ep, &counts);
    add(&end->net->counts, &counts);
    end->ep->transport->core->close(end->ep);
    end->ep = NULL;
    end->net->open &= ~bit_of(end);
}

bool net_is_open(const struct net_end *end)
{
    return end && end->ep;
}

void net_change(struct net_end *end, const char *spec)
{
    int err = net_is_open(end) ? weft__fault_change(end->ep, spec) : WEFT_OK;
    if (err != WEFT_OK)
        failed(end->net, "its faults cannot change", err);
}

void net_sleep(struct net_end *end, uint64_t until_ns)
{
    end->asleep_ns = until_ns;
}

/* ---- what goes ---- */

/* The server at a url, whether it is open or not. */
static struct net_end *server_at(struct net *net, const char *url)
{
    size_t len = strcspn(url, ":");
    for (unsigned i = 0; i < NET_ENDS_MAX; i++)
        if (strlen(net->ends[i].name) == len && memcmp(net->ends[i].name, url, len) == 0)
            return &net->ends[i];
    return NULL;
}

static int connect(struct net_end *end, const char *url, enum weft_tp_port_mode mode,
                   struct weft_tp_peer *peer_out)
{
    struct net_end *server = server_at(end->net, url);
    for (unsigned i = 0; i < end->peers_n; i++) {
        if (strcmp(end->peers[i].url, url) == 0) {
            *peer_out = end->peers[i].id;
            return WEFT_OK;
        }
    }
    if (!server || end->peers_n == NET_PEERS_MAX || strlen(url) >= NET_URL_MAX)
        return weft_fail(WEFT_EINVAL, "a connection to %s", url);
    struct net_peer *peer = &end->peers[end->peers_n];
    int err = end->ep->transport->ctl->connect(end->ep, url, mode, &peer->id);
    if (err != WEFT_OK)
        return err;
    memcpy(peer->url, url, strlen(url) + 1);
    end->peers_n++;
    end->reaches |= bit_of(server);
    server->reaches |= bit_of(end);
    *peer_out = peer->id;
    return WEFT_OK;
}

/* A message was handed over: it is on its way, held, or lost. */
static void submitted(struct net_end *end, int err)
{
    struct net *net = end->net;
    net->sent++;
    net->unreachable += err == WEFT_EHOSTUNREACH;
    if (err != WEFT_OK && err != WEFT_EHOSTUNREACH && err != WEFT_EAGAIN)
        failed(net, "a message cannot be sent", err);
    net->mail |= end->reaches;
    end->due_ns = weft__fault_due_ns(end->ep);
}

static void call(struct net_end *end, const char *url, enum weft_tp_port_mode mode,
                 const struct weft_frame *frame, const ProtobufCMessage *message)
{
    const struct weft_tp_ctl_ops *ctl = end->ep->transport->ctl;
    struct weft_frame header = *frame;
    struct weft_tp_peer peer;
    uint8_t *data = NULL;
    size_t len = 0;
    int err = connect(end, url, mode, &peer);
    if (err == WEFT_OK)
        err = weft__message_frame(&header, message, &data, &len);
    if (err == WEFT_OK)
        err = mode == WEFT_TP_SYNC ? ctl->request(end->ep, peer, data, len)
                                   : ctl->push(end->ep, peer, data, len);
    free(data);
    submitted(end, err);
}

void net_request(struct net_end *end, const char *url, const struct weft_frame *frame,
                 const ProtobufCMessage *message)
{
    call(end, url, WEFT_TP_SYNC, frame, message);
}

void net_push(struct net_end *end, const char *url, uint16_t code, const ProtobufCMessage *message)
{
    struct weft_frame frame = {.call = code};
    call(end, url, WEFT_TP_ASYNC, &frame, message);
}

void net_push_frame(struct net_end *end, const char *url, const uint8_t *data, size_t len)
{
    struct weft_tp_peer peer;
    int err = connect(end, url, WEFT_TP_ASYNC, &peer);
    if (err == WEFT_OK)
        err = end->ep->transport->ctl->push(end->ep, peer, data, len);
    submitted(end, err);
}

void net_reply(struct net_end *end, const struct net_question *to, const ProtobufCMessage *message)
{
    struct weft_frame frame = {
        .call = to->call, .flags = WEFT_FRAME_REPLY, .correlation = to->correlation};
    uint8_t *data = NULL;
    size_t len = 0;
    int err = weft__message_frame(&frame, message, &data, &len);
    if (err == WEFT_OK)
        err = end->ep->transport->ctl->reply(end->ep, &to->from, data, len);
    free(data);
    submitted(end, err);
}

void net_refuse(struct net_end *end, const struct net_question *to, int err, const char *text)
{
    struct weft_frame frame = {.call = to->call,
                               .flags = WEFT_FRAME_REPLY | WEFT_FRAME_ERROR,
                               .error = err,
                               .correlation = to->correlation};
    uint8_t data[WEFT_FRAME_HEADER_BYTES + 256];
    size_t len = text ? strlen(text) : 0;
    len = len < 256 ? len : 256;
    frame.body_len = (uint32_t)len;
    weft__frame_encode_header(&frame, data);
    if (len)
        memcpy(data + WEFT_FRAME_HEADER_BYTES, text, len);
    submitted(end, end->ep->transport->ctl->reply(end->ep, &to->from, data,
                                                  WEFT_FRAME_HEADER_BYTES + len));
}

/* ---- rma ---- */

void net_share(struct net_end *end, void *bytes, size_t len_bytes, struct net_share *share_out)
{
    const struct weft_transport *tp = end->ep->transport;
    struct weft_tp_addr address;
    int err = tp->rma->reg(end->ep, bytes, len_bytes, WEFT_TP_READ, &share_out->region);
    if (err == WEFT_OK)
        err = tp->core->address(end->ep, &address);
    if (err == WEFT_OK && 2u * address.len >= sizeof(share_out->address))
        err = weft_fail(WEFT_EMSGSIZE, "an address of %u bytes", address.len);
    if (err != WEFT_OK) {
        failed(end->net, "bytes cannot be shared", err);
        return;
    }
    tp->rma->key(share_out->region, &share_out->key);
    for (unsigned i = 0; i < address.len; i++)
        snprintf(share_out->address + (size_t)2 * i, 3, "%02x", address.bytes[i]);
}

void net_unshare(struct net_end *end, struct net_share *share)
{
    if (share->region)
        end->ep->transport->rma->unreg(end->ep, share->region);
    share->region = NULL;
}

static int read_address(const char *text, struct weft_tp_addr *address_out)
{
    size_t len = strlen(text) / 2;
    if (len > sizeof(address_out->bytes))
        return weft_fail(WEFT_EINVAL, "an address of %zu bytes", len);
    for (size_t i = 0; i < len; i++) {
        char digits[3] = {text[2 * i], text[2 * i + 1], '\0'};
        address_out->bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    address_out->len = (uint16_t)len;
    return WEFT_OK;
}

static int reach(struct net_end *end, const char *text, struct weft_tp_peer *peer_out)
{
    struct weft_tp_addr address;
    for (unsigned i = 0; i < end->peers_n; i++) {
        if (strcmp(end->peers[i].url, text) == 0) {
            *peer_out = end->peers[i].id;
            return WEFT_OK;
        }
    }
    int err = read_address(text, &address);
    if (err == WEFT_OK && (end->peers_n == NET_PEERS_MAX || strlen(text) >= NET_URL_MAX))
        err = weft_fail(WEFT_ENOSPC, "a peer at %s", text);
    if (err == WEFT_OK)
        err = end->ep->transport->core->peer_add(end->ep, &address, peer_out);
    if (err != WEFT_OK)
        return err;
    memcpy(end->peers[end->peers_n].url, text, strlen(text) + 1);
    end->peers[end->peers_n++].id = *peer_out;
    return WEFT_OK;
}

int net_get(struct net_end *end, const char *address, struct net_get *get)
{
    struct weft_tp_rma_desc desc = {
        .local = get->into, .len_bytes = get->len_bytes, .remote_key = get->key};
    struct weft_tp_peer peer;
    int err = reach(end, address, &peer);
    if (err == WEFT_OK)
        err = end->ep->transport->rma->get(end->ep, peer, &desc, &get->op);
    end->net->mail |= end->reaches;
    end->due_ns = weft__fault_due_ns(end->ep);
    return err;
}

/* ---- turns ---- */

static void drive(struct net_end *end, uint64_t now)
{
    struct net *net = end->net;
    int n = end->ep->transport->core->progress(end->ep);
    if (n < 0)
        failed(net, "an end has broken", n);
    if (n > 0)
        net->mail |= end->reaches;
    end->due_ns = weft__fault_due_ns(end->ep);
    if (n == 0 && end->due_ns <= now)
        end->due_ns = now + WEFT_NS_PER_US; /* it waits for room */
}

/* The ends that have something to do now. */
static uint32_t ready(const struct net *net, uint64_t now)
{
    uint32_t ready = 0;
    for (uint32_t left = net->open; left; left &= left - 1) {
        const struct net_end *end = &net->ends[__builtin_ctz(left)];
        if (end->due_ns <= now || (net->mail & left & -left))
            ready |= end->asleep_ns <= now ? left & -left : 0;
    }
    return ready;
}

void net_settle(struct net *net)
{
    uint64_t now = weft__clock_now(&net->clock);
    for (uint32_t left; (left = ready(net, now));) {
        net->mail &= ~left;
        for (; left; left &= left - 1)
            drive(&net->ends[__builtin_ctz(left)], now);
    }
}

uint64_t net_due_ns(const struct net *net)
{
    uint64_t due_ns = WEFT_NEVER;
    for (uint32_t left = net->open; left; left &= left - 1) {
        const struct net_end *end = &net->ends[__builtin_ctz(left)];
        uint64_t at_ns = net->mail & left & -left ? 0 : end->due_ns;
        if (at_ns < end->asleep_ns)
            at_ns = end->asleep_ns;
        if (at_ns < due_ns)
            due_ns = at_ns;
    }
    return due_ns;
}
