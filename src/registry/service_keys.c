/* The service's side of the keys.
 *
 * A change is checked, brought to disk, made, answered, in this order: what a get shows has been on
 * disk before. All changes that wait, of different keys, go to disk in one piece; a second change
 * of a key waits for the next piece, because it has to be checked against the first.
 * Rejected: syncing on the service's workers (two slow ones would keep a third change waiting, and
 * each would pay for its own sync). */

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "registry/parts.h"
#include "registry/registry.h"
#include "weft/error.h"

#define BATCH_MAX 64
#define MEND_EVERY_NS WEFT_NS_PER_S

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

void weft__registry_on_get(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
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
    reply.log = registry->log;
    weft__call_reply(call, &reply.base);
}

void weft__registry_on_cas(void *ctx, struct weft_call *call, const ProtobufCMessage *message)
{
    struct weft_registry *registry = ctx;
    const Weft__Registry__CasRequest *request = (const Weft__Registry__CasRequest *)message;
    weft__waiting_defer(registry, &registry->changes,
                        (struct weft__waiting){.call = call, .cas = request}, NULL);
}

static struct weft_values_change change_of(const Weft__Registry__CasRequest *cas)
{
    return (struct weft_values_change){.key = {cas->key, strlen(cas->key)},
                                       .value = {cas->value.data, cas->erase ? 0 : cas->value.len},
                                       .erase = cas->erase};
}

static void answer_lost(const struct weft_registry *registry, struct weft__waiting *item)
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

static void answer_won(const struct weft_registry *registry, struct weft__waiting *item,
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

/* The winners of one piece, with the revisions that they make. */
struct batch {
    struct weft__waiting *items[BATCH_MAX];
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
static bool batch_take(struct weft_registry *registry, struct batch *batch,
                       struct weft__waiting *item)
{
    struct weft_values_change change = change_of(item->cas);
    bool wins = false;
    if (batch->n == BATCH_MAX || batch_touches(batch, change.key))
        return false;
    if (weft__call_deadline_ns(item->call) <= weft__now_ns()) {
        weft__waiting_fail(item, WEFT_ETIMEDOUT,
                           "the registry came to it after its deadline; nothing was changed");
        return true;
    }
    if (item->cas->epoch != 0 && item->cas->epoch != registry->epoch) {
        weft__waiting_fail(item, WEFT_ESTALE,
                           "the registry has started anew since this was decided; nothing was "
                           "changed");
        return true;
    }
    if (item->cas->log != 0 && item->cas->log != registry->log) {
        weft__waiting_fail(item, WEFT_ESTALE,
                           "the registry has lost its log since this was begun; nothing was "
                           "changed");
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
        weft__waiting_fail(item, err == WEFT_EIO ? WEFT_EREGISTRY : err, weft_fail_text(err));
        return true;
    }
    batch->items[batch->n] = item;
    batch->changes[batch->n++] = change;
    return true;
}

/* Told when it begins and when it is over: changes may be asked for again many times a second. */
static void note_write(struct weft_registry *registry, int err)
{
    if (err && !registry->failing)
        weft__error("%s", weft_fail_text(err));
    else if (!err && registry->failing)
        weft__warn("the registry's log %s can be written again", registry->journal.path);
    registry->failing = err != 0;
}

/* Brings the batch to disk, makes its changes and answers. */
static void batch_finish(struct weft_registry *registry, struct batch *batch)
{
    int err = weft__journal_commit(&registry->journal);
    bool applied = !err;
    if (batch->n)
        note_write(registry, err);
    pthread_mutex_lock(&registry->lock);
    for (size_t i = 0; i < batch->n && !err; i++)
        err = weft__values_apply(&registry->keys, &batch->changes[i]);
    pthread_mutex_unlock(&registry->lock);
    if (err && applied) /* disk and memory differ: memory counts, when the log is written anew */
        registry->journal.broken = true;
    for (size_t i = 0; i < batch->n; i++) {
        if (err)
            weft__waiting_fail(batch->items[i],
                               err == WEFT_ENOSPC && !applied ? err : WEFT_EREGISTRY,
                               weft_fail_text(err));
        else
            answer_won(registry, batch->items[i], batch->changes[i].revision);
    }
    batch->n = 0;
}

/* A log that is not to be trusted any more, or that somebody has deleted, is written anew, once
 * there is room for that. */
static void mend(struct weft_registry *registry)
{
    uint64_t now_ns = weft__now_ns();
    if (!weft__journal_is_lost(&registry->journal) || now_ns < registry->mend_ns)
        return;
    registry->mend_ns = now_ns + MEND_EVERY_NS;
    int err = weft__journal_compact(&registry->journal, &registry->keys);
    if (err)
        weft__error("%s", weft_fail_text(err));
    else
        weft__warn("the registry's log %s was written anew", registry->journal.path);
}

static void run_changes(struct weft_registry *registry, struct weft__waiting *first)
{
    struct batch batch = {.n = 0};
    mend(registry);
    while (first) {
        struct weft__waiting *next = first->next;
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

bool weft__registry_run_changes(struct weft_registry *registry)
{
    struct weft__waiting *first = registry->changes.first;
    if (!first)
        return false;
    weft__waiting_init(&registry->changes);
    pthread_mutex_unlock(&registry->lock);
    run_changes(registry, first);
    pthread_mutex_lock(&registry->lock);
    return true;
}
