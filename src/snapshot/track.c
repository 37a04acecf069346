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

#include "base/must.h"
#include "snapshot/region.h"
#include "snapshot/track_ops.h"
#include "weft/error.h"

static pthread_rwlock_t list_lock = PTHREAD_RWLOCK_INITIALIZER;
static struct weft_track *list;
static atomic_uint list_n; /* so that landings cost nothing where nothing is tracked */

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

int weft__track_start_with(const struct weft_track_ops *ops, const struct weft_track_desc *desc,
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

int weft__track_start(const struct weft_track_desc *desc, struct weft_track **track_out)
{
    const struct weft_track_ops *ops;
    if (desc->len_bytes == 0 || desc->len_bytes > WEFT_REGION_MAX_BYTES ||
        ((uintptr_t)desc->base | desc->len_bytes) % WEFT_REGION_PAGE)
        return weft_fail(WEFT_EINVAL,
                         "a tracked range is whole pages, at most 1 TiB: not 0x%zx bytes at %p",
                         desc->len_bytes, desc->base);
    int err = weft__track_choose(desc->tracker, &ops);
    return err ? err : weft__track_start_with(ops, desc, track_out);
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
