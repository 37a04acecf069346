/* Inside of transport/tcp: the endpoint, its links and their connections. Everything belongs to the
 * thread that drives the endpoint. */
#ifndef WEFT_TRANSPORT_TCP_ENDPOINT_H
#define WEFT_TRANSPORT_TCP_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include <uthash.h>

#include "transport/keys.h"
#include "transport/ops.h"
#include "transport/slots.h"
#include "transport/spi.h"
#include "transport/tcp/tcp.h"
#include "transport/tcp/wire.h"

#define WEFT_TCP_PEERS_MAX 16384
#define WEFT_TCP_SHARED ((size_t)64 << 10) /* of the buffer that all connections read into */
#define WEFT_TCP_STAGE ((size_t)16 << 10)  /* for what is laid side by side to be sent */
#define WEFT_TCP_BIG ((size_t)32 << 10)    /* messages from here on are read in place */
#define WEFT_TCP_PIECE ((size_t)512 << 10) /* of a one-sided operation, in one frame */
#define WEFT_TCP_ASKS_MAX 512u             /* one-sided operations under way over one link */
#define WEFT_TCP_ANSWERS_MAX 2048u         /* that one connection may wait for */
#define WEFT_TCP_HOT 4                     /* connections that are read without asking epoll */
#define WEFT_TCP_HOT_MISSES 256            /* reads that find nothing before one is hot no more */
#define WEFT_TCP_MUTE_HITS 16              /* reads that find something, before epoll is mute */
#define WEFT_TCP_LOOK_EVERY 16             /* turns, at most, until epoll is asked again */
#define WEFT_TCP_YOUNG_MS 7000             /* to connect, and to introduce oneself */
#define WEFT_TCP_YOUNG_MAX 1024   /* accepted connections that have not introduced themselves */
#define WEFT_TCP_LINK_CONNS_MAX 8 /* connections from one endpoint */
#define WEFT_TCP_BLOCKS 8         /* buffers for big messages that are kept */
#define WEFT_TCP_BLOCK_MAX ((size_t)1 << 20) /* larger ones are not */
#define WEFT_TCP_LIST_MAX 64                 /* completed accepts or events per turn */

struct weft_tcp_link;

enum weft_tcp_state { WEFT_TCP_CONNECTING, WEFT_TCP_HELLO, WEFT_TCP_UP, WEFT_TCP_DEAD };

/* A buffer for a message that does not arrive in one piece. */
struct weft_tcp_block {
    size_t capacity;
    unsigned char bytes[];
};

/* A registered range. */
struct weft_tcp_region {
    struct weft_range range;
    uint32_t busy; /* answers and connections in the middle of a piece of it */
};

/* What one connection is owed: the bytes of a get, and that an operation is over. */
struct weft_tcp_answer {
    STAILQ_ENTRY(weft_tcp_answer) at;
    struct weft_tcp_ask ask; /* what is wanted; at: what has been sent; err: of a put */
    bool get;
    bool data;                      /* what is under way begins with DATA */
    bool ends;                      /* and ends with DONE */
    size_t total, sent;             /* of what is under way; 0: nothing is */
    size_t piece;                   /* of DATA */
    struct weft_tcp_region *region; /* where the piece lies */
    const unsigned char *from;      /* NULL: it cannot be had any more, zeros take its place */
    struct weft_tcp_frame frame, done;
};
STAILQ_HEAD(weft_tcp_answers, weft_tcp_answer);

/* Where the bytes behind a head go. */
enum weft_tcp_into {
    WEFT_TCP_INTO_NONE, /* there are none */
    WEFT_TCP_INTO_BLOCK,
    WEFT_TCP_INTO_LOCAL, /* what an operation of ours has asked for */
    WEFT_TCP_INTO_RANGE, /* a registered one */
    WEFT_TCP_INTO_NOWHERE
};

/* One socket. */
struct weft_tcp_conn {
    TAILQ_ENTRY(weft_tcp_conn) at; /* in young, conns or dead */
    struct weft_tcp_conn *next_dirty;
    struct weft_tcp_link *link; /* NULL: it has not introduced itself */
    int fd;
    enum weft_tcp_state state;
    bool accepted;
    bool dirty;   /* in the list of those with something to send */
    bool blocked; /* the kernel takes no more: EPOLLOUT is asked for */
    bool watched; /* something may be unacknowledged */
    bool said_bye, heard_bye;
    bool big;             /* the last message was */
    unsigned misses;      /* reads in a row that found nothing */
    unsigned hits;        /* reads since the last sleep that found something */
    bool muted;           /* epoll does not tell of what comes: it is read in every turn */
    bool silent;          /* epoll tells of nothing */
    uint64_t turn;        /* when something was last sent at once */
    uint64_t deadline_ns; /* while it is young */
    unsigned char *raw;   /* bytes that go before the link's queue; NULL: none */
    size_t raw_len, raw_sent;
    unsigned char part[sizeof(struct weft_tcp_hello)]; /* of a hello or head */
    size_t part_len;
    enum weft_tcp_into into; /* of the bytes that have not come */
    size_t body_len, body_have;
    unsigned char *body_at;         /* NOWHERE: not used */
    struct weft_tcp_block *block;   /* BLOCK */
    struct weft_tp_op *op;          /* LOCAL */
    struct weft_tcp_region *region; /* RANGE */
    struct weft_tcp_ask put;        /* the PUT that comes; err: what becomes of it */
    bool putting;
    struct weft_tcp_answers answers;
    uint32_t answers_n;
    bool answered; /* answers came first in the last system call */
};
TAILQ_HEAD(weft_tcp_conns, weft_tcp_conn);

/* All that concerns one other endpoint. It lasts as long as it has peers or connections. */
struct weft_tcp_link {
    UT_hash_handle hh; /* in ep->links, unless lost */
    struct weft_tcp_name name;
    struct weft_tcp_link *next_lost;
    struct weft_tcp_conn *conn;   /* where we send; NULL: connect first */
    struct weft_tcp_conn *better; /* where we are going to; NULL: nowhere */
    bool moving;                  /* what we have sent over conn is being read to its end */
    struct weft_op_list queue;    /* what has not left */
    uint32_t queued;
    size_t queued_bytes;
    struct weft_op_list asked;   /* one-sided operations that have left */
    struct weft_op_list flushes; /* those that wait */
    uint32_t asks;               /* one-sided operations in queue and asked */
    uint64_t awaited;            /* bytes of gets that have left */
    uint32_t refs;               /* peers, and the list of the lost */
    unsigned conns;              /* that name this link */
    int lost;                    /* 0, or what its operations end with */
    uint64_t retry_until_ns;     /* no socket could be had; 0: that is not so */
};

enum weft_tcp_what { WEFT_TCP_OUT_SEND, WEFT_TCP_OUT_GET, WEFT_TCP_OUT_PUT, WEFT_TCP_OUT_FLUSH };

/* What an operation keeps in its private part. */
struct weft_tcp_out {
    struct weft_op_node node;
    struct weft_tcp_link *link; /* NULL: in no list of a link */
    uint32_t peer_id;
    enum weft_tcp_what what;
    size_t total; /* of the frame that is to leave, with the head */
    size_t sent;
    struct weft_tcp_frame frame; /* of a short message the head only */
    union {
        struct {
            struct iovec iov[WEFT_TP_IOV_MAX];
            unsigned n;
        } send;
        struct {
            unsigned char *local;
            uint64_t turn; /* in which order they were submitted */
            size_t back;   /* GET: bytes that are here */
            bool asked;    /* in link->asked, else in link->queue */
        } rma;
    };
};
_Static_assert(sizeof(struct weft_tcp_out) <= WEFT_TP_OP_PRIVATE, "it must fit into the operation");

struct weft_tcp_ep {
    struct weft_tp_ep base;
    struct weft_tp_handlers on;
    void *ctx;
    struct weft_tcp_name name;
    char bind[64];
    uint16_t port_first, port_last;
    size_t msg_max_bytes;
    uint32_t sends_max;
    uint32_t connections_max; /* accepted ones; 0: no limit */
    char congestion[16];      /* empty: the system's, but not bbr */
    int epfd, port_fd, timer_fd;
    bool closing;
    bool inside; /* progress() runs: what is sent leaves at its end */
    bool look;   /* epoll has to be asked in the next turn */
    bool timer_on;
    bool deaf; /* accepting is put off */
    uint64_t turn;
    uint64_t look_at;        /* the turn in which epoll is asked again ... */
    unsigned look_every;     /* ... and how many turns that was put off */
    struct weft_slots peers; /* of struct weft_tcp_link */
    struct weft_tcp_link *links;
    struct weft_tcp_link *lost_first, *lost_last;
    struct weft_tcp_conns young; /* CONNECTING and HELLO, in order of their deadlines */
    struct weft_tcp_conns conns; /* UP */
    struct weft_tcp_conns dead;  /* freed at the end of progress() */
    uint32_t connections, accepted, strangers; /* not dead; of these accepted; of these HELLO */
    uint32_t pending;                          /* CONNECTING or blocked: only epoll tells of them */
    uint32_t retries;                          /* links that wait for a socket */
    struct weft_tcp_conn *dirty_first, *dirty_last;
    struct weft_tcp_conn *hot[WEFT_TCP_HOT];
    unsigned hot_n, muted_n;      /* of the hot ones */
    struct weft_op_list finished; /* done runs in the next progress() */
    uint32_t in_flight;
    uint64_t asks; /* so far */
    struct weft_keys keys;
    struct weft_tcp_block *blocks[WEFT_TCP_BLOCKS];
    unsigned blocks_n;
    unsigned char *shared; /* WEFT_TCP_SHARED, and WEFT_TCP_STAGE behind it */
    unsigned char *stage;
    struct weft_tcp_stats stats;
};

static inline struct weft_tcp_ep *weft__tcp_ep(struct weft_tp_ep *ep)
{
    return (struct weft_tcp_ep *)(void *)ep;
}

static inline struct weft_tcp_out *weft__tcp_out(struct weft_tp_op *op)
{
    return (struct weft_tcp_out *)(void *)op->priv;
}

/* endpoint.c */
void weft__tcp_finish(struct weft_tcp_ep *ep, struct weft_tp_op *op, int err);

/* port.c */
/* Listens on ep->bind and completes ep->name.  Errors: WEFT_EADDRINUSE; WEFT_EADDRNOTAVAIL. */
int weft__tcp_port_open(struct weft_tcp_ep *ep);
int weft__tcp_port_accept(struct weft_tcp_ep *ep); /* how many came */
/* Takes up accepting again where it was put off. */
void weft__tcp_port_again(struct weft_tcp_ep *ep);
/* What a connection's hello leads to. */
void weft__tcp_port_hello(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn);
bool weft__tcp_name_ok(const struct weft_tcp_name *name);
/* Where the endpoint of that name listens. */
socklen_t weft__tcp_name_socket(const struct weft_tcp_name *name, struct sockaddr_storage *to_out);
/* Options of listening and connecting sockets.  Errors: errno's. */
/* Takes over the name of a congestion control.  Errors: WEFT_EINVAL. */
int weft__tcp_port_congestion(struct weft_tcp_ep *ep, const char *name);
int weft__tcp_port_options(const struct weft_tcp_ep *ep, int fd);

/* conn.c */
/* Takes fd over.  NULL: no memory, or epoll refuses; fd is closed then. */
struct weft_tcp_conn *weft__tcp_conn_new(struct weft_tcp_ep *ep, int fd, enum weft_tcp_state state);
void weft__tcp_conn_up(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn);
/* Closes it; its link is not told. The memory stays until the end of progress(). */
void weft__tcp_conn_close(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn);
void weft__tcp_conn_reap(struct weft_tcp_ep *ep);
/* Appends to what goes before the link's queue.  Errors: WEFT_ENOMEM. */
int weft__tcp_conn_append(struct weft_tcp_conn *conn, const void *bytes, size_t len_bytes);
void weft__tcp_conn_block(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn, bool blocked);
/* Has it flushed at the end of the turn. */
void weft__tcp_conn_dirty(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn);
/* Whether it has become hot just now. */
bool weft__tcp_conn_heat(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn);
/* It stays hot where epoll cannot tell of it. */
void weft__tcp_conn_cool(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn);
/* Has epoll tell of what comes over a hot one, or not. False: that failed; it is as it was. */
bool weft__tcp_conn_mute(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn, bool muted);

/* link.c */
/* NULL: no memory. */
struct weft_tcp_link *weft__tcp_link_of(struct weft_tcp_ep *ep, const struct weft_tcp_name *name);
void weft__tcp_link_put(struct weft_tcp_ep *ep, struct weft_tcp_link *link); /* takes one of refs */
void weft__tcp_link_tidy(struct weft_tcp_ep *ep, struct weft_tcp_link *link); /* may free it */
/* Begins to connect; what becomes of it shows later. */
void weft__tcp_link_connect(struct weft_tcp_ep *ep, struct weft_tcp_link *link);
/* conn leads to the link's endpoint; we send there if there was no other. */
void weft__tcp_link_join(struct weft_tcp_ep *ep, struct weft_tcp_link *link,
                         struct weft_tcp_conn *conn);
/* The connection has ended: closes it, and the link is lost if it was the one where we send. */
void weft__tcp_link_break(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn, int err);
/* The other side will send no more over conn. */
void weft__tcp_link_heard_bye(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn);
/* All that was to be sent over its connection has left. */
void weft__tcp_link_sent(struct weft_tcp_ep *ep, struct weft_tcp_link *link);
/* The other side has ended it. */
void weft__tcp_link_ended(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn);
int weft__tcp_link_tell(struct weft_tcp_ep *ep); /* tells the owner of lost links */
void weft__tcp_link_lose(struct weft_tcp_ep *ep, struct weft_tcp_link *link, int err);

/* vector.c: what leaves with one system call. */
/* Errors: WEFT_EAGAIN the kernel takes no more; WEFT_ENOENT there was nothing to send;
 * WEFT_EPEERDEAD. */
int weft__tcp_vector_write(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn);
/* Has the rest of a frame that has left in part copied, so that its operation can end.  Errors:
 * WEFT_ENOMEM. */
int weft__tcp_vector_keep(struct weft_tcp_conn *conn, struct weft_tp_op *op);

/* send.c */
extern const struct weft_tp_msg_ops weft__tcp_msg_ops;
/* The link's queue has got longer by op. */
void weft__tcp_send_queue(struct weft_tcp_link *link, struct weft_tp_op *op);
void weft__tcp_send_push(struct weft_tcp_ep *ep, struct weft_tcp_link *link);
/* A frame has left whole: its operation is the first in the queue. */
void weft__tcp_send_left(struct weft_tcp_ep *ep, struct weft_tcp_link *link);
/* Takes it out of the queue. */
void weft__tcp_send_remove(struct weft_tp_op *op);
void weft__tcp_send_flush(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn);
void weft__tcp_send_all(struct weft_tcp_ep *ep); /* flushes the dirty ones */
/* Ends the link's operations of one peer (0: of all) with err. */
void weft__tcp_send_fail(struct weft_tcp_ep *ep, struct weft_tcp_link *link, uint32_t peer_id,
                         int err);
int weft__tcp_send_cancel(struct weft_tcp_ep *ep, struct weft_tp_op *op);

/* ask.c: one-sided operations of ours. */
extern const struct weft_tp_rma_ops weft__tcp_rma_ops;
/* A frame of it has left; op is in no list. */
void weft__tcp_ask_left(struct weft_tcp_link *link, struct weft_tp_op *op);
/* Whose bytes come over conn; NULL: nobody's any more.  Errors: WEFT_EPROTO. */
int weft__tcp_ask_data(const struct weft_tcp_conn *conn, const struct weft_tcp_ask *ask, size_t len,
                       struct weft_tp_op **op_out);
void weft__tcp_ask_landed(struct weft_tp_op *op, size_t len);
/* Errors: WEFT_EPROTO; WEFT_ENOMEM. */
int weft__tcp_ask_done(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn,
                       const struct weft_tcp_ask *ask);
/* Ends one that is in no list any more. */
void weft__tcp_ask_end(struct weft_tcp_ep *ep, struct weft_tp_op *op, int err);
/* The same for its owner, with the flushes that waited for it alone. */
void weft__tcp_ask_cancel(struct weft_tcp_ep *ep, struct weft_tp_op *op);
/* Ends one that has left. */
void weft__tcp_ask_lose(struct weft_tcp_ep *ep, struct weft_tp_op *op, int err);
/* Ends those of one peer (0: of all) that have left, and the flushes. */
void weft__tcp_ask_fail(struct weft_tcp_ep *ep, struct weft_tcp_link *link, uint32_t peer_id,
                        int err);

/* serve.c: one-sided operations of others. */
int weft__tcp_serve_reg(struct weft_tp_ep *ep, void *addr, size_t len_bytes, uint32_t access,
                        struct weft_tp_region **region_out);
void weft__tcp_serve_unreg(struct weft_tp_ep *ep, struct weft_tp_region *region);
void weft__tcp_serve_key(struct weft_tp_region *region, struct weft_tp_key *key_out);
/* Errors: WEFT_EPROTO more than may wait; WEFT_ENOMEM. */
int weft__tcp_serve_get(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn,
                        const struct weft_tcp_ask *ask);
/* Says in conn where the bytes go.  Errors: WEFT_EPROTO. */
int weft__tcp_serve_put(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn,
                        const struct weft_tcp_ask *ask, size_t len);
/* All bytes of the PUT are where they belong, or were thrown away.  Errors: as serve_get. */
int weft__tcp_serve_landed(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn);
/* The PUT that comes has lost its place: what is left of it is thrown away. */
void weft__tcp_serve_lose(struct weft_tcp_conn *conn);
/* Prepares what the answer sends next.  ep: its keys. */
void weft__tcp_serve_begin(struct weft_tcp_ep *ep, struct weft_tcp_answer *answer);
/* What was prepared has left; the answer is the first of conn. */
void weft__tcp_serve_left(struct weft_tcp_conn *conn);
/* Its bytes cannot be had any more. */
void weft__tcp_serve_spoil(struct weft_tcp_answer *answer);
void weft__tcp_serve_fini(struct weft_tcp_conn *conn);
void weft__tcp_serve_free(struct weft_tcp_ep *ep);

/* receive.c */
int weft__tcp_receive(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn); /* how many events */
void weft__tcp_receive_fini(struct weft_tcp_ep *ep, struct weft_tcp_conn *conn);

/* block.c */
/* NULL: no memory. */
struct weft_tcp_block *weft__tcp_block_take(struct weft_tcp_ep *ep, size_t len);
void weft__tcp_block_give(struct weft_tcp_ep *ep, struct weft_tcp_block *block);
void weft__tcp_blocks_free(struct weft_tcp_ep *ep);

/* tick.c: what happens after a while. */
int weft__tcp_tick_open(struct weft_tcp_ep *ep);
void weft__tcp_tick_on(struct weft_tcp_ep *ep); /* something has a deadline */
void weft__tcp_tick(struct weft_tcp_ep *ep);    /* the timer has fired */

#endif
