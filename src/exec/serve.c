/* What programs call to take calls from outside: thin, on top of their cell's table, so that it is
 * the same wherever a rank's code runs. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "weft/cell.h"
#include "weft/error.h"
#include "weft/executor.h"
#include "weft/migrate.h"

static int no_rank(void)
{
    return weft_fail(WEFT_EINVAL, "calls are taken by a rank's own thread only");
}

int weft_executor_next(uint32_t timeout_ms, struct weft_executor_call *call_out)
{
    struct weft_cell *cell = weft_cell_self();
    uint64_t deadline_ns = timeout_ms == UINT32_MAX ? UINT64_MAX : 0;
    if (cell == NULL)
        return no_rank();
    if (timeout_ms != 0 && timeout_ms != UINT32_MAX)
        deadline_ns = cell->calls->now(cell) + timeout_ms * UINT64_C(1000000);
    return cell->calls->call_next(cell, deadline_ns, call_out);
}

int weft_executor_reply(const struct weft_executor_call *call, const void *body, size_t body_bytes)
{
    struct weft_cell *cell = weft_cell_self();
    return cell == NULL ? no_rank()
                        : cell->calls->call_answer(cell, call->id, WEFT_OK, body, body_bytes);
}

int weft_executor_fail(const struct weft_executor_call *call, int err, const char *text)
{
    struct weft_cell *cell = weft_cell_self();
    if (cell == NULL)
        return no_rank();
    if (err >= 0)
        err = WEFT_EFAULT;
    if (text == NULL)
        text = weft_error_text(err);
    return cell->calls->call_answer(cell, call->id, err, text, strlen(text));
}

int weft_executor_is_cancelled(const struct weft_executor_call *call)
{
    struct weft_cell *cell = weft_cell_self();
    return cell != NULL && cell->calls->call_is_cancelled(cell, call->id);
}

static int handle(const struct weft_executor_desc *desc, const struct weft_executor_call *call)
{
    for (size_t i = 0; i < desc->entries_n; i++)
        if (desc->entries[i].code == call->code)
            return desc->entries[i].handle(desc->ctx, call);
    char text[64];
    snprintf(text, sizeof(text), "the rank serves no call %" PRIu32, call->code);
    (void)weft_executor_fail(call, WEFT_EUNKNOWNCALL, text);
    return 0;
}

int weft_executor_serve(const struct weft_executor_desc *desc)
{
    uint32_t patience_ms = desc->idle_ms != 0 ? desc->idle_ms : UINT32_MAX;
    for (;;) {
        struct weft_executor_call call;
        if (desc->resume != NULL)
            (void)weft_migration_point(desc->resume, desc->argument);
        int result = weft_executor_next(patience_ms, &call);
        if (result == WEFT_ETIMEDOUT)
            return 0;
        if (result == WEFT_EAGAIN)
            continue; /* to the migration point, if there is one */
        if (result == 0)
            result = handle(desc, &call);
        if (result != 0)
            return result;
    }
}
