/* A process's access to the snapshots of hosts. */
#ifndef WEFT_SNAPSHOT_CLIENT_H
#define WEFT_SNAPSHOT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link/lane.h"
#include "snapshot/extent.h"
#include "snapshot/region.h"
#include "transport/spi.h"

struct weft_client;
struct weft_snapshots;

struct weft_snapshots_desc {
    struct weft_client *client;                     /* must outlive it */
    const struct weft_transport *const *transports; /* for the lane, which opens on first use */
    size_t transports_n;
    const char *scheme; /* NULL: that of the first host */
    const char *bind;   /* of the lane; NULL: the interface that leads to the first host */
};

int weft__snapshots_open(const struct weft_snapshots_desc *desc,
                         struct weft_snapshots **snapshots_out);
/* No call is under way. NULL is fine.  Blocks: until hosts know which pulls are over, at most 1 s.
 */
void weft__snapshots_close(struct weft_snapshots *snapshots);
/* What its lane has moved; all 0 while none is open. */
void weft__snapshots_lane_stats(struct weft_snapshots *snapshots,
                                struct weft_lane_stats *stats_out);

/* One snapshot: on which host, under which key. */
struct weft_snapshot_at {
    const char *url;     /* of the snapshot service's sync port; its async port is the next one */
    const char *key;     /* 1 to WEFT_SNAPSHOT_KEY_MAX bytes of UTF-8 */
    uint32_t timeout_ms; /* > 0; for the whole call */
};

/* Thread: any but the client's own.  Blocks: at most timeout_ms, and for as long as a get that is
 * on its way needs to come to an end.  Errors of all: WEFT_EINVAL; WEFT_ETIMEDOUT; WEFT_EPEERDEAD;
 * those of the lane. */

/* Copies what was touched of the region to the host, which must not change until this returns.
 * Errors: WEFT_ENOSPC the host's memory for snapshots is full; WEFT_EAGAIN too much under way
 * there. After WEFT_ETIMEDOUT or WEFT_EPEERDEAD the host has it or does not. */
int weft__snapshot_push(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                        const struct weft_region *region);
/* The same for bytes of any number but 0. */
int weft__snapshot_push_bytes(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                              const void *bytes, size_t len_bytes);

/* What changed since a version that the host was given. */
struct weft_snapshot_update {
    const struct weft_region *region; /* must not change until the call returns */
    uint64_t base_version;            /* 0: none, all that was touched goes */
    const struct weft_extents
        *changed; /* whole pages; since the base, a tracker's or an origin's */
};
/* Pushes that only, which makes the host's next version. Two who update one key in turn find out:
 * the later one is refused. version_out may be NULL. Errors: WEFT_ESTALE the host has another
 * version, or none; WEFT_EINVAL the base is of another size; those of a push. */
int weft__snapshot_update(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                          const struct weft_snapshot_update *update, uint64_t *version_out);

/* A snapshot that has come here. */
struct weft_snapshot_copy {
    struct weft_region region; /* its first size_bytes; the rest of the last page is 0 */
    uint64_t size_bytes;
    uint64_t version;
};
/* Owns: the copy's region, weft__region_fini().  Errors: WEFT_ENOENT. */
int weft__snapshot_pull(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                        struct weft_snapshot_copy *copy_out);

/* existed_out may be NULL. */
int weft__snapshot_delete(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                          bool *existed_out);
/* Without waiting, or knowing whether it came to pass.  Blocks: no. */
int weft__snapshot_delete_async(struct weft_snapshots *snapshots,
                                const struct weft_snapshot_at *at);

struct weft_snapshot_info {
    char *key; /* NULL from weft__snapshot_info() */
    uint64_t size_bytes, held_bytes, version, pushed_wall_ms;
};
/* Errors: WEFT_ENOENT. */
int weft__snapshot_info(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                        struct weft_snapshot_info *info_out);
/* All whose key begins with at->key (""), sorted. Owns: weft__snapshot_list_free(). */
int weft__snapshot_list(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                        struct weft_snapshot_info **infos_out, size_t *n_out);
void weft__snapshot_list_free(struct weft_snapshot_info *infos, size_t n);

/* ---- files of the host (client_file.c); errors of all: WEFT_ENOTSUP it stores none; the disk's */

/* Puts the snapshot into a file, or checks one.  Errors: WEFT_ENOENT; WEFT_ECHECKSUM. */
int weft__snapshot_save(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at);
int weft__snapshot_verify(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at);
/* Takes it into memory, in the place of one that is there. version_out may be NULL.  Errors:
 * WEFT_ENOENT; WEFT_ECHECKSUM, WEFT_EPROTO damaged; WEFT_ENOSPC. */
int weft__snapshot_restore(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                           uint64_t *version_out);
/* Deletes the file. existed_out may be NULL. */
int weft__snapshot_discard(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                           bool *existed_out);

struct weft_snapshot_file {
    char *key;
    uint64_t size_bytes, file_bytes, saved_wall_ms;
    int err; /* WEFT_OK, or why it cannot be restored */
};
/* All whose key begins with at->key (""), sorted. Owns: weft__snapshot_stored_free(). */
int weft__snapshot_stored(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                          struct weft_snapshot_file **files_out, size_t *n_out);
void weft__snapshot_stored_free(struct weft_snapshot_file *files, size_t n);

#endif
