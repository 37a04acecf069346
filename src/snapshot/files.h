/* Snapshots in files of a folder, by key.
 *
 * A file appears under its name when it is whole and on the disk, never before; one that is there
 * is replaced in the same step. Hosts and processes may share a folder. What a process that was
 * killed has left unfinished goes when the folder is opened next.
 */
#ifndef WEFT_SNAPSHOT_FILES_H
#define WEFT_SNAPSHOT_FILES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "snapshot/extent.h"
#include "snapshot/file.h"
#include "snapshot/region.h"

struct weft_files;
struct weft_file_io;

#define WEFT_FILES_DEPTH 8 /* requests in flight, of a chunk each */
#define WEFT_FILES_DEPTH_MAX 64u

enum weft_files_cache { WEFT_FILES_AUTO, WEFT_FILES_DIRECT, WEFT_FILES_CACHED };

struct weft_files_desc {
    const char *folder;            /* made where it is missing */
    const struct weft_file_io *io; /* NULL: io_uring where it is permitted, else threads */
    uint32_t depth;                /* 0: WEFT_FILES_DEPTH */
    enum weft_files_cache cache;   /* past the page cache, or through it */
};

/* Thread: any, for everything.  Blocks: for as long as the disk takes, everything.  Errors of all:
 * what the disk says, with the file and what to do. */

/* Errors: the folder cannot be made, or written. */
int weft__files_open(const struct weft_files_desc *desc, struct weft_files **files_out);
/* NULL is fine. */
void weft__files_close(struct weft_files *files);
const char *weft__files_folder(const struct weft_files *files);
/* The name of what reads and writes: "io_uring" or "threads". */
const char *weft__files_io(const struct weft_files *files);

/* What reads and writes files where desc->io is NULL, or is named (NULL: it is not): a line for
 * each way, "NAME: chosen" or what speaks against it, cut to room > 0. */
void weft__files_io_report(const char *named, char *text, size_t room);

/* What is saved. */
struct weft_file_source {
    const char *key;
    const void *bytes; /* must not change meanwhile */
    uint64_t size_bytes;
    const struct weft_extents *extents; /* whole pages of it, what lies between is 0 */
    const atomic_bool *stop;            /* NULL, or becomes true to end it: WEFT_ECANCELED */
};
/* Errors: WEFT_ENOSPC; WEFT_EIO; WEFT_ECANCELED: no trace is left, and the old file stays.
 * Unless the folder itself cannot be synced: the new file is there, but may not survive a crash. */
int weft__file_save(struct weft_files *files, const struct weft_file_source *source,
                    struct weft_file_head *head_out);
/* The same for what was touched of a region. */
int weft__file_save_region(struct weft_files *files, const char *key,
                           const struct weft_region *region, struct weft_file_head *head_out);

/* A file that is read. */
struct weft_file;
/* Its header and table have been checked. Owns: *file_out, weft__file_close().  Errors:
 * WEFT_ENOENT; WEFT_ECHECKSUM, WEFT_EPROTO damaged, with the offset; WEFT_EVERSION. */
int weft__file_open(struct weft_files *files, const char *key, struct weft_file **file_out);
void weft__file_close(struct weft_file *file); /* NULL is fine */
const struct weft_file_head *weft__file_head(const struct weft_file *file);
const struct weft_extents *weft__file_extents(const struct weft_file *file);

/* Where the bytes go; each write has been checked before. Any order.  Errors: they end the load. */
typedef int weft_file_sink(void *ctx, uint64_t offset, const void *bytes, size_t len_bytes);
/* sink NULL: only checks.  Errors: WEFT_ECHECKSUM, WEFT_EPROTO, with the offset: part of it may
 * have been delivered; WEFT_ECANCELED. */
int weft__file_load(struct weft_file *file, weft_file_sink *sink, void *ctx,
                    const atomic_bool *stop);
/* The same into a region of at least the snapshot's size; what was not stored is not touched. */
int weft__file_load_region(struct weft_file *file, const struct weft_region *region);

/* existed_out may be NULL. */
int weft__file_delete(struct weft_files *files, const char *key, bool *existed_out);

struct weft_file_entry {
    struct weft_file_head head; /* key alone, where the file is damaged */
    int err;                    /* WEFT_OK, or why the header cannot be read */
};
/* Those with the prefix and behind `after`, sorted, at most max. Owns: *entries_out, free().
 * lint: what is asked and what comes back belong to one call. */
int weft__files_list(struct weft_files *files, const char *prefix, const char *after, size_t max,
                     struct weft_file_entry **entries_out, size_t *n_out);

#endif
