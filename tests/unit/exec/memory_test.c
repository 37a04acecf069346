#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "exec/impl.h"

#define PAGE 4096u

/* Five pages, of which the third cannot be read; NULL: no memory. */
static unsigned char *pages(void)
{
    unsigned char *memory =
        mmap(NULL, 5 * (size_t)PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_int_equal(mprotect(memory + 2 * (size_t)PAGE, PAGE, PROT_NONE), 0);
    return memory;
}

static void what_can_be_read_is_there(void **state)
{
    static const char constant[] = "read only";
    (void)state;
    unsigned char *memory = pages();
    assert_true(weft__memory_is_there(memory, 2 * (size_t)PAGE, true));
    assert_true(weft__memory_is_there(memory + 1, 1, false));
    assert_true(weft__memory_is_there(constant, sizeof(constant), true));
    assert_true(weft__memory_is_there(NULL, 0, true));
    munmap(memory, 5 * (size_t)PAGE);
}

static void what_is_not_mapped_or_not_readable_is_not_there(void **state)
{
    (void)state;
    unsigned char *memory = pages();
    assert_false(weft__memory_is_there(memory, 2 * (size_t)PAGE + 1, false));
    assert_false(weft__memory_is_there(memory + 2 * (size_t)PAGE, 1, false));
    assert_false(weft__memory_is_there((void *)(uintptr_t)0x1234, 1 << 20, false));
    assert_false(weft__memory_is_there(memory, SIZE_MAX, false));
    munmap(memory, 5 * (size_t)PAGE);
    assert_false(weft__memory_is_there(memory, PAGE, false));
}

static void a_hole_is_found_where_all_is_looked_at(void **state)
{
    (void)state;
    unsigned char *memory = pages();
    assert_true(weft__memory_is_there(memory + 100, 4 * (size_t)PAGE, false));
    assert_false(weft__memory_is_there(memory + 100, 4 * (size_t)PAGE, true));
    munmap(memory, 5 * (size_t)PAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_can_be_read_is_there),
        cmocka_unit_test(what_is_not_mapped_or_not_readable_is_not_there),
        cmocka_unit_test(a_hole_is_found_where_all_is_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
