#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "base/nearest.h"

static void equal_texts_have_distance_zero(void **state)
{
    (void)state;
    assert_int_equal(weft__edit_distance("", ""), 0);
    assert_int_equal(weft__edit_distance("slots", "slots"), 0);
    assert_int_equal(weft__edit_distance("slots", "SLOTS"), 0);
}

static void each_edit_counts_one(void **state)
{
    (void)state;
    assert_int_equal(weft__edit_distance("slots", "slot"), 1);
    assert_int_equal(weft__edit_distance("slots", "slotts"), 1);
    assert_int_equal(weft__edit_distance("slots", "slats"), 1);
    assert_int_equal(weft__edit_distance("slots", "solts"), 1);
    assert_int_equal(weft__edit_distance("", "slots"), 5);
    assert_int_equal(weft__edit_distance("slots", ""), 5);
    assert_int_equal(weft__edit_distance("kitten", "sitting"), 3);
}

static void long_texts_are_compared_by_their_start(void **state)
{
    (void)state;
    char a[200], b[200];
    memset(a, 'a', sizeof(a));
    memset(b, 'a', sizeof(b));
    a[199] = b[199] = '\0';
    b[100] = 'b';
    assert_int_equal(weft__edit_distance(a, b), 0);
    b[10] = 'b';
    assert_int_equal(weft__edit_distance(a, b), 1);
}

static const char *const names[] = {"run", "hosts", "apps", "migrate", "info"};
#define NAMES_N (sizeof(names) / sizeof(names[0]))

static void the_nearest_name_is_found(void **state)
{
    (void)state;
    assert_string_equal(weft__nearest("migrat", names, NAMES_N), "migrate");
    assert_string_equal(weft__nearest("host", names, NAMES_N), "hosts");
    assert_string_equal(weft__nearest("INFO", names, NAMES_N), "info");
}

static void nothing_near_is_nothing(void **state)
{
    (void)state;
    assert_null(weft__nearest("explode", names, NAMES_N));
    assert_null(weft__nearest("", names, NAMES_N));
    assert_null(weft__nearest("run", names, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_texts_have_distance_zero),
        cmocka_unit_test(each_edit_counts_one),
        cmocka_unit_test(long_texts_are_compared_by_their_start),
        cmocka_unit_test(the_nearest_name_is_found),
        cmocka_unit_test(nothing_near_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
