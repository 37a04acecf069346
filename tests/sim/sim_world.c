/* One run: a cluster and its weather out of a seed, an app placed by the real decision code, moves
 * found by the real detection or at random, faults at chosen steps, and then calm. In the calm
 * everything must come to rest by itself; the run is over when nothing is left to happen. */
#include "sim.h"

#include <string.h>

#include "plan/decide.h"
#include "plan/detect.h"
#include "weft/error.h"

#define EVENTS_PER_RUN_MAX 400000
#define OTHER_APP 100

/* ---- set-up ---- */

static void make_weather(struct sim *sim)
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
    w->registry_down_ns = w->registry_up_ns = w->cut_ns = w->mended_ns = WEFT_NEVER;
    if (sim_chance(sim, 200)) {
        w->registry_down_ns = sim_between(sim, 0, 60 * MS);
        w->registry_up_ns =
            w->registry_down_ns + (sim_chance(sim, 100) ? sim_between(sim, 500 * MS, 3000 * MS)
                                                        : sim_between(sim, MS, 300 * MS));
    }
    if (sim_chance(sim, 150)) {
        w->cut_a = sim_below(sim, sim->hosts_n);
        w->cut_b = sim_below(sim, sim->hosts_n + 1); /* the last is the registry's place */
        w->cut_b = w->cut_b == sim->hosts_n ? SIM_HOSTS_MAX : w->cut_b;
        w->cut_ns = sim_between(sim, 0, 60 * MS);
        w->mended_ns = w->cut_ns + sim_between(sim, MS, 400 * MS);
    }
    if (sim_chance(sim, 450))
        w->crashes = 1 + sim_chance(sim, 200);
    w->false_death = sim_chance(sim, 50);
    if (sim_chance(sim, 50)) { /* a storm: old messages come back long after */
        w->doubles = 600;
        w->very_slow = 150;
        w->crashes = 1 + sim_chance(sim, 500);
    }
}

static const struct weft_move_params quick = {
    .retry_first_ns = 5 * MS,
    .retry_max_ns = 40 * MS,
    .lease_ns = 150 * MS,
    .prepare_ns = 300 * MS,
    .freeze_ns = 100 * MS,
    .pull_ns = 400 * MS,
    .resolve_ns = 1500 * MS,
    .flush_ns = 300 * MS,
};

/* Short of time: an app may be ended because nobody could be asked in time. */
static const struct weft_move_params hasty = {
    .retry_first_ns = 2 * MS,
    .retry_max_ns = 20 * MS,
    .lease_ns = 30 * MS,
    .prepare_ns = 60 * MS,
    .freeze_ns = 20 * MS,
    .pull_ns = 40 * MS,
    .resolve_ns = 150 * MS,
    .flush_ns = 40 * MS,
};

static uint32_t process_new(struct sim *sim, uint32_t host)
{
    uint32_t number = sim->procs_n++;
    memset(&sim->procs[number], 0, sizeof(sim->procs[number]));
    sim->procs[number].host = host;
    sim->procs[number].instance = sim->hosts[host].instance;
    return number;
}

void sim_launch(struct sim *sim, uint32_t number)
{
    struct sim_process *p = &sim->procs[number];
    struct sim_host *host = &sim->hosts[p->host];
    if (p->launched || !host->up || p->instance != host->instance || sim->app_over)
        return;
    uint32_t at = p->host, instance = p->instance;
    memset(p, 0, sizeof(*p));
    p->host = at;
    p->instance = instance;
    p->launched = p->alive = true;
    memcpy(p->world, sim->routes, sizeof(p->world));
    for (uint32_t rank = 0; rank < sim->ranks_n; rank++) {
        weft__move_source_init(&p->source[rank], &sim->params);
        weft__move_dest_init(&p->dest[rank], &sim->params);
    }
    sim_trace(sim, "process %u starts on host %u", number, at);
}

static void make_hosts(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->hosts_n; i++) {
        struct sim_host *host = &sim->hosts[i];
        *host = (struct sim_host){.up = true, .instance = 1, .slots = 1 + sim_below(sim, 4)};
        weft__leases_init(&host->leases, host->slots, 24);
    }
}

/* Each rank has a lease of its own at the host that the decision gives it. */
static void place_rank(struct sim *sim, uint32_t rank, uint32_t at, uint32_t number)
{
    struct sim_process *p = &sim->procs[number];
    struct weft_lease_ask ask = {
        .id = ++sim->next_lease, .app = SIM_APP, .n = 1, .deadline_ns = 10 * MS};
    uint32_t granted = 0;
    weft__leases_reserve(&sim->hosts[at].leases, &ask, 0, &granted);
    weft__leases_commit(&sim->hosts[at].leases, ask.id, 0);
    sim_copy_init(sim, &p->copy[rank]);
    p->copy[rank].incarnation = 1;
    p->copy[rank].quota = sim->ranks_n > 1 ? 2 + sim_below(sim, 9) : 0;
    p->lease[rank] = ask.id;
    weft__move_source_place(&p->source[rank], 1);
    sim->owner[rank] = (struct weft_move_owner){number, 1};
}

static bool place_app(struct sim *sim)
{
    struct weft_plan_host view[SIM_HOSTS_MAX];
    uint32_t host_of[SIM_RANKS_MAX], number_at[SIM_HOSTS_MAX] = {0};
    for (uint32_t i = 0; i < sim->hosts_n; i++)
        view[i] = (struct weft_plan_host){.slots = sim->hosts[i].slots};
    struct weft_decide ask = {.hosts = view,
                              .hosts_n = sim->hosts_n,
                              .ranks = sim->ranks_n,
                              .hint =
                                  sim_chance(sim, 500) ? WEFT_HINT_UNDERFULL : WEFT_HINT_NORMAL};
    if (weft__decide(&ask, host_of, NULL) != WEFT_OK)
        return false;
    for (uint32_t rank = 0; rank < sim->ranks_n; rank++) {
        if (number_at[host_of[rank]] == 0)
            number_at[host_of[rank]] = process_new(sim, host_of[rank]);
        sim->routes[rank] = (struct weft_world_entry){number_at[host_of[rank]], 1};
    }
    for (uint32_t number = 2; number < sim->procs_n; number++)
        sim_launch(sim, number);
    for (uint32_t rank = 0; rank < sim->ranks_n; rank++)
        place_rank(sim, rank, host_of[rank], number_at[host_of[rank]]);
    return true;
}

static void set_up(struct sim *sim, uint64_t seed)
{
    sim_queue_reset(sim);
    sim->seed = sim->random = seed;
    sim->now_ns = 0;
    sim->calm_ns = 900 * MS;
    sim->params = sim_chance(sim, 200) ? hasty : quick;
    sim->limits = (struct weft_channel_limits){
        .packets = 6, .bytes = 1024, .resend_first_ns = 30 * MS, .resend_max_ns = 240 * MS};
    sim->app_over = sim->moving = sim->planning = sim->may_end_app = sim->failed = false;
    sim->move = (struct weft_move_home){0};
    sim->move_id = sim->move_started_ns = sim->home_tick = 0;
    sim->steps = 0;
    sim->next_lease = sim->freezes = 0;
    memset(sim->sent, 0, sizeof(sim->sent));
    memset(sim->got, 0, sizeof(sim->got));
    sim->hosts_n = 2 + sim_below(sim, SIM_HOSTS_MAX - 1);
    make_weather(sim);
    do {
        for (uint32_t i = 0; i < sim->hosts_n; i++)
            weft__leases_fini(&sim->hosts[i].leases);
        sim->procs_n = 2;
        memset(sim->procs, 0, 2 * sizeof(sim->procs[0]));
        sim->ranks_n = 1 + sim_below(sim, SIM_RANKS_MAX);
        make_hosts(sim);
    } while (!place_app(sim));
    sim->moves_wanted = 1 + sim_below(sim, 4);
    sim->crash_step = sim->weather.crashes > 0 ? 1 + sim_below(sim, 60) : 0;
}

/* ---- faults ---- */

static void bury(struct sim *sim, uint32_t dead, uint64_t low_ns, uint64_t high_ns)
{
    sim_at(sim, sim->now_ns + sim_between(sim, low_ns, high_ns), SIM_DEATH_NOTICE, SIM_HOME)->from =
        dead;
    for (uint32_t number = 2; number < sim->procs_n; number++) {
        if (number != dead && sim->procs[number].alive)
            sim_at(sim, sim->now_ns + sim_between(sim, low_ns, high_ns + 50 * MS), SIM_DEATH_NOTICE,
                   number)
                ->from = dead;
    }
}

static void process_dies(struct sim *sim, uint32_t number)
{
    struct sim_process *p = &sim->procs[number];
    if (p->alive)
        sim_trace(sim, "process %u dies", number);
    p->alive = false;
    for (uint32_t rank = 0; rank < sim->ranks_n; rank++) {
        sim_copy_free(sim, &p->copy[rank]);
        sim_copy_free(sim, &p->arriving[rank]);
    }
}

/* All processes of a host end; numbers given out for it and not started yet end too. */
static void host_processes_die(struct sim *sim, uint32_t at, bool notices)
{
    for (uint32_t number = 2; number < sim->procs_n; number++) {
        struct sim_process *p = &sim->procs[number];
        if (p->host != at || p->instance != sim->hosts[at].instance)
            continue;
        bool known = p->alive || !p->launched;
        process_dies(sim, number);
        if (known && notices)
            bury(sim, number, 60 * MS, 150 * MS);
    }
}

static void crash_host(struct sim *sim, uint32_t at)
{
    struct sim_host *host = &sim->hosts[at];
    if (!host->up)
        return;
    sim_trace(sim, "host %u crashes", at);
    sim->faults++;
    host_processes_die(sim, at, true);
    host->up = false;
    weft__leases_fini(&host->leases);
    if (at == 0) {
        sim->may_end_app = sim->app_over = true;
        for (uint32_t i = 1; i < sim->hosts_n; i++)
            sim_at(sim, sim->now_ns + sim_between(sim, 60 * MS, 150 * MS), SIM_KILL, i);
    }
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
    host->up = true;
    host->instance++;
    host->leases_tick = 0;
    weft__leases_init(&host->leases, host->slots, 24);
}

/* A process of the app ends by itself; its weftd sees that at once. */
static void crash_process(struct sim *sim, uint32_t number)
{
    struct sim_process *p = &sim->procs[number];
    if (!p->alive)
        return;
    sim->faults++;
    process_dies(sim, number);
    weft__leases_release_app(&sim->hosts[p->host].leases, SIM_APP);
    bury(sim, number, MS, 20 * MS);
}

/* The others give a host up that lives; it learns that later and ends its processes. */
static void false_death(struct sim *sim, uint32_t at)
{
    if (at == 0 || !sim->hosts[at].up)
        return;
    sim_trace(sim, "host %u is taken for dead", at);
    sim->faults++;
    for (uint32_t number = 2; number < sim->procs_n; number++) {
        if (sim->procs[number].host == at && sim->procs[number].instance == sim->hosts[at].instance)
            bury(sim, number, 0, 20 * MS);
    }
    sim_at(sim, sim->now_ns + sim_between(sim, 10 * MS, 250 * MS), SIM_FENCE, at);
}

/* Some fault at this very step of a move. */
static void strike(struct sim *sim)
{
    uint32_t at = sim_below(sim, sim->hosts_n);
    if (at == 0 && sim_chance(sim, 700))
        at = sim_below(sim, sim->hosts_n);
    if (sim->moving && sim_chance(sim, 400))
        at = sim_home_host(sim, sim_chance(sim, 600) ? sim->move.id.dest : sim->move.id.source);
    if (sim->weather.false_death) {
        sim_at(sim, sim->now_ns, SIM_FALSE_DEATH, at);
    } else if (sim_chance(sim, 300) && sim->procs_n > 2) {
        sim_at(sim, sim->now_ns, SIM_PROCESS_CRASH, 2 + sim_below(sim, sim->procs_n - 2));
    } else {
        sim_at(sim, sim->now_ns, SIM_CRASH, at);
    }
    sim->crash_step = --sim->weather.crashes > 0 ? sim->steps + 1 + sim_below(sim, 40) : 0;
}

void sim_count_step(struct sim *sim)
{
    if (++sim->steps == sim->crash_step && !sim_calm(sim))
        strike(sim);
}

/* ---- home: deaths, plans, the end ---- */

static bool owner_is_gone(const struct sim *sim, uint32_t rank)
{
    const struct sim_process *p = &sim->procs[sim->owner[rank].host];
    return !p->alive || p->buried;
}

void sim_end_app(struct sim *sim, const char *why)
{
    if (sim->app_over)
        return;
    const struct sim_weather *w = &sim->weather;
    bool excused = sim->may_end_app || sim->params.resolve_ns == hasty.resolve_ns ||
                   w->registry_down_ns != WEFT_NEVER || w->cut_ns != WEFT_NEVER;
    for (uint32_t rank = 0; rank < sim->ranks_n; rank++)
        excused = excused || owner_is_gone(sim, rank);
    sim_trace(sim, "the app is ended: %s", why);
    if (!excused)
        sim_fail(sim, "the app is ended without need: %s", why);
    sim->app_over = true;
    for (uint32_t i = 0; i < sim->hosts_n; i++)
        sim_at(sim, sim->now_ns + sim_between(sim, 0, 20 * MS), SIM_KILL, i);
}

static void kill_app(struct sim *sim, uint32_t at)
{
    host_processes_die(sim, at, false);
    if (sim->hosts[at].up)
        weft__leases_release_app(&sim->hosts[at].leases, SIM_APP);
}

/* A host learns that it is taken for dead: it ends what it runs and joins anew. */
static void fence_host(struct sim *sim, uint32_t at)
{
    struct sim_host *host = &sim->hosts[at];
    if (!host->up)
        return;
    sim_trace(sim, "host %u ends what it runs", at);
    host_processes_die(sim, at, true);
    weft__leases_release_app(&host->leases, SIM_APP);
    host->instance++;
}

static void home_learns_death(struct sim *sim, uint32_t dead)
{
    if (!sim->hosts[0].up || sim->app_over)
        return;
    sim->procs[dead].buried = true;
    struct weft_move_event what = {.kind = WEFT_MOVE_ON_HOST_DEAD, .host = dead};
    uint32_t moving = sim->moving ? sim->move.id.rank : UINT32_MAX;
    if (sim->moving)
        sim_step_home(sim, &what);
    for (uint32_t rank = 0; rank < sim->ranks_n; rank++) {
        if (rank != moving && sim->routes[rank].process == dead)
            sim_end_app(sim, "a host of it died");
    }
}

static void on_death_notice(struct sim *sim, const struct sim_event *event)
{
    struct weft_move_event what = {.kind = WEFT_MOVE_ON_HOST_DEAD, .host = event->from};
    if (event->to == SIM_HOME) {
        home_learns_death(sim, event->from);
        return;
    }
    for (uint32_t rank = 0; rank < sim->ranks_n && sim->procs[event->to].alive; rank++) {
        sim_step_source(sim, event->to, rank, &what);
        sim_step_dest(sim, event->to, rank, &what);
        sim_markers_check(sim, event->to, rank);
    }
}

/* The first move of a better placement, if there is one. */
static bool detected_move(const struct sim *sim, const uint32_t *host_of,
                          struct weft_plan_move *move_out)
{
    struct weft_plan_host view[SIM_HOSTS_MAX];
    struct weft_plan_move moves[SIM_RANKS_MAX];
    struct weft_plan plan = {.moves = moves};
    struct weft_roster roster;
    for (uint32_t i = 0; i < sim->hosts_n; i++) {
        const struct sim_host *host = &sim->hosts[i];
        view[i] = (struct weft_plan_host){.slots = host->up ? host->slots : 0,
                                          .used = host->up ? weft__leases_used(&host->leases) : 0};
    }
    if (weft__roster_init(&roster, view, sim->hosts_n) != WEFT_OK)
        return false;
    const struct weft_detect ask = {.roster = &roster, .host_of = host_of, .ranks = sim->ranks_n};
    bool found = weft__detect(&ask, &plan) == WEFT_OK && plan.moves_n > 0;
    weft__roster_fini(&roster);
    if (found)
        *move_out = moves[0];
    return found;
}

/* A rank and a host, by detection or at random. */
static bool choose_move(struct sim *sim, uint32_t *rank_out, uint32_t *to_out)
{
    uint32_t host_of[SIM_RANKS_MAX];
    struct weft_plan_move move;
    for (uint32_t rank = 0; rank < sim->ranks_n; rank++)
        host_of[rank] = sim->procs[sim->routes[rank].process].host;
    if (sim_chance(sim, 400) && detected_move(sim, host_of, &move)) {
        *rank_out = move.rank;
        *to_out = move.to;
        return true;
    }
    *rank_out = sim_below(sim, sim->ranks_n);
    *to_out = sim_below(sim, sim->hosts_n);
    return *to_out != host_of[*rank_out] && sim->hosts[*to_out].up;
}

/* The number of the app's process on a host, a new one where there is none. */
static uint32_t process_on(struct sim *sim, uint32_t at)
{
    for (uint32_t number = sim->procs_n; number-- > 2;) {
        const struct sim_process *p = &sim->procs[number];
        bool usable = (p->alive || !p->launched) && !p->buried;
        if (p->host == at && p->instance == sim->hosts[at].instance && usable)
            return number;
    }
    return sim->procs_n < SIM_PROCS_MAX ? process_new(sim, at) : 0;
}

void sim_start_move(struct sim *sim)
{
    uint32_t rank, to;
    if (sim->app_over || sim->moving || !sim->hosts[0].up || sim->moves_wanted == 0)
        return;
    sim->moves_wanted--;
    uint32_t dest = choose_move(sim, &rank, &to) ? process_on(sim, to) : 0;
    if (dest == 0) {
        sim_at(sim, sim->now_ns + sim_between(sim, 100 * US, 10 * MS), SIM_PLAN, SIM_HOME);
        return;
    }
    struct weft_move_desc desc = {.params = &sim->params,
                                  .app = SIM_APP,
                                  .move_id = ++sim->move_id,
                                  .rank = rank,
                                  .incarnation = sim->routes[rank].incarnation,
                                  .home = SIM_HOME,
                                  .source = sim->routes[rank].process,
                                  .dest = dest,
                                  .lease = ++sim->next_lease};
    sim_trace(sim, "move %llu: rank %u from process %llu to %u on host %u",
              (unsigned long long)desc.move_id, rank, (unsigned long long)desc.source, dest, to);
    weft__move_home_init(&sim->move, &desc);
    sim->moving = true;
    sim->home_tick = 0;
    sim->move_started_ns = sim->now_ns;
    sim_step_home(sim, &(struct weft_move_event){.kind = WEFT_MOVE_ON_START});
    if (sim_chance(sim, 50))
        sim_at(sim, sim->now_ns + sim_between(sim, 0, 30 * MS), SIM_CANCEL, SIM_HOME)->epoch =
            sim->move_id;
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
    h->leases_tick = 0;
    if (!h->up)
        return;
    while (weft__leases_expire(&h->leases, sim->now_ns, ended, 4) == 4)
        continue;
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
    if (!h->up || weft__leases_reserve(&h->leases, &ask, sim->now_ns, &granted) != WEFT_OK)
        return;
    if (sim_chance(sim, 500)) {
        weft__leases_commit(&h->leases, ask.id, sim->now_ns);
        sim_at(sim, sim->now_ns + sim_between(sim, MS, 60 * MS), SIM_FOREIGN_LEAVES, host)->epoch =
            ask.id;
    }
    sim_leases_schedule(sim, host);
}

/* ---- what must always hold ---- */

static void check_copy(struct sim *sim, uint32_t number, uint32_t rank)
{
    const struct sim_process *p = &sim->procs[number];
    const struct sim_copy *copy = &p->copy[rank];
    const struct weft_move_owner *owner = &sim->owner[rank];
    if (owner->host != number || owner->incarnation != copy->incarnation)
        sim_fail(sim,
                 "rank %u runs in process %u with incarnation %u, the registry says %llu, %llu",
                 rank, number, copy->incarnation, (unsigned long long)owner->host,
                 (unsigned long long)owner->incarnation);
    const struct weft_lease *lease = weft__leases_find(&sim->hosts[p->host].leases, p->lease[rank]);
    if (lease == NULL || lease->state != WEFT_LEASE_COMMITTED)
        sim_fail(sim, "rank %u runs in process %u without a committed slot", rank, number);
}

void sim_check(struct sim *sim)
{
    uint32_t running[SIM_RANKS_MAX] = {0};
    for (uint32_t number = 2; number < sim->procs_n; number++) {
        const struct sim_process *p = &sim->procs[number];
        if (!p->alive)
            continue;
        for (uint32_t rank = 0; rank < sim->ranks_n; rank++) {
            if (!p->copy[rank].running)
                continue;
            check_copy(sim, number, rank);
            if (++running[rank] > 1)
                sim_fail(sim, "rank %u runs twice", rank);
        }
    }
    for (uint32_t i = 0; i < sim->hosts_n; i++) {
        if (sim->hosts[i].up && weft__leases_used(&sim->hosts[i].leases) > sim->hosts[i].slots)
            sim_fail(sim, "host %u has given out more than its %u slots", i, sim->hosts[i].slots);
    }
}

static bool at_rest(const struct sim_process *p, uint32_t rank)
{
    enum weft_move_source_state s = p->source[rank].state;
    enum weft_move_dest_state d = p->dest[rank].state;
    return s != WEFT_SOURCE_WAITING && s != WEFT_SOURCE_FROZEN && s != WEFT_SOURCE_ABORTING &&
           (d == WEFT_DEST_IDLE || d == WEFT_DEST_RUNNING || d == WEFT_DEST_FAILED);
}

static void check_app_at_rest(struct sim *sim)
{
    uint32_t running[SIM_RANKS_MAX] = {0}, slots[SIM_HOSTS_MAX] = {0};
    if (sim->moving)
        sim_fail(sim, "home is left %s", weft__move_home_name(sim->move.state));
    for (uint32_t number = 2; number < sim->procs_n; number++) {
        const struct sim_process *p = &sim->procs[number];
        for (uint32_t rank = 0; rank < sim->ranks_n && p->alive; rank++) {
            running[rank] += p->copy[rank].running;
            slots[p->host] += p->copy[rank].running;
            if (!at_rest(p, rank))
                sim_fail(sim, "process %u is left %s and %s with rank %u", number,
                         weft__move_source_name(p->source[rank].state),
                         weft__move_dest_name(p->dest[rank].state), rank);
        }
    }
    for (uint32_t a = 0; a < sim->ranks_n; a++) {
        if (running[a] != 1)
            sim_fail(sim, "%u copies of rank %u run in the end", running[a], a);
        for (uint32_t b = 0; b < sim->ranks_n; b++) {
            if (sim->sent[a][b] != sim->got[a][b])
                sim_fail(sim, "rank %u sent %u messages to %u, %u arrived", a, sim->sent[a][b], b,
                         sim->got[a][b]);
        }
    }
    for (uint32_t i = 0; i < sim->hosts_n; i++) {
        if (sim->hosts[i].up && weft__leases_used(&sim->hosts[i].leases) != slots[i])
            sim_fail(sim, "host %u: %u slots are leased, %u ranks run", i,
                     weft__leases_used(&sim->hosts[i].leases), slots[i]);
    }
}

static void check_end(struct sim *sim)
{
    sim_check(sim);
    if (!sim->app_over) {
        check_app_at_rest(sim);
        return;
    }
    for (uint32_t i = 0; i < sim->hosts_n; i++) {
        if (sim->hosts[i].up && weft__leases_used(&sim->hosts[i].leases) > 0)
            sim_fail(sim, "the app is over and host %u has %u slots leased", i,
                     weft__leases_used(&sim->hosts[i].leases));
    }
}

/* ---- the run ---- */

static void on_fault(struct sim *sim, struct sim_event *event)
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
    case SIM_DEATH_NOTICE:
        on_death_notice(sim, event);
        break;
    case SIM_FALSE_DEATH:
        false_death(sim, event->to);
        break;
    case SIM_FENCE:
        fence_host(sim, event->to);
        break;
    case SIM_KILL:
        kill_app(sim, event->to);
        break;
    default:
        break;
    }
}

static void on_home(struct sim *sim, struct sim_event *event)
{
    struct weft_move_event cancel = {.kind = WEFT_MOVE_ON_CANCEL, .text = "somebody asked"};
    if (event->kind == SIM_PLAN)
        sim_start_move(sim);
    else if (sim->moving && event->epoch == sim->move_id)
        sim_step_home(sim, &cancel);
}

static void dispatch(struct sim *sim, struct sim_event *event)
{
    switch ((enum sim_kind)event->kind) {
    case SIM_MOVE_MESSAGE:
        sim_on_message(sim, event);
        break;
    case SIM_PACKET:
    case SIM_ACK:
    case SIM_ROUTE_INFO:
    case SIM_ROUTE_ASK:
    case SIM_RANK_SENDS:
    case SIM_CHANNEL_TICK:
        sim_on_traffic(sim, event);
        break;
    case SIM_MARKER:
        sim_on_marker(sim, event->to, event->rank, event->from);
        break;
    case SIM_CAS:
    case SIM_READ:
        sim_on_registry(sim, event);
        break;
    case SIM_LAUNCH:
        sim_launch(sim, event->to);
        break;
    case SIM_LEASES_TICK:
        leases_tick(sim, event->to);
        break;
    case SIM_FOREIGN_TAKES:
        foreign_takes(sim, event->to);
        break;
    case SIM_FOREIGN_LEAVES:
        if (sim->hosts[event->to].up)
            weft__leases_release(&sim->hosts[event->to].leases, event->epoch);
        break;
    case SIM_PLAN:
    case SIM_CANCEL:
        on_home(sim, event);
        break;
    case SIM_CRASH:
    case SIM_PROCESS_CRASH:
    case SIM_RESTART:
    case SIM_DEATH_NOTICE:
    case SIM_FALSE_DEATH:
    case SIM_FENCE:
    case SIM_KILL:
        on_fault(sim, event);
        break;
    default:
        sim_on_move_event(sim, event);
        break;
    }
}

void sim_run(struct sim *sim, uint64_t seed)
{
    set_up(sim, seed);
    for (uint32_t rank = 0; rank < sim->ranks_n; rank++)
        sim_rank_goes_on(sim, sim->routes[rank].process, rank, false);
    sim_at(sim, sim_between(sim, 0, 5 * MS), SIM_PLAN, SIM_HOME);
    for (unsigned i = sim_below(sim, 4); i > 0; i--)
        sim_at(sim, sim_between(sim, 0, 60 * MS), SIM_FOREIGN_TAKES, sim_below(sim, sim->hosts_n));
    uint32_t event, count = 0;
    while (!sim->failed && sim_next(sim, &event)) {
        dispatch(sim, &sim->events[event]);
        sim_done(sim, event);
        if (++count > EVENTS_PER_RUN_MAX)
            sim_fail(sim, "the world does not come to rest");
    }
    if (!sim->failed)
        check_end(sim);
}

void sim_fini(struct sim *sim)
{
    for (uint32_t i = 0; i < SIM_HOSTS_MAX; i++)
        weft__leases_fini(&sim->hosts[i].leases);
}
