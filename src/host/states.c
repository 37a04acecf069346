/* A process's way to the state service of its host. The lane for bulk bytes opens when they first
 * come, with the transport and the token that the host tells, on the interface that leads there. */
#include <stdlib.h>

#include "control/client.h"
#include "host/service_url.h"
#include "host/transports.h"
#include "link/data.h"
#include "state/client.h"
#include "weft/error.h"

struct process {
    struct weft_client *client;
    struct weft_data *data;
    char url[WEFT_REGISTRY_URL_MAX]; /* where the host tells of its lane */
};

static int lane(void *ctx, struct weft_lane **lane_out)
{
    struct process *process = ctx;
    return weft__data_lane(process->data, lane_out);
}

static void closed(void *ctx)
{
    struct process *process = ctx;
    weft__data_stop(process->data);
    weft__client_close(process->client);
    weft__data_close(process->data);
    free(process);
}

static int open_data(struct process *process)
{
    return weft__data_open(&(struct weft_data_desc){.transports = weft__transports,
                                                    .transports_n = weft__transports_n,
                                                    .client = process->client,
                                                    .url = process->url},
                           &process->data);
}

int weft_state_open(const struct weft_state_options *options, struct weft_state **state_out)
{
    static const struct weft_state_options defaults;
    char url[WEFT_REGISTRY_URL_MAX];
    struct process *process = calloc(1, sizeof(*process));
    if (options == NULL)
        options = &defaults;
    int err = process == NULL ? weft_fail(WEFT_ENOMEM, "no memory for an access to state")
                              : weft__service_url(options->host, WEFT_PORT_STATE, url);
    if (err == WEFT_OK)
        err = weft__service_url(options->host, WEFT_PORT_SYNC, process->url);
    if (err == WEFT_OK)
        err = weft__client_open(&(struct weft_client_desc){.pending_max = 0}, &process->client);
    if (err == WEFT_OK)
        err = open_data(process);
    if (err == WEFT_OK)
        err = weft__state_open(&(struct weft_state_desc){.client = process->client,
                                                         .url = url,
                                                         .timeout_ms = options->timeout_ms,
                                                         .bulk_bytes = options->bulk_bytes,
                                                         .lane = lane,
                                                         .ctx = process,
                                                         .closed = closed},
                               state_out);
    if (err != WEFT_OK && process != NULL)
        closed(process);
    return err;
}
