/* The network of a simulation: real endpoints, fault(SPEC)+inproc, in the simulation's time.
 *
 * An end is what a process has: a control server with its ports, or a client. What travels is what
 * services send each other: frames with protobuf bodies, packed and unpacked by src/wire. Latency
 * and weather are the spec's of each end. The simulation's one thread drives all ends. Inside
 * tests/sim only. */
#ifndef WEFT_SIM_NET_H
#define WEFT_SIM_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "transport/fault/fault.h"
#include "wire/message.h"

enum { NET_ENDS_MAX = 32, NET_PEERS_MAX = 8, NET_NAME_MAX = 8, NET_URL_MAX = 48 };
enum { NET_SYNC_PORT = 1, NET_ASYNC_PORT = 2 }; /* of every server: "NAME:1", "NAME:2" */

struct net;
struct net_end;

/* A request that has come, as long as it is not answered. Copied by value. */
struct net_question {
    struct weft_tp_from from;
    uint16_t call;
    uint64_t correlation;
};

/* Takes a request (question is its origin), a push or a reply (NULL). */
typedef void net_take(void *ctx, const struct net_question *question,
                      const struct weft_frame *frame);

struct net_end_desc {
    const char *name; /* where it listens; NULL: a client */
    uint64_t seed;    /* of its dice */
    const char *spec; /* without seed */
    bool rma;         /* a lane: for bytes instead of messages */
    net_take *take;
    void *ctx;
};

struct net_peer {
    char url[NET_URL_MAX];
    struct weft_tp_peer id;
};

struct net_end {
    struct net *net;
    struct weft_tp_ep *ep; /* NULL: closed */
    char name[NET_NAME_MAX];
    net_take *take;
    void *ctx;
    struct net_peer peers[NET_PEERS_MAX];
    unsigned peers_n;
    uint32_t reaches;   /* ends to which it sends */
    uint64_t due_ns;    /* when it lets something go */
    uint64_t asleep_ns; /* its process is stopped until then */
};

struct net {
    struct weft_clock clock;
    struct net_end ends[NET_ENDS_MAX];
    uint32_t open, mail;             /* ends that are open; to which something may have come */
    struct weft_fault_counts counts; /* of ends that have closed */
    uint64_t sent, unreachable;      /* submitted; of them, to nobody */
    char failure[200];               /* what must not happen to a message; "": nothing has */
};

/* now_ns: the simulation's time; must outlive net. Counts go on from one run to the next. */
void net_init(struct net *net, const uint64_t *now_ns);
/* Closes all ends. */
void net_fini(struct net *net);

/* index: the same for the same process in each of its lives. A server's index must be in use
 * before somebody connects to it. */
struct net_end *net_open(struct net *net, unsigned index, const struct net_end_desc *desc);
void net_close(struct net_end *end); /* NULL, or closed: fine */
bool net_is_open(const struct net_end *end);
/* From now on these are its faults; what is held stays held. */
void net_change(struct net_end *end, const char *spec);
/* Its process is stopped: what comes waits. */
void net_sleep(struct net_end *end, uint64_t until_ns);

/* Each of these may lose the message, as a network may. */
void net_request(struct net_end *end, const char *url, const struct weft_frame *frame,
                 const ProtobufCMessage *message);
void net_push(struct net_end *end, const char *url, uint16_t call, const ProtobufCMessage *message);
/* A frame that the caller has packed. */
void net_push_frame(struct net_end *end, const char *url, const uint8_t *data, size_t len_bytes);
void net_reply(struct net_end *end, const struct net_question *to, const ProtobufCMessage *message);
void net_refuse(struct net_end *end, const struct net_question *to, int err, const char *text);

/* Bytes that others may get, and the way to them. They must be there until net_unshare. */
struct net_share {
    struct weft_tp_region *region;
    char address[NET_URL_MAX];
    struct weft_tp_key key;
};
void net_share(struct net_end *end, void *bytes, size_t len_bytes, struct net_share *share_out);
void net_unshare(struct net_end *end, struct net_share *share);
/* A get in the caller's memory, until done runs: once, in net_settle or net_close. */
struct net_get {
    struct weft_tp_op op; /* op.done and op.user are the caller's */
    struct weft_tp_key key;
    void *into;
    size_t len_bytes;
};
/* Errors: those of the transport; done does not run. */
int net_get(struct net_end *end, const char *address, struct net_get *get);

/* The body of a frame; NULL: it is none of this type, which net->failure says then. Owns:
 * weft__message_free. */
ProtobufCMessage *net_unpack(struct net *net, const struct weft_frame *frame,
                             const ProtobufCMessageDescriptor *type);

/* Drives the ends until nothing more happens at this time; calls take. */
void net_settle(struct net *net);
/* When something happens next; WEFT_NEVER: not by itself. */
uint64_t net_due_ns(const struct net *net);

#endif
