/* Packets that arrive in this process: decoded, and sent where the routing rule says.
 *
 * The rule needs the rank's place, so it is asked under the rank's lock, and what it says is done
 * under the same lock where it concerns the rank, or after it (forwarding, answering, asking the
 * home). A packet that can be neither kept nor passed on is dropped and counted: its sender has it
 * until it is accepted.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "exec/impl.h"
#include "group/route.h"
#include "weft/error.h"

#define HELD_PACKETS_MAX 16384u
#define HELD_BYTES_MAX (64u << 20)

static enum weft_route_place place_of(const struct weft__rank *rank)
{
    switch (rank->state) {
    case WEFT_RANK_FROZEN:
        return WEFT_PLACE_FROZEN;
    case WEFT_RANK_RESERVED:
    case WEFT_RANK_PULLING:
    case WEFT_RANK_PULLED:
        return WEFT_PLACE_ARRIVING;
    case WEFT_RANK_ABSENT:
    case WEFT_RANK_DEPARTED:
        return WEFT_PLACE_ELSEWHERE;
    default:
        return WEFT_PLACE_HERE;
    }
}

int weft__arrive_hold(struct weft__rank *rank, const struct weft_packet_header *header,
                      const void *payload)
{
    int err = WEFT_OK;
    if (!rank->hold.by_source)
        err = weft__hold_init(&rank->hold, rank->exec->size, HELD_PACKETS_MAX, HELD_BYTES_MAX);
    if (!err)
        err = weft__hold_put(&rank->hold, header, payload);
    atomic_store_explicit(&rank->held, rank->hold.packets, memory_order_relaxed);
    if (!err)
        weft__trace(rank, WEFT_EXEC_TRACED_HELD, header->source, header->sequence,
                    header->payload_len);
    if (!err)
        weft__counter_add(&rank->exec->count.held, 1);
    else
        weft__counter_add(
            err == WEFT_EEXIST ? &rank->exec->count.duplicates : &rank->exec->count.dropped, 1);
    weft__keeper_poke(rank->exec);
    return err;
}

/* A packet for a rank that is here.  The caller holds the lock. */
static void deliver(struct weft__rank *rank, const struct weft_packet_header *header,
                    const uint8_t *payload, struct weft__ack *ack_out)
{
    if (header->type == WEFT_PACKET_DATA)
        weft__inbox_data(rank, header, payload, ack_out);
    else if (header->type == WEFT_PACKET_ACK)
        weft__outbox_released(rank, header->source, header->ack);
}

static void forward(struct weft__rank *rank, uint32_t to, struct weft_packet_header header,
                    const uint8_t *payload)
{
    header.hops++;
    int err = weft__outbox_post(rank->exec, to, &header, payload);
    pthread_mutex_lock(&rank->lock);
    if (!err) {
        rank->forwarded++;
        if (header.type == WEFT_PACKET_DATA)
            weft__trace(rank, WEFT_EXEC_TRACED_FORWARDED, header.source, header.sequence,
                        header.payload_len);
        weft__counter_add(&rank->exec->count.forwarded, 1);
    } else if (header.type != WEFT_PACKET_ACK) {
        header.hops--;
        weft__arrive_hold(rank, &header, payload);
    }
    pthread_mutex_unlock(&rank->lock);
}

static void answer(struct weft_exec *exec, const struct weft_packet_header *header)
{
    if (header->type == WEFT_PACKET_ACK || header->process == exec->process)
        return;
    weft__counter_add(&exec->count.nacked, 1);
    weft__route_tell(exec, header->dest, header->process, 0);
}

static void ask(struct weft__rank *rank)
{
    struct weft_exec *exec = rank->exec;
    uint64_t now_ns = weft__now_ns();
    pthread_mutex_lock(&rank->lock);
    bool due = now_ns >= rank->ask_at_ns;
    if (due)
        rank->ask_at_ns = now_ns + WEFT__ASK_NS;
    pthread_mutex_unlock(&rank->lock);
    if (due && exec->callbacks.route_wanted)
        exec->callbacks.route_wanted(exec->callbacks.ctx, rank->number);
}

/* What has to be done without the lock. */
static void act(struct weft__rank *rank, enum weft_route_action action,
                const struct weft_packet_header *header, const uint8_t *payload)
{
    struct weft_world_entry known = weft__route_of(rank->exec, rank->number);
    switch (action) {
    case WEFT_ROUTE_DELIVER:
        if (header->type == WEFT_PACKET_RESOLVE)
            weft__expose_resolve(rank, header, payload);
        break;
    case WEFT_ROUTE_FORWARD: {
        struct weft_packet_header copy = *header;
        copy.dest_incarnation = known.incarnation;
        forward(rank, known.process, copy, payload);
        break;
    }
    case WEFT_ROUTE_NACK:
        answer(rank->exec, header);
        break;
    case WEFT_ROUTE_HOLD_ASK:
        ask(rank);
        break;
    case WEFT_ROUTE_HOLD:
    case WEFT_ROUTE_DROP:
        break;
    }
}

void weft__arrive(struct weft_exec *exec, const struct weft_packet_header *header,
                  const uint8_t *payload)
{
    struct weft__rank *rank;
    if (weft__rank_slot(exec, header->dest, &rank) != WEFT_OK)
        return;
    struct weft__ack ack = {.to = -1};
    struct weft_route_question question = {
        .self = exec->process,
        .packet_incarnation = header->dest_incarnation,
        .hops = header->hops,
    };
    pthread_mutex_lock(&rank->lock);
    question.known = weft__route_of(exec, rank->number);
    question.place = place_of(rank);
    question.forwards = rank->forwards;
    enum weft_route_action action =
        header->type == WEFT_PACKET_RESOLVE && weft__rank_is_readable(rank)
            ? WEFT_ROUTE_DELIVER
            : weft__route_decide(&question);
    if (action == WEFT_ROUTE_DELIVER)
        deliver(rank, header, payload, &ack);
    else if ((action == WEFT_ROUTE_HOLD || action == WEFT_ROUTE_HOLD_ASK) &&
             header->type != WEFT_PACKET_ACK)
        weft__arrive_hold(rank, header, payload);
    pthread_mutex_unlock(&rank->lock);
    weft__inbox_give_ack(rank, &ack);
    act(rank, action, header, payload);
}

void weft__arrive_held(struct weft__rank *rank)
{
    pthread_mutex_lock(&rank->lock);
    struct weft_hold hold = rank->hold;
    rank->hold = (struct weft_hold){0};
    atomic_store_explicit(&rank->held, 0, memory_order_relaxed);
    pthread_mutex_unlock(&rank->lock);
    struct weft_held *held;
    while ((held = weft__hold_pop(&hold))) {
        weft__arrive(rank->exec, &held->header, held->payload);
        free(held);
    }
    weft__hold_fini(&hold);
}

/* Where a packet comes from is where its rank is. A rank that only receives asks nobody: without
 * this its acknowledgements would go to a dead process for ever, where the news of the move were
 * lost. */
static void follow(struct weft_exec *exec, const struct weft_packet_header *header)
{
    if (header->source_incarnation > weft__route_of(exec, header->source).incarnation &&
        weft__process_find(exec, header->process))
        weft__route_learn(exec, &(struct weft_exec_route){header->source, header->process,
                                                          header->source_incarnation});
}

void weft__arrive_message(void *ctx, const void *data, size_t len_bytes)
{
    struct weft_exec *exec = ctx;
    struct weft_packet_header header;
    const uint8_t *payload;
    int err = weft__packet_decode(data, len_bytes, exec->size, &header, &payload);
    if (err || header.app != exec->app) {
        weft__counter_add(&exec->count.malformed, 1);
        weft__debug("a packet was dropped: %s", err ? weft_fail_text(err) : "it is another app's");
        return;
    }
    switch (header.type) {
    case WEFT_PACKET_DATA:
        weft__counter_add(&exec->count.received, 1);
        follow(exec, &header);
        weft__arrive(exec, &header, payload);
        break;
    case WEFT_PACKET_ACK:
    case WEFT_PACKET_RESOLVE:
        weft__arrive(exec, &header, payload);
        break;
    case WEFT_PACKET_RESOLVED: {
        struct weft__rank *rank = weft__rank_find(exec, header.dest);
        if (rank)
            weft__get_resolved(rank, &header, payload);
        break;
    }
    case WEFT_PACKET_ROUTE:
        weft__route_packet(exec, &header, payload);
        break;
    case WEFT_PACKET_MARKER:
        weft__marker_packet(exec, &header);
        break;
    }
}

/* Lanes number their peers alike; where they do not, a connection too many counts as lost. */
static bool is_peer(const struct weft_exec *exec, const struct weft__process *process,
                    struct weft_lane_peer peer)
{
    for (unsigned i = 0; i < exec->lanes.n; i++)
        if (process->peers.of[i].id == peer.id)
            return true;
    return false;
}

/* Messages under way to the peer may be lost: send again, but not in a hot loop against a dead
 * peer. */
void weft__arrive_lost(void *ctx, struct weft_lane_peer peer, int err)
{
    struct weft_exec *exec = ctx;
    uint32_t end = atomic_load_explicit(&exec->processes_end, memory_order_acquire);
    for (uint32_t i = 0; i < end; i++) {
        struct weft__process *process = weft__process_find(exec, i);
        if (!process || process->number == exec->process || !is_peer(exec, process, peer))
            continue;
        weft__info("connection to process %u on %s was lost: %s", process->number, process->host,
                   weft_error_text(err));
        atomic_store_explicit(&process->lost, true, memory_order_relaxed);
        weft__keeper_poke(exec);
    }
}
