/* Inside of transport/zmq: the endpoint, its sockets and its links. Everything belongs to the
 * thread that drives the endpoint; libzmq's own I/O thread is behind libzmq's calls. */
#ifndef WEFT_TRANSPORT_ZMQ_ENDPOINT_H
#define WEFT_TRANSPORT_ZMQ_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zmq.h>

#include "base/counter.h"
#include "transport/ops.h"
#include "transport/slots.h"
#include "transport/spi.h"
#include "transport/zmq/debt.h"
#include "transport/zmq/gate.h"
#include "transport/zmq/origin.h"
#include "transport/zmq/zmq.h"

#define WEFT_ZMQ_PORTS_MAX 32
#define WEFT_ZMQ_PEERS_MAX 16384
#define WEFT_ZMQ_PARTS_MAX 3 /* identity, delimiter, frame */
#define WEFT_ZMQ_LINGER_MS                                                                         \
    200 /* close waits at most this long for bytes that a peer does not take */
#define WEFT_ZMQ_CALL_DEPTH 4096  /* requests, pushes or replies queued per peer */
#define WEFT_ZMQ_BUDGET 256       /* messages taken from one socket per progress() */
#define WEFT_ZMQ_CONNECT_MS 5000  /* a connection that is not made by then is lost */
#define WEFT_ZMQ_RETRY_NS 1000000 /* see links_wait() */
#define WEFT_ZMQ_CURVE_BYTES 33   /* a MESSAGE command of CURVE has so many more than its message */
#define WEFT_ZMQ_HANDSHAKE_MS                                                                      \
    10000 /* a connection that has not introduced itself by then is closed */

enum weft_zmq_kind { WEFT_ZMQ_CALL, WEFT_ZMQ_MESSAGE, WEFT_ZMQ_PUSH };
/* ASKING: the handshake failed, the host is asked why (greeting.c). */
enum weft_zmq_state {
    WEFT_ZMQ_IDLE,
    WEFT_ZMQ_CONNECTING,
    WEFT_ZMQ_UP,
    WEFT_ZMQ_ASKING,
    WEFT_ZMQ_LOST
};
/* What is known about a handshake that failed; CLOSED: not why. */
enum weft_zmq_verdict {
    WEFT_ZMQ_FINE,
    WEFT_ZMQ_CLOSED,
    WEFT_ZMQ_OTHER_MODE,
    WEFT_ZMQ_OTHER_KEY,
    WEFT_ZMQ_DENIED
};
struct weft_zmq_greeting;

/* One connection; peers with the same url and kind share it. */
struct weft_zmq_link {
    struct weft_zmq_link *next;
    enum weft_zmq_kind kind;
    enum weft_zmq_state state;
    uint32_t refs;    /* peers, and whoever walks over it */
    uint32_t route;   /* routing id on the ROUTER `out` */
    uint32_t peer_id; /* one of its peers: whom replies are told of */
    int fd;           /* as the monitor names it; UP only */
    bool met;         /* its handshake has succeeded */
    enum weft_zmq_verdict verdict;
    struct weft_zmq_greeting *greeting; /* ASKING only */
    void *push;                         /* PUSH: its socket */
    struct weft_op_list waiting;        /* sends that the full queue has not taken */
    char url[WEFT_TP_ADDR_MAX];
};

struct weft_zmq_port {
    struct weft_zmq_sock sock;
    struct weft_zmq_gate gate;
    enum weft_tp_port_mode mode;
};

struct weft_zmq_ep {
    struct weft_tp_ep base;
    struct weft_tp_handlers on;
    void *ctx;
    void *zctx;
    int epfd;    /* over the sockets' descriptors and timerfd: wait_fd */
    int timerfd; /* see links_wait() */
    bool looked; /* wait() has asked epfd for the next progress() */
    bool closing;
    bool ipv6;
    char bind[64];
    uint16_t port_first, port_last;
    uint32_t families;
    size_t msg_max_bytes;
    uint32_t sends_max;
    int depth;                    /* messages queued per msg peer at either end */
    struct weft_zmq_sock in;      /* MSG: bound DEALER; peers' `out` connect to it */
    struct weft_zmq_sock out;     /* ROUTER, connected to every request and msg peer */
    struct weft_zmq_sock watched; /* not open: what watch()ed descriptors are known by in epfd */
    struct weft_zmq_sock monitor; /* PAIR: tells what becomes of out's connections */
    struct weft_zmq_port ports[WEFT_ZMQ_PORTS_MAX];
    unsigned ports_n;
    char address[WEFT_TP_ADDR_MAX]; /* MSG: url of `in` */
    struct weft_slots peers;        /* of struct weft_zmq_link */
    struct weft_zmq_link *links;
    struct weft_slots routes;     /* routing id -> struct weft_zmq_link */
    uint32_t waiting;             /* sends in all links' waiting lists */
    struct weft_op_list finished; /* done runs in the next progress() */
    uint32_t in_flight;
    struct weft_zmq_debts debts;     /* of replies */
    struct weft_zmq_origins origins; /* of requests */
    struct weft_zmq_stats stats;

    const struct weft_tp_security *security; /* NULL: none */
    uint32_t connections_max;                /* per port; 0: no limit */
    struct weft_zmq_sock zap;                /* with security, once there is a port */
    struct weft_zmq_gate in_gate;
    int spare_fd;           /* see gate.c; -1: none */
    uint64_t warn_again_ns; /* about descriptors */
    uint64_t tell_again_ns; /* about clients that were denied */
    unsigned gates_made;    /* names their monitors */
    unsigned asking;        /* links in that state */
    struct {
        struct weft_counter connections, accepted, refused, denied, handshakes_failed,
            accept_failed;
    } gates; /* read by any thread */
};

/* What a socket's monitor tells. */
struct weft_zmq_event {
    uint16_t kind;
    int32_t value;
    char url[WEFT_TP_ADDR_MAX];
};

/* The parts of one received message, at most WEFT_ZMQ_PARTS_MAX of them. */
struct weft_zmq_parts {
    zmq_msg_t part[WEFT_ZMQ_PARTS_MAX];
    unsigned n; /* of the message; what exceeds the array is thrown away */
};

static inline struct weft_zmq_ep *weft__zmq_ep(struct weft_tp_ep *ep)
{
    return (struct weft_zmq_ep *)(void *)ep;
}

/* socket.c */
/* Translates libzmq's errno; the text is "what: reason". */
int weft__zmq_fail(const char *what);
int weft__zmq_set(void *handle, int option, int value);
/* Longer messages than the endpoint's close their connection. */
int weft__zmq_limit(const struct weft_zmq_ep *ep, void *handle);
/* Creates a socket with the endpoint's common options and queues of depth messages; puts it under
 * epfd. */
int weft__zmq_sock_open(struct weft_zmq_ep *ep, int type, int depth, struct weft_zmq_sock *sock);
void weft__zmq_sock_close(struct weft_zmq_sock *sock);
/* Binds to port, or for 0 to one of the endpoint's range.  Errors: WEFT_EADDRINUSE;
 * WEFT_EADDRNOTAVAIL. */
int weft__zmq_bind(struct weft_zmq_ep *ep, void *handle, uint16_t port, uint16_t *port_out);
/* Takes one message; false: none left (look is cleared). Close the parts with parts_close. */
bool weft__zmq_take(struct weft_zmq_sock *sock, struct weft_zmq_parts *parts_out);
void weft__zmq_parts_close(struct weft_zmq_parts *parts);
/* Whether the socket has something to take; asks libzmq only where look is set, and clears it if
 * not. Afterwards its descriptor tells of anything new. */
bool weft__zmq_sock_ready(struct weft_zmq_sock *sock);
/* Whether text is "tcp://" + numeric address + port. */
bool weft__zmq_url_ok(const char *url);
/* Reads a monitor's message; false: it is none. */
bool weft__zmq_event_read(struct weft_zmq_parts *parts, struct weft_zmq_event *event_out);

/* link.c */
/* How the socket's connections notice that the other side is dead. */
int weft__zmq_set_liveness(void *handle, enum weft_zmq_kind kind);
/* A new peer over a link to url. */
int weft__zmq_link_get(struct weft_zmq_ep *ep, const char *url, enum weft_zmq_kind kind,
                       struct weft_tp_peer *peer_out);
void weft__zmq_link_put(struct weft_zmq_ep *ep, struct weft_zmq_link *link);
void weft__zmq_peer_drop(struct weft_zmq_ep *ep, uint32_t peer_id);
struct weft_zmq_link *weft__zmq_link_of_route(const struct weft_zmq_ep *ep,
                                              uint32_t route); /* NULL: none */
/* Hands one message to the link's queue, connecting first where needed.  Errors: WEFT_EAGAIN;
 * WEFT_EHOSTUNREACH. */
int weft__zmq_link_send(struct weft_zmq_ep *ep, struct weft_zmq_link *link, const struct iovec *iov,
                        unsigned n);
/* Reads the monitor: which connections are up or lost.  Returns the number of events. */
int weft__zmq_links_watch(struct weft_zmq_ep *ep);
void weft__zmq_links_free(struct weft_zmq_ep *ep);

/* curve.c: without security there are no keys and no handler. */
/* Opens the ZAP handler, if it is not open. */
int weft__zmq_curve_open(struct weft_zmq_ep *ep);
/* Before the socket is bound. Also refuses who speaks ZMTP 1 or 2. */
int weft__zmq_curve_server(struct weft_zmq_ep *ep, void *handle);
/* Before the socket is connected to url. The same. */
int weft__zmq_curve_client(const struct weft_zmq_ep *ep, void *handle, const char *url);
/* Says who may come in.  Returns the number of answers. */
int weft__zmq_curve_answer(struct weft_zmq_ep *ep);
/* The text of a verdict (OTHER_MODE, OTHER_KEY, DENIED): returns WEFT_EACCES. */
int weft__zmq_curve_fail(const struct weft_zmq_ep *ep, const char *url, enum weft_zmq_verdict why);

/* greeting.c */
struct weft_zmq_greeting *weft__zmq_greeting_ask(const struct weft_zmq_ep *ep,
                                                 const char *url); /* NULL: cannot be asked */
/* CLOSED: no answer yet; FINE: no answer that would tell anything. */
enum weft_zmq_verdict weft__zmq_greeting_heard(const struct weft_zmq_ep *ep,
                                               struct weft_zmq_greeting *greeting);
/* NULL is fine. */
void weft__zmq_greeting_free(const struct weft_zmq_ep *ep, struct weft_zmq_greeting *greeting);

/* ctl.c */
extern const struct weft_tp_ctl_ops weft__zmq_ctl_ops;
int weft__zmq_replies_take(struct weft_zmq_ep *ep);
int weft__zmq_requests_take(struct weft_zmq_ep *ep, unsigned port_index);

/* msg.c */
extern const struct weft_tp_msg_ops weft__zmq_msg_ops;
int weft__zmq_messages_take(struct weft_zmq_ep *ep);
/* Offers waiting sends to their links again; returns how many finished. */
int weft__zmq_sends_retry(struct weft_zmq_ep *ep);
/* Finishes the link's waiting sends of one peer (peer_id 0: of all) with err. */
void weft__zmq_sends_fail(struct weft_zmq_ep *ep, struct weft_zmq_link *link, uint32_t peer_id,
                          int err);
void weft__zmq_finish(struct weft_zmq_ep *ep, struct weft_tp_op *op, int err);

#endif
