/* Several endpoints that lead to the same peers, as one endpoint.
 *
 * A peer uses one path from its adding to its dropping, so messages stay in order and an operation
 * has one endpoint. What outlives the peer is which path the next one with that address gets: a
 * loss moves on to the next route that leads there, round in a ring; a route is a path of ours to
 * one of the peer's, which need not be as many as ours. It is not gone back to the first
 * path before the other one breaks too, because nothing tells that the first one works again but
 * trying it, and whoever is tried with loses what it carries.
 *
 * A key of a registered range is the first path's, as if there was no other. Behind the shim, where
 * all other endpoints are, the range is entered under a key that both ends make from that one and
 * the secret that they share: nobody has to be told a second key, and keys that are small numbers
 * (those of network cards) are none behind the shim, where no card would check the connection.
 *
 * The first endpoint, and those that peers were added on, are looked at in every round; the others
 * only now and then, and when they have woken a sleeper: looking costs a system call.
 *
 * Rejected: switching a peer's path under its feet (messages would overtake each other, and what
 * was under way would have to be sent twice or be lost without a word); an endpoint that is opened
 * when it is needed (the peer would have to be told its address over the path that is broken).
 */
#include "link/paths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include <uthash.h>
#include <utlist.h>
#include <xxhash.h>

#include "base/events.h"
#include "base/log.h"
#include "link/address.h"
#include "transport/shim/shim.h"
#include "transport/slots.h"
#include "weft/error.h"

#define PEERS_MAX 8192u
#define REMEMBERED 1024u /* remotes kept though they have no peer */
#define ROUNDS 32u       /* between two looks at an endpoint that nobody uses */
#define HOT 4096u        /* rounds for which it is looked at after something happened there */

struct path {
    struct weft_paths *paths;
    const struct weft_transport *tp;
    struct weft_tp_ep *ep;
    unsigned users; /* peers */
    unsigned hot;
    int broken; /* the endpoint's error */
};

/* One way to a remote: over a path of ours to one of its own, whose address stands in the key. */
struct route {
    uint8_t path, theirs, at, len;
};

/* What is known of an address. */
struct remote {
    UT_hash_handle hh;
    struct weft_tp_addr key;
    unsigned routes_n;
    struct route routes[WEFT_ADDRESS_ROUTES];
    unsigned current; /* route of the next peer */
    unsigned refs;    /* peers */
};

struct peer {
    struct remote *remote;
    unsigned route, path; /* path: of the route */
    struct weft_tp_peer inner;
    bool left; /* its route has counted as broken */
};

/* A range as the other endpoints have it: once, however often the first one gave the same key. */
struct alias {
    UT_hash_handle hh;
    uint64_t key;
    struct weft_tp_region *users; /* that the first one has given it for */
    struct weft_tp_region *regions[WEFT_ADDRESS_PATHS];
};

struct weft_tp_region {
    struct weft_tp_region *prev, *next; /* of its alias */
    struct weft_tp_region *first;       /* NULL: the first endpoint has failed */
    struct weft_tp_key key;
    struct alias *alias;
};

struct weft_paths {
    struct weft_tp_ep base;
    struct weft_transport table;
    struct weft_tp_handlers on;
    void *ctx;
    uint64_t salt;
    unsigned n;
    struct path *path[WEFT_ADDRESS_PATHS];
    struct path *opening; /* has the hooks, is not taken yet */
    int epoll_fd;         /* -1: one of them must be polled */
    unsigned rounds;
    struct weft_slots peers;
    struct remote *remotes;
    struct alias *aliases;
};

static struct weft_paths *paths_of(struct weft_tp_ep *ep)
{
    return (struct weft_paths *)(void *)ep;
}

/* ---- peers ---- */

/* Of what weft__address_pack() has made. */
static int take_apart(const struct weft_paths *paths, const struct weft_tp_addr *addr,
                      struct remote *remote)
{
    size_t at = 0, len = addr->len <= sizeof(addr->bytes) ? addr->len : 0;
    while (at < len) {
        const uint8_t *bytes = addr->bytes + at;
        if (len - at < 3 || bytes[2] == 0 || bytes[2] > len - at - 3 || bytes[0] >= paths->n ||
            remote->routes_n == WEFT_ADDRESS_ROUTES)
            return weft_fail(WEFT_EINVAL, "no address of %u paths", paths->n);
        remote->routes[remote->routes_n++] =
            (struct route){bytes[0], bytes[1], (uint8_t)(at + 3), bytes[2]};
        at += 3u + bytes[2];
    }
    if (remote->routes_n == 0)
        return weft_fail(WEFT_EINVAL, "no address of %u paths", paths->n);
    remote->key.len = addr->len;
    memcpy(remote->key.bytes, addr->bytes, addr->len);
    return WEFT_OK;
}

static void forget(struct weft_paths *paths, struct remote *remote)
{
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): neighbours in the hash are there still */
    HASH_DEL(paths->remotes, remote);
    free(remote);
}

/* Those without peers are kept for what they know; the oldest first go. */
static void tidy(struct weft_paths *paths)
{
    struct remote *remote, *next;
    if (HASH_COUNT(paths->remotes) <= REMEMBERED)
        return;
    HASH_ITER(hh, paths->remotes, remote, next)
    if (remote->refs == 0) {
        forget(paths, remote);
        return;
    }
}

static void put_remote(struct weft_paths *paths, struct remote *remote)
{
    if (--remote->refs > 0)
        return;
    if (remote->current == 0)
        forget(paths, remote);
    else
        tidy(paths);
}

static int get_remote(struct weft_paths *paths, const struct weft_tp_addr *addr,
                      struct remote **remote_out)
{
    struct remote *found = NULL;
    if (addr->len <= sizeof(addr->bytes))
        HASH_FIND(hh, paths->remotes, addr->bytes, addr->len, found);
    if (!found) {
        found = calloc(1, sizeof(*found));
        if (!found)
            return weft_fail(WEFT_ENOMEM, "no memory for a peer");
        int err = take_apart(paths, addr, found);
        if (err != WEFT_OK) {
            free(found);
            return err;
        }
        HASH_ADD_KEYPTR(hh, paths->remotes, found->key.bytes, found->key.len, found);
    }
    found->refs++;
    *remote_out = found;
    return WEFT_OK;
}

static struct path *path_of(const struct weft_paths *paths, const struct remote *remote,
                            unsigned route)
{
    return paths->path[remote->routes[route].path];
}

/* The next route that leads there; the same one where there is no other. */
static unsigned next_route(const struct weft_paths *paths, const struct remote *remote,
                           unsigned from)
{
    for (unsigned step = 1; step < remote->routes_n; step++) {
        unsigned i = (from + step) % remote->routes_n;
        if (!path_of(paths, remote, i)->broken)
            return i;
    }
    return from;
}

static void leave(struct weft_paths *paths, struct peer *peer)
{
    struct remote *remote = peer->remote;
    bool first = !peer->left && remote->current == peer->route;
    peer->left = true;
    if (!first) /* of the peers there, or it says so again */
        return;
    remote->current = next_route(paths, remote, peer->route);
    if (remote->current == peer->route)
        return;
    char from[40], to[40];
    snprintf(from, sizeof(from), "path %u (%s)", peer->path, paths->path[peer->path]->tp->scheme);
    snprintf(to, sizeof(to), "path %u (%s)", remote->routes[remote->current].path,
             path_of(paths, remote, remote->current)->tp->scheme);
    weft__events_here(&(struct weft_event_note){
        .kind = WEFT_EVENT_PATH_CHANGED, .rank = WEFT_EVENT_NO_RANK, .text = {from, to}});
    weft__info("a peer is not reached by %s: from now on %s is used", from, to);
}

void weft__paths_leave(struct weft_tp_ep *ep, struct weft_tp_peer id)
{
    struct weft_paths *paths = paths_of(ep);
    struct peer *peer = weft__slots_find(&paths->peers, id.id);
    if (peer)
        leave(paths, peer);
}

/* Adds the peer on its remote's route, or on the next one that takes it. */
static int add_inner(struct weft_paths *paths, struct peer *peer)
{
    struct remote *remote = peer->remote;
    int err = weft_fail(WEFT_EHOSTUNREACH, "no path leads to the peer any more");
    for (unsigned step = 0; step < remote->routes_n; step++) {
        unsigned i = (remote->current + step) % remote->routes_n;
        const struct route *route = &remote->routes[i];
        struct path *path = paths->path[route->path];
        struct weft_tp_addr addr = {.len = route->len};
        if (path->broken)
            continue;
        memcpy(addr.bytes, remote->key.bytes + route->at, route->len);
        err = path->tp->core->peer_add(path->ep, &addr, &peer->inner);
        if (err != WEFT_OK)
            continue;
        remote->current = peer->route = i;
        peer->path = route->path;
        path->users++;
        return WEFT_OK;
    }
    return err;
}

static int peer_add(struct weft_tp_ep *ep, const struct weft_tp_addr *addr,
                    struct weft_tp_peer *peer_out)
{
    struct weft_paths *paths = paths_of(ep);
    struct peer *peer = calloc(1, sizeof(*peer));
    if (!peer)
        return weft_fail(WEFT_ENOMEM, "no memory for a peer");
    int err = get_remote(paths, addr, &peer->remote);
    if (err != WEFT_OK) {
        free(peer);
        return err;
    }
    uint32_t id;
    err = weft__slots_put(&paths->peers, peer, &id);
    if (err == WEFT_OK) {
        err = add_inner(paths, peer);
        if (err == WEFT_OK) {
            peer_out->id = id;
            return WEFT_OK;
        }
        weft__slots_take(&paths->peers, id);
    }
    put_remote(paths, peer->remote);
    free(peer);
    return err;
}

static bool is_used(const struct weft_paths *paths, unsigned path, struct weft_tp_peer inner)
{
    uint32_t cursor = 0, id;
    const struct peer *peer;
    while ((peer = weft__slots_next(&paths->peers, &cursor, &id)))
        if (peer->path == path && peer->inner.id == inner.id)
            return true;
    return false;
}

/* Some transports give one id for several adds of one address. */
static void peer_drop(struct weft_tp_ep *ep, struct weft_tp_peer id)
{
    struct weft_paths *paths = paths_of(ep);
    struct peer *peer = weft__slots_take(&paths->peers, id.id);
    if (!peer)
        return;
    struct path *path = paths->path[peer->path];
    path->users--;
    path->hot = HOT; /* what was under way ends there */
    if (!is_used(paths, peer->path, peer->inner))
        path->tp->core->peer_drop(path->ep, peer->inner);
    put_remote(paths, peer->remote);
    free(peer);
}

/* ---- what the endpoints tell ---- */

static void heard(void *ctx, const void *data, size_t len_bytes)
{
    struct path *path = ctx;
    path->hot = HOT;
    path->paths->on.message(path->paths->ctx, data, len_bytes);
}

static void lost(void *ctx, struct weft_tp_peer inner)
{
    struct path *path = ctx;
    struct weft_paths *paths = path->paths;
    uint32_t cursor = 0, id;
    struct peer *peer;
    while ((peer = weft__slots_next(&paths->peers, &cursor, &id))) {
        if (paths->path[peer->path] != path || peer->inner.id != inner.id)
            continue;
        leave(paths, peer);
        if (paths->on.peer_lost)
            paths->on.peer_lost(paths->ctx, (struct weft_tp_peer){id});
    }
}

static const struct weft_tp_handlers hooks = {.message = heard, .peer_lost = lost};

/* An endpoint has failed: everybody is lost there. */
static void path_broke(struct weft_paths *paths, unsigned i, int err)
{
    uint32_t cursor = 0, id;
    struct peer *peer;
    weft__warn("the endpoint of path %u (%s) failed: %s", i, paths->path[i]->tp->scheme,
               weft_fail_text(err));
    paths->path[i]->broken = err;
    while ((peer = weft__slots_next(&paths->peers, &cursor, &id))) {
        if (peer->path != i)
            continue;
        leave(paths, peer);
        if (paths->on.peer_lost)
            paths->on.peer_lost(paths->ctx, (struct weft_tp_peer){id});
    }
}

static int progress(struct weft_tp_ep *ep)
{
    struct weft_paths *paths = paths_of(ep);
    bool look = ++paths->rounds % ROUNDS == 0;
    int events = 0, err = WEFT_OK;
    unsigned alive = 0;
    for (unsigned i = 0; i < paths->n; i++) {
        struct path *path = paths->path[i];
        if (path->broken) {
            err = path->broken;
            continue;
        }
        alive++;
        if (i > 0 && !path->users && !path->hot && !look)
            continue;
        path->hot -= path->hot > 0;
        int n = path->tp->core->progress(path->ep);
        if (n < 0) {
            path_broke(paths, i, n);
            err = n;
            alive--;
            events++;
        } else if (n > 0) {
            path->hot = HOT;
            events += n;
        }
    }
    return alive ? events : err;
}

static int wait_fd(struct weft_tp_ep *ep)
{
    return paths_of(ep)->epoll_fd;
}

static int wait_arm(struct weft_tp_ep *ep)
{
    const struct weft_paths *paths = paths_of(ep);
    int result = WEFT_OK;
    for (unsigned i = 0; i < paths->n; i++) {
        struct path *path = paths->path[i];
        int err = path->broken ? WEFT_OK : path->tp->core->wait_arm(path->ep);
        if (err == WEFT_OK)
            continue;
        path->hot = HOT; /* the next round must not pass it over */
        result = err;
    }
    return result;
}

static int cancel(struct weft_tp_ep *ep, struct weft_tp_op *op)
{
    (void)ep;
    (void)op;
    return WEFT_EBUSY;
}

static void limits(struct weft_tp_ep *ep, struct weft_tp_limits *limits_out)
{
    const struct weft_paths *paths = paths_of(ep);
    struct weft_tp_limits least = {.msg_max_bytes = SIZE_MAX,
                                   .rma_max_bytes = SIZE_MAX,
                                   .sends_max = UINT32_MAX,
                                   .peers_max = PEERS_MAX};
    for (unsigned i = 0; i < paths->n; i++) {
        struct weft_tp_limits one;
        paths->path[i]->tp->core->limits(paths->path[i]->ep, &one);
        if (one.msg_max_bytes < least.msg_max_bytes)
            least.msg_max_bytes = one.msg_max_bytes;
        if (one.rma_max_bytes < least.rma_max_bytes)
            least.rma_max_bytes = one.rma_max_bytes;
        if (one.sends_max < least.sends_max)
            least.sends_max = one.sends_max;
        if (one.peers_max < least.peers_max)
            least.peers_max = one.peers_max;
        least.needs_target_poll = least.needs_target_poll || one.needs_target_poll;
    }
    *limits_out = least;
}

static void usage(struct weft_tp_ep *ep, struct weft_tp_usage *usage_out)
{
    const struct weft_paths *paths = paths_of(ep);
    struct weft_tp_usage all = {0};
    for (unsigned i = 0; i < paths->n; i++) {
        struct weft_tp_usage one = {0};
        if (paths->path[i]->tp->usage)
            paths->path[i]->tp->usage(paths->path[i]->ep, &one);
        if (i == 0)
            all.domain = one.domain; /* behind the shim nothing is registered */
        weft__usage_add(&all, &one);
    }
    *usage_out = all;
}

static int address(struct weft_tp_ep *ep, struct weft_tp_addr *addr_out)
{
    const struct weft_paths *paths = paths_of(ep);
    struct weft__address_routes routes = {.n = paths->n};
    for (unsigned i = 0; i < paths->n; i++) {
        struct weft__address_route *route = &routes.route[i];
        route->ours = route->theirs = i;
        int err = paths->path[i]->tp->core->address(paths->path[i]->ep, &route->addr);
        if (err != WEFT_OK)
            return err;
    }
    return weft__address_pack(&routes, addr_out);
}

/* ---- operations ---- */

static int find(struct weft_tp_ep *ep, struct weft_tp_peer id, struct peer **peer_out,
                struct path **path_out)
{
    const struct weft_paths *paths = paths_of(ep);
    struct peer *peer = weft__slots_find(&paths->peers, id.id);
    if (!peer)
        return weft_fail(WEFT_EINVAL, "no such peer");
    *peer_out = peer;
    *path_out = paths->path[peer->path];
    return (*path_out)->broken;
}

static int send_msg(struct weft_tp_ep *ep, struct weft_tp_peer id, const struct iovec *iov,
                    unsigned n, struct weft_tp_op *op)
{
    struct peer *peer = NULL;
    struct path *path = NULL;
    int err = find(ep, id, &peer, &path);
    return err ? err : path->tp->msg->send(path->ep, peer->inner, iov, n, op);
}

static uint64_t alias_of(const struct weft_paths *paths, const struct weft_tp_key *key)
{
    uint64_t alias = XXH3_64bits_withSeed(key, sizeof(*key), paths->salt);
    return alias ? alias : 1;
}

typedef int operation(struct weft_tp_ep *ep, struct weft_tp_peer peer,
                      const struct weft_tp_rma_desc *desc, struct weft_tp_op *op);

static int move(struct weft_tp_ep *ep, struct weft_tp_peer id, const struct weft_tp_rma_desc *desc,
                struct weft_tp_op *op, bool put)
{
    struct peer *peer = NULL;
    struct path *path = NULL;
    struct weft_tp_rma_desc inner = *desc;
    int err = find(ep, id, &peer, &path);
    if (err)
        return err;
    if (peer->remote->routes[peer->route].theirs > 0)
        inner.remote_key = (struct weft_tp_key){.key = alias_of(path->paths, &desc->remote_key),
                                                .len_bytes = desc->remote_key.len_bytes};
    if (inner.local_region)
        inner.local_region = peer->path > 0 ? NULL : inner.local_region->first;
    operation *start = put ? path->tp->rma->put : path->tp->rma->get;
    return start(path->ep, peer->inner, &inner, op);
}

static int get(struct weft_tp_ep *ep, struct weft_tp_peer peer, const struct weft_tp_rma_desc *desc,
               struct weft_tp_op *op)
{
    return move(ep, peer, desc, op, false);
}

static int put(struct weft_tp_ep *ep, struct weft_tp_peer peer, const struct weft_tp_rma_desc *desc,
               struct weft_tp_op *op)
{
    return move(ep, peer, desc, op, true);
}

static int flush(struct weft_tp_ep *ep, struct weft_tp_peer id, struct weft_tp_op *op)
{
    struct peer *peer = NULL;
    struct path *path = NULL;
    int err = find(ep, id, &peer, &path);
    return err ? err : path->tp->rma->flush(path->ep, peer->inner, op);
}

/* ---- ranges ---- */

static void alias_put(struct weft_paths *paths, struct alias *alias)
{
    if (alias->users)
        return;
    for (unsigned i = 1; i < paths->n; i++)
        if (alias->regions[i])
            paths->path[i]->tp->rma->unreg(paths->path[i]->ep, alias->regions[i]);
    HASH_DEL(paths->aliases, alias);
    free(alias);
}

/* The range behind the shim of each other path. */
static int alias_get(struct weft_paths *paths, struct weft_range *range, struct alias **alias_out)
{
    struct alias *alias;
    HASH_FIND(hh, paths->aliases, &range->key, sizeof(range->key), alias);
    if (alias) {
        *alias_out = alias;
        return WEFT_OK;
    }
    alias = calloc(1, sizeof(*alias));
    if (!alias)
        return weft_fail(WEFT_ENOMEM, "no memory for a registration");
    alias->key = range->key;
    HASH_ADD(hh, paths->aliases, key, sizeof(alias->key), alias);
    for (unsigned i = 1; i < paths->n; i++) {
        int err = weft__shim_reg_as(paths->path[i]->ep, range, &alias->regions[i]);
        if (err != WEFT_OK) {
            alias_put(paths, alias);
            return err;
        }
    }
    *alias_out = alias;
    return WEFT_OK;
}

/* The range on the first path, or a key for the others alone. */
static int reg_first(struct weft_paths *paths, const struct weft_range *range,
                     struct weft_tp_region *region)
{
    const struct path *path = paths->path[0];
    region->key.len_bytes = range->len_bytes;
    if (path->broken)
        return getrandom(&region->key.key, sizeof(region->key.key), 0) > 0
                   ? WEFT_OK
                   : weft_fail(WEFT_EIO, "no random number for a key");
    int err =
        path->tp->rma->reg(path->ep, range->addr, range->len_bytes, range->access, &region->first);
    if (err == WEFT_OK)
        path->tp->rma->key(region->first, &region->key);
    return err;
}

static void unreg_first(struct weft_paths *paths, struct weft_tp_region *region)
{
    if (region->first)
        paths->path[0]->tp->rma->unreg(paths->path[0]->ep, region->first);
    free(region);
}

static int reg(struct weft_tp_ep *ep, void *addr, size_t len_bytes, uint32_t access,
               struct weft_tp_region **region_out)
{
    struct weft_paths *paths = paths_of(ep);
    struct weft_tp_region *region = calloc(1, sizeof(*region));
    struct weft_range range = {.addr = addr, .len_bytes = len_bytes, .access = access};
    if (!region)
        return weft_fail(WEFT_ENOMEM, "no memory for a registration");
    int err = reg_first(paths, &range, region);
    if (err == WEFT_OK) {
        range.key = alias_of(paths, &region->key);
        err = alias_get(paths, &range, &region->alias);
    }
    if (err != WEFT_OK) {
        unreg_first(paths, region);
        return err;
    }
    DL_APPEND(region->alias->users, region);
    *region_out = region;
    return WEFT_OK;
}

static void unreg(struct weft_tp_ep *ep, struct weft_tp_region *region)
{
    DL_DELETE(region->alias->users, region);
    alias_put(paths_of(ep), region->alias);
    unreg_first(paths_of(ep), region);
}

static void key(struct weft_tp_region *region, struct weft_tp_key *key_out)
{
    *key_out = region->key;
}

/* ---- beginning and end ---- */

static void path_close(struct path *path)
{
    if (path && path->ep)
        path->tp->core->close(path->ep);
    free(path);
}

/* Ranges that are registered still: their owner does not ask for them any more. */
void weft__paths_free(struct weft_paths *paths)
{
    struct remote *remote, *next;
    struct alias *alias, *next_alias;
    struct weft_tp_region *region, *next_region;
    struct peer *peer;
    uint32_t cursor = 0, id;
    for (unsigned i = 0; i < paths->n; i++)
        path_close(paths->path[i]);
    free(paths->opening);
    while ((peer = weft__slots_next(&paths->peers, &cursor, &id)))
        free(peer);
    HASH_ITER(hh, paths->remotes, remote, next)
    forget(paths, remote);
    HASH_ITER(hh, paths->aliases, alias, next_alias)
    {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): as in forget() */
        HASH_DEL(paths->aliases, alias);
        DL_FOREACH_SAFE(alias->users, region, next_region)
        free(region);
        free(alias);
    }
    weft__slots_fini(&paths->peers);
    if (paths->epoll_fd >= 0)
        close(paths->epoll_fd);
    free(paths);
}

static void close_all(struct weft_tp_ep *ep)
{
    weft__paths_free(paths_of(ep));
}

static int open_none(const struct weft_tp_open *desc, struct weft_tp_ep **ep_out)
{
    (void)desc;
    (void)ep_out;
    return weft_fail(WEFT_ENOTSUP, "several paths are opened by weft__paths_new");
}

static const struct weft_tp_core_ops core = {
    .open = open_none,
    .close = close_all,
    .address = address,
    .peer_add = peer_add,
    .peer_drop = peer_drop,
    .progress = progress,
    .wait_fd = wait_fd,
    .wait_arm = wait_arm,
    .cancel = cancel,
    .limits = limits,
};

static const struct weft_tp_msg_ops msg = {.send = send_msg};

static const struct weft_tp_rma_ops rma = {
    .reg = reg, .unreg = unreg, .key = key, .get = get, .put = put, .flush = flush};

int weft__paths_new(const struct weft_tp_open *desc, uint64_t salt, struct weft_paths **paths_out)
{
    struct weft_paths *paths = calloc(1, sizeof(*paths));
    if (!paths)
        return weft_fail(WEFT_ENOMEM, "no memory for several paths");
    if (desc->handlers)
        paths->on = *desc->handlers;
    paths->ctx = desc->ctx;
    paths->salt = salt;
    paths->epoll_fd = -1;
    weft__slots_init(&paths->peers, PEERS_MAX);
    paths->opening = calloc(1, sizeof(*paths->opening));
    if (!paths->opening) {
        free(paths);
        return weft_fail(WEFT_ENOMEM, "no memory for several paths");
    }
    *paths_out = paths;
    return WEFT_OK;
}

void weft__paths_hooks(struct weft_paths *paths, struct weft_tp_open *open)
{
    open->handlers = &hooks;
    open->ctx = paths->opening;
}

int weft__paths_take(struct weft_paths *paths, struct weft_tp_ep *ep)
{
    struct path *next = calloc(1, sizeof(*next));
    if (!next || paths->n == WEFT_ADDRESS_PATHS) {
        free(next);
        ep->transport->core->close(ep);
        return weft_fail(WEFT_ENOMEM, "no memory for one more path");
    }
    struct path *path = paths->opening;
    *path = (struct path){.paths = paths, .tp = ep->transport, .ep = ep};
    paths->path[paths->n++] = path;
    paths->opening = next;
    return WEFT_OK;
}

void weft__paths_prefer_last(struct weft_paths *paths)
{
    struct path *last = paths->path[paths->n - 1];
    memmove(&paths->path[1], &paths->path[0], (paths->n - 1) * sizeof(paths->path[0]));
    paths->path[0] = last;
}

struct weft_tp_ep *weft__paths_ep(const struct weft_paths *paths, unsigned path)
{
    return paths->path[path]->ep;
}

static int watch(struct weft_paths *paths)
{
    int fds[WEFT_ADDRESS_PATHS];
    for (unsigned i = 0; i < paths->n; i++) {
        fds[i] = paths->path[i]->tp->core->wait_fd(paths->path[i]->ep);
        if (fds[i] < 0)
            return WEFT_OK;
    }
    int set = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < paths->n && set >= 0; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fds[i]};
        if (epoll_ctl(set, EPOLL_CTL_ADD, fds[i], &event) == 0)
            continue;
        close(set);
        set = -1;
    }
    if (set < 0)
        return weft_fail(-errno, "cannot sleep on several paths: %s", strerrordesc_np(errno));
    paths->epoll_fd = set;
    return WEFT_OK;
}

int weft__paths_start(struct weft_paths *paths, struct weft_tp_ep **ep_out)
{
    int err = watch(paths);
    if (err != WEFT_OK)
        return err;
    paths->table = (struct weft_transport){.scheme = paths->path[0]->tp->scheme,
                                           .core = &core,
                                           .msg = &msg,
                                           .rma = &rma,
                                           .usage = usage};
    paths->base.transport = &paths->table;
    *ep_out = &paths->base;
    return WEFT_OK;
}
