/* The registry's calls.
 *
 * Each asynchronous call carries a small block from its start to its one answer. Every error that
 * does not say for certain that the registry refused becomes WEFT_EREGISTRY: a list of the certain
 * ones, not of the others, so that an error that nobody thought of counts as unknown. A call that
 * could not be started at all returns its error at once and unchanged.
 */
#include "registry/client.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/wake.h"
#include "control/client.h"
#include "weft/error.h"
#include "wire/message.h"
#include "wire/registry.pb-c.h"

#define TIMEOUT_MS 2000
#define RETRY_NS (20 * WEFT_NS_PER_MS)

struct call {
    weft_registry_done *done;
    void *ctx;
    uint16_t code;
};

/* What the registry said is certain; anything else may have happened or not. */
static int outcome(int err)
{
    switch (err) {
    case WEFT_OK:
    case WEFT_EEXIST:
    case WEFT_ESTALE:
    case WEFT_EINVAL:
    case WEFT_ENOSPC:
    case WEFT_EAGAIN:
    case WEFT_EMSGSIZE:
    case WEFT_EUNKNOWNCALL:
    case WEFT_EVERSION:
    case WEFT_EACCES:
    case WEFT_EPERM:
    case WEFT_ENOTSUP:
        return err;
    default:
        return WEFT_EREGISTRY;
    }
}

static bool copy_text(char *into, size_t room, const char *text)
{
    size_t len = strlen(text);
    if (len >= room)
        return false;
    memcpy(into, text, len + 1);
    return true;
}

static bool host_of(const Weft__Registry__Host *message, struct weft_registry_host *host)
{
    host->slots = message->slots;
    host->used = message->used;
    host->incarnation = message->incarnation;
    host->pid = message->pid;
    host->alive = message->alive;
    host->leaving = message->leaving;
    host->occupied = message->occupied;
    host->shared = message->shared;
    host->apart = message->apart;
    host->cpu = message->cpu;
    return copy_text(host->name, sizeof(host->name), message->name) &&
           copy_text(host->address, sizeof(host->address), message->address) &&
           copy_text(host->control, sizeof(host->control), message->control) &&
           copy_text(host->tenant, sizeof(host->tenant), message->tenant);
}

/* The hosts are the caller's to free. */
static int list_of(const Weft__Registry__ListReply *message, struct weft_registry_reply *reply,
                   struct weft_registry_host **hosts_out)
{
    struct weft_registry_host *hosts = calloc(message->n_hosts + 1, sizeof(*hosts));
    if (!hosts)
        return weft_fail(WEFT_ENOMEM, "no memory for a list of %zu hosts", message->n_hosts);
    for (size_t i = 0; i < message->n_hosts; i++)
        if (!host_of(message->hosts[i], &hosts[i])) {
            free(hosts);
            return weft_fail(WEFT_EPROTO,
                             "the registry's list holds a host whose name or address is too long");
        }
    reply->epoch = message->epoch;
    reply->revision = message->revision;
    reply->hosts = *hosts_out = hosts;
    reply->hosts_n = message->n_hosts;
    return 0;
}

static int value_of(uint64_t revision, const ProtobufCBinaryData *value,
                    struct weft_registry_reply *reply)
{
    if (value->len > WEFT_REGISTRY_VALUE_MAX)
        return weft_fail(WEFT_EPROTO, "the registry's value has %zu bytes", value->len);
    reply->revision = revision;
    reply->value = value->data;
    reply->value_len = value->len;
    return 0;
}

/* Translates a message of call `code`. */
static int reply_of(uint16_t code, const ProtobufCMessage *message,
                    struct weft_registry_reply *reply, struct weft_registry_host **hosts_out)
{
    *reply = (struct weft_registry_reply){0};
    *hosts_out = NULL;
    switch (code) {
    case WEFT_REGISTRY_JOIN: {
        const Weft__Registry__JoinReply *join = (const Weft__Registry__JoinReply *)message;
        *reply = (struct weft_registry_reply){.epoch = join->epoch,
                                              .revision = join->revision,
                                              .beat_ms = join->beat_ms,
                                              .dead_ms = join->dead_ms,
                                              .log = join->log};
        return 0;
    }
    case WEFT_REGISTRY_BEAT: {
        const Weft__Registry__BeatReply *beat = (const Weft__Registry__BeatReply *)message;
        reply->epoch = beat->epoch;
        reply->revision = beat->revision;
        return 0;
    }
    case WEFT_REGISTRY_LIST:
    case WEFT_REGISTRY_WATCH:
        return list_of((const Weft__Registry__ListReply *)message, reply, hosts_out);
    case WEFT_REGISTRY_GET: {
        const Weft__Registry__GetReply *get = (const Weft__Registry__GetReply *)message;
        reply->epoch = get->epoch;
        reply->log = get->log;
        return value_of(get->found ? get->revision : 0, &get->value, reply);
    }
    case WEFT_REGISTRY_CAS: {
        const Weft__Registry__CasReply *cas = (const Weft__Registry__CasReply *)message;
        reply->epoch = cas->epoch;
        reply->won = cas->won;
        return value_of(cas->revision, &cas->value, reply);
    }
    default: /* leave: an empty answer */
        return 0;
    }
}

static void call_done(void *ctx, int err, const char *text, const ProtobufCMessage *message)
{
    struct call *call = ctx;
    struct weft_registry_reply reply;
    struct weft_registry_host *hosts = NULL;
    if (!err) {
        err = reply_of(call->code, message, &reply, &hosts);
        text = err ? weft_fail_text(err) : NULL;
    }
    err = outcome(err);
    call->done(call->ctx, err, err ? text : NULL, err ? NULL : &reply);
    free(hosts);
    free(call);
}

static uint32_t timeout_of(const struct weft_registry_at *at)
{
    return at->timeout_ms ? at->timeout_ms : TIMEOUT_MS;
}

static int start(const struct weft_registry_at *at, struct weft_client_call *remote,
                 weft_registry_done *done, void *ctx)
{
    if (!at->client)
        return weft_fail(WEFT_ESHUTDOWN,
                         "this process is shutting down: it asks the registry no more");
    struct call *call = malloc(sizeof(*call));
    if (!call)
        return weft_fail(WEFT_EAGAIN, "no memory for a call to the registry");
    *call = (struct call){.done = done, .ctx = ctx, .code = remote->code};
    remote->url = at->url;
    if (!remote->timeout_ms)
        remote->timeout_ms = timeout_of(at);
    remote->done = call_done;
    remote->ctx = call;
    int err = weft__client_start(at->client, remote);
    if (err)
        free(call);
    return err;
}

/* The waiting form: fills reply; its value points into *message_out, which the caller frees. */
static int wait_for(const struct weft_registry_at *at, struct weft_client_call *remote,
                    struct weft_registry_reply *reply, ProtobufCMessage **message_out)
{
    struct weft_registry_host *hosts;
    ProtobufCMessage *message = NULL;
    remote->url = at->url;
    if (!remote->timeout_ms)
        remote->timeout_ms = timeout_of(at);
    int err = weft__client_wait(at->client, remote, &message);
    if (!err)
        err = reply_of(remote->code, message, reply, &hosts);
    if (err) {
        weft__message_free(message);
        return outcome(err) == err
                   ? err
                   : weft_fail(outcome(err), "no certain answer from the registry at %s: %s",
                               at->url, weft_fail_text(err));
    }
    *message_out = message;
    return 0;
}

/* protobuf-c's fields are not const; packing does not write to them. */
static char *field(const char *text)
{
    return (char *)(uintptr_t)text;
}

static Weft__Registry__Host host_message(const struct weft_registry_host *host)
{
    Weft__Registry__Host message = WEFT__REGISTRY__HOST__INIT;
    message.name = field(host->name);
    message.address = field(host->address);
    message.control = field(host->control);
    message.slots = host->slots;
    message.used = host->used;
    message.incarnation = host->incarnation;
    message.pid = host->pid;
    message.leaving = host->leaving;
    message.occupied = host->occupied;
    message.tenant = field(host->tenant);
    message.shared = host->shared;
    message.apart = host->apart;
    message.cpu = host->cpu;
    return message;
}

int weft__registry_join(const struct weft_registry_at *at, const struct weft_registry_host *host,
                        weft_registry_done *done, void *ctx)
{
    Weft__Registry__Host message = host_message(host);
    Weft__Registry__JoinRequest request = WEFT__REGISTRY__JOIN_REQUEST__INIT;
    request.host = &message;
    struct weft_client_call remote = {.code = WEFT_REGISTRY_JOIN,
                                      .request = &request.base,
                                      .reply_type = &weft__registry__join_reply__descriptor};
    return start(at, &remote, done, ctx);
}

int weft__registry_join_wait(const struct weft_registry_at *at,
                             const struct weft_registry_host *host,
                             struct weft_registry_reply *reply_out)
{
    Weft__Registry__Host message = host_message(host);
    Weft__Registry__JoinRequest request = WEFT__REGISTRY__JOIN_REQUEST__INIT;
    request.host = &message;
    struct weft_client_call remote = {.code = WEFT_REGISTRY_JOIN,
                                      .request = &request.base,
                                      .reply_type = &weft__registry__join_reply__descriptor};
    struct weft_registry_reply reply;
    ProtobufCMessage *answer;
    int err = wait_for(at, &remote, &reply, &answer);
    if (err)
        return err;
    *reply_out = reply;
    weft__message_free(answer);
    return 0;
}

int weft__registry_leave(const struct weft_registry_at *at, const char *name, uint64_t incarnation,
                         weft_registry_done *done, void *ctx)
{
    Weft__Registry__LeaveRequest request = WEFT__REGISTRY__LEAVE_REQUEST__INIT;
    request.name = field(name);
    request.incarnation = incarnation;
    struct weft_client_call remote = {.code = WEFT_REGISTRY_LEAVE, .request = &request.base};
    return start(at, &remote, done, ctx);
}

int weft__registry_leave_wait(const struct weft_registry_at *at, const char *name,
                              uint64_t incarnation)
{
    Weft__Registry__LeaveRequest request = WEFT__REGISTRY__LEAVE_REQUEST__INIT;
    request.name = field(name);
    request.incarnation = incarnation;
    struct weft_client_call remote = {.code = WEFT_REGISTRY_LEAVE, .request = &request.base};
    struct weft_registry_reply reply;
    ProtobufCMessage *answer;
    int err = wait_for(at, &remote, &reply, &answer);
    if (!err)
        weft__message_free(answer);
    return err;
}

int weft__registry_beat(const struct weft_registry_at *at, const struct weft_registry_host *host,
                        weft_registry_done *done, void *ctx)
{
    Weft__Registry__BeatRequest request = WEFT__REGISTRY__BEAT_REQUEST__INIT;
    request.name = field(host->name);
    request.incarnation = host->incarnation;
    request.used = host->used;
    request.slots = host->slots;
    request.leaving = host->leaving;
    request.occupied = host->occupied;
    request.tenant = field(host->tenant);
    request.shared = host->shared;
    request.apart = host->apart;
    struct weft_client_call remote = {.code = WEFT_REGISTRY_BEAT,
                                      .request = &request.base,
                                      .reply_type = &weft__registry__beat_reply__descriptor};
    return start(at, &remote, done, ctx);
}

int weft__registry_list(const struct weft_registry_at *at, weft_registry_done *done, void *ctx)
{
    struct weft_client_call remote = {.code = WEFT_REGISTRY_LIST,
                                      .reply_type = &weft__registry__list_reply__descriptor};
    return start(at, &remote, done, ctx);
}

int weft__registry_watch(const struct weft_registry_at *at, uint64_t after, uint32_t wait_ms,
                         weft_registry_done *done, void *ctx)
{
    Weft__Registry__WatchRequest request = WEFT__REGISTRY__WATCH_REQUEST__INIT;
    request.after = after;
    request.wait_ms = wait_ms < WEFT_REGISTRY_WATCH_MAX_MS ? wait_ms : WEFT_REGISTRY_WATCH_MAX_MS;
    struct weft_client_call remote = {.code = WEFT_REGISTRY_WATCH,
                                      .request = &request.base,
                                      .reply_type = &weft__registry__list_reply__descriptor,
                                      .timeout_ms = request.wait_ms + timeout_of(at)};
    return start(at, &remote, done, ctx);
}

static int check_key(const char *key)
{
    size_t len = strlen(key);
    if (len == 0 || len > WEFT_REGISTRY_KEY_MAX)
        return weft_fail(WEFT_EINVAL, "a key has 1 to %d bytes, this one has %zu",
                         WEFT_REGISTRY_KEY_MAX, len);
    return 0;
}

int weft__registry_get(const struct weft_registry_at *at, const char *key, weft_registry_done *done,
                       void *ctx)
{
    Weft__Registry__GetRequest request = WEFT__REGISTRY__GET_REQUEST__INIT;
    int err = check_key(key);
    if (err)
        return err;
    request.key = field(key);
    struct weft_client_call remote = {.code = WEFT_REGISTRY_GET,
                                      .request = &request.base,
                                      .reply_type = &weft__registry__get_reply__descriptor};
    return start(at, &remote, done, ctx);
}

static void value_copy(const struct weft_registry_reply *reply, struct weft_registry_value *value)
{
    value->epoch = reply->epoch;
    value->revision = reply->revision;
    value->won = reply->won;
    value->len = reply->value_len;
    if (reply->value_len)
        memcpy(value->bytes, reply->value, reply->value_len);
}

int weft__registry_get_wait(const struct weft_registry_at *at, const char *key,
                            struct weft_registry_value *value_out)
{
    Weft__Registry__GetRequest request = WEFT__REGISTRY__GET_REQUEST__INIT;
    struct weft_registry_reply reply;
    ProtobufCMessage *answer;
    int err = check_key(key);
    if (err)
        return err;
    request.key = field(key);
    struct weft_client_call remote = {.code = WEFT_REGISTRY_GET,
                                      .request = &request.base,
                                      .reply_type = &weft__registry__get_reply__descriptor};
    err = wait_for(at, &remote, &reply, &answer);
    if (err)
        return err;
    value_copy(&reply, value_out);
    weft__message_free(answer);
    return 0;
}

static int cas_message(const struct weft_registry_cas *cas, Weft__Registry__CasRequest *request_out)
{
    int err = check_key(cas->key);
    if (err)
        return err;
    if (!cas->erase && cas->value_len > WEFT_REGISTRY_VALUE_MAX)
        return weft_fail(WEFT_EINVAL, "a value has at most %d bytes, the one for %s has %zu",
                         WEFT_REGISTRY_VALUE_MAX, cas->key, cas->value_len);
    weft__registry__cas_request__init(request_out);
    request_out->key = field(cas->key);
    request_out->expected = cas->expected;
    request_out->erase = cas->erase;
    request_out->epoch = cas->epoch;
    request_out->log = cas->log;
    if (!cas->erase)
        request_out->value =
            (ProtobufCBinaryData){cas->value_len, (uint8_t *)(uintptr_t)cas->value};
    return 0;
}

int weft__registry_cas(const struct weft_registry_at *at, const struct weft_registry_cas *cas,
                       weft_registry_done *done, void *ctx)
{
    Weft__Registry__CasRequest request;
    int err = cas_message(cas, &request);
    if (err)
        return err;
    struct weft_client_call remote = {.code = WEFT_REGISTRY_CAS,
                                      .request = &request.base,
                                      .reply_type = &weft__registry__cas_reply__descriptor};
    return start(at, &remote, done, ctx);
}

bool weft__registry_cas_settled(const struct weft_registry_cas *cas,
                                const struct weft_registry_reply *reply)
{
    if (reply->won)
        return true;
    if (cas->erase)
        return cas->expected != 0 && reply->revision == 0;
    return reply->revision > cas->expected && reply->value_len == cas->value_len &&
           (cas->value_len == 0 || !memcmp(reply->value, cas->value, cas->value_len));
}

static int cas_within(const struct weft_registry_at *at, const struct weft_registry_cas *cas,
                      uint32_t timeout_ms, struct weft_registry_value *value_out)
{
    Weft__Registry__CasRequest request;
    struct weft_registry_reply reply;
    ProtobufCMessage *answer;
    int err = cas_message(cas, &request);
    if (err)
        return err;
    struct weft_client_call remote = {.code = WEFT_REGISTRY_CAS,
                                      .request = &request.base,
                                      .reply_type = &weft__registry__cas_reply__descriptor,
                                      .timeout_ms = timeout_ms};
    err = wait_for(at, &remote, &reply, &answer);
    if (err)
        return err;
    value_copy(&reply, value_out);
    weft__message_free(answer);
    return 0;
}

int weft__registry_cas_wait(const struct weft_registry_at *at, const struct weft_registry_cas *cas,
                            struct weft_registry_value *value_out)
{
    return cas_within(at, cas, 0, value_out);
}

/* What is left until deadline_ns, at least 1 ms, at most the timeout of one call. */
static uint32_t try_ms(const struct weft_registry_at *at, uint64_t deadline_ns, uint64_t now_ns)
{
    uint64_t left_ms = deadline_ns > now_ns ? (deadline_ns - now_ns) / WEFT_NS_PER_MS : 0;
    uint64_t most_ms = timeout_of(at);
    return (uint32_t)(left_ms == 0 ? 1 : left_ms < most_ms ? left_ms : most_ms);
}

static void pause_until(uint64_t deadline_ns)
{
    const _Atomic uint32_t never = 0;
    while (weft__futex_wait(&never, 0, deadline_ns) != WEFT_ETIMEDOUT)
        ;
}

int weft__registry_cas_settle(const struct weft_registry_at *at,
                              const struct weft_registry_cas *cas, uint64_t deadline_ns,
                              struct weft_registry_value *value_out)
{
    for (bool unknown = false;;) {
        uint64_t now_ns = weft__now_ns();
        int err = cas_within(at, cas, try_ms(at, deadline_ns, now_ns), value_out);
        if (!err) {
            const struct weft_registry_reply reply = {.revision = value_out->revision,
                                                      .won = value_out->won,
                                                      .value = value_out->bytes,
                                                      .value_len = value_out->len};
            value_out->won = weft__registry_cas_settled(cas, &reply);
            return 0;
        }
        if (!unknown && err != WEFT_EREGISTRY && err != WEFT_EAGAIN)
            return err;
        unknown =
            unknown || err == WEFT_EREGISTRY; /* a later refusal says nothing of an earlier try */
        now_ns = weft__now_ns();
        if (now_ns >= deadline_ns)
            return weft_fail(WEFT_EREGISTRY, "the registry at %s gave no certain answer in time",
                             at->url);
        pause_until(now_ns + RETRY_NS < deadline_ns ? now_ns + RETRY_NS : deadline_ns);
    }
}
