/* The registry's service.
 *
 * Who owns what: the host list, the watches and the queue of changes are under the lock, which is
 * held for memory work only. The keys are read by everybody under the lock and changed by the
 * registry's thread alone, under the lock; so the thread itself may read them without it. The
 * journal is the thread's.
 *
 * A change is checked, brought to disk, applied, answered, in this order: what a get shows has been
 * on disk before. All changes that wait, of different keys, go to disk in one piece; a second
 * change of a key waits for the next piece, because it has to be checked against the first. The
 * thread also looks for deaths and answers watches; a beat is taken on the fan-in thread, so a slow
 * disk kills nobody. Rejected: syncing on the service's workers (two slow ones would keep a third
 * change waiting, and each would pay its own sync).
 */
#include "registry/service.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "registry/hosts.h"
#include "registry/journal.h"
#include "registry/values.h"
#include "registry/registry.h"
#include "weft/error.h"
#include "wire/registry.pb-c.h"

#define WATCHES_MAX 4096
#define CHANGES_MAX 4096
#define BATCH_MAX 64
#define BEAT_MS 500
#define DEAD_MS 3000

/* A call that is answered later. request is the call's, valid until it is answered. */
struct waiting {
    struct waiting *next;
    struct weft_call *call;
    const Weft__Registry__CasRequest *cas; /* a change */
    uint64_t after, due_ns;                /* a watch */
};

struct waiting_list {
    struct waiting *first, **end;
    size_t n;
};

struct weft_registry {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool stop;                   /* lock */
    struct weft_hosts hosts;     /* lock */
    struct weft_values keys;     /* lock to change; see above */
    struct waiting_list watches; /* lock */
    struct waiting_list changes; /* lock */
    struct weft_journal journal; /* the thread's */
    uint64_t epoch;
    uint32_t beat_ms, dead_ms;
};

/* A copy of the host list, in the form of an answer. */
struct snapshot {
    struct weft_registry_host *hosts;
    Weft__Registry__Host *messages;
    Weft__Registry__Host **pointers;
    Weft__Registry__ListReply reply;
};

static void list_init(struct waiting_list *list)
{
    *list = (struct waiting_list){.end = &list->first};
}

static void list_push(struct waiting_list *list, struct waiting *item)
{
    item->next = NULL;
    *list->end = item;
    list->end = &item->next;
    list->n++;
}

/* Takes out the item that link points at. */
static struct waiting *list_take(struct waiting_list *list, struct waiting **link)
{
    struct waiting *item = *link;
    *link = item->next;
    if (list->end == &item->next)
        list->end = link;
    list->n--;
    item->next = NULL;
    return item;
}

/* ---- the host list
 * --------------------------------------------------------------------------------------------------
 */

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
    *host_out = (struct weft_registry_host){.slots = message->slots,
                                            .used = message->used,
                                            .incarnation = message->incarnation,
                                            .pid = message->pid,
                                            .alive = true};
    strcpy(host_out->name, message->name);
    strcpy(host_out->address, message->address);
    strcpy(host_out->control, message->control);
    return 0;
}

static void handle_join(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
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
    reply.beat_ms = registry->beat_ms;
    reply.dead_ms = registry->dead_ms;
    weft__call_reply(call, &reply.base);
}

static void handle_leave(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
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

static void handle_beat(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_registry *registry = ctx;
    const Weft__Registry__BeatRequest *request = (const Weft__Registry__BeatRequest *)message;
    struct weft_registry_host host = {
        .incarnation = request->incarnation, .used = request->used, .slots = request->slots};
    Weft__Registry__BeatReply reply = WEFT__REGISTRY__BEAT_REPLY__INIT;
    if (strlen(request->name) >= sizeof(host.name)) {
        weft__call_fail(call, WEFT_EINVAL, "a host's name has at most 63 bytes");
        return;
    }
    strcpy(host.name, request->name);
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

/* Copies the list.  Called with the lock held.  Errors: WEFT_ENOMEM. */
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
        snap->pointers[i] = message;
    }
    snap->reply.hosts = snap->pointers;
    return 0;
}

static void handle_list(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
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

/* Leaves the call to the thread, in one of its lists. */
static void defer(struct weft_registry *registry, struct waiting_list *list, size_t max,
                  struct waiting item)
{
    struct waiting *copy = malloc(sizeof(*copy));
    bool full = true;
    if (copy) {
        *copy = item;
        pthread_mutex_lock(&registry->lock);
        full = list->n >= max;
        if (!full) {
            list_push(list, copy);
            pthread_cond_signal(&registry->wake);
        }
        pthread_mutex_unlock(&registry->lock);
    }
    if (full) {
        weft__call_fail(item.call, WEFT_EAGAIN, "too many calls wait in the registry, try again");
        free(copy);
    }
}

static void handle_watch(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_registry *registry = ctx;
    const Weft__Registry__WatchRequest *request = (const Weft__Registry__WatchRequest *)message;
    uint64_t wait_ms = request->wait_ms < WEFT_REGISTRY_WATCH_MAX_MS ? request->wait_ms
                                                                     : WEFT_REGISTRY_WATCH_MAX_MS;
    defer(registry, &registry->watches, WATCHES_MAX,
          (struct waiting){.call = call,
                           .after = request->after,
                           .due_ns = weft__now_ns() + wait_ms * WEFT_NS_PER_MS});
}

/* ---- keys
 * -----------------------------------------------------------------------------------------------------------
 */

/* A copy of what stands under a key. */
struct standing {
    uint64_t revision; /* 0: nothing */
    size_t len;
    uint8_t bytes[WEFT_REGISTRY_VALUE_MAX];
};

static void standing_of(const struct weft_values *keys, struct weft_bytes key, struct standing *out)
{
    const struct weft_values_entry *entry = weft__values_find(keys, key);
    out->revision = entry ? entry->revision : 0;
    out->len = entry ? entry->value_len : 0;
    if (out->len)
        memcpy(out->bytes, entry->value, out->len);
}

static void handle_get(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_registry *registry = ctx;
    const Weft__Registry__GetRequest *request = (const Weft__Registry__GetRequest *)message;
    Weft__Registry__GetReply reply = WEFT__REGISTRY__GET_REPLY__INIT;
    struct standing standing;
    pthread_mutex_lock(&registry->lock);
    standing_of(&registry->keys, (struct weft_bytes){request->key, strlen(request->key)},
                &standing);
    pthread_mutex_unlock(&registry->lock);
    reply.found = standing.revision != 0;
    reply.revision = standing.revision;
    reply.value = (ProtobufCBinaryData){standing.len, standing.bytes};
    reply.epoch = registry->epoch;
    weft__call_reply(call, &reply.base);
}

static void handle_cas(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_registry *registry = ctx;
    const Weft__Registry__CasRequest *request = (const Weft__Registry__CasRequest *)message;
    defer(registry, &registry->changes, CHANGES_MAX,
          (struct waiting){.call = call, .cas = request});
}

static struct weft_values_change change_of(const Weft__Registry__CasRequest *cas)
{
    return (struct weft_values_change){.key = {cas->key, strlen(cas->key)},
                                       .value = {cas->value.data, cas->erase ? 0 : cas->value.len},
                                       .erase = cas->erase};
}

static void answer_lost(const struct weft_registry *registry, struct waiting *item)
{
    Weft__Registry__CasReply reply = WEFT__REGISTRY__CAS_REPLY__INIT;
    struct standing standing;
    standing_of(&registry->keys, change_of(item->cas).key, &standing);
    reply.revision = standing.revision;
    reply.value = (ProtobufCBinaryData){standing.len, standing.bytes};
    reply.epoch = registry->epoch;
    weft__call_reply(item->call, &reply.base);
    free(item);
}

static void answer_won(const struct weft_registry *registry, struct waiting *item,
                       uint64_t revision)
{
    Weft__Registry__CasReply reply = WEFT__REGISTRY__CAS_REPLY__INIT;
    reply.won = true;
    reply.revision = item->cas->erase ? 0 : revision;
    if (!item->cas->erase)
        reply.value = item->cas->value;
    reply.epoch = registry->epoch;
    weft__call_reply(item->call, &reply.base);
    free(item);
}

static void answer_failed(struct waiting *item, int err, const char *text)
{
    weft__call_fail(item->call, err, text);
    free(item);
}

/* The winners of one piece, with the revisions that they make. */
struct batch {
    struct waiting *items[BATCH_MAX];
    struct weft_values_change changes[BATCH_MAX];
    size_t n;
};

static bool batch_touches(const struct batch *batch, struct weft_bytes key)
{
    for (size_t i = 0; i < batch->n; i++)
        if (batch->changes[i].key.len == key.len &&
            !memcmp(batch->changes[i].key.at, key.at, key.len))
            return true;
    return false;
}

/* Checks one change; a winner goes into the batch and the journal, all others are answered.
 * false: the batch has to be finished first; the item is untouched. */
static bool batch_take(struct weft_registry *registry, struct batch *batch, struct waiting *item)
{
    struct weft_values_change change = change_of(item->cas);
    bool wins = false;
    if (batch->n == BATCH_MAX || batch_touches(batch, change.key))
        return false;
    if (weft__call_deadline_ns(item->call) <= weft__now_ns()) {
        answer_failed(item, WEFT_ETIMEDOUT,
                      "the registry came to it after its deadline; nothing was changed");
        return true;
    }
    int err = weft__values_check(&registry->keys, &change, item->cas->expected, &wins);
    if (!err && !wins) {
        answer_lost(registry, item);
        return true;
    }
    change.revision = registry->keys.revision + 1 + batch->n;
    if (!err)
        err = weft__journal_add(&registry->journal, &change);
    if (err == WEFT_EAGAIN)
        return false;
    if (err) {
        answer_failed(item, err == WEFT_EIO ? WEFT_EREGISTRY : err, weft_fail_text(err));
        return true;
    }
    batch->items[batch->n] = item;
    batch->changes[batch->n++] = change;
    return true;
}

/* Brings the batch to disk, makes its changes and answers. */
static void batch_finish(struct weft_registry *registry, struct batch *batch)
{
    int err = weft__journal_commit(&registry->journal);
    if (err && batch->n)
        weft__error("%s", weft_fail_text(err));
    pthread_mutex_lock(&registry->lock);
    for (size_t i = 0; i < batch->n && !err; i++)
        err = weft__values_apply(&registry->keys, &batch->changes[i]);
    pthread_mutex_unlock(&registry->lock);
    if (err) /* disk and memory may differ now: no further change before a restart */
        registry->journal.broken = true;
    for (size_t i = 0; i < batch->n; i++) {
        if (err)
            answer_failed(batch->items[i], WEFT_EREGISTRY, weft_fail_text(err));
        else
            answer_won(registry, batch->items[i], batch->changes[i].revision);
    }
    batch->n = 0;
}

static void run_changes(struct weft_registry *registry, struct waiting *first)
{
    struct batch batch = {.n = 0};
    while (first) {
        struct waiting *next = first->next;
        while (!batch_take(registry, &batch, first))
            batch_finish(registry, &batch);
        first = next;
    }
    batch_finish(registry, &batch);
    if (!weft__journal_bloated(&registry->journal, &registry->keys))
        return;
    int err = weft__journal_compact(&registry->journal, &registry->keys);
    if (err)
        weft__warn("the registry's log goes on growing: %s", weft_fail_text(err));
}

/* ---- the thread
 * -----------------------------------------------------------------------------------------------------
 */

/* Takes the watches that have become due out of the list, and notes when the next one will.  Called
 * with the lock held. */
static struct waiting *due_watches(struct weft_registry *registry, uint64_t now_ns,
                                   uint64_t *next_ns)
{
    struct waiting_list due;
    struct waiting **link = &registry->watches.first;
    list_init(&due);
    while (*link) {
        struct waiting *item = *link;
        if (registry->hosts.revision > item->after || item->due_ns <= now_ns) {
            list_push(&due, list_take(&registry->watches, link));
            continue;
        }
        if (item->due_ns < *next_ns)
            *next_ns = item->due_ns;
        link = &item->next;
    }
    return due.first;
}

static void answer_watches(struct waiting *first, struct snapshot *snap, int err)
{
    if (first && !err)
        err = snapshot_answer(snap);
    while (first) {
        struct waiting *next = first->next;
        if (err)
            weft__call_fail(first->call, err, weft_fail_text(err));
        else
            weft__call_reply(first->call, &snap->reply.base);
        free(first);
        first = next;
    }
}

static void wait_until(struct weft_registry *registry, uint64_t deadline_ns)
{
    struct timespec at = {.tv_sec = (time_t)(deadline_ns / WEFT_NS_PER_S),
                          .tv_nsec = (long)(deadline_ns % WEFT_NS_PER_S)};
    pthread_cond_timedwait(&registry->wake, &registry->lock, &at);
}

/* One round: deaths, watches, changes.  Called, and returns, with the lock held. */
static void round_of(struct weft_registry *registry)
{
    const uint64_t dead_ns = registry->dead_ms * WEFT_NS_PER_MS;
    struct snapshot snap = {0};
    uint64_t now_ns = weft__now_ns(), next_ns = now_ns + dead_ns / 8;
    int err = 0;
    size_t dead = weft__hosts_expire(&registry->hosts, now_ns, dead_ns);
    struct waiting *watches = due_watches(registry, now_ns, &next_ns);
    struct waiting *changes = registry->changes.first;
    list_init(&registry->changes);
    if (watches)
        err = snapshot_copy(registry, &snap);
    if (!watches && !changes && !dead) {
        wait_until(registry, next_ns);
        return;
    }
    pthread_mutex_unlock(&registry->lock);
    if (dead)
        weft__warn("%zu host(s) declared dead: no beat for %u ms", dead, registry->dead_ms);
    answer_watches(watches, &snap, err);
    snapshot_fini(&snap);
    if (changes)
        run_changes(registry, changes);
    pthread_mutex_lock(&registry->lock);
}

static void *thread_main(void *arg)
{
    struct weft_registry *registry = arg;
    pthread_mutex_lock(&registry->lock);
    while (!registry->stop)
        round_of(registry);
    pthread_mutex_unlock(&registry->lock);
    return NULL;
}

static int start_thread(struct weft_registry *registry)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&registry->lock, NULL);
    pthread_cond_init(&registry->wake, &attr);
    pthread_condattr_destroy(&attr);
    int err = pthread_create(&registry->thread, NULL, thread_main, registry);
    if (!err)
        return 0;
    pthread_cond_destroy(&registry->wake);
    pthread_mutex_destroy(&registry->lock);
    return weft_fail(-err, "cannot start the registry's thread: %s", strerror(err));
}

int weft__registry_open(const struct weft_registry_desc *desc, struct weft_registry **registry_out)
{
    struct weft_registry *registry = calloc(1, sizeof(*registry));
    if (!registry)
        return weft_fail(WEFT_ENOMEM, "no memory for the registry");
    registry->beat_ms = desc->beat_ms ? desc->beat_ms : BEAT_MS;
    registry->dead_ms = desc->dead_ms ? desc->dead_ms : DEAD_MS;
    list_init(&registry->watches);
    list_init(&registry->changes);
    int err = registry->dead_ms <= registry->beat_ms
                  ? weft_fail(WEFT_EINVAL, "dead after %u ms, but a beat only every %u ms",
                              registry->dead_ms, registry->beat_ms)
                  : weft__journal_open(&registry->journal, desc->log_path, &registry->keys);
    if (!err) {
        registry->epoch = registry->journal.epoch;
        weft__hosts_init(&registry->hosts, registry->epoch);
        err = start_thread(registry);
        if (err)
            weft__journal_close(&registry->journal);
    }
    if (err) {
        weft__values_fini(&registry->keys);
        free(registry);
        return err;
    }
    *registry_out = registry;
    return 0;
}

static void fail_all(struct waiting_list *list)
{
    while (list->first)
        answer_failed(list_take(list, &list->first), WEFT_ESHUTDOWN, "the registry stops");
}

void weft__registry_close(struct weft_registry *registry)
{
    if (!registry)
        return;
    pthread_mutex_lock(&registry->lock);
    registry->stop = true;
    pthread_cond_signal(&registry->wake);
    pthread_mutex_unlock(&registry->lock);
    pthread_join(registry->thread, NULL);
    fail_all(&registry->watches);
    fail_all(&registry->changes);
    pthread_cond_destroy(&registry->wake);
    pthread_mutex_destroy(&registry->lock);
    weft__journal_close(&registry->journal);
    weft__hosts_fini(&registry->hosts);
    weft__values_fini(&registry->keys);
    free(registry);
}

uint64_t weft__registry_epoch(const struct weft_registry *registry)
{
    return registry->epoch;
}

#define SYNC_INLINE (WEFT_HANDLER_INLINE | WEFT_HANDLER_SYNC)

void weft__registry_service(struct weft_registry *registry, struct weft_service_desc *service_out)
{
    static const struct weft_handler_desc handlers[] = {
        {WEFT_REGISTRY_JOIN, SYNC_INLINE, "join", &weft__registry__join_request__descriptor,
         handle_join},
        {WEFT_REGISTRY_LEAVE, SYNC_INLINE, "leave", &weft__registry__leave_request__descriptor,
         handle_leave},
        {WEFT_REGISTRY_BEAT, SYNC_INLINE, "beat", &weft__registry__beat_request__descriptor,
         handle_beat},
        {WEFT_REGISTRY_LIST, WEFT_HANDLER_SYNC, "list", NULL, handle_list},
        {WEFT_REGISTRY_WATCH, SYNC_INLINE, "watch", &weft__registry__watch_request__descriptor,
         handle_watch},
        {WEFT_REGISTRY_GET, SYNC_INLINE, "get", &weft__registry__get_request__descriptor,
         handle_get},
        {WEFT_REGISTRY_CAS, SYNC_INLINE, "compare-and-set",
         &weft__registry__cas_request__descriptor, handle_cas},
    };
    *service_out = (struct weft_service_desc){.name = "registry",
                                              .handlers = handlers,
                                              .handlers_n = sizeof(handlers) / sizeof(handlers[0]),
                                              .ctx = registry,
                                              .body_max = 16384};
}
