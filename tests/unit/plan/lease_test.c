#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/clock.h"
#include "plan/lease.h"
#include "weft/error.h"

static bool memory_is_out;

void *__real_calloc(size_t n, size_t len_bytes);
void *__wrap_calloc(size_t n, size_t len_bytes);

void *__wrap_calloc(size_t n, size_t len_bytes)
{
    return memory_is_out ? NULL : __real_calloc(n, len_bytes);
}

static int set_up(void **state)
{
    static struct weft_leases table;
    *state = &table;
    return weft__leases_init(&table, 4, 3);
}

static int tear_down(void **state)
{
    weft__leases_fini(*state);
    return 0;
}

static int reserve(struct weft_leases *table, uint64_t id, uint32_t n, uint32_t *granted)
{
    struct weft_lease_ask ask = {.id = id, .app = 1, .n = n, .deadline_ns = 100};
    return weft__leases_reserve(table, &ask, 10, granted);
}

static void fewer_slots_are_granted_when_fewer_are_free(void **state)
{
    struct weft_leases *table = *state;
    uint32_t granted = 0;
    assert_int_equal(reserve(table, 1, 3, &granted), WEFT_OK);
    assert_int_equal(granted, 3);
    assert_int_equal(reserve(table, 2, 3, &granted), WEFT_OK);
    assert_int_equal(granted, 1);
    granted = 99;
    assert_int_equal(reserve(table, 3, 1, &granted), WEFT_ENOSLOTS);
    assert_int_equal(granted, 99);
    assert_int_equal(weft__leases_free(table), 0);
}

static int reserve_for(struct weft_leases *table, uint64_t id, const char *tenant, bool apart)
{
    struct weft_lease_ask ask = {
        .id = id, .app = id, .n = 1, .deadline_ns = 100, .tenant = tenant, .apart = apart};
    uint32_t granted;
    return weft__leases_reserve(table, &ask, 10, &granted);
}

static void who_wants_to_be_apart_gets_no_slot_beside_another_tenant(void **state)
{
    assert_int_equal(reserve_for(*state, 1, "x", false), WEFT_OK);
    assert_int_equal(reserve_for(*state, 2, "y", true), WEFT_ENOSLOTS);
    assert_int_equal(reserve_for(*state, 3, "x", true), WEFT_OK);
}

static void nobody_gets_a_slot_beside_who_wants_to_be_apart(void **state)
{
    struct weft_tenancy tenancy;
    assert_int_equal(reserve_for(*state, 1, "x", true), WEFT_OK);
    assert_int_equal(reserve_for(*state, 2, "y", false), WEFT_ENOSLOTS);
    assert_int_equal(reserve_for(*state, 3, "x", false), WEFT_OK);
    weft__leases_tenancy(*state, &tenancy);
    assert_true(tenancy.any && tenancy.apart && !tenancy.mixed);
    assert_string_equal(tenancy.tenant, "x");
    weft__leases_release(*state, 1); /* x is content with others now */
    assert_int_equal(reserve_for(*state, 2, "y", false), WEFT_OK);
    weft__leases_tenancy(*state, &tenancy);
    assert_true(tenancy.mixed && !tenancy.apart);
}

static void tenants_that_do_not_mind_share(void **state)
{
    assert_int_equal(reserve_for(*state, 1, "x", false), WEFT_OK);
    assert_int_equal(reserve_for(*state, 2, "y", false), WEFT_OK);
    assert_int_equal(reserve_for(*state, 3, "x", true), WEFT_ENOSLOTS);
}

static void asking_again_with_the_same_id_takes_nothing_more(void **state)
{
    struct weft_leases *table = *state;
    uint32_t granted = 0;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(reserve(table, 1, 2, &granted), WEFT_OK);
        assert_int_equal(granted, 2);
    }
    assert_int_equal(weft__leases_used(table), 2);
    struct weft_lease_ask other = {.id = 1, .app = 2, .n = 1, .deadline_ns = 100};
    assert_int_equal(weft__leases_reserve(table, &other, 10, &granted), WEFT_EEXIST);
}

static void a_reservation_ends_at_its_deadline_and_is_reported(void **state)
{
    struct weft_leases *table = *state;
    struct weft_lease ended[3];
    uint32_t granted = 0;
    assert_int_equal(reserve(table, 1, 2, &granted), WEFT_OK);
    assert_int_equal(weft__leases_deadline(table), 100);
    assert_int_equal(weft__leases_expire(table, 99, ended, 3), 0);
    assert_int_equal(weft__leases_expire(table, 100, ended, 3), 1);
    assert_int_equal(ended[0].id, 1);
    assert_int_equal(ended[0].n, 2);
    assert_int_equal(weft__leases_free(table), 4);
    assert_int_equal(weft__leases_deadline(table), WEFT_NEVER);
    assert_int_equal(weft__leases_hold(table, 1, 101), WEFT_ENOENT);
}

static void a_reservation_past_its_deadline_cannot_be_kept_even_before_it_is_swept(void **state)
{
    struct weft_leases *table = *state;
    uint32_t granted = 0;
    assert_int_equal(reserve(table, 1, 2, &granted), WEFT_OK);
    assert_int_equal(weft__leases_hold(table, 1, 100), WEFT_ETIMEDOUT);
    assert_int_equal(weft__leases_commit(table, 1, 100), WEFT_ETIMEDOUT);
    struct weft_lease_ask ask = {.id = 1, .app = 1, .n = 2, .deadline_ns = 300};
    assert_int_equal(weft__leases_reserve(table, &ask, 200, &granted), WEFT_ETIMEDOUT);
    ask = (struct weft_lease_ask){.id = 2, .app = 1, .n = 1, .deadline_ns = 200};
    assert_int_equal(weft__leases_reserve(table, &ask, 200, &granted), WEFT_ETIMEDOUT);
}

static void held_and_committed_leases_do_not_end_by_time(void **state)
{
    struct weft_leases *table = *state;
    struct weft_lease ended[3];
    uint32_t granted = 0;
    assert_int_equal(reserve(table, 1, 1, &granted), WEFT_OK);
    assert_int_equal(reserve(table, 2, 1, &granted), WEFT_OK);
    assert_int_equal(weft__leases_hold(table, 1, 50), WEFT_OK);
    assert_int_equal(weft__leases_hold(table, 1, 500), WEFT_OK);
    assert_int_equal(weft__leases_commit(table, 2, 50), WEFT_OK);
    assert_int_equal(weft__leases_expire(table, 1000, ended, 3), 0);
    assert_int_equal(weft__leases_commit(table, 1, 2000), WEFT_OK);
    assert_int_equal(weft__leases_find(table, 1)->state, WEFT_LEASE_COMMITTED);
    /* A late hold does not take a commit back. */
    assert_int_equal(weft__leases_hold(table, 1, 2000), WEFT_OK);
    assert_int_equal(weft__leases_find(table, 1)->state, WEFT_LEASE_COMMITTED);
}

static void releasing_twice_or_what_is_unknown_gives_nothing_back_twice(void **state)
{
    struct weft_leases *table = *state;
    uint32_t granted = 0;
    assert_int_equal(reserve(table, 1, 1, &granted), WEFT_OK);
    assert_int_equal(reserve(table, 2, 3, &granted), WEFT_OK);
    weft__leases_release(table, 1);
    weft__leases_release(table, 1);
    weft__leases_release(table, 77);
    assert_int_equal(weft__leases_free(table), 1);
    /* Ranks leave a lease one by one; repeated and late messages do not matter. */
    weft__leases_trim(table, 2, 2);
    weft__leases_trim(table, 2, 1);
    weft__leases_trim(table, 2, 2);
    assert_int_equal(weft__leases_find(table, 2)->n, 1);
}

static void free_is_never_below_zero_with_overcommit(void **state)
{
    struct weft_leases *table = *state;
    uint32_t granted = 0;
    struct weft_lease_ask ask = {.id = 1, .app = 1, .n = 6, .overcommit = true, .deadline_ns = 100};
    assert_int_equal(weft__leases_reserve(table, &ask, 10, &granted), WEFT_OK);
    assert_int_equal(granted, 6);
    assert_int_equal(weft__leases_find(table, 1)->over, 2);
    assert_int_equal(weft__leases_used(table), 6);
    assert_int_equal(weft__leases_free(table), 0);
    assert_int_equal(reserve(table, 2, 1, &granted), WEFT_ENOSLOTS);
    weft__leases_trim(table, 1, 1);
    assert_int_equal(weft__leases_find(table, 1)->over, 1);
    assert_int_equal(weft__leases_free(table), 3);
    weft__leases_resize(table, 0);
    assert_int_equal(weft__leases_free(table), 0);
}

static void an_app_gives_all_its_slots_back_at_once(void **state)
{
    struct weft_leases *table = *state;
    uint32_t granted = 0;
    assert_int_equal(reserve(table, 1, 1, &granted), WEFT_OK);
    assert_int_equal(reserve(table, 2, 1, &granted), WEFT_OK);
    struct weft_lease_ask ask = {.id = 3, .app = 2, .n = 1, .deadline_ns = 100};
    assert_int_equal(weft__leases_reserve(table, &ask, 10, &granted), WEFT_OK);
    assert_int_equal(weft__leases_release_app(table, 1), 2);
    assert_int_equal(weft__leases_release_app(table, 1), 0);
    assert_non_null(weft__leases_find(table, 3));
    assert_int_equal(weft__leases_used(table), 1);
}

static void a_full_table_and_wrong_asks_are_refused(void **state)
{
    struct weft_leases *table = *state;
    uint32_t granted = 0;
    assert_int_equal(reserve(table, 9, 0, &granted), WEFT_EINVAL);
    assert_int_equal(reserve(table, 9, WEFT_LEASE_SLOTS_MAX + 1, &granted), WEFT_ERANGE);
    for (uint64_t id = 1; id <= 3; id++)
        assert_int_equal(reserve(table, id, 1, &granted), WEFT_OK);
    assert_int_equal(reserve(table, 4, 1, &granted), WEFT_EAGAIN);
}

static void expire_reports_in_portions(void **state)
{
    struct weft_leases *table = *state;
    struct weft_lease ended[2];
    uint32_t granted = 0;
    for (uint64_t id = 1; id <= 3; id++)
        assert_int_equal(reserve(table, id, 1, &granted), WEFT_OK);
    assert_int_equal(weft__leases_expire(table, 200, ended, 2), 2);
    assert_int_equal(weft__leases_expire(table, 200, ended, 2), 1);
    assert_int_equal(weft__leases_expire(table, 200, ended, 2), 0);
}

static void a_table_without_room_or_memory_is_an_error(void **state)
{
    (void)state;
    struct weft_leases table;
    assert_int_equal(weft__leases_init(&table, 1, 0), WEFT_EINVAL);
    memory_is_out = true;
    int err = weft__leases_init(&table, 1, 1);
    memory_is_out = false;
    assert_int_equal(err, WEFT_ENOMEM);
    weft__leases_fini(&table);
    assert_string_equal(weft__lease_state_name(WEFT_LEASE_RESERVED), "reserved");
    assert_string_equal(weft__lease_state_name(WEFT_LEASE_HELD), "held");
    assert_string_equal(weft__lease_state_name(WEFT_LEASE_COMMITTED), "committed");
}

#define with_table(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static void only_so_many_ranks_come_and_leave_at_once(void **state)
{
    (void)state;
    struct weft_leases table;
    uint32_t granted;
    assert_int_equal(weft__leases_init(&table, 8, 8), WEFT_OK);
    table.moves_max = 1;
    struct weft_lease_ask first = {.id = 1, .app = 7, .n = 1, .deadline_ns = 100, .comes = true};
    struct weft_lease_ask second = {.id = 2, .app = 8, .n = 1, .deadline_ns = 100, .comes = true};
    struct weft_lease_ask still = {.id = 3, .app = 9, .n = 1, .deadline_ns = 500};
    assert_int_equal(weft__leases_reserve(&table, &first, 10, &granted), WEFT_OK);
    assert_int_equal(weft__leases_reserve(&table, &first, 11, &granted), WEFT_OK);
    assert_int_equal(weft__leases_reserve(&table, &second, 11, &granted), WEFT_EBUSY);
    assert_int_equal(weft__leases_reserve(&table, &still, 11, &granted), WEFT_OK);
    assert_int_equal(weft__leases_moving(&table, WEFT_LEASE_COMES, 11), 1);
    assert_int_equal(weft__leases_commit(&table, 1, 12), WEFT_OK);
    assert_int_equal(weft__leases_reserve(&table, &second, 12, &granted), WEFT_OK);
    /* leaving is another matter than coming */
    first.deadline_ns = still.deadline_ns = 200;
    assert_int_equal(weft__leases_leave(&table, &first, 20), WEFT_OK);
    assert_int_equal(weft__leases_leave(&table, &first, 21), WEFT_OK);
    assert_int_equal(weft__leases_leave(&table, &still, 21), WEFT_EBUSY);
    first.deadline_ns = 0; /* it stays after all */
    assert_int_equal(weft__leases_leave(&table, &first, 22), WEFT_OK);
    assert_int_equal(weft__leases_leave(&table, &still, 22), WEFT_OK);
    assert_int_equal(weft__leases_moving(&table, WEFT_LEASE_LEAVES, 22), 1);
    assert_int_equal(weft__leases_moving(&table, WEFT_LEASE_LEAVES, 200), 0); /* by its time, */
    weft__leases_release(&table, 3);
    assert_int_equal(weft__leases_moving(&table, WEFT_LEASE_LEAVES, 22), 0); /* or by its end */
    first.app = 8;
    assert_int_equal(weft__leases_leave(&table, &first, 23), WEFT_ENOENT);
    weft__leases_fini(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_so_many_ranks_come_and_leave_at_once),
        with_table(fewer_slots_are_granted_when_fewer_are_free),
        with_table(tenants_that_do_not_mind_share),
        with_table(nobody_gets_a_slot_beside_who_wants_to_be_apart),
        with_table(who_wants_to_be_apart_gets_no_slot_beside_another_tenant),
        with_table(asking_again_with_the_same_id_takes_nothing_more),
        with_table(a_reservation_ends_at_its_deadline_and_is_reported),
        with_table(a_reservation_past_its_deadline_cannot_be_kept_even_before_it_is_swept),
        with_table(held_and_committed_leases_do_not_end_by_time),
        with_table(releasing_twice_or_what_is_unknown_gives_nothing_back_twice),
        with_table(free_is_never_below_zero_with_overcommit),
        with_table(an_app_gives_all_its_slots_back_at_once),
        with_table(a_full_table_and_wrong_asks_are_refused),
        with_table(expire_reports_in_portions),
        cmocka_unit_test(a_table_without_room_or_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
