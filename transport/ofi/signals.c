/* Undoes what libraries below libfabric do to a process's signals.
 *
 * Debian's libfabric depends on libpsm_infinipath and libpsm2, whose constructors take SIGILL,
 * SIGABRT, SIGBUS, SIGSEGV and SIGTERM when they are loaded, whether or not a psm provider is ever
 * used. Their handler prints a backtrace and calls exit(): a SIGTERM then runs destructors at any
 * point, and memory tracking by SIGSEGV cannot work. Environment variables (environment.c) tell
 * them not to, here and in children. A library that does not listen, or that a program has linked
 * itself, is undone: the default is put back after loading. Only handlers that lie in those
 * libraries are undone: a sanitizer's, or the program's own, stay.
 *
 * libfabric's registration cache is told to watch nothing: its monitor does not see memory that
 * moves in and out of the ranges of ranks, and would take more hooks into the process.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

#include "transport/ofi/impl.h"

static bool of_psm(const struct sigaction *action)
{
    void *handler;
    memcpy(&handler,
           (action->sa_flags & SA_SIGINFO) ? (const void *)&action->sa_sigaction
                                           : (const void *)&action->sa_handler,
           sizeof(handler));
    if (action->sa_handler == SIG_DFL || action->sa_handler == SIG_IGN)
        return false;
    Dl_info info;
    if (!dladdr(handler, &info) || !info.dli_fname)
        return false;
    const char *slash = strrchr(info.dli_fname, '/');
    const char *file = slash ? slash + 1 : info.dli_fname;
    return strncmp(file, "libpsm", 6) == 0 || strncmp(file, "libinfinipath", 13) == 0;
}

void weft__ofi_reset_signals(void)
{
    static const int signals[] = {SIGILL, SIGABRT, SIGBUS, SIGSEGV, SIGTERM, SIGFPE, SIGINT};
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        struct sigaction action;
        if (sigaction(signals[i], NULL, &action) != 0 || !of_psm(&action))
            continue;
        struct sigaction plain = {.sa_handler = SIG_DFL};
        sigaction(signals[i], &plain, NULL);
    }
}

__attribute__((constructor)) static void before_main(void)
{
    weft__ofi_environment();
    weft__ofi_reset_signals();
}
