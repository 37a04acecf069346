/* A rank that answers calls from outside. argv[1] "never": takes none, until it is to move or its
 * app ends; "idle": ends when none has come for a while. Returns 7 when it is told to end. */
#include "common.h"

#include <stdlib.h>

#include "weft/executor.h"

/* tests/unit/exec/called_test.c knows these. */
enum { ECHO = 1, HOLD, RELEASE, FAIL, END, IS_CANCELLED, STALE };

struct state {
    struct weft_executor_call held;
    int holds;
};

int on_resume(void *argument);

static int echo(void *ctx, const struct weft_executor_call *call)
{
    (void)ctx;
    return weft_executor_reply(call, call->body, call->body_bytes);
}

static int hold(void *ctx, const struct weft_executor_call *call)
{
    struct state *state = ctx;
    state->held = *call;
    state->holds = 1;
    return 0;
}

static int release(void *ctx, const struct weft_executor_call *call)
{
    struct state *state = ctx;
    if (state->holds)
        weft_executor_reply(&state->held, "let go", 6);
    state->holds = 0;
    return weft_executor_reply(call, NULL, 0);
}

static int fail(void *ctx, const struct weft_executor_call *call)
{
    (void)ctx;
    return weft_executor_fail(call, WEFT_ENOSPC, "the rank has no room");
}

static int stale(void *ctx, const struct weft_executor_call *call)
{
    (void)ctx;
    return weft_executor_fail(call, WEFT_ESTALE, NULL);
}

static int end(void *ctx, const struct weft_executor_call *call)
{
    (void)ctx;
    weft_executor_reply(call, NULL, 0);
    return 7;
}

static int is_cancelled(void *ctx, const struct weft_executor_call *call)
{
    struct state *state = ctx;
    char yes = state->holds && weft_executor_is_cancelled(&state->held) ? 'y' : 'n';
    return weft_executor_reply(call, &yes, 1);
}

/* Looks, waits a little, then serves until nobody calls any more. */
static int idle(void)
{
    const struct weft_executor_desc desc = {.idle_ms = 20};
    struct weft_executor_call call;
    if (weft_executor_next(0, &call) != WEFT_ETIMEDOUT ||
        weft_executor_next(5, &call) != WEFT_ETIMEDOUT)
        return 1;
    return weft_executor_serve(&desc) == 0 ? 7 : 1;
}

static int serve(struct state *state)
{
    const struct weft_executor_entry entries[] = {
        {ECHO, echo}, {HOLD, hold},   {RELEASE, release},           {FAIL, fail},
        {END, end},   {STALE, stale}, {IS_CANCELLED, is_cancelled},
    };
    struct weft_executor_desc desc = {.entries = entries,
                                      .entries_n = sizeof(entries) / sizeof(entries[0]),
                                      .ctx = state,
                                      .resume = on_resume,
                                      .argument = state};
    return weft_executor_serve(&desc);
}

int on_resume(void *argument)
{
    return serve(argument);
}

__attribute__((noreturn)) static void never(struct weft_cell *cell)
{
    for (;;) {
        uint32_t seen = atomic_load(&cell->bell);
        (void)weft_migration_point(on_resume, NULL);
        cell->calls->wait(cell, seen, UINT64_MAX);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "never") == 0)
        never(weft_cell_self());
    if (argc > 1 && strcmp(argv[1], "idle") == 0)
        return idle();
    return serve(weft_alloc(sizeof(struct state)));
}
