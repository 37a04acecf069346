/* Snapshots: copies of bytes that the weftd of a host keeps in memory under a key, until they are
 * deleted or the weftd ends.
 *
 * A snapshot never changes: pushing to its key puts another one in its place, in one step, and who
 * is pulling the old one gets it whole. Small ones travel inside a message, large ones over the
 * fastest transport that the host has, with checksums, and zero pages that were never touched cost
 * nothing. Memory is bounded (WEFT_SNAPSHOT_MEMORY): a push that does not fit is refused.
 *
 * Thread: any, everywhere.  Blocks: until the host's answer, at most timeout_ms, where nothing else
 * is said.  Errors of all: WEFT_EINVAL no key or one that is too long; WEFT_ETIMEDOUT,
 * WEFT_EPEERDEAD the host does not answer (what was asked may have happened or not);
 * WEFT_ESHUTDOWN. The text is weft_fail_text().
 */
#ifndef WEFT_SNAPSHOT_H
#define WEFT_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weft/api.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A process's access to the snapshots of one host. */
struct weft_snapshot_host;

struct weft_snapshot_options {
    const char *host;    /* address[:port] of the weftd; NULL: WEFT_HOST */
    uint32_t timeout_ms; /* for one call; 0: 60000 */
};

/* options NULL: defaults.  Blocks: no. */
WEFT_API int weft_snapshot_open(const struct weft_snapshot_options *options,
                                struct weft_snapshot_host **host_out);
/* No call is under way and every view has been released. NULL is fine. */
WEFT_API void weft_snapshot_close(struct weft_snapshot_host *host);

/* Copies the bytes to the host, under a key of 1 to 200 bytes without control characters.
 * Errors: WEFT_ENOSPC the host's memory for snapshots is full; WEFT_EAGAIN too much under way
 * there: see weft_fail_retry_ms(). */
WEFT_API int weft_snapshot_push(struct weft_snapshot_host *host, const char *key, const void *bytes,
                                size_t len_bytes);

/* A snapshot that has been pulled: private memory of the process's own. */
struct weft_snapshot_view {
    void *bytes;
    size_t len_bytes;
    uint64_t version; /* grows with every push to the host */
    size_t map_bytes; /* weft_snapshot_release()'s */
    int fd;
};
/* Owns: *view_out, weft_snapshot_release().  Errors: WEFT_ENOENT. */
WEFT_API int weft_snapshot_pull(struct weft_snapshot_host *host, const char *key,
                                struct weft_snapshot_view *view_out);
WEFT_API void weft_snapshot_release(struct weft_snapshot_view *view);

/* existed_out: NULL, or whether there was one. */
WEFT_API int weft_snapshot_delete(struct weft_snapshot_host *host, const char *key,
                                  bool *existed_out);
/* The same, not waiting for an answer: it may be lost.  Blocks: no. */
WEFT_API int weft_snapshot_delete_async(struct weft_snapshot_host *host, const char *key);

struct weft_snapshot_entry {
    const char *key;
    uint64_t size_bytes;
    uint64_t held_bytes; /* of the host's memory */
    uint64_t version;
    uint64_t pushed_wall_ms; /* milliseconds since 1970 */
};
typedef void weft_snapshot_each(void *ctx, const struct weft_snapshot_entry *entry);
/* Calls each for every snapshot whose key begins with prefix, sorted by key. */
WEFT_API int weft_snapshot_list(struct weft_snapshot_host *host, const char *prefix,
                                weft_snapshot_each *each, void *ctx);

/* Files: what is to outlive the weftd of the host, in its folder WEFT_SNAPSHOT_DIR. A file holds
 * what was touched of the snapshot, with checksums; it appears when it is whole and on the disk.
 * Hosts may share a folder, and restore what another has saved. Errors of all: WEFT_ENOTSUP the
 * host has no folder; WEFT_EAGAIN too much under way; what the disk says. Give large ones time:
 * timeout_ms. */

/* Puts a snapshot of the host's memory into a file, in the place of one that is there.
 * Errors: WEFT_ENOENT; WEFT_ENOSPC the disk is full: the old file stays. */
WEFT_API int weft_snapshot_save(struct weft_snapshot_host *host, const char *key);
/* Takes a file back into the host's memory. version_out: NULL, or the snapshot's new version.
 * Errors: WEFT_ENOENT; WEFT_ECHECKSUM, WEFT_EPROTO the file is damaged, with the offset;
 * WEFT_ENOSPC the host's memory for snapshots is full. */
WEFT_API int weft_snapshot_restore(struct weft_snapshot_host *host, const char *key,
                                   uint64_t *version_out);
/* Reads all of a file, and checks it. */
WEFT_API int weft_snapshot_verify(struct weft_snapshot_host *host, const char *key);
/* Deletes the file; the snapshot in memory stays. existed_out: NULL, or whether there was one. */
WEFT_API int weft_snapshot_discard(struct weft_snapshot_host *host, const char *key,
                                   bool *existed_out);

struct weft_snapshot_file_entry {
    const char *key;
    uint64_t size_bytes;
    uint64_t file_bytes;
    uint64_t saved_wall_ms; /* milliseconds since 1970 */
    int err;                /* WEFT_OK, or why it cannot be restored: the numbers are 0 */
};
typedef void weft_snapshot_each_file(void *ctx, const struct weft_snapshot_file_entry *entry);
/* Calls each for every file whose key begins with prefix, sorted by key. */
WEFT_API int weft_snapshot_stored(struct weft_snapshot_host *host, const char *prefix,
                                  weft_snapshot_each_file *each, void *ctx);

#ifdef __cplusplus
}
#endif

#endif
