#include <stdarg.h>
#include <stdbool.h>
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

/* The kernel counts 0 or more times: never so many. */
static void be_preempted(struct weft__spin *spin)
{
    spin->preemptions = UINT64_MAX;
}

/* A wait with one turn that takes long. Returns whether it spins on. */
static bool take_long(struct weft__spin *spin, bool preempted)
{
    weft__spin_wait(spin, MS);
    weft__spin_begin(spin, MS);
    bool spun = weft__spin_more(spin, MS + US);
    if (preempted)
        be_preempted(spin);
    bool spins = weft__spin_more(spin, MS + 40 * US);
    weft__spin_learn(spin, MS + 41 * US);
    return spun && spins;
}

static void a_turn_that_was_interrupted_ends_the_spin(void **state)
{
    (void)state;
    struct weft__spin spin = {0};
    weft__spin_wait(&spin, MS);
    weft__spin_begin(&spin, MS);
    assert_true(weft__spin_more(&spin, MS + US));
    be_preempted(&spin);
    assert_false(weft__spin_more(&spin, 4 * MS));
    weft__spin_moved(&spin, 5 * MS);
    assert_false(weft__spin_more(&spin, 5 * MS + US));
}

static void a_turn_that_is_only_long_does_not(void **state)
{
    (void)state;
    struct weft__spin spin = {0};
    (void)take_long(&spin, true);
    bool spins = false;
    /* Its own thread may lose the core in between: seldom twice as quickly. */
    for (unsigned i = 0; i < 1000 && !spins; i++)
        spins = take_long(&spin, false);
    assert_true(spins);
}

/* A wait of so long that somebody else has the core for all but 2 us of. */
static void lose_core(struct weft__spin *spin, uint64_t *now_ns, uint64_t long_ns)
{
    weft__spin_wait(spin, *now_ns);
    weft__spin_begin(spin, *now_ns);
    (void)weft__spin_more(spin, *now_ns + US);
    be_preempted(spin);
    *now_ns += long_ns;
    (void)weft__spin_more(spin, *now_ns);
    weft__spin_learn(spin, *now_ns);
}

/* Short waits, for so long. Returns whether it spins after them. */
static bool go_on(struct weft__spin *spin, uint64_t *now_ns, uint64_t long_ns)
{
    for (uint64_t end_ns = *now_ns + long_ns; *now_ns < end_ns; *now_ns += 10 * US) {
        weft__spin_wait(spin, *now_ns);
        weft__spin_begin(spin, *now_ns);
        weft__spin_learn(spin, *now_ns + 10 * US);
    }
    weft__spin_begin(spin, *now_ns);
    return weft__spin_more(spin, *now_ns + US);
}

static void others_may_have_the_core_for_a_moment_now_and_then(void **state)
{
    (void)state;
    struct weft__spin spin = {0};
    uint64_t now_ns = MS;
    (void)go_on(&spin, &now_ns, 20 * MS);
    for (unsigned i = 0; i < 100; i++) {
        lose_core(&spin, &now_ns, 30 * US);
        assert_true(go_on(&spin, &now_ns, MS));
    }
}

static void others_that_need_the_core_keep_it_until_they_have_gone(void **state)
{
    (void)state;
    struct weft__spin spin = {0};
    uint64_t now_ns = MS;
    bool spins = true;
    (void)go_on(&spin, &now_ns, 20 * MS);
    for (unsigned i = 0; i < 1000; i++) {
        lose_core(&spin, &now_ns, 50 * US);
        spins = go_on(&spin, &now_ns, 50 * US);
    }
    assert_false(spins);
    assert_true(go_on(&spin, &now_ns, 60 * MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wait_in_which_things_move_is_spun_to_its_end_and_teaches_nothing_bad),
        cmocka_unit_test(a_long_wait_in_which_nothing_moves_makes_the_next_spins_short),
        cmocka_unit_test(a_long_gap_counts_also_where_things_move_before_and_behind_it),
        cmocka_unit_test(short_waits_make_the_spins_long_again),
        cmocka_unit_test(a_turn_that_was_interrupted_ends_the_spin),
        cmocka_unit_test(a_turn_that_is_only_long_does_not),
        cmocka_unit_test(others_may_have_the_core_for_a_moment_now_and_then),
        cmocka_unit_test(others_that_need_the_core_keep_it_until_they_have_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
