/* The snapshot service as a weftd has it. */
#ifndef WEFT_HOST_WEFTD_SNAPSHOT_H
#define WEFT_HOST_WEFTD_SNAPSHOT_H

struct weft_host;
struct weft_service_desc;

/* After weft__weftd_lane_init(): large snapshots go over the host's lane. */
int weft__weftd_snapshot_init(struct weft_host *host);
void weft__weftd_snapshot_table(struct weft_host *host, struct weft_service_desc *service_out);

#endif
