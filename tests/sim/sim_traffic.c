/* Ranks that send each other numbered messages, and the packets that carry them.
 *
 * A copy is a rank's whole memory: what it has sent and got, and its channels with their windows.
 * Moving a rank copies that and nothing else, so a second copy that runs, a window left behind or a
 * packet taken twice shows up as a wrong number. The truth (how many messages were sent and got) is
 * kept outside, once for all copies. What a process does with a packet is what src/exec does, in
 * its arrive.c, inbox.c and routes.c, with the same parts of src/group. */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "weft/error.h"

#define HELD_BYTES_MAX 4096

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

static uint32_t number_in(const unsigned char *payload)
{
    uint32_t number;
    memcpy(&number, payload, sizeof(number));
    return number;
}

void sim_copy_init(struct sim *sim, uint32_t app, struct sim_copy *copy)
{
    *copy = (struct sim_copy){.exists = true};
    for (uint32_t peer = 0; peer < sim->apps[app].ranks_n; peer++)
        weft__channel_init(&copy->channel[peer]);
}

void sim_copy_free(struct sim *sim, struct sim_copy *copy)
{
    if (!copy->exists)
        return;
    for (uint32_t peer = 0; peer < SIM_RANKS_MAX; peer++)
        packets_free(sim, copy->channel[peer].first);
    copy->exists = copy->running = false;
}

static void copy_window(struct sim *sim, struct weft_channel *to, const struct weft_channel *from)
{
    to->first = to->last = to->unsent = NULL;
    for (const struct weft_channel_packet *p = from->first; p != NULL; p = p->next) {
        struct weft_channel_packet *twin = packet_new(sim);
        memcpy(twin, p, sizeof(*p) + p->len_bytes);
        twin->next = NULL;
        if (to->last)
            to->last->next = twin;
        else
            to->first = twin;
        to->last = twin;
    }
}

void sim_copy_pull(struct sim *sim, struct sim_copy *to, const struct sim_copy *from)
{
    sim_copy_free(sim, to);
    *to = *from;
    to->running = false;
    for (uint32_t peer = 0; peer < SIM_RANKS_MAX; peer++) {
        if (sim->mutant == SIM_MUTANT_WINDOW_LEFT) {
            to->channel[peer].first = to->channel[peer].last = to->channel[peer].unsent = NULL;
            to->channel[peer].packets = to->channel[peer].bytes = 0;
            continue;
        }
        copy_window(sim, &to->channel[peer], &from->channel[peer]);
    }
}

/* ---- sending ---- */

static void post(struct sim *sim, uint32_t from, uint32_t to, const struct sim_packet *packet)
{
    if (to < SIM_PROC_FIRST || to >= sim->procs_n)
        return;
    struct sim_event event = {.kind = SIM_PACKET, .to = to, .from = from, .packet = *packet};
    sim_send(sim, sim_host_of(sim, from), sim->procs[to].host, &event);
}

/* What a packet of a rank for a peer says beside its type. */
static struct weft_packet_header header_of(const struct sim_process *p, uint32_t number,
                                           uint32_t rank, uint32_t peer)
{
    return (struct weft_packet_header){
        .app = p->app + 1,
        .dest = (int32_t)peer,
        .dest_incarnation = p->world[peer].incarnation,
        .source = (int32_t)rank,
        .source_incarnation = p->copy[rank].incarnation,
        .ack = weft__channel_ack(&p->copy[rank].channel[peer]),
        .process = number,
    };
}

static void tell_ack(struct sim *sim, uint32_t number, uint32_t rank, uint32_t peer)
{
    struct sim_process *p = &sim->procs[number];
    struct sim_packet ack = {.header = header_of(p, number, rank, peer)};
    ack.header.type = WEFT_PACKET_ACK;
    weft__channel_ack_told(&p->copy[rank].channel[peer]);
    post(sim, number, p->world[peer].process, &ack);
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
        struct sim_packet packet = {.header = header_of(p, number, rank, peer),
                                    .number = number_in(out->payload)};
        packet.header.type = WEFT_PACKET_DATA;
        packet.header.flags = (uint8_t)out->flags;
        packet.header.sequence = out->sequence;
        packet.header.payload_len = sizeof(packet.number);
        weft__channel_ack_told(channel);
        weft__channel_sent(channel, &sim->limits, sim->now_ns);
        post(sim, number, p->world[peer].process, &packet);
    }
    schedule_tick(sim, number, rank, peer);
}

static void rank_sends(struct sim *sim, uint32_t number, uint32_t rank)
{
    struct sim_app *app = &sim->apps[sim->procs[number].app];
    struct sim_copy *copy = &sim->procs[number].copy[rank];
    if (!copy->running || copy->quota == 0)
        return;
    uint32_t peer = sim_below(sim, app->ranks_n);
    if (peer != rank && weft__channel_room(&copy->channel[peer], &sim->limits, 4)) {
        struct weft_channel_packet *packet = packet_new(sim);
        uint32_t message = ++copy->sent[peer];
        packet->len_bytes = sizeof(message);
        memcpy(packet->payload, &message, sizeof(message));
        if (message != ++app->sent[rank][peer])
            sim_fail(sim, "rank %u sends message %u to %u, it has sent %u already", rank, message,
                     peer, app->sent[rank][peer] - 1);
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
    struct sim_process *p = &sim->procs[number];
    struct sim_copy *copy = &p->copy[rank];
    copy->running = true;
    for (uint32_t peer = 0; peer < sim->apps[p->app].ranks_n; peer++) {
        if (arrived)
            weft__channel_rewind(&copy->channel[peer]);
        pump(sim, number, rank, peer);
    }
    sim_at(sim, sim->now_ns + sim_between(sim, 10 * US, MS), SIM_RANK_SENDS, number)->rank =
        (uint8_t)rank;
    sim_hold_release(sim, number, rank);
}

/* ---- routes ---- */

static void send_marker(struct sim *sim, uint32_t number, uint32_t rank, uint32_t to)
{
    const struct sim_process *p = &sim->procs[number];
    struct sim_packet marker = {.header = {.type = WEFT_PACKET_MARKER,
                                           .app = p->app + 1,
                                           .dest = (int32_t)rank,
                                           .dest_incarnation = p->world[rank].incarnation,
                                           .source = -1,
                                           .process = number}};
    if (to != number)
        post(sim, number, to, &marker);
}

bool sim_learn(struct sim *sim, uint32_t number, uint32_t rank, struct weft_world_entry entry)
{
    struct sim_process *p = &sim->procs[number];
    uint32_t ranks_n = sim->apps[p->app].ranks_n;
    struct weft_world world = {.size = (int32_t)ranks_n, .entries = p->world};
    struct weft_world_entry before = p->world[rank];
    bool newer = weft__world_update(&world, (int32_t)rank, entry);
    if (sim->mutant == SIM_MUTANT_OLDER_ROUTE_WINS && entry.process != WEFT_PROCESS_NONE)
        p->world[rank] = entry;
    if (!newer) {
        if (entry.incarnation < before.incarnation && entry.process != before.process)
            send_marker(sim, number, rank, entry.process);
        return false;
    }
    for (uint32_t r = 0; r < ranks_n; r++) {
        if (!p->copy[r].running)
            continue;
        weft__channel_rewind(&p->copy[r].channel[rank]);
        pump(sim, number, r, rank);
    }
    sim_hold_release(sim, number, rank);
    if (before.process != entry.process)
        send_marker(sim, number, rank, before.process);
    return true;
}

static void ask_home(struct sim *sim, uint32_t number, uint32_t rank)
{
    uint32_t home = sim->procs[number].app + 1;
    struct sim_event ask = {
        .kind = SIM_ROUTE_ASK, .to = home, .from = number, .rank = (uint8_t)rank};
    sim_send(sim, sim->procs[number].host, sim_host_of(sim, home), &ask);
}

void sim_tell_route(struct sim *sim, uint32_t from, uint32_t to, uint32_t rank, uint8_t flags)
{
    const struct weft_world_entry *known =
        from < SIM_PROC_FIRST ? sim->apps[from - 1].routes : sim->procs[from].world;
    struct sim_packet route = {.header = {.type = WEFT_PACKET_ROUTE,
                                          .flags = flags,
                                          .app = sim_app_of(sim, from) + 1,
                                          .dest = (int32_t)rank,
                                          .dest_incarnation = known[rank].incarnation,
                                          .source = -1,
                                          .process = from},
                               .entry = known[rank]};
    if (route.entry.process != WEFT_PROCESS_NONE)
        post(sim, from, to, &route);
}

static void on_route(struct sim *sim, uint32_t number, const struct sim_packet *packet)
{
    const struct weft_packet_header *header = &packet->header;
    uint32_t rank = (uint32_t)header->dest;
    bool newer = sim_learn(sim, number, rank, packet->entry);
    sim->stats.seen[SIM_SAW_ROUTE_LEARNT] += newer && header->process >= SIM_PROC_FIRST;
    if (header->flags & WEFT_PACKET_WANT_MARKER)
        send_marker(sim, number, rank, header->process);
}

/* ---- receiving ---- */

static int hold(struct sim *sim, struct sim_process *p, const struct sim_packet *packet)
{
    struct weft_hold *hold = &p->hold[packet->header.dest];
    int err = WEFT_OK;
    if (!hold->by_source)
        err = weft__hold_init(hold, (int32_t)sim->apps[p->app].ranks_n, sim->held_max,
                              HELD_BYTES_MAX);
    if (err == WEFT_OK)
        err = weft__hold_put(hold, &packet->header, &packet->number);
    sim->stats.seen[SIM_SAW_HOLD_FULL] += err == WEFT_EAGAIN; /* its sender has it still */
    return err;
}

/* The rank takes a message out of a packet. */
static void accept(struct sim *sim, struct sim_process *p, const struct weft_packet_header *header,
                   uint32_t number)
{
    struct sim_app *app = &sim->apps[p->app];
    uint32_t *got = &p->copy[header->dest].got[header->source];
    if (number != *got + 1 || number != ++app->got[header->source][header->dest])
        sim_fail(sim, "rank %d takes message %u of rank %d, its memory has %u and the world %u",
                 (int)header->dest, number, (int)header->source, *got,
                 app->got[header->source][header->dest]);
    ++*got;
    sim_saw(sim, SIM_SAW_ACCEPTED);
}

/* Takes packets out of the hold that are in turn now. */
static void take_held(struct sim *sim, struct sim_process *p, int32_t source, int32_t dest)
{
    struct weft_channel *channel = &p->copy[dest].channel[source];
    struct weft_held *held;
    if (!p->hold[dest].by_source)
        return;
    while ((held = weft__hold_take(&p->hold[dest], source, channel->next_in)) != NULL) {
        accept(sim, p, &held->header, number_in(held->payload));
        weft__channel_accept(channel, held->header.flags);
        sim_saw(sim, SIM_SAW_HOLD_RELEASED);
        free(held);
    }
}

/* The next packet in order; the mailbox may be full. */
static void take(struct sim *sim, uint32_t number, const struct sim_packet *packet)
{
    struct sim_process *p = &sim->procs[number];
    const struct weft_packet_header *header = &packet->header;
    if (!sim_calm(sim) && sim_chance(sim, 20)) {
        sim_saw(sim, SIM_SAW_MAILBOX_FULL);
        hold(sim, p, packet);
        sim_at(sim, sim->now_ns + sim_between(sim, 10 * US, 10 * MS), SIM_RANK_READS, number)
            ->rank = (uint8_t)header->dest;
        return;
    }
    accept(sim, p, header, packet->number);
    weft__channel_accept(&p->copy[header->dest].channel[header->source], header->flags);
    take_held(sim, p, header->source, header->dest);
}

static void acknowledge(struct sim *sim, uint32_t number, uint32_t rank, uint32_t source)
{
    const struct weft_channel *channel = &sim->procs[number].copy[rank].channel[source];
    if (weft__channel_ack_due(channel) || (weft__channel_ack_owed(channel) && sim_chance(sim, 500)))
        tell_ack(sim, number, rank, source);
}

static void deliver(struct sim *sim, uint32_t number, const struct sim_packet *packet)
{
    struct sim_process *p = &sim->procs[number];
    const struct weft_packet_header *header = &packet->header;
    uint32_t rank = (uint32_t)header->dest, source = (uint32_t)header->source;
    struct weft_channel *channel = &p->copy[rank].channel[source];
    packets_free(sim, weft__channel_acknowledge(channel, &sim->limits, header->ack, sim->now_ns));
    schedule_tick(sim, number, rank, source);
    if (header->type == WEFT_PACKET_ACK)
        return;
    switch (weft__channel_arrived(channel, &sim->limits, header->sequence)) {
    case WEFT_CHANNEL_DUPLICATE:
        sim_saw(sim, SIM_SAW_DUPLICATE);
        if (sim->mutant == SIM_MUTANT_DOUBLES_ACCEPTED)
            accept(sim, p, header, packet->number);
        weft__channel_duplicate(channel);
        break;
    case WEFT_CHANNEL_ACCEPT:
        take(sim, number, packet);
        break;
    case WEFT_CHANNEL_AHEAD:
        sim_saw(sim, SIM_SAW_AHEAD);
        hold(sim, p, packet);
        break;
    case WEFT_CHANNEL_BAD:
        sim_fail(sim, "rank %u gets sequence %llu of rank %u, next is %llu", rank,
                 (unsigned long long)header->sequence, source,
                 (unsigned long long)channel->next_in);
        break;
    }
    acknowledge(sim, number, rank, source);
}

static enum weft_route_place place_of(const struct sim_process *p, uint32_t rank)
{
    if (p->copy[rank].exists)
        return p->copy[rank].running ? WEFT_PLACE_HERE : WEFT_PLACE_FROZEN;
    return p->reserved[rank] ? WEFT_PLACE_ARRIVING : WEFT_PLACE_ELSEWHERE;
}

/* Into the hold; acknowledgements are dropped, what they are about is sent again. */
static void keep(struct sim *sim, uint32_t number, const struct sim_packet *packet,
                 enum sim_seen why)
{
    struct sim_process *p = &sim->procs[number];
    const struct weft_packet_header *header = &packet->header;
    if (header->type != WEFT_PACKET_DATA)
        return;
    sim_saw(sim, why);
    bool kept = hold(sim, p, packet) == WEFT_OK;
    if (why == SIM_SAW_HELD_FROZEN && kept && sim->mutant == SIM_MUTANT_HELD_ACCEPTED) {
        struct sim_packet ack = {
            .header = header_of(p, number, (uint32_t)header->dest, (uint32_t)header->source)};
        ack.header.type = WEFT_PACKET_ACK;
        ack.header.ack = header->sequence;
        post(sim, number, header->process, &ack);
    }
}

static void forward(struct sim *sim, uint32_t number, const struct sim_packet *packet)
{
    const struct weft_world_entry *known = &sim->procs[number].world[packet->header.dest];
    struct sim_packet on = *packet;
    on.header.hops++;
    on.header.dest_incarnation = known->incarnation;
    sim_saw(sim, SIM_SAW_FORWARDED);
    post(sim, number, known->process, &on);
}

static void arrive(struct sim *sim, uint32_t number, const struct sim_packet *packet)
{
    struct sim_process *p = &sim->procs[number];
    const struct weft_packet_header *header = &packet->header;
    uint32_t rank = (uint32_t)header->dest;
    struct weft_route_question question = {.place = place_of(p, rank),
                                           .forwards = p->forwards[rank],
                                           .self = number,
                                           .known = p->world[rank],
                                           .packet_incarnation = header->dest_incarnation,
                                           .hops = header->hops};
    switch (weft__route_decide(&question)) {
    case WEFT_ROUTE_DELIVER:
        deliver(sim, number, packet);
        break;
    case WEFT_ROUTE_HOLD_ASK: /* no run comes here: who knows of a newer place knows of one that
                                 knows it too */
        ask_home(sim, number, rank);
        keep(sim, number, packet, SIM_SAW_HELD_ARRIVING);
        break;
    case WEFT_ROUTE_HOLD:
        keep(sim, number, packet,
             question.place == WEFT_PLACE_FROZEN ? SIM_SAW_HELD_FROZEN : SIM_SAW_HELD_ARRIVING);
        break;
    case WEFT_ROUTE_FORWARD:
        forward(sim, number, packet);
        break;
    case WEFT_ROUTE_NACK:
        if (header->type == WEFT_PACKET_ACK || header->process == number)
            break;
        sim_saw(sim, SIM_SAW_NACKED);
        sim_tell_route(sim, number, header->process, rank, 0);
        break;
    case WEFT_ROUTE_DROP:
        break;
    }
}

void sim_hold_release(struct sim *sim, uint32_t number, uint32_t rank)
{
    struct weft_hold hold = sim->procs[number].hold[rank];
    struct weft_held *held;
    sim->procs[number].hold[rank] = (struct weft_hold){0};
    while ((held = weft__hold_pop(&hold)) != NULL) {
        struct sim_packet packet = {.header = held->header, .number = number_in(held->payload)};
        free(held);
        sim_saw(sim, SIM_SAW_HOLD_RELEASED);
        arrive(sim, number, &packet);
    }
    weft__hold_fini(&hold);
}

static void on_packet(struct sim *sim, uint32_t number, const struct sim_packet *packet)
{
    const struct weft_packet_header *header = &packet->header;
    switch (header->type) {
    case WEFT_PACKET_ROUTE:
        on_route(sim, number, packet);
        break;
    case WEFT_PACKET_MARKER:
        sim_on_marker(sim, number, header);
        break;
    default: /* A rank that only receives asks nobody for routes: its acknowledgements follow the
                sender. */
        sim_learn(sim, number, (uint32_t)header->source,
                  (struct weft_world_entry){header->process, header->source_incarnation});
        arrive(sim, number, packet);
    }
}

static void on_channel_tick(struct sim *sim, const struct sim_event *event)
{
    struct sim_process *p = &sim->procs[event->to];
    p->tick_at[event->rank][event->peer] = 0;
    if (!p->copy[event->rank].running)
        return;
    struct weft_channel *channel = &p->copy[event->rank].channel[event->peer];
    if (weft__channel_tick(channel, &sim->limits, sim->now_ns)) {
        sim_saw(sim, SIM_SAW_RESENT);
        ask_home(sim, event->to, event->peer); /* it may be elsewhere, its process may be dead */
    }
    pump(sim, event->to, event->rank, event->peer);
}

static void rank_reads(struct sim *sim, uint32_t number, uint32_t rank)
{
    struct sim_process *p = &sim->procs[number];
    if (!p->copy[rank].running)
        return;
    for (uint32_t source = 0; source < sim->apps[p->app].ranks_n; source++) {
        take_held(sim, p, (int32_t)source, (int32_t)rank);
        if (source != rank)
            acknowledge(sim, number, rank, source);
    }
}

void sim_on_traffic(struct sim *sim, struct sim_event *event)
{
    if (event->kind == SIM_ROUTE_ASK) {
        const struct sim_app *app = &sim->apps[event->to - 1];
        if (sim->hosts[app->home].up && !app->over)
            sim_tell_route(sim, event->to, event->from, event->rank, 0);
        return;
    }
    if (!sim->procs[event->to].alive)
        return;
    switch ((enum sim_kind)event->kind) {
    case SIM_PACKET:
        on_packet(sim, event->to, &event->packet);
        break;
    case SIM_RANK_SENDS:
        rank_sends(sim, event->to, event->rank);
        break;
    case SIM_RANK_READS:
        rank_reads(sim, event->to, event->rank);
        break;
    case SIM_CHANNEL_TICK:
        on_channel_tick(sim, event);
        break;
    default:
        break;
    }
}
