/* Registers that come from another processor: what both have is taken over, wherever their areas
 * end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "cell/context.h"

enum { SOFTWARE = 464, HEADER_AT = 512, AVX_AT = 576, AVX_BYTES = 256, AVX = 1 << 2 };

static struct weft__context *kept;
static unsigned char *area; /* a copy of the kernel's, to load into */
static ucontext_t user;

static void on_signal(int number, siginfo_t *info, void *context)
{
    const ucontext_t *here = context;
    (void)number;
    (void)info;
    weft__context_save(kept, here);
    user = *here;
    memcpy(area, here->uc_mcontext.fpregs, kept->floating_len);
    user.uc_mcontext.fpregs = (fpregset_t)(void *)area;
}

static struct _fpx_sw_bytes software_of(const unsigned char *from)
{
    struct _fpx_sw_bytes software;
    memcpy(&software, from + SOFTWARE, sizeof(software));
    return software;
}

static uint64_t parts_of(const unsigned char *from)
{
    uint64_t parts;
    memcpy(&parts, from + HEADER_AT, sizeof(parts));
    return parts;
}

/* Registers as a processor with nothing behind AVX would have kept them. */
static void shrink(struct weft__context *context)
{
    struct _fpx_sw_bytes software = software_of(context->floating);
    uint64_t parts = 7;
    software.xstate_size = AVX_AT + AVX_BYTES;
    software.extended_size = software.xstate_size + 4;
    software.xstate_bv = parts;
    memcpy(context->floating + SOFTWARE, &software, sizeof(software));
    memcpy(context->floating + HEADER_AT, &parts, sizeof(parts));
    memset(context->floating + AVX_AT, 0x5a, AVX_BYTES);
    context->floating_len = software.extended_size;
}

static int setup(void **state)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    (void)state;
    kept = calloc(1, sizeof(*kept));
    area = aligned_alloc(64, WEFT__CONTEXT_FLOATING_MAX);
    if (!kept || !area || sigaction(SIGUSR1, &action, NULL) != 0)
        return -1;
    memset(area, 0, WEFT__CONTEXT_FLOATING_MAX);
    return raise(SIGUSR1);
}

static int teardown(void **state)
{
    (void)state;
    signal(SIGUSR1, SIG_DFL);
    free(kept);
    free(area);
    return 0;
}

static void what_was_saved_here_is_loaded_again(void **state)
{
    (void)state;
    const struct _fpx_sw_bytes software = software_of(area);
    if (!software.magic1)
        skip();
    memset(kept->floating + AVX_AT, 0x33, AVX_BYTES);
    weft__context_load(&user, kept);
    assert_memory_equal(area + AVX_AT, kept->floating + AVX_AT, AVX_BYTES);
}

static void of_a_smaller_area_the_common_parts_are_taken(void **state)
{
    (void)state;
    const struct _fpx_sw_bytes software = software_of(area);
    if (!software.magic1 || !(software.xstate_bv & AVX) ||
        software.xstate_size == AVX_AT + AVX_BYTES)
        skip();
    shrink(kept);
    weft__context_load(&user, kept);
    assert_memory_equal(area + AVX_AT, kept->floating + AVX_AT, AVX_BYTES);
    assert_true(parts_of(area) == 7);
    const struct _fpx_sw_bytes after = software_of(area);
    assert_memory_equal(&after, &software, sizeof(software)); /* the kernel's own */
}

static void parts_that_are_said_to_be_and_are_not_are_left_out(void **state)
{
    (void)state;
    uint64_t parts = UINT64_C(0x7fffffffffffffff);
    if (!software_of(area).magic1)
        skip();
    shrink(kept);
    memcpy(kept->floating + HEADER_AT, &parts, sizeof(parts));
    weft__context_load(&user, kept);
    assert_true((parts_of(area) & ~UINT64_C(7)) == 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_was_saved_here_is_loaded_again),
        CASE(of_a_smaller_area_the_common_parts_are_taken),
        CASE(parts_that_are_said_to_be_and_are_not_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
