#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "cell/clock.h"

#define SECOND UINT64_C(1000000000)
#define FAR (UINT64_C(1000000) * SECOND)

static uint64_t rank_ns(const struct weft__clock *clock, int clock_id)
{
    struct timespec time;
    uint64_t id = weft__clock_of_host((uint64_t)clock_id);
    if (clock_gettime((clockid_t)id, &time) != 0)
        return 0;
    weft__clock_to_rank(clock, id, &time);
    assert_in_range(time.tv_nsec, 0, SECOND - 1);
    return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

static const int going[] = {CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW,      CLOCK_MONOTONIC_COARSE,
                            CLOCK_BOOTTIME,  CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
enum { GOING = sizeof(going) / sizeof(going[0]) };

/* Stops a rank whose clocks are so far ahead of this host's, lets it arrive here, and checks that
 * all of them go on. */
static void move(uint64_t ahead_ns)
{
    struct weft__clock clock = {0};
    weft__clock_begin(&clock);
    weft__clock_stop(&clock);
    for (int id = 0; id < WEFT__CLOCKS; id++)
        clock.stopped_ns[id] += ahead_ns + (uint64_t)id * SECOND;
    const uint64_t ahead = ahead_ns + CLOCK_MONOTONIC * SECOND;
    weft__clock_arrive(&clock, (int64_t)ahead);
    for (int i = 0; i < GOING; i++) {
        uint64_t now_ns = rank_ns(&clock, going[i]),
                 stopped_ns = clock.stopped_ns[weft__clock_of_host((uint64_t)going[i])];
        assert_true((int64_t)(now_ns - stopped_ns) >= 0);
        assert_true(now_ns - stopped_ns < 600 * SECOND);
    }
}

static void clocks_go_on_from_where_they_were_stopped(void **state)
{
    (void)state;
    move(0);
    move(1);
    move(FAR + 123456789);
}

static void clocks_of_a_host_that_is_older_are_held_back(void **state)
{
    (void)state;
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    move(0 - (uint64_t)now.tv_sec / 2 * SECOND - 987654321);
}

static void the_world_s_time_is_the_host_s(void **state)
{
    (void)state;
    struct weft__clock clock = {0};
    for (int id = 0; id < WEFT__CLOCKS; id++)
        clock.stopped_ns[id] = FAR * 5000;
    weft__clock_arrive(&clock, (int64_t)(FAR * 5000));
    struct timespec now, own;
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
    own = now;
    weft__clock_to_rank(&clock, CLOCK_REALTIME, &own);
    assert_memory_equal(&own, &now, sizeof(own));
    weft__clock_to_rank(&clock, 1u << 20, &own);
    assert_memory_equal(&own, &now, sizeof(own));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clocks_go_on_from_where_they_were_stopped),
        cmocka_unit_test(clocks_of_a_host_that_is_older_are_held_back),
        cmocka_unit_test(the_world_s_time_is_the_host_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
