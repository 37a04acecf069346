/* Tracked ranges: what is common to all trackers.
 *
 * A tracker moves what it finds into the range's set of pages, into which announced landings go
 * directly; a collect takes the set. So the answer is in order and without repetition whatever its
 * sources were, and a collect that fails halfway has lost nothing. A landing counts when it is
 * announced, in every collect while it is under way, and once more when it is over: bytes that land
 * after a collect has copied the page are in the next one.
 *
 * Locks: the list's, then the range's. Rejected: one announcement without an end. A collect between
 * the announcement and the landing would report the page for the last time too early.
 */
#include "snapshot/track.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/must.h"
#include "snapshot/region.h"
#include "snapshot/track_ops.h"
#include "weft/error.h"

static pthread_rwlock_t list_lock = PTHREAD_RWLOCK_INITIALIZER;
static struct weft_track *list;
static atomic_uint list_n; /* so that landings cost nothing where nothing is tracked */

static const struct weft_track_ops *const trackers[] = {&weft__track_pagemap, &weft__track_segv,
                                                        &weft__track_none};

static const struct weft_track_ops *find_tracker(const char *name)
{
    for (size_t i = 0; i < sizeof(trackers) / sizeof(trackers[0]); i++)
        if (strcmp(trackers[i]->name, name) == 0)
            return trackers[i];
    return NULL;
}

static bool overlaps(const struct weft_track *track, const char *at, size_t len_bytes)
{
    return at < track->base + track->len_bytes && track->base < at + len_bytes;
}

/* Puts it into the list, unless a part of its range is in there. */
static int enlist(struct weft_track *track)
{
    int err = 0;
    pthread_rwlock_wrlock(&list_lock);
    for (const struct weft_track *other = list; other && !err; other = other->next)
        if (overlaps(other, track->base, track->len_bytes))
            err = weft_fail(WEFT_EBUSY, "the range at %p is tracked already, at %p of 0x%zx bytes",
                            (void *)track->base, (void *)other->base, other->len_bytes);
    if (!err) {
        track->next = list;
        list = track;
        atomic_fetch_add(&list_n, 1);
    }
    pthread_rwlock_unlock(&list_lock);
    return err;
}

static void delist(struct weft_track *track)
{
    pthread_rwlock_wrlock(&list_lock);
    struct weft_track **at = &list;
    while (*at != track)
        at = &(*at)->next;
    *at = track->next;
    atomic_fetch_sub(&list_n, 1);
    pthread_rwlock_unlock(&list_lock);
}

static void track_free(struct weft_track *track)
{
    weft__pages_fini(&track->dirty);
    pthread_mutex_destroy(&track->lock);
    free(track->landings);
    free(track);
}

static void admit(struct weft_track *track, const struct weft_landing *landing)
{
    if (track->ops->admit)
        track->ops->admit(track, landing);
}

static int start_with(const struct weft_track_ops *ops, const struct weft_track_desc *desc,
                      struct weft_track **track_out)
{
    struct weft_track *track = calloc(1, sizeof(*track));
    if (!track)
        return weft_fail(WEFT_ENOMEM, "no memory for a tracker");
    track->ops = ops;
    track->base = desc->base;
    track->len_bytes = desc->len_bytes;
    track->pages_n = desc->len_bytes / WEFT_REGION_PAGE;
    track->fd = desc->fd;
    pthread_mutex_init(&track->lock, NULL);
    int err = weft__track_mapping(track);
    if (!err)
        err = weft__pages_init(&track->dirty, track->pages_n);
    if (!err)
        err = enlist(track);
    if (err) {
        track_free(track);
        return err;
    }
    pthread_mutex_lock(&track->lock);
    err = ops->start(track);
    track->started = err == 0;
    for (size_t i = 0; i < track->landings_n && !err; i++) /* announced since it is in the list */
        admit(track, &track->landings[i]);
    pthread_mutex_unlock(&track->lock);
    if (err) {
        delist(track);
        track_free(track);
        return err;
    }
    *track_out = track;
    return 0;
}

/* Writes to the second of three pages of its own and asks the tracker which it was. */
static int probe_range(const struct weft_track_ops *ops, char *base, int fd)
{
    const struct weft_track_desc desc = {.base = base, .len_bytes = 3 * WEFT_REGION_PAGE, .fd = fd};
    struct weft_track *track;
    struct weft_extents found = {0};
    base[0] = 1;
    int err = start_with(ops, &desc, &track);
    if (err)
        return err;
    for (int round = 0; round < 2 && !err; round++) { /* also after it was armed again */
        *(volatile char *)(base + WEFT_REGION_PAGE) = (char)round;
        err = weft__track_collect(track, &found);
        bool right = found.n == 1 && found.at[0].offset == WEFT_REGION_PAGE &&
                     found.at[0].len_bytes == WEFT_REGION_PAGE;
        if (ops == &weft__track_none)
            right = found.n == 1 && found.at[0].len_bytes >= 2 * WEFT_REGION_PAGE;
        if (!err && !right)
            err = weft_fail(WEFT_ENOTSUP,
                            "%s: this kernel accepts the requests and does not report what is "
                            "written",
                            ops->name);
    }
    weft__track_stop(track);
    weft__extents_fini(&found);
    return err;
}

static int probe_memory(const struct weft_track_ops *ops, enum weft_track_memory memory)
{
    const size_t len = 3 * WEFT_REGION_PAGE;
    int fd = -1, flags = memory == WEFT_TRACK_SHARED ? MAP_SHARED : MAP_PRIVATE;
    if (memory != WEFT_TRACK_ANONYMOUS) {
        fd = memfd_create("probe", MFD_CLOEXEC);
        if (fd < 0 || ftruncate(fd, (off_t)len)) {
            if (fd >= 0)
                close(fd);
            return weft_fail(-errno, "cannot make a memory file: %s", strerror(errno));
        }
    } else {
        flags |= MAP_ANONYMOUS;
    }
    void *base = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, fd, 0);
    int err = base == MAP_FAILED ? weft_fail(WEFT_ENOMEM, "no memory to probe a tracker with")
                                 : probe_range(ops, base, fd);
    if (base != MAP_FAILED)
        munmap(base, len);
    if (fd >= 0)
        close(fd);
    return err;
}

static int probe(const struct weft_track_ops *ops)
{
    static const enum weft_track_memory kinds[] = {WEFT_TRACK_ANONYMOUS, WEFT_TRACK_SHARED,
                                                   WEFT_TRACK_PRIVATE_FILE};
    int err = 0;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && !err; i++)
        err = probe_memory(ops, kinds[i]);
    return err;
}

static int find_working(const struct weft_track_ops **ops_out)
{
    int err = WEFT_ENOTSUP;
    for (size_t i = 0; i < sizeof(trackers) / sizeof(trackers[0]) && err; i++) {
        err = probe(trackers[i]);
        if (!err)
            *ops_out = trackers[i];
    }
    return err;
}

static int choose(const char *name, const struct weft_track_ops **ops_out)
{
    if (!name || strcmp(name, "auto") == 0)
        return find_working(ops_out);
    *ops_out = find_tracker(name);
    if (!*ops_out)
        return weft_fail(WEFT_EINVAL,
                         "no dirty tracker is called %s: auto, pagemap_scan, segv, none", name);
    return 0;
}

int weft__track_probe(const char *tracker)
{
    const struct weft_track_ops *ops;
    int err = choose(tracker, &ops);
    return err ? err : probe(ops);
}

int weft__track_start(const struct weft_track_desc *desc, struct weft_track **track_out)
{
    const struct weft_track_ops *ops;
    if (desc->len_bytes == 0 || desc->len_bytes > WEFT_REGION_MAX_BYTES ||
        ((uintptr_t)desc->base | desc->len_bytes) % WEFT_REGION_PAGE)
        return weft_fail(WEFT_EINVAL,
                         "a tracked range is whole pages, at most 1 TiB: not 0x%zx bytes at %p",
                         desc->len_bytes, desc->base);
    int err = choose(desc->tracker, &ops);
    return err ? err : start_with(ops, desc, track_out);
}

void weft__track_stop(struct weft_track *track)
{
    if (!track)
        return;
    delist(track); /* no landing finds it any more */
    track->ops->stop(track);
    track_free(track);
}

int weft__track_collect(struct weft_track *track, struct weft_extents *extents_out)
{
    weft__extents_clear(extents_out);
    pthread_mutex_lock(&track->lock);
    int err = track->ops->gather(track);
    for (size_t i = 0; i < track->landings_n; i++)
        weft__pages_set(&track->dirty, track->landings[i].first_page, track->landings[i].pages);
    if (!err)
        err = weft__pages_take(&track->dirty, extents_out);
    track->counts.collects++;
    pthread_mutex_unlock(&track->lock);
    return err;
}

const char *weft__track_name(const struct weft_track *track)
{
    return track->ops->name;
}

void weft__track_counts(struct weft_track *track, struct weft_track_counts *counts_out)
{
    pthread_mutex_lock(&track->lock);
    *counts_out = track->counts;
    counts_out->landings = track->landings_n;
    pthread_mutex_unlock(&track->lock);
}

/* The pages of the tracked range that bytes touch; at least one. */
static struct weft_landing pages_of(const struct weft_track *track, const char *at, size_t len)
{
    size_t begin = at > track->base ? (size_t)(at - track->base) : 0;
    size_t end = track->len_bytes;
    if (at + len < track->base + track->len_bytes)
        end = (size_t)(at + len - track->base);
    size_t first = begin / WEFT_REGION_PAGE;
    return (struct weft_landing){.first_page = first,
                                 .pages = (end + WEFT_REGION_PAGE - 1) / WEFT_REGION_PAGE - first};
}

static void note(struct weft_track *track, const struct weft_landing *landing)
{
    if (track->landings_n == track->landings_capacity) {
        track->landings_capacity = track->landings_capacity ? 2 * track->landings_capacity : 16;
        track->landings =
            weft__must_grow(track->landings, track->landings_capacity, sizeof(*track->landings));
    }
    track->landings[track->landings_n++] = *landing;
}

static void forget(struct weft_track *track, const struct weft_landing *landing)
{
    for (size_t i = 0; i < track->landings_n; i++) {
        struct weft_landing *at = &track->landings[i];
        if (at->first_page != landing->first_page || at->pages != landing->pages)
            continue;
        *at = track->landings[--track->landings_n];
        return;
    } /* else it began before the tracker did */
}

static void announce(const char *at, size_t len_bytes, bool begins)
{
    if (len_bytes == 0 || atomic_load(&list_n) == 0)
        return;
    pthread_rwlock_rdlock(&list_lock);
    for (struct weft_track *track = list; track; track = track->next) {
        if (!overlaps(track, at, len_bytes))
            continue;
        const struct weft_landing landing = pages_of(track, at, len_bytes);
        pthread_mutex_lock(&track->lock);
        if (begins)
            note(track, &landing);
        else
            forget(track, &landing);
        weft__pages_set(&track->dirty, landing.first_page, landing.pages);
        if (begins && track->started)
            admit(track, &landing);
        pthread_mutex_unlock(&track->lock);
    }
    pthread_rwlock_unlock(&list_lock);
}

void weft__region_will_write(const void *at, size_t len_bytes)
{
    announce(at, len_bytes, true);
}

void weft__region_written(const void *at, size_t len_bytes)
{
    announce(at, len_bytes, false);
}
