/* Error handlers and codes of the program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "weft/memory.h"

enum { ROUNDS = 10000 };

/* What a rank's handlers have seen. */
static _Thread_local struct {
    int calls, code;
    MPI_Comm comm;
} seen;

static void on_error(MPI_Comm *comm, int *code, ...) /* NOLINT: of the standard */
{
    seen.calls++;
    seen.code = *code;
    seen.comm = *comm;
}

static void on_other_error(MPI_Comm *comm, int *code, ...)
{
    int rank;
    check(MPI_Comm_rank(*comm, &rank) == MPI_SUCCESS);
    on_error(comm, code);
    seen.calls += 100;
}

static void on_file_error(MPI_File *file, int *code, ...) /* NOLINT: of the standard */
{
    check(*file == MPI_FILE_NULL);
    seen.calls++;
    seen.code = *code;
}

static bool was_called(int calls, MPI_Comm comm, int code)
{
    bool as_wanted = seen.calls == calls && seen.comm == comm && seen.code == code;
    memset(&seen, 0, sizeof(seen));
    return as_wanted;
}

static int own_main(void *argument)
{
    int x = 0;
    MPI_Errhandler own, other, got;
    MPI_Comm dup, world = MPI_COMM_WORLD;
    (void)argument;
    cases_init(NULL, NULL);
    check(MPI_Comm_create_errhandler(on_error, &own) == MPI_SUCCESS);
    check(MPI_Comm_create_errhandler(on_other_error, &other) == MPI_SUCCESS && own != other);
    check(MPI_Comm_set_errhandler(world, own) == MPI_SUCCESS);
    check(MPI_Send(&x, 1, MPI_INT, 99, 0, world) == MPI_ERR_RANK);
    check(was_called(1, world, MPI_ERR_RANK));
    check(MPI_Comm_call_errhandler(world, 12345) == MPI_SUCCESS && was_called(1, world, 12345));
    /* What belongs to no communicator is self's. */
    check(MPI_Barrier(MPI_COMM_NULL) == MPI_ERR_COMM && was_called(0, NULL, 0));
    check(MPI_Comm_set_errhandler(MPI_COMM_SELF, other) == MPI_SUCCESS);
    check(MPI_Barrier(MPI_COMM_NULL) == MPI_ERR_COMM);
    check(was_called(101, MPI_COMM_SELF, MPI_ERR_COMM));
    /* A duplicate has its parent's, and is named in the call. */
    check(MPI_Comm_dup(world, &dup) == MPI_SUCCESS);
    check(MPI_Send(&x, -1, MPI_INT, 0, 0, dup) == MPI_ERR_COUNT);
    check(was_called(1, dup, MPI_ERR_COUNT));
    /* Freed, it serves on; asking gives a handle again. */
    MPI_Errhandler old = own;
    check(MPI_Errhandler_free(&own) == MPI_SUCCESS && own == MPI_ERRHANDLER_NULL);
    check(MPI_Comm_set_errhandler(dup, old) == MPI_ERR_ERRHANDLER &&
          was_called(1, dup, MPI_ERR_ERRHANDLER));
    check(MPI_Errhandler_free(&old) == MPI_ERR_ERRHANDLER);
    check(was_called(101, MPI_COMM_SELF, MPI_ERR_ERRHANDLER));
    check(MPI_Comm_get_errhandler(dup, &got) == MPI_SUCCESS);
    check(MPI_Comm_set_errhandler(MPI_COMM_SELF, got) == MPI_SUCCESS);
    check(MPI_Errhandler_free(&got) == MPI_SUCCESS && MPI_Errhandler_free(&other) == MPI_SUCCESS);
    check(MPI_Type_size(MPI_DATATYPE_NULL, &x) == MPI_ERR_TYPE);
    check(was_called(1, MPI_COMM_SELF, MPI_ERR_TYPE));
    check(MPI_Comm_free(&dup) == MPI_SUCCESS);
    MPI_Finalize();
    return 0;
}

static void handlers_of_the_program_are_called_with_object_and_code(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 2}, own_main, NULL);
}

/* A request fails when its communicator is freed already. */
static int late_main(void *argument)
{
    int x[2] = {1, 2}, y;
    MPI_Errhandler own;
    MPI_Comm dup;
    MPI_Request r[2];
    (void)argument;
    cases_init(NULL, NULL);
    check(MPI_Comm_dup(MPI_COMM_SELF, &dup) == MPI_SUCCESS);
    check(MPI_Comm_create_errhandler(on_error, &own) == MPI_SUCCESS);
    check(MPI_Comm_set_errhandler(dup, own) == MPI_SUCCESS);
    check(MPI_Errhandler_free(&own) == MPI_SUCCESS);
    check(MPI_Irecv(&y, 1, MPI_INT, 0, 0, dup, &r[0]) == MPI_SUCCESS);
    check(MPI_Isend(x, 2, MPI_INT, 0, 0, dup, &r[1]) == MPI_SUCCESS);
    check(MPI_Comm_free(&dup) == MPI_SUCCESS);
    check(MPI_Wait(&r[1], MPI_STATUS_IGNORE) == MPI_SUCCESS && seen.calls == 0);
    check(MPI_Wait(&r[0], MPI_STATUS_IGNORE) == MPI_ERR_TRUNCATE);
    check(was_called(1, MPI_COMM_NULL, MPI_ERR_TRUNCATE));
    MPI_Finalize();
    return 0;
}

static void a_freed_communicator_still_has_its_handler(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 1}, late_main, NULL);
}

static int kinds_main(void *argument)
{
    MPI_Errhandler file, win, session, comm, got;
    (void)argument;
    cases_init(NULL, NULL);
    check(MPI_File_create_errhandler(on_file_error, &file) == MPI_SUCCESS);
    check(MPI_Win_create_errhandler((MPI_Win_errhandler_function *)0x1, &win) == MPI_SUCCESS);
    check(MPI_Session_create_errhandler((MPI_Session_errhandler_function *)0x1, &session) ==
          MPI_SUCCESS);
    check(MPI_Comm_create_errhandler(on_error, &comm) == MPI_SUCCESS);
    check(MPI_Comm_create_errhandler(NULL, &got) == MPI_ERR_ARG);
    check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, file) == MPI_ERR_ERRHANDLER);
    check(MPI_File_get_errhandler(MPI_FILE_NULL, &got) == MPI_SUCCESS && got == MPI_ERRORS_RETURN);
    check(MPI_File_set_errhandler(MPI_FILE_NULL, comm) == MPI_ERR_ERRHANDLER);
    check(MPI_File_set_errhandler(MPI_FILE_NULL, file) == MPI_SUCCESS);
    check(MPI_File_call_errhandler(MPI_FILE_NULL, MPI_ERR_IO) == MPI_SUCCESS);
    check(seen.calls == 1 && seen.code == MPI_ERR_IO);
    check(MPI_File_call_errhandler((MPI_File)0x5000, MPI_ERR_IO) == MPI_ERR_FILE);
    check(seen.calls == 2 && seen.code == MPI_ERR_FILE);
    check(MPI_File_set_errhandler(MPI_FILE_NULL, MPI_ERRORS_RETURN) == MPI_SUCCESS);
    check(MPI_Win_set_errhandler(MPI_WIN_NULL, win) == MPI_ERR_WIN);
    check(MPI_Session_set_errhandler(MPI_SESSION_NULL, session) == MPI_ERR_SESSION);
    check(MPI_Errhandler_free(&file) == MPI_SUCCESS && MPI_Errhandler_free(&win) == MPI_SUCCESS);
    check(MPI_Errhandler_free(&session) == MPI_SUCCESS && MPI_Errhandler_free(&comm) == 0);
    got = MPI_ERRHANDLER_NULL;
    check(MPI_Errhandler_free(&got) == MPI_ERR_ERRHANDLER);
    MPI_Finalize();
    return 0;
}

static void a_handler_is_for_one_kind_of_objects(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 1}, kinds_main, NULL);
}

static int many_main(void *argument)
{
    size_t used = 0;
    (void)argument;
    cases_init(NULL, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        MPI_Errhandler own, got;
        check(MPI_Comm_create_errhandler(on_error, &own) == MPI_SUCCESS);
        check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, own) == MPI_SUCCESS);
        check(MPI_Comm_get_errhandler(MPI_COMM_WORLD, &got) == MPI_SUCCESS && got == own);
        check(MPI_Errhandler_free(&own) == MPI_SUCCESS && MPI_Errhandler_free(&got) == MPI_SUCCESS);
        if (i == 0)
            used = native_heap_used();
    }
    check(native_heap_used() == used);
    MPI_Finalize();
    return 0;
}

static void handlers_that_are_freed_leave_nothing_behind(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 1}, many_main, NULL);
}

static int abort_main(void *argument)
{
    int x;
    (void)argument;
    MPI_Init(NULL, NULL);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ABORT);
    MPI_Send(&x, 1, MPI_INT, 99, 0, MPI_COMM_WORLD);
    return 0;
}

static int early_main(void *argument)
{
    (void)argument;
    MPI_Info_free(&(MPI_Info){MPI_INFO_NULL});
    return 0;
}

static void aborting_ends_the_app(void **state)
{
    (void)state;
    cases_run_fatal(2, abort_main, MPI_ERR_RANK, "MPI_Send: invalid rank: rank 99");
    cases_run_fatal(2, early_main, MPI_ERR_INFO, "MPI_Info_free: invalid info object");
}

static void check_code(int code, int class, const char *text)
{
    int got, len;
    char got_text[MPI_MAX_ERROR_STRING];
    check(MPI_Error_class(code, &got) == MPI_SUCCESS && got == class);
    check(MPI_Error_string(code, got_text, &len) == MPI_SUCCESS);
    check(strcmp(got_text, text) == 0 && len == (int)strlen(text));
}

static int codes_main(void *argument)
{
    int class, code, io, again;
    (void)argument;
    /* Before MPI_Init. */
    check(MPI_Add_error_class(&class) == MPI_SUCCESS && class > MPI_ERR_LASTCODE);
    check(MPI_Add_error_code(class, &code) == MPI_SUCCESS && code > class);
    check(MPI_Add_error_string(class, "my class") == MPI_SUCCESS);
    cases_init(NULL, NULL);
    check(MPI_Add_error_code(MPI_ERR_IO, &io) == MPI_SUCCESS);
    check_code(class, class, "my class");
    check_code(code, class, "");
    check_code(io, MPI_ERR_IO, "");
    check(MPI_Add_error_string(code, "first") == MPI_SUCCESS);
    check(MPI_Add_error_string(code, "second") == MPI_SUCCESS);
    check_code(code, class, "second");
    check(MPI_Comm_call_errhandler(MPI_COMM_WORLD, code) == MPI_SUCCESS);
    check(MPI_Add_error_code(code, &again) == MPI_ERR_ARG);
    check(MPI_Add_error_code(MPI_ERR_LASTCODE, &again) == MPI_ERR_ARG);
    check(MPI_Add_error_string(MPI_ERR_IO, "x") == MPI_ERR_ARG);
    check(MPI_Remove_error_class(class) == MPI_ERR_ARG);
    check(MPI_Remove_error_class(MPI_ERR_IO) == MPI_ERR_ARG);
    check(MPI_Remove_error_code(code) == MPI_ERR_ARG); /* it has a text */
    check(MPI_Remove_error_string(code) == MPI_SUCCESS);
    check(MPI_Remove_error_string(code) == MPI_ERR_ARG);
    check(MPI_Remove_error_code(code) == MPI_SUCCESS);
    check_code(code, MPI_ERR_UNKNOWN, "unknown error code 16385");
    check(MPI_Add_error_code(MPI_ERR_IO, &again) == MPI_SUCCESS && again == code);
    MPI_Finalize();
    /* After MPI_Finalize. */
    check_code(class, class, "my class");
    check(MPI_Remove_error_string(class) == MPI_SUCCESS);
    check(MPI_Remove_error_class(class) == MPI_SUCCESS);
    check(MPI_Remove_error_code(io) == MPI_SUCCESS && MPI_Remove_error_code(again) == MPI_SUCCESS);
    return 0;
}

static void codes_of_the_program_have_classes_and_texts(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 2}, codes_main, NULL);
}

static int move_main(void *argument)
{
    int x = 0, code, class;
    MPI_Errhandler own;
    (void)argument;
    cases_init(NULL, NULL);
    check(MPI_Comm_create_errhandler(on_error, &own) == MPI_SUCCESS);
    check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, own) == MPI_SUCCESS);
    check(MPI_Add_error_class(&class) == MPI_SUCCESS);
    check(MPI_Add_error_code(class, &code) == MPI_SUCCESS);
    check(MPI_Add_error_string(code, "moved") == MPI_SUCCESS);
    native_move_region();
    check(MPI_Send(&x, 1, MPI_INT, 99, 0, MPI_COMM_WORLD) == MPI_ERR_RANK);
    check(was_called(1, MPI_COMM_WORLD, MPI_ERR_RANK));
    check_code(code, class, "moved");
    check(MPI_Errhandler_free(&own) == MPI_SUCCESS);
    native_move_region();
    check(MPI_Comm_call_errhandler(MPI_COMM_WORLD, code) == MPI_SUCCESS);
    check(was_called(1, MPI_COMM_WORLD, code));
    check(MPI_Remove_error_string(code) == MPI_SUCCESS && MPI_Remove_error_code(code) == 0);
    check(MPI_Remove_error_class(class) == MPI_SUCCESS);
    MPI_Finalize();
    return 0;
}

static void handlers_and_codes_move_with_their_rank(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 2, .region_bytes = 2 << 20}, move_main, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handlers_of_the_program_are_called_with_object_and_code),
        cmocka_unit_test(a_freed_communicator_still_has_its_handler),
        cmocka_unit_test(a_handler_is_for_one_kind_of_objects),
        cmocka_unit_test(handlers_that_are_freed_leave_nothing_behind),
        cmocka_unit_test(aborting_ends_the_app),
        cmocka_unit_test(codes_of_the_program_have_classes_and_texts),
        cmocka_unit_test(handlers_and_codes_move_with_their_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
