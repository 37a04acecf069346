/* sim_group: runs the simulation of groups.
 *
 *   sim_group --runs N [--seed S]   N runs with the seeds S, S+1, ...; the first that breaks a rule
 *                                   is named
 *   sim_group --one SEED [--trace]  one run, told step by step
 *   ... --mutant NAME               with a rule broken on purpose: succeeds when that is noticed
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/must.h"
#include "group.h"
#include "weft/error.h"

enum { EVENTS_MAX = 200000, KILL_LOOKS = 100 };

static const char *const mutants[GSIM_MUTANTS] = {
    [GSIM_MUTANT_NONE] = "none",   [GSIM_MUTANT_DOUBLES] = "doubles", [GSIM_MUTANT_HOLES] = "holes",
    [GSIM_MUTANT_EARLY] = "early", [GSIM_MUTANT_DEAF] = "deaf",       [GSIM_MUTANT_THIEF] = "thief",
};

/* ---- a world from a seed ---- */

static void make_script(struct gsim *sim)
{
    sim->phases_n = 1 + gsim_below(sim, GSIM_PHASES_MAX);
    for (uint32_t i = 0; i < sim->phases_n; i++) {
        struct gsim_phase *phase = &sim->phases[i];
        phase->kind = (enum gsim_phase_kind)gsim_below(sim, GSIM_RING + 1);
        phase->n = 1 + gsim_below(sim, 4);
        if (phase->kind == GSIM_RING) {
            phase->n = gsim_chance(sim, 20) ? 300 : 1 + gsim_below(sim, 12);
            phase->shift = gsim_below(sim, sim->members_n);
        }
    }
}

static void make_faults(struct gsim *sim)
{
    uint32_t deaths = gsim_chance(sim, 400) ? 1 + gsim_below(sim, 2) : 0;
    for (uint32_t i = 0; i < deaths; i++) {
        uint64_t at_ns = gsim_between(sim, 0, gsim_chance(sim, 800) ? 10 * MS : 2000 * MS);
        bool host = gsim_chance(sim, 500);
        enum gsim_kind crash = gsim_chance(sim, 300) ? GSIM_FALSE_DEATH : GSIM_CRASH;
        gsim_at(sim, at_ns,
                (struct gsim_event){.kind = (uint8_t)(host ? crash : GSIM_KILL),
                                    .to = gsim_below(sim, host ? sim->hosts_n : sim->members_n),
                                    .serial = gsim_chance(sim, 500) ? KILL_LOOKS : 0});
    }
    sim->creator_dies = gsim_chance(sim, 30);
}

static void make_world(struct gsim *sim, uint64_t seed)
{
    sim->seed = seed;
    sim->random = seed * 0x2545f4914f6cdd1dull;
    sim->members_n = 1 + gsim_below(sim, GSIM_MEMBERS_MAX);
    sim->hosts_n =
        1 + gsim_below(sim, sim->members_n < GSIM_HOSTS_MAX ? sim->members_n : GSIM_HOSTS_MAX);
    net_init(&sim->net, &sim->now_ns);
    gsim_weather_make(sim);
    for (uint32_t i = 0; i < sim->hosts_n; i++)
        gsim_host_start(sim, i);
    for (uint32_t i = 0; i < sim->hosts_n; i++) {
        bool late = i > 0 && gsim_chance(sim, 200);
        gsim_at(sim, late ? gsim_between(sim, 0, 3000 * MS) : 0,
                (struct gsim_event){.kind = GSIM_NOTICE, .to = i});
    }
    for (uint32_t i = 0; i < sim->members_n; i++) {
        sim->members[i] = (struct gsim_member){
            .host = gsim_below(sim, sim->hosts_n), .alive = true, .session = 100 + i};
        gsim_client_open(sim, i);
        uint64_t at_ns = gsim_between(sim, 0, 3 * MS);
        gsim_at(sim, at_ns, (struct gsim_event){.kind = GSIM_BEAT, .to = i});
        gsim_at(sim, at_ns, (struct gsim_event){.kind = GSIM_STEP, .to = i});
    }
    sim->creator = 99;
    sim->creator_alive = true;
    gsim_client_open(sim, GSIM_CREATOR);
    gsim_at(sim, 1, (struct gsim_event){.kind = GSIM_BEAT, .to = GSIM_CREATOR});
    gsim_at(sim, gsim_between(sim, 1, 2 * MS), (struct gsim_event){.kind = GSIM_CREATE});
    make_script(sim);
    make_faults(sim);
}

/* ---- events ---- */

static void creator_dies(struct gsim *sim)
{
    sim->creator_alive = false;
    gsim_client_close(sim, GSIM_CREATOR);
}

void gsim_created(struct gsim *sim, int err)
{
    gsim_trace(sim, "create: %s", weft_error_name(err));
    sim->created = err == WEFT_OK;
    if (!sim->created && !sim->any_death && !sim->creator_dies)
        gsim_fail(sim, "cannot create: %s", weft_error_name(err));
    if (sim->creator_dies)
        sim->creator_alive = false; /* it does not beat any more */
}

static void beat(struct gsim *sim, uint32_t who)
{
    bool creator = who == GSIM_CREATOR;
    bool lives = creator ? sim->creator_alive : sim->members[who].alive && !sim->members[who].done;
    if (!lives)
        return;
    gsim_beat(sim, who);
    gsim_at(sim, sim->now_ns + 500 * MS, (struct gsim_event){.kind = GSIM_BEAT, .to = who});
}

static void tell_all(struct gsim *sim, uint64_t most_ns)
{
    for (uint32_t i = 0; i < sim->hosts_n; i++)
        gsim_at(sim, sim->now_ns + gsim_between(sim, 0, most_ns),
                (struct gsim_event){.kind = GSIM_NOTICE, .to = i});
}

static void crash(struct gsim *sim, uint32_t index)
{
    if (!sim->hosts[index].up)
        return;
    gsim_trace(sim, "host %u crashes", index);
    gsim_host_stop(sim, index);
    sim->any_death = sim->crashed[index] = true;
    sim->home_died = sim->home_died || index == 0;
    sim->runs_deaths++;
    if (index == 0)
        creator_dies(sim);
    for (uint32_t i = 0; i < sim->members_n; i++) {
        if (sim->members[i].host == index)
            gsim_member_dies(sim, i);
    }
    if (gsim_chance(sim, 500))
        gsim_at(sim, sim->now_ns + gsim_between(sim, 1 * MS, 5000 * MS),
                (struct gsim_event){.kind = GSIM_RESTART, .to = index});
    tell_all(sim, 3000 * MS);
}

static void restart(struct gsim *sim, uint32_t index)
{
    gsim_trace(sim, "host %u starts anew", index);
    gsim_host_start(sim, index);
    tell_all(sim, 20 * MS);
}

/* Its members are lost from this moment on, as those of a host that crashes: what they still do is
 * not looked at. */
static void declare_dead(struct gsim *sim, uint32_t index)
{
    struct gsim_host *host = &sim->hosts[index];
    if (!host->up || host->outcast)
        return;
    gsim_trace(sim, "host %u is declared dead", index);
    host->outcast = true;
    sim->any_death = sim->crashed[index] = true;
    sim->home_died = sim->home_died || index == 0;
    if (index == 0)
        creator_dies(sim);
    for (uint32_t i = 0; i < sim->members_n; i++) {
        if (sim->members[i].host == index)
            gsim_member_dies(sim, i);
    }
    tell_all(sim, 3000 * MS);
    gsim_at(sim, sim->now_ns + gsim_between(sim, 0, 5000 * MS),
            (struct gsim_event){.kind = GSIM_LEARN, .to = index});
}

static void learn(struct gsim *sim, uint32_t index)
{
    struct gsim_host *host = &sim->hosts[index];
    if (!host->up)
        return;
    gsim_trace(sim, "host %u learns that it was declared dead", index);
    host->outcast = false;
    host->self.incarnation = ++sim->lives;
    weft__coord_self(host->coord, &host->self, sim->now_ns);
    gsim_host_told(host);
    tell_all(sim, 20 * MS);
}

/* Who never was a member is waited for, not missed: it dies later. looks: so often it is first
 * looked whether it has the lock. */
static void kill_member(struct gsim *sim, uint32_t index, uint64_t looks)
{
    const struct gsim_member *member = &sim->members[index];
    struct gsim_event again = {.kind = GSIM_KILL, .to = index, .serial = looks};
    if (!member->opened && !member->done && member->alive) {
        gsim_at(sim, sim->now_ns + 5 * MS, again);
    } else if (looks > 0 && !member->inside) {
        again.serial--;
        gsim_at(sim, sim->now_ns + MS / 10, again);
    } else {
        gsim_member_dies(sim, index);
    }
}

static void happen(struct gsim *sim, struct gsim_event *event)
{
    struct gsim_host *host = &sim->hosts[event->to % GSIM_HOSTS_MAX];
    switch ((enum gsim_kind)event->kind) {
    case GSIM_TICK:
        if (host->up && host->tick_at == event->at_ns) {
            weft__coord_tick(host->coord, sim->now_ns);
            gsim_host_told(host);
        }
        break;
    case GSIM_BEAT:
        beat(sim, event->to);
        break;
    case GSIM_STEP:
        gsim_member_step(sim, event->to);
        break;
    case GSIM_CREATE:
        if (sim->creator_alive)
            gsim_ask(sim, GSIM_CREATOR);
        break;
    case GSIM_AGAIN:
        gsim_ask_again(sim, event->to, event->serial);
        break;
    case GSIM_WEATHER:
        gsim_weather_change(sim);
        break;
    case GSIM_CRASH:
        crash(sim, event->to);
        break;
    case GSIM_KILL:
        kill_member(sim, event->to, event->serial);
        break;
    case GSIM_NOTICE:
        gsim_host_hears(sim, event->to);
        break;
    case GSIM_RESTART:
        restart(sim, event->to);
        break;
    case GSIM_FALSE_DEATH:
        declare_dead(sim, event->to);
        break;
    case GSIM_LEARN:
        learn(sim, event->to);
        break;
    }
}

/* ---- a run ---- */

static bool members_over(const struct gsim *sim)
{
    for (uint32_t i = 0; i < sim->members_n; i++) {
        if (sim->members[i].alive && !sim->members[i].done)
            return false;
    }
    return true;
}

static bool hosts_empty(const struct gsim *sim)
{
    for (uint32_t i = 0; i < sim->hosts_n; i++) {
        struct weft_coord_stats stats = {0};
        if (sim->hosts[i].up)
            weft__coord_stats(sim->hosts[i].coord, &stats);
        if (stats.groups > 0 || stats.waiters > 0)
            return false;
    }
    return true;
}

static void check_end(struct gsim *sim)
{
    for (unsigned i = 0; i < GSIM_BARRIERS_MAX; i++) {
        if (sim->barrier_ok[i] && sim->barrier_broken[i] && !sim->home_died)
            gsim_fail(sim, "barrier %u was passed by some and broken for others", i);
    }
    if (!members_over(sim))
        gsim_fail(sim, "a member waits for ever");
    else if (!hosts_empty(sim))
        gsim_fail(sim, "a group, or a call, is left when all members have gone");
}

static void run(struct gsim *sim, uint64_t seed)
{
    struct gsim_event event;
    uint64_t over_ns = 0;
    size_t n = 0;
    make_world(sim, seed);
    while (!sim->failed && n++ < EVENTS_MAX && gsim_next(sim, &event)) {
        happen(sim, &event);
        if (!members_over(sim))
            continue;
        if (over_ns == 0)
            over_ns = sim->now_ns;
        sim->creator_alive = false;
        if (hosts_empty(sim) && (sim->created || sim->now_ns > over_ns + 1000 * MS))
            break;
        if (sim->now_ns > over_ns + 200000 * MS)
            break;
    }
    if (!sim->failed)
        check_end(sim);
    for (uint32_t i = 0; i < sim->hosts_n; i++) {
        if (sim->hosts[i].up)
            gsim_host_stop(sim, i);
    }
    net_fini(&sim->net);
}

/* Keeps what is counted over all runs. */
static bool run_one(struct gsim *sim, uint64_t seed)
{
    struct gsim fresh = {.mutant = sim->mutant,
                         .trace = sim->trace,
                         .heap = sim->heap,
                         .heap_max = sim->heap_max,
                         .runs_ops = sim->runs_ops,
                         .runs_again = sim->runs_again,
                         .net = {.counts = sim->net.counts,
                                 .sent = sim->net.sent,
                                 .unreachable = sim->net.unreachable},
                         .runs_deaths = sim->runs_deaths,
                         .runs_errors = sim->runs_errors};
    *sim = fresh;
    run(sim, seed);
    if (sim->failed)
        printf("seed %llu, at %.3f ms: %s\n", (unsigned long long)seed, (double)sim->now_ns / 1e6,
               sim->failure);
    return !sim->failed;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool run_many(struct gsim *sim, uint64_t first, uint64_t runs)
{
    double start = seconds();
    bool good = true;
    uint64_t i;
    for (i = 0; i < runs && good; i++)
        good = run_one(sim, first + i);
    const struct weft_fault_counts *faults = &sim->net.counts;
    uint64_t lost = faults->dropped + sim->net.unreachable;
    printf("%llu runs, %llu calls (%llu sent again, %llu failed), %llu deaths; %llu messages: %llu "
           "lost, %llu doubled, %llu overtaken, %llu connections cut; %.0f runs/s\n",
           (unsigned long long)i, (unsigned long long)sim->runs_ops,
           (unsigned long long)sim->runs_again, (unsigned long long)sim->runs_errors,
           (unsigned long long)sim->runs_deaths, (unsigned long long)sim->net.sent,
           (unsigned long long)lost, (unsigned long long)faults->doubled,
           (unsigned long long)faults->overtaken, (unsigned long long)faults->cut,
           (double)i / (seconds() - start));
    return good;
}

static enum gsim_mutant mutant_named(const char *name)
{
    for (int i = 0; i < GSIM_MUTANTS; i++) {
        if (strcmp(mutants[i], name) == 0)
            return (enum gsim_mutant)i;
    }
    fprintf(stderr, "sim_group: no mutant is called '%s'\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"runs", required_argument, NULL, 'r'},   {"seed", required_argument, NULL, 's'},
        {"one", required_argument, NULL, 'o'},    {"trace", no_argument, NULL, 't'},
        {"mutant", required_argument, NULL, 'm'}, {NULL, 0, NULL, 0},
    };
    static struct gsim sim;
    uint64_t runs = 1000, seed = 1;
    int option;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (option == 'r')
            runs = strtoull(optarg, NULL, 10);
        else if (option == 's' || option == 'o')
            seed = strtoull(optarg, NULL, 10);
        else if (option == 'm')
            sim.mutant = mutant_named(optarg);
        else if (option == '?')
            return 2;
        runs = option == 'o' ? 1 : runs;
        sim.trace = sim.trace || option == 't';
    }
    bool good = run_many(&sim, seed, runs);
    free(sim.heap);
    if (sim.mutant != GSIM_MUTANT_NONE) {
        printf("mutant %s: %s\n", mutants[sim.mutant], good ? "not noticed" : "noticed");
        return good ? 1 : 0;
    }
    return good ? 0 : 1;
}
