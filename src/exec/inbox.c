/* Packets that reach a rank of this process: in order into its mailbox, or into the hold until
 * their turn.
 *
 * A packet counts as accepted, and is acknowledged, when it is in the mailbox: what is held is in
 * its sender's window still, so a hold can be lost and never moves. A rank that has ended accepts
 * and forgets: its peers must get their acknowledgements. Every entry says to whom an
 * acknowledgement is due; to a rank of this process it is given after unlocking, to others it goes
 * over the lane at once when they asked for it, and with the keeper's next tick otherwise.
 */
#include <stdlib.h>

#include "base/check.h"
#include "exec/impl.h"

static struct weft_channel *channel_of(struct weft__rank *rank, int32_t peer)
{
    return &rank->range->channels[peer];
}

static bool put(struct weft__rank *rank, int32_t source, const struct iovec *parts, unsigned n)
{
    if (rank->state == WEFT_RANK_EXITED)
        return true;
    struct weft_mailbox *box = &rank->cell->mailbox;
    struct weft__door *door = &rank->door;
    weft__door_lock(door);
    bool taken =
        weft__mailbox_put(box, door->cell ? &door->writer : &box->writer, source, parts, n);
    weft__door_unlock(door);
    return taken;
}

/* Accepts what is held of one source and has its turn now. Returns whether there was anything. */
static bool take_held(struct weft__rank *rank, int32_t source)
{
    struct weft_channel *channel = channel_of(rank, source);
    const struct weft_held *next;
    bool any = false;
    while ((next = weft__hold_peek(&rank->hold, source, channel->next_in))) {
        struct iovec part = {(void *)(uintptr_t)next->payload, next->header.payload_len};
        if (!put(rank, source, &part, 1))
            break;
        struct weft_held *taken = weft__hold_take(&rank->hold, source, channel->next_in);
        weft__trace(rank, WEFT_EXEC_TRACED_RECEIVED, source, taken->header.sequence,
                    taken->header.payload_len);
        weft__channel_accept(channel, taken->header.flags);
        free(taken);
        any = true;
    }
    atomic_store_explicit(&rank->held, rank->hold.packets, memory_order_relaxed);
    return any;
}

/* After packets of a source were accepted, or came again. */
static void settle(struct weft__rank *rank, int32_t source, struct weft__ack *ack_out)
{
    struct weft_channel *channel = channel_of(rank, source);
    *ack_out = (struct weft__ack){.to = -1};
    if (weft__route_of(rank->exec, source).process == rank->exec->process) {
        *ack_out = (struct weft__ack){.to = source, .ack = weft__channel_ack(channel)};
        weft__channel_ack_told(channel);
    } else if (weft__channel_ack_due(channel)) {
        weft__outbox_ack(rank, source);
    } else if (weft__channel_ack_owed(channel)) {
        weft__keeper_poke_locked(rank);
    }
}

static void accept(struct weft__rank *rank, const struct weft_packet_header *header,
                   const uint8_t *payload)
{
    struct iovec part = {(void *)(uintptr_t)payload, header->payload_len};
    if (!put(rank, header->source, &part, 1)) {
        weft__arrive_hold(rank, header, payload);
        return;
    }
    weft__trace(rank, WEFT_EXEC_TRACED_RECEIVED, header->source, header->sequence,
                header->payload_len);
    weft__channel_accept(channel_of(rank, header->source), header->flags);
    if (rank->hold.packets)
        take_held(rank, header->source);
    weft__rank_ring(rank);
}

void weft__inbox_data(struct weft__rank *rank, const struct weft_packet_header *header,
                      const uint8_t *payload, struct weft__ack *ack_out)
{
    struct weft_channel *channel = channel_of(rank, header->source);
    weft__outbox_released(rank, header->source, header->ack);
    switch (weft__channel_arrived(channel, &rank->exec->limits, header->sequence)) {
    case WEFT_CHANNEL_ACCEPT:
        accept(rank, header, payload);
        break;
    case WEFT_CHANNEL_DUPLICATE:
        weft__counter_add(&rank->exec->count.duplicates, 1);
        weft__channel_duplicate(channel);
        break;
    case WEFT_CHANNEL_AHEAD:
        weft__arrive_hold(rank, header, payload);
        break;
    case WEFT_CHANNEL_BAD:
        weft__counter_add(&rank->exec->count.dropped, 1);
        break;
    }
    settle(rank, header->source, ack_out);
}

bool weft__inbox_direct(struct weft__rank *rank, int32_t source, uint64_t sequence,
                        const struct iovec *parts, unsigned n)
{
    pthread_mutex_lock(&rank->lock);
    bool taken = weft__rank_is_here(rank) && channel_of(rank, source)->next_in == sequence &&
                 put(rank, source, parts, n);
    if (taken) {
        weft__trace(rank, WEFT_EXEC_TRACED_RECEIVED, source, sequence, weft__parts_len(parts, n));
        weft__channel_accept(channel_of(rank, source), 0);
        weft__channel_ack_told(channel_of(rank, source));
        weft__rank_ring(rank);
    }
    pthread_mutex_unlock(&rank->lock);
    return taken;
}

static void drain_source(struct weft__rank *rank, int32_t source)
{
    struct weft__ack ack = {.to = -1};
    pthread_mutex_lock(&rank->lock);
    if (weft__rank_is_here(rank) && rank->hold.packets && take_held(rank, source)) {
        weft__rank_ring(rank);
        settle(rank, source, &ack);
    }
    pthread_mutex_unlock(&rank->lock);
    weft__inbox_give_ack(rank, &ack);
}

void weft__inbox_drain(struct weft__rank *rank)
{
    for (int32_t i = 0; i < rank->exec->size; i++) {
        if (!atomic_load_explicit(&rank->held, memory_order_relaxed))
            return;
        drain_source(rank, i);
    }
}

void weft__inbox_give_ack(struct weft__rank *rank, const struct weft__ack *ack)
{
    if (ack->to < 0)
        return;
    struct weft__rank *source = weft__rank_find(rank->exec, ack->to);
    if (source)
        weft__outbox_acked(source, rank->number, ack->ack);
}
