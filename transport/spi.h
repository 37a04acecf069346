/* The service provider interface of transports: a core table and whole families of operations.
 *
 * A transport fills `core` and some families; a family is whole or absent (NULL), checked once by
 * weft__transport_check(). Callers ask for families, never for single operations or for a
 * transport's name.
 *
 * Threads: an endpoint belongs to one thread at a time; the caller (a lane, a control server) hands
 * it over with full ordering. No function of this table locks, blocks or sleeps but wait(). Read
 * transport/inproc first: it is the reference.
 *
 * Operations: an operation lives in the caller's memory (struct weft_tp_op), completes exactly
 * once, never inside the call that submits it: `done` runs inside progress() or close(). The
 * transport owns the posted buffers until then. A submit call that returns an error has not started
 * the operation: done never runs. A full queue is WEFT_EAGAIN. Delivered means delivered: a put
 * completes when its bytes are in the target's memory.
 */
#ifndef WEFT_TRANSPORT_SPI_H
#define WEFT_TRANSPORT_SPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "weft/error.h"

#define WEFT_TP_ADDR_MAX 240
#define WEFT_TP_OP_PRIVATE 192
#define WEFT_TP_IOV_MAX 4
#define WEFT_TP_FROM_MAX 280

enum weft_tp_family { WEFT_TP_CTL = 1, WEFT_TP_MSG = 2, WEFT_TP_RMA = 4 };

/* An endpoint's address, opaque to everybody but its transport; travels over the control plane. */
struct weft_tp_addr {
    uint16_t len;
    uint8_t bytes[WEFT_TP_ADDR_MAX];
};

/* A peer of one endpoint. Ids are not reused while the endpoint is open. */
struct weft_tp_peer {
    uint32_t id;
};

struct weft_tp_op;
/* err: 0 or an error with its damage. Runs on the thread that drives the endpoint; may submit
 * further operations. */
typedef void weft_tp_done(struct weft_tp_op *op, int err);

struct weft_tp_op {
    weft_tp_done *done;
    void *user;
    _Alignas(16) unsigned char priv[WEFT_TP_OP_PRIVATE]; /* the transport's, from submit to done */
};

struct weft_tp_limits {
    size_t msg_max_bytes; /* largest message of send() */
    size_t rma_max_bytes; /* largest single get() or put() */
    uint32_t sends_max;   /* operations in flight before WEFT_EAGAIN */
    uint32_t peers_max;
    bool needs_target_poll; /* one-sided operations move only while the target calls progress() */
};

/* Where a control request came from; copied by value, good for exactly one reply. */
struct weft_tp_from {
    uint16_t port_index;
    uint16_t len;
    uint8_t bytes[WEFT_TP_FROM_MAX];
};

/* What an endpoint tells its owner, always inside progress(). data is valid during the call only.
 */
struct weft_tp_handlers {
    /* MSG: one whole message; in order per peer. */
    void (*message)(void *ctx, const void *data, size_t len_bytes);
    /* CTL: a request or push on port number port_index (order of listen calls). from is NULL for a
     * push. A message of several parts, which is none of ours, comes with length 0. */
    void (*request)(void *ctx, unsigned port_index, const struct weft_tp_from *from,
                    const void *data, size_t len_bytes);
    /* CTL: a reply from a peer to an earlier request; matching is the caller's (correlation id in
     * the frame). */
    void (*reply)(void *ctx, struct weft_tp_peer peer, const void *data, size_t len_bytes);
    /* CTL: the connection over which requests of `from` came has gone: replies to them go nowhere.
     * Runs in progress(), never for a connection that is there. A transport that cannot tell does
     * not. May be NULL. */
    void (*client_gone)(void *ctx, const struct weft_tp_from *from);
    /* A peer has gone (connection lost); operations to it complete with damage PEER. May be NULL.
     */
    void (*peer_lost)(void *ctx, struct weft_tp_peer peer);
    /* Runs instead of peer_lost where the two sides do not get past the handshake: other keys, or
     * only one of them has keys. weft_fail_text(WEFT_EACCES) says which. May be NULL: peer_lost
     * runs. */
    void (*peer_refused)(void *ctx, struct weft_tp_peer peer);
    /* CTL: runs instead of peer_lost where the other side has never said a word over the
     * connection: nobody, or nobody awake, is there. A transport that cannot tell runs peer_lost.
     * May be NULL: peer_lost runs. */
    void (*peer_unreached)(void *ctx, struct weft_tp_peer peer);
};

#define WEFT_TP_KEY_BYTES 32

/* The keys of a side, Curve25519, and what it thinks of the keys of others. Whoever fills it reads
 * files and settings, the transport reads none. */
struct weft_tp_security {
    uint8_t public_key[WEFT_TP_KEY_BYTES];
    uint8_t secret_key[WEFT_TP_KEY_BYTES];
    /* Whether a client that has proved to have this key may come in. */
    bool (*allow)(void *ctx, const uint8_t client_key[WEFT_TP_KEY_BYTES]);
    /* The key that whoever listens at url has to prove. */
    void (*server_key)(void *ctx, const char *url, uint8_t key_out[WEFT_TP_KEY_BYTES]);
    void *ctx;
};

struct weft_tp_open {
    const char *bind;    /* address of the interface, e.g. "127.0.0.2"; for inproc: any name */
    uint16_t port_first; /* 0: any port; else the range that may be used */
    uint16_t port_last;
    uint32_t families;    /* what the caller needs; WEFT_ENOTSUP where one is absent */
    uint32_t sends_max;   /* 0: default */
    size_t msg_max_bytes; /* largest message that the caller will send or receive; 0: default */
    const char *provider; /* ofi: name of the provider; NULL: chosen */
    /* NULL: no authentication, no encryption. Must outlive the endpoint; its functions run on the
     * thread that drives it. Transports that cannot encrypt (all but zmq) do not look at it. */
    const struct weft_tp_security *security;
    uint32_t connections_max; /* zmq, tcp: accepted at a time by one port; 0: no limit but the
                                 process's open files */
    const char *congestion;   /* tcp: the kernel's name of a congestion control; NULL or "": the
                                 system's, but not bbr */
    /* ofi on a card that pins memory: endpoints of this process with the same group, provider and
     * address share what the card keeps for a process, its domain and registrations. Each of them
     * may be driven by another thread. NULL: this one shares nothing. */
    const void *group;
    uint32_t receives_max; /* ofi: buffers posted for messages, of all peers together; 0: default */
    size_t registered_max_bytes; /* ofi on a card that pins memory: what it keeps registered for the
                                    next use (transport/regcache.h); 0: default */
    const struct weft_tp_handlers *handlers;
    void *ctx;
};

/* What an endpoint has taken so far. */
struct weft_tp_usage {
    uint64_t connections;  /* that it has made or accepted, where it can tell; else made */
    uint64_t memory_bytes; /* of buffers and peers, without what libraries and the kernel take */
    uint64_t registrations, registered_bytes; /* of memory, kept for reuse or in use */
    uint64_t registration_hits, registration_misses;
    uint64_t domain; /* whose registrations these are: endpoints that share them tell the same
                        number; 0: nobody's but the endpoint's */
};

struct weft_transport;

/* Transports embed this as their endpoint's first member. */
struct weft_tp_ep {
    const struct weft_transport *transport;
};

struct weft_tp_core_ops {
    int (*open)(const struct weft_tp_open *desc, struct weft_tp_ep **ep_out);
    /* Every active operation completes with WEFT_ECANCELED (its done runs inside this call), then
     * the endpoint is gone. */
    void (*close)(struct weft_tp_ep *ep);
    int (*address)(struct weft_tp_ep *ep, struct weft_tp_addr *addr_out);
    /* Errors: WEFT_EINVAL not an address of this transport; WEFT_ENOSPC peers_max. Connects lazily.
     */
    int (*peer_add)(struct weft_tp_ep *ep, const struct weft_tp_addr *addr,
                    struct weft_tp_peer *peer_out);
    /* Operations to the peer complete with WEFT_ECANCELED, at the latest in the next progress(). */
    void (*peer_drop)(struct weft_tp_ep *ep, struct weft_tp_peer peer);
    /* Moves what can be moved; returns the number of events handled, or an error with damage
     * ENDPOINT. */
    int (*progress)(struct weft_tp_ep *ep);
    /* A file descriptor that polls readable when progress() has work; -1: must be polled. */
    int (*wait_fd)(struct weft_tp_ep *ep);
    /* Call before sleeping on wait_fd: WEFT_OK, or WEFT_EAGAIN when progress() must run first. */
    int (*wait_arm)(struct weft_tp_ep *ep);
    /* WEFT_OK: op completes with WEFT_ECANCELED; WEFT_EBUSY: cannot be cancelled, it completes by
     * itself. */
    int (*cancel)(struct weft_tp_ep *ep, struct weft_tp_op *op);
    void (*limits)(struct weft_tp_ep *ep, struct weft_tp_limits *limits_out);
};

struct weft_tp_msg_ops {
    /* Completion: the buffers are reusable. n <= WEFT_TP_IOV_MAX. Errors: WEFT_EAGAIN,
     * WEFT_EMSGSIZE, WEFT_EINVAL. */
    int (*send)(struct weft_tp_ep *ep, struct weft_tp_peer peer, const struct iovec *iov,
                unsigned n, struct weft_tp_op *op);
};

/* What peers may do with a registered range. KEEP: where registering is dear, the range may stay
 * registered after unreg() and its key good, until the memory goes (transport/regcache.h) or room
 * is needed; for peers that are trusted that far. */
enum weft_tp_access { WEFT_TP_READ = 1, WEFT_TP_WRITE = 2, WEFT_TP_KEEP = 4 };

/* What a peer needs to reach a registered range: 24 bytes that travel as they are (little endian).
 */
struct weft_tp_key {
    uint64_t key;  /* random where the transport lets us choose */
    uint64_t base; /* what `remote` counts from: an address or 0 */
    uint64_t len_bytes;
};

struct weft_tp_region; /* a registration */

struct weft_tp_rma_desc {
    void *local;
    size_t len_bytes;
    struct weft_tp_region
        *local_region; /* registration of the local range; NULL: the transport copes */
    struct weft_tp_key remote_key;
    uint64_t remote_offset; /* from the start of the registered range */
};

struct weft_tp_rma_ops {
    int (*reg)(struct weft_tp_ep *ep, void *addr, size_t len_bytes, uint32_t access,
               struct weft_tp_region **region_out);
    void (*unreg)(struct weft_tp_ep *ep, struct weft_tp_region *region);
    void (*key)(struct weft_tp_region *region, struct weft_tp_key *key_out);
    /* Completion of get: the bytes are here. Of put: the bytes are in the target's memory. A
     * wrong key or range completes with WEFT_EACCES and touches nothing; the peer stays usable, or
     * is reported lost.  Errors: WEFT_EAGAIN; WEFT_EINVAL; WEFT_EMSGSIZE more than rma_max_bytes.
     */
    int (*get)(struct weft_tp_ep *ep, struct weft_tp_peer peer, const struct weft_tp_rma_desc *desc,
               struct weft_tp_op *op);
    int (*put)(struct weft_tp_ep *ep, struct weft_tp_peer peer, const struct weft_tp_rma_desc *desc,
               struct weft_tp_op *op);
    /* Completes when every earlier put to the peer has completed. */
    int (*flush)(struct weft_tp_ep *ep, struct weft_tp_peer peer, struct weft_tp_op *op);
};

enum weft_tp_port_mode { WEFT_TP_SYNC, WEFT_TP_ASYNC }; /* request and reply; push */

struct weft_tp_ctl_ops {
    /* Opens a port; port 0: one of the endpoint's range. Usable by clients when this returns. Ports
     * count from index 0. */
    int (*listen)(struct weft_tp_ep *ep, enum weft_tp_port_mode mode, uint16_t port,
                  uint16_t *port_out);
    /* url: "tcp://127.0.0.2:8100" (inproc: "name:port"). mode says whether requests or pushes go
     * there. */
    int (*connect)(struct weft_tp_ep *ep, const char *url, enum weft_tp_port_mode mode,
                   struct weft_tp_peer *peer_out);
    /* Copies data; WEFT_EAGAIN when the peer's queue is full. There is no completion. */
    int (*request)(struct weft_tp_ep *ep, struct weft_tp_peer peer, const void *data,
                   size_t len_bytes);
    int (*push)(struct weft_tp_ep *ep, struct weft_tp_peer peer, const void *data,
                size_t len_bytes);
    /* Answers a request; a client that has gone is no error. */
    int (*reply)(struct weft_tp_ep *ep, const struct weft_tp_from *to, const void *data,
                 size_t len_bytes);
};

/* Sleeping in one system call, for endpoints that can do it themselves. */
struct weft_tp_sleep_ops {
    /* From now on wait() ends also when fd becomes readable; it is polled edge-triggered and never
     * read. */
    int (*watch)(struct weft_tp_ep *ep, int fd);
    /* Sleeps until progress() has work, a watched descriptor fires or deadline_ns of the monotonic
     * clock is over (0: only looks; WEFT_NEVER: no limit). Call it before each progress(), which
     * then looks at nothing itself. The one slot that blocks. */
    void (*wait)(struct weft_tp_ep *ep, uint64_t deadline_ns);
};

struct weft_transport {
    const char *scheme; /* "inproc", "zmq", "ofi", "tcp" */
    const struct weft_tp_core_ops *core;
    const struct weft_tp_ctl_ops *ctl;
    const struct weft_tp_msg_ops *msg;
    const struct weft_tp_rma_ops *rma; /* NULL: wrap the endpoint with the shim (transport/shim) */
    const struct weft_tp_sleep_ops *sleep; /* NULL: poll wait_fd */
    /* NULL: its endpoints count nothing. */
    void (*usage)(struct weft_tp_ep *ep, struct weft_tp_usage *usage_out);
};

void weft__usage_add(struct weft_tp_usage *sum, const struct weft_tp_usage *one);

/* Whether core is whole and each family is whole or absent.  Errors: WEFT_EINVAL, naming the slot.
 */
int weft__transport_check(const struct weft_transport *transport);

#endif
