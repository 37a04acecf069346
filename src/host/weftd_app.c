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

#include <utlist.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "base/parse.h"
#include "control/server.h"
#include "host/calls.h"
#include "wire/message.h"

enum { APPS_MAX = 4096, RANKS_MAX = 65536, KEPT_MAX = 64, KEPT_S = 600 };

struct weft_app *weft__weftd_app_find(struct weft_host *host, uint64_t id)
{
    struct weft_app *app;
    DL_SEARCH_SCALAR(host->apps, app, id, id);
    return app;
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
    return (double)(weft__now_ns() - app->started_ns) / 1e6;
}

static void app_free(struct weft_app *app)
{
    struct weft_host *host = app->host;
    weft__weftd_check_stop(app);
    weft__weftd_plan_free(app, "the app has ended");
    if (app->run_call != NULL)
        weft__call_fail(app->run_call, app->err != 0 ? app->err : WEFT_ESHUTDOWN, app->reason);
    weft__output_free(app->output);
    weft__message_free((ProtobufCMessage *)app->request);
    free(app->ranks);
    free(app->processes);
    free(app->moves);
    DL_DELETE(host->apps, app);
    host->app_count--;
    free(app);
}

/* Makes room: ended apps go when they are old or too many. */
static void forget_old(struct weft_host *host)
{
    struct weft_app *app, *next;
    size_t kept = 0;
    uint64_t now = weft__now_ns();
    DL_FOREACH(host->apps, app)
    kept += app->state == WEFT_APP_ENDED;
    DL_FOREACH_SAFE(host->apps, app, next)
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
    DL_FOREACH_SAFE(host->apps, app, next)
    app_free(app);
}

static int check_request(struct weft_host *host, const Weft__Host__RunRequest *request,
                         enum weft_hint *hint_out)
{
    uint64_t memory = request->rank_memory;
    if (host->app_count >= APPS_MAX)
        return weft_fail(WEFT_EAGAIN, "host %s has %d apps already", host->name, APPS_MAX);
    if (request->ranks == 0 || request->ranks > RANKS_MAX)
        return weft_fail(WEFT_EINVAL, "the number of ranks must be 1 to %d, not %u", RANKS_MAX,
                         request->ranks);
    if (request->program[0] != '/')
        return weft_fail(WEFT_EINVAL, "the program must be an absolute path, not \"%s\"",
                         request->program);
    if (memory != 0 &&
        ((memory & (memory - 1)) != 0 || memory < (1ull << 30) || memory > (1ull << 40)))
        return weft_fail(WEFT_EINVAL, "the memory of a rank must be a power of two from 1G to 1T");
    for (size_t i = 0; i < request->n_env; i++)
        if (strchr(request->env[i], '=') == NULL)
            return weft_fail(WEFT_EINVAL, "\"%s\" is no NAME=VALUE", request->env[i]);
    return weft__hint_parse(request->hint, hint_out);
}

static Weft__Host__RunRequest *clone_request(const Weft__Host__RunRequest *request)
{
    uint8_t *bytes;
    size_t len;
    ProtobufCMessage *copy = NULL;
    if (weft__message_encode(&request->base, &bytes, &len) != WEFT_OK)
        return NULL;
    (void)weft__message_decode(request->base.descriptor, bytes, len, &copy);
    free(bytes);
    return (Weft__Host__RunRequest *)copy;
}

static void random_fill(void *out, size_t len)
{
    if (getrandom(out, len, 0) != (ssize_t)len)
        abort(); /* up to 256 bytes it cannot fail once the machine has booted */
}

static struct weft_app *app_new(struct weft_host *host, const Weft__Host__RunRequest *request)
{
    struct weft_app *app = calloc(1, sizeof(*app));
    if (app == NULL)
        return NULL;
    app->host = host;
    app->request = clone_request(request);
    app->ranks = calloc(request->ranks, sizeof(*app->ranks));
    app->output = weft__output_new();
    if (app->request == NULL || app->ranks == NULL || app->output == NULL) {
        weft__message_free((ProtobufCMessage *)app->request);
        free(app->ranks);
        weft__output_free(app->output);
        free(app);
        return NULL;
    }
    app->size = request->ranks;
    app->stride =
        request->rank_memory != 0 ? request->rank_memory : weft__config_u64("WEFT_RANK_MEMORY");
    random_fill(&app->token, sizeof(app->token));
    random_fill(&app->id, 6);
    app->id |= 1; /* never 0, and short enough to read */
    app->started_ns = weft__now_ns();
    app->started_wall_ms = weft__wall_ms();
    return app;
}

void weft__weftd_on_run(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_host *host = ctx;
    const Weft__Host__RunRequest *request = (const Weft__Host__RunRequest *)message;
    enum weft_hint hint;
    forget_old(host);
    int err = host->stopping ? WEFT_ESHUTDOWN : check_request(host, request, &hint);
    struct weft_app *app = err == WEFT_OK ? app_new(host, request) : NULL;
    if (app == NULL) {
        err = err != WEFT_OK ? err : WEFT_ENOMEM;
        weft__call_fail(call, err, weft_fail_text(err));
        return;
    }
    app->hint = hint;
    app->run_call = call;
    DL_APPEND(host->apps, app);
    host->app_count++;
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
    reply.known = app != NULL && app->state != WEFT_APP_ENDED;
    weft__call_reply(call, &reply.base);
}

/* ---- what ranks and processes tell ---- */

/* Fails the call of a process that does not know the app's token. */
static struct weft_app *app_of(struct weft_host *host, uint64_t id, uint64_t token,
                               struct weft_call *call)
{
    struct weft_app *app = weft__weftd_app_find(host, id);
    if (app != NULL && app->token == token)
        return app;
    weft__call_fail(call, app == NULL ? WEFT_ENOENT : WEFT_EACCES,
                    app == NULL ? "no such app is at home here" : "wrong token");
    return NULL;
}

static void rank_ended(struct weft_app *app, struct weft_app_rank *rank, int code)
{
    rank->ended = true;
    rank->code = code;
    app->ranks_ended++;
    struct weft_app_process *process = weft__weftd_app_process(app, rank->process);
    Weft__Host__LeaseEndRequest end = WEFT__HOST__LEASE_END_REQUEST__INIT;
    end.app = app->id;
    end.leases = &rank->lease;
    end.n_leases = 1;
    weft__ask(&app->host->asker, &(struct weft_question){.url = process->host_control,
                                                         .code = WEFT_CALL_LEASE_END,
                                                         .request = &end.base,
                                                         .timeout_ms = 2000});
}

/* What a rank's end means for its app. */
static void take_rank_exit(struct weft_app *app, const Weft__Host__RankExit *news)
{
    if (news->rank < 0 || (uint32_t)news->rank >= app->size || app->state >= WEFT_APP_ENDING)
        return;
    struct weft_app_rank *rank = &app->ranks[news->rank];
    if (rank->ended)
        return; /* told twice */
    const struct weft_app_process *process = weft__weftd_app_process(app, rank->process);
    const char *colon = news->reason[0] != '\0' ? ": " : "";
    if (!news->abort)
        rank_ended(app, rank, news->code);
    if (news->abort || news->code != 0)
        weft__weftd_app_end(app, WEFT_EAPP, news->code, "rank %d on host %s %s with code %d%s%s",
                            news->rank, process->host, news->abort ? "aborted" : "exited",
                            news->code, colon, news->reason);
    else if (app->ranks_ended == app->size)
        weft__weftd_app_end(app, WEFT_OK, 0, "%s", "");
}

void weft__weftd_on_rank_exit(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__Host__RankExit *news = (const Weft__Host__RankExit *)message;
    struct weft_app *app = app_of(ctx, news->app, news->token, call);
    if (app == NULL)
        return;
    take_rank_exit(app, news);
    weft__call_reply(call, NULL); /* last: the request goes with it */
}

/* Tells every process which ones are dead. */
static void tell_dead(struct weft_app *app, uint32_t number)
{
    for (size_t i = 0; i < app->processes_n; i++) {
        struct weft_app_process *process = &app->processes[i];
        if (process->dead || !process->launched)
            continue;
        Weft__Host__RoutesRequest routes = WEFT__HOST__ROUTES_REQUEST__INIT;
        routes.token = app->token;
        routes.dead_processes = &number;
        routes.n_dead_processes = 1;
        weft__ask(&app->host->asker, &(struct weft_question){.url = process->control,
                                                             .code = WEFT_CALL_ROUTES,
                                                             .request = &routes.base,
                                                             .timeout_ms = 2000});
    }
}

static bool process_has_rank(const struct weft_app *app, uint32_t number)
{
    for (uint32_t r = 0; r < app->size; r++)
        if (app->ranks[r].process == number && !app->ranks[r].ended)
            return true;
    return false;
}

/* A process is gone: with a rank on it the app ends, unless that rank is just moving: then the
 * move's outcome decides. */
static void process_dead(struct weft_app *app, struct weft_app_process *process, int err,
                         const char *why)
{
    if (process->dead)
        return;
    process->dead = true;
    process->ended = true;
    if (app->state >= WEFT_APP_ENDING)
        return;
    const struct weft_app_plan *plan = app->plan;
    bool moving_away = plan != NULL && plan->moving && plan->from == process->number;
    uint32_t left = 0;
    for (uint32_t r = 0; r < app->size; r++)
        left += app->ranks[r].process == process->number && !app->ranks[r].ended;
    bool only_the_mover = moving_away && left == 1 && !app->ranks[plan->machine.id.rank].ended;
    tell_dead(app, process->number);
    if (app->state == WEFT_APP_STARTING ||
        (process_has_rank(app, process->number) && !only_the_mover)) {
        weft__weftd_app_end(app, err, 1, "%s", why);
        return;
    }
    weft__weftd_plan_process_dead(app, process->number);
}

void weft__weftd_on_process_exit(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__Host__ProcessExit *news = (const Weft__Host__ProcessExit *)message;
    struct weft_app *app = weft__weftd_app_find(ctx, news->app);
    struct weft_app_process *process = NULL;
    if (app != NULL && app->state != WEFT_APP_ENDED)
        process = weft__weftd_app_process(app, news->process);
    if (process != NULL && strcmp(process->host, news->host) == 0)
        process_dead(app, process, news->by_host ? WEFT_EHOSTDEAD : WEFT_EAPP,
                     news->text[0] != '\0' ? news->text
                                           : "one of its processes ended before its ranks");
    weft__call_reply(call, NULL); /* last: the request goes with it */
}

void weft__weftd_apps_host_dead(struct weft_host *host, const char *name)
{
    struct weft_app *app, *next;
    char why[160];
    snprintf(why, sizeof(why), "host %s, which runs a rank of it, is dead", name);
    DL_FOREACH_SAFE(host->apps, app, next)
    for (size_t i = 0; i < app->processes_n; i++)
        if (strcmp(app->processes[i].host, name) == 0)
            process_dead(app, &app->processes[i], WEFT_EHOSTDEAD, why);
}

/* ---- routes ---- */

static void fill_processes(struct weft_app *app, Weft__Host__Process *items,
                           Weft__Host__Process **pointers, size_t *n_out)
{
    size_t n = 0;
    for (size_t i = 0; i < app->processes_n; i++) {
        struct weft_app_process *process = &app->processes[i];
        if (process->dead || !process->launched)
            continue;
        weft__host__process__init(&items[n]);
        items[n].process = process->number;
        items[n].host = process->host;
        items[n].pid = process->pid;
        items[n].control = process->control;
        items[n].lane = process->lane;
        pointers[n] = &items[n];
        n++;
    }
    *n_out = n;
}

void weft__weftd_app_routes(struct weft_app *app, uint32_t number)
{
    Weft__Host__Process *items = calloc(app->processes_n, sizeof(*items));
    Weft__Host__Process **processes = calloc(app->processes_n, sizeof(*processes));
    Weft__Host__Route *route_items = calloc(app->size, sizeof(*route_items));
    Weft__Host__Route **routes = calloc(app->size, sizeof(*routes));
    if (items == NULL || processes == NULL || route_items == NULL || routes == NULL)
        abort();
    Weft__Host__RoutesRequest request = WEFT__HOST__ROUTES_REQUEST__INIT;
    request.token = app->token;
    request.processes = processes;
    fill_processes(app, items, processes, &request.n_processes);
    for (uint32_t r = 0; r < app->size; r++) {
        weft__host__route__init(&route_items[r]);
        route_items[r].rank = (int32_t)r;
        route_items[r].process = app->ranks[r].process;
        route_items[r].incarnation = app->ranks[r].incarnation;
        routes[r] = &route_items[r];
    }
    request.routes = routes;
    request.n_routes = app->size;
    for (size_t i = 0; i < app->processes_n; i++) {
        const struct weft_app_process *process = &app->processes[i];
        if (process->dead || !process->launched || (number != 0 && process->number != number))
            continue;
        weft__ask(&app->host->asker, &(struct weft_question){.url = process->control,
                                                             .code = WEFT_CALL_ROUTES,
                                                             .request = &request.base,
                                                             .timeout_ms = 5000});
    }
    free(items);
    free(processes);
    free(route_items);
    free(routes);
}

void weft__weftd_on_route_wanted(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__Host__RouteWanted *wish = (const Weft__Host__RouteWanted *)message;
    struct weft_app *app = app_of(ctx, wish->app, wish->token, call);
    if (app == NULL)
        return;
    if (app->state == WEFT_APP_RUNNING)
        weft__weftd_app_routes(app, 0);
    weft__call_reply(call, NULL);
}

/* ---- what people see ---- */

static char *text(const char *value)
{
    return (char *)(uintptr_t)value; /* protobuf-c's strings are not const; nobody writes to them */
}

void weft__weftd_move_info(const struct weft_app_move *move, Weft__Host__MoveInfo *info)
{
    weft__host__move_info__init(info);
    info->rank = move->rank;
    info->from = text(move->from);
    info->to = text(move->to);
    info->cause = text(move->cause);
    info->outcome = text(!move->over                                ? "under way"
                         : move->outcome == WEFT_MOVE_OUTCOME_MOVED ? "moved"
                                                                    : "aborted");
    info->reason = text(move->reason);
    info->bytes = move->bytes;
    info->transport = text(move->transport);
    info->touched_bytes = move->touched_bytes;
    info->opportunity_ms = move->opportunity_ms;
    info->detected_ms = move->detected_ms;
    info->committed_ms = move->committed_ms;
    info->done_ms = move->done_ms;
    info->pause_ms = move->pause_ms;
    info->forwarded = move->forwarded;
    info->from_pid = move->from_pid;
    info->to_pid = move->to_pid;
}

static const char *rank_state(const struct weft_app *app, uint32_t r)
{
    if (app->ranks[r].ended || app->state == WEFT_APP_ENDED)
        return "ended";
    if (app->state == WEFT_APP_STARTING)
        return "starting";
    if (app->plan != NULL && app->plan->moving && app->plan->machine.id.rank == r)
        return "moving";
    return "running";
}

static void rank_info(struct weft_app *app, uint32_t r, Weft__Host__RankInfo *info)
{
    const struct weft_app_rank *rank = &app->ranks[r];
    const struct weft_app_process *process = weft__weftd_app_process(app, rank->process);
    weft__host__rank_info__init(info);
    info->rank = (int32_t)r;
    info->host = text(process != NULL ? process->host : "");
    info->pid = process != NULL ? process->pid : 0;
    info->incarnation = rank->incarnation;
    info->state = text(rank_state(app, r));
    info->first_host = text(rank->first_host);
    info->first_pid = rank->first_pid;
    info->code = rank->code;
}

static const char *const app_states[] = {"starting", "running", "ending", "ended"};

/* Fills info with arrays of its own; app_info_fini frees them. */
static void app_info(struct weft_app *app, Weft__Host__AppInfo *info)
{
    weft__host__app_info__init(info);
    info->app = app->id;
    info->program = app->request->program;
    info->home = app->host->name;
    info->state = text(app_states[app->state]);
    info->size = app->size;
    info->migrate_ms = app->request->migrate_ms;
    info->age_ms = weft__weftd_app_age_ms(app);
    info->started_wall_ms = app->started_wall_ms;
    info->code = app->code;
    info->reason = app->reason;
    info->pending = app->plan != NULL
                        ? (uint32_t)(app->plan->steps_n - app->plan->next + app->plan->moving)
                        : 0;
    Weft__Host__RankInfo *ranks = calloc(app->size, sizeof(*ranks));
    Weft__Host__MoveInfo *moves = calloc(app->moves_n + 1, sizeof(*moves));
    info->ranks = calloc(app->size, sizeof(*info->ranks));
    info->moves = calloc(app->moves_n + 1, sizeof(*info->moves));
    if (ranks == NULL || moves == NULL || info->ranks == NULL || info->moves == NULL)
        abort();
    for (uint32_t r = 0; r < app->size; r++) {
        rank_info(app, r, &ranks[r]);
        info->ranks[r] = &ranks[r];
    }
    for (size_t i = 0; i < app->moves_n; i++) {
        weft__weftd_move_info(&app->moves[i], &moves[i]);
        info->moves[i] = &moves[i];
    }
    info->n_ranks = app->size;
    info->n_moves = app->moves_n;
    if (app->moves_n == 0)
        free(moves);
}

static void app_info_fini(Weft__Host__AppInfo *info)
{
    if (info->n_ranks > 0)
        free(info->ranks[0]);
    if (info->n_moves > 0)
        free(info->moves[0]);
    free(info->ranks);
    free(info->moves);
}

void weft__weftd_on_apps(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_host *host = ctx;
    uint64_t wanted = ((const Weft__Host__AppsRequest *)message)->app;
    Weft__Host__AppsReply reply = WEFT__HOST__APPS_REPLY__INIT;
    Weft__Host__AppInfo *infos = calloc(host->app_count + 1, sizeof(*infos));
    reply.apps = calloc(host->app_count + 1, sizeof(*reply.apps));
    if (infos == NULL || reply.apps == NULL)
        abort();
    struct weft_app *app;
    DL_FOREACH(host->apps, app)
    {
        if (wanted != 0 && app->id != wanted)
            continue;
        app_info(app, &infos[reply.n_apps]);
        reply.apps[reply.n_apps] = &infos[reply.n_apps];
        reply.n_apps++;
    }
    if (wanted != 0 && reply.n_apps == 0)
        weft__call_fail(call, WEFT_ENOENT, "no such app is at home here");
    else
        weft__call_reply(call, &reply.base);
    for (size_t i = 0; i < reply.n_apps; i++)
        app_info_fini(&infos[i]);
    free(infos);
    free(reply.apps);
}
