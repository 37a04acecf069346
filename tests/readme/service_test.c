/* The service of README.md and its callers, as they stand there. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const char *programs, *weft; /* a folder; a program */
static pid_t greeter;
static int stop; /* closing it ends the service */
static char url[64];

/* Starts the service and reads its url. */
static int setup(void **state)
{
    char path[512];
    int out[2], in[2];
    FILE *lines;

    (void)state;
    snprintf(path, sizeof(path), "%s/greeter", programs);
    assert_int_equal(pipe(out), 0);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    greeter = fork();
    if (greeter == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        close(out[0]);
        close(out[1]);
        execl(path, "greeter", (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    close(in[0]);
    stop = in[1];
    lines = fdopen(out[0], "r");
    assert_non_null(lines);
    assert_non_null(fgets(url, sizeof(url), lines));
    url[strcspn(url, "\n")] = '\0';
    fclose(lines);
    return 0;
}

/* It ends with its input, with 0. */
static int teardown(void **state)
{
    int status;

    (void)state;
    close(stop);
    assert_int_equal(waitpid(greeter, &status, 0), greeter);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Runs a program with its url and two arguments; its exit code, and what it printed. */
static int run(const char *program, const char *arguments, char out[256])
{
    char command[1024];
    FILE *lines;
    size_t len;
    int status;

    snprintf(command, sizeof(command), "exec timeout 60 %s %s %s", program, url, arguments);
    lines = popen(command, "r");
    assert_non_null(lines);
    len = fread(out, 1, 255, lines);
    out[len] = '\0';
    status = pclose(lines);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int run_own(const char *name, const char *arguments, char out[256])
{
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", programs, name);
    return run(path, arguments, out);
}

static int run_weft(const char *arguments, char out[256])
{
    char path[512];

    snprintf(path, sizeof(path), "%s call --timeout 50000", weft);
    return run(path, arguments, out);
}

static void a_client_in_c_calls_the_service(void **state)
{
    char out[256];

    (void)state;
    assert_int_equal(run_own("caller", "world", out), 0);
    assert_string_equal(out, "hello, world\n");
}

static void a_client_of_plain_zeromq_calls_the_service(void **state)
{
    char out[256];

    (void)state;
    assert_int_equal(run_own("plain", "world", out), 0);
    assert_string_equal(out, "hello, world\n");
}

static void the_command_line_calls_the_service(void **state)
{
    char out[256];

    (void)state;
    assert_int_equal(run_weft("1 world", out), 0);
    assert_string_equal(out, "hello, world");
    assert_int_equal(run_weft("1 - </dev/null", out), 0);
    assert_string_equal(out, "hello, ");
    assert_int_equal(run_weft("9 x 2>&1", out), 4);
    assert_non_null(strstr(out, "no call 9"));
    assert_int_equal(run_weft("1 2>&1", out), 0);
    assert_int_equal(run_weft("x 2>&1", out), 2);
    assert_int_equal(run_weft("1 a b c 2>&1", out), 2);
    assert_int_equal(run_weft("2 --timeout 1 2>&1", out), 2); /* options come first */
}

static void the_command_line_says_that_nobody_is_there(void **state)
{
    char command[600], out[256] = "";
    FILE *lines;
    int status;

    (void)state;
    snprintf(command, sizeof(command), "exec timeout 60 %s call tcp://127.0.0.1:1 1 x 2>&1", weft);
    lines = popen(command, "r");
    assert_non_null(lines);
    out[fread(out, 1, sizeof(out) - 1, lines)] = '\0';
    status = pclose(lines);
    assert_int_equal(WEXITSTATUS(status), 3);
    assert_non_null(strstr(out, "tcp://127.0.0.1:1"));
}

static void *meet(void *arg)
{
    char out[256];

    (void)arg;
    return (void *)(intptr_t)(run_weft("2", out) == 0 && strcmp(out, "all here") == 0);
}

static void three_callers_meet_though_there_is_one_worker(void **state)
{
    pthread_t threads[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, meet, NULL), 0);
    for (int i = 0; i < 3; i++) {
        void *ok;

        pthread_join(threads[i], &ok);
        assert_int_equal((intptr_t)ok, 1);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_in_c_calls_the_service),
        cmocka_unit_test(a_client_of_plain_zeromq_calls_the_service),
        cmocka_unit_test(the_command_line_calls_the_service),
        cmocka_unit_test(the_command_line_says_that_nobody_is_there),
        cmocka_unit_test(three_callers_meet_though_there_is_one_worker),
    };

    if (argc != 3)
        return 2;
    programs = argv[1];
    weft = argv[2];
    return cmocka_run_group_tests(tests, setup, teardown);
}
