/* The registry: one key, changed by compare-and-set and kept over restarts; the list of hosts,
 * which is not. */
#include "state.h"
#include "weft/error.h"

static bool is_down(const struct sim *sim)
{
    return sim->now_ns >= sim->weather.registry_down_ns &&
           sim->now_ns < sim->weather.registry_up_ns;
}

static void answer(struct sim *sim, struct event *event)
{
    uint32_t host = event->from;
    event->kind =
        event->kind == EV_BEAT || event->kind == EV_JOIN ? EV_BEAT_ANSWER : EV_REGISTRY_ANSWER;
    event->from = HOSTS;
    event->to = host;
    event->registry_epoch = sim->registry_epoch;
    sim_send(sim, HOSTS, host, event);
}

static void cas(struct sim *sim, struct event *event)
{
    bool wins = sim->key.revision == event->expected || sim->mutant == MUTANT_BLIND_REGISTRY;
    if (wins && event->erase) {
        sim->key = (struct claim){.revision = 0};
        sim_trace(sim, "registry: erased by host %u", event->from);
    } else if (wins) {
        sim->key = event->own;
        sim->key.revision = ++sim->revisions;
        sim_trace(sim, "registry: epoch %u is host %u's", (unsigned)sim->key.revision, event->from);
    }
    event->claim = sim->key;
    event->settled = wins;
    if (!wins && event->erase)
        event->settled = event->expected != 0 && sim->key.revision == 0;
    if (!wins && !event->erase) /* an earlier try */
        event->settled = sim->key.revision > event->expected && sim->key.host == event->own.host &&
                         sim->key.incarnation == event->own.incarnation &&
                         sim->key.nonce == event->own.nonce;
}

static void beat(struct sim *sim, struct event *event)
{
    struct member *member = &sim->members[event->from];
    bool same = member->listed && member->alive && member->incarnation == event->incarnation;
    if (event->kind == EV_JOIN && !same) {
        bool refused =
            member->listed && (member->alive || member->incarnation == event->incarnation);
        event->err = refused ? (member->alive ? WEFT_EEXIST : WEFT_ESTALE) : WEFT_OK;
        if (!refused)
            *member =
                (struct member){.listed = true, .alive = true, .incarnation = event->incarnation};
    } else {
        event->err = same ? WEFT_OK : WEFT_ESTALE;
    }
    if (event->err == WEFT_OK)
        member->heard_ns = sim->now_ns;
}

static void tick(struct sim *sim)
{
    for (uint32_t i = 0; i < HOSTS; i++) {
        struct member *member = &sim->members[i];
        if (member->listed && member->alive && sim->now_ns - member->heard_ns >= DEAD_NS) {
            member->alive = false;
            sim_trace(sim, "registry: host %u is dead", i);
        }
    }
    if (sim->now_ns < END_NS)
        sim_at(sim, sim->now_ns + 10 * MS, &(struct event){.kind = EV_REGISTRY_TICK});
}

void registry_on(struct sim *sim, struct event *event)
{
    if (event->kind == EV_REGISTRY_RESTART) {
        sim->registry_epoch++;
        for (uint32_t i = 0; i < HOSTS; i++)
            sim->members[i].listed = false;
        sim_trace(sim, "registry: started anew");
        return;
    }
    if (event->kind == EV_REGISTRY_TICK) {
        tick(sim);
        return;
    }
    if (is_down(sim))
        return;
    event->err = WEFT_OK;
    if (event->kind == EV_GET)
        event->claim = sim->key;
    else if (event->kind == EV_CAS)
        cas(sim, event);
    else if (event->kind == EV_LIST) {
        const struct member *member = &sim->members[event->claim.host];
        bool alive = member->alive && member->incarnation == event->claim.incarnation;
        event->life = !member->listed ? WEFT_LIFE_ABSENT : alive ? WEFT_LIFE_ALIVE : WEFT_LIFE_DEAD;
    } else {
        beat(sim, event);
    }
    answer(sim, event);
}
