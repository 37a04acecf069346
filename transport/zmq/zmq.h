/* zmq: ctl and msg on libzmq over TCP. A port opened by listen() is a plain ROUTER (sync) or PULL
 * (async) socket, so that any ZeroMQ client can call it that speaks ZMTP 3 (libzmq 4): REQ or
 * DEALER for requests, PUSH for pushes, the frame as one message part. Addresses in urls are
 * numeric ("tcp://127.0.0.2:8100", "tcp://[::1]:8100"): resolving a name would block.
 *
 * A control peer whose connection breaks, or cannot be made, is reported by peer_lost: what was
 * asked there will not be answered. The peer stays usable: the next request() connects anew. A msg
 * peer that is lost stays lost: drop it and add it again. Push peers reconnect by themselves and
 * are never reported.
 *
 * With security every connection is CURVE: bound sockets ask `allow` about each client, connecting
 * ones insist on the key that `server_key` names. A peer with which the handshake fails is reported
 * by peer_refused, sends to it end with WEFT_EACCES. */
#ifndef WEFT_TRANSPORT_ZMQ_H
#define WEFT_TRANSPORT_ZMQ_H

#include <stdint.h>

#include "transport/spi.h"

extern const struct weft_transport weft__tp_zmq;

struct weft_zmq_stats {
    uint64_t
        malformed; /* messages dropped: more parts than expected, none, or an overlong identity */
    uint64_t replies_full; /* replies refused with WEFT_EAGAIN */
    uint64_t replies_gone; /* replies whose client had gone */
    uint64_t links_lost;   /* connections that broke or could not be made */
};

/* Thread: the one that drives the endpoint. ep must be one of weft__tp_zmq. */
void weft__zmq_stats(const struct weft_tp_ep *ep, struct weft_zmq_stats *stats_out);

/* Who came to the endpoint's bound ports. */
struct weft_zmq_gate_stats {
    uint64_t connections;       /* now, of all ports */
    uint32_t connections_max;   /* of one port; 0: no limit */
    uint64_t accepted;          /* so far, the refused ones too */
    uint64_t refused;           /* connections beyond the limit, or for want of descriptors */
    uint64_t denied;            /* clients whose key is not allowed */
    uint64_t handshakes_failed; /* connections that ended before they had introduced themselves:
                                   without a key, with a wrong one, strangers, refused ones */
    uint64_t accept_failed;     /* how often the system could not accept a connection */
};

/* Thread: any, while the endpoint is open. */
void weft__zmq_gate_stats(const struct weft_tp_ep *ep, struct weft_zmq_gate_stats *stats_out);

#endif
