/* Where a process finds the state service of its host: the address that it is given, or WEFT_HOST,
 * and the service's place among the host's ports. The lane for bulk bytes opens when they first
 * come, with the transport and the token that the host tells, on the interface that leads there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/parse.h"
#include "control/client.h"
#include "host/calls.h"
#include "host/state_dir.h"
#include "host/transports.h"
#include "link/data.h"
#include "registry/registry.h"
#include "state/client.h"
#include "weft/error.h"

struct process {
    struct weft_client *client;
    struct weft_data *data;
    char url[WEFT_REGISTRY_URL_MAX]; /* of the host's own service */
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

/* What was given, set in the environment of a program that has not read the settings, or set. */
static const char *setting(const char *name)
{
    const char *environment = getenv(name);
    bool unread = strcmp(weft__config_source(name), "default") == 0;
    return unread && environment != NULL && environment[0] != '\0' ? environment
                                                                   : weft__config_text(name);
}

static int find(struct process *process, const char *host, char *state_url, size_t room)
{
    uint16_t first, last;
    uint64_t port = 0;
    char *url = process->url;
    int err = weft__parse_ports(setting("WEFT_PORTS"), &first, &last);
    if (err == WEFT_OK)
        err = weft__host_url(host != NULL ? host : setting("WEFT_HOST"), first, url,
                             sizeof(process->url));
    if (err == WEFT_OK)
        err = weft__parse_u64(strrchr(url, ':') + 1, 1, UINT16_MAX - WEFT_PORT_APPS, &port);
    if (err == WEFT_OK)
        snprintf(state_url, room, "%.*s:%u", (int)(strrchr(url, ':') - url), url,
                 (unsigned)port + WEFT_PORT_STATE);
    return err;
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
    char url[WEFT_REGISTRY_URL_MAX + 8];
    struct process *process = calloc(1, sizeof(*process));
    if (options == NULL)
        options = &defaults;
    int err = process == NULL ? weft_fail(WEFT_ENOMEM, "no memory for an access to state")
                              : find(process, options->host, url, sizeof(url));
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
