/* The state service of a host: main of the values that were created through it, and the way to the
 * registry for everybody who asks it where a value is.
 *
 * Handlers run on the service's workers and never wait: what needs the registry, a lane or time is
 * answered later, by the registry's callbacks or by the service's own thread. */
#ifndef WEFT_STATE_SERVER_H
#define WEFT_STATE_SERVER_H

#include <stdint.h>

#include "control/server.h"
#include "registry/client.h"

struct weft_lane;
struct weft_state_server;

struct weft_state_server_desc {
    const char *host;                        /* its name in the registry */
    uint64_t incarnation;                    /* and of which start */
    const struct weft_registry_at *registry; /* read at each use; must outlive the service */
    uint32_t dead_ms;     /* after which the registry declares a silent host dead; 0: 3000 */
    uint64_t memory_max;  /* for values; 0: a quarter of this machine's memory */
    uint32_t port_offset; /* from a host's control port to its state service's sync port */
    /* The process's lane, opened at the first call, with a progress thread. NULL, or an error: no
     * rma.  Thread: any. */
    int (*lane)(void *ctx, struct weft_lane **lane_out);
    void *ctx;
};

struct weft_state_server_stats {
    uint64_t values, bytes; /* kept, and what they take */
    uint64_t copies;        /* of values that somebody was reading while they were changed */
    uint64_t bulk_pulls, bulk_pushes;
    uint64_t refused_stale, refused_lease, refused_memory;
};

int weft__state_server_open(const struct weft_state_server_desc *desc,
                            struct weft_state_server **server_out);
/* Once the control server and client are closed, which answer all calls; the lane must be open
 * still. NULL is fine. */
void weft__state_server_close(struct weft_state_server *server);
/* The table for weft__server_start; ports and workers are the caller's. */
void weft__state_server_service(struct weft_state_server *server,
                                struct weft_service_desc *service_out);
/* Under which urls others reach the service; before the first call comes. */
void weft__state_server_at(struct weft_state_server *server, const char *url,
                           const char *async_url);
/* The registry has answered a join or beat of this incarnation that was sent at sent_ns: the
 * service answers for its values until the registry may have declared it dead. Another incarnation
 * than before: all values are lost. reply: its epoch, and its dead_ms where
 * it has one. Another epoch than before: values answer again once it has confirmed their claims.
 * Thread: any. */
void weft__state_server_alive(struct weft_state_server *server, uint64_t incarnation,
                              uint64_t sent_ns, const struct weft_registry_reply *reply);
/* This host leaves the registry: it keeps no value any more.  Thread: any. */
void weft__state_server_leave(struct weft_state_server *server);
void weft__state_server_stats(struct weft_state_server *server,
                              struct weft_state_server_stats *stats_out);

#endif
