/* Packets that a rank sends: straight into the mailbox of a rank of this process, else through the
 * window.
 *
 * The direct way is open while the window is empty and the receiver has accepted everything before;
 * then a sequence is all that is spent. Otherwise the packet is copied into the window, and
 * `unsent` of the channel is what still has to go: a first transmission, a retransmission and a
 * resend to a new place are the same loop. A lane that is full leaves packets unsent, and the
 * rank's next call or the keeper goes on.
 *
 * Only the rank's own thread appends to its windows, which is what lets the direct way unlock in
 * between.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/heap.h"
#include "exec/impl.h"
#include "weft/error.h"

static struct weft_channel *channel_to(struct weft__rank *rank, int32_t dest)
{
    return &rank->range->channels[dest];
}

/* Sends one message to a process; fills in what all packets have. */
int weft__outbox_post_on(struct weft_exec *exec, uint32_t process,
                         struct weft_packet_header *header, const void *payload, unsigned lane)
{
    struct weft__process *to = weft__process_find(exec, process);
    if (!to || atomic_load_explicit(&to->dead, memory_order_relaxed))
        return WEFT_EHOSTUNREACH;
    uint8_t bytes[WEFT_PACKET_HEADER_BYTES];
    header->app = exec->app;
    weft__packet_encode(header, bytes);
    struct iovec parts[] = {{bytes, sizeof(bytes)},
                            {(void *)(uintptr_t)payload, header->payload_len}};
    return weft__lane_send(exec->lanes.lane[lane], to->peers.of[lane], parts,
                           header->payload_len ? 2 : 1);
}

int weft__outbox_post(struct weft_exec *exec, uint32_t process, struct weft_packet_header *header,
                      const void *payload)
{
    unsigned lane = weft__lanes_of_pair(&exec->lanes, header->source, header->dest);
    return weft__outbox_post_on(exec, process, header, payload, lane);
}

/* One packet of the window.  The caller holds the lock. */
static int transmit(struct weft__rank *rank, int32_t dest, const struct weft_channel_packet *packet)
{
    struct weft_world_entry route = weft__route_of(rank->exec, dest);
    struct weft_channel *channel = channel_to(rank, dest);
    struct weft_packet_header header = {
        .type = WEFT_PACKET_DATA,
        .flags = (uint8_t)packet->flags,
        .dest = dest,
        .dest_incarnation = route.incarnation,
        .source = rank->number,
        .source_incarnation = rank->incarnation,
        .sequence = packet->sequence,
        .ack = weft__channel_ack(channel),
        .process = rank->exec->process,
        .payload_len = packet->len_bytes,
    };
    int err = weft__outbox_post(rank->exec, route.process, &header, packet->payload);
    if (err)
        return err;
    weft__channel_ack_told(channel);
    weft__counter_add(&rank->exec->count.sent, 1);
    return WEFT_OK;
}

/* Sends what is unsent over the lane.  The caller holds the lock. Returns whether the receiver is
 * in this process instead, and something is unsent.  now_ns 0: the clock is read when the first one
 * has left, so that none waits for it. */
static bool flush_locked(struct weft__rank *rank, int32_t dest, uint64_t now_ns)
{
    struct weft_channel *channel = channel_to(rank, dest);
    struct weft_channel_packet *packet;
    while ((packet = weft__channel_unsent(channel))) {
        if (weft__route_of(rank->exec, dest).process == rank->exec->process)
            return true;
        int err = transmit(rank, dest, packet);
        if (err == WEFT_EAGAIN)
            atomic_store_explicit(&rank->backlog, true, memory_order_relaxed);
        if (err)
            break;
        if (!now_ns)
            now_ns = weft__now_ns();
        weft__channel_sent(channel, &rank->exec->limits, now_ns);
    }
    if (channel->first)
        weft__keeper_poke_locked(rank);
    return false;
}

/* A copy of the first unsent packet to a rank of this process, counted as sent. */
static struct weft_held *copy_unsent(struct weft__rank *rank, int32_t dest)
{
    struct weft_channel *channel = channel_to(rank, dest);
    struct weft_channel_packet *packet = weft__channel_unsent(channel);
    struct weft_world_entry route = weft__route_of(rank->exec, dest);
    if (!packet || route.process != rank->exec->process)
        return NULL;
    struct weft_held *copy = malloc(sizeof(*copy) + packet->len_bytes);
    if (!copy)
        return NULL;
    copy->header = (struct weft_packet_header){
        .type = WEFT_PACKET_DATA,
        .flags = (uint8_t)packet->flags,
        .app = rank->exec->app,
        .dest = dest,
        .dest_incarnation = route.incarnation,
        .source = rank->number,
        .source_incarnation = rank->incarnation,
        .sequence = packet->sequence,
        .ack = weft__channel_ack(channel),
        .process = rank->exec->process,
        .payload_len = packet->len_bytes,
    };
    memcpy(copy->payload, packet->payload, packet->len_bytes);
    weft__channel_sent(channel, &rank->exec->limits, weft__now_ns());
    return copy;
}

/* Hands unsent packets to a rank of this process, one by one, because its lock comes without ours.
 */
static void deliver_here(struct weft__rank *rank, int32_t dest)
{
    for (;;) {
        pthread_mutex_lock(&rank->lock);
        struct weft_held *copy = weft__rank_is_here(rank) ? copy_unsent(rank, dest) : NULL;
        pthread_mutex_unlock(&rank->lock);
        if (!copy)
            return;
        weft__arrive(rank->exec, &copy->header, copy->payload);
        free(copy);
    }
}

/* Spends a sequence on a packet that may go the direct way; 0: it may not. */
static uint64_t begin_direct(struct weft__rank *rank, int32_t dest, size_t len)
{
    pthread_mutex_lock(&rank->lock);
    struct weft_channel *channel = channel_to(rank, dest);
    uint64_t sequence = channel->first ? 0 : weft__channel_push_accepted(channel);
    if (sequence) {
        weft__traffic_sent(rank, dest, len);
        rank->direct++;
    }
    pthread_mutex_unlock(&rank->lock);
    return sequence;
}

/* The receiver has not taken it: it is the next one still. */
static void undo_direct(struct weft__rank *rank, int32_t dest, size_t len)
{
    pthread_mutex_lock(&rank->lock);
    weft__channel_take_back(channel_to(rank, dest), len);
    rank->direct--;
    pthread_mutex_unlock(&rank->lock);
}

static bool send_direct(struct weft__rank *rank, int32_t dest, const struct iovec *parts,
                        unsigned n)
{
    struct weft__rank *receiver = weft__rank_find(rank->exec, dest);
    size_t len = weft__parts_len(parts, n);
    uint64_t sequence = receiver ? begin_direct(rank, dest, len) : 0;
    if (!sequence)
        return false;
    if (!weft__inbox_direct(receiver, rank->number, sequence, parts, n)) {
        undo_direct(rank, dest, len);
        return false;
    }
    if (rank->trace) {
        pthread_mutex_lock(&rank->lock);
        weft__trace(rank, WEFT_EXEC_TRACED_SENT, dest, sequence, len);
        pthread_mutex_unlock(&rank->lock);
    }
    return true;
}

/* Copies the packet into the window.  The caller holds the lock. */
static int push(struct weft__rank *rank, int32_t dest, const struct iovec *parts, unsigned n)
{
    struct weft__range *range = rank->range;
    size_t len = weft__parts_len(parts, n);
    struct weft_channel *channel = channel_to(rank, dest);
    if (!weft__channel_room(channel, &rank->exec->limits, (uint32_t)len))
        return WEFT_EAGAIN;
    struct weft_channel_packet *packet = weft__heap_alloc(range->windows, sizeof(*packet) + len);
    if (!packet)
        return WEFT_EAGAIN;
    packet->len_bytes = (uint32_t)len;
    unsigned char *to = packet->payload;
    for (unsigned i = 0; i < n; i++) {
        if (parts[i].iov_len)
            memcpy(to, parts[i].iov_base, parts[i].iov_len);
        to += parts[i].iov_len;
    }
    bool short_of_memory = weft__heap_used(range->windows) > range->windows_bytes / 2;
    weft__traffic_sent(rank, dest, len);
    weft__trace(rank, WEFT_EXEC_TRACED_SENT, dest, channel->next_out, len);
    return weft__channel_push(channel, &rank->exec->limits, packet, short_of_memory);
}

int weft__outbox_send(struct weft__rank *rank, int32_t dest, const struct iovec *parts, unsigned n)
{
    bool here = weft__route_of(rank->exec, dest).process == rank->exec->process;
    if (here && send_direct(rank, dest, parts, n))
        return WEFT_OK;
    pthread_mutex_lock(&rank->lock);
    int err = push(rank, dest, parts, n);
    bool deliver = flush_locked(rank, dest, 0);
    if (err == WEFT_EAGAIN)
        rank->wants_credit = true;
    pthread_mutex_unlock(&rank->lock);
    if (deliver)
        deliver_here(rank, dest);
    return err;
}

void weft__outbox_released(struct weft__rank *rank, int32_t dest, uint64_t ack)
{
    struct weft_channel *channel = channel_to(rank, dest);
    uint64_t now_ns = weft__channel_acks_all(channel, ack) ? 0 : weft__now_ns();
    struct weft_channel_packet *packet =
        weft__channel_acknowledge(channel, &rank->exec->limits, ack, now_ns);
    if (!packet)
        return;
    while (packet) {
        struct weft_channel_packet *next = packet->next;
        weft__heap_free(rank->range->windows, packet);
        packet = next;
    }
    if (!rank->wants_credit)
        return;
    rank->wants_credit = false;
    atomic_store_explicit(&rank->credit_given, true, memory_order_relaxed);
    weft__rank_ring(rank);
}

void weft__outbox_acked(struct weft__rank *rank, int32_t dest, uint64_t ack)
{
    pthread_mutex_lock(&rank->lock);
    if (weft__rank_is_here(rank))
        weft__outbox_released(rank, dest, ack);
    pthread_mutex_unlock(&rank->lock);
}

static bool flush_one(struct weft__rank *rank, int32_t dest, bool rewind)
{
    struct weft_channel *channel = channel_to(rank, dest);
    if (rewind && channel->first) {
        weft__counter_add(&rank->exec->count.retransmitted, channel->packets);
        weft__channel_rewind(channel);
    }
    return channel->unsent && flush_locked(rank, dest, 0);
}

void weft__outbox_flush(struct weft__rank *rank, int32_t dest, bool rewind)
{
    int32_t first = dest < 0 ? 0 : dest, end = dest < 0 ? rank->exec->size : dest + 1;
    for (int32_t i = first; i < end; i++) {
        pthread_mutex_lock(&rank->lock);
        bool deliver = weft__rank_is_here(rank) && flush_one(rank, i, rewind);
        pthread_mutex_unlock(&rank->lock);
        if (deliver)
            deliver_here(rank, i);
    }
}

void weft__outbox_ack(struct weft__rank *rank, int32_t dest)
{
    struct weft_world_entry route = weft__route_of(rank->exec, dest);
    struct weft_channel *channel = channel_to(rank, dest);
    struct weft_packet_header header = {
        .type = WEFT_PACKET_ACK,
        .dest = dest,
        .dest_incarnation = route.incarnation,
        .source = rank->number,
        .source_incarnation = rank->incarnation,
        .ack = weft__channel_ack(channel),
        .process = rank->exec->process,
    };
    if (weft__outbox_post(rank->exec, route.process, &header, NULL) != WEFT_OK) {
        weft__keeper_poke_locked(rank);
        return;
    }
    weft__channel_ack_told(channel);
    weft__counter_add(&rank->exec->count.acks, 1);
}

/* The lane cannot know that what it has sent leads nowhere. */
static void doubt(struct weft_exec *exec, uint32_t number, unsigned lane)
{
    const struct weft__process *process = weft__process_find(exec, number);
    if (process && number != exec->process &&
        !atomic_load_explicit(&process->dead, memory_order_relaxed))
        weft__lane_doubt(exec->lanes.lane[lane], process->peers.of[lane]);
}

/* Whether packets for a peer wait because its process is dead, or not known: the peer may be
 * elsewhere, and whoever should have told may be dead too.  The caller holds the lock. */
static bool is_astray(struct weft__rank *rank, int32_t peer)
{
    if (!channel_to(rank, peer)->unsent)
        return false;
    const struct weft__process *process =
        weft__process_find(rank->exec, weft__route_of(rank->exec, peer).process);
    return !process || atomic_load_explicit(&process->dead, memory_order_relaxed);
}

static bool may_ask(struct weft__rank *rank, uint64_t now_ns)
{
    pthread_mutex_lock(&rank->lock);
    bool may = now_ns >= rank->ask_at_ns;
    pthread_mutex_unlock(&rank->lock);
    return may;
}

/* One channel's timers.  The caller holds the lock; an acknowledgement for a rank of this process
 * comes out. */
static bool tick_channel(struct weft__rank *rank, int32_t peer, uint64_t now_ns,
                         struct weft__ack *ack_out)
{
    struct weft_channel *channel = channel_to(rank, peer);
    if (weft__channel_ack_owed(channel)) {
        if (weft__route_of(rank->exec, peer).process != rank->exec->process) {
            weft__outbox_ack(rank, peer);
        } else {
            *ack_out = (struct weft__ack){.to = peer, .ack = weft__channel_ack(channel)};
            weft__channel_ack_told(channel);
        }
    }
    if (weft__channel_tick(channel, &rank->exec->limits, now_ns)) {
        weft__counter_add(&rank->exec->count.retransmitted, channel->packets);
        if (weft__channel_is_mute(channel, &rank->exec->limits))
            doubt(rank->exec, weft__route_of(rank->exec, peer).process,
                  weft__lanes_of_pair(&rank->exec->lanes, rank->number, peer));
    }
    return channel->unsent && flush_locked(rank, peer, now_ns);
}

bool weft__outbox_tick(struct weft__rank *rank, uint64_t now_ns)
{
    const struct weft_exec_callbacks *callbacks = &rank->exec->callbacks;
    bool busy = false, ask = callbacks->route_wanted && may_ask(rank, now_ns);
    atomic_store_explicit(&rank->backlog, false, memory_order_relaxed); /* set again if it is so */
    for (int32_t i = 0; i < rank->exec->size; i++) {
        struct weft__ack ack = {.to = -1};
        pthread_mutex_lock(&rank->lock);
        if (!weft__rank_is_here(rank)) {
            pthread_mutex_unlock(&rank->lock);
            return busy;
        }
        bool deliver = tick_channel(rank, i, now_ns, &ack), astray = ask && is_astray(rank, i);
        if (astray)
            rank->ask_at_ns = now_ns + WEFT__ASK_NS;
        busy = busy || channel_to(rank, i)->first || weft__channel_ack_owed(channel_to(rank, i));
        pthread_mutex_unlock(&rank->lock);
        weft__inbox_give_ack(rank, &ack);
        if (deliver)
            deliver_here(rank, i);
        if (astray)
            callbacks->route_wanted(callbacks->ctx, i);
    }
    return busy;
}
