/* Connections: how many there are, who makes them, and what ends them. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tcp_end.h"
#include "weft/error.h"

#define EACH 200
#define MANY 100

static void a_pair_shares_one_connection(void **state)
{
    (void)state;
    struct end a = {.ep = NULL}, b = {.ep = NULL};
    end_open(&a, 0);
    end_open(&b, 0);
    ends_join(&a, &b);
    end_say(&a, &b);
    end_say(&b, &a);
    struct weft_tp_peer again = end_add(&b, &a);
    weft__tp_tcp.core->peer_drop(b.ep, b.peer);
    b.peer = again;
    end_say(&b, &a);
    assert_int_equal(end_stats(&a).connections, 1);
    assert_int_equal(end_stats(&b).connections, 1);
    assert_int_equal(end_stats(&a).accepted, 0);
    end_close(&a);
    end_close(&b);
}

static void post_numbers(struct end *end, struct post *posts, uint32_t *numbers, uint64_t *done)
{
    for (uint32_t i = 0; i < EACH; i++) {
        numbers[i] = i;
        posts[i].total = done;
        assert_int_equal(end_post(end, &posts[i], &numbers[i], sizeof(numbers[i])), WEFT_OK);
    }
}

static void both_may_connect_at_the_same_time(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        struct end a = {.numbered = true}, b = {.numbered = true};
        static struct post posts[2][EACH];
        static uint32_t numbers[2][EACH];
        uint64_t done = 0;
        memset(posts, 0, sizeof(posts));
        end_open(&a, 0);
        end_open(&b, 0);
        ends_join(&a, &b);
        post_numbers(&a, posts[0], numbers[0], &done); /* both connect before either accepts */
        post_numbers(&b, posts[1], numbers[1], &done);
        ends_until(&a, &b, &done, 2 * EACH);
        ends_until(&a, &b, &a.messages, EACH);
        ends_until(&a, &b, &b.messages, EACH);
        assert_int_equal(a.next + b.next, 2 * EACH);
        assert_int_equal(a.lost + b.lost, 0);
        assert_int_equal(end_stats(&a).connections, 2);
        end_close(&a);
        end_close(&b);
    }
}

static void a_dropped_peer_may_go_on_sending(void **state)
{
    (void)state;
    struct end a = {.ep = NULL}, b = {.ep = NULL};
    end_open(&a, 0);
    end_open(&b, 0);
    ends_join(&a, &b);
    end_say(&a, &b);
    end_say(&b, &a);
    weft__tp_tcp.core->peer_drop(a.ep, a.peer);
    for (unsigned i = 0; i < 10; i++)
        end_say(&b, &a);
    assert_int_equal(b.lost, 0);
    a.peer = end_add(&a, &b);
    end_say(&a, &b);
    end_say(&b, &a);
    assert_int_equal(a.lost + b.lost, 0);
    end_close(&a);
    end_close(&b);
}

static void a_connection_that_nobody_uses_is_closed(void **state)
{
    (void)state;
    struct end a = {.ep = NULL}, b = {.ep = NULL};
    end_open(&a, 0);
    end_open(&b, 0);
    for (unsigned i = 0; i < 20; i++) {
        ends_join(&a, &b);
        end_say(&a, &b);
        end_say(&b, &a);
        weft__tp_tcp.core->peer_drop(a.ep, a.peer);
        weft__tp_tcp.core->peer_drop(b.ep, b.peer);
    }
    while (end_stats(&a).connections + end_stats(&b).connections)
        ends_run(&a, &b);
    assert_int_equal(a.lost + b.lost, 0);
    end_close(&a);
    end_close(&b);
}

/* A process with an endpoint of its own, which is sent nothing but a kill. */
static pid_t child_with_endpoint(struct weft_tp_addr *addr_out)
{
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct end end = {.ep = NULL};
        struct weft_tp_addr addr;
        end_open(&end, 0);
        if (weft__tp_tcp.core->address(end.ep, &addr) != WEFT_OK ||
            write(pipes[1], &addr, sizeof(addr)) != (ssize_t)sizeof(addr))
            _exit(1);
        for (;;)
            ends_run(&end, NULL);
    }
    close(pipes[1]);
    assert_int_equal(read(pipes[0], addr_out, sizeof(*addr_out)), sizeof(*addr_out));
    close(pipes[0]);
    return pid;
}

static void a_killed_peer_is_told_once_and_its_sends_end(void **state)
{
    (void)state;
    struct end a = {.ep = NULL};
    struct weft_tp_addr addr;
    struct post posts[4];
    uint64_t done = 0;
    memset(posts, 0, sizeof(posts));
    pid_t pid = child_with_endpoint(&addr);
    end_open(&a, 0);
    assert_int_equal(weft__tp_tcp.core->peer_add(a.ep, &addr, &a.peer), WEFT_OK);
    posts[0].total = &done;
    assert_int_equal(end_post(&a, &posts[0], "x", 1), WEFT_OK);
    ends_until(&a, NULL, &done, 1);
    assert_int_equal(posts[0].err, WEFT_OK);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    ends_until(&a, NULL, &a.lost, 1);
    for (unsigned i = 1; i < 4; i++) {
        posts[i].total = &done;
        assert_int_equal(end_post(&a, &posts[i], "x", 1), WEFT_OK);
    }
    ends_until(&a, NULL, &done, 4);
    for (unsigned i = 1; i < 4; i++)
        assert_int_equal(weft_error_damage(posts[i].err), WEFT_DAMAGE_PEER);
    assert_int_equal(a.lost, 1);
    end_close(&a);
}

static void a_lost_peer_can_be_added_again(void **state)
{
    (void)state;
    struct end a = {.drops = true}, b = {.drops = true};
    end_open(&a, 0);
    end_open(&b, 0);
    ends_join(&a, &b);
    end_say(&a, &b);
    struct weft_tcp_hello hello = end_hello(&b);
    hello.from = end_name(&a); /* breaks what comes after it, and only that */
    int fd = end_dial(&b);
    assert_int_equal(write(fd, &hello, sizeof(hello)), sizeof(hello));
    assert_int_equal(write(fd, "garbage!", 8), 8);
    end_hangs_up(&b, fd);
    assert_int_equal(a.lost + b.lost, 0);
    end_say(&a, &b);
    end_close(&b);
    ends_until(&a, NULL, &a.lost, 1);
    struct post post = {.total = NULL};
    assert_int_equal(end_post(&a, &post, "x", 1), WEFT_EINVAL);
    end_open(&b, 0);
    a.peer = end_add(&a, &b);
    end_say(&a, &b);
    end_close(&a);
    end_close(&b);
}

static void an_endpoint_at_the_same_port_is_another_one(void **state)
{
    (void)state;
    struct end a = {.ep = NULL}, b = {.ep = NULL};
    end_open(&a, 0);
    end_open(&b, 0);
    struct weft_tcp_name name = end_name(&b);
    struct weft_tp_addr addr = {.len = sizeof(name)};
    name.id[3] ^= 0x10; /* who was there before */
    memcpy(addr.bytes, &name, sizeof(name));
    assert_int_equal(weft__tp_tcp.core->peer_add(a.ep, &addr, &a.peer), WEFT_OK);
    struct post post = {.total = NULL};
    assert_int_equal(end_post(&a, &post, "x", 1), WEFT_OK);
    ends_until(&a, &b, &a.lost, 1);
    assert_int_equal(b.messages, 0);
    assert_int_equal(end_stats(&b).refused, 1);
    end_close(&a);
    end_close(&b);
}

static void a_hundred_peers_hear_and_answer(void **state)
{
    (void)state;
    struct end hub = {.ep = NULL};
    struct end *ends = calloc(MANY, sizeof(*ends));
    assert_non_null(ends);
    end_open(&hub, 0);
    for (unsigned i = 0; i < MANY; i++) {
        end_open(&ends[i], 0);
        ends_join(&hub, &ends[i]);
        end_say(&hub, &ends[i]);
    }
    for (unsigned i = 0; i < MANY; i++)
        end_say(&ends[i], &hub);
    assert_int_equal(end_stats(&hub).connections, MANY);
    for (unsigned i = 0; i < MANY; i++)
        end_close(&ends[i]);
    ends_until(&hub, NULL, &hub.lost, MANY);
    end_close(&hub);
    free(ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pair_shares_one_connection),
        cmocka_unit_test(both_may_connect_at_the_same_time),
        cmocka_unit_test(a_dropped_peer_may_go_on_sending),
        cmocka_unit_test(a_connection_that_nobody_uses_is_closed),
        cmocka_unit_test(a_killed_peer_is_told_once_and_its_sends_end),
        cmocka_unit_test(a_lost_peer_can_be_added_again),
        cmocka_unit_test(an_endpoint_at_the_same_port_is_another_one),
        cmocka_unit_test(a_hundred_peers_hear_and_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
