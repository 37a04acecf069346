/* The map of a world: only the newer wins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "group/world.h"
#include "weft/error.h"

static void an_unknown_rank_is_nowhere(void **state)
{
    (void)state;
    struct weft_world world;
    assert_int_equal(weft__world_init(&world, 2), 0);
    assert_int_equal(weft__world_get(&world, 0).process, WEFT_PROCESS_NONE);
    assert_int_equal(weft__world_get(&world, -1).process, WEFT_PROCESS_NONE);
    assert_int_equal(weft__world_get(&world, 2).process, WEFT_PROCESS_NONE);
    weft__world_fini(&world);
}

static void the_first_entry_counts_whatever_its_incarnation(void **state)
{
    (void)state;
    struct weft_world world;
    assert_int_equal(weft__world_init(&world, 2), 0);
    assert_true(weft__world_update(&world, 1, (struct weft_world_entry){3, 0}));
    assert_int_equal(weft__world_get(&world, 1).process, 3);
    weft__world_fini(&world);
}

static void older_and_equal_incarnations_change_nothing(void **state)
{
    (void)state;
    struct weft_world world;
    assert_int_equal(weft__world_init(&world, 2), 0);
    assert_true(weft__world_update(&world, 0, (struct weft_world_entry){3, 5}));
    assert_false(weft__world_update(&world, 0, (struct weft_world_entry){4, 5}));
    assert_false(weft__world_update(&world, 0, (struct weft_world_entry){4, 4}));
    assert_int_equal(weft__world_get(&world, 0).process, 3);
    assert_true(weft__world_update(&world, 0, (struct weft_world_entry){4, 6}));
    assert_int_equal(weft__world_get(&world, 0).process, 4);
    weft__world_fini(&world);
}

static void updates_in_any_order_end_with_the_newest(void **state)
{
    (void)state;
    static const uint32_t orders[][3] = {{1, 2, 3}, {3, 2, 1}, {2, 3, 1}, {3, 1, 2}};
    for (unsigned i = 0; i < 4; i++) {
        struct weft_world world;
        assert_int_equal(weft__world_init(&world, 1), 0);
        for (unsigned k = 0; k < 3; k++)
            weft__world_update(&world, 0,
                               (struct weft_world_entry){orders[i][k] * 10, orders[i][k]});
        assert_int_equal(weft__world_get(&world, 0).process, 30);
        weft__world_fini(&world);
    }
}

static void ranks_outside_and_entries_of_nobody_are_ignored(void **state)
{
    (void)state;
    struct weft_world world;
    assert_int_equal(weft__world_init(&world, 1), 0);
    assert_false(weft__world_update(&world, 1, (struct weft_world_entry){1, 1}));
    assert_false(weft__world_update(&world, -1, (struct weft_world_entry){1, 1}));
    assert_false(weft__world_update(&world, 0, (struct weft_world_entry){WEFT_PROCESS_NONE, 1}));
    weft__world_fini(&world);
}

static void a_world_needs_a_rank(void **state)
{
    (void)state;
    struct weft_world world;
    assert_int_equal(weft__world_init(&world, 0), WEFT_EINVAL);
    struct weft_world zeroed = {0};
    weft__world_fini(&zeroed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_rank_is_nowhere),
        cmocka_unit_test(the_first_entry_counts_whatever_its_incarnation),
        cmocka_unit_test(older_and_equal_incarnations_change_nothing),
        cmocka_unit_test(updates_in_any_order_end_with_the_newest),
        cmocka_unit_test(ranks_outside_and_entries_of_nobody_are_ignored),
        cmocka_unit_test(a_world_needs_a_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
