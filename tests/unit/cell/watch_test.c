#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/wake.h"
#include "cell/watch.h"
#include "weft/error.h"

enum { RANKS = 64 };
#define PATIENCE_NS (60 * WEFT_NS_PER_S)

static _Atomic uint32_t rung[RANKS]; /* futex words */

static void ring(void *ctx, int32_t rank)
{
    (void)ctx;
    atomic_fetch_add(&rung[rank], 1);
    weft__futex_wake(&rung[rank]);
}

static void await(int32_t rank, uint32_t times)
{
    uint64_t until_ns = weft__now_ns() + PATIENCE_NS;
    for (uint32_t now; (now = atomic_load(&rung[rank])) < times;)
        assert_int_not_equal(weft__futex_wait(&rung[rank], now, until_ns), WEFT_ETIMEDOUT);
}

static struct weft__watch *open_watch(void)
{
    struct weft__watch *watch = NULL;
    for (int i = 0; i < RANKS; i++)
        atomic_store(&rung[i], 0);
    assert_int_equal(weft__watch_open(ring, NULL, &watch), WEFT_OK);
    return watch;
}

static void put(int fd)
{
    assert_int_equal(write(fd, "x", 1), 1);
}

static void a_rank_is_woken_when_its_descriptor_is_ready(void **state)
{
    (void)state;
    struct weft__watch *watch = open_watch();
    int a[2], b[2], set;
    assert_int_equal(pipe(a), 0);
    assert_int_equal(pipe(b), 0);
    const struct pollfd fds[] = {{.fd = a[0], .events = POLLIN},
                                 {.fd = -1, .events = POLLIN},
                                 {.fd = b[0], .events = POLLIN}};
    for (uint32_t turn = 1; turn <= 100; turn++) {
        assert_int_equal(weft__watch_arm(watch, 7, fds, 3, &set), WEFT_OK);
        put(turn % 2 ? a[1] : b[1]);
        await(7, turn);
        weft__watch_disarm(set);
        char byte;
        assert_int_equal(read(turn % 2 ? a[0] : b[0], &byte, 1), 1);
    }
    assert_int_equal(atomic_load(&rung[7]), 100);
    weft__watch_close(watch);
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
}

static void what_was_ready_before_is_heard_too(void **state)
{
    (void)state;
    struct weft__watch *watch = open_watch();
    int fds[2], set;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    put(fds[1]);
    const struct pollfd in = {.fd = fds[0], .events = POLLIN};
    assert_int_equal(weft__watch_arm(watch, 0, &in, 1, &set), WEFT_OK);
    await(0, 1);
    weft__watch_disarm(set);
    close(fds[1]); /* the end is something, too */
    const struct pollfd end = {.fd = fds[0], .events = 0};
    assert_int_equal(weft__watch_arm(watch, 1, &end, 1, &set), WEFT_OK);
    await(1, 1);
    weft__watch_disarm(set);
    weft__watch_close(watch);
    close(fds[0]);
}

static void ranks_may_wait_for_the_same_descriptor_and_one_twice(void **state)
{
    (void)state;
    struct weft__watch *watch = open_watch();
    int fds[2], sets[RANKS];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    const struct pollfd twice[] = {{.fd = fds[0], .events = POLLPRI},
                                   {.fd = fds[0], .events = POLLIN}};
    for (int32_t i = 0; i < RANKS; i++)
        assert_int_equal(weft__watch_arm(watch, i, twice, 2, &sets[i]), WEFT_OK);
    put(fds[1]);
    for (int32_t i = 0; i < RANKS; i++) {
        await(i, 1);
        weft__watch_disarm(sets[i]);
    }
    weft__watch_close(watch);
    close(fds[0]);
    close(fds[1]);
}

static void nothing_is_called_back_after_the_end(void **state)
{
    (void)state;
    for (int turn = 0; turn < 100; turn++) {
        struct weft__watch *watch = open_watch();
        int fds[2], set;
        assert_int_equal(pipe(fds), 0);
        const struct pollfd in = {.fd = fds[0], .events = POLLIN};
        assert_int_equal(weft__watch_arm(watch, 3, &in, 1, &set), WEFT_OK);
        put(fds[1]);
        weft__watch_disarm(set);
        weft__watch_close(watch);
        uint32_t now = atomic_load(&rung[3]);
        close(fds[0]);
        close(fds[1]);
        assert_true(now <= 1);
        assert_int_equal(atomic_load(&rung[3]), now);
    }
}

static void what_cannot_be_watched_is_an_error(void **state)
{
    (void)state;
    struct weft__watch *watch = open_watch();
    char name[] = "/tmp/weft-watch-XXXXXX";
    int set = -5, file = mkstemp(name), fds[2];
    assert_true(file >= 0);
    const struct pollfd in = {.fd = file, .events = POLLIN};
    assert_int_not_equal(weft__watch_arm(watch, 3, &in, 1, &set), WEFT_OK); /* it always is ready */
    assert_int_equal(pipe(fds), 0);
    struct rlimit limit, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){.rlim_cur = (rlim_t)fds[1] + 1, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    const struct pollfd pipe_in = {.fd = fds[0], .events = POLLIN};
    int err = weft__watch_arm(watch, 3, &pipe_in, 1, &set);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(err, -EMFILE);
    assert_int_equal(set, -5);
    weft__watch_close(watch);
    weft__watch_close(NULL);
    close(file);
    unlink(name);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rank_is_woken_when_its_descriptor_is_ready),
        cmocka_unit_test(what_was_ready_before_is_heard_too),
        cmocka_unit_test(ranks_may_wait_for_the_same_descriptor_and_one_twice),
        cmocka_unit_test(nothing_is_called_back_after_the_end),
        cmocka_unit_test(what_cannot_be_watched_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
