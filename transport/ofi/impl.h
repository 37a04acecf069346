/* Inside the ofi transport. */
#ifndef WEFT_TRANSPORT_OFI_IMPL_H
#define WEFT_TRANSPORT_OFI_IMPL_H

#include <stdbool.h>
#include <stdint.h>

#include <rdma/fabric.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_eq.h>

#include "transport/ofi/ofi.h"
#include "transport/ops.h"
#include "transport/regcache.h"
#include "transport/slots.h"
#include "transport/spi.h"

#define OFI_RECVS 64u /* posted receives */
#define OFI_REGISTRATIONS_MAX 512u
#define OFI_REGISTERED_MAX ((size_t)256 << 20)
#define OFI_SENDS_MAX 128u /* default of sends under way, and of one-sided operations under way */
#define OFI_PEERS_MAX 4096u
#define OFI_MSG_DEFAULT ((size_t)64 << 10)
#define OFI_BLOB_MAX 4u /* bytes of the largest message in an address */
#define OFI_CQ_BATCH 16
#define OFI_CONNECT_NS (3ull * 1000000000ull) /* a peer that takes nothing for so long is lost */

#define OFI_TICK_NS (1ull * 1000000000ull)
#define OFI_SILENT_TICKS 15u        /* a peer for which nothing ends for so long is lost */
#define OFI_SILENT_TICKS_POLLED 30u /* the same where the peer's process has to answer */

#define OFI_RETRY_NS (10ull * 1000000ull) /* longest pause between tries to connect */

#define OFI_CONNECT_ROUNDS 10000u

enum ofi_kind { OFI_RECV, OFI_SEND, OFI_GET, OFI_PUT, OFI_FLUSH };

/* What libfabric gets as the context of an operation. */
struct ofi_context {
    struct fi_context2 fi; /* must come first */
    enum ofi_kind kind;
};

struct ofi_peer {
    uint32_t id;
    bool lost;          /* reported, or about to be */
    bool told;          /* peer_lost has run */
    bool dropped;       /* gone for the owner; the rest waits for its sends to end */
    fi_addr_t msg_addr; /* in the address vector of messages */
    fi_addr_t rma_addr; /* in the one of one-sided operations, of this generation */
    uint32_t rma_generation;
    bool used;              /* a message has been sent: there is a connection, or there was */
    unsigned sends;         /* under way */
    unsigned rmas;          /* held by libfabric */
    unsigned ended;         /* completions, of both; wraps */
    unsigned ended_seen;    /* at the last tick */
    unsigned silent;        /* ticks without one while something is under way */
    uint64_t stalled_ns;    /* since when it takes nothing; 0: it does */
    uint64_t retry_ns;      /* when it is worth another try */
    uint32_t msg_max_bytes; /* the largest that it receives */
    uint16_t name_len;
    uint8_t name[WEFT_TP_ADDR_MAX];
};

/* A posted receive, or the copy of a message under way. */
struct ofi_buffer {
    struct ofi_context context;
    struct ofi_buffer *next;
    struct ofi_peer *peer; /* sends: whom to */
    struct fid_mr *mr;     /* where the provider wants local memory registered */
    _Alignas(16) unsigned char bytes[];
};

/* A one-sided operation, in the private part of struct weft_tp_op. */
struct ofi_op {
    struct weft_op_node node;
    struct ofi_context context;
    struct weft_tp_op *before, *after; /* in the list of those under way */
    struct ofi_peer *peer;
    bool waits;                      /* to be issued again */
    bool ended;                      /* is in the ready list */
    struct weft_registration *local; /* of the local range, where the provider wants one */
    struct weft_tp_rma_desc desc;
};
_Static_assert(sizeof(struct ofi_op) <= WEFT_TP_OP_PRIVATE, "an operation must fit its place");

struct weft_tp_region {
    struct weft_tp_region *before, *after; /* of the endpoint's */
    struct fid_mr *mr;
    struct weft_registration *kept; /* the cache's, which holds mr; NULL: mr is the region's own */
    struct weft_tp_key key;
};

/* What a network card has for the process, or for one endpoint of it. */
struct ofi_domain {
    struct ofi_domain *next;
    uint64_t number;
    const void *group; /* NULL: of one endpoint */
    unsigned users;    /* endpoints */
    char provider[32], bind[64];
    struct fid_fabric *fabric;
    struct fid_domain *domain;
    bool prov_key;
    size_t key_bytes;
    struct weft_regcache *registrations;       /* NULL: registering costs this provider nothing, and
                                                  nobody shares them */
    _Atomic uint64_t regions_n, regions_bytes; /* not the cache's */
};

/* One libfabric endpoint with what belongs to it. */
struct ofi_half {
    struct fid_fabric *fabric;
    struct fid_domain *domain;
    bool borrowed;             /* fabric and domain are ep->domain's */
    struct fid_wait *wait_set; /* net only */
    struct fid_cq *cq;
    struct fid_av *av;
    struct fid_ep *ep;
    int wait_fd;
};

struct ofi_ep {
    struct weft_tp_ep base;
    struct weft_tp_handlers handlers;
    void *ctx;
    char bind[64];
    char provider[32];
    size_t msg_max_bytes;
    unsigned sends_max;
    bool mr_local, mr_virt, mr_prov_key;
    bool shares; /* its domain with those of its group, each of which another thread may drive */
    bool pins;   /* registered memory is held by a card: registering is dear */
    bool card;   /* a network card answers, whatever its process does: silence.c */

    struct fi_info *info;
    struct ofi_domain *domain; /* of messages, and of registered memory */
    struct ofi_half msg, rma;
    uint32_t rma_generation;
    unsigned rma_rounds; /* the one-sided half may be connecting: to be looked at so often */
    int epoll_fd;
    bool masked;    /* epoll_fd does not look at the halves: progress.c */
    unsigned turns; /* of progress since somebody wanted to sleep */
    int timer_fd;   /* -1: none */
    bool timer_runs;
    unsigned rounds;  /* of progress since the clock was looked at */
    uint64_t tick_ns; /* the last tick; 0: nothing was under way */

    unsigned char *recv_slab;
    size_t recv_slab_bytes, recv_bytes;
    unsigned recvs;
    struct fid_mr *recv_mr;
    struct ofi_buffer *unposted; /* receives to be posted again */
    struct ofi_buffer *free_sends;
    struct ofi_buffer **sends; /* every send buffer that exists, for close */
    unsigned sends_n, sends_made;

    struct weft_slots peers;
    struct weft_tp_region *regions;
    struct weft_op_list ready;       /* done has to run */
    struct weft_tp_op *first, *last; /* one-sided operations under way */
    unsigned rmas, waiting;          /* of these: in all, to be issued again */
    unsigned lost_n;                 /* peers whose loss has not been told */
    bool renew;                      /* the one-sided endpoint has a broken connection */
    bool closing;
    int broken;
    struct weft_ofi_stats stats;
};

static inline struct ofi_ep *ofi_ep_of(struct weft_tp_ep *ep)
{
    return (struct ofi_ep *)(void *)ep;
}

static inline struct ofi_op *ofi_op_of(struct weft_tp_op *op)
{
    return (struct ofi_op *)(void *)op->priv;
}

/* error.c */
int weft__ofi_err(ssize_t rc); /* libfabric's code, of either sign, as ours */
int weft__ofi_completion_err(const struct ofi_ep *ep, const struct fi_cq_err_entry *entry);

/* environment.c */
void weft__ofi_environment(void); /* before main */
/* Whether it works on RDMA devices only, and there is none. Costs a look at a folder. */
bool weft__ofi_lacks_device(const char *provider);

/* library.c */
/* Before anything else of libfabric; later times cost nothing.  Errors: WEFT_ENOTSUP. */
int weft__ofi_library_load(void);

/* domain.c */
/* Opens what the endpoint's card has, or takes its share of it: ep->domain. */
int weft__ofi_domain_get(struct ofi_ep *ep, const struct weft_tp_open *desc);
void weft__ofi_domain_put(struct ofi_ep *ep); /* every registration of the endpoint's has ended */
/* Those of this endpoint alone. What was opened stands there also after an error. */
int weft__ofi_fabric_of(const struct ofi_ep *ep, struct fid_fabric **fabric_out,
                        struct fid_domain **domain_out);
/* Registers; ctx: a struct ofi_domain, mr_out: a struct fid_mr. */
int weft__ofi_mr_make(void *ctx, void *addr, size_t len_bytes, uint32_t access, void **mr_out);

/* fabric.c */
int weft__ofi_failed(const struct ofi_ep *ep, const char *what, int rc);
int weft__ofi_fabric_open(struct ofi_ep *ep, const struct weft_tp_open *desc);
void weft__ofi_fabric_close(struct ofi_ep *ep);
int weft__ofi_rma_half_open(struct ofi_ep *ep);
void weft__ofi_half_stop(struct ofi_ep *ep,
                         struct ofi_half *half); /* libfabric touches no buffer any more */
void weft__ofi_half_close(struct ofi_ep *ep, struct ofi_half *half);

/* peer.c */
int weft__ofi_peer_add(struct weft_tp_ep *tp, const struct weft_tp_addr *addr,
                       struct weft_tp_peer *peer_out);
void weft__ofi_peer_drop(struct weft_tp_ep *tp, struct weft_tp_peer peer);
/* Errors: WEFT_EINVAL no such peer; WEFT_ECONNRESET it is lost. */
int weft__ofi_peer_find(struct ofi_ep *ep, struct weft_tp_peer peer, struct ofi_peer **peer_out);
void weft__ofi_peer_lost(struct ofi_ep *ep, struct ofi_peer *peer);
void weft__ofi_peer_release(
    struct ofi_peer *peer); /* frees a dropped one whose last operation has ended */
/* What a submit call's refusal means: WEFT_EAGAIN, or the peer is lost because it has taken nothing
 * for too long. */
int weft__ofi_peer_refused(struct ofi_ep *ep, struct ofi_peer *peer, ssize_t rc);
bool weft__ofi_peer_rests(const struct ofi_peer *peer); /* no use in trying it now */
/* Made by this end: libfabric tells of no others. */
uint64_t weft__ofi_connections(const struct ofi_ep *ep);
int weft__ofi_peers_tell(struct ofi_ep *ep);
void weft__ofi_peers_fini(struct ofi_ep *ep);

/* msg.c */
int weft__ofi_recvs_open(struct ofi_ep *ep);
void weft__ofi_buffers_close(struct ofi_ep *ep);
void weft__ofi_post(struct ofi_ep *ep);
void weft__ofi_received(struct ofi_ep *ep, struct ofi_buffer *buffer, size_t len_bytes, int err);
void weft__ofi_sent(struct ofi_ep *ep, struct ofi_buffer *buffer, int err);
int weft__ofi_send(struct weft_tp_ep *tp, struct weft_tp_peer peer, const struct iovec *iov,
                   unsigned n, struct weft_tp_op *op);

/* region.c */
void weft__ofi_regions_close(struct ofi_ep *ep);
int weft__ofi_reg(struct weft_tp_ep *tp, void *addr, size_t len_bytes, uint32_t access,
                  struct weft_tp_region **region_out);
void weft__ofi_unreg(struct weft_tp_ep *tp, struct weft_tp_region *region);
void weft__ofi_key(struct weft_tp_region *region, struct weft_tp_key *key_out);
/* The registration of an operation's local range.  access: of libfabric. */
int weft__ofi_local_get(struct ofi_ep *ep, const struct weft_tp_rma_desc *desc, uint64_t access,
                        struct weft_registration **local_out);

/* rma.c */
extern const struct weft_tp_rma_ops weft__ofi_rma_ops;
void weft__ofi_rma_ended(struct ofi_ep *ep, struct ofi_context *context, int err);
/* Takes the buffers of a peer's operations back from libfabric; they end with err. */
void weft__ofi_rma_abandon(struct ofi_ep *ep, struct ofi_peer *peer, int err);
void weft__ofi_rma_again(
    struct ofi_ep *ep); /* issues what waits since the endpoint was made anew */
void weft__ofi_rma_renew(struct ofi_ep *ep);      /* makes the one-sided endpoint anew */
void weft__ofi_rma_cancel_all(struct ofi_ep *ep); /* the libfabric endpoint is closed already */

/* silence.c */
int weft__ofi_silence_open(struct ofi_ep *ep);
void weft__ofi_silence_close(struct ofi_ep *ep);
void weft__ofi_silence_look(struct ofi_ep *ep); /* in each progress() */
void weft__ofi_silence_arm(struct ofi_ep *ep);  /* before sleeping */

/* progress.c */
int weft__ofi_reap(struct ofi_ep *ep,
                   struct ofi_half *half); /* reads completions; runs no callback but message() */
int weft__ofi_progress(struct weft_tp_ep *tp);
int weft__ofi_wait_fd(struct weft_tp_ep *tp);
int weft__ofi_wait_arm(struct weft_tp_ep *tp);

#endif
