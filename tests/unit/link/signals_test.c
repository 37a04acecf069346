/* What libfabric's dependencies do to signals is undone before main, and stays undone. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "transport/ofi/ofi.h"
#include "weft/error.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

static void hear_nothing(void *ctx, const void *data, size_t len_bytes)
{
    (void)ctx;
    (void)data;
    (void)len_bytes;
}

static unsigned long long caught(void)
{
    unsigned long long mask = ~0ull;
    char line[256];
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file))
        if (sscanf(line, "SigCgt: %llx", &mask) == 1)
            break;
    fclose(file);
    return mask;
}

static void assert_default(int sig)
{
    struct sigaction action;
    assert_int_equal(sigaction(sig, NULL, &action), 0);
    assert_true(action.sa_handler == SIG_DFL);
}

/* Looked at before cmocka, which catches signals while a test runs. */
static struct sigaction term_at_start, segv_at_start;
static unsigned long long caught_at_start;

static void nothing_is_caught_when_main_begins(void **state)
{
    (void)state;
    assert_true(term_at_start.sa_handler == SIG_DFL);
    if (!SANITIZED) {
        assert_true(segv_at_start.sa_handler == SIG_DFL);
        static const int signals[] = {SIGILL, SIGABRT, SIGBUS, SIGSEGV, SIGTERM};
        for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
            assert_false(caught_at_start >> (signals[i] - 1) & 1);
    }
}

static void opening_an_endpoint_catches_nothing(void **state)
{
    (void)state;
    struct weft_tp_handlers handlers = {.message = hear_nothing};
    struct weft_tp_open open = {.bind = "127.0.0.1", .handlers = &handlers, .provider = "net"};
    struct weft_tp_ep *ep;
    assert_int_equal(weft__tp_ofi.core->open(&open, &ep), WEFT_OK);
    assert_default(SIGTERM);
    weft__tp_ofi.core->close(ep);
    assert_default(SIGTERM);
}

static void own_handler(int sig)
{
    (void)sig;
}

static void a_handler_of_the_program_is_left_alone(void **state)
{
    (void)state;
    struct sigaction mine = {.sa_handler = own_handler}, before, after;
    assert_int_equal(sigaction(SIGTERM, &mine, &before), 0);
    weft__ofi_reset_signals();
    assert_int_equal(sigaction(SIGTERM, &before, &after), 0);
    assert_true(after.sa_handler == own_handler);
}

static void libfabric_watches_no_memory_and_children_get_no_handlers(void **state)
{
    (void)state;
    assert_string_equal(getenv("FI_MR_CACHE_MONITOR"), "disabled");
    assert_string_equal(getenv("IPATH_NO_BACKTRACE"), "1");
    assert_string_equal(getenv("HFI_NO_BACKTRACE"), "1");
}

int main(void)
{
    sigaction(SIGTERM, NULL, &term_at_start);
    sigaction(SIGSEGV, NULL, &segv_at_start);
    caught_at_start = caught();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_caught_when_main_begins),
        cmocka_unit_test(opening_an_endpoint_catches_nothing),
        cmocka_unit_test(a_handler_of_the_program_is_left_alone),
        cmocka_unit_test(libfabric_watches_no_memory_and_children_get_no_handlers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
