/* Memory that a rank lets others pull: the table in its range, and this process's registrations.
 *
 * An id is the slot and the count of its uses, so a stale one finds nothing; it stays the same
 * across moves. A key belongs to one stay in one process: it is made when somebody resolves the id,
 * kept in a short list per rank, and taken back by unexpose, at departure, or when the list is
 * full. It is made before that where the owner says who will resolve it: then it travels ahead, as
 * a ticket, and saves a question and its answer (64 KiB take 28 us one way instead of 75, over
 * tcp). Whoever pulls with a key that was taken back gets an error and resolves again, or, where
 * the transport keeps registrations for the next use, what the memory holds now. Registering is
 * never done with a lock held: it may wait for the thread that drives the lane.
 */
#include <sched.h>
#include <stdlib.h>

#include "exec/impl.h"
#include "weft/error.h"

#define SLOT_BITS 20
#define SLOT_MASK ((1u << SLOT_BITS) - 1)

static bool is_foreign(const struct weft__rank *rank, const void *addr, uint64_t len_bytes)
{
    return !weft_cell_holds(rank->cell, addr, len_bytes);
}

/* A free slot of the table; NULL: none.  The caller holds the lock. */
static struct weft__exposure *take_slot(struct weft__range *range)
{
    struct weft__exposure *slot;
    if (range->exposures_free) {
        slot = &range->exposures[range->exposures_free - 1];
        range->exposures_free = slot->next_free;
        return slot;
    }
    if (range->exposures_used == WEFT__EXPOSURES_MAX)
        return NULL;
    return &range->exposures[range->exposures_used++];
}

int weft__expose(struct weft__rank *rank, const void *addr, size_t len_bytes, uint64_t *id_out)
{
    if (!weft__memory_is_of(rank, addr, len_bytes))
        return weft_fail(WEFT_EINVAL, "rank %d exposes %zu bytes at %p that it cannot read",
                         (int)rank->number, len_bytes, addr);
    pthread_mutex_lock(&rank->lock);
    struct weft__range *range = rank->range;
    struct weft__exposure *slot = take_slot(range);
    if (slot) {
        slot->uses++;
        slot->id = (uint64_t)slot->uses << SLOT_BITS | (uint64_t)(slot - range->exposures);
        slot->addr = addr;
        slot->len_bytes = len_bytes;
        if (is_foreign(rank, addr, len_bytes))
            range->exposures_foreign++;
        *id_out = slot->id;
    }
    pthread_mutex_unlock(&rank->lock);
    if (slot)
        return WEFT_OK;
    return weft_fail(WEFT_EAGAIN, "rank %d exposes %u pieces of memory already", (int)rank->number,
                     WEFT__EXPOSURES_MAX);
}

static struct weft__exposure *find(const struct weft__rank *rank, uint64_t id)
{
    uint64_t slot = id & SLOT_MASK;
    if (!id || slot >= rank->range->exposures_used || rank->range->exposures[slot].id != id)
        return NULL;
    return &rank->range->exposures[slot];
}

const struct weft__exposure *weft__expose_find(const struct weft__rank *rank, uint64_t id)
{
    return find(rank, id);
}

/* Takes the registrations of an id (0: of all) out of the list.  The caller holds the lock. */
static struct weft__registration *take_registrations(struct weft__rank *rank, uint64_t id)
{
    struct weft__registration *taken = NULL, **at = &rank->registrations;
    while (*at) {
        struct weft__registration *one = *at;
        if (id && one->expose_id != id) {
            at = &one->next;
            continue;
        }
        *at = one->next;
        one->next = taken;
        taken = one;
    }
    return taken;
}

static void unregister(struct weft_exec *exec, struct weft__registration *list)
{
    while (list) {
        struct weft__registration *next = list->next;
        weft__lane_unregister(exec->lanes.lane[list->lane], list->region);
        free(list);
        list = next;
    }
}

/* Frees the slot.  The caller holds the lock. */
static void give_slot(struct weft__rank *rank, struct weft__exposure *slot)
{
    struct weft__range *range = rank->range;
    if (is_foreign(rank, slot->addr, slot->len_bytes))
        range->exposures_foreign--;
    slot->id = 0;
    slot->next_free = range->exposures_free;
    range->exposures_free = (uint32_t)(slot - range->exposures) + 1;
}

void weft__unexpose(struct weft__rank *rank, uint64_t id)
{
    pthread_mutex_lock(&rank->lock);
    struct weft__exposure *slot = find(rank, id);
    if (slot)
        give_slot(rank, slot);
    struct weft__registration *taken =
        slot && rank->registrations ? take_registrations(rank, id) : NULL;
    pthread_mutex_unlock(&rank->lock);
    unregister(rank->exec, taken);
}

void weft__expose_unregister(struct weft__rank *rank)
{
    pthread_mutex_lock(&rank->lock);
    struct weft__registration *taken = take_registrations(rank, 0);
    pthread_mutex_unlock(&rank->lock);
    unregister(rank->exec, taken);
}

void weft__expose_end(struct weft__rank *rank)
{
    pthread_mutex_lock(&rank->lock);
    struct weft__range *range = rank->range;
    for (uint32_t i = 0; i < range->exposures_used && range->exposures_foreign; i++)
        if (range->exposures[i].id &&
            is_foreign(rank, range->exposures[i].addr, range->exposures[i].len_bytes))
            give_slot(rank, &range->exposures[i]);
    while (rank->readers) {
        pthread_mutex_unlock(&rank->lock);
        sched_yield();
        pthread_mutex_lock(&rank->lock);
    }
    pthread_mutex_unlock(&rank->lock);
    weft__expose_unregister(rank);
}

/* Takes the oldest of a lane out of a list that is too long. Of no other lane: this may run on the
 * thread that drives the one and must not wait for who drives the other. */
static struct weft__registration *take_oldest(struct weft__rank *rank, unsigned lane)
{
    unsigned n = 0;
    for (struct weft__registration **at = &rank->registrations; *at; at = &(*at)->next) {
        if ((*at)->lane != lane || ++n <= WEFT__REGISTRATIONS_MAX)
            continue;
        struct weft__registration *out = *at;
        *at = out->next;
        out->next = NULL;
        return out;
    }
    return NULL;
}

/* Keeps a registration, unless its memory is exposed no more. Returns what has to be unregistered
 * instead. */
static struct weft__registration *keep(struct weft__rank *rank, struct weft__registration *made)
{
    pthread_mutex_lock(&rank->lock);
    struct weft__registration *out = made;
    if (weft__rank_is_readable(rank) && find(rank, made->expose_id)) {
        made->next = rank->registrations;
        rank->registrations = made;
        out = take_oldest(rank, made->lane);
    }
    pthread_mutex_unlock(&rank->lock);
    return out;
}

/* Looks the id up: err, length, and the key where it has one already. */
static const struct weft__registration *look_up(struct weft__rank *rank, uint64_t id, unsigned lane,
                                                struct weft__exposure *exposure_out)
{
    struct weft__exposure *found = weft__rank_is_readable(rank) ? find(rank, id) : NULL;
    *exposure_out = found ? *found : (struct weft__exposure){0};
    struct weft__registration *one = found ? rank->registrations : NULL;
    while (one && (one->expose_id != id || one->lane != lane))
        one = one->next;
    return one;
}

static int make_key(struct weft__rank *rank, const struct weft__exposure *exposure, unsigned lane,
                    struct weft_lane_key *key_out)
{
    struct weft__registration *made = calloc(1, sizeof(*made));
    if (!made)
        return WEFT_ENOMEM;
    made->expose_id = exposure->id;
    made->lane = lane;
    int err = weft__lane_register(rank->exec->lanes.lane[lane], (void *)(uintptr_t)exposure->addr,
                                  exposure->len_bytes, WEFT_TP_READ | WEFT_TP_KEEP, &made->region,
                                  &made->key);
    if (err) {
        free(made);
        return err;
    }
    *key_out = made->key;
    unregister(rank->exec, keep(rank, made));
    return WEFT_OK;
}

/* What to answer.  Errors: in the answer: WEFT_ENOENT; WEFT_EINVAL there is no such memory;
 * WEFT_ESTALE try again. A key that is asked for though it is there has failed once, or
 * came as a ticket that could not be used. */
static void resolve(struct weft__rank *rank, uint64_t id, unsigned lane,
                    struct weft_packet_resolved *out)
{
    struct weft_lane_key key = {0};
    struct weft__exposure exposure;
    pthread_mutex_lock(&rank->lock);
    bool here = weft__rank_is_readable(rank);
    const struct weft__registration *kept = look_up(rank, id, lane, &exposure);
    if (kept)
        key = kept->key;
    pthread_mutex_unlock(&rank->lock);
    out->err = !here ? WEFT_ESTALE : exposure.id ? WEFT_OK : WEFT_ENOENT;
    if (!out->err && !kept && exposure.len_bytes &&
        make_key(rank, &exposure, lane, &key) != WEFT_OK)
        out->err = WEFT_ESTALE;
    if ((out->err || kept) && exposure.id &&
        !weft__memory_is_there(exposure.addr, exposure.len_bytes, true))
        out->err = WEFT_EINVAL;
    out->key = key.tp.key;
    out->key_base = key.tp.base;
    out->key_len = key.tp.len_bytes;
    out->len_bytes = exposure.len_bytes;
}

/* As many as are kept: one more would cost another its key. */
static bool has_room(struct weft__rank *rank, unsigned lane)
{
    unsigned n = 0;
    pthread_mutex_lock(&rank->lock);
    for (const struct weft__registration *one = rank->registrations; one; one = one->next)
        n += one->lane == lane;
    pthread_mutex_unlock(&rank->lock);
    return n < WEFT__REGISTRATIONS_MAX;
}

void weft__expose_ticket(struct weft__rank *rank, uint64_t id, int32_t dest,
                         struct weft_cell_ticket *ticket_out)
{
    struct weft_exec *exec = rank->exec;
    struct weft_packet_resolved resolved = {.process = exec->process};
    *ticket_out = (struct weft_cell_ticket){.len_bytes = 0};
    if (dest < 0 || dest >= exec->size || weft__route_of(exec, dest).process == exec->process)
        return;
    unsigned lane = weft__lanes_of_pair(&exec->lanes, dest, rank->number);
    if (!has_room(rank, lane))
        return;
    resolve(rank, id, lane, &resolved);
    if (resolved.err || resolved.key_len != resolved.len_bytes)
        return;
    *ticket_out = (struct weft_cell_ticket){.key = resolved.key,
                                            .base = resolved.key_base,
                                            .len_bytes = resolved.len_bytes,
                                            .process = exec->process,
                                            .incarnation = rank->incarnation};
}

void weft__expose_resolve(struct weft__rank *rank, const struct weft_packet_header *header,
                          const uint8_t *payload)
{
    struct weft_packet_resolve asked;
    if (weft__packet_resolve_decode(payload, header->payload_len, &asked) != WEFT_OK)
        return;
    struct weft_packet_resolved resolved = {.request = asked.request,
                                            .process = rank->exec->process};
    unsigned lane = weft__lanes_of_pair(&rank->exec->lanes, header->source, rank->number);
    resolve(rank, asked.expose_id, lane, &resolved);
    uint8_t bytes[WEFT_PACKET_RESOLVED_BYTES];
    struct weft_packet_header answer = {
        .type = WEFT_PACKET_RESOLVED,
        .dest = header->source,
        .source = rank->number,
        .process = rank->exec->process,
        .payload_len = (uint32_t)weft__packet_resolved_encode(&resolved, bytes),
    };
    if (header->process == rank->exec->process) {
        struct weft__rank *asker = weft__rank_find(rank->exec, header->source);
        if (asker)
            weft__get_resolved(asker, &answer, bytes);
        return;
    }
    weft__outbox_post(rank->exec, header->process, &answer, bytes); /* lost: asked again */
}
