/* Makes the state service with what it needs of its host. It learns of the host's standing with the
 * registry from weftd_member.c: each beat that was answered renews its lease. */
#include "host/weftd_state.h"

#include <stdio.h>

#include "base/config.h"
#include "host/calls.h"
#include "host/weftd.h"
#include "link/data.h"
#include "state/server.h"

int weft__weftd_state_init(struct weft_host *host)
{
    char url[WEFT_URL_MAX], async_url[WEFT_URL_MAX];
    struct weft_state_server_desc desc = {.host = host->name,
                                          .incarnation = host->incarnation,
                                          .registry = &host->registry_at,
                                          .dead_ms = (uint32_t)weft__config_u64("WEFT_DEAD_MS"),
                                          .memory_max = weft__config_u64("WEFT_STATE_MEMORY"),
                                          .port_offset = WEFT_PORT_STATE - WEFT_PORT_SYNC,
                                          .lane = weft__data_lane,
                                          .ctx = host->data};
    int err = weft__state_server_open(&desc, &host->state);
    if (err != 0)
        return err;
    snprintf(url, sizeof(url), "tcp://%s:%u", host->address, host->port_first + WEFT_PORT_STATE);
    snprintf(async_url, sizeof(async_url), "tcp://%s:%u", host->address,
             host->port_first + WEFT_PORT_STATE_ASYNC);
    weft__state_server_at(host->state, url, async_url);
    return err;
}

void weft__weftd_state_service(const struct weft_host *host, struct weft_service_desc *service_out)
{
    weft__state_server_service(host->state, service_out);
    service_out->sync_port = (uint16_t)(host->port_first + WEFT_PORT_STATE);
    service_out->async_port = (uint16_t)(host->port_first + WEFT_PORT_STATE_ASYNC);
    service_out->workers = (unsigned)weft__config_u64("WEFT_STATE_SERVER_THREADS");
}
