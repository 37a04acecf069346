/* Attributes: values under keys, and the callbacks that copy and delete them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "weft/memory.h"

enum { DELETED_MAX = 16, BASE = 1000 };

/* What the callbacks of a key do and have seen; its extra state. */
struct seen {
    int copies, deletes;
    int copy_code, delete_code, flag;
    intptr_t deleted[DELETED_MAX];
    MPI_Comm comm;
    int key;
};

/* lint: of the standard */
static int copy_comm(MPI_Comm comm, int key, void *extra, void *in, void *out, int *flag)
{
    struct seen *seen = extra;
    seen->copies++;
    seen->comm = comm;
    seen->key = key;
    *(intptr_t *)out = (intptr_t)in + BASE;
    *flag = seen->flag;
    return seen->copy_code;
}

static int delete_comm(MPI_Comm comm, int key, void *value, void *extra)
{
    struct seen *seen = extra;
    seen->deleted[seen->deletes++ % DELETED_MAX] = (intptr_t)value;
    seen->comm = comm;
    seen->key = key;
    return seen->delete_code;
}

static void check_attr(MPI_Comm comm, int key, intptr_t want)
{
    void *value = NULL;
    int flag = -1;
    check(MPI_Comm_get_attr(comm, key, &value, &flag) == MPI_SUCCESS);
    check(want ? flag && (intptr_t)value == want : !flag);
}

static int callbacks_main(void *argument)
{
    struct seen seen = {.flag = 1};
    int key;
    MPI_Comm dup, old = MPI_COMM_WORLD;
    (void)argument;
    cases_init(NULL, NULL);
    check(MPI_Comm_create_keyval(copy_comm, delete_comm, &key, &seen) == MPI_SUCCESS);
    check_attr(old, key, 0);
    check(MPI_Comm_set_attr(old, key, (void *)(intptr_t)5) == MPI_SUCCESS);
    check_attr(old, key, 5);
    check(MPI_Comm_dup(old, &dup) == MPI_SUCCESS);
    check(seen.copies == 1 && seen.comm == old && seen.key == key);
    check_attr(dup, key, 5 + BASE);
    /* A new value deletes the old one. */
    check(MPI_Comm_set_attr(dup, key, (void *)(intptr_t)6) == MPI_SUCCESS);
    check(seen.deletes == 1 && seen.deleted[0] == 5 + BASE && seen.comm == dup);
    check(MPI_Comm_delete_attr(old, key) == MPI_SUCCESS);
    check(seen.deletes == 2 && seen.deleted[1] == 5);
    check_attr(old, key, 0);
    check(MPI_Comm_delete_attr(old, key) == MPI_ERR_KEYVAL);
    /* The key is freed, what hangs on it is not. */
    int freed = key;
    check(MPI_Comm_free_keyval(&key) == MPI_SUCCESS && key == MPI_KEYVAL_INVALID);
    check_attr(dup, freed, 6);
    check(MPI_Comm_set_attr(dup, freed, NULL) == MPI_ERR_KEYVAL);
    int twice = freed;
    check(MPI_Comm_free_keyval(&twice) == MPI_SUCCESS && twice == MPI_KEYVAL_INVALID);
    check(MPI_Comm_free(&dup) == MPI_SUCCESS);
    check(seen.deletes == 3 && seen.deleted[2] == 6);
    check(MPI_Comm_free_keyval(&freed) == MPI_ERR_KEYVAL);
    check(MPI_Comm_set_attr(MPI_COMM_WORLD, freed, NULL) == MPI_ERR_KEYVAL);
    MPI_Finalize();
    return 0;
}

static void callbacks_see_the_object_the_key_and_the_value(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 2}, callbacks_main, NULL);
}

static int predefined_main(void *argument)
{
    int none, same, unwanted;
    struct seen seen = {.flag = 0};
    MPI_Comm dup;
    (void)argument;
    cases_init(NULL, NULL);
    check(MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, MPI_COMM_NULL_DELETE_FN, &none, NULL) ==
          MPI_SUCCESS);
    check(MPI_Comm_create_keyval(MPI_COMM_DUP_FN, MPI_COMM_NULL_DELETE_FN, &same, NULL) ==
          MPI_SUCCESS);
    check(MPI_Comm_create_keyval(copy_comm, MPI_COMM_NULL_DELETE_FN, &unwanted, &seen) ==
          MPI_SUCCESS);
    check(MPI_Comm_set_attr(MPI_COMM_SELF, none, (void *)(intptr_t)1) == MPI_SUCCESS);
    check(MPI_Comm_set_attr(MPI_COMM_SELF, same, (void *)(intptr_t)2) == MPI_SUCCESS);
    check(MPI_Comm_set_attr(MPI_COMM_SELF, unwanted, (void *)(intptr_t)3) == MPI_SUCCESS);
    check(MPI_Comm_dup(MPI_COMM_SELF, &dup) == MPI_SUCCESS);
    check_attr(dup, none, 0);
    check_attr(dup, same, 2);
    check_attr(dup, unwanted, 0);
    check(seen.copies == 1);
    check(MPI_Comm_free(&dup) == MPI_SUCCESS);
    /* A split copies nothing. */
    check(MPI_Comm_split(MPI_COMM_SELF, 0, 0, &dup) == MPI_SUCCESS);
    check_attr(dup, same, 0);
    check(MPI_Comm_free(&dup) == MPI_SUCCESS);
    check(MPI_Comm_free_keyval(&none) == MPI_SUCCESS && MPI_Comm_free_keyval(&same) == MPI_SUCCESS);
    check(MPI_Comm_free_keyval(&unwanted) == MPI_SUCCESS);
    MPI_Finalize();
    return 0;
}

static void predefined_callbacks_are_values(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 2}, predefined_main, NULL);
}

/* Rank 1's callback refuses: it gets no communicator, the others do. */
static int refused_main(void *argument)
{
    int key, rank;
    struct seen seen = {.flag = 1};
    MPI_Comm dup;
    (void)argument;
    cases_init(&rank, NULL);
    check(MPI_Comm_create_keyval(copy_comm, delete_comm, &key, &seen) == MPI_SUCCESS);
    check(MPI_Comm_set_attr(MPI_COMM_WORLD, key, (void *)(intptr_t)1) == MPI_SUCCESS);
    seen.copy_code = rank == 1 ? MPI_ERR_OTHER : MPI_SUCCESS;
    check(MPI_Comm_dup(MPI_COMM_WORLD, &dup) == seen.copy_code);
    check((dup == MPI_COMM_NULL) == (rank == 1));
    check(MPI_Barrier(MPI_COMM_WORLD) == MPI_SUCCESS);
    if (rank != 1) {
        seen.delete_code = MPI_ERR_IO;
        check(MPI_Comm_free(&dup) == MPI_ERR_IO && dup != MPI_COMM_NULL);
        check(MPI_Comm_set_attr(dup, key, (void *)(intptr_t)9) == MPI_ERR_IO);
        check_attr(dup, key, 1 + BASE);
        check(MPI_Comm_delete_attr(dup, key) == MPI_ERR_IO);
        seen.delete_code = MPI_SUCCESS;
        check(MPI_Comm_free(&dup) == MPI_SUCCESS);
    }
    check(MPI_Comm_delete_attr(MPI_COMM_WORLD, key) == MPI_SUCCESS);
    check(MPI_Comm_free_keyval(&key) == MPI_SUCCESS);
    MPI_Finalize();
    return 0;
}

static void a_callback_that_fails_fails_the_call(void **state)
{
    (void)state;
    cases_run_all(3, refused_main, NULL);
}

static int delete_and_ask(MPI_Comm comm, int key, void *value, void *extra)
{
    struct seen *seen = extra;
    int finalized = -1, size = 0;
    check(MPI_Finalized(&finalized) == MPI_SUCCESS && !finalized);
    check(MPI_Comm_size(comm, &size) == MPI_SUCCESS && size == 1);
    return delete_comm(comm, key, value, seen);
}

static int finalize_main(void *argument)
{
    int keys[5];
    struct seen seen = {.flag = 1};
    (void)argument;
    cases_init(NULL, NULL);
    for (int i = 0; i < 5; i++) {
        check(MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, delete_and_ask, &keys[i], &seen) ==
              MPI_SUCCESS);
        check(MPI_Comm_set_attr(MPI_COMM_SELF, keys[i], (void *)(intptr_t)(i + 1)) == MPI_SUCCESS);
    }
    check(MPI_Comm_set_attr(MPI_COMM_WORLD, keys[0], NULL) == MPI_SUCCESS);
    MPI_Finalize();
    check(seen.deletes == 5);
    for (int i = 0; i < 5; i++)
        check(seen.deleted[i] == 5 - i);
    return 0;
}

static void the_end_deletes_what_hangs_on_self_latest_first(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 2}, finalize_main, NULL);
}

/* A callback that deletes, and sets, other attributes of the object that is being freed. */
static int other_key;

/* It frees its own key, while another attribute keeps it and at last. */
static int delete_and_free(MPI_Comm comm, int key, void *value, void *extra)
{
    int own = key;
    check(MPI_Comm_free_keyval(&own) == MPI_SUCCESS);
    return delete_comm(comm, key, value, extra);
}

static int own_key_main(void *argument)
{
    int key, copy;
    struct seen seen = {.flag = 1};
    MPI_Comm dup;
    (void)argument;
    cases_init(NULL, NULL);
    check(MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, delete_and_free, &key, &seen) == 0);
    check(MPI_Comm_dup(MPI_COMM_SELF, &dup) == MPI_SUCCESS);
    check(MPI_Comm_set_attr(dup, key, NULL) == MPI_SUCCESS);
    check(MPI_Comm_set_attr(MPI_COMM_SELF, key, NULL) == MPI_SUCCESS);
    copy = key;
    check(MPI_Comm_free(&dup) == MPI_SUCCESS && seen.deletes == 1);
    check(MPI_Comm_free_keyval(&key) == MPI_SUCCESS);
    check(MPI_Comm_delete_attr(MPI_COMM_SELF, copy) == MPI_SUCCESS && seen.deletes == 2);
    check(MPI_Comm_free_keyval(&copy) == MPI_ERR_KEYVAL);
    MPI_Finalize();
    return 0;
}

static int delete_other(MPI_Comm comm, int key, void *value, void *extra)
{
    int flag;
    void *other;
    check(MPI_Comm_get_attr(comm, other_key, &other, &flag) == MPI_SUCCESS);
    if (flag)
        check(MPI_Comm_delete_attr(comm, other_key) == MPI_SUCCESS);
    return delete_comm(comm, key, value, extra);
}

static int nested_main(void *argument)
{
    int key;
    struct seen seen = {.flag = 1}, other = {.flag = 1};
    MPI_Comm dup;
    (void)argument;
    cases_init(NULL, NULL);
    check(MPI_Comm_create_keyval(copy_comm, delete_comm, &other_key, &other) == MPI_SUCCESS);
    check(MPI_Comm_create_keyval(copy_comm, delete_other, &key, &seen) == MPI_SUCCESS);
    check(MPI_Comm_dup(MPI_COMM_SELF, &dup) == MPI_SUCCESS);
    check(MPI_Comm_set_attr(dup, other_key, (void *)(intptr_t)1) == MPI_SUCCESS);
    check(MPI_Comm_set_attr(dup, key, (void *)(intptr_t)2) == MPI_SUCCESS);
    check(MPI_Comm_free(&dup) == MPI_SUCCESS);
    check(seen.deletes == 1 && other.deletes == 1);
    check(MPI_Comm_free_keyval(&key) == MPI_SUCCESS);
    check(MPI_Comm_free_keyval(&other_key) == MPI_SUCCESS);
    MPI_Finalize();
    return 0;
}

static void callbacks_may_change_the_attributes(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 1}, nested_main, NULL);
    cases_run(&(struct native_options){.ranks = 1}, own_key_main, NULL);
}

static int environment_value(int key)
{
    int *value = NULL, flag = 0;
    check(MPI_Comm_get_attr(MPI_COMM_WORLD, key, &value, &flag) == MPI_SUCCESS && flag);
    return *value;
}

static int environment_main(void *argument)
{
    int key = MPI_TAG_UB, code, flag;
    void *value;
    (void)argument;
    cases_init(NULL, NULL);
    check(environment_value(MPI_TAG_UB) >= 32767);
    check(environment_value(MPI_HOST) == MPI_PROC_NULL);
    check(environment_value(MPI_IO) == MPI_ANY_SOURCE);
    check(environment_value(MPI_WTIME_IS_GLOBAL) == 0);
    check(environment_value(MPI_UNIVERSE_SIZE) == 3);
    check(environment_value(MPI_APPNUM) == 0);
    check(environment_value(MPI_LASTUSEDCODE) == MPI_ERR_LASTCODE);
    check(MPI_Add_error_class(&code) == MPI_SUCCESS && code > MPI_ERR_LASTCODE);
    check(environment_value(MPI_LASTUSEDCODE) == code);
    check(MPI_Remove_error_class(code) == MPI_SUCCESS);
    check(environment_value(MPI_LASTUSEDCODE) == MPI_ERR_LASTCODE);
    check(MPI_Comm_set_attr(MPI_COMM_WORLD, MPI_TAG_UB, NULL) == MPI_ERR_KEYVAL);
    check(MPI_Comm_delete_attr(MPI_COMM_WORLD, MPI_IO) == MPI_ERR_KEYVAL);
    check(MPI_Comm_free_keyval(&key) == MPI_ERR_KEYVAL && key == MPI_TAG_UB);
    check(MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_KEYVAL_INVALID, &value, &flag) == MPI_ERR_KEYVAL);
    check(MPI_Comm_get_attr(MPI_COMM_WORLD, -5, &value, &flag) == MPI_ERR_KEYVAL);
    check(MPI_Comm_get_attr(MPI_COMM_NULL, MPI_TAG_UB, &value, &flag) == MPI_ERR_COMM);
    MPI_Finalize();
    return 0;
}

static void the_environment_is_told(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 3}, environment_main, NULL);
}

/* lint: of the standard */
static int copy_type(MPI_Datatype type, int key, void *extra, void *in, void *out, int *flag)
{
    (void)type;
    return copy_comm(MPI_COMM_NULL, key, extra, in, out, flag);
}

static int delete_type(MPI_Datatype type, int key, void *value, void *extra)
{
    (void)type;
    return delete_comm(MPI_COMM_NULL, key, value, extra);
}

static void check_type_attr(MPI_Datatype type, int key, intptr_t want)
{
    void *value = NULL;
    int flag = -1;
    check(MPI_Type_get_attr(type, key, &value, &flag) == MPI_SUCCESS);
    check(want ? flag && (intptr_t)value == want : !flag);
}

static int types_main(void *argument)
{
    struct seen seen = {.flag = 1};
    int key, comm_key, win_key;
    MPI_Datatype dup, twice;
    (void)argument;
    cases_init(NULL, NULL);
    check(MPI_Type_create_keyval(copy_type, delete_type, &key, &seen) == MPI_SUCCESS);
    check(MPI_Comm_create_keyval(copy_comm, delete_comm, &comm_key, &seen) == MPI_SUCCESS);
    check(MPI_Win_create_keyval(MPI_WIN_NULL_COPY_FN, MPI_WIN_NULL_DELETE_FN, &win_key, NULL) ==
          MPI_SUCCESS);
    check(MPI_Type_set_attr(MPI_INT, key, (void *)(intptr_t)4) == MPI_SUCCESS);
    check(MPI_Type_set_attr(MPI_INT, comm_key, NULL) == MPI_ERR_KEYVAL);
    check(MPI_Type_set_attr(MPI_DATATYPE_NULL, key, NULL) == MPI_ERR_TYPE);
    check(MPI_Comm_set_attr(MPI_COMM_WORLD, key, NULL) == MPI_ERR_KEYVAL);
    check(MPI_Win_set_attr(MPI_WIN_NULL, win_key, NULL) == MPI_ERR_WIN);
    check(MPI_Type_dup(MPI_INT, &dup) == MPI_SUCCESS);
    check_type_attr(dup, key, 4 + BASE);
    check(MPI_Type_dup(dup, &twice) == MPI_SUCCESS && seen.copies == 2);
    check_type_attr(twice, key, 4 + 2 * BASE);
    check(MPI_Type_delete_attr(twice, key) == MPI_SUCCESS && seen.deletes == 1);
    check_type_attr(twice, key, 0);
    check(MPI_Type_free(&dup) == MPI_SUCCESS && seen.deletes == 2);
    check(MPI_Type_free(&twice) == MPI_SUCCESS && seen.deletes == 2);
    check(MPI_Type_delete_attr(MPI_INT, key) == MPI_SUCCESS);
    check(MPI_Type_free_keyval(&comm_key) == MPI_ERR_KEYVAL);
    check(MPI_Type_free_keyval(&key) == MPI_SUCCESS && MPI_Comm_free_keyval(&comm_key) == 0);
    check(MPI_Win_free_keyval(&win_key) == MPI_SUCCESS);
    MPI_Finalize();
    return 0;
}

static void datatypes_have_attributes_too(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 1}, types_main, NULL);
}

static int move_main(void *argument)
{
    (void)argument;
    cases_init(NULL, NULL);
    struct seen *seen = weft_alloc(sizeof(*seen));
    int *key = weft_alloc(sizeof(*key));
    MPI_Comm dup;
    seen->flag = 1;
    check(MPI_Comm_create_keyval(copy_comm, delete_comm, key, seen) == MPI_SUCCESS);
    check(MPI_Comm_set_attr(MPI_COMM_WORLD, *key, (void *)(intptr_t)5) == MPI_SUCCESS);
    native_move_region();
    check_attr(MPI_COMM_WORLD, *key, 5);
    check(MPI_Comm_dup(MPI_COMM_WORLD, &dup) == MPI_SUCCESS && seen->copies == 1);
    native_move_region();
    check_attr(dup, *key, 5 + BASE);
    check(environment_value(MPI_UNIVERSE_SIZE) == 3);
    check(MPI_Comm_free(&dup) == MPI_SUCCESS && seen->deletes == 1);
    check(MPI_Comm_delete_attr(MPI_COMM_WORLD, *key) == MPI_SUCCESS && seen->deletes == 2);
    check(MPI_Comm_free_keyval(key) == MPI_SUCCESS);
    weft_free(key);
    weft_free(seen);
    MPI_Finalize();
    return 0;
}

static void attributes_move_with_their_rank(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 3, .region_bytes = 2 << 20}, move_main, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(callbacks_see_the_object_the_key_and_the_value),
        cmocka_unit_test(predefined_callbacks_are_values),
        cmocka_unit_test(a_callback_that_fails_fails_the_call),
        cmocka_unit_test(the_end_deletes_what_hangs_on_self_latest_first),
        cmocka_unit_test(callbacks_may_change_the_attributes),
        cmocka_unit_test(the_environment_is_told),
        cmocka_unit_test(datatypes_have_attributes_too),
        cmocka_unit_test(attributes_move_with_their_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
