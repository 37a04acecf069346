/* Channels: sequences, the window, acknowledgements.
 *
 * Invariant: the window holds exactly the packets acked + 1 ... next_out - 1, in order; `unsent`
 * points at the first of them that has to go over the wire, so that sending, retransmitting and
 * resending after a change of route are one act: rewinding `unsent` to the front. The receiver
 * keeps one number, next_in; what comes early is the caller's to hold.
 *
 * The sender says when it wants to hear of its packets (half a window since it last asked, or
 * memory is short), so that a full window never waits for a timer and an idle receiver sends no
 * needless acknowledgements. Rejected: selective acknowledgement; lanes lose packets only when a
 * route changes or a process dies.
 */
#include "group/channel.h"

#include <stddef.h>
#include <string.h>

#include "base/check.h"
#include "group/packet.h"
#include "weft/error.h"

void weft__channel_init(struct weft_channel *channel)
{
    memset(channel, 0, sizeof(*channel));
    channel->next_out = 1;
    channel->next_in = 1;
    channel->traffic.sent_from = 1;
}

bool weft__channel_room(const struct weft_channel *channel,
                        const struct weft_channel_limits *limits, uint32_t len_bytes)
{
    if (!channel->first)
        return true;
    return channel->packets < limits->packets && len_bytes <= limits->bytes &&
           channel->bytes <= limits->bytes - len_bytes;
}

/* Whether the packet that is being appended should ask for an acknowledgement. */
static bool time_to_ask(struct weft_channel *channel, const struct weft_channel_limits *limits,
                        uint32_t len_bytes)
{
    channel->unasked_packets++;
    channel->unasked_bytes += len_bytes;
    return channel->unasked_packets * 2 >= limits->packets ||
           channel->unasked_bytes >= limits->bytes / 2;
}

int weft__channel_push(struct weft_channel *channel, const struct weft_channel_limits *limits,
                       struct weft_channel_packet *packet, bool urgent)
{
    if (!weft__channel_room(channel, limits, packet->len_bytes))
        return WEFT_EAGAIN;
    packet->next = NULL;
    packet->sequence = channel->next_out++;
    packet->flags = 0;
    if (time_to_ask(channel, limits, packet->len_bytes) || urgent) {
        packet->flags = WEFT_PACKET_WANT_ACK;
        channel->asked = packet->sequence;
        channel->unasked_packets = 0;
        channel->unasked_bytes = 0;
    }
    if (channel->last)
        channel->last->next = packet;
    else
        channel->first = packet;
    channel->last = packet;
    if (!channel->unsent)
        channel->unsent = packet;
    channel->packets++;
    channel->bytes += packet->len_bytes;
    return WEFT_OK;
}

uint64_t weft__channel_push_accepted(struct weft_channel *channel)
{
    weft__check(!channel->first);
    channel->acked = channel->next_out++;
    return channel->acked;
}

void weft__channel_take_back(struct weft_channel *channel, size_t len_bytes)
{
    struct weft_channel_traffic *traffic = &channel->traffic;
    weft__check(!channel->first && channel->next_out > 1);
    channel->acked = --channel->next_out - 1;
    /* Where somebody has asked for the traffic just now, it is known already. */
    if (traffic->sent_from > channel->next_out)
        traffic->sent_from = channel->next_out;
    traffic->sent_bytes -= len_bytes < traffic->sent_bytes ? len_bytes : traffic->sent_bytes;
}

struct weft_channel_packet *weft__channel_unsent(const struct weft_channel *channel)
{
    return channel->unsent;
}

void weft__channel_sent(struct weft_channel *channel, const struct weft_channel_limits *limits,
                        uint64_t now_ns)
{
    weft__check(channel->unsent);
    channel->unsent = channel->unsent->next;
    if (channel->resend_at_ns)
        return;
    if (!channel->resend_ns)
        channel->resend_ns = limits->resend_first_ns;
    channel->resend_at_ns = now_ns + channel->resend_ns;
}

/* Starts the timer anew after progress, or stops it. */
static void restart_timer(struct weft_channel *channel, const struct weft_channel_limits *limits,
                          uint64_t now_ns)
{
    channel->resend_ns = limits->resend_first_ns;
    bool under_way = channel->first && channel->first != channel->unsent;
    channel->resend_at_ns = under_way ? now_ns + channel->resend_ns : 0;
}

bool weft__channel_acks_all(const struct weft_channel *channel, uint64_t ack)
{
    return ack <= channel->acked || ack + 1 == channel->next_out;
}

struct weft_channel_packet *weft__channel_acknowledge(struct weft_channel *channel,
                                                      const struct weft_channel_limits *limits,
                                                      uint64_t ack, uint64_t now_ns)
{
    if (ack <= channel->acked || ack >= channel->next_out)
        return NULL;
    struct weft_channel_packet *released = channel->first, *last = NULL;
    while (channel->first && channel->first->sequence <= ack) {
        last = channel->first;
        if (channel->unsent == last)
            channel->unsent = last->next;
        channel->packets--;
        channel->bytes -= last->len_bytes;
        channel->first = last->next;
    }
    channel->acked = ack;
    if (!last)
        return NULL;
    last->next = NULL;
    if (!channel->first) {
        channel->last = NULL;
        channel->unasked_packets = 0;
        channel->unasked_bytes = 0;
    }
    restart_timer(channel, limits, now_ns);
    return released;
}

bool weft__channel_is_mute(const struct weft_channel *channel,
                           const struct weft_channel_limits *limits)
{
    return channel->first && channel->resend_ns >= limits->resend_max_ns;
}

uint64_t weft__channel_resend_at(const struct weft_channel *channel)
{
    return channel->resend_at_ns ? channel->resend_at_ns : UINT64_MAX;
}

bool weft__channel_tick(struct weft_channel *channel, const struct weft_channel_limits *limits,
                        uint64_t now_ns)
{
    if (!channel->resend_at_ns || now_ns < channel->resend_at_ns)
        return false;
    channel->unsent = channel->first;
    channel->resend_ns *= 2;
    if (channel->resend_ns > limits->resend_max_ns)
        channel->resend_ns = limits->resend_max_ns;
    channel->resend_at_ns = 0;
    return channel->first != NULL;
}

void weft__channel_rewind(struct weft_channel *channel)
{
    channel->unsent = channel->first;
    channel->resend_ns = 0;
    channel->resend_at_ns = 0;
}

enum weft_channel_verdict weft__channel_arrived(const struct weft_channel *channel,
                                                const struct weft_channel_limits *limits,
                                                uint64_t sequence)
{
    if (sequence == 0)
        return WEFT_CHANNEL_BAD;
    if (sequence < channel->next_in)
        return WEFT_CHANNEL_DUPLICATE;
    if (sequence == channel->next_in)
        return WEFT_CHANNEL_ACCEPT;
    return sequence - channel->next_in < limits->packets ? WEFT_CHANNEL_AHEAD : WEFT_CHANNEL_BAD;
}

void weft__channel_accept(struct weft_channel *channel, uint32_t flags)
{
    if (flags & WEFT_PACKET_WANT_ACK)
        channel->ack_wanted = channel->next_in;
    channel->next_in++;
}

void weft__channel_duplicate(struct weft_channel *channel)
{
    channel->ack_wanted = channel->next_in - 1;
    channel->ack_told = 0;
}

uint64_t weft__channel_ack(const struct weft_channel *channel)
{
    return channel->next_in - 1;
}

void weft__channel_ack_told(struct weft_channel *channel)
{
    channel->ack_told = channel->next_in - 1;
}

bool weft__channel_ack_owed(const struct weft_channel *channel)
{
    return channel->ack_told < channel->next_in - 1;
}

bool weft__channel_ack_due(const struct weft_channel *channel)
{
    return channel->ack_told < channel->ack_wanted;
}
