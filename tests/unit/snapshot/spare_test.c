/* Buffers that are used again: which one comes back, how many wait, who may ask. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "snapshot/region.h"
#include "snapshot/spare.h"

enum { THREADS = 4, TURNS = 2000 };

/* How many of the buffers are mapped still. */
static unsigned mapped(void *const *buffers, unsigned n)
{
    unsigned found = 0;
    for (unsigned i = 0; i < n; i++)
        found += msync(buffers[i], WEFT_REGION_PAGE, MS_ASYNC) == 0;
    return found;
}

static void a_buffer_serves_the_next_who_needs_about_as_much(void **state)
{
    (void)state;
    unsigned char *bytes = weft__spare_get(5 * WEFT_REGION_PAGE);
    assert_non_null(bytes);
    assert_int_equal((uintptr_t)bytes % WEFT_REGION_PAGE, 0);
    memset(bytes, 1, 5 * WEFT_REGION_PAGE);
    weft__spare_put(bytes, 5 * WEFT_REGION_PAGE);
    unsigned char *again = weft__spare_get(8 * WEFT_REGION_PAGE);
    assert_ptr_equal(again, bytes);
    memset(again, 2, 8 * WEFT_REGION_PAGE);
    unsigned char *other = weft__spare_get(8 * WEFT_REGION_PAGE);
    assert_ptr_not_equal(other, again);
    weft__spare_put(again, 8 * WEFT_REGION_PAGE);
    weft__spare_put(other, 8 * WEFT_REGION_PAGE);
    weft__spare_put(NULL, 1);
}

static void no_more_wait_than_the_bound(void **state)
{
    void *buffers[WEFT_SPARES + 3];
    const unsigned n = sizeof(buffers) / sizeof(buffers[0]);
    (void)state;
    for (unsigned i = 0; i < n; i++)
        buffers[i] = weft__spare_get((size_t)1 << 20);
    for (unsigned i = 0; i < n; i++)
        weft__spare_put(buffers[i], (size_t)1 << 20);
    assert_int_equal(mapped(buffers, n), WEFT_SPARES);
    assert_ptr_equal(weft__spare_get((size_t)1 << 20), buffers[n - 1]); /* the warmest first */
    weft__spare_put(buffers[n - 1], (size_t)1 << 20);
}

static void a_buffer_that_is_too_large_does_not_wait(void **state)
{
    (void)state;
    void *bytes = weft__spare_get(WEFT_SPARE_BYTES + 1);
    ((char *)bytes)[WEFT_SPARE_BYTES] = 1;
    weft__spare_put(bytes, WEFT_SPARE_BYTES + 1);
    assert_int_equal(mapped(&bytes, 1), 0);
}

static void *use(void *arg)
{
    const unsigned char mark = *(const unsigned char *)arg;
    for (size_t i = 0; i < TURNS; i++) {
        size_t len = (1 + i % 3) * WEFT_REGION_PAGE;
        unsigned char *bytes = weft__spare_get(len);
        memset(bytes, mark, len);
        for (size_t at = 0; at < len; at += 64)
            if (bytes[at] != mark)
                return arg;
        weft__spare_put(bytes, len);
    }
    return NULL;
}

static void nobody_gets_what_another_has(void **state)
{
    pthread_t threads[THREADS];
    unsigned char marks[THREADS];
    void *result;
    (void)state;
    for (unsigned i = 0; i < THREADS; i++) {
        marks[i] = (unsigned char)i;
        assert_int_equal(pthread_create(&threads[i], NULL, use, &marks[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &result);
        assert_null(result);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_serves_the_next_who_needs_about_as_much),
        cmocka_unit_test(no_more_wait_than_the_bound),
        cmocka_unit_test(a_buffer_that_is_too_large_does_not_wait),
        cmocka_unit_test(nobody_gets_what_another_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
