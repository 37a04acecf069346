/* One host: its groups, its processes, its streams to other hosts, and time.
 *
 * Whatever comes in is done at once; what it leads to on this host (the agent and the home of a
 * group often are neighbours) goes through a queue of notes, so that home and agent meet the same
 * rules whether they are on one host or on two, and neither is called inside the other. At the end
 * of each step the notes are done and every stream sends what it has: all items for a host that one
 * step has made travel in one frame.
 *
 * A host is dead when the list of hosts had it, in this incarnation, and has it no more; one that
 * the list never had gets some time to appear. Members are dead after a silence, of which only the
 * time counts in which this process itself was let run.
 */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "group/coord_parts.h"
#include "weft/error.h"

struct weft_coord *weft__coord_new(const struct weft_coord_desc *desc)
{
    struct weft_coord *coord = weft__must_alloc(1, sizeof(*coord));
    coord->desc = *desc;
    coord->next_ns = WEFT_NEVER;
    return coord;
}

struct coord_group *weft__coord_group(const struct weft_coord *coord, uint64_t id)
{
    struct coord_group *group = NULL;
    HASH_FIND(hh, coord->groups, &id, sizeof(id), group);
    return group;
}

void weft__coord_by(struct weft_coord *coord, uint64_t at_ns)
{
    if (at_ns < coord->next_ns)
        coord->next_ns = at_ns;
}

void weft__coord_answer(struct weft_coord *coord, uint64_t token, int err, const char *text)
{
    struct weft_coord_answer answer = {.err = err, .text = text};
    coord->desc.answer(coord->desc.ctx, token, &answer);
}

/* ---- other hosts ---- */

static bool same_peer(const struct weft_coord_peer *a, const struct weft_coord_peer *b)
{
    return a->incarnation == b->incarnation && strcmp(a->name, b->name) == 0;
}

static bool is_buried(const struct weft_coord *coord, uint64_t incarnation)
{
    for (size_t i = 0; i < COORD_BURIED; i++) {
        if (coord->buried[i] == incarnation && i < coord->buried_n)
            return true;
    }
    return false;
}

/* Whether the host lives, as far as the list says. */
static bool is_listed(const struct weft_coord *coord, const struct weft_coord_peer *peer)
{
    for (size_t i = 0; i < coord->hosts_n; i++) {
        if (same_peer(&coord->hosts[i], peer))
            return true;
    }
    return false;
}

static uint64_t grace_ns(const struct weft_coord *coord)
{
    return 2 * coord->desc.dead_ns;
}

/* The stream to a host; begun where it is new.  NULL: the host is dead. */
static struct coord_peer *peer_of(struct weft_coord *coord, const struct weft_coord_peer *at)
{
    for (size_t i = 0; i < coord->peers_n; i++) {
        if (same_peer(&coord->peers[i]->link.peer, at))
            return coord->peers[i];
    }
    if (is_buried(coord, at->incarnation) || coord->peers_n >= WEFT_COORD_LINKS_MAX)
        return NULL;
    if (coord->peers_n == coord->peers_max) {
        coord->peers_max = coord->peers_max > 0 ? 2 * coord->peers_max : 8;
        coord->peers = weft__must_grow(coord->peers, coord->peers_max, sizeof(struct coord_peer *));
    }
    struct coord_peer *peer = weft__must_alloc(1, sizeof(*peer));
    weft__coord_link_init(&peer->link, at);
    peer->listed = is_listed(coord, at);
    peer->suspect_since = peer->listed ? WEFT_NEVER : coord->now_ns;
    if (!peer->listed)
        weft__coord_by(coord, coord->now_ns + grace_ns(coord));
    coord->peers[coord->peers_n++] = peer;
    return peer;
}

bool weft__coord_watch(struct weft_coord *coord, const struct weft_coord_peer *peer)
{
    return same_peer(peer, &coord->desc.self) || peer_of(coord, peer) != NULL;
}

void weft__coord_post(struct weft_coord *coord, const struct weft_coord_roster *roster,
                      uint32_t host, struct weft_coord_item item)
{
    if (same_peer(&roster->hosts[host], &coord->desc.self)) {
        struct coord_note *note = weft__must_alloc(1, sizeof(*note));
        note->item = item;
        LL_APPEND(coord->notes, note);
        return;
    }
    struct coord_peer *peer = peer_of(coord, &roster->hosts[host]);
    if (peer != NULL)
        weft__coord_link_push(&peer->link, item);
    else
        weft__coord_item_fini(&item);
}

void weft__coord_post_all(struct weft_coord *coord, const struct coord_group *group,
                          struct weft_coord_item item, bool self_too)
{
    for (uint32_t i = 0; i < group->roster->hosts_n; i++) {
        if (i != group->self || self_too)
            weft__coord_post(coord, group->roster, i, item);
    }
}

static uint32_t host_in(const struct coord_group *group, const struct weft_coord_peer *peer)
{
    uint32_t i = 0;
    while (i < group->roster->hosts_n && !same_peer(&group->roster->hosts[i], peer))
        i++;
    return i;
}

/* A new group of a home elsewhere. */
static void enter_group(struct weft_coord *coord, const struct weft_coord_peer *from,
                        struct weft_coord_item *item)
{
    struct weft_coord_roster *roster = item->roster;
    struct coord_group *group = weft__coord_group(coord, item->group);
    if (group == NULL && roster != NULL && roster->id == item->group &&
        same_peer(&roster->hosts[roster->home], from))
        group = weft__coord_group_new(coord, roster);
    if (group == NULL || group->home != NULL) {
        coord->dropped++; /* it will be missed where it was made, within its deadline */
        return;
    }
    weft__coord_post(coord, group->roster, group->roster->home,
                     (struct weft_coord_item){.kind = WEFT_COORD_READY, .group = group->id});
}

static void dispatch(struct weft_coord *coord, const struct weft_coord_peer *from,
                     struct weft_coord_item *item)
{
    struct coord_group *group = weft__coord_group(coord, item->group);
    if (item->kind == WEFT_COORD_GROUP) {
        enter_group(coord, from, item);
        return;
    }
    uint32_t host = group != NULL ? host_in(group, from) : 0;
    bool to_home = item->kind >= WEFT_COORD_READY && item->kind <= WEFT_COORD_ENDS;
    if (group == NULL || host == group->roster->hosts_n || item->kind == 0 ||
        item->kind >= WEFT_COORD_KINDS || (to_home && group->home == NULL))
        coord->dropped++;
    else if (to_home)
        weft__coord_home_item(coord, group, host, item);
    else
        weft__coord_agent_item(coord, group, host, item);
}

/* ---- the end of a step ---- */

static void do_notes(struct weft_coord *coord)
{
    while (coord->notes != NULL) {
        struct coord_note *note = coord->notes;
        LL_DELETE(coord->notes, note);
        dispatch(coord, &coord->desc.self, &note->item);
        weft__coord_item_fini(&note->item);
        free(note);
    }
}

static void send_frames(struct weft_coord *coord)
{
    const struct weft_coord_pace pace = {coord->desc.resend_ns, coord->desc.ack_ns};
    struct weft_coord_frame frame;
    for (size_t i = 0; i < coord->peers_n; i++) {
        struct weft_coord_link *link = &coord->peers[i]->link;
        while (weft__coord_link_next(link, &pace, coord->now_ns, &frame)) {
            frame.from = coord->desc.self;
            frame.to_incarnation = link->peer.incarnation;
            coord->desc.send(coord->desc.ctx, &link->peer, &frame);
        }
        weft__coord_by(coord, weft__coord_link_deadline(link));
    }
}

/* Groups that have failed stay while somebody here has them open. */
static void sweep(struct weft_coord *coord)
{
    struct coord_group *group, *next;
    coord->sweep = false;
    HASH_ITER(hh, coord->groups, group, next)
    {
        if (group->failed != 0 && group->open_n == 0)
            weft__coord_group_free(coord, group, group->failed, group->why);
    }
}

static void settle(struct weft_coord *coord)
{
    do_notes(coord);
    if (coord->sweep)
        sweep(coord);
    send_frames(coord);
}

/* ---- processes ---- */

static bool alive(struct weft_coord *coord, uint64_t id)
{
    struct coord_session *session = NULL;
    HASH_FIND(hh, coord->sessions, &id, sizeof(id), session);
    if (session == NULL && HASH_COUNT(coord->sessions) < WEFT_COORD_SESSIONS_MAX) {
        if (coord->sessions == NULL)
            coord->ticked_ns = coord->now_ns;
        session = weft__must_alloc(1, sizeof(*session));
        session->id = id;
        HASH_ADD(hh, coord->sessions, id, sizeof(session->id), session);
        weft__coord_by(coord, coord->now_ns + coord->desc.dead_ns / 8);
    }
    if (session != NULL)
        session->silent_ns = 0;
    return session != NULL;
}

static void session_gone(struct weft_coord *coord, uint64_t id)
{
    struct coord_group *group, *next;
    struct coord_waiter *waiter, *next_waiter;
    DL_FOREACH_SAFE(coord->opens, waiter, next_waiter)
    {
        if (waiter->session == id) /* or it would become a member that nobody watches */
            weft__coord_wake(coord, &coord->opens, waiter, WEFT_ESTALE,
                             "this process was declared dead after a silence");
    }
    HASH_ITER(hh, coord->groups, group, next)
    {
        for (uint32_t i = 0; i < group->members_n; i++) {
            if (group->members[i].open == COORD_OPEN && group->members[i].session == id)
                weft__coord_member_gone(coord, group, &group->members[i], WEFT_EPEERDEAD);
        }
        if (group->home != NULL)
            weft__coord_home_session_gone(coord, group, id);
    }
    coord->sweep = true;
}

static void sessions_tick(struct weft_coord *coord)
{
    struct coord_session *session, *next;
    uint64_t passed = coord->now_ns - coord->ticked_ns, most = coord->desc.dead_ns / 4;
    coord->ticked_ns = coord->now_ns;
    HASH_ITER(hh, coord->sessions, session, next)
    {
        session->silent_ns += passed < most ? passed : most;
        if (session->silent_ns <= coord->desc.dead_ns)
            continue;
        uint64_t id = session->id;
        HASH_DEL(coord->sessions, session);
        free(session);
        session_gone(coord, id);
    }
    if (coord->sessions != NULL)
        weft__coord_by(coord, coord->now_ns + coord->desc.dead_ns / 8);
}

/* ---- what comes in ---- */

void weft__coord_call(struct weft_coord *coord, const struct weft_coord_call *call, uint64_t now_ns)
{
    coord->now_ns = now_ns;
    bool begins = call->op == WEFT_COORD_CREATE || call->op == WEFT_COORD_OPEN;
    if (begins && !alive(coord, call->session))
        weft__coord_answer(coord, call->token, WEFT_EAGAIN, "too many processes on this host");
    else if (call->op == WEFT_COORD_CREATE)
        weft__coord_create(coord, call);
    else
        weft__coord_agent_call(coord, call);
    settle(coord);
}

void weft__coord_beat(struct weft_coord *coord, uint64_t session, uint64_t now_ns)
{
    coord->now_ns = now_ns;
    (void)alive(coord, session);
}

void weft__coord_bye(struct weft_coord *coord, uint64_t id, uint64_t now_ns)
{
    struct coord_session *session = NULL;
    coord->now_ns = now_ns;
    HASH_FIND(hh, coord->sessions, &id, sizeof(id), session);
    if (session == NULL)
        return;
    HASH_DEL(coord->sessions, session);
    free(session);
    session_gone(coord, id);
    settle(coord);
}

void weft__coord_take(struct weft_coord *coord, struct weft_coord_frame *frame, uint64_t now_ns)
{
    const struct weft_coord_pace pace = {coord->desc.resend_ns, coord->desc.ack_ns};
    struct coord_peer *peer = NULL;
    coord->now_ns = now_ns;
    if (frame->to_incarnation == coord->desc.self.incarnation &&
        !same_peer(&frame->from, &coord->desc.self))
        peer = peer_of(coord, &frame->from);
    if (peer != NULL) {
        size_t i = weft__coord_link_take(&peer->link, frame, &pace, now_ns);
        for (; i < frame->items_n; i++) {
            dispatch(coord, &frame->from, &frame->items[i]);
            do_notes(coord); /* before the next item: as if it had come alone */
        }
    } else {
        coord->dropped++;
    }
    for (size_t i = 0; i < frame->items_n; i++)
        weft__coord_item_fini(&frame->items[i]);
    settle(coord);
}

static void add_traffic(struct weft_coord_traffic *sum, const struct weft_coord_traffic *more)
{
    sum->frames += more->frames;
    sum->resent += more->resent;
    sum->acks += more->acks;
    sum->items += more->items;
}

/* Forgets the stream, buries the host. */
static void peer_dead(struct weft_coord *coord, size_t index)
{
    struct coord_peer *peer = coord->peers[index];
    struct coord_group *group, *next;
    coord->peers[index] = coord->peers[--coord->peers_n];
    coord->buried[coord->buried_n++ % COORD_BURIED] = peer->link.peer.incarnation;
    HASH_ITER(hh, coord->groups, group, next)
    {
        uint32_t host = host_in(group, &peer->link.peer);
        if (host == group->roster->hosts_n || group->failed != 0)
            continue;
        weft__coord_agent_host_dead(coord, group, host);
        if (group->home != NULL)
            weft__coord_home_host_dead(coord, group, host);
    }
    add_traffic(&coord->past, &peer->link.traffic);
    weft__coord_link_fini(&peer->link);
    free(peer);
}

static void look_at_peers(struct weft_coord *coord)
{
    for (size_t i = coord->peers_n; i-- > 0;) {
        struct coord_peer *peer = coord->peers[i];
        if (is_listed(coord, &peer->link.peer)) {
            peer->listed = true;
            peer->suspect_since = WEFT_NEVER;
            continue;
        }
        if (peer->suspect_since == WEFT_NEVER)
            peer->suspect_since = coord->now_ns;
        uint64_t by_ns = peer->suspect_since + grace_ns(coord);
        if (peer->listed || coord->now_ns >= by_ns)
            peer_dead(coord, i);
        else
            weft__coord_by(coord, by_ns);
    }
}

void weft__coord_hosts(struct weft_coord *coord, const struct weft_coord_peer *hosts, size_t n,
                       uint64_t now_ns)
{
    coord->now_ns = now_ns;
    free(coord->hosts);
    coord->hosts = weft__must_copy(hosts, n * sizeof(*hosts));
    coord->hosts_n = n;
    look_at_peers(coord);
    settle(coord);
}

void weft__coord_self(struct weft_coord *coord, const struct weft_coord_peer *self, uint64_t now_ns)
{
    static const char why[] =
        "this host was declared dead after a silence; its groups go on without it";
    struct coord_group *group, *next;
    bool reborn = self->incarnation != coord->desc.self.incarnation;
    coord->now_ns = now_ns;
    coord->desc.self = *self;
    if (!reborn)
        return;
    HASH_ITER(hh, coord->groups, group, next)
    {
        if (group->home != NULL)
            weft__coord_creates_answer(
                coord, group->home,
                &(struct weft_coord_answer){.err = WEFT_EHOSTDEAD, .text = why});
        weft__coord_home_free(group->home);
        group->home = NULL;
        weft__coord_group_fail(coord, group, WEFT_EHOSTDEAD, why);
    }
    for (size_t i = 0; i < coord->peers_n; i++) {
        add_traffic(&coord->past, &coord->peers[i]->link.traffic);
        weft__coord_link_fini(&coord->peers[i]->link);
        free(coord->peers[i]);
    }
    coord->peers_n = 0;
    settle(coord);
}

static void opens_tick(struct weft_coord *coord)
{
    struct coord_waiter *waiter, *next;
    DL_FOREACH_SAFE(coord->opens, waiter, next)
    {
        if (waiter->deadline_ns <= coord->now_ns)
            weft__coord_wake(coord, &coord->opens, waiter, WEFT_ETIMEDOUT,
                             "no such group was made in time");
        else
            weft__coord_by(coord, waiter->deadline_ns);
    }
}

void weft__coord_tick(struct weft_coord *coord, uint64_t now_ns)
{
    struct coord_group *group, *next;
    coord->now_ns = now_ns;
    coord->next_ns = WEFT_NEVER;
    sessions_tick(coord);
    look_at_peers(coord);
    opens_tick(coord);
    HASH_ITER(hh, coord->groups, group, next)
    {
        weft__coord_agent_tick(coord, group);
        if (group->home != NULL)
            weft__coord_home_tick(coord, group);
    }
    settle(coord);
}

uint64_t weft__coord_deadline(const struct weft_coord *coord)
{
    return coord->next_ns;
}

void weft__coord_free(struct weft_coord *coord)
{
    struct coord_group *group, *next;
    struct coord_session *session, *next_session;
    if (coord == NULL)
        return;
    HASH_ITER(hh, coord->groups, group, next)
    {
        if (group->home != NULL)
            weft__coord_creates_answer(coord, group->home,
                                       &(struct weft_coord_answer){.err = WEFT_ESHUTDOWN});
        weft__coord_group_free(coord, group, WEFT_ESHUTDOWN, "this host is shutting down");
    }
    while (coord->opens != NULL)
        weft__coord_wake(coord, &coord->opens, coord->opens, WEFT_ESHUTDOWN, NULL);
    while (coord->notes != NULL) {
        struct coord_note *note = coord->notes;
        LL_DELETE(coord->notes, note);
        weft__coord_item_fini(&note->item);
        free(note);
    }
    HASH_ITER(hh, coord->sessions, session, next_session)
    {
        HASH_DEL(coord->sessions, session);
        free(session);
    }
    for (size_t i = 0; i < coord->peers_n; i++) {
        weft__coord_link_fini(&coord->peers[i]->link);
        free(coord->peers[i]);
    }
    free(coord->peers);
    free(coord->hosts);
    free(coord);
}

/* ---- figures ---- */

size_t weft__coord_traffic(const struct weft_coord *coord, struct weft_coord_traffic *out,
                           size_t max)
{
    for (size_t i = 0; i < coord->peers_n && i < max; i++)
        out[i] = coord->peers[i]->link.traffic;
    return coord->peers_n;
}

void weft__coord_stats(const struct weft_coord *coord, struct weft_coord_stats *stats_out)
{
    struct coord_group *group, *next;
    *stats_out = (struct weft_coord_stats){.groups = HASH_COUNT(coord->groups),
                                           .sessions = HASH_COUNT(coord->sessions),
                                           .waiters = (uint32_t)coord->waiters_n,
                                           .mail_bytes = coord->mail_bytes,
                                           .dropped = coord->dropped,
                                           .sent = coord->past};
    for (size_t i = 0; i < coord->peers_n; i++)
        add_traffic(&stats_out->sent, &coord->peers[i]->link.traffic);
    HASH_ITER(hh, coord->groups, group, next)
    stats_out->homes += group->home != NULL;
}

const struct weft_coord_roster *weft__coord_roster_of(const struct weft_coord *coord,
                                                      uint64_t group)
{
    const struct coord_group *found = weft__coord_group(coord, group);
    return found != NULL && found->started ? found->roster : NULL;
}
