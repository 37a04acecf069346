/* The weather, and what members, the creator and links send.
 *
 * Each pair of hosts has a link each way, so that one pair can be cut off from each other; a link
 * has a latency and faults for what goes out. A host's server holds some of what comes in, which
 * outlives the sender. A member talks to the host that it is on: less gets lost there, but it does.
 * What the registry tells hosts of each other comes by itself, some time after it has happened:
 * the messages of the registry are in the simulation of the state service.
 *
 * A call that is not answered is sent again, with the same bytes. The control client does so when a
 * connection breaks; here, where a message is lost and nobody sees a connection break, time stands
 * for it. In a run where members lose nothing nobody asks again: a waiter that is not told would be
 * found. The creator's calls are neither late nor lost: a group may be made again under the id of
 * one that has ended, and so it would be by a call that comes when the group has ended.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "group.h"
#include "group/group.h"
#include "weft/error.h"
#include "wire/group.pb-c.h"

#define AGAIN_NS (100 * MS) /* doubles with each try */
#define TRIES_MAX 5
#define CALM_LINK "reorder=1,delay=300us"
#define CALM_CLIENT "reorder=1,delay=50us"

static const char *const names[GSIM_HOSTS_MAX] = {"a", "b", "c", "d"};

/* ---- the weather ---- */

static void make_link(struct gsim *sim, struct gsim_link *link, bool rough)
{
    uint32_t loss = gsim_below(sim, 150), doubles = gsim_below(sim, 150);
    uint32_t slow = gsim_below(sim, 200), very_slow = gsim_below(sim, 30);
    uint32_t what = gsim_below(sim, 10), cuts = gsim_chance(sim, 100) ? gsim_below(sim, 10) : 0;
    char latency[40] = CALM_LINK;
    link->seed = gsim_random(sim);
    if (what == 0)
        snprintf(latency, sizeof(latency), "reorder=0.%03u,delay=4000ms,late=0", very_slow);
    else if (what < 3)
        snprintf(latency, sizeof(latency), "reorder=0.%03u,delay=30ms,late=0", slow);
    else if (what < 5)
        snprintf(latency, sizeof(latency), "delay=%ums,late=0.%03u", what == 3 ? 1 : 20, slow);
    if (rough)
        snprintf(link->spec, sizeof(link->spec), "drop=0.%03u,dup=0.%03u,cut=0.%03u,%s", loss,
                 doubles, cuts, latency);
    else
        snprintf(link->spec, sizeof(link->spec), "%s", CALM_LINK);
}

static void make_cut(struct gsim *sim)
{
    sim->cut_a = sim->cut_b = UINT32_MAX;
    if (!gsim_chance(sim, 150))
        return;
    sim->cut_a = gsim_below(sim, sim->hosts_n);
    sim->cut_b = gsim_below(sim, sim->hosts_n);
    sim->cut_ns = gsim_between(sim, 0, 20 * MS);
    sim->mended_ns = sim->cut_ns + gsim_between(sim, 0, 3000 * MS);
    gsim_at(sim, sim->cut_ns, (struct gsim_event){.kind = GSIM_WEATHER});
    gsim_at(sim, sim->mended_ns, (struct gsim_event){.kind = GSIM_WEATHER});
}

void gsim_weather_make(struct gsim *sim)
{
    bool rough = gsim_chance(sim, 700), very_slow = gsim_chance(sim, 500);
    uint32_t slow = gsim_below(sim, very_slow ? 30 : 200), late_ms = very_slow ? 4000 : 30;
    uint32_t doubles = gsim_below(sim, 200);
    sim->loss = rough && gsim_chance(sim, 500) ? gsim_below(sim, 30) : 0;
    for (uint32_t i = 0; i < sim->hosts_n; i++)
        for (uint32_t j = 0; j < sim->hosts_n; j++)
            make_link(sim, &sim->links[i][j], rough);
    snprintf(sim->host_spec, sizeof(sim->host_spec),
             "way=in,on=push,reorder=0.%03u,delay=%ums,late=0", rough ? slow : 0, late_ms);
    snprintf(sim->client_spec, sizeof(sim->client_spec), "drop=0.%03u,dup=0.%03u,reorder=1,%s",
             sim->loss, rough ? doubles : 0,
             gsim_chance(sim, 500)   ? "delay=50us"
             : gsim_chance(sim, 500) ? "delay=5ms"
                                     : "delay=400ms");
    sim->hurry = gsim_chance(sim, 500) ? gsim_below(sim, 200) : 0;
    sim->calm_ns = gsim_between(sim, 0, 4000 * MS);
    gsim_at(sim, sim->calm_ns, (struct gsim_event){.kind = GSIM_WEATHER});
    make_cut(sim);
}

static bool is_cut(const struct gsim *sim, uint32_t a, uint32_t b)
{
    bool pair = (a == sim->cut_a && b == sim->cut_b) || (a == sim->cut_b && b == sim->cut_a);
    return pair && sim->now_ns >= sim->cut_ns && sim->now_ns < sim->mended_ns;
}

static const char *link_spec(const struct gsim *sim, uint32_t from, uint32_t to)
{
    if (is_cut(sim, from, to))
        return "drop=1";
    return sim->now_ns < sim->calm_ns ? sim->links[from][to].spec : CALM_LINK;
}

static const char *host_spec(const struct gsim *sim)
{
    return sim->now_ns < sim->calm_ns ? sim->host_spec : "";
}

static const char *client_spec(const struct gsim *sim, uint32_t index)
{
    bool rough = sim->now_ns < sim->calm_ns && index != GSIM_CREATOR;
    return rough ? sim->client_spec : CALM_CLIENT;
}

static struct net_end *link_end(struct gsim *sim, uint32_t from, uint32_t to)
{
    return &sim->net.ends[GSIM_END_LINK + from * GSIM_HOSTS_MAX + to];
}

void gsim_weather_change(struct gsim *sim)
{
    for (uint32_t i = 0; i < sim->hosts_n; i++) {
        net_change(sim->hosts[i].end, host_spec(sim));
        for (uint32_t j = 0; j < sim->hosts_n; j++)
            net_change(link_end(sim, i, j), link_spec(sim, i, j));
    }
    for (uint32_t i = 0; i <= GSIM_CREATOR; i++)
        net_change(sim->clients[i].end, client_spec(sim, i));
}

/* ---- hosts ---- */

void gsim_host_connect(struct gsim *sim, uint32_t index)
{
    struct gsim_host *host = &sim->hosts[index];
    struct net_end_desc desc = {.name = names[index],
                                .seed = gsim_random(sim),
                                .spec = host_spec(sim),
                                .take = gsim_host_takes,
                                .ctx = host};
    host->end = net_open(&sim->net, GSIM_END_HOST + index, &desc);
    snprintf(host->self.name, sizeof(host->self.name), "%s", names[index]);
    snprintf(host->self.url, sizeof(host->self.url), "%s:%d", names[index], NET_ASYNC_PORT);
}

void gsim_host_disconnect(struct gsim *sim, uint32_t index)
{
    net_close(sim->hosts[index].end);
    for (uint32_t i = 0; i < sim->hosts_n; i++)
        net_close(link_end(sim, index, i));
}

struct net_end *gsim_link(struct gsim *sim, uint32_t from, uint32_t to)
{
    struct net_end *end = link_end(sim, from, to);
    struct gsim_link *link = &sim->links[from][to];
    struct net_end_desc desc = {.seed = link->seed, .spec = link_spec(sim, from, to)};
    if (net_is_open(end))
        return end;
    link->seed++;
    return net_open(&sim->net, (unsigned)(end - sim->net.ends), &desc);
}

/* ---- members and the creator ---- */

/* The numbers that a member receives; free(). */
static uint64_t *values_of(struct gsim *sim, const struct weft_frame *frame, size_t *n_out)
{
    ProtobufCMessage *message = net_unpack(&sim->net, frame, &weft__group__messages__descriptor);
    const Weft__Group__Messages *messages = (const Weft__Group__Messages *)message;
    size_t n = messages != NULL ? messages->n_messages : 0;
    uint64_t *values = weft__must_alloc(n, sizeof(*values));
    for (size_t i = 0; i < n; i++)
        if (messages->messages[i].len == sizeof(*values))
            memcpy(&values[i], messages->messages[i].data, sizeof(*values));
    weft__message_free(message);
    *n_out = n;
    return values;
}

static void client_takes(void *ctx, const struct net_question *question,
                         const struct weft_frame *frame)
{
    struct gsim_client *client = ctx;
    struct gsim_answer answer = {.err = frame->error};
    uint64_t *values = NULL;
    (void)question;
    if (!client->asks || frame->correlation != client->serial)
        return; /* of an earlier call, the second one of this, or of a beat */
    if (frame->error == WEFT_ECANCELED)
        return; /* the same call has come to the host again, which answers the newer one */
    client->asks = false;
    if (client->index == GSIM_CREATOR) {
        gsim_created(client->sim, answer.err);
        return;
    }
    if (frame->call == WEFT_GROUP_RECV && frame->error == WEFT_OK)
        answer.values = values = values_of(client->sim, frame, &answer.values_n);
    gsim_member_answer(client->sim, client->index, &answer);
    free(values);
}

void gsim_client_open(struct gsim *sim, uint32_t index)
{
    struct gsim_client *client = &sim->clients[index];
    struct net_end_desc desc = {.seed = gsim_random(sim),
                                .spec = client_spec(sim, index),
                                .take = client_takes,
                                .ctx = client};
    *client = (struct gsim_client){.sim = sim, .index = index};
    client->end = net_open(&sim->net, GSIM_END_CLIENT + index, &desc);
}

void gsim_client_close(struct gsim *sim, uint32_t index)
{
    sim->clients[index].asks = false;
    net_close(sim->clients[index].end);
}

/* Of the host that it is on. */
static const char *host_url(const struct gsim *sim, uint32_t index)
{
    static const char *const urls[GSIM_HOSTS_MAX] = {"a:1", "b:1", "c:1", "d:1"};
    return urls[index == GSIM_CREATOR ? 0 : sim->members[index].host];
}

static void send_create(struct gsim *sim, struct gsim_client *client)
{
    Weft__Group__Create message = WEFT__GROUP__CREATE__INIT;
    struct weft_frame frame = {.call = WEFT_GROUP_CREATE, .correlation = client->serial};
    uint32_t host_of[GSIM_MEMBERS_MAX];
    for (uint32_t i = 0; i < sim->members_n; i++)
        host_of[i] = sim->members[i].host;
    message.session = sim->creator;
    message.group = 1;
    message.members = sim->members_n;
    message.n_hosts = sim->hosts_n;
    message.hosts = (char **)(uintptr_t)names;
    message.n_host_of = sim->members_n;
    message.host_of = host_of;
    message.wait_ms = GSIM_LONG_MS;
    net_request(client->end, host_url(sim, GSIM_CREATOR), &frame, &message.base);
}

static uint16_t code_of(enum weft_coord_op op)
{
    static const uint16_t codes[] = {
        [WEFT_COORD_OPEN] = WEFT_GROUP_OPEN,       [WEFT_COORD_LEAVE] = WEFT_GROUP_LEAVE,
        [WEFT_COORD_LOCK] = WEFT_GROUP_LOCK,       [WEFT_COORD_UNLOCK] = WEFT_GROUP_UNLOCK,
        [WEFT_COORD_BARRIER] = WEFT_GROUP_BARRIER, [WEFT_COORD_NOTIFY] = WEFT_GROUP_NOTIFY,
        [WEFT_COORD_SEND] = WEFT_GROUP_SEND,       [WEFT_COORD_RECV] = WEFT_GROUP_RECV,
    };
    return codes[op];
}

static void send_call(struct gsim *sim, struct gsim_client *client)
{
    struct gsim_member *member = &sim->members[client->index];
    const struct weft_coord_call *call = &member->call;
    struct weft_frame frame = {.call = code_of(call->op), .correlation = client->serial};
    Weft__Group__Call message = WEFT__GROUP__CALL__INIT;
    message.session = member->session;
    message.group = 1;
    message.member = client->index;
    message.peer = call->peer;
    message.number = call->number;
    message.settled = call->settled;
    message.released = call->released;
    message.flags = call->flags;
    message.wait_ms = member->wait_ms;
    if (call->op == WEFT_COORD_SEND)
        message.data = (ProtobufCBinaryData){sizeof(member->value), member->value};
    net_request(client->end, host_url(sim, client->index), &frame, &message.base);
}

static void send(struct gsim *sim, struct gsim_client *client)
{
    if (client->index == GSIM_CREATOR)
        send_create(sim, client);
    else
        send_call(sim, client);
    if (sim->loss > 0 && client->index != GSIM_CREATOR)
        gsim_at(
            sim, sim->now_ns + (AGAIN_NS << client->tries),
            (struct gsim_event){.kind = GSIM_AGAIN, .to = client->index, .serial = client->serial});
}

void gsim_ask(struct gsim *sim, uint32_t index)
{
    struct gsim_client *client = &sim->clients[index];
    client->asks = true;
    client->serial++;
    client->tries = 0;
    send(sim, client);
}

void gsim_ask_again(struct gsim *sim, uint32_t index, uint64_t serial)
{
    struct gsim_client *client = &sim->clients[index];
    if (!client->asks || client->serial != serial)
        return;
    client->tries += client->tries < TRIES_MAX;
    sim->runs_again++;
    send(sim, client);
}

void gsim_beat(struct gsim *sim, uint32_t index)
{
    struct weft_frame frame = {.call = WEFT_GROUP_BEAT};
    Weft__Group__Beat message = WEFT__GROUP__BEAT__INIT;
    message.session = index == GSIM_CREATOR ? sim->creator : sim->members[index].session;
    net_request(sim->clients[index].end, host_url(sim, index), &frame, &message.base);
}
