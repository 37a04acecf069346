/* The registry as a service of a control server: one per cluster, in the head's weftd.
 *
 * Joins, beats, lists and gets are answered from memory on the fan-in thread. Changes of keys,
 * watches that have become due and deaths belong to the registry's own thread: it writes all
 * changes that wait in one piece, syncs once, and answers.
 */
#ifndef WEFT_REGISTRY_SERVICE_H
#define WEFT_REGISTRY_SERVICE_H

#include <stddef.h>
#include <stdint.h>

#include "control/server.h"

struct weft_registry;

struct weft_registry_desc {
    const char
        *log_path;    /* file of the append log; created where it is missing, locked while open */
    const char *self; /* name of the host in this process; NULL: none */
    uint32_t beat_ms; /* 0: 500 */
    uint32_t dead_ms; /* 0: 3000 */
};

/* Reads the log, starts the next epoch, starts the thread.
 * Errors: WEFT_EBUSY another process has the log open; WEFT_ECHECKSUM the log is damaged, with the
 * offset (a torn tail is no damage: it is cut off and logged); WEFT_EINVAL; what open(2) and
 * write(2) say. */
int weft__registry_open(const struct weft_registry_desc *desc, struct weft_registry **registry_out);
/* After the server that serves it has stopped. Joins the thread.  NULL is fine. */
void weft__registry_close(struct weft_registry *registry);
/* Fills the description to start a control server with; ports are 0, the caller sets them. */
void weft__registry_service(struct weft_registry *registry, struct weft_service_desc *service_out);
/* Hosts that are in its list and live, but for the one in this process. */
size_t weft__registry_others(struct weft_registry *registry);
uint64_t weft__registry_epoch(const struct weft_registry *registry);

#endif
