/* What the files of files.h share: the folder, names in it, and errors that name a file. */
#ifndef WEFT_SNAPSHOT_FILES_OWN_H
#define WEFT_SNAPSHOT_FILES_OWN_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "snapshot/file.h"
#include "snapshot/file_io.h"
#include "snapshot/files.h"

#define WEFT_FILE_NAME_ROOM 256u /* with the NUL */
#define WEFT_FILE_TEMP "weft-save-"

struct weft_files {
    char folder[PATH_MAX];
    int fd;
    const struct weft_file_io *io;
    uint32_t depth;
    enum weft_files_cache cache;
};

/* file_name.c: one name per key, one key per name; nothing in it leads out of the folder. */
int weft__file_name(const char *key, char name_out[WEFT_FILE_NAME_ROOM]);
/* The other way round. Returns whether it is such a name; key_out becomes "" where the name is too
 * short for the key: it stands in the file. */
bool weft__file_name_key(const char *name, char key_out[WEFT_FILE_KEY_MAX + 1]);

/* What went wrong with a file: cannot DO FOLDER/NAME: errno's text; what to do. */
int weft__files_fail(const struct weft_files *files, const char *what, const char *name,
                     int errno_seen);
/* Prefixes the text of err: cannot DO FOLDER/NAME: text. */
int weft__files_fail_text(const struct weft_files *files, const char *what, const char *name,
                          int err);
/* Opens a file of the folder for reading and reads its header into bytes, which is aligned to
 * pages. size_out: of the file.  Errors: WEFT_ENOENT without a text; what is written is a complete
 * one. */
int weft__files_open_head(const struct weft_files *files, const char *name, bool direct,
                          uint8_t *bytes, uint64_t *size_out);

/* One chunk on its way. */
struct weft_file_slot {
    struct weft_file_op op;
    uint8_t *bytes;
    uint32_t len_bytes;
    uint64_t chunk;
    size_t extent; /* where it begins: in which extent, */
    uint64_t at;   /* and how far into it */
    struct weft_file_slot *next_free;
};
struct weft_file_slots {
    struct weft_file_slot *all, *free;
    uint8_t *memory;
    uint64_t memory_bytes;
};
int weft__file_slots_init(struct weft_file_slots *slots, uint32_t n, uint32_t chunk_bytes);
/* A zeroed one is fine. */
void weft__file_slots_fini(struct weft_file_slots *slots);
/* A part of a chunk in one extent. */
typedef int weft_file_part(void *ctx, uint64_t offset, uint8_t *bytes, size_t len_bytes);
/* Calls part for each part of the chunk that begins at slot->extent and slot->at; those are moved
 * to behind it where advance is true. */
int weft__file_slot_parts(const struct weft_file_slot *slot, const struct weft_extents *extents,
                          weft_file_part *part, void *ctx);
/* Moves a place in the extents on by len bytes. */
void weft__file_advance(const struct weft_extents *extents, size_t *extent, uint64_t *at,
                        uint64_t len_bytes);
/* What is left of a request after a part of it was done; false: nothing. */
bool weft__file_op_rest(struct weft_file_op *op);

#endif
