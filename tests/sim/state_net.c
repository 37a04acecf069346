/* The ends of hosts, the registry and clients, and the weather at each.
 *
 * A client's end faults what it asks and what it is answered; so does a host's connection to the
 * registry, which can be cut off besides. A server holds some of what it is asked, for long: that
 * outlives the sender. Hosts get bytes by rma over lanes, whose gets take a while and may fail.
 * Nothing is held for longer than LATE_NS in all.
 */
#include <stdio.h>

#include "state.h"

#define CALM_CLIENT "reorder=1,delay=600us"

#define CALM_LANE "delay=2ms"

static const char *const names[HOSTS] = {"a", "b", "c"};
static const char *const urls[HOSTS] = {"a:1", "b:1", "c:1"};

const char *host_name(uint32_t number)
{
    return names[number];
}

const char *host_url(uint32_t number)
{
    return urls[number];
}

/* ---- the weather ---- */

void weather_make(struct sim *sim)
{
    struct weather *w = &sim->weather;
    uint32_t loss = sim_below(sim, 100), doubles = sim_below(sim, 150), slow = sim_below(sim, 200);
    uint32_t very_slow = sim_below(sim, 40), cuts = sim_chance(sim, 100) ? sim_below(sim, 10) : 0;
    const char *how = sim_chance(sim, 500) ? "delay=30ms,late=0" : "delay=600us,late=0";
    if (sim_chance(sim, 200)) { /* in order, as long as nothing is lost */
        how = "delay=3ms";
        slow = 0;
    } else if (sim_chance(sim, 500)) {
        slow = 999;
        how = "delay=600us,late=0";
    }
    snprintf(w->lane, sizeof(w->lane), "%s", CALM_LANE);
    if (sim_chance(sim, 800)) {
        snprintf(w->lane, sizeof(w->lane), "fail=0.%03u,delay=40ms", loss);
        snprintf(w->client, sizeof(w->client),
                 "drop=0.%03u,dup=0.%03u,cut=0.%03u,reorder=0.%03u,%s", loss, doubles, cuts, slow,
                 how);
        snprintf(w->server, sizeof(w->server), "way=in,reorder=0.%03u,delay=250ms,late=0",
                 very_slow);
    } else {
        snprintf(w->client, sizeof(w->client), "%s", CALM_CLIENT);
        w->server[0] = '\0';
    }
}

static const char *client_spec(const struct sim *sim)
{
    return sim_calm(sim) ? CALM_CLIENT : sim->weather.client;
}

static const char *server_spec(const struct sim *sim)
{
    return sim_calm(sim) ? "" : sim->weather.server;
}

static const char *lane_spec(const struct sim *sim)
{
    return sim_calm(sim) ? CALM_LANE : sim->weather.lane;
}

static const char *link_spec(const struct sim *sim, uint32_t number)
{
    const struct host *host = &sim->hosts[number];
    bool cut = sim->now_ns >= host->cut_ns && sim->now_ns < host->mended_ns;
    return cut ? "drop=1" : client_spec(sim);
}

void weather_change(struct sim *sim)
{
    for (uint32_t i = 0; i < HOSTS; i++) {
        net_change(sim->hosts[i].end, server_spec(sim));
        net_change(sim->hosts[i].link, link_spec(sim, i));
        net_change(sim->hosts[i].lane, lane_spec(sim));
    }
    for (uint32_t i = 0; i < sim->clients_n; i++)
        net_change(sim->clients[i].end, client_spec(sim));
    net_change(&sim->net.ends[END_REGISTRY], server_spec(sim));
}

/* ---- ends ---- */

void host_connect(struct sim *sim, uint32_t number)
{
    struct host *host = &sim->hosts[number];
    host->sim = sim;
    host->end = net_open(&sim->net, END_HOST + number,
                         &(struct net_end_desc){.name = names[number],
                                                .seed = sim_random(sim),
                                                .spec = server_spec(sim),
                                                .take = host_takes,
                                                .ctx = host});
    host->link = net_open(&sim->net, END_LINK + number,
                          &(struct net_end_desc){.seed = sim_random(sim),
                                                 .spec = link_spec(sim, number),
                                                 .take = host_hears,
                                                 .ctx = host});
    host->lane = net_open(
        &sim->net, END_LANE + number,
        &(struct net_end_desc){.seed = sim_random(sim), .spec = lane_spec(sim), .rma = true});
}

void host_disconnect(struct sim *sim, uint32_t number)
{
    net_close(sim->hosts[number].end);
    net_close(sim->hosts[number].link);
    net_close(sim->hosts[number].lane);
}

void client_connect(struct sim *sim, uint32_t number)
{
    struct client *client = &sim->clients[number];
    client->end = net_open(&sim->net, END_CLIENT + number,
                           &(struct net_end_desc){.seed = sim_random(sim),
                                                  .spec = client_spec(sim),
                                                  .take = client_takes,
                                                  .ctx = client});
    client->lane = net_open(&sim->net, END_CLIENT_LANE + number,
                            &(struct net_end_desc){.seed = 1, .rma = true});
}

void registry_connect(struct sim *sim)
{
    net_open(&sim->net, END_REGISTRY,
             &(struct net_end_desc){.name = "r",
                                    .seed = sim_random(sim),
                                    .spec = server_spec(sim),
                                    .take = registry_takes,
                                    .ctx = sim});
}

void registry_disconnect(struct sim *sim)
{
    net_close(&sim->net.ends[END_REGISTRY]);
}
