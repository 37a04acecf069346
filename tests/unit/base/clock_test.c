#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/clock.h"

static void the_real_clock_never_goes_backwards(void **state)
{
    (void)state;
    const struct weft_clock *clock = weft__clock_real();
    uint64_t before = weft__now_ns();
    for (int i = 0; i < 10000; i++) {
        uint64_t now = weft__clock_now(clock);
        assert_true(now >= before);
        before = now;
    }
    assert_true(weft__now_ns() >= before);
}

static void what_is_left_is_rounded_up_and_has_an_end(void **state)
{
    (void)state;
    assert_int_equal(weft__left_ms(weft__now_ns()), 0);
    assert_int_equal(weft__left_ms(0), 0);
    assert_in_range(weft__left_ms(weft__now_ns() + 60 * WEFT_NS_PER_S), 1, 60000);
    assert_true(weft__left_ms(WEFT_NEVER) == UINT32_MAX);
}

static uint64_t fixed(void *ctx)
{
    return *(uint64_t *)ctx;
}

static void a_clock_can_be_the_tests_own(void **state)
{
    (void)state;
    uint64_t now = 5;
    const struct weft_clock clock = {fixed, &now};
    assert_int_equal(weft__clock_now(&clock), 5);
    now = 6;
    assert_int_equal(weft__clock_now(&clock), 6);
}

static void the_wall_clock_counts_milliseconds_of_this_century(void **state)
{
    (void)state;
    assert_true(weft__wall_ms() > 946684800000u);
    assert_true(weft__wall_ms() < 4102444800000u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_real_clock_never_goes_backwards),
        cmocka_unit_test(what_is_left_is_rounded_up_and_has_an_end),
        cmocka_unit_test(a_clock_can_be_the_tests_own),
        cmocka_unit_test(the_wall_clock_counts_milliseconds_of_this_century),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
