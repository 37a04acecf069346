/* Programs: what is refused, with which words, and that each copy is its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "exec/program.h"
#include "weft/cell.h"
#include "weft/error.h"

/* So that the programs find what they call. */
extern struct weft_cell *(*const keep_self)(void);
struct weft_cell *(*const keep_self)(void) = weft_cell_self;

static void expect_refusal(const char *path, int err, const char *words)
{
    struct weft_program program;
    assert_int_equal(weft__program_open(path, &program), err);
    assert_non_null(strstr(weft_fail_text(err), words));
    assert_non_null(strstr(weft_fail_text(err), path));
}

static void expect_refusal_of(const void *bytes, size_t len, const char *words)
{
    char path[] = "/tmp/weft-program-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    close(fd);
    expect_refusal(path, WEFT_ENOEXEC, words);
    unlink(path);
}

static void a_program_that_is_not_there_is_named(void **state)
{
    (void)state;
    expect_refusal("/nowhere/at/all", WEFT_ENOENT, "No such file");
}

static void a_file_that_is_no_elf_object_says_how_to_link(void **state)
{
    (void)state;
    expect_refusal_of("#!/bin/sh\necho hello\n", 21, "weftcc");
    expect_refusal_of("", 0, "weftcc");
    expect_refusal_of("\177ELF", 4, "weftcc");
}

static void a_folder_is_called_one(void **state)
{
    (void)state;
    expect_refusal("/tmp", WEFT_ENOEXEC, "/tmp is a folder, not a program");
}

static void an_executable_for_one_address_says_how_to_link(void **state)
{
    (void)state;
    expect_refusal(PROGRAMS "/fixed", WEFT_ENOEXEC, "link it with -pie");
}

static void an_executable_of_another_mpi_names_its_library(void **state)
{
    (void)state;
    expect_refusal(PROGRAMS "/foreign", WEFT_ENOEXEC, "needs libmpi.so.40");
}

static void an_executable_with_a_dynamic_linker_is_a_program(void **state)
{
    (void)state;
    struct weft_program program;
    assert_int_equal(weft__program_open("/proc/self/exe", &program), WEFT_OK);
    assert_true(program.elf.executable);
    assert_int_equal(program.elf.interpreter[0], '/');
    weft__program_close(&program);
}

static void a_program_without_main_is_refused(void **state)
{
    (void)state;
    expect_refusal(PROGRAMS "/nomain.so", WEFT_ENOEXEC, "no main");
}

static void a_cut_program_is_refused_at_every_length(void **state)
{
    (void)state;
    static unsigned char bytes[4096];
    FILE *file = fopen(PROGRAMS "/ring.so", "rb");
    assert_non_null(file);
    assert_int_equal(fread(bytes, 1, sizeof(bytes), file), sizeof(bytes));
    fclose(file);
    for (size_t len = 0; len < 1024; len += 13)
        expect_refusal_of(bytes, len, "/tmp");
}

static void unresolved_symbols_are_named(void **state)
{
    (void)state;
    struct weft_program program;
    struct weft_program_copy copy;
    assert_int_equal(weft__program_open(PROGRAMS "/unresolved.so", &program), 0);
    assert_int_equal(weft__program_load(&program, &copy), WEFT_ENOEXEC);
    assert_non_null(strstr(weft_fail_text(WEFT_ENOEXEC), "this_function_is_nowhere"));
    assert_non_null(strstr(weft_fail_text(WEFT_ENOEXEC), "unresolved.so"));
    weft__program_close(&program);
}

static void copies_are_loaded_apart_and_find_their_functions(void **state)
{
    (void)state;
    struct weft_program program;
    struct weft_program_copy copies[20];
    assert_int_equal(weft__program_open(PROGRAMS "/idle.so", &program), 0);
    assert_true(program.elf.build_id_len > 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(weft__program_load(&program, &copies[i]), 0);
    for (int i = 1; i < 20; i++)
        assert_true(copies[i].main != copies[i - 1].main);
    uint64_t first, second;
    assert_int_equal(weft__program_offset_of(&copies[0], (uintptr_t)copies[0].main, &first), 0);
    assert_int_equal(weft__program_offset_of(&copies[1], (uintptr_t)copies[1].main, &second), 0);
    assert_int_equal(first, second);
    assert_true(weft__program_at(&copies[2], first) == (uintptr_t)copies[2].main);
    assert_int_equal(weft__program_offset_of(&copies[0], (uintptr_t)copies[1].main, &first),
                     WEFT_EINVAL);
    assert_true(weft__program_at(&copies[2], (uint64_t)1 << 40) == 0);
    for (int i = 0; i < 20; i++)
        weft__program_unload(&copies[i]);
    weft__program_close(&program);
}

static int open_files(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += lseek(fd, 0, SEEK_CUR) >= 0 ? 1 : 0;
    return n;
}

static void loading_and_unloading_leaves_nothing_open(void **state)
{
    (void)state;
    struct weft_program program;
    int before = open_files();
    assert_int_equal(weft__program_open(PROGRAMS "/idle.so", &program), 0);
    for (int i = 0; i < 50; i++) {
        struct weft_program_copy copy;
        assert_int_equal(weft__program_load(&program, &copy), 0);
        weft__program_unload(&copy);
    }
    weft__program_close(&program);
    assert_int_equal(open_files(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_that_is_not_there_is_named),
        cmocka_unit_test(a_file_that_is_no_elf_object_says_how_to_link),
        cmocka_unit_test(a_folder_is_called_one),
        cmocka_unit_test(an_executable_for_one_address_says_how_to_link),
        cmocka_unit_test(an_executable_of_another_mpi_names_its_library),
        cmocka_unit_test(an_executable_with_a_dynamic_linker_is_a_program),
        cmocka_unit_test(a_program_without_main_is_refused),
        cmocka_unit_test(a_cut_program_is_refused_at_every_length),
        cmocka_unit_test(unresolved_symbols_are_named),
        cmocka_unit_test(copies_are_loaded_apart_and_find_their_functions),
        cmocka_unit_test(loading_and_unloading_leaves_nothing_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
