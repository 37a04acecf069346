#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "cell/timers.h"
#include "weft/error.h"

enum { TIMERS = 1000 };

static struct weft__timer all[TIMERS];

/* A different number for each, in no order. */
static uint64_t time_of(unsigned i)
{
    return 1 + i * 7919u % TIMERS;
}

static void open_full(struct weft__timers *timers)
{
    assert_int_equal(weft__timers_init(timers, TIMERS), WEFT_OK);
    for (unsigned i = 0; i < TIMERS; i++) {
        all[i] = (struct weft__timer){.deadline_ns = time_of(i)};
        weft__timers_add(timers, &all[i]);
    }
}

static void timers_expire_in_order(void **state)
{
    (void)state;
    struct weft__timers timers;
    open_full(&timers);
    for (uint64_t now = 1; now <= TIMERS; now++) {
        assert_int_equal(weft__timers_first(&timers), now);
        assert_null(weft__timers_expired(&timers, now - 1));
        struct weft__timer *timer = weft__timers_expired(&timers, now);
        assert_non_null(timer);
        assert_int_equal(timer->deadline_ns, now);
        assert_int_equal(timer->at, 0);
    }
    assert_null(weft__timers_expired(&timers, UINT64_MAX));
    assert_int_equal(weft__timers_first(&timers), UINT64_MAX);
    weft__timers_fini(&timers);
}

static void any_timer_can_be_taken_out(void **state)
{
    (void)state;
    struct weft__timers timers;
    open_full(&timers);
    for (unsigned i = 0; i < TIMERS; i++)
        if (all[i].deadline_ns % 3)
            weft__timers_remove(&timers, &all[i]);
    weft__timers_remove(&timers, &all[0]);
    weft__timers_remove(&timers, &all[0]); /* it is in none */
    uint64_t before = 0, n = 0;
    for (struct weft__timer *timer; (timer = weft__timers_expired(&timers, TIMERS)); n++) {
        assert_true(timer->deadline_ns > before);
        assert_int_equal(timer->deadline_ns % 3, 0);
        before = timer->deadline_ns;
    }
    assert_int_equal(n, TIMERS / 3);
    weft__timers_fini(&timers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_expire_in_order),
        cmocka_unit_test(any_timer_can_be_taken_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
