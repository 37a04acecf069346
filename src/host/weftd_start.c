/* From a request to running ranks: look, plan, lease, launch, tell routes, start.
 *
 * Each step asks all hosts concerned at once and goes on when all have answered. The plan is made
 * from a fresh list, but only the leases make it true: a host that grants less than planned gives
 * everything back and the app plans anew, a few times. Whatever fails ends the app, which tells
 * every host that it was asked.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "control/server.h"
#include "host/calls.h"
#include "host/weftd_cpu.h"
#include "host/weftd_events.h"
#include "host/weftd_place.h"
#include "host/weftd_view.h"
#include "link/address.h"
#include "link/lanes.h"

enum {
    START_TRIES = 4,
    LEASE_HOLD_MS = 20000,
    LEASE_TIMEOUT_MS = 3000,
    LAUNCH_TIMEOUT_MS = 8000,
    START_TIMEOUT_MS = 10000,
    WHY_MS = 2000,
    LISTED_WITHIN_MS = 5000, /* after its host was declared dead: until it has joined again */
    LISTED_LOOK_MS = 50,
    MISFIT_MAX = 256
};

/* Notes the first failure of a step. */
static void WEFT_PRINTF(3, 4) step_failed(struct weft_app *app, int err, const char *fmt, ...)
{
    va_list args;
    if (app->step_err != WEFT_OK)
        return;
    app->step_err = err;
    va_start(args, fmt);
    vsnprintf(app->step_text, sizeof(app->step_text), fmt, args);
    va_end(args);
}

/* What cannot be started ends; what cannot be thawed stays where it is. */
static void give_up(struct weft_app *app, int err, const char *text)
{
    if (app->state == WEFT_APP_THAWING)
        weft__weftd_freeze_placed(app, err, text);
    else
        weft__weftd_app_end(app, err, 1, "%s", text);
}

static void end_by_step(struct weft_app *app)
{
    char text[sizeof(app->step_text)];
    memcpy(text, app->step_text, sizeof(text));
    give_up(app, app->step_err, text);
}

/* ---- look and plan ---- */

struct weft_app_process *weft__weftd_app_process_add(struct weft_app *app,
                                                     const struct weft_member *member)
{
    app->processes = weft__must_grow(app->processes, app->processes_n + 1, sizeof(*app->processes));
    struct weft_app_process *process = &app->processes[app->processes_n++];
    memset(process, 0, sizeof(*process));
    process->number = (uint32_t)app->processes_n;
    process->heard_ns = weft__now_ns();
    weft__host__exec_stats__init(&process->stats);
    snprintf(process->host, sizeof(process->host), "%s", member->at.name);
    snprintf(process->host_control, sizeof(process->host_control), "%s", member->at.control);
    return process;
}

/* Each rank that has not ended has a host in host_of, in order. Those that have ended go along with
 * the first: they need no slot. */
static void place(struct weft_app *app, const struct weft_view *view, const uint32_t *host_of)
{
    uint32_t *numbers = weft__must_alloc(view->n, sizeof(*numbers)); /* by host */
    app->processes_n = app->first_process; /* of an earlier try: none of them was launched */
    for (uint32_t r = 0; r < app->size; r++) {
        struct weft_app_rank *rank = &app->ranks[r];
        if (rank->ended)
            continue;
        const uint32_t host = *host_of++;
        if (numbers[host] == 0)
            numbers[host] = weft__weftd_app_process_add(app, view->members[host])->number;
        rank->process = numbers[host];
        weft__weftd_app_process(app, rank->process)->ranks++;
        if (getrandom(&rank->lease, sizeof(rank->lease), 0) != sizeof(rank->lease))
            abort(); /* cannot fail once the machine has booted */
    }
    for (uint32_t r = 0; r < app->size; r++)
        if (app->ranks[r].ended)
            app->ranks[r].process = (uint32_t)app->first_process + 1;
    free(numbers);
}

/* The host of each rank that has not ended.  host_of: room for app->size. */
static int decide(const struct weft_app *app, const struct weft_view *view, uint32_t *host_of)
{
    struct weft_decide ask = {.hosts = view->hosts,
                              .hosts_n = view->n,
                              .home = weft__weftd_view_find(view, app->host->name),
                              .ranks = app->size - app->ranks_ended,
                              .hint = app->hint,
                              .overcommit = app->request->oversubscribe ? WEFT_OVERCOMMIT_HOME
                                                                        : WEFT_OVERCOMMIT_NONE};
    if (ask.home == view->n)
        return weft_fail(WEFT_EREGISTRY,
                         "the registry has declared host %s dead, and it has not joined again "
                         "within %d s",
                         app->host->name, LISTED_WITHIN_MS / 1000);
    if (app->state != WEFT_APP_STARTING) /* thawed, it goes where there is room */
        return weft__decide(&ask, host_of, NULL);
    return weft__weftd_place(app, view, &ask, host_of);
}

/* An error of decide, which does not know why hosts are closed. */
static int explain(const struct weft_app *app, const struct weft_view *view, int err)
{
    size_t closed = 0;
    if (err != WEFT_ENOSLOTS)
        return err;
    for (size_t i = 0; i < view->n; i++)
        closed += view->hosts[i].closed;
    if (closed > view->lacking)
        err = weft_fail(err, "%s; %zu hosts are kept apart from tenant %s", weft_fail_text(err),
                        closed - view->lacking, app->request->tenant);
    if (view->lacking > 0)
        err = weft_fail(err, "%s; the processors of %zu hosts lack features that it uses",
                        weft_fail_text(err), view->lacking);
    return err;
}

static int plan(struct weft_app *app)
{
    struct weft_view view;
    weft__weftd_view_init(&view, app);
    uint32_t *host_of = weft__must_alloc(app->size, sizeof(*host_of));
    int err = explain(app, &view, decide(app, &view, host_of));
    if (err == WEFT_OK)
        place(app, &view, host_of);
    free(host_of);
    weft__weftd_view_fini(&view);
    return err;
}

bool weft__weftd_app_has_room(const struct weft_app *app)
{
    struct weft_view view;
    weft__weftd_view_init(&view, app);
    uint32_t *host_of = weft__must_alloc(app->size, sizeof(*host_of));
    int err = decide(app, &view, host_of);
    free(host_of);
    weft__weftd_view_fini(&view);
    return err == WEFT_OK;
}

/* ---- start ---- */

static void why_fired(struct weft_timer *timer)
{
    end_by_step(weft__loop_owner(timer, struct weft_app, step_timer));
}

/* A process that broke the connection has died, most likely in the program's first lines: its host
 * knows of what, and tells. */
static void start_failed(struct weft_app *app)
{
    if (weft_error_damage(app->step_err) != WEFT_DAMAGE_PEER) {
        end_by_step(app);
        return;
    }
    app->step_timer.fire = why_fired;
    weft__loop_timer(app->host->asker.loop, &app->step_timer,
                     weft__now_ns() + WHY_MS * WEFT_NS_PER_MS);
}

/* Ranks that follow each other in one process are one event; ended ones are nowhere. */
void weft__weftd_tell_placed(struct weft_app *app)
{
    for (uint32_t r = 0, n; r < app->size; r += n) {
        const struct weft_app_process *process =
            weft__weftd_app_process(app, app->ranks[r].process);
        n = 1;
        if (process == NULL || app->ranks[r].ended)
            continue;
        while (r + n < app->size && app->ranks[r + n].process == process->number &&
               !app->ranks[r + n].ended)
            n++;
        weft__weftd_event(app->host,
                          &(struct weft_event_note){.kind = WEFT_EVENT_RANK_PLACED,
                                                    .app = app->id,
                                                    .rank = (int32_t)r,
                                                    .n = {n, process->number, process->pid},
                                                    .text = {process->host}});
    }
}

static void tell_started(struct weft_app *app)
{
    weft__info("app %llx runs: %u ranks of %s on %zu hosts", (unsigned long long)app->id, app->size,
               app->request->program, app->processes_n);
    weft__weftd_event(app->host, &(struct weft_event_note){.kind = WEFT_EVENT_APP_STARTED,
                                                           .app = app->id,
                                                           .rank = WEFT_EVENT_NO_RANK,
                                                           .n = {app->size, app->processes_n,
                                                                 weft__now_ns() - app->started_ns},
                                                           .text = {app->request->program}});
}

static void started(struct weft_app *app, struct weft_app_process *process,
                    const struct weft_app_answer *answer)
{
    if (answer->err != WEFT_OK)
        step_failed(app, answer->err, "its ranks on host %s do not start: %s", process->host,
                    answer->text);
    if (--app->awaited > 0)
        return;
    if (app->step_err != WEFT_OK) {
        start_failed(app);
        return;
    }
    app->state = WEFT_APP_RUNNING;
    weft__weftd_place_keep(app);
    tell_started(app);
    weft__weftd_check_start(app);
}

static void answer_run(struct weft_app *app)
{
    Weft__Host__RunReply answer = WEFT__HOST__RUN_REPLY__INIT;
    answer.app = app->id;
    weft__call_reply(app->run_call,
                     &answer.base); /* from here on the client learns all by waiting */
    app->run_call = NULL;
}

static void start_ranks(struct weft_app *app)
{
    Weft__Host__StartRequest start = WEFT__HOST__START_REQUEST__INIT;
    start.token = app->token;
    answer_run(app);
    weft__weftd_app_next_step(app);
    weft__weftd_tell_placed(app);
    for (uint32_t r = 0; r < app->size; r++) {
        struct weft_app_rank *rank = &app->ranks[r];
        const struct weft_app_process *process = weft__weftd_app_process(app, rank->process);
        memcpy(rank->first_host, process->host, sizeof(rank->first_host));
        rank->first_pid = process->pid;
    }
    for (size_t i = 0; i < app->processes_n; i++) {
        /* Same connection, in order: the routes arrive before the start. */
        weft__weftd_routes_all(app, &app->processes[i]);
        app->awaited++;
        weft__weftd_app_ask(app, &(struct weft_app_question){.process = app->processes[i].number,
                                                             .code = WEFT_CALL_START,
                                                             .request = &start.base,
                                                             .timeout_ms = START_TIMEOUT_MS,
                                                             .answered = started});
    }
}

/* ---- launch ---- */

static void launched_to_start(struct weft_app *app, const struct weft_app_process *process,
                              const struct weft_app_answer *answer)
{
    if (answer->err != WEFT_OK)
        step_failed(app, answer->err, "host %s: %s", process->host, answer->text);
    if (--app->awaited > 0)
        return;
    if (app->step_err != WEFT_OK)
        end_by_step(app);
    else if (app->state == WEFT_APP_THAWING)
        weft__weftd_freeze_placed(app, WEFT_OK, "");
    else
        start_ranks(app);
}

static void launched_to_join(struct weft_app *app, struct weft_app_process *process,
                             const struct weft_app_answer *answer)
{
    if (answer->err == WEFT_OK) {
        weft__weftd_routes_joined(app, process->number);
    } else {
        process->dead = true;                    /* its number is not used again, */
        weft__weftd_app_end_stray(app, process); /* and should it run after all, it ends */
    }
    const uint32_t number = process->number;
    weft__weftd_plan_launched(app, process, answer->err, answer->text);
    weft__weftd_forks_launched(app, number, answer->err, answer->text);
}

/* Whether two processes of one app can reach each other; text: why not. */
static bool lanes_fit(const struct weft_app_process *other, const Weft__Host__LaunchReply *reply,
                      char text[MISFIT_MAX])
{
    unsigned own = weft__lanes_count(reply->lane), theirs = weft__lanes_count(other->lane);
    if (own != theirs)
        snprintf(text, MISFIT_MAX, "it has %u data lanes, host %s has %u; set WEFT_LANES alike",
                 own, other->host, theirs);
    else if (!weft__address_meet(other->lane, reply->lane))
        snprintf(text, MISFIT_MAX,
                 "its data transport is %s, that of host %s %s; set WEFT_DATA alike",
                 reply->transport, other->host, other->transport);
    else
        return true;
    return false;
}

/* Why a process cannot be one of the app, or NULL; text is room for it. */
static const char *lane_misfit(const struct weft_app *app, const struct weft_app_process *process,
                               const Weft__Host__LaunchReply *reply, char text[MISFIT_MAX])
{
    for (size_t i = 0; i < app->processes_n; i++) {
        const struct weft_app_process *other = &app->processes[i];
        if (other == process || other->dead)
            continue;
        if (strcmp(reply->transport, "inproc") == 0)
            return "data transport inproc works on one host only; choose another WEFT_DATA";
        if (other->launched && !lanes_fit(other, reply, text))
            return text;
    }
    return NULL;
}

static void launched(struct weft_app *app, struct weft_app_process *process,
                     const struct weft_app_answer *told)
{
    const Weft__Host__LaunchReply *reply = (const Weft__Host__LaunchReply *)told->reply;
    struct weft_app_answer verdict = *told;
    const struct weft_app_answer *answer = &verdict;
    char text[MISFIT_MAX];
    const char *misfit = told->err == WEFT_OK ? lane_misfit(app, process, reply, text) : NULL;
    if (misfit != NULL) {
        verdict.err = WEFT_ENOTSUP;
        verdict.text = misfit;
    }
    process->launching = false;
    if (answer->err == WEFT_OK) {
        snprintf(process->control, sizeof(process->control), "%s", reply->control);
        snprintf(process->lane, sizeof(process->lane), "%s", reply->lane);
        snprintf(process->transport, sizeof(process->transport), "%s", reply->transport);
        process->pid = reply->pid;
        app->cells = reply->cells;
        process->launched = true;
    }
    bool starts = app->state == WEFT_APP_STARTING ||
                  (app->state == WEFT_APP_THAWING && process->number > app->first_process);
    if (starts)
        launched_to_start(app, process, answer);
    else if (app->state == WEFT_APP_RUNNING)
        launched_to_join(app, process, answer);
    else if (app->state < WEFT_APP_ENDING) /* it comes late: the app is frozen by now */
        weft__weftd_app_end_stray(app, process);
}

void weft__weftd_app_launch(struct weft_app *app, struct weft_app_process *process)
{
    const Weft__Host__RunRequest *request = app->request;
    Weft__Host__LaunchRequest launch = WEFT__HOST__LAUNCH_REQUEST__INIT;
    launch.thaws = app->state == WEFT_APP_THAWING;
    launch.ranks = weft__must_alloc(process->ranks, sizeof(*launch.ranks));
    for (uint32_t r = 0; r < app->size && !launch.thaws && launch.n_ranks < process->ranks; r++)
        if (app->ranks[r].process == process->number)
            launch.ranks[launch.n_ranks++] = (int32_t)r;
    launch.app = app->id;
    launch.process = process->number;
    launch.token = app->token;
    launch.call_token = app->call_token;
    launch.program = request->program;
    launch.args = request->args;
    launch.n_args = request->n_args;
    launch.env = request->env;
    launch.n_env = request->n_env;
    launch.cwd = request->cwd;
    launch.size = app->size;
    launch.stride = app->stride;
    launch.home_name = app->host->name;
    launch.trace = request->trace;
    launch.torture_move = request->torture_move;
    launch.torture_seed = request->torture_seed;
    launch.has_input = request->has_input;
    launch.input_rank = request->input_rank;
    launch.processes = request->processes;
    launch.registry_log = app->registry_log;
    launch.cpu = app->cpu;
    process->launching = true;
    weft__weftd_app_ask(
        app, &(struct weft_app_question){.process = process->number,
                                         .to_host = true,
                                         .whenever = true,
                                         .code = WEFT_CALL_LAUNCH,
                                         .request = &launch.base,
                                         .reply_type = &weft__host__launch_reply__descriptor,
                                         .timeout_ms = LAUNCH_TIMEOUT_MS,
                                         .answered = launched});
    free(launch.ranks);
}

static void launch_all(struct weft_app *app)
{
    weft__weftd_app_next_step(app);
    if (app->state == WEFT_APP_STARTING)
        weft__weftd_cpu_choose(app);
    app->awaited = app->processes_n - app->first_process;
    for (size_t i = app->first_process; i < app->processes_n; i++)
        weft__weftd_app_launch(app, &app->processes[i]);
}

/* ---- lease ---- */

/* The leases of all ranks of a process; free(). */
static uint64_t *leases_of(const struct weft_app *app, const struct weft_app_process *process)
{
    uint64_t *leases = weft__must_alloc(process->ranks, sizeof(*leases));
    uint32_t n = 0;
    for (uint32_t r = 0; r < app->size && n < process->ranks; r++)
        if (app->ranks[r].process == process->number && !app->ranks[r].ended)
            leases[n++] = app->ranks[r].lease;
    return leases;
}

static void committed(struct weft_app *app, struct weft_app_process *process,
                      const struct weft_app_answer *answer)
{
    if (answer->err != WEFT_OK)
        step_failed(app, answer->err, "host %s: %s", process->host, answer->text);
    if (--app->awaited > 0)
        return;
    if (app->step_err != WEFT_OK)
        end_by_step(app);
    else
        launch_all(app);
}

static void commit_all(struct weft_app *app)
{
    weft__weftd_app_next_step(app);
    app->awaited = app->processes_n - app->first_process;
    for (size_t i = app->first_process; i < app->processes_n; i++) {
        Weft__Host__LeaseCommitRequest commit = WEFT__HOST__LEASE_COMMIT_REQUEST__INIT;
        commit.app = app->id;
        commit.token = app->token;
        commit.leases = leases_of(app, &app->processes[i]);
        commit.n_leases = app->processes[i].ranks;
        weft__weftd_app_ask(app, &(struct weft_app_question){.process = app->processes[i].number,
                                                             .to_host = true,
                                                             .code = WEFT_CALL_LEASE_COMMIT,
                                                             .request = &commit.base,
                                                             .timeout_ms = LEASE_TIMEOUT_MS,
                                                             .answered = committed});
        free(commit.leases);
    }
}

static void begin(struct weft_app *app);

static void give_back_and_retry(struct weft_app *app)
{
    Weft__Host__LeaseEndRequest end = WEFT__HOST__LEASE_END_REQUEST__INIT;
    end.app = app->id;
    end.token = app->token;
    for (size_t i = app->first_process; i < app->processes_n; i++)
        weft__weftd_app_ask(app, &(struct weft_app_question){.process = app->processes[i].number,
                                                             .to_host = true,
                                                             .code = WEFT_CALL_LEASE_END,
                                                             .request = &end.base,
                                                             .timeout_ms = LEASE_TIMEOUT_MS});
    if (app->start_tries < START_TRIES)
        begin(app);
    else
        end_by_step(app);
}

static void leased(struct weft_app *app, struct weft_app_process *process,
                   const struct weft_app_answer *answer)
{
    const Weft__Host__LeaseReply *reply = (const Weft__Host__LeaseReply *)answer->reply;
    if (answer->err != WEFT_OK)
        step_failed(app, answer->err, "host %s gives no slots: %s", process->host, answer->text);
    else if (reply->granted < process->ranks)
        step_failed(app, WEFT_ENOSLOTS, "host %s has fewer free slots than it had", process->host);
    if (--app->awaited > 0)
        return;
    if (app->step_err != WEFT_OK)
        give_back_and_retry(app);
    else
        commit_all(app);
}

static void lease_all(struct weft_app *app)
{
    weft__weftd_app_next_step(app);
    app->awaited = app->processes_n - app->first_process;
    for (size_t i = app->first_process; i < app->processes_n; i++) {
        const struct weft_app_process *process = &app->processes[i];
        Weft__Host__LeaseRequest lease = WEFT__HOST__LEASE_REQUEST__INIT;
        lease.app = app->id;
        lease.token = app->token;
        lease.leases = leases_of(app, process);
        lease.n_leases = process->ranks;
        lease.hold_ms = LEASE_HOLD_MS;
        lease.overcommit =
            app->request->oversubscribe && strcmp(process->host, app->host->name) == 0;
        lease.home = app->host->name;
        lease.tenant = app->request->tenant;
        lease.apart = app->policy == WEFT_POLICY_COMPACT;
        lease.home_control = app->host->control;
        weft__weftd_app_ask(
            app, &(struct weft_app_question){.process = process->number,
                                             .to_host = true,
                                             .code = WEFT_CALL_LEASE,
                                             .request = &lease.base,
                                             .reply_type = &weft__host__lease_reply__descriptor,
                                             .timeout_ms = LEASE_TIMEOUT_MS,
                                             .answered = leased});
        free(lease.leases);
    }
}

/* A start that waits for the list of hosts. */
struct look {
    struct weft_host *host;
    uint64_t app, step;
};

static void look(struct weft_app *app);

static void look_fired(struct weft_timer *timer)
{
    look(weft__loop_owner(timer, struct weft_app, step_timer));
}

/* A host that was cut off for a while was declared dead, and hears it only when it is back. */
static bool waits_to_be_listed(struct weft_app *app)
{
    uint64_t now_ns = weft__now_ns();
    if (weft__weftd_listed(app->host) || now_ns >= app->listed_by_ns)
        return false;
    app->step_timer.fire = look_fired;
    weft__loop_timer(app->host->asker.loop, &app->step_timer,
                     now_ns + LISTED_LOOK_MS * WEFT_NS_PER_MS);
    return true;
}

static void looked(void *ctx, int err, const char *text)
{
    struct look *look = ctx;
    struct weft_app *app = weft__weftd_app_find(look->host, look->app);
    const uint64_t step = look->step;
    free(look);
    if (app == NULL || app->step != step ||
        (app->state != WEFT_APP_STARTING && app->state != WEFT_APP_THAWING))
        return;
    if (err != WEFT_OK) {
        char why[300];
        snprintf(why, sizeof(why), "no new work while the registry cannot be reached: %s", text);
        give_up(app, WEFT_EREGISTRY, why);
        return;
    }
    if (waits_to_be_listed(app))
        return;
    err = plan(app);
    if (err != WEFT_OK)
        give_up(app, err, weft_fail_text(err));
    else
        lease_all(app);
}

static void look(struct weft_app *app)
{
    struct look *look = weft__must_alloc(1, sizeof(*look));
    *look = (struct look){.host = app->host, .app = app->id, .step = app->step};
    weft__weftd_refresh(app->host, looked, look);
}

static void begin(struct weft_app *app)
{
    app->start_tries++;
    app->listed_by_ns = weft__now_ns() + LISTED_WITHIN_MS * WEFT_NS_PER_MS;
    look(app);
}

void weft__weftd_app_start(struct weft_app *app)
{
    for (uint32_t r = 0; r < app->size; r++)
        app->ranks[r].incarnation = 1;
    begin(app);
}

void weft__weftd_app_place(struct weft_app *app, size_t first_process)
{
    weft__weftd_app_next_step(app);
    app->first_process = first_process;
    app->start_tries = 0;
    begin(app);
}
