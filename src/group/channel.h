/* What one rank knows of its traffic with one peer: both directions, exactly once and in order.
 *
 * A channel lies in the rank's range and moves with it; its window holds copies of packets that the
 * peer's rank has not acknowledged yet, and is the eager credit. Pure: no I/O, no clock (times are
 * passed in), no allocation (packets are the caller's blocks, linked in). One thread at a time.
 * Sequences start at 1 and are never reused.
 */
#ifndef WEFT_GROUP_CHANNEL_H
#define WEFT_GROUP_CHANNEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A packet in the window. The caller allocates it with len_bytes of payload. */
struct weft_channel_packet {
    struct weft_channel_packet *next;
    uint64_t sequence;
    uint32_t len_bytes;
    uint32_t flags; /* enum weft_packet_flag */
    unsigned char payload[];
};

struct weft_channel_limits {
    uint32_t packets;         /* window */
    uint32_t bytes;           /* window; one packet of any size fits an empty window */
    uint64_t resend_first_ns; /* doubles at each try up to resend_max_ns */
    uint64_t resend_max_ns;
};
#define WEFT_CHANNEL_LIMITS_DEFAULT                                                                \
    {                                                                                              \
        .packets = 128, .bytes = 256u << 10, .resend_first_ns = 300000000,                         \
        .resend_max_ns = 2000000000                                                                \
    }

/* What the rank and this peer have exchanged since somebody asked. */
struct weft_channel_traffic {
    uint64_t sent_bytes; /* in packets to the peer, each counted once */
    uint64_t sent_from;  /* next_out when somebody asked */
    uint64_t got_bytes;  /* pulled from the peer's memory, */
    uint64_t got;        /* by so many gets */
};

/* Packets that the rank's thread has put into the peer's mailbox by itself, with no sequence, while
 * the window was empty; it alone changes them, without a lock. */
struct weft_channel_near {
    _Atomic uint64_t packets, bytes;
    uint64_t packets_from, bytes_from; /* when somebody asked for the traffic */
};

struct weft_channel {
    /* outgoing */
    uint64_t next_out; /* sequence of the next new packet */
    uint64_t acked;    /* the peer's rank has accepted all up to here */
    struct weft_channel_traffic traffic;
    struct weft_channel_near near;
    /* window: acked + 1 ... next_out - 1; the rank's thread may see without a lock that it is
     * empty, because nobody else adds to it */
    _Atomic(struct weft_channel_packet *) first;
    struct weft_channel_packet *last;
    struct weft_channel_packet
        *unsent;             /* the first that has to go over the wire (again); NULL: none */
    uint32_t packets, bytes; /* in the window */
    uint64_t resend_at_ns;   /* of this host's clock; 0: the timer is off */
    uint64_t resend_ns;      /* present interval */
    uint64_t asked;          /* the newest sequence that asks for an acknowledgement */
    uint32_t unasked_packets, unasked_bytes; /* since then */
    /* incoming */
    uint64_t next_in;    /* the next sequence to accept */
    uint64_t ack_told;   /* the peer has been told of all up to here */
    uint64_t ack_wanted; /* the peer wants to be told at once when this has been accepted */
};

enum weft_channel_verdict {
    WEFT_CHANNEL_ACCEPT,    /* the next in order */
    WEFT_CHANNEL_DUPLICATE, /* accepted before: drop it, an acknowledgement is now due */
    WEFT_CHANNEL_AHEAD,     /* hold it, or drop it: the sender keeps it */
    WEFT_CHANNEL_BAD        /* no sender that keeps to the window sends this */
};

void weft__channel_init(struct weft_channel *channel);

/* ---- sending ---- */

/* Whether the window takes a further packet of this length. */
bool weft__channel_room(const struct weft_channel *channel,
                        const struct weft_channel_limits *limits, uint32_t len_bytes);
/* Appends a packet: sets its sequence and flags; it is unsent. urgent: ask for an acknowledgement
 * at once. Owns: the packet is the channel's until it is released.  Errors: WEFT_EAGAIN no room. */
int weft__channel_push(struct weft_channel *channel, const struct weft_channel_limits *limits,
                       struct weft_channel_packet *packet, bool urgent);
/* Takes a sequence for a packet that the peer accepts at this very moment (both ends in one
 * process). Needs an empty window (assert). */
uint64_t weft__channel_push_accepted(struct weft_channel *channel);
/* The peer has not accepted it after all: its sequence is the next one's, its bytes were not sent.
 * Nothing has been pushed since. */
void weft__channel_take_back(struct weft_channel *channel, size_t len_bytes);
/* The next packet to transmit, NULL: none; then say that it was. */
struct weft_channel_packet *weft__channel_unsent(const struct weft_channel *channel);
void weft__channel_sent(struct weft_channel *channel, const struct weft_channel_limits *limits,
                        uint64_t now_ns);
/* Whether acknowledge() needs no time: ack is old, or leaves nothing under way. */
bool weft__channel_acks_all(const struct weft_channel *channel, uint64_t ack);
/* The peer has accepted everything up to ack; older and impossible values change nothing.
 * Owns: returns the released packets, a list that is the caller's. */
struct weft_channel_packet *weft__channel_acknowledge(struct weft_channel *channel,
                                                      const struct weft_channel_limits *limits,
                                                      uint64_t ack, uint64_t now_ns);
/* When tick() has something to do; UINT64_MAX: nothing is under way. */
/* Whether packets were sent again and again, at the longest interval by now, and nothing is
 * acknowledged. */
bool weft__channel_is_mute(const struct weft_channel *channel,
                           const struct weft_channel_limits *limits);
uint64_t weft__channel_resend_at(const struct weft_channel *channel);
/* Marks the whole window unsent when the timer has run out, and doubles the interval. Returns
 * whether it did. */
bool weft__channel_tick(struct weft_channel *channel, const struct weft_channel_limits *limits,
                        uint64_t now_ns);
/* Marks the whole window unsent now: the peer is elsewhere, or this rank has just arrived. */
void weft__channel_rewind(struct weft_channel *channel);

/* ---- receiving ---- */

enum weft_channel_verdict weft__channel_arrived(const struct weft_channel *channel,
                                                const struct weft_channel_limits *limits,
                                                uint64_t sequence);
/* Accepts the next packet, which arrived with these flags. */
void weft__channel_accept(struct weft_channel *channel, uint32_t flags);
/* A duplicate came: its sender has missed an acknowledgement. */
void weft__channel_duplicate(struct weft_channel *channel);
/* What to acknowledge; told() when a packet carried it to the peer. */
uint64_t weft__channel_ack(const struct weft_channel *channel);
void weft__channel_ack_told(struct weft_channel *channel);
bool weft__channel_ack_owed(const struct weft_channel *channel); /* sooner or later */
bool weft__channel_ack_due(const struct weft_channel *channel);  /* at once */

#endif
