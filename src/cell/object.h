/* Object files that programs in cells have mapped: dynamic linkers, libraries.
 *
 * Their code is not copied into the ranges: each range maps it from the file, so that all ranks of
 * a host share its pages, and a move does not carry them. The file has to be the same at the
 * destination, which its build id tells. A process opens each file once, whatever number of ranks
 * has mapped it. */
#ifndef WEFT_CELL_OBJECT_H
#define WEFT_CELL_OBJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "exec/elf.h"

#define WEFT__OBJECT_PATH_MAX 952u

/* What a rank remembers of one; lies in its range. */
struct weft__object_name {
    uint32_t build_id_len; /* 0: there is none */
    uint32_t padding;
    uint8_t build_id[WEFT_BUILD_ID_MAX];
    char path[WEFT__OBJECT_PATH_MAX]; /* absolute */
};

/* Of the process. */
struct weft__object {
    struct weft__object *next;
    unsigned uses;
    uint64_t device, inode, size, mtime_ns;
    int fd; /* to read */
    struct weft__elf elf;
    char path[WEFT__OBJECT_PATH_MAX];
};

/* The object that an open file is.
 * Thread: any.  Blocks: for the disk.
 * Owns: a use of *object_out, weft__object_put().
 * Errors: WEFT_ENOEXEC it is none, or has too long a path; errno's. */
int weft__object_get(int fd, struct weft__object **object_out);
/* Errors: as above, naming the path; WEFT_ENOENT. */
int weft__object_open(const char *path, struct weft__object **object_out);
void weft__object_put(struct weft__object *object); /* fine on NULL */

void weft__object_describe(const struct weft__object *object, struct weft__object_name *name_out);
/* The same object on this host.
 * Owns: as weft__object_get.  Errors: WEFT_EPROTO the name makes no sense; WEFT_EPINNED it is not
 * here, or is another build. */
int weft__object_find(const struct weft__object_name *name, struct weft__object **object_out);

#endif
