/* Gets: pulling memory that another rank exposes, wherever that rank is when the pull happens.
 *
 * A get goes WANTED -> (owner in this process) COPYING -> done, or WANTED -> RESOLVING -> PULLING
 * -> done, without RESOLVING where it has a ticket of the place where the owner is thought to be.
 * Whatever goes wrong on the way because the owner has moved or died (no answer, stale key, broken
 * connection) leads back to WANTED with a growing pause: pulling is idempotent. Only the owner
 * itself can say that there is nothing under the id, or that it is not memory. Each try has a new
 * request number, so answers to earlier ones change nothing. A get never completes inside get();
 * the copy from a rank of this process is made by the next wait().
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "exec/impl.h"
#include "snapshot/track.h"
#include "weft/error.h"

#define PAUSE_FIRST_NS 1000000ull
#define PAUSE_MAX_NS 100000000ull

enum phase { WANTED, COPYING, RESOLVING, PULLING };

struct weft__get {
    struct weft__get *next;
    struct weft__rank *rank;
    struct weft_cell_get what; /* as it was asked for */
    struct weft_cell_get *op;  /* where the end is written: a rank elsewhere can change it */
    enum phase phase;
    uint64_t request;
    uint64_t at_ns; /* WANTED: when to begin; RESOLVING: when to ask again */
    unsigned tries;
    bool orphan; /* the rank has ended: nobody waits for it */
    unsigned on; /* PULLING: the lane */
    struct weft_lane_get lane;
};

static struct weft__get **link_to(struct weft__rank *rank, const struct weft__get *get)
{
    struct weft__get **at = &rank->gets;
    while (*at && *at != get)
        at = &(*at)->next;
    return at;
}

/* Ends a get.  The caller holds the lock. */
static void complete(struct weft__rank *rank, struct weft__get *get, int err)
{
    struct weft__get **at = link_to(rank, get);
    *at = get->next;
    if (!get->orphan) {
        if (!err)
            weft__traffic_got(rank, get->what.source, get->what.len_bytes);
        get->op->runtime = NULL;
        atomic_store_explicit(&get->op->state, err, memory_order_release);
    }
    free(get);
    atomic_fetch_sub_explicit(&rank->gets_n, 1, memory_order_release);
    weft__rank_ring(rank);
}

/* Begins anew after a pause.  The caller holds the lock. */
static void again(struct weft__rank *rank, struct weft__get *get)
{
    uint64_t pause = PAUSE_FIRST_NS << (get->tries < 8 ? get->tries : 8);
    get->phase = WANTED;
    get->tries++;
    get->at_ns = weft__now_ns() + (pause < PAUSE_MAX_NS ? pause : PAUSE_MAX_NS);
    weft__counter_add(&rank->exec->count.gets_restarted, 1);
    weft__keeper_poke(rank->exec);
}

/* Copies from a rank of this process. Returns WEFT_ESTALE where it is no longer here. While it
 * stands still, what is exposed can be read: it changes neither here nor at the destination. What
 * is not found may have been exposed after the rank went on there, of which this process has not
 * heard yet. */
static int copy_here(struct weft__rank *owner, const struct weft_cell_get *op)
{
    pthread_mutex_lock(&owner->lock);
    bool here = weft__rank_is_here(owner), frozen = owner->state == WEFT_RANK_FROZEN;
    const struct weft__exposure *found =
        here || frozen ? weft__expose_find(owner, op->expose_id) : NULL;
    int err = found ? WEFT_OK : here ? WEFT_ENOENT : WEFT_ESTALE;
    if (!err && (op->offset > found->len_bytes || op->len_bytes > found->len_bytes - op->offset))
        err = WEFT_ERANGE;
    const unsigned char *from = err ? NULL : (const unsigned char *)found->addr + op->offset;
    if (!err)
        owner->readers++;
    pthread_mutex_unlock(&owner->lock);
    if (err)
        return err;
    if (op->len_bytes)
        memmove(op->into, from, op->len_bytes);
    pthread_mutex_lock(&owner->lock);
    owner->readers--;
    pthread_mutex_unlock(&owner->lock);
    return WEFT_OK;
}

static void copy(struct weft__rank *rank, struct weft__get *get)
{
    struct weft__rank *owner = weft__rank_find(rank->exec, get->what.source);
    int err = owner ? copy_here(owner, &get->what) : WEFT_ESTALE;
    pthread_mutex_lock(&rank->lock);
    if (err == WEFT_ESTALE)
        again(rank, get);
    else
        complete(rank, get, err);
    pthread_mutex_unlock(&rank->lock);
}

static void pulled(struct weft_lane_get *lane_get, int err)
{
    struct weft__get *get = lane_get->user;
    struct weft__rank *rank = get->rank;
    weft__region_written(lane_get->into, lane_get->len_bytes);
    bool hopeless = err && !weft__memory_is_there(lane_get->into, lane_get->len_bytes, true);
    pthread_mutex_lock(&rank->lock);
    if (hopeless)
        complete(rank, get, WEFT_EINVAL);
    else if (err && !get->orphan)
        again(rank, get);
    else
        complete(rank, get, err);
    pthread_mutex_unlock(&rank->lock);
}

/* The owner has answered.  The caller holds the lock. */
static void pull(struct weft__rank *rank, struct weft__get *get,
                 const struct weft_packet_resolved *resolved, const struct weft__process *owner)
{
    const struct weft_cell_get *op = &get->what;
    if (resolved->err == WEFT_ENOENT || resolved->err == WEFT_EINVAL) {
        complete(rank, get, resolved->err == WEFT_EINVAL ? WEFT_EACCES : WEFT_ENOENT);
        return;
    }
    if (resolved->err || !owner) {
        again(rank, get);
        return;
    }
    if (op->offset > resolved->len_bytes || op->len_bytes > resolved->len_bytes - op->offset) {
        complete(rank, get, WEFT_ERANGE);
        return;
    }
    if (!op->len_bytes) {
        complete(rank, get, WEFT_OK);
        return;
    }
    get->phase = PULLING;
    struct weft_lanes *lanes = &rank->exec->lanes;
    get->on = weft__lanes_of_pair(lanes, rank->number, op->source);
    get->lane = (struct weft_lane_get){
        .peer = owner->peers.of[get->on],
        .key = {.tp = {.key = resolved->key,
                       .base = resolved->key_base,
                       .len_bytes = resolved->key_len}},
        .remote_offset = op->offset,
        .into = op->into,
        .len_bytes = op->len_bytes,
        .done = pulled,
        .user = get,
    };
    weft__region_will_write(op->into, op->len_bytes);
    if (weft__lane_get(lanes->lane[get->on], &get->lane) != WEFT_OK) {
        weft__region_written(op->into, op->len_bytes);
        again(rank, get);
    }
}

static void ask(struct weft__rank *rank, int32_t source, uint64_t expose_id, uint64_t request)
{
    struct weft_packet_resolve resolve = {.request = request, .expose_id = expose_id};
    uint8_t bytes[WEFT_PACKET_RESOLVE_BYTES];
    struct weft_world_entry route = weft__route_of(rank->exec, source);
    struct weft_packet_header header = {
        .type = WEFT_PACKET_RESOLVE,
        .dest = source,
        .dest_incarnation = route.incarnation,
        .source = rank->number,
        .process = rank->exec->process,
        .payload_len = (uint32_t)weft__packet_resolve_encode(&resolve, bytes),
    };
    weft__outbox_post(rank->exec, route.process, &header,
                      bytes); /* where it is lost, the timer asks again */
}

/* A get whose time has come.  The caller holds the lock. */
static struct weft__get *find_due(struct weft__rank *rank, uint64_t now_ns)
{
    for (struct weft__get *get = rank->gets; get; get = get->next)
        if ((get->phase == WANTED || get->phase == RESOLVING) && get->at_ns <= now_ns)
            return get;
    return NULL;
}

static bool has_ticket(const struct weft__rank *rank, const struct weft__get *get)
{
    const struct weft_cell_ticket *ticket = &get->what.ticket;
    const struct weft_world_entry route = weft__route_of(rank->exec, get->what.source);
    const uint64_t len = get->what.len_bytes, offset = get->what.offset;
    bool fits = len > 0 && offset <= ticket->len_bytes && len <= ticket->len_bytes - offset;
    return fits && get->tries == 0 && ticket->process == route.process &&
           ticket->incarnation == route.incarnation;
}

/* The caller holds the lock. */
static void pull_with_ticket(struct weft__rank *rank, struct weft__get *get)
{
    const struct weft_cell_ticket *ticket = &get->what.ticket;
    const struct weft_packet_resolved resolved = {.process = ticket->process,
                                                  .key = ticket->key,
                                                  .key_base = ticket->base,
                                                  .key_len = ticket->len_bytes,
                                                  .len_bytes = ticket->len_bytes};
    pull(rank, get, &resolved, weft__process_find(rank->exec, ticket->process));
}

void weft__gets_progress(struct weft__rank *rank, uint64_t now_ns)
{
    for (;;) {
        pthread_mutex_lock(&rank->lock);
        struct weft__get *get = weft__rank_is_here(rank) ? find_due(rank, now_ns) : NULL;
        if (!get) {
            pthread_mutex_unlock(&rank->lock);
            return;
        }
        int32_t source = get->what.source;
        bool here = weft__route_of(rank->exec, source).process == rank->exec->process;
        uint64_t id = get->what.expose_id, request = 0;
        if (!here && has_ticket(rank, get)) {
            pull_with_ticket(rank, get);
            pthread_mutex_unlock(&rank->lock);
            continue;
        }
        if (here) {
            get->phase = COPYING;
        } else {
            if (get->request == 0)
                weft__counter_add(&rank->exec->count.gets_asked, 1);
            request = get->request = ++rank->requests;
            get->phase = RESOLVING;
            get->at_ns = now_ns + (WEFT__RESOLVE_NS << (get->tries < 3 ? get->tries : 3));
        }
        pthread_mutex_unlock(&rank->lock);
        if (here)
            copy(rank, get);
        else
            ask(rank, source, id, request);
    }
}

int weft__get_start(struct weft__rank *rank, const struct weft_cell_get *what,
                    struct weft_cell_get *op)
{
    if (what->source < 0 || what->source >= rank->exec->size)
        return weft_fail(WEFT_EINVAL, "get from rank %d in a world of %d", (int)what->source,
                         (int)rank->exec->size);
    if (!weft__memory_is_of(rank, what->into, what->len_bytes))
        return weft_fail(WEFT_EINVAL, "rank %d pulls %zu bytes to %p, where it has no memory",
                         (int)rank->number, what->len_bytes, what->into);
    struct weft__get *get =
        atomic_load(&rank->gets_n) < WEFT__GETS_MAX ? calloc(1, sizeof(*get)) : NULL;
    if (!get)
        return WEFT_EAGAIN;
    const int32_t source = what->source;
    get->rank = rank;
    get->what.source = source;
    get->what.expose_id = what->expose_id;
    get->what.offset = what->offset;
    get->what.into = what->into;
    get->what.len_bytes = what->len_bytes;
    get->what.ticket = what->ticket;
    get->op = op;
    op->runtime = get;
    atomic_store_explicit(&op->state, 1, memory_order_relaxed);
    pthread_mutex_lock(&rank->lock);
    *link_to(rank, NULL) = get;
    atomic_fetch_add_explicit(&rank->gets_n, 1, memory_order_relaxed);
    pthread_mutex_unlock(&rank->lock);
    weft__counter_add(&rank->exec->count.gets, 1);
    if (weft__route_of(rank->exec, source).process != rank->exec->process) {
        weft__gets_progress(rank, weft__now_ns());
        weft__keeper_poke(rank->exec);
    }
    return WEFT_OK;
}

void weft__get_resolved(struct weft__rank *rank, const struct weft_packet_header *header,
                        const uint8_t *payload)
{
    struct weft_packet_resolved resolved;
    if (weft__packet_resolved_decode(payload, header->payload_len, &resolved) != WEFT_OK) {
        weft__counter_add(&rank->exec->count.malformed, 1);
        return;
    }
    struct weft__process *owner = weft__process_find(rank->exec, resolved.process);
    pthread_mutex_lock(&rank->lock);
    struct weft__get *get = rank->gets;
    while (get && (get->phase != RESOLVING || get->request != resolved.request))
        get = get->next;
    if (get && resolved.process == rank->exec->process && !resolved.err)
        again(rank, get); /* it has come here meanwhile */
    else if (get)
        pull(rank, get, &resolved, owner);
    pthread_mutex_unlock(&rank->lock);
}

void weft__gets_hurry(struct weft__rank *rank, int32_t source)
{
    if (!atomic_load_explicit(&rank->gets_n, memory_order_relaxed))
        return;
    bool any = false;
    pthread_mutex_lock(&rank->lock);
    for (struct weft__get *get = rank->gets; get; get = get->next) {
        if ((get->phase != WANTED && get->phase != RESOLVING) || get->what.source != source)
            continue;
        get->phase = WANTED;
        get->at_ns = 0;
        get->tries = 0;
        any = true;
    }
    pthread_mutex_unlock(&rank->lock);
    if (any)
        weft__gets_progress(rank, weft__now_ns());
}

void weft__gets_end(struct weft__rank *rank)
{
    bool writing = true;
    while (writing) {
        writing = false;
        pthread_mutex_lock(&rank->lock);
        for (struct weft__get **at = &rank->gets; *at;) {
            struct weft__get *get = *at;
            if (get->phase == WANTED || get->phase == RESOLVING) {
                *at = get->next;
                free(get);
                atomic_fetch_sub_explicit(&rank->gets_n, 1, memory_order_relaxed);
                continue;
            }
            get->orphan = true;
            writing = true;
            if (get->phase == PULLING)
                weft__lane_drop(rank->exec->lanes.lane[get->on], get->lane.peer);
            at = &get->next;
        }
        pthread_mutex_unlock(&rank->lock);
        if (writing && !weft__lanes_drive(&rank->exec->lanes))
            sched_yield();
    }
}
