#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/placements.h"
#include "weft/error.h"

static const char *const hosts[] = {"home", "a", "b"};

/* Ranks as digits, the index of their host. */
static int keep(struct weft_placements *table, const char *key, const char *ranks)
{
    uint32_t host_of[64];
    size_t n = strlen(ranks);
    for (size_t i = 0; i < n; i++)
        host_of[i] = (uint32_t)(ranks[i] - '0');
    return weft__placements_keep(table, key,
                                 &(struct weft_placement_kept){
                                     .hosts = hosts, .hosts_n = 3, .host_of = host_of, .ranks = n});
}

static bool has(struct weft_placements *table, const char *key, const char *ranks)
{
    const struct weft_placement_kept *kept = weft__placements_find(table, key);
    if (kept == NULL)
        return false;
    assert_int_equal(kept->ranks, strlen(ranks));
    for (size_t i = 0; i < kept->ranks; i++)
        assert_int_equal(kept->host_of[i], ranks[i] - '0');
    assert_int_equal(kept->hosts_n, 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(kept->hosts[i], hosts[i]);
    return true;
}

static void what_was_placed_last_is_found_by_its_key(void **state)
{
    (void)state;
    struct weft_placements table;
    assert_int_equal(weft__placements_init(&table, 8, 100), WEFT_OK);
    assert_null(weft__placements_find(&table, "heat 3"));
    assert_int_equal(keep(&table, "heat 3", "011"), WEFT_OK);
    assert_int_equal(keep(&table, "heat 4", "2222"), WEFT_OK);
    assert_true(has(&table, "heat 3", "011"));
    assert_int_equal(keep(&table, "heat 3", "002"), WEFT_OK);
    assert_true(has(&table, "heat 3", "002"));
    assert_true(has(&table, "heat 4", "2222"));
    assert_int_equal(table.n, 2);
    assert_int_equal(table.ranks, 7);
    assert_null(weft__placements_find(&table, "heat"));
    weft__placements_fini(&table);
    weft__placements_fini(&table);
}

static void who_was_not_asked_for_longest_makes_room(void **state)
{
    (void)state;
    struct weft_placements table;
    assert_int_equal(weft__placements_init(&table, 3, 10), WEFT_OK);
    assert_int_equal(keep(&table, "one", "0"), WEFT_OK);
    assert_int_equal(keep(&table, "two", "01"), WEFT_OK);
    assert_int_equal(keep(&table, "three", "012"), WEFT_OK);
    assert_true(has(&table, "one", "0"));
    assert_int_equal(keep(&table, "four", "0120"), WEFT_OK);
    assert_null(weft__placements_find(&table, "two"));
    assert_true(has(&table, "one", "0"));
    assert_int_equal(keep(&table, "nine", "000000000"), WEFT_OK); /* with one: ten in all */
    assert_int_equal(table.n, 2);
    assert_true(has(&table, "one", "0"));
    assert_true(has(&table, "nine", "000000000"));
    weft__placements_fini(&table);
}

static void what_cannot_be_kept_leaves_what_there_was(void **state)
{
    (void)state;
    struct weft_placements table;
    assert_int_equal(weft__placements_init(&table, 0, 1), WEFT_EINVAL);
    assert_int_equal(weft__placements_init(&table, 1, 3), WEFT_OK);
    assert_int_equal(keep(&table, "x", "01"), WEFT_OK);
    assert_int_equal(keep(&table, "x", "0000"), WEFT_ERANGE);
    assert_int_equal(keep(&table, "x", "03"), WEFT_EINVAL);
    assert_true(has(&table, "x", "01"));
    weft__placements_fini(&table);
}

static void its_size_stays_within_both_bounds(void **state)
{
    (void)state;
    struct weft_placements table;
    unsigned seed = 3;
    assert_int_equal(weft__placements_init(&table, 20, 60), WEFT_OK);
    for (int i = 0; i < 3000; i++) {
        char key[8], ranks[16] = "";
        size_t n = 1 + (size_t)rand_r(&seed) % 9, sum = 0;
        snprintf(key, sizeof(key), "%d", rand_r(&seed) % 40);
        for (size_t k = 0; k < n; k++)
            ranks[k] = "012"[rand_r(&seed) % 3];
        if (rand_r(&seed) % 3 == 0)
            (void)weft__placements_find(&table, key);
        assert_int_equal(keep(&table, key, ranks), WEFT_OK);
        assert_true(has(&table, key, ranks));
        assert_true(table.n <= 20 && table.ranks <= 60);
        for (size_t k = 0; k < 40; k++) {
            snprintf(key, sizeof(key), "%zu", k);
            const struct weft_placement_kept *kept = weft__placements_find(&table, key);
            sum += kept != NULL ? kept->ranks : 0;
        }
        assert_int_equal(sum, table.ranks);
    }
    weft__placements_fini(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_placed_last_is_found_by_its_key),
        cmocka_unit_test(who_was_not_asked_for_longest_makes_room),
        cmocka_unit_test(what_cannot_be_kept_leaves_what_there_was),
        cmocka_unit_test(its_size_stays_within_both_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
