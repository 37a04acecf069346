/* The records of the apps at home here: made by a run request, told by ranks, processes and hosts
 * what happens to them.
 *
 * The home decides alone about its apps: whatever goes wrong comes here and ends the app with the
 * first reason (weftd_end.c). A process or host whose death costs no rank (all have moved away)
 * does not end the app: the others are told to forget it. An app that has ended is kept for a
 * while, so that a client that asks late still gets its result.
 */
#include "host/weftd_app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "base/must.h"
#include "base/parse.h"
#include "control/server.h"
#include "host/calls.h"
#include "host/weftd_place.h"
#include "wire/message.h"

enum {
    APPS_MAX = 4096,
    ENV_MAX = 1024,
    KEPT_MAX = 64, /* apps that have ended, */
    KEPT_S = 600,  /* and for how long */
    LEASE_END_TIMEOUT_MS = 2000,
    IDLE_BEATS = 2
};

struct weft_app *weft__weftd_app_find(struct weft_host *host, uint64_t id)
{
    struct weft_app *app;
    HASH_FIND(hh, host->apps, &id, sizeof(id), app);
    return app;
}

struct weft_app *weft__weftd_app_of(struct weft_host *host, uint64_t id, uint64_t token,
                                    struct weft_call *call)
{
    struct weft_app *app = weft__weftd_app_find(host, id);
    if (app != NULL && app->token == token)
        return app;
    weft__call_fail(call, app == NULL ? WEFT_ENOENT : WEFT_EACCES,
                    app == NULL ? "no such app is at home here" : "wrong token");
    return NULL;
}

struct weft_app_process *weft__weftd_app_process(struct weft_app *app, uint32_t number)
{
    return number >= 1 && number <= app->processes_n ? &app->processes[number - 1] : NULL;
}

struct weft_app_process *weft__weftd_app_process_on(struct weft_app *app, const char *host)
{
    for (size_t i = 0; i < app->processes_n; i++)
        if (!app->processes[i].dead && strcmp(app->processes[i].host, host) == 0)
            return &app->processes[i];
    return NULL;
}

double weft__weftd_app_age_ms(const struct weft_app *app)
{
    uint64_t until_ns = app->state == WEFT_APP_ENDED ? app->ended_ns : weft__now_ns();
    return (double)(until_ns - app->started_ns) / 1e6;
}

static void app_free(struct weft_app *app)
{
    struct weft_host *host = app->host;
    weft__weftd_check_stop(app);
    weft__loop_timer_off(host->asker.loop, &app->step_timer);
    weft__weftd_plan_free(app, "the app has ended");
    weft__weftd_frozen_leave(app);
    weft__weftd_freeze_free(app, "the app has ended");
    weft__weftd_forks_free(app, "the app has ended");
    weft__weftd_gathering_end(app);
    weft__weftd_count_forgotten(host, app);
    if (app->run_call != NULL)
        weft__call_fail(app->run_call, app->err != 0 ? app->err : WEFT_ESHUTDOWN, app->reason);
    weft__weftd_output_free(app->output);
    weft__weftd_input_free(app->input);
    weft__message_free((ProtobufCMessage *)app->request);
    free(app->ranks);
    free(app->processes);
    free(app->moves);
    weft__traffic_fini(&app->traffic);
    HASH_DELETE(hh, host->apps, app);
    host->apps_n--;
    free(app);
}

/* Makes room: ended apps go when they are old or too many. */
static void forget_old(struct weft_host *host)
{
    struct weft_app *app, *next;
    size_t kept = 0;
    uint64_t now = weft__now_ns();
    HASH_ITER(hh, host->apps, app, next)
    kept += app->state == WEFT_APP_ENDED;
    HASH_ITER(hh, host->apps, app, next)
    {
        if (app->state != WEFT_APP_ENDED)
            continue;
        if (kept > KEPT_MAX || now - app->ended_ns > KEPT_S * WEFT_NS_PER_S) {
            app_free(app);
            kept--;
        }
    }
}

void weft__weftd_apps_fini(struct weft_host *host)
{
    struct weft_app *app, *next;
    HASH_ITER(hh, host->apps, app, next)
    app_free(app);
    weft__placements_fini(&host->placements);
}

static int check_request(struct weft_host *host, const Weft__Host__RunRequest *request,
                         enum weft_hint *hint_out, enum weft_policy *policy_out)
{
    uint64_t memory = request->rank_memory;
    if (host->stopping)
        return weft_fail(WEFT_ESHUTDOWN, "host %s is shutting down", host->name);
    if (host->leaving)
        return weft_fail(WEFT_ENOSLOTS, "host %s is being drained; run the app --at another host",
                         host->name);
    if (host->apps_n >= APPS_MAX)
        return weft_fail(WEFT_EAGAIN, "host %s has %d apps already", host->name, APPS_MAX);
    if (request->ranks == 0 || request->ranks > WEFT_APP_RANKS_MAX)
        return weft_fail(WEFT_EINVAL, "the number of ranks must be 1 to %u, not %u",
                         WEFT_APP_RANKS_MAX, request->ranks);
    if (request->program[0] != '/')
        return weft_fail(WEFT_EINVAL, "the program must be an absolute path, not \"%s\"",
                         request->program);
    if (memory != 0 &&
        ((memory & (memory - 1)) != 0 || memory < (1ull << 30) || memory > (1ull << 40)))
        return weft_fail(WEFT_EINVAL, "the memory of a rank must be a power of two from 1G to 1T");
    if (request->n_env > ENV_MAX)
        return weft_fail(WEFT_ERANGE, "at most %d variables can be set for the ranks", ENV_MAX);
    for (size_t i = 0; i < request->n_env; i++)
        if (strchr(request->env[i], '=') == NULL || request->env[i][0] == '=')
            return weft_fail(WEFT_EINVAL, "\"%s\" is no NAME=VALUE", request->env[i]);
    int err = weft__parse_tenant(request->tenant);
    if (err == WEFT_OK)
        err = weft__weftd_place_check(request);
    if (err == WEFT_OK)
        err = weft__hint_parse(request->hint, hint_out);
    return err == WEFT_OK ? weft__policy_parse(request->policy, policy_out) : err;
}

static void random_fill(void *out, size_t len)
{
    if (getrandom(out, len, 0) != (ssize_t)len)
        abort(); /* up to 256 bytes it cannot fail once the machine has booted */
}

struct weft_app *weft__weftd_app_new(struct weft_host *host, const Weft__Host__RunRequest *request,
                                     uint64_t id)
{
    ProtobufCMessage *copy = weft__message_clone(&request->base);
    struct weft_app_rank *ranks = calloc(request->ranks, sizeof(*ranks));
    if (copy == NULL || ranks == NULL) {
        weft__message_free(copy);
        free(ranks);
        return NULL;
    }
    struct weft_app *app = weft__must_alloc(1, sizeof(*app));
    app->host = host;
    app->request = (Weft__Host__RunRequest *)copy;
    app->ranks = ranks;
    app->output = weft__weftd_output_new(app);
    app->input = weft__weftd_input_new(app, id != 0);
    app->size = request->ranks;
    app->stride =
        request->rank_memory != 0 ? request->rank_memory : weft__config_u64("WEFT_RANK_MEMORY");
    random_fill(&app->token, sizeof(app->token));
    app->registry_log = host->registry_log;
    random_fill(&app->call_token, sizeof(app->call_token));
    app->home_id = app->first_home = host->incarnation;
    app->id = id;
    while (app->id == 0 || weft__weftd_app_find(host, app->id) != NULL)
        random_fill(&app->id, 6); /* short enough to read */
    app->started_ns = weft__now_ns();
    app->started_wall_ms = weft__wall_ms();
    HASH_ADD(hh, host->apps, id, sizeof(app->id), app);
    host->apps_n++;
    return app;
}

void weft__weftd_on_run(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_host *host = ctx;
    const Weft__Host__RunRequest *request = (const Weft__Host__RunRequest *)message;
    enum weft_hint hint;
    enum weft_policy policy;
    forget_old(host);
    int err = check_request(host, request, &hint, &policy);
    struct weft_app *app = err == WEFT_OK ? weft__weftd_app_new(host, request, 0) : NULL;
    if (app == NULL) {
        if (err == WEFT_OK)
            err = weft_fail(WEFT_ENOMEM, "host %s has no memory for %u ranks", host->name,
                            request->ranks);
        weft__call_fail(call, err, weft_fail_text(err));
        return;
    }
    app->hint = hint;
    app->policy = policy;
    app->run_call = call;
    weft__weftd_app_start(app);
}

void weft__weftd_on_kill(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__Host__KillRequest *request = (const Weft__Host__KillRequest *)message;
    struct weft_app *app = weft__weftd_app_find(ctx, request->app);
    if (app == NULL) {
        weft__call_fail(call, WEFT_ENOENT, "no such app is at home here");
        return;
    }
    weft__weftd_app_end(app, WEFT_ECANCELED, 1, "%s",
                        request->reason[0] != '\0' ? request->reason : "it was killed");
    weft__call_reply(call, NULL);
}

void weft__weftd_on_beat(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__Host__AppBeatRequest *request = (const Weft__Host__AppBeatRequest *)message;
    struct weft_app *app = weft__weftd_app_find(ctx, request->app);
    Weft__Host__AppBeatReply reply = WEFT__HOST__APP_BEAT_REPLY__INIT;
    reply.known = app != NULL && app->token == request->token && app->state != WEFT_APP_ENDED &&
                  app->state != WEFT_APP_FROZEN;
    struct weft_app_process *process =
        reply.known ? weft__weftd_app_process_on(app, request->host) : NULL;
    if (process != NULL) {
        process->heard_ns = weft__now_ns();
        process->idle = request->handed_over ? process->idle + 1 : 0;
        process->left &= process->idle < IDLE_BEATS;
    }
    weft__call_reply(call, &reply.base);
}

/* ---- what ranks and processes tell ---- */

/* A slot that is being given back. */
struct lease_ending {
    struct weft_host *host;
    uint64_t app, lease;
    uint32_t process;
};

static void lease_ended(void *ctx, int err, const char *text, const ProtobufCMessage *reply);

static void end_lease(struct weft_app *app, struct lease_ending *ending)
{
    Weft__Host__LeaseEndRequest end = WEFT__HOST__LEASE_END_REQUEST__INIT;
    end.app = app->id;
    end.token = app->token;
    end.leases = &ending->lease;
    end.n_leases = 1;
    weft__ask(
        &app->host->asker,
        &(struct weft_question){.url = weft__weftd_app_process(app, ending->process)->host_control,
                                .code = WEFT_CALL_LEASE_END,
                                .request = &end.base,
                                .timeout_ms = LEASE_END_TIMEOUT_MS,
                                .answered = lease_ended,
                                .ctx = ending});
}

/* A host that stood still has not looked at it: the slot would be taken until the app ends. */
static void lease_ended(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct lease_ending *ending = ctx;
    struct weft_app *app = weft__weftd_app_find(ending->host, ending->app);
    (void)text;
    (void)reply;
    if (err == WEFT_ETIMEDOUT && app != NULL && app->state != WEFT_APP_ENDED &&
        !weft__weftd_app_process(app, ending->process)->dead)
        end_lease(app, ending);
    else
        free(ending);
}

void weft__weftd_app_lease_end(struct weft_app *app, uint32_t process, uint64_t lease)
{
    if (weft__weftd_app_process(app, process)->dead)
        return;
    struct lease_ending *ending = weft__must_alloc(1, sizeof(*ending));
    *ending = (struct lease_ending){
        .host = app->host, .app = app->id, .lease = lease, .process = process};
    end_lease(app, ending);
}

static void take_stats(struct weft_app *app, const Weft__Host__RankExit *news)
{
    struct weft_app_process *process = weft__weftd_app_process(app, news->process);
    if (process != NULL && news->stats != NULL)
        process->stats = *news->stats;
}

static void rank_ended(struct weft_app *app, struct weft_app_rank *rank, int code)
{
    rank->ended = true;
    rank->code = code;
    app->ranks_ended++;
    weft__weftd_app_process(app, rank->process)->ranks--;
    weft__weftd_app_process(app, rank->process)->idle = 0;
    weft__weftd_app_lease_end(app, rank->process, rank->lease);
    weft__weftd_forks_rank_ended(app, (int32_t)(rank - app->ranks));
    weft__weftd_input_closed(app);
}

/* What a rank's end means for its app. */
static void take_rank_exit(struct weft_app *app, const Weft__Host__RankExit *news)
{
    if (news->rank < 0 || (uint32_t)news->rank >= app->size || app->state >= WEFT_APP_ENDING ||
        app->run_call != NULL)
        return; /* no such rank, or it cannot have started */
    struct weft_app_rank *rank = &app->ranks[news->rank];
    if (rank->ended)
        return; /* told twice */
    const struct weft_app_process *process = weft__weftd_app_process(app, rank->process);
    const char *colon = news->reason[0] != '\0' ? ": " : "";
    if (!news->abort)
        rank_ended(app, rank, news->code);
    if (news->abort && news->lost)
        weft__weftd_app_end(app, WEFT_EHOSTDEAD, 1, "rank %d of host %s is lost in a move: %s",
                            news->rank, process->host, news->reason);
    else if (news->abort || news->code != 0)
        weft__weftd_app_end(app, WEFT_EAPP, news->code, "rank %d on host %s %s with code %d%s%s",
                            news->rank, process->host, news->abort ? "aborted" : "exited",
                            news->code, colon, news->reason);
    else if (app->ranks_ended == app->size)
        weft__weftd_app_end(app, WEFT_OK, 0, "%s", "");
}

void weft__weftd_on_rank_exit(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__Host__RankExit *news = (const Weft__Host__RankExit *)message;
    struct weft_app *app = weft__weftd_app_of(ctx, news->app, news->token, call);
    if (app == NULL)
        return;
    take_stats(app, news);
    take_rank_exit(app, news);
    weft__call_reply(call, NULL); /* last: the request goes with it */
}

void weft__weftd_app_process_dead(struct weft_app *app, struct weft_app_process *process, int err,
                                  const char *why)
{
    if (process->dead)
        return;
    process->dead = true;
    snprintf(process->why, sizeof(process->why), "%s", why);
    if (app->state >= WEFT_APP_ENDING)
        return;
    if (weft__weftd_freeze_process_dead(app, process, err, why))
        return;
    const struct weft_app_plan *plan = app->plan;
    bool only_the_mover = plan != NULL && plan->moving && plan->from == process->number &&
                          !plan->applied && process->ranks == 1 &&
                          !app->ranks[plan->machine.id.rank].ended;
    weft__weftd_routes_dead(app, process->number);
    if (app->state == WEFT_APP_STARTING || (process->ranks > 0 && !only_the_mover))
        weft__weftd_app_end(app, err, 1, "%s", why);
    else
        weft__weftd_plan_process_dead(app, process->number);
}

/* One of its processes has ended: as its host tells. */
void weft__weftd_on_process_exit(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__Host__ProcessExit *news = (const Weft__Host__ProcessExit *)message;
    struct weft_app *app = weft__weftd_app_of(ctx, news->app, news->token, call);
    if (app == NULL)
        return;
    struct weft_app_process *process = weft__weftd_app_process(app, news->process);
    bool is_it = process != NULL && strcmp(process->host, news->host) == 0;
    if (is_it && news->output_lost)
        process->output_lost = true;
    if (is_it)
        weft__weftd_app_process_dead(
            app, process, news->by_host ? WEFT_EHOSTDEAD : WEFT_EAPP,
            news->text[0] != '\0' ? news->text : "one of its processes ended before its ranks");
    weft__call_reply(call, NULL); /* last: the request goes with it */
}

static bool has_ended_rank(const struct weft_app *app, const struct weft_app_process *process)
{
    for (uint32_t r = 0; r < app->size; r++)
        if (app->ranks[r].ended && app->ranks[r].process == process->number)
            return true;
    return false;
}

/* Of ranks that have ended there, or moved away, the last words may have been on their way. A beat
 * may have been sent before they were spoken, the second one was not: it is sent after the answer
 * to the first.
 */
static void lose_host(struct weft_app *app, struct weft_app_process *process, const char *why)
{
    if (!process->dead && app->state < WEFT_APP_ENDING) {
        process->host_dead = true;
        process->output_cut =
            process->left || (has_ended_rank(app, process) && process->idle < IDLE_BEATS);
    }
    weft__weftd_app_process_dead(app, process, WEFT_EHOSTDEAD, why);
}

void weft__weftd_apps_host_dead(struct weft_host *host, const char *name)
{
    struct weft_app *app, *next;
    char why[160];
    snprintf(why, sizeof(why), "host %s, which runs a rank of it, is dead", name);
    HASH_ITER(hh, host->apps, app, next)
    for (size_t i = 0; i < app->processes_n; i++)
        if (strcmp(app->processes[i].host, name) == 0) {
            lose_host(app, &app->processes[i], why);
            weft__weftd_end_host_dead(app, &app->processes[i], why);
        }
}

/* The head may hear a host that the home does not. That host hears nothing from here either, and
 * has ended what it had of the app by then: its last answer came within half of WEFT_DEAD_MS of
 * what was heard last, and WEFT_DEAD_MS later it gives the home up. */
static void check_heard(struct weft_app *app, uint64_t now, uint64_t silence_ns)
{
    uint64_t dead_ms = weft__config_u64("WEFT_DEAD_MS");
    uint64_t limit_ns =
        (dead_ms + dead_ms / 2 + weft__config_u64("WEFT_HEARTBEAT_MS")) * WEFT_NS_PER_MS;
    for (size_t i = 0;
         i < app->processes_n && (app->state == WEFT_APP_RUNNING || app->state == WEFT_APP_THAWING);
         i++) {
        struct weft_app_process *process = &app->processes[i];
        char why[256];
        process->heard_ns += silence_ns;
        if (!process->launched || process->dead || now <= process->heard_ns + limit_ns)
            continue;
        snprintf(why, sizeof(why), "host %s, which runs a rank of it, does not reach its home %s",
                 process->host, app->host->name);
        lose_host(app, process, why);
    }
}

void weft__weftd_apps_check_heard(struct weft_host *host, uint64_t now, uint64_t silence_ns)
{
    struct weft_app *app, *next;
    HASH_ITER(hh, host->apps, app, next)
    {
        check_heard(app, now, silence_ns);
        if (app->state == WEFT_APP_RUNNING || app->state == WEFT_APP_THAWING)
            weft__weftd_routes_again(app);
    }
}
