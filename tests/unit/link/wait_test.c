/* Threads that sleep on a lane in the progress thread's place, over one transport, named on the
 * command line. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "pair.h"
#include "weft/error.h"

#define ROUNDS 300u

/* Counts messages; whoever drives wakes the one who waits for the count. */
struct box {
    _Atomic uint32_t count;
};

static void counted(struct end *end, const void *data, size_t len_bytes)
{
    struct box *box = end->user;
    (void)data;
    (void)len_bytes;
    atomic_fetch_add(&box->count, 1);
    if (end->lane)
        weft__lane_kick(end->lane, &box->count);
}

static void wait_for(struct end *end, uint32_t wanted)
{
    struct box *box = end->user;
    uint32_t seen;
    while ((seen = atomic_load(&box->count)) < wanted) {
        int err = weft__lane_wait(end->lane, &box->count, seen, WEFT_NEVER);
        assert_true(err == WEFT_OK);
    }
}

struct pair {
    struct end a, b;
    struct box box_a, box_b;
};

static void open_counted(struct pair *pair, const char *progress)
{
    memset(pair, 0, sizeof(*pair));
    pair->a.message = pair->b.message = counted;
    pair->a.user = &pair->box_a;
    pair->b.user = &pair->box_b;
    pair_open(&pair->a, &pair->b, progress);
}

static void *answer_all(void *arg)
{
    struct pair *pair = arg;
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        wait_for(&pair->b, i);
        end_send(&pair->b, "pong", 4);
    }
    return NULL;
}

static void two_threads_that_wait_wake_each_other(const char *progress)
{
    struct pair pair;
    pthread_t thread;
    open_counted(&pair, progress);
    assert_int_equal(pthread_create(&thread, NULL, answer_all, &pair), 0);
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        end_send(&pair.a, "ping", 4);
        wait_for(&pair.a, i);
    }
    pthread_join(thread, NULL);
    pair_close(&pair.a, &pair.b);
}

static void what_arrives_wakes_the_thread_that_waits(void **state)
{
    (void)state;
    two_threads_that_wait_wake_each_other("thread");
}

static void a_lane_without_a_thread_is_driven_by_who_waits(void **state)
{
    (void)state;
    two_threads_that_wait_wake_each_other("worker");
}

static void *wait_for_one(void *arg)
{
    wait_for(arg, 1);
    return NULL;
}

static void a_kick_wakes_the_thread_that_waits_and_no_other_may(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        struct pair pair;
        pthread_t thread;
        _Atomic uint32_t other = 0;
        open_counted(&pair, "thread");
        assert_int_equal(pthread_create(&thread, NULL, wait_for_one, &pair.a), 0);
        while (!weft__lane_is_waited(pair.a.lane))
            sched_yield();
        int err = weft__lane_wait(pair.a.lane, &other, 0, 1);
        assert_true(err == WEFT_EBUSY || err == WEFT_OK ||
                    err == WEFT_ETIMEDOUT); /* refused, unless it stands between two waits */
        weft__lane_kick(pair.a.lane, &other);
        atomic_store(&pair.box_a.count, 1);
        weft__lane_kick(pair.a.lane, &pair.box_a.count);
        pthread_join(thread, NULL);
        assert_false(weft__lane_is_waited(pair.a.lane));
        pair_close(&pair.a, &pair.b);
    }
}

static void a_wait_ends_at_its_deadline(void **state)
{
    (void)state;
    struct pair pair;
    open_counted(&pair, "thread");
    uint64_t deadline_ns = weft__now_ns() + 3 * WEFT_NS_PER_MS;
    int err;
    while ((err = weft__lane_wait(pair.a.lane, &pair.box_a.count, 0, deadline_ns)) == WEFT_OK)
        ;
    assert_int_equal(err, WEFT_ETIMEDOUT);
    assert_true(weft__now_ns() >= deadline_ns);
    pair_close(&pair.a, &pair.b);
}

static void a_word_that_has_changed_is_not_slept_on(void **state)
{
    (void)state;
    struct pair pair;
    open_counted(&pair, "thread");
    assert_int_equal(weft__lane_wait(pair.a.lane, &pair.box_a.count, 7, WEFT_NEVER), WEFT_OK);
    pair_close(&pair.a, &pair.b);
}

/* The thread has stepped back because of the drives; nobody drives any more. */
static void hear_without_driving(struct pair *pair, uint32_t wanted)
{
    end_send(&pair->b, "anybody there?", 14);
    weft__lane_leave(pair->b.lane);
    while (atomic_load(&pair->box_a.count) < wanted)
        sched_yield();
}

static void the_progress_thread_takes_over_when_nobody_drives(void **state)
{
    (void)state;
    struct pair pair;
    open_counted(&pair, "thread");
    for (uint32_t i = 1; i <= 20; i++) {
        for (unsigned k = 0; k < 50; k++)
            weft__lane_drive(pair.a.lane);
        if (i % 2)
            weft__lane_leave(pair.a.lane);
        hear_without_driving(&pair, i);
    }
    pair_close(&pair.a, &pair.b);
}

static void *sleep_long(void *arg)
{
    wait_for(arg, 1);
    return NULL;
}

static void the_progress_thread_takes_over_when_a_long_sleeper_goes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        struct pair pair;
        struct weft_lane_stats before, after;
        pthread_t thread;
        open_counted(&pair, "thread");
        assert_int_equal(pthread_create(&thread, NULL, sleep_long, &pair.a), 0);
        unsigned rests = 0; /* until the progress thread sleeps without a limit */
        while (rests < 3) {
            weft__lane_stats(pair.a.lane, &before);
            for (volatile unsigned k = 0; k < 3000000; k++)
                ;
            weft__lane_stats(pair.a.lane, &after);
            rests = before.progress_cpu_ns == after.progress_cpu_ns ? rests + 1 : 0;
        }
        hear_without_driving(&pair, 1);
        pthread_join(thread, NULL);
        hear_without_driving(&pair, 2);
        pair_close(&pair.a, &pair.b);
    }
}

struct driver {
    struct weft_lane *lane;
    atomic_bool *stop;
};

static void *drive_now_and_then(void *arg)
{
    struct driver *driver = arg;
    for (unsigned i = 0; !atomic_load(driver->stop); i++) {
        weft__lane_drive(driver->lane);
        if (i % 7 == 0)
            weft__lane_leave(driver->lane);
        sched_yield();
    }
    return NULL;
}

static void nothing_is_missed_while_others_drive_too(void **state)
{
    (void)state;
    struct pair pair;
    atomic_bool stop = false;
    pthread_t drivers[2], thread;
    open_counted(&pair, "thread");
    struct driver driver[2] = {{pair.a.lane, &stop}, {pair.b.lane, &stop}};
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&drivers[i], NULL, drive_now_and_then, &driver[i]), 0);
    assert_int_equal(pthread_create(&thread, NULL, answer_all, &pair), 0);
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        end_send(&pair.a, "ping", 4);
        wait_for(&pair.a, i);
    }
    pthread_join(thread, NULL);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(drivers[i], NULL);
    pair_close(&pair.a, &pair.b);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        pair_scheme = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_arrives_wakes_the_thread_that_waits),
        cmocka_unit_test(a_lane_without_a_thread_is_driven_by_who_waits),
        cmocka_unit_test(a_kick_wakes_the_thread_that_waits_and_no_other_may),
        cmocka_unit_test(a_wait_ends_at_its_deadline),
        cmocka_unit_test(a_word_that_has_changed_is_not_slept_on),
        cmocka_unit_test(the_progress_thread_takes_over_when_nobody_drives),
        cmocka_unit_test(the_progress_thread_takes_over_when_a_long_sleeper_goes),
        cmocka_unit_test(nothing_is_missed_while_others_drive_too),
    };
    return cmocka_run_group_tests_name(pair_scheme, tests, NULL, NULL);
}
