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
    uint64_t used_ns; /* ASYNC: when a push was last to be sent over it */
    bool heard;       /* something came back since it was made */
    bool unreached;   /* it is lost, and nobody was ever there */
    bool silent;      /* a request has timed out, and nothing ever came back */
    bool doomed;      /* to be dropped at the end of the turn */
    bool stuck;       /* a frame waits for room */
    bool forgotten;   /* nothing of it is sent again */
    char *refused;    /* why the handshake failed; NULL: it did not */
    char url[];
};

struct weft_client {
    struct weft_pump pump;
    struct weft_mpsc orders; /* flights on their way to the thread */
    struct weft_thread thread;
    _Atomic size_t under_way; /* flights that have not ended */
    _Atomic size_t inside;    /* calls of other threads that still touch the client */
    _Atomic int closing;
    _Atomic uint64_t tickets; /* how many were given out */
    size_t pending_max;
    uint64_t push_idle_ns;
    uint64_t id; /* in every frame */
    struct weft_counter sent, answered, timed_out, lost, late, malformed, pushes, pushes_dropped;
    struct weft_counter cancelled, resent;
    /* The thread's own. */
    struct weft_flights flights;
    struct weft_flight *taken, *taken_last; /* orders out of the ring that wait their turn */
    uint64_t sequence;                      /* the newest one */
    uint64_t random;                        /* for the jitter of what is sent again */
    struct weft_conn *conns[WEFT_CONN_BUCKETS];
    bool reap;  /* some connection is doomed */
    bool stuck; /* some connection is stuck */
    bool again; /* a callback left work: no sleep */
};

extern const struct weft_tp_handlers weft__hub_handlers; /* ctx: the client */

void *weft__hub_run(void *client);
/* Whether the caller is the client's own thread. */
bool weft__hub_is_here(const struct weft_client *client);
/* The caller, who is the client's own thread, has left an order in the ring. */
void weft__hub_again(struct weft_client *client);
/* Marks the connections to url as lost.  Thread: the client's own. */
void weft__hub_forget(struct weft_client *client, const char *url);
/* Marks the flight with that ticket, if it is under way, to end as cancelled.  Thread: the client's
 * own. */
void weft__hub_cancel(struct weft_client *client, uint64_t ticket);

/* conn.c.  Thread: the client's own. */
/* The connections among which those to url are. */
struct weft_conn **weft__conn_bucket(struct weft_client *client, const char *url);
/* Finds or makes the connection. */
int weft__conn_get(struct weft_client *client, const char *url, enum weft_tp_port_mode mode,
                   struct weft_conn **conn_out);
/* Marks it to be dropped at the end of the turn. */
void weft__conn_doom(struct weft_client *client, struct weft_conn *conn);
void weft__conn_link(struct weft_conn *conn, struct weft_flight *flight);
void weft__conn_unlink(struct weft_flight *flight);
void weft__conn_free(struct weft_client *client, struct weft_conn *conn);
/* run may free its connection. */
void weft__conns_each(struct weft_client *client,
                      void (*run)(struct weft_client *client, struct weft_conn *conn));

/* resend.c.  Thread: the client's own. */
/* Takes the flight off its connection, to be sent again some time after err. false: it must not, or
 * there is no time left; nothing has changed. hint_ms: as the server asks; 0: it does not. */
bool weft__resend_later(struct weft_client *client, struct weft_flight *flight, int err,
                        uint32_t hint_ms);

#endif
