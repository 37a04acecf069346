/* Info objects: what is set is told, in order, before MPI_Init and after MPI_Finalize too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "weft/memory.h"

enum { KEYS = 100, ROUNDS = 10000 };

static void check_value(MPI_Info info, const char *key, const char *want)
{
    char value[MPI_MAX_INFO_VAL];
    int flag = -1, len = sizeof(value);
    check(MPI_Info_get_string(info, key, &len, value, &flag) == MPI_SUCCESS);
    check(flag == (want != NULL));
    check(!want || (strcmp(value, want) == 0 && len == (int)strlen(want) + 1));
}

static int keys_main(void *argument)
{
    MPI_Info info, copy;
    char key[MPI_MAX_INFO_KEY], value[MPI_MAX_INFO_VAL];
    int n;
    (void)argument;
    cases_init(NULL, NULL);
    check(MPI_Info_create(&info) == MPI_SUCCESS && info != MPI_INFO_NULL);
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof(key), "key %d", i);
        snprintf(value, sizeof(value), "value %d", i);
        check(MPI_Info_set(info, key, value) == MPI_SUCCESS);
    }
    check(MPI_Info_set(info, "key 7", "another") == MPI_SUCCESS);
    check(MPI_Info_delete(info, "key 50") == MPI_SUCCESS);
    check(MPI_Info_dup(info, &copy) == MPI_SUCCESS && copy != info);
    check(MPI_Info_delete(info, "key 0") == MPI_SUCCESS);
    check(MPI_Info_free(&info) == MPI_SUCCESS && info == MPI_INFO_NULL);
    check(MPI_Info_get_nkeys(copy, &n) == MPI_SUCCESS && n == KEYS - 1);
    for (int i = 0; i < n; i++) {
        snprintf(value, sizeof(value), "key %d", i < 50 ? i : i + 1);
        check(MPI_Info_get_nthkey(copy, i, key) == MPI_SUCCESS && strcmp(key, value) == 0);
    }
    check_value(copy, "key 0", "value 0");
    check_value(copy, "key 7", "another");
    check_value(copy, "key 50", NULL);
    check_value(copy, "key 99", "value 99");
    check(MPI_Info_free(&copy) == MPI_SUCCESS);
    MPI_Finalize();
    return 0;
}

static void keys_keep_their_values_and_their_order(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 1}, keys_main, NULL);
}

static int lengths_main(void *argument)
{
    MPI_Info info;
    char value[8];
    int flag, len;
    (void)argument;
    cases_init(NULL, NULL);
    check(MPI_Info_create(&info) == MPI_SUCCESS);
    check(MPI_Info_set(info, "k", "abcdef") == MPI_SUCCESS);
    memset(value, 'x', sizeof(value));
    check(MPI_Info_get(info, "k", 3, value, &flag) == MPI_SUCCESS && flag);
    check(memcmp(value, "abc\0xxx", 7) == 0);
    check(MPI_Info_get(info, "k", 7, value, &flag) == MPI_SUCCESS && strcmp(value, "abcdef") == 0);
    check(MPI_Info_get(info, "no", 7, value, &flag) == MPI_SUCCESS && !flag);
    memset(value, 'x', sizeof(value));
    len = 3;
    check(MPI_Info_get_string(info, "k", &len, value, &flag) == MPI_SUCCESS && flag && len == 7);
    check(memcmp(value, "ab\0xxx", 6) == 0);
    len = 0;
    check(MPI_Info_get_string(info, "k", &len, NULL, &flag) == MPI_SUCCESS && flag && len == 7);
    len = 5;
    check(MPI_Info_get_string(info, "no", &len, value, &flag) == MPI_SUCCESS && !flag && len == 5);
    check(MPI_Info_get_valuelen(info, "k", &len, &flag) == MPI_SUCCESS && flag && len == 6);
    check(MPI_Info_get_valuelen(info, "no", &len, &flag) == MPI_SUCCESS && !flag);
    check(MPI_Info_set(info, "empty", "") == MPI_SUCCESS);
    check(MPI_Info_get_valuelen(info, "empty", &len, &flag) == MPI_SUCCESS && flag && len == 0);
    check(MPI_Info_free(&info) == MPI_SUCCESS);
    MPI_Finalize();
    return 0;
}

static void values_are_cut_to_the_room_there_is(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 1}, lengths_main, NULL);
}

static int errors_main(void *argument)
{
    MPI_Info info, old;
    char longest[MPI_MAX_INFO_VAL + 1], key[MPI_MAX_INFO_KEY];
    int n, flag;
    (void)argument;
    cases_init(NULL, NULL);
    memset(longest, 'a', sizeof(longest));
    longest[MPI_MAX_INFO_VAL] = '\0';
    check(MPI_Info_create(&info) == MPI_SUCCESS);
    check(MPI_Info_set(info, longest + MPI_MAX_INFO_VAL - MPI_MAX_INFO_KEY, "v") ==
          MPI_ERR_INFO_KEY);
    check(MPI_Info_set(info, longest + MPI_MAX_INFO_VAL - MPI_MAX_INFO_KEY + 1, longest + 1) ==
          MPI_SUCCESS);
    check(MPI_Info_set(info, "k", longest) == MPI_ERR_INFO_VALUE);
    check(MPI_Info_set(info, "", "v") == MPI_ERR_INFO_KEY);
    check(MPI_Info_set(info, NULL, "v") == MPI_ERR_INFO_KEY);
    check(MPI_Info_delete(info, "k") == MPI_ERR_INFO_NOKEY);
    check(MPI_Info_get_nthkey(info, 1, key) == MPI_ERR_ARG);
    check(MPI_Info_get_nthkey(info, -1, key) == MPI_ERR_ARG);
    check(MPI_Info_get(info, "k", -1, key, &flag) == MPI_ERR_ARG);
    check(MPI_Info_set(MPI_INFO_NULL, "k", "v") == MPI_ERR_INFO);
    check(MPI_Info_dup(MPI_INFO_NULL, &old) == MPI_ERR_INFO);
    check(MPI_Info_set(MPI_INFO_ENV, "k", "v") == MPI_ERR_INFO);
    old = MPI_INFO_ENV;
    check(MPI_Info_free(&old) == MPI_ERR_INFO);
    old = info;
    check(MPI_Info_free(&info) == MPI_SUCCESS);
    check(MPI_Info_get_nkeys(old, &n) == MPI_ERR_INFO);
    check(MPI_Info_free(&old) == MPI_ERR_INFO);
    MPI_Finalize();
    return 0;
}

static void wrong_keys_and_handles_give_their_class(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 1}, errors_main, NULL);
}

static int env_main(void *argument)
{
    char *argv[] = {(char[]){"./prog"}, (char[]){"-n"}, (char[]){"3"}, NULL};
    char value[MPI_MAX_INFO_VAL];
    int flag, len = sizeof(value);
    MPI_Info info;
    (void)argument;
    /* Before MPI_Init. */
    check(MPI_Info_create_env(3, argv, &info) == MPI_SUCCESS);
    check_value(info, "command", "./prog");
    check_value(info, "argv", "-n 3");
    check_value(info, "maxprocs", "3");
    cases_init(NULL, NULL);
    check_value(MPI_INFO_ENV, "maxprocs", "3");
    check_value(MPI_INFO_ENV, "host", "native0");
    check(MPI_Info_get_string(MPI_INFO_ENV, "command", &len, value, &flag) == MPI_SUCCESS && flag);
    check(strstr(value, "info_test") != NULL);
    MPI_Finalize();
    /* After MPI_Finalize. */
    check_value(info, "command", "./prog");
    check(MPI_Info_set(info, "k", "v") == MPI_SUCCESS);
    check_value(info, "k", "v");
    check(MPI_Info_free(&info) == MPI_SUCCESS);
    return 0;
}

static void a_rank_learns_how_it_was_started_at_any_time(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 3}, env_main, NULL);
}

static int many_main(void *argument)
{
    size_t used = 0;
    (void)argument;
    cases_init(NULL, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        MPI_Info a, b;
        check(MPI_Info_create(&a) == MPI_SUCCESS && MPI_Info_set(a, "k", "v") == MPI_SUCCESS);
        check(MPI_Info_dup(a, &b) == MPI_SUCCESS);
        check(MPI_Info_free(&a) == MPI_SUCCESS && MPI_Info_free(&b) == MPI_SUCCESS);
        if (i == 0)
            used = native_heap_used();
    }
    check(native_heap_used() == used);
    MPI_Finalize();
    return 0;
}

static void objects_that_are_freed_leave_nothing_behind(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 1}, many_main, NULL);
}

static int move_main(void *argument)
{
    (void)argument;
    cases_init(NULL, NULL);
    MPI_Info *info = weft_alloc(sizeof(*info));
    check(MPI_Info_create(info) == MPI_SUCCESS);
    check(MPI_Info_set(*info, "host", "here") == MPI_SUCCESS);
    native_move_region();
    check(native_foreign_pointer() == NULL); /* texts of six letters could be taken for one */
    check_value(*info, "host", "here");
    check(MPI_Info_set(*info, "host", "there") == MPI_SUCCESS);
    check_value(MPI_INFO_ENV, "host", "native1");
    native_move_region();
    check_value(*info, "host", "there");
    check_value(MPI_INFO_ENV, "host", "native1");
    check(MPI_Info_free(info) == MPI_SUCCESS);
    weft_free(info);
    MPI_Finalize();
    return 0;
}

static void objects_move_with_their_rank(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 2, .region_bytes = 2 << 20}, move_main, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_keep_their_values_and_their_order),
        cmocka_unit_test(values_are_cut_to_the_room_there_is),
        cmocka_unit_test(wrong_keys_and_handles_give_their_class),
        cmocka_unit_test(a_rank_learns_how_it_was_started_at_any_time),
        cmocka_unit_test(objects_that_are_freed_leave_nothing_behind),
        cmocka_unit_test(objects_move_with_their_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
