/* The header and the library against the lists of the MPI 5.0 ABI: values of all constants, all
 * functions with both names, nothing else exported, no state in the library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "mpi/mpi.h"

static const char *library;

struct constant {
    const char *name;
    intptr_t have, want;
};

static const struct constant constants[] = {
#define SAME_TYPE(name, type) {#name, sizeof(name) == sizeof(type) && (name)-1 < 0, 1},
#define SAME(name, value) {#name, (intptr_t)(name), (intptr_t)(value)},
#define TYPED(type, name, value)                                                                   \
    {#name, (intptr_t)(name),                                                                      \
     (intptr_t) _Generic((name), type                                                              \
                         : (value), MPI_T_cb_safety                                                \
                         : (value), MPI_T_source_order                                             \
                         : (value))},
#include "constants.inc"
#undef SAME_TYPE
#undef SAME
#undef TYPED
};

struct function {
    const char *name;
    void (*mpi)(void);
    void (*pmpi)(void);
};

static const struct function functions[] = {
#define FUNCTION(name) {#name, (void (*)(void))(name), (void (*)(void))(P##name)},
#include "functions.inc"
#undef FUNCTION
};
enum { FUNCTIONS = sizeof(functions) / sizeof(functions[0]) };

static void constants_have_the_values_of_the_standard(void **state)
{
    (void)state;
    size_t n = sizeof(constants) / sizeof(constants[0]);
    assert_true(n == 367);
    for (size_t i = 0; i < n; i++) {
        if (constants[i].have != constants[i].want)
            print_error("%s\n", constants[i].name);
        assert_int_equal(constants[i].have, constants[i].want);
    }
}

static void types_have_the_layout_of_the_standard(void **state)
{
    (void)state;
    assert_int_equal(sizeof(MPI_Status), 32);
    assert_int_equal(offsetof(MPI_Status, MPI_SOURCE), 0);
    assert_int_equal(offsetof(MPI_Status, MPI_TAG), 4);
    assert_int_equal(offsetof(MPI_Status, MPI_ERROR), 8);
    assert_int_equal(sizeof(MPI_Aint), sizeof(void *));
    assert_int_equal(sizeof(MPI_Offset), 8);
    assert_int_equal(sizeof(MPI_Count), 8);
    assert_int_equal(sizeof(MPI_Comm), sizeof(void *));
}

static void every_function_has_both_names(void **state)
{
    (void)state;
    assert_int_equal(FUNCTIONS, 664);
    for (int i = 0; i < FUNCTIONS; i++) {
        if (!functions[i].mpi || functions[i].mpi != functions[i].pmpi)
            print_error("%s\n", functions[i].name);
        assert_non_null(functions[i].mpi);
        assert_ptr_equal(functions[i].mpi, functions[i].pmpi);
    }
}

/* Calls visit with name and section of each symbol that nm lists. */
static int list_symbols(const char *options,
                        void (*visit)(const char *name, const char *section, int *counter))
{
    char command[512], line[512], name[400], section[100];
    int counter = 0;
    snprintf(command, sizeof(command), "nm -f sysv %s '%s' 2>&1", options, library);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    while (fgets(line, sizeof(line), pipe))
        if (sscanf(line, "%399[^| ]%*[^|]|%*[^|]|%*[^|]|%*[^|]|%*[^|]|%*[^|]|%99s", name,
                   section) == 2 ||
            sscanf(line, "%399[^| ]|%*[^|]|%*[^|]|%*[^|]|%*[^|]|%*[^|]|%99s", name, section) == 2)
            visit(name, section, &counter);
    if (pclose(pipe) != 0) {
        print_message("skipped: nm does not run\n");
        skip();
    }
    return counter;
}

static void visit_exported(const char *name, const char *section, int *counter)
{
    (void)section;
    (*counter)++;
    if (strncmp(name, "MPI_", 4) != 0 && strncmp(name, "PMPI_", 5) != 0)
        fail_msg("%s is exported", name);
}

static void nothing_else_is_exported(void **state)
{
    (void)state;
    assert_int_equal(list_symbols("-D --defined-only", visit_exported), 2 * FUNCTIONS);
}

/* Data that stay writable and could be of any rank; those of the compiler's own start code are
 * fine, and those of processes that are a rank each have a section of their own. */
static void visit_data(const char *name, const char *section, int *counter)
{
    static const char *const fine[] = {"__TMC_END__", "__dso_handle", "completed.0"};
    if (strcmp(section, ".data") != 0 && strcmp(section, ".bss") != 0)
        return;
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
        if (strcmp(name, fine[i]) == 0)
            return;
    (*counter)++;
    print_error("%s in %s\n", name, section);
}

static void the_library_has_no_state_of_its_own(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    print_message("skipped: sanitizers add data\n");
    skip();
#endif
    assert_int_equal(list_symbols("", visit_data), 0);
}

static void versions_are_known_before_init(void **state)
{
    int version = 0, subversion = 0, len = 0, flag = 1;
    char text[MPI_MAX_LIBRARY_VERSION_STRING];
    (void)state;
    assert_int_equal(MPI_Get_version(&version, &subversion), MPI_SUCCESS);
    assert_int_equal(version, 5);
    assert_int_equal(subversion, 0);
    assert_int_equal(MPI_Abi_get_version(&version, &subversion), MPI_SUCCESS);
    assert_int_equal(version, 1);
    assert_int_equal(subversion, 0);
    assert_int_equal(MPI_Get_library_version(text, &len), MPI_SUCCESS);
    assert_int_equal(strlen(text), len);
    assert_non_null(strstr(text, "weft"));
    MPI_Initialized(&flag);
    assert_int_equal(flag, 0);
    MPI_Finalized(&flag);
    assert_int_equal(flag, 0);
    assert_true(MPI_Wtick() > 0 && MPI_Wtick() <= 1e-6);
}

static void handles_become_integers_and_back(void **state)
{
    (void)state;
    assert_int_equal(MPI_Comm_toint(MPI_COMM_WORLD), 257);
    assert_ptr_equal(MPI_Comm_fromint(257), MPI_COMM_WORLD);
    assert_ptr_equal(MPI_Type_fromint(MPI_Type_toint(MPI_DOUBLE)), MPI_DOUBLE);
    assert_ptr_equal(MPI_Op_fromint(MPI_Op_toint(MPI_SUM)), MPI_SUM);
    assert_ptr_equal(MPI_Request_fromint(0x7ffff180), (MPI_Request)0x7ffff180);
    assert_ptr_equal(MPI_Errhandler_fromint(MPI_Errhandler_toint(MPI_ERRORS_RETURN)),
                     MPI_ERRORS_RETURN);
    assert_ptr_equal(MPI_Group_fromint(MPI_Group_toint(MPI_GROUP_EMPTY)), MPI_GROUP_EMPTY);
    assert_ptr_equal(MPI_Info_fromint(MPI_Info_toint(MPI_INFO_ENV)), MPI_INFO_ENV);
    assert_ptr_equal(MPI_File_fromint(MPI_File_toint(MPI_FILE_NULL)), MPI_FILE_NULL);
    assert_ptr_equal(MPI_Win_fromint(MPI_Win_toint(MPI_WIN_NULL)), MPI_WIN_NULL);
    assert_ptr_equal(MPI_Message_fromint(MPI_Message_toint(MPI_MESSAGE_NO_PROC)),
                     MPI_MESSAGE_NO_PROC);
    assert_ptr_equal(MPI_Session_fromint(MPI_Session_toint(MPI_SESSION_NULL)), MPI_SESSION_NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constants_have_the_values_of_the_standard),
        cmocka_unit_test(types_have_the_layout_of_the_standard),
        cmocka_unit_test(every_function_has_both_names),
        cmocka_unit_test(nothing_else_is_exported),
        cmocka_unit_test(the_library_has_no_state_of_its_own),
        cmocka_unit_test(versions_are_known_before_init),
        cmocka_unit_test(handles_become_integers_and_back),
    };
    library = argc > 1 ? argv[1] : "libmpi_abi.so.1";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
