/* libzmq names a client by an identity, and its monitor names a connection by a descriptor; what
 * joins the two is the descriptor that each received message carries. It is asked for when an
 * identity is new. Identities that libzmq makes (a zero byte first) are those of one connection;
 * one that a client has chosen can move to another, so there it is asked for each time.
 *
 * A request that was under way when its connection broke may be taken after the going was told: its
 * origin then stays until its descriptor is used and closed again, and is told a second time, which
 * is no less true. Each port tells of its own connections: a descriptor that has gone at one may be
 * in use at another before that is read.
 */
#include "transport/zmq/origin.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "transport/zmq/endpoint.h"

struct weft_zmq_origin {
    struct weft_zmq_origin *name_next;
    struct weft_zmq_origin *fd_next;
    int fd;
    struct weft_tp_from from;
};

static size_t name_bucket(const struct weft_tp_from *from)
{
    uint32_t hash = 2166136261u ^ from->port_index; /* FNV-1a */

    for (uint16_t i = 0; i < from->len; i++)
        hash = (hash ^ from->bytes[i]) * 16777619u;
    return (hash ^ (hash >> 16)) % WEFT_ZMQ_ORIGIN_BUCKETS;
}

static struct weft_zmq_origin **fd_bucket(struct weft_zmq_origins *origins, int fd)
{
    return &origins->by_fd[(unsigned)fd % WEFT_ZMQ_ORIGIN_BUCKETS];
}

static bool same(const struct weft_tp_from *a, const struct weft_tp_from *b)
{
    return a->port_index == b->port_index && a->len == b->len &&
           memcmp(a->bytes, b->bytes, a->len) == 0;
}

static struct weft_zmq_origin *add(struct weft_zmq_origins *origins,
                                   const struct weft_tp_from *from)
{
    struct weft_zmq_origin **bucket = &origins->by_name[name_bucket(from)];
    struct weft_zmq_origin *origin = malloc(sizeof(*origin));

    if (!origin)
        return NULL;
    origin->from = *from;
    origin->fd = -1;
    origin->name_next = *bucket;
    *bucket = origin;
    return origin;
}

static void unlink_fd(struct weft_zmq_origins *origins, struct weft_zmq_origin *origin)
{
    struct weft_zmq_origin **at = fd_bucket(origins, origin->fd);

    if (origin->fd < 0)
        return;
    while (*at != origin)
        at = &(*at)->fd_next;
    *at = origin->fd_next;
    origin->fd = -1;
}

static void set_fd(struct weft_zmq_origins *origins, struct weft_zmq_origin *origin, int fd)
{
    struct weft_zmq_origin **bucket = fd_bucket(origins, fd);

    if (origin->fd == fd || fd < 0)
        return;
    unlink_fd(origins, origin);
    origin->fd = fd;
    origin->fd_next = *bucket;
    *bucket = origin;
}

void weft__zmq_origin_note(struct weft_zmq_origins *origins, const struct weft_tp_from *from,
                           zmq_msg_t *message)
{
    struct weft_zmq_origin *origin = origins->by_name[name_bucket(from)];
    bool made_by_libzmq = from->bytes[1] == 0;

    while (origin && !same(&origin->from, from))
        origin = origin->name_next;
    if (origin && made_by_libzmq)
        return;
    if (!origin)
        origin = add(origins, from);
    if (origin)
        set_fd(origins, origin, zmq_msg_get(message, ZMQ_SRCFD));
}

static void drop(struct weft_zmq_origins *origins, struct weft_zmq_origin *origin)
{
    struct weft_zmq_origin **at = &origins->by_name[name_bucket(&origin->from)];

    unlink_fd(origins, origin);
    while (*at != origin)
        at = &(*at)->name_next;
    *at = origin->name_next;
    free(origin);
}

void weft__zmq_origin_gone(struct weft_zmq_ep *ep, unsigned port_index, int fd)
{
    struct weft_zmq_origin *origin = *fd_bucket(&ep->origins, fd), *next;

    for (; origin; origin = next) {
        next = origin->fd_next;
        if (origin->fd != fd || origin->from.port_index != port_index)
            continue;
        if (ep->on.client_gone)
            ep->on.client_gone(ep->ctx, &origin->from);
        drop(&ep->origins, origin);
    }
}

void weft__zmq_origins_fini(struct weft_zmq_origins *origins)
{
    for (size_t i = 0; i < WEFT_ZMQ_ORIGIN_BUCKETS; i++) {
        while (origins->by_name[i])
            drop(origins, origins->by_name[i]);
    }
}
