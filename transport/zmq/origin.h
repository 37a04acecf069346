/* Which connection requests came over, so that their owner hears when it has gone. */
#ifndef WEFT_TRANSPORT_ZMQ_ORIGIN_H
#define WEFT_TRANSPORT_ZMQ_ORIGIN_H

#include <stddef.h>
#include <stdint.h>

#include <zmq.h>

#include "transport/spi.h"

#define WEFT_ZMQ_ORIGIN_BUCKETS 256

struct weft_zmq_ep;
struct weft_zmq_origin;

/* All zero: empty. */
struct weft_zmq_origins {
    struct weft_zmq_origin *by_name[WEFT_ZMQ_ORIGIN_BUCKETS];
    struct weft_zmq_origin *by_fd[WEFT_ZMQ_ORIGIN_BUCKETS];
};

/* A request from `from` came as message; where there is no memory its going is not told. */
void weft__zmq_origin_note(struct weft_zmq_origins *origins, const struct weft_tp_from *from,
                           zmq_msg_t *message);
/* The connection of that descriptor to that port has gone: tells the endpoint's owner. */
void weft__zmq_origin_gone(struct weft_zmq_ep *ep, unsigned port_index, int fd);
void weft__zmq_origins_fini(struct weft_zmq_origins *origins);

#endif
