/* The I/O around the machines: carries out their actions and turns what happens into events, as
 * weftd and weft-app do it. */
#include "sim.h"

#include <stdio.h>

#include "weft/error.h"

#define NUDGE_NS (50 * MS)

static bool is_process(const struct sim *sim, uint64_t number)
{
    return number >= SIM_PROC_FIRST && number < sim->procs_n;
}

uint32_t sim_host_of(const struct sim *sim, uint64_t number)
{
    if (number == SIM_REGISTRY)
        return SIM_PLACE_REGISTRY;
    return is_process(sim, number) ? sim->procs[number].host : sim->apps[number - 1].home;
}

uint32_t sim_app_of(const struct sim *sim, uint64_t number)
{
    return is_process(sim, number) ? sim->procs[number].app : (uint32_t)number - 1;
}

static bool home_acts(const struct sim *sim, uint32_t app)
{
    return sim->hosts[sim->apps[app].home].up && !sim->apps[app].over;
}

static void send_message(struct sim *sim, uint64_t from, uint64_t to,
                         const struct weft_move_message *message)
{
    struct sim_event event = {
        .kind = SIM_MOVE_MESSAGE, .to = (uint32_t)to, .from = (uint32_t)from, .message = *message};
    event.rank = (uint8_t)message->rank;
    sim_send(sim, sim_host_of(sim, from), sim_host_of(sim, to), &event);
}

static void say(struct sim *sim, uint64_t from, const struct weft_move_message *message)
{
    sim_trace(sim, "  %llu says %s to %llu (move %llu, err %d)", (unsigned long long)from,
              weft__move_kind_name(message->kind),
              (unsigned long long)weft__move_receiver_host(message),
              (unsigned long long)message->move_id, message->err);
    if (weft__move_receiver(message->kind) != WEFT_ROLE_ALL) {
        send_message(sim, from, weft__move_receiver_host(message), message);
        return;
    }
    for (uint32_t number = SIM_PROC_FIRST; number < sim->procs_n; number++) {
        const struct sim_process *p = &sim->procs[number];
        if (p->app + 1 == message->app && p->launched && !p->buried)
            sim_tell_route(sim, (uint32_t)from, number, message->rank, 0);
    }
}

/* ---- SOURCE ---- */

static void ask_point(struct sim *sim, uint32_t number, uint32_t rank, uint32_t round)
{
    struct sim_process *p = &sim->procs[number];
    bool reluctant = !sim_calm(sim) && sim_chance(sim, sim->weather.reluctance);
    uint64_t wait =
        reluctant ? sim_between(sim, 20 * MS, 300 * MS) : sim_between(sim, 10 * US, 5 * MS);
    p->asked[rank] = true;
    p->asked_round[rank] = round;
    struct sim_event *point = sim_at(sim, sim->now_ns + wait, SIM_POINT, number);
    point->rank = (uint8_t)rank;
    point->epoch = p->source[rank].id.move_id;
    point->err = sim_chance(sim, 15) ? WEFT_EPINNED : WEFT_OK;
}

static void on_point(struct sim *sim, const struct sim_event *event)
{
    struct sim_process *p = &sim->procs[event->to];
    struct sim_copy *copy = &p->copy[event->rank];
    if (!copy->running || (!p->asked[event->rank] && sim_chance(sim, 500)))
        return;
    struct weft_move_event what = {.kind = WEFT_MOVE_ON_POINT};
    if (!p->asked[event->rank])
        what.move_id = event->epoch; /* it parks although that move is over */
    if (copy->quota == 0 && (p->source[event->rank].rank_ended || sim_chance(sim, 60))) {
        what.kind = WEFT_MOVE_ON_RANK_ENDED; /* it goes on to receive, as at the end of a program */
    } else if (event->err != WEFT_OK && p->asked[event->rank]) {
        what = (struct weft_move_event){.kind = WEFT_MOVE_ON_PINNED, .err = event->err};
    } else {
        sim_pages_freeze(sim, event->to, event->rank);
        copy->running = sim->mutant == SIM_MUTANT_FREEZE_LEAKS;
        copy->epoch = ++sim->freezes;
    }
    sim->stats.seen[SIM_SAW_PINNED] += what.kind == WEFT_MOVE_ON_PINNED;
    sim->stats.seen[SIM_SAW_RANK_ENDED] += what.kind == WEFT_MOVE_ON_RANK_ENDED;
    p->asked[event->rank] = false;
    sim_step_source(sim, event->to, event->rank, &what);
}

static void thaw(struct sim *sim, uint32_t number, uint32_t rank, uint64_t incarnation)
{
    struct sim_process *p = &sim->procs[number];
    p->copy[rank].incarnation = (uint32_t)incarnation;
    sim_learn(sim, number, rank, (struct weft_world_entry){number, (uint32_t)incarnation});
    sim_rank_goes_on(sim, number, rank, false);
}

static void forward(struct sim *sim, uint32_t number, uint32_t rank, struct weft_move_owner owner)
{
    struct sim_process *p = &sim->procs[number];
    sim_copy_free(sim, &p->copy[rank]);
    p->copying[rank].on = false;
    p->forwards[rank] = true;
    p->forward_incarnation[rank] = (uint32_t)owner.incarnation;
    sim_at(sim, sim->now_ns + NUDGE_NS, SIM_NUDGE, number)->rank = (uint8_t)rank;
    sim_learn(sim, number, rank,
              (struct weft_world_entry){(uint32_t)owner.host, (uint32_t)owner.incarnation});
    sim_hold_release(sim, number, rank);
}

static void release_lease(struct sim *sim, uint32_t number, uint64_t lease)
{
    if (sim->mutant == SIM_MUTANT_LEASE_LEAKS)
        return;
    weft__leases_release(&sim->hosts[sim->procs[number].host].leases, lease);
}

/* ---- DEST ---- */

static void reserve_range(struct sim *sim, uint32_t number, uint32_t rank)
{
    uint64_t wait = sim_between(sim, 50 * US, 3 * MS);
    struct sim_event *range = sim_at(sim, sim->now_ns + wait, SIM_RANGE, number);
    range->rank = (uint8_t)rank;
    range->err = sim_chance(sim, 15) ? WEFT_ENOMEM : WEFT_OK;
    sim->stats.seen[SIM_SAW_RANGE_FAILED] += range->err != WEFT_OK;
}

static void on_range(struct sim *sim, struct sim_event *event)
{
    struct sim_process *p = &sim->procs[event->to];
    struct weft_move_event what = {.kind = WEFT_MOVE_ON_RANGE, .err = event->err};
    if (p->copy[event->rank].exists)
        what.err = WEFT_EEXIST;
    p->reserved[event->rank] = what.err == WEFT_OK;
    sim_pages_reserve(sim, event->to, event->rank);
    sim_step_dest(sim, event->to, event->rank, &what);
}

static void discard_range(struct sim *sim, uint32_t number, uint32_t rank)
{
    struct sim_process *p = &sim->procs[number];
    if (p->pulling[rank])
        sim_fail(sim, "process %u unmaps the range of rank %u under its pull", number, rank);
    p->reserved[rank] = false;
    sim_copy_free(sim, &p->arriving[rank]);
    sim_hold_release(sim, number, rank);
}

static void start_pull(struct sim *sim, uint32_t number, const struct weft_move_message *move)
{
    struct sim_process *p = &sim->procs[number];
    const struct sim_copy *source = &sim->procs[move->source].copy[move->rank];
    bool slow = !sim_calm(sim) && sim_chance(sim, 40);
    uint64_t wait =
        slow ? sim_between(sim, 50 * MS, 600 * MS) : sim_between(sim, 100 * US, 10 * MS);
    p->pulling[move->rank] = true;
    p->pull_cancelled[move->rank] = false;
    struct sim_event *end = sim_at(sim, sim->now_ns + wait, SIM_PULL_END, number);
    end->rank = (uint8_t)move->rank;
    end->from = (uint32_t)move->source;
    end->epoch = source->exists && !source->running ? source->epoch : UINT64_MAX;
    end->err = !sim_calm(sim) && sim_chance(sim, 20) ? WEFT_EIO : WEFT_OK;
}

static void cancel_pull(struct sim *sim, uint32_t number, uint32_t rank)
{
    struct sim_process *p = &sim->procs[number];
    sim_saw(sim, SIM_SAW_PULL_CANCELLED);
    p->pull_cancelled[rank] = true;
    if (sim->mutant == SIM_MUTANT_DISCARD_UNDER_PULL)
        sim_step_dest(sim, number, rank,
                      &(struct weft_move_event){.kind = WEFT_MOVE_ON_PULLED, .err = WEFT_EIO});
}

static void on_pull_end(struct sim *sim, struct sim_event *event)
{
    struct sim_process *p = &sim->procs[event->to], *source = &sim->procs[event->from];
    const struct sim_copy *copy = &source->copy[event->rank];
    struct weft_move_event what = {.kind = WEFT_MOVE_ON_PULLED, .err = event->err};
    if (!source->alive || !copy->exists)
        what.err = WEFT_EPEERDEAD;
    else if (p->pull_cancelled[event->rank] && sim_chance(sim, 700))
        what.err = WEFT_ECANCELED;
    what.err = sim_pages_pull(sim, event->to, event->rank, copy, what.err);
    sim->stats.seen[SIM_SAW_PULL_FAILED] += what.err != WEFT_OK && what.err != WEFT_ECANCELED;
    if (what.err == WEFT_OK) {
        sim_copy_pull(sim, &p->arriving[event->rank], copy);
        p->arriving[event->rank].garbage = copy->running || copy->epoch != event->epoch;
        if (sim->mutant == SIM_MUTANT_FREEZE_LEAKS)
            p->arriving[event->rank].garbage = false;
    }
    p->pulling[event->rank] = false;
    sim_step_dest(sim, event->to, event->rank, &what);
}

static void hold_lease(struct sim *sim, uint32_t number, const struct weft_move_message *move)
{
    bool slow = !sim_calm(sim) && sim_chance(sim, 50);
    uint64_t wait = slow ? sim_between(sim, MS, 80 * MS) : sim_between(sim, 10 * US, 100 * US);
    struct sim_event *ask = sim_at(sim, sim->now_ns + wait, SIM_HOLD, number);
    ask->rank = (uint8_t)move->rank;
    ask->epoch = move->lease;
}

/* The weftd of the process is asked. */
static void on_hold(struct sim *sim, const struct sim_event *event)
{
    struct weft_leases *leases = &sim->hosts[sim->procs[event->to].host].leases;
    int err = WEFT_OK;
    if (sim->mutant != SIM_MUTANT_LEASE_NOT_HELD)
        err = weft__leases_hold(leases, event->epoch, sim->now_ns);
    sim->stats.seen[SIM_SAW_HOLD_LATE] += err != WEFT_OK;
    struct sim_event *held = sim_at(sim, sim->now_ns + 10 * US, SIM_HELD, event->to);
    held->rank = event->rank;
    held->err = err;
}

static void resume(struct sim *sim, uint32_t number, const struct weft_move_message *move)
{
    struct sim_process *p = &sim->procs[number];
    uint32_t rank = move->rank;
    if (p->arriving[rank].garbage || !p->arriving[rank].exists)
        sim_fail(sim, "process %u resumes rank %u from memory that changed while it was copied",
                 number, rank);
    p->copy[rank] = p->arriving[rank];
    p->arriving[rank] = (struct sim_copy){0};
    sim_pages_arrive(sim, number, rank);
    p->reserved[rank] = p->forwards[rank] = false;
    p->copy[rank].incarnation = (uint32_t)move->owner.incarnation;
    p->lease[rank] = move->lease;
    sim->stats.seen[SIM_SAW_CAME_BACK_USED] += p->instance > 1;
    weft__move_source_place(&p->source[rank], move->owner.incarnation);
    sim_learn(sim, number, rank,
              (struct weft_world_entry){number, (uint32_t)move->owner.incarnation});
    sim_rank_goes_on(sim, number, rank, true);
}

static void commit_lease(struct sim *sim, uint32_t number, const struct weft_move_message *move)
{
    int err =
        weft__leases_commit(&sim->hosts[sim->procs[number].host].leases, move->lease, sim->now_ns);
    if (err != WEFT_OK)
        sim_fail(sim, "rank %u runs in process %u without a slot: %s", move->rank, number,
                 weft_error_name(err));
}

/* ---- actions ---- */

/* Machines that believe the registry before it has spoken. */
static bool believe_too_soon(struct sim *sim, const struct weft_move_action *action,
                             enum sim_role role, uint32_t number)
{
    struct weft_move_event word = {.kind = WEFT_MOVE_ON_OWNER, .owner = action->want};
    bool early = sim->mutant == SIM_MUTANT_RESUME_EARLY;
    if (role == SIM_ROLE_SOURCE && sim->mutant == SIM_MUTANT_THAW_ON_TIMER) {
        sim_step_source(sim, number, action->message.rank, &word);
        return true;
    }
    if (role == SIM_ROLE_DEST && (early || sim->mutant == SIM_MUTANT_COMMIT_UNASKED)) {
        if (early)
            sim_registry_ask(sim, action, role, number);
        sim_step_dest(sim, number, action->message.rank, &word);
        return true;
    }
    return false;
}

static void perform_process(struct sim *sim, enum sim_role role, uint32_t number,
                            const struct weft_move_action *action)
{
    const struct weft_move_message *move = &action->message;
    struct sim_process *p = &sim->procs[number];
    switch (action->kind) {
    case WEFT_MOVE_DO_ASK_POINT:
        ask_point(sim, number, move->rank, move->round);
        break;
    case WEFT_MOVE_DO_COPY:
        sim_pages_copy(sim, number, move);
        break;
    case WEFT_MOVE_DO_END_COPY:
        sim_pages_end_copy(sim, number, move->rank);
        break;
    case WEFT_MOVE_DO_START_FETCH:
        sim_pages_fetch(sim, number, move);
        break;
    case WEFT_MOVE_DO_WITHDRAW:
        p->asked[move->rank] = false;
        break;
    case WEFT_MOVE_DO_THAW:
        thaw(sim, number, move->rank, move->owner.incarnation);
        break;
    case WEFT_MOVE_DO_FORWARD:
        forward(sim, number, move->rank, move->owner);
        break;
    case WEFT_MOVE_DO_RELEASE_LEASE:
        release_lease(sim, number, role == SIM_ROLE_SOURCE ? p->lease[move->rank] : move->lease);
        break;
    case WEFT_MOVE_DO_RESERVE_RANGE:
        reserve_range(sim, number, move->rank);
        break;
    case WEFT_MOVE_DO_DISCARD_RANGE:
        discard_range(sim, number, move->rank);
        break;
    case WEFT_MOVE_DO_START_PULL:
        start_pull(sim, number, move);
        break;
    case WEFT_MOVE_DO_CANCEL_PULL:
        cancel_pull(sim, number, move->rank);
        break;
    case WEFT_MOVE_DO_HOLD_LEASE:
        hold_lease(sim, number, move);
        break;
    case WEFT_MOVE_DO_RESUME:
        resume(sim, number, move);
        break;
    case WEFT_MOVE_DO_COMMIT_LEASE:
        commit_lease(sim, number, move);
        break;
    default:
        sim_fail(sim, "process %u is to do %s", number, weft__move_action_name(action->kind));
        break;
    }
}

/* The record of a rank that has moved: there and back, and on. */
static void note_moved(struct sim *sim, struct sim_app *app, const struct weft_move_home *m)
{
    uint32_t rank = m->id.rank, from = sim_host_of(sim, m->id.source);
    sim->stats.seen[SIM_SAW_BACK] +=
        app->moved[rank] > 0 && app->before[rank] == sim_host_of(sim, m->id.dest);
    sim->stats.seen[SIM_SAW_CHAIN] += ++app->moved[rank] == 3;
    sim->stats.seen[SIM_SAW_ABORTED_THEN_MOVED] += m->owner.incarnation > app->moved[rank] + 1;
    app->before[rank] = from;
    sim->stats.seen[SIM_SAW_MARKERS_MISSING] += m->reason[0] != '\0';
}

static void move_ended(struct sim *sim, uint32_t index, struct sim_moving *moving)
{
    const struct weft_move_params *p = &sim->params;
    const struct weft_move_home *m = &moving->machine;
    struct sim_app *app = &sim->apps[index];
    uint64_t limit =
        p->lease_ns + p->prepare_ns + p->freeze_ns + p->pull_ns + 3 * p->resolve_ns + p->flush_ns;
    limit += p->copy_passes > 0 ? p->copy_ns : 0;
    if (sim->hosts[app->home].asleep_ns > moving->started_ns)
        limit += 2 * SIM_STOP_MAX;
    if (sim->now_ns - moving->started_ns > limit)
        sim_fail(sim, "move %llu took %.0f ms", (unsigned long long)m->id.move_id,
                 (double)(sim->now_ns - moving->started_ns) / 1e6);
    moving->on = sim->mutant == SIM_MUTANT_PLAN_KEPT;
    sim->stats.moved += m->outcome == WEFT_MOVE_OUTCOME_MOVED;
    sim->stats.stayed += m->outcome == WEFT_MOVE_OUTCOME_STAYED;
    sim->stats.lost += m->outcome == WEFT_MOVE_OUTCOME_LOST;
    if (m->outcome == WEFT_MOVE_OUTCOME_MOVED)
        note_moved(sim, app, m);
    else
        sim_stats_reason(&sim->stats, m->reason);
    if (m->outcome != WEFT_MOVE_OUTCOME_MOVED && m->reason[0] == '\0')
        sim_fail(sim, "move %llu ends without a reason", (unsigned long long)m->id.move_id);
    if (app->moves_wanted > 0)
        sim_at(sim, sim->now_ns + sim_between(sim, 100 * US, 20 * MS), SIM_PLAN, index + 1);
}

/* A rank is frozen only where the registry has just written its owner down. */
static void say_freeze(struct sim *sim, uint32_t app, const struct weft_move_message *freeze)
{
    struct sim_moving *moving = sim_moving_of(sim, app, freeze->move_id);
    struct weft_move_owner source = {freeze->source, freeze->incarnation};
    struct weft_move_action write = {
        .kind = WEFT_MOVE_DO_CAS, .message = *freeze, .expect = source, .want = source};
    moving->freeze = *freeze;
    if (moving->registry_answers)
        say(sim, app + 1, freeze);
    else if (!moving->registry_asked)
        sim_registry_ask(sim, &write, SIM_ROLE_SCRIBE, app + 1);
    moving->registry_asked = true;
}

void sim_written_down(struct sim *sim, uint32_t app, struct sim_moving *moving,
                      const struct weft_move_event *word)
{
    const struct weft_move_message *freeze = &moving->freeze;
    struct weft_move_event cancel = {.kind = WEFT_MOVE_ON_CANCEL,
                                     .text = "the registry cannot write down who has the rank"};
    if (moving->machine.state != WEFT_HOME_FREEZING || !home_acts(sim, app))
        return;
    if (word->err == WEFT_OK && word->owner.host == freeze->source &&
        word->owner.incarnation == freeze->incarnation) {
        moving->registry_answers = true;
        say(sim, app + 1, freeze);
        return;
    }
    if (word->err != WEFT_OK && sim_chance(sim, 970)) { /* calls are lost here far more often */
        moving->registry_asked = false;
        return;
    }
    sim_saw(sim, SIM_SAW_NOT_WRITTEN);
    sim_step_home(sim, app, moving, &cancel);
}

static void perform(struct sim *sim, enum sim_role role, uint32_t number,
                    const struct weft_move_action *action)
{
    const struct weft_move_message *move = &action->message;
    uint32_t app = sim_app_of(sim, number);
    if (action->kind != WEFT_MOVE_DO_SEND)
        sim_trace(sim, "  %u does %s (rank %u, move %llu) %s", number,
                  weft__move_action_name(action->kind), move->rank,
                  (unsigned long long)move->move_id, move->text);
    if (action->kind == WEFT_MOVE_DO_SEND && move->kind == WEFT_MOVE_FREEZE)
        say_freeze(sim, app, move);
    else if (action->kind == WEFT_MOVE_DO_SEND)
        say(sim, number, move);
    else if (action->kind == WEFT_MOVE_DO_END_APP)
        sim_end_app(sim, app, move->text);
    else if (action->kind == WEFT_MOVE_DO_ENDED)
        move_ended(sim, app, sim_moving_of(sim, app, move->move_id));
    else if (action->kind != WEFT_MOVE_DO_CAS && action->kind != WEFT_MOVE_DO_READ_OWNER)
        perform_process(sim, role, number, action);
    else if (!believe_too_soon(sim, action, role, number))
        sim_registry_ask(sim, action, role, number);
}

static void perform_all(struct sim *sim, enum sim_role role, uint32_t number,
                        const struct weft_move_action *actions, size_t n)
{
    for (size_t i = 0; i < n && !sim->failed; i++)
        perform(sim, role, number, &actions[i]);
}

/* ---- steps ---- */

/* Arms a machine's timer; planned: when it is to fire already. */
static void plan_tick(struct sim *sim, struct sim_event what, uint64_t *planned, uint64_t at_ns)
{
    if (at_ns == WEFT_NEVER || (*planned > sim->now_ns && *planned <= at_ns))
        return;
    *planned = at_ns > sim->now_ns ? at_ns : sim->now_ns + 1;
    struct sim_event *tick = sim_at(sim, *planned, (enum sim_kind)what.kind, what.to);
    tick->rank = what.rank;
    tick->epoch = what.epoch;
}

static void trace_event(struct sim *sim, const char *who, uint32_t number, const char *state,
                        const struct weft_move_event *event)
{
    if (sim->trace && event->kind != WEFT_MOVE_ON_TICK)
        sim_trace(sim, "%s %u (%s) gets %s %s err %d", who, number, state,
                  weft__move_event_name(event->kind),
                  event->message != NULL ? weft__move_kind_name(event->message->kind) : "",
                  event->message != NULL ? event->message->err : event->err);
}

void sim_step_home(struct sim *sim, uint32_t index, struct sim_moving *moving,
                   const struct weft_move_event *event)
{
    struct weft_move_action actions[WEFT_MOVE_ACTIONS_MAX];
    struct sim_app *app = &sim->apps[index];
    struct weft_move_home *m = &moving->machine;
    if (sim->failed || !home_acts(sim, index))
        return;
    trace_event(sim, "home", index + 1, weft__move_home_name(m->state), event);
    sim->stats.steps++;
    size_t n = weft__move_home_step(m, event, sim->now_ns, actions, WEFT_MOVE_ACTIONS_MAX);
    bool settled = m->outcome == WEFT_MOVE_OUTCOME_MOVED || m->outcome == WEFT_MOVE_OUTCOME_STAYED;
    if (settled && m->owner.host != 0)
        app->routes[m->id.rank] =
            (struct weft_world_entry){(uint32_t)m->owner.host, (uint32_t)m->owner.incarnation};
    for (size_t i = 0; i < n; i++)
        sim->stats.seen[SIM_SAW_RESOLVED] += actions[i].kind == WEFT_MOVE_DO_READ_OWNER;
    perform_all(sim, SIM_ROLE_HOME, index + 1, actions, n);
    struct sim_event tick = {.kind = SIM_TICK_HOME, .to = index + 1, .epoch = m->id.move_id};
    plan_tick(sim, tick, &moving->tick_ns, weft__move_home_deadline(m));
    sim_check(sim);
    sim_count_step(sim);
}

void sim_step_source(struct sim *sim, uint32_t number, uint32_t rank,
                     const struct weft_move_event *event)
{
    struct weft_move_action actions[WEFT_MOVE_ACTIONS_MAX];
    struct sim_process *p = &sim->procs[number];
    struct weft_move_source *m = &p->source[rank];
    if (sim->failed || !p->alive)
        return;
    trace_event(sim, "source", number, weft__move_source_name(m->state), event);
    sim->stats.steps++;
    sim->stats.seen[SIM_SAW_NO_POINT] += event->kind == WEFT_MOVE_ON_TICK &&
                                         m->state == WEFT_SOURCE_WAITING &&
                                         m->until_ns <= sim->now_ns;
    size_t n = weft__move_source_step(m, event, sim->now_ns, actions, WEFT_MOVE_ACTIONS_MAX);
    for (size_t i = 0; i < n; i++)
        sim->stats.seen[SIM_SAW_REFUSED] += actions[i].message.kind == WEFT_MOVE_REFUSED;
    sim->stats.seen[SIM_SAW_COPY_REPEATED] += n > 0 && event->kind == WEFT_MOVE_ON_MESSAGE &&
                                              actions[0].message.kind == WEFT_MOVE_COPIED &&
                                              actions[0].message.err == WEFT_OK;
    perform_all(sim, SIM_ROLE_SOURCE, number, actions, n);
    struct sim_event tick = {.kind = SIM_TICK_SOURCE, .to = number, .rank = (uint8_t)rank};
    plan_tick(sim, tick, &p->source_tick[rank], weft__move_source_deadline(m));
    sim_check(sim);
    sim_count_step(sim);
}

void sim_step_dest(struct sim *sim, uint32_t number, uint32_t rank,
                   const struct weft_move_event *event)
{
    struct weft_move_action actions[WEFT_MOVE_ACTIONS_MAX];
    struct sim_process *p = &sim->procs[number];
    struct weft_move_dest *m = &p->dest[rank];
    if (sim->failed || !p->alive)
        return;
    trace_event(sim, "dest", number, weft__move_dest_name(m->state), event);
    sim->stats.steps++;
    size_t n = weft__move_dest_step(m, event, sim->now_ns, actions, WEFT_MOVE_ACTIONS_MAX);
    perform_all(sim, SIM_ROLE_DEST, number, actions, n);
    struct sim_event tick = {.kind = SIM_TICK_DEST, .to = number, .rank = (uint8_t)rank};
    plan_tick(sim, tick, &p->dest_tick[rank], weft__move_dest_deadline(m));
    sim_check(sim);
    sim_count_step(sim);
}

/* ---- messages ---- */

static void answer_unknown(struct sim *sim, uint64_t from, const struct weft_move_message *message)
{
    struct weft_move_message answer;
    if (weft__move_answer_unknown(message, &answer))
        say(sim, from, &answer);
}

/* Grants a slot for a while, or says why not. */
static int lease(struct sim *sim, uint32_t at, const struct weft_move_message *message)
{
    struct weft_leases *leases = &sim->hosts[at].leases;
    struct weft_lease_ask ask = {.id = message->lease,
                                 .app = message->app,
                                 .n = 1,
                                 .overcommit = sim->mutant == SIM_MUTANT_LEASE_TWICE,
                                 .deadline_ns = sim->now_ns + message->within_ms * MS};
    uint32_t granted = 0;
    sim->stats.seen[SIM_SAW_LEASE_REPEATED] += weft__leases_find(leases, ask.id) != NULL;
    int err = weft__leases_reserve(leases, &ask, sim->now_ns, &granted);
    bool other = false;
    for (size_t i = 0; i < leases->n; i++)
        other = other || (leases->items[i].app != ask.app && leases->items[i].app <= SIM_APPS_MAX);
    sim->stats.seen[SIM_SAW_CONTESTED] += err == WEFT_ENOSLOTS && other;
    sim_leases_schedule(sim, at);
    return err;
}

static void on_agent(struct sim *sim, const struct sim_event *event)
{
    uint32_t at = sim->procs[event->to].host;
    struct weft_move_message answer = event->message;
    if (!sim->hosts[at].up || sim->hosts[at].gone[event->message.app - 1])
        return;
    if (event->message.kind == WEFT_MOVE_RELEASE) {
        if (sim->mutant != SIM_MUTANT_LEASE_LEAKS)
            weft__leases_release(&sim->hosts[at].leases, event->message.lease);
        return;
    }
    answer.kind = WEFT_MOVE_LEASED;
    answer.err = lease(sim, at, &event->message);
    if (answer.err != WEFT_OK)
        snprintf(answer.text, sizeof(answer.text), "the destination has no free slot");
    say(sim, event->to, &answer);
}

/* PREPARE to a process that is not there: started, once, by the weftd that the number was made for.
 */
static bool launch(struct sim *sim, uint32_t number)
{
    struct sim_process *p = &sim->procs[number];
    struct sim_host *host = &sim->hosts[p->host];
    if (!host->up)
        return true;
    if (p->launched || p->instance != host->instance)
        return p->alive;
    sim_at(sim, sim->now_ns + sim_between(sim, 100 * US, 20 * MS), SIM_LAUNCH, number);
    return true;
}

static void to_process(struct sim *sim, const struct sim_event *event, enum weft_move_role role)
{
    struct weft_move_event what = {.kind = WEFT_MOVE_ON_MESSAGE, .message = &event->message};
    if (role == WEFT_ROLE_SOURCE)
        sim_step_source(sim, event->to, event->message.rank, &what);
    else
        sim_step_dest(sim, event->to, event->message.rank, &what);
}

static void to_home(struct sim *sim, const struct weft_move_message *message)
{
    uint32_t app = (uint32_t)message->app - 1;
    struct weft_move_event what = {.kind = WEFT_MOVE_ON_MESSAGE, .message = message};
    struct sim_moving *moving = sim_moving_of(sim, app, message->move_id);
    if (!home_acts(sim, app))
        return;
    if (moving)
        sim_step_home(sim, app, moving, &what);
    else
        answer_unknown(sim, app + 1, message);
}

void sim_on_message(struct sim *sim, struct sim_event *event)
{
    const struct weft_move_message *message = &event->message;
    enum weft_move_role role = weft__move_receiver(message->kind);
    bool over = sim->apps[message->app - 1].over;
    if (role == WEFT_ROLE_AGENT) {
        on_agent(sim, event);
    } else if (role == WEFT_ROLE_HOME) {
        to_home(sim, message);
    } else if (sim->procs[event->to].alive) {
        to_process(sim, event, role);
    } else if (sim->hosts[sim->procs[event->to].host].up && !over) {
        if (message->kind != WEFT_MOVE_PREPARE || !launch(sim, event->to))
            answer_unknown(sim, event->to, message);
    }
}

/* ---- markers ---- */

/* A process of the app whose marker the source waits for. */
static bool awaited(const struct sim *sim, uint32_t number, uint32_t rank, uint32_t other)
{
    const struct sim_process *p = &sim->procs[number], *o = &sim->procs[other];
    return other != number && o->app == p->app && o->launched && !o->buried &&
           p->markers[rank][other] < p->forward_incarnation[rank];
}

/* Whoever lives has to know where the rank is before its packets are no longer forwarded. */
static void check_flushed(struct sim *sim, uint32_t number, uint32_t rank)
{
    const struct sim_process *p = &sim->procs[number];
    for (uint32_t other = SIM_PROC_FIRST; other < sim->procs_n; other++) {
        const struct sim_process *o = &sim->procs[other];
        if (o->app == p->app && o->alive && !o->buried &&
            o->world[rank].incarnation < p->forward_incarnation[rank])
            sim_fail(sim, "process %u stops forwarding packets of rank %u, which %u does not know",
                     number, rank, other);
    }
}

void sim_markers_check(struct sim *sim, uint32_t number, uint32_t rank)
{
    struct sim_process *p = &sim->procs[number];
    if (!p->alive || p->source[rank].state != WEFT_SOURCE_FORWARDING || !p->forwards[rank])
        return;
    for (uint32_t other = SIM_PROC_FIRST; other < sim->procs_n; other++) {
        if (awaited(sim, number, rank, other) && sim->mutant != SIM_MUTANT_FLUSH_EARLY)
            return;
    }
    p->forwards[rank] = false;
    sim_saw(sim, SIM_SAW_FLUSHED);
    check_flushed(sim, number, rank);
    sim_step_source(sim, number, rank, &(struct weft_move_event){.kind = WEFT_MOVE_ON_MARKERS});
}

void sim_on_marker(struct sim *sim, uint32_t number, const struct weft_packet_header *header)
{
    uint32_t rank = (uint32_t)header->dest;
    uint32_t *marker = &sim->procs[number].markers[rank][header->process];
    if (*marker < header->dest_incarnation && sim->mutant != SIM_MUTANT_MARKER_IGNORED)
        *marker = header->dest_incarnation;
    sim_markers_check(sim, number, rank);
}

/* A marker may have been lost: the source asks for it. */
static void nudge(struct sim *sim, uint32_t number, uint32_t rank)
{
    struct sim_process *p = &sim->procs[number];
    if (!p->forwards[rank])
        return;
    for (uint32_t other = SIM_PROC_FIRST; other < sim->procs_n; other++) {
        if (!awaited(sim, number, rank, other))
            continue;
        sim_saw(sim, SIM_SAW_NUDGED);
        sim_tell_route(sim, number, other, rank, WEFT_PACKET_WANT_MARKER);
    }
    sim_at(sim, sim->now_ns + NUDGE_NS, SIM_NUDGE, number)->rank = (uint8_t)rank;
    sim_markers_check(sim, number, rank);
}

/* ---- events from below ---- */

static void on_home_tick(struct sim *sim, const struct sim_event *event)
{
    struct weft_move_event tick = {.kind = WEFT_MOVE_ON_TICK};
    struct sim_moving *moving = sim_moving_of(sim, event->to - 1, event->epoch);
    if (moving)
        sim_step_home(sim, event->to - 1, moving, &tick);
}

void sim_on_move_event(struct sim *sim, struct sim_event *event)
{
    struct weft_move_event what = {.kind = WEFT_MOVE_ON_TICK, .err = event->err};
    if (event->kind == SIM_TICK_HOME)
        on_home_tick(sim, event);
    if (event->to < SIM_PROC_FIRST || !sim->procs[event->to].alive)
        return;
    switch ((enum sim_kind)event->kind) {
    case SIM_TICK_SOURCE:
        sim_step_source(sim, event->to, event->rank, &what);
        break;
    case SIM_TICK_DEST:
        sim_step_dest(sim, event->to, event->rank, &what);
        break;
    case SIM_POINT:
        on_point(sim, event);
        break;
    case SIM_RANGE:
        on_range(sim, event);
        break;
    case SIM_PULL_END:
        on_pull_end(sim, event);
        break;
    case SIM_COPIED:
        sim_on_copied(sim, event);
        break;
    case SIM_FETCH_END:
        sim_on_fetch_end(sim, event);
        break;
    case SIM_NUDGE:
        nudge(sim, event->to, event->rank);
        break;
    case SIM_HOLD:
        on_hold(sim, event);
        break;
    case SIM_HELD:
        what.kind = WEFT_MOVE_ON_HELD;
        sim_step_dest(sim, event->to, event->rank, &what);
        break;
    default:
        break;
    }
}
