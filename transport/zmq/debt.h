/* The bytes of replies that libzmq holds for each client of an endpoint, so that a client that does
 * not read cannot fill the memory: libzmq's own limit counts messages, whatever their size. */
#ifndef WEFT_TRANSPORT_ZMQ_DEBT_H
#define WEFT_TRANSPORT_ZMQ_DEBT_H

#include <stddef.h>

#include <zmq.h>

#include "transport/spi.h"

#define WEFT_ZMQ_DEBT_BUCKETS 64

struct weft_zmq_debt;

/* All zero: empty. */
struct weft_zmq_debts {
    struct weft_zmq_debt *bucket[WEFT_ZMQ_DEBT_BUCKETS];
    size_t n;
    size_t sweep_at; /* how many there are when the next sweep is worth it */
};

/* Replies below this are not counted: the limit on messages bounds them. */
#define WEFT_ZMQ_DEBT_FROM_BYTES 2048

/* A message with a copy of data, counted until libzmq lets go of it.  Errors: WEFT_EAGAIN the
 * client has too much to read already; WEFT_ENOMEM. */
int weft__zmq_debt_message(struct weft_zmq_debts *debts, const struct weft_tp_from *to,
                           const void *data, size_t len_bytes, zmq_msg_t *message_out);
/* libzmq has let go of everything: its context is gone. */
void weft__zmq_debts_fini(struct weft_zmq_debts *debts);

#endif
