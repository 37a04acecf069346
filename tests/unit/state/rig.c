#include "rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/loopback.h"
#include "transport/inproc/inproc.h"
#include "transport/ofi/ofi.h"
#include "transport/zmq/zmq.h"

#define STOP_MS 10000
#define TOKEN 0x57a7eu

const char *rig_scheme = NULL;
uint64_t rig_memory = 0;
uint32_t rig_timeout_ms = 60000;
struct rig_control rig_control = {NULL, NULL, NULL};

static bool is_inproc(void)
{
    return rig_control.plain != NULL && strcmp(rig_control.plain, "inproc") == 0;
}

static const char *bind_of(const char *name)
{
    static char own[OWN_LOOPBACK_MAX];
    own_loopback(own);
    return is_inproc() ? name : own;
}

static void url_of(const char *name, unsigned port, char url_out[64])
{
    snprintf(url_out, 64, "%s%s:%u", is_inproc() ? "" : "tcp://", bind_of(name), port);
}

static void no_message(void *ctx, const void *data, size_t len_bytes)
{
    (void)ctx;
    (void)data;
    (void)len_bytes;
}

static void lane_open(const char *name, struct weft_lane **lane_out)
{
    static const struct weft_transport *const all[] = {&weft__tp_inproc, &weft__tp_zmq,
                                                       &weft__tp_ofi};
    if (rig_scheme == NULL)
        return;
    const struct weft_lane_desc desc = {.transports = all,
                                        .transports_n = 3,
                                        .scheme = rig_scheme,
                                        .progress = "thread",
                                        .bind = strcmp(rig_scheme, "inproc") ? "127.0.0.1" : name,
                                        .token = TOKEN,
                                        .msg_max_bytes = 65536,
                                        .message = no_message};
    assert_int_equal(weft__lane_open(&desc, lane_out), WEFT_OK);
}

static int lane_of_host(void *ctx, struct weft_lane **lane_out)
{
    struct rig_host *host = ctx;
    *lane_out = host->lane;
    return host->lane != NULL ? WEFT_OK : WEFT_ENOTSUP;
}

static int lane_of_rig(void *ctx, struct weft_lane **lane_out)
{
    struct rig *rig = ctx;
    *lane_out = rig->lane;
    return rig->lane != NULL ? WEFT_OK : WEFT_ENOTSUP;
}

static void serve(struct rig_host *host)
{
    struct weft_service_desc service;
    weft__state_server_service(host->state, &service);
    service.sync_port = host->port;
    service.async_port = host->async_port;
    const struct weft_server_desc desc = {.scheme = rig_control.servers,
                                          .bind = bind_of(host->name),
                                          .services = &service,
                                          .services_n = 1};
    assert_int_equal(weft__server_start(&desc, &host->server), WEFT_OK);
    host->port = weft__server_sync_port(host->server, 0);
    host->async_port = weft__server_async_port(host->server, 0);
    url_of(host->name, host->port, host->url);
    url_of(host->name, host->async_port, host->async_url);
    weft__state_server_at(host->state, host->url, host->async_url);
}

/* As a host does: until an answer comes. */
static void join(struct rig_host *host, const struct weft_registry_host *self)
{
    struct weft_registry_reply reply;
    uint64_t until_ns = weft__now_ns() + 60 * WEFT_NS_PER_S, sent_ns;
    int err;
    do {
        sent_ns = weft__now_ns();
        err = weft__registry_join_wait(&host->registry_at, self, &reply);
    } while (err == WEFT_EREGISTRY && sent_ns < until_ns);
    assert_int_equal(err, WEFT_OK);
    weft__state_server_alive(host->state, host->incarnation, sent_ns, &reply);
}

void rig_host_start(struct rig *rig, struct rig_host *host)
{
    struct weft_registry_host self = {.slots = 1, .incarnation = ++host->incarnation, .pid = 1};
    const struct weft_client_desc client = {.scheme = rig_control.hosts};
    assert_int_equal(weft__client_open(&client, &host->client), WEFT_OK);
    host->registry_at =
        (struct weft_registry_at){.client = host->client,
                                  .url = rig->registry_url,
                                  .timeout_ms = rig_control.hosts != NULL ? 500 : 20000};
    lane_open(host->name, &host->lane);
    const struct weft_state_server_desc desc = {.host = host->name,
                                                .incarnation = host->incarnation,
                                                .registry = &host->registry_at,
                                                .dead_ms = RIG_DEAD_MS,
                                                .memory_max = rig_memory,
                                                .lane = lane_of_host,
                                                .ctx = host};
    assert_int_equal(weft__state_server_open(&desc, &host->state), WEFT_OK);
    serve(host);
    snprintf(self.name, sizeof(self.name), "%s", host->name);
    snprintf(self.address, sizeof(self.address), "127.0.0.1");
    snprintf(self.control, sizeof(self.control), "%s", host->url);
    join(host, &self);
}

void rig_host_kill(struct rig_host *host)
{
    if (host->server == NULL)
        return;
    weft__state_server_leave(host->state);
    weft__server_stop(host->server, STOP_MS);
    weft__client_close(host->client);
    weft__state_server_close(host->state);
    if (host->lane != NULL)
        weft__lane_close(host->lane);
    host->server = NULL;
    host->client = NULL;
    host->state = NULL;
    host->lane = NULL;
}

void rig_host_forget(struct rig *rig, struct rig_host *host)
{
    struct weft_registry_at at = {
        .client = rig->client, .url = rig->registry_url, .timeout_ms = 20000};
    assert_int_equal(weft__registry_leave_wait(&at, host->name, host->incarnation), WEFT_OK);
}

struct weft_state *rig_process(struct rig *rig, struct rig_host *host)
{
    return rig_process_over(rig, host, rig->client);
}

struct weft_state *rig_process_over(struct rig *rig, struct rig_host *host,
                                    struct weft_client *client)
{
    struct weft_state *state;
    const struct weft_state_desc desc = {.client = client,
                                         .url = host->url,
                                         .timeout_ms = rig_timeout_ms,
                                         .lane = lane_of_rig,
                                         .ctx = rig};
    assert_int_equal(weft__state_open(&desc, &state), WEFT_OK);
    return state;
}

static void registry_start(struct rig *rig)
{
    struct weft_service_desc service;
    snprintf(rig->folder, sizeof(rig->folder), "/tmp/weft-state-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    snprintf(rig->log, sizeof(rig->log), "%s/log", rig->folder);
    const struct weft_registry_desc desc = {
        .log_path = rig->log, .beat_ms = 1000, .dead_ms = RIG_DEAD_MS};
    assert_int_equal(weft__registry_open(&desc, &rig->registry), WEFT_OK);
    weft__registry_service(rig->registry, &service);
    const struct weft_server_desc server = {.scheme = rig_control.plain,
                                            .bind = bind_of("registry"),
                                            .services = &service,
                                            .services_n = 1};
    assert_int_equal(weft__server_start(&server, &rig->registry_server), WEFT_OK);
    url_of("registry", weft__server_sync_port(rig->registry_server, 0), rig->registry_url);
}

int rig_open(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    if (rig == NULL)
        return -1;
    registry_start(rig);
    const struct weft_client_desc client = {.scheme = rig_control.plain};
    assert_int_equal(weft__client_open(&client, &rig->client), WEFT_OK);
    lane_open("clients", &rig->lane);
    rig->hosts[0].name = "a";
    rig->hosts[1].name = "b";
    for (int i = 0; i < RIG_HOSTS; i++)
        rig_host_start(rig, &rig->hosts[i]);
    rig->a = rig_process(rig, &rig->hosts[0]);
    rig->b = rig_process(rig, &rig->hosts[1]);
    *state = rig;
    return 0;
}

int rig_close(void **state)
{
    struct rig *rig = *state;
    weft_state_close(rig->a);
    weft_state_close(rig->b);
    weft__client_close(rig->client);
    if (rig->lane != NULL)
        weft__lane_close(rig->lane);
    for (int i = 0; i < RIG_HOSTS; i++)
        rig_host_kill(&rig->hosts[i]);
    weft__server_stop(rig->registry_server, STOP_MS);
    weft__registry_close(rig->registry);
    unlink(rig->log);
    int err = rmdir(rig->folder);
    free(rig);
    return err;
}

struct weft_state_stats rig_stats(struct weft_state *state)
{
    struct weft_state_stats stats;
    weft_state_stats(state, &stats);
    return stats;
}
