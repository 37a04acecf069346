/* Turns and sleeps of an endpoint that is busy, and how its connections are set up. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tcp_end.h"
#include "weft/error.h"

#define OFTEN 200
#define BIG ((size_t)1 << 20)

static void turn_until(struct end *a, struct end *b, const uint64_t *count, uint64_t wanted)
{
    uint64_t give_up = weft__now_ns() + 30 * WEFT_NS_PER_S;
    while (*count < wanted) {
        end_turn(a);
        end_turn(b);
        assert_true(weft__now_ns() < give_up);
    }
}

/* Messages to and fro, without a sleep. */
static void talk(struct end *a, struct end *b)
{
    for (unsigned i = 0; i < OFTEN; i++) {
        struct end *from = i % 2 ? b : a, *to = i % 2 ? a : b;
        struct post post = {.total = NULL};
        uint64_t before = to->messages;
        assert_int_equal(end_post(from, &post, "x", 1), WEFT_OK);
        turn_until(a, b, &to->messages, before + 1);
        turn_until(a, b, &post.done, 1);
    }
}

/* Sleeps until nothing is left that would wake it, its timer neither. */
static void calm_down(struct end *end)
{
    struct pollfd fd = {.fd = weft__tp_tcp.core->wait_fd(end->ep), .events = POLLIN};
    uint64_t give_up = weft__now_ns() + 30 * WEFT_NS_PER_S;
    while (weft__tp_tcp.core->wait_arm(end->ep) != WEFT_OK || poll(&fd, 1, 500) != 0) {
        end_turn(end);
        assert_true(weft__now_ns() < give_up);
    }
}

static void who_has_been_busy_is_woken_by_a_message(void **state)
{
    (void)state;
    struct end a = {.ep = NULL}, b = {.ep = NULL};
    end_open(&a, 0);
    end_open(&b, 0);
    ends_join(&a, &b);
    for (unsigned i = 0; i < 2; i++) {
        struct post post = {.total = NULL};
        talk(&a, &b);
        calm_down(&b);
        struct pollfd fd = {.fd = weft__tp_tcp.core->wait_fd(b.ep), .events = POLLIN};
        uint64_t before = b.messages;
        assert_int_equal(end_post(&a, &post, "x", 1), WEFT_OK);
        assert_int_equal(poll(&fd, 1, 30000), 1);
        end_turn(&b);
        assert_int_equal(b.messages, before + 1);
        turn_until(&a, &b, &post.done, 1);
    }
    end_close(&a);
    end_close(&b);
}

static void who_waits_for_a_full_socket_hears_others_all_the_same(void **state)
{
    (void)state;
    struct end a = {.ep = NULL}, b = {.ep = NULL}, deaf = {.ep = NULL};
    unsigned char *bytes = calloc(1, BIG);
    struct post *posts = calloc(64, sizeof(*posts));
    assert_true(bytes && posts);
    end_open(&a, 0);
    end_open(&b, 0);
    end_open(&deaf, 0);
    ends_join(&a, &b);
    talk(&a, &b);
    struct weft_tp_peer peer = b.peer;
    b.peer = end_add(&b, &deaf);
    end_say(&b, &deaf);
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(end_post(&b, &posts[i], bytes, BIG), WEFT_OK);
    for (unsigned i = 0; i < 64; i++)
        end_turn(&b);
    assert_int_equal(posts[63].done, 0);
    b.peer = peer;
    talk(&a, &b);
    assert_int_equal(posts[63].done, 0);
    ends_until(&b, &deaf, &posts[63].done, 1);
    end_close(&a);
    end_close(&b);
    end_close(&deaf);
    free(posts);
    free(bytes);
}

static void an_end_is_seen_by_who_has_been_busy(void **state)
{
    (void)state;
    struct end a = {.ep = NULL}, b = {.ep = NULL};
    end_open(&a, 0);
    end_open(&b, 0);
    ends_join(&a, &b);
    talk(&a, &b);
    end_close(&a);
    for (uint64_t give_up = weft__now_ns() + 30 * WEFT_NS_PER_S; !b.lost;) {
        end_turn(&b);
        assert_true(weft__now_ns() < give_up);
    }
    end_close(&b);
}

/* How many TCP sockets of this process have it. */
static unsigned sockets_with(const char *congestion)
{
    enum { FDS = 256 };
    unsigned n = 0;
    for (int fd = 0; fd < FDS; fd++) {
        char name[16] = "";
        socklen_t len = sizeof(name) - 1;
        n += getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len) == 0 &&
             strcmp(name, congestion) == 0;
    }
    return n;
}

static int open_with(const char *congestion, struct weft_tp_ep **ep_out)
{
    const struct weft_tp_open desc = {
        .bind = "127.0.0.1", .families = WEFT_TP_MSG, .congestion = congestion};
    return weft__tp_tcp.core->open(&desc, ep_out);
}

static void congestion_is_controlled_as_is_said_but_by_bbr_only_if_that_is_said(void **state)
{
    struct weft_tp_ep *ep;
    struct end a = {0}, b = {0};
    (void)state;
    assert_int_equal(open_with("nonsense", &ep), WEFT_EINVAL);
    assert_int_equal(open_with("a name that is longer than any", &ep), WEFT_EINVAL);
    assert_int_equal(open_with("reno", &ep), WEFT_OK);
    assert_int_equal(sockets_with("reno"), 1);
    weft__tp_tcp.core->close(ep);
    end_open(&a, 0);
    end_open(&b, 0);
    ends_join(&a, &b);
    talk(&a, &b);
    assert_int_equal(sockets_with("bbr"), 0);
    end_close(&a);
    end_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_has_been_busy_is_woken_by_a_message),
        cmocka_unit_test(who_waits_for_a_full_socket_hears_others_all_the_same),
        cmocka_unit_test(an_end_is_seen_by_who_has_been_busy),
        cmocka_unit_test(congestion_is_controlled_as_is_said_but_by_bbr_only_if_that_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
