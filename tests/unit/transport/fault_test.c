/* What the decorator does where it is asked to, driven by one thread in turns: the same seed is the
 * same run. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "transport/fault/fault.h"
#include "transport/inproc/inproc.h"
#include "weft/error.h"

#define NOTES 4096
#define TURNS 200 /* more than anything is held for */

/* An endpoint that writes down the numbers that come. */
struct end {
    struct weft_tp_ep *ep;
    const struct weft_transport *tp;
    struct weft_tp_peer peer;
    uint32_t got[NOTES];
    unsigned got_n, lost;
    bool answers;
};

static void note(struct end *end, const void *data, size_t len_bytes)
{
    assert_int_equal(len_bytes, sizeof(uint32_t));
    assert_true(end->got_n < NOTES);
    memcpy(&end->got[end->got_n++], data, sizeof(uint32_t));
}

static void take_message(void *ctx, const void *data, size_t len_bytes)
{
    note(ctx, data, len_bytes);
}

static void take_request(void *ctx, unsigned port_index, const struct weft_tp_from *from,
                         const void *data, size_t len_bytes)
{
    struct end *end = ctx;
    (void)port_index;
    note(end, data, len_bytes);
    if (end->answers && from)
        assert_int_equal(end->tp->ctl->reply(end->ep, from, data, len_bytes), WEFT_OK);
}

static void take_reply(void *ctx, struct weft_tp_peer peer, const void *data, size_t len_bytes)
{
    struct end *end = ctx;
    assert_int_equal(peer.id, end->peer.id);
    note(end, data, len_bytes);
}

static void take_lost(void *ctx, struct weft_tp_peer peer)
{
    struct end *end = ctx;
    assert_int_equal(peer.id, end->peer.id);
    end->lost++;
}

static const struct weft_tp_handlers handlers = {
    .message = take_message, .request = take_request, .reply = take_reply, .peer_lost = take_lost};

static void end_open_at(struct end *end, const char *spec, const struct weft_clock *clock)
{
    struct weft_fault_desc fault = {.inner = &weft__tp_inproc, .spec = spec, .clock = clock};
    struct weft_tp_open desc = {.bind = "here",
                                .families = WEFT_TP_CTL | WEFT_TP_MSG | WEFT_TP_RMA,
                                .sends_max = 1024,
                                .handlers = &handlers,
                                .ctx = end};
    memset(end, 0, sizeof(*end));
    assert_int_equal(weft__fault_open(&fault, &desc, &end->ep), WEFT_OK);
    end->tp = end->ep->transport;
    assert_int_equal(weft__transport_check(end->tp), WEFT_OK);
}

static void end_open(struct end *end, const char *spec)
{
    end_open_at(end, spec, NULL);
}

static void end_close(struct end *end)
{
    end->tp->core->close(end->ep);
}

static void turn(struct end *a, struct end *b)
{
    for (unsigned i = 0; i < TURNS; i++) {
        assert_true(a->tp->core->progress(a->ep) >= 0);
        assert_true(b->tp->core->progress(b->ep) >= 0);
    }
}

static char b_url[32];

/* a talks to a port of b, which is at b_url. */
static void open_ctl(struct end *a, struct end *b, const char *spec, enum weft_tp_port_mode mode)
{
    uint16_t port;
    end_open(a, spec);
    end_open(b, NULL);
    assert_int_equal(b->tp->ctl->listen(b->ep, mode, 0, &port), WEFT_OK);
    snprintf(b_url, sizeof(b_url), "here:%u", port);
    assert_int_equal(a->tp->ctl->connect(a->ep, b_url, mode, &a->peer), WEFT_OK);
}

static void open_data(struct end *a, struct end *b, const char *spec)
{
    struct weft_tp_addr addr;
    end_open(a, spec);
    end_open(b, NULL);
    assert_int_equal(b->tp->core->address(b->ep, &addr), WEFT_OK);
    assert_int_equal(a->tp->core->peer_add(a->ep, &addr, &a->peer), WEFT_OK);
}

static void close_both(struct end *a, struct end *b)
{
    end_close(a);
    end_close(b);
}

static int ask(struct end *a, uint32_t number)
{
    return a->tp->ctl->request(a->ep, a->peer, &number, sizeof(number));
}

static int push(struct end *a, uint32_t number)
{
    return a->tp->ctl->push(a->ep, a->peer, &number, sizeof(number));
}

static void assert_in_order(const struct end *end, unsigned n)
{
    assert_int_equal(end->got_n, n);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(end->got[i], i);
}

static void a_spec_is_checked_word_by_word(void **state)
{
    static const char *const good[] = {"",
                                       "seed=7",
                                       "drop=0.01,dup=1%,late=100%",
                                       "delay=5ms",
                                       "delay=200us,reorder=0.5",
                                       "delay=3,cut=0.000001",
                                       "fail=3",
                                       "fail=0.5%,on=reply/push,way=in,after=10,for=100"};
    static const char *const bad[] = {"drop",     "drop=",     "drop=2",   "drop=101%", "drop=a",
                                      "drop=-1",  "delay=5s",  "delay=ms", "fail=x",    "on=tea",
                                      "on=",      "way=up",    ",",        "seed=1,",   "sead=1",
                                      "seed=1;2", "drop=1.1.1"};
    struct weft_tp_open desc = {.bind = "here"};
    struct weft_fault_desc fault = {.inner = &weft__tp_inproc};
    struct weft_tp_ep *ep;
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        fault.spec = good[i];
        assert_int_equal(weft__fault_open(&fault, &desc, &ep), WEFT_OK);
        ep->transport->core->close(ep);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        fault.spec = bad[i];
        assert_int_equal(weft__fault_open(&fault, &desc, &ep), WEFT_EINVAL);
    }
}

static void a_scheme_is_taken_apart(void **state)
{
    struct weft_fault_scheme parts;
    (void)state;
    assert_int_equal(weft__fault_scheme("zmq", &parts), WEFT_OK);
    assert_false(parts.faulty);
    assert_string_equal(parts.inner, "zmq");
    assert_int_equal(weft__fault_scheme("fault+inproc", &parts), WEFT_OK);
    assert_true(parts.faulty);
    assert_string_equal(parts.inner, "inproc");
    assert_string_equal(parts.spec, "");
    assert_int_equal(weft__fault_scheme("fault(seed=7,drop=2%)+ofi:tcp", &parts), WEFT_OK);
    assert_string_equal(parts.inner, "ofi:tcp");
    assert_string_equal(parts.spec, "seed=7,drop=2%");
    assert_int_equal(weft__fault_scheme("fault(seed=7", &parts), WEFT_EINVAL);
    assert_int_equal(weft__fault_scheme("fault(seed=7)zmq", &parts), WEFT_EINVAL);
}

/* What arrives of 500 pushes. */
static void run_pushes(const char *spec, struct end *b_out)
{
    struct end a;
    open_ctl(&a, b_out, spec, WEFT_TP_ASYNC);
    for (uint32_t i = 0; i < 500; i++) {
        assert_int_equal(push(&a, i), WEFT_OK);
        assert_true(a.tp->core->progress(a.ep) >= 0);
    }
    turn(&a, b_out);
    close_both(&a, b_out);
}

static void the_same_seed_is_the_same_run(void **state)
{
    static struct end first, again, other;
    (void)state;
    run_pushes("seed=7,drop=10%,dup=10%,delay=9,reorder=20%,cut=1%", &first);
    run_pushes("seed=7,drop=10%,dup=10%,delay=9,reorder=20%,cut=1%", &again);
    run_pushes("seed=8,drop=10%,dup=10%,delay=9,reorder=20%,cut=1%", &other);
    assert_int_equal(first.got_n, again.got_n);
    assert_memory_equal(first.got, again.got, first.got_n * sizeof(first.got[0]));
    assert_false(first.got_n == other.got_n &&
                 memcmp(first.got, other.got, first.got_n * sizeof(first.got[0])) == 0);
}

static void a_fault_more_leaves_the_others_where_they_are(void **state)
{
    static struct end drops, more;
    unsigned at = 0;
    (void)state;
    run_pushes("seed=7,drop=10%", &drops);
    run_pushes("seed=7,drop=10%,dup=30%", &more);
    for (unsigned i = 0; i < more.got_n; i++) {
        if (i > 0 && more.got[i] == more.got[i - 1])
            continue;
        assert_true(at < drops.got_n);
        assert_int_equal(more.got[i], drops.got[at++]);
    }
    assert_int_equal(at, drops.got_n);
    assert_true(more.got_n > drops.got_n);
}

static void dropped_letters_do_not_arrive(void **state)
{
    static struct end b;
    (void)state;
    run_pushes("drop=100%", &b);
    assert_int_equal(b.got_n, 0);
    run_pushes("drop=100%,after=10,for=480", &b);
    assert_int_equal(b.got_n, 20);
    run_pushes("drop=100%,on=request", &b);
    assert_in_order(&b, 500);
    run_pushes("drop=100%,way=in", &b);
    assert_in_order(&b, 500);
}

static void doubled_letters_arrive_twice(void **state)
{
    static struct end b;
    (void)state;
    run_pushes("dup=1", &b);
    assert_int_equal(b.got_n, 1000);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(b.got[i], i / 2);
}

static void delayed_letters_keep_their_order(void **state)
{
    static struct end b;
    (void)state;
    run_pushes("delay=20,late=30%", &b);
    assert_in_order(&b, 500);
}

static void overtaken_letters_lose_their_order_and_nothing_else(void **state)
{
    static struct end b;
    bool seen[500] = {false};
    unsigned back = 0;
    (void)state;
    run_pushes("reorder=20%", &b);
    assert_int_equal(b.got_n, 500);
    for (unsigned i = 0; i < 500; i++) {
        assert_false(seen[b.got[i]]);
        seen[b.got[i]] = true;
        back += i > 0 && b.got[i] < b.got[i - 1];
    }
    assert_true(back > 10);
}

static void replies_are_letters_of_both_ends(void **state)
{
    static struct end a, b;
    struct weft_fault_counts counts;
    (void)state;
    open_ctl(&a, &b, "drop=100%,on=reply,way=in", WEFT_TP_SYNC);
    b.answers = true;
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(ask(&a, i), WEFT_OK);
    turn(&a, &b);
    assert_in_order(&b, 10);
    assert_int_equal(a.got_n, 0);
    weft__fault_counts(a.ep, &counts);
    assert_int_equal(counts.dropped, 10);
    close_both(&a, &b);
}

static void a_cut_control_connection_loses_what_is_under_way_and_comes_back(void **state)
{
    static struct end a, b;
    (void)state;
    open_ctl(&a, &b, "cut=100%,after=1,for=1,way=out", WEFT_TP_SYNC);
    b.answers = true;
    assert_int_equal(ask(&a, 0), WEFT_OK);
    assert_int_equal(ask(&a, 1), WEFT_OK); /* cuts: its own request goes, and the reply to 0 */
    turn(&a, &b);
    assert_int_equal(a.lost, 1);
    assert_int_equal(a.got_n, 0);
    assert_int_equal(ask(&a, 2), WEFT_OK);
    turn(&a, &b);
    assert_int_equal(a.got_n, 1);
    assert_int_equal(a.got[0], 2);
    assert_int_equal(a.lost, 1);
    close_both(&a, &b);
}

static void the_nth_call_fails_with_damage_peer(void **state)
{
    static struct end a, b;
    (void)state;
    open_ctl(&a, &b, "fail=3", WEFT_TP_SYNC);
    for (uint32_t i = 1; i <= 5; i++) {
        int err = ask(&a, i);
        assert_int_equal(err, i == 3 ? WEFT_ECONNRESET : WEFT_OK);
        assert_int_equal(weft_error_damage(WEFT_ECONNRESET), WEFT_DAMAGE_PEER);
    }
    turn(&a, &b);
    assert_int_equal(b.got_n, 4);
    close_both(&a, &b);
}

static uint64_t time_of(void *ctx)
{
    return *(const uint64_t *)ctx;
}

static void letters_are_held_by_the_clock_of_the_caller(void **state)
{
    static struct end a, b;
    uint64_t now_ns = 1000, due_ns;
    const struct weft_clock clock = {time_of, &now_ns};
    (void)state;
    open_ctl(&a, &b, NULL, WEFT_TP_ASYNC);
    end_close(&a);
    end_open_at(&a, "seed=4,reorder=100%,delay=10ms", &clock);
    assert_int_equal(a.tp->core->wait_fd(a.ep), -1);
    assert_true(weft__fault_due_ns(a.ep) == WEFT_NEVER);
    assert_int_equal(a.tp->ctl->connect(a.ep, b_url, WEFT_TP_ASYNC, &a.peer), WEFT_OK);
    for (uint32_t i = 0; i < 20; i++)
        assert_int_equal(push(&a, i), WEFT_OK);
    for (unsigned seen = 0; seen < 20; seen++) {
        due_ns = weft__fault_due_ns(a.ep);
        assert_true(due_ns > now_ns && due_ns <= 1000 + 10 * WEFT_NS_PER_MS);
        now_ns = due_ns - 1;
        turn(&a, &b);
        assert_int_equal(b.got_n, seen);
        now_ns = due_ns;
        turn(&a, &b);
        assert_int_equal(b.got_n, seen + 1);
    }
    assert_true(weft__fault_due_ns(a.ep) == WEFT_NEVER);
    close_both(&a, &b);
}

static void faults_change_and_what_is_held_stays_held(void **state)
{
    static struct end a, b;
    uint64_t now_ns = 1;
    const struct weft_clock clock = {time_of, &now_ns};
    (void)state;
    open_ctl(&a, &b, NULL, WEFT_TP_ASYNC);
    end_close(&a);
    end_open_at(&a, "reorder=100%,delay=10ms", &clock);
    assert_int_equal(a.tp->ctl->connect(a.ep, b_url, WEFT_TP_ASYNC, &a.peer), WEFT_OK);
    assert_int_equal(push(&a, 1), WEFT_OK);
    assert_int_equal(weft__fault_change(a.ep, "drop=100%"), WEFT_OK);
    assert_int_equal(push(&a, 2), WEFT_OK);
    assert_int_equal(weft__fault_change(a.ep, NULL), WEFT_OK);
    assert_int_equal(push(&a, 3), WEFT_OK);
    turn(&a, &b);
    assert_int_equal(b.got_n, 1);
    assert_int_equal(b.got[0], 3);
    now_ns += 10 * WEFT_NS_PER_MS;
    turn(&a, &b);
    assert_int_equal(b.got_n, 2);
    assert_int_equal(b.got[1], 1);
    assert_int_equal(weft__fault_change(a.ep, "sead=1"), WEFT_EINVAL);
    assert_int_equal(weft__fault_change(a.ep, "delay=3"), WEFT_EINVAL);
    assert_int_equal(weft__fault_change(b.ep, "delay=3ms"), WEFT_EINVAL);
    close_both(&a, &b);
}

/* Operations that are written down as they end. */
struct sends {
    struct weft_tp_op ops[64];
    uint32_t numbers[64];
    int err[64];
    unsigned ended[64];
};

static void ended(struct weft_tp_op *op, int err)
{
    struct sends *sends = op->user;
    sends->err[op - sends->ops] = err;
    sends->ended[op - sends->ops]++;
}

static int send_one(struct end *a, struct sends *sends, uint32_t i)
{
    struct iovec iov = {&sends->numbers[i], sizeof(sends->numbers[i])};
    sends->numbers[i] = i;
    sends->ops[i].done = ended;
    sends->ops[i].user = sends;
    return a->tp->msg->send(a->ep, a->peer, &iov, 1, &sends->ops[i]);
}

static void send_all(struct end *a, struct sends *sends)
{
    memset(sends, 0, sizeof(*sends));
    for (uint32_t i = 0; i < 64; i++)
        assert_int_equal(send_one(a, sends, i), WEFT_OK);
    for (uint32_t i = 0; i < 64; i++)
        assert_int_equal(sends->ended[i], 0);
}

static void assert_ended(const struct sends *sends, uint32_t first, uint32_t last, int err)
{
    for (uint32_t i = first; i <= last; i++) {
        assert_int_equal(sends->ended[i], 1);
        assert_int_equal(sends->err[i], err);
    }
}

static void held_messages_keep_their_order_and_complete_once(void **state)
{
    static struct end a, b;
    static struct sends sends;
    (void)state;
    open_data(&a, &b, "seed=5,delay=12,late=40%");
    send_all(&a, &sends);
    turn(&a, &b);
    assert_in_order(&b, 64);
    assert_ended(&sends, 0, 63, WEFT_OK);
    close_both(&a, &b);
}

static void doubled_messages_complete_once(void **state)
{
    static struct end a, b;
    static struct sends sends;
    (void)state;
    open_data(&a, &b, "dup=100%,reorder=50%");
    send_all(&a, &sends);
    turn(&a, &b);
    assert_int_equal(b.got_n, 128);
    assert_ended(&sends, 0, 63, WEFT_OK);
    close_both(&a, &b);
}

static void a_failed_send_completes_with_damage_peer_and_moves_nothing(void **state)
{
    static struct end a, b;
    static struct sends sends;
    (void)state;
    open_data(&a, &b, "fail=10");
    send_all(&a, &sends);
    turn(&a, &b);
    assert_int_equal(b.got_n, 63);
    assert_ended(&sends, 0, 8, WEFT_OK);
    assert_ended(&sends, 9, 9, WEFT_EPEERDEAD);
    assert_ended(&sends, 10, 63, WEFT_OK);
    assert_int_equal(a.lost, 0);
    close_both(&a, &b);
}

static void a_cut_data_peer_is_dead_for_good(void **state)
{
    static struct end a, b;
    static struct sends sends;
    (void)state;
    open_data(&a, &b, "seed=2,delay=30,cut=100%,after=32,for=1");
    send_all(&a, &sends);
    turn(&a, &b);
    assert_ended(&sends, 32, 63, WEFT_EPEERDEAD);
    for (uint32_t i = 0; i < 32; i++) {
        assert_int_equal(sends.ended[i], 1);
        assert_true(sends.err[i] == WEFT_OK || sends.err[i] == WEFT_EPEERDEAD);
    }
    assert_int_equal(a.lost, 1);
    send_all(&a, &sends);
    turn(&a, &b);
    assert_ended(&sends, 0, 63, WEFT_EPEERDEAD);
    a.tp->core->peer_drop(a.ep, a.peer);
    close_both(&a, &b);
}

static void what_is_held_can_be_cancelled_dropped_and_closed(void **state)
{
    static struct end a, b;
    static struct sends sends;
    (void)state;
    open_data(&a, &b, "delay=100000");
    send_all(&a, &sends);
    assert_int_equal(a.tp->core->cancel(a.ep, &sends.ops[7]), WEFT_OK);
    assert_int_equal(sends.ended[7], 0);
    turn(&a, &b);
    assert_ended(&sends, 7, 7, WEFT_ECANCELED);
    assert_int_equal(sends.ended[8], 0);
    a.tp->core->peer_drop(a.ep, a.peer);
    turn(&a, &b);
    assert_ended(&sends, 0, 63, WEFT_ECANCELED);
    close_both(&a, &b);

    open_data(&a, &b, "delay=100000");
    send_all(&a, &sends);
    close_both(&a, &b);
    assert_ended(&sends, 0, 63, WEFT_ECANCELED);
}

static void held_gets_and_puts_move_the_right_bytes_before_the_flush(void **state)
{
    static struct end a, b;
    static struct sends sends;
    static uint32_t far[60], near[60];
    struct weft_tp_region *region;
    struct weft_tp_rma_desc desc = {.len_bytes = sizeof(uint32_t)};
    (void)state;
    memset(far, 0, sizeof(far));
    memset(&sends, 0, sizeof(sends));
    open_data(&a, &b, "seed=4,delay=15,reorder=50%,drop=50%,dup=50%");
    assert_int_equal(b.tp->rma->reg(b.ep, far, sizeof(far), WEFT_TP_READ | WEFT_TP_WRITE, &region),
                     WEFT_OK);
    b.tp->rma->key(region, &desc.remote_key);
    for (uint32_t i = 0; i < 61; i++) {
        sends.ops[i].done = ended;
        sends.ops[i].user = &sends;
        if (i == 60) {
            assert_int_equal(a.tp->rma->flush(a.ep, a.peer, &sends.ops[i]), WEFT_OK);
            break;
        }
        near[i] = i + 100;
        desc.local = &near[i];
        desc.remote_offset = i * sizeof(uint32_t);
        assert_int_equal(a.tp->rma->put(a.ep, a.peer, &desc, &sends.ops[i]), WEFT_OK);
    }
    for (unsigned i = 0; i < TURNS && !sends.ended[60]; i++)
        assert_true(a.tp->core->progress(a.ep) >= 0);
    assert_ended(&sends, 0, 60, WEFT_OK);
    assert_memory_equal(far, near, sizeof(far));
    b.tp->rma->unreg(b.ep, region);
    close_both(&a, &b);
}

static void what_is_held_by_the_clock_wakes_its_sleeper(void **state)
{
    static struct end a, b;
    (void)state;
    open_ctl(&a, &b, "delay=30ms", WEFT_TP_ASYNC);
    assert_int_equal(push(&a, 0), WEFT_OK);
    uint64_t limit = weft__now_ns() + 30 * WEFT_NS_PER_S;
    while (b.got_n == 0 && weft__now_ns() < limit) {
        struct pollfd fd = {.fd = a.tp->core->wait_fd(a.ep), .events = POLLIN};
        if (a.tp->core->progress(a.ep) == 0 && a.tp->core->wait_arm(a.ep) == WEFT_OK)
            assert_int_equal(poll(&fd, 1, 20000), 1);
        assert_true(b.tp->core->progress(b.ep) >= 0);
    }
    assert_in_order(&b, 1);
    while (a.tp->core->progress(a.ep) > 0)
        continue;
    assert_int_equal(a.tp->core->wait_arm(a.ep), WEFT_OK);
    struct pollfd idle = {.fd = a.tp->core->wait_fd(a.ep), .events = POLLIN};
    assert_int_equal(poll(&idle, 1, 0), 0);
    close_both(&a, &b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_spec_is_checked_word_by_word),
        cmocka_unit_test(a_scheme_is_taken_apart),
        cmocka_unit_test(the_same_seed_is_the_same_run),
        cmocka_unit_test(a_fault_more_leaves_the_others_where_they_are),
        cmocka_unit_test(dropped_letters_do_not_arrive),
        cmocka_unit_test(doubled_letters_arrive_twice),
        cmocka_unit_test(delayed_letters_keep_their_order),
        cmocka_unit_test(overtaken_letters_lose_their_order_and_nothing_else),
        cmocka_unit_test(replies_are_letters_of_both_ends),
        cmocka_unit_test(a_cut_control_connection_loses_what_is_under_way_and_comes_back),
        cmocka_unit_test(the_nth_call_fails_with_damage_peer),
        cmocka_unit_test(letters_are_held_by_the_clock_of_the_caller),
        cmocka_unit_test(faults_change_and_what_is_held_stays_held),
        cmocka_unit_test(held_messages_keep_their_order_and_complete_once),
        cmocka_unit_test(doubled_messages_complete_once),
        cmocka_unit_test(a_failed_send_completes_with_damage_peer_and_moves_nothing),
        cmocka_unit_test(a_cut_data_peer_is_dead_for_good),
        cmocka_unit_test(what_is_held_can_be_cancelled_dropped_and_closed),
        cmocka_unit_test(held_gets_and_puts_move_the_right_bytes_before_the_flush),
        cmocka_unit_test(what_is_held_by_the_clock_wakes_its_sleeper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
