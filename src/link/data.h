/* The data lane of a host or of one of its clients: opened on first use, so that who moves no bulk
 * data pays nothing.
 *
 * All data lanes of a cluster have one token. Hosts keep it in the registry; a client learns it,
 * with the host's lane address, from any service of a host that has the call WEFT_CALL_LANE: who
 * may speak to a host over its control ports may speak to its lane. */
#ifndef WEFT_LINK_DATA_H
#define WEFT_LINK_DATA_H

#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "link/lane.h"

struct weft_data;
struct weft_client;
struct weft_call;

/* No request -> weft.data.LaneReply; the same code in every service that has it. Its handler blocks
 * while the lane opens: it needs a worker. */
#define WEFT_CALL_LANE 0x0080

/* The bind address that leads to a host; "255.255.255.255" and any IPv6 address fit. */
#define WEFT_DATA_BIND_MAX 64

struct weft_data_desc {
    const struct weft_transport *const *transports; /* as for weft__lane_open */
    size_t transports_n;
    const char *scheme; /* NULL: a host: WEFT_DATA; a client: what its host has */
    const char *bind;   /* copied; NULL (clients): the interface that leads to the host */
    uint16_t port_first, port_last;
    /* A host: tells the cluster's token, when the lane opens; may block. */
    int (*token)(void *ctx, uint64_t *token_out);
    void *ctx;
    /* A client: asks this host (any service of it that has WEFT_CALL_LANE; copied) instead. */
    struct weft_client *client;
    const char *url;
};

/* Opens no lane yet. */
int weft__data_open(const struct weft_data_desc *desc, struct weft_data **data_out);
/* From now on no lane is opened; waits for one that is opening.  Thread: any.  NULL is fine. */
void weft__data_stop(struct weft_data *data);
/* Closes the lane, if it was opened, and frees. Nobody uses the lane any more.  NULL is fine. */
void weft__data_close(struct weft_data *data);
/* The lane, opened now where it is the first time; valid until close. data is a struct weft_data:
 * it fits where somebody wants a function and its context.  Thread: any but the client's own, a
 * fan-in or an owner thread.  Blocks: while the lane opens, some seconds at worst.  Errors:
 * WEFT_ESHUTDOWN stopped; those of token and weft__lane_open; the next call tries again. */
int weft__data_lane(void *data, struct weft_lane **lane_out);
/* The lane if it is open; NULL: not yet.  Thread: any.  Blocks: no. */
struct weft_lane *weft__data_peek(const struct weft_data *data);
/* Answers WEFT_CALL_LANE.  Thread: a worker. */
void weft__data_on_lane(struct weft_data *data, struct weft_call *call);

/* What a host's WEFT_CALL_LANE tells. */
struct weft_data_host {
    char address[WEFT_LANE_ADDRESS_MAX];
    uint64_t token;
};
/* Asks a host.  Thread: any but the client's own.  Blocks: at most timeout_ms. */
int weft__data_ask(struct weft_client *client, const char *url, uint32_t timeout_ms,
                   struct weft_data_host *host_out);
/* The address of this machine's interface from which url's host is reached.  Errors: WEFT_EINVAL
 * no url with an IPv4 address; WEFT_EHOSTUNREACH. */
int weft__data_bind_to(const char *url, char bind_out[WEFT_DATA_BIND_MAX]);

#endif
