/* Lanes as ends: what a rank uses, a transport's endpoint with the hand-over between threads, the
 * app's token, a queue per peer and a progress thread. For information beside the endpoints.
 *
 * Spinning is a thread that drives its lane over and over, as a rank does that waits for a message;
 * asleep is one that sleeps on its lane. Sending copies: the buffer may be used again at once. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "data_ends.h"
#include "link/lane.h"
#include "transport/inproc/inproc.h"
#include "transport/ofi/ofi.h"
#include "transport/tcp/tcp.h"
#include "transport/zmq/zmq.h"
#include "weft/error.h"

#define TOKEN 0x64617461u
#define LOOK_EVERY 4096u /* turns that found nothing, before the clock is looked at */
#define SLEEP_MS 100

struct slot {
    struct weft_lane_get get;
    _Atomic(bool) busy;
};

struct end {
    const struct data_subject *subject;
    struct weft_lane *lane;
    struct weft_lane_peer peer;
    struct weft_lane_region *region;
    struct weft_lane_key key; /* of the other side's */
    struct slot slots[DATA_WINDOW_MAX];
    _Atomic uint32_t heard; /* messages and ended gets; what a sleeper watches */
    _Atomic uint32_t received, got;
    uint32_t answered; /* messages that tasks so far were to hear; the progress thread may hear the
                          first one of a task before the task begins here */
    unsigned char *sink, *bytes;
};

struct greeting {
    char address[WEFT_LANE_ADDRESS_MAX];
    struct weft_lane_key key;
};

static void tell(struct end *end)
{
    atomic_fetch_add(&end->heard, 1);
    weft__lane_kick(end->lane, &end->heard);
}

static void message(void *ctx, const void *data, size_t len_bytes)
{
    struct end *end = ctx;
    memcpy(end->sink, data, len_bytes);
    atomic_fetch_add(&end->received, 1);
    tell(end);
}

static void got(struct weft_lane_get *get, int err)
{
    struct end *end = get->user;
    bench_check("get", err);
    atomic_store(&((struct slot *)(void *)get)->busy, false);
    atomic_fetch_add(&end->got, 1);
    tell(end);
}

static int open_lane(struct end *end, unsigned side)
{
    static const struct weft_transport *const all[] = {&weft__tp_inproc, &weft__tp_zmq,
                                                       &weft__tp_ofi, &weft__tp_tcp};
    const struct data_subject *subject = end->subject;
    const struct weft_lane_desc desc = {.transports = all,
                                        .transports_n = sizeof(all) / sizeof(all[0]),
                                        .scheme = subject->scheme,
                                        .progress = "thread",
                                        .bind = !subject->threads ? data_address(side)
                                                : side            ? "bench-lane-there"
                                                                  : "bench-lane-here",
                                        .token = TOKEN,
                                        .msg_max_bytes = DATA_MESSAGE_MAX,
                                        .message = message,
                                        .ctx = end};
    return weft__lane_open(&desc, &end->lane);
}

static void greet(struct end *end, int fd)
{
    struct greeting greeting = {0};
    snprintf(greeting.address, sizeof(greeting.address), "%s", weft__lane_address(end->lane));
    bench_check("register", weft__lane_register(end->lane, end->bytes, DATA_BYTES_MAX, WEFT_TP_READ,
                                                &end->region, &greeting.key));
    bench_send(fd, &greeting, sizeof(greeting));
    if (!bench_receive(fd, &greeting, sizeof(greeting)))
        bench_die("greet the other side", WEFT_EPEERDEAD);
    end->key = greeting.key;
    bench_check("know the other side", weft__lane_peer(end->lane, greeting.address, &end->peer));
}

static void *open_end(const struct data_subject *subject, unsigned side, int fd,
                      unsigned char *bytes)
{
    struct end *end = calloc(1, sizeof(*end));
    if (!end)
        bench_die("memory", WEFT_ENOMEM);
    end->subject = subject;
    end->sink = data_memory(DATA_MESSAGE_MAX);
    end->bytes = bytes;
    int err = open_lane(end, side);
    if (!err) {
        greet(end, fd);
        return end;
    }
    if (side == 0)
        fprintf(stderr, "bench-data: without %s: %s\n", subject->id, weft_fail_text(err));
    free(end->sink);
    free(end);
    return NULL;
}

static void close_end(void *ctx)
{
    struct end *end = ctx;
    weft__lane_unregister(end->lane, end->region);
    weft__lane_close(end->lane);
    free(end->sink);
    free(end);
}

static bool can(const struct data_subject *subject, const struct data_task *task)
{
    (void)subject;
    return task->what != DATA_PUT;
}

static void turn(void *ctx)
{
    struct end *end = ctx;
    weft__lane_drive(end->lane);
}

static _Noreturn void stalled(struct end *end)
{
    struct weft_lane_stats stats;
    weft__lane_stats(end->lane, &stats);
    fprintf(stderr,
            "bench-data: %s stands still: sent %" PRIu64 ", failed %" PRIu64 ", received %" PRIu64
            ", lost %" PRIu64 "\n",
            end->subject->id, stats.messages_sent, stats.messages_failed, stats.messages_received,
            stats.peers_lost);
    bench_die(end->subject->id, WEFT_ETIMEDOUT);
}

/* Until a counter that only grows has come so far. */
static void await(struct end *end, _Atomic uint32_t *count, uint32_t wanted, bool asleep)
{
    uint64_t deadline_ns = 0;
    for (unsigned i = 1;; i++) {
        uint32_t heard = atomic_load(&end->heard);
        if ((int32_t)(wanted - atomic_load(count)) <= 0)
            return;
        if (asleep)
            weft__lane_wait(end->lane, &end->heard, heard,
                            weft__now_ns() + SLEEP_MS * WEFT_NS_PER_MS);
        else
            weft__lane_drive(end->lane);
        if (i % (asleep ? 64 : LOOK_EVERY) != 0)
            continue;
        if (!deadline_ns)
            deadline_ns = weft__now_ns() + DATA_STALL_NS;
        else if (weft__now_ns() > deadline_ns)
            stalled(end);
    }
}

static void say(struct end *end, size_t len_bytes)
{
    struct iovec part = {end->bytes, len_bytes};
    int err;
    while ((err = weft__lane_send(end->lane, end->peer, &part, 1)) == WEFT_EAGAIN)
        weft__lane_drive(end->lane);
    bench_check("send", err);
}

static void get(struct end *end, const struct data_task *task, unsigned i)
{
    struct slot *slot = &end->slots[i % task->window];
    size_t at = i % task->window * task->bytes;
    int err;
    uint32_t got_before = atomic_load(&end->got); /* before busy: this slot may be the last one */
    for (; atomic_load(&slot->busy); got_before++)
        await(end, &end->got, got_before + 1, task->asleep);
    slot->get = (struct weft_lane_get){.peer = end->peer,
                                       .key = end->key,
                                       .remote_offset = at,
                                       .into = end->bytes + at,
                                       .len_bytes = task->bytes,
                                       .done = got,
                                       .user = end};
    atomic_store(&slot->busy, true);
    while ((err = weft__lane_get(end->lane, &slot->get)) == WEFT_EAGAIN)
        weft__lane_drive(end->lane);
    bench_check("get", err);
}

static double pass(struct end *end, const struct data_task *task)
{
    struct bench_samples samples = {0};
    for (unsigned i = 0; i < task->n; i += task->batch) {
        uint64_t start_ns = weft__now_ns();
        for (unsigned k = 0; k < task->batch; k++) {
            uint32_t seen = atomic_load(&end->received);
            say(end, task->bytes);
            await(end, &end->received, seen + 1, task->asleep);
        }
        bench_sample(&samples, (double)(weft__now_ns() - start_ns) / 2e3 / task->batch);
    }
    return bench_typical(&samples);
}

static void burst(struct end *end, const struct data_task *task)
{
    bool rate = task->what == DATA_RATE;
    _Atomic uint32_t *count = rate ? &end->received : &end->got;
    uint32_t seen = atomic_load(count);
    for (unsigned i = 0; i < task->n; i++)
        if (rate)
            say(end, task->bytes);
        else
            get(end, task, i);
    await(end, count, seen + (rate ? 1 : task->n), task->asleep);
}

static double bursts(struct end *end, const struct data_task *task)
{
    struct bench_samples samples = {0};
    for (unsigned i = 0; i < task->bursts; i++) {
        uint64_t start_ns = weft__now_ns();
        burst(end, task);
        bench_sample(&samples, (double)(weft__now_ns() - start_ns));
    }
    if (task->what != DATA_RATE)
        say(end, 1); /* the other side may stop */
    return data_result(task, bench_typical(&samples));
}

static double ask(void *ctx, const struct data_task *task)
{
    struct end *end = ctx;
    if (!task->asleep)
        weft__lane_polling(end->lane, true);
    double result = task->what == DATA_PASS ? pass(end, task) : bursts(end, task);
    if (!task->asleep)
        weft__lane_polling(end->lane, false);
    return result;
}

static void answer(void *ctx, const struct data_task *task)
{
    struct end *end = ctx;
    uint32_t seen = end->answered;
    bool answers = task->what == DATA_PASS || task->what == DATA_RATE;
    if (!task->asleep)
        weft__lane_polling(end->lane, true);
    for (uint32_t i = 1; i <= data_answers(task); i++) {
        await(end, &end->received, seen + data_messages(task) * i, task->asleep);
        if (answers)
            say(end, task->bytes);
    }
    end->answered = seen + data_messages(task) * data_answers(task);
    if (!task->asleep)
        weft__lane_polling(end->lane, false);
}

const struct data_kind data_lane = {
    .open = open_end, .close = close_end, .can = can, .turn = turn, .ask = ask, .answer = answer};
