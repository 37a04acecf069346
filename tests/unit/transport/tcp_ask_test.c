/* One-sided operations over tcp as the side sees them that asks: how many system calls they take,
 * who comes first, and a target that says what is not true. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tcp_end.h"
#include "weft/error.h"

#define MIB ((size_t)1 << 20)

/* Registers memory at end. */
static struct weft_tp_key key_of(struct end *end, void *at, size_t len)
{
    struct weft_tp_region *region;
    struct weft_tp_key key;
    assert_int_equal(weft__tp_tcp.rma->reg(end->ep, at, len, WEFT_TP_READ | WEFT_TP_WRITE, &region),
                     WEFT_OK);
    weft__tp_tcp.rma->key(region, &key);
    return key;
}

static void open_both(struct end *a, struct end *b)
{
    end_open(a, 0);
    end_open(b, 0);
    ends_join(a, b);
    end_say(a, b);
}

static void many_small_gets_take_few_system_calls(void **state)
{
    (void)state;
    enum { N = 64 };
    struct end a = {.ep = NULL}, b = {.ep = NULL};
    static uint64_t far[N], near[N];
    struct post posts[N];
    uint64_t done = 0;
    open_both(&a, &b);
    const struct weft_tp_key key = key_of(&b, far, sizeof(far));
    struct weft_tcp_stats before_a = end_stats(&a), before_b = end_stats(&b);
    for (size_t i = 0; i < N; i++) {
        const struct weft_tp_rma_desc desc = {.local = &near[i],
                                              .len_bytes = sizeof(near[i]),
                                              .remote_key = key,
                                              .remote_offset = i * sizeof(far[0])};
        far[i] = i + 7;
        posts[i].total = &done;
        assert_int_equal(end_get(&a, &posts[i], &desc), WEFT_OK);
    }
    ends_until(&a, &b, &done, N);
    assert_memory_equal(near, far, sizeof(far));
    assert_true(end_stats(&a).writes - before_a.writes <= 3);
    assert_true(end_stats(&a).reads - before_a.reads <= 6);
    assert_true(end_stats(&b).reads - before_b.reads <= 3);
    assert_true(end_stats(&b).writes - before_b.writes <= 6);
    end_close(&a);
    end_close(&b);
}

static void small_ones_do_not_wait_behind_a_large_one(void **state)
{
    (void)state;
    const size_t len = 32 * MIB;
    struct end a = {.ep = NULL}, b = {.ep = NULL};
    struct post large = {.total = NULL}, small = {.total = NULL}, word = {.total = NULL};
    unsigned char *far = calloc(1, len), *near = calloc(1, len), byte = 1;
    assert_true(far && near);
    open_both(&a, &b);
    struct weft_tp_rma_desc desc = {.local = near, .len_bytes = len};
    desc.remote_key = key_of(&b, far, len);
    assert_int_equal(end_get(&a, &large, &desc), WEFT_OK);
    ends_run(&a, &b);
    desc.local = &byte;
    desc.len_bytes = 1;
    uint64_t before = a.messages;
    assert_int_equal(end_get(&a, &small, &desc), WEFT_OK);
    assert_int_equal(end_post(&b, &word, "x", 1), WEFT_OK);
    ends_until(&a, &b, &small.done, 1);
    ends_until(&a, &b, &a.messages, before + 1);
    assert_int_equal(byte, 0);
    assert_int_equal(large.done, 0);
    ends_until(&a, &b, &large.done, 1);
    assert_int_equal(large.err, WEFT_OK);
    end_close(&a);
    end_close(&b);
    free(far);
    free(near);
}

static void a_put_whose_peer_was_dropped_leaves_the_connection_whole(void **state)
{
    (void)state;
    const size_t len = 16 * MIB;
    struct end a = {.ep = NULL}, b = {.ep = NULL};
    struct post put = {.total = NULL}, get = {.total = NULL};
    unsigned char *far = calloc(1, len), *near = malloc(len);
    assert_true(far && near);
    memset(near, 7, len);
    open_both(&a, &b);
    struct weft_tp_rma_desc desc = {.local = near, .len_bytes = len};
    desc.remote_key = key_of(&b, far, len);
    assert_int_equal(end_put(&a, &put, &desc), WEFT_OK);
    for (unsigned i = 0; i < 8; i++)
        end_turn(&a);
    struct weft_tp_peer other = end_add(&a, &b); /* the same connection */
    weft__tp_tcp.core->peer_drop(a.ep, a.peer);
    end_turn(&a);
    assert_int_equal(put.done, 1);
    assert_int_equal(put.err, WEFT_ECANCELED);
    memset(near, 0, len); /* it is ours again */
    a.peer = other;
    assert_int_equal(end_get(&a, &get, &desc), WEFT_OK);
    weft__tp_tcp.core->peer_drop(a.ep, a.peer);
    a.peer = end_add(&a, &b);
    end_turn(&a);
    assert_int_equal(get.done, 1);
    end_say(&a, &b);
    end_say(&b, &a);
    assert_int_equal(end_stats(&a).malformed + end_stats(&b).malformed, 0);
    for (size_t i = 0; i < len; i++) /* what was not sent is not there, what was is right */
        assert_true(far[i] == 7 || far[i] == 0);
    end_close(&a);
    end_close(&b);
    free(far);
    free(near);
}

static void what_has_not_left_can_be_cancelled_and_what_has_cannot(void **state)
{
    (void)state;
    struct end a = {.ep = NULL}, b = {.ep = NULL};
    struct post early = {.total = NULL}, late = {.total = NULL};
    uint64_t far = 5, near = 0;
    end_open(&a, 0);
    end_open(&b, 0);
    ends_join(&a, &b);
    struct weft_tp_rma_desc desc = {.local = &near, .len_bytes = sizeof(near)};
    desc.remote_key = key_of(&b, &far, sizeof(far));
    assert_int_equal(end_get(&a, &early, &desc), WEFT_OK); /* there is no connection yet */
    assert_int_equal(weft__tp_tcp.core->cancel(a.ep, &early.op), WEFT_OK);
    end_say(&a, &b);
    assert_int_equal(early.done, 1);
    assert_int_equal(early.err, WEFT_ECANCELED);
    assert_int_equal(end_get(&a, &late, &desc), WEFT_OK);
    assert_int_equal(weft__tp_tcp.core->cancel(a.ep, &late.op), WEFT_EBUSY);
    ends_until(&a, &b, &late.done, 1);
    assert_int_equal(late.err, WEFT_OK);
    assert_int_equal(near, 5);
    end_close(&a);
    end_close(&b);
}

static void a_flush_does_not_wait_for_a_put_that_was_cancelled(void **state)
{
    (void)state;
    struct end a = {.ep = NULL}, b = {.ep = NULL};
    struct post kept = {.total = NULL}, put = {.total = NULL}, flush = {.total = NULL};
    uint64_t far[2] = {5, 5}, near = 7;
    end_open(&a, 0);
    end_open(&b, 0);
    ends_join(&a, &b);
    struct weft_tp_rma_desc desc = {.local = &near, .len_bytes = sizeof(near)};
    desc.remote_key = key_of(&b, far, sizeof(far));
    assert_int_equal(end_put(&a, &kept, &desc), WEFT_OK); /* there is no connection yet */
    desc.remote_offset = sizeof(far[0]);
    assert_int_equal(end_put(&a, &put, &desc), WEFT_OK);
    assert_int_equal(end_flush(&a, &flush), WEFT_OK);
    assert_int_equal(weft__tp_tcp.core->cancel(a.ep, &put.op), WEFT_OK);
    ends_until(&a, &b, &flush.done, 1);
    assert_int_equal(flush.err, WEFT_OK);
    assert_int_equal(kept.done, 1);
    assert_int_equal(put.err, WEFT_ECANCELED);
    assert_int_equal(far[0], 7);
    assert_int_equal(far[1], 5);
    end_close(&a);
    end_open(&a, 0);
    ends_join(&a, &b);
    put = (struct post){.total = NULL};
    flush = (struct post){.total = NULL};
    assert_int_equal(end_put(&a, &put, &desc), WEFT_OK); /* nothing else will end the flush */
    assert_int_equal(end_flush(&a, &flush), WEFT_OK);
    assert_int_equal(weft__tp_tcp.core->cancel(a.ep, &put.op), WEFT_OK);
    ends_until(&a, &b, &flush.done, 1);
    assert_int_equal(flush.err, WEFT_OK);
    assert_int_equal(put.done, 1);
    end_close(&a);
    end_close(&b);
}

/* ---- a target that is not true ---- */

/* An end that is connected with fd and takes it for its peer. */
static int liar_open(struct end *end)
{
    const struct weft_tcp_hello hello = end_hello(end);
    struct weft_tp_addr addr = {.len = sizeof(hello.from)};
    int fd = end_dial(end);
    assert_int_equal(send(fd, &hello, sizeof(hello), MSG_NOSIGNAL), sizeof(hello));
    while (!end_stats(end).connections || !end_stats(end).accepted)
        ends_run(end, NULL);
    ends_run(end, NULL);
    memcpy(addr.bytes, &hello.from, sizeof(hello.from));
    assert_int_equal(weft__tp_tcp.core->peer_add(end->ep, &addr, &end->peer), WEFT_OK);
    return fd;
}

/* What the end has asked for; its first frame is read whole. */
static struct weft_tcp_ask hear(int fd)
{
    struct weft_tcp_frame frame;
    assert_int_equal(recv(fd, &frame, sizeof(frame), MSG_WAITALL), sizeof(frame));
    return frame.ask;
}

struct lie {
    enum weft_tcp_kind kind;
    uint32_t bytes;
    uint64_t at;
    uint64_t id_off;
    int32_t err;
};

static void tell(int fd, const struct weft_tcp_ask *ask, const struct lie *lie)
{
    struct {
        struct weft_tcp_frame frame;
        unsigned char bytes[64];
    } out = {
        .frame = {{(uint32_t)sizeof(*ask) + lie->bytes, (uint16_t)lie->kind, WEFT_TCP_HEAD_MAGIC},
                  {.id = ask->id + lie->id_off, .at = lie->at, .err = lie->err}}};
    memset(out.bytes, 9, sizeof(out.bytes));
    size_t len = sizeof(out.frame) + lie->bytes;
    assert_int_equal(send(fd, &out, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void a_target_that_answers_wrongly_is_lost(void **state)
{
    (void)state;
    const struct lie lies[] = {
        {WEFT_TCP_DATA, 8, 8, 0, 0},  /* not the next bytes */
        {WEFT_TCP_DATA, 17, 0, 0, 0}, /* more than was asked for */
        {WEFT_TCP_DONE, 0, 0, 0, 0},  /* nothing has come */
    };
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct end end = {.ep = NULL};
        struct post post = {.total = NULL};
        unsigned char near[16 + 16] = {0};
        const struct weft_tp_rma_desc desc = {.local = near, .len_bytes = 16};
        end_open(&end, 0);
        int fd = liar_open(&end);
        assert_int_equal(end_get(&end, &post, &desc), WEFT_OK);
        const struct weft_tcp_ask ask = hear(fd);
        tell(fd, &ask, &lies[i]);
        ends_until(&end, NULL, &post.done, 1);
        assert_int_equal(weft_error_damage(post.err), WEFT_DAMAGE_PEER);
        assert_int_equal(end.lost, 1);
        for (size_t k = 0; k < sizeof(near); k++)
            assert_int_equal(near[k], 0);
        close(fd);
        end_close(&end);
    }
}

static void answers_to_what_nobody_asks_are_thrown_away(void **state)
{
    (void)state;
    struct end end = {.ep = NULL};
    struct post post = {.total = NULL};
    unsigned char near[16] = {0};
    const struct weft_tp_rma_desc desc = {.local = near, .len_bytes = sizeof(near)};
    end_open(&end, 0);
    int fd = liar_open(&end);
    assert_int_equal(end_get(&end, &post, &desc), WEFT_OK);
    const struct weft_tcp_ask ask = hear(fd);
    tell(fd, &ask, &(struct lie){WEFT_TCP_DATA, 40, 0, 1, 0});
    tell(fd, &ask, &(struct lie){WEFT_TCP_DONE, 0, 0, 1, -5});
    tell(fd, &ask, &(struct lie){WEFT_TCP_DATA, 10, 0, 0, 0});
    tell(fd, &ask, &(struct lie){WEFT_TCP_DATA, 6, 10, 0, 0});
    tell(fd, &ask, &(struct lie){WEFT_TCP_DONE, 0, 0, 0, 0});
    ends_until(&end, NULL, &post.done, 1);
    assert_int_equal(post.err, WEFT_OK);
    for (size_t i = 0; i < sizeof(near); i++)
        assert_int_equal(near[i], 9);
    post.total = NULL;
    assert_int_equal(end_get(&end, &post, &desc), WEFT_OK);
    const struct weft_tcp_ask again = hear(fd);
    tell(fd, &again, &(struct lie){WEFT_TCP_DONE, 0, 0, 0, 12345}); /* any error is one of it */
    ends_until(&end, NULL, &post.done, 1);
    assert_int_equal(post.err, WEFT_EACCES);
    assert_int_equal(end.lost, 0);
    close(fd);
    end_close(&end);
}

static void a_put_is_not_over_before_it_has_left(void **state)
{
    (void)state;
    const size_t len = 64 * MIB;
    struct end end = {.ep = NULL};
    struct post put = {.total = NULL};
    unsigned char *near = calloc(1, len);
    assert_non_null(near);
    const struct weft_tp_rma_desc desc = {.local = near, .len_bytes = len};
    end_open(&end, 0);
    int fd = liar_open(&end);
    assert_int_equal(end_put(&end, &put, &desc), WEFT_OK);
    const struct weft_tcp_ask ask = hear(fd);
    tell(fd, &ask, &(struct lie){WEFT_TCP_DONE, 0, 0, 0, 0});
    ends_until(&end, NULL, &put.done, 1);
    assert_int_equal(weft_error_damage(put.err), WEFT_DAMAGE_PEER);
    close(fd);
    end_close(&end);
    free(near);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_small_gets_take_few_system_calls),
        cmocka_unit_test(small_ones_do_not_wait_behind_a_large_one),
        cmocka_unit_test(a_put_whose_peer_was_dropped_leaves_the_connection_whole),
        cmocka_unit_test(what_has_not_left_can_be_cancelled_and_what_has_cannot),
        cmocka_unit_test(a_flush_does_not_wait_for_a_put_that_was_cancelled),
        cmocka_unit_test(a_target_that_answers_wrongly_is_lost),
        cmocka_unit_test(answers_to_what_nobody_asks_are_thrown_away),
        cmocka_unit_test(a_put_is_not_over_before_it_has_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
