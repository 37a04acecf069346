/* Who is dead and who only does not read. */
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tcp_end.h"
#include "weft/error.h"

#define BIG ((size_t)1 << 20)
#define POSTS 64
#define LONG_NS (12 * WEFT_NS_PER_S) /* more than it takes to be dead */

static void who_does_not_read_for_long_is_not_lost(void **state)
{
    (void)state;
    struct end a = {.ep = NULL}, b = {.ep = NULL};
    static struct post posts[POSTS];
    uint64_t done = 0;
    unsigned char *big = calloc(1, BIG);
    assert_non_null(big);
    end_open(&a, 0);
    end_open(&b, 0);
    ends_join(&a, &b);
    end_say(&a, &b);
    for (unsigned i = 0; i < POSTS; i++) {
        posts[i].total = &done;
        assert_int_equal(end_post(&a, &posts[i], big, BIG), WEFT_OK);
    }
    uint64_t until_ns = weft__now_ns() + LONG_NS;
    while (weft__now_ns() < until_ns)
        ends_run(&a, NULL);
    assert_true(done < POSTS); /* the window is shut */
    assert_int_equal(a.lost, 0);
    ends_until(&a, &b, &b.messages, 1 + POSTS);
    ends_until(&a, &b, &done, POSTS);
    for (unsigned i = 0; i < POSTS; i++)
        assert_int_equal(posts[i].err, WEFT_OK);
    end_close(&a);
    end_close(&b);
    free(big);
}

static void loopback(bool up)
{
    struct ifreq lo = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    lo.ifr_flags = up ? IFF_UP : 0;
    assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
    close(fd);
}

/* The last one: the process stays in a network of its own. */
static void who_acknowledges_nothing_is_lost(void **state)
{
    (void)state;
    struct end a = {.ep = NULL}, b = {.ep = NULL};
    struct post post = {.total = NULL};
    if (unshare(CLONE_NEWNET) != 0) {
        print_message("skipped: no network namespace: %s\n", strerrordesc_np(errno));
        skip();
    }
    loopback(true);
    end_open(&a, 0);
    end_open(&b, 0);
    ends_join(&a, &b);
    end_say(&a, &b);
    loopback(false);
    assert_int_equal(end_post(&a, &post, "x", 1), WEFT_OK);
    ends_until(&a, NULL, &a.lost, 1);
    assert_int_equal(post.done, 1);
    assert_int_equal(post.err, WEFT_OK); /* the kernel had taken it */
    end_close(&a);
    end_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_does_not_read_for_long_is_not_lost),
        cmocka_unit_test(who_acknowledges_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
