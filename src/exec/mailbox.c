/* Writing into a rank's mailbox. The reader is in weft/cell.h: a packet never crosses the end of
 * the ring; where it would, a marker sends the reader to the start. Positions only grow, so full
 * and empty cannot be mixed up.
 */
#include <stdbool.h>
#include <string.h>

#include "exec/range.h"

static struct weft_packet *at(struct weft_mailbox *box, uint64_t position)
{
    return (struct weft_packet *)(void *)(box->bytes + (position & box->mask));
}

/* The reader's position is looked at only where the last one that was seen is too old. */
static bool has_room(struct weft_mailbox *box, uint64_t head, uint64_t len)
{
    if (len <= box->mask + 1 - (head - box->tail_seen))
        return true;
    box->tail_seen = atomic_load_explicit(&box->tail, memory_order_acquire);
    return len <= box->mask + 1 - (head - box->tail_seen);
}

static void copy_parts(unsigned char *to, const struct iovec *parts, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (parts[i].iov_len)
            memcpy(to, parts[i].iov_base, parts[i].iov_len);
        to += parts[i].iov_len;
    }
}

bool weft__mailbox_put(struct weft_mailbox *box, int32_t source, const struct iovec *parts,
                       unsigned n)
{
    size_t payload = 0;
    for (unsigned i = 0; i < n; i++)
        payload += parts[i].iov_len;
    uint64_t len = (sizeof(struct weft_packet) + payload + 15u) & ~(uint64_t)15u;
    uint64_t head = atomic_load_explicit(&box->head, memory_order_relaxed);
    uint64_t to_end = box->mask + 1 - (head & box->mask);
    uint64_t skip = len > to_end ? to_end : 0;
    if (!has_room(box, head, skip + len))
        return false;
    if (skip) {
        at(box, head)->len_bytes = WEFT_PACKET_WRAP;
        head += skip;
    }
    struct weft_packet *packet = at(box, head);
    packet->len_bytes = (uint32_t)payload;
    packet->source = source;
    packet->reserved = 0;
    copy_parts(packet->payload, parts, n);
    atomic_store_explicit(&box->head, head + len, memory_order_release);
    return true;
}
