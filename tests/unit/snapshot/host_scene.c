#include "host_scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "control/client.h"
#include "control/server.h"
#include "link/data.h"
#include "transport/inproc/inproc.h"
#include "transport/ofi/ofi.h"
#include "transport/tcp/tcp.h"
#include "transport/zmq/zmq.h"
#include "weft/error.h"

#define TOKEN UINT64_C(0x0123456789abcdef)

const char *host_scheme = "inproc";
const char *host_address = "127.0.0.1";
const struct weft_transport *const host_transports[] = {&weft__tp_inproc, &weft__tp_zmq,
                                                        &weft__tp_tcp, &weft__tp_ofi};
const size_t host_transports_n = sizeof(host_transports) / sizeof(host_transports[0]);

static int token(void *ctx, uint64_t *token_out)
{
    (void)ctx;
    *token_out = TOKEN;
    return WEFT_OK;
}

static const char *bind_as(const char *name)
{
    return strcmp(host_scheme, "inproc") == 0 ? name : host_address;
}

static int data_open(const char *name, struct weft_data **data_out)
{
    return weft__data_open(&(struct weft_data_desc){.transports = host_transports,
                                                    .transports_n = host_transports_n,
                                                    .scheme = host_scheme,
                                                    .bind = bind_as(name),
                                                    .token = token},
                           data_out);
}

void lane_owner_open(const char *name, struct weft_data **data_out)
{
    assert_int_equal(data_open(name, data_out), WEFT_OK);
}

bool host_scheme_is_here(void)
{
    struct weft_data *data;
    struct weft_lane *lane;
    int err = data_open("probe", &data);
    if (err == WEFT_OK) {
        err = weft__data_lane(data, &lane);
        weft__data_close(data);
    }
    if (err != WEFT_OK)
        (void)fprintf(stderr, "skipped: no lane over %s: %s\n", host_scheme, weft_fail_text(err));
    return err == WEFT_OK;
}

void host_open(struct host *host, uint64_t memory_max, const char *folder)
{
    struct weft_service_desc table;
    lane_owner_open("host", &host->data);
    const struct weft_snapshot_service_desc service = {
        .memory_max = memory_max, .data = host->data, .folder = folder};
    assert_int_equal(weft__snapshot_service_open(&service, &host->service), WEFT_OK);
    weft__snapshot_service_table(host->service, &table);
    const struct weft_server_desc desc = {.bind = "127.0.0.1", .services = &table, .services_n = 1};
    assert_int_equal(weft__server_start(&desc, &host->server), WEFT_OK);
    (void)snprintf(host->url, sizeof(host->url), "tcp://127.0.0.1:%u",
                   weft__server_sync_port(host->server, 0));
    (void)snprintf(host->async_url, sizeof(host->async_url), "tcp://127.0.0.1:%u",
                   weft__server_async_port(host->server, 0));
}

void host_close(struct host *host)
{
    weft__data_stop(host->data);
    weft__snapshot_service_stop(host->service);
    weft__server_stop(host->server, 5000);
    weft__snapshot_service_close(host->service);
    weft__data_close(host->data);
    host->server = NULL;
}

void asker_open(struct asker *asker)
{
    assert_int_equal(weft__client_open(&(struct weft_client_desc){0}, &asker->client), WEFT_OK);
    const struct weft_snapshots_desc desc = {.client = asker->client,
                                             .transports = host_transports,
                                             .transports_n = host_transports_n,
                                             .scheme = host_scheme,
                                             .bind = bind_as("client")};
    assert_int_equal(weft__snapshots_open(&desc, &asker->snapshots), WEFT_OK);
}

void asker_close(struct asker *asker)
{
    weft__snapshots_close(asker->snapshots);
    weft__client_close(asker->client);
}
