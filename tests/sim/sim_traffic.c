/* Ranks that send each other numbered messages, and the packets that carry them.
 *
 * A copy is a rank's whole memory: what it has sent and got, and its channels with their windows.
 * Moving a rank copies that and nothing else, so a second copy that runs, a window left behind or a
 * packet taken twice shows up as a wrong number. The truth (how many messages were sent and got) is
 * kept outside, once for all copies. */
#include "sim.h"

#include <string.h>

#include "base/check.h"
#include "group/packet.h"
#include "weft/error.h"

_Static_assert(sizeof(struct weft_channel_packet) + 4 <= sizeof(struct sim_block),
               "block too small");

static struct weft_channel_packet *packet_new(struct sim *sim)
{
    weft__check(sim->free_packets_n > 0);
    void *block = sim->packets[sim->free_packets[--sim->free_packets_n]].bytes;
    return block;
}

static void packets_free(struct sim *sim, struct weft_channel_packet *packet)
{
    while (packet != NULL) {
        struct weft_channel_packet *next = packet->next;
        struct sim_block *block = (struct sim_block *)(void *)packet;
        sim->free_packets[sim->free_packets_n++] = (uint16_t)(block - sim->packets);
        packet = next;
    }
}

static uint32_t number_in(const struct weft_channel_packet *packet)
{
    uint32_t number;
    memcpy(&number, packet->payload, sizeof(number));
    return number;
}

void sim_copy_init(struct sim *sim, struct sim_copy *copy)
{
    *copy = (struct sim_copy){.exists = true};
    for (uint32_t peer = 0; peer < sim->ranks_n; peer++)
        weft__channel_init(&copy->channel[peer]);
}

void sim_copy_free(struct sim *sim, struct sim_copy *copy)
{
    if (!copy->exists)
        return;
    for (uint32_t peer = 0; peer < sim->ranks_n; peer++)
        packets_free(sim, copy->channel[peer].first);
    copy->exists = copy->running = false;
}

static void copy_window(struct sim *sim, struct weft_channel *to, const struct weft_channel *from)
{
    struct weft_channel_packet **end = &to->first;
    to->first = to->last = to->unsent = NULL;
    for (const struct weft_channel_packet *p = from->first; p != NULL; p = p->next) {
        struct weft_channel_packet *twin = packet_new(sim);
        memcpy(twin, p, sizeof(*p) + p->len_bytes);
        twin->next = NULL;
        *end = twin;
        end = &twin->next;
        to->last = twin;
    }
}

void sim_copy_pull(struct sim *sim, struct sim_copy *to, const struct sim_copy *from)
{
    sim_copy_free(sim, to);
    *to = *from;
    to->running = false;
    for (uint32_t peer = 0; peer < sim->ranks_n; peer++) {
        if (sim->mutant == SIM_MUTANT_WINDOW_LEFT) {
            to->channel[peer].first = to->channel[peer].last = to->channel[peer].unsent = NULL;
            to->channel[peer].packets = to->channel[peer].bytes = 0;
            continue;
        }
        copy_window(sim, &to->channel[peer], &from->channel[peer]);
    }
}

/* ---- sending ---- */

static void send_packet(struct sim *sim, uint32_t from, uint32_t to, enum sim_kind kind,
                        const struct sim_packet *packet)
{
    if (to == WEFT_PROCESS_NONE || to >= sim->procs_n)
        return;
    struct sim_event event = {.kind = (uint8_t)kind, .to = to, .packet = *packet};
    sim_send(sim, sim->procs[from].host, sim->procs[to].host, &event);
}

static void tell_ack(struct sim *sim, uint32_t number, uint32_t rank, uint32_t peer)
{
    struct sim_process *p = &sim->procs[number];
    struct weft_channel *channel = &p->copy[rank].channel[peer];
    struct sim_packet ack = {.source = rank,
                             .source_incarnation = p->copy[rank].incarnation,
                             .dest = peer,
                             .dest_incarnation = p->world[peer].incarnation,
                             .process = number,
                             .ack = weft__channel_ack(channel)};
    weft__channel_ack_told(channel);
    send_packet(sim, number, p->world[peer].process, SIM_ACK, &ack);
}

static void schedule_tick(struct sim *sim, uint32_t number, uint32_t rank, uint32_t peer)
{
    struct sim_process *p = &sim->procs[number];
    uint64_t at_ns = weft__channel_resend_at(&p->copy[rank].channel[peer]);
    uint64_t *planned = &p->tick_at[rank][peer];
    if (at_ns == UINT64_MAX || (*planned > sim->now_ns && *planned <= at_ns))
        return;
    *planned = at_ns;
    struct sim_event *tick = sim_at(sim, at_ns, SIM_CHANNEL_TICK, number);
    tick->rank = (uint8_t)rank;
    tick->peer = (uint8_t)peer;
}

static void pump(struct sim *sim, uint32_t number, uint32_t rank, uint32_t peer)
{
    struct sim_process *p = &sim->procs[number];
    struct weft_channel *channel = &p->copy[rank].channel[peer];
    struct weft_channel_packet *out;
    while ((out = weft__channel_unsent(channel)) != NULL) {
        struct sim_packet packet = {.source = rank,
                                    .source_incarnation = p->copy[rank].incarnation,
                                    .dest = peer,
                                    .dest_incarnation = p->world[peer].incarnation,
                                    .process = number,
                                    .number = number_in(out),
                                    .flags = out->flags,
                                    .sequence = out->sequence,
                                    .ack = weft__channel_ack(channel)};
        weft__channel_ack_told(channel);
        weft__channel_sent(channel, &sim->limits, sim->now_ns);
        send_packet(sim, number, p->world[peer].process, SIM_PACKET, &packet);
    }
    schedule_tick(sim, number, rank, peer);
}

static void rank_sends(struct sim *sim, uint32_t number, uint32_t rank)
{
    struct sim_copy *copy = &sim->procs[number].copy[rank];
    if (!copy->running || copy->quota == 0)
        return;
    uint32_t peer = sim_below(sim, sim->ranks_n);
    if (peer != rank && weft__channel_room(&copy->channel[peer], &sim->limits, 4)) {
        struct weft_channel_packet *packet = packet_new(sim);
        uint32_t message = ++copy->sent[peer];
        packet->len_bytes = sizeof(message);
        memcpy(packet->payload, &message, sizeof(message));
        if (message != ++sim->sent[rank][peer])
            sim_fail(sim, "rank %u sends message %u to %u, it has sent %u already", rank, message,
                     peer, sim->sent[rank][peer] - 1);
        weft__channel_push(&copy->channel[peer], &sim->limits, packet, sim_chance(sim, 200));
        copy->quota--;
        pump(sim, number, rank, peer);
    }
    uint64_t pause =
        sim_chance(sim, 300) ? sim_between(sim, MS, 60 * MS) : sim_between(sim, 100 * US, 2 * MS);
    sim_at(sim, sim->now_ns + pause, SIM_RANK_SENDS, number)->rank = (uint8_t)rank;
}

void sim_rank_goes_on(struct sim *sim, uint32_t number, uint32_t rank, bool arrived)
{
    struct sim_copy *copy = &sim->procs[number].copy[rank];
    copy->running = true;
    for (uint32_t peer = 0; peer < sim->ranks_n; peer++) {
        if (arrived)
            weft__channel_rewind(&copy->channel[peer]);
        pump(sim, number, rank, peer);
    }
    sim_at(sim, sim->now_ns + sim_between(sim, 10 * US, MS), SIM_RANK_SENDS, number)->rank =
        (uint8_t)rank;
    sim_hold_release(sim, number, rank);
}

/* ---- routes ---- */

bool sim_learn(struct sim *sim, uint32_t number, uint32_t rank, struct weft_world_entry entry)
{
    struct sim_process *p = &sim->procs[number];
    struct weft_world world = {.size = (int32_t)sim->ranks_n, .entries = p->world};
    if (entry.process == WEFT_PROCESS_NONE || !weft__world_update(&world, (int32_t)rank, entry))
        return false;
    for (uint32_t r = 0; r < sim->ranks_n; r++) {
        if (!p->copy[r].running)
            continue;
        weft__channel_rewind(&p->copy[r].channel[rank]);
        pump(sim, number, r, rank);
    }
    sim_hold_release(sim, number, rank);
    return true;
}

static void ask_home(struct sim *sim, uint32_t number, uint32_t rank)
{
    struct sim_event ask = {
        .kind = SIM_ROUTE_ASK, .to = SIM_HOME, .from = number, .rank = (uint8_t)rank};
    sim_send(sim, sim->procs[number].host, 0, &ask);
}

static void tell_route(struct sim *sim, uint32_t from, uint32_t to, uint32_t rank,
                       struct weft_world_entry entry)
{
    struct sim_event info = {
        .kind = SIM_ROUTE_INFO, .to = to, .from = from, .rank = (uint8_t)rank, .entry = entry};
    if (to < sim->procs_n)
        sim_send(sim, sim_home_host(sim, from), sim->procs[to].host, &info);
}

/* ---- receiving ---- */

static void hold(struct sim_process *p, const struct sim_packet *packet, bool is_ack)
{
    if (p->held_n == SIM_HELD_MAX)
        return; /* its sender has it still */
    p->held_ack[p->held_n] = is_ack;
    p->held[p->held_n++] = *packet;
}

static void accept(struct sim *sim, struct sim_copy *copy, const struct sim_packet *packet)
{
    uint32_t *got = &copy->got[packet->source];
    if (packet->number != *got + 1 || packet->number != ++sim->got[packet->source][packet->dest])
        sim_fail(sim, "rank %u takes message %u of rank %u, its memory has %u and the world %u",
                 packet->dest, packet->number, packet->source, *got,
                 sim->got[packet->source][packet->dest]);
    ++*got;
    sim->delivered++;
}

static bool is_next(struct sim *sim, const struct weft_channel *channel,
                    const struct sim_packet *packet)
{
    enum weft_channel_verdict verdict =
        weft__channel_arrived(channel, &sim->limits, packet->sequence);
    return verdict == WEFT_CHANNEL_ACCEPT ||
           (verdict == WEFT_CHANNEL_DUPLICATE && sim->mutant == SIM_MUTANT_DOUBLES_ACCEPTED);
}

/* Takes packets out of the hold that are in turn now. */
static void take_held(struct sim *sim, struct sim_process *p, uint32_t source, uint32_t dest)
{
    struct weft_channel *channel = &p->copy[dest].channel[source];
    for (unsigned i = 0; i < p->held_n;) {
        struct sim_packet packet = p->held[i];
        if (p->held_ack[i] || packet.source != source || packet.dest != dest ||
            packet.sequence > channel->next_in) {
            i++;
            continue;
        }
        p->held[i] = p->held[--p->held_n];
        p->held_ack[i] = p->held_ack[p->held_n];
        if (!is_next(sim, channel, &packet))
            continue;
        accept(sim, &p->copy[dest], &packet);
        weft__channel_accept(channel, packet.flags);
        i = 0;
    }
}

static void deliver(struct sim *sim, uint32_t number, const struct sim_packet *packet, bool is_ack)
{
    struct sim_process *p = &sim->procs[number];
    struct sim_copy *copy = &p->copy[packet->dest];
    struct weft_channel *channel = &copy->channel[packet->source];
    packets_free(sim, weft__channel_acknowledge(channel, &sim->limits, packet->ack, sim->now_ns));
    schedule_tick(sim, number, packet->dest, packet->source);
    if (is_ack)
        return;
    switch (weft__channel_arrived(channel, &sim->limits, packet->sequence)) {
    case WEFT_CHANNEL_DUPLICATE:
        if (sim->mutant == SIM_MUTANT_DOUBLES_ACCEPTED)
            accept(sim, copy, packet);
        weft__channel_duplicate(channel);
        break;
    case WEFT_CHANNEL_ACCEPT:
        accept(sim, copy, packet);
        weft__channel_accept(channel, packet->flags);
        take_held(sim, p, packet->source, packet->dest);
        break;
    case WEFT_CHANNEL_AHEAD:
        hold(p, packet, false);
        break;
    case WEFT_CHANNEL_BAD:
        sim_fail(sim, "rank %u gets sequence %llu of rank %u, next is %llu", packet->dest,
                 (unsigned long long)packet->sequence, packet->source,
                 (unsigned long long)channel->next_in);
        break;
    }
    if (weft__channel_ack_due(channel) || (weft__channel_ack_owed(channel) && sim_chance(sim, 500)))
        tell_ack(sim, number, packet->dest, packet->source);
}

static enum weft_route_place place_of(const struct sim_process *p, uint32_t rank)
{
    if (p->copy[rank].exists)
        return p->copy[rank].running ? WEFT_PLACE_HERE : WEFT_PLACE_FROZEN;
    return p->reserved[rank] ? WEFT_PLACE_ARRIVING : WEFT_PLACE_ELSEWHERE;
}

static void on_packet(struct sim *sim, uint32_t number, const struct sim_packet *packet,
                      bool is_ack)
{
    struct sim_process *p = &sim->procs[number];
    struct weft_route_question question = {.place = place_of(p, packet->dest),
                                           .forwards = p->forwards[packet->dest],
                                           .self = number,
                                           .known = p->world[packet->dest],
                                           .packet_incarnation = packet->dest_incarnation,
                                           .hops = packet->hops};
    struct sim_packet on = *packet;
    /* A rank that only receives asks nobody for routes: its acknowledgements follow the sender. */
    sim_learn(sim, number, packet->source,
              (struct weft_world_entry){packet->process, packet->source_incarnation});
    switch (weft__route_decide(&question)) {
    case WEFT_ROUTE_DELIVER:
        deliver(sim, number, packet, is_ack);
        break;
    case WEFT_ROUTE_HOLD_ASK:
        ask_home(sim, number, packet->dest);
        hold(p, packet, is_ack);
        break;
    case WEFT_ROUTE_HOLD:
        hold(p, packet, is_ack);
        break;
    case WEFT_ROUTE_FORWARD:
        on.hops++;
        on.dest_incarnation = p->world[packet->dest].incarnation;
        sim->forwarded++;
        send_packet(sim, number, p->world[packet->dest].process, is_ack ? SIM_ACK : SIM_PACKET,
                    &on);
        break;
    case WEFT_ROUTE_NACK:
        tell_route(sim, number, packet->process, packet->dest, p->world[packet->dest]);
        break;
    case WEFT_ROUTE_DROP:
        break;
    }
}

void sim_hold_release(struct sim *sim, uint32_t number, uint32_t rank)
{
    struct sim_process *p = &sim->procs[number];
    struct sim_packet held[SIM_HELD_MAX];
    bool held_ack[SIM_HELD_MAX];
    unsigned n = 0, kept = 0;
    for (unsigned i = 0; i < p->held_n; i++) {
        if (p->held[i].dest == rank) {
            held_ack[n] = p->held_ack[i];
            held[n++] = p->held[i];
        } else {
            p->held_ack[kept] = p->held_ack[i];
            p->held[kept++] = p->held[i];
        }
    }
    p->held_n = kept;
    for (unsigned i = 0; i < n; i++)
        on_packet(sim, number, &held[i], held_ack[i]);
}

static void on_channel_tick(struct sim *sim, const struct sim_event *event)
{
    struct sim_process *p = &sim->procs[event->to];
    p->tick_at[event->rank][event->peer] = 0;
    if (!p->copy[event->rank].running)
        return;
    struct weft_channel *channel = &p->copy[event->rank].channel[event->peer];
    if (weft__channel_tick(channel, &sim->limits, sim->now_ns))
        ask_home(sim, event->to, event->peer); /* it may be elsewhere, its process may be dead */
    pump(sim, event->to, event->rank, event->peer);
}

void sim_on_traffic(struct sim *sim, struct sim_event *event)
{
    if (event->kind == SIM_ROUTE_ASK) {
        if (sim->hosts[0].up && !sim->app_over)
            tell_route(sim, SIM_HOME, event->from, event->rank, sim->routes[event->rank]);
        return;
    }
    if (!sim->procs[event->to].alive)
        return;
    switch ((enum sim_kind)event->kind) {
    case SIM_PACKET:
        on_packet(sim, event->to, &event->packet, false);
        break;
    case SIM_ACK:
        on_packet(sim, event->to, &event->packet, true);
        break;
    case SIM_ROUTE_INFO:
        sim_learn(sim, event->to, event->rank, event->entry);
        break;
    case SIM_RANK_SENDS:
        rank_sends(sim, event->to, event->rank);
        break;
    case SIM_CHANNEL_TICK:
        on_channel_tick(sim, event);
        break;
    default:
        break;
    }
}
