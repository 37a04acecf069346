/* A run: set-up, faults, and what must hold at its end. */
#include <string.h>

#include "state.h"
#include "weft/error.h"

#define SETTLE_NS (60 * MS) /* until nothing is under way that the last client has left */

/* What happens to a host before the calm: it crashes, is cut off, or is stopped for a while. */
static void make_trouble(struct sim *sim, uint32_t number)
{
    struct host *host = &sim->hosts[number];
    uint64_t at = sim_random(sim) % (CALM_NS - 200 * MS), length = sim_random(sim) % (200 * MS);
    if (sim_chance(sim, 400)) {
        sim_at(sim, at, &(struct event){.kind = EV_CRASH, .to = number});
        sim_at(sim, at + length, &(struct event){.kind = EV_RESTART, .to = number});
        sim->crashes++;
    }
    at = sim_random(sim) % (CALM_NS - 200 * MS);
    length = sim_random(sim) % (200 * MS);
    if (sim_chance(sim, 250)) {
        host->cut_ns = at;
        host->mended_ns = at + length;
        sim_at(sim, at, &(struct event){.kind = EV_WEATHER});
        sim_at(sim, at + length, &(struct event){.kind = EV_WEATHER});
    }
    at = sim_random(sim) % (CALM_NS - 200 * MS);
    length = sim_random(sim) % (200 * MS);
    if (sim_chance(sim, 250)) {
        host->stopped_ns = at;
        host->continued_ns = at + length;
        sim_at(sim, at, &(struct event){.kind = EV_STOP, .to = number});
    }
}

/* The registry starts anew. Often a host is cut off from it before, for so long that it has just
 * been declared dead: the new registry does not know that. */
static void make_registry_trouble(struct sim *sim)
{
    struct host *host = &sim->hosts[sim_below(sim, HOSTS)];
    bool cuts = sim_chance(sim, 700);
    uint64_t down_ns = 2 * DEAD_NS + sim_random(sim) % (CALM_NS - 2 * DEAD_NS - 60 * MS);
    uint64_t up_ns = down_ns + sim_random(sim) % (cuts ? 5 * MS : 60 * MS);
    if (!sim_chance(sim, 240))
        return;
    sim_at(sim, down_ns, &(struct event){.kind = EV_REGISTRY_STOP});
    sim_at(sim, up_ns, &(struct event){.kind = EV_REGISTRY_RESTART});
    if (!cuts)
        return;
    host->cut_ns = down_ns - (DEAD_NS - BEAT_NS / 2) - sim_random(sim) % (2 * BEAT_NS);
    host->mended_ns = up_ns;
    sim_at(sim, host->cut_ns, &(struct event){.kind = EV_WEATHER});
    sim_at(sim, host->mended_ns, &(struct event){.kind = EV_WEATHER});
}

static void reset(struct sim *sim, uint64_t seed)
{
    for (uint32_t i = 0; i < HOSTS; i++)
        host_crash(sim, i); /* what the run before has left */
    net_fini(&sim->net);
    net_init(&sim->net, &sim->now_ns);
    sim->seed = sim->random = seed;
    sim->now_ns = 0;
    sim->failed = false;
    memset(sim->hosts, 0, sizeof(sim->hosts));
    memset(sim->clients, 0, sizeof(sim->clients));
    for (uint32_t i = 0; i < ASKINGS_MAX; i++)
        sim->askings[i].used = false;
    for (uint32_t i = 0; i < FETCHES_MAX; i++)
        sim->fetches[i].used = false;
    for (uint32_t i = 0; i < QUESTIONS_MAX; i++)
        sim->questions[i].used = false;
    sim->key.revision = 0;
    memset(sim->members, 0, sizeof(sim->members));
    sim->revisions = 0;
    sim->registry_epoch = 1;
    memset(sim->uids, 0, sim->uids_n * sizeof(sim->uids[0]));
    sim->uids_n = 0;
    sim->history_epoch = sim->acked_epoch = sim->acked_version = 0;
    sim_queue_reset(sim);
}

static void dispatch(struct sim *sim, struct event *event)
{
    switch (event->kind) {
    case EV_CLIENT_TIMEOUT:
    case EV_CLIENT_WAKE:
        client_on(sim, event);
        break;
    case EV_REGISTRY_TICK:
    case EV_REGISTRY_STOP:
    case EV_REGISTRY_RESTART:
        registry_on(sim, event);
        break;
    case EV_CRASH:
        host_crash(sim, event->to);
        break;
    case EV_RESTART:
        host_start(sim, event->to);
        break;
    case EV_STOP:
        host_stop(sim, event->to);
        break;
    case EV_WEATHER:
        weather_change(sim);
        break;
    default:
        host_on(sim, event);
        break;
    }
}

/* Nothing is under way any more: every host's books must balance. */
static void check_end(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->clients_n && !sim->failed; i++)
        if (sim->clients[i].phase != PHASE_OVER)
            sim_fail(sim, "client %u has not come to its end (phase %d) though all is calm", i,
                     (int)sim->clients[i].phase);
    for (uint32_t i = 0; i < HOSTS && !sim->failed; i++) {
        struct weft_state_main *main = &sim->hosts[i].main;
        struct weft_body *body;
        uint64_t next_ns = UINT64_MAX;
        weft__main_expire(main, UINT64_MAX, &next_ns);
        weft__main_clear(main);
        if (main->used_bytes != 0 || main->pins_n != 0 || main->stages_n != 0)
            sim_fail(sim, "host %u counts %u bytes of nothing", i, (unsigned)main->used_bytes);
        while ((body = weft__main_bury(main)) != NULL)
            while (body != NULL) {
                struct weft_body *next = body->next;
                weft__body_free(body);
                body = next;
            }
    }
}

static bool clients_over(const struct sim *sim)
{
    for (uint32_t i = 0; i < sim->clients_n; i++)
        if (sim->clients[i].phase != PHASE_OVER)
            return false;
    return true;
}

void sim_run(struct sim *sim, uint64_t seed)
{
    struct event event;
    uint64_t end_ns = END_NS + 500 * MS;
    reset(sim, seed);
    weather_make(sim);
    sim_at(sim, CALM_NS, &(struct event){.kind = EV_WEATHER});
    registry_connect(sim);
    for (uint32_t i = 0; i < HOSTS; i++) {
        host_start(sim, i);
        make_trouble(sim, i);
    }
    make_registry_trouble(sim);
    sim->clients_n = 2 + sim_below(sim, CLIENTS_MAX - 1);
    for (uint32_t i = 0; i < sim->clients_n; i++)
        client_start(sim, i);
    sim_at(sim, 5 * MS, &(struct event){.kind = EV_REGISTRY_TICK});
    while (!sim->failed && sim->now_ns < end_ns && sim_next(sim, &event)) {
        dispatch(sim, &event);
        if (end_ns > sim->now_ns + SETTLE_NS && clients_over(sim))
            end_ns = sim->now_ns + SETTLE_NS;
    }
    if (!sim->failed)
        check_end(sim);
}
