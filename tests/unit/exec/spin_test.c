#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "exec/spin.h"

#define US 1000ull
#define MS 1000000ull

/* A wait of so long, in which something moves every so often; 0: nothing does. It spins as long as
 * it may. Returns when it would have slept; UINT64_MAX: never. */
static uint64_t wait_for(struct weft__spin *spin, uint64_t long_ns, uint64_t every_ns)
{
    uint64_t slept_ns = UINT64_MAX;
    weft__spin_wait(spin, MS);
    weft__spin_begin(spin, MS);
    for (uint64_t at_ns = US; at_ns <= long_ns; at_ns += US) {
        if (every_ns && at_ns % every_ns == 0)
            weft__spin_moved(spin, MS + at_ns);
        if (!weft__spin_more(spin, MS + at_ns) && slept_ns == UINT64_MAX)
            slept_ns = at_ns;
    }
    weft__spin_learn(spin, MS + long_ns);
    return slept_ns;
}

static void a_wait_in_which_things_move_is_spun_to_its_end_and_teaches_nothing_bad(void **state)
{
    (void)state;
    struct weft__spin spin = {0};
    (void)wait_for(&spin, 10 * US, 0);
    uint64_t first_ns = spin.ns;
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(wait_for(&spin, 10 * MS, 5 * US), UINT64_MAX);
    assert_int_equal(spin.ns, first_ns);
}

static void a_long_wait_in_which_nothing_moves_makes_the_next_spins_short(void **state)
{
    (void)state;
    struct weft__spin spin = {0};
    (void)wait_for(&spin, 10 * US, 0);
    uint64_t first_ns = spin.ns, slept_ns = wait_for(&spin, 10 * MS, 0);
    assert_true(slept_ns <= first_ns + US);
    for (unsigned i = 0; i < 10; i++)
        (void)wait_for(&spin, 10 * MS, 0);
    assert_true(spin.ns < first_ns / 8);
}

static void a_long_gap_counts_also_where_things_move_before_and_behind_it(void **state)
{
    (void)state;
    struct weft__spin spin = {0};
    (void)wait_for(&spin, 10 * US, 0);
    uint64_t first_ns = spin.ns;
    for (unsigned i = 0; i < 10; i++)
        assert_true(wait_for(&spin, 2 * MS, MS) < MS);
    assert_true(spin.ns < first_ns / 8);
}

static void short_waits_make_the_spins_long_again(void **state)
{
    (void)state;
    struct weft__spin spin = {0};
    for (unsigned i = 0; i < 10; i++)
        (void)wait_for(&spin, 10 * MS, 0);
    uint64_t short_ns = spin.ns;
    for (unsigned i = 0; i < 10; i++)
        (void)wait_for(&spin, 50 * US, 0);
    assert_true(spin.ns > 8 * short_ns);
}

static void a_turn_that_was_interrupted_ends_the_spin(void **state)
{
    (void)state;
    struct weft__spin spin = {0};
    weft__spin_wait(&spin, MS);
    weft__spin_begin(&spin, MS);
    assert_true(weft__spin_more(&spin, MS + US));
    assert_false(weft__spin_more(&spin, MS + 40 * US));
    weft__spin_moved(&spin, MS + 3 * MS);
    assert_false(weft__spin_more(&spin, MS + 3 * MS + US));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wait_in_which_things_move_is_spun_to_its_end_and_teaches_nothing_bad),
        cmocka_unit_test(a_long_wait_in_which_nothing_moves_makes_the_next_spins_short),
        cmocka_unit_test(a_long_gap_counts_also_where_things_move_before_and_behind_it),
        cmocka_unit_test(short_waits_make_the_spins_long_again),
        cmocka_unit_test(a_turn_that_was_interrupted_ends_the_spin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
