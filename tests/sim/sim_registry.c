/* The registry: one owner per rank, changed by compare-and-set. Requests and answers may be lost,
 * late or doubled; whoever asks hears after a time that nothing was heard, and may still get the
 * answer later. */
#include "sim.h"

#include "weft/error.h"

#define ANSWER_WITHIN (30 * MS)
#define REGISTRY_HOST SIM_HOSTS_MAX /* a place of its own in the network */

static bool unreachable(const struct sim *sim)
{
    const struct sim_weather *w = &sim->weather;
    return sim->now_ns >= w->registry_down_ns && sim->now_ns < w->registry_up_ns;
}

static bool dropped(struct sim *sim)
{
    bool rough = !sim_calm(sim) && sim_chance(sim, sim->weather.registry_loss);
    sim->faults += rough;
    return rough || unreachable(sim);
}

void sim_registry_ask(struct sim *sim, const struct weft_move_action *action, enum sim_role role,
                      uint32_t from)
{
    struct sim_event *late = sim_at(sim, sim->now_ns + ANSWER_WITHIN, SIM_OWNER, from);
    late->role = (uint8_t)role;
    late->rank = (uint8_t)action->message.rank;
    late->err = WEFT_EREGISTRY;
    late->epoch = action->message.move_id;
    if (dropped(sim))
        return;
    struct sim_event ask = {
        .kind = action->kind == WEFT_MOVE_DO_CAS ? SIM_CAS : SIM_READ,
        .role = (uint8_t)role,
        .rank = (uint8_t)action->message.rank,
        .from = from,
        .epoch = action->message.move_id,
        .registry = {.expect = action->expect, .want = action->want},
    };
    sim_send(sim, sim_home_host(sim, from), REGISTRY_HOST, &ask);
}

static bool same(struct weft_move_owner a, struct weft_move_owner b)
{
    return a.host == b.host && a.incarnation == b.incarnation;
}

void sim_on_registry(struct sim *sim, struct sim_event *event)
{
    struct weft_move_owner *owner = &sim->owner[event->rank];
    if (unreachable(sim))
        return;
    if (event->kind == SIM_CAS &&
        (same(*owner, event->registry.expect) || sim->mutant == SIM_MUTANT_BLIND_REGISTRY)) {
        *owner = event->registry.want;
        sim_trace(sim, "registry: rank %u -> process %llu incarnation %llu", event->rank,
                  (unsigned long long)owner->host, (unsigned long long)owner->incarnation);
    }
    if (dropped(sim))
        return;
    struct sim_event answer = *event;
    answer.kind = SIM_OWNER;
    answer.to = event->from;
    answer.registry.owner = *owner;
    sim_send(sim, REGISTRY_HOST, sim_home_host(sim, event->from), &answer);
}
