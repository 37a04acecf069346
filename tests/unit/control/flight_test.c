#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "control/flight.h"
#include "weft/error.h"

#define N 64

static void a_full_table_takes_no_more(void **state)
{
    struct weft_flights flights = {0};
    struct weft_flight a = {0}, b = {0}, c = {0};

    (void)state;
    assert_int_equal(weft__flights_init(&flights, 2), WEFT_OK);
    assert_true(weft__flights_add(&flights, &a));
    assert_true(weft__flights_add(&flights, &b));
    assert_false(weft__flights_add(&flights, &c));
    weft__flights_remove(&flights, &a);
    assert_true(weft__flights_add(&flights, &c));
    weft__flights_fini(&flights);
}

static void a_flight_is_found_by_its_correlation_only_while_it_lasts(void **state)
{
    struct weft_flights flights = {0};
    struct weft_flight a = {0}, b = {0};
    uint64_t old;

    (void)state;
    assert_int_equal(weft__flights_init(&flights, 1), WEFT_OK);
    weft__flights_add(&flights, &a);
    old = a.correlation;
    assert_true(old != 0);
    assert_ptr_equal(weft__flights_find(&flights, old), &a);
    weft__flights_remove(&flights, &a);
    assert_null(weft__flights_find(&flights, old));
    weft__flights_add(&flights, &b);
    assert_null(weft__flights_find(&flights, old));
    assert_ptr_equal(weft__flights_find(&flights, b.correlation), &b);
    assert_null(weft__flights_find(&flights, UINT64_MAX));
    weft__flights_fini(&flights);
}

static void the_earliest_deadline_is_always_on_top(void **state)
{
    struct weft_flights flights = {0};
    struct weft_flight all[N];
    uint32_t random = 12345;
    uint64_t before = 0;

    (void)state;
    memset(all, 0, sizeof(all));
    assert_null(weft__flights_earliest(&flights));
    assert_int_equal(weft__flights_init(&flights, N), WEFT_OK);
    for (int i = 0; i < N; i++) {
        random = random * 1664525 + 1013904223;
        all[i].deadline_ns = random >> 20;
        assert_true(weft__flights_add(&flights, &all[i]));
    }
    for (int i = 0; i < N; i += 3) /* out of the middle as well */
        weft__flights_remove(&flights, &all[i]);
    for (size_t left = flights.n; left > 0; left--) {
        struct weft_flight *top = weft__flights_earliest(&flights);

        assert_true(top->deadline_ns >= before);
        before = top->deadline_ns;
        weft__flights_remove(&flights, top);
    }
    assert_null(weft__flights_earliest(&flights));
    weft__flights_fini(&flights);
}

static void what_must_be_looked_at_earlier_comes_to_the_top(void **state)
{
    struct weft_flights flights = {0};
    struct weft_flight all[N];

    (void)state;
    memset(all, 0, sizeof(all));
    assert_int_equal(weft__flights_init(&flights, N), WEFT_OK);
    for (uint64_t i = 0; i < N; i++) {
        all[i].deadline_ns = 1000 + i;
        assert_true(weft__flights_add(&flights, &all[i]));
    }
    weft__flights_wake(&flights, &all[N - 1], 5);
    assert_ptr_equal(weft__flights_earliest(&flights), &all[N - 1]);
    weft__flights_wake(&flights, &all[7], 0);
    assert_ptr_equal(weft__flights_earliest(&flights), &all[7]);
    weft__flights_wake(&flights, &all[7], 5000);
    assert_ptr_equal(weft__flights_earliest(&flights), &all[N - 1]);
    weft__flights_wake(&flights, &all[N - 1], 6000);
    assert_ptr_equal(weft__flights_earliest(&flights), &all[0]);
    weft__flights_fini(&flights);
}

static void a_flight_is_found_by_its_ticket_until_that_is_removed(void **state)
{
    struct weft_flights flights = {0};
    struct weft_flight all[N], none = {.ticket = 0};

    (void)state;
    memset(all, 0, sizeof(all));
    assert_int_equal(weft__flights_init(&flights, 8), WEFT_OK); /* chains are shared */
    weft__flights_add_ticket(&flights, &none);
    for (uint64_t i = 0; i < N; i++) {
        all[i].ticket = 1 + i;
        weft__flights_add_ticket(&flights, &all[i]);
    }
    for (uint64_t i = 0; i < N; i++)
        assert_ptr_equal(weft__flights_find_ticket(&flights, 1 + i), &all[i]);
    for (uint64_t i = 0; i < N; i += 3)
        weft__flights_remove_ticket(&flights, &all[i]);
    for (uint64_t i = 0; i < N; i++)
        assert_ptr_equal(weft__flights_find_ticket(&flights, 1 + i), i % 3 == 0 ? NULL : &all[i]);
    assert_null(weft__flights_find_ticket(&flights, N + 1));
    weft__flights_remove_ticket(&flights, &none);
    weft__flights_fini(&flights);
}

static void fini_of_a_zeroed_table_is_fine(void **state)
{
    struct weft_flights flights = {0};

    (void)state;
    weft__flights_fini(&flights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_table_takes_no_more),
        cmocka_unit_test(a_flight_is_found_by_its_correlation_only_while_it_lasts),
        cmocka_unit_test(the_earliest_deadline_is_always_on_top),
        cmocka_unit_test(what_must_be_looked_at_earlier_comes_to_the_top),
        cmocka_unit_test(a_flight_is_found_by_its_ticket_until_that_is_removed),
        cmocka_unit_test(fini_of_a_zeroed_table_is_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
