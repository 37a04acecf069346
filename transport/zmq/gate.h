/* The gate of a bound socket: who comes in, how many there are, who is turned away. */
#ifndef WEFT_TRANSPORT_ZMQ_GATE_H
#define WEFT_TRANSPORT_ZMQ_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct weft_zmq_ep;

struct weft_zmq_sock {
    void *handle; /* NULL: not open */
    bool look;    /* may have messages although its descriptor is silent: every call on the handle
                     sets it, but for a receive that finds nothing */
};

#define WEFT_ZMQ_TURNED_MAX 64

struct weft_zmq_gate {
    struct weft_zmq_sock monitor; /* PAIR: what libzmq tells of the socket's connections */
    uint16_t port;
    uint8_t *open; /* by descriptor: what its connection has come to */
    size_t open_len;
    uint32_t connections;
    int turned[WEFT_ZMQ_TURNED_MAX]; /* descriptors that are to be shut */
    unsigned turned_n;
    bool left; /* some connection has ended whose end is not told */
};

/* Before the socket is bound; port is set afterwards. */
int weft__zmq_gate_open(struct weft_zmq_ep *ep, struct weft_zmq_gate *gate, void *handle);
void weft__zmq_gate_close(struct weft_zmq_gate *gate);
/* Reads what has happened.  Returns the number of events. */
int weft__zmq_gate_watch(struct weft_zmq_ep *ep, struct weft_zmq_gate *gate);

#endif
