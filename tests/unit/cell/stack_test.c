#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "cell/stack.h"
#include "weft/error.h"

enum { STACK = 64 << 10 };

static const unsigned char random_bytes[16] = "0123456789abcdef";

static struct weft__stack_desc describe(unsigned char *bottom, char *const *argv, char *const *envp)
{
    static const struct weft__stack_aux aux[] = {{AT_PAGESZ, 4096}, {AT_SECURE, 0}};
    return (struct weft__stack_desc){.bottom = bottom,
                                     .top = bottom + STACK,
                                     .argv = argv,
                                     .envp = envp,
                                     .aux = aux,
                                     .aux_n = 2,
                                     .path = "/bin/program",
                                     .random = random_bytes};
}

static uint64_t look_up(const uint64_t *aux, uint64_t type)
{
    for (; aux[0] != AT_NULL; aux += 2)
        if (aux[0] == type)
            return aux[1];
    return UINT64_MAX;
}

static const char *text(uint64_t address)
{
    return (const char *)(uintptr_t)address;
}

static void a_program_finds_what_the_kernel_would_have_given_it(void **state)
{
    (void)state;
    unsigned char *bottom = aligned_alloc(16, STACK);
    assert_non_null(bottom);
    for (size_t extra = 0; extra < 20; extra++) { /* every remainder of the alignment */
        static const unsigned char zeros[16];
        memset(bottom, 0x77, STACK);
        char last[32] = {0};
        memset(last, 'x', extra);
        char *argv[] = {"program", "", last, NULL}, *envp[] = {"A=1", "B=", NULL};
        struct weft__stack_desc desc = describe(bottom, argv, envp);
        uint64_t *sp = NULL;
        assert_int_equal(weft__stack_build(&desc, &sp), WEFT_OK);
        assert_int_equal((uintptr_t)sp % 16, 0);
        assert_int_equal(sp[0], 3);
        assert_string_equal(text(sp[1]), "program");
        assert_string_equal(text(sp[2]), "");
        assert_string_equal(text(sp[3]), last);
        assert_int_equal(sp[4], 0);
        assert_string_equal(text(sp[5]), "A=1");
        assert_string_equal(text(sp[6]), "B=");
        assert_int_equal(sp[7], 0);
        assert_int_equal(look_up(&sp[8], AT_PAGESZ), 4096);
        assert_int_equal(look_up(&sp[8], AT_SECURE), 0);
        assert_string_equal(text(look_up(&sp[8], AT_EXECFN)), "/bin/program");
        assert_memory_equal(text(look_up(&sp[8], AT_RANDOM)), random_bytes, 16);
        assert_true(look_up(&sp[8], AT_RANDOM) + 16 <= (uintptr_t)desc.top);
        assert_memory_equal(desc.top - sizeof(zeros), zeros, sizeof(zeros));
    }
    free(bottom);
}

static void arguments_that_fill_the_stack_are_refused(void **state)
{
    (void)state;
    unsigned char *bottom = aligned_alloc(16, STACK);
    assert_non_null(bottom);
    memset(bottom, 0x77, STACK);
    static char large[STACK / 2];
    memset(large, 'x', sizeof(large) - 1);
    char *argv[] = {large, NULL}, *envp[] = {NULL};
    struct weft__stack_desc desc = describe(bottom, argv, envp);
    uint64_t *sp = NULL;
    assert_int_equal(weft__stack_build(&desc, &sp), WEFT_ENOMEM);
    assert_non_null(strstr(weft_fail_text(WEFT_ENOMEM), "/bin/program"));
    assert_null(sp);
    for (size_t i = 0; i < STACK; i++)
        assert_int_equal(bottom[i], 0x77);
    free(bottom);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_finds_what_the_kernel_would_have_given_it),
        cmocka_unit_test(arguments_that_fill_the_stack_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
