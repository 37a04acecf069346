/* Weft's endpoints as ends: a transport as it is, through its table, without a lane above.
 *
 * What arrives is copied to a buffer of the end's own, as a raw receive has it there: a message has
 * come when its receiver may keep it. Spinning is progress() over and over; asleep is what the
 * transport offers: its own wait(), or its descriptor and poll(). */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "data_ends.h"
#include "transport/shim/shim.h"
#include "weft/error.h"

#define LOOK_EVERY 65536u /* turns that found nothing, before the clock is looked at */
#define SLEEP_MS 100

struct slot {
    struct weft_tp_op op;
    struct slot *next;
};

struct end {
    const struct data_subject *subject;
    const struct weft_transport *tp;
    struct weft_tp_ep *ep;
    struct weft_tp_peer peer;
    struct slot slots[DATA_WINDOW_MAX];
    struct slot *idle;
    unsigned in_flight;
    unsigned long received;
    unsigned char *sink;  /* where messages end up */
    unsigned char *bytes; /* DATA_BYTES_MAX, registered */
    struct weft_tp_region *region;
    struct weft_tp_key key; /* of the other side's */
};

struct greeting {
    struct weft_tp_addr addr;
    struct weft_tp_key key;
};

static void message(void *ctx, const void *data, size_t len_bytes)
{
    struct end *end = ctx;
    memcpy(end->sink, data, len_bytes);
    end->received++;
}

static void lost(void *ctx, struct weft_tp_peer peer)
{
    (void)ctx;
    (void)peer;
    bench_die("the other side was lost", WEFT_EPEERDEAD);
}

static void done(struct weft_tp_op *op, int err)
{
    struct end *end = op->user;
    struct slot *slot = (struct slot *)(void *)op;
    if (err != WEFT_ECANCELED) /* which close says */
        bench_check(end->subject->id, err);
    slot->next = end->idle;
    end->idle = slot;
    end->in_flight--;
}

/* The error of opening. */
static int open_endpoint(struct end *end, unsigned side)
{
    static const struct weft_tp_handlers handlers = {.message = message, .peer_lost = lost};
    const struct data_subject *subject = end->subject;
    bool shim = subject->transport->rma == NULL;
    const struct weft_tp_open desc = {.bind = !subject->threads ? data_address(side)
                                              : side            ? "bench-there"
                                                                : "bench-here",
                                      .families = shim ? WEFT_TP_MSG : WEFT_TP_MSG | WEFT_TP_RMA,
                                      .msg_max_bytes = DATA_MESSAGE_MAX,
                                      .provider = subject->provider,
                                      .handlers = &handlers,
                                      .ctx = end};
    int err = shim ? weft__shim_open(subject->transport, &desc, &end->ep)
                   : subject->transport->core->open(&desc, &end->ep);
    if (!err)
        end->tp = end->ep->transport;
    return err;
}

static void greet(struct end *end, int fd)
{
    struct greeting greeting = {0};
    bench_check("address", end->tp->core->address(end->ep, &greeting.addr));
    bench_check("register", end->tp->rma->reg(end->ep, end->bytes, DATA_BYTES_MAX,
                                              WEFT_TP_READ | WEFT_TP_WRITE, &end->region));
    end->tp->rma->key(end->region, &greeting.key);
    bench_send(fd, &greeting, sizeof(greeting));
    if (!bench_receive(fd, &greeting, sizeof(greeting)))
        bench_die("greet the other side", WEFT_EPEERDEAD);
    end->key = greeting.key;
    bench_check("know the other side",
                end->tp->core->peer_add(end->ep, &greeting.addr, &end->peer));
}

static void *open_end(const struct data_subject *subject, unsigned side, int fd,
                      unsigned char *bytes)
{
    struct end *end = calloc(1, sizeof(*end));
    if (!end)
        bench_die("memory", WEFT_ENOMEM);
    end->subject = subject;
    int err = open_endpoint(end, side);
    if (err) {
        if (side == 0)
            fprintf(stderr, "bench-data: without %s: %s\n", subject->id, weft_fail_text(err));
        free(end);
        return NULL;
    }
    end->sink = data_memory(DATA_MESSAGE_MAX);
    end->bytes = bytes;
    for (size_t i = 0; i < DATA_WINDOW_MAX; i++) {
        end->slots[i].op = (struct weft_tp_op){.done = done, .user = end};
        end->slots[i].next = end->idle;
        end->idle = &end->slots[i];
    }
    greet(end, fd);
    return end;
}

static void close_end(void *ctx)
{
    struct end *end = ctx;
    end->tp->rma->unreg(end->ep, end->region);
    end->tp->core->close(end->ep);
    free(end->sink);
    free(end);
}

static int move_on(struct end *end)
{
    int n = end->tp->core->progress(end->ep);
    if (n < 0)
        bench_die(end->subject->id, n);
    return n;
}

static void turn(void *ctx)
{
    move_on(ctx);
}

static void doze(struct end *end)
{
    const struct weft_tp_core_ops *core = end->tp->core;
    if (end->tp->sleep) {
        end->tp->sleep->wait(end->ep, weft__now_ns() + SLEEP_MS * WEFT_NS_PER_MS);
    } else if (core->wait_arm(end->ep) == WEFT_OK) {
        struct pollfd fd = {.fd = core->wait_fd(end->ep), .events = POLLIN};
        poll(&fd, 1, SLEEP_MS);
    }
}

/* Turns until so many messages have come, or until no more than so many operations are under way.
 */
static void await(struct end *end, unsigned long received, unsigned in_flight, bool asleep)
{
    uint64_t deadline_ns = 0;
    for (unsigned i = 1; end->received < received || end->in_flight > in_flight; i++) {
        if (move_on(end) == 0 && asleep)
            doze(end);
        if (i % (asleep ? 64 : LOOK_EVERY) != 0)
            continue;
        if (!deadline_ns)
            deadline_ns = weft__now_ns() + DATA_STALL_NS;
        else if (weft__now_ns() > deadline_ns)
            bench_die(end->subject->id, WEFT_ETIMEDOUT);
    }
}

/* With at most window operations under way after it. */
static struct weft_tp_op *take(struct end *end, const struct data_task *task)
{
    await(end, 0, task->window - 1, task->asleep);
    struct slot *slot = end->idle;
    end->idle = slot->next;
    end->in_flight++;
    return &slot->op;
}

static void say(struct end *end, const struct data_task *task, size_t len_bytes)
{
    struct weft_tp_op *op = take(end, task);
    struct iovec part = {end->bytes, len_bytes};
    int err;
    while ((err = end->tp->msg->send(end->ep, end->peer, &part, 1, op)) == WEFT_EAGAIN)
        move_on(end);
    bench_check("send", err);
}

static void move(struct end *end, const struct data_task *task, unsigned i)
{
    struct weft_tp_op *op = take(end, task);
    size_t at = i % task->window * task->bytes;
    const struct weft_tp_rma_desc desc = {.local = end->bytes + at,
                                          .len_bytes = task->bytes,
                                          .local_region = end->region,
                                          .remote_key = end->key,
                                          .remote_offset = at};
    int err;
    do
        err = task->what == DATA_GET ? end->tp->rma->get(end->ep, end->peer, &desc, op)
                                     : end->tp->rma->put(end->ep, end->peer, &desc, op);
    while (err == WEFT_EAGAIN && move_on(end) >= 0);
    bench_check("get or put", err);
}

static double pass(struct end *end, const struct data_task *task)
{
    struct bench_samples samples = {0};
    for (unsigned i = 0; i < task->n; i += task->batch) {
        uint64_t start_ns = weft__now_ns();
        for (unsigned k = 0; k < task->batch; k++) {
            unsigned long seen = end->received;
            say(end, task, task->bytes);
            await(end, seen + 1, DATA_WINDOW_MAX, task->asleep);
        }
        bench_sample(&samples, (double)(weft__now_ns() - start_ns) / 2e3 / task->batch);
    }
    await(end, 0, 0, task->asleep);
    return bench_typical(&samples);
}

static void burst(struct end *end, const struct data_task *task)
{
    unsigned long seen = end->received;
    for (unsigned i = 0; i < task->n; i++)
        if (task->what == DATA_RATE)
            say(end, task, task->bytes);
        else
            move(end, task, i);
    await(end, task->what == DATA_RATE ? seen + 1 : 0, 0, task->asleep);
}

static double ask(void *ctx, const struct data_task *task)
{
    struct end *end = ctx;
    struct bench_samples samples = {0};
    if (task->what == DATA_PASS)
        return pass(end, task);
    for (unsigned i = 0; i < task->bursts; i++) {
        uint64_t start_ns = weft__now_ns();
        burst(end, task);
        bench_sample(&samples, (double)(weft__now_ns() - start_ns));
    }
    if (task->what != DATA_RATE) {
        say(end, task, 1); /* the other side may stop */
        await(end, 0, 0, task->asleep);
    }
    return data_result(task, bench_typical(&samples));
}

static void answer(void *ctx, const struct data_task *task)
{
    struct end *end = ctx;
    unsigned long seen = end->received;
    bool answers = task->what == DATA_PASS || task->what == DATA_RATE;
    for (unsigned i = 1; i <= data_answers(task); i++) {
        await(end, seen + (unsigned long)data_messages(task) * i, DATA_WINDOW_MAX, task->asleep);
        if (answers)
            say(end, task, task->bytes);
    }
    await(end, 0, 0, task->asleep);
}

const struct data_kind data_weft = {
    .open = open_end, .close = close_end, .turn = turn, .ask = ask, .answer = answer};
