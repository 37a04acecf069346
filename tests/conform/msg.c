/* Questions about messages: sizes, order, bounds, endings. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/conform/conform.h"
#include "weft/error.h"

#define MANY (conform_subject->far ? 500u : 10000u) /* each is a question to the far side */
#define RING 64
#define FULL_MAX 200000 /* a queue that takes more than this has no bound */
#define FULL_BYTES 4096

struct inbox {
    unsigned char *data;
    size_t len;
};

static void keep_last(struct side *side, const unsigned char *data, size_t len_bytes)
{
    struct inbox *inbox = side->user;
    free(inbox->data);
    inbox->data = malloc(len_bytes + 1);
    assert_non_null(inbox->data);
    memcpy(inbox->data, data, len_bytes);
    inbox->len = len_bytes;
}

static unsigned char *pattern(size_t len_bytes)
{
    unsigned char *data = malloc(len_bytes + 1);
    assert_non_null(data);
    for (size_t i = 0; i < len_bytes; i++)
        data[i] = (unsigned char)(i * 131 + (i >> 8) * 17 + len_bytes);
    return data;
}

static void expect_size(struct side *a, struct side *b, size_t len_bytes)
{
    struct inbox *inbox = b->user;
    struct probe probe;
    uint64_t before = b->messages;
    unsigned char *data = pattern(len_bytes);
    probe_init(&probe, NULL);
    probe_send_all(a, b, &probe, data, len_bytes);
    sides_until(a, b, &b->messages, before + 1);
    sides_until(a, b, &probe.done, 1);
    assert_int_equal(probe.err, WEFT_OK);
    assert_int_equal(inbox->len, len_bytes);
    assert_memory_equal(inbox->data, data, len_bytes);
    free(data);
}

static void messages_of_every_size_arrive_whole(void **state)
{
    (void)state;
    struct side a = {0}, b = {0};
    struct inbox inbox = {0};
    b.on_message = keep_last;
    b.user = &inbox;
    sides_open(&a, &b, WEFT_TP_MSG);
    const size_t sizes[] = {0, 1, 7, 8, 33, 34, 255, 256, 4095, 8192, 8193, 65535, 65536};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        expect_size(&a, &b, sizes[i]);
    side_close(&a);
    side_close(&b);
    free(inbox.data);
}

static void the_largest_message_passes_and_one_byte_more_does_not(void **state)
{
    (void)state;
    struct side a = {0}, b = {0};
    struct inbox inbox = {0};
    struct probe probe;
    b.on_message = keep_last;
    b.user = &inbox;
    sides_open(&a, &b, WEFT_TP_MSG);
    size_t max = a.limits.msg_max_bytes;
    assert_true(max >= 65536);
    if (max > 64u << 20) {
        side_close(&a);
        side_close(&b);
        print_message("skipped: the limit of %zu bytes is beyond this test\n", max);
        skip();
    }
    unsigned char *data = pattern(max + 1);
    probe_init(&probe, NULL);
    assert_int_equal(probe_send(&a, &probe, data, max + 1), WEFT_EMSGSIZE);
    expect_size(&a, &b, max);
    assert_int_equal(probe.done, 0);
    side_close(&a);
    side_close(&b);
    free(inbox.data);
    free(data);
}

static void parts_are_gathered_in_order(void **state)
{
    (void)state;
    struct side a = {0}, b = {0};
    struct inbox inbox = {0};
    struct probe probe;
    char *big = (char *)pattern(30000);
    b.on_message = keep_last;
    b.user = &inbox;
    sides_open(&a, &b, WEFT_TP_MSG);
    struct iovec iov[WEFT_TP_IOV_MAX + 1] = {
        {"ab", 2}, {NULL, 0}, {big, 30000}, {"c", 1}, {"d", 1}};
    probe_init(&probe, NULL);
    assert_int_equal(a.tp->msg->send(a.ep, a.peer, iov, WEFT_TP_IOV_MAX + 1, &probe.op),
                     WEFT_EINVAL);
    assert_int_equal(a.tp->msg->send(a.ep, a.peer, iov, WEFT_TP_IOV_MAX, &probe.op), WEFT_OK);
    sides_until(&a, &b, &b.messages, 1);
    sides_until(&a, &b, &probe.done, 1);
    assert_int_equal(inbox.len, 30003);
    assert_memory_equal(inbox.data, "ab", 2);
    assert_memory_equal(inbox.data + 2, big, 30000);
    assert_int_equal(inbox.data[30002], 'c');
    side_close(&a);
    side_close(&b);
    free(inbox.data);
    free(big);
}

/* Numbered messages: the next number is in user. */
static void expect_next(struct side *side, const unsigned char *data, size_t len_bytes)
{
    uint32_t *next = side->user, number;
    assert_true(len_bytes >= sizeof(number));
    memcpy(&number, data, sizeof(number));
    assert_int_equal(number, *next);
    ++*next;
}

struct stream {
    struct side *from, *other;
    struct probe *ring;
    unsigned char (*buffers)[512];
    uint32_t sent;
};

static void stream_init(struct stream *stream, struct side *from, struct side *other)
{
    memset(stream, 0, sizeof(*stream));
    stream->from = from;
    stream->other = other;
    stream->ring = calloc(RING, sizeof(*stream->ring));
    stream->buffers = calloc(RING, sizeof(*stream->buffers));
    assert_true(stream->ring && stream->buffers);
    for (unsigned i = 0; i < RING; i++)
        stream->ring[i].done = 1;
}

static void stream_next(struct stream *stream)
{
    unsigned slot = stream->sent % RING;
    struct probe *probe = &stream->ring[slot];
    sides_until(stream->from, stream->other, &probe->done, 1);
    assert_int_equal(probe->err, WEFT_OK);
    probe_init(probe, NULL);
    memcpy(stream->buffers[slot], &stream->sent, sizeof(stream->sent));
    size_t len = sizeof(stream->sent) +
                 stream->sent * 37 % (sizeof(stream->buffers[0]) - sizeof(stream->sent));
    probe_send_all(stream->from, stream->other, probe, stream->buffers[slot], len);
    stream->sent++;
}

static void stream_fini(struct stream *stream)
{
    for (unsigned i = 0; i < RING; i++)
        sides_until(stream->from, stream->other, &stream->ring[i].done, 1);
    free(stream->ring);
    free(stream->buffers);
}

static void ten_thousand_messages_arrive_in_order(void **state)
{
    (void)state;
    struct side a = {0}, b = {0};
    struct stream stream;
    uint32_t next = 0;
    b.on_message = expect_next;
    b.user = &next;
    sides_open(&a, &b, WEFT_TP_MSG);
    stream_init(&stream, &a, &b);
    while (stream.sent < MANY)
        stream_next(&stream);
    sides_until(&a, &b, &b.messages, MANY);
    assert_int_equal(next, MANY);
    stream_fini(&stream);
    side_close(&a);
    side_close(&b);
}

static void both_directions_keep_their_order(void **state)
{
    (void)state;
    struct side a = {0}, b = {0};
    struct stream there, back;
    uint32_t next_a = 0, next_b = 0;
    a.on_message = b.on_message = expect_next;
    a.user = &next_a;
    b.user = &next_b;
    sides_open(&a, &b, WEFT_TP_MSG);
    stream_init(&there, &a, &b);
    stream_init(&back, &b, &a);
    while (there.sent < MANY / 4) {
        stream_next(&there);
        stream_next(&back);
    }
    sides_until(&a, &b, &a.messages, MANY / 4);
    sides_until(&a, &b, &b.messages, MANY / 4);
    stream_fini(&there);
    stream_fini(&back);
    side_close(&a);
    side_close(&b);
}

static void an_endpoint_can_be_its_own_peer(void **state)
{
    (void)state;
    struct side a = {0};
    struct stream stream;
    uint32_t next = 0;
    a.on_message = expect_next;
    a.user = &next;
    side_open(&a, WEFT_TP_MSG);
    a.peer = side_add(&a, &a);
    stream_init(&stream, &a, NULL);
    while (stream.sent < 100)
        stream_next(&stream);
    sides_until(&a, NULL, &a.messages, 100);
    stream_fini(&stream);
    side_close(&a);
}

/* Sends numbered messages until the peer, which does not progress, and every queue on the way are
 * full. */
static uint32_t fill(struct side *a, struct probe *probes, unsigned char *data, uint64_t *done)
{
    uint32_t sent = 0;
    for (unsigned idle = 0; idle < 25;) {
        memcpy(data + (size_t)sent * FULL_BYTES, &sent, sizeof(sent));
        probe_init(&probes[sent], done);
        int err = probe_send(a, &probes[sent], data + (size_t)sent * FULL_BYTES, FULL_BYTES);
        if (err == WEFT_OK) {
            assert_true(++sent < FULL_MAX);
            idle = 0;
            continue;
        }
        assert_int_equal(err, WEFT_EAGAIN);
        uint64_t before = *done;
        sides_run(a, NULL);
        if (*done == before)
            idle++;
    }
    return sent;
}

static void a_full_queue_says_eagain_and_loses_nothing(void **state)
{
    (void)state;
    struct side a = {.sends_max = 64}, b = {0};
    uint32_t next = 0;
    uint64_t done = 0;
    b.on_message = expect_next;
    b.user = &next;
    sides_open(&a, &b, WEFT_TP_MSG);
    struct probe *probes = calloc(FULL_MAX, sizeof(*probes));
    unsigned char *data = calloc(FULL_MAX, FULL_BYTES); /* touched as far as needed */
    assert_true(probes && data);
    uint32_t sent = fill(&a, probes, data, &done);
    sides_until(&a, &b, &done, sent);
    sides_until(&a, &b, &b.messages, sent);
    assert_int_equal(next, sent);
    for (uint32_t i = 0; i < sent; i++)
        assert_int_equal(probes[i].err, WEFT_OK);
    side_close(&a);
    side_close(&b);
    free(probes);
    free(data);
}

static void without_progress_sends_max_is_the_limit(void **state)
{
    (void)state;
    struct side a = {.sends_max = 16}, b = {0};
    sides_open(&a, &b, WEFT_TP_MSG);
    uint32_t max = a.limits.sends_max, sent = 0;
    uint64_t done = 0;
    struct probe *probes = calloc(max + 1u, sizeof(*probes));
    assert_non_null(probes);
    probe_init(&probes[0], &done);
    while (probe_send(&a, &probes[sent], "x", 1) == WEFT_OK) {
        assert_true(sent < max);
        probe_init(&probes[++sent], &done);
    }
    assert_int_equal(done, 0);
    sides_until(&a, &b, &done, sent);
    sides_until(&a, &b, &b.messages, sent);
    side_close(&a);
    side_close(&b);
    free(probes);
}

static void a_dropped_peer_ends_its_operations_and_can_be_added_again(void **state)
{
    (void)state;
    struct side a = {.sends_max = 16}, b = {0};
    struct probe probes[8], more;
    uint64_t done = 0;
    sides_open(&a, &b, WEFT_TP_MSG);
    for (unsigned i = 0; i < 8; i++) {
        probe_init(&probes[i], &done);
        assert_int_equal(probe_send(&a, &probes[i], "x", 1), WEFT_OK);
    }
    a.tp->core->peer_drop(a.ep, a.peer);
    sides_until(&a, &b, &done, 8);
    for (unsigned i = 0; i < 8; i++)
        assert_true(probes[i].err == WEFT_OK || probes[i].err == WEFT_ECANCELED);
    probe_init(&more, NULL);
    assert_int_equal(probe_send(&a, &more, "x", 1), WEFT_EINVAL);
    a.tp->core->peer_drop(a.ep, a.peer); /* twice is fine */
    struct weft_tp_peer old = a.peer;
    a.peer = side_add(&a, &b);
    assert_int_not_equal(a.peer.id, old.id);
    uint64_t before = b.bytes;
    probe_send_all(&a, &b, &more, "yyyyyyyyyy", 10);
    sides_until(&a, &b, &b.bytes, before + 10);
    sides_until(&a, &b, &more.done, 1);
    assert_int_equal(more.err, WEFT_OK);
    side_close(&a);
    side_close(&b);
}

static void closing_ends_every_operation_once(void **state)
{
    (void)state;
    struct side a = {.sends_max = 32}, b = {0};
    struct probe probes[32];
    uint64_t done = 0;
    uint32_t sent = 0;
    sides_open(&a, &b, WEFT_TP_MSG);
    for (; sent < 32; sent++) {
        probe_init(&probes[sent], &done);
        if (probe_send(&a, &probes[sent], "x", 1) != WEFT_OK)
            break;
    }
    assert_true(sent > 0);
    side_close(&a);
    assert_int_equal(done, sent);
    for (uint32_t i = 0; i < sent; i++) /* what was complete before may say so */
        assert_true(probes[i].err == WEFT_ECANCELED || probes[i].err == WEFT_OK);
    side_close(&b);
}

/* Sends to a peer that has closed until the transport has noticed; the error, at submission or
 * completion. A transport may tell by peer_lost before any send fails. */
static int send_until_noticed(struct side *a)
{
    struct probe probe;
    uint64_t give_up = weft__now_ns() + 30 * WEFT_NS_PER_S;
    int err = WEFT_OK;
    while (err == WEFT_OK || err == WEFT_EAGAIN) {
        probe_init(&probe, NULL);
        err = probe_send(a, &probe, "x", 1);
        if (err == WEFT_OK) {
            sides_until(a, NULL, &probe.done, 1);
            err = probe.err;
        }
        sides_run(a, NULL);
        assert_true(weft__now_ns() < give_up);
    }
    return err;
}

static void a_send_to_an_endpoint_that_was_never_there_fails_with_damage_to_the_peer(void **state)
{
    (void)state;
    struct side a = {0}, b = {0};
    side_open(&a, WEFT_TP_MSG);
    side_open(&b, WEFT_TP_MSG);
    a.peer = side_add(&a, &b);
    side_close(&b);
    assert_int_equal(weft_error_damage(send_until_noticed(&a)), WEFT_DAMAGE_PEER);
    side_close(&a);
}

static void a_peer_that_closes_is_noticed_and_told_at_most_once(void **state)
{
    (void)state;
    struct side a = {0}, b = {0};
    sides_open(&a, &b, WEFT_TP_MSG);
    side_close(&b);
    assert_int_equal(weft_error_damage(send_until_noticed(&a)), WEFT_DAMAGE_PEER);
    for (unsigned i = 0; i < 20; i++)
        sides_run(&a, NULL);
    assert_true(a.lost <= 1);
    a.tp->core->peer_drop(a.ep, a.peer);
    side_close(&a);
}

#define ECHOES 512 /* one for each message: its answer may come long before its done */

struct echo {
    struct side side;
    atomic_bool stop;
    atomic_bool lost_wakeup;
    unsigned next;
    struct probe probes[ECHOES];
    unsigned char buffers[ECHOES][64];
};

static void echo_back(struct side *side, const unsigned char *data, size_t len_bytes)
{
    struct echo *echo = side->user;
    unsigned slot = echo->next++;
    if (slot >= ECHOES || len_bytes > sizeof(echo->buffers[0]))
        return;
    memcpy(echo->buffers[slot], data, len_bytes);
    probe_init(&echo->probes[slot], NULL);
    probe_send(side, &echo->probes[slot], echo->buffers[slot], len_bytes);
}

/* Runs a side by itself: progress until at rest, then sleep. */
static void *run_echo(void *arg)
{
    struct echo *echo = arg;
    struct side *side = &echo->side;
    while (!atomic_load(&echo->stop)) {
        if (side->tp->core->progress(side->ep) > 0 || side->tp->core->wait_arm(side->ep) != WEFT_OK)
            continue;
        if (side->tp->core->wait_fd(side->ep) >= 0 && !side_sleep(side)) {
            atomic_store(&echo->lost_wakeup, true);
            break;
        }
    }
    return NULL;
}

static void two_threads_that_sleep_between_messages_lose_no_wakeup(void **state)
{
    (void)state;
    static struct echo echo;
    struct side a = {0};
    struct probe probe;
    pthread_t thread;
    memset(&echo, 0, sizeof(echo));
    echo.side.on_message = echo_back;
    echo.side.user = &echo;
    sides_open(&a, &echo.side, WEFT_TP_MSG);
    assert_int_equal(pthread_create(&thread, NULL, run_echo, &echo), 0);
    for (uint64_t i = 1; i <= (conform_subject->far ? 50 : 500); i++) {
        probe_init(&probe, NULL);
        probe_send_all(&a, NULL, &probe, &i, sizeof(i));
        sides_until(&a, NULL, &a.messages, i);
        sides_until(&a, NULL, &probe.done, 1);
    }
    atomic_store(&echo.stop, true);
    probe_init(&probe, NULL);
    probe_send_all(&a, NULL, &probe, "end", 3);
    sides_until(&a, NULL, &probe.done, 1);
    while (!atomic_load(&echo.lost_wakeup) && pthread_tryjoin_np(thread, NULL) != 0)
        sides_run(&a, NULL);
    assert_false(atomic_load(&echo.lost_wakeup));
    side_close(&a);
    side_close(&echo.side);
}

static void a_message_wakes_a_poll_while_nobody_progresses(void **state)
{
    (void)state;
    struct side a = {0}, b = {0};
    struct probe probe;
    sides_open(&a, &b, WEFT_TP_MSG);
    if (b.tp->core->wait_fd(b.ep) < 0) {
        side_close(&a);
        side_close(&b);
        print_message("skipped: no wait fd\n");
        skip();
    }
    for (uint64_t i = 1; i <= 100; i++) {
        side_settle(&b);
        probe_init(&probe, NULL);
        probe_send_all(&a, NULL, &probe, &i, sizeof(i));
        side_settle(&a);
        while (b.messages < i) {
            assert_true(side_sleep(&b));
            while (b.messages < i &&
                   (b.tp->core->progress(b.ep) > 0 || b.tp->core->wait_arm(b.ep) != WEFT_OK)) {
            }
        }
        sides_until(&a, &b, &probe.done, 1);
    }
    side_close(&a);
    side_close(&b);
}

int conform_msg(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_of_every_size_arrive_whole),
        cmocka_unit_test(the_largest_message_passes_and_one_byte_more_does_not),
        cmocka_unit_test(parts_are_gathered_in_order),
        cmocka_unit_test(ten_thousand_messages_arrive_in_order),
        cmocka_unit_test(both_directions_keep_their_order),
        cmocka_unit_test(an_endpoint_can_be_its_own_peer),
        cmocka_unit_test(a_full_queue_says_eagain_and_loses_nothing),
        cmocka_unit_test(without_progress_sends_max_is_the_limit),
        cmocka_unit_test(a_dropped_peer_ends_its_operations_and_can_be_added_again),
        cmocka_unit_test(closing_ends_every_operation_once),
        cmocka_unit_test(a_send_to_an_endpoint_that_was_never_there_fails_with_damage_to_the_peer),
        cmocka_unit_test(a_peer_that_closes_is_noticed_and_told_at_most_once),
        cmocka_unit_test(two_threads_that_sleep_between_messages_lose_no_wakeup),
        cmocka_unit_test(a_message_wakes_a_poll_while_nobody_progresses),
    };
    return cmocka_run_group_tests_name("msg", tests, NULL, NULL);
}
