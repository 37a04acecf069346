/* Threads against threads: full boxes, closing endpoints, copies that run while the target
 * unregisters. */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "transport/inproc/inproc.h"
#include "weft/error.h"

#define SENDERS 4
#define EACH 5000

struct sink {
    struct weft_tp_ep *ep;
    uint32_t next[SENDERS];
    unsigned messages;
    bool out_of_order;
};

struct number {
    uint32_t sender, number;
};

static void take_number(void *ctx, const void *data, size_t len_bytes)
{
    struct sink *sink = ctx;
    struct number number;
    if (len_bytes == sizeof(number)) {
        memcpy(&number, data, sizeof(number));
        if (number.sender < SENDERS && sink->next[number.sender]++ != number.number)
            sink->out_of_order = true;
    }
    sink->messages++;
}

static const struct weft_tp_handlers sink_handlers = {.message = take_number};

static struct weft_tp_ep *must_open(const struct weft_tp_handlers *handlers, void *ctx)
{
    struct weft_tp_ep *ep;
    struct weft_tp_open desc = {.bind = "here",
                                .families = WEFT_TP_MSG | WEFT_TP_RMA,
                                .sends_max = 32,
                                .handlers = handlers,
                                .ctx = ctx};
    return weft__tp_inproc.core->open(&desc, &ep) == WEFT_OK ? ep : NULL;
}

static bool sleep_on(struct weft_tp_ep *ep)
{
    struct pollfd fd = {.fd = weft__tp_inproc.core->wait_fd(ep), .events = POLLIN};
    if (weft__tp_inproc.core->wait_arm(ep) != WEFT_OK)
        return true;
    return poll(&fd, 1, 10000) == 1;
}

struct sender {
    uint32_t number;
    struct weft_tp_addr to;
    bool lost_wakeup;
};

static void count_down(struct weft_tp_op *op, int err)
{
    int *left = op->user;
    *left -= err == WEFT_OK;
}

static void *run_sender(void *arg)
{
    struct sender *sender = arg;
    struct weft_tp_peer peer;
    struct weft_tp_op *ops = calloc(EACH, sizeof(*ops));
    struct number *numbers = calloc(EACH, sizeof(*numbers));
    struct weft_tp_ep *ep = must_open(NULL, NULL);
    int left = EACH;
    if (!ops || !numbers || !ep ||
        weft__tp_inproc.core->peer_add(ep, &sender->to, &peer) != WEFT_OK)
        abort();
    for (uint32_t i = 0; i < EACH && !sender->lost_wakeup;) {
        numbers[i] = (struct number){sender->number, i};
        ops[i].done = count_down;
        ops[i].user = &left;
        struct iovec iov = {&numbers[i], sizeof(numbers[i])};
        if (weft__tp_inproc.msg->send(ep, peer, &iov, 1, &ops[i]) == WEFT_OK)
            i++;
        else if (weft__tp_inproc.core->progress(ep) == 0 && !sleep_on(ep))
            sender->lost_wakeup = true;
    }
    while (left > 0 && !sender->lost_wakeup) {
        if (weft__tp_inproc.core->progress(ep) == 0 && !sleep_on(ep))
            sender->lost_wakeup = true;
    }
    weft__tp_inproc.core->close(ep);
    free(ops);
    free(numbers);
    return NULL;
}

static void many_senders_into_one_box_keep_their_order_and_wake_up(void **state)
{
    (void)state;
    struct sink sink = {0};
    struct sender senders[SENDERS];
    pthread_t threads[SENDERS];
    sink.ep = must_open(&sink_handlers, &sink);
    assert_non_null(sink.ep);
    for (uint32_t i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.number = i};
        assert_int_equal(weft__tp_inproc.core->address(sink.ep, &senders[i].to), WEFT_OK);
        assert_int_equal(pthread_create(&threads[i], NULL, run_sender, &senders[i]), 0);
    }
    while (sink.messages < SENDERS * EACH) {
        assert_true(weft__tp_inproc.core->progress(sink.ep) >= 0);
        assert_true(sink.messages == SENDERS * EACH || sleep_on(sink.ep));
    }
    for (uint32_t i = 0; i < SENDERS; i++) {
        pthread_join(threads[i], NULL);
        assert_false(senders[i].lost_wakeup);
        assert_int_equal(sink.next[i], EACH);
    }
    assert_false(sink.out_of_order);
    weft__tp_inproc.core->close(sink.ep);
}

#define LEN (3u << 20)

struct reader {
    struct weft_tp_addr to;
    struct weft_tp_key key;
    atomic_bool *stop;
    unsigned char *into;
    unsigned good, bad;
};

struct outcome {
    bool done;
    int err;
};

static void note(struct weft_tp_op *op, int err)
{
    struct outcome *outcome = op->user;
    outcome->done = true;
    outcome->err = err;
}

static void *run_reader(void *arg)
{
    struct reader *reader = arg;
    struct weft_tp_peer peer;
    struct weft_tp_ep *ep = must_open(NULL, NULL);
    if (!ep || weft__tp_inproc.core->peer_add(ep, &reader->to, &peer) != WEFT_OK)
        abort();
    while (!atomic_load(reader->stop)) {
        struct outcome outcome = {false, 0};
        struct weft_tp_op op = {.done = note, .user = &outcome};
        struct weft_tp_rma_desc desc = {
            .local = reader->into, .len_bytes = LEN, .remote_key = reader->key};
        if (weft__tp_inproc.rma->get(ep, peer, &desc, &op) != WEFT_OK)
            abort();
        while (!outcome.done)
            weft__tp_inproc.core->progress(ep);
        reader->good += outcome.err == WEFT_OK;
        reader->bad += outcome.err != WEFT_OK;
    }
    weft__tp_inproc.core->close(ep);
    return NULL;
}

/* The memory is freed right after unreg or close: a copy that still ran would be seen by the
 * sanitizers. */
static void read_while_it_ends(bool by_close)
{
    atomic_bool stop;
    struct weft_tp_region *region;
    struct reader reader = {.stop = &stop, .into = malloc(LEN)};
    unsigned char *memory = calloc(1, LEN);
    pthread_t thread;
    atomic_init(&stop, false);
    struct weft_tp_ep *ep = must_open(NULL, NULL);
    assert_true(ep && memory && reader.into);
    assert_int_equal(weft__tp_inproc.core->address(ep, &reader.to), WEFT_OK);
    assert_int_equal(weft__tp_inproc.rma->reg(ep, memory, LEN, WEFT_TP_READ, &region), WEFT_OK);
    weft__tp_inproc.rma->key(region, &reader.key);
    assert_int_equal(pthread_create(&thread, NULL, run_reader, &reader), 0);
    for (unsigned i = 0; i < 100; i++)
        sched_yield();
    if (by_close) {
        weft__tp_inproc.core->close(ep);
        free(memory);
    } else {
        weft__tp_inproc.rma->unreg(ep, region);
        free(memory);
        weft__tp_inproc.core->close(ep);
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    free(reader.into);
}

static void a_range_can_be_unregistered_while_it_is_read(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++)
        read_while_it_ends(false);
}

static void an_endpoint_can_close_while_it_is_read(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++)
        read_while_it_ends(true);
}

static void a_box_that_is_full_when_its_owner_closes_leaks_nothing(void **state)
{
    (void)state;
    struct weft_tp_addr addr;
    struct weft_tp_peer peer;
    int left = 40;
    struct weft_tp_op ops[32];
    struct weft_tp_ep *target = must_open(NULL, NULL), *ep = must_open(NULL, NULL);
    assert_true(target && ep);
    assert_int_equal(weft__tp_inproc.core->address(target, &addr), WEFT_OK);
    assert_int_equal(weft__tp_inproc.core->peer_add(ep, &addr, &peer), WEFT_OK);
    struct iovec iov = {"0123456789", 10};
    unsigned sent = 0;
    memset(ops, 0, sizeof(ops));
    for (unsigned i = 0; i < 5000; i++) {
        struct weft_tp_op *op = &ops[sent % 32];
        op->done = count_down;
        op->user = &left;
        if (weft__tp_inproc.msg->send(ep, peer, &iov, 1, op) == WEFT_OK)
            sent++;
        else if (weft__tp_inproc.core->progress(ep) == 0)
            break;
    }
    weft__tp_inproc.core->close(target);
    weft__tp_inproc.core->progress(ep);
    weft__tp_inproc.core->close(ep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_senders_into_one_box_keep_their_order_and_wake_up),
        cmocka_unit_test(a_range_can_be_unregistered_while_it_is_read),
        cmocka_unit_test(an_endpoint_can_close_while_it_is_read),
        cmocka_unit_test(a_box_that_is_full_when_its_owner_closes_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
