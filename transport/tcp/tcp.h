/* tcp: messages and one-sided operations over plain TCP, for any two endpoints that an address
 * leads to. One-sided operations move only while the target calls progress(), straight from and
 * into the registered memory: the kernel's copies are the only ones.
 *
 * Addresses are numeric. An endpoint's address holds 16 random bytes: who does not know them is not
 * let in, and a connection that reaches another endpoint (the port is used by another one now) ends
 * before a message is read. There is no encryption.
 *
 * A peer whose connection breaks, or cannot be made, is reported by peer_lost and stays lost: drop
 * it and add it again. Every peer of one address shares a connection, in both directions. */
#ifndef WEFT_TRANSPORT_TCP_H
#define WEFT_TRANSPORT_TCP_H

#include <stdint.h>

#include "transport/spi.h"

extern const struct weft_transport weft__tp_tcp;

struct weft_tcp_stats {
    uint64_t sent, received; /* messages */
    uint64_t writes, reads;  /* system calls that moved bytes */
    uint64_t connections;    /* now */
    uint64_t accepted;       /* so far, the refused ones too */
    uint64_t refused;        /* strangers, silent ones, and those beyond a limit */
    uint64_t malformed;      /* connections ended for what came over them */
    uint64_t lost;           /* connections that broke or could not be made */
    uint64_t accept_failed;  /* how often the system could not accept a connection */
};

/* Thread: the one that drives the endpoint. ep must be one of weft__tp_tcp. */
void weft__tcp_stats(const struct weft_tp_ep *ep, struct weft_tcp_stats *stats_out);

#endif
