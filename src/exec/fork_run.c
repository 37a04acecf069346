/* Running a fork: start and join.
 *
 * The order to each member is a call that is answered when its threads have returned. The join
 * waits for all of them, whatever they say, before it looks at any: what failed is told when
 * nothing runs any more, and then the memory is put back as it was. Differences are merged in the
 * order of the threads, never in that of arrival, so that equal runs on equal hosts give equal
 * bits.
 *
 * A member's version is what it is known to have: after an answer the one that it ran on, after an
 * error none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "exec/fork.h"
#include "exec/fork_calls.h"
#include "exec/impl.h"
#include "weft/error.h"
#include "wire/host.pb-c.h"
#include "wire/message.h"

#define RUN_MS (UINT32_MAX / 2) /* as long as the threads want: who dies is noticed otherwise */
#define LOOK_NS 200000000ull    /* how often a join looks for processes that the home calls dead */
#define WHY_MS 1000u            /* for the home to know why a process died */
#define WHY_ASK_MS 500u
#define WHY_PAUSE_NS 50000000ull

/* ---- start ---- */

/* The merge regions as they travel; NULL: no memory. */
static Weft__Host__ForkRegion **pack_regions(const struct weft_merge *merge)
{
    Weft__Host__ForkRegion **list = calloc(merge->n + 1, sizeof(*list));
    Weft__Host__ForkRegion *items = calloc(merge->n + 1, sizeof(*items));
    if (!list || !items) {
        free((void *)list);
        free(items);
        return NULL;
    }
    list[0] = items; /* also where there is none: it is freed by this */
    for (size_t i = 0; i < merge->n; i++) {
        list[i] = &items[i];
        weft__host__fork_region__init(list[i]);
        list[i]->offset = merge->at[i].offset;
        list[i]->len_bytes = merge->at[i].len_bytes;
        list[i]->type = merge->at[i].type;
        list[i]->op = merge->at[i].op;
    }
    return list;
}

/* What is the same for all members; the argument and the regions stay the caller's. */
static void fill_order(const struct weft_fork *fork, Weft__Host__ForkRunRequest *order)
{
    const struct weft_exec *exec = fork->rank->exec;
    order->token = exec->token;
    order->fork = fork->id;
    order->rank = fork->rank->number;
    order->process = exec->process;
    order->host = exec->host;
    order->lane = weft__message_text(weft__exec_lane_address(exec));
    order->address = (uintptr_t)fork->base;
    order->len_bytes = fork->len_bytes;
    order->version = fork->version;
    order->build_id.data = (uint8_t *)(uintptr_t)exec->program.elf.build_id;
    order->build_id.len = exec->program.elf.build_id_len;
    order->all_threads = fork->threads_n;
    order->skew = (uint32_t)fork->skew;
    order->shared_bytes = fork->shared_bytes;
}

static void order_member(struct weft_fork *fork, struct weft__fork_member *member,
                         const Weft__Host__ForkRunRequest *common)
{
    Weft__Host__ForkRunRequest order = *common;
    uint8_t *image = NULL;
    size_t len = 0;
    order.base_version = member->version;
    order.first = member->first;
    order.threads = member->threads;
    int err = member->image ? weft__image_encode(member->image, &image, &len) : WEFT_OK;
    if (err) {
        member->run = (struct weft__fork_ask){.rank = fork->rank, .asked = true, .err = err};
        snprintf(member->run.text, sizeof(member->run.text), "%s", weft_fail_text(err));
        atomic_store(&member->run.over, 1);
        return;
    }
    order.image = (ProtobufCBinaryData){.data = image, .len = len};
    if (member->process == fork->rank->exec->process)
        order.n_regions = 0; /* its memory is compared here */
    weft__fork_ask(fork->rank, &member->run,
                   &(struct weft__fork_question){.url = member->control,
                                                 .code = WEFT_CALL_FORK_RUN,
                                                 .request = &order.base,
                                                 .timeout_ms = RUN_MS});
    free(image);
}

static int check_start(const struct weft_fork *fork, weft_fork_function *function,
                       const void *argument, size_t argument_bytes, uint64_t *offset_out)
{
    if (weft_cell_self() != fork->rank->cell)
        return weft_fail(WEFT_EINVAL, "only the rank that has opened a fork can start it");
    if (fork->broken)
        return weft_fail(fork->broken, "%s", fork->why);
    if (fork->running)
        return weft_fail(WEFT_EBUSY, "the fork runs; join it first");
    if (argument_bytes > WEFT_FORK_ARGUMENT_MAX)
        return weft_fail(
            WEFT_EMSGSIZE,
            "an argument of %zu bytes is longer than %u; put it into the shared memory",
            argument_bytes, WEFT_FORK_ARGUMENT_MAX);
    if (argument_bytes > 0 && !argument)
        return weft_fail(WEFT_EINVAL, "there is no argument of %zu bytes", argument_bytes);
    if (weft__program_offset_of(&fork->rank->stay.copy, (uintptr_t)function, offset_out))
        return weft_fail(WEFT_EINVAL, "what a fork starts is not a function of the program");
    return WEFT_OK;
}

int weft_fork_start(struct weft_fork *fork, weft_fork_function *function, const void *argument,
                    size_t argument_bytes)
{
    Weft__Host__ForkRunRequest order = WEFT__HOST__FORK_RUN_REQUEST__INIT;
    const struct weft_merge *merge = weft__origin_merge(fork->origin);
    int err = check_start(fork, function, argument, argument_bytes, &order.function);
    if (err)
        return err;
    Weft__Host__ForkRegion **regions = pack_regions(merge);
    if (!regions)
        return weft_fail(WEFT_ENOMEM, "no memory for a list of %zu regions", merge->n);
    err = weft__fork_sync(fork);
    if (!err)
        err = weft__fork_share(fork);
    if (!err) {
        fill_order(fork, &order);
        order.regions = regions;
        order.n_regions = merge->n;
        order.argument.data = (uint8_t *)(uintptr_t)argument;
        order.argument.len = argument_bytes;
        for (size_t i = 0; i < fork->members_n; i++)
            order_member(fork, &fork->members[i], &order);
        fork->running = true;
        fork->counts.starts++;
    } else {
        weft__fork_unshare(fork);
    }
    free(regions[0]);
    free((void *)regions);
    return err;
}

/* ---- join ---- */

/* A process that the home calls dead may not even break its connection. */
static bool is_over(const struct weft_fork *fork, struct weft__fork_member *member)
{
    const struct weft__process *process = weft__process_find(fork->rank->exec, member->process);
    if (!atomic_load(&member->run.over) && atomic_load(&process->dead)) {
        weft__fork_ask_fini(&member->run);
        member->run = (struct weft__fork_ask){.rank = fork->rank, .asked = true};
        member->run.err = WEFT_EPEERDEAD;
        snprintf(member->run.text, sizeof(member->run.text), "it is dead");
        atomic_store(&member->run.over, 1);
    }
    return atomic_load(&member->run.over);
}

static int await_members(struct weft_fork *fork, uint64_t deadline_ns)
{
    for (size_t i = 0; i < fork->members_n; i++)
        while (!is_over(fork, &fork->members[i])) {
            uint64_t now_ns = weft__now_ns(), look_ns = now_ns + LOOK_NS;
            if (now_ns >= deadline_ns)
                return weft_fail(WEFT_ETIMEDOUT, "the threads on host %s still run",
                                 fork->members[i].host);
            (void)weft__fork_await(fork->rank, &fork->members[i].run.over,
                                   look_ns < deadline_ns ? look_ns : deadline_ns);
        }
    return WEFT_OK;
}

/* What the home knows of a process's death; false: not yet. */
static bool ask_why(struct weft_fork *fork, uint32_t process, char *text, size_t room)
{
    const struct weft_exec *exec = fork->rank->exec;
    ProtobufCMessage *message = NULL;
    Weft__Host__ForkWhyRequest request = WEFT__HOST__FORK_WHY_REQUEST__INIT;
    request.app = exec->app;
    request.token = exec->token;
    request.process = process;
    weft__fork_ask_fini(&fork->home);
    weft__fork_ask(fork->rank, &fork->home,
                   &(struct weft__fork_question){.url = exec->home,
                                                 .code = WEFT_CALL_FORK_WHY,
                                                 .request = &request.base,
                                                 .timeout_ms = WHY_ASK_MS});
    (void)weft__fork_await(fork->rank, &fork->home.over, WEFT_NEVER);
    if (fork->home.err || weft__message_decode(&weft__host__fork_why_reply__descriptor,
                                               fork->home.body, fork->home.len_bytes, &message))
        return false;
    const Weft__Host__ForkWhyReply *reply = (const Weft__Host__ForkWhyReply *)message;
    bool known = reply->dead && reply->text[0];
    if (known)
        snprintf(text, room, "%s", reply->text);
    weft__message_free(message);
    return known;
}

/* Whether the member is no more: it has died, or ends in peace because its host has died. */
static bool is_lost(int err)
{
    return weft_error_damage(err) == WEFT_DAMAGE_PEER || err == WEFT_ESHUTDOWN;
}

/* The error of a run, with the host's name; of a process that has died, with the cause. A pull
 * there that came to a stop is damage to the peer, and nothing that a longer wait would mend. */
static int explain(struct weft_fork *fork, const struct weft__fork_member *member)
{
    char text[256];
    uint64_t until_ns = weft__now_ns() + WHY_MS * WEFT_NS_PER_MS;
    static const _Atomic uint32_t never;
    int err = member->run.err;
    snprintf(text, sizeof(text), "%s", member->run.text);
    if (!is_lost(err))
        return weft_fail(err == WEFT_ETIMEDOUT ? WEFT_EPEERDEAD : err,
                         "the threads on host %s did not run: %s", member->host, text);
    while (!ask_why(fork, member->process, text, sizeof(text)) && weft__now_ns() < until_ns)
        (void)weft__fork_await(fork->rank, &never, weft__now_ns() + WHY_PAUSE_NS);
    return weft_fail(err == WEFT_ESHUTDOWN ? WEFT_EPEERDEAD : err,
                     "host %s has lost the threads that ran there: %s", member->host, text);
}

/* The first error of a run, the worst damage first; WEFT_OK: none. */
static int verdict(struct weft_fork *fork)
{
    const struct weft__fork_member *worst = NULL;
    for (size_t i = 0; i < fork->members_n; i++) {
        struct weft__fork_member *member = &fork->members[i];
        int err = member->run.err;
        member->version = err || member->process == fork->rank->exec->process ? 0 : fork->version;
        if (err && (!worst || (is_lost(err) && !is_lost(worst->run.err))))
            worst = member;
    }
    return worst ? explain(fork, worst) : WEFT_OK;
}

/* Differences by member, ours first where no thread ran here. */
static int collect(struct weft_fork *fork, const struct weft_extents *changed,
                   struct weft_diffs *lists, uint64_t deadline_ns)
{
    bool here = false;
    int err = WEFT_OK;
    for (size_t i = 0; !err && i < fork->members_n; i++) {
        const struct weft__fork_member *member = &fork->members[i];
        bool ours = member->process == fork->rank->exec->process;
        here = here || ours;
        err = ours ? weft__fork_diff(fork, changed, &lists[1 + i])
                   : weft__fork_collect(fork, member, deadline_ns, &lists[1 + i]);
    }
    if (!err && !here)
        err = weft__fork_diff(fork, changed, &lists[0]);
    return err;
}

static int merge(struct weft_fork *fork, uint64_t deadline_ns)
{
    struct weft_extents changed = {0};
    size_t n = fork->members_n + 1;
    struct weft_diffs *lists = calloc(n, sizeof(*lists));
    int err = lists ? weft__fork_changed(fork, &changed)
                    : weft_fail(WEFT_ENOMEM, "no memory to merge what %zu hosts have changed", n);
    if (!err)
        err = collect(fork, &changed, lists, deadline_ns);
    if (!err)
        err = weft__fork_merge(fork, lists, n, &changed);
    for (size_t i = 0; lists && i < n; i++)
        weft__diffs_fini(&lists[i]);
    free(lists);
    weft__extents_fini(&changed);
    return err;
}

static int take_values(const struct weft__fork_member *member, int *values)
{
    ProtobufCMessage *message;
    int err = weft__message_decode(&weft__host__fork_run_reply__descriptor, member->run.body,
                                   member->run.len_bytes, &message);
    if (err)
        return err;
    const Weft__Host__ForkRunReply *reply = (const Weft__Host__ForkRunReply *)message;
    if (reply->n_values != member->threads)
        err = weft_fail(WEFT_EPROTO, "host %s tells what %zu threads returned, not %u",
                        member->host, reply->n_values, member->threads);
    for (uint32_t i = 0; !err && values && i < member->threads; i++)
        values[member->first + i] = reply->values[i];
    weft__message_free(message);
    return err;
}

/* The run is over, well or not. */
static void run_over(struct weft_fork *fork, int err)
{
    if (err) {
        char text[256];
        snprintf(text, sizeof(text), "%s", weft_fail_text(err));
        weft__fork_restore(fork);
        if (weft_error_damage(err) == WEFT_DAMAGE_PEER) {
            fork->broken = err;
            memcpy(fork->why, text, sizeof(text));
        }
        (void)weft_fail(err, "%s", text);
    }
    for (size_t i = 0; i < fork->members_n; i++)
        weft__fork_ask_fini(&fork->members[i].run);
    weft__fork_unshare(fork);
    fork->running = false;
}

int weft_fork_join(struct weft_fork *fork, uint32_t timeout_ms, int *values)
{
    uint64_t deadline_ns =
        timeout_ms == UINT32_MAX ? WEFT_NEVER : weft__now_ns() + timeout_ms * WEFT_NS_PER_MS;
    int *all = NULL;
    if (weft_cell_self() != fork->rank->cell)
        return weft_fail(WEFT_EINVAL, "only the rank that has opened a fork can join it");
    if (!fork->running)
        return weft_fail(WEFT_EINVAL, "the fork was not started");
    int err = await_members(fork, deadline_ns);
    if (err)
        return err;
    atomic_fetch_add(&fork->rank->exec->handovers, 1);
    err = verdict(fork);
    if (!err && values && !(all = calloc(fork->threads_n, sizeof(*all))))
        err = weft_fail(WEFT_ENOMEM, "no memory for what %u threads return", fork->threads_n);
    for (size_t i = 0; !err && i < fork->members_n; i++)
        err = take_values(&fork->members[i], all);
    if (!err)
        err = merge(fork, deadline_ns);
    if (!err && values)
        memcpy(values, all, fork->threads_n * sizeof(*values));
    free(all);
    if (err != WEFT_ETIMEDOUT)
        run_over(fork, err);
    return err;
}
