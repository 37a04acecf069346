/* What the rank's side of a fork asks other processes, and waiting for the answers.
 *
 * An answer comes on the client's thread, which copies it, sets `over` and rings the rank; nothing
 * of the question is touched after `over`. The exec counts answers that are still being given, and
 * closing waits for them, because ringing needs the rank. */
#include "exec/fork.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/wake.h"
#include "exec/impl.h"
#include "weft/error.h"

#define LOOK_NS 100000000ull /* how often a quiet wait looks whether the process closes */

static void ring(struct weft__rank *rank)
{
    pthread_mutex_lock(&rank->lock);
    if (rank->cell)
        weft__rank_ring(rank);
    pthread_mutex_unlock(&rank->lock);
}

static void set_over(struct weft__fork_ask *ask, int err, const char *text)
{
    ask->err = err;
    snprintf(ask->text, sizeof(ask->text), "%s", text ? text : "");
    atomic_store(&ask->over, 1);
    weft__futex_wake(&ask->over);
}

/* The client's thread. */
static void answered(void *ctx, int err, const char *text, const void *body, size_t body_bytes)
{
    struct weft__fork_ask *ask = ctx;
    struct weft__rank *rank = ask->rank;
    struct weft_exec *exec = rank->exec;
    ask->body = err ? NULL : malloc(body_bytes + 1);
    if (!err && !ask->body) {
        err = WEFT_ENOMEM;
        text = "no memory for an answer";
    }
    if (!err && body_bytes)
        memcpy(ask->body, body, body_bytes);
    ask->len_bytes = err ? 0 : body_bytes;
    set_over(ask, err, text);
    ring(rank);
    atomic_fetch_sub(&exec->asks, 1); /* last */
}

void weft__fork_ask(struct weft__rank *rank, struct weft__fork_ask *ask,
                    const struct weft__fork_question *question)
{
    struct weft_exec *exec = rank->exec;
    *ask = (struct weft__fork_ask){.rank = rank, .asked = true};
    atomic_fetch_add(&exec->handovers, 1);
    atomic_fetch_add(&exec->asks, 1);
    int err = weft__client_start(exec->client,
                                 &(struct weft_client_call){.url = question->url,
                                                            .code = question->code,
                                                            .request = question->request,
                                                            .timeout_ms = question->timeout_ms,
                                                            .done_bytes = answered,
                                                            .ctx = ask,
                                                            .ticket_out = &ask->ticket});
    if (!err)
        return;
    atomic_fetch_sub(&exec->asks, 1);
    set_over(ask, err, weft_fail_text(err));
}

int weft__fork_await(struct weft__rank *rank, const _Atomic uint32_t *over, uint64_t deadline_ns)
{
    for (;;) {
        uint32_t seen = atomic_load(&rank->cell->bell);
        if (atomic_load(over))
            return WEFT_OK;
        int err = weft__rank_wait(rank, seen, deadline_ns);
        if (err)
            return err;
    }
}

bool weft__fork_await_quietly(struct weft__rank *rank, const _Atomic uint32_t *over,
                              uint64_t deadline_ns)
{
    while (!atomic_load(over) && !atomic_load(&rank->exec->closing)) {
        uint64_t now_ns = weft__now_ns();
        if (now_ns >= deadline_ns)
            break;
        uint64_t look_ns = now_ns + LOOK_NS;
        weft__futex_wait(over, 0, look_ns < deadline_ns ? look_ns : deadline_ns);
    }
    return atomic_load(over);
}

void weft__fork_ask_fini(struct weft__fork_ask *ask)
{
    if (!ask->asked)
        return;
    if (!atomic_load(&ask->over))
        weft__client_cancel(ask->rank->exec->client, ask->ticket);
    while (!atomic_load(&ask->over))
        weft__futex_wait(&ask->over, 0, weft__now_ns() + LOOK_NS);
    free(ask->body);
    *ask = (struct weft__fork_ask){0};
}
