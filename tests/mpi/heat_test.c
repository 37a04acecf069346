/* The demo against a serial reference, for several numbers of ranks, with packets reordered and
 * with moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

static const char *heat_native, *heat_serial;

/* What the command prints (stderr too), and its exit code. */
static int run(const char *command, char *out, size_t max)
{
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t len = fread(out, 1, max - 1, pipe);
    out[len] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void check_problem(int ranks, int seed, int moving, const char *options)
{
    static char out[1 << 20], want[64];
    char command[512];
    int nx, ny, steps, problem;
    assert_int_equal(sscanf(options, "%d %d %d %d", &nx, &ny, &steps, &problem), 4);
    snprintf(command, sizeof(command), "%s %d %d %d %d", heat_serial, nx, ny, steps, problem);
    assert_int_equal(run(command, want, sizeof(want)), 0);
    want[16] = '\0';
    snprintf(command, sizeof(command), "%s %d %d %d --nx %d --ny=%d --steps %d --seed %d 2>&1",
             heat_native, ranks, seed, moving, nx, ny, steps, problem);
    assert_int_equal(run(command, out, sizeof(out)), 0);
    char key[64];
    snprintf(key, sizeof(key), "\"checksum\":\"%.16s\"", want);
    if (!strstr(out, key))
        print_error("%s\nwanted %s in:\n%.2000s\n", command, key, out);
    assert_non_null(strstr(out, key));
    snprintf(key, sizeof(key), "\"steps\":%d,\"moves\":", steps);
    int found = 0, nonces = 0;
    for (const char *at = out; (at = strstr(at, key)) != NULL; at++)
        found++;
    assert_int_equal(found, ranks);
    for (const char *at = out; (at = strstr(at, "\"nonce_start\":\"")) != NULL; at++)
        nonces += strncmp(at + 15, at + 15 + 16 + 15, 16) == 0;
    assert_int_equal(nonces, ranks);
    if (moving && steps >= 50)
        assert_null(strstr(out, "\"moves\":0,\"heap"));
}

static void the_checksum_is_the_serial_one_for_every_number_of_ranks(void **state)
{
    (void)state;
    for (int ranks = 1; ranks <= 5; ranks++)
        check_problem(ranks, 0, 0, "33 17 100 1");
    check_problem(5, 0, 0, "1 5 20 7");
    check_problem(3, 0, 0, "600 3 10 100");
    check_problem(2, 0, 0, "8 8 0 1");
}

static void the_checksum_stays_when_packets_are_reordered(void **state)
{
    (void)state;
    for (int seed = 1; seed <= 3; seed++)
        check_problem(4, seed, 0, "600 19 30 2");
}

static void the_checksum_stays_when_ranks_are_moved(void **state)
{
    (void)state;
    check_problem(2, 1, 1, "20 10 50 1");
    check_problem(4, 2, 1, "600 12 50 3");
}

static void refused(const char *options, const char *text)
{
    char command[512], out[4096];
    snprintf(command, sizeof(command), "%s 2 0 0 %s 2>&1", heat_native, options);
    assert_int_equal(run(command, out, sizeof(out)), 2);
    if (!strstr(out, text))
        print_error("%s: wanted '%s' in '%s'\n", options, text, out);
    assert_non_null(strstr(out, text));
}

static void wrong_options_are_named(void **state)
{
    (void)state;
    refused("--nx 0", "--nx takes a number from 1");
    refused("--ny=12x", "--ny takes a number from 1 to 1048576, not '12x'");
    refused("--steps -1", "--steps takes a number from 0");
    refused("--seed", "--seed takes a number");
    refused("--colour 3", "unknown option '--colour'");
    refused("--ny 1", "--ny 1 is less than the number of ranks, 2");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_checksum_is_the_serial_one_for_every_number_of_ranks),
        cmocka_unit_test(the_checksum_stays_when_packets_are_reordered),
        cmocka_unit_test(the_checksum_stays_when_ranks_are_moved),
        cmocka_unit_test(wrong_options_are_named),
    };
    if (argc != 3)
        return 2;
    heat_native = argv[1];
    heat_serial = argv[2];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
