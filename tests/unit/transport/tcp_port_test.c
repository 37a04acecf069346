/* Strangers at an endpoint's port: what is refused, and that it costs nobody else anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tcp_end.h"
#include "weft/error.h"

static struct end a, b;

static int open_two(void **state)
{
    (void)state;
    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    end_open(&a, 0);
    end_open(&b, 0);
    ends_join(&a, &b);
    end_say(&a, &b);
    return 0;
}

static int close_two(void **state)
{
    (void)state;
    end_close(&a);
    end_close(&b);
    return 0;
}

/* Sends bytes to b over a connection of its own, which b has to end; a and b go on. */
static void throw_at(const void *bytes, size_t len)
{
    int fd = end_dial(&b);
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
    end_hangs_up(&b, fd);
    end_say(&a, &b);
}

static void what_is_no_hello_is_refused(void **state)
{
    (void)state;
    unsigned char bytes[64];
    throw_at("GET / HTTP/1.1\r\nHost: somewhere\r\nAccept: anything at all\r\n\r\n....", 64);
    memset(bytes, 0, sizeof(bytes));
    throw_at(bytes, sizeof(bytes));
    memset(bytes, 0xff, sizeof(bytes));
    throw_at(bytes, sizeof(bytes));
    struct weft_tcp_hello hello = end_hello(&b);
    hello.target[15] ^= 1;
    throw_at(&hello, sizeof(hello));
    hello = end_hello(&b);
    hello.from.family = 7;
    throw_at(&hello, sizeof(hello));
    hello = end_hello(&b);
    hello.zero = 1;
    throw_at(&hello, sizeof(hello));
    assert_int_equal(end_stats(&b).refused, 6);
    assert_int_equal(end_stats(&b).malformed, 0);
    assert_int_equal(a.lost + b.lost, 0);
}

/* A hello and what comes behind it. */
static void throw_frame(uint32_t len, uint16_t kind, uint16_t magic)
{
    unsigned char bytes[sizeof(struct weft_tcp_hello) + sizeof(struct weft_tcp_head)];
    struct weft_tcp_hello hello = end_hello(&b);
    const struct weft_tcp_head head = {len, kind, magic};
    memcpy(bytes, &hello, sizeof(hello));
    memcpy(bytes + sizeof(hello), &head, sizeof(head));
    throw_at(bytes, sizeof(bytes));
}

static void what_is_no_frame_ends_its_connection(void **state)
{
    (void)state;
    uint64_t messages = b.messages;
    throw_frame(UINT32_MAX, WEFT_TCP_MESSAGE, WEFT_TCP_HEAD_MAGIC);
    throw_frame((1u << 20) + 1, WEFT_TCP_MESSAGE, WEFT_TCP_HEAD_MAGIC);
    throw_frame(1, WEFT_TCP_BYE, WEFT_TCP_HEAD_MAGIC);
    throw_frame(0, 3, WEFT_TCP_HEAD_MAGIC);
    throw_frame(0, WEFT_TCP_MESSAGE, 0);
    assert_int_equal(end_stats(&b).malformed, 5);
    assert_int_equal(b.messages, messages + 5); /* those of a */
}

static void a_hello_may_come_byte_by_byte(void **state)
{
    (void)state;
    unsigned char bytes[sizeof(struct weft_tcp_hello) + 2 * sizeof(struct weft_tcp_head) + 3];
    struct weft_tcp_hello hello = end_hello(&b);
    struct weft_tcp_head head = {3, WEFT_TCP_MESSAGE, WEFT_TCP_HEAD_MAGIC};
    memcpy(bytes, &hello, sizeof(hello));
    memcpy(bytes + sizeof(hello), &head, sizeof(head));
    memcpy(bytes + sizeof(hello) + sizeof(head), "abc", 3);
    head = (struct weft_tcp_head){0, WEFT_TCP_BYE, WEFT_TCP_HEAD_MAGIC};
    memcpy(bytes + sizeof(hello) + sizeof(head) + 3, &head, sizeof(head));
    uint64_t messages = b.messages;
    int fd = end_dial(&b);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        assert_int_equal(send(fd, bytes + i, 1, MSG_NOSIGNAL), 1);
        ends_run(&b, NULL);
    }
    ends_until(&b, NULL, &b.messages, messages + 1);
    end_hangs_up(&b, fd); /* after the BYE nobody uses it */
    assert_int_equal(end_stats(&b).malformed + end_stats(&b).refused, 0);
}

static void a_message_that_stops_in_the_middle_is_not_heard(void **state)
{
    (void)state;
    unsigned char bytes[sizeof(struct weft_tcp_hello) + sizeof(struct weft_tcp_head) + 100];
    struct weft_tcp_hello hello = end_hello(&b);
    const struct weft_tcp_head head = {1u << 20, WEFT_TCP_MESSAGE, WEFT_TCP_HEAD_MAGIC};
    memset(bytes, 5, sizeof(bytes));
    memcpy(bytes, &hello, sizeof(hello));
    memcpy(bytes + sizeof(hello), &head, sizeof(head));
    uint64_t messages = b.messages, connections = end_stats(&b).connections;
    int fd = end_dial(&b);
    assert_int_equal(send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL), sizeof(bytes));
    while (end_stats(&b).connections == connections)
        ends_run(&b, NULL);
    close(fd);
    while (end_stats(&b).connections > connections)
        ends_run(&b, NULL);
    assert_int_equal(b.messages, messages);
    assert_int_equal(b.lost, 0); /* nobody here had such a peer */
}

static void who_stays_silent_is_turned_out_after_a_while(void **state)
{
    (void)state;
    int silent = end_dial(&b), half = end_dial(&b);
    assert_int_equal(send(half, "WTC1", 4, MSG_NOSIGNAL), 4);
    end_hangs_up(&b, silent);
    end_hangs_up(&b, half);
    assert_int_equal(end_stats(&b).refused, 2);
    end_say(&a, &b);
}

static void beyond_the_limit_connections_are_refused(void **state)
{
    (void)state;
    struct end full = {.ep = NULL};
    end_open(&full, 2);
    int first = end_dial(&full), second = end_dial(&full);
    while (end_stats(&full).accepted < 2)
        ends_run(&full, NULL);
    end_hangs_up(&full, end_dial(&full));
    assert_int_equal(end_stats(&full).refused, 1);
    assert_int_equal(end_stats(&full).connections, 2);
    close(first);
    close(second);
    while (end_stats(&full).connections)
        ends_run(&full, NULL);
    end_close(&full);
}

/* Each says who it is and sends one message. */
static void speak(const struct end *to, int fd, uint32_t number)
{
    unsigned char
        bytes[sizeof(struct weft_tcp_hello) + sizeof(struct weft_tcp_head) + sizeof(number)];
    struct weft_tcp_hello hello = end_hello(to);
    const struct weft_tcp_head head = {sizeof(number), WEFT_TCP_MESSAGE, WEFT_TCP_HEAD_MAGIC};
    memcpy(hello.from.id, &number, sizeof(number));
    memcpy(bytes, &hello, sizeof(hello));
    memcpy(bytes + sizeof(hello), &head, sizeof(head));
    memcpy(bytes + sizeof(hello) + sizeof(head), &number, sizeof(number));
    assert_int_equal(send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL), sizeof(bytes));
}

static void a_thousand_endpoints_are_heard(void **state)
{
    (void)state;
    enum { N = 1000 };
    static int fds[N];
    struct rlimit limit, high;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    high = limit;
    high.rlim_cur = high.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &high), 0);
    if (high.rlim_cur < 2 * N + 200) {
        print_message("skipped: only %llu open files\n", (unsigned long long)high.rlim_cur);
        skip();
    }
    uint64_t messages = b.messages;
    for (uint32_t i = 0; i < N; i++) {
        fds[i] = end_dial(&b);
        speak(&b, fds[i], i);
        if (i % 100 == 99)
            end_say(&a, &b);
    }
    ends_until(&b, NULL, &b.messages, messages + N + N / 100);
    assert_int_equal(end_stats(&b).connections, N + 1);
    for (uint32_t i = 0; i < N; i++)
        close(fds[i]);
    while (end_stats(&b).connections > 1)
        ends_run(&b, NULL);
    assert_int_equal(end_stats(&b).refused + end_stats(&b).malformed, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void without_descriptors_it_waits_and_recovers(void **state)
{
    (void)state;
    struct rlimit limit, low;
    struct end c = {.ep = NULL};
    struct post post = {.total = NULL};
    end_open(&c, 0);
    c.peer = end_add(&c, &b);
    int fd = end_dial(&b); /* in the kernel's queue */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = 0; /* what is open stays open */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    int err = end_post(&c, &post, "x", 1);
    uint64_t failed = 0, give_up = weft__now_ns() + 30 * WEFT_NS_PER_S;
    while (!failed && weft__now_ns() < give_up) {
        ends_run(&b, &c);
        failed = end_stats(&b).accept_failed;
    }
    for (unsigned i = 0; i < 5; i++)
        ends_run(&b, &c);
    uint64_t tries = end_stats(&b).accept_failed;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(err, WEFT_OK);
    assert_true(failed > 0 && tries < failed + 5); /* it does not spin */
    uint64_t messages = b.messages;
    ends_until(&b, &c, &b.messages, messages + 1);
    ends_until(&b, &c, &post.done, 1);
    assert_int_equal(post.err, WEFT_OK);
    assert_int_equal(c.lost, 0);
    close(fd);
    end_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_no_hello_is_refused, open_two, close_two),
        cmocka_unit_test_setup_teardown(what_is_no_frame_ends_its_connection, open_two, close_two),
        cmocka_unit_test_setup_teardown(a_hello_may_come_byte_by_byte, open_two, close_two),
        cmocka_unit_test_setup_teardown(a_message_that_stops_in_the_middle_is_not_heard, open_two,
                                        close_two),
        cmocka_unit_test_setup_teardown(who_stays_silent_is_turned_out_after_a_while, open_two,
                                        close_two),
        cmocka_unit_test_setup_teardown(beyond_the_limit_connections_are_refused, open_two,
                                        close_two),
        cmocka_unit_test_setup_teardown(a_thousand_endpoints_are_heard, open_two, close_two),
        cmocka_unit_test_setup_teardown(without_descriptors_it_waits_and_recovers, open_two,
                                        close_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
