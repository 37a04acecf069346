/* What people see of the apps at home here: ranks, processes, moves, counters.
 *
 * What processes count is known as of the end of their ranks. Who wants it fresh (one app only)
 * waits until all its processes have been asked, a second at most; a process that does not answer
 * in time shows what it told last.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "control/server.h"
#include "host/calls.h"
#include "host/weftd_app.h"
#include "wire/message.h"

enum { STATS_TIMEOUT_MS = 1000 };

void weft__weftd_move_info(const struct weft_app_move *move, Weft__Host__MoveInfo *info)
{
    weft__host__move_info__init(info);
    info->rank = move->rank;
    info->from = weft__message_text(move->from);
    info->to = weft__message_text(move->to);
    info->cause = weft__message_text(move->cause);
    info->outcome = weft__message_text(!move->over                                ? "under way"
                                       : move->outcome == WEFT_MOVE_OUTCOME_MOVED ? "moved"
                                                                                  : "aborted");
    info->reason = weft__message_text(move->reason);
    info->bytes = move->bytes;
    info->transport = weft__message_text(move->transport);
    info->touched_bytes = move->touched_bytes;
    info->copied_bytes = move->copied_bytes;
    info->passes = move->passes;
    info->opportunity_ms = move->opportunity_ms;
    info->detected_ms = move->detected_ms;
    info->committed_ms = move->committed_ms;
    info->done_ms = move->done_ms;
    info->pause_ms = move->pause_ms;
    info->forwarded = move->forwarded;
    info->from_pid = move->from_pid;
    info->to_pid = move->to_pid;
}

static const char *const app_states[] = {"starting", "running", "frozen",
                                         "thawing",  "ending",  "ended"};

static const char *rank_state(const struct weft_app *app, uint32_t r)
{
    if (app->ranks[r].ended || app->state == WEFT_APP_ENDED)
        return "ended";
    if (app->state != WEFT_APP_RUNNING && app->state != WEFT_APP_ENDING)
        return app_states[app->state];
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
    info->host = weft__message_text(process != NULL ? process->host : "");
    info->pid = process != NULL ? process->pid : 0;
    info->incarnation = rank->incarnation;
    info->state = weft__message_text(rank_state(app, r));
    info->first_host = weft__message_text(rank->first_host);
    info->first_pid = rank->first_pid;
    info->code = rank->code;
    if (app->request->processes)
        info->pinned = weft__message_text(WEFT_APP_APART);
}

static const char *process_state(const struct weft_app *app, const struct weft_app_process *process)
{
    if (app->state == WEFT_APP_ENDED)
        return "ended";
    if (process->dead)
        return "dead";
    return process->launched ? "running" : "starting";
}

static void process_info(const struct weft_app *app, struct weft_app_process *process,
                         Weft__Host__ProcessInfo *info)
{
    weft__host__process_info__init(info);
    info->process = process->number;
    info->host = process->host;
    info->pid = process->pid;
    info->state = weft__message_text(process_state(app, process));
    info->ranks = process->ranks;
    info->transport = process->transport;
    info->stats = &process->stats;
}

/* The messages that the lists of an AppInfo point to, in blocks of their own. */
struct details {
    Weft__Host__RankInfo *ranks;
    Weft__Host__MoveInfo *moves;
    Weft__Host__ProcessInfo *processes;
};

/* Where the newest move of a rank was given up because it could not leave: why. */
static void note_pinned(const struct weft_app *app, Weft__Host__RankInfo *ranks)
{
    for (size_t i = 0; i < app->moves_n; i++) {
        const struct weft_app_move *move = &app->moves[i];
        if (move->over && !app->request->processes)
            ranks[move->rank].pinned =
                weft__message_text(move->err == WEFT_EPINNED ? move->reason : "");
    }
}

static void details_init(struct details *details, struct weft_app *app, Weft__Host__AppInfo *info)
{
    details->ranks = weft__must_alloc(app->size, sizeof(*details->ranks));
    details->moves = weft__must_alloc(app->moves_n, sizeof(*details->moves));
    details->processes = weft__must_alloc(app->processes_n, sizeof(*details->processes));
    info->ranks = weft__must_alloc(app->size, sizeof(*info->ranks));
    info->moves = weft__must_alloc(app->moves_n, sizeof(*info->moves));
    info->processes = weft__must_alloc(app->processes_n, sizeof(*info->processes));
    for (uint32_t r = 0; r < app->size; r++) {
        rank_info(app, r, &details->ranks[r]);
        info->ranks[info->n_ranks++] = &details->ranks[r];
    }
    note_pinned(app, details->ranks);
    for (size_t i = 0; i < app->moves_n; i++) {
        weft__weftd_move_info(&app->moves[i], &details->moves[i]);
        info->moves[info->n_moves++] = &details->moves[i];
    }
    for (size_t i = 0; i < app->processes_n; i++) {
        process_info(app, &app->processes[i], &details->processes[i]);
        info->processes[info->n_processes++] = &details->processes[i];
    }
}

static void details_fini(struct details *details, Weft__Host__AppInfo *info)
{
    free(details->ranks);
    free(details->moves);
    free(details->processes);
    free(info->ranks);
    free(info->moves);
    free(info->processes);
}

static void app_info(struct weft_app *app, Weft__Host__AppInfo *info)
{
    weft__host__app_info__init(info);
    info->app = app->id;
    info->program = app->request->program;
    info->home = app->host->name;
    info->state = weft__message_text(app_states[app->state]);
    info->size = app->size;
    info->migrate_ms = app->request->migrate_ms;
    info->age_ms = weft__weftd_app_age_ms(app);
    info->started_wall_ms = app->started_wall_ms;
    info->code = app->code;
    info->reason = app->reason;
    info->policy = weft__message_text(weft__policy_name(app->policy));
    info->hint = weft__message_text(weft__hint_name(app->hint));
    info->moved = app->moved;
    info->aborted = app->aborted;
    weft__weftd_frozen_info(app, info);
    if (app->plan != NULL)
        info->pending = (uint32_t)(app->plan->steps_n - app->plan->next + app->plan->moving +
                                   app->plan->turn.waits);
}

static void answer_one(struct weft_app *app, const Weft__Host__AppsRequest *request,
                       struct weft_call *call)
{
    Weft__Host__AppsReply reply = WEFT__HOST__APPS_REPLY__INIT;
    Weft__Host__AppInfo info, *infos[] = {&info};
    Weft__Host__PlanInfo plan;
    struct details details = {0};
    app_info(app, &info);
    weft__weftd_thought_info(&app->thought, &plan);
    info.plan = &plan;
    if (request == NULL || !request->brief)
        details_init(&details, app, &info);
    if (request != NULL && request->traffic > 0)
        weft__weftd_traffic_info(app, request->traffic, &info);
    reply.apps = infos;
    reply.n_apps = 1;
    weft__call_reply(call, &reply.base);
    weft__weftd_traffic_info_fini(&info);
    details_fini(&details, &info);
}

static void answer_all(struct weft_host *host, bool brief, struct weft_call *call)
{
    Weft__Host__AppsReply reply = WEFT__HOST__APPS_REPLY__INIT;
    size_t n = host->apps_n;
    Weft__Host__AppInfo *infos = weft__must_alloc(n, sizeof(*infos));
    struct details *details = weft__must_alloc(n, sizeof(*details));
    struct weft_app *app, *next;
    reply.apps = weft__must_alloc(n, sizeof(*reply.apps));
    HASH_ITER(hh, host->apps, app, next)
    {
        app_info(app, &infos[reply.n_apps]);
        if (!brief)
            details_init(&details[reply.n_apps], app, &infos[reply.n_apps]);
        reply.apps[reply.n_apps] = &infos[reply.n_apps];
        reply.n_apps++;
    }
    weft__call_reply(call, &reply.base);
    for (size_t i = 0; i < n; i++)
        details_fini(&details[i], &infos[i]);
    free(infos);
    free(details);
    free(reply.apps);
}

/* ---- fresh counters ---- */

struct weft_gathering {
    struct weft_gathering *next; /* of the same app: they share the answers */
    struct weft_call *call;
    size_t awaited; /* answers; in the first one only */
};

void weft__weftd_gathering_end(struct weft_app *app)
{
    while (app->gathering != NULL) {
        struct weft_gathering *gathering = app->gathering;
        app->gathering = gathering->next;
        answer_one(app, NULL, gathering->call);
        free(gathering);
    }
}

static void counted(struct weft_app *app, struct weft_app_process *process,
                    const struct weft_app_answer *answer)
{
    const Weft__Host__StatsReply *reply = (const Weft__Host__StatsReply *)answer->reply;
    if (answer->err == WEFT_OK && reply->stats != NULL)
        process->stats = *reply->stats;
    if (app->gathering != NULL && --app->gathering->awaited == 0)
        weft__weftd_gathering_end(app);
}

static void gather(struct weft_app *app, struct weft_call *call)
{
    struct weft_gathering *gathering = weft__must_alloc(1, sizeof(*gathering));
    gathering->call = call;
    if (app->gathering != NULL) {
        gathering->next = app->gathering->next;
        app->gathering->next = gathering;
        return;
    }
    app->gathering = gathering;
    Weft__Host__StatsRequest request = WEFT__HOST__STATS_REQUEST__INIT;
    request.token = app->token;
    for (size_t i = 0; i < app->processes_n; i++) {
        if (!app->processes[i].launched || app->processes[i].dead)
            continue;
        gathering->awaited++;
        weft__weftd_app_ask(
            app, &(struct weft_app_question){.process = app->processes[i].number,
                                             .whenever = true,
                                             .code = WEFT_CALL_STATS,
                                             .request = &request.base,
                                             .reply_type = &weft__host__stats_reply__descriptor,
                                             .timeout_ms = STATS_TIMEOUT_MS,
                                             .answered = counted});
    }
    if (gathering->awaited == 0)
        weft__weftd_gathering_end(app);
}

void weft__weftd_on_apps(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_host *host = ctx;
    const Weft__Host__AppsRequest *request = (const Weft__Host__AppsRequest *)message;
    struct weft_app *app = weft__weftd_app_find(host, request->app);
    if (request->app == 0)
        answer_all(host, request->brief, call);
    else if (app == NULL)
        weft__call_fail(call, WEFT_ENOENT, "no such app is at home here");
    else if (request->fresh && app->state == WEFT_APP_RUNNING)
        gather(app, call);
    else
        answer_one(app, request, call);
}
