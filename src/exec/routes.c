/* Who is where, and the flush of a departed rank.
 *
 * Processes are never forgotten before the end, dead ones are marked. The map itself is group/world
 * under a lock; a packed copy of each entry is read without it on every send.
 *
 * Flush: a process that learns a newer route sends its unacknowledged packets to the new place, and
 * then a marker (rank, incarnation) to the place that it knew before. It also sends one to every
 * older place that the home tells it of late. A source forwards until it has a marker from each
 * live process; those that are silent are told the route again, with the wish for a marker, so that
 * the flush does not depend on what the home told whom and when. A packet that is overtaken by its
 * marker is answered with the route, and its sender sends it again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "exec/impl.h"
#include "weft/error.h"

#define NUDGE_NS 300000000ull

static int make_process(struct weft_exec *exec, const struct weft_exec_process *desc,
                        struct weft__process **process_out)
{
    struct weft_lanes_peer peers = {0};
    if (desc->process != exec->process) {
        int err = weft__lanes_peer(&exec->lanes, desc->lane, &peers);
        if (err)
            return err;
    }
    struct weft__process *process = calloc(1, sizeof(*process));
    char *host = strdup(desc->host), *lane = strdup(desc->lane);
    if (!process || !host || !lane) {
        free(process);
        free(host);
        free(lane);
        return weft_fail(WEFT_ENOMEM, "no memory for process %u on %s", desc->process, desc->host);
    }
    *process = (struct weft__process){
        .number = desc->process, .host = host, .lane = lane, .peers = peers, .peer = peers.of[0]};
    *process_out = process;
    return WEFT_OK;
}

int weft__process_add(struct weft_exec *exec, const struct weft_exec_process *desc)
{
    if (desc->process >= WEFT_EXEC_PROCESSES_MAX)
        return weft_fail(WEFT_EINVAL, "process number %u is over %u", desc->process,
                         WEFT_EXEC_PROCESSES_MAX - 1);
    if (weft__process_find(exec, desc->process))
        return WEFT_OK;
    struct weft__process *process = NULL;
    int err = make_process(exec, desc, &process);
    if (err)
        return err;
    pthread_mutex_lock(&exec->world_lock);
    bool first = !weft__process_find(exec, desc->process);
    if (first) {
        atomic_store_explicit(&exec->processes[desc->process], process, memory_order_release);
        if (desc->process != exec->process)
            atomic_fetch_add_explicit(&exec->peers, 1, memory_order_relaxed);
        if (desc->process >= atomic_load_explicit(&exec->processes_end, memory_order_relaxed))
            atomic_store_explicit(&exec->processes_end, desc->process + 1, memory_order_release);
    }
    pthread_mutex_unlock(&exec->world_lock);
    if (!first) {
        free(process->host);
        free(process->lane);
        free(process);
    }
    return WEFT_OK;
}

static void send_marker(struct weft_exec *exec, int32_t rank, uint32_t incarnation, uint32_t to)
{
    if (to == exec->process || to == WEFT_PROCESS_NONE)
        return;
    struct weft_packet_header header = {
        .type = WEFT_PACKET_MARKER,
        .dest = rank,
        .dest_incarnation = incarnation,
        .source = -1,
        .process = exec->process,
    };
    /* On each lane, behind what went there; where one is lost, the other end asks for it. */
    for (unsigned lane = 0; lane < exec->lanes.n; lane++) {
        header.ack = lane;
        weft__outbox_post_on(exec, to, &header, NULL, lane);
    }
}

void weft__route_changed(struct weft_exec *exec, int32_t rank)
{
    for (int32_t i = 0; i < exec->size; i++) {
        struct weft__rank *local = weft__rank_find(exec, i);
        if (!local)
            continue;
        weft__outbox_flush(local, rank, true);
        weft__gets_hurry(local, rank);
    }
    struct weft__rank *moved = weft__rank_find(exec, rank);
    if (moved && atomic_load_explicit(&moved->held, memory_order_relaxed))
        weft__arrive_held(moved);
}

void weft__route_learn(struct weft_exec *exec, const struct weft_exec_route *route)
{
    struct weft_world_entry entry = {.process = route->process, .incarnation = route->incarnation};
    pthread_mutex_lock(&exec->world_lock);
    struct weft_world_entry before = weft__world_get(&exec->world, route->rank);
    bool newer = weft__world_update(&exec->world, route->rank, entry);
    if (newer)
        atomic_store_explicit(&exec->routes[route->rank],
                              (uint64_t)entry.process << 32 | entry.incarnation,
                              memory_order_release);
    pthread_mutex_unlock(&exec->world_lock);
    if (newer) {
        weft__route_changed(exec, route->rank);
        if (before.process != entry.process)
            send_marker(exec, route->rank, entry.incarnation, before.process);
    } else if (entry.incarnation < before.incarnation && entry.process != before.process) {
        send_marker(exec, route->rank, before.incarnation, entry.process);
    }
}

int weft__exec_routes(struct weft_exec *exec, const struct weft_exec_process *processes,
                      size_t processes_n, const struct weft_exec_route *routes, size_t routes_n)
{
    int err = WEFT_OK;
    for (size_t i = 0; i < processes_n; i++) {
        int one = weft__process_add(exec, &processes[i]);
        err = err ? err : one;
    }
    for (size_t i = 0; i < routes_n; i++) {
        if (routes[i].rank >= 0 && routes[i].rank < exec->size &&
            weft__process_find(exec, routes[i].process))
            weft__route_learn(exec, &routes[i]);
        else if (!err)
            err = weft_fail(WEFT_EINVAL, "no route of rank %d to process %u", (int)routes[i].rank,
                            routes[i].process);
    }
    return err;
}

void weft__route_tell(struct weft_exec *exec, int32_t rank, uint32_t process, uint8_t flags)
{
    struct weft_world_entry known = weft__route_of(exec, rank);
    struct weft__process *place = weft__process_find(exec, known.process);
    if (!place)
        return;
    struct weft_packet_route route = {.process = known.process, .incarnation = known.incarnation};
    strncpy(route.host, place->host, sizeof(route.host) - 1);
    strncpy(route.lane, place->lane, sizeof(route.lane) - 1);
    uint8_t payload[WEFT_PACKET_ROUTE_BYTES_MAX];
    struct weft_packet_header header = {
        .type = WEFT_PACKET_ROUTE,
        .flags = flags,
        .dest = rank,
        .dest_incarnation = known.incarnation,
        .source = -1,
        .process = exec->process,
        .payload_len = (uint32_t)weft__packet_route_encode(&route, payload),
    };
    weft__outbox_post(exec, process, &header, payload);
}

void weft__route_packet(struct weft_exec *exec, const struct weft_packet_header *header,
                        const uint8_t *payload)
{
    struct weft_packet_route route;
    int err = weft__packet_route_decode(payload, header->payload_len, &route);
    if (!err)
        err = weft__process_add(exec,
                                &(struct weft_exec_process){route.process, route.host, route.lane});
    if (err) {
        weft__counter_add(&exec->count.malformed, 1);
        return;
    }
    weft__route_learn(exec,
                      &(struct weft_exec_route){header->dest, route.process, route.incarnation});
    if (header->flags & WEFT_PACKET_WANT_MARKER)
        send_marker(exec, header->dest, weft__route_of(exec, header->dest).incarnation,
                    header->process);
}

/* Room for this many marks, of each process one per lane.  The caller holds the lock. */
static bool room_for_markers(struct weft__rank *rank, uint32_t n)
{
    if (n <= rank->markers_n)
        return true;
    uint32_t *markers = realloc(rank->markers, (size_t)n * sizeof(*markers));
    if (!markers)
        return false;
    memset(markers + rank->markers_n, 0, (size_t)(n - rank->markers_n) * sizeof(*markers));
    rank->markers = markers;
    rank->markers_n = n;
    return true;
}

void weft__marker_packet(struct weft_exec *exec, const struct weft_packet_header *header)
{
    struct weft__rank *rank;
    if (!weft__process_find(exec, header->process) || header->ack >= exec->lanes.n ||
        weft__rank_slot(exec, header->dest, &rank) != WEFT_OK)
        return;
    uint32_t at = header->process * exec->lanes.n + (uint32_t)header->ack;
    pthread_mutex_lock(&rank->lock);
    if (room_for_markers(rank, at + 1) && rank->markers[at] < header->dest_incarnation)
        rank->markers[at] = header->dest_incarnation;
    pthread_mutex_unlock(&rank->lock);
    weft__flush_check(rank, weft__now_ns());
}

static bool has_marked(const struct weft__rank *rank, uint32_t number)
{
    uint32_t n = rank->exec->lanes.n, at = number * n;
    for (uint32_t i = at; i < at + n; i++)
        if (i >= rank->markers_n || rank->markers[i] < rank->forward_incarnation)
            return false;
    return true;
}

/* Whether a process may still send here.  The caller holds the lock. */
static bool is_awaited(const struct weft__rank *rank, uint32_t number)
{
    struct weft__process *process = weft__process_find(rank->exec, number);
    return process && number != rank->exec->process &&
           !atomic_load_explicit(&process->dead, memory_order_relaxed) && !has_marked(rank, number);
}

static void nudge(struct weft__rank *rank, uint32_t end)
{
    for (uint32_t i = 0; i < end; i++) {
        pthread_mutex_lock(&rank->lock);
        bool awaited = rank->forwards && is_awaited(rank, i);
        pthread_mutex_unlock(&rank->lock);
        if (awaited)
            weft__route_tell(rank->exec, rank->number, i, WEFT_PACKET_WANT_MARKER);
    }
}

void weft__flush_check(struct weft__rank *rank, uint64_t now_ns)
{
    struct weft_exec *exec = rank->exec;
    uint32_t end = atomic_load_explicit(&exec->processes_end, memory_order_acquire);
    pthread_mutex_lock(&rank->lock);
    if (!rank->forwards) {
        pthread_mutex_unlock(&rank->lock);
        return;
    }
    bool awaited = false;
    for (uint32_t i = 0; i < end && !awaited; i++)
        awaited = is_awaited(rank, i);
    bool flushed = !awaited && !rank->hold.packets;
    bool late = awaited && now_ns >= rank->nudge_at_ns;
    uint32_t incarnation = rank->forward_incarnation;
    uint64_t forwarded = rank->forwarded;
    if (flushed) {
        rank->forwards = false;
        if (rank->state == WEFT_RANK_DEPARTED)
            rank->state = WEFT_RANK_ABSENT;
    }
    if (late)
        rank->nudge_at_ns = now_ns + NUDGE_NS;
    pthread_mutex_unlock(&rank->lock);
    if (flushed && exec->callbacks.flushed)
        exec->callbacks.flushed(exec->callbacks.ctx, rank->number, incarnation, forwarded);
    if (late)
        nudge(rank, end);
}

void weft__exec_process_dead(struct weft_exec *exec, uint32_t number)
{
    struct weft__process *process = weft__process_find(exec, number);
    if (!process || number == exec->process || atomic_exchange(&process->dead, true))
        return;
    weft__lanes_drop(&exec->lanes, &process->peers);
    /* What went by way of it may be lost. */
    for (int32_t i = 0; i < exec->size; i++) {
        struct weft__rank *rank = weft__rank_find(exec, i);
        if (!rank)
            continue;
        weft__outbox_flush(rank, -1, true);
        weft__flush_check(rank, weft__now_ns());
    }
}
