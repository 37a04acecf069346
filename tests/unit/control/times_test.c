#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>

#include "control/times.h"

#define SAMPLES 5000

static void an_empty_histogram_is_all_zero(void **state)
{
    struct weft_times times = {0};
    struct weft_service_times now = {.n = 77};

    (void)state;
    weft__times_get(&times, &now);
    assert_true(now.n == 0 && now.p50_us == 0 && now.p999_us == 0 && now.max_us == 0);
    assert_true(weft__times_mean_us(&times) == 0);
}

static void short_times_are_exact(void **state)
{
    struct weft_times times = {0};
    struct weft_service_times now;

    (void)state;
    for (uint64_t us = 0; us < 10; us++)
        weft__times_add(&times, us);
    weft__times_get(&times, &now);
    assert_true(now.n == 10 && now.p50_us == 4 && now.p99_us == 9 && now.max_us == 9);
    assert_true(weft__times_mean_us(&times) == 4);
}

static void a_time_is_never_told_too_low_and_at_most_an_eighth_too_high(void **state)
{
    (void)state;
    for (uint64_t us = 1; us < (uint64_t)1 << 34; us += 1 + us / 37) {
        struct weft_times times = {0};
        struct weft_service_times now;

        weft__times_add(&times, us);
        weft__times_add(&times, UINT64_MAX / 2); /* so that the largest does not tell it */
        weft__times_get(&times, &now);
        assert_true(now.p50_us >= us);
        assert_true(now.p50_us <= us + us / 8);
    }
}

static void the_longest_of_times_counts_in_the_last_bucket(void **state)
{
    struct weft_times times = {0};
    struct weft_service_times now;

    (void)state;
    weft__times_add(&times, UINT64_MAX);
    weft__times_get(&times, &now);
    assert_true(now.n == 1 && now.max_us == UINT64_MAX);
    assert_true(now.p50_us >= ((uint64_t)1 << 34) - 1);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void near(uint64_t told, uint64_t true_us)
{
    assert_true(told >= true_us);
    assert_true(told <= true_us + true_us / 8);
}

static void quantiles_are_those_of_the_sorted_times(void **state)
{
    static uint64_t sample[SAMPLES];
    uint64_t random = 88172645463325252u;

    (void)state;
    for (int round = 0; round < 20; round++) {
        struct weft_times times = {0};
        struct weft_service_times now;

        for (int i = 0; i < SAMPLES; i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            sample[i] = (random >> 20) >> (random % 40);
            sample[i] %= (uint64_t)1 << 34;
            weft__times_add(&times, sample[i]);
        }
        qsort(sample, SAMPLES, sizeof(sample[0]), by_value);
        weft__times_get(&times, &now);
        near(now.p50_us, sample[SAMPLES / 2 - 1]);
        near(now.p99_us, sample[SAMPLES * 99 / 100 - 1]);
        near(now.p999_us, sample[SAMPLES * 999 / 1000 - 1]);
        assert_true(now.max_us == sample[SAMPLES - 1] && now.n == SAMPLES);
    }
}

static void *add_many(void *arg)
{
    for (uint64_t us = 0; us < SAMPLES; us++)
        weft__times_add(arg, us);
    return NULL;
}

static void threads_may_add_at_once(void **state)
{
    struct weft_times times = {0};
    struct weft_service_times now;
    pthread_t threads[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, &times), 0);
    for (int i = 0; i < 100; i++)
        weft__times_get(&times, &now);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    weft__times_get(&times, &now);
    assert_true(now.n == 4 * SAMPLES && now.max_us == SAMPLES - 1);
    assert_true(weft__times_mean_us(&times) == (SAMPLES - 1) / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_histogram_is_all_zero),
        cmocka_unit_test(short_times_are_exact),
        cmocka_unit_test(a_time_is_never_told_too_low_and_at_most_an_eighth_too_high),
        cmocka_unit_test(the_longest_of_times_counts_in_the_last_bucket),
        cmocka_unit_test(quantiles_are_those_of_the_sorted_times),
        cmocka_unit_test(threads_may_add_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
