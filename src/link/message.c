/* Messages of a lane.
 *
 * A message is copied into a buffer of a bounded pool and goes to its peer's queue in the order in
 * which its thread sent it, through the ring where another thread drives the lane. Only the front
 * of a queue is offered to the transport, so a full or connecting peer keeps the order and holds up
 * nobody else. One peer may hold three quarters of the pool at most: a dead one cannot silence the
 * lane.
 *
 * The header carries the token in every message: connections of tcp-class providers name no peer
 * that could be trusted.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"
#include "base/log.h"
#include "link/impl.h"
#include "weft/error.h"

#define ITEMS (4u * LANE_PEERS_MAX) /* room for every buffer, every peer's drop and doubt */

_Static_assert(LANE_BUFFERS + 2u * LANE_PEERS_MAX <= ITEMS, "the ring must hold all items");

static struct weft__lane_buffer *buffer_at(struct weft_lane *lane, uint32_t index)
{
    return (struct weft__lane_buffer *)(void *)(lane->slab + index * lane->buffer_bytes);
}

int weft__lane_messages_init(struct weft_lane *lane)
{
    size_t page = 4096;
    size_t bytes = sizeof(struct weft__lane_buffer) + LANE_HEADER_BYTES + lane->msg_max_bytes;
    lane->buffer_bytes = (bytes + page - 1) & ~(page - 1);
    lane->slab_bytes = lane->buffer_bytes * LANE_BUFFERS;
    void *slab = mmap(NULL, lane->slab_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (slab == MAP_FAILED)
        return weft_fail(WEFT_ENOMEM, "no address space for %u message buffers of %zu bytes",
                         LANE_BUFFERS, lane->buffer_bytes);
    lane->slab = slab;
    int err = weft__pool_init(&lane->pool, LANE_BUFFERS);
    if (err == WEFT_OK)
        err = weft__mpsc_init(&lane->items, ITEMS);
    return err;
}

void weft__lane_messages_fini(struct weft_lane *lane)
{
    weft__mpsc_fini(&lane->items);
    weft__pool_fini(&lane->pool);
    if (lane->slab)
        munmap(lane->slab, lane->slab_bytes);
}

/* Takes a buffer for a message to this peer. */
static int take_buffer(struct weft_lane *lane, struct weft__lane_to *to,
                       struct weft__lane_buffer **buffer_out)
{
    uint32_t index = WEFT_POOL_NONE;
    if (atomic_fetch_add_explicit(&to->buffers, 1, memory_order_relaxed) < LANE_PEER_BUFFERS)
        index = weft__pool_get(&lane->pool);
    if (index == WEFT_POOL_NONE) {
        atomic_fetch_sub_explicit(&to->buffers, 1, memory_order_relaxed);
        return WEFT_EAGAIN;
    }
    struct weft__lane_buffer *buffer = buffer_at(lane, index);
    buffer->lane = lane;
    buffer->index = index;
    buffer->item = (struct weft__lane_item){.kind = LANE_MESSAGE, .to = to};
    *buffer_out = buffer;
    return WEFT_OK;
}

static void give_buffer(struct weft_lane *lane, struct weft__lane_buffer *buffer)
{
    atomic_fetch_sub_explicit(&buffer->item.to->buffers, 1, memory_order_relaxed);
    weft__pool_put(&lane->pool, buffer->index);
}

static void fill(struct weft__lane_buffer *buffer, const struct weft__lane_header *header,
                 const struct iovec *parts, unsigned n)
{
    memcpy(buffer->bytes, header, sizeof(*header));
    unsigned char *out = buffer->bytes + sizeof(*header);
    for (unsigned i = 0; i < n; i++) {
        if (parts[i].iov_len)
            memcpy(out, parts[i].iov_base, parts[i].iov_len);
        out += parts[i].iov_len;
    }
    buffer->len_bytes = LANE_HEADER_BYTES + header->len_bytes;
}

int weft__lane_send(struct weft_lane *lane, struct weft_lane_peer peer, const struct iovec *parts,
                    unsigned n)
{
    struct weft__lane_to *to = weft__lane_to_get(lane, peer);
    if (!to)
        return weft_fail(WEFT_EINVAL, "no peer %u on this lane", peer.id);
    return weft__lane_send_as(lane, to, LANE_MAGIC, parts, n);
}

int weft__lane_send_as(struct weft_lane *lane, struct weft__lane_to *to, uint32_t magic,
                       const struct iovec *parts, unsigned n)
{
    size_t len = 0;
    for (unsigned i = 0; i < n; i++)
        len += parts[i].iov_len;
    if (len > lane->msg_max_bytes)
        return weft_fail(WEFT_EMSGSIZE, "message of %zu bytes; this lane sends at most %zu", len,
                         lane->msg_max_bytes);
    int err = atomic_load_explicit(&lane->broken, memory_order_relaxed);
    if (err != 0)
        return weft_fail(err, "the lane at %s has failed", lane->address);
    struct weft__lane_buffer *buffer;
    err = take_buffer(lane, to, &buffer);
    if (err != WEFT_OK) {
        weft__lane_submit(
            lane); /* what waits may go out now, or the progress thread learns of it */
        return err;
    }
    fill(buffer, &(struct weft__lane_header){magic, (uint32_t)len, lane->token}, parts, n);
    weft__lane_submit_item(lane, &buffer->item);
    return WEFT_OK;
}

static struct weft__lane_buffer *buffer_of(struct weft__lane_item *item)
{
    return (struct weft__lane_buffer *)(void *)((char *)item -
                                                offsetof(struct weft__lane_buffer, item));
}

void weft__lane_queue(struct weft_lane *lane, struct weft__lane_item *item)
{
    struct weft__lane_to *to = item->to;
    if (item->kind == LANE_DROP) {
        weft__lane_take_gets(lane); /* those that were asked for before it end with it */
        atomic_store(&to->drop_wanted, false);
        if (lane->paths && to->attached && weft__lane_gets_from(lane, to))
            weft__paths_leave(lane->ep, to->tp); /* they have waited for too long */
        weft__lane_detach(lane, to);
        weft__lane_drop_messages(lane, to);
        weft__lane_fail_gets(lane, to, WEFT_ECANCELED);
        return;
    }
    if (item->kind == LANE_DOUBT) {
        atomic_store(&to->doubted, false);
        weft__lane_doubted(lane, to);
        return;
    }
    weft__counter_add_alone(&lane->sent, 1);
    weft__counter_add_alone(&lane->bytes_sent, buffer_of(item)->len_bytes - LANE_HEADER_BYTES);
    item->next = NULL;
    if (to->first)
        to->last->next = item;
    else
        to->first = item;
    to->last = item;
    if (to->pending)
        return;
    to->pending = true;
    to->next_pending = NULL;
    if (lane->pending_first)
        lane->pending_last->next_pending = to;
    else
        lane->pending_first = to;
    lane->pending_last = to;
}

static void sent(struct weft_tp_op *op, int err)
{
    struct weft__lane_buffer *buffer = op->user;
    struct weft_lane *lane = buffer->lane;
    struct weft__lane_to *to = buffer->item.to;
    if (err != WEFT_OK) {
        weft__counter_add(&lane->failed, 1);
        if (weft_error_damage(err) == WEFT_DAMAGE_PEER && to->attached &&
            to->tp.id == buffer->tp.id)
            weft__lane_lose(lane, to, err);
    } else {
        to->taken++;
    }
    give_buffer(lane, buffer);
}

static void forget(struct weft_lane *lane, struct weft__lane_item *item)
{
    weft__counter_add(&lane->failed, 1);
    give_buffer(lane, buffer_of(item));
}

void weft__lane_drop_messages(struct weft_lane *lane, struct weft__lane_to *to)
{
    struct weft__lane_item *item;
    while ((item = to->first)) {
        to->first = item->next;
        forget(lane, item);
    }
    to->last = NULL;
}

/* Offers one message to the transport. */
static int offer(struct weft_lane *lane, struct weft__lane_to *to, struct weft__lane_buffer *buffer)
{
    int err = weft__lane_attach(lane, to);
    if (err != WEFT_OK)
        return err;
    struct iovec iov = {buffer->bytes, buffer->len_bytes};
    buffer->op.done = sent;
    buffer->op.user = buffer;
    buffer->tp = to->tp;
    return lane->tp->msg->send(lane->ep, to->tp, &iov, 1, &buffer->op);
}

/* Sends from the front of a peer's queue; true when it is empty or has to wait for nothing more. */
static bool pump(struct weft_lane *lane, struct weft__lane_to *to)
{
    while (to->first && !to->lost) {
        struct weft__lane_item *item = to->first;
        struct weft__lane_item *next = item->next;
        int err = offer(lane, to, buffer_of(item));
        if (err == WEFT_EAGAIN)
            return false;
        to->first = next;
        if (err == WEFT_OK)
            continue;
        weft__debug("lane %s: cannot send to %s: %s", lane->name, to->address, weft_fail_text(err));
        forget(lane, item);
        if (weft_error_damage(err) == WEFT_DAMAGE_PEER)
            weft__lane_lose(lane, to, err);
    }
    return !to->first;
}

void weft__lane_pump_messages(struct weft_lane *lane)
{
    weft__check(weft__lane_mine(lane));
    struct weft__lane_to *to = lane->pending_first;
    lane->pending_first = lane->pending_last = NULL;
    while (to) {
        struct weft__lane_to *next = to->next_pending;
        to->next_pending = NULL;
        to->pending = !pump(lane, to);
        if (to->pending) {
            if (lane->pending_first)
                lane->pending_last->next_pending = to;
            else
                lane->pending_first = to;
            lane->pending_last = to;
        }
        to = next;
    }
}

/* The token is compared as one word, which takes the same time wherever it differs. */
void weft__lane_arrived(void *ctx, const void *data, size_t len_bytes)
{
    struct weft_lane *lane = ctx;
    struct weft__lane_header header = {0};
    if (len_bytes >= sizeof(header))
        memcpy(&header, data, sizeof(header));
    const unsigned char *bytes = (const unsigned char *)data + sizeof(header);
    bool known =
        header.magic == LANE_MAGIC || header.magic == LANE_QUESTION || header.magic == LANE_ANSWER;
    if (!known || header.len_bytes != len_bytes - sizeof(header) || header.token != lane->token) {
        weft__counter_add(&lane->refused, 1);
        return;
    }
    if (header.magic != LANE_MAGIC) {
        if (header.magic == LANE_QUESTION)
            weft__lane_questioned(lane, bytes, header.len_bytes);
        else
            weft__lane_answered(lane, bytes, header.len_bytes);
        return;
    }
    weft__counter_add_alone(&lane->received, 1);
    weft__counter_add_alone(&lane->bytes_received, header.len_bytes);
    lane->message(lane->ctx, bytes, header.len_bytes);
}
