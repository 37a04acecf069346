/* The inside of a client: its thread, which alone touches the endpoint and all connections. */
#ifndef WEFT_CONTROL_HUB_H
#define WEFT_CONTROL_HUB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/counter.h"
#include "base/ring.h"
#include "control/client.h"
#include "control/flight.h"
#include "control/pump.h"
#include "control/thread.h"

#define WEFT_CONN_BUCKETS 256

/* A connection to one port. */
struct weft_conn {
    struct weft_conn *next; /* of its bucket */
    struct weft_flight *first, *last;
    struct weft_tp_peer peer;
    enum weft_tp_port_mode mode;
    bool heard;  /* something came back since it was made */
    bool doomed; /* to be dropped at the end of the turn */
    bool stuck;  /* a frame waits for room */
    char url[];
};

struct weft_client {
    struct weft_pump pump;
    struct weft_mpsc orders; /* flights on their way to the thread */
    struct weft_thread thread;
    _Atomic size_t under_way; /* flights that have not ended */
    _Atomic size_t inside;    /* calls of other threads that still touch the client */
    _Atomic int closing;
    size_t pending_max;
    struct weft_counter sent, answered, timed_out, lost, late, malformed, pushes, pushes_dropped;
    /* The thread's own. */
    struct weft_flights flights;
    struct weft_conn *conns[WEFT_CONN_BUCKETS];
    bool reap;  /* some connection is doomed */
    bool stuck; /* some connection is stuck */
};

extern const struct weft_tp_handlers weft__hub_handlers; /* ctx: the client */

void *weft__hub_run(void *client);
/* Whether the caller is the client's own thread. */
bool weft__hub_is_here(const struct weft_client *client);
/* Marks the connections to url as lost.  Thread: the client's own. */
void weft__hub_forget(struct weft_client *client, const char *url);

#endif
