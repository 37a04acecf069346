/* What gate.S assumes, and the table of its stubs. */
#include "cell/gate.h"

#include <stddef.h>
#include <sys/auxv.h>

#include "cell/executor.h"
#include "weft/error.h"

#define FSGSBASE 2u /* HWCAP2: the kernel lets programs set their thread pointer */

_Static_assert(offsetof(struct weft__gate, host_sp) == 0, "GATE_HOST_SP");
_Static_assert(offsetof(struct weft__gate, host_fs) == 8, "GATE_HOST_FS");
_Static_assert(offsetof(struct weft__gate, frame) == 16, "GATE_FRAME");
_Static_assert(offsetof(struct weft__gate_frame, sp) == 0, "FRAME_SP");
_Static_assert(offsetof(struct weft__gate_frame, fs) == 8, "FRAME_FS");
_Static_assert(offsetof(struct weft__gate_frame, modes) == 24, "FRAME_MODES");
_Static_assert(offsetof(struct weft_cell, host) == 48, "CELL_HOST");

/* X(call): those of struct weft_cell_calls, in its order. */
#define CALLS(X)                                                                                   \
    X(abort, 8)                                                                                    \
    X(send, 16)                                                                                    \
    X(expose, 24)                                                                                  \
    X(unexpose, 32)                                                                                \
    X(ticket, 40)                                                                                  \
    X(get, 48)                                                                                     \
    X(wait, 56)                                                                                    \
    X(wake, 64)                                                                                    \
    X(migration_point, 72)                                                                         \
    X(now, 80)                                                                                     \
    X(info, 88)                                                                                    \
    X(exit, 96)                                                                                    \
    X(log, 104)                                                                                    \
    X(call_next, 112)                                                                              \
    X(call_answer, 120)                                                                            \
    X(call_is_cancelled, 128)

#define DECLARE(name, offset)                                                                      \
    extern void weft__gate_##name(void);                                                           \
    _Static_assert(offsetof(struct weft_cell_calls, name) == (offset), #name);
CALLS(DECLARE)
_Static_assert(sizeof(struct weft_cell_calls) == 136, "a call without a stub");

_Static_assert(offsetof(struct weft__gate_table, calls) == 0, "the stubs' offsets");
_Static_assert(offsetof(struct weft__gate_table, ring) == 136, "TABLE_RING");
_Static_assert(WEFT__GATE_SENT == 0 && WEFT__GATE_RING == 1, "GATE_RING");

#define ENTRY(name, offset) .name = (__typeof__(weft__gate_calls.name))weft__gate_##name,
const struct weft_cell_calls weft__gate_calls = {
    .version = WEFT_CELL_VERSION, .len_bytes = sizeof(struct weft_cell_calls), CALLS(ENTRY)};

int weft__gate_works(void)
{
#ifdef WEFT_TSAN
    return weft_fail(WEFT_ENOTSUP, "cells do not run under ThreadSanitizer: its signal handlers "
                                   "want the thread pointer of its own threads");
#endif
    if (!(getauxval(AT_HWCAP2) & FSGSBASE))
        return weft_fail(WEFT_ENOTSUP,
                         "cells need a processor with FSGSBASE and Linux 5.9" WEFT__CELL_ELSE);
    return WEFT_OK;
}
