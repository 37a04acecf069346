/* The lane of a weftd: for the bulk data of its services (state, snapshots), not of apps, whose
 * processes have their own. Opened on first use. */
#ifndef WEFT_HOST_WEFTD_LANE_H
#define WEFT_HOST_WEFTD_LANE_H

#include <protobuf-c/protobuf-c.h>

struct weft_host;
struct weft_call;

/* Opens no lane yet: host->data is there afterwards. */
int weft__weftd_lane_init(struct weft_host *host);
/* WEFT_CALL_LANE.  Thread: a worker of a service whose ctx is the host. */
void weft__weftd_on_lane(void *host, struct weft_call *call, const ProtobufCMessage *request);

#endif
