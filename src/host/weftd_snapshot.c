/* The settings and ports of the snapshot service; all the rest is its own (snapshot/service.c). It
 * is stopped before the control server, whose calls it answers from pulls under way, and closed
 * before the lane, over which it shares memory. Which of the ways to find written pages and to
 * write files work here is tried when the host starts, so that weft info can tell at once. */
#include "host/weftd_snapshot.h"

#include <stdio.h>
#include <string.h>

#include "base/config.h"
#include "control/server.h"
#include "host/calls.h"
#include "host/weftd.h"
#include "snapshot/files.h"
#include "snapshot/service.h"
#include "snapshot/track.h"
#include "weft/error.h"
#include "wire/message.h"

int weft__weftd_snapshot_init(struct weft_host *host)
{
    int err = weft__track_probe(NULL);
    if (err != WEFT_OK) {
        char why[300];
        snprintf(why, sizeof(why), "%s", weft_fail_text(err));
        return weft_fail(err, "WEFT_SNAPSHOT_TRACKER is %s, which does not work here: %s",
                         weft__config_text("WEFT_SNAPSHOT_TRACKER"), why);
    }
    weft__track_report(host->snapshot_how.trackers, sizeof(host->snapshot_how.trackers));
    const char *io = weft__config_text("WEFT_SNAPSHOT_IO");
    weft__files_io_report(strcmp(io, "auto") != 0 ? io : NULL, host->snapshot_how.stores,
                          sizeof(host->snapshot_how.stores));
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

static size_t cut(char *text, char **lines)
{
    size_t n = 0;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL && n < WEFT_SNAPSHOT_HOW_LINES;
         line = strtok_r(NULL, "\n", &rest))
        lines[n++] = line;
    return n;
}

void weft__weftd_snapshot_tell(const struct weft_host *host, struct weft_snapshot_told *told,
                               Weft__Host__InfoReply *reply)
{
    told->how = host->snapshot_how;
    reply->trackers = told->trackers;
    reply->n_trackers = cut(told->how.trackers, told->trackers);
    reply->stores = told->stores;
    reply->n_stores = cut(told->how.stores, told->stores);
    reply->store = weft__message_text(weft__config_text("WEFT_SNAPSHOT_DIR"));
}
