/* Slots for ranks that fork: the home's part of a fork.
 *
 * Like the start of an app, in small: look, plan, lease, commit, launch. The leases are the app's,
 * so nobody can have a slot twice, and whatever ends the app on a host ends them too. A host
 * without a process of the app gets one that has no ranks; it stays when the fork is closed, ready
 * for the next one. What is moving under way belongs to plans (weftd_move.c), which know nothing of
 * forks, nor do forks of them: both only ask for processes on hosts.
 *
 * Answers find their fork by its id, and count only in the step that asked: a fork may have been
 * closed, or have begun anew, before they come.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "control/server.h"
#include "exec/fork_calls.h"
#include "host/calls.h"
#include "host/weftd_place.h"
#include "host/weftd_view.h"
#include "wire/message.h"

enum {
    OPEN_TRIES = 8,
    PAUSE_MS = 50,
    END_TIMEOUT_MS = 4000,
    LEASE_HOLD_MS = 20000,
    LEASE_TIMEOUT_MS = 3000,
    FORKS_MAX = 1024, /* of an app */
    KEY_MAX = 80,
};

struct member {
    uint32_t process;
    uint32_t threads;
    uint64_t *leases; /* threads */
};

enum state { LOOKING, LEASING, COMMITTING, LAUNCHING, OPEN, CLOSING };

struct weft_app_fork {
    struct weft_app_fork *prev, *next;
    uint64_t id;
    int32_t rank;
    uint32_t threads; /* wanted; 0: as many as there are */
    enum state state;
    struct member *members;
    size_t members_n;
    unsigned tries;
    uint64_t step;
    size_t awaited;
    int err;
    char text[256];
    struct weft_call *call; /* opens or closes it; NULL: nobody waits */
    struct weft_app *app;   /* for the timer */
    struct weft_timer again;
};

static void look(struct weft_app *app, struct weft_app_fork *fork);

static struct weft_app_fork *find(struct weft_app *app, uint64_t id)
{
    struct weft_app_fork *fork;
    DL_FOREACH(app->forks, fork)
    if (fork->id == id)
        return fork;
    return NULL;
}

static void forget_members(struct weft_app_fork *fork)
{
    for (size_t i = 0; i < fork->members_n; i++)
        free(fork->members[i].leases);
    free(fork->members);
    fork->members = NULL;
    fork->members_n = 0;
}

static void fork_free(struct weft_app *app, struct weft_app_fork *fork)
{
    DL_DELETE(app->forks, fork);
    weft__loop_timer_off(app->host->asker.loop, &fork->again);
    forget_members(fork);
    free(fork);
}

static void next_step(struct weft_app_fork *fork, enum state state)
{
    fork->state = state;
    fork->step++;
    fork->awaited = 0;
    fork->err = WEFT_OK;
}

/* ---- questions to hosts ---- */

typedef void member_answered(struct weft_app *app, struct weft_app_fork *fork,
                             struct member *member, const struct weft_app_answer *answer);

struct asked {
    struct weft_host *host;
    uint64_t app, fork, step;
    uint32_t process;
    member_answered *answered;
};

static void answered(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct asked *asked = ctx;
    struct weft_app *app = weft__weftd_app_find(asked->host, asked->app);
    struct weft_app_fork *fork = app != NULL ? find(app, asked->fork) : NULL;
    if (fork != NULL && fork->step == asked->step)
        for (size_t i = 0; i < fork->members_n; i++)
            if (fork->members[i].process == asked->process) {
                asked->answered(
                    app, fork, &fork->members[i],
                    &(struct weft_app_answer){.err = err, .text = text, .reply = reply});
                break;
            }
    free(asked);
}

/* answer NULL: nobody waits. */
static void ask_host(struct weft_app *app, struct weft_app_fork *fork, const struct member *member,
                     const struct weft_question *what, member_answered *answer)
{
    struct weft_question question = *what;
    question.url = weft__weftd_app_process(app, member->process)->host_control;
    if (question.timeout_ms == 0)
        question.timeout_ms = LEASE_TIMEOUT_MS;
    if (answer != NULL) {
        struct asked *asked = weft__must_alloc(1, sizeof(*asked));
        *asked = (struct asked){.host = app->host,
                                .app = app->id,
                                .fork = fork->id,
                                .step = fork->step,
                                .process = member->process,
                                .answered = answer};
        question.answered = answered;
        question.ctx = asked;
        fork->awaited++;
    }
    weft__ask(&app->host->asker, &question);
}

static const char *host_of(struct weft_app *app, const struct member *member)
{
    return weft__weftd_app_process(app, member->process)->host;
}

static void WEFT_PRINTF(3, 4) step_failed(struct weft_app_fork *fork, int err, const char *fmt, ...)
{
    va_list args;
    if (fork->err != WEFT_OK)
        return;
    fork->err = err;
    va_start(args, fmt);
    vsnprintf(fork->text, sizeof(fork->text), fmt, args);
    va_end(args);
}

static void end_leases(struct weft_app *app, struct weft_app_fork *fork,
                       const struct member *member, member_answered *answer)
{
    Weft__Host__LeaseEndRequest end = WEFT__HOST__LEASE_END_REQUEST__INIT;
    end.app = app->id;
    end.token = app->token;
    end.leases = member->leases;
    end.n_leases = member->threads;
    if (member->threads > 0 && !weft__weftd_app_process(app, member->process)->dead)
        ask_host(app, fork, member,
                 &(struct weft_question){.code = WEFT_CALL_LEASE_END, .request = &end.base},
                 answer);
}

static void give_all_back(struct weft_app *app, struct weft_app_fork *fork)
{
    for (size_t i = 0; i < fork->members_n; i++)
        end_leases(app, fork, &fork->members[i], NULL);
}

static void pause_and_look(struct weft_app *app, struct weft_app_fork *fork)
{
    next_step(fork, LOOKING);
    weft__loop_timer(app->host->asker.loop, &fork->again,
                     weft__now_ns() + PAUSE_MS * WEFT_NS_PER_MS);
}

/* A rank may fork before all others have said that they run: the app is starting until then. */
static void paused(struct weft_timer *timer)
{
    struct weft_app_fork *fork = weft__loop_owner(timer, struct weft_app_fork, again);
    if (fork->app->state == WEFT_APP_STARTING)
        pause_and_look(fork->app, fork);
    else
        look(fork->app, fork);
}

/* Cannot be opened: for good, or a little later, because hosts have changed since they were looked
 * at. The fork may be gone when this returns. */
static void give_up(struct weft_app *app, struct weft_app_fork *fork, int err, const char *text)
{
    struct weft_call *call = fork->call;
    char copy[256];
    snprintf(copy, sizeof(copy), "%s", text);
    give_all_back(app, fork);
    if (fork->state != LOOKING && fork->tries < OPEN_TRIES) {
        pause_and_look(app, fork);
        return;
    }
    fork_free(app, fork);
    weft__call_fail(call, err, copy);
}

/* A rank that forks as often before is placed alike, where it wants that. */
static void name(const struct weft_app_fork *fork, char key[KEY_MAX])
{
    snprintf(key, KEY_MAX, "fork %" PRIx64 " %d %u", fork->app->id, (int)fork->rank, fork->threads);
}

static void keep(struct weft_app *app, const struct weft_app_fork *fork)
{
    char key[KEY_MAX];
    size_t n = 0;
    if (app->hint != WEFT_HINT_CACHED || fork->threads == 0)
        return;
    const char **hosts = weft__must_alloc(fork->members_n, sizeof(*hosts));
    uint32_t *thread_host = weft__must_alloc(fork->threads, sizeof(*thread_host));
    for (size_t i = 0; i < fork->members_n; i++) {
        hosts[i] = host_of(app, &fork->members[i]);
        for (uint32_t k = 0; k < fork->members[i].threads; k++)
            thread_host[n++] = (uint32_t)i;
    }
    name(fork, key);
    weft__weftd_place_keep_key(
        app->host, key,
        &(struct weft_placement_kept){
            .hosts = hosts, .hosts_n = fork->members_n, .host_of = thread_host, .ranks = n});
    free(hosts);
    free(thread_host);
}

/* ---- launch ---- */

static void answer_open(struct weft_app *app, struct weft_app_fork *fork)
{
    Weft__Host__ForkOpenReply reply = WEFT__HOST__FORK_OPEN_REPLY__INIT;
    Weft__Host__ForkMember *items = weft__must_alloc(fork->members_n, sizeof(*items));
    struct weft_call *call = fork->call;
    reply.members = weft__must_alloc(fork->members_n, sizeof(*reply.members));
    for (size_t i = 0; i < fork->members_n; i++) {
        struct weft_app_process *process = weft__weftd_app_process(app, fork->members[i].process);
        weft__host__fork_member__init(&items[i]);
        items[i].process = process->number;
        items[i].host = process->host;
        items[i].control = process->control;
        items[i].lane = process->lane;
        items[i].threads = fork->members[i].threads;
        reply.members[i] = &items[i];
    }
    reply.n_members = fork->members_n;
    keep(app, fork);
    next_step(fork, OPEN);
    fork->call = NULL;
    weft__call_reply(call, &reply.base);
    free(reply.members);
    free(items);
}

/* Whether all processes run; starts those that nobody has started. */
static void go_on(struct weft_app *app, struct weft_app_fork *fork)
{
    bool all = true;
    for (size_t i = 0; i < fork->members_n; i++) {
        struct weft_app_process *process = weft__weftd_app_process(app, fork->members[i].process);
        if (process->dead) {
            give_up(app, fork, WEFT_EPEERDEAD, process->why);
            return;
        }
        all = all && process->launched;
        if (!process->launched && !process->launching)
            weft__weftd_app_launch(app, process);
    }
    if (all)
        answer_open(app, fork);
}

void weft__weftd_forks_launched(struct weft_app *app, uint32_t number, int err, const char *text)
{
    struct weft_app_fork *fork, *next;
    DL_FOREACH_SAFE(app->forks, fork, next)
    for (size_t i = 0; fork->state == LAUNCHING && i < fork->members_n; i++) {
        char whole[256];
        if (fork->members[i].process != number)
            continue;
        if (err == WEFT_OK) {
            go_on(app, fork);
        } else {
            snprintf(whole, sizeof(whole), "host %s: %s", host_of(app, &fork->members[i]), text);
            give_up(app, fork, err, whole);
        }
        break;
    }
}

/* ---- lease ---- */

static void committed(struct weft_app *app, struct weft_app_fork *fork, struct member *member,
                      const struct weft_app_answer *answer)
{
    if (answer->err != WEFT_OK)
        step_failed(fork, answer->err, "host %s: %s", host_of(app, member), answer->text);
    if (--fork->awaited > 0)
        return;
    if (fork->err != WEFT_OK) {
        give_up(app, fork, fork->err, fork->text);
        return;
    }
    next_step(fork, LAUNCHING);
    go_on(app, fork);
}

static void commit_all(struct weft_app *app, struct weft_app_fork *fork)
{
    next_step(fork, COMMITTING);
    for (size_t i = 0; i < fork->members_n; i++) {
        Weft__Host__LeaseCommitRequest commit = WEFT__HOST__LEASE_COMMIT_REQUEST__INIT;
        commit.app = app->id;
        commit.token = app->token;
        commit.leases = fork->members[i].leases;
        commit.n_leases = fork->members[i].threads;
        ask_host(app, fork, &fork->members[i],
                 &(struct weft_question){.code = WEFT_CALL_LEASE_COMMIT, .request = &commit.base},
                 committed);
    }
}

/* Those that got nothing are no members. */
static void drop_empty(struct weft_app_fork *fork)
{
    size_t n = 0;
    for (size_t i = 0; i < fork->members_n; i++) {
        if (fork->members[i].threads > 0)
            fork->members[n++] = fork->members[i];
        else
            free(fork->members[i].leases);
    }
    fork->members_n = n;
}

static void leased(struct weft_app *app, struct weft_app_fork *fork, struct member *member,
                   const struct weft_app_answer *answer)
{
    const Weft__Host__LeaseReply *reply = (const Weft__Host__LeaseReply *)answer->reply;
    if (answer->err != WEFT_OK)
        step_failed(fork, answer->err, "host %s gives no slots: %s", host_of(app, member),
                    answer->text);
    else if (reply->granted < member->threads && fork->threads != 0)
        step_failed(fork, WEFT_ENOSLOTS, "host %s has fewer free slots than it had",
                    host_of(app, member));
    else if (reply->granted < member->threads)
        member->threads = reply->granted; /* granted in their order */
    if (--fork->awaited > 0)
        return;
    if (fork->err == WEFT_OK) {
        drop_empty(fork);
        if (fork->members_n == 0)
            step_failed(fork, WEFT_ENOSLOTS, "there is no free slot");
    }
    if (fork->err == WEFT_OK)
        commit_all(app, fork);
    else
        give_up(app, fork, fork->err, fork->text);
}

static void lease_all(struct weft_app *app, struct weft_app_fork *fork)
{
    next_step(fork, LEASING);
    for (size_t i = 0; i < fork->members_n; i++) {
        const struct member *member = &fork->members[i];
        Weft__Host__LeaseRequest lease = WEFT__HOST__LEASE_REQUEST__INIT;
        lease.app = app->id;
        lease.token = app->token;
        lease.leases = member->leases;
        lease.n_leases = member->threads;
        lease.hold_ms = LEASE_HOLD_MS;
        lease.overcommit = app->request->oversubscribe && fork->threads != 0 &&
                           strcmp(host_of(app, member), app->host->name) == 0;
        lease.home = app->host->name;
        lease.tenant = app->request->tenant;
        lease.apart = app->policy == WEFT_POLICY_COMPACT;
        lease.home_control = app->host->control;
        ask_host(app, fork, member,
                 &(struct weft_question){.code = WEFT_CALL_LEASE,
                                         .request = &lease.base,
                                         .reply_type = &weft__host__lease_reply__descriptor},
                 leased);
    }
}

/* ---- look and plan ---- */

/* The number of the app's process on a host, which may have to be launched. */
static uint32_t process_on(struct weft_app *app, const struct weft_member *member)
{
    const struct weft_app_process *process = weft__weftd_app_process_on(app, member->at.name);
    return process != NULL ? process->number : weft__weftd_app_process_add(app, member)->number;
}

static void draw_leases(struct member *member)
{
    member->leases = weft__must_alloc(member->threads, sizeof(*member->leases));
    for (uint32_t i = 0; i < member->threads; i++)
        if (getrandom(&member->leases[i], sizeof(*member->leases), 0) != sizeof(*member->leases))
            abort(); /* cannot fail once the machine has booted */
}

static void place(struct weft_app *app, struct weft_app_fork *fork, const struct weft_view *view,
                  const uint32_t *hosts, size_t n)
{
    size_t *at = weft__must_alloc(view->n, sizeof(*at)); /* by host: member + 1 */
    forget_members(fork);
    fork->members = weft__must_alloc(view->n, sizeof(*fork->members));
    for (size_t i = 0; i < n; i++) {
        uint32_t host = hosts[i];
        if (at[host] == 0) {
            fork->members[fork->members_n].process = process_on(app, view->members[host]);
            at[host] = ++fork->members_n;
        }
        fork->members[at[host] - 1].threads++;
    }
    for (size_t i = 0; i < fork->members_n; i++)
        draw_leases(&fork->members[i]);
    free(at);
}

static size_t all_free(const struct weft_view *view)
{
    size_t n = 0;
    for (size_t i = 0; i < view->n; i++)
        n += weft__plan_host_free(&view->hosts[i]);
    return n < WEFT_FORK_THREADS_MAX ? n : WEFT_FORK_THREADS_MAX;
}

/* Ranks of the app on each host, and threads of its forks. */
static void count_ours(struct weft_app *app, struct weft_view *view)
{
    struct weft_app_fork *fork;
    uint32_t *ours = weft__must_alloc(app->processes_n + 1, sizeof(*ours)); /* by number */
    DL_FOREACH(app->forks, fork)
    for (size_t i = 0; i < fork->members_n; i++)
        ours[fork->members[i].process] += fork->members[i].threads;
    for (size_t i = 0; i < app->processes_n; i++) {
        const struct weft_app_process *process = &app->processes[i];
        size_t host = weft__weftd_view_find(view, process->host);
        if (process->dead || host == view->n)
            continue;
        view->hosts[host].has_app = true;
        view->hosts[host].ours += process->ranks + ours[process->number];
    }
    free(ours);
}

/* The rank's own host comes first, then those with most of the app. */
static int plan(struct weft_app *app, struct weft_app_fork *fork)
{
    struct weft_view view;
    char key[KEY_MAX];
    weft__weftd_view_init(&view, app);
    const char *here = weft__weftd_app_process(app, app->ranks[fork->rank].process)->host;
    bool at_home = strcmp(here, app->host->name) == 0;
    struct weft_decide ask = {.hosts = view.hosts,
                              .hosts_n = view.n,
                              .home = weft__weftd_view_find(&view, here),
                              .ranks = fork->threads != 0 ? fork->threads : all_free(&view),
                              .scale = true,
                              .hint = app->hint,
                              .overcommit = app->request->oversubscribe && at_home
                                                ? WEFT_OVERCOMMIT_HOME
                                                : WEFT_OVERCOMMIT_NONE};
    count_ours(app, &view);
    if (app->hint == WEFT_HINT_FORCE_LOCAL && fork->threads == 0 && ask.home < view.n)
        ask.ranks = weft__plan_host_free(&view.hosts[ask.home]);
    int err = ask.home < view.n
                  ? WEFT_OK
                  : weft_fail(WEFT_EREGISTRY, "host %s is not in the registry's list", here);
    if (err == WEFT_OK && ask.ranks == 0)
        err = weft_fail(WEFT_ENOSLOTS, "there is no free slot");
    uint32_t *hosts = weft__must_alloc(ask.ranks, sizeof(*hosts));
    name(fork, key);
    if (err == WEFT_OK)
        err = weft__weftd_place_by_key(app->host, key, &view, &ask, hosts);
    if (err == WEFT_ENOSLOTS && fork->threads != 0)
        err = weft_fail(err,
                        "a fork of %u threads does not find as many free slots; %zu are free on "
                        "all %zu hosts; ask for fewer threads, or add hosts",
                        fork->threads, all_free(&view), view.n);
    if (err == WEFT_OK)
        place(app, fork, &view, hosts, ask.ranks);
    free(hosts);
    weft__weftd_view_fini(&view);
    return err;
}

struct looking {
    struct weft_host *host;
    uint64_t app, fork, step;
};

static void looked(void *ctx, int err, const char *text)
{
    struct looking *looking = ctx;
    struct weft_app *app = weft__weftd_app_find(looking->host, looking->app);
    struct weft_app_fork *fork = app != NULL ? find(app, looking->fork) : NULL;
    bool ours = fork != NULL && fork->step == looking->step;
    free(looking);
    if (!ours)
        return;
    if (err != WEFT_OK) {
        give_up(app, fork, WEFT_EREGISTRY, text);
        return;
    }
    err = plan(app, fork);
    if (err == WEFT_OK)
        lease_all(app, fork);
    else
        give_up(app, fork, err, weft_fail_text(err));
}

static void look(struct weft_app *app, struct weft_app_fork *fork)
{
    struct looking *looking = weft__must_alloc(1, sizeof(*looking));
    forget_members(fork);
    next_step(fork, LOOKING);
    fork->tries++;
    *looking =
        (struct looking){.host = app->host, .app = app->id, .fork = fork->id, .step = fork->step};
    weft__weftd_refresh(app->host, looked, looking);
}

static int check_open(struct weft_app *app, const Weft__Host__ForkOpenRequest *request)
{
    struct weft_app_fork *other;
    size_t n;
    DL_COUNT(app->forks, other, n);
    if (app->state > WEFT_APP_RUNNING)
        return weft_fail(WEFT_ESHUTDOWN, "app %" PRIx64 " is ending", app->id);
    if (weft__weftd_freeze_busy(app))
        return weft_fail(WEFT_EAGAIN, "app %" PRIx64 " is being frozen", app->id);
    if (request->rank < 0 || (uint32_t)request->rank >= app->size ||
        app->ranks[request->rank].ended)
        return weft_fail(WEFT_EINVAL, "app %" PRIx64 " has no rank %d that runs", app->id,
                         request->rank);
    if (request->threads > WEFT_FORK_THREADS_MAX)
        return weft_fail(WEFT_EINVAL, "a fork has at most %u threads", WEFT_FORK_THREADS_MAX);
    if (n >= FORKS_MAX)
        return weft_fail(WEFT_EAGAIN, "app %" PRIx64 " has %zu forks open already", app->id, n);
    return find(app, request->fork) == NULL ? WEFT_OK
                                            : weft_fail(WEFT_EEXIST, "the fork is open already");
}

void weft__weftd_on_fork_open(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__Host__ForkOpenRequest *request = (const Weft__Host__ForkOpenRequest *)message;
    struct weft_app *app = weft__weftd_app_of(ctx, request->app, request->token, call);
    if (app == NULL)
        return;
    int err = check_open(app, request);
    if (err != WEFT_OK) {
        weft__call_fail(call, err, weft_fail_text(err));
        return;
    }
    struct weft_app_fork *fork = weft__must_alloc(1, sizeof(*fork));
    fork->id = request->fork;
    fork->rank = request->rank;
    fork->threads = request->threads;
    fork->call = call;
    fork->app = app;
    fork->again.fire = paused;
    DL_APPEND(app->forks, fork);
    if (app->state == WEFT_APP_STARTING)
        pause_and_look(app, fork);
    else
        look(app, fork);
}

/* ---- close ---- */

static void closed(struct weft_app *app, struct weft_app_fork *fork)
{
    struct weft_call *call = fork->call;
    fork_free(app, fork);
    if (call != NULL)
        weft__call_reply(call, NULL);
}

static void member_ended(struct weft_app *app, struct weft_app_fork *fork, struct member *member,
                         const struct weft_app_answer *answer)
{
    if (answer->err != WEFT_OK)
        weft__warn("app %" PRIx64 ": host %s does not give slots of a fork back: %s", app->id,
                   host_of(app, member), answer->text);
    if (--fork->awaited == 0)
        closed(app, fork);
}

static bool used_by_others(struct weft_app *app, const struct weft_app_fork *fork, uint32_t process)
{
    struct weft_app_fork *other;
    DL_FOREACH(app->forks, other)
    for (size_t i = 0; other != fork && i < other->members_n; i++)
        if (other->members[i].process == process)
            return true;
    return false;
}

static bool is_busy(const Weft__Host__ForkCloseRequest *request, uint32_t process)
{
    for (size_t i = 0; request != NULL && i < request->n_busy; i++)
        if (request->busy[i] == process)
            return true;
    return false;
}

/* Whether ranks, a move or another fork would be lost with the process. */
static bool is_needed(struct weft_app *app, const struct weft_app_fork *fork,
                      const struct weft_app_process *process)
{
    const struct weft_app_plan *plan = app->plan;
    bool moves = plan != NULL && plan->moving &&
                 (plan->from == process->number || plan->to == process->number);
    return process->ranks > 0 || moves || used_by_others(app, fork, process->number);
}

/* Its threads do not end: the process goes, unless others need it. Its slots are free when it is
 * gone, or when the app ends. */
static void end_busy(struct weft_app *app, struct weft_app_fork *fork, struct member *member)
{
    struct weft_app_process *process = weft__weftd_app_process(app, member->process);
    Weft__Host__EndRequest end = WEFT__HOST__END_REQUEST__INIT;
    if (process->dead || is_needed(app, fork, process))
        return;
    end.app = app->id;
    end.token = app->token;
    end.reason = weft__message_text("threads of a closed fork did not end");
    ask_host(app, fork, member,
             &(struct weft_question){
                 .code = WEFT_CALL_END, .request = &end.base, .timeout_ms = END_TIMEOUT_MS},
             member_ended);
    weft__weftd_app_process_dead(app, process, WEFT_EAPP, end.reason);
}

/* request: of who closes it; NULL: its rank has ended. */
static void close_fork(struct weft_app *app, struct weft_app_fork *fork, struct weft_call *call,
                       const Weft__Host__ForkCloseRequest *request)
{
    if (fork->call != NULL) /* it is still being opened */
        weft__call_fail(fork->call, WEFT_ECANCELED, "the fork has been closed");
    weft__loop_timer_off(app->host->asker.loop, &fork->again);
    next_step(fork, CLOSING);
    fork->call = call;
    for (size_t i = 0; i < fork->members_n; i++)
        if (is_busy(request, fork->members[i].process))
            end_busy(app, fork, &fork->members[i]);
        else
            end_leases(app, fork, &fork->members[i], member_ended);
    if (fork->awaited == 0)
        closed(app, fork);
}

void weft__weftd_on_fork_close(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__Host__ForkCloseRequest *request = (const Weft__Host__ForkCloseRequest *)message;
    struct weft_app *app = weft__weftd_app_of(ctx, request->app, request->token, call);
    if (app == NULL)
        return;
    struct weft_app_fork *fork = find(app, request->fork);
    if (fork != NULL && fork->state != CLOSING)
        close_fork(app, fork, call, request);
    else /* its rank has ended, and it is closed or will be soon */
        weft__call_reply(call, NULL);
}

void weft__weftd_forks_rank_ended(struct weft_app *app, int32_t rank)
{
    struct weft_app_fork *fork, *next;
    DL_FOREACH_SAFE(app->forks, fork, next)
    if (fork->rank == rank && fork->state != CLOSING)
        close_fork(app, fork, NULL, NULL);
}

void weft__weftd_forks_free(struct weft_app *app, const char *reason)
{
    struct weft_app_fork *fork, *next;
    DL_FOREACH_SAFE(app->forks, fork, next)
    {
        struct weft_call *call = fork->call;
        fork_free(app, fork);
        if (call != NULL)
            weft__call_fail(call, WEFT_ESHUTDOWN, reason);
    }
}

void weft__weftd_on_fork_why(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__Host__ForkWhyRequest *request = (const Weft__Host__ForkWhyRequest *)message;
    struct weft_app *app = weft__weftd_app_of(ctx, request->app, request->token, call);
    if (app == NULL)
        return;
    Weft__Host__ForkWhyReply reply = WEFT__HOST__FORK_WHY_REPLY__INIT;
    struct weft_app_process *process = weft__weftd_app_process(app, request->process);
    if (process != NULL && process->dead) {
        reply.dead = true;
        reply.text = weft__message_text(process->why);
    }
    weft__call_reply(call, &reply.base);
}
