#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>

#include "base/counter.h"

static void a_zeroed_counter_counts_from_zero(void **state)
{
    (void)state;
    struct weft_counter counter = {0};
    assert_int_equal(weft__counter_get(&counter), 0);
    weft__counter_add(&counter, 3);
    weft__counter_add(&counter, 4);
    assert_int_equal(weft__counter_get(&counter), 7);
}

static void *add_many(void *argument)
{
    for (int i = 0; i < 10000; i++)
        weft__counter_add(argument, 1);
    return NULL;
}

static void adds_of_several_threads_all_count(void **state)
{
    (void)state;
    struct weft_counter counter = {0};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, &counter), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(weft__counter_get(&counter), 40000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_zeroed_counter_counts_from_zero),
        cmocka_unit_test(adds_of_several_threads_all_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
