#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#include "base/ring.h"
#include "weft/error.h"

static bool memory_is_out;

void *__real_calloc(size_t n, size_t len_bytes);
void *__wrap_calloc(size_t n, size_t len_bytes);

void *__wrap_calloc(size_t n, size_t len_bytes)
{
    return memory_is_out ? NULL : __real_calloc(n, len_bytes);
}

/* Items are numbers in disguise. */
static void *item_of(uintptr_t number)
{
    return (void *)number;
}

static void a_wrong_capacity_is_refused(void **state)
{
    (void)state;
    static const size_t spsc_wrong[] = {0, 3, 6, SIZE_MAX};
    static const size_t mpsc_wrong[] = {0, 1, 3, SIZE_MAX};
    struct weft_spsc spsc = {0};
    struct weft_mpsc mpsc = {0};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(weft__spsc_init(&spsc, spsc_wrong[i]), WEFT_EINVAL);
        assert_int_equal(weft__mpsc_init(&mpsc, mpsc_wrong[i]), WEFT_EINVAL);
    }
    assert_null(spsc.slots);
    assert_null(mpsc.slots);
}

static void no_memory_is_an_error(void **state)
{
    (void)state;
    struct weft_spsc spsc = {0};
    struct weft_mpsc mpsc = {0};
    memory_is_out = true;
    int spsc_err = weft__spsc_init(&spsc, 8), mpsc_err = weft__mpsc_init(&mpsc, 8);
    memory_is_out = false;
    assert_int_equal(spsc_err, WEFT_ENOMEM);
    assert_int_equal(mpsc_err, WEFT_ENOMEM);
}

static void fini_of_a_zeroed_ring_is_fine(void **state)
{
    (void)state;
    struct weft_spsc spsc = {0};
    struct weft_mpsc mpsc = {0};
    weft__spsc_fini(&spsc);
    weft__mpsc_fini(&mpsc);
}

static void a_full_ring_refuses_the_next_item(void **state)
{
    (void)state;
    struct weft_spsc spsc = {0};
    struct weft_mpsc mpsc = {0};
    assert_int_equal(weft__spsc_init(&spsc, 4), WEFT_OK);
    assert_int_equal(weft__mpsc_init(&mpsc, 4), WEFT_OK);
    for (uintptr_t i = 1; i <= 4; i++) {
        assert_true(weft__spsc_push(&spsc, item_of(i)));
        assert_true(weft__mpsc_push(&mpsc, item_of(i)));
    }
    assert_false(weft__spsc_push(&spsc, item_of(5)));
    assert_false(weft__mpsc_push(&mpsc, item_of(5)));
    assert_ptr_equal(weft__spsc_pop(&spsc), item_of(1));
    assert_ptr_equal(weft__mpsc_pop(&mpsc), item_of(1));
    assert_true(weft__spsc_push(&spsc, item_of(5)));
    assert_true(weft__mpsc_push(&mpsc, item_of(5)));
    assert_false(weft__spsc_push(&spsc, item_of(6)));
    assert_false(weft__mpsc_push(&mpsc, item_of(6)));
    weft__spsc_fini(&spsc);
    weft__mpsc_fini(&mpsc);
}

static void an_empty_ring_pops_nothing(void **state)
{
    (void)state;
    struct weft_spsc spsc = {0};
    struct weft_mpsc mpsc = {0};
    assert_int_equal(weft__spsc_init(&spsc, 1), WEFT_OK);
    assert_int_equal(weft__mpsc_init(&mpsc, 2), WEFT_OK);
    assert_null(weft__spsc_pop(&spsc));
    assert_null(weft__mpsc_pop(&mpsc));
    assert_true(weft__mpsc_empty(&mpsc));
    assert_true(weft__mpsc_idle(&mpsc));
    assert_true(weft__mpsc_push(&mpsc, item_of(1)));
    assert_false(weft__mpsc_empty(&mpsc));
    assert_false(weft__mpsc_idle(&mpsc));
    assert_non_null(weft__mpsc_pop(&mpsc));
    assert_true(weft__mpsc_empty(&mpsc));
    assert_true(weft__mpsc_idle(&mpsc));
    weft__spsc_fini(&spsc);
    weft__mpsc_fini(&mpsc);
}

static void order_is_kept_over_many_rounds(void **state)
{
    (void)state;
    struct weft_spsc spsc = {0};
    struct weft_mpsc mpsc = {0};
    assert_int_equal(weft__spsc_init(&spsc, 8), WEFT_OK);
    assert_int_equal(weft__mpsc_init(&mpsc, 8), WEFT_OK);
    uintptr_t in = 1, out = 1;
    for (unsigned round = 0; round < 1000; round++) {
        for (unsigned i = 0; i < 1 + round % 8; i++, in++) {
            assert_true(weft__spsc_push(&spsc, item_of(in)));
            assert_true(weft__mpsc_push(&mpsc, item_of(in)));
        }
        for (; out != in; out++) {
            assert_ptr_equal(weft__spsc_pop(&spsc), item_of(out));
            assert_ptr_equal(weft__mpsc_pop(&mpsc), item_of(out));
        }
    }
    weft__spsc_fini(&spsc);
    weft__mpsc_fini(&mpsc);
}

#define ITEMS 20000
#define PRODUCERS 3

struct item {
    unsigned producer;
    unsigned number; /* plain memory: the ring must order it */
};

struct flood {
    struct weft_spsc spsc;
    struct weft_mpsc mpsc;
    struct item (*items)[ITEMS];
    atomic_uint next_producer;
};

static void *flood_spsc(void *argument)
{
    struct flood *flood = argument;
    for (unsigned i = 0; i < ITEMS; i++) {
        flood->items[0][i] = (struct item){0, i};
        while (!weft__spsc_push(&flood->spsc, &flood->items[0][i]))
            sched_yield();
    }
    return NULL;
}

static void spsc_hands_every_item_over_once_and_in_order(void **state)
{
    (void)state;
    struct flood flood = {.items = test_calloc(1, sizeof(*flood.items))};
    assert_int_equal(weft__spsc_init(&flood.spsc, 64), WEFT_OK);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, flood_spsc, &flood), 0);
    for (unsigned i = 0; i < ITEMS;) {
        struct item *item = weft__spsc_pop(&flood.spsc);
        if (!item) {
            sched_yield();
            continue;
        }
        assert_int_equal(item->number, i);
        i++;
    }
    pthread_join(thread, NULL);
    assert_null(weft__spsc_pop(&flood.spsc));
    weft__spsc_fini(&flood.spsc);
    test_free(flood.items);
}

static void *flood_mpsc(void *argument)
{
    struct flood *flood = argument;
    unsigned producer = atomic_fetch_add(&flood->next_producer, 1);
    for (unsigned i = 0; i < ITEMS; i++) {
        flood->items[producer][i] = (struct item){producer, i};
        while (!weft__mpsc_push(&flood->mpsc, &flood->items[producer][i]))
            sched_yield();
    }
    return NULL;
}

static void mpsc_hands_every_item_over_once_and_in_order_per_producer(void **state)
{
    (void)state;
    struct flood flood = {.items = test_calloc(PRODUCERS, sizeof(*flood.items))};
    assert_int_equal(weft__mpsc_init(&flood.mpsc, 64), WEFT_OK);
    pthread_t threads[PRODUCERS];
    for (unsigned i = 0; i < PRODUCERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, flood_mpsc, &flood), 0);
    unsigned next[PRODUCERS] = {0};
    for (unsigned n = 0; n < PRODUCERS * ITEMS;) {
        struct item *item = weft__mpsc_pop(&flood.mpsc);
        if (!item) {
            sched_yield();
            continue;
        }
        assert_int_equal(item->number, next[item->producer]);
        next[item->producer]++;
        n++;
    }
    for (unsigned i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    assert_true(weft__mpsc_empty(&flood.mpsc));
    assert_true(weft__mpsc_idle(&flood.mpsc));
    weft__mpsc_fini(&flood.mpsc);
    test_free(flood.items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_capacity_is_refused),
        cmocka_unit_test(no_memory_is_an_error),
        cmocka_unit_test(fini_of_a_zeroed_ring_is_fine),
        cmocka_unit_test(a_full_ring_refuses_the_next_item),
        cmocka_unit_test(an_empty_ring_pops_nothing),
        cmocka_unit_test(order_is_kept_over_many_rounds),
        cmocka_unit_test(spsc_hands_every_item_over_once_and_in_order),
        cmocka_unit_test(mpsc_hands_every_item_over_once_and_in_order_per_producer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
