/* Key files: what is refused, what lists say, what keygen writes. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/keys.h"
#include "weft/error.h"

static char folder[64];
static const char *const names[] = {"secret", "public", "allowed", "hosts", "other"};

static const char *path(const char *name)
{
    static char text[2][96];
    static unsigned turn;
    char *into = text[turn++ % 2];
    snprintf(into, sizeof(text[0]), "%s/%s", folder, name);
    return into;
}

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/weft-keys-XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(weft__keys_generate(folder, false), WEFT_OK);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    assert_int_equal(chmod(folder, 0700), 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)unlink(path(names[i]));
        (void)rmdir(path(names[i]));
    }
    return rmdir(folder);
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(path(name), "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path(name), strcmp(name, "secret") == 0 ? 0600 : 0644), 0);
}

static void read_file(const char *name, char *text_out, size_t room)
{
    FILE *file = fopen(path(name), "re");
    assert_non_null(file);
    size_t n = fread(text_out, 1, room - 1, file);
    text_out[n] = '\0';
    assert_int_equal(fclose(file), 0);
}

static mode_t mode_of(const char *name)
{
    struct stat about;
    assert_int_equal(lstat(path(name), &about), 0);
    return about.st_mode & 07777;
}

static struct weft_key own_key(void)
{
    struct weft_key public_key, secret_key;
    assert_int_equal(weft__keys_read(folder, &public_key, &secret_key), WEFT_OK);
    return public_key;
}

/* Reading the pair is refused, with these words. */
static void refused(const char *words)
{
    struct weft_key public_key, secret_key;
    assert_int_equal(weft__keys_read(folder, &public_key, &secret_key), WEFT_EACCES);
    if (strstr(weft_fail_text(WEFT_EACCES), words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", weft_fail_text(WEFT_EACCES), words);
}

static void a_key_and_its_text_are_the_same(void **state)
{
    struct weft_key key, again;
    char text[WEFT_KEY_TEXT_LEN + 1];
    (void)state;
    for (size_t i = 0; i < sizeof(key.bytes); i++)
        key.bytes[i] = (uint8_t)(i * 37 + 5);
    weft__key_print(&key, text);
    assert_int_equal(strlen(text), WEFT_KEY_TEXT_LEN);
    assert_int_equal(weft__key_parse(text, strlen(text), &again), WEFT_OK);
    assert_memory_equal(&key, &again, sizeof(key));
}

static void texts_that_are_no_keys_are_refused_and_never_repeated(void **state)
{
    static const char *const bad[] = {
        "",
        "short",
        "kAW*DIs}G5.d[r#GrgazIdBW[P/E5gREhh2?.rz",   /* 39 */
        "kAW*DIs}G5.d[r#GrgazIdBW[P/E5gREhh2?.rz66", /* 41 */
        "kAW*DIs}G5.d[r\"GrgazIdBW[P/E5gREhh2?.rz6", /* no such character */
        "kAW*DIs}G5.d[r GrgazIdBW[P/E5gREhh2?.rz6",
        "kAW*DIs}G5.d[r\xc3\xa4razIdBW[P/E5gREhh2?.rz6",
        "########################################",
    };
    struct weft_key key, before;
    (void)state;
    memset(&key, 7, sizeof(key));
    before = key;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (i == 7) { /* Z85, but more than 32 bits in five characters */
            (void)weft__key_parse(bad[i], strlen(bad[i]), &key);
            continue;
        }
        assert_int_equal(weft__key_parse(bad[i], strlen(bad[i]), &key), WEFT_EINVAL);
        assert_memory_equal(&key, &before, sizeof(key));
        assert_true(bad[i][0] == '\0' || strstr(weft_fail_text(WEFT_EINVAL), bad[i]) == NULL);
    }
}

static void keygen_writes_files_that_only_their_owner_may_change(void **state)
{
    char text[1024], key_text[WEFT_KEY_TEXT_LEN + 2];
    struct weft_key key = own_key();
    struct stat about;
    (void)state;
    assert_int_equal(mode_of("secret"), 0600);
    assert_int_equal(mode_of("public"), 0644);
    assert_int_equal(mode_of("allowed"), 0644);
    assert_int_equal(stat(folder, &about), 0);
    weft__key_print(&key, key_text);
    strcat(key_text, "\n");
    read_file("public", text, sizeof(text));
    assert_string_equal(text, key_text);
    read_file("allowed", text, sizeof(text));
    assert_non_null(strstr(text, key_text));
    assert_int_equal(text[0], '#');
}

static void keygen_keeps_the_modes_whatever_the_umask(void **state)
{
    static const mode_t masks[] = {0, 0777, 0077, 0600};
    (void)state;
    for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
        mode_t before = umask(masks[i]);
        int err = weft__keys_generate(folder, true);
        umask(before);
        assert_int_equal(err, WEFT_OK);
        assert_int_equal(mode_of("secret"), 0600);
        assert_int_equal(mode_of("public"), 0644);
        assert_int_equal(mode_of("allowed"), 0644);
    }
}

static void keygen_replaces_keys_only_by_force(void **state)
{
    struct weft_key before = own_key(), after;
    (void)state;
    assert_int_equal(weft__keys_generate(folder, false), WEFT_EEXIST);
    assert_non_null(strstr(weft_fail_text(WEFT_EEXIST), "--force"));
    after = own_key();
    assert_memory_equal(&before, &after, sizeof(before));
    assert_int_equal(weft__keys_generate(folder, true), WEFT_OK);
    after = own_key();
    assert_memory_not_equal(&before, &after, sizeof(before));
}

static void force_keeps_what_others_have_on_the_list(void **state)
{
    char list[1024], old_text[WEFT_KEY_TEXT_LEN + 1], new_text[WEFT_KEY_TEXT_LEN + 1];
    struct weft_key old = own_key(), other = old, new_key;
    (void)state;
    other.bytes[3] ^= 1;
    weft__key_print(&old, old_text);
    weft__key_print(&other, new_text);
    snprintf(list, sizeof(list), "# friends\n%s # laptop\n%s\n", new_text, old_text);
    write_file("allowed", list);
    assert_int_equal(weft__keys_generate(folder, true), WEFT_OK);
    read_file("allowed", list, sizeof(list));
    assert_non_null(strstr(list, "# laptop"));
    assert_non_null(strstr(list, new_text));
    assert_null(strstr(list, old_text));
    new_key = own_key();
    weft__key_print(&new_key, new_text);
    assert_non_null(strstr(list, new_text));
}

static void keygen_makes_the_folders_that_are_missing(void **state)
{
    char deep[96], file[128];
    struct weft_key public_key, secret_key;
    struct stat about;
    (void)state;
    snprintf(deep, sizeof(deep), "%s/other/deep", folder);
    assert_int_equal(weft__keys_generate(deep, false), WEFT_OK);
    assert_int_equal(weft__keys_read(deep, &public_key, &secret_key), WEFT_OK);
    assert_int_equal(stat(deep, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0700);
    for (size_t i = 0; i < 3; i++) {
        snprintf(file, sizeof(file), "%s/%s", deep, names[i]);
        assert_int_equal(unlink(file), 0);
    }
    assert_int_equal(rmdir(deep), 0);
}

static void a_secret_key_with_any_other_mode_is_refused(void **state)
{
    static const mode_t modes[] = {0400, 0500, 0644, 0640, 0660, 0666, 0602, 0700, 04600, 0604};
    (void)state;
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        assert_int_equal(chmod(path("secret"), modes[i]), 0);
        refused("chmod 600");
    }
    assert_int_equal(chmod(path("secret"), 0600), 0);
    (void)own_key();
}

static void a_secret_key_that_is_no_file_of_its_own_is_refused(void **state)
{
    (void)state;
    assert_int_equal(rename(path("secret"), path("other")), 0);
    refused("weft keygen");
    assert_int_equal(symlink("other", path("secret")), 0);
    refused("symbolic link");
    assert_int_equal(unlink(path("secret")), 0);
    assert_int_equal(mkdir(path("secret"), 0700), 0);
    refused("no regular file");
    assert_int_equal(rmdir(path("secret")), 0);
    assert_int_equal(mkfifo(path("secret"), 0600), 0); /* does not hang */
    refused("no regular file");
}

static void a_secret_key_of_somebody_else_is_refused(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: only root can give a file away\n");
        skip();
    }
    assert_int_equal(chown(path("secret"), 65534, 65534), 0);
    refused("does not belong to you");
}

static void a_secret_key_file_with_anything_else_in_it_is_refused(void **state)
{
    (void)state;
    write_file("secret", "");
    refused("no secret key");
    write_file("secret", "hello\n");
    refused("no secret key");
    write_file("secret", "kAW*DIs}G5.d[r#GrgazIdBW[P/E5gREhh2?.rz6\nhello\n");
    refused("no secret key");
    write_file("secret", "# mine\nkAW*DIs}G5.d[r#GrgazIdBW[P/E5gREhh2?.rz6");
    (void)own_key();
}

static void a_folder_that_others_may_write_is_refused(void **state)
{
    (void)state;
    assert_int_equal(chmod(folder, 0777), 0);
    refused("chmod 700");
    assert_int_equal(weft__keys_generate(folder, true), WEFT_EACCES);
    assert_int_equal(chmod(folder, 0770), 0);
    refused("chmod 700");
    assert_int_equal(chmod(folder, 0755), 0);
    (void)own_key();
}

static void a_list_has_keys_comments_and_garbage(void **state)
{
    struct weft_key_file file = {.lines = NULL};
    (void)state;
    assert_int_equal(
        weft__key_lines_parse("# comment\n\n  \t\n"
                              "kAW*DIs}G5.d[r#GrgazIdBW[P/E5gREhh2?.rz6\n"
                              "\tkAW*DIs}G5.d[r#GrgazIdBW[P/E5gREhh2?.rz7   # with a name\r\n"
                              "kAW*DIs}G5.d[r#GrgazIdBW[P/E5gREhh2?.rz8 and more\n"
                              "no key\n\x01\x02\xff\n"
                              "kAW*DIs}G5.d[r#GrgazIdBW[P/E5gREhh2?.rz9",
                              false, &file),
        WEFT_OK);
    assert_int_equal(file.n, 3);
    assert_int_equal(file.skipped, 3);
    weft__key_file_fini(&file);
}

static void a_list_of_hosts_has_addresses(void **state)
{
    struct weft_key_file file = {.lines = NULL};
    (void)state;
    assert_int_equal(
        weft__key_lines_parse("192.0.2.7 kAW*DIs}G5.d[r#GrgazIdBW[P/E5gREhh2?.rz6 # n7\n"
                              "[::1] kAW*DIs}G5.d[r#GrgazIdBW[P/E5gREhh2?.rz7\n"
                              "2001:DB8:0::1 kAW*DIs}G5.d[r#GrgazIdBW[P/E5gREhh2?.rz7\n"
                              "n7 kAW*DIs}G5.d[r#GrgazIdBW[P/E5gREhh2?.rz7\n"
                              "192.0.2.7:8100 kAW*DIs}G5.d[r#GrgazIdBW[P/E5gREhh2?.rz7\n"
                              "kAW*DIs}G5.d[r#GrgazIdBW[P/E5gREhh2?.rz7\n",
                              true, &file),
        WEFT_OK);
    assert_int_equal(file.n, 3);
    assert_int_equal(file.skipped, 3);
    assert_string_equal(file.lines[0].address, "192.0.2.7");
    assert_string_equal(file.lines[1].address, "::1");
    assert_string_equal(file.lines[2].address, "2001:db8::1");
    weft__key_file_fini(&file);
}

static void a_list_is_read_again_when_it_changes(void **state)
{
    struct weft_key_file file = {.lines = NULL};
    (void)state;
    assert_int_equal(weft__key_file_refresh(&file, folder, "allowed"), WEFT_OK);
    assert_true(file.found);
    assert_int_equal(file.n, 1);
    struct weft_key_line *before = file.lines;
    assert_int_equal(weft__key_file_refresh(&file, folder, "allowed"), WEFT_OK);
    assert_ptr_equal(file.lines, before);
    write_file("allowed", "kAW*DIs}G5.d[r#GrgazIdBW[P/E5gREhh2?.rz6\n"
                          "kAW*DIs}G5.d[r#GrgazIdBW[P/E5gREhh2?.rz7\n");
    assert_int_equal(weft__key_file_refresh(&file, folder, "allowed"), WEFT_OK);
    assert_int_equal(file.n, 2);
    assert_int_equal(unlink(path("allowed")), 0);
    assert_int_equal(weft__key_file_refresh(&file, folder, "allowed"), WEFT_OK);
    assert_false(file.found);
    assert_int_equal(file.n, 0);
    weft__key_file_fini(&file);
}

static void a_list_that_others_may_write_is_empty(void **state)
{
    struct weft_key_file file = {.lines = NULL};
    (void)state;
    assert_int_equal(weft__key_file_refresh(&file, folder, "allowed"), WEFT_OK);
    assert_int_equal(chmod(path("allowed"), 0666), 0);
    assert_int_equal(weft__key_file_refresh(&file, folder, "allowed"), WEFT_EACCES);
    assert_int_equal(file.n, 0);
    assert_int_equal(chmod(path("allowed"), 0644), 0);
    assert_int_equal(weft__key_file_refresh(&file, folder, "allowed"), WEFT_OK);
    assert_int_equal(file.n, 1);
    assert_int_equal(rename(path("allowed"), path("other")), 0);
    assert_int_equal(symlink("other", path("allowed")), 0);
    assert_int_equal(weft__key_file_refresh(&file, folder, "allowed"), WEFT_EACCES);
    weft__key_file_fini(&file);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_and_its_text_are_the_same),
        cmocka_unit_test(texts_that_are_no_keys_are_refused_and_never_repeated),
        CASE(keygen_writes_files_that_only_their_owner_may_change),
        CASE(keygen_keeps_the_modes_whatever_the_umask),
        CASE(keygen_replaces_keys_only_by_force),
        CASE(force_keeps_what_others_have_on_the_list),
        CASE(keygen_makes_the_folders_that_are_missing),
        CASE(a_secret_key_with_any_other_mode_is_refused),
        CASE(a_secret_key_that_is_no_file_of_its_own_is_refused),
        CASE(a_secret_key_of_somebody_else_is_refused),
        CASE(a_secret_key_file_with_anything_else_in_it_is_refused),
        CASE(a_folder_that_others_may_write_is_refused),
        cmocka_unit_test(a_list_has_keys_comments_and_garbage),
        cmocka_unit_test(a_list_of_hosts_has_addresses),
        CASE(a_list_is_read_again_when_it_changes),
        CASE(a_list_that_others_may_write_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
