#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

/* stderr goes into a pipe meanwhile: what is written with one write() stays together there. */
struct capture {
    int read_end;
    int stderr_copy;
};

static struct capture capture_start(void)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    struct capture capture = {ends[0], dup(STDERR_FILENO)};
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    close(ends[1]);
    return capture;
}

/* What was written to stderr since the start, in a static buffer. */
static const char *capture_end(struct capture capture)
{
    static char text[32 * 1024];
    dup2(capture.stderr_copy, STDERR_FILENO);
    close(capture.stderr_copy);
    ssize_t n = read(capture.read_end, text, sizeof(text) - 1);
    close(capture.read_end);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void a_line_has_time_name_process_level_and_text(void **state)
{
    (void)state;
    weft__log_set_level(WEFT_LOG_INFO);
    weft__log_name("weftd a");
    struct capture capture = capture_start();
    weft__info("%d ranks on %s", 3, "a");
    const char *line = capture_end(capture);
    char tail[64];
    snprintf(tail, sizeof(tail), " weftd a[%d] info: 3 ranks on a\n", (int)getpid());
    assert_non_null(strstr(line, tail));
    unsigned year, month, day;
    assert_int_equal(sscanf(line, "%4u-%2u-%2uT", &year, &month, &day), 3);
    assert_true(year >= 2024 && month >= 1 && month <= 12 && day >= 1 && day <= 31);
}

static void a_level_below_the_chosen_one_is_silent(void **state)
{
    (void)state;
    weft__log_set_level(WEFT_LOG_ERROR);
    struct capture capture = capture_start();
    weft__warn("not this");
    weft__error("but this");
    const char *text = capture_end(capture);
    assert_null(strstr(text, "not this"));
    assert_non_null(strstr(text, "error: but this\n"));
    assert_true(weft__log_enabled(WEFT_LOG_ERROR));
    assert_false(weft__log_enabled(WEFT_LOG_WARN));
}

static void a_text_of_several_lines_becomes_one_line(void **state)
{
    (void)state;
    weft__log_set_level(WEFT_LOG_DEBUG);
    struct capture capture = capture_start();
    weft__debug("first\nsecond\tthird");
    const char *text = capture_end(capture);
    assert_non_null(strstr(text, "first second third\n"));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void a_long_line_is_cut_and_says_so(void **state)
{
    (void)state;
    char text[3000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    struct capture capture = capture_start();
    weft__error("%s", text);
    const char *line = capture_end(capture);
    assert_int_equal(strlen(line), 1024);
    assert_string_equal(line + 1020, "...\n");
}

static void a_long_name_is_cut_at_31_characters(void **state)
{
    (void)state;
    weft__log_name("0123456789012345678901234567890123456789");
    struct capture capture = capture_start();
    weft__error("x");
    const char *line = capture_end(capture);
    assert_non_null(strstr(line, " 0123456789012345678901234567890["));
    weft__log_name("");
}

static void logging_keeps_errno(void **state)
{
    (void)state;
    struct capture capture = capture_start();
    close(STDERR_FILENO);
    errno = ERANGE;
    weft__error("x");
    int after = errno;
    capture_end(capture);
    assert_int_equal(after, ERANGE);
}

/* The level is read from the environment once, so each value gets a process of its own. */
static int enabled_in_child(const char *value)
{
    pid_t child = fork();
    if (child == 0) {
        if (value)
            setenv("WEFT_LOG", value, 1);
        else
            unsetenv("WEFT_LOG");
        weft__log_set_level((enum weft_log_level) - 1); /* as if nothing had been decided */
        int enabled = 0;
        for (int level = WEFT_LOG_ERROR; level <= (int)WEFT_LOG_DEBUG; level++)
            enabled += weft__log_enabled((enum weft_log_level)level) != 0;
        _exit(enabled);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void before_the_settings_are_loaded_the_environment_decides(void **state)
{
    (void)state;
    assert_int_equal(enabled_in_child("error"), 1);
    assert_int_equal(enabled_in_child("debug"), 4);
    assert_int_equal(enabled_in_child(NULL), 2);
    assert_int_equal(enabled_in_child("nonsense"), 2);
}

static void *log_lines(void *argument)
{
    for (int i = 0; i < 50; i++) {
        weft__log_name(argument);
        weft__error("from %s", (const char *)argument);
    }
    return NULL;
}

static void threads_may_log_and_rename_at_the_same_time(void **state)
{
    (void)state;
    struct capture capture = capture_start();
    pthread_t threads[2];
    pthread_create(&threads[0], NULL, log_lines, "aa");
    pthread_create(&threads[1], NULL, log_lines, "bb");
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    const char *text = capture_end(capture);
    unsigned whole = 0, lines = 0;
    for (const char *at = text; (at = strstr(at, "error: from ")); at++)
        whole += strncmp(at + 12, "aa\n", 3) == 0 || strncmp(at + 12, "bb\n", 3) == 0;
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        lines++;
    assert_int_equal(whole, 100);
    assert_int_equal(lines, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_time_name_process_level_and_text),
        cmocka_unit_test(a_level_below_the_chosen_one_is_silent),
        cmocka_unit_test(a_text_of_several_lines_becomes_one_line),
        cmocka_unit_test(a_long_line_is_cut_and_says_so),
        cmocka_unit_test(a_long_name_is_cut_at_31_characters),
        cmocka_unit_test(logging_keeps_errno),
        cmocka_unit_test(before_the_settings_are_loaded_the_environment_decides),
        cmocka_unit_test(threads_may_log_and_rename_at_the_same_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
