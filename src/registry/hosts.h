/* The host list as a pure value: no I/O, no lock, no clock; the owner passes the time in. */
#ifndef WEFT_REGISTRY_HOSTS_H
#define WEFT_REGISTRY_HOSTS_H

#include <stddef.h>
#include <stdint.h>

#include "registry/registry.h"

struct weft_hosts_entry {
    struct weft_registry_host host;
    uint64_t beat_ns; /* its newest sign of life; of a dead one: when it was declared dead */
};

struct weft_hosts {
    struct weft_hosts_entry **sorted; /* by name */
    size_t n;
    size_t capacity;
    size_t alive;
    size_t text_bytes;   /* what names, addresses and urls add up to: bounds the encoded list */
    uint64_t revision;   /* counts joins, leaves, deaths, changes of slots and leaving */
    uint64_t expired_ns; /* when weft__hosts_expire ran last; 0: never */
    char self[WEFT_REGISTRY_NAME_MAX]; /* the host in whose process the list is; "": none. To be
                                          set after weft__hosts_init */
};

/* The first revision is above every one of an earlier epoch. */
void weft__hosts_init(struct weft_hosts *hosts, uint64_t epoch);
void weft__hosts_fini(struct weft_hosts *hosts);
/* See weft__registry_join().  Errors: WEFT_EEXIST; WEFT_ESTALE; WEFT_EINVAL no name, slots;
 * WEFT_ENOSPC the list is full. */
int weft__hosts_join(struct weft_hosts *hosts, const struct weft_registry_host *host,
                     uint64_t now_ns);
/* See weft__registry_leave().  Errors: WEFT_ESTALE. */
int weft__hosts_leave(struct weft_hosts *hosts, const char *name, uint64_t incarnation);
/* Uses name, incarnation, used, slots, leaving.  Errors: WEFT_ESTALE. */
int weft__hosts_beat(struct weft_hosts *hosts, const struct weft_registry_host *host,
                     uint64_t now_ns);
/* Declares hosts dead that gave no sign for dead_ns; returns how many. Looks are wanted every
 * eighth of dead_ns: where the caller itself slept for twice as long, or longer, since the last
 * one, the hosts are given that time, because their beats may lie unread. The host of the caller's
 * own process lives while somebody looks, it may only be late with its beats: it is given ten times
 * dead_ns. */
size_t weft__hosts_expire(struct weft_hosts *hosts, uint64_t now_ns, uint64_t dead_ns);
/* NULL: no such host. */
const struct weft_registry_host *weft__hosts_find(const struct weft_hosts *hosts, const char *name);
/* How many live, without the one whose process has the list: it may not have heard that it left. */
size_t weft__hosts_others(const struct weft_hosts *hosts);

#endif
