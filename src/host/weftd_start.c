/* From a request to running ranks: look, plan, lease, launch, tell routes, start.
 *
 * Each step asks all hosts concerned at once and goes on when all have answered. The plan is made
 * from a fresh list, but only the leases make it true: a host that grants less than planned gives
 * everything back and the app plans anew, a few times. Whatever fails ends the app, which tells
 * every host that it was asked.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/server.h"
#include "host/calls.h"
#include "host/weftd_app.h"

enum {
    START_TRIES = 4,
    LEASE_HOLD_MS = 20000,
    LEASE_TIMEOUT_MS = 3000,
    LAUNCH_TIMEOUT_MS = 15000,
    START_TIMEOUT_MS = 10000,
    WHY_MS = 2000
};

/* An answer on its way: the app is found by id, because it may be gone by then. */
struct awaited {
    struct weft_host *host;
    uint64_t app;
    uint32_t process;
    uint32_t wanted;
};

static struct awaited *awaited_new(struct weft_app *app, uint32_t process)
{
    struct awaited *wait = calloc(1, sizeof(*wait));
    if (wait == NULL)
        abort();
    *wait = (struct awaited){.host = app->host, .app = app->id, .process = process};
    app->awaited++;
    return wait;
}

/* The app of an answer, or NULL when it is no longer starting; frees the note. */
static struct weft_app *awaited_app(struct awaited *wait)
{
    struct weft_app *app = weft__weftd_app_find(wait->host, wait->app);
    if (app == NULL || app->state != WEFT_APP_STARTING)
        return NULL;
    app->awaited--;
    return app;
}

static void step_failed(struct weft_app *app, int err, const char *fmt, const char *host,
                        const char *text)
{
    if (app->step_err != WEFT_OK)
        return;
    app->step_err = err;
    snprintf(app->step_text, sizeof(app->step_text), fmt, host, text);
}

/* ---- look and plan ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct weft_member *const *)a)->at.name,
                  (*(const struct weft_member *const *)b)->at.name);
}

/* The live hosts by name. */
static const struct weft_member **live_members(struct weft_host *host, size_t *n_out)
{
    const struct weft_member **live =
        calloc(host->members_n + 1, sizeof(const struct weft_member *));
    size_t n = 0;
    if (live == NULL)
        abort();
    for (size_t i = 0; i < host->members_n; i++)
        if (host->members[i].at.alive)
            live[n++] = &host->members[i];
    qsort(live, n, sizeof(*live), by_name);
    *n_out = n;
    return live;
}

struct weft_app_process *weft__weftd_app_process_add(struct weft_app *app,
                                                     const struct weft_member *member)
{
    struct weft_app_process *grown =
        realloc(app->processes, (app->processes_n + 1) * sizeof(*grown));
    if (grown == NULL)
        return NULL;
    app->processes = grown;
    struct weft_app_process *process = &grown[app->processes_n++];
    memset(process, 0, sizeof(*process));
    process->number = (uint32_t)app->processes_n;
    snprintf(process->host, sizeof(process->host), "%s", member->at.name);
    snprintf(process->host_control, sizeof(process->host_control), "%s", member->at.control);
    return process;
}

static int place(struct weft_app *app, const struct weft_member **live, const uint32_t *host_of)
{
    app->processes_n = 0;
    for (uint32_t r = 0; r < app->size; r++) {
        const struct weft_member *member = live[host_of[r]];
        struct weft_app_process *process = weft__weftd_app_process_on(app, member->at.name);
        if (process == NULL)
            process = weft__weftd_app_process_add(app, member);
        if (process == NULL)
            return WEFT_ENOMEM;
        app->ranks[r].process = process->number;
        app->ranks[r].incarnation = 1;
        if (getrandom(&app->ranks[r].lease, sizeof(uint64_t), 0) != sizeof(uint64_t))
            return WEFT_EIO;
    }
    return WEFT_OK;
}

static int plan(struct weft_app *app)
{
    size_t n;
    const struct weft_member **live = live_members(app->host, &n);
    struct weft_plan_host *hosts = calloc(n + 1, sizeof(*hosts));
    uint32_t *host_of = calloc(app->size, sizeof(*host_of));
    size_t home = n;
    if (hosts == NULL || host_of == NULL)
        abort();
    for (size_t i = 0; i < n; i++) {
        hosts[i] =
            (struct weft_plan_host){.id = i, .slots = live[i]->at.slots, .used = live[i]->at.used};
        if (strcmp(live[i]->at.name, app->host->name) == 0)
            home = i;
    }
    struct weft_decide ask = {.hosts = hosts,
                              .hosts_n = n,
                              .home = home,
                              .ranks = app->size,
                              .hint = app->hint,
                              .overcommit = app->request->oversubscribe ? WEFT_OVERCOMMIT_HOME
                                                                        : WEFT_OVERCOMMIT_NONE};
    int err = home < n ? weft__decide(&ask, host_of, NULL)
                       : weft_fail(WEFT_EREGISTRY, "host %s is not in its registry's list",
                                   app->host->name);
    if (err == WEFT_OK)
        err = place(app, live, host_of);
    free(live);
    free(hosts);
    free(host_of);
    return err;
}

/* ---- start ---- */

static void why_fired(struct weft_timer *timer)
{
    struct weft_app *app =
        (struct weft_app *)((char *)timer - offsetof(struct weft_app, step_timer));
    weft__weftd_app_end(app, app->step_err, 1, "%s", app->step_text);
}

/* A process that broke the connection has died, most likely in the program's first lines: its host
 * knows of what, and tells. */
static void start_failed(struct weft_app *app)
{
    if (weft_error_damage(app->step_err) != WEFT_DAMAGE_PEER) {
        weft__weftd_app_end(app, app->step_err, 1, "%s", app->step_text);
        return;
    }
    app->step_timer.fire = why_fired;
    weft__loop_timer(app->host->asker.loop, &app->step_timer,
                     weft__now_ns() + WHY_MS * WEFT_NS_PER_MS);
}

static void started(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct awaited *wait = ctx;
    struct weft_app *app = awaited_app(wait);
    (void)reply;
    if (app == NULL) {
        free(wait);
        return;
    }
    const struct weft_app_process *process = weft__weftd_app_process(app, wait->process);
    free(wait);
    if (err != WEFT_OK)
        step_failed(app, err, "its ranks on host %s do not start: %s", process->host, text);
    if (app->awaited > 0)
        return;
    if (app->step_err != WEFT_OK) {
        start_failed(app);
        return;
    }
    app->state = WEFT_APP_RUNNING;
    weft__info("app %llx runs: %u ranks of %s on %zu hosts", (unsigned long long)app->id, app->size,
               app->request->program, app->processes_n);
    weft__weftd_check_start(app);
}

static void start_ranks(struct weft_app *app)
{
    Weft__Host__RunReply answer = WEFT__HOST__RUN_REPLY__INIT;
    answer.app = app->id;
    weft__call_reply(app->run_call,
                     &answer.base); /* from here on the client learns all by waiting */
    app->run_call = NULL;
    for (uint32_t r = 0; r < app->size; r++) {
        const struct weft_app_process *process =
            weft__weftd_app_process(app, app->ranks[r].process);
        snprintf(app->ranks[r].first_host, sizeof(app->ranks[r].first_host), "%s", process->host);
        app->ranks[r].first_pid = process->pid;
    }
    weft__weftd_app_routes(app, 0); /* arrives before the start: same connection, in order */
    for (size_t i = 0; i < app->processes_n; i++) {
        Weft__Host__StartRequest start = WEFT__HOST__START_REQUEST__INIT;
        start.token = app->token;
        weft__ask(&app->host->asker,
                  &(struct weft_question){.url = app->processes[i].control,
                                          .code = WEFT_CALL_START,
                                          .request = &start.base,
                                          .timeout_ms = START_TIMEOUT_MS,
                                          .answered = started,
                                          .ctx = awaited_new(app, app->processes[i].number)});
    }
}

/* ---- launch ---- */

static void launched(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct awaited *wait = ctx;
    struct weft_app *app = awaited_app(wait);
    (void)reply;
    if (app == NULL) {
        free(wait);
        return;
    }
    const struct weft_app_process *process = weft__weftd_app_process(app, wait->process);
    free(wait);
    if (err != WEFT_OK)
        step_failed(app, err, "host %s: %s", process->host, text);
    if (app->awaited > 0)
        return;
    if (app->step_err != WEFT_OK)
        weft__weftd_app_end(app, app->step_err, 1, "%s", app->step_text);
    else
        start_ranks(app);
}

/* What weft__weftd_app_launch asked for, and who wants to know. */
struct launching {
    struct weft_host *host;
    uint64_t app;
    uint32_t process;
    weft_answered *done;
    void *ctx;
};

static void launch_answered(void *ctx, int err, const char *text, const ProtobufCMessage *message)
{
    struct launching *launching = ctx;
    struct weft_app *app = weft__weftd_app_find(launching->host, launching->app);
    const Weft__Host__LaunchReply *reply = (const Weft__Host__LaunchReply *)message;
    if (app != NULL && err == WEFT_OK) {
        struct weft_app_process *process = weft__weftd_app_process(app, launching->process);
        snprintf(process->control, sizeof(process->control), "%s", reply->control);
        snprintf(process->lane, sizeof(process->lane), "%s", reply->lane);
        process->pid = reply->pid;
        process->launched = true;
    }
    launching->done(launching->ctx, err, text, message);
    free(launching);
}

void weft__weftd_app_launch(struct weft_app *app, struct weft_app_process *process,
                            weft_answered *done, void *ctx)
{
    const Weft__Host__RunRequest *request = app->request;
    struct launching *launching = calloc(1, sizeof(*launching));
    if (launching == NULL)
        abort();
    *launching = (struct launching){
        .host = app->host, .app = app->id, .process = process->number, .done = done, .ctx = ctx};
    Weft__Host__LaunchRequest launch = WEFT__HOST__LAUNCH_REQUEST__INIT;
    int32_t *ranks = calloc(app->size, sizeof(*ranks));
    if (ranks == NULL)
        abort();
    launch.ranks = ranks;
    for (uint32_t r = 0; r < app->size; r++)
        if (app->ranks[r].process == process->number)
            ranks[launch.n_ranks++] = (int32_t)r;
    launch.app = app->id;
    launch.process = process->number;
    launch.token = app->token;
    launch.program = request->program;
    launch.args = request->args;
    launch.n_args = request->n_args;
    launch.env = request->env;
    launch.n_env = request->n_env;
    launch.cwd = request->cwd;
    launch.size = app->size;
    launch.stride = app->stride;
    launch.home_name = app->host->name;
    launch.home_control = app->host->control;
    weft__ask(&app->host->asker,
              &(struct weft_question){.url = process->host_control,
                                      .code = WEFT_CALL_LAUNCH,
                                      .request = &launch.base,
                                      .reply_type = &weft__host__launch_reply__descriptor,
                                      .timeout_ms = LAUNCH_TIMEOUT_MS,
                                      .answered = launch_answered,
                                      .ctx = launching});
    free(ranks);
}

static void launch(struct weft_app *app)
{
    for (size_t i = 0; i < app->processes_n; i++)
        weft__weftd_app_launch(app, &app->processes[i], launched,
                               awaited_new(app, app->processes[i].number));
}

/* ---- lease ---- */

static void ask_leases(struct weft_app *app, const struct weft_app_process *process, uint16_t code,
                       weft_answered *done);

static void committed(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct awaited *wait = ctx;
    struct weft_app *app = awaited_app(wait);
    (void)reply;
    if (app == NULL) {
        free(wait);
        return;
    }
    if (err != WEFT_OK)
        step_failed(app, err, "host %s: %s", weft__weftd_app_process(app, wait->process)->host,
                    text);
    free(wait);
    if (app->awaited > 0)
        return;
    if (app->step_err != WEFT_OK)
        weft__weftd_app_end(app, app->step_err, 1, "%s", app->step_text);
    else
        launch(app);
}

static void give_back_and_retry(struct weft_app *app)
{
    for (size_t i = 0; i < app->processes_n; i++) {
        Weft__Host__LeaseEndRequest end = WEFT__HOST__LEASE_END_REQUEST__INIT;
        end.app = app->id;
        weft__ask(&app->host->asker, &(struct weft_question){.url = app->processes[i].host_control,
                                                             .code = WEFT_CALL_LEASE_END,
                                                             .request = &end.base,
                                                             .timeout_ms = LEASE_TIMEOUT_MS});
    }
    if (app->start_tries < START_TRIES)
        weft__weftd_app_start(app);
    else
        weft__weftd_app_end(app, app->step_err, 1, "%s", app->step_text);
}

static void leased(void *ctx, int err, const char *text, const ProtobufCMessage *message)
{
    struct awaited *wait = ctx;
    struct weft_app *app = awaited_app(wait);
    const Weft__Host__LeaseReply *reply = (const Weft__Host__LeaseReply *)message;
    if (app == NULL) {
        free(wait);
        return;
    }
    const char *name = weft__weftd_app_process(app, wait->process)->host;
    if (err != WEFT_OK)
        step_failed(app, err, "host %s gives no slots: %s", name, text);
    else if (reply->granted < wait->wanted)
        step_failed(app, WEFT_ENOSLOTS, "host %s has fewer free slots than it had%s", name, "");
    free(wait);
    if (app->awaited > 0)
        return;
    if (app->step_err != WEFT_OK) {
        give_back_and_retry(app);
        return;
    }
    for (size_t i = 0; i < app->processes_n; i++)
        ask_leases(app, &app->processes[i], WEFT_CALL_LEASE_COMMIT, committed);
}

/* The leases of all ranks of a process: reserves or commits them. */
static void ask_leases(struct weft_app *app, const struct weft_app_process *process, uint16_t code,
                       weft_answered *done)
{
    uint64_t *leases = calloc(app->size, sizeof(*leases));
    size_t n = 0;
    if (leases == NULL)
        abort();
    for (uint32_t r = 0; r < app->size; r++)
        if (app->ranks[r].process == process->number)
            leases[n++] = app->ranks[r].lease;
    struct awaited *wait = awaited_new(app, process->number);
    wait->wanted = (uint32_t)n;
    Weft__Host__LeaseRequest lease = WEFT__HOST__LEASE_REQUEST__INIT;
    lease.app = app->id;
    lease.leases = leases;
    lease.n_leases = n;
    lease.hold_ms = LEASE_HOLD_MS;
    lease.overcommit = app->request->oversubscribe && strcmp(process->host, app->host->name) == 0;
    lease.home = app->host->name;
    Weft__Host__LeaseCommitRequest commit = WEFT__HOST__LEASE_COMMIT_REQUEST__INIT;
    commit.app = app->id;
    commit.leases = leases;
    commit.n_leases = n;
    bool reserve = code == WEFT_CALL_LEASE;
    weft__ask(
        &app->host->asker,
        &(struct weft_question){.url = process->host_control,
                                .code = code,
                                .request = reserve ? &lease.base : &commit.base,
                                .reply_type = reserve ? &weft__host__lease_reply__descriptor : NULL,
                                .timeout_ms = LEASE_TIMEOUT_MS,
                                .answered = done,
                                .ctx = wait});
    free(leases);
}

static void looked(void *ctx, int err, const char *text)
{
    struct awaited *wait = ctx;
    struct weft_app *app = awaited_app(wait);
    free(wait);
    if (app == NULL)
        return;
    if (err != WEFT_OK) {
        weft__weftd_app_end(app, WEFT_EREGISTRY, 1,
                            "no new work while the registry cannot be reached: %s", text);
        return;
    }
    err = plan(app);
    if (err != WEFT_OK) {
        weft__weftd_app_end(app, err, 1, "%s", weft_fail_text(err));
        return;
    }
    for (size_t i = 0; i < app->processes_n; i++)
        ask_leases(app, &app->processes[i], WEFT_CALL_LEASE, leased);
}

void weft__weftd_app_start(struct weft_app *app)
{
    app->start_tries++;
    app->step_err = WEFT_OK;
    weft__weftd_refresh(app->host, looked, awaited_new(app, 0));
}
