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

static void clocks_are_compared_as_closely_as_the_fastest_answer(void **state)
{
    (void)state;
    struct weft_clock_offset offset = {.within_ns = UINT64_MAX};
    weft__clock_compare(&offset, 5000, 1000, 1400); /* ahead by 3800, give or take 200 */
    assert_int_equal(offset.ns, 3800);
    assert_int_equal(offset.within_ns, 200);
    weft__clock_compare(&offset, 9000, 2000, 3000); /* a slower answer says less */
    assert_int_equal(offset.ns, 3800);
    weft__clock_compare(&offset, 8900, 5000, 5010);
    assert_int_equal(offset.ns, 3895);
    assert_int_equal(offset.within_ns, 5);
    offset = (struct weft_clock_offset){.within_ns = UINT64_MAX};
    weft__clock_compare(&offset, 100, 5000, 5010); /* behind */
    assert_int_equal(offset.ns, -4905);
    offset = (struct weft_clock_offset){.within_ns = UINT64_MAX};
    weft__clock_compare(&offset, 1001, 1000, 1400); /* one clock, for all that is known */
    assert_int_equal(offset.ns, 0);
    assert_int_equal(offset.within_ns, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_real_clock_never_goes_backwards),
        cmocka_unit_test(what_is_left_is_rounded_up_and_has_an_end),
        cmocka_unit_test(a_clock_can_be_the_tests_own),
        cmocka_unit_test(the_wall_clock_counts_milliseconds_of_this_century),
        cmocka_unit_test(clocks_are_compared_as_closely_as_the_fastest_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
