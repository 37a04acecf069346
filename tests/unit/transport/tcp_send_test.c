/* How many system calls messages take, and what becomes of sends that do not get through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tcp_end.h"
#include "weft/error.h"

#define BURST 640

static void a_burst_leaves_in_few_system_calls_and_arrives_in_few(void **state)
{
    (void)state;
    struct end a = {.ep = NULL}, b = {.ep = NULL};
    uint64_t done = 0;
    end_open(&a, 0);
    end_open(&b, 0);
    ends_join(&a, &b);
    end_say(&a, &b);
    struct post *posts = calloc(BURST, sizeof(*posts));
    uint32_t *numbers = calloc(BURST, sizeof(*numbers));
    assert_true(posts && numbers);
    struct weft_tcp_stats before_a = end_stats(&a), before_b = end_stats(&b);
    b.numbered = true;
    for (uint32_t i = 0; i < BURST; i++) {
        numbers[i] = i;
        posts[i].total = &done;
        assert_int_equal(end_post(&a, &posts[i], &numbers[i], sizeof(numbers[i])), WEFT_OK);
    }
    end_turn(&a);
    assert_int_equal(done, BURST);
    ends_until(&a, &b, &b.messages, BURST + 1);
    struct weft_tcp_stats after_a = end_stats(&a), after_b = end_stats(&b);
    assert_int_equal(after_a.sent - before_a.sent, BURST);
    assert_true(after_a.writes - before_a.writes <= 2 + BURST / 64);
    assert_true(after_b.reads - before_b.reads <= 2 + BURST / 64);
    end_close(&a);
    end_close(&b);
    free(posts);
    free(numbers);
}

static void a_single_message_leaves_at_once(void **state)
{
    (void)state;
    struct end a = {.ep = NULL}, b = {.ep = NULL};
    struct post post = {.total = NULL};
    end_open(&a, 0);
    end_open(&b, 0);
    ends_join(&a, &b);
    end_say(&a, &b);
    ends_run(&a, &b);
    uint64_t writes = end_stats(&a).writes;
    assert_int_equal(end_post(&a, &post, "x", 1), WEFT_OK);
    assert_int_equal(end_stats(&a).writes, writes + 1);
    ends_until(NULL, &b, &b.messages, 2); /* a's turn is not needed */
    assert_int_equal(post.done, 0);
    end_close(&a);
    assert_int_equal(post.done, 1);
    end_close(&b);
}

static void who_is_about_to_sleep_has_sent_everything(void **state)
{
    (void)state;
    struct end a = {.ep = NULL}, b = {.ep = NULL};
    struct post posts[3] = {{.total = NULL}};
    end_open(&a, 0);
    end_open(&b, 0);
    ends_join(&a, &b);
    end_say(&a, &b);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(end_post(&a, &posts[i], "x", 1), WEFT_OK);
    assert_int_equal(weft__tp_tcp.core->wait_arm(a.ep), WEFT_EAGAIN); /* done has to run */
    ends_until(NULL, &b, &b.messages, 4);
    end_close(&a);
    end_close(&b);
}

static void a_peer_that_does_not_read_leaves_sends_for_others(void **state)
{
    (void)state;
    struct end a = {.ep = NULL}, deaf = {.ep = NULL}, b = {.ep = NULL};
    static unsigned char big[64 << 10];
    uint64_t done = 0, turns = 0;
    end_open(&a, 0);
    end_open(&deaf, 0);
    end_open(&b, 0);
    a.peer = end_add(&a, &deaf);
    struct post *posts = calloc(4096, sizeof(*posts)), more = {.total = NULL};
    assert_non_null(posts);
    uint32_t sent = 0;
    while (turns < 20 && sent < 4096) {
        posts[sent].total = &done;
        if (end_post(&a, &posts[sent], big, sizeof(big)) == WEFT_OK) {
            sent++;
            continue;
        }
        ends_run(&a, NULL);
        turns++;
    }
    assert_true(sent < 4096); /* there is a bound */
    struct weft_tp_peer slow = a.peer;
    a.peer = end_add(&a, &b);
    assert_int_equal(end_post(&a, &more, "x", 1), WEFT_OK);
    ends_until(&a, &b, &b.messages, 1);
    a.peer = slow;
    ends_until(&a, &deaf, &deaf.messages, sent);
    assert_int_equal(deaf.bytes, sent * sizeof(big));
    ends_until(&a, &deaf, &done, sent);
    end_close(&a);
    end_close(&deaf);
    end_close(&b);
    free(posts);
}

static void what_has_not_left_can_be_cancelled(void **state)
{
    (void)state;
    struct end a = {.ep = NULL}, b = {.ep = NULL};
    struct post first = {.total = NULL}, second = {.total = NULL};
    end_open(&a, 0);
    end_open(&b, 0);
    ends_join(&a, &b);
    assert_int_equal(end_post(&a, &first, "x", 1), WEFT_OK); /* there is no connection yet */
    assert_int_equal(end_post(&a, &second, "yy", 2), WEFT_OK);
    assert_int_equal(weft__tp_tcp.core->cancel(a.ep, &first.op), WEFT_OK);
    assert_int_equal(first.done, 0);
    ends_until(&a, &b, &b.messages, 1);
    ends_until(&a, &b, &second.done, 1);
    assert_int_equal(first.err, WEFT_ECANCELED);
    assert_int_equal(second.err, WEFT_OK);
    assert_int_equal(b.bytes, 2);
    assert_int_equal(weft__tp_tcp.core->cancel(a.ep, &second.op), WEFT_EBUSY);
    end_close(&a);
    end_close(&b);
}

/* Sends until the kernel has taken a message in part; the number of the last one. */
static uint32_t stuff(struct end *a, struct post *posts, const unsigned char *big, size_t len)
{
    uint32_t sent = 0;
    for (uint64_t before = 0; sent < 64; before = posts[sent - 1].done) {
        assert_int_equal(end_post(a, &posts[sent], big, len), WEFT_OK);
        sent++;
        ends_run(a, NULL);
        if (!before && sent > 1 && !posts[sent - 1].done)
            break;
    }
    return sent;
}

static void a_message_that_has_left_in_part_is_whole_after_its_peer_was_dropped(void **state)
{
    (void)state;
    struct end a = {.ep = NULL}, b = {.ep = NULL};
    struct post posts[64];
    const size_t len = 1u << 20;
    unsigned char *big = malloc(len);
    assert_non_null(big);
    memset(big, 7, len);
    memset(posts, 0, sizeof(posts));
    end_open(&a, 0);
    end_open(&b, 0);
    ends_join(&a, &b);
    end_say(&a, &b);
    uint32_t sent = stuff(&a, posts, big, len);
    struct weft_tp_peer other = end_add(&a, &b); /* the same connection */
    weft__tp_tcp.core->peer_drop(a.ep, a.peer);
    end_turn(&a);
    for (uint32_t i = 0; i < sent; i++)
        assert_int_equal(posts[i].done, 1);
    memset(big, 0, len); /* it is ours again */
    a.peer = other;
    struct post last = {.total = NULL};
    assert_int_equal(end_post(&a, &last, "end", 3), WEFT_OK);
    ends_until(&a, &b, &last.done, 1);
    uint64_t left = end_stats(&a).sent;
    while (b.bytes % len != 5 + 3)
        ends_run(&a, &b);
    assert_true(left > 1);
    assert_int_equal(end_stats(&b).malformed, 0);
    assert_int_equal(a.lost + b.lost, 0);
    end_close(&a);
    end_close(&b);
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_leaves_in_few_system_calls_and_arrives_in_few),
        cmocka_unit_test(a_single_message_leaves_at_once),
        cmocka_unit_test(who_is_about_to_sleep_has_sent_everything),
        cmocka_unit_test(a_peer_that_does_not_read_leaves_sends_for_others),
        cmocka_unit_test(what_has_not_left_can_be_cancelled),
        cmocka_unit_test(a_message_that_has_left_in_part_is_whole_after_its_peer_was_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
