/* Fetching what a member has changed: in its answer, or, where that is much, pulled from it. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/wake.h"
#include "exec/fork.h"
#include "exec/impl.h"
#include "weft/error.h"
#include "wire/host.pb-c.h"
#include "wire/message.h"

#define STALL_MS 5000u

/* The pull's thread. */
static void pulled(struct weft_pull *pull, int err, const char *text, void *user)
{
    struct weft__fork_fetch *fetch = user;
    struct weft__rank *rank = fetch->rank;
    (void)pull; /* freed by the rank's thread, which waits for this one */
    fetch->err = err;
    snprintf(fetch->text, sizeof(fetch->text), "%s", text ? text : "");
    atomic_store(&fetch->over, 1);
    pthread_mutex_lock(&rank->lock);
    if (rank->cell)
        weft__rank_ring(rank);
    pthread_mutex_unlock(&rank->lock);
}

void weft__fork_fetch_fini(struct weft__fork_fetch *fetch)
{
    if (fetch->pull) {
        weft__pull_cancel(fetch->pull);
        while (!atomic_load(&fetch->over))
            weft__futex_wait(&fetch->over, 0, weft__now_ns() + WEFT_NS_PER_MS);
        weft__pull_free(fetch->pull);
    }
    weft__image_free(fetch->image);
    weft__region_fini(&fetch->into);
    *fetch = (struct weft__fork_fetch){.into.fd = -1};
}

static int pull(struct weft_fork *fork, const struct weft__fork_member *member,
                const Weft__Host__ForkRunReply *reply, uint64_t deadline_ns)
{
    struct weft__fork_fetch *fetch = &fork->fetch;
    struct weft_exec *exec = fork->rank->exec;
    int err = weft__image_decode(reply->image.data, reply->image.len, &fetch->image);
    if (err)
        return err;
    if (fetch->image->region_len_bytes > WEFT_DIFFS_ENCODED_MAX ||
        reply->diffs_len > fetch->image->region_len_bytes)
        return weft_fail(WEFT_EPROTO, "host %s offers differences that cannot be", member->host);
    fetch->rank = fork->rank;
    err = weft__region_init(&fetch->into, "weft-fork-fetch", NULL, fetch->image->region_len_bytes);
    if (!err)
        err = weft__pull_start(
            &(struct weft_pull_desc){.lane = exec->lane,
                                     .peer = weft__process_find(exec, member->process)->peer,
                                     .image = fetch->image,
                                     .into = &fetch->into,
                                     .stall_ms = STALL_MS,
                                     .done = pulled,
                                     .user = fetch},
            &fetch->pull);
    if (!err)
        err = weft__fork_await(fork->rank, &fetch->over, deadline_ns);
    if (!err && fetch->err == WEFT_ETIMEDOUT)
        err = weft_fail(WEFT_EPEERDEAD, "host %s does not send what it has changed", member->host);
    else if (!err && fetch->err)
        err = weft_fail(fetch->err, "host %s: what it has changed: %s", member->host, fetch->text);
    return err;
}

int weft__fork_collect(struct weft_fork *fork, const struct weft__fork_member *member,
                       uint64_t deadline_ns, struct weft_diffs *diffs_out)
{
    ProtobufCMessage *message;
    int err = weft__message_decode(&weft__host__fork_run_reply__descriptor, member->run.body,
                                   member->run.len_bytes, &message);
    if (err)
        return err;
    const Weft__Host__ForkRunReply *reply = (const Weft__Host__ForkRunReply *)message;
    if (reply->image.len > 0) {
        err = pull(fork, member, reply, deadline_ns);
        if (!err)
            err = weft__diffs_decode(fork->fetch.into.base, reply->diffs_len, diffs_out);
        if (!err)
            fork->counts.returned_bytes += reply->diffs_len;
        weft__fork_fetch_fini(&fork->fetch);
    } else {
        err = weft__diffs_decode(reply->diffs.data, reply->diffs.len, diffs_out);
        if (!err)
            fork->counts.returned_bytes += reply->diffs.len;
    }
    weft__message_free(message);
    return err;
}
