/* Inside of transport/fault: the endpoint, its peers, and what it holds. All of it belongs to the
 * thread that drives the endpoint. */
#ifndef WEFT_TRANSPORT_FAULT_ENDPOINT_H
#define WEFT_TRANSPORT_FAULT_ENDPOINT_H

#include "transport/fault/dice.h"
#include "transport/fault/fault.h"
#include "transport/slots.h"
#include "transport/spi.h"

#define WEFT_FAULT_CHANNELS 256 /* a power of two */

/* A peer of the caller's; the inner one changes when a control connection is cut. */
struct weft_fault_peer {
    uint32_t id;
    uint32_t refs; /* X gives one id for several adds or connects of one place */
    struct weft_tp_peer inner;
    char *url; /* ctl; NULL: data */
    enum weft_tp_port_mode mode;
    int dead; /* what operations to it end with; 0: it lives */
};

enum weft_fault_what {
    WEFT_FAULT_DO_REQUEST,
    WEFT_FAULT_DO_PUSH,
    WEFT_FAULT_DO_REPLY,
    WEFT_FAULT_DO_SEND,
    WEFT_FAULT_DO_GET,
    WEFT_FAULT_DO_PUT,
    WEFT_FAULT_DO_FLUSH,
    WEFT_FAULT_FINISH,       /* an operation: done with err */
    WEFT_FAULT_LOST,         /* tell the caller that the peer is gone */
    WEFT_FAULT_TAKE_REQUEST, /* or push */
    WEFT_FAULT_TAKE_REPLY,
    WEFT_FAULT_TAKE_MESSAGE,
    WEFT_FAULT_NOTHING
};

/* A letter or operation that is held, or an operation that X works on. */
struct weft_fault_item {
    struct weft_fault_item *next;
    enum weft_fault_what what;
    struct weft_fault_ep *ep;
    uint64_t due; /* by the clock, or in calls to progress() */
    unsigned channel;
    bool overtaken; /* what follows on the channel does not wait for it */
    bool held;      /* in the endpoint's list */
    bool counted;   /* among those that the channel waits for */
    uint32_t peer_id;
    struct weft_tp_op op;       /* X's */
    struct weft_tp_op *user_op; /* the caller's; NULL: none waits */
    int err;
    unsigned iov_n;
    struct iovec iov[WEFT_TP_IOV_MAX];
    struct weft_tp_rma_desc rma;
    unsigned port_index;
    bool has_from;
    struct weft_tp_from from;
    size_t len_bytes;
    unsigned char data[];
};

struct weft_fault_channel {
    uint32_t waiting; /* items that what follows must wait for */
    uint64_t due;     /* the last one's */
};

struct weft_fault_ep {
    struct weft_tp_ep base;
    struct weft_transport table;
    struct weft_tp_rma_ops rma;
    const struct weft_transport *tp; /* X's */
    struct weft_tp_ep *inner;
    struct weft_tp_handlers on;
    void *ctx;
    struct weft_fault_plan plan;
    const struct weft_clock *clock; /* of delays; NULL: calls to progress() */
    bool caller_keeps_time;         /* and drives us when something is due */
    struct weft_fault_dice dice[WEFT_FAULT_WAYS];
    struct weft_fault_counts counts;
    struct weft_tp_limits limits;
    struct weft_slots peers;
    struct weft_fault_item *first, **end; /* held, in the order they came */
    uint32_t held_in;                     /* of them, from X */
    uint32_t in_flight;                   /* operations of the caller's */
    struct weft_fault_channel channels[WEFT_FAULT_CHANNELS];
    uint64_t calls; /* to progress() */
    int epoll_fd, timer_fd;
    bool closing;
};

static inline struct weft_fault_ep *weft__fault_ep(const struct weft_tp_ep *ep)
{
    return (struct weft_fault_ep *)(uintptr_t)ep;
}

/* item.c */
/* NULL: no memory, noted. data is copied (NULL: none). */
struct weft_fault_item *weft__fault_item_new(struct weft_fault_ep *ep, enum weft_fault_what what,
                                             const void *data, size_t len_bytes);
/* Whether a letter of this fate must be held: by itself, or because others of its channel are. */
bool weft__fault_must_hold(const struct weft_fault_ep *ep, unsigned channel,
                           const struct weft_fault_fate *fate);
/* Puts it at the end of what is held. */
void weft__fault_hold(struct weft_fault_ep *ep, struct weft_fault_item *item,
                      const struct weft_fault_fate *fate);
/* Holds it for the next turn, before everything of its channel that comes later; nothing waits for
 * it. */
void weft__fault_hold_next(struct weft_fault_ep *ep, struct weft_fault_item *item);
/* Ends what is held for a peer: operations finish with err, letters go. */
void weft__fault_peer_end(struct weft_fault_ep *ep, const struct weft_fault_peer *peer, int err);
/* Makes a held item finish with err, soon. */
void weft__fault_item_end(struct weft_fault_ep *ep, struct weft_fault_item *item, int err);
/* Lets go what is due; the number of events. */
int weft__fault_run(struct weft_fault_ep *ep);
/* Whether something is due; *due_out: the time of the earliest (WEFT_NEVER: nothing is held). */
bool weft__fault_due(const struct weft_fault_ep *ep, uint64_t *due_out);
void weft__fault_items_fini(struct weft_fault_ep *ep);
unsigned weft__fault_channel(enum weft_fault_kind kind, const void *key, size_t len_bytes);

/* endpoint.c */
struct weft_fault_peer *weft__fault_peer_of(const struct weft_fault_ep *ep,
                                            struct weft_tp_peer inner);
/* The caller's peer for X's; url: NULL for data; it is copied. */
int weft__fault_peer_enter(struct weft_fault_ep *ep, struct weft_tp_peer inner, const char *url,
                           struct weft_fault_peer **peer_out);
/* The peer's connection breaks. */
void weft__fault_cut(struct weft_fault_ep *ep, struct weft_fault_peer *peer);
struct weft_fault_fate weft__fault_fate(struct weft_fault_ep *ep, enum weft_fault_way way,
                                        enum weft_fault_kind kind);

/* ctl.c */
extern const struct weft_tp_ctl_ops weft__fault_ctl_ops;
void weft__fault_request_take(void *ctx, unsigned port_index, const struct weft_tp_from *from,
                              const void *data, size_t len_bytes);
void weft__fault_reply_take(void *ctx, struct weft_tp_peer inner, const void *data,
                            size_t len_bytes);
void weft__fault_message_take(void *ctx, const void *data, size_t len_bytes);
/* Hands a letter of X's to the caller. */
void weft__fault_letter_deliver(struct weft_fault_ep *ep, const struct weft_fault_item *item);
/* Hands a letter of the caller's to X. */
int weft__fault_letter_send(struct weft_fault_ep *ep, const struct weft_fault_item *item);

/* data.c */
extern const struct weft_tp_msg_ops weft__fault_msg_ops;
extern const struct weft_tp_rma_ops weft__fault_rma_ops; /* without key */
int weft__fault_op_start(struct weft_fault_ep *ep, struct weft_fault_item *item);
/* Tells the caller, and frees the item. */
void weft__fault_op_finish(struct weft_fault_ep *ep, struct weft_fault_item *item, int err);
int weft__fault_cancel(struct weft_tp_ep *ep, struct weft_tp_op *op);

#endif
