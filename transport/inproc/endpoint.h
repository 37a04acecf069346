/* Inside of transport/inproc: the endpoint and its peers. All of it belongs to the thread that
 * drives the endpoint; what others touch is in the box. */
#ifndef WEFT_TRANSPORT_INPROC_ENDPOINT_H
#define WEFT_TRANSPORT_INPROC_ENDPOINT_H

#include "transport/inproc/box.h"
#include "transport/inproc/inproc.h"
#include "transport/ops.h"
#include "transport/slots.h"

#define WEFT_INPROC_PORTS_MAX 64
#define WEFT_INPROC_PEERS_MAX 16384
#define WEFT_INPROC_BUDGET 256              /* letters per progress() */
#define WEFT_INPROC_SLICE ((size_t)1 << 20) /* of a copy, per pin */
#define WEFT_INPROC_SLICES 4                /* per progress() */

/* A msg peer knows its box from peer_add on; a ctl peer looks for it when it is used. */
struct weft_inproc_peer {
    uint32_t id;
    bool ctl;
    enum weft_tp_port_mode mode; /* ctl */
    bool told;                   /* msg: the owner knows that it is gone */
    uint16_t port;               /* ctl: where to look */
    unsigned port_index;         /* ctl: at the box */
    struct weft_inproc_box *box; /* NULL: not found (yet) */
    unsigned ring;               /* msg: of the box, that this peer writes alone; 0: with others */
    struct weft_inproc_waiter *waiter;
    struct weft_op_list waiting; /* sends that the full box has not taken */
    char name[WEFT_INPROC_NAME_MAX];
};

struct weft_inproc_ep {
    struct weft_tp_ep base;
    struct weft_tp_handlers on;
    void *ctx;
    struct weft_inproc_box *box;
    bool closing;
    bool look; /* a peer that was gone from the start has not been told yet */
    uint32_t families;
    size_t msg_max_bytes;
    uint32_t sends_max;
    uint16_t port_first, port_last;
    unsigned ports_n;
    struct weft_slots peers;
    uint64_t leaves_seen;
    uint32_t waiting;             /* sends in all peers' waiting lists */
    struct weft_op_list copies;   /* gets, puts and flushes, in order */
    struct weft_op_list finished; /* done runs in the next progress() */
    uint32_t in_flight;
    char name[WEFT_INPROC_NAME_MAX];
};

static inline struct weft_inproc_ep *weft__inproc_ep(struct weft_tp_ep *ep)
{
    return (struct weft_inproc_ep *)(void *)ep;
}

/* endpoint.c */
void weft__inproc_finish(struct weft_inproc_ep *ep, struct weft_tp_op *op, int err);
/* The peer's box, unless that has been closed. */
struct weft_inproc_box *weft__inproc_peer_box(const struct weft_inproc_peer *peer);
/* Whether an operation may be submitted: not closing, room for one more.  Errors: WEFT_ESHUTDOWN,
 * WEFT_EAGAIN. */
int weft__inproc_may_submit(const struct weft_inproc_ep *ep);

/* msg.c */
extern const struct weft_tp_msg_ops weft__inproc_msg_ops;
int weft__inproc_sends_retry(struct weft_inproc_ep *ep);
/* Asks to be woken when the peers that sends wait for have room; false: cannot, poll. */
bool weft__inproc_sends_arm(struct weft_inproc_ep *ep);
void weft__inproc_sends_fail(struct weft_inproc_ep *ep, struct weft_inproc_peer *peer, int err);
bool weft__inproc_send_cancel(struct weft_inproc_ep *ep, struct weft_tp_op *op);

/* rma.c */
extern const struct weft_tp_rma_ops weft__inproc_rma_ops;
int weft__inproc_copies_run(struct weft_inproc_ep *ep);
/* Finishes the copies of one peer (0: of all) with err. */
void weft__inproc_copies_fail(struct weft_inproc_ep *ep, uint32_t peer_id, int err);

/* ctl.c */
extern const struct weft_tp_ctl_ops weft__inproc_ctl_ops;
void weft__inproc_request_take(struct weft_inproc_ep *ep, const struct weft_inproc_letter *letter);
void weft__inproc_reply_take(struct weft_inproc_ep *ep, const struct weft_inproc_letter *letter);

#endif
