/* One run: a cluster and its weather out of a seed, apps placed by the real decision code, moves,
 * faults at chosen steps, and then calm. In the calm everything must come to rest by itself; the
 * run is over when nothing is left to happen. Every third run sends its messages over endpoints,
 * fault(SPEC)+inproc, in the simulation's time; in the others they are packed and unpacked by the
 * same code and travel through the queue, which is about three times as fast. */
#include "sim.h"

#include <string.h>

#include "plan/decide.h"
#include "weft/error.h"

#define EVENTS_PER_RUN_MAX 400000

static const struct weft_move_params quick = {
    .retry_first_ns = 5 * MS,
    .retry_max_ns = 40 * MS,
    .lease_ns = 150 * MS,
    .prepare_ns = 300 * MS,
    .copy_ns = 200 * MS,
    .copy_enough = 4096,
    .freeze_ns = 100 * MS,
    .pull_ns = 400 * MS,
    .resolve_ns = 1500 * MS,
    .flush_ns = 300 * MS,
};

const struct weft_move_params sim_hasty = {
    .retry_first_ns = 2 * MS,
    .retry_max_ns = 20 * MS,
    .lease_ns = 30 * MS,
    .prepare_ns = 60 * MS,
    .copy_ns = 30 * MS,
    .copy_enough = 4096,
    .freeze_ns = 20 * MS,
    .pull_ns = 40 * MS,
    .resolve_ns = 150 * MS,
    .flush_ns = 40 * MS,
};

uint32_t sim_process_new(struct sim *sim, uint32_t app, uint32_t host)
{
    uint32_t number = sim->procs_n++;
    memset(&sim->procs[number], 0, sizeof(sim->procs[number]));
    sim->procs[number].app = app;
    sim->procs[number].host = host;
    sim->procs[number].instance = sim->hosts[host].instance;
    return number;
}

void sim_launch(struct sim *sim, uint32_t number)
{
    struct sim_process *p = &sim->procs[number];
    const struct sim_app *app = &sim->apps[p->app];
    struct sim_host *host = &sim->hosts[p->host];
    if (p->launched || !host->up || host->gone[p->app] || p->instance != host->instance ||
        app->over)
        return;
    uint32_t index = p->app, at = p->host, instance = p->instance;
    memset(p, 0, sizeof(*p));
    p->app = index;
    p->host = at;
    p->instance = instance;
    p->launched = p->alive = true;
    memcpy(p->world, app->routes, sizeof(p->world));
    for (uint32_t rank = 0; rank < app->ranks_n; rank++) {
        weft__move_source_init(&p->source[rank], &sim->params);
        weft__move_dest_init(&p->dest[rank], &sim->params);
    }
    sim_trace(sim, "process %u of app %u starts on host %u", number, index + 1, at);
}

/* ---- set-up ---- */

static void make_hosts(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->hosts_n; i++) {
        struct sim_host *host = &sim->hosts[i];
        weft__leases_fini(&host->leases);
        *host = (struct sim_host){.up = true, .instance = 1, .slots = 1 + sim_below(sim, 4)};
        weft__leases_init(&host->leases, host->slots, 32);
    }
}

/* Each rank has a lease of its own at the host that the decision gives it. */
static void place_rank(struct sim *sim, uint32_t index, uint32_t rank)
{
    struct sim_app *app = &sim->apps[index];
    uint32_t number = app->routes[rank].process;
    struct sim_process *p = &sim->procs[number];
    struct weft_lease_ask ask = {
        .id = ++sim->next_lease, .app = index + 1, .n = 1, .deadline_ns = 10 * MS};
    uint32_t granted = 0;
    weft__leases_reserve(&sim->hosts[p->host].leases, &ask, 0, &granted);
    weft__leases_commit(&sim->hosts[p->host].leases, ask.id, 0);
    sim_copy_init(sim, index, &p->copy[rank]);
    sim_pages_init(sim, index, rank, &p->copy[rank]);
    p->copy[rank].incarnation = 1;
    p->copy[rank].quota = app->ranks_n > 1 ? 2 + sim_below(sim, 9) : 0;
    p->lease[rank] = ask.id;
    weft__move_source_place(&p->source[rank], 1);
    app->owner[rank] = (struct weft_move_owner){number, 1};
}

static bool place_app(struct sim *sim, uint32_t index)
{
    struct sim_app *app = &sim->apps[index];
    struct weft_plan_host view[SIM_HOSTS_MAX];
    uint32_t host_of[SIM_RANKS_MAX], number_at[SIM_HOSTS_MAX] = {0}, first = sim->procs_n;
    for (uint32_t i = 0; i < sim->hosts_n; i++)
        view[i] = (struct weft_plan_host){.slots = sim->hosts[i].slots,
                                          .used = weft__leases_used(&sim->hosts[i].leases)};
    struct weft_decide ask = {.hosts = view,
                              .hosts_n = sim->hosts_n,
                              .ranks = app->ranks_n,
                              .home = app->home,
                              .hint =
                                  sim_chance(sim, 500) ? WEFT_HINT_UNDERFULL : WEFT_HINT_NORMAL};
    if (weft__decide(&ask, host_of, NULL) != WEFT_OK)
        return false;
    for (uint32_t rank = 0; rank < app->ranks_n; rank++) {
        uint32_t *number = &number_at[host_of[rank]];
        *number = *number == 0 ? sim_process_new(sim, index, host_of[rank]) : *number;
        app->routes[rank] = app->first[rank] = (struct weft_world_entry){*number, 1};
    }
    for (uint32_t number = first; number < sim->procs_n; number++)
        sim_launch(sim, number);
    for (uint32_t rank = 0; rank < app->ranks_n; rank++)
        place_rank(sim, index, rank);
    return true;
}

static bool make_apps(struct sim *sim)
{
    uint32_t dice = sim_below(sim, 10);
    sim->apps_n = dice < 3 ? 1 : dice < 9 ? 2 : 3;
    sim->procs_n = SIM_PROC_FIRST;
    for (uint32_t i = 0; i < sim->apps_n; i++) {
        uint32_t ranks_max = i == 0 ? SIM_RANKS_MAX : SIM_RANKS_MAX - 1;
        sim->apps[i] = (struct sim_app){.home = sim_below(sim, sim->hosts_n),
                                        .ranks_n = 1 + sim_below(sim, ranks_max),
                                        .moves_wanted = 1 + sim_below(sim, 4)};
        if (!place_app(sim, i))
            return false;
    }
    return true;
}

static void clear(struct sim *sim)
{
    sim->failed = true; /* nobody takes a step any more */
    sim_registry_reset(sim);
    for (uint32_t number = SIM_PROC_FIRST; number < sim->procs_n; number++)
        sim_process_clear(sim, number);
    for (uint32_t place = 0; place <= SIM_PLACE_REGISTRY; place++)
        sim_wire_close(sim, place);
    sim->failed = false;
}

static void set_up(struct sim *sim, uint64_t seed)
{
    clear(sim);
    sim_queue_reset(sim);
    sim->seed = sim->random = seed;
    sim->framed = seed % 3 == 0;
    sim->now_ns = 0;
    sim->calm_ns = 900 * MS;
    sim->params = sim_chance(sim, 200) ? sim_hasty : quick;
    sim_pages_draw(sim);
    sim->limits = (struct weft_channel_limits){
        .packets = 6, .bytes = 1024, .resend_first_ns = 30 * MS, .resend_max_ns = 240 * MS};
    sim->held_max = 2 + sim_below(sim, 15);
    sim->steps = 0;
    sim->next_lease = sim->freezes = sim->rounds = sim->correlation = 0;
    sim->hosts_n = 2 + sim_below(sim, SIM_HOSTS_MAX - 1);
    sim_weather_make(sim);
    do {
        for (uint32_t number = SIM_PROC_FIRST; number < sim->procs_n; number++)
            sim_process_clear(sim, number);
        make_hosts(sim);
    } while (!make_apps(sim));
    sim->strike_step = sim->weather.faults > 0 ? 1 + sim_below(sim, 80) : 0;
    for (uint32_t place = 0; place <= SIM_PLACE_REGISTRY; place++) {
        if (place < sim->hosts_n || place == SIM_PLACE_REGISTRY)
            sim_wire_open(sim, place);
    }
}

static void start(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->apps_n; i++) {
        for (uint32_t rank = 0; rank < sim->apps[i].ranks_n; rank++)
            sim_rank_goes_on(sim, sim->apps[i].routes[rank].process, rank, false);
        sim_at(sim, sim_between(sim, 0, 5 * MS), SIM_PLAN, i + 1);
    }
    for (unsigned i = sim_below(sim, 4); i > 0; i--)
        sim_at(sim, sim_between(sim, 0, 60 * MS), SIM_FOREIGN_TAKES, sim_below(sim, sim->hosts_n));
    if (sim->framed)
        sim_at(sim, sim->calm_ns, SIM_CALM, SIM_REGISTRY);
}

/* ---- the run ---- */

/* Until when the party that the event is for stands still. */
static uint64_t asleep_ns(const struct sim *sim, const struct sim_event *event)
{
    switch ((enum sim_kind)event->kind) {
    case SIM_GET:
    case SIM_CAS:
    case SIM_SYNCED:
        return sim->registry.asleep_ns;
    case SIM_LAUNCH:
    case SIM_HOLD:
        return sim->hosts[sim->procs[event->to].host].asleep_ns;
    case SIM_LEASES_TICK:
    case SIM_FOREIGN_TAKES:
    case SIM_FOREIGN_LEAVES:
    case SIM_FENCE:
    case SIM_KILL:
        return sim->hosts[event->to].asleep_ns;
    case SIM_CRASH:
    case SIM_PROCESS_CRASH:
    case SIM_RESTART:
    case SIM_FALSE_DEATH:
    case SIM_REGISTRY_CRASH:
    case SIM_REGISTRY_RESTART:
    case SIM_CALM:
        return 0;
    case SIM_MOVE_MESSAGE:
        if (weft__move_receiver(event->message.kind) == WEFT_ROLE_AGENT)
            return sim->hosts[sim->procs[event->to].host].asleep_ns;
        break;
    default:
        break;
    }
    return event->to < SIM_PROC_FIRST ? sim->hosts[sim->apps[event->to - 1].home].asleep_ns
                                      : sim->procs[event->to].asleep_ns;
}

static void dispatch(struct sim *sim, struct sim_event *event)
{
    switch ((enum sim_kind)event->kind) {
    case SIM_MOVE_MESSAGE:
        sim_on_message(sim, event);
        break;
    case SIM_PACKET:
    case SIM_ROUTE_ASK:
    case SIM_RANK_SENDS:
    case SIM_RANK_READS:
    case SIM_CHANNEL_TICK:
        sim_on_traffic(sim, event);
        break;
    case SIM_ANSWER:
    case SIM_NO_ANSWER:
        sim_on_answer(sim, event);
        break;
    case SIM_GET:
    case SIM_CAS:
    case SIM_SYNCED:
    case SIM_REGISTRY_CRASH:
    case SIM_REGISTRY_RESTART:
        sim_on_registry(sim, event);
        break;
    case SIM_LAUNCH:
        sim_launch(sim, event->to);
        break;
    case SIM_LEASES_TICK:
    case SIM_FOREIGN_TAKES:
    case SIM_FOREIGN_LEAVES:
        sim_on_slots(sim, event);
        break;
    case SIM_PLAN:
        sim_plan(sim, event->to - 1);
        break;
    case SIM_CANCEL:
        sim_cancel(sim, event);
        break;
    case SIM_CALM:
        sim_wire_weather(sim);
        break;
    case SIM_DEATH_NOTICE:
        sim_on_death_notice(sim, event);
        break;
    case SIM_CRASH:
    case SIM_PROCESS_CRASH:
    case SIM_RESTART:
    case SIM_FALSE_DEATH:
    case SIM_FENCE:
    case SIM_KILL:
        sim_on_fault(sim, event);
        break;
    default:
        sim_on_move_event(sim, event);
        break;
    }
}

/* The next thing that happens; false: nothing is left to. */
static bool step(struct sim *sim)
{
    uint64_t next_ns = sim_next_ns(sim), net_ns = sim->framed ? net_due_ns(&sim->net) : WEFT_NEVER;
    if (net_ns != WEFT_NEVER && net_ns <= next_ns) {
        sim->now_ns = net_ns > sim->now_ns ? net_ns : sim->now_ns;
        net_settle(&sim->net);
        if (sim->net.failure[0] != '\0')
            sim_fail(sim, "%s", sim->net.failure);
        return true;
    }
    if (next_ns == WEFT_NEVER)
        return false;
    uint32_t id = sim_next(sim);
    uint64_t awake_ns = asleep_ns(sim, &sim->events[id]);
    if (awake_ns > sim->now_ns) {
        sim_again(sim, id, awake_ns + sim_between(sim, 0, 50 * US));
        return true;
    }
    dispatch(sim, &sim->events[id]);
    sim_done(sim, id);
    return true;
}

void sim_run(struct sim *sim, uint64_t seed)
{
    uint32_t count = 0;
    set_up(sim, seed);
    start(sim);
    while (!sim->failed && step(sim)) {
        if (++count > EVENTS_PER_RUN_MAX)
            sim_fail(sim, "the world does not come to rest");
    }
    if (!sim->failed)
        sim_check_end(sim);
    sim->stats.runs++;
    sim->stats.framed_runs += sim->framed;
    sim->stats.events += count;
}

void sim_init(struct sim *sim)
{
    sim->procs_n = SIM_PROC_FIRST;
    net_init(&sim->net, &sim->now_ns);
}

void sim_fini(struct sim *sim)
{
    clear(sim);
    net_fini(&sim->net);
    for (uint32_t i = 0; i < SIM_HOSTS_MAX; i++)
        weft__leases_fini(&sim->hosts[i].leases);
}
