/* What others may do to registered ranges over tcp, and memory that goes away under it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tcp_end.h"
#include "weft/error.h"

#define MIB ((size_t)1 << 20)
#define LEN (8 * MIB)

/* a reaches into far, which b has registered. */
struct pair {
    struct end a, b;
    unsigned char *near, *far;
    struct weft_tp_region *region;
    struct weft_tp_key key;
};

static unsigned char *pages(int seed)
{
    unsigned char *at = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(at != MAP_FAILED);
    memset(at, seed, LEN);
    return at;
}

static void pair_open(struct pair *pair)
{
    memset(pair, 0, sizeof(*pair));
    end_open(&pair->a, 0);
    end_open(&pair->b, 0);
    ends_join(&pair->a, &pair->b);
    end_say(&pair->a, &pair->b);
    pair->near = pages(1);
    pair->far = pages(2);
    assert_int_equal(weft__tp_tcp.rma->reg(pair->b.ep, pair->far, LEN, WEFT_TP_READ | WEFT_TP_WRITE,
                                           &pair->region),
                     WEFT_OK);
    weft__tp_tcp.rma->key(pair->region, &pair->key);
}

static void pair_close(struct pair *pair)
{
    end_close(&pair->a);
    end_close(&pair->b);
    munmap(pair->near, LEN);
    munmap(pair->far, LEN);
}

static void start(struct pair *pair, struct post *post, bool put, size_t len)
{
    const struct weft_tp_rma_desc desc = {
        .local = pair->near, .len_bytes = len, .remote_key = pair->key};
    assert_int_equal(put ? end_put(&pair->a, post, &desc) : end_get(&pair->a, post, &desc),
                     WEFT_OK);
}

static int finish(struct pair *pair, const struct post *post)
{
    ends_until(&pair->a, &pair->b, &post->done, 1);
    return post->err;
}

/* Everything went over one connection, which is as good as before. */
static void expect_whole(struct pair *pair)
{
    end_say(&pair->a, &pair->b);
    end_say(&pair->b, &pair->a);
    assert_int_equal(end_stats(&pair->a).lost + end_stats(&pair->b).lost, 0);
    assert_int_equal(end_stats(&pair->a).malformed + end_stats(&pair->b).malformed, 0);
    assert_int_equal(end_stats(&pair->b).connections, 1);
}

/* Turns of one side until the sockets are full. */
static void stuff(struct end *end)
{
    uint64_t before;
    do {
        before = end_stats(end).writes;
        end_turn(end);
    } while (end_stats(end).writes > before);
}

static void unregister(struct pair *pair)
{
    weft__tp_tcp.rma->unreg(pair->b.ep, pair->region);
    assert_int_equal(mprotect(pair->far, LEN, PROT_NONE), 0); /* who touches it dies */
}

static void a_range_that_is_unregistered_while_it_is_read_ends_the_get_only(void **state)
{
    (void)state;
    struct pair pair;
    struct post get = {.total = NULL};
    pair_open(&pair);
    start(&pair, &get, false, LEN);
    end_turn(&pair.b);
    stuff(&pair.b);
    unregister(&pair);
    assert_int_equal(finish(&pair, &get), WEFT_EACCES);
    expect_whole(&pair);
    pair_close(&pair);
}

static void a_range_that_is_unregistered_while_it_is_written_is_left_alone(void **state)
{
    (void)state;
    struct pair pair;
    struct post put = {.total = NULL};
    pair_open(&pair);
    start(&pair, &put, true, LEN);
    stuff(&pair.a);
    end_turn(&pair.b);
    assert_int_equal(put.done, 0);
    unregister(&pair);
    assert_int_equal(finish(&pair, &put), WEFT_EACCES);
    expect_whole(&pair);
    pair_close(&pair);
}

static void a_range_that_is_not_mapped_is_an_error_of_the_operation(void **state)
{
    (void)state;
    struct pair pair;
    struct post post = {.total = NULL};
    pair_open(&pair);
    assert_int_equal(mprotect(pair.far + LEN / 2 + 8192, LEN / 4, PROT_NONE), 0);
    start(&pair, &post, false, LEN);
    assert_int_equal(finish(&pair, &post), WEFT_EACCES);
    assert_memory_equal(pair.near, pair.far, LEN / 2);
    expect_whole(&pair);
    memset(pair.near, 3, LEN);
    start(&pair, &post, true, LEN);
    assert_int_equal(finish(&pair, &post), WEFT_EACCES);
    expect_whole(&pair);
    start(&pair, &post, false, LEN / 2);
    assert_int_equal(finish(&pair, &post), WEFT_OK);
    assert_int_equal(pair.near[0], 3);
    pair_close(&pair);
}

static void memory_of_ours_that_is_not_mapped_is_an_error_of_the_get(void **state)
{
    (void)state;
    struct pair pair;
    struct post post = {.total = NULL};
    pair_open(&pair);
    assert_int_equal(mprotect(pair.near + LEN / 2 + 8192, LEN / 4, PROT_NONE), 0);
    start(&pair, &post, false, LEN);
    assert_int_equal(finish(&pair, &post), WEFT_EACCES);
    expect_whole(&pair);
    start(&pair, &post, false, LEN / 2);
    assert_int_equal(finish(&pair, &post), WEFT_OK);
    pair_close(&pair);
}

/* ---- strangers who know the endpoint's name ---- */

static void say(int fd, const void *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

static int dial(const struct end *end)
{
    const struct weft_tcp_hello hello = end_hello(end);
    int fd = end_dial(end);
    say(fd, &hello, sizeof(hello));
    return fd;
}

static void frames_that_cannot_be_end_their_connection(void **state)
{
    (void)state;
    const uint32_t ask = sizeof(struct weft_tcp_ask), piece = 1u << 20;
    const struct weft_tcp_frame bad[] = {
        {{ask + 1, WEFT_TCP_GET, WEFT_TCP_HEAD_MAGIC}, {.len = 1}},
        {{ask - 1, WEFT_TCP_GET, WEFT_TCP_HEAD_MAGIC}, {.len = 1}},
        {{ask - 1, WEFT_TCP_PUT, WEFT_TCP_HEAD_MAGIC}, {.len = 1}},
        {{ask + 9, WEFT_TCP_PUT, WEFT_TCP_HEAD_MAGIC}, {.len = 8}},
        {{ask + 8, WEFT_TCP_PUT, WEFT_TCP_HEAD_MAGIC}, {.len = 8, .at = 1}},
        {{ask + 8, WEFT_TCP_PUT, WEFT_TCP_HEAD_MAGIC}, {.len = 8, .at = UINT64_MAX - 7}},
        {{ask + piece + 1, WEFT_TCP_PUT, WEFT_TCP_HEAD_MAGIC}, {.len = UINT64_MAX}},
        {{ask + piece + 1, WEFT_TCP_DATA, WEFT_TCP_HEAD_MAGIC}, {.id = 1}},
        {{ask + 1, WEFT_TCP_DONE, WEFT_TCP_HEAD_MAGIC}, {.id = 1}},
        {{UINT32_MAX, WEFT_TCP_DATA, WEFT_TCP_HEAD_MAGIC}, {.id = 1}},
        {{ask - 1, WEFT_TCP_LONG, WEFT_TCP_HEAD_MAGIC}, {.id = 1}},
        {{ask + (1u << 20) + 1, WEFT_TCP_LONG, WEFT_TCP_HEAD_MAGIC}, {.id = 1}},
        {{ask, WEFT_TCP_LONG + 1, WEFT_TCP_HEAD_MAGIC}, {.id = 1}},
        {{0, 0, WEFT_TCP_HEAD_MAGIC}, {.id = 1}},
        {{ask, WEFT_TCP_GET, WEFT_TCP_HEAD_MAGIC + 1}, {.id = 1}},
    };
    struct end end = {.ep = NULL};
    end_open(&end, 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int fd = dial(&end);
        say(fd, &bad[i], sizeof(bad[i]));
        end_hangs_up(&end, fd);
        assert_int_equal(end_stats(&end).malformed, i + 1);
    }
    end_close(&end);
}

static void who_says_bye_may_ask_for_nothing(void **state)
{
    (void)state;
    const struct weft_tcp_head bye = {0, WEFT_TCP_BYE, WEFT_TCP_HEAD_MAGIC};
    const struct weft_tcp_frame get = {
        {sizeof(struct weft_tcp_ask), WEFT_TCP_GET, WEFT_TCP_HEAD_MAGIC}, {.len = 8}};
    struct end end = {.ep = NULL};
    end_open(&end, 0);
    int fd = dial(&end);
    say(fd, &bye, sizeof(bye));
    say(fd, &get, sizeof(get));
    end_hangs_up(&end, fd);
    end_close(&end);
}

static void who_asks_without_end_and_does_not_read_is_shown_out(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair);
    const struct weft_tcp_frame get = {
        {sizeof(struct weft_tcp_ask), WEFT_TCP_GET, WEFT_TCP_HEAD_MAGIC},
        {.id = 1, .key = pair.key.key, .len = LEN}};
    int fd = dial(&pair.b);
    uint64_t malformed = end_stats(&pair.b).malformed;
    for (unsigned i = 0; i < 100000 && end_stats(&pair.b).malformed == malformed; i++) {
        if (send(fd, &get, sizeof(get), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            end_turn(&pair.b);
        if (i % 64 == 0)
            end_turn(&pair.b);
    }
    assert_int_equal(end_stats(&pair.b).malformed, malformed + 1);
    close(fd);
    end_say(&pair.a, &pair.b);
    pair_close(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_that_is_unregistered_while_it_is_read_ends_the_get_only),
        cmocka_unit_test(a_range_that_is_unregistered_while_it_is_written_is_left_alone),
        cmocka_unit_test(a_range_that_is_not_mapped_is_an_error_of_the_operation),
        cmocka_unit_test(memory_of_ours_that_is_not_mapped_is_an_error_of_the_get),
        cmocka_unit_test(frames_that_cannot_be_end_their_connection),
        cmocka_unit_test(who_says_bye_may_ask_for_nothing),
        cmocka_unit_test(who_asks_without_end_and_does_not_read_is_shown_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
