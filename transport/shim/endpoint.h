/* Inside of transport/shim: the endpoint, what it sends, and the two sides of a one-sided
 * operation. All of it belongs to the thread that drives the endpoint. */
#ifndef WEFT_TRANSPORT_SHIM_ENDPOINT_H
#define WEFT_TRANSPORT_SHIM_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/keys.h"
#include "transport/ops.h"
#include "transport/shim/shim.h"
#include "transport/shim/wire.h"
#include "transport/slots.h"

/* Bytes of an operation per message, if the inner transport can. All pieces of a window pass
 * through the caches that their copies are in. From 128 KiB on malloc maps each piece anew and its
 * pages are made while it is copied: over tcp a tenth of the bandwidth is left. What is between
 * differs less than one run from the next. */
#define WEFT_SHIM_PIECE ((size_t)64 << 10)
#define WEFT_SHIM_WINDOW 32          /* pieces under way per peer */
#define WEFT_SHIM_SENDS_DEFAULT 1024 /* operations of the caller in flight */
#define WEFT_SHIM_SENDS_OWN                                                                        \
    512 /* messages of one-sided operations in flight, beside the caller's */
#define WEFT_SHIM_PEERS_MAX 8192
#define WEFT_SHIM_ASKERS_MAX 4096   /* initiators whose addresses are kept */
#define WEFT_SHIM_ANSWERS_MAX 65536 /* requests that wait for an answer to be sent */
#define WEFT_SHIM_BUCKETS 64
#define WEFT_SHIM_SMALL                                                                            \
    320 /* a parcel's own bytes: head and address, or prefix and a first part                      \
         */

struct weft_shim_peer {
    uint32_t id;
    struct weft_tp_peer inner;
    uint32_t pieces; /* under way */
    int lost;        /* 0, or what its operations end with */
};

/* One message on its way through the inner transport. */
struct weft_shim_parcel {
    struct weft_tp_op op;          /* the inner operation */
    struct weft_shim_parcel *next; /* free list */
    struct weft_shim_ep *ep;
    struct weft_tp_op *outer; /* the caller's send, finished with the parcel; or NULL */
    uint32_t call;            /* put whose bytes it carries; or 0 */
    void *big;                /* further bytes, freed with the parcel */
    _Alignas(16) unsigned char small[WEFT_SHIM_SMALL];
};

/* An initiator that we answer. */
struct weft_shim_asker {
    struct weft_shim_asker *next; /* in its bucket */
    struct weft_tp_peer inner;
    struct weft_tp_addr addr;
};

/* What an initiator wants and has not been sent. */
struct weft_shim_answer {
    struct weft_shim_answer *next;
    struct weft_tp_peer to;     /* inner */
    struct weft_shim_head head; /* DATA: to be served; ACK: to be sent as it is */
};

struct weft_shim_ep {
    struct weft_tp_ep base;
    struct weft_transport table; /* what base.transport points to */
    struct weft_tp_handlers on;
    void *ctx;
    const struct weft_transport *tp; /* the inner one */
    struct weft_tp_ep *inner;
    struct weft_tp_addr address;
    bool closing;
    bool runnable; /* advance() may find something to send */
    size_t msg_max_bytes;
    size_t piece_bytes;
    uint32_t sends_max;
    uint32_t nonce; /* upper half of the ids on the wire: an answer to a former endpoint at this
                       address is not ours */
    struct weft_slots peers;
    struct weft_slots calls;      /* id -> struct weft_tp_op: one-sided operations under way */
    struct weft_op_list active;   /* the same and the flushes, in order of submission */
    struct weft_op_list finished; /* done runs in the next progress() */
    uint32_t in_flight;
    struct weft_keys keys;
    struct weft_shim_parcel *parcels; /* free ones */
    uint32_t parcels_n; /* in use by one-sided operations, as initiator and as target */
    struct weft_shim_asker *askers[WEFT_SHIM_BUCKETS];
    uint32_t askers_n;
    struct weft_shim_answer *answers, **answers_end;
    uint32_t answers_n;
    uint64_t malformed; /* messages dropped */
};

static inline struct weft_shim_ep *weft__shim_ep(struct weft_tp_ep *ep)
{
    return (struct weft_shim_ep *)(void *)ep;
}

/* endpoint.c */
void weft__shim_finish(struct weft_shim_ep *ep, struct weft_tp_op *op, int err);
/* Errors: WEFT_EINVAL; WEFT_ESHUTDOWN; WEFT_EAGAIN. */
int weft__shim_may_submit(const struct weft_shim_ep *ep, const struct weft_shim_peer *peer);

/* parcel.c */
extern const struct weft_tp_msg_ops weft__shim_msg_ops;
/* A parcel for a one-sided operation.  NULL: none free, or no memory. */
struct weft_shim_parcel *weft__shim_parcel_new(struct weft_shim_ep *ep);
void weft__shim_parcel_free(struct weft_shim_parcel *parcel);
/* Sends it; the parcel is freed when it has gone, and at once when this fails.  Errors: the inner
 * transport's. */
int weft__shim_parcel_send(struct weft_shim_parcel *parcel, struct weft_tp_peer inner,
                           const struct iovec *iov, unsigned n);
void weft__shim_parcels_fini(struct weft_shim_ep *ep);

/* initiator.c */
extern const struct weft_tp_rma_ops weft__shim_rma_ops;
/* Sends what the windows allow and finishes what is finished. */
void weft__shim_advance(struct weft_shim_ep *ep);
void weft__shim_data_take(struct weft_shim_ep *ep, const struct weft_shim_head *head,
                          const void *data, size_t len_bytes);
void weft__shim_ack_take(struct weft_shim_ep *ep, const struct weft_shim_head *head);
/* A parcel with a put's bytes has left, or failed with err. */
void weft__shim_put_sent(struct weft_shim_ep *ep, uint32_t call, int err);
/* Ends the one-sided operations of a peer (NULL: of all) with err. */
void weft__shim_calls_fail(struct weft_shim_ep *ep, struct weft_shim_peer *peer, int err);

/* target.c */
/* A GET or PUT: head, address, bytes. */
void weft__shim_ask_take(struct weft_shim_ep *ep, const struct weft_shim_head *head,
                         const unsigned char *rest, size_t len_bytes);
/* Sends waiting answers; whether any went. */
bool weft__shim_answers_send(struct weft_shim_ep *ep);
/* The inner peer is lost: nobody there waits for answers. */
void weft__shim_asker_lost(struct weft_shim_ep *ep, struct weft_tp_peer inner);
void weft__shim_askers_fini(struct weft_shim_ep *ep);

#endif
