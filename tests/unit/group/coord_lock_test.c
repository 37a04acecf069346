#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "group/coord_lock.h"
#include "weft/error.h"

static struct weft_coord_grant grant;

static bool ask(struct weft_coord_lock *lock, uint32_t member, uint64_t number)
{
    return weft__coord_lock_ask(
        lock, (struct weft_coord_wanter){.member = member, .number = number}, &grant);
}

static bool ask_again(struct weft_coord_lock *lock, uint32_t member, uint64_t number)
{
    return weft__coord_lock_ask(
        lock, (struct weft_coord_wanter){.member = member, .number = number, .recursive = true},
        &grant);
}

static void check(uint32_t member, uint64_t number, int err)
{
    assert_int_equal(grant.member, member);
    assert_int_equal(grant.number, number);
    assert_int_equal(grant.err, err);
}

static void waiters_are_served_in_the_order_in_which_they_came(void **state)
{
    struct weft_coord_lock lock;
    (void)state;
    weft__coord_lock_init(&lock);
    assert_true(ask(&lock, 1, 1));
    check(1, 1, WEFT_OK);
    for (uint32_t i = 2; i < 20; i++) /* plain and recursive in one queue */
        assert_false(i % 2 == 0 ? ask(&lock, i, 1) : ask_again(&lock, i, 1));
    for (uint32_t i = 2; i < 20; i++) {
        assert_true(weft__coord_lock_release(&lock, i - 1, &grant));
        check(i, 1, WEFT_OK);
    }
    assert_false(weft__coord_lock_release(&lock, 19, &grant));
    assert_true(ask(&lock, 3, 2));
    weft__coord_lock_fini(&lock);
}

static void an_unlock_of_somebody_else_changes_nothing(void **state)
{
    struct weft_coord_lock lock;
    (void)state;
    weft__coord_lock_init(&lock);
    assert_false(weft__coord_lock_release(&lock, 1, &grant)); /* of a free one */
    assert_true(ask(&lock, 1, 1));
    assert_false(ask(&lock, 2, 1));
    assert_false(weft__coord_lock_release(&lock, 2, &grant));
    assert_int_equal(lock.owner.member, 1);
    assert_true(weft__coord_lock_release(&lock, 1, &grant));
    check(2, 1, WEFT_OK);
    weft__coord_lock_fini(&lock);
}

static void a_recursive_lock_counts_and_a_plain_one_refuses_its_owner(void **state)
{
    struct weft_coord_lock lock;
    (void)state;
    weft__coord_lock_init(&lock);
    for (uint64_t i = 1; i <= 1000; i++) {
        assert_true(ask_again(&lock, 1, i));
        check(1, i, WEFT_OK);
    }
    assert_true(ask(&lock, 1, 1001));
    check(1, 1001, WEFT_EBUSY);
    assert_false(ask(&lock, 2, 1));
    for (unsigned i = 0; i < 999; i++)
        assert_false(weft__coord_lock_release(&lock, 1, &grant));
    assert_true(weft__coord_lock_release(&lock, 1, &grant));
    check(2, 1, WEFT_OK);
    assert_true(ask_again(&lock, 2, 2));
    check(2, 2, WEFT_EBUSY);
    weft__coord_lock_fini(&lock);
}

static void a_try_does_not_wait(void **state)
{
    struct weft_coord_lock lock;
    (void)state;
    weft__coord_lock_init(&lock);
    assert_true(ask(&lock, 1, 1));
    assert_true(weft__coord_lock_ask(
        &lock, (struct weft_coord_wanter){.member = 2, .number = 1, .try_only = true}, &grant));
    check(2, 1, WEFT_EBUSY);
    assert_false(weft__coord_lock_release(&lock, 1, &grant));
    weft__coord_lock_fini(&lock);
}

static void who_gives_up_is_skipped(void **state)
{
    struct weft_coord_lock lock;
    (void)state;
    weft__coord_lock_init(&lock);
    assert_true(ask(&lock, 1, 1));
    assert_false(ask(&lock, 2, 1));
    assert_false(ask(&lock, 3, 1));
    assert_false(weft__coord_lock_forget(&lock, 2, 1, &grant));
    assert_false(weft__coord_lock_forget(&lock, 2, 7, &grant)); /* of a number that never was */
    assert_true(weft__coord_lock_release(&lock, 1, &grant));
    check(3, 1, WEFT_OK);
    weft__coord_lock_fini(&lock);
}

static void who_gives_up_when_the_grant_is_on_its_way_hands_it_on(void **state)
{
    struct weft_coord_lock lock;
    (void)state;
    weft__coord_lock_init(&lock);
    assert_true(ask(&lock, 1, 1));
    assert_false(ask(&lock, 2, 1));
    assert_true(weft__coord_lock_forget(&lock, 1, 1, &grant));
    check(2, 1, WEFT_OK);
    weft__coord_lock_fini(&lock);
}

static void the_death_of_an_owner_is_told_once(void **state)
{
    struct weft_coord_lock lock;
    (void)state;
    weft__coord_lock_init(&lock);
    assert_true(ask_again(&lock, 1, 1));
    assert_true(ask_again(&lock, 1, 2));
    assert_false(weft__coord_lock_bury(&lock, 1, &grant)); /* nobody waits: it is kept */
    assert_true(ask(&lock, 2, 1));
    check(2, 1, WEFT_EOWNERDEAD);
    assert_int_equal(grant.dead, 1);
    assert_false(ask(&lock, 3, 1));
    assert_true(weft__coord_lock_release(&lock, 2, &grant));
    check(3, 1, WEFT_OK);
    weft__coord_lock_fini(&lock);
}

static void the_death_of_an_owner_is_not_lost_with_who_gives_up(void **state)
{
    struct weft_coord_lock lock;
    (void)state;
    weft__coord_lock_init(&lock);
    assert_true(ask(&lock, 1, 1));
    assert_false(ask(&lock, 2, 1));
    assert_false(ask(&lock, 3, 1));
    assert_true(weft__coord_lock_bury(&lock, 1, &grant));
    check(2, 1, WEFT_EOWNERDEAD);
    assert_true(weft__coord_lock_forget(&lock, 2, 1, &grant)); /* it never learnt of it */
    check(3, 1, WEFT_EOWNERDEAD);
    assert_int_equal(grant.dead, 1);
    weft__coord_lock_fini(&lock);
}

static void the_dead_do_not_wait(void **state)
{
    struct weft_coord_lock lock;
    (void)state;
    weft__coord_lock_init(&lock);
    assert_true(ask(&lock, 1, 1));
    assert_false(ask(&lock, 2, 1));
    assert_false(weft__coord_lock_bury(&lock, 2, &grant));
    assert_false(weft__coord_lock_release(&lock, 1, &grant));
    assert_true(ask(&lock, 3, 1));
    check(3, 1, WEFT_OK);
    weft__coord_lock_fini(&lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waiters_are_served_in_the_order_in_which_they_came),
        cmocka_unit_test(an_unlock_of_somebody_else_changes_nothing),
        cmocka_unit_test(a_recursive_lock_counts_and_a_plain_one_refuses_its_owner),
        cmocka_unit_test(a_try_does_not_wait),
        cmocka_unit_test(who_gives_up_is_skipped),
        cmocka_unit_test(who_gives_up_when_the_grant_is_on_its_way_hands_it_on),
        cmocka_unit_test(the_death_of_an_owner_is_told_once),
        cmocka_unit_test(the_death_of_an_owner_is_not_lost_with_who_gives_up),
        cmocka_unit_test(the_dead_do_not_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
