/* Memory that is there, or the process is not. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/must.h"

static void nothing_is_a_block_too(void **state)
{
    (void)state;
    void *none = weft__must_alloc(0, 8), *empty = weft__must_alloc(8, 0);
    void *copy = weft__must_copy(NULL, 0), *grown = weft__must_grow(NULL, 0, 8);
    assert_true(none != empty && copy != grown);
    free(none);
    free(empty);
    free(copy);
    free(grown);
}

static void blocks_are_zeroed_copied_and_grown(void **state)
{
    (void)state;
    static const char zeros[64];
    char *block = weft__must_alloc(8, 8);
    assert_memory_equal(block, zeros, 64);
    memcpy(block, "abc", 4);
    block = weft__must_grow(block, 1000, 8);
    char *copy = weft__must_copy(block, 4);
    assert_string_equal(copy, "abc");
    free(block);
    free(copy);
}

/* The signal that ends a process which asks for more than there is. */
static int signal_of(void (*ask)(void))
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        (void)close(STDERR_FILENO);
        ask();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void ask_grow(void)
{
    free(weft__must_grow(NULL, SIZE_MAX / 2, 8));
}

static void too_much_aborts(void **state)
{
    (void)state;
    assert_int_equal(signal_of(ask_grow), SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_a_block_too),
        cmocka_unit_test(blocks_are_zeroed_copied_and_grown),
        cmocka_unit_test(too_much_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
