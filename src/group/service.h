/* Groups as a service of a control server: one per weftd.
 *
 * Every handler runs on the fan-in thread, does its part in memory and returns; a call that has to
 * wait is kept and answered when what it waits for has happened. So the number of workers of the
 * service says nothing about how many callers may wait for each other: none of them holds one.
 */
#ifndef WEFT_GROUP_SERVICE_H
#define WEFT_GROUP_SERVICE_H

#include <stddef.h>
#include <stdint.h>

#include "control/server.h"
#include "group/coord.h"

struct weft_client;
struct weft_group_service;

struct weft_group_service_desc {
    struct weft_coord_peer self; /* url: of the async port that the service will have */
    struct weft_client *client;  /* must outlive the service; frames to other hosts */
    uint32_t dead_ms;            /* silence after which a member is dead */
    uint32_t resend_ms;          /* 0: 1000; of frames that are not acknowledged */
};

/* Starts the thread that keeps time. */
int weft__group_open(const struct weft_group_service_desc *desc,
                     struct weft_group_service **service_out);
/* Answers every call that waits with WEFT_ESHUTDOWN; before the server stops. New ones are refused
 * from then on.  NULL is fine. */
void weft__group_stop(struct weft_group_service *service);
/* After the server that serves it has stopped. Joins the thread.  NULL is fine. */
void weft__group_close(struct weft_group_service *service);
/* Fills the description to start a control server with; ports are 0, the caller sets them. */
void weft__group_service(struct weft_group_service *service, struct weft_service_desc *service_out);
/* All zero once it has stopped.  Thread: any.  Blocks: no. */
void weft__group_stats(struct weft_group_service *service, struct weft_coord_stats *stats_out);
/* The hosts of the registry's list now, dead ones too; and what this host is now: after it was
 * declared dead, another life.  Thread: any.  Blocks: no. */
void weft__group_hosts(struct weft_group_service *service, const struct weft_coord_peer *self,
                       const struct weft_registry_host *hosts, size_t n);

#endif
