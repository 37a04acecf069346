#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cell/environment.h"

static void our_folder_comes_first_and_what_was_there_is_kept(void **state)
{
    (void)state;
    char *const from[] = {"A=1", "LD_LIBRARY_PATH=/x:/y", "B=2", NULL};
    char *own;
    char **list = weft__environment_new(from, "/ours", &own);
    assert_non_null(list);
    assert_ptr_equal(list[0], from[0]);
    assert_string_equal(list[1], "LD_LIBRARY_PATH=/ours:/x:/y");
    assert_ptr_equal(list[1], own);
    assert_ptr_equal(list[2], from[2]);
    assert_string_equal(list[3], "LD_BIND_NOW=1");
    assert_null(list[4]);
    free((void *)list);
    free(own);
}

static void where_there_was_none_it_is_added(void **state)
{
    (void)state;
    char *const from[] = {"A=1", NULL}, *const none[] = {NULL},
                *const empty[] = {"LD_LIBRARY_PATH=", NULL};
    char *own;
    char **list = weft__environment_new(from, "/ours", &own);
    assert_string_equal(list[1], "LD_BIND_NOW=1");
    assert_string_equal(list[2], "LD_LIBRARY_PATH=/ours");
    assert_null(list[3]);
    free((void *)list);
    free(own);
    list = weft__environment_new(none, "/ours", &own);
    assert_string_equal(list[0], "LD_BIND_NOW=1");
    assert_string_equal(list[1], "LD_LIBRARY_PATH=/ours");
    assert_null(list[2]);
    free((void *)list);
    free(own);
    list = weft__environment_new(empty, "/ours", &own);
    assert_string_equal(list[0], "LD_LIBRARY_PATH=/ours");
    assert_string_equal(list[1], "LD_BIND_NOW=1");
    assert_null(list[2]);
    free((void *)list);
    free(own);
}

static void everything_is_bound_at_once_whoever_wants_it_otherwise(void **state)
{
    (void)state;
    char *const from[] = {"LD_BIND_NOW=", "LD_LIBRARY_PATH=/x", NULL};
    char *own;
    char **list = weft__environment_new(from, NULL, &own);
    assert_string_equal(list[0], "LD_BIND_NOW=1");
    assert_ptr_equal(list[1], from[1]);
    assert_null(list[2]);
    assert_null(own);
    free((void *)list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_folder_comes_first_and_what_was_there_is_kept),
        cmocka_unit_test(where_there_was_none_it_is_added),
        cmocka_unit_test(everything_is_bound_at_once_whoever_wants_it_otherwise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
