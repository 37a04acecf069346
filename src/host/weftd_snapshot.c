/* The settings and ports of the snapshot service; all the rest is its own (snapshot/service.c). It
 * is stopped before the control server, whose calls it answers from pulls under way, and closed
 * before the lane, over which it shares memory. */
#include "host/weftd_snapshot.h"

#include "base/config.h"
#include "control/server.h"
#include "host/calls.h"
#include "host/weftd.h"
#include "snapshot/service.h"

int weft__weftd_snapshot_init(struct weft_host *host)
{
    return weft__snapshot_service_open(
        &(struct weft_snapshot_service_desc){.memory_max = weft__config_u64("WEFT_SNAPSHOT_MEMORY"),
                                             .data = host->data,
                                             .folder = weft__config_text("WEFT_SNAPSHOT_DIR"),
                                             .io = weft__config_text("WEFT_SNAPSHOT_IO")},
        &host->snapshots);
}

void weft__weftd_snapshot_table(struct weft_host *host, struct weft_service_desc *service_out)
{
    weft__snapshot_service_table(host->snapshots, service_out);
    service_out->sync_port = (uint16_t)(host->port_first + WEFT_PORT_SNAPSHOT);
    service_out->async_port = (uint16_t)(host->port_first + WEFT_PORT_SNAPSHOT_ASYNC);
    service_out->workers = (unsigned)weft__config_u64("WEFT_SNAPSHOT_SERVER_THREADS");
}
