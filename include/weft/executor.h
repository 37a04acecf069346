/* Calls from outside, straight to one rank of an app: the rank's side.
 *
 * A call names an app, a rank and a code of the program's own, and carries bytes. It waits in the
 * rank's queue, which is bounded, until the rank takes it; the rank answers it from its own thread.
 * No other rank of the process and no pool of workers lies between. A rank that moves takes no call
 * along: those that wait are sent back, and their callers find the rank where it is then; a rank
 * that has taken a call and not answered it cannot move. What a rank leaves unanswered when it ends
 * fails.
 *
 * A rank that uses MPI too: while it waits for calls its MPI operations do not move on, except
 * where its handlers call MPI.
 *
 * The caller's side is weft_caller_call() in weft/caller.h, or "weft call" on the command line.
 */
#ifndef WEFT_EXECUTOR_H
#define WEFT_EXECUTOR_H

#include <stddef.h>
#include <stdint.h>

#include "weft/api.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A call that the rank has taken. */
struct weft_executor_call {
    uint64_t id;
    uint32_t code;
    uint32_t reserved;
    const void *body; /* valid until the call is answered */
    size_t body_bytes;
    uint64_t deadline_ns; /* when the caller gives up, on the scale of the rank's clock; UINT64_MAX:
                             never */
};

/* Thread: the rank's own, for all of these; in other threads they fail with WEFT_EINVAL. */

/* Takes the oldest call that waits and whose caller still wants it. timeout_ms 0: only looks.
 * Blocks: at most timeout_ms; UINT32_MAX: until there is one.
 * Errors: WEFT_ETIMEDOUT there is none; WEFT_EAGAIN the rank is wanted at a migration point: pass
 * one if there is one, and call again (said once per move); WEFT_EBUSY it has taken too many
 * without answering. */
WEFT_API int weft_executor_next(uint32_t timeout_ms, struct weft_executor_call *call_out);
/* Answers with these bytes, copied; where they are too many for a message, with WEFT_EMSGSIZE.
 * Errors: WEFT_ENOENT no such call is open. */
WEFT_API int weft_executor_reply(const struct weft_executor_call *call, const void *body,
                                 size_t body_bytes);
/* Answers with an error (< 0, enum weft_err) and a text; NULL: the error's own. */
WEFT_API int weft_executor_fail(const struct weft_executor_call *call, int err, const char *text);
/* Whether the caller has given the call up. It must be answered all the same. */
WEFT_API int weft_executor_is_cancelled(const struct weft_executor_call *call);

/* Answers the call, or keeps it and answers later. Returns 0 to go on serving, else serving ends.
 */
typedef int weft_executor_handler(void *ctx, const struct weft_executor_call *call);

struct weft_executor_entry {
    uint32_t code;
    weft_executor_handler *handle;
};

struct weft_executor_desc {
    const struct weft_executor_entry *entries;
    size_t entries_n;
    void *ctx;
    uint32_t idle_ms; /* ends after this long without a call; 0: never */
    /* Where the rank goes on when it moves while it serves, as in weft/migrate.h; NULL: it passes
     * no migration point here. */
    int (*resume)(void *argument);
    void *argument;
};

/* Takes calls and hands each to the handler of its code, until one says that it is enough; unknown
 * codes are answered with WEFT_EUNKNOWNCALL. Returns what that handler returned, 0 after idle_ms,
 * or an error (< 0). The table is read while serving only. */
WEFT_API int weft_executor_serve(const struct weft_executor_desc *desc);

#ifdef __cplusplus
}
#endif

#endif
