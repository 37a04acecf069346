/* Snapshots by key, in memory that is bounded. Thread: any, for everything. */
#ifndef WEFT_SNAPSHOT_STORE_H
#define WEFT_SNAPSHOT_STORE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "snapshot/image.h"
#include "snapshot/region.h"

struct weft_store;

#define WEFT_SNAPSHOT_OVERHEAD_BYTES 512u /* of a snapshot, beside its bytes */

/* Has more than one owner: the store, and whoever reads it. Nothing in it changes while somebody
 * but the store has it, but for what `lock` covers. */
struct weft_snapshot {
    atomic_uint owners;
    struct weft_store *store;
    uint64_t size_bytes;
    uint64_t held_bytes; /* of memory */
    uint64_t version;
    uint64_t pushed_wall_ms;
    uint8_t *bytes; /* a small one's; NULL: it has a region */
    struct weft_region region;

    pthread_mutex_t lock;
    struct weft_image *image; /* as it is shared; NULL: nobody has pulled it yet */
    struct weft_image *came;  /* as it was pulled here; NULL: unknown, or it is shared */
    uint8_t *descriptor;
    size_t descriptor_len;
};

int weft__store_open(uint64_t memory_max, struct weft_store **store_out);
/* Every snapshot must have been given back.  NULL is fine. */
void weft__store_close(struct weft_store *store);

/* Sets memory apart for bytes that a snapshot is made from, and gives it back.  Errors:
 * WEFT_ENOSPC, WEFT_EAGAIN, as below. */
int weft__store_reserve(struct weft_store *store, uint64_t bytes);
void weft__store_give_back(struct weft_store *store, uint64_t bytes);
/* An empty snapshot with memory set apart for it, owned by the caller: weft__snapshot_put().
 * Errors: WEFT_ENOSPC, naming the bound; WEFT_EMFILE too many large ones; WEFT_EAGAIN held by
 * pushes under way: there may be room soon; WEFT_ENOMEM. */
int weft__snapshot_new(struct weft_store *store, uint64_t size_bytes, uint64_t held_bytes,
                       struct weft_snapshot **snapshot_out);
void weft__snapshot_put(struct weft_snapshot *snapshot);
/* The image that it was pulled by, whose sums are good for sharing it. Before it is in the store.
 * Owns: takes the image over. */
void weft__snapshot_came(struct weft_snapshot *snapshot, struct weft_image *image);
/* Shares it over a lane, where it is not shared yet, and tells how to pull it, until the last
 * reference goes.  Owns: *descriptor_out is the snapshot's.  Errors: the image's. */
int weft__snapshot_share(struct weft_snapshot *snapshot, struct weft_lane *lane,
                         const uint8_t **descriptor_out, size_t *len_out);

/* Puts a snapshot under a key; one that was there goes. Sets its version and time. Owns: the store
 * has taken a reference of its own.  Errors: WEFT_ENOSPC too many keys; WEFT_ENOMEM. */
int weft__store_set(struct weft_store *store, const char *key, struct weft_snapshot *snapshot);
/* The same only in the place of that version (0: any, or none).  Errors: WEFT_ESTALE. */
int weft__store_replace(struct weft_store *store, const char *key, uint64_t base_version,
                        struct weft_snapshot *snapshot);
/* What changed since a version of a snapshot. */
struct weft_store_update {
    const char *key;
    uint64_t base_version;
    uint64_t size_bytes; /* of the snapshot */
    const struct weft_image *image;
    const void *bytes; /* of the image's pieces, one behind the other */
};
/* Makes the next version of a large snapshot, in place where nobody reads it, else of a copy.
 * Whoever wants to replace it meanwhile waits, and where it is in place whoever wants to read it:
 * one sees the old version or the new one.
 * Errors: WEFT_ESTALE it has another version, or is not there; WEFT_EINVAL another size;
 * WEFT_ENOSPC, WEFT_EAGAIN, WEFT_EMFILE, WEFT_ENOMEM no room for it: the old version stays;
 * WEFT_EIO: it is gone. */
int weft__store_update(struct weft_store *store, const struct weft_store_update *update,
                       uint64_t *version_out);
/* The error of changes that do not fit what is there: WEFT_ESTALE with its text. */
int weft__store_stale(const char *key, uint64_t base_version);
/* Owns: the caller's reference.  NULL: none.  Blocks: while the snapshot is
 * updated in place. */
struct weft_snapshot *weft__store_get(struct weft_store *store, const char *key);
/* Returns whether there was one. */
bool weft__store_delete(struct weft_store *store, const char *key);

struct weft_store_entry {
    char *key;
    uint64_t size_bytes, held_bytes, version, pushed_wall_ms;
};
/* Of one, without its key (NULL). Returns whether there is one.  Blocks: no. */
bool weft__store_info(struct weft_store *store, const char *key,
                      struct weft_store_entry *entry_out);
/* Those with the prefix and behind `after`, sorted, at most max. Owns: *entries_out and its keys:
 * weft__store_list_free().  Errors: WEFT_ENOMEM.
 * lint: what is asked and what comes back belong to one call. */
int weft__store_list(struct weft_store *store, const char *prefix, const char *after, size_t max,
                     struct weft_store_entry **entries_out, size_t *n_out);
void weft__store_list_free(struct weft_store_entry *entries, size_t n);

struct weft_store_stats {
    uint64_t snapshots;
    uint64_t held_bytes; /* of those in the store, and of those being pushed or read */
    uint64_t memory_max;
};
void weft__store_stats(struct weft_store *store, struct weft_store_stats *stats_out);

#endif
