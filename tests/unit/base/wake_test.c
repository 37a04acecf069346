#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ring.h"
#include "base/wake.h"
#include "weft/error.h"

static bool is_readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return poll(&poll_fd, 1, 0) == 1;
}

static void a_set_wakefd_polls_readable_until_it_is_drained(void **state)
{
    (void)state;
    struct weft_wakefd wake = {0};
    assert_int_equal(weft__wakefd_open(&wake), WEFT_OK);
    assert_false(is_readable(wake.fd));
    weft__wakefd_set(&wake);
    assert_true(is_readable(wake.fd));
    weft__wakefd_drain(&wake);
    assert_false(is_readable(wake.fd));
    weft__wakefd_set(&wake);
    assert_true(is_readable(wake.fd));
    weft__wakefd_close(&wake);
}

static void many_sets_are_one_wake_up(void **state)
{
    (void)state;
    struct weft_wakefd wake = {0};
    assert_int_equal(weft__wakefd_open(&wake), WEFT_OK);
    for (int i = 0; i < 100; i++)
        weft__wakefd_set(&wake);
    uint64_t count = 0;
    assert_int_equal(read(wake.fd, &count, sizeof(count)), sizeof(count));
    assert_int_equal(count, 1);
    weft__wakefd_close(&wake);
}

static void draining_without_a_set_is_fine(void **state)
{
    (void)state;
    struct weft_wakefd wake = {0};
    assert_int_equal(weft__wakefd_open(&wake), WEFT_OK);
    weft__wakefd_drain(&wake);
    assert_false(is_readable(wake.fd));
    weft__wakefd_close(&wake);
}

static void closing_a_zeroed_or_closed_wakefd_closes_nothing(void **state)
{
    (void)state;
    struct weft_wakefd wake = {0};
    weft__wakefd_close(&wake);
    assert_int_equal(weft__wakefd_open(&wake), WEFT_OK);
    assert_true(wake.fd > 0);
    weft__wakefd_close(&wake);
    weft__wakefd_close(&wake);
    assert_true(dup2(STDIN_FILENO, STDIN_FILENO) == STDIN_FILENO);
}

static void a_wakefd_is_never_descriptor_zero(void **state)
{
    (void)state;
    int keep = dup(STDIN_FILENO);
    assert_true(keep > 0);
    close(STDIN_FILENO);
    struct weft_wakefd wake = {0};
    int err = weft__wakefd_open(&wake);
    assert_int_equal(dup2(keep, STDIN_FILENO), STDIN_FILENO);
    close(keep);
    assert_int_equal(err, WEFT_OK);
    assert_true(wake.fd > 2);
    weft__wakefd_close(&wake);
}

static void too_many_open_files_is_an_error(void **state)
{
    (void)state;
    struct rlimit limit, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct weft_wakefd wake = {0};
    int err = weft__wakefd_open(&wake);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(err, WEFT_EMFILE);
    assert_int_equal(wake.fd, 0);
}

#define ITEMS 20000

struct crossing {
    struct weft_mpsc ring;
    struct weft_wakefd wake;
    unsigned items[ITEMS]; /* plain memory: the ring must order it */
};

static void *send_items(void *argument)
{
    struct crossing *crossing = argument;
    for (unsigned i = 0; i < ITEMS; i++) {
        crossing->items[i] = i;
        while (!weft__mpsc_push(&crossing->ring, &crossing->items[i]))
            sched_yield();
        weft__wakefd_set(&crossing->wake);
    }
    return NULL;
}

static void no_wake_up_is_lost_between_drain_and_set(void **state)
{
    (void)state;
    struct crossing *crossing = test_calloc(1, sizeof(*crossing));
    assert_int_equal(weft__mpsc_init(&crossing->ring, 16), WEFT_OK);
    assert_int_equal(weft__wakefd_open(&crossing->wake), WEFT_OK);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, send_items, crossing), 0);
    for (unsigned next = 0; next < ITEMS;) {
        struct pollfd poll_fd = {.fd = crossing->wake.fd, .events = POLLIN};
        assert_int_equal(poll(&poll_fd, 1, -1), 1);
        weft__wakefd_drain(&crossing->wake);
        for (unsigned *item; (item = weft__mpsc_pop(&crossing->ring)); next++)
            assert_int_equal(*item, next);
    }
    pthread_join(thread, NULL);
    weft__wakefd_close(&crossing->wake);
    weft__mpsc_fini(&crossing->ring);
    test_free(crossing);
}

static void a_changed_word_does_not_sleep(void **state)
{
    (void)state;
    _Atomic uint32_t word = 5;
    assert_int_equal(weft__futex_wait(&word, 4, WEFT_NEVER), WEFT_OK);
}

static void a_deadline_in_the_past_ends_the_wait(void **state)
{
    (void)state;
    _Atomic uint32_t word = 5;
    int err;
    do {
        err = weft__futex_wait(&word, 5, weft__now_ns());
    } while (err == WEFT_OK);
    assert_int_equal(err, WEFT_ETIMEDOUT);
    assert_int_equal(weft__futex_wait(&word, 5, 0), WEFT_ETIMEDOUT);
}

struct turns {
    _Atomic uint32_t word; /* even: ours, odd: the other thread's */
    unsigned value;        /* plain memory: the word must order it */
};

#define ROUNDS 2000

static void *take_turns(void *argument)
{
    struct turns *turns = argument;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t seen;
        while ((seen = atomic_load_explicit(&turns->word, memory_order_acquire)) % 2 == 0)
            weft__futex_wait(&turns->word, seen, WEFT_NEVER);
        turns->value++;
        atomic_store_explicit(&turns->word, seen + 1, memory_order_release);
        weft__futex_wake(&turns->word);
    }
    return NULL;
}

static void a_woken_thread_sees_what_was_written_before(void **state)
{
    (void)state;
    struct turns turns = {0};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, take_turns, &turns), 0);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        assert_int_equal(turns.value, 2 * round);
        turns.value++;
        atomic_store_explicit(&turns.word, 2 * round + 1, memory_order_release);
        weft__futex_wake(&turns.word);
        while (atomic_load_explicit(&turns.word, memory_order_acquire) == 2 * round + 1)
            assert_int_equal(weft__futex_wait(&turns.word, 2 * round + 1, WEFT_NEVER), WEFT_OK);
    }
    pthread_join(thread, NULL);
    assert_int_equal(turns.value, 2 * ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_wakefd_polls_readable_until_it_is_drained),
        cmocka_unit_test(many_sets_are_one_wake_up),
        cmocka_unit_test(draining_without_a_set_is_fine),
        cmocka_unit_test(closing_a_zeroed_or_closed_wakefd_closes_nothing),
        cmocka_unit_test(a_wakefd_is_never_descriptor_zero),
        cmocka_unit_test(too_many_open_files_is_an_error),
        cmocka_unit_test(no_wake_up_is_lost_between_drain_and_set),
        cmocka_unit_test(a_changed_word_does_not_sleep),
        cmocka_unit_test(a_deadline_in_the_past_ends_the_wait),
        cmocka_unit_test(a_woken_thread_sees_what_was_written_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
