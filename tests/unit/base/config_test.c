#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/config.h"
#include "base/log.h"
#include "weft/error.h"

static bool memory_is_out;

char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);

char *__wrap_strdup(const char *text)
{
    return memory_is_out ? NULL : __real_strdup(text);
}

static const char *const touched[] = {"WEFT_LOG",        "WEFT_CONFIG", "WEFT_SLOTS",
                                      "WEFT_DATA",       "WEFT_SLOT",   "WEFT_XYZZY_PLUGH",
                                      "WEFT_RANK_MEMORY"};

/* Every case starts with nothing set. */
static int clean(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(touched) / sizeof(touched[0]); i++)
        unsetenv(touched[i]);
    return weft__config_load();
}

/* A settings file that WEFT_CONFIG names; unlinked by the caller. */
static void write_file(char path_out[32], const char *text)
{
    snprintf(path_out, 32, "/tmp/weft-config-XXXXXX");
    int fd = mkstemp(path_out);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    setenv("WEFT_CONFIG", path_out, 1);
}

static int load_with_file(const char *text)
{
    char path[32];
    write_file(path, text);
    int err = weft__config_load();
    unlink(path);
    return err;
}

/* Loads and returns what was written to stderr meanwhile. */
static const char *warnings_of_load(void)
{
    static char text[4096];
    int file = memfd_create("warnings", MFD_CLOEXEC), copy = dup(STDERR_FILENO);
    dup2(file, STDERR_FILENO);
    int err = weft__config_load();
    dup2(copy, STDERR_FILENO);
    close(copy);
    ssize_t n = pread(file, text, sizeof(text) - 1, 0);
    close(file);
    assert_int_equal(err, WEFT_OK);
    assert_true(n >= 0);
    text[n] = '\0';
    return text;
}

static void without_anything_set_there_are_the_defaults(void **state)
{
    (void)state;
    assert_string_equal(weft__config_text("WEFT_LOG"), "warn");
    assert_string_equal(weft__config_text("WEFT_PORTS"), "8100-8199");
    assert_string_equal(weft__config_text("WEFT_STATE_DIR"), "");
    assert_int_equal(weft__config_u64("WEFT_HEARTBEAT_MS"), 500);
    assert_true(weft__config_u64("WEFT_RANK_MEMORY") == UINT64_C(16) << 30);
    assert_string_equal(weft__config_source("WEFT_LOG"), "default");
}

static void the_environment_wins_over_the_file(void **state)
{
    (void)state;
    setenv("WEFT_SLOTS", "3", 1);
    assert_int_equal(load_with_file("# hosts of the lab\nWEFT_SLOTS = 2\nWEFT_DATA = zmq\n"),
                     WEFT_OK);
    assert_int_equal(weft__config_u64("WEFT_SLOTS"), 3);
    assert_string_equal(weft__config_source("WEFT_SLOTS"), "environment");
    assert_string_equal(weft__config_text("WEFT_DATA"), "zmq");
    assert_string_equal(weft__config_source("WEFT_DATA"), "file");
}

static void set_wins_over_everything_until_the_next_load(void **state)
{
    (void)state;
    setenv("WEFT_SLOTS", "3", 1);
    assert_int_equal(weft__config_load(), WEFT_OK);
    assert_int_equal(weft__config_set("WEFT_SLOTS", "4"), WEFT_OK);
    assert_int_equal(weft__config_u64("WEFT_SLOTS"), 4);
    assert_string_equal(weft__config_source("WEFT_SLOTS"), "option");
    assert_int_equal(weft__config_load(), WEFT_OK);
    assert_int_equal(weft__config_u64("WEFT_SLOTS"), 3);
}

static void set_of_an_unknown_name_suggests_the_nearest(void **state)
{
    (void)state;
    assert_int_equal(weft__config_set("WEFT_SLOT", "4"), WEFT_ENOENT);
    assert_non_null(strstr(weft_fail_text(WEFT_ENOENT), "did you mean WEFT_SLOTS"));
    assert_int_equal(weft__config_set("slots", "4"), WEFT_ENOENT);
    assert_non_null(strstr(weft_fail_text(WEFT_ENOENT), "did you mean WEFT_SLOTS"));
    assert_int_equal(weft__config_set("WEFT_XYZZY_PLUGH", "4"), WEFT_ENOENT);
    assert_null(strstr(weft_fail_text(WEFT_ENOENT), "did you mean"));
}

static void a_value_outside_its_range_is_refused_by_name(void **state)
{
    (void)state;
    assert_int_equal(weft__config_set("WEFT_SLOTS", "65536"), WEFT_ERANGE);
    assert_non_null(strstr(weft_fail_text(WEFT_ERANGE), "WEFT_SLOTS: 65536"));
    assert_int_equal(weft__config_set("WEFT_SLOTS", "many"), WEFT_EINVAL);
    assert_non_null(strstr(weft_fail_text(WEFT_EINVAL), "WEFT_SLOTS: 'many'"));
    assert_int_equal(weft__config_set("WEFT_RANK_MEMORY", "1M"), WEFT_ERANGE);
    assert_int_equal(weft__config_set("WEFT_LOG", "loud"), WEFT_EINVAL);
    assert_non_null(strstr(weft_fail_text(WEFT_EINVAL), "'loud' is none of error|warn|info|debug"));
    assert_int_equal(weft__config_set("WEFT_LOG", "warn|info"), WEFT_EINVAL);
    assert_int_equal(weft__config_set("WEFT_LOG", ""), WEFT_EINVAL);
    assert_int_equal(weft__config_u64("WEFT_SLOTS"), 0);
    assert_string_equal(weft__config_text("WEFT_LOG"), "warn");
}

static void a_failed_load_changes_nothing(void **state)
{
    (void)state;
    setenv("WEFT_SLOTS", "3", 1);
    assert_int_equal(weft__config_load(), WEFT_OK);
    setenv("WEFT_SLOTS", "4", 1);
    setenv("WEFT_RANK_MEMORY", "much", 1);
    assert_int_equal(weft__config_load(), WEFT_EINVAL);
    assert_int_equal(weft__config_u64("WEFT_SLOTS"), 3);
    unsetenv("WEFT_RANK_MEMORY");
    unsetenv("WEFT_SLOTS");
    assert_int_equal(load_with_file("WEFT_SLOTS = 5\nWEFT_LOG = loud\n"), WEFT_EINVAL);
    assert_int_equal(weft__config_u64("WEFT_SLOTS"), 3);
}

static void a_wrong_file_is_named_with_its_line(void **state)
{
    (void)state;
    assert_int_equal(load_with_file("WEFT_SLOTS = 2\n\nWEFT_SLOTS = lots\n"), WEFT_EINVAL);
    assert_non_null(strstr(weft_fail_text(WEFT_EINVAL), "line 3: WEFT_SLOTS: 'lots'"));
    assert_int_equal(load_with_file("WEFT_SLOTS = 2\nnonsense\n"), WEFT_EINVAL);
    assert_non_null(strstr(weft_fail_text(WEFT_EINVAL), "line 2"));
    assert_int_equal(load_with_file("[host]\nWEFT_SLOTS = 2\n"), WEFT_EINVAL);
    assert_non_null(strstr(weft_fail_text(WEFT_EINVAL), "section [host]"));
}

static void a_missing_file_is_an_error(void **state)
{
    (void)state;
    setenv("WEFT_CONFIG", "/nonexistent/weft.conf", 1);
    assert_int_equal(weft__config_load(), WEFT_ENOENT);
    assert_non_null(strstr(weft_fail_text(WEFT_ENOENT), "/nonexistent/weft.conf"));
    setenv("WEFT_CONFIG", "", 1);
    assert_int_equal(weft__config_load(), WEFT_OK);
}

static void unknown_names_warn_with_the_nearest_known_one(void **state)
{
    (void)state;
    setenv("WEFT_SLOT", "3", 1);
    setenv("WEFT_XYZZY_PLUGH", "3", 1);
    const char *text = warnings_of_load();
    assert_non_null(strstr(text, "unknown setting WEFT_SLOT: did you mean WEFT_SLOTS?"));
    assert_non_null(strstr(text, "unknown setting WEFT_XYZZY_PLUGH is ignored"));
    unsetenv("WEFT_SLOT");
    unsetenv("WEFT_XYZZY_PLUGH");
    assert_string_equal(warnings_of_load(), "");
}

static void unknown_names_in_the_file_warn_too(void **state)
{
    (void)state;
    char path[32];
    write_file(path, "WEFT_DATTA = zmq\nWEFT_SLOTS = 2\n");
    const char *text = warnings_of_load();
    unlink(path);
    assert_non_null(strstr(text, "unknown setting WEFT_DATTA: did you mean WEFT_DATA?"));
    assert_int_equal(weft__config_u64("WEFT_SLOTS"), 2);
}

static void loading_sets_the_log_level(void **state)
{
    (void)state;
    setenv("WEFT_LOG", "debug", 1);
    assert_int_equal(weft__config_load(), WEFT_OK);
    assert_true(weft__log_enabled(WEFT_LOG_DEBUG));
    assert_int_equal(weft__config_set("WEFT_LOG", "error"), WEFT_OK);
    assert_false(weft__log_enabled(WEFT_LOG_WARN));
}

static void no_memory_is_an_error_and_changes_nothing(void **state)
{
    (void)state;
    setenv("WEFT_SLOTS", "3", 1);
    memory_is_out = true;
    int load_err = weft__config_load(), set_err = weft__config_set("WEFT_SLOTS", "4");
    memory_is_out = false;
    assert_int_equal(load_err, WEFT_ENOMEM);
    assert_int_equal(set_err, WEFT_ENOMEM);
    assert_int_equal(weft__config_u64("WEFT_SLOTS"), 0);
}

static void print_shows_every_setting_with_its_source(void **state)
{
    (void)state;
    setenv("WEFT_SLOTS", "3", 1);
    assert_int_equal(weft__config_load(), WEFT_OK);
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    weft__config_print(out);
    fclose(out);
    const char *line = strstr(text, "WEFT_SLOTS ");
    assert_non_null(line);
    assert_int_equal(strncmp(line + 30, " 3            environment ", 26), 0);
    assert_non_null(strstr(text, "WEFT_RANK_MEMORY "));
    assert_non_null(strstr(text, "(error|warn|info|debug)"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(without_anything_set_there_are_the_defaults, clean),
        cmocka_unit_test_setup(the_environment_wins_over_the_file, clean),
        cmocka_unit_test_setup(set_wins_over_everything_until_the_next_load, clean),
        cmocka_unit_test_setup(set_of_an_unknown_name_suggests_the_nearest, clean),
        cmocka_unit_test_setup(a_value_outside_its_range_is_refused_by_name, clean),
        cmocka_unit_test_setup(a_failed_load_changes_nothing, clean),
        cmocka_unit_test_setup(a_wrong_file_is_named_with_its_line, clean),
        cmocka_unit_test_setup(a_missing_file_is_an_error, clean),
        cmocka_unit_test_setup(unknown_names_warn_with_the_nearest_known_one, clean),
        cmocka_unit_test_setup(unknown_names_in_the_file_warn_too, clean),
        cmocka_unit_test_setup(loading_sets_the_log_level, clean),
        cmocka_unit_test_setup(no_memory_is_an_error_and_changes_nothing, clean),
        cmocka_unit_test_setup(print_shows_every_setting_with_its_source, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
