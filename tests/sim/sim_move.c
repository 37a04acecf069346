/* The I/O around the machines: carries out their actions and turns what happens into events, as
 * weftd and weft-app do it. */
#include "sim.h"

#include "plan/detect.h"
#include "weft/error.h"

uint32_t sim_home_host(const struct sim *sim, uint64_t number)
{
    return number >= 2 && number < sim->procs_n ? sim->procs[number].host : 0;
}

static void send_message(struct sim *sim, uint64_t from, uint64_t to,
                         const struct weft_move_message *message)
{
    struct sim_event event = {
        .kind = SIM_MOVE_MESSAGE, .to = (uint32_t)to, .from = (uint32_t)from, .message = *message};
    event.rank = (uint8_t)message->rank;
    sim_send(sim, sim_home_host(sim, from), sim_home_host(sim, to), &event);
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
    for (uint32_t number = 2; number < sim->procs_n; number++) {
        if (sim->procs[number].launched && !sim->procs[number].buried)
            send_message(sim, from, number, message);
    }
}

/* ---- SOURCE ---- */

static void ask_point(struct sim *sim, uint32_t number, uint32_t rank)
{
    struct sim_process *p = &sim->procs[number];
    bool reluctant = !sim_calm(sim) && sim_chance(sim, sim->weather.reluctance);
    uint64_t wait =
        reluctant ? sim_between(sim, 20 * MS, 300 * MS) : sim_between(sim, 10 * US, 5 * MS);
    p->asked[rank] = true;
    p->markers[rank] = 0;
    struct sim_event *point = sim_at(sim, sim->now_ns + wait, SIM_POINT, number);
    point->rank = (uint8_t)rank;
    point->err = sim_chance(sim, 15) ? WEFT_EPINNED : WEFT_OK;
}

static void on_point(struct sim *sim, const struct sim_event *event)
{
    struct sim_process *p = &sim->procs[event->to];
    struct sim_copy *copy = &p->copy[event->rank];
    if (!copy->running || (!p->asked[event->rank] && sim_chance(sim, 500)))
        return;
    struct weft_move_event what = {.kind = WEFT_MOVE_ON_POINT};
    if (copy->quota == 0 && (p->source[event->rank].rank_ended || sim_chance(sim, 60))) {
        what.kind = WEFT_MOVE_ON_RANK_ENDED; /* it goes on to receive, as at the end of a program */
    } else if (event->err != WEFT_OK && p->asked[event->rank]) {
        what = (struct weft_move_event){.kind = WEFT_MOVE_ON_PINNED, .err = event->err};
    } else {
        copy->running = sim->mutant == SIM_MUTANT_FREEZE_LEAKS;
        copy->epoch = ++sim->freezes;
    }
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
    p->forwards[rank] = true;
    sim_learn(sim, number, rank,
              (struct weft_world_entry){(uint32_t)owner.host, (uint32_t)owner.incarnation});
    sim_hold_release(sim, number, rank);
}

static void release_lease(struct sim *sim, uint32_t number, uint64_t lease)
{
    weft__leases_release(&sim->hosts[sim->procs[number].host].leases, lease);
}

/* ---- DEST ---- */

static void reserve_range(struct sim *sim, uint32_t number, uint32_t rank)
{
    uint64_t wait = sim_between(sim, 50 * US, 3 * MS);
    struct sim_event *range = sim_at(sim, sim->now_ns + wait, SIM_RANGE, number);
    range->rank = (uint8_t)rank;
    range->err = sim_chance(sim, 15) ? WEFT_ENOMEM : WEFT_OK;
}

static void on_range(struct sim *sim, struct sim_event *event)
{
    struct sim_process *p = &sim->procs[event->to];
    struct weft_move_event what = {.kind = WEFT_MOVE_ON_RANGE, .err = event->err};
    if (p->copy[event->rank].exists)
        what.err = WEFT_EEXIST;
    p->reserved[event->rank] = what.err == WEFT_OK;
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

static void on_pull_end(struct sim *sim, struct sim_event *event)
{
    struct sim_process *p = &sim->procs[event->to], *source = &sim->procs[event->from];
    const struct sim_copy *copy = &source->copy[event->rank];
    struct weft_move_event what = {.kind = WEFT_MOVE_ON_PULLED, .err = event->err};
    if (!source->alive || !copy->exists)
        what.err = WEFT_EPEERDEAD;
    else if (p->pull_cancelled[event->rank] && sim_chance(sim, 700))
        what.err = WEFT_ECANCELED;
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
    struct sim_host *host = &sim->hosts[sim->procs[number].host];
    bool slow = !sim_calm(sim) && sim_chance(sim, 50);
    uint64_t wait = slow ? sim_between(sim, MS, 80 * MS) : sim_between(sim, 10 * US, 100 * US);
    struct sim_event *held = sim_at(sim, sim->now_ns + wait, SIM_HELD, number);
    held->rank = (uint8_t)move->rank;
    if (sim->mutant != SIM_MUTANT_LEASE_NOT_HELD)
        held->err = weft__leases_hold(&host->leases, move->lease, sim->now_ns);
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
    p->reserved[rank] = p->forwards[rank] = false;
    p->copy[rank].incarnation = (uint32_t)move->owner.incarnation;
    p->lease[rank] = move->lease;
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
    if (role == SIM_ROLE_SOURCE && sim->mutant == SIM_MUTANT_THAW_ON_TIMER) {
        sim_step_source(sim, number, action->message.rank, &word);
        return true;
    }
    if (role == SIM_ROLE_DEST && sim->mutant == SIM_MUTANT_RESUME_EARLY) {
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
        ask_point(sim, number, move->rank);
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
        p->pull_cancelled[move->rank] = true;
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

static void move_ended(struct sim *sim)
{
    const struct weft_move_params *p = &sim->params;
    uint64_t limit =
        p->lease_ns + p->prepare_ns + p->freeze_ns + p->pull_ns + 3 * p->resolve_ns + p->flush_ns;
    if (sim->now_ns - sim->move_started_ns > limit)
        sim_fail(sim, "move %llu took %.0f ms", (unsigned long long)sim->move_id,
                 (double)(sim->now_ns - sim->move_started_ns) / 1e6);
    sim->moving = false;
    sim->moved += sim->move.outcome == WEFT_MOVE_OUTCOME_MOVED;
    sim->stayed += sim->move.outcome == WEFT_MOVE_OUTCOME_STAYED;
    sim->lost += sim->move.outcome == WEFT_MOVE_OUTCOME_LOST;
    if (sim->moves_wanted > 0)
        sim_at(sim, sim->now_ns + sim_between(sim, 100 * US, 20 * MS), SIM_PLAN, SIM_HOME);
}

static void perform(struct sim *sim, enum sim_role role, uint32_t number,
                    const struct weft_move_action *actions, size_t n)
{
    for (size_t i = 0; i < n && !sim->failed; i++) {
        const struct weft_move_action *action = &actions[i];
        if (action->kind != WEFT_MOVE_DO_SEND)
            sim_trace(sim, "  %u does %s (rank %u, move %llu) %s", number,
                      weft__move_action_name(action->kind), action->message.rank,
                      (unsigned long long)action->message.move_id, action->message.text);
        if (action->kind == WEFT_MOVE_DO_SEND)
            say(sim, number, &action->message);
        else if (action->kind == WEFT_MOVE_DO_END_APP)
            sim_end_app(sim, action->message.text);
        else if (action->kind == WEFT_MOVE_DO_ENDED)
            move_ended(sim);
        else if (action->kind != WEFT_MOVE_DO_CAS && action->kind != WEFT_MOVE_DO_READ_OWNER)
            perform_process(sim, role, number, action);
        else if (!believe_too_soon(sim, action, role, number))
            sim_registry_ask(sim, action, role, number);
    }
}

/* ---- steps ---- */

static uint64_t *planned_tick(struct sim *sim, enum sim_kind kind, uint32_t number, uint32_t rank)
{
    if (kind == SIM_TICK_HOME)
        return &sim->home_tick;
    struct sim_process *p = &sim->procs[number];
    return kind == SIM_TICK_SOURCE ? &p->source_tick[rank] : &p->dest_tick[rank];
}

static void plan_tick(struct sim *sim, enum sim_kind kind, uint32_t number, uint32_t rank,
                      uint64_t deadline_ns)
{
    uint64_t *planned = planned_tick(sim, kind, number, rank);
    if (deadline_ns == WEFT_NEVER || (*planned > sim->now_ns && *planned <= deadline_ns))
        return;
    *planned = deadline_ns > sim->now_ns ? deadline_ns : sim->now_ns + 1;
    sim_at(sim, *planned, kind, number)->rank = (uint8_t)rank;
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

void sim_step_home(struct sim *sim, const struct weft_move_event *event)
{
    struct weft_move_action actions[WEFT_MOVE_ACTIONS_MAX];
    struct weft_move_home *m = &sim->move;
    if (sim->failed || !sim->hosts[0].up || sim->app_over)
        return;
    trace_event(sim, "home", SIM_HOME, weft__move_home_name(m->state), event);
    size_t n = weft__move_home_step(m, event, sim->now_ns, actions, WEFT_MOVE_ACTIONS_MAX);
    bool settled = m->outcome == WEFT_MOVE_OUTCOME_MOVED || m->outcome == WEFT_MOVE_OUTCOME_STAYED;
    if (settled && m->owner.host != 0)
        sim->routes[m->id.rank] =
            (struct weft_world_entry){(uint32_t)m->owner.host, (uint32_t)m->owner.incarnation};
    perform(sim, SIM_ROLE_HOME, SIM_HOME, actions, n);
    plan_tick(sim, SIM_TICK_HOME, SIM_HOME, 0, weft__move_home_deadline(m));
    sim_count_step(sim);
}

void sim_step_source(struct sim *sim, uint32_t number, uint32_t rank,
                     const struct weft_move_event *event)
{
    struct weft_move_action actions[WEFT_MOVE_ACTIONS_MAX];
    struct sim_process *p = &sim->procs[number];
    if (sim->failed || !p->alive)
        return;
    trace_event(sim, "source", number, weft__move_source_name(p->source[rank].state), event);
    size_t n = weft__move_source_step(&p->source[rank], event, sim->now_ns, actions,
                                      WEFT_MOVE_ACTIONS_MAX);
    perform(sim, SIM_ROLE_SOURCE, number, actions, n);
    plan_tick(sim, SIM_TICK_SOURCE, number, rank, weft__move_source_deadline(&p->source[rank]));
    sim_check(sim);
    sim_count_step(sim);
}

void sim_step_dest(struct sim *sim, uint32_t number, uint32_t rank,
                   const struct weft_move_event *event)
{
    struct weft_move_action actions[WEFT_MOVE_ACTIONS_MAX];
    struct sim_process *p = &sim->procs[number];
    if (sim->failed || !p->alive)
        return;
    trace_event(sim, "dest", number, weft__move_dest_name(p->dest[rank].state), event);
    size_t n =
        weft__move_dest_step(&p->dest[rank], event, sim->now_ns, actions, WEFT_MOVE_ACTIONS_MAX);
    perform(sim, SIM_ROLE_DEST, number, actions, n);
    plan_tick(sim, SIM_TICK_DEST, number, rank, weft__move_dest_deadline(&p->dest[rank]));
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

static void on_agent(struct sim *sim, const struct sim_event *event)
{
    uint32_t at = sim->procs[event->to].host;
    struct sim_host *host = &sim->hosts[at];
    struct weft_move_message answer = event->message;
    if (!host->up)
        return;
    if (event->message.kind == WEFT_MOVE_RELEASE) {
        weft__leases_release(&host->leases, event->message.lease);
        return;
    }
    uint32_t granted = 0;
    struct weft_lease_ask ask = {.id = event->message.lease,
                                 .app = event->message.app,
                                 .n = 1,
                                 .overcommit = sim->mutant == SIM_MUTANT_DOUBLE_BOOKING,
                                 .deadline_ns = sim->now_ns + event->message.within_ms * MS};
    answer.kind = WEFT_MOVE_LEASED;
    answer.err = weft__leases_reserve(&host->leases, &ask, sim->now_ns, &granted);
    sim_leases_schedule(sim, at);
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
    if (sim->mutant == SIM_MUTANT_NUMBER_REUSED && !p->alive && p->instance != host->instance) {
        p->launched = p->buried = false;
        p->instance = host->instance;
    }
    if (p->launched || p->instance != host->instance)
        return p->alive;
    sim_at(sim, sim->now_ns + sim_between(sim, 100 * US, 20 * MS), SIM_LAUNCH, number);
    return true;
}

static void on_route(struct sim *sim, const struct sim_event *event)
{
    const struct weft_move_message *route = &event->message;
    sim_learn(
        sim, event->to, route->rank,
        (struct weft_world_entry){(uint32_t)route->owner.host, (uint32_t)route->owner.incarnation});
    struct sim_event marker = {.kind = SIM_MARKER,
                               .to = (uint32_t)route->source,
                               .from = event->to,
                               .rank = (uint8_t)route->rank};
    sim_send(sim, sim->procs[event->to].host, sim_home_host(sim, route->source), &marker);
}

static void to_process(struct sim *sim, const struct sim_event *event, enum weft_move_role role)
{
    struct weft_move_event what = {.kind = WEFT_MOVE_ON_MESSAGE, .message = &event->message};
    if (role == WEFT_ROLE_SOURCE)
        sim_step_source(sim, event->to, event->message.rank, &what);
    else if (role == WEFT_ROLE_DEST)
        sim_step_dest(sim, event->to, event->message.rank, &what);
    else
        on_route(sim, event);
}

void sim_on_message(struct sim *sim, struct sim_event *event)
{
    const struct weft_move_message *message = &event->message;
    enum weft_move_role role = weft__move_receiver(message->kind);
    struct weft_move_event what = {.kind = WEFT_MOVE_ON_MESSAGE, .message = message};
    if (role == WEFT_ROLE_AGENT) {
        on_agent(sim, event);
    } else if (role == WEFT_ROLE_HOME) {
        if (!sim->hosts[0].up || sim->app_over)
            return;
        if (message->move_id == sim->move.id.move_id)
            sim_step_home(sim, &what);
        else
            answer_unknown(sim, SIM_HOME, message);
    } else if (sim->procs[event->to].alive) {
        to_process(sim, event, role);
    } else if (sim->hosts[sim->procs[event->to].host].up && !sim->app_over) {
        if (message->kind != WEFT_MOVE_PREPARE || !launch(sim, event->to))
            answer_unknown(sim, event->to, message);
    }
}

/* ---- markers ---- */

void sim_markers_check(struct sim *sim, uint32_t number, uint32_t rank)
{
    struct sim_process *p = &sim->procs[number];
    if (!p->alive || p->source[rank].state != WEFT_SOURCE_FORWARDING)
        return;
    for (uint32_t other = 2; other < sim->procs_n; other++) {
        bool expected = other != number && sim->procs[other].launched && !sim->procs[other].buried;
        if (expected && !(p->markers[rank] & 1ull << other))
            return;
    }
    p->forwards[rank] = false;
    sim_step_source(sim, number, rank, &(struct weft_move_event){.kind = WEFT_MOVE_ON_MARKERS});
}

void sim_on_marker(struct sim *sim, uint32_t number, uint32_t rank, uint32_t from)
{
    sim->procs[number].markers[rank] |= 1ull << from;
    sim_markers_check(sim, number, rank);
}

/* ---- events from below ---- */

void sim_on_move_event(struct sim *sim, struct sim_event *event)
{
    struct weft_move_event what = {.kind = WEFT_MOVE_ON_TICK, .err = event->err};
    bool alive = event->to == SIM_HOME || sim->procs[event->to].alive;
    if (!alive)
        return;
    switch ((enum sim_kind)event->kind) {
    case SIM_TICK_HOME:
        sim_step_home(sim, &what);
        break;
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
    case SIM_HELD:
        what.kind = WEFT_MOVE_ON_HELD;
        sim_step_dest(sim, event->to, event->rank, &what);
        break;
    case SIM_OWNER:
        what.kind = WEFT_MOVE_ON_OWNER;
        what.owner = event->registry.owner;
        if (event->role == SIM_ROLE_HOME && event->epoch == sim->move.id.move_id)
            sim_step_home(sim, &what); /* home has a machine per move */
        else if (event->role == SIM_ROLE_HOME)
            break;
        else if (event->role == SIM_ROLE_SOURCE)
            sim_step_source(sim, event->to, event->rank, &what);
        else
            sim_step_dest(sim, event->to, event->rank, &what);
        break;
    default:
        break;
    }
}
