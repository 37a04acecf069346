/* Lists of hosts come from two sources and may overtake each other: what an older one lacks is not
 * dead, so the revision decides. A host that this weftd still waits for (the head has started anew)
 * is in its own list, and lives. */
#include "host/weftd_group.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/must.h"
#include "group/service.h"
#include "host/calls.h"
#include "host/weftd.h"

static struct weft_coord_peer self_of(const struct weft_host *host)
{
    struct weft_coord_peer self = {.incarnation = host->incarnation};
    memcpy(self.name, host->name, sizeof(self.name));
    snprintf(self.url, sizeof(self.url), "tcp://%s:%u", host->address,
             host->port_first + WEFT_PORT_GROUP_ASYNC);
    return self;
}

int weft__weftd_group_init(struct weft_host *host)
{
    struct weft_group_service_desc desc = {.self = self_of(host),
                                           .client = host->asker.client,
                                           .dead_ms = (uint32_t)weft__config_u64("WEFT_DEAD_MS")};
    return weft__group_open(&desc, &host->groups);
}

void weft__weftd_group_service(const struct weft_host *host, struct weft_service_desc *service_out)
{
    weft__group_service(host->groups, service_out);
    service_out->sync_port = (uint16_t)(host->port_first + WEFT_PORT_GROUP);
    service_out->async_port = (uint16_t)(host->port_first + WEFT_PORT_GROUP_ASYNC);
    service_out->workers = (unsigned)weft__config_u64("WEFT_GROUP_SERVER_THREADS");
}

void weft__weftd_group_hosts(struct weft_host *host, uint64_t revision)
{
    if (revision < host->groups_revision || host->groups == NULL)
        return;
    host->groups_revision = revision;
    struct weft_registry_host *hosts = weft__must_alloc(host->members_n, sizeof(*hosts));
    for (size_t i = 0; i < host->members_n; i++)
        hosts[i] = host->members[i].at;
    struct weft_coord_peer self = self_of(host);
    weft__group_hosts(host->groups, &self, hosts, host->members_n);
    free(hosts);
}
