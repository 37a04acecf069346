/* One lane behind a lock that is held while the lane opens: whoever comes meanwhile wants it too,
 * and waits. Once open the pointer never changes until close, so it is read without the lock.
 *
 * The lane carries gets only. Messages are refused one and all: what peers have to say they say
 * over the control channel. */
#include "link/data.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/client.h"
#include "control/server.h"
#include "link/address.h"
#include "weft/error.h"
#include "wire/data.pb-c.h"
#include "wire/message.h"

/* A host that is asked opens its lane first, and may try several transports. */
enum { MESSAGE_MAX = 64, ASK_MS = 30000, URL_MAX = 256, SCHEME_MAX = 128 };

struct weft_data {
    struct weft_data_desc desc;
    char bind[WEFT_DATA_BIND_MAX]; /* empty: not known yet */
    char url[URL_MAX];
    char scheme[SCHEME_MAX]; /* of the host that was asked */
    pthread_mutex_t lock;    /* while opening */
    _Atomic(struct weft_lane *) lane;
    uint64_t token;
    bool stopped;
};

static int check_desc(const struct weft_data_desc *desc)
{
    if (desc->bind != NULL && strlen(desc->bind) >= WEFT_DATA_BIND_MAX)
        return weft_fail(WEFT_EINVAL, "%s is no address", desc->bind);
    if (desc->client != NULL && (desc->url == NULL || strlen(desc->url) >= URL_MAX))
        return weft_fail(WEFT_EINVAL, "\"%s\" is no url of a host",
                         desc->url == NULL ? "" : desc->url);
    return WEFT_OK;
}

int weft__data_open(const struct weft_data_desc *desc, struct weft_data **data_out)
{
    int err = check_desc(desc);
    if (err != WEFT_OK)
        return err;
    struct weft_data *data = calloc(1, sizeof(*data));
    if (data == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a data lane");
    data->desc = *desc;
    if (desc->bind != NULL)
        memcpy(data->bind, desc->bind, strlen(desc->bind) + 1);
    if (desc->client != NULL)
        memcpy(data->url, desc->url, strlen(desc->url) + 1);
    pthread_mutex_init(&data->lock, NULL);
    *data_out = data;
    return WEFT_OK;
}

void weft__data_stop(struct weft_data *data)
{
    if (data == NULL)
        return;
    pthread_mutex_lock(&data->lock);
    data->stopped = true;
    pthread_mutex_unlock(&data->lock);
}

void weft__data_close(struct weft_data *data)
{
    if (data == NULL)
        return;
    if (atomic_load(&data->lane) != NULL)
        weft__lane_close(atomic_load(&data->lane));
    pthread_mutex_destroy(&data->lock);
    free(data);
}

static void ignore(void *ctx, const void *bytes, size_t len_bytes)
{
    (void)ctx;
    (void)bytes;
    (void)len_bytes;
}

/* The transports of the host's paths, as they are asked for. */
static int take_scheme(struct weft_data *data, const char *lane)
{
    struct weft__address address;
    size_t at = 0;
    int err = weft__address_parse(lane, &address);
    for (unsigned i = 0; err == WEFT_OK && i < address.n; i++) {
        const char *name = address.paths[i].name;
        at += (size_t)snprintf(data->scheme + at, sizeof(data->scheme) - at, "%s%s",
                               i > 0 ? "," : "", name);
    }
    if (err == WEFT_OK)
        data->desc.scheme = data->scheme;
    return err;
}

/* What a client has to know of its host. */
static int ask_host(struct weft_data *data)
{
    struct weft_data_host host;
    int err = weft__data_ask(data->desc.client, data->url, ASK_MS, &host);
    if (err == WEFT_OK && data->bind[0] == '\0')
        err = weft__data_bind_to(data->url, data->bind);
    if (err != WEFT_OK)
        return err;
    data->token = host.token;
    if (data->desc.scheme == NULL)
        err = take_scheme(data, host.address);
    return err;
}

/* The caller holds the lock. */
static int open_lane(struct weft_data *data)
{
    struct weft_lane *lane;
    if (data->stopped)
        return weft_fail(WEFT_ESHUTDOWN, "no data lane: shutting down");
    if (atomic_load(&data->lane) != NULL)
        return WEFT_OK; /* another thread was faster */
    int err =
        data->desc.client != NULL ? ask_host(data) : data->desc.token(data->desc.ctx, &data->token);
    if (err == WEFT_OK)
        err = weft__lane_open(&(struct weft_lane_desc){.transports = data->desc.transports,
                                                       .transports_n = data->desc.transports_n,
                                                       .scheme = data->desc.scheme,
                                                       .progress = "thread",
                                                       .bind = data->bind,
                                                       .port_first = data->desc.port_first,
                                                       .port_last = data->desc.port_last,
                                                       .token = data->token,
                                                       .msg_max_bytes = MESSAGE_MAX,
                                                       .message = ignore},
                              &lane);
    if (err == WEFT_OK)
        atomic_store(&data->lane, lane);
    return err;
}

int weft__data_lane(void *ctx, struct weft_lane **lane_out)
{
    struct weft_data *data = ctx;
    int err = WEFT_OK;
    if (atomic_load(&data->lane) == NULL) {
        pthread_mutex_lock(&data->lock);
        err = open_lane(data);
        pthread_mutex_unlock(&data->lock);
    }
    if (err == WEFT_OK)
        *lane_out = atomic_load(&data->lane);
    return err;
}

struct weft_lane *weft__data_peek(const struct weft_data *data)
{
    return atomic_load(&data->lane);
}

void weft__data_on_lane(struct weft_data *data, struct weft_call *call)
{
    Weft__Data__LaneReply reply = WEFT__DATA__LANE_REPLY__INIT;
    struct weft_lane_stats stats;
    struct weft_lane *lane;
    int err = weft__data_lane(data, &lane);
    if (err != WEFT_OK) {
        weft__call_fail(call, err, weft_fail_text(err));
        return;
    }
    weft__lane_stats(lane, &stats);
    reply.address = weft__message_text(weft__lane_address(lane));
    reply.token = data->token;
    reply.transport = stats.transport;
    weft__call_reply(call, &reply.base);
}

int weft__data_ask(struct weft_client *client, const char *url, uint32_t timeout_ms,
                   struct weft_data_host *host_out)
{
    ProtobufCMessage *message;
    int err = weft__client_wait(
        client,
        &(struct weft_client_call){.url = url,
                                   .code = WEFT_CALL_LANE,
                                   .reply_type = &weft__data__lane_reply__descriptor,
                                   .timeout_ms = timeout_ms,
                                   .flags = WEFT_CLIENT_IDEMPOTENT},
        &message);
    if (err != WEFT_OK)
        return err;
    const Weft__Data__LaneReply *reply = (const Weft__Data__LaneReply *)message;
    if (strlen(reply->address) < sizeof(host_out->address)) {
        memcpy(host_out->address, reply->address, strlen(reply->address) + 1);
        host_out->token = reply->token;
    } else {
        err = weft_fail(WEFT_EPROTO, "the lane address of %s has %zu characters", url,
                        strlen(reply->address));
    }
    weft__message_free(message);
    return err;
}

static int parse_host(const char *url, struct sockaddr_in *to)
{
    char text[INET_ADDRSTRLEN];
    const char *at = strstr(url, "://");
    at = at != NULL ? at + 3 : url;
    size_t len = strcspn(at, ":");
    *to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(9)};
    if (len < sizeof(text)) {
        memcpy(text, at, len);
        text[len] = '\0';
        if (inet_pton(AF_INET, text, &to->sin_addr) == 1)
            return WEFT_OK;
    }
    return weft_fail(WEFT_EINVAL, "%s is no url with an IPv4 address", url);
}

/* Connecting a datagram socket sends nothing: the kernel only chooses a route. */
int weft__data_bind_to(const char *url, char bind_out[WEFT_DATA_BIND_MAX])
{
    struct sockaddr_in at;
    socklen_t len = sizeof(at);
    int err = parse_host(url, &at);
    if (err != WEFT_OK)
        return err;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return weft_fail(-errno, "cannot make a socket: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&at, len) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        err = weft_fail(WEFT_EHOSTUNREACH, "no way to %s: %s", url, strerror(errno));
    else
        (void)inet_ntop(AF_INET, &at.sin_addr, bind_out, WEFT_DATA_BIND_MAX);
    close(fd);
    return err;
}
