/* Origins.
 *
 * The region has its largest length from the start and is sparse, so growing is a number that
 * changes, and no view or registration ever meets a mapping that moved. The queue is bounded in
 * lists and in bytes: whoever sends a result finds out that the owner does not keep up, not the
 * kernel that memory has run out.
 *
 * A merge writes through the mapping, where memory that is missing would be a signal: so it is set
 * apart first, and a list is merged whole or not at all.
 *
 * Changed pages are noted by page in a sparse bitmap, not as a list of writes: repeated writes cost
 * nothing, and the list that a push needs comes out sorted.
 */
#include "snapshot/origin.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot/pages.h"
#include "snapshot/track.h"
#include "weft/error.h"

struct entry {
    struct entry *next;
    struct weft_diffs diffs;
};

struct weft_origin {
    struct weft_region region;
    size_t len_bytes;
    struct weft_merge merge;
    struct weft_pages changed;

    pthread_mutex_t lock; /* covers the queue */
    struct entry *first, **last;
    size_t queued;
    uint64_t queued_bytes;
};

int weft__origin_open(const char *name, size_t len_bytes, size_t max_bytes,
                      struct weft_origin **origin_out)
{
    if (max_bytes == 0)
        max_bytes = len_bytes;
    if (len_bytes % WEFT_REGION_PAGE || len_bytes > max_bytes)
        return weft_fail(WEFT_EINVAL,
                         "snapshot %s: a length of 0x%zx bytes is not whole pages of at most 0x%zx",
                         name, len_bytes, max_bytes);
    struct weft_origin *origin = calloc(1, sizeof(*origin));
    if (!origin)
        return weft_fail(WEFT_ENOMEM, "no memory for snapshot %s", name);
    int err = weft__region_init(&origin->region, name, NULL, max_bytes);
    if (!err)
        err = weft__pages_init(&origin->changed, max_bytes / WEFT_REGION_PAGE);
    if (err) {
        weft__region_fini(&origin->region);
        free(origin);
        return err;
    }
    origin->len_bytes = len_bytes;
    origin->merge.limit_bytes = max_bytes;
    origin->last = &origin->first;
    pthread_mutex_init(&origin->lock, NULL);
    *origin_out = origin;
    return 0;
}

static void free_entries(struct entry *first)
{
    for (struct entry *entry = first, *next; entry; entry = next) {
        next = entry->next;
        weft__diffs_fini(&entry->diffs);
        free(entry);
    }
}

void weft__origin_close(struct weft_origin *origin)
{
    if (!origin)
        return;
    free_entries(origin->first);
    weft__merge_fini(&origin->merge);
    weft__pages_fini(&origin->changed);
    weft__region_fini(&origin->region);
    pthread_mutex_destroy(&origin->lock);
    free(origin);
}

const struct weft_region *weft__origin_region(const struct weft_origin *origin)
{
    return &origin->region;
}

size_t weft__origin_len(const struct weft_origin *origin)
{
    return origin->len_bytes;
}

struct weft_merge *weft__origin_merge(struct weft_origin *origin)
{
    return &origin->merge;
}

/* Notes that bytes change, and grows to hold them; the range is inside the region. */
static void touch(struct weft_origin *origin, uint64_t offset, uint64_t len)
{
    const size_t first = offset / WEFT_REGION_PAGE;
    const size_t end = (offset + len + WEFT_REGION_PAGE - 1) / WEFT_REGION_PAGE;
    if (len == 0)
        return;
    weft__pages_set(&origin->changed, first, end - first);
    if (end * WEFT_REGION_PAGE > origin->len_bytes)
        origin->len_bytes = end * WEFT_REGION_PAGE;
}

int weft__origin_write(struct weft_origin *origin, uint64_t offset, const void *data,
                       size_t len_bytes)
{
    int err = weft__region_write(&origin->region, offset, data, len_bytes);
    if (!err)
        touch(origin, offset, len_bytes);
    return err;
}

int weft__origin_diff(const struct weft_origin *origin, const struct weft_diff_desc *copy,
                      struct weft_diffs *diffs_out)
{
    struct weft_diff_desc desc = *copy;
    desc.base = origin->region.base;
    desc.base_len = origin->len_bytes;
    desc.merge = &origin->merge;
    return weft__diffs_make(&desc, diffs_out);
}

static uint64_t cost_of(const struct weft_diffs *diffs)
{
    return diffs->data_len + diffs->n * sizeof(*diffs->at);
}

static int enqueue(struct weft_origin *origin, struct entry *entry)
{
    const uint64_t bytes = cost_of(&entry->diffs);
    int err = 0;
    pthread_mutex_lock(&origin->lock);
    if (origin->queued >= WEFT_ORIGIN_QUEUE_MAX ||
        bytes > WEFT_ORIGIN_QUEUE_BYTES_MAX - origin->queued_bytes) {
        err = weft_fail(WEFT_EAGAIN,
                        "%zu lists of differences of %llu bytes wait to be merged already",
                        origin->queued, (unsigned long long)origin->queued_bytes);
    } else {
        *origin->last = entry;
        origin->last = &entry->next;
        origin->queued++;
        origin->queued_bytes += bytes;
    }
    pthread_mutex_unlock(&origin->lock);
    return err;
}

int weft__origin_queue(struct weft_origin *origin, struct weft_diffs *diffs)
{
    const uint64_t end = weft__diffs_end(diffs);
    if (end > origin->region.len_bytes)
        return weft_fail(WEFT_ERANGE,
                         "differences up to 0x%llx do not fit the snapshot, which has at most "
                         "0x%zx bytes",
                         (unsigned long long)end, origin->region.len_bytes);
    struct entry *entry = calloc(1, sizeof(*entry));
    if (!entry)
        return weft_fail(WEFT_ENOMEM, "no memory to queue differences");
    entry->diffs = *diffs;
    int err = enqueue(origin, entry);
    if (err)
        free(entry);
    else
        *diffs = (struct weft_diffs){0};
    return err;
}

size_t weft__origin_queued(struct weft_origin *origin)
{
    pthread_mutex_lock(&origin->lock);
    size_t queued = origin->queued;
    pthread_mutex_unlock(&origin->lock);
    return queued;
}

static struct entry *take_queue(struct weft_origin *origin)
{
    pthread_mutex_lock(&origin->lock);
    struct entry *first = origin->first;
    origin->first = NULL;
    origin->last = &origin->first;
    origin->queued = 0;
    origin->queued_bytes = 0;
    pthread_mutex_unlock(&origin->lock);
    return first;
}

void weft__origin_drop_queued(struct weft_origin *origin)
{
    free_entries(take_queue(origin));
}

int weft__origin_make_room(const struct weft_region *region, uint64_t at,
                           const struct weft_diffs *diffs)
{
    uint64_t low = 0, high = 0;
    int err = 0;
    for (size_t i = 0; i < diffs->n && !err; i++) {
        const struct weft_diff *diff = &diffs->at[i];
        const uint64_t begin = diff->offset - diff->offset % WEFT_REGION_PAGE;
        const uint64_t end = diff->offset + diff->len_bytes;
        if (begin < low || begin > high) {
            err = weft__region_reserve(region, at + low, high - low);
            low = high = begin;
        }
        if (end > high)
            high = (end + WEFT_REGION_PAGE - 1) / WEFT_REGION_PAGE * WEFT_REGION_PAGE;
    }
    return err ? err : weft__region_reserve(region, at + low, high - low);
}

static int apply(struct weft_origin *origin, const struct weft_diffs *diffs)
{
    int err = weft__diffs_apply(diffs, origin->region.base, origin->region.len_bytes);
    for (size_t i = 0; i < diffs->n && !err; i++)
        touch(origin, diffs->at[i].offset, diffs->at[i].len_bytes);
    return err;
}

int weft__origin_merge_queued(struct weft_origin *origin, size_t *lists_out)
{
    size_t lists = 0;
    int err = 0;
    struct entry *first = take_queue(origin);
    for (struct entry *entry = first; entry; entry = entry->next) {
        int failed = weft__origin_make_room(&origin->region, 0, &entry->diffs);
        if (!failed)
            failed = apply(origin, &entry->diffs);
        lists += failed == 0;
        err = err ? err : failed;
    }
    free_entries(first);
    *lists_out = lists;
    return err;
}

int weft__origin_merge_all(struct weft_origin *origin)
{
    int err = 0;
    struct entry *first = take_queue(origin);
    for (struct entry *entry = first; entry && !err; entry = entry->next)
        err = weft__origin_make_room(&origin->region, 0, &entry->diffs);
    for (struct entry *entry = first; entry && !err; entry = entry->next)
        err = apply(origin, &entry->diffs);
    free_entries(first);
    return err;
}

int weft__origin_updates(struct weft_origin *origin, struct weft_extents *extents_out)
{
    return weft__pages_take(&origin->changed, extents_out);
}
