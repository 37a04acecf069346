/* The address space of a program in a cell: a part of its rank's range, and the memory calls of the
 * kernel for it.
 *
 *   struct weft__space, table of extents | image | code | break | mappings ... | guard | stack
 *
 * Everything is an extent of one arena, the image and the stack too. Writable pages are the
 * range's own and move with it; code is mapped from the program's file, which is the same at the
 * destination, and is mapped anew there. */
#ifndef WEFT_CELL_SPACE_H
#define WEFT_CELL_SPACE_H

#include <stdint.h>

#include "cell/arena.h"
#include "cell/gate.h"
#include "exec/elf.h"
#include "snapshot/region.h"

#define WEFT__SPACE_GUARD UINT64_C(65536) /* bytes below the stack that fault */
#define WEFT__SPACE_PROGRAM 1u            /* the source of extents that are the program's file */

/* Lies in the range. */
struct weft__space {
    uint64_t magic;
    uint64_t begin, end;
    uint64_t origin;      /* of the image: what its addresses count from */
    uint64_t break_begin; /* the program's break is an extent from here on */
    uint64_t break_now, break_end;
    uint64_t stack_begin, stack_end;
    uint64_t vdso; /* a page of the runtime's own code: vdso.S, and behind it */
    uint64_t code; /* wait.S */
    struct weft__gate_frame frame;
    struct weft__arena arena;
};

/* What of it is this process's. */
struct weft__space_host {
    struct weft__space *space;
    const struct weft_region *region;
    int program; /* descriptor of its file, to read */
};

struct weft__space_desc {
    uint64_t begin, end; /* of pages, in the region, fresh */
    uint64_t stack_bytes;
    uint64_t clock;  /* address of the rank's struct weft__clock */
    uint64_t colour; /* bytes by which the image and the stack are shifted, so that ranks do not
                        meet in the same sets of a cache */
};

/* Lays out a fresh space and loads the image; host->region and host->program are set, the space is
 * made at desc->begin.  Errors: WEFT_ENOMEM too small; WEFT_EIO the file cannot be read. */
int weft__space_init(struct weft__space_host *host, const struct weft__space_desc *desc,
                     const struct weft__elf *elf);
/* Whether the books at `begin`, which have come from elsewhere, make sense.  Errors: WEFT_EPROTO.
 */
int weft__space_check(uint64_t begin, uint64_t end);
/* Maps code and sets protections of a space that has arrived at `begin`.
 * Errors: WEFT_EPROTO it makes no sense; errno's. */
int weft__space_restore(struct weft__space_host *host, uint64_t begin, uint64_t end);

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
