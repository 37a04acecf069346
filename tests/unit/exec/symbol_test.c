/* Names of functions, looked up in this test's own file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "exec/symbol.h"

static int first(struct dl_phdr_info *info, size_t len, void *origin)
{
    (void)len;
    *(uint64_t *)origin = info->dlpi_addr;
    return 1;
}

static uint64_t address_of(void (*function)(void **state))
{
    uint64_t origin = 0;
    dl_iterate_phdr(first, &origin);
    return (uint64_t)(uintptr_t)function - origin;
}

static int own_file(void)
{
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void an_address_in_a_function_has_its_name(void **state)
{
    (void)state;
    char text[100];
    int fd = own_file();
    uint64_t at = address_of(an_address_in_a_function_has_its_name);
    assert_true(weft__symbol_at(fd, at + 3, text, sizeof(text)));
    assert_string_equal(text, "an_address_in_a_function_has_its_name+0x3");
    close(fd);
}

static void where_nothing_is_there_is_no_name(void **state)
{
    (void)state;
    char text[100] = "as it was";
    int fd = own_file(), none = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_false(weft__symbol_at(fd, 1, text, sizeof(text)));
    assert_false(weft__symbol_at(none, 1, text, sizeof(text)));
    assert_false(weft__symbol_at(-1, 1, text, sizeof(text)));
    assert_string_equal(text, "as it was");
    close(fd);
    close(none);
}

static void a_name_is_cut_where_there_is_no_room(void **state)
{
    (void)state;
    char text[8];
    int fd = own_file();
    assert_true(
        weft__symbol_at(fd, address_of(a_name_is_cut_where_there_is_no_room), text, sizeof(text)));
    assert_string_equal(text, "a_name_");
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_in_a_function_has_its_name),
        cmocka_unit_test(where_nothing_is_there_is_no_name),
        cmocka_unit_test(a_name_is_cut_where_there_is_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
