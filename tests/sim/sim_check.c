/* What must hold at every step, and what must hold when everything has come to rest. */
#include "sim.h"

#include "weft/error.h"

static void check_copy(struct sim *sim, uint32_t number, uint32_t rank)
{
    const struct sim_process *p = &sim->procs[number];
    const struct sim_copy *copy = &p->copy[rank];
    const struct weft_move_owner *owner = &sim->apps[p->app].owner[rank];
    if (owner->host != number || owner->incarnation != copy->incarnation)
        sim_fail(sim,
                 "rank %u runs in process %u with incarnation %u, the registry says %llu, %llu",
                 rank, number, copy->incarnation, (unsigned long long)owner->host,
                 (unsigned long long)owner->incarnation);
    const struct weft_lease *lease = weft__leases_find(&sim->hosts[p->host].leases, p->lease[rank]);
    if (lease == NULL || lease->state != WEFT_LEASE_COMMITTED)
        sim_fail(sim, "rank %u runs in process %u without a committed slot", rank, number);
}

/* A rank is never stopped for being copied, and what is copied of it ends with its move. */
static void check_copying(struct sim *sim, uint32_t number, uint32_t rank)
{
    const struct sim_process *p = &sim->procs[number];
    const struct weft_move_source *m = &p->source[rank];
    if (p->copy[rank].exists && !p->copy[rank].running && m->state == WEFT_SOURCE_HERE)
        sim_fail(sim, "rank %u stands in process %u, and nobody froze it", rank, number);
    if (p->copying[rank].on && !m->copying)
        sim_fail(sim, "writes of rank %u in process %u are tracked for no move", rank, number);
}

/* Nobody is frozen before home is done with copying. */
static void check_homes(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->apps_n; i++) {
        for (unsigned m = 0; m < SIM_MOVES_MAX; m++) {
            const struct weft_move_home *home = &sim->apps[i].moves[m].machine;
            if (!sim->apps[i].moves[m].on || home->state != WEFT_HOME_COPYING)
                continue;
            const struct weft_move_source *source =
                &sim->procs[home->id.source].source[home->id.rank];
            if (source->id.move_id == home->id.move_id && source->state == WEFT_SOURCE_FROZEN)
                sim_fail(sim, "rank %u is frozen while it is being copied", home->id.rank);
        }
    }
}

void sim_check(struct sim *sim)
{
    uint32_t running[SIM_APPS_MAX][SIM_RANKS_MAX] = {{0}};
    for (uint32_t number = SIM_PROC_FIRST; number < sim->procs_n; number++) {
        const struct sim_process *p = &sim->procs[number];
        if (!p->alive)
            continue;
        for (uint32_t rank = 0; rank < sim->apps[p->app].ranks_n; rank++) {
            check_copying(sim, number, rank);
            if (!p->copy[rank].running)
                continue;
            check_copy(sim, number, rank);
            if (++running[p->app][rank] > 1)
                sim_fail(sim, "rank %u of app %u runs twice", rank, p->app + 1);
        }
    }
    check_homes(sim);
    for (uint32_t i = 0; i < sim->hosts_n; i++) {
        if (sim->hosts[i].up && weft__leases_used(&sim->hosts[i].leases) > sim->hosts[i].slots)
            sim_fail(sim, "host %u has given out more than its %u slots", i, sim->hosts[i].slots);
    }
}

static bool at_rest(const struct sim_process *p, uint32_t rank)
{
    enum weft_move_source_state s = p->source[rank].state;
    enum weft_move_dest_state d = p->dest[rank].state;
    return !p->source[rank].copying && !p->copying[rank].on && !p->pulling[rank] &&
           (s == WEFT_SOURCE_ABSENT || s == WEFT_SOURCE_HERE || s == WEFT_SOURCE_FLUSHED) &&
           (d == WEFT_DEST_IDLE || d == WEFT_DEST_RUNNING || d == WEFT_DEST_FAILED);
}

/* Each rank runs once, every machine is at rest, every message has come. */
static void check_app_at_rest(struct sim *sim, uint32_t index, uint32_t *slots)
{
    const struct sim_app *app = &sim->apps[index];
    uint32_t running[SIM_RANKS_MAX] = {0};
    for (uint32_t number = SIM_PROC_FIRST; number < sim->procs_n; number++) {
        const struct sim_process *p = &sim->procs[number];
        for (uint32_t rank = 0; rank < app->ranks_n && p->alive && p->app == index; rank++) {
            running[rank] += p->copy[rank].running;
            slots[p->host] += p->copy[rank].running;
            if (!at_rest(p, rank))
                sim_fail(sim, "process %u is left %s and %s with rank %u%s", number,
                         weft__move_source_name(p->source[rank].state),
                         weft__move_dest_name(p->dest[rank].state), rank,
                         p->source[rank].copying ? ", which is being copied" : "");
        }
    }
    for (uint32_t a = 0; a < app->ranks_n; a++) {
        if (running[a] != 1)
            sim_fail(sim, "%u copies of rank %u run in the end", running[a], a);
        for (uint32_t b = 0; b < app->ranks_n; b++) {
            if (app->sent[a][b] != app->got[a][b])
                sim_fail(sim, "rank %u sent %u messages to %u, %u arrived", a, app->sent[a][b], b,
                         app->got[a][b]);
        }
    }
}

void sim_check_end(struct sim *sim)
{
    uint32_t slots[SIM_HOSTS_MAX] = {0};
    sim_check(sim);
    for (uint32_t i = 0; i < sim->apps_n; i++) {
        const struct sim_app *app = &sim->apps[i];
        sim->stats.apps++;
        sim->stats.apps_ended += app->over;
        if (app->over)
            continue;
        for (unsigned m = 0; m < SIM_MOVES_MAX; m++) {
            if (app->moves[m].on)
                sim_fail(sim, "the home of app %u is left %s", i + 1,
                         weft__move_home_name(app->moves[m].machine.state));
        }
        check_app_at_rest(sim, i, slots);
    }
    for (uint32_t i = 0; i < sim->hosts_n; i++) {
        if (sim->hosts[i].up && weft__leases_used(&sim->hosts[i].leases) != slots[i])
            sim_fail(sim, "host %u: %u slots are leased, %u ranks run", i,
                     weft__leases_used(&sim->hosts[i].leases), slots[i]);
    }
}
