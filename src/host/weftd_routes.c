/* Who is where: what the processes of an app are told.
 *
 * A new process gets the whole table; after that everybody gets only what changes: a process that
 * joins, a rank that has moved, a process that has died. Who may not have heard that gets the whole
 * table again with the next heartbeat: a process that does not know another one cannot even ask it.
 * A process that misses where a rank is asks (ROUTE_WANTED). So does a client that calls a rank
 * (FIND_RANK). Ranks that lie side by side in one process are one entry, so the table grows with
 * hosts and moves, not with ranks.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/config.h"
#include "base/must.h"
#include "control/server.h"
#include "host/calls.h"
#include "host/weftd_app.h"
#include "wire/message.h"

enum { TIMEOUT_MS = 5000, FIND_AGAIN_MS = 50 };

static bool takes(const struct weft_app_process *process)
{
    return process->launched && !process->dead;
}

static void process_entry(const struct weft_app_process *process, Weft__Host__Process *entry)
{
    weft__host__process__init(entry);
    entry->process = process->number;
    entry->host = weft__message_text(process->host);
    entry->lane = weft__message_text(process->lane);
}

static void route_entry(const struct weft_app *app, uint32_t rank, uint32_t count,
                        Weft__Host__Route *entry)
{
    weft__host__route__init(entry);
    entry->rank = (int32_t)rank;
    entry->process = app->ranks[rank].process;
    entry->incarnation = app->ranks[rank].incarnation;
    entry->count = count;
}

static void told(struct weft_app *app, struct weft_app_process *process,
                 const struct weft_app_answer *answer)
{
    (void)app;
    process->routes_missed |= answer->err != WEFT_OK;
}

static void tell(struct weft_app *app, const struct weft_app_process *to,
                 Weft__Host__RoutesRequest *request)
{
    request->token = app->token;
    weft__weftd_app_ask(
        app, &(struct weft_app_question){.process = to->number,
                                         .whenever = true,
                                         .code = WEFT_CALL_ROUTES,
                                         .request = &request->base,
                                         .timeout_ms = TIMEOUT_MS,
                                         .lost_ms = (uint32_t)weft__config_u64("WEFT_DEAD_MS"),
                                         .answered = told});
}

static void tell_others(struct weft_app *app, uint32_t but, Weft__Host__RoutesRequest *request)
{
    for (size_t i = 0; i < app->processes_n; i++)
        if (takes(&app->processes[i]) && app->processes[i].number != but)
            tell(app, &app->processes[i], request);
}

/* How many ranks from this one on are one entry. */
static uint32_t run_length(const struct weft_app *app, uint32_t rank)
{
    const struct weft_app_rank *first = &app->ranks[rank];
    uint32_t end = rank + 1;
    while (end < app->size && app->ranks[end].process == first->process &&
           app->ranks[end].incarnation == first->incarnation)
        end++;
    return end - rank;
}

void weft__weftd_routes_all(struct weft_app *app, const struct weft_app_process *to)
{
    Weft__Host__RoutesRequest request = WEFT__HOST__ROUTES_REQUEST__INIT;
    Weft__Host__Process *processes = weft__must_alloc(app->processes_n, sizeof(*processes));
    Weft__Host__Route *routes = weft__must_alloc(app->size, sizeof(*routes));
    request.processes = weft__must_alloc(app->processes_n, sizeof(*request.processes));
    request.routes = weft__must_alloc(app->size, sizeof(*request.routes));
    request.dead_processes = weft__must_alloc(app->processes_n, sizeof(*request.dead_processes));
    for (size_t i = 0; i < app->processes_n; i++) {
        if (app->processes[i].dead)
            request.dead_processes[request.n_dead_processes++] = app->processes[i].number;
        if (!takes(&app->processes[i]))
            continue;
        process_entry(&app->processes[i], &processes[request.n_processes]);
        request.processes[request.n_processes] = &processes[request.n_processes];
        request.n_processes++;
    }
    for (uint32_t rank = 0, n; rank < app->size; rank += n) {
        n = run_length(app, rank);
        if (!takes(weft__weftd_app_process(app, app->ranks[rank].process)))
            continue; /* they have ended, and their process has too */
        route_entry(app, rank, n, &routes[request.n_routes]);
        request.routes[request.n_routes] = &routes[request.n_routes];
        request.n_routes++;
    }
    tell(app, to, &request);
    free(processes);
    free(routes);
    free(request.processes);
    free(request.routes);
    free(request.dead_processes);
}

void weft__weftd_routes_again(struct weft_app *app)
{
    for (size_t i = 0; i < app->processes_n; i++) {
        struct weft_app_process *process = &app->processes[i];
        if (process->routes_missed && takes(process)) {
            process->routes_missed = false;
            weft__weftd_routes_all(app, process);
        }
    }
}

void weft__weftd_routes_joined(struct weft_app *app, uint32_t number)
{
    Weft__Host__RoutesRequest request = WEFT__HOST__ROUTES_REQUEST__INIT;
    Weft__Host__Process entry, *entries[] = {&entry};
    const struct weft_app_process *process = weft__weftd_app_process(app, number);
    weft__weftd_routes_all(app, process);
    process_entry(process, &entry);
    request.processes = entries;
    request.n_processes = 1;
    tell_others(app, number, &request);
}

/* Where a rank is, to one process, or to all (NULL). Its process's entry goes along, so that who
 * missed that one can follow all the same. */
static void tell_rank(struct weft_app *app, uint32_t rank, const struct weft_app_process *to)
{
    Weft__Host__RoutesRequest request = WEFT__HOST__ROUTES_REQUEST__INIT;
    Weft__Host__Process process, *processes[] = {&process};
    Weft__Host__Route route, *routes[] = {&route};
    struct weft_app_process *at = weft__weftd_app_process(app, app->ranks[rank].process);
    process_entry(at, &process);
    request.dead_processes = &at->number;
    request.n_dead_processes = at->dead ? 1 : 0;
    route_entry(app, rank, 1, &route);
    request.processes = processes;
    request.n_processes = 1;
    request.routes = routes;
    request.n_routes = 1;
    if (to != NULL)
        tell(app, to, &request);
    else
        tell_others(app, 0, &request);
}

void weft__weftd_routes_moved(struct weft_app *app, uint32_t rank)
{
    tell_rank(app, rank, NULL);
}

void weft__weftd_routes_dead(struct weft_app *app, uint32_t number)
{
    Weft__Host__RoutesRequest request = WEFT__HOST__ROUTES_REQUEST__INIT;
    request.dead_processes = &number;
    request.n_dead_processes = 1;
    tell_others(app, number, &request);
}

void weft__weftd_on_route_wanted(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__Host__RouteWanted *wish = (const Weft__Host__RouteWanted *)message;
    struct weft_app *app = weft__weftd_app_of(ctx, wish->app, wish->token, call);
    if (app == NULL)
        return;
    const struct weft_app_process *process = weft__weftd_app_process(app, wish->process);
    if (app->state <= WEFT_APP_RUNNING && process != NULL && takes(process) && wish->rank >= 0 &&
        (uint32_t)wish->rank < app->size)
        tell_rank(app, (uint32_t)wish->rank, process);
    weft__call_reply(call, NULL);
}

/* ---- for clients ---- */

/* Why a rank cannot be called now.  Errors: as FindRankRequest says. */
static int refuse(const struct weft_app *app, int32_t rank, const struct weft_app_process *process)
{
    if (app->state >= WEFT_APP_ENDING)
        return weft_fail(WEFT_ENOENT, "app %" PRIx64 " has ended%s%s", app->id,
                         app->reason[0] != '\0' ? ": " : "", app->reason);
    if (app->ranks[rank].ended)
        return weft_fail(WEFT_ENOENT, "rank %d of app %" PRIx64 " has ended", rank, app->id);
    if (app->state != WEFT_APP_RUNNING)
        return weft_fail(WEFT_EAGAIN, "app %" PRIx64 " is %s", app->id,
                         app->state == WEFT_APP_STARTING ? "starting" : "frozen");
    if (process == NULL || !takes(process))
        return weft_fail(WEFT_EAGAIN, "the process of rank %d of app %" PRIx64 " has died", rank,
                         app->id);
    return WEFT_OK;
}

void weft__weftd_on_find_rank(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__Host__FindRankRequest *wish = (const Weft__Host__FindRankRequest *)message;
    Weft__Host__FindRankReply reply = WEFT__HOST__FIND_RANK_REPLY__INIT;
    struct weft_app *app = weft__weftd_app_find(ctx, wish->app);
    const struct weft_app_process *process = NULL;
    int err;
    if (app == NULL)
        err = weft_fail(WEFT_ENOENT, "no app %" PRIx64 " is at home here", wish->app);
    else if (wish->rank < 0 || (uint32_t)wish->rank >= app->size)
        err = weft_fail(WEFT_EINVAL, "no rank %d in app %" PRIx64 " of %u", wish->rank, app->id,
                        app->size);
    else
        err = refuse(app, wish->rank,
                     process = weft__weftd_app_process(app, app->ranks[wish->rank].process));
    if (err == WEFT_EAGAIN)
        weft__call_fail_again(call, FIND_AGAIN_MS, weft_fail_text(err));
    else if (err != WEFT_OK)
        weft__call_fail(call, err, weft_fail_text(err));
    if (err != WEFT_OK)
        return;
    reply.control = weft__message_text(process->control);
    reply.host = weft__message_text(process->host);
    reply.token = app->call_token;
    reply.incarnation = app->ranks[wish->rank].incarnation;
    weft__call_reply(call, &reply.base);
}
