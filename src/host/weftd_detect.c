/* Looks for better plans: for each app that opted in, every period, and when somebody asks.
 *
 * A check fetches the used slots of all hosts, asks plan/detect.h for a better placement and
 * plan/worth.h whether it pays, and hands the plan over to weftd_move.c. The time of the
 * opportunity is when a slot of the destination was last seen to come free.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "control/server.h"
#include "host/weftd_cpu.h"
#include "host/weftd_view.h"
#include "plan/worth.h"
#include "wire/message.h"

enum { PERIOD_MIN_MS = 10, LEAVING_MS = 1000 };

/* A check on its way. */
struct check {
    struct weft_host *host;
    uint64_t app;
    struct weft_call *asked; /* NULL: the periodic check */
    bool dry_run;
};

static const char *cause_of(const struct weft_plan *plan, enum weft_policy policy)
{
    if (plan->must)
        return "their host is about to go";
    if (plan->by_traffic)
        return "less traffic between hosts";
    if (policy == WEFT_POLICY_EMPTY_HOSTS)
        return "more hosts that nobody uses";
    return plan->then.hosts < plan->now.hosts ? "fewer hosts"
                                              : "fewer pairs of ranks on different hosts";
}

/* Milliseconds of the app's life at a wall-clock time. */
static double since_start(const struct weft_app *app, uint64_t wall_ms)
{
    return wall_ms > app->started_wall_ms ? (double)(wall_ms - app->started_wall_ms) : 0.0;
}

static struct weft_app_plan *plan_new(size_t steps_n, const char *cause, double detected_ms)
{
    struct weft_app_plan *plan = weft__must_alloc(1, sizeof(*plan));
    plan->steps = weft__must_alloc(steps_n, sizeof(*plan->steps));
    plan->steps_n = steps_n;
    plan->cause = cause;
    plan->opportunity_ms = detected_ms;
    plan->detected_ms = detected_ms;
    return plan;
}

/* A plan made of found moves, whose ranks are indexes into the placement. */
static struct weft_app_plan *plan_from(struct weft_app *app, const struct weft_view *view,
                                       const struct weft_placement *placement,
                                       const struct weft_plan *found)
{
    struct weft_app_plan *plan =
        plan_new(found->moves_n, cause_of(found, app->policy), weft__weftd_app_age_ms(app));
    uint64_t freed = 0;
    for (size_t i = 0; i < found->moves_n; i++) {
        const struct weft_member *to = view->members[found->moves[i].to];
        plan->steps[i].rank = (int32_t)placement->ranks[found->moves[i].rank];
        snprintf(plan->steps[i].to, sizeof(plan->steps[i].to), "%s", to->at.name);
        freed = to->freed_wall_ms > freed ? to->freed_wall_ms : freed;
    }
    if (freed != 0 && since_start(app, freed) < plan->opportunity_ms)
        plan->opportunity_ms = since_start(app, freed);
    return plan;
}

/* plan: NULL: no moves. */
static void answer_dry(struct weft_app *app, const struct weft_app_plan *plan,
                       const struct weft_app_thought *thought, struct weft_call *call)
{
    Weft__Host__MigrateReply reply = WEFT__HOST__MIGRATE_REPLY__INIT;
    Weft__Host__PlanInfo about;
    size_t n = plan != NULL ? plan->steps_n : 0;
    Weft__Host__MoveInfo *infos = weft__must_alloc(n, sizeof(*infos));
    reply.moves = weft__must_alloc(n, sizeof(*reply.moves));
    for (size_t i = 0; i < n; i++) {
        weft__host__move_info__init(&infos[i]);
        infos[i].rank = plan->steps[i].rank;
        infos[i].from = weft__weftd_app_process(app, app->ranks[plan->steps[i].rank].process)->host;
        infos[i].to = plan->steps[i].to;
        infos[i].cause = weft__message_text(plan->cause);
        infos[i].outcome = weft__message_text("proposed");
        reply.moves[i] = &infos[i];
    }
    reply.n_moves = n;
    weft__weftd_thought_info(thought, &about);
    reply.plan = &about;
    weft__call_reply(call, &reply.base);
    free(infos);
    free(reply.moves);
}

static void plan_drop(struct weft_app_plan *plan)
{
    if (plan != NULL)
        free(plan->steps);
    free(plan);
}

/* What a plan for an app is made of. */
struct outlook {
    struct weft_view view;
    struct weft_roster roster;
    struct weft_placement placement;
    struct weft_detect ask;
    struct weft_plan found;
    struct weft_graph traffic; /* zeroed: not known */
    uint32_t *left;
};

/* Where each rank of the placement was before its last move, if that was lately. */
static uint32_t *left_lately(const struct weft_app *app, const struct outlook *outlook)
{
    double since_ms =
        weft__weftd_app_age_ms(app) - (double)WEFT_APP_TRAFFIC_MEMORY_NS / WEFT_NS_PER_MS;
    uint32_t *left = weft__must_alloc(outlook->placement.n, sizeof(*left));
    uint32_t *last = weft__must_alloc(app->size, sizeof(*last)); /* move by rank, + 1 */
    for (uint32_t k = 0; k < app->moves_n; k++)
        if (app->moves[k].over && app->moves[k].outcome == WEFT_MOVE_OUTCOME_MOVED &&
            app->moves[k].done_ms >= since_ms)
            last[app->moves[k].rank] = k + 1;
    for (size_t i = 0; i < outlook->placement.n; i++) {
        uint32_t k = last[outlook->placement.ranks[i]];
        left[i] = k > 0 ? (uint32_t)weft__weftd_view_find(&outlook->view, app->moves[k - 1].from)
                        : (uint32_t)outlook->view.n;
    }
    free(last);
    return left;
}

static size_t hosts_of(const struct weft_app *app)
{
    size_t hosts = 0;
    for (size_t i = 0; i < app->processes_n; i++)
        hosts += app->processes[i].ranks > 0 && !app->processes[i].dead;
    return hosts;
}

/* What the ranks exchange, where that is known. */
static int outlook_traffic(struct outlook *outlook, const struct weft_app *app)
{
    int err = weft__weftd_traffic_graph(app, &outlook->placement, &outlook->traffic);
    if (err != WEFT_OK || outlook->traffic.first == NULL)
        return err;
    struct weft_worth_app known = weft__weftd_known(app);
    struct weft_worth_spread spread = {.ranks = outlook->placement.n,
                                       .hosts = hosts_of(app),
                                       .message_share = outlook->traffic.message_share};
    outlook->left = left_lately(app, outlook);
    outlook->ask.traffic = &outlook->traffic;
    outlook->ask.left = outlook->left;
    outlook->ask.move_cost = weft__worth_move_cost(NULL, &known, &spread, weft__now_ns());
    return WEFT_OK;
}

/* fini also after an error. */
static int outlook_init(struct outlook *outlook, struct weft_app *app)
{
    memset(outlook, 0, sizeof(*outlook));
    outlook->found.moves = weft__must_alloc(app->size, sizeof(*outlook->found.moves));
    weft__weftd_view_init(&outlook->view, app);
    int err = weft__weftd_placement_init(&outlook->placement, &outlook->view, app);
    outlook->ask = (struct weft_detect){.roster = &outlook->roster,
                                        .host_of = outlook->placement.host_of,
                                        .ranks = outlook->placement.n,
                                        .policy = app->policy};
    if (err == WEFT_OK)
        err = outlook_traffic(outlook, app);
    return err == WEFT_OK
               ? weft__roster_init(&outlook->roster, outlook->view.hosts, outlook->view.n)
               : err;
}

static void outlook_fini(struct outlook *outlook)
{
    weft__weftd_placement_fini(&outlook->placement);
    weft__roster_fini(&outlook->roster);
    weft__weftd_view_fini(&outlook->view);
    weft__graph_fini(&outlook->traffic);
    free(outlook->left);
    free(outlook->found.moves);
}

/* A user's, or an operator's, will is done; else an app that opted in is moved where it pays. */
static bool is_wanted(struct weft_app *app, const struct check *check,
                      const struct outlook *outlook, struct weft_app_thought *thought_out)
{
    const struct weft_plan *found = &outlook->found;
    struct weft_worth worth = weft__weftd_weigh(app, found, outlook->placement.n);
    if (check->asked != NULL && !check->dry_run && found->moves_n > 0)
        worth.verdict = WEFT_VERDICT_GO;
    *thought_out = weft__weftd_thought(found, &worth, cause_of(found, app->policy));
    if (check->dry_run)
        return found->moves_n > 0;
    if (check->asked == NULL && !found->must && app->request->migrate_ms == 0)
        return false;
    weft__weftd_think(app, thought_out);
    return worth.verdict == WEFT_VERDICT_GO;
}

static void note_traffic_plan(struct weft_app *app)
{
    memmove(app->traffic_plan_ns + 1, app->traffic_plan_ns,
            sizeof(app->traffic_plan_ns) - sizeof(app->traffic_plan_ns[0]));
    app->traffic_plan_ns[0] = weft__now_ns();
}

/* An app of policy spot goes with its home, or into the store, when there is no room for it. */
static bool home_goes(const struct weft_app *app)
{
    return app->policy == WEFT_POLICY_SPOT && app->host->leaves &&
           weft__weftd_freeze_is_set_up(app->host);
}

static int freeze(struct weft_app *app, const char *cause)
{
    if (!weft__weftd_freeze_is_due(app))
        return weft_fail(WEFT_EAGAIN, "it was given up a moment ago");
    return weft__weftd_freeze_begin(
        app, &(struct weft_freeze_wish){.cause = cause, .thaws_itself = true});
}

/* The better plan that is to be carried out or shown; *plan_out NULL: there is none, or it does not
 * pay, or the app is being frozen instead. */
static int look(struct weft_app *app, const struct check *check, struct weft_app_plan **plan_out,
                struct weft_app_thought *thought_out)
{
    struct outlook outlook;
    struct weft_counts *counts = &app->host->counts;
    uint64_t began_ns = weft__now_ns();
    int err = outlook_init(&outlook, app);
    if (err == WEFT_OK)
        err = weft__detect(&outlook.ask, &outlook.found);
    counts->checks++;
    weft__times_add(&counts->look, (weft__now_ns() - began_ns) / WEFT_NS_PER_US);
    bool wants_store = err == WEFT_OK && outlook.found.freeze && app->policy == WEFT_POLICY_SPOT &&
                       check->asked == NULL;
    if (wants_store)
        err = freeze(app, "its host is about to go, and no other has room");
    else if (err == WEFT_OK && outlook.found.freeze)
        err = weft_fail(WEFT_ENOSLOTS, "ranks are to leave a host that is being drained, and no "
                                       "other host has room for them");
    bool wanted = err == WEFT_OK && !wants_store && is_wanted(app, check, &outlook, thought_out);
    if (wanted && outlook.found.by_traffic && check->asked == NULL)
        note_traffic_plan(app);
    *plan_out = wanted ? plan_from(app, &outlook.view, &outlook.placement, &outlook.found) : NULL;
    outlook_fini(&outlook);
    return err;
}

static int carry_out(struct weft_app *app, const struct check *check)
{
    struct weft_app_plan *plan;
    struct weft_app_thought thought;
    if (app->request->processes)
        return weft_fail(WEFT_EPINNED, "its ranks cannot move: each " WEFT_APP_APART);
    if (check->asked == NULL && home_goes(app))
        return freeze(app, "its home is about to go");
    int err = look(app, check, &plan, &thought);
    if (err != WEFT_OK)
        return err;
    if (check->dry_run) {
        answer_dry(app, plan, &thought, check->asked);
        plan_drop(plan);
    } else if (plan == NULL) {
        Weft__Host__MigrateReply nothing = WEFT__HOST__MIGRATE_REPLY__INIT;
        if (check->asked != NULL)
            weft__call_reply(check->asked, &nothing.base);
    } else {
        plan->asked = check->asked;
        weft__times_add(&app->host->counts.delay,
                        (uint64_t)((plan->detected_ms - plan->opportunity_ms) * 1e3));
        weft__weftd_plan_start(app, plan);
    }
    return WEFT_OK;
}

static void refreshed(void *ctx, int err, const char *text)
{
    struct check *check = ctx;
    struct weft_app *app = weft__weftd_app_find(check->host, check->app);
    if (app != NULL && check->asked == NULL)
        app->checking = false;
    if (app == NULL || app->state != WEFT_APP_RUNNING) {
        if (check->asked != NULL)
            weft__call_fail(check->asked, WEFT_ENOENT, "the app does not run");
    } else if (app->plan != NULL) {
        if (check->asked != NULL)
            weft__call_fail(check->asked, WEFT_EBUSY,
                            "a plan of this app is being carried out; try again");
    } else if (weft__weftd_freeze_busy(app)) {
        if (check->asked != NULL)
            weft__call_fail(check->asked, WEFT_EBUSY, "the app is being frozen");
    } else {
        if (err == WEFT_OK) {
            err = carry_out(app, check);
            text = weft_fail_text(err);
        }
        if (err != WEFT_OK && check->asked != NULL)
            weft__call_fail(check->asked, err, text);
        else if (err != WEFT_OK)
            weft__debug("app %llx: no check: %s", (unsigned long long)app->id, text);
    }
    free(check);
}

static void check_now(struct weft_app *app, struct weft_call *asked, bool dry_run)
{
    struct check *check = weft__must_alloc(1, sizeof(*check));
    *check = (struct check){.host = app->host, .app = app->id, .asked = asked, .dry_run = dry_run};
    weft__weftd_refresh(app->host, refreshed, check);
}

/* Whether one of its ranks is on a host that is being drained. */
static bool is_to_leave(const struct weft_app *app)
{
    for (size_t i = 0; i < app->processes_n; i++) {
        const struct weft_app_process *process = &app->processes[i];
        const struct weft_member *member = weft__weftd_member(app->host, process->host);
        if (process->ranks > 0 && !process->dead && member != NULL && member->at.leaving)
            return true;
    }
    return false;
}

/* How often to look; 0: not at all. */
static uint64_t period_of(const struct weft_app *app)
{
    uint64_t period_ms = app->request->migrate_ms;
    if ((is_to_leave(app) || home_goes(app)) && (period_ms == 0 || period_ms > LEAVING_MS))
        return LEAVING_MS;
    return period_ms == 0 || period_ms > PERIOD_MIN_MS ? period_ms : PERIOD_MIN_MS;
}

static void check_later(struct weft_app *app)
{
    uint64_t period_ms = period_of(app);
    if (period_ms == 0)
        return;
    weft__loop_timer(app->host->asker.loop, &app->check_timer,
                     weft__now_ns() + period_ms * WEFT_NS_PER_MS);
}

static void check_fired(struct weft_timer *timer)
{
    struct weft_app *app = weft__loop_owner(timer, struct weft_app, check_timer);
    if (!app->checking && app->plan == NULL && period_of(app) != 0) {
        app->checking = true;
        check_now(app, NULL, false);
    }
    check_later(app);
}

void weft__weftd_check_start(struct weft_app *app)
{
    app->check_timer.fire = check_fired;
    check_later(app);
}

void weft__weftd_check_leaving(struct weft_host *host)
{
    struct weft_app *app, *next;
    HASH_ITER(hh, host->apps, app, next)
    if (app->state == WEFT_APP_RUNNING && (is_to_leave(app) || home_goes(app)))
        weft__loop_timer(host->asker.loop, &app->check_timer, weft__now_ns());
}

void weft__weftd_check_stop(struct weft_app *app)
{
    weft__loop_timer_off(app->host->asker.loop, &app->check_timer);
}

/* What the planner thinks of a move that somebody has thought of; it would be tried all the same.
 */
static int answer_dry_move(struct weft_app *app, const struct weft_app_plan *plan,
                           struct weft_call *call)
{
    struct outlook outlook;
    struct weft_app_thought thought;
    int err = outlook_init(&outlook, app);
    struct weft_plan_move *move = outlook.found.moves;
    outlook.found.moves_n = 1;
    while (err == WEFT_OK && move->rank < outlook.placement.n &&
           outlook.placement.ranks[move->rank] != (uint32_t)plan->steps[0].rank)
        move->rank++;
    move->to = (uint32_t)weft__weftd_view_find(&outlook.view, plan->steps[0].to);
    if (err == WEFT_OK)
        err = weft__detect_score(&outlook.ask, &outlook.found);
    if (err == WEFT_OK) {
        struct weft_worth worth = weft__weftd_weigh(app, &outlook.found, outlook.placement.n);
        thought = weft__weftd_thought(&outlook.found, &worth, plan->cause);
        thought.full = weft__plan_host_free(&outlook.view.hosts[move->to]) == 0;
        answer_dry(app, plan, &thought, call);
    }
    outlook_fini(&outlook);
    return err;
}

/* Another host than the rank's that has a free slot; text as long as names are.
 * Errors: WEFT_ENOSLOTS. */
static int draw_host(struct weft_app *app, const Weft__Host__MigrateRequest *request,
                     char *name_out)
{
    struct weft_view view;
    weft__weftd_view_init(&view, app);
    const struct weft_app_process *now =
        weft__weftd_app_process(app, app->ranks[request->rank].process);
    size_t *fit = weft__must_alloc(view.n, sizeof(*fit)), n = 0;
    for (size_t i = 0; i < view.n; i++)
        if (strcmp(view.members[i]->at.name, now->host) != 0 &&
            weft__plan_host_free(&view.hosts[i]) > 0)
            fit[n++] = i;
    if (n > 0)
        snprintf(name_out, WEFT_HOST_NAME_MAX, "%s", view.members[fit[request->draw % n]]->at.name);
    free(fit);
    weft__weftd_view_fini(&view);
    return n > 0 ? WEFT_OK
                 : weft_fail(WEFT_ENOSLOTS, "no host but the one of rank %d has a free slot",
                             request->rank);
}

/* weft migrate APP RANK HOST */
static int migrate_rank(struct weft_app *app, const Weft__Host__MigrateRequest *request,
                        struct weft_call *call)
{
    if (request->rank < 0 || (uint32_t)request->rank >= app->size)
        return weft_fail(WEFT_EINVAL, "the app has ranks 0 to %u, not %d", app->size - 1,
                         request->rank);
    if (app->ranks[request->rank].ended)
        return weft_fail(WEFT_EINVAL, "rank %d has ended", request->rank);
    char drawn[WEFT_HOST_NAME_MAX];
    const char *host = request->any_host ? drawn : request->host;
    int err = request->any_host ? draw_host(app, request, drawn) : WEFT_OK;
    if (err != WEFT_OK)
        return err;
    const struct weft_member *member = weft__weftd_member(app->host, host);
    if (member == NULL || !member->at.alive)
        return weft_fail(WEFT_ENOENT, "no live host is called \"%s\"; weft hosts lists them", host);
    const struct weft_app_process *now =
        weft__weftd_app_process(app, app->ranks[request->rank].process);
    if (strcmp(now->host, host) == 0)
        return weft_fail(WEFT_EINVAL, "rank %d is on host %s already", request->rank, host);
    if (!weft__weftd_cpu_admits(app, &member->at))
        return weft__weftd_cpu_refuse(app, request->rank, &member->at);
    if (app->plan != NULL)
        return weft_fail(WEFT_EBUSY, "a plan of this app is being carried out; try again");
    if (weft__weftd_freeze_busy(app))
        return weft_fail(WEFT_EBUSY, "the app is being frozen");
    if (app->request->processes)
        return weft_fail(WEFT_EPINNED, "rank %d cannot move: it " WEFT_APP_APART, request->rank);
    struct weft_app_plan *plan =
        plan_new(1, request->any_host ? "torture" : "asked by hand", weft__weftd_app_age_ms(app));
    plan->steps[0].rank = request->rank;
    snprintf(plan->steps[0].to, sizeof(plan->steps[0].to), "%s", host);
    if (request->dry_run) {
        err = answer_dry_move(app, plan, call);
        plan_drop(plan);
        return err;
    }
    plan->asked = call;
    weft__weftd_plan_start(app, plan);
    return WEFT_OK;
}

void weft__weftd_on_migrate(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    const Weft__Host__MigrateRequest *request = (const Weft__Host__MigrateRequest *)message;
    struct weft_app *app = weft__weftd_app_find(ctx, request->app);
    if (app != NULL && app->state == WEFT_APP_STARTING) {
        weft__call_fail(call, WEFT_EBUSY, "the app is still starting; try again");
        return;
    }
    if (app == NULL || app->state != WEFT_APP_RUNNING) {
        const char *why = app == NULL ? "no such app is at home here"
                          : app->state == WEFT_APP_FROZEN
                              ? "the app is frozen; weft thaw brings it back"
                              : "the app does not run";
        weft__call_fail(call, WEFT_ENOENT, why);
        return;
    }
    if (request->rank == -1 && request->host[0] == '\0' && !request->any_host) {
        check_now(app, call, request->dry_run);
        return;
    }
    int err = migrate_rank(app, request, call);
    if (err != WEFT_OK)
        weft__call_fail(call, err, weft_fail_text(err));
}
