/* A hash table of references under one lock; the bytes of a snapshot are never touched under it.
 *
 * Memory is set apart before a byte of a snapshot comes, and given back when the last reference
 * goes: so a snapshot that is replaced counts until nobody reads it any more, and the bound holds
 * for what there is, not for what has a key. Small snapshots are plain memory: a region costs a
 * file descriptor and a page at least.
 *
 * An update changes a snapshot that nobody but the store has, in place: who asks for it meanwhile
 * waits, and its pages are allocated before the first byte changes, so it happens whole or not.
 * One that is being read is copied first, and can be read on. Pages are written by pwrite, 1.2 us
 * for each of those of 1 % of a GiB; copied into the mapping, which nobody has touched, they take
 * 1.6. A push of 1 % of the pages takes 13 to 21 ms where one of all takes 540 to 580 (1 GiB, two
 * processors). Rejected: mapping the changed pages over the old ones (a mapping for each). */
#include "snapshot/store.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <uthash.h>

#include "base/clock.h"
#include "snapshot/service.h"
#include "weft/error.h"

enum {
    DESCRIPTORS_MAX = 1 << 20,
    REGIONS_SHARE = 4, /* the rest is for connections */
    IMAGE_SHARE = 128
};

struct kept {
    UT_hash_handle hh;
    struct weft_snapshot *snapshot;
    bool updated; /* just now: whoever wants to replace it waits, */
    bool changes; /* in place: whoever wants to read it does, too */
    char key[];
};

struct weft_store {
    pthread_mutex_t lock;
    pthread_cond_t idle; /* an update is over */
    struct kept *kept;
    uint64_t kept_bytes; /* of those with a key */
    uint64_t held_bytes; /* of all */
    uint64_t memory_max;
    uint64_t versions;
    unsigned regions_n, regions_max; /* each takes a file descriptor */
};

/* How many this process may have open. */
static unsigned descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > DESCRIPTORS_MAX)
        return DESCRIPTORS_MAX;
    return (unsigned)limit.rlim_cur;
}

int weft__store_open(uint64_t memory_max, struct weft_store **store_out)
{
    struct weft_store *store = calloc(1, sizeof(*store));
    if (!store)
        return weft_fail(WEFT_ENOMEM, "no memory for a store of snapshots");
    store->memory_max = memory_max;
    store->versions = weft__wall_ms() * 1000; /* none of a host before this one comes again */
    store->regions_max = descriptors() / REGIONS_SHARE;
    pthread_mutex_init(&store->lock, NULL);
    pthread_cond_init(&store->idle, NULL);
    *store_out = store;
    return WEFT_OK;
}

/* ---- snapshots ---- */

int weft__store_reserve(struct weft_store *store, uint64_t bytes)
{
    pthread_mutex_lock(&store->lock);
    uint64_t max = store->memory_max, held = store->held_bytes, kept = store->kept_bytes;
    bool fits = bytes <= max && held <= max - bytes;
    if (fits)
        store->held_bytes += bytes;
    pthread_mutex_unlock(&store->lock);
    if (fits)
        return WEFT_OK;
    if (bytes <= max && kept <= max - bytes)
        return weft_fail(WEFT_EAGAIN,
                         "no room for a snapshot of %llu bytes while others are pushed or read",
                         (unsigned long long)bytes);
    return weft_fail(WEFT_ENOSPC,
                     "no room for a snapshot of %llu bytes: %llu of %llu are taken; delete some, "
                     "or set WEFT_SNAPSHOT_MEMORY to more",
                     (unsigned long long)bytes, (unsigned long long)held, (unsigned long long)max);
}

void weft__store_give_back(struct weft_store *store, uint64_t bytes)
{
    pthread_mutex_lock(&store->lock);
    store->held_bytes -= bytes;
    pthread_mutex_unlock(&store->lock);
}

static uint64_t whole_pages(uint64_t bytes)
{
    return (bytes + WEFT_REGION_PAGE - 1) / WEFT_REGION_PAGE * WEFT_REGION_PAGE;
}

/* One more or (-1) less; false: there are as many as there may be. */
static bool count_region(struct weft_store *store, int change)
{
    pthread_mutex_lock(&store->lock);
    bool fits = change < 0 || store->regions_n < store->regions_max;
    if (fits)
        store->regions_n += (unsigned)change;
    pthread_mutex_unlock(&store->lock);
    return fits;
}

static int make_region(struct weft_snapshot *snapshot)
{
    struct weft_store *store = snapshot->store;
    if (!count_region(store, 1))
        return weft_fail(WEFT_EMFILE,
                         "the host keeps %u large snapshots already, each of which takes a file "
                         "descriptor; delete some, or raise its limit (ulimit -n)",
                         store->regions_max);
    int err = weft__region_init(&snapshot->region, "weft-snapshot", NULL,
                                whole_pages(snapshot->size_bytes));
    if (err)
        count_region(store, -1);
    return err;
}

static int make_memory(struct weft_snapshot *snapshot)
{
    if (snapshot->size_bytes > WEFT_SNAPSHOT_INLINE_MAX)
        return make_region(snapshot);
    snapshot->bytes = malloc(snapshot->size_bytes);
    return snapshot->bytes ? WEFT_OK : weft_fail(WEFT_ENOMEM, "no memory for a snapshot");
}

int weft__snapshot_new(struct weft_store *store, uint64_t size_bytes, uint64_t held_bytes,
                       struct weft_snapshot **snapshot_out)
{
    if (size_bytes == 0 || size_bytes > WEFT_REGION_MAX_BYTES)
        return weft_fail(WEFT_EINVAL, "a snapshot has 1 to %zu bytes, not %llu",
                         WEFT_REGION_MAX_BYTES, (unsigned long long)size_bytes);
    int err = weft__store_reserve(store, held_bytes);
    if (err)
        return err;
    struct weft_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    if (!snapshot) {
        weft__store_give_back(store, held_bytes);
        return weft_fail(WEFT_ENOMEM, "no memory for a snapshot");
    }
    *snapshot =
        (struct weft_snapshot){.store = store, .size_bytes = size_bytes, .held_bytes = held_bytes};
    atomic_init(&snapshot->owners, 1);
    pthread_mutex_init(&snapshot->lock, NULL);
    err = make_memory(snapshot);
    if (err)
        weft__snapshot_put(snapshot);
    else
        *snapshot_out = snapshot;
    return err;
}

/* The caller holds the snapshot's lock, or is its last owner. */
static void stop_sharing(struct weft_snapshot *snapshot)
{
    if (!snapshot->image)
        return;
    uint64_t packed = snapshot->image->packed_len_bytes;
    weft__image_free(snapshot->image);
    snapshot->image = NULL;
    weft__store_give_back(snapshot->store, packed);
}

void weft__snapshot_put(struct weft_snapshot *snapshot)
{
    if (atomic_fetch_sub(&snapshot->owners, 1) != 1)
        return;
    stop_sharing(snapshot);
    weft__image_free(snapshot->came);
    free(snapshot->descriptor);
    if (snapshot->region.base) {
        weft__region_fini(&snapshot->region);
        count_region(snapshot->store, -1);
    }
    free(snapshot->bytes);
    pthread_mutex_destroy(&snapshot->lock);
    weft__store_give_back(snapshot->store, snapshot->held_bytes);
    free(snapshot);
}

/* What an image needs beside the bytes, uncounted for memory where it is no more than the part
 * 1 / IMAGE_SHARE of them. */
static uint64_t tables_of(const struct weft_image *image)
{
    return image->runs.n * sizeof(*image->runs.at) + image->pieces_n * sizeof(*image->pieces);
}

void weft__snapshot_came(struct weft_snapshot *snapshot, struct weft_image *image)
{
    if (tables_of(image) <= snapshot->held_bytes / IMAGE_SHARE)
        snapshot->came = image;
    else
        weft__image_free(image);
}

/* With the sums that it came with, which saves reading it; NULL: they are not known. */
static struct weft_image *build_from_sums(struct weft_snapshot *snapshot)
{
    struct weft_image *image = snapshot->came;
    snapshot->came = NULL;
    if (image && weft__store_reserve(snapshot->store, image->packed_len_bytes) == WEFT_OK) {
        if (weft__image_adopt(image, &snapshot->region) == WEFT_OK)
            return image;
        weft__store_give_back(snapshot->store, image->packed_len_bytes);
    }
    weft__image_free(image);
    return NULL;
}

/* Scattered pages are packed into a buffer beside the region, if there is memory for it. */
static int build(struct weft_snapshot *snapshot, struct weft_image **image_out)
{
    struct weft_image_desc desc = {.region = &snapshot->region};
    *image_out = build_from_sums(snapshot);
    if (*image_out)
        return WEFT_OK;
    int err = weft__image_build(&desc, image_out);
    if (err || weft__store_reserve(snapshot->store, (*image_out)->packed_len_bytes) == WEFT_OK)
        return err;
    weft__image_free(*image_out);
    desc.pack_below_bytes = 1;
    return weft__image_build(&desc, image_out);
}

/* The caller holds the snapshot's lock. */
static int share(struct weft_snapshot *snapshot, struct weft_lane *lane)
{
    struct weft_image *image = NULL;
    if (snapshot->image)
        return WEFT_OK;
    int err = build(snapshot, &image);
    if (err)
        return err;
    snapshot->image = image;
    err = weft__image_share(image, lane);
    if (!err)
        err = weft__image_encode(image, &snapshot->descriptor, &snapshot->descriptor_len);
    if (err)
        stop_sharing(snapshot);
    return err;
}

int weft__snapshot_share(struct weft_snapshot *snapshot, struct weft_lane *lane,
                         const uint8_t **descriptor_out, size_t *len_out)
{
    pthread_mutex_lock(&snapshot->lock);
    int err = share(snapshot, lane);
    pthread_mutex_unlock(&snapshot->lock);
    if (err)
        return err;
    *descriptor_out = snapshot->descriptor;
    *len_out = snapshot->descriptor_len;
    return WEFT_OK;
}

/* ---- keys ---- */

/* The caller holds the lock, which is let go of while the key is updated. NULL: none. */
static struct kept *find(struct weft_store *store, const char *key, bool to_read)
{
    struct kept *kept;
    for (;;) {
        HASH_FIND_STR(store->kept, key, kept);
        if (!kept || !(to_read ? kept->changes : kept->updated))
            return kept;
        pthread_cond_wait(&store->idle, &store->lock);
    }
}

static int add(struct weft_store *store, const char *key, struct kept **kept_out)
{
    size_t len = strlen(key) + 1;
    if (HASH_COUNT(store->kept) >= WEFT_SNAPSHOTS_MAX)
        return weft_fail(WEFT_ENOSPC, "the host keeps %u snapshots already", WEFT_SNAPSHOTS_MAX);
    struct kept *kept = malloc(sizeof(*kept) + len);
    if (!kept)
        return weft_fail(WEFT_ENOMEM, "no memory for a key");
    memcpy(kept->key, key, len);
    kept->snapshot = NULL;
    kept->updated = kept->changes = false;
    HASH_ADD_STR(store->kept, key, kept);
    *kept_out = kept;
    return WEFT_OK;
}

int weft__store_stale(const char *key, uint64_t base_version)
{
    return weft_fail(WEFT_ESTALE,
                     "version %llu of the snapshot \"%s\" is not there any more: push all of it",
                     (unsigned long long)base_version, key);
}

/* Whether that version of it is there, or (0) whatever there is will do. */
static bool is_base(const struct kept *kept, uint64_t base_version)
{
    return base_version == 0 || (kept && kept->snapshot->version == base_version);
}

int weft__store_replace(struct weft_store *store, const char *key, uint64_t base_version,
                        struct weft_snapshot *snapshot)
{
    struct weft_snapshot *old = NULL;
    int err = WEFT_OK;
    pthread_mutex_lock(&store->lock);
    struct kept *kept = find(store, key, false);
    if (!is_base(kept, base_version))
        err = weft__store_stale(key, base_version);
    if (!err && !kept)
        err = add(store, key, &kept);
    if (!err) {
        old = kept->snapshot;
        kept->snapshot = snapshot;
        store->kept_bytes += snapshot->held_bytes - (old ? old->held_bytes : 0);
        snapshot->version = ++store->versions;
        snapshot->pushed_wall_ms = weft__wall_ms();
        atomic_fetch_add(&snapshot->owners, 1);
    }
    pthread_mutex_unlock(&store->lock);
    if (old)
        weft__snapshot_put(old);
    return err;
}

int weft__store_set(struct weft_store *store, const char *key, struct weft_snapshot *snapshot)
{
    return weft__store_replace(store, key, 0, snapshot);
}

struct weft_snapshot *weft__store_get(struct weft_store *store, const char *key)
{
    pthread_mutex_lock(&store->lock);
    const struct kept *kept = find(store, key, true);
    struct weft_snapshot *snapshot = kept ? kept->snapshot : NULL;
    if (snapshot)
        atomic_fetch_add(&snapshot->owners, 1);
    pthread_mutex_unlock(&store->lock);
    return snapshot;
}

bool weft__store_info(struct weft_store *store, const char *key, struct weft_store_entry *entry_out)
{
    struct kept *kept;
    pthread_mutex_lock(&store->lock);
    HASH_FIND_STR(store->kept, key, kept);
    if (kept)
        *entry_out = (struct weft_store_entry){.size_bytes = kept->snapshot->size_bytes,
                                               .held_bytes = kept->snapshot->held_bytes,
                                               .version = kept->snapshot->version,
                                               .pushed_wall_ms = kept->snapshot->pushed_wall_ms};
    pthread_mutex_unlock(&store->lock);
    return kept != NULL;
}

/* The caller holds the lock, or is alone; the snapshot is the caller's. */
static struct weft_snapshot *take_out(struct weft_store *store, struct kept *kept)
{
    struct weft_snapshot *snapshot = kept->snapshot;
    HASH_DEL(store->kept, kept);
    store->kept_bytes -= snapshot->held_bytes;
    free(kept);
    return snapshot;
}

bool weft__store_delete(struct weft_store *store, const char *key)
{
    pthread_mutex_lock(&store->lock);
    struct kept *kept = find(store, key, false);
    struct weft_snapshot *snapshot = kept ? take_out(store, kept) : NULL;
    pthread_mutex_unlock(&store->lock);
    if (!snapshot)
        return false;
    weft__snapshot_put(snapshot);
    return true;
}

void weft__store_close(struct weft_store *store)
{
    if (!store)
        return;
    struct kept *kept = store->kept, *next;
    HASH_CLEAR(hh, store->kept); /* the entries are a list still */
    for (; kept; kept = next) {
        next = kept->hh.next;
        weft__snapshot_put(kept->snapshot);
        free(kept);
    }
    pthread_cond_destroy(&store->idle);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

/* ---- updates ---- */

static uint64_t memory_of(const struct weft_region *region)
{
    struct stat status;
    return fstat(region->fd, &status) == 0 ? (uint64_t)status.st_blocks * 512 : 0;
}

/* Sets pages apart for the runs: a hole that cannot be filled is found out before a byte changes.
 */
static int make_room(const struct weft_region *region, const struct weft_extents *runs)
{
    int err = WEFT_OK;
    for (size_t i = 0; i < runs->n && err == WEFT_OK; i++)
        err = weft__region_reserve(region, runs->at[i].offset, runs->at[i].len_bytes);
    return err;
}

static int place_all(const struct weft_store_update *update, const struct weft_region *region)
{
    const unsigned char *bytes = update->bytes;
    int err = WEFT_OK;
    for (size_t i = 0; i < update->image->pieces_n && err == WEFT_OK; i++) {
        err = weft__image_place(update->image, &update->image->pieces[i], bytes, region);
        bytes += update->image->pieces[i].len_bytes;
    }
    return err;
}

static int copy_touched(const struct weft_region *from, const struct weft_region *into)
{
    struct weft_extents touched = {0};
    int err = weft__region_touched(from, &touched);
    for (size_t i = 0; i < touched.n && err == WEFT_OK; i++)
        err = weft__region_write(into, touched.at[i].offset,
                                 (const char *)from->base + touched.at[i].offset,
                                 touched.at[i].len_bytes);
    weft__extents_fini(&touched);
    return err;
}

/* Another snapshot with the same bytes, for where somebody reads this one. */
static int copy_of(struct weft_snapshot *snapshot, uint64_t more_bytes,
                   struct weft_snapshot **copy_out)
{
    struct weft_snapshot *copy;
    int err = weft__snapshot_new(snapshot->store, snapshot->size_bytes,
                                 snapshot->held_bytes + more_bytes, &copy);
    if (err)
        return err;
    err = copy_touched(&snapshot->region, &copy->region);
    if (err)
        weft__snapshot_put(copy);
    else
        *copy_out = copy;
    return err;
}

/* Counts what the snapshot has grown by, beyond the store's bound for as long as the changes are
 * there still. */
static void count_growth(struct weft_snapshot *snapshot, uint64_t before_bytes)
{
    const uint64_t now = memory_of(&snapshot->region);
    const uint64_t growth = now > before_bytes ? now - before_bytes : 0;
    struct weft_store *store = snapshot->store;
    pthread_mutex_lock(&store->lock);
    snapshot->held_bytes += growth;
    store->kept_bytes += growth;
    store->held_bytes += growth;
    pthread_mutex_unlock(&store->lock);
}

/* The caller is the only one to have it. *broken_out: some of it has changed, and not all. */
static int change(struct weft_snapshot *snapshot, const struct weft_store_update *update,
                  bool *broken_out)
{
    const uint64_t before_bytes = memory_of(&snapshot->region);
    stop_sharing(snapshot);
    weft__image_free(snapshot->came);
    snapshot->came = NULL;
    free(snapshot->descriptor);
    snapshot->descriptor = NULL;
    int err = before_bytes < snapshot->region.len_bytes
                  ? make_room(&snapshot->region, &update->image->runs)
                  : WEFT_OK;
    count_growth(snapshot, before_bytes);
    if (err)
        return err;
    err = place_all(update, &snapshot->region);
    *broken_out = err != WEFT_OK;
    return err;
}

/* *alone_out: nobody but the store has the snapshot, and nobody gets it until the end. */
static int begin(struct weft_store *store, const struct weft_store_update *update,
                 struct kept **kept_out, bool *alone_out)
{
    int err = WEFT_OK;
    pthread_mutex_lock(&store->lock);
    struct kept *kept = find(store, update->key, false);
    if (!is_base(kept, update->base_version))
        err = weft__store_stale(update->key, update->base_version);
    else if (!kept->snapshot->region.base || kept->snapshot->size_bytes != update->size_bytes)
        err =
            weft_fail(WEFT_EINVAL, "changes of a snapshot of %llu bytes do not fit \"%s\" of %llu",
                      (unsigned long long)update->size_bytes, update->key,
                      (unsigned long long)kept->snapshot->size_bytes);
    if (!err) {
        kept->updated = true;
        kept->changes = *alone_out = atomic_load(&kept->snapshot->owners) == 1;
        *kept_out = kept;
    }
    pthread_mutex_unlock(&store->lock);
    return err;
}

/* Puts the new version in the old one's place, which may be the same snapshot; NULL: the old one
 * stays. */
static uint64_t end(struct weft_store *store, struct kept *kept, struct weft_snapshot *next)
{
    struct weft_snapshot *old = NULL;
    uint64_t version = 0;
    pthread_mutex_lock(&store->lock);
    kept->updated = kept->changes = false;
    if (next && next != kept->snapshot) {
        old = kept->snapshot;
        kept->snapshot = next;
        store->kept_bytes += next->held_bytes - old->held_bytes;
    }
    if (next) {
        version = next->version = ++store->versions;
        next->pushed_wall_ms = weft__wall_ms();
    }
    pthread_cond_broadcast(&store->idle);
    pthread_mutex_unlock(&store->lock);
    if (old)
        weft__snapshot_put(old);
    return version;
}

/* Takes away what is neither the old version nor the new one. */
static void end_broken(struct weft_store *store, struct kept *kept)
{
    pthread_mutex_lock(&store->lock);
    struct weft_snapshot *snapshot = take_out(store, kept);
    pthread_cond_broadcast(&store->idle);
    pthread_mutex_unlock(&store->lock);
    weft__snapshot_put(snapshot);
}

static int change_copy(struct weft_snapshot *snapshot, const struct weft_store_update *update,
                       struct weft_snapshot **copy_out)
{
    struct weft_snapshot *copy;
    int err = copy_of(snapshot, update->image->total_bytes, &copy);
    if (err)
        return err;
    err = place_all(update, &copy->region);
    if (err) {
        weft__snapshot_put(copy);
        return err;
    }
    const uint64_t old = memory_of(&snapshot->region), now = memory_of(&copy->region);
    const uint64_t grown = now > old ? now - old : 0;
    if (grown < update->image->total_bytes) { /* the rest was there before */
        copy->held_bytes -= update->image->total_bytes - grown;
        weft__store_give_back(snapshot->store, update->image->total_bytes - grown);
    }
    *copy_out = copy;
    return WEFT_OK;
}

int weft__store_update(struct weft_store *store, const struct weft_store_update *update,
                       uint64_t *version_out)
{
    struct weft_snapshot *next;
    struct kept *kept;
    bool alone, broken = false;
    int err = begin(store, update, &kept, &alone);
    if (err)
        return err;
    next = kept->snapshot;
    err = alone ? change(next, update, &broken) : change_copy(kept->snapshot, update, &next);
    if (broken)
        end_broken(store, kept);
    else if (err)
        (void)end(store, kept, NULL);
    else
        *version_out = end(store, kept, next);
    return err;
}

/* ---- lists ---- */

static int by_key(const void *a, const void *b)
{
    const struct weft_store_entry *x = a, *y = b;
    return strcmp(x->key, y->key);
}

void weft__store_list_free(struct weft_store_entry *entries, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(entries[i].key);
    free(entries);
}

/* All that match, unsorted.  The caller holds the lock. Returns whether there was memory. */
static bool collect(const struct weft_store *store, const char *prefix, const char *after,
                    struct weft_store_entry *entries, size_t *n_out)
{
    size_t n = 0, prefix_len = strlen(prefix);
    for (const struct kept *kept = store->kept; kept; kept = kept->hh.next) {
        const struct weft_snapshot *snapshot = kept->snapshot;
        if (strncmp(kept->key, prefix, prefix_len) != 0 || strcmp(kept->key, after) <= 0)
            continue;
        entries[n] = (struct weft_store_entry){.key = strdup(kept->key),
                                               .size_bytes = snapshot->size_bytes,
                                               .held_bytes = snapshot->held_bytes,
                                               .version = snapshot->version,
                                               .pushed_wall_ms = snapshot->pushed_wall_ms};
        if (!entries[n].key) {
            *n_out = n;
            return false;
        }
        n++;
    }
    *n_out = n;
    return true;
}

/* lint: see the header. */
int weft__store_list(struct weft_store *store, const char *prefix, const char *after, size_t max,
                     struct weft_store_entry **entries_out, size_t *n_out)
{
    size_t n = 0;
    pthread_mutex_lock(&store->lock);
    struct weft_store_entry *entries = calloc(HASH_COUNT(store->kept) + 1, sizeof(*entries));
    bool fits = entries && collect(store, prefix, after, entries, &n);
    pthread_mutex_unlock(&store->lock);
    if (!fits) {
        weft__store_list_free(entries, n);
        return weft_fail(WEFT_ENOMEM, "no memory for a list of snapshots");
    }
    qsort(entries, n, sizeof(*entries), by_key);
    for (; n > max; n--)
        free(entries[n - 1].key);
    *entries_out = entries;
    *n_out = n;
    return WEFT_OK;
}

void weft__store_stats(struct weft_store *store, struct weft_store_stats *stats_out)
{
    pthread_mutex_lock(&store->lock);
    *stats_out = (struct weft_store_stats){.snapshots = HASH_COUNT(store->kept),
                                           .held_bytes = store->held_bytes,
                                           .memory_max = store->memory_max};
    pthread_mutex_unlock(&store->lock);
}
