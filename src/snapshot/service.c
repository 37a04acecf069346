/* The calls of the service.
 *
 * A large push is pulled by a thread of its own, never by a worker: the call is answered when that
 * is over. It stands in a list meanwhile, so that its client's cancel, or the service's stop, finds
 * it by its call; what ends it takes it out of the list first, so it is freed by one only. The
 * snapshot gets its key when the last byte has come and been checked, never before.
 *
 * Who pulls a large snapshot has a lease: a reference that it gives back, or that ends with the
 * deadline of its call. A snapshot that is replaced or deleted meanwhile stays until then, because
 * gets with a key that is gone break the connection on some fabrics. Leases that are over are
 * cleared by the next call: while there is none nobody misses the memory. */
#include "snapshot/service.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <utlist.h>

#include "base/clock.h"
#include "link/data.h"
#include "snapshot/image.h"
#include "snapshot/jobs.h"
#include "snapshot/pull.h"
#include "snapshot/spare.h"
#include "snapshot/store.h"
#include "weft/error.h"
#include "wire/message.h"
#include "wire/snapshot.pb-c.h"

enum { AGAIN_MS = 50, LEASE_MAX_MS = 600000, LEASE_MARGIN_MS = 1000 };

/* A large pull under way. */
struct lease {
    struct lease *prev, *next;
    uint64_t id;
    uint64_t ends_ns;
    struct weft_snapshot *snapshot;
};

/* A large push under way. */
struct push {
    struct push *prev, *next;
    struct weft_snapshot_service *service;
    struct weft_call *call;
    struct weft_snapshot *snapshot; /* NULL: changes, which come into */
    void *changes;                  /* memory of */
    uint64_t changes_bytes;
    struct weft_image *image;
    struct weft_pull *pull;
    struct weft_lane *lane;
    struct weft_lane_peer peer;
    uint64_t size_bytes;
    uint64_t base_version; /* not 0: the image is of the changes since */
    char key[];
};

struct weft_snapshot_service {
    struct weft_store *store;
    struct weft_data *data;
    struct weft_jobs *jobs;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    struct push *pushes;
    unsigned pushes_n; /* of which the thread still touches the service */
    struct lease *leases;
    unsigned leases_n;
    uint64_t lease_ids; /* they start anywhere: those of a host before this one mean nothing */
    bool stopped;
};

static void fail(struct weft_call *call, int err)
{
    if (err == WEFT_EAGAIN)
        weft__call_fail_again(call, AGAIN_MS, weft_fail_text(err));
    else
        weft__call_fail(call, err, weft_fail_text(err));
}

static int check_key(const char *key)
{
    size_t len = strlen(key);
    if (len == 0 || len > WEFT_SNAPSHOT_KEY_MAX)
        return weft_fail(WEFT_EINVAL, "the key of a snapshot has 1 to %u bytes, not %zu",
                         WEFT_SNAPSHOT_KEY_MAX, len);
    for (const char *at = key; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return weft_fail(WEFT_EINVAL, "the key of a snapshot has no control characters");
    return WEFT_OK;
}

static int no_snapshot(const char *key)
{
    return weft_fail(WEFT_ENOENT, "there is no snapshot \"%.*s\"", (int)WEFT_SNAPSHOT_KEY_MAX, key);
}

static void answer_push(struct weft_call *call, uint64_t version)
{
    Weft__Snapshot__PushReply reply = WEFT__SNAPSHOT__PUSH_REPLY__INIT;
    reply.version = version;
    weft__call_reply(call, &reply.base);
}

/* ---- leases ---- */

/* A list that has been cut off. */
static void end_leases(struct lease *list)
{
    struct lease *lease, *next;
    LL_FOREACH_SAFE(list, lease, next)
    {
        weft__snapshot_put(lease->snapshot);
        free(lease);
    }
}

/* Ends those that are over. */
static void clear_leases(struct weft_snapshot_service *service, uint64_t now_ns)
{
    struct lease *over = NULL, *lease, *next;
    pthread_mutex_lock(&service->lock);
    DL_FOREACH_SAFE(service->leases, lease, next)
    {
        if (lease->ends_ns > now_ns)
            continue;
        DL_DELETE(service->leases, lease);
        service->leases_n--;
        LL_PREPEND(over, lease);
    }
    pthread_mutex_unlock(&service->lock);
    end_leases(over);
}

static uint64_t lease_end(const struct weft_call *call)
{
    uint64_t deadline_ns = weft__call_deadline_ns(call);
    uint64_t most_ns = weft__now_ns() + LEASE_MAX_MS * WEFT_NS_PER_MS;
    return (deadline_ns < most_ns ? deadline_ns : most_ns) + LEASE_MARGIN_MS * WEFT_NS_PER_MS;
}

/* Owns: a reference of its own. */
static int take_lease(struct weft_snapshot_service *service, const struct weft_call *call,
                      struct weft_snapshot *snapshot, uint64_t *id_out)
{
    struct lease *lease = malloc(sizeof(*lease));
    if (lease == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a pull");
    pthread_mutex_lock(&service->lock);
    bool full = service->leases_n >= WEFT_SNAPSHOT_LEASES_MAX;
    if (!full) {
        atomic_fetch_add(&snapshot->owners, 1);
        *lease = (struct lease){
            .id = ++service->lease_ids, .ends_ns = lease_end(call), .snapshot = snapshot};
        *id_out = lease->id;
        DL_APPEND(service->leases, lease);
        service->leases_n++;
    }
    pthread_mutex_unlock(&service->lock);
    if (!full)
        return WEFT_OK;
    free(lease);
    return weft_fail(WEFT_EAGAIN, "%u large pulls are under way already", WEFT_SNAPSHOT_LEASES_MAX);
}

/* ---- small pushes ---- */

static int push_inline(struct weft_snapshot_service *service,
                       const Weft__Snapshot__PushRequest *request, uint64_t *version_out)
{
    struct weft_snapshot *snapshot;
    if (request->inline_.len != request->size_bytes || request->image.len > 0)
        return weft_fail(WEFT_EPROTO, "a push of %llu bytes brings %zu",
                         (unsigned long long)request->size_bytes, request->inline_.len);
    if (request->size_bytes > WEFT_SNAPSHOT_INLINE_MAX)
        return weft_fail(WEFT_EMSGSIZE, "%zu bytes are too many for a message; share an image",
                         request->inline_.len);
    int err = weft__snapshot_new(service->store, request->size_bytes,
                                 request->size_bytes + WEFT_SNAPSHOT_OVERHEAD_BYTES, &snapshot);
    if (err != WEFT_OK)
        return err;
    memcpy(snapshot->bytes, request->inline_.data, request->inline_.len);
    err = weft__store_replace(service->store, request->key, request->base_version, snapshot);
    if (err == WEFT_OK)
        *version_out = snapshot->version;
    weft__snapshot_put(snapshot);
    return err;
}

/* ---- large pushes ---- */

static void push_free(struct push *push)
{
    weft__lane_peer_put(push->lane, push->peer);
    if (push->snapshot != NULL)
        weft__snapshot_put(push->snapshot);
    if (push->changes != NULL) {
        weft__spare_put(push->changes, push->changes_bytes);
        weft__store_give_back(push->service->store, push->changes_bytes);
    }
    weft__image_free(push->image);
    free(push);
}

/* The last byte has come and been checked. */
static int keep(struct push *push, uint64_t *version_out)
{
    struct weft_store *store = push->service->store;
    if (push->base_version != 0)
        return weft__store_update(store,
                                  &(struct weft_store_update){.key = push->key,
                                                              .base_version = push->base_version,
                                                              .size_bytes = push->size_bytes,
                                                              .image = push->image,
                                                              .bytes = push->changes},
                                  version_out);
    weft__snapshot_came(push->snapshot, push->image);
    push->image = NULL;
    int err = weft__store_set(store, push->key, push->snapshot);
    if (err == WEFT_OK)
        *version_out = push->snapshot->version;
    return err;
}

/* Thread: the pull's, once. */
static void pulled(struct weft_pull *pull, int err, const char *text, void *user)
{
    struct push *push = user;
    struct weft_snapshot_service *service = push->service;
    struct weft_call *call = push->call;
    uint64_t version = 0;
    pthread_mutex_lock(&service->lock);
    DL_DELETE(service->pushes, push);
    if (err == WEFT_ECANCELED && service->stopped)
        err = WEFT_ESHUTDOWN;
    pthread_mutex_unlock(&service->lock);
    if (err != WEFT_OK)
        weft_fail(err, "%s", err == WEFT_ESHUTDOWN ? "the host is shutting down" : text);
    else
        err = keep(push, &version);
    weft__pull_free(pull);
    push_free(push);
    if (err == WEFT_OK)
        answer_push(call, version);
    else
        fail(call, err);
    pthread_mutex_lock(&service->lock);
    service->pushes_n--;
    pthread_cond_broadcast(&service->ended);
    pthread_mutex_unlock(&service->lock);
}

/* Thread: the fan-in's. */
static void cancelled(void *ctx, struct weft_call *call)
{
    struct weft_snapshot_service *service = ctx;
    struct push *push;
    pthread_mutex_lock(&service->lock);
    DL_FOREACH(service->pushes, push)
    if (push->call == call)
        weft__pull_cancel(push->pull);
    pthread_mutex_unlock(&service->lock);
}

/* Memory for what changed, until all of it is here. */
static int make_changes(struct push *push)
{
    const uint64_t bytes = push->image->total_bytes;
    if (bytes == 0)
        return WEFT_OK;
    int err = weft__store_reserve(push->service->store, bytes);
    if (err != WEFT_OK)
        return err;
    push->changes = weft__spare_get(bytes);
    push->changes_bytes = bytes;
    if (push->changes == NULL) {
        weft__store_give_back(push->service->store, bytes);
        return weft_fail(WEFT_ENOMEM, "no memory for changes of %llu bytes",
                         (unsigned long long)bytes);
    }
    return WEFT_OK;
}

/* Decodes what comes, and sets memory apart for it. */
static int prepare(struct weft_snapshot_service *service,
                   const Weft__Snapshot__PushRequest *request, struct push *push)
{
    int err = weft__image_decode(request->image.data, request->image.len, &push->image);
    if (err != WEFT_OK)
        return err;
    uint64_t pages = (request->size_bytes + WEFT_REGION_PAGE - 1) / WEFT_REGION_PAGE;
    if (request->size_bytes <= WEFT_SNAPSHOT_INLINE_MAX ||
        push->image->region_len_bytes != pages * WEFT_REGION_PAGE)
        return weft_fail(WEFT_EPROTO, "a push of %llu bytes brings an image of %llu",
                         (unsigned long long)request->size_bytes,
                         (unsigned long long)push->image->region_len_bytes);
    if (push->image->chunk_bytes > WEFT_SNAPSHOT_CHUNK_MAX)
        return weft_fail(WEFT_EINVAL, "an image in pieces of %u bytes; %u at most",
                         push->image->chunk_bytes, WEFT_SNAPSHOT_CHUNK_MAX);
    if (push->base_version != 0)
        return make_changes(push);
    return weft__snapshot_new(service->store, request->size_bytes,
                              push->image->total_bytes + WEFT_SNAPSHOT_OVERHEAD_BYTES,
                              &push->snapshot);
}

static int pull_start(struct push *push)
{
    struct weft_snapshot_service *service = push->service;
    struct weft_pull_desc desc = {.lane = push->lane,
                                  .peer = push->peer,
                                  .image = push->image,
                                  .into = push->snapshot ? &push->snapshot->region : NULL,
                                  .memory = push->changes,
                                  .done = pulled,
                                  .user = push};
    int err = WEFT_OK;
    weft__call_on_cancel(push->call, cancelled, service);
    pthread_mutex_lock(&service->lock); /* pulled() waits for it, if it is that fast */
    if (service->stopped)
        err = weft_fail(WEFT_ESHUTDOWN, "the host is shutting down");
    else if (service->pushes_n >= WEFT_SNAPSHOT_PULLS_MAX)
        err = weft_fail(WEFT_EAGAIN, "%u large pushes are under way already",
                        WEFT_SNAPSHOT_PULLS_MAX);
    if (err == WEFT_OK)
        err = weft__pull_start(&desc, &push->pull);
    if (err == WEFT_OK) {
        DL_APPEND(service->pushes, push);
        service->pushes_n++;
    }
    pthread_mutex_unlock(&service->lock);
    return err;
}

/* Before bytes are moved in vain; it is looked at again when they are here. */
static int check_base(const struct push *push)
{
    struct weft_store_entry base;
    const bool is_base = weft__store_info(push->service->store, push->key, &base) &&
                         base.version == push->base_version;
    return is_base ? WEFT_OK : weft__store_stale(push->key, push->base_version);
}

/* WEFT_OK: answered later. */
static int push_large(struct weft_snapshot_service *service, struct weft_call *call,
                      const Weft__Snapshot__PushRequest *request)
{
    struct weft_lane *lane;
    struct weft_lane_peer peer;
    size_t key_len = strlen(request->key) + 1;
    if (service->data == NULL)
        return weft_fail(WEFT_ENOTSUP, "this host has no lane for large snapshots");
    int err = weft__data_lane(service->data, &lane);
    if (err == WEFT_OK)
        err = weft__lane_peer(lane, request->lane, &peer);
    if (err != WEFT_OK)
        return err;
    struct push *push = calloc(1, sizeof(*push) + key_len);
    if (push == NULL) {
        weft__lane_peer_put(lane, peer);
        return weft_fail(WEFT_ENOMEM, "no memory for a push");
    }
    push->service = service;
    push->call = call;
    push->lane = lane;
    push->peer = peer;
    push->size_bytes = request->size_bytes;
    push->base_version = request->base_version;
    memcpy(push->key, request->key, key_len);
    err = push->base_version != 0 ? check_base(push) : WEFT_OK;
    if (err == WEFT_OK)
        err = prepare(service, request, push);
    if (err == WEFT_OK)
        err = pull_start(push);
    if (err != WEFT_OK)
        push_free(push);
    return err;
}

static void on_push(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_snapshot_service *service = ctx;
    const Weft__Snapshot__PushRequest *request = (const Weft__Snapshot__PushRequest *)message;
    uint64_t version = 0;
    int err = check_key(request->key);
    clear_leases(service, weft__now_ns());
    if (err == WEFT_OK && request->size_bytes == 0)
        err = weft_fail(WEFT_EINVAL, "a snapshot of 0 bytes is none");
    if (err == WEFT_OK && request->image.len > 0) {
        err = push_large(service, call, request);
        if (err != WEFT_OK)
            fail(call, err);
        return;
    }
    if (err == WEFT_OK)
        err = push_inline(service, request, &version);
    if (err == WEFT_OK)
        answer_push(call, version);
    else
        fail(call, err);
}

/* ---- pulls ---- */

/* Answers, or says why not. */
static int pull_one(struct weft_snapshot_service *service, struct weft_call *call,
                    struct weft_snapshot *snapshot)
{
    Weft__Snapshot__PullReply reply = WEFT__SNAPSHOT__PULL_REPLY__INIT;
    struct weft_lane *lane;
    const uint8_t *descriptor;
    int err = WEFT_OK;
    reply.size_bytes = snapshot->size_bytes;
    reply.version = snapshot->version;
    if (snapshot->bytes != NULL) {
        reply.inline_.data = snapshot->bytes;
        reply.inline_.len = snapshot->size_bytes;
    } else {
        err = weft__data_lane(service->data, &lane);
        if (err == WEFT_OK)
            err = weft__snapshot_share(snapshot, lane, &descriptor, &reply.image.len);
        if (err == WEFT_OK)
            err = take_lease(service, call, snapshot, &reply.lease);
        if (err != WEFT_OK)
            return err;
        reply.image.data = (uint8_t *)(uintptr_t)descriptor;
        reply.lane = weft__message_text(weft__lane_address(lane));
    }
    weft__call_reply(call, &reply.base);
    return WEFT_OK;
}

static void on_pull(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_snapshot_service *service = ctx;
    const char *key = ((const Weft__Snapshot__PullRequest *)message)->key;
    clear_leases(service, weft__now_ns());
    struct weft_snapshot *snapshot = weft__store_get(service->store, key);
    int err = snapshot != NULL ? pull_one(service, call, snapshot) : no_snapshot(key);
    if (err != WEFT_OK)
        fail(call, err);
    if (snapshot != NULL)
        weft__snapshot_put(snapshot);
}

static void on_pulled(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_snapshot_service *service = ctx;
    uint64_t id = ((const Weft__Snapshot__PulledRequest *)message)->lease;
    struct lease *lease;
    pthread_mutex_lock(&service->lock);
    DL_FOREACH(service->leases, lease)
    if (lease->id == id)
        break;
    if (lease != NULL) {
        DL_DELETE(service->leases, lease);
        service->leases_n--;
        lease->next = NULL;
    }
    pthread_mutex_unlock(&service->lock);
    end_leases(lease);
    weft__call_reply(call, NULL);
}

/* ---- the rest ---- */

static void on_delete(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_snapshot_service *service = ctx;
    clear_leases(service, weft__now_ns());
    Weft__Snapshot__DeleteReply reply = WEFT__SNAPSHOT__DELETE_REPLY__INIT;
    reply.existed =
        weft__store_delete(service->store, ((const Weft__Snapshot__DeleteRequest *)message)->key);
    weft__call_reply(call, &reply.base);
}

static void on_info(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_snapshot_service *service = ctx;
    Weft__Snapshot__Info info = WEFT__SNAPSHOT__INFO__INIT;
    char *key = ((const Weft__Snapshot__InfoRequest *)message)->key;
    struct weft_store_entry entry;
    if (!weft__store_info(service->store, key, &entry)) {
        fail(call, no_snapshot(key));
        return;
    }
    info.key = key;
    info.size_bytes = entry.size_bytes;
    info.held_bytes = entry.held_bytes;
    info.version = entry.version;
    info.pushed_wall_ms = entry.pushed_wall_ms;
    weft__call_reply(call, &info.base);
}

static int answer_list(struct weft_snapshot_service *service, struct weft_call *call,
                       const struct weft_store_entry *entries, size_t n, bool more)
{
    Weft__Snapshot__ListReply reply = WEFT__SNAPSHOT__LIST_REPLY__INIT;
    struct weft_store_stats stats;
    Weft__Snapshot__Info *infos = calloc(n + 1, sizeof(*infos));
    reply.snapshots = calloc(n + 1, sizeof(Weft__Snapshot__Info *));
    bool fits = infos != NULL && reply.snapshots != NULL;
    for (size_t i = 0; fits && i < n; i++) {
        weft__snapshot__info__init(&infos[i]);
        infos[i].key = entries[i].key;
        infos[i].size_bytes = entries[i].size_bytes;
        infos[i].held_bytes = entries[i].held_bytes;
        infos[i].version = entries[i].version;
        infos[i].pushed_wall_ms = entries[i].pushed_wall_ms;
        reply.snapshots[i] = &infos[i];
    }
    weft__store_stats(service->store, &stats);
    reply.n_snapshots = n;
    reply.more = more;
    reply.held_bytes = stats.held_bytes;
    reply.memory_max = stats.memory_max;
    if (fits)
        weft__call_reply(call, &reply.base);
    free(reply.snapshots);
    free(infos);
    return fits ? WEFT_OK : weft_fail(WEFT_ENOMEM, "no memory for a list of snapshots");
}

static void on_list(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_snapshot_service *service = ctx;
    const Weft__Snapshot__ListRequest *request = (const Weft__Snapshot__ListRequest *)message;
    struct weft_store_entry *entries;
    size_t n, max = request->max;
    clear_leases(service, weft__now_ns());
    if (max == 0 || max > WEFT_SNAPSHOT_LIST_MAX)
        max = WEFT_SNAPSHOT_LIST_MAX;
    int err =
        weft__store_list(service->store, request->prefix, request->after, max + 1, &entries, &n);
    if (err == WEFT_OK) {
        err = answer_list(service, call, entries, n > max ? max : n, n > max);
        weft__store_list_free(entries, n);
    }
    if (err != WEFT_OK)
        fail(call, err);
}

static void on_file(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_snapshot_service *service = ctx;
    clear_leases(service, weft__now_ns()); /* a restore may need their memory */
    weft__jobs_start(service->jobs, call, message);
}

static void on_lane(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_snapshot_service *service = ctx;
    (void)message;
    if (service->data != NULL)
        weft__data_on_lane(service->data, call);
    else
        weft__call_fail(call, WEFT_ENOTSUP, "this host has no lane");
}

static const struct weft_handler_desc handlers[] = {
    {WEFT_SNAPSHOT_PUSH, WEFT_HANDLER_SYNC, "push", &weft__snapshot__push_request__descriptor,
     on_push},
    {WEFT_SNAPSHOT_PULL, WEFT_HANDLER_SYNC, "pull", &weft__snapshot__pull_request__descriptor,
     on_pull},
    {WEFT_SNAPSHOT_PULLED, WEFT_HANDLER_SYNC | WEFT_HANDLER_ASYNC, "pulled",
     &weft__snapshot__pulled_request__descriptor, on_pulled},
    {WEFT_SNAPSHOT_DELETE, WEFT_HANDLER_SYNC | WEFT_HANDLER_ASYNC, "delete",
     &weft__snapshot__delete_request__descriptor, on_delete},
    {WEFT_SNAPSHOT_INFO, WEFT_HANDLER_SYNC, "info", &weft__snapshot__info_request__descriptor,
     on_info},
    {WEFT_SNAPSHOT_LIST, WEFT_HANDLER_SYNC, "list", &weft__snapshot__list_request__descriptor,
     on_list},
    {WEFT_SNAPSHOT_SAVE, WEFT_HANDLER_SYNC, "save", &weft__snapshot__file_request__descriptor,
     on_file},
    {WEFT_SNAPSHOT_RESTORE, WEFT_HANDLER_SYNC, "restore", &weft__snapshot__file_request__descriptor,
     on_file},
    {WEFT_SNAPSHOT_VERIFY, WEFT_HANDLER_SYNC, "verify", &weft__snapshot__file_request__descriptor,
     on_file},
    {WEFT_SNAPSHOT_STORED, WEFT_HANDLER_SYNC, "stored", &weft__snapshot__list_request__descriptor,
     on_file},
    {WEFT_SNAPSHOT_DISCARD, WEFT_HANDLER_SYNC, "discard",
     &weft__snapshot__delete_request__descriptor, on_file},
    {WEFT_CALL_LANE, WEFT_HANDLER_SYNC, "lane", NULL, on_lane},
};

/* ---- open and close ---- */

static uint64_t default_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page / 8 : 1u << 30;
}

int weft__snapshot_service_open(const struct weft_snapshot_service_desc *desc,
                                struct weft_snapshot_service **service_out)
{
    struct weft_snapshot_service *service = calloc(1, sizeof(*service));
    if (service == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for the snapshot service");
    int err = weft__store_open(desc->memory_max != 0 ? desc->memory_max : default_memory(),
                               &service->store);
    if (err == WEFT_OK)
        err = weft__jobs_open(&(struct weft_jobs_desc){.store = service->store,
                                                       .folder = desc->folder,
                                                       .io = desc->io},
                              &service->jobs);
    if (err != WEFT_OK) {
        weft__store_close(service->store);
        free(service);
        return err;
    }
    service->data = desc->data;
    service->lease_ids = weft__now_ns();
    pthread_mutex_init(&service->lock, NULL);
    pthread_cond_init(&service->ended, NULL);
    *service_out = service;
    return WEFT_OK;
}

void weft__snapshot_service_stop(struct weft_snapshot_service *service)
{
    struct push *push;
    if (service == NULL)
        return;
    pthread_mutex_lock(&service->lock);
    service->stopped = true;
    DL_FOREACH(service->pushes, push)
    {
        weft__pull_cancel(push->pull);
        weft__lane_drop(push->lane, push->peer); /* which may be dead: gets end at once */
    }
    while (service->pushes_n > 0)
        pthread_cond_wait(&service->ended, &service->lock);
    pthread_mutex_unlock(&service->lock);
    weft__jobs_stop(service->jobs);
}

void weft__snapshot_service_close(struct weft_snapshot_service *service)
{
    if (service == NULL)
        return;
    clear_leases(service, WEFT_NEVER);
    weft__jobs_close(service->jobs);
    weft__store_close(service->store);
    pthread_cond_destroy(&service->ended);
    pthread_mutex_destroy(&service->lock);
    free(service);
}

void weft__snapshot_service_table(struct weft_snapshot_service *service,
                                  struct weft_service_desc *service_out)
{
    *service_out = (struct weft_service_desc){.name = "snapshot",
                                              .handlers = handlers,
                                              .handlers_n = sizeof(handlers) / sizeof(handlers[0]),
                                              .ctx = service,
                                              .body_max = WEFT_FRAME_BODY_MAX};
}
