/* The stack of free indices. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "link/pool.h"
#include "weft/error.h"

#define N 8u
#define THREADS 4u
#define ROUNDS 20000u

static void all_indices_come_out_once_and_the_last_comes_first(void **state)
{
    (void)state;
    struct weft__pool pool = {0};
    assert_int_equal(weft__pool_init(&pool, N), WEFT_OK);
    unsigned seen = 0;
    for (unsigned i = 0; i < N; i++)
        seen |= 1u << weft__pool_get(&pool);
    assert_int_equal(seen, (1u << N) - 1);
    assert_int_equal(weft__pool_get(&pool), WEFT_POOL_NONE);
    weft__pool_put(&pool, 3);
    weft__pool_put(&pool, 5);
    assert_int_equal(weft__pool_get(&pool), 5);
    assert_int_equal(weft__pool_get(&pool), 3);
    assert_int_equal(weft__pool_get(&pool), WEFT_POOL_NONE);
    weft__pool_fini(&pool);
}

struct shared {
    struct weft__pool pool;
    atomic_int owner[N]; /* 1: somebody has it */
    atomic_int doubled;
};

static void *take_and_give(void *arg)
{
    struct shared *shared = arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint32_t index = weft__pool_get(&shared->pool);
        if (index == WEFT_POOL_NONE)
            continue;
        if (atomic_exchange(&shared->owner[index], 1))
            atomic_store(&shared->doubled, 1);
        atomic_store(&shared->owner[index], 0);
        weft__pool_put(&shared->pool, index);
    }
    return NULL;
}

static void no_two_threads_hold_the_same_index(void **state)
{
    (void)state;
    static struct shared shared;
    assert_int_equal(weft__pool_init(&shared.pool, 3), WEFT_OK);
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, &shared), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&shared.doubled), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_not_equal(weft__pool_get(&shared.pool), WEFT_POOL_NONE);
    assert_int_equal(weft__pool_get(&shared.pool), WEFT_POOL_NONE);
    weft__pool_fini(&shared.pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_indices_come_out_once_and_the_last_comes_first),
        cmocka_unit_test(no_two_threads_hold_the_same_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
