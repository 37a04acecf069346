/* Homes look for moves, by the real detection or at random, up to two of an app at once; and others
 * take slots. All homes look at the same hosts, so they often want the same slot. */
#include "sim.h"

#include "plan/decide.h"
#include "plan/detect.h"
#include "weft/error.h"

#define OTHER_APP 100

struct choice {
    uint32_t rank, to;
};

struct sim_moving *sim_moving_of(struct sim *sim, uint32_t app, uint64_t move_id)
{
    for (unsigned i = 0; i < SIM_MOVES_MAX; i++) {
        struct sim_moving *moving = &sim->apps[app].moves[i];
        if (moving->on && moving->machine.id.move_id == move_id)
            return moving;
    }
    return NULL;
}

/* The first move of a better placement, if there is one. */
static bool detected_move(const struct sim *sim, const struct sim_app *app, const uint32_t *host_of,
                          struct choice *choice_out)
{
    struct weft_plan_host view[SIM_HOSTS_MAX];
    struct weft_plan_move moves[SIM_RANKS_MAX];
    struct weft_plan plan = {.moves = moves};
    struct weft_roster roster;
    for (uint32_t i = 0; i < sim->hosts_n; i++) {
        const struct sim_host *host = &sim->hosts[i];
        bool usable = host->up && !host->shunned;
        view[i] = (struct weft_plan_host){.slots = usable ? host->slots : 0,
                                          .used = usable ? weft__leases_used(&host->leases) : 0};
    }
    if (weft__roster_init(&roster, view, sim->hosts_n) != WEFT_OK)
        return false;
    const struct weft_detect ask = {.roster = &roster, .host_of = host_of, .ranks = app->ranks_n};
    bool found = weft__detect(&ask, &plan) == WEFT_OK && plan.moves_n > 0;
    weft__roster_fini(&roster);
    if (found)
        *choice_out = (struct choice){moves[0].rank, moves[0].to};
    return found;
}

/* A rank and a host: by detection, back where the rank was, or at random. */
static bool choose(struct sim *sim, struct sim_app *app, struct choice *choice_out)
{
    uint32_t host_of[SIM_RANKS_MAX], rank = sim_below(sim, app->ranks_n), to;
    for (uint32_t r = 0; r < app->ranks_n; r++)
        host_of[r] = sim->procs[app->routes[r].process].host;
    if (sim_chance(sim, 300) && detected_move(sim, app, host_of, choice_out))
        return true;
    to = app->moved[rank] > 0 && sim_chance(sim, 400) ? app->before[rank]
                                                      : sim_below(sim, sim->hosts_n);
    *choice_out = (struct choice){rank, to};
    return to != host_of[rank] && sim->hosts[to].up && !sim->hosts[to].shunned;
}

/* The number of a process that was on the host in its earlier life; 0: there was none. */
static uint32_t number_again(struct sim *sim, uint32_t app, uint32_t at)
{
    for (uint32_t number = SIM_PROC_FIRST; number < sim->procs_n; number++) {
        struct sim_process *p = &sim->procs[number];
        if (p->app != app || p->host != at || p->alive || !p->launched)
            continue;
        p->launched = p->buried = false;
        p->instance = sim->hosts[at].instance;
        return number;
    }
    return 0;
}

/* The number of the app's process on a host, a new one where there is none. */
static uint32_t process_on(struct sim *sim, uint32_t app, uint32_t at)
{
    for (uint32_t number = sim->procs_n; number-- > SIM_PROC_FIRST;) {
        const struct sim_process *p = &sim->procs[number];
        bool usable = (p->alive || !p->launched) && !p->buried;
        if (p->app == app && p->host == at && p->instance == sim->hosts[at].instance && usable)
            return number;
    }
    uint32_t again = sim->mutant == SIM_MUTANT_NUMBER_REUSED ? number_again(sim, app, at) : 0;
    if (again != 0)
        return again;
    return sim->procs_n < SIM_PROCS_MAX ? sim_process_new(sim, app, at) : 0;
}

/* Whether the rank stands still as far as home knows. */
static bool is_moving(const struct sim_app *app, uint32_t rank)
{
    for (unsigned i = 0; i < SIM_MOVES_MAX; i++) {
        if (app->moves[i].on && app->moves[i].machine.id.rank == rank)
            return true;
    }
    return false;
}

/* What this start has in common with what is under way. */
static void note_start(struct sim *sim, uint32_t index, uint32_t to)
{
    unsigned own = 0, foreign = 0;
    for (uint32_t a = 0; a < sim->apps_n; a++) {
        for (unsigned i = 0; i < SIM_MOVES_MAX; i++) {
            const struct sim_moving *moving = &sim->apps[a].moves[i];
            own += moving->on && a == index;
            foreign += moving->on && a != index && sim->procs[moving->machine.id.dest].host == to &&
                       sim->apps[a].home != sim->apps[index].home;
        }
    }
    sim->stats.seen[SIM_SAW_TWO_AT_ONCE] += own > 1;
    sim->stats.seen[SIM_SAW_TWO_HOMES] += foreign > 0;
}

static void begin(struct sim *sim, uint32_t index, struct sim_moving *moving, uint32_t rank,
                  uint32_t dest)
{
    struct sim_app *app = &sim->apps[index];
    struct weft_move_desc desc = {.params = &sim->params,
                                  .app = index + 1,
                                  .move_id = ++app->move_id,
                                  .rank = rank,
                                  .incarnation = app->routes[rank].incarnation,
                                  .home = index + 1,
                                  .source = app->routes[rank].process,
                                  .dest = dest,
                                  .lease = ++sim->next_lease};
    sim_trace(sim, "app %u, move %llu: rank %u from process %llu to %u on host %u", index + 1,
              (unsigned long long)desc.move_id, rank, (unsigned long long)desc.source, dest,
              sim->procs[dest].host);
    *moving = (struct sim_moving){.on = true, .started_ns = sim->now_ns};
    weft__move_home_init(&moving->machine, &desc);
    note_start(sim, index, sim->procs[dest].host);
    if (sim_chance(sim, 50)) {
        uint64_t at_ns = sim->now_ns + sim_between(sim, 0, 30 * MS);
        sim_at(sim, at_ns, SIM_CANCEL, index + 1)->epoch = desc.move_id;
    }
    sim_step_home(sim, index, moving, &(struct weft_move_event){.kind = WEFT_MOVE_ON_START});
}

void sim_plan(struct sim *sim, uint32_t index)
{
    struct sim_app *app = &sim->apps[index];
    struct sim_moving *moving = NULL;
    struct choice choice;
    for (unsigned i = 0; i < SIM_MOVES_MAX; i++)
        moving = app->moves[i].on ? moving : &app->moves[i];
    if (app->over || moving == NULL || !sim->hosts[app->home].up || app->moves_wanted == 0)
        return;
    app->moves_wanted--;
    bool found = choose(sim, app, &choice) && !is_moving(app, choice.rank);
    uint32_t dest = found ? process_on(sim, index, choice.to) : 0;
    if (dest == 0 || sim_chance(sim, 300)) {
        uint64_t at_ns = sim->now_ns + sim_between(sim, 100 * US, 10 * MS);
        sim_at(sim, at_ns, SIM_PLAN, index + 1);
    }
    if (dest != 0)
        begin(sim, index, moving, choice.rank, dest);
}

void sim_cancel(struct sim *sim, const struct sim_event *event)
{
    struct weft_move_event cancel = {.kind = WEFT_MOVE_ON_CANCEL, .text = "somebody asked"};
    struct sim_moving *moving = sim_moving_of(sim, event->to - 1, event->epoch);
    if (moving == NULL)
        return;
    sim_saw(sim, SIM_SAW_CANCELLED);
    sim_step_home(sim, event->to - 1, moving, &cancel);
}

/* ---- slots ---- */

void sim_leases_schedule(struct sim *sim, uint32_t host)
{
    struct sim_host *h = &sim->hosts[host];
    uint64_t at_ns = weft__leases_deadline(&h->leases);
    if (at_ns == WEFT_NEVER || (h->leases_tick > sim->now_ns && h->leases_tick <= at_ns))
        return;
    h->leases_tick = at_ns > sim->now_ns ? at_ns : sim->now_ns;
    sim_at(sim, h->leases_tick, SIM_LEASES_TICK, host);
}

static void leases_tick(struct sim *sim, uint32_t host)
{
    struct weft_lease ended[4];
    struct sim_host *h = &sim->hosts[host];
    size_t n;
    h->leases_tick = 0;
    do {
        n = weft__leases_expire(&h->leases, sim->now_ns, ended, 4);
        sim->stats.seen[SIM_SAW_LEASE_EXPIRED] += n;
    } while (n == 4);
    sim_leases_schedule(sim, host);
}

/* Other apps come and go. */
static void foreign_takes(struct sim *sim, uint32_t host)
{
    struct sim_host *h = &sim->hosts[host];
    uint32_t granted = 0;
    struct weft_lease_ask ask = {.id = ++sim->next_lease,
                                 .app = OTHER_APP,
                                 .n = 1 + sim_below(sim, 2),
                                 .deadline_ns = sim->now_ns + 20 * MS};
    if (weft__leases_reserve(&h->leases, &ask, sim->now_ns, &granted) != WEFT_OK)
        return;
    if (sim_chance(sim, 500)) {
        weft__leases_commit(&h->leases, ask.id, sim->now_ns);
        sim_at(sim, sim->now_ns + sim_between(sim, MS, 60 * MS), SIM_FOREIGN_LEAVES, host)->epoch =
            ask.id;
    }
    sim_leases_schedule(sim, host);
}

void sim_on_slots(struct sim *sim, struct sim_event *event)
{
    if (!sim->hosts[event->to].up)
        return;
    if (event->kind == SIM_LEASES_TICK)
        leases_tick(sim, event->to);
    else if (event->kind == SIM_FOREIGN_TAKES)
        foreign_takes(sim, event->to);
    else
        weft__leases_release(&sim->hosts[event->to].leases, event->epoch);
}
