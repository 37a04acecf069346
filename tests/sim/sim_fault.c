/* Faults at chosen steps of moves: hosts and processes die and hosts come back empty, hosts are
 * taken for dead and learn that, parties stop and go on with old timers, the registry crashes and
 * restarts, one direction between two hosts is cut.
 *
 * News of a host's death come by way of the registry, and wait while it is away; that a process has
 * ended its weftd says itself. Everything is forgiven when the weather is calm. */
#include "sim.h"

#include <string.h>

#include "weft/error.h"

#define NOTICE_MIN (60 * MS)
#define NOTICE_MAX (150 * MS)
#define DEAD_AFTER (150 * MS)
#define SETTLED (400 * MS) /* everybody who asks again has asked by then */

/* Something disturbs from now on until then. */
static void disturb(struct sim *sim, uint64_t from_ns, uint64_t until_ns)
{
    if (from_ns < sim->disturbed_ns)
        sim->disturbed_ns = from_ns;
    if (until_ns > sim->undisturbed_ns)
        sim->undisturbed_ns = until_ns;
}

static void add_cut(struct sim *sim, uint64_t from_ns, uint64_t for_ns)
{
    struct sim_weather *w = &sim->weather;
    if (w->cuts_n == SIM_CUTS_MAX)
        return;
    struct sim_cut *cut = &w->cuts[w->cuts_n++];
    uint32_t places = sim->hosts_n + 1; /* the last is the registry's */
    cut->a = sim_below(sim, places);
    cut->b = (cut->a + 1 + sim_below(sim, places - 1)) % places;
    cut->a = cut->a == sim->hosts_n ? SIM_PLACE_REGISTRY : cut->a;
    cut->b = cut->b == sim->hosts_n ? SIM_PLACE_REGISTRY : cut->b;
    cut->from_ns = from_ns;
    cut->until_ns = from_ns + for_ns;
    cut->one_way = sim_chance(sim, 500);
    disturb(sim, cut->from_ns, cut->until_ns);
}

static void make_outage(struct sim *sim)
{
    struct sim_weather *w = &sim->weather;
    bool is_long = sim_chance(sim, 100);
    w->registry_down_ns = sim_between(sim, 0, 60 * MS);
    w->registry_up_ns = w->registry_down_ns + (is_long ? sim_between(sim, 500 * MS, 3000 * MS)
                                                       : sim_between(sim, MS, 300 * MS));
    sim->stats.seen[SIM_SAW_AWAY_LONG] +=
        w->registry_up_ns - w->registry_down_ns > sim->params.resolve_ns;
    disturb(sim, w->registry_down_ns, w->registry_up_ns);
}

void sim_weather_make(struct sim *sim)
{
    static const uint32_t losses[] = {0, 0, 10, 100, 300};
    static const uint32_t doubles[] = {0, 20, 200};
    struct sim_weather *w = &sim->weather;
    *w = (struct sim_weather){0};
    w->loss = losses[sim_below(sim, 5)];
    w->doubles = doubles[sim_below(sim, 3)];
    w->slow = sim_below(sim, 3) * 20;
    w->very_slow = sim_chance(sim, 300) ? 10 : 0;
    w->registry_loss = losses[sim_below(sim, 5)];
    w->reluctance = sim_chance(sim, 300) ? 300 : 20;
    w->registry_down_ns = w->registry_up_ns = WEFT_NEVER;
    sim->disturbed_ns = WEFT_NEVER;
    sim->undisturbed_ns = 0;
    if (sim_chance(sim, 200))
        make_outage(sim);
    if (sim_chance(sim, 150))
        add_cut(sim, sim_between(sim, 0, 60 * MS), sim_between(sim, MS, 400 * MS));
    if (sim_chance(sim, 550))
        w->faults = 1 + sim_chance(sim, 250);
    if (sim_chance(sim, 50)) { /* a storm: old messages come back long after */
        w->doubles = 600;
        w->very_slow = 150;
        w->faults = 1 + sim_chance(sim, 500);
    }
}

/* ---- deaths ---- */

/* direct: its weftd tells. */
static void notice(struct sim *sim, uint32_t to, uint32_t dead, uint64_t after_ns, bool direct)
{
    struct sim_event *event = sim_at(sim, sim->now_ns + after_ns, SIM_DEATH_NOTICE, to);
    event->from = dead;
    event->role = direct;
}

static void bury(struct sim *sim, uint32_t dead, uint64_t low_ns, uint64_t high_ns, bool direct)
{
    uint32_t app = sim->procs[dead].app;
    notice(sim, app + 1, dead, sim_between(sim, low_ns, high_ns), direct);
    for (uint32_t number = SIM_PROC_FIRST; number < sim->procs_n; number++) {
        const struct sim_process *p = &sim->procs[number];
        if (number != dead && p->app == app && p->alive)
            notice(sim, number, dead, sim_between(sim, low_ns, high_ns + 50 * MS), direct);
    }
}

void sim_process_clear(struct sim *sim, uint32_t number)
{
    struct sim_process *p = &sim->procs[number];
    for (uint32_t rank = 0; rank < SIM_RANKS_MAX; rank++) {
        sim_copy_free(sim, &p->copy[rank]);
        sim_copy_free(sim, &p->arriving[rank]);
        weft__hold_fini(&p->hold[rank]);
    }
}

/* What a death means to the moves that it meets. */
static void note_death(struct sim *sim, uint32_t number)
{
    for (unsigned i = 0; i < SIM_MOVES_MAX; i++) {
        const struct sim_moving *moving = &sim->apps[sim->procs[number].app].moves[i];
        const struct weft_move_message *id = &moving->machine.id;
        if (!moving->on)
            continue;
        bool committed = sim->apps[id->app - 1].owner[id->rank].incarnation > id->incarnation;
        if (id->source == number)
            sim_saw(sim, committed ? SIM_SAW_SOURCE_DIED_LATE : SIM_SAW_SOURCE_DIED_EARLY);
        if (id->dest == number)
            sim_saw(sim, committed ? SIM_SAW_DEST_DIED_LATE : SIM_SAW_DEST_DIED_EARLY);
    }
}

static void process_dies(struct sim *sim, uint32_t number)
{
    struct sim_process *p = &sim->procs[number];
    if (p->alive) {
        sim_trace(sim, "process %u dies", number);
        note_death(sim, number);
    }
    p->alive = false;
    sim_process_clear(sim, number);
}

/* All processes of a host end, or those of one app; numbers given out for it and not started yet
 * end too. */
static void processes_die(struct sim *sim, uint32_t at, uint32_t app, bool notices)
{
    for (uint32_t number = SIM_PROC_FIRST; number < sim->procs_n; number++) {
        struct sim_process *p = &sim->procs[number];
        bool meant = p->host == at && p->instance == sim->hosts[at].instance;
        if (!meant || (app != SIM_APPS_MAX && p->app != app))
            continue;
        bool known = p->alive || !p->launched;
        process_dies(sim, number);
        if (known && notices)
            bury(sim, number, NOTICE_MIN, NOTICE_MAX, false);
    }
}

/* The other hosts learn that this one is dead, and end the apps that are at home there. */
static void home_lost(struct sim *sim, uint32_t at)
{
    for (uint32_t app = 0; app < sim->apps_n; app++) {
        if (sim->apps[app].home != at || sim->apps[app].over)
            continue;
        sim->apps[app].may_end = true;
        for (unsigned i = 0; i < SIM_MOVES_MAX; i++)
            sim->stats.seen[SIM_SAW_HOME_DIED] += sim->apps[app].moves[i].on;
        for (uint32_t host = 0; host < sim->hosts_n; host++) {
            uint64_t at_ns = sim->now_ns + sim_between(sim, NOTICE_MIN, NOTICE_MAX);
            if (host != at)
                sim_at(sim, at_ns, SIM_KILL, host)->rank = (uint8_t)app;
        }
    }
}

static void homes_end(struct sim *sim, uint32_t at)
{
    for (uint32_t app = 0; app < sim->apps_n; app++) {
        if (sim->apps[app].home == at)
            sim->apps[app].over = sim->apps[app].may_end = true;
    }
}

static void crash_host(struct sim *sim, uint32_t at)
{
    struct sim_host *host = &sim->hosts[at];
    if (!host->up)
        return;
    sim_trace(sim, "host %u crashes", at);
    processes_die(sim, at, SIM_APPS_MAX, true);
    home_lost(sim, at);
    homes_end(sim, at);
    host->up = false;
    weft__leases_fini(&host->leases);
    sim_wire_close(sim, at);
    uint64_t away = sim_chance(sim, 400) ? 20 * MS : 300 * MS;
    if (sim_chance(sim, 800))
        sim_at(sim, sim->now_ns + sim_between(sim, MS, away), SIM_RESTART, at);
}

static void restart_host(struct sim *sim, uint32_t at)
{
    struct sim_host *host = &sim->hosts[at];
    if (host->up)
        return;
    sim_trace(sim, "host %u is back, empty", at);
    sim_saw(sim, SIM_SAW_HOST_CAME_BACK);
    host->up = true;
    host->instance++;
    host->leases_tick = host->asleep_ns = 0;
    host->shunned = false;
    weft__leases_init(&host->leases, host->slots, 32);
    sim_wire_open(sim, at);
}

/* A process of an app ends by itself; its weftd sees that at once. */
static void crash_process(struct sim *sim, uint32_t number)
{
    struct sim_process *p = &sim->procs[number];
    if (!p->alive)
        return;
    process_dies(sim, number);
    weft__leases_release_app(&sim->hosts[p->host].leases, p->app + 1);
    bury(sim, number, MS, 20 * MS, true);
}

/* The others give a host up that lives; it learns that later and ends its processes. */
static void false_death(struct sim *sim, uint32_t at, uint64_t learns_ns)
{
    if (!sim->hosts[at].up)
        return;
    sim_trace(sim, "host %u is taken for dead", at);
    sim_saw(sim, SIM_SAW_FALSE_DEATH);
    for (uint32_t number = SIM_PROC_FIRST; number < sim->procs_n; number++) {
        if (sim->procs[number].host == at && sim->procs[number].instance == sim->hosts[at].instance)
            bury(sim, number, 0, 20 * MS, false);
    }
    home_lost(sim, at);
    sim->hosts[at].shunned = true;
    struct sim_event *fence = sim_at(sim, learns_ns, SIM_FENCE, at);
    fence->epoch = sim->hosts[at].instance;
}

/* A host learns that it is taken for dead: it ends what it runs and joins anew. */
static void fence_host(struct sim *sim, const struct sim_event *event)
{
    struct sim_host *host = &sim->hosts[event->to];
    if (!host->up || host->instance != event->epoch || sim->mutant == SIM_MUTANT_FENCE_FORGOTTEN)
        return;
    sim_trace(sim, "host %u ends what it runs", event->to);
    sim_saw(sim, SIM_SAW_FENCED);
    processes_die(sim, event->to, SIM_APPS_MAX, true);
    homes_end(sim, event->to);
    for (uint32_t app = 0; app < sim->apps_n; app++)
        weft__leases_release_app(&host->leases, app + 1);
    host->instance++;
    host->shunned = false;
}

static void kill_app(struct sim *sim, uint32_t at, uint32_t app)
{
    sim->hosts[at].gone[app] = true;
    processes_die(sim, at, app, false);
    if (sim->hosts[at].up)
        weft__leases_release_app(&sim->hosts[at].leases, app + 1);
}

/* ---- stops ---- */

/* Whether the number, or its host's weftd, is at work in a move as this party. */
static void note_stop(struct sim *sim, uint32_t at, uint32_t number)
{
    for (uint32_t app = 0; app < sim->apps_n; app++) {
        for (unsigned i = 0; i < SIM_MOVES_MAX; i++) {
            const struct sim_moving *moving = &sim->apps[app].moves[i];
            const struct weft_move_message *id = &moving->machine.id;
            if (!moving->on)
                continue;
            sim->stats.seen[SIM_SAW_STOPPED_HOME] += number == 0 && sim->apps[app].home == at;
            sim->stats.seen[SIM_SAW_STOPPED_SOURCE] +=
                id->source == number || (number == 0 && sim_host_of(sim, id->source) == at);
            sim->stats.seen[SIM_SAW_STOPPED_DEST] +=
                id->dest == number || (number == 0 && sim_host_of(sim, id->dest) == at);
        }
    }
}

/* A host stands still, with or without its processes, and goes on. */
static void stop_host(struct sim *sim, uint32_t at, uint64_t until_ns, bool processes)
{
    struct sim_host *host = &sim->hosts[at];
    if (!host->up)
        return;
    sim_trace(sim, "host %u stops until %.3f ms", at, (double)until_ns / 1e6);
    sim_saw(sim, SIM_SAW_STOPPED_HOST);
    note_stop(sim, at, 0);
    host->asleep_ns = until_ns;
    for (uint32_t number = SIM_PROC_FIRST; number < sim->procs_n && processes; number++) {
        if (sim->procs[number].host == at)
            sim->procs[number].asleep_ns = until_ns;
    }
    if (until_ns - sim->now_ns < DEAD_AFTER)
        return;
    sim_saw(sim, SIM_SAW_STOPPED_LONG);
    uint64_t at_ns = sim->now_ns + sim_between(sim, NOTICE_MIN, DEAD_AFTER);
    struct sim_event *event = sim_at(sim, at_ns, SIM_FALSE_DEATH, at);
    event->epoch = until_ns + sim_between(sim, 0, 50 * MS);
}

static void stop_somebody(struct sim *sim, uint32_t at, uint32_t number)
{
    uint64_t for_ns = sim_chance(sim, 600) ? sim_between(sim, MS, 100 * MS)
                                           : sim_between(sim, 100 * MS, SIM_STOP_MAX);
    uint64_t until_ns = sim->now_ns + for_ns;
    disturb(sim, sim->now_ns, until_ns);
    if (sim_chance(sim, 150)) {
        sim_saw(sim, SIM_SAW_STOPPED_REGISTRY);
        sim->registry.asleep_ns = until_ns;
    } else if (sim_chance(sim, 400) && number != 0) {
        sim_trace(sim, "process %u stops until %.3f ms", number, (double)until_ns / 1e6);
        note_stop(sim, SIM_HOSTS_MAX, number);
        sim->procs[number].asleep_ns = until_ns;
    } else {
        stop_host(sim, at, until_ns, sim_chance(sim, 500));
    }
}

/* ---- at this very step ---- */

void sim_registry_dies(struct sim *sim, uint64_t at_ns, uint64_t away_ns)
{
    disturb(sim, at_ns, at_ns + away_ns);
    sim_at(sim, at_ns, SIM_REGISTRY_CRASH, SIM_REGISTRY);
    sim_at(sim, at_ns + away_ns, SIM_REGISTRY_RESTART, SIM_REGISTRY);
}

static void doom_registry(struct sim *sim)
{
    uint64_t away_ns = sim_chance(sim, 100) ? sim_between(sim, 500 * MS, 2500 * MS)
                                            : sim_between(sim, MS, 200 * MS);
    if (sim_chance(sim, 500))
        sim->registry.doomed_ns = away_ns;
    else
        sim_registry_dies(sim, sim->now_ns, away_ns);
}

/* Somebody who takes part in a move, or anybody: a process (0: none) and its host. */
static uint32_t victim(struct sim *sim, uint32_t *number_out)
{
    const struct sim_app *app = &sim->apps[sim_below(sim, sim->apps_n)];
    const struct sim_moving *moving = &app->moves[sim_below(sim, SIM_MOVES_MAX)];
    *number_out = 0;
    if (moving->on && sim_chance(sim, 600)) {
        const struct weft_move_message *id = &moving->machine.id;
        *number_out = (uint32_t)(sim_chance(sim, 600) ? id->dest : id->source);
        return sim_host_of(sim, *number_out);
    }
    if (sim_chance(sim, 300))
        return app->home;
    if (sim->procs_n == SIM_PROC_FIRST)
        return sim_below(sim, sim->hosts_n);
    *number_out = SIM_PROC_FIRST + sim_below(sim, sim->procs_n - SIM_PROC_FIRST);
    return sim->procs[*number_out].host;
}

static void strike(struct sim *sim)
{
    uint32_t number, at = victim(sim, &number), what = sim_below(sim, 100);
    if (what < 30)
        sim_at(sim, sim->now_ns, SIM_CRASH, at);
    else if (what < 50 && number != 0)
        sim_at(sim, sim->now_ns, SIM_PROCESS_CRASH, number);
    else if (what < 57)
        sim_at(sim, sim->now_ns, SIM_FALSE_DEATH, at)->epoch =
            sim->now_ns + sim_between(sim, 10 * MS, 250 * MS);
    else if (what < 70)
        doom_registry(sim);
    else if (what < 78)
        add_cut(sim, sim->now_ns, sim_between(sim, MS, 600 * MS));
    else
        stop_somebody(sim, at, number);
    sim->strike_step = --sim->weather.faults > 0 ? sim->steps + 1 + sim_below(sim, 40) : 0;
}

void sim_count_step(struct sim *sim)
{
    if (++sim->steps == sim->strike_step && !sim_calm(sim))
        strike(sim);
}

void sim_on_fault(struct sim *sim, struct sim_event *event)
{
    switch ((enum sim_kind)event->kind) {
    case SIM_CRASH:
        crash_host(sim, event->to);
        break;
    case SIM_PROCESS_CRASH:
        crash_process(sim, event->to);
        break;
    case SIM_RESTART:
        restart_host(sim, event->to);
        break;
    case SIM_FALSE_DEATH:
        false_death(sim, event->to, event->epoch);
        break;
    case SIM_FENCE:
        fence_host(sim, event);
        break;
    case SIM_KILL:
        kill_app(sim, event->to, event->rank);
        break;
    default:
        break;
    }
}

/* ---- home learns, and the end of an app ---- */

static bool owner_is_gone(const struct sim *sim, const struct sim_app *app, uint32_t rank)
{
    const struct sim_process *p = &sim->procs[app->owner[rank].host];
    return !p->alive || p->buried;
}

void sim_end_app(struct sim *sim, uint32_t index, const char *why)
{
    struct sim_app *app = &sim->apps[index];
    if (app->over)
        return;
    uint64_t quiet_ns = sim->undisturbed_ns > sim->calm_ns ? sim->undisturbed_ns : sim->calm_ns;
    bool disturbed = sim->disturbed_ns < sim->now_ns && sim->now_ns < quiet_ns + SETTLED;
    bool excused = app->may_end || sim->params.resolve_ns == sim_hasty.resolve_ns || disturbed;
    for (uint32_t rank = 0; rank < app->ranks_n; rank++)
        excused = excused || owner_is_gone(sim, app, rank);
    sim_trace(sim, "app %u is ended: %s", index + 1, why);
    sim_stats_reason(&sim->stats, why);
    if (!excused)
        sim_fail(sim, "app %u is ended without need: %s", index + 1, why);
    app->over = true;
    for (uint32_t i = 0; i < sim->hosts_n; i++)
        sim_at(sim, sim->now_ns + sim_between(sim, 0, 20 * MS), SIM_KILL, i)->rank = (uint8_t)index;
}

static void home_learns_death(struct sim *sim, uint32_t index, uint32_t dead)
{
    struct sim_app *app = &sim->apps[index];
    bool moving[SIM_RANKS_MAX] = {false};
    if (!sim->hosts[app->home].up || app->over || sim->mutant == SIM_MUTANT_DEATH_FORGOTTEN)
        return;
    sim->procs[dead].buried = true;
    struct weft_move_event what = {.kind = WEFT_MOVE_ON_HOST_DEAD, .host = dead};
    for (unsigned i = 0; i < SIM_MOVES_MAX; i++) {
        if (!app->moves[i].on)
            continue;
        moving[app->moves[i].machine.id.rank] = true;
        sim_step_home(sim, index, &app->moves[i], &what);
    }
    for (uint32_t rank = 0; rank < app->ranks_n; rank++) {
        if (!moving[rank] && app->routes[rank].process == dead)
            sim_end_app(sim, index, "a host of it died");
    }
}

void sim_on_death_notice(struct sim *sim, struct sim_event *event)
{
    struct weft_move_event what = {.kind = WEFT_MOVE_ON_HOST_DEAD, .host = event->from};
    if (event->role == 0 && sim_registry_away(sim)) {
        sim_saw(sim, SIM_SAW_NOTICE_LATE);
        notice(sim, event->to, event->from, sim_between(sim, NOTICE_MIN, NOTICE_MAX), false);
        return;
    }
    if (event->to < SIM_PROC_FIRST) {
        home_learns_death(sim, event->to - 1, event->from);
        return;
    }
    const struct sim_process *p = &sim->procs[event->to];
    for (uint32_t rank = 0; rank < sim->apps[p->app].ranks_n && p->alive; rank++) {
        sim_step_source(sim, event->to, rank, &what);
        sim_step_dest(sim, event->to, rank, &what);
        sim_markers_check(sim, event->to, rank);
    }
}
