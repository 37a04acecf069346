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

/* Two endpoints that have sent EACH numbers over a connection of their own each. */
struct crossed {
    struct end a, b;
    struct post posts[2][EACH];
    uint32_t numbers[2][EACH], sent[2];
    uint64_t done;
};

static struct crossed *cross(void)
{
    struct crossed *crossed = calloc(1, sizeof(*crossed));
    assert_non_null(crossed);
    crossed->a.numbered = crossed->b.numbered = true;
    end_open(&crossed->a, 0);
    end_open(&crossed->b, 0);
    ends_join(&crossed->a, &crossed->b);
    /* Both connect before either accepts. */
    post_numbers(&crossed->a, crossed->posts[0], crossed->numbers[0], &crossed->done);
    post_numbers(&crossed->b, crossed->posts[1], crossed->numbers[1], &crossed->done);
    crossed->sent[0] = crossed->sent[1] = EACH;
    return crossed;
}

static void uncross(struct crossed *crossed)
{
    assert_int_equal(crossed->a.lost + crossed->b.lost, 0);
    end_close(&crossed->a);
    end_close(&crossed->b);
    free(crossed);
}

static void both_may_connect_at_the_same_time(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        struct crossed *crossed = cross();
        ends_until(&crossed->a, &crossed->b, &crossed->done, 2 * EACH);
        ends_until(&crossed->a, &crossed->b, &crossed->a.messages, EACH);
        ends_until(&crossed->a, &crossed->b, &crossed->b.messages, EACH);
        assert_int_equal(crossed->a.next + crossed->b.next, 2 * EACH);
        uncross(crossed);
    }
}

/* Each sends its next number; until both have arrived. */
static void say_numbers(struct crossed *crossed)
{
    struct end *ends[] = {&crossed->a, &crossed->b};
    struct post posts[2] = {{.total = NULL}, {.total = NULL}};
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(end_post(ends[i], &posts[i], &crossed->sent[i], sizeof(uint32_t)),
                         WEFT_OK);
        end_turn(ends[i]);
    }
    for (unsigned i = 0; i < 2; i++) {
        ends_until(ends[0], ends[1], &posts[i].done, 1);
        crossed->sent[i]++;
        ends_until(ends[0], ends[1], &ends[1 - i]->messages, crossed->sent[i]);
    }
}

/* Both talk meanwhile. */
static void talk_until_one_is_left(struct crossed *crossed)
{
    for (unsigned i = 0; i < 100000; i++) {
        if (end_stats(&crossed->a).connections == 1 && end_stats(&crossed->b).connections == 1)
            return;
        say_numbers(crossed);
    }
    fail_msg("there are two connections still");
}

static void who_both_have_connected_share_one_in_the_end(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        struct crossed *crossed = cross();
        talk_until_one_is_left(crossed);
        for (unsigned i = 0; i < 10; i++)
            say_numbers(crossed);
        assert_int_equal(end_stats(&crossed->a).connections, 1);
        uncross(crossed);
    }
}

static void an_operation_holds_up_the_move_to_one_connection(void **state)
{
    (void)state;
    static unsigned char memory[2][1 << 20];
    for (unsigned round = 0; round < 20; round++) {
        struct crossed *crossed = cross();
        struct end *a = &crossed->a, *b = &crossed->b;
        struct weft_tp_region *region;
        struct weft_tp_key key;
        memset(memory[1], (int)round + 1, sizeof(memory[1]));
        assert_int_equal(
            weft__tp_tcp.rma->reg(b->ep, memory[1], sizeof(memory[1]), WEFT_TP_READ, &region),
            WEFT_OK);
        weft__tp_tcp.rma->key(region, &key);
        const struct weft_tp_rma_desc desc = {
            .local = memory[0], .len_bytes = sizeof(memory[0]), .remote_key = key};
        for (unsigned i = 0; i < 8; i++) {
            struct post get = {.total = NULL};
            memset(memory[0], 0, sizeof(memory[0]));
            assert_int_equal(end_get(a, &get, &desc), WEFT_OK);
            say_numbers(crossed);
            ends_until(a, b, &get.done, 1);
            assert_int_equal(get.err, WEFT_OK);
            assert_memory_equal(memory[0], memory[1], sizeof(memory[0]));
        }
        talk_until_one_is_left(crossed);
        weft__tp_tcp.rma->unreg(b->ep, region);
        uncross(crossed);
    }
}

/* After each number of turns: at one of them the move is under way. */
static void a_peer_may_be_dropped_on_the_move_to_one_connection(void **state)
{
    (void)state;
    for (unsigned turns = 0; turns < 40; turns++) {
        struct crossed *crossed = cross();
        struct end *a = &crossed->a, *b = &crossed->b;
        a->numbered = b->numbered = false;
        for (unsigned i = 0; i < turns; i++)
            end_turn(i % 2 ? a : b);
        struct end *drops = turns % 4 < 2 ? a : b, *stays = turns % 4 < 2 ? b : a;
        weft__tp_tcp.core->peer_drop(drops->ep, drops->peer);
        end_say(stays, drops);
        drops->peer = end_add(drops, stays);
        for (unsigned i = 0; i < 20; i++) {
            end_say(drops, stays);
            end_say(stays, drops);
        }
        uncross(crossed);
    }
}

static void add_anew(struct end *end, const struct end *other)
{
    weft__tp_tcp.core->peer_drop(end->ep, end->peer);
    end->peer = end_add(end, other);
}

static void a_peer_may_be_dropped_and_added_again_on_the_move(void **state)
{
    (void)state;
    for (unsigned turns = 0; turns < 40; turns++) {
        for (unsigned who = 1; who < 4; who++) {
            struct crossed *crossed = cross();
            struct end *a = &crossed->a, *b = &crossed->b;
            a->numbered = b->numbered = false;
            for (unsigned i = 0; i < turns; i++)
                end_turn(i % 2 ? a : b);
            for (unsigned i = 0; i < 4; i++) {
                if (who & 1)
                    add_anew(a, b);
                if (turns % 3 == 0)
                    end_turn(b);
                if (who & 2)
                    add_anew(b, a);
                end_say(a, b);
                end_say(b, a);
            }
            uncross(crossed);
        }
    }
}

static void a_peer_may_end_on_the_move_to_one_connection(void **state)
{
    (void)state;
    for (unsigned turns = 0; turns < 40; turns++) {
        struct crossed *crossed = cross();
        struct end *ends = turns % 4 < 2 ? &crossed->a : &crossed->b;
        struct end *stays = turns % 4 < 2 ? &crossed->b : &crossed->a;
        for (unsigned i = 0; i < turns; i++)
            end_turn(i % 2 ? &crossed->a : &crossed->b);
        end_close(ends);
        ends_until(stays, NULL, &stays->lost, 1);
        ends_until(stays, NULL, &crossed->done, 2 * EACH);
        end_close(stays);
        free(crossed);
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
        cmocka_unit_test(who_both_have_connected_share_one_in_the_end),
        cmocka_unit_test(an_operation_holds_up_the_move_to_one_connection),
        cmocka_unit_test(a_peer_may_be_dropped_on_the_move_to_one_connection),
        cmocka_unit_test(a_peer_may_be_dropped_and_added_again_on_the_move),
        cmocka_unit_test(a_peer_may_end_on_the_move_to_one_connection),
        cmocka_unit_test(a_dropped_peer_may_go_on_sending),
        cmocka_unit_test(a_connection_that_nobody_uses_is_closed),
        cmocka_unit_test(a_killed_peer_is_told_once_and_its_sends_end),
        cmocka_unit_test(a_lost_peer_can_be_added_again),
        cmocka_unit_test(an_endpoint_at_the_same_port_is_another_one),
        cmocka_unit_test(a_hundred_peers_hear_and_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
