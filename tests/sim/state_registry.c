/* The registry: one key, changed by compare-and-set and kept over restarts; the list of hosts,
 * which is not. A stand-in for the real one, which keeps a journal on disk; it speaks its messages.
 */
#include <string.h>

#include "registry/registry.h"
#include "state.h"
#include "weft/error.h"
#include "wire/registry.pb-c.h"

static struct net_end *end_of(struct sim *sim)
{
    return &sim->net.ends[END_REGISTRY];
}

static void on_get(struct sim *sim, const struct net_question *question)
{
    Weft__Registry__GetReply reply = WEFT__REGISTRY__GET_REPLY__INIT;
    reply.found = sim->key.revision != 0;
    reply.revision = sim->key.revision;
    if (reply.found)
        reply.value = (ProtobufCBinaryData){sim->key.len, sim->key.bytes};
    reply.epoch = sim->registry_epoch;
    net_reply(end_of(sim), question, &reply.base);
}

static void on_cas(struct sim *sim, const struct net_question *question,
                   const Weft__Registry__CasRequest *request)
{
    Weft__Registry__CasReply reply = WEFT__REGISTRY__CAS_REPLY__INIT;
    if (request->epoch != 0 && request->epoch != sim->registry_epoch) {
        net_refuse(end_of(sim), question, WEFT_ESTALE, NULL);
        return;
    }
    reply.won = sim->key.revision == request->expected || sim->mutant == MUTANT_BLIND_REGISTRY;
    if (reply.won && request->erase) {
        sim->key.revision = 0;
        sim_trace(sim, "registry: erased");
    } else if (reply.won && request->value.len <= sizeof(sim->key.bytes)) {
        sim->key.revision = ++sim->revisions;
        sim->key.len = request->value.len;
        memcpy(sim->key.bytes, request->value.data, request->value.len);
        sim_trace(sim, "registry: epoch %u", (unsigned)sim->key.revision);
    }
    reply.revision = sim->key.revision;
    if (reply.revision != 0)
        reply.value = (ProtobufCBinaryData){sim->key.len, sim->key.bytes};
    reply.epoch = sim->registry_epoch;
    net_reply(end_of(sim), question, &reply.base);
}

static void on_list(struct sim *sim, const struct net_question *question)
{
    Weft__Registry__ListReply reply = WEFT__REGISTRY__LIST_REPLY__INIT;
    Weft__Registry__Host hosts[HOSTS], *pointers[HOSTS];
    reply.hosts = pointers;
    for (uint32_t i = 0; i < HOSTS; i++) {
        if (!sim->members[i].listed)
            continue;
        weft__registry__host__init(&hosts[i]);
        hosts[i].name = weft__message_text(host_name(i));
        hosts[i].incarnation = sim->members[i].incarnation;
        hosts[i].alive = sim->members[i].alive;
        pointers[reply.n_hosts++] = &hosts[i];
    }
    reply.epoch = sim->registry_epoch;
    net_reply(end_of(sim), question, &reply.base);
}

/* ---- hosts ---- */

/* NULL: there is no such host, which fails the run. */
static struct member *member_of(struct sim *sim, const char *name)
{
    for (uint32_t i = 0; name != NULL && i < HOSTS; i++)
        if (strcmp(host_name(i), name) == 0)
            return &sim->members[i];
    sim_fail(sim, "a host without a name");
    return NULL;
}

static bool is_same(const struct member *member, uint64_t incarnation)
{
    return member->listed && member->alive && member->incarnation == incarnation;
}

static void on_join(struct sim *sim, const struct net_question *question,
                    const Weft__Registry__Host *host)
{
    Weft__Registry__JoinReply reply = WEFT__REGISTRY__JOIN_REPLY__INIT;
    struct member *member = member_of(sim, host != NULL ? host->name : NULL);
    if (member == NULL)
        return;
    if (!is_same(member, host->incarnation)) {
        if (member->listed && (member->alive || member->incarnation == host->incarnation)) {
            net_refuse(end_of(sim), question, member->alive ? WEFT_EEXIST : WEFT_ESTALE, NULL);
            return;
        }
        *member = (struct member){.listed = true, .alive = true, .incarnation = host->incarnation};
    }
    member->heard_ns = sim->now_ns;
    reply.epoch = sim->registry_epoch;
    reply.dead_ms = DEAD_NS / MS;
    net_reply(end_of(sim), question, &reply.base);
}

static void on_beat(struct sim *sim, const struct net_question *question,
                    const Weft__Registry__BeatRequest *request)
{
    Weft__Registry__BeatReply reply = WEFT__REGISTRY__BEAT_REPLY__INIT;
    struct member *member = member_of(sim, request->name);
    if (member == NULL)
        return;
    if (!is_same(member, request->incarnation)) {
        net_refuse(end_of(sim), question, WEFT_ESTALE, NULL);
        return;
    }
    member->heard_ns = sim->now_ns;
    reply.epoch = sim->registry_epoch;
    net_reply(end_of(sim), question, &reply.base);
}

static const ProtobufCMessageDescriptor *type_of(uint16_t code)
{
    return code == WEFT_REGISTRY_GET    ? &weft__registry__get_request__descriptor
           : code == WEFT_REGISTRY_CAS  ? &weft__registry__cas_request__descriptor
           : code == WEFT_REGISTRY_LIST ? &weft__registry__list_request__descriptor
           : code == WEFT_REGISTRY_JOIN ? &weft__registry__join_request__descriptor
                                        : &weft__registry__beat_request__descriptor;
}

void registry_takes(void *ctx, const struct net_question *question, const struct weft_frame *frame)
{
    struct sim *sim = ctx;
    ProtobufCMessage *message = net_unpack(&sim->net, frame, type_of(frame->call));
    if (message == NULL)
        return;
    if (frame->call == WEFT_REGISTRY_GET)
        on_get(sim, question);
    else if (frame->call == WEFT_REGISTRY_CAS)
        on_cas(sim, question, (const Weft__Registry__CasRequest *)message);
    else if (frame->call == WEFT_REGISTRY_LIST)
        on_list(sim, question);
    else if (frame->call == WEFT_REGISTRY_JOIN)
        on_join(sim, question, ((const Weft__Registry__JoinRequest *)message)->host);
    else
        on_beat(sim, question, (const Weft__Registry__BeatRequest *)message);
    weft__message_free(message);
}

/* ---- by itself ---- */

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

void registry_on(struct sim *sim, const struct event *event)
{
    if (event->kind == EV_REGISTRY_TICK) {
        tick(sim);
    } else if (event->kind == EV_REGISTRY_STOP) {
        registry_disconnect(sim);
        sim_trace(sim, "registry: stopped");
    } else {
        sim->registry_epoch++;
        for (uint32_t i = 0; i < HOSTS; i++)
            sim->members[i].listed = false;
        registry_connect(sim);
        sim_trace(sim, "registry: started anew");
    }
}
