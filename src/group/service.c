/* The machine of coord.h behind a lock, with a clock, a client for frames and calls for tokens.
 *
 * A token is the call's address: the machine holds it until it answers, which ends the call, so
 * both have one owner. Answers and frames leave under the lock, in the order in which the machine
 * made them; neither blocks. One thread keeps time. A handler is never the one to wait: the lock is
 * held for work in memory only.
 */
#include "group/service.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "base/parse.h"
#include "control/client.h"
#include "group/coord_wire.h"
#include "group/group.h"
#include "weft/error.h"
#include "weft/group.h"
#include "wire/message.h"

enum { CALLS_MAX = 65536, BODY_MAX = 4 << 20, RESEND_MS = 1000, IDLE_MS = 10000 };

struct weft_group_service {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    struct weft_client *client;
    struct weft_coord *coord; /* NULL: stopped */
    uint64_t sleeps_until_ns; /* the thread */
    uint32_t dead_ms;
    bool stop;
};

/* ---- what goes out ---- */

static void send_frame(void *ctx, const struct weft_coord_peer *to,
                       const struct weft_coord_frame *frame)
{
    const struct weft_group_service *service = ctx;
    struct weft_coord_wire wire;
    weft__coord_wire_frame(&wire, frame);
    /* One that cannot be sent now is sent again later, like one that is lost. */
    int err = weft__client_push(service->client, to->url, WEFT_GROUP_FRAME, &wire.frame.base);
    if (err != WEFT_OK)
        weft__debug("a frame to host %s at %s: %s", to->name, to->url, weft_fail_text(err));
    weft__coord_wire_fini(&wire);
}

static void reply_roster(struct weft_call *call, const struct weft_coord_roster *roster)
{
    Weft__Group__Known known = WEFT__GROUP__KNOWN__INIT;
    known.roster = weft__coord_wire_roster(roster);
    weft__call_reply(call, &known.base);
    free(known.roster);
}

static void reply_messages(struct weft_call *call, const struct weft_coord_answer *answer)
{
    Weft__Group__Messages messages = WEFT__GROUP__MESSAGES__INIT;
    ProtobufCBinaryData *data = weft__must_alloc(answer->messages_n, sizeof(*data));
    for (size_t i = 0; i < answer->messages_n; i++)
        data[i] = (ProtobufCBinaryData){.len = answer->messages[i].len_bytes,
                                        .data = (uint8_t *)(uintptr_t)answer->messages[i].bytes};
    messages.n_messages = answer->messages_n;
    messages.messages = data;
    weft__call_reply(call, &messages.base);
    free(data);
}

static void answer_call(void *ctx, uint64_t token, const struct weft_coord_answer *answer)
{
    struct weft_call *call = (void *)(uintptr_t)token;
    (void)ctx;
    if (answer->err == WEFT_EAGAIN)
        weft__call_fail_again(call, answer->retry_ms, answer->text);
    else if (answer->err != WEFT_OK)
        weft__call_fail(call, answer->err, answer->text);
    else if (answer->roster != NULL)
        reply_roster(call, answer->roster);
    else if (answer->messages_n > 0)
        reply_messages(call, answer);
    else
        weft__call_reply(call, NULL);
}

/* ---- what comes in ---- */

/* Takes the lock; false: the service has stopped, and the call is answered. */
static bool enter(struct weft_group_service *service, struct weft_call *call)
{
    pthread_mutex_lock(&service->lock);
    if (service->coord != NULL)
        return true;
    pthread_mutex_unlock(&service->lock);
    weft__call_fail(call, WEFT_ESHUTDOWN, "this host is shutting down");
    return false;
}

static void leave(struct weft_group_service *service)
{
    if (service->coord != NULL && weft__coord_deadline(service->coord) < service->sleeps_until_ns)
        pthread_cond_signal(&service->wake);
    pthread_mutex_unlock(&service->lock);
}

static void on_beat(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    struct weft_group_service *service = ctx;
    const Weft__Group__Beat *beat = (const void *)request;
    Weft__Group__BeatReply reply = WEFT__GROUP__BEAT_REPLY__INIT;
    if (!enter(service, call))
        return;
    if (beat->ends)
        weft__coord_bye(service->coord, beat->session, weft__now_ns());
    else
        weft__coord_beat(service->coord, beat->session, weft__now_ns());
    leave(service);
    reply.beat_ms = service->dead_ms / 6;
    weft__call_reply(call, &reply.base);
}

static void on_create(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    struct weft_group_service *service = ctx;
    const Weft__Group__Create *create = (const void *)request;
    uint64_t now_ns = weft__now_ns();
    if (create->n_host_of != 0 && create->n_host_of != create->members) {
        weft__call_fail(call, WEFT_EINVAL, "not every member has a host");
        return;
    }
    struct weft_coord_call asked = {.op = WEFT_COORD_CREATE,
                                    .token = (uint64_t)(uintptr_t)call,
                                    .session = create->session,
                                    .group = create->group,
                                    .deadline_ns = now_ns + create->wait_ms * WEFT_NS_PER_MS,
                                    .hosts = (const char *const *)create->hosts,
                                    .hosts_n = create->n_hosts,
                                    .host_of = create->n_host_of > 0 ? create->host_of : NULL,
                                    .members = create->members};
    if (!enter(service, call))
        return;
    weft__coord_call(service->coord, &asked, now_ns);
    leave(service);
}

static enum weft_coord_op op_of(uint16_t code)
{
    static const uint8_t ops[] = {
        [WEFT_GROUP_OPEN - WEFT_GROUP_BEAT] = WEFT_COORD_OPEN,
        [WEFT_GROUP_LEAVE - WEFT_GROUP_BEAT] = WEFT_COORD_LEAVE,
        [WEFT_GROUP_CANCEL - WEFT_GROUP_BEAT] = WEFT_COORD_CANCEL,
        [WEFT_GROUP_LOCK - WEFT_GROUP_BEAT] = WEFT_COORD_LOCK,
        [WEFT_GROUP_UNLOCK - WEFT_GROUP_BEAT] = WEFT_COORD_UNLOCK,
        [WEFT_GROUP_BARRIER - WEFT_GROUP_BEAT] = WEFT_COORD_BARRIER,
        [WEFT_GROUP_NOTIFY - WEFT_GROUP_BEAT] = WEFT_COORD_NOTIFY,
        [WEFT_GROUP_SEND - WEFT_GROUP_BEAT] = WEFT_COORD_SEND,
        [WEFT_GROUP_RECV - WEFT_GROUP_BEAT] = WEFT_COORD_RECV,
        [WEFT_GROUP_DELETE - WEFT_GROUP_BEAT] = WEFT_COORD_DELETE,
    };
    return ops[code - WEFT_GROUP_BEAT];
}

static void on_call(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    struct weft_group_service *service = ctx;
    const Weft__Group__Call *in = (const void *)request;
    uint64_t now_ns = weft__now_ns();
    struct weft_coord_call asked = {.op = op_of(weft__call_code(call)),
                                    .flags = in->flags,
                                    .token = (uint64_t)(uintptr_t)call,
                                    .session = in->session,
                                    .group = in->group,
                                    .member = in->member,
                                    .peer = in->peer,
                                    .number = in->number,
                                    .settled = in->settled,
                                    .released = in->released,
                                    .deadline_ns = now_ns + in->wait_ms * WEFT_NS_PER_MS,
                                    .bytes = in->data.data,
                                    .len_bytes = in->data.len};
    if (!enter(service, call))
        return;
    weft__coord_call(service->coord, &asked, now_ns);
    leave(service);
}

static void on_known(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    struct weft_group_service *service = ctx;
    const Weft__Group__Call *in = (const void *)request;
    if (!enter(service, call))
        return;
    const struct weft_coord_roster *roster = weft__coord_roster_of(service->coord, in->group);
    if (roster != NULL)
        reply_roster(call, roster);
    else
        weft__call_fail(call, WEFT_ENOENT, "no such group on this host");
    leave(service);
}

static void fill_traffic(Weft__Group__Traffic *to, const struct weft_coord_traffic *from)
{
    weft__group__traffic__init(to);
    to->name = weft__message_text(from->name);
    to->frames = from->frames;
    to->resent = from->resent;
    to->acks = from->acks;
    to->items = from->items;
}

static void reply_stats(struct weft_call *call, const struct weft_coord *coord)
{
    Weft__Group__Stats stats = WEFT__GROUP__STATS__INIT;
    struct weft_coord_stats sums;
    size_t n = weft__coord_traffic(coord, NULL, 0);
    struct weft_coord_traffic *traffic = weft__must_alloc(n, sizeof(*traffic));
    Weft__Group__Traffic *hosts = weft__must_alloc(n, sizeof(*hosts));
    stats.hosts = weft__must_alloc(n, sizeof(Weft__Group__Traffic *));
    stats.n_hosts = n;
    (void)weft__coord_traffic(coord, traffic, n);
    for (size_t i = 0; i < n; i++) {
        fill_traffic(&hosts[i], &traffic[i]);
        stats.hosts[i] = &hosts[i];
    }
    weft__coord_stats(coord, &sums);
    stats.groups = sums.groups;
    stats.homes = sums.homes;
    stats.sessions = sums.sessions;
    stats.waiters = sums.waiters;
    stats.dropped = sums.dropped;
    weft__call_reply(call, &stats.base);
    free(stats.hosts);
    free(hosts);
    free(traffic);
}

static void on_stats(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    struct weft_group_service *service = ctx;
    (void)request;
    if (!enter(service, call))
        return;
    reply_stats(call, service->coord);
    leave(service);
}

void weft__group_stats(struct weft_group_service *service, struct weft_coord_stats *stats_out)
{
    *stats_out = (struct weft_coord_stats){0};
    pthread_mutex_lock(&service->lock);
    if (service->coord != NULL)
        weft__coord_stats(service->coord, stats_out);
    pthread_mutex_unlock(&service->lock);
}

static void on_frame(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    struct weft_group_service *service = ctx;
    struct weft_coord_frame frame;
    int err = weft__coord_unwire_frame((const void *)request, &frame);
    if (err != WEFT_OK) {
        weft__warn("a frame of coordination is refused: %s", weft_fail_text(err));
        weft__call_fail(call, err, NULL);
        return;
    }
    if (enter(service, call)) {
        weft__coord_take(service->coord, &frame, weft__now_ns());
        leave(service);
        weft__call_reply(call, NULL);
    }
    weft__coord_items_free(&frame);
}

/* false: the host does not live, or has no proper url. */
static bool peer_from(const struct weft_registry_host *host, struct weft_coord_peer *peer_out)
{
    const char *colon = strrchr(host->control, ':');
    uint64_t port;
    if (!host->alive || colon == NULL ||
        weft__parse_u64(colon + 1, 1, UINT16_MAX - WEFT_GROUP_ASYNC_PORT_AT, &port) != WEFT_OK)
        return false;
    *peer_out = (struct weft_coord_peer){.incarnation = host->incarnation};
    memcpy(peer_out->name, host->name, sizeof(peer_out->name));
    snprintf(peer_out->url, sizeof(peer_out->url), "%.*s:%u", (int)(colon - host->control),
             host->control, (unsigned)port + WEFT_GROUP_ASYNC_PORT_AT);
    return true;
}

void weft__group_hosts(struct weft_group_service *service, const struct weft_coord_peer *self,
                       const struct weft_registry_host *hosts, size_t n)
{
    struct weft_coord_peer *peers = weft__must_alloc(n, sizeof(*peers));
    size_t alive = 0;
    for (size_t i = 0; i < n; i++)
        alive += peer_from(&hosts[i], &peers[alive]);
    pthread_mutex_lock(&service->lock);
    if (service->coord != NULL) {
        weft__coord_self(service->coord, self, weft__now_ns());
        weft__coord_hosts(service->coord, peers, alive, weft__now_ns());
    }
    leave(service);
    free(peers);
}

/* ---- time ---- */

static void *keep_time(void *arg)
{
    struct weft_group_service *service = arg;
    pthread_mutex_lock(&service->lock);
    while (!service->stop) {
        uint64_t now_ns = weft__now_ns();
        uint64_t due_ns =
            service->coord != NULL ? weft__coord_deadline(service->coord) : WEFT_NEVER;
        if (due_ns <= now_ns) {
            weft__coord_tick(service->coord, now_ns);
            continue;
        }
        service->sleeps_until_ns = due_ns;
        if (due_ns == WEFT_NEVER) {
            pthread_cond_wait(&service->wake, &service->lock);
        } else {
            struct timespec at = {.tv_sec = (time_t)(due_ns / WEFT_NS_PER_S),
                                  .tv_nsec = (long)(due_ns % WEFT_NS_PER_S)};
            pthread_cond_timedwait(&service->wake, &service->lock, &at);
        }
        service->sleeps_until_ns = 0;
    }
    pthread_mutex_unlock(&service->lock);
    return NULL;
}

int weft__group_open(const struct weft_group_service_desc *desc,
                     struct weft_group_service **service_out)
{
    pthread_condattr_t attr;
    uint64_t resend_ns = (desc->resend_ms > 0 ? desc->resend_ms : RESEND_MS) * WEFT_NS_PER_MS;
    struct weft_group_service *service = calloc(1, sizeof(*service));
    if (service == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for the group service");
    service->client = desc->client;
    service->dead_ms = desc->dead_ms;
    service->coord =
        weft__coord_new(&(struct weft_coord_desc){.self = desc->self,
                                                  .dead_ns = desc->dead_ms * WEFT_NS_PER_MS,
                                                  .idle_ns = IDLE_MS * WEFT_NS_PER_MS,
                                                  .resend_ns = resend_ns,
                                                  .ack_ns = resend_ns * 2 / 5,
                                                  .ctx = service,
                                                  .answer = answer_call,
                                                  .send = send_frame});
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&service->lock, NULL);
    pthread_cond_init(&service->wake, &attr);
    pthread_condattr_destroy(&attr);
    int err = pthread_create(&service->thread, NULL, keep_time, service);
    if (err == 0) {
        *service_out = service;
        return WEFT_OK;
    }
    weft__coord_free(service->coord);
    pthread_cond_destroy(&service->wake);
    pthread_mutex_destroy(&service->lock);
    free(service);
    return weft_fail(-err, "cannot start the group service's thread: %s", strerror(err));
}

void weft__group_stop(struct weft_group_service *service)
{
    if (service == NULL)
        return;
    pthread_mutex_lock(&service->lock);
    weft__coord_free(service->coord);
    service->coord = NULL;
    pthread_mutex_unlock(&service->lock);
}

void weft__group_close(struct weft_group_service *service)
{
    if (service == NULL)
        return;
    weft__group_stop(service);
    pthread_mutex_lock(&service->lock);
    service->stop = true;
    pthread_cond_signal(&service->wake);
    pthread_mutex_unlock(&service->lock);
    pthread_join(service->thread, NULL);
    pthread_cond_destroy(&service->wake);
    pthread_mutex_destroy(&service->lock);
    free(service);
}

#define SYNC (WEFT_HANDLER_INLINE | WEFT_HANDLER_SYNC)
#define ASYNC (WEFT_HANDLER_INLINE | WEFT_HANDLER_ASYNC)
#define CALL &weft__group__call__descriptor

void weft__group_service(struct weft_group_service *service, struct weft_service_desc *service_out)
{
    static const struct weft_handler_desc handlers[] = {
        {WEFT_GROUP_BEAT, SYNC, "beat", &weft__group__beat__descriptor, on_beat},
        {WEFT_GROUP_CREATE, SYNC, "create", &weft__group__create__descriptor, on_create},
        {WEFT_GROUP_OPEN, SYNC, "open", CALL, on_call},
        {WEFT_GROUP_LEAVE, SYNC, "leave", CALL, on_call},
        {WEFT_GROUP_CANCEL, SYNC, "cancel", CALL, on_call},
        {WEFT_GROUP_LOCK, SYNC, "lock", CALL, on_call},
        {WEFT_GROUP_UNLOCK, SYNC | ASYNC, "unlock", CALL, on_call},
        {WEFT_GROUP_BARRIER, SYNC, "barrier", CALL, on_call},
        {WEFT_GROUP_NOTIFY, SYNC | ASYNC, "notify", CALL, on_call},
        {WEFT_GROUP_SEND, SYNC, "send", CALL, on_call},
        {WEFT_GROUP_RECV, SYNC, "recv", CALL, on_call},
        {WEFT_GROUP_DELETE, SYNC, "delete", CALL, on_call},
        {WEFT_GROUP_KNOWN, SYNC, "known", CALL, on_known},
        {WEFT_GROUP_STATS, SYNC, "stats", NULL, on_stats},
        {WEFT_GROUP_FRAME, ASYNC, "frame", &weft__group__frame__descriptor, on_frame},
    };
    *service_out = (struct weft_service_desc){.name = "group",
                                              .handlers = handlers,
                                              .handlers_n = sizeof(handlers) / sizeof(handlers[0]),
                                              .ctx = service,
                                              .body_max = BODY_MAX,
                                              .client_calls_max = CALLS_MAX};
}
