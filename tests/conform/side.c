/* Driving endpoints under test. Both ends are driven by one thread in turns; where neither has
 * anything to do, the thread sleeps on the wait descriptors, so that wait_arm() is exercised by
 * every test. The deadlines only turn a hang into a failure: nothing here measures time.
 */
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/conform/conform.h"
#include "tests/conform/far.h"
#include "transport/fault/fault.h"
#include "transport/shim/shim.h"
#include "weft/error.h"

#define GIVE_UP_NS (30 * WEFT_NS_PER_S)
#define SLEEP_MS 10000

static _Thread_local bool submitting; /* a submit call is running: done must not */

static void take_message(void *ctx, const void *data, size_t len_bytes)
{
    struct side *side = ctx;
    side->messages++;
    side->bytes += len_bytes;
    if (side->on_message)
        side->on_message(side, data, len_bytes);
}

static void take_request(void *ctx, unsigned port_index, const struct weft_tp_from *from,
                         const void *data, size_t len_bytes)
{
    struct side *side = ctx;
    side->requests++;
    if (side->on_request)
        side->on_request(side, port_index, from, data, len_bytes);
}

static void take_reply(void *ctx, struct weft_tp_peer peer, const void *data, size_t len_bytes)
{
    struct side *side = ctx;
    side->replies++;
    if (side->on_reply)
        side->on_reply(side, peer, data, len_bytes);
}

static void take_lost(void *ctx, struct weft_tp_peer peer)
{
    struct side *side = ctx;
    (void)peer;
    side->lost++;
}

static const struct weft_tp_handlers handlers = {
    .message = take_message, .request = take_request, .reply = take_reply, .peer_lost = take_lost};

static const char *family_missing(uint32_t families)
{
    const struct weft_transport *tp = conform_subject->transport;
    if (families & WEFT_TP_CTL && (!tp->ctl || conform_subject->shim))
        return "ctl";
    if (families & WEFT_TP_MSG && !tp->msg)
        return "msg";
    if (families & WEFT_TP_RMA && !tp->rma && !conform_subject->shim)
        return "rma";
    return NULL;
}

int side_try_open(struct side *side, uint32_t families, const char *bind, uint16_t port)
{
    struct weft_tp_open desc = {
        .bind = bind,
        .port_first = port,
        .port_last = port,
        .families = families,
        .sends_max = side->sends_max,
        .msg_max_bytes = side->msg_max_bytes ? side->msg_max_bytes : 64u << 10,
        .provider = conform_subject->provider,
        .security = conform_subject->security,
        .handlers = &handlers,
        .ctx = side,
    };
    struct weft_fault_desc fault = {.inner = conform_subject->transport,
                                    .spec = conform_subject->fault,
                                    .open = conform_subject->shim ? weft__shim_open : NULL};
    int err = conform_subject->fault ? weft__fault_open(&fault, &desc, &side->ep)
              : conform_subject->shim
                  ? weft__shim_open(conform_subject->transport, &desc, &side->ep)
                  : conform_subject->transport->core->open(&desc, &side->ep);
    if (err)
        return err;
    side->tp = side->ep->transport;
    side->tp->core->limits(side->ep, &side->limits);
    return WEFT_OK;
}

/* Opens an endpoint of another process; the subject has neither shim nor faults. */
static void open_far(struct side *side, uint32_t families, const char *bind)
{
    struct weft_tp_open desc = {
        .bind = bind,
        .families = families,
        .sends_max = side->sends_max,
        .msg_max_bytes = side->msg_max_bytes ? side->msg_max_bytes : 64u << 10,
        .provider = conform_subject->provider,
        .handlers = &handlers,
        .ctx = side,
    };
    int err = far_open(&desc, &side->ep);
    if (err)
        fail_msg("open: %s", weft_fail_text(err));
    side->tp = side->ep->transport;
    side->tp->core->limits(side->ep, &side->limits);
}

static void open_at(struct side *side, uint32_t families, const char *bind)
{
    const char *missing = family_missing(families);
    if (missing) {
        print_message("skipped: %s has no %s\n", conform_subject->name, missing);
        skip();
    }
    int err = side_try_open(side, families, bind, 0);
    if (err)
        fail_msg("open: %s", weft_fail_text(err));
}

void side_open(struct side *side, uint32_t families)
{
    open_at(side, families, conform_subject->bind);
}

void side_close(struct side *side)
{
    if (side->ep)
        side->tp->core->close(side->ep);
    side->ep = NULL;
}

struct weft_tp_peer side_add(struct side *side, struct side *other)
{
    struct weft_tp_addr addr;
    struct weft_tp_peer peer;
    assert_int_equal(other->tp->core->address(other->ep, &addr), WEFT_OK);
    int err = side->tp->core->peer_add(side->ep, &addr, &peer);
    if (err)
        fail_msg("peer_add: %s", weft_fail_text(err));
    return peer;
}

void sides_join(struct side *a, struct side *b)
{
    a->peer = side_add(a, b);
    b->peer = side_add(b, a);
}

/* A far side may take its time until it can be connected to. */
static void connect_far(struct side *a, struct side *b)
{
    struct probe probe;
    for (unsigned i = 0; i < 5; i++) {
        int err;
        probe_init(&probe, NULL);
        while ((err = probe_send(a, &probe, "first", 5)) == WEFT_EAGAIN)
            sides_run(a, b);
        if (err == WEFT_OK) {
            sides_until(a, b, &probe.done, 1);
            err = probe.err;
        }
        if (err == WEFT_OK)
            break;
        a->tp->core->peer_drop(a->ep, a->peer);
        a->peer = side_add(a, b);
    }
    sides_until(a, b, &b->messages, 1);
    a->messages = a->lost = b->messages = b->bytes = b->lost = 0;
}

/* A first message each way: a transport may answer EAGAIN until its connection stands. */
static void warm_up(struct side *a, struct side *b)
{
    struct side kept_a = *a, kept_b = *b;
    struct probe there, back;
    a->on_message = b->on_message = NULL;
    probe_init(&there, NULL);
    probe_init(&back, NULL);
    probe_send_all(a, b, &there, "there", 5);
    probe_send_all(b, a, &back, "back", 4);
    sides_until(a, b, &a->messages, 1);
    sides_until(a, b, &b->messages, 1);
    sides_until(a, b, &there.done, 1);
    sides_until(a, b, &back.done, 1);
    *a = kept_a;
    *b = kept_b;
}

void sides_open(struct side *a, struct side *b, uint32_t families)
{
    const char *far = conform_subject->bind_far;
    open_at(a, families, conform_subject->bind);
    if (conform_subject->far)
        open_far(b, families, far ? far : conform_subject->bind);
    else
        open_at(b, families, far ? far : conform_subject->bind);
    sides_join(a, b);
    if (conform_subject->far && families & WEFT_TP_MSG) {
        struct side kept = *b;
        b->on_message = NULL;
        connect_far(a, b);
        b->on_message = kept.on_message;
    }
    if (families & WEFT_TP_MSG)
        warm_up(a, b);
}

static int progress(struct side *side)
{
    if (!side || !side->ep)
        return 0;
    int n = side->tp->core->progress(side->ep);
    if (n < 0)
        fail_msg("progress: %s", weft_fail_text(n));
    return n;
}

/* Whether the side can be waited for; fills in what to poll. */
static bool arm(struct side *side, struct pollfd *fd)
{
    fd->fd = -1;
    fd->events = POLLIN;
    if (!side || !side->ep)
        return true;
    fd->fd = side->tp->core->wait_fd(side->ep);
    return fd->fd >= 0 && side->tp->core->wait_arm(side->ep) == WEFT_OK;
}

void sides_run(struct side *a, struct side *b)
{
    struct pollfd fds[2];
    if (progress(a) + progress(b) > 0)
        return;
    if (arm(a, &fds[0]) && arm(b, &fds[1]))
        poll(fds, 2, 20);
    else
        sched_yield();
}

void sides_until(struct side *a, struct side *b, const uint64_t *count, uint64_t wanted)
{
    uint64_t give_up = weft__now_ns() + GIVE_UP_NS;
    while (*count < wanted) {
        sides_run(a, b);
        if (weft__now_ns() > give_up)
            fail_msg("gave up at %llu of %llu", (unsigned long long)*count,
                     (unsigned long long)wanted);
    }
}

void side_settle(struct side *side)
{
    uint64_t give_up = weft__now_ns() + GIVE_UP_NS;
    while (progress(side) > 0 || side->tp->core->wait_arm(side->ep) != WEFT_OK) {
        if (weft__now_ns() > give_up)
            fail_msg("the endpoint never comes to rest");
    }
}

bool side_sleep(struct side *side)
{
    struct pollfd fd = {.fd = side->tp->core->wait_fd(side->ep), .events = POLLIN};
    return poll(&fd, 1, SLEEP_MS) == 1;
}

static void probe_done(struct weft_tp_op *op, int err)
{
    struct probe *probe = op->user;
    assert_false(submitting);
    assert_int_equal(probe->done, 0);
    probe->done++;
    probe->err = err;
    if (probe->total)
        ++*probe->total;
}

void probe_init(struct probe *probe, uint64_t *total)
{
    memset(probe, 0, sizeof(*probe));
    probe->op.done = probe_done;
    probe->op.user = probe;
    probe->total = total;
}

int probe_send(struct side *from, struct probe *probe, const void *data, size_t len_bytes)
{
    struct iovec iov = {(void *)(uintptr_t)data, len_bytes};
    submitting = true;
    int err = from->tp->msg->send(from->ep, from->peer, &iov, 1, &probe->op);
    submitting = false;
    return err;
}

void probe_send_all(struct side *from, struct side *other, struct probe *probe, const void *data,
                    size_t len_bytes)
{
    uint64_t give_up = weft__now_ns() + GIVE_UP_NS;
    int err;
    while ((err = probe_send(from, probe, data, len_bytes)) == WEFT_EAGAIN) {
        sides_run(from, other);
        if (weft__now_ns() > give_up)
            fail_msg("send is EAGAIN for ever");
    }
    if (err)
        fail_msg("send: %s", weft_fail_text(err));
}

int probe_get(struct side *from, struct probe *probe, const struct weft_tp_rma_desc *desc)
{
    submitting = true;
    int err = from->tp->rma->get(from->ep, from->peer, desc, &probe->op);
    submitting = false;
    return err;
}

int probe_put(struct side *from, struct probe *probe, const struct weft_tp_rma_desc *desc)
{
    submitting = true;
    int err = from->tp->rma->put(from->ep, from->peer, desc, &probe->op);
    submitting = false;
    return err;
}

int probe_rma_start(struct side *from, struct side *other, struct probe *probe,
                    const struct weft_tp_rma_desc *desc, bool put)
{
    uint64_t give_up = weft__now_ns() + GIVE_UP_NS;
    int err;
    while ((err = put ? probe_put(from, probe, desc) : probe_get(from, probe, desc)) ==
           WEFT_EAGAIN) {
        sides_run(from, other);
        if (weft__now_ns() > give_up)
            fail_msg("rma is EAGAIN for ever");
    }
    return err;
}

int probe_rma(struct side *from, struct side *other, const struct weft_tp_rma_desc *desc, bool put)
{
    struct probe probe;
    probe_init(&probe, NULL);
    int err = probe_rma_start(from, other, &probe, desc, put);
    if (err)
        return err;
    sides_until(from, other, &probe.done, 1);
    return probe.err;
}
