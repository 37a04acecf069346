/* The snapshot service as a weftd has it. */
#ifndef WEFT_HOST_WEFTD_SNAPSHOT_H
#define WEFT_HOST_WEFTD_SNAPSHOT_H

#include "wire/host.pb-c.h"

struct weft_host;
struct weft_service_desc;

#define WEFT_SNAPSHOT_HOW_LINES 4

/* How this machine finds written pages, and reads and writes files: a line for each way that there
 * is. */
struct weft_snapshot_how {
    char trackers[1200], stores[800];
};
/* The lines of it, in a reply. */
struct weft_snapshot_told {
    struct weft_snapshot_how how;
    char *trackers[WEFT_SNAPSHOT_HOW_LINES], *stores[WEFT_SNAPSHOT_HOW_LINES];
};

/* After weft__weftd_lane_init(): large snapshots go over the host's lane. Errors: also
 * WEFT_ENOTSUP, where a setting asks for what this machine does not have. */
int weft__weftd_snapshot_init(struct weft_host *host);
void weft__weftd_snapshot_table(struct weft_host *host, struct weft_service_desc *service_out);

/* Fills in the reply, which points into told. */
void weft__weftd_snapshot_tell(const struct weft_host *host, struct weft_snapshot_told *told,
                               Weft__Host__InfoReply *reply);

#endif
