/* The address space of a program in a cell: a part of its rank's range, and the memory calls of the
 * kernel for it.
 *
 *   struct weft__space, names of objects, table of extents | image | its dynamic linker | code |
 *   break | mappings, libraries ... | guard | stack
 *
 * Everything is an extent of one arena, the image and the stack too. Writable pages are the
 * range's own and move with it; code is mapped from the files of the program, its dynamic linker
 * and its libraries, which are the same at the destination, and is mapped anew there. */
#ifndef WEFT_CELL_SPACE_H
#define WEFT_CELL_SPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "cell/arena.h"
#include "cell/gate.h"
#include "cell/object.h"
#include "exec/elf.h"
#include "snapshot/region.h"

#define WEFT__SPACE_GUARD UINT64_C(65536) /* bytes below the stack that fault */
#define WEFT__SPACE_PROGRAM 1u            /* the source of extents that are the program's file */
#define WEFT__SPACE_OBJECTS 256u          /* the sources behind it: objects in use at a time */

/* Lies in the range. */
struct weft__space {
    uint64_t magic;
    uint64_t begin, end;
    uint64_t origin;      /* of the image: what its addresses count from */
    uint64_t linker;      /* of its dynamic linker; 0: there is none */
    uint64_t entry;       /* where it begins: in the dynamic linker, if there is one */
    uint64_t break_begin; /* the program's break is an extent from here on */
    uint64_t break_now, break_end;
    uint64_t stack_begin, stack_end;
    uint64_t vdso;                     /* a page of the runtime's own code: vdso.S, and behind it */
    uint64_t code;                     /* wait.S */
    struct weft__object_name *objects; /* WEFT__SPACE_OBJECTS of them */
    struct weft__gate_frame frame;
    struct weft__arena arena;
};

/* What of it is this process's. */
struct weft__space_host {
    struct weft__space *space;
    const struct weft_region *region;
    int program; /* descriptor of its file, to read */
    struct weft__object *objects[WEFT__SPACE_OBJECTS];
};

struct weft__space_desc {
    uint64_t begin, end; /* of pages, in the region, fresh */
    uint64_t stack_bytes;
    uint64_t clock;     /* address of the rank's struct weft__clock */
    uint64_t colour;    /* bytes by which the image and the stack are shifted, so that ranks do not
                           meet in the same sets of a cache */
    const char *linker; /* path of the dynamic linker; NULL: the program does without */
};

/* Lays out a fresh space and loads the image and its dynamic linker; host->region and host->program
 * are set, the space is made at desc->begin.
 * Owns: what host refers to, weft__space_fini(), also on failure.
 * Errors: WEFT_ENOMEM too small; WEFT_EIO a file cannot be read; WEFT_ENOENT, WEFT_ENOEXEC the
 * dynamic linker. */
int weft__space_init(struct weft__space_host *host, const struct weft__space_desc *desc,
                     const struct weft__elf *elf);
/* Checks the books at `begin`, which have come from elsewhere, and opens the objects that they
 * name.
 * Owns: as weft__space_init.  Errors: WEFT_EPROTO they make no sense; WEFT_EPINNED an object is not
 * the same here. */
int weft__space_arrive(struct weft__space_host *host, uint64_t begin, uint64_t end);
/* Maps code and sets protections of a space that has arrived at `begin`.
 * Errors: WEFT_EPROTO it makes no sense; errno's. */
int weft__space_restore(struct weft__space_host *host, uint64_t begin, uint64_t end);
/* Makes the range's own pages readable whatever the program has said (all: true), for a time in
 * which it does not run; or gives them the program's protections again. Nothing where there is no
 * space yet.  Errors: errno's. */
int weft__space_reveal(const struct weft__space_host *host, bool all);
/* Whether all of it is one extent of the range's own pages, which the program reads and writes. */
bool weft__space_holds(const struct weft__space_host *host, uint64_t begin, uint64_t end);
/* Closes the objects; what is mapped stays mapped. Fine when there are none. */
void weft__space_fini(struct weft__space_host *host);
/* The file whose code lies at an address, where in there, as its symbols count, and a descriptor to
 * read it; NULL: none. "program" is the program's own. */
const char *weft__space_name(const struct weft__space_host *host, uint64_t address,
                             uint64_t *offset_out, int *fd_out);

/* The calls of the same names: arguments and results as the kernel's, errors negative errno. */
int64_t weft__space_brk(struct weft__space_host *host, uint64_t address);
int64_t weft__space_mmap(struct weft__space_host *host, const uint64_t args[6]);
int64_t weft__space_munmap(struct weft__space_host *host, uint64_t address, uint64_t len_bytes);
int64_t weft__space_mprotect(struct weft__space_host *host, uint64_t address, uint64_t len_bytes,
                             int prot);
int64_t weft__space_mremap(struct weft__space_host *host, const uint64_t args[6]);
int64_t weft__space_madvise(struct weft__space_host *host, uint64_t address, uint64_t len_bytes,
                            int advice);

#endif
