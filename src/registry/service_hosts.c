/* The service's side of the host list: joins, beats, lists and watches.
 *
 * All but watches are answered from memory where they arrive. A watch waits in a list until the
 * registry's thread finds that the list has changed, or its time over: so a burst of joins is one
 * answer, made once for all who watch. */

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"
#include "registry/parts.h"
#include "registry/registry.h"
#include "weft/error.h"

/* A copy of the host list, in the form of an answer. */
struct snapshot {
    struct weft_registry_host *hosts;
    Weft__Registry__Host *messages;
    Weft__Registry__Host **pointers;
    Weft__Registry__ListReply reply;
};

static bool is_name(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text > '~')
            return false;
    return true;
}

static int host_of(const Weft__Registry__Host *message, struct weft_registry_host *host_out)
{
    if (!message)
        return weft_fail(WEFT_EINVAL, "a join without a host");
    if (strlen(message->name) >= WEFT_REGISTRY_NAME_MAX ||
        strlen(message->address) >= WEFT_REGISTRY_ADDRESS_MAX ||
        strlen(message->control) >= WEFT_REGISTRY_URL_MAX)
        return weft_fail(
            WEFT_EINVAL, "a host's name has at most %d bytes, its address %d, its url %d",
            WEFT_REGISTRY_NAME_MAX - 1, WEFT_REGISTRY_ADDRESS_MAX - 1, WEFT_REGISTRY_URL_MAX - 1);
    if (!is_name(message->name) || !is_name(message->address) || !is_name(message->control))
        return weft_fail(WEFT_EINVAL,
                         "a host's name, address and url are printable ASCII without spaces");
    int err = weft__parse_tenant(message->tenant);
    if (err)
        return err;
    *host_out = (struct weft_registry_host){.slots = message->slots,
                                            .used = message->used,
                                            .incarnation = message->incarnation,
                                            .pid = message->pid,
                                            .leaving = message->leaving,
                                            .occupied = message->occupied,
                                            .shared = message->shared,
                                            .apart = message->apart,
                                            .cpu = message->cpu,
                                            .alive = true};
    strcpy(host_out->name, message->name);
    strcpy(host_out->address, message->address);
    strcpy(host_out->control, message->control);
    strcpy(host_out->tenant, message->tenant);
    return 0;
}

void weft__registry_on_join(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_registry *registry = ctx;
    const Weft__Registry__JoinRequest *request = (const Weft__Registry__JoinRequest *)message;
    Weft__Registry__JoinReply reply = WEFT__REGISTRY__JOIN_REPLY__INIT;
    struct weft_registry_host host;
    int err = host_of(request->host, &host);
    if (!err) {
        pthread_mutex_lock(&registry->lock);
        err = weft__hosts_join(&registry->hosts, &host, weft__now_ns());
        reply.revision = registry->hosts.revision;
        pthread_cond_signal(&registry->wake);
        pthread_mutex_unlock(&registry->lock);
    }
    if (err) {
        weft__call_fail(call, err, weft_fail_text(err));
        return;
    }
    weft__info("host %s has joined: %s, %u slots", host.name, host.control, host.slots);
    reply.epoch = registry->epoch;
    reply.log = registry->log;
    reply.beat_ms = registry->beat_ms;
    reply.dead_ms = registry->dead_ms;
    weft__call_reply(call, &reply.base);
}

void weft__registry_on_leave(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_registry *registry = ctx;
    const Weft__Registry__LeaveRequest *request = (const Weft__Registry__LeaveRequest *)message;
    pthread_mutex_lock(&registry->lock);
    int err = weft__hosts_leave(&registry->hosts, request->name, request->incarnation);
    pthread_cond_signal(&registry->wake);
    pthread_mutex_unlock(&registry->lock);
    if (err)
        weft__call_fail(call, err, weft_fail_text(err));
    else
        weft__call_reply(call, NULL);
}

void weft__registry_on_beat(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_registry *registry = ctx;
    const Weft__Registry__BeatRequest *request = (const Weft__Registry__BeatRequest *)message;
    struct weft_registry_host host = {.incarnation = request->incarnation,
                                      .used = request->used,
                                      .slots = request->slots,
                                      .leaving = request->leaving,
                                      .occupied = request->occupied,
                                      .shared = request->shared,
                                      .apart = request->apart};
    Weft__Registry__BeatReply reply = WEFT__REGISTRY__BEAT_REPLY__INIT;
    if (strlen(request->name) >= sizeof(host.name)) {
        weft__call_fail(call, WEFT_EINVAL, "a host's name has at most 63 bytes");
        return;
    }
    int tenant_err = weft__parse_tenant(request->tenant);
    if (tenant_err) {
        weft__call_fail(call, tenant_err, weft_fail_text(tenant_err));
        return;
    }
    strcpy(host.name, request->name);
    strcpy(host.tenant, request->tenant);
    pthread_mutex_lock(&registry->lock);
    uint64_t before = registry->hosts.revision;
    int err = weft__hosts_beat(&registry->hosts, &host, weft__now_ns());
    reply.revision = registry->hosts.revision;
    if (reply.revision != before)
        pthread_cond_signal(&registry->wake);
    pthread_mutex_unlock(&registry->lock);
    reply.epoch = registry->epoch;
    if (err)
        weft__call_fail(call, err, weft_fail_text(err));
    else
        weft__call_reply(call, &reply.base);
}

static void snapshot_fini(struct snapshot *snap)
{
    free(snap->hosts);
    free(snap->messages);
    free(snap->pointers);
}

/* Copies the list.  Errors: WEFT_ENOMEM. */
static int snapshot_copy(const struct weft_registry *registry, struct snapshot *snap)
{
    size_t n = registry->hosts.n;
    *snap = (struct snapshot){.hosts = calloc(n + 1, sizeof(*snap->hosts)),
                              .reply = WEFT__REGISTRY__LIST_REPLY__INIT};
    if (!snap->hosts)
        return weft_fail(WEFT_ENOMEM, "no memory for a list of %zu hosts", n);
    for (size_t i = 0; i < n; i++)
        snap->hosts[i] = registry->hosts.sorted[i]->host;
    snap->reply.n_hosts = n;
    snap->reply.epoch = registry->epoch;
    snap->reply.revision = registry->hosts.revision;
    return 0;
}

/* Makes the answer of the copy.  Errors: WEFT_ENOMEM. */
static int snapshot_answer(struct snapshot *snap)
{
    size_t n = snap->reply.n_hosts;
    snap->messages = calloc(n + 1, sizeof(*snap->messages));
    snap->pointers = calloc(n + 1, sizeof(*snap->pointers));
    if (!snap->messages || !snap->pointers)
        return weft_fail(WEFT_ENOMEM, "no memory for a list of %zu hosts", n);
    for (size_t i = 0; i < n; i++) {
        struct weft_registry_host *host = &snap->hosts[i];
        Weft__Registry__Host *message = &snap->messages[i];
        weft__registry__host__init(message);
        message->name = host->name;
        message->address = host->address;
        message->control = host->control;
        message->slots = host->slots;
        message->used = host->used;
        message->incarnation = host->incarnation;
        message->pid = host->pid;
        message->alive = host->alive;
        message->leaving = host->leaving;
        message->occupied = host->occupied;
        message->tenant = host->tenant;
        message->shared = host->shared;
        message->apart = host->apart;
        message->cpu = host->cpu;
        snap->pointers[i] = message;
    }
    snap->reply.hosts = snap->pointers;
    return 0;
}

void weft__registry_on_list(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_registry *registry = ctx;
    struct snapshot snap;
    (void)message;
    pthread_mutex_lock(&registry->lock);
    int err = snapshot_copy(registry, &snap);
    pthread_mutex_unlock(&registry->lock);
    if (!err)
        err = snapshot_answer(&snap);
    if (err)
        weft__call_fail(call, err, weft_fail_text(err));
    else
        weft__call_reply(call, &snap.reply.base);
    snapshot_fini(&snap);
}

/* Nobody wants the watch any more: it makes room at once. */
static void watch_gone(void *ctx, struct weft_call *call)
{
    struct weft_registry *registry = ctx;
    struct weft__waiting *item = NULL;
    pthread_mutex_lock(&registry->lock);
    struct weft__waiting **link = &registry->watches.first;
    while (*link && (*link)->call != call)
        link = &(*link)->next;
    if (*link)
        item = weft__waiting_take(&registry->watches, link);
    pthread_mutex_unlock(&registry->lock);
    if (item)
        weft__waiting_fail(item, WEFT_ECANCELED, "the watch was given up");
}

void weft__registry_on_watch(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_registry *registry = ctx;
    const Weft__Registry__WatchRequest *request = (const Weft__Registry__WatchRequest *)message;
    uint64_t wait_ms = request->wait_ms < WEFT_REGISTRY_WATCH_MAX_MS ? request->wait_ms
                                                                     : WEFT_REGISTRY_WATCH_MAX_MS;
    weft__waiting_defer(registry, &registry->watches,
                        (struct weft__waiting){.call = call,
                                               .after = request->after,
                                               .due_ns = weft__now_ns() + wait_ms * WEFT_NS_PER_MS},
                        watch_gone);
}

/* Takes the watches that have become due out of the list, and notes when the next one will.  Called
 * with the lock held. */
static struct weft__waiting *due_watches(struct weft_registry *registry, uint64_t now_ns,
                                         uint64_t *next_ns)
{
    struct weft__waiting_list due;
    struct weft__waiting **link = &registry->watches.first;
    weft__waiting_init(&due);
    while (*link) {
        struct weft__waiting *item = *link;
        if (registry->hosts.revision > item->after || item->due_ns <= now_ns) {
            weft__waiting_push(&due, weft__waiting_take(&registry->watches, link));
            continue;
        }
        if (item->due_ns < *next_ns)
            *next_ns = item->due_ns;
        link = &item->next;
    }
    return due.first;
}

static void answer_watches(struct weft__waiting *first, struct snapshot *snap, int err)
{
    if (first && !err)
        err = snapshot_answer(snap);
    while (first) {
        struct weft__waiting *next = first->next;
        if (err)
            weft__call_fail(first->call, err, weft_fail_text(err));
        else
            weft__call_reply(first->call, &snap->reply.base);
        free(first);
        first = next;
    }
}

bool weft__registry_answer_watches(struct weft_registry *registry, uint64_t now_ns,
                                   uint64_t *next_ns)
{
    struct weft__waiting *due = due_watches(registry, now_ns, next_ns);
    struct snapshot snap;
    if (!due)
        return false;
    int err = snapshot_copy(registry, &snap);
    pthread_mutex_unlock(&registry->lock);
    answer_watches(due, &snap, err);
    snapshot_fini(&snap);
    pthread_mutex_lock(&registry->lock);
    return true;
}
