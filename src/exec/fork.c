/* Forks, the rank's side: opening, closing, and what can be asked of them.
 *
 * The home gives slots and sees to it that a process of the app runs wherever there are some; from
 * then on this process talks to those processes itself (crew.c), its own among them. The rank's
 * thread does all the work here, and while it waits it drives the lane, from which hosts pull.
 *
 * A rank with an open fork is pinned: its memory is what hosts copy, its process what they answer.
 * What a fork has is freed by its close, by the end of its rank, or by the end of the process:
 * exactly one of them, on the list of the rank.
 *
 * Rejected: threads of this host in a view of their own, like those elsewhere. A view has another
 * address than the memory it shows, and pointers would not hold; so they run in the rank's memory,
 * and a run that fails is undone from the origin. */
#include "exec/fork.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "exec/fork_calls.h"
#include "exec/impl.h"
#include "weft/error.h"
#include "wire/host.pb-c.h"
#include "wire/message.h"

#define OPEN_DEFAULT_MS 30000u
#define CLOSE_MS 2000u /* for threads elsewhere to return once they are told */
#define AGAIN_MS 10u   /* between two attempts to end what may not have begun */
#define GIVE_BACK_MS 6000u
#define HERE_MS 86400000u /* for those here, which use the rank's memory */
#define FORKS_MAX 64u     /* of a rank */

_Static_assert((int)WEFT_FORK_RAW == WEFT_MERGE_RAW && (int)WEFT_FORK_BOOL == WEFT_MERGE_BOOL &&
                   (int)WEFT_FORK_INT32 == WEFT_MERGE_INT32 &&
                   (int)WEFT_FORK_INT64 == WEFT_MERGE_INT64 &&
                   (int)WEFT_FORK_FLOAT == WEFT_MERGE_FLOAT &&
                   (int)WEFT_FORK_DOUBLE == WEFT_MERGE_DOUBLE,
               "types");
_Static_assert((int)WEFT_FORK_OVERWRITE == WEFT_MERGE_OVERWRITE &&
                   (int)WEFT_FORK_XOR == WEFT_MERGE_XOR &&
                   (int)WEFT_FORK_IGNORE == WEFT_MERGE_IGNORE &&
                   (int)WEFT_FORK_SUM == WEFT_MERGE_SUM &&
                   (int)WEFT_FORK_SUBTRACT == WEFT_MERGE_SUBTRACT &&
                   (int)WEFT_FORK_PRODUCT == WEFT_MERGE_PRODUCT &&
                   (int)WEFT_FORK_MAX == WEFT_MERGE_MAX && (int)WEFT_FORK_MIN == WEFT_MERGE_MIN,
               "operations");

/* ---- open ---- */

static int self(struct weft__rank **rank_out)
{
    struct weft_cell *cell = weft_cell_self();
    if (!cell)
        return weft_fail(WEFT_EINVAL, "only a rank's own thread can fork");
    struct weft__rank *rank = cell->calls == &weft__cell_calls ? cell->host : NULL;
    if (!rank || !rank->exec->client)
        return weft_fail(WEFT_ENOTSUP,
                         "rank %d does not run on a cluster: there is nowhere to "
                         "fork to; start it with weft run",
                         (int)cell->rank);
    *rank_out = rank;
    return WEFT_OK;
}

static int check(const struct weft__rank *rank, const struct weft_fork_options *options)
{
    if (options->len_bytes == 0 || !weft_cell_holds(rank->cell, options->base, options->len_bytes))
        return weft_fail(WEFT_ERANGE,
                         "0x%zx bytes at %p are not memory of rank %d, which weft_alloc() gives",
                         options->len_bytes, options->base, (int)rank->number);
    if (options->threads > WEFT_FORK_THREADS_MAX)
        return weft_fail(WEFT_EINVAL, "a fork has at most %u threads, not %u",
                         WEFT_FORK_THREADS_MAX, options->threads);
    if (options->regions_n > 0 && !options->regions)
        return weft_fail(WEFT_EINVAL, "there is no list of the %zu regions", options->regions_n);
    if (options->rest > WEFT_FORK_IGNORE)
        return weft_fail(WEFT_EINVAL,
                         "what is in no region is raw bytes: overwrite, xor or ignore");
    return WEFT_OK;
}

static int add_region(struct weft_fork *fork, const struct weft_fork_region *region)
{
    uint64_t left = region->offset <= fork->shared_bytes ? fork->shared_bytes - region->offset : 0;
    uint64_t len = region->len_bytes ? region->len_bytes : left;
    if (len == 0 || len > left)
        return weft_fail(WEFT_ERANGE,
                         "region [0x%zx, +0x%llx) does not lie in the 0x%zx bytes that are shared",
                         region->offset, (unsigned long long)len, fork->shared_bytes);
    return weft__merge_add(weft__origin_merge(fork->origin),
                           &(struct weft_merge_region){.offset = fork->skew + region->offset,
                                                       .len_bytes = len,
                                                       .type = (enum weft_merge_type)region->type,
                                                       .op = (enum weft_merge_op)region->op});
}

/* Bytes of the first and last page that are not shared. */
static int add_edges(struct weft_fork *fork)
{
    struct weft_merge *merge = weft__origin_merge(fork->origin);
    struct weft_merge_region edge = {.op = WEFT_MERGE_IGNORE, .len_bytes = fork->skew};
    int err = edge.len_bytes ? weft__merge_add(merge, &edge) : WEFT_OK;
    edge.offset = fork->skew + fork->shared_bytes;
    edge.len_bytes = fork->len_bytes - edge.offset;
    if (!err && edge.len_bytes)
        err = weft__merge_add(merge, &edge);
    return err;
}

static int make_merge(struct weft_fork *fork, const struct weft_fork_options *options)
{
    int err = WEFT_OK;
    weft__origin_merge(fork->origin)->origin = fork->skew;
    for (size_t i = 0; !err && i < options->regions_n; i++)
        err = add_region(fork, &options->regions[i]);
    if (!err)
        err = add_edges(fork);
    if (!err && options->rest != WEFT_FORK_IGNORE)
        err = weft__merge_fill(weft__origin_merge(fork->origin), (enum weft_merge_op)options->rest);
    return err;
}

static int make_memory(struct weft_fork *fork, const struct weft_fork_options *options)
{
    char name[48];
    snprintf(name, sizeof(name), "weft-fork-%d", (int)fork->rank->number);
    fork->skew = (uintptr_t)options->base % WEFT_REGION_PAGE;
    fork->base = (char *)options->base - fork->skew;
    fork->shared_bytes = options->len_bytes;
    fork->len_bytes = (fork->skew + options->len_bytes + WEFT_REGION_PAGE - 1) / WEFT_REGION_PAGE *
                      WEFT_REGION_PAGE;
    fork->stamps = calloc(fork->len_bytes / WEFT_REGION_PAGE, sizeof(*fork->stamps));
    if (!fork->stamps)
        return weft_fail(WEFT_ENOMEM, "no memory for a fork of 0x%zx bytes", fork->len_bytes);
    int err = weft__origin_open(name, fork->len_bytes, 0, &fork->origin);
    return err ? err : make_merge(fork, options);
}

static int add_member(struct weft_fork *fork, const Weft__Host__ForkMember *told)
{
    struct weft_exec *exec = fork->rank->exec;
    struct weft__fork_member member = {.process = told->process,
                                       .host = strdup(told->host),
                                       .control = strdup(told->control),
                                       .first = fork->threads_n,
                                       .threads = told->threads};
    int err = member.host && member.control
                  ? weft__process_add(
                        exec, &(struct weft_exec_process){told->process, told->host, told->lane})
                  : weft_fail(WEFT_ENOMEM, "no memory for the hosts of a fork");
    if (err) {
        free(member.host);
        free(member.control);
        return err;
    }
    fork->members[fork->members_n++] = member;
    fork->threads_n += told->threads;
    fork->counts.hosts++;
    fork->counts.hosts_remote += told->process != exec->process;
    return WEFT_OK;
}

static int take_members(struct weft_fork *fork)
{
    ProtobufCMessage *message;
    int err = weft__message_decode(&weft__host__fork_open_reply__descriptor, fork->home.body,
                                   fork->home.len_bytes, &message);
    if (err)
        return err;
    const Weft__Host__ForkOpenReply *reply = (const Weft__Host__ForkOpenReply *)message;
    fork->members = calloc(reply->n_members + 1, sizeof(*fork->members));
    fork->busy = calloc(reply->n_members + 1, sizeof(*fork->busy));
    if (!fork->members || !fork->busy)
        err = weft_fail(WEFT_ENOMEM, "no memory for the hosts of a fork");
    for (size_t i = 0; !err && i < reply->n_members; i++)
        err = add_member(fork, reply->members[i]);
    weft__message_free(message);
    return err;
}

static int ask_for_slots(struct weft_fork *fork, const struct weft_fork_options *options)
{
    const struct weft_exec *exec = fork->rank->exec;
    uint32_t timeout_ms = options->timeout_ms ? options->timeout_ms : OPEN_DEFAULT_MS;
    Weft__Host__ForkOpenRequest request = WEFT__HOST__FORK_OPEN_REQUEST__INIT;
    request.app = exec->app;
    request.token = exec->token;
    request.rank = fork->rank->number;
    request.fork = fork->id;
    request.threads = options->threads;
    weft__fork_ask(fork->rank, &fork->home,
                   &(struct weft__fork_question){.url = exec->home,
                                                 .code = WEFT_CALL_FORK_OPEN,
                                                 .request = &request.base,
                                                 .timeout_ms = timeout_ms});
    (void)weft__fork_await(fork->rank, &fork->home.over, WEFT_NEVER); /* the call has a deadline */
    int err = fork->home.err ? weft_fail(fork->home.err, "%s", fork->home.text) : WEFT_OK;
    if (!err)
        err = take_members(fork);
    return err;
}

static int link_fork(struct weft_fork *fork)
{
    struct weft__rank *rank = fork->rank;
    struct weft_fork *other;
    unsigned n;
    DL_COUNT(rank->forks, other, n);
    if (n >= FORKS_MAX)
        return weft_fail(WEFT_EAGAIN, "rank %d has %u forks open already", (int)rank->number,
                         FORKS_MAX);
    pthread_mutex_lock(&rank->lock);
    DL_APPEND(rank->forks, fork);
    rank->cell->pins++;
    snprintf(rank->cell->pin_reason, sizeof(rank->cell->pin_reason), "it has forked its memory");
    pthread_mutex_unlock(&rank->lock);
    return WEFT_OK;
}

static void free_memory(struct weft_fork *fork)
{
    weft__origin_close(fork->origin);
    free(fork->stamps);
    free(fork);
}

int weft_fork_open(const struct weft_fork_options *options, struct weft_fork **fork_out)
{
    struct weft__rank *rank = NULL;
    int err = self(&rank);
    if (!err)
        err = check(rank, options);
    struct weft_fork *fork = err ? NULL : calloc(1, sizeof(*fork));
    if (!fork)
        return err ? err : weft_fail(WEFT_ENOMEM, "no memory for a fork");
    fork->rank = rank;
    fork->fetch.into.fd = -1;
    if (getrandom(&fork->id, sizeof(fork->id), 0) != sizeof(fork->id))
        abort(); /* cannot fail once the machine has booted */
    err = make_memory(fork, options);
    if (!err)
        err = link_fork(fork);
    if (err) {
        free_memory(fork);
        return err;
    }
    err = ask_for_slots(fork, options);
    if (err) {
        char text[256];
        snprintf(text, sizeof(text), "%s", weft_fail_text(err));
        weft_fork_close(fork);
        return weft_fail(err, "%s", text);
    }
    *fork_out = fork;
    return WEFT_OK;
}

/* ---- close ---- */

static bool run_is_over(const struct weft__fork_member *member)
{
    return !member->run.asked || atomic_load(&member->run.over);
}

static void end_member(struct weft_fork *fork, struct weft__fork_member *member)
{
    member->was_over = run_is_over(member);
    weft__fork_ask_fini(&member->end);
    bool here = member->process == fork->rank->exec->process;
    Weft__Host__ForkEndRequest request = WEFT__HOST__FORK_END_REQUEST__INIT;
    request.token = fork->rank->exec->token;
    request.fork = fork->id;
    weft__fork_ask(fork->rank, &member->end,
                   &(struct weft__fork_question){.url = member->control,
                                                 .code = WEFT_CALL_FORK_END,
                                                 .request = &request.base,
                                                 .timeout_ms = here ? HERE_MS : CLOSE_MS});
}

/* Whether a member that was told has nothing of the fork any more. An end may overtake the order to
 * run, which has more to do before it begins; so it counts only when the order had been answered
 * before it was sent. Who cannot be reached may live all the same. */
static bool has_ended(const struct weft_fork *fork, const struct weft__fork_member *member)
{
    const struct weft__process *process = weft__process_find(fork->rank->exec, member->process);
    if (atomic_load(&process->dead) || member->end.err == WEFT_ESHUTDOWN)
        return true;
    return !member->end.err && member->was_over;
}

/* Waits until it has. Returns whether that is so. */
static bool await_end(struct weft_fork *fork, struct weft__fork_member *member)
{
    static const _Atomic uint32_t never;
    bool here = member->process == fork->rank->exec->process;
    uint64_t until_ns = weft__now_ns() + (here ? HERE_MS : CLOSE_MS) * WEFT_NS_PER_MS;
    while (weft__fork_await_quietly(fork->rank, &member->end.over, WEFT_NEVER)) {
        if (has_ended(fork, member))
            return true;
        uint64_t now_ns = weft__now_ns();
        if (member->end.err == WEFT_ETIMEDOUT || now_ns >= until_ns)
            return false;
        (void)weft__fork_await_quietly(fork->rank, member->end.err ? &never : &member->run.over,
                                       now_ns + AGAIN_MS * WEFT_NS_PER_MS);
        end_member(fork, member);
    }
    return true; /* the process ends, and all threads with it */
}

/* Tells all members that it is over. Returns how many have not ended: busy. */
static size_t end_members(struct weft_fork *fork)
{
    size_t n = 0;
    for (size_t i = 0; i < fork->members_n; i++)
        end_member(fork, &fork->members[i]);
    for (size_t i = 0; i < fork->members_n; i++)
        if (!await_end(fork, &fork->members[i]))
            fork->busy[n++] = fork->members[i].process;
    atomic_fetch_add(&fork->rank->exec->handovers, 1);
    return n;
}

static void give_slots_back(struct weft_fork *fork, size_t busy_n)
{
    const struct weft_exec *exec = fork->rank->exec;
    Weft__Host__ForkCloseRequest request = WEFT__HOST__FORK_CLOSE_REQUEST__INIT;
    request.app = exec->app;
    request.token = exec->token;
    request.fork = fork->id;
    request.busy = fork->busy;
    request.n_busy = busy_n;
    weft__fork_ask_fini(&fork->home);
    weft__fork_ask(fork->rank, &fork->home,
                   &(struct weft__fork_question){.url = exec->home,
                                                 .code = WEFT_CALL_FORK_CLOSE,
                                                 .request = &request.base,
                                                 .timeout_ms = GIVE_BACK_MS});
    bool over = weft__fork_await_quietly(fork->rank, &fork->home.over, WEFT_NEVER);
    if (over && fork->home.err && fork->home.err != WEFT_ESHUTDOWN)
        weft__warn("the slots of a fork of rank %d are not given back: %s", (int)fork->rank->number,
                   fork->home.text);
}

static void free_fork(struct weft_fork *fork)
{
    weft__fork_ask_fini(&fork->home);
    weft__fork_fetch_fini(&fork->fetch);
    for (size_t i = 0; i < fork->members_n; i++) {
        weft__fork_ask_fini(&fork->members[i].run);
        weft__fork_ask_fini(&fork->members[i].end);
    }
    weft__fork_unshare(fork);
    for (size_t i = 0; i < fork->members_n; i++) {
        free(fork->members[i].host);
        free(fork->members[i].control);
    }
    free(fork->members);
    free(fork->busy);
    free_memory(fork);
}

void weft_fork_close(struct weft_fork *fork)
{
    if (!fork)
        return;
    struct weft__rank *rank = fork->rank;
    give_slots_back(fork, end_members(fork));
    if (atomic_load(&rank->exec->closing))
        return; /* the process ends: weft__forks_free() has the rest */
    if (fork->running)
        weft__fork_restore(fork);
    pthread_mutex_lock(&rank->lock);
    if (--rank->cell->pins == 0)
        rank->cell->pin_reason[0] = 0;
    DL_DELETE(rank->forks, fork);
    pthread_mutex_unlock(&rank->lock);
    free_fork(fork);
}

void weft__forks_close(struct weft__rank *rank)
{
    while (rank->forks && !atomic_load(&rank->exec->closing))
        weft_fork_close(rank->forks);
}

void weft__forks_free(struct weft__rank *rank)
{
    struct weft_fork *fork, *next;
    DL_FOREACH_SAFE(rank->forks, fork, next)
    {
        DL_DELETE(rank->forks, fork);
        free_fork(fork);
    }
}

/* ---- what can be asked ---- */

uint32_t weft_fork_threads(const struct weft_fork *fork)
{
    return fork->threads_n;
}

const char *weft_fork_host(const struct weft_fork *fork, uint32_t thread)
{
    for (size_t i = 0; i < fork->members_n; i++)
        if (thread >= fork->members[i].first &&
            thread - fork->members[i].first < fork->members[i].threads)
            return fork->members[i].host;
    return NULL;
}

void weft_fork_count(const struct weft_fork *fork, struct weft_fork_counts *counts_out)
{
    *counts_out = fork->counts;
}
