/* Carries a plan out, one rank at a time: drives the HOME machine of plan/move.h.
 *
 * The machine decides, this file does: leases at the destination's weftd, messages to the app's
 * processes, the registry, timers. Every answer comes back as an event on the owner thread, so a
 * step never runs inside a step. When a rank has moved, its record here changes at once (process,
 * incarnation, lease) and all processes are told; the plan goes on with the next rank when the
 * flush markers are in. A move that is given up ends its plan: the rest was thought out for another
 * placement.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "control/server.h"
#include "host/calls.h"
#include "host/keys.h"
#include "host/move_wire.h"
#include "host/weftd_app.h"
#include "host/weftd_events.h"

enum {
    MESSAGE_TIMEOUT_MS = 2000,
    HOME_NUMBER = 0xffff, /* no process has the home's number */
    MOVES_KEPT = 1000     /* records of past moves */
};

static void next_step(struct weft_app *app);
static void machine_step(struct weft_app *app, const struct weft_move_event *event);

static struct weft_app_move *record(struct weft_app *app)
{
    return &app->moves[app->plan->record];
}

static void tell_asked(struct weft_app *app)
{
    const struct weft_app_move *move = record(app);
    app->host->counts.moves_started++;
    weft__weftd_event(app->host,
                      &(struct weft_event_note){.kind = WEFT_EVENT_MOVE_ASKED,
                                                .app = app->id,
                                                .rank = move->rank,
                                                .n = {app->move_count},
                                                .text = {move->from, move->to, move->cause}});
}

/* The rank is not copied any more while it runs; nothing is told of what was refused at once. */
static void tell_precopied(struct weft_app *app)
{
    const struct weft_app_move *move = record(app);
    uint64_t now = weft__now_ns();
    if (move->copied_bytes == 0)
        return;
    weft__weftd_event(
        app->host, &(struct weft_event_note){.kind = WEFT_EVENT_MOVE_PRECOPIED,
                                             .app = app->id,
                                             .rank = move->rank,
                                             .mono_ns = now,
                                             .n = {app->move_count, now - app->plan->copy_began_ns,
                                                   move->copied_bytes, move->passes},
                                             .text = {move->from, move->to}});
}

/* The record of the move says what has become of it; err: why it was given up. */
static void tell_over(struct weft_app *app, int err)
{
    struct weft_app_move *move = record(app);
    uint64_t now = weft__now_ns(), took_ns = now - app->plan->move_began_ns;
    struct weft_event_note note;
    bool moved = move->outcome == WEFT_MOVE_OUTCOME_MOVED;
    app->moved += moved;
    app->aborted += !moved;
    move->err = moved ? WEFT_OK : err;
    weft__weftd_count_move(app->host, move, took_ns);
    if (moved)
        note = (struct weft_event_note){.kind = WEFT_EVENT_MOVE_DONE,
                                        .app = app->id,
                                        .rank = move->rank,
                                        .mono_ns = now,
                                        .n = {app->move_count, took_ns, move->bytes,
                                              move->forwarded, (uint64_t)(move->pause_ms * 1e6)},
                                        .text = {move->from, move->to, move->transport}};
    else
        note = (struct weft_event_note){.kind = WEFT_EVENT_MOVE_ABORTED,
                                        .app = app->id,
                                        .rank = move->rank,
                                        .n = {app->move_count, took_ns},
                                        .text = {move->to, weft_error_name(err), move->reason}};
    weft__weftd_event(app->host, &note);
}

void weft__weftd_plan_free(struct weft_app *app, const char *reason)
{
    struct weft_app_plan *plan = app->plan;
    if (plan == NULL)
        return;
    weft__loop_timer_off(app->host->asker.loop, &plan->timer);
    if (plan->moving && !record(app)->over) {
        record(app)->over = true;
        record(app)->outcome = plan->machine.outcome; /* it may have moved already */
        record(app)->done_ms = weft__weftd_app_age_ms(app);
        snprintf(record(app)->reason, sizeof(record(app)->reason), "%s", reason);
        tell_over(app, WEFT_ECANCELED);
    }
    if (plan->asked != NULL)
        weft__call_fail(plan->asked, WEFT_ECANCELED, reason);
    free(plan->descriptor);
    free(plan->round);
    free(plan->steps);
    free(plan);
    app->plan = NULL;
    app->plan_ended_ns = weft__now_ns();
    weft__weftd_app_next_step(app);
}

static void answer_asked(struct weft_app *app)
{
    struct weft_app_plan *plan = app->plan;
    size_t n = app->moves_n - plan->first_move;
    Weft__Host__MigrateReply reply = WEFT__HOST__MIGRATE_REPLY__INIT;
    Weft__Host__MoveInfo *infos = weft__must_alloc(n, sizeof(*infos));
    reply.moves = weft__must_alloc(n, sizeof(*reply.moves));
    for (size_t i = 0; i < n; i++) {
        weft__weftd_move_info(&app->moves[plan->first_move + i], &infos[i]);
        reply.moves[i] = &infos[i];
    }
    reply.n_moves = n;
    weft__call_reply(plan->asked, &reply.base);
    plan->asked = NULL;
    free(infos);
    free(reply.moves);
}

static void plan_over(struct weft_app *app, bool failed)
{
    app->plan_failures = failed ? app->plan_failures + 1 : 0;
    app->plan->moving = false;
    if (app->plan->asked != NULL)
        answer_asked(app);
    weft__weftd_plan_free(app, "");
}

/* ---- what the machine asks for ---- */

/* What an agent or a launch came to, as the message that the machine waits for. */
static void feed(struct weft_app *app, enum weft_move_kind kind, int err, const char *text)
{
    struct weft_move_message message = app->plan->machine.id;
    message.kind = kind;
    message.err = err;
    snprintf(message.text, sizeof(message.text), "%s", text);
    machine_step(app, &(struct weft_move_event){.kind = WEFT_MOVE_ON_MESSAGE, .message = &message});
}

/* An answer in time is of the move that is under way: each move is a step of its app. */
static void lease_answered(struct weft_app *app, struct weft_app_process *process,
                           const struct weft_app_answer *answer)
{
    const Weft__Host__LeaseReply *reply = (const Weft__Host__LeaseReply *)answer->reply;
    (void)process;
    if (answer->err == WEFT_OK && reply->busy)
        return; /* the machine asks again */
    if (answer->err == WEFT_OK && reply->granted == 0)
        feed(app, WEFT_MOVE_LEASED, WEFT_ENOSLOTS, "the destination has no free slot");
    else if (answer->err == WEFT_OK)
        feed(app, WEFT_MOVE_LEASED, WEFT_OK, "");
    else if (weft_error_damage(answer->err) == WEFT_DAMAGE_OP && answer->err != WEFT_ETIMEDOUT)
        feed(app, WEFT_MOVE_LEASED, answer->err, answer->text);
    /* else it is not known: the machine asks again */
}

static void ask_agent(struct weft_app *app, const struct weft_move_message *message)
{
    uint64_t lease_id = message->lease;
    if (message->kind != WEFT_MOVE_LEASE) {
        weft__weftd_app_lease_end(app, (uint32_t)message->dest, lease_id);
        return;
    }
    Weft__Host__LeaseRequest lease = WEFT__HOST__LEASE_REQUEST__INIT;
    lease.app = app->id;
    lease.token = app->token;
    lease.leases = &lease_id;
    lease.n_leases = 1;
    lease.hold_ms = message->within_ms;
    lease.home = app->host->name;
    lease.tenant = app->request->tenant;
    lease.apart = app->policy == WEFT_POLICY_COMPACT;
    lease.home_control = app->host->control;
    lease.moves = true;
    weft__weftd_app_ask(
        app, &(struct weft_app_question){.process = (uint32_t)message->dest,
                                         .to_host = true,
                                         .code = WEFT_CALL_LEASE,
                                         .request = &lease.base,
                                         .reply_type = &weft__host__lease_reply__descriptor,
                                         .timeout_ms = MESSAGE_TIMEOUT_MS,
                                         .answered = lease_answered});
}

static void send_message(struct weft_app *app, const struct weft_move_message *message)
{
    const struct weft_app_process *process =
        weft__weftd_app_process(app, (uint32_t)weft__move_receiver_host(message));
    if (process == NULL || process->dead || !process->launched)
        return; /* the machine repeats itself, or learns of the death */
    Weft__Host__MoveMessage twin;
    weft__move_pack(message, app->token, &twin);
    if (message->kind == WEFT_MOVE_PULL) {
        twin.descriptor =
            (ProtobufCBinaryData){.len = app->plan->descriptor_len, .data = app->plan->descriptor};
        twin.frozen_wall_us = app->plan->frozen_wall_us;
    }
    if (message->kind == WEFT_MOVE_FETCH)
        twin.descriptor =
            (ProtobufCBinaryData){.len = app->plan->round_len, .data = app->plan->round};
    weft__weftd_app_ask(app, &(struct weft_app_question){.process = process->number,
                                                         .code = WEFT_CALL_MOVE,
                                                         .request = &twin.base,
                                                         .timeout_ms = MESSAGE_TIMEOUT_MS});
}

static void send_prepare(struct weft_app *app, const struct weft_move_message *message)
{
    struct weft_app_process *process = weft__weftd_app_process(app, app->plan->to);
    app->plan->prepare = *message; /* it is sent as soon as the process has greeted */
    if (process->launched)
        send_message(app, message);
    else if (!process->launching && !process->dead)
        weft__weftd_app_launch(app, process);
}

void weft__weftd_plan_launched(struct weft_app *app, const struct weft_app_process *process,
                               int err, const char *text)
{
    const struct weft_app_plan *plan = app->plan;
    if (plan == NULL || !plan->moving || plan->to != process->number)
        return; /* the move was given up meanwhile; the next one finds the process running */
    if (err != WEFT_OK) {
        feed(app, WEFT_MOVE_FAILED, err, text);
    } else if (plan->machine.state == WEFT_HOME_PREPARING) {
        send_message(app, &plan->prepare);
    }
}

static void send_freeze(struct weft_app *app, const struct weft_move_message *message);

static void perform_send(struct weft_app *app, const struct weft_move_message *message)
{
    switch (weft__move_receiver(message->kind)) {
    case WEFT_ROLE_AGENT:
        ask_agent(app, message);
        break;
    case WEFT_ROLE_ALL:
        weft__weftd_routes_moved(app, message->rank);
        break;
    default:
        if (message->kind == WEFT_MOVE_PREPARE)
            send_prepare(app, message);
        else if (message->kind == WEFT_MOVE_FREEZE)
            send_freeze(app, message);
        else
            send_message(app, message);
    }
}

/* A question to the registry, answered on the client's thread. */
struct owner_question {
    struct weft_task task;
    struct weft_host *host;
    uint64_t app, step;
    struct weft_move_event event;
};

static void owner_task(struct weft_task *task)
{
    struct owner_question *question = weft__loop_owner(task, struct owner_question, task);
    struct weft_app *app = weft__weftd_app_find(question->host, question->app);
    if (app != NULL && app->step == question->step && app->plan != NULL && app->plan->moving)
        machine_step(app, &question->event);
    free(question);
}

/* On the client's thread. */
static void owner_known(void *ctx, int err, struct weft_move_owner owner)
{
    struct owner_question *question = ctx;
    question->event =
        (struct weft_move_event){.kind = WEFT_MOVE_ON_OWNER, .err = err, .owner = owner};
    weft__loop_must_post(question->host->asker.loop, &question->task);
}

static void ask_owner(struct weft_app *app, const struct weft_move_message *message,
                      void (*run)(struct weft_task *task))
{
    const struct weft_move_owner source = {.host = message->source,
                                           .incarnation = message->incarnation};
    struct owner_question *question = weft__must_alloc(1, sizeof(*question));
    *question = (struct owner_question){
        .task = {.run = run}, .host = app->host, .app = app->id, .step = app->step};
    struct weft_owner_ask ask = {.at = app->host->registry_at,
                                 .app = app->id,
                                 .log = app->registry_log,
                                 .rank = message->rank,
                                 .initial = source,
                                 .expect = source,
                                 .want = source,
                                 .done = owner_known,
                                 .ctx = question};
    if (run == owner_task)
        weft__owner_read(&ask);
    else
        weft__owner_cas(&ask);
}

/* Why a rank is not frozen now; NULL: it may be. */
static const char *against_freeze(const struct weft_app *app, const struct weft_move_event *event)
{
    const struct weft_move_message *freeze = &app->plan->freeze;
    if (event->err == WEFT_ESTALE)
        return "the registry has lost its log since the app's start: its ranks stay";
    if (event->err != WEFT_OK)
        return "the registry cannot write down who has the rank; see the head, try again later";
    if (event->owner.host != freeze->source || event->owner.incarnation != freeze->incarnation)
        return "the registry names another owner of the rank";
    return NULL;
}

/* A rank is frozen only where somebody can say whose it is: the registry has just written its owner
 * down, as it will have to at the commit. That it cannot costs nobody anything before, and ends the
 * app afterwards. */
static void freeze_task(struct weft_task *task)
{
    struct owner_question *question = weft__loop_owner(task, struct owner_question, task);
    struct weft_app *app = weft__weftd_app_find(question->host, question->app);
    const struct weft_move_event event = question->event;
    bool waits = app != NULL && app->step == question->step && app->plan != NULL &&
                 app->plan->moving && app->plan->machine.state == WEFT_HOME_FREEZING;
    free(question);
    if (!waits)
        return;
    const char *why = against_freeze(app, &event);
    if (why != NULL) {
        machine_step(app, &(struct weft_move_event){.kind = WEFT_MOVE_ON_CANCEL, .text = why});
        return;
    }
    app->plan->registry_answers = true;
    send_message(app, &app->plan->freeze);
}

static void send_freeze(struct weft_app *app, const struct weft_move_message *message)
{
    struct weft_app_plan *plan = app->plan;
    plan->freeze = *message;
    app->ranks[message->rank].key = true; /* from now on the registry may hold one */
    if (plan->registry_answers)
        send_message(app, message);
    else if (!plan->registry_asked)
        ask_owner(app, message, freeze_task);
    plan->registry_asked = true;
}

/* ---- what comes of it ---- */

/* The rank's record follows what the machine knows: before the ROUTE of the same step is sent. */
static void apply_owner(struct weft_app *app)
{
    struct weft_app_plan *plan = app->plan;
    struct weft_app_rank *rank = &app->ranks[plan->machine.id.rank];
    bool decided = plan->machine.outcome == WEFT_MOVE_OUTCOME_MOVED ||
                   plan->machine.outcome == WEFT_MOVE_OUTCOME_STAYED;
    if (plan->applied || !decided || plan->machine.owner.host == 0)
        return;
    plan->applied = true;
    rank->incarnation = (uint32_t)plan->machine.owner.incarnation;
    if (plan->machine.outcome == WEFT_MOVE_OUTCOME_STAYED)
        return;
    record(app)->committed_ms = weft__weftd_app_age_ms(app);
    weft__weftd_left_moved(app);
    weft__weftd_app_lease_end(app, rank->process, rank->lease);
    if (!rank->ended) {
        weft__weftd_app_process(app, rank->process)->ranks--;
        weft__weftd_app_process(app, plan->to)->ranks++;
    }
    rank->process = plan->to;
    rank->lease = plan->machine.id.lease;
    if (rank->ended) /* its end was told before its arrival */
        weft__weftd_app_lease_end(app, rank->process, rank->lease);
    record(app)->to_pid = weft__weftd_app_process(app, plan->to)->pid;
}

void weft__weftd_move_ended(struct weft_app *app)
{
    struct weft_app_plan *plan = app->plan;
    struct weft_app_move *move = record(app);
    move->over = true;
    move->outcome = plan->machine.outcome;
    move->done_ms = weft__weftd_app_age_ms(app);
    snprintf(move->reason, sizeof(move->reason), "%s", plan->machine.reason);
    bool moved = plan->machine.outcome == WEFT_MOVE_OUTCOME_MOVED;
    tell_over(app, plan->machine.err);
    if (!moved)
        weft__weftd_turn_stays(app);
    weft__info("app %" PRIx64 ": rank %d %s %s -> %s%s%s", app->id, move->rank,
               moved ? "moved" : "did not move", move->from, move->to,
               move->reason[0] != '\0' ? ": " : "", move->reason);
    if (moved && plan->next < plan->steps_n)
        next_step(app);
    else
        plan_over(app, !moved);
}

static void timer_fired(struct weft_timer *timer)
{
    const struct weft_app_plan *plan = weft__loop_owner(timer, struct weft_app_plan, timer);
    machine_step(plan->app, &(struct weft_move_event){.kind = WEFT_MOVE_ON_TICK});
}

/* Does one action; false: the plan is over and must not be looked at any more. */
static bool perform(struct weft_app *app, const struct weft_move_action *action)
{
    switch (action->kind) {
    case WEFT_MOVE_DO_SEND:
        perform_send(app, &action->message);
        return true;
    case WEFT_MOVE_DO_READ_OWNER:
        ask_owner(app, &action->message, owner_task);
        return true;
    case WEFT_MOVE_DO_ENDED:
        app->plan->ends = true;
        if (!app->plan->output_asked || app->plan->machine.outcome != WEFT_MOVE_OUTCOME_MOVED)
            weft__weftd_move_ended(app);
        return false;
    case WEFT_MOVE_DO_END_APP:
        weft__weftd_app_end(
            app, WEFT_EHOSTDEAD, 1, "rank %u is lost in a move from host %s to host %s: %s",
            action->message.rank, record(app)->from, record(app)->to, action->message.text);
        return false;
    default:
        weft__error("the home machine asks for %s", weft__move_action_name(action->kind));
        abort(); /* not an action of this role */
    }
}

static void machine_step(struct weft_app *app, const struct weft_move_event *event)
{
    struct weft_move_action actions[WEFT_MOVE_ACTIONS_MAX];
    struct weft_app_plan *plan = app->plan;
    enum weft_move_home_state before = plan->machine.state;
    size_t n =
        weft__move_home_step(&plan->machine, event, weft__now_ns(), actions, WEFT_MOVE_ACTIONS_MAX);
    apply_owner(app);
    record(app)->copied_bytes = plan->machine.copied_bytes;
    record(app)->passes = plan->machine.passes;
    if (plan->machine.state != before && plan->machine.state == WEFT_HOME_COPYING)
        plan->copy_began_ns = weft__now_ns();
    else if (plan->machine.state != before && before == WEFT_HOME_COPYING)
        tell_precopied(app);
    for (size_t i = 0; i < n; i++)
        if (!perform(app, &actions[i]))
            return;
    uint64_t at = weft__move_home_deadline(&plan->machine);
    if (at == WEFT_NEVER)
        weft__loop_timer_off(app->host->asker.loop, &plan->timer);
    else
        weft__loop_timer(app->host->asker.loop, &plan->timer, at);
}

/* ---- steps of a plan ---- */

static struct weft_app_move *record_new(struct weft_app *app)
{
    app->moves = weft__must_grow(app->moves, app->moves_n + 1, sizeof(*app->moves));
    app->plan->record = app->moves_n;
    struct weft_app_move *move = &app->moves[app->moves_n++];
    memset(move, 0, sizeof(*move));
    return move;
}

/* Forgets the older half of the past moves when there are too many; between plans, because a plan
 * knows its records by index. */
static void forget_moves(struct weft_app *app)
{
    size_t half = app->moves_n / 2;
    if (app->moves_n < MOVES_KEPT)
        return;
    memmove(app->moves, app->moves + half, (app->moves_n - half) * sizeof(*app->moves));
    app->moves_n -= half;
}

/* A record of the move that begins, or does not. */
static struct weft_app_move *record_step(struct weft_app *app)
{
    const struct weft_app_plan *plan = app->plan;
    const struct weft_app_step *step = &plan->steps[plan->next - 1];
    const struct weft_app_process *source =
        weft__weftd_app_process(app, app->ranks[step->rank].process);
    struct weft_app_move *move = record_new(app);
    move->rank = step->rank;
    move->cause = plan->cause;
    move->opportunity_ms = plan->opportunity_ms;
    move->detected_ms = plan->detected_ms;
    move->from_pid = source->pid;
    snprintf(move->from, sizeof(move->from), "%s", source->host);
    snprintf(move->to, sizeof(move->to), "%s", step->to);
    return move;
}

static void begin_move(struct weft_app *app, const struct weft_app_step *step,
                       const struct weft_app_process *dest)
{
    struct weft_app_plan *plan = app->plan;
    const struct weft_app_rank *rank = &app->ranks[step->rank];
    (void)record_step(app);
    struct weft_move_desc desc = {.params = &app->host->move_params,
                                  .app = app->id,
                                  .move_id = ++app->move_count,
                                  .rank = (uint32_t)step->rank,
                                  .incarnation = rank->incarnation,
                                  .home = HOME_NUMBER,
                                  .source = rank->process,
                                  .dest = dest->number,
                                  .lease = plan->turn.lease};
    free(plan->descriptor);
    plan->descriptor = NULL;
    plan->descriptor_len = 0;
    plan->from = rank->process;
    plan->to = dest->number;
    plan->applied = plan->registry_asked = plan->registry_answers = false;
    plan->output_asked = plan->output_is_here = plan->ends = false;
    plan->moving = true;
    plan->timer.fire = timer_fired;
    plan->move_began_ns = weft__now_ns();
    tell_asked(app);
    weft__weftd_app_next_step(app);
    weft__move_home_init(&plan->machine, &desc);
    machine_step(app, &(struct weft_move_event){.kind = WEFT_MOVE_ON_START});
}

/* Both hosts let the rank move now, or will not for long. */
static void turn_taken(struct weft_app *app, int err, const char *text)
{
    struct weft_app_plan *plan = app->plan;
    const struct weft_app_step *step = &plan->steps[plan->next - 1];
    const struct weft_app_process *dest = weft__weftd_app_process(app, plan->turn.dest);
    if (app->ranks[step->rank].ended) {
        weft__weftd_app_lease_end(app, plan->turn.dest, plan->turn.lease);
        next_step(app);
    } else if (err != WEFT_OK || dest->dead) {
        struct weft_app_move *move = record_step(app);
        move->over = true;
        move->outcome = WEFT_MOVE_OUTCOME_STAYED;
        move->done_ms = weft__weftd_app_age_ms(app);
        snprintf(move->reason, sizeof(move->reason), "%s",
                 err != WEFT_OK ? text : "the destination died");
        weft__weftd_turn_stays(app);
        plan_over(app, true);
    } else {
        begin_move(app, step, dest);
    }
}

static void next_step(struct weft_app *app)
{
    struct weft_app_plan *plan = app->plan;
    plan->moving = false;
    while (plan->next < plan->steps_n) {
        const struct weft_app_step *step = &plan->steps[plan->next++];
        const struct weft_member *member = weft__weftd_member(app->host, step->to);
        if (app->ranks[step->rank].ended)
            continue;
        struct weft_app_process *dest = weft__weftd_app_process_on(app, step->to);
        if (dest == NULL && member != NULL && member->at.alive)
            dest = weft__weftd_app_process_add(app, member);
        if (dest == NULL)
            break;
        weft__weftd_turn_take(app, step->rank, dest->number, turn_taken);
        return;
    }
    plan_over(app, false);
}

void weft__weftd_plan_start(struct weft_app *app, struct weft_app_plan *plan)
{
    forget_moves(app);
    plan->app = app;
    plan->first_move = app->moves_n;
    app->plan = plan;
    weft__info("app %" PRIx64 ": a plan of %zu moves: %s", app->id, plan->steps_n, plan->cause);
    next_step(app);
}

void weft__weftd_plan_process_dead(struct weft_app *app, uint32_t number)
{
    if (app->plan != NULL && app->plan->moving &&
        (app->plan->from == number || app->plan->to == number))
        machine_step(app,
                     &(struct weft_move_event){.kind = WEFT_MOVE_ON_HOST_DEAD, .host = number});
}

static void take_extras(struct weft_app *app, const Weft__Host__MoveMessage *twin)
{
    struct weft_app_plan *plan = app->plan;
    struct weft_app_move *move = record(app);
    if (twin->kind == WEFT_MOVE_FROZEN && plan->descriptor == NULL) {
        plan->descriptor = weft__must_copy(twin->descriptor.data, twin->descriptor.len);
        plan->descriptor_len = twin->descriptor.len;
        plan->frozen_wall_us = twin->frozen_wall_us;
        weft__weftd_left_ask(app);
    } else if (twin->kind == WEFT_MOVE_COPIED && twin->round == plan->machine.round &&
               !plan->machine.fetching) {
        free(plan->round);
        plan->round = weft__must_copy(twin->descriptor.data, twin->descriptor.len);
        plan->round_len = twin->descriptor.len;
    } else if (twin->kind == WEFT_MOVE_COMMITTED) {
        move->bytes = twin->bytes;
        move->touched_bytes = twin->touched_bytes;
        move->pause_ms = twin->pause_ms;
        snprintf(move->transport, sizeof(move->transport), "%s", twin->transport);
    } else if (twin->kind == WEFT_MOVE_FLUSHED) {
        move->forwarded = twin->forwarded;
    }
}

/* A source that stood still takes its rank back when the move is over here: the next move has to
 * know the incarnation. */
static void take_late_word(struct weft_app *app, const struct weft_move_message *message)
{
    if (message->kind != WEFT_MOVE_ABORTED || message->rank >= app->size)
        return;
    struct weft_app_rank *rank = &app->ranks[message->rank];
    if (message->owner.host == rank->process && message->owner.incarnation > rank->incarnation)
        rank->incarnation = (uint32_t)message->owner.incarnation;
}

void weft__weftd_on_move(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    const Weft__Host__MoveMessage *twin = (const Weft__Host__MoveMessage *)request;
    struct weft_app *app = weft__weftd_app_of(ctx, twin->app, twin->token, call);
    struct weft_move_message message;
    if (app == NULL)
        return;
    int err = weft__move_unpack(twin, WEFT_ROLE_HOME, &message);
    if (err == WEFT_OK && app->plan != NULL && app->plan->moving &&
        app->plan->machine.id.move_id == twin->move) {
        take_extras(app, twin);
        machine_step(app,
                     &(struct weft_move_event){.kind = WEFT_MOVE_ON_MESSAGE, .message = &message});
    } else if (err == WEFT_OK) {
        take_late_word(app, &message);
    }
    if (err == WEFT_OK)
        weft__call_reply(call, NULL); /* also to what comes late: its sender need not repeat it */
    else
        weft__call_fail(call, err, weft_fail_text(err));
}
