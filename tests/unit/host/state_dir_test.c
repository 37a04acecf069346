/* Folders that clean up after the killed, and addresses that people write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/state_dir.h"
#include "weft/error.h"

static void addresses_become_urls(void **state)
{
    (void)state;
    char url[64];
    assert_int_equal(weft__host_url("127.0.0.2", 8100, url, sizeof(url)), WEFT_OK);
    assert_string_equal(url, "tcp://127.0.0.2:8100");
    assert_int_equal(weft__host_url("127.0.0.2:9", 8100, url, sizeof(url)), WEFT_OK);
    assert_string_equal(url, "tcp://127.0.0.2:9");
    assert_int_equal(weft__host_url("tcp://127.0.0.3:10", 8100, url, sizeof(url)), WEFT_OK);
    assert_string_equal(url, "tcp://127.0.0.3:10");
}

static void what_is_no_address_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        " ",
        "/",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "a-name-that-is-longer-than-the-room-for-the-whole-url-that-comes-of-it-would-be"};
    char url[64] = "as it was";
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(weft__host_url(bad[i], 8100, url, sizeof(url)), WEFT_EINVAL);
}

static void a_head_finds_the_folder_of_its_address_and_removes_one_that_is_long_unused(void **state)
{
    (void)state;
    char base[] = "/tmp/weft-test-XXXXXX", mine[256] = "", again[256] = "", stale[320], file[512];
    bool ours = false;
    assert_non_null(mkdtemp(base));
    assert_int_equal(setenv("TMPDIR", base, 1), 0);
    snprintf(stale, sizeof(stale), "%s/weft-%u-127.0.0.9-8100", base, (unsigned)getuid());
    snprintf(file, sizeof(file), "%s/registry.log", stale);
    assert_int_equal(mkdir(stale, 0700), 0);
    FILE *log = fopen(file, "we");
    assert_non_null(log);
    assert_int_equal(weft__state_dir_open(mine, sizeof(mine), "127.0.0.1", 8100, &ours), WEFT_OK);
    assert_true(ours);
    assert_int_equal(access(stale, F_OK), 0); /* it was used just now */
    const struct timespec old[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};
    assert_int_equal(futimens(fileno(log), old), 0);
    assert_int_equal(flock(fileno(log), LOCK_EX), 0);
    assert_int_equal(weft__state_dir_open(again, sizeof(again), "127.0.0.1", 8100, &ours), WEFT_OK);
    assert_string_equal(again, mine);
    assert_int_equal(access(stale, F_OK), 0); /* it is in use */
    fclose(log);
    again[0] = '\0';
    assert_int_equal(weft__state_dir_open(again, sizeof(again), "127.0.0.1", 8101, &ours), WEFT_OK);
    assert_string_not_equal(again, mine);
    assert_int_not_equal(access(stale, F_OK), 0);
    weft__state_dir_remove(again);
    weft__state_dir_remove(mine);
    assert_int_not_equal(access(mine, F_OK), 0);
    assert_int_equal(rmdir(base), 0);
}

static void a_file_of_somebody_else_in_its_place_is_refused_with_the_way_out(void **state)
{
    (void)state;
    char base[] = "/tmp/weft-test-XXXXXX", mine[256] = "", path[320];
    bool ours = false;
    assert_non_null(mkdtemp(base));
    assert_int_equal(setenv("TMPDIR", base, 1), 0);
    snprintf(path, sizeof(path), "%s/weft-%u-127.0.0.1-8100", base, (unsigned)getuid());
    assert_int_equal(symlink("/", path), 0);
    assert_int_equal(weft__state_dir_open(mine, sizeof(mine), "127.0.0.1", 8100, &ours),
                     WEFT_EACCES);
    assert_non_null(strstr(weft_fail_text(WEFT_EACCES), "--state-dir"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(base), 0);
}

static void a_named_folder_is_made_and_kept(void **state)
{
    (void)state;
    char base[] = "/tmp/weft-test-XXXXXX", wanted[64];
    bool ours = true;
    assert_non_null(mkdtemp(base));
    snprintf(wanted, sizeof(wanted), "%s/state", base);
    assert_int_equal(weft__state_dir_open(wanted, sizeof(wanted), "127.0.0.1", 8100, &ours),
                     WEFT_OK);
    assert_false(ours);
    assert_int_equal(weft__state_dir_open(wanted, sizeof(wanted), "127.0.0.1", 8100, &ours),
                     WEFT_OK); /* again */
    assert_int_equal(rmdir(wanted), 0);
    assert_int_equal(rmdir(base), 0);
    snprintf(wanted, sizeof(wanted), "/nowhere/at/all");
    assert_int_equal(weft__state_dir_open(wanted, sizeof(wanted), "127.0.0.1", 8100, &ours),
                     WEFT_ENOENT);
    assert_non_null(strstr(weft_fail_text(WEFT_ENOENT), "/nowhere/at/all"));
}

static void a_program_beside_us_is_in_our_folder(void **state)
{
    (void)state;
    char path[4096], tiny[4];
    assert_int_equal(weft__beside_us("weft-app", path, sizeof(path)), WEFT_OK);
    assert_int_equal(path[0], '/');
    assert_string_equal(strrchr(path, '/'), "/weft-app");
    assert_int_equal(weft__beside_us("weft-app", tiny, sizeof(tiny)), WEFT_ERANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_become_urls),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(
            a_head_finds_the_folder_of_its_address_and_removes_one_that_is_long_unused),
        cmocka_unit_test(a_file_of_somebody_else_in_its_place_is_refused_with_the_way_out),
        cmocka_unit_test(a_named_folder_is_made_and_kept),
        cmocka_unit_test(a_program_beside_us_is_in_our_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
