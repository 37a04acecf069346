/* weftcc: what it makes, what it shows, that its tree can be moved. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef __x86_64__
#define FORM " -pie " /* by default */
#else
#define FORM " -shared "
#endif

static const char *weftcc, *installed; /* of the build tree; to be installed */
static char folder[] = "/tmp/weftcc-test-XXXXXX";

/* Runs a shell command in the test's folder; its exit code. Output with stderr in out. */
static int run(char *out, size_t max, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int run(char *out, size_t max, const char *fmt, ...)
{
    char command[2048];
    va_list args;
    int at = snprintf(command, sizeof(command), "exec 2>&1; cd '%s' && ", folder);
    va_start(args, fmt);
    vsnprintf(command + at, sizeof(command) - (size_t)at, fmt, args);
    va_end(args);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    out[fread(out, 1, max - 1, pipe)] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static char out[1 << 16];

static void expect(int code, const char *text, const char *arguments)
{
    int got = run(out, sizeof(out), "'%s' %s", weftcc, arguments);
    if (got != code || !strstr(out, text))
        print_error("weftcc %s: %d, wanted %d and '%s':\n%.2000s\n", arguments, got, code, text,
                    out);
    assert_int_equal(got, code);
    assert_non_null(strstr(out, text));
}

static int setup(void **state)
{
    static const char source[] =
        "#include <mpi.h>\n#include <weft/memory.h>\n#include <weft/migrate.h>\n"
        "int main(int argc, char **argv) { void *p = weft_alloc(1); MPI_Init(&argc, &argv);"
        " MPI_Finalize(); weft_free(p); return 0; }\n";
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    char path[128];
    snprintf(path, sizeof(path), "%s/ring.c", folder);
    FILE *file = fopen(path, "w");
    if (!file)
        return -1;
    fputs(source, file);
    return fclose(file);
}

static int teardown(void **state)
{
    (void)state;
    return run(out, sizeof(out), "rm -r '%s'", folder);
}

static void a_program_becomes_a_shared_object_that_exports_main(void **state)
{
    (void)state;
    expect(0, "", "-shared -O1 -Wall -o ring ring.c");
    assert_int_equal(run(out, sizeof(out), "nm -D --defined-only ring"), 0);
    assert_non_null(strstr(out, " T main"));
    assert_int_equal(run(out, sizeof(out), "readelf -d -n ring"), 0);
    assert_non_null(strstr(out, "[libmpi_abi.so.1]"));
    assert_non_null(strstr(out, "BIND_NOW"));
    assert_non_null(strstr(out, "SYMBOLIC"));
    assert_non_null(strstr(out, "Build ID"));
}

static void a_program_can_be_an_ordinary_executable(void **state)
{
    (void)state;
    expect(0, "", "-pie -O1 -Wall -o plain ring.c");
    assert_int_equal(run(out, sizeof(out), "readelf -l -d -n plain"), 0);
    assert_non_null(strstr(out, "INTERP"));
    assert_non_null(strstr(out, "[libmpi_abi.so.1]"));
    assert_non_null(strstr(out, "BIND_NOW"));
    assert_non_null(strstr(out, "Build ID"));
    expect(0, "-pie", "--show -dynamic ring.c");
    assert_int_equal(run(out, sizeof(out), "./plain"), 0); /* a world of one rank */
}

static void compiling_and_linking_can_be_two_steps(void **state)
{
    (void)state;
    expect(0, "", "-c ring.c");
    expect(0, "", "-shared -o ring2 ring.o -lm");
    assert_int_equal(run(out, sizeof(out), "nm -D --defined-only ring2"), 0);
    assert_non_null(strstr(out, " T main"));
}

static void show_prints_a_command_that_a_shell_can_run(void **state)
{
    (void)state;
    expect(0, FORM, "--show -DTEXT='\"a b\"' -o 'ring three' ring.c");
    char command[4096];
    snprintf(command, sizeof(command), "%.4000s", out);
    command[strcspn(command, "\n")] = '\0';
    assert_int_equal(run(out, sizeof(out), "%s && test -f 'ring three'", command), 0);
    expect(0, "-fPIC", "--show -c ring.c");
    assert_null(strstr(out, FORM));
}

static void a_build_system_can_ask_for_what_is_added(void **state)
{
    (void)state;
    expect(0, "-I", "-showme:compile");
    assert_null(strstr(out, "-lmpi_abi"));
    expect(0, "-lmpi_abi", "-showme:link");
    assert_null(strstr(out, "-I"));
    expect(0, "-static-pie", "-showme:link -static-pie");
    assert_int_equal(run(out, sizeof(out),
                         "mpicc=$(dirname '%s')/mpicc_abi && "
                         "cc $($mpicc -showme:compile) -o asked ring.c $($mpicc -showme:link)",
                         weftcc),
                     0);
}

static void mistakes_have_a_sentence(void **state)
{
    (void)state;
    expect(2, "a rank can lie at any address", "-static ring.c");
    expect(2, "a rank can lie at any address", "-no-pie ring.c");
    expect(1, "no input files", "");
    expect(1, "nothing.c", "nothing.c");
    expect(0, "Usage: weftcc", "--help");
    expect(0, "weftcc 0.", "--version");
}

static void the_compiler_can_be_chosen(void **state)
{
    (void)state;
    assert_int_equal(run(out, sizeof(out), "WEFTCC_CC=my-cc '%s' --show ring.c", weftcc), 0);
    assert_memory_equal(out, "my-cc ", 6);
}

static void an_installed_tree_can_be_moved(void **state)
{
    char want[128];
    (void)state;
    run(out, sizeof(out),
        "mkdir -p old/bin old/include/mpi && cp '%s' old/bin/weftcc && mv old new", installed);
    assert_int_equal(run(out, sizeof(out), "new/bin/weftcc --show ring.c"), 1);
    assert_non_null(strstr(out, "mpi/mpi.h is missing"));
    assert_int_equal(
        run(out, sizeof(out), "touch new/include/mpi/mpi.h && new/bin/weftcc --show ring.c"), 0);
    snprintf(want, sizeof(want), "-I%s/new/include/mpi ", folder);
    assert_non_null(strstr(out, want));
    snprintf(want, sizeof(want), "-L%s/new/lib", folder);
    assert_non_null(strstr(out, want));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_becomes_a_shared_object_that_exports_main),
        cmocka_unit_test(a_program_can_be_an_ordinary_executable),
        cmocka_unit_test(compiling_and_linking_can_be_two_steps),
        cmocka_unit_test(show_prints_a_command_that_a_shell_can_run),
        cmocka_unit_test(a_build_system_can_ask_for_what_is_added),
        cmocka_unit_test(mistakes_have_a_sentence),
        cmocka_unit_test(the_compiler_can_be_chosen),
        cmocka_unit_test(an_installed_tree_can_be_moved),
    };
    if (argc != 3)
        return 2;
    weftcc = argv[1];
    installed = argv[2];
    return cmocka_run_group_tests(tests, setup, teardown);
}
