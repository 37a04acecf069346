/* What lies where in the part of a rank's range that its program maps memory in.
 *
 * The kernel's bookkeeping of a process, for one rank: a program in a cell asks for memory as it
 * always does (mmap, munmap, mprotect), and gets addresses of its own range, which are the same on
 * every host. Only the addresses are kept here; what has to be done to the memory is the caller's.
 * The arena and its table lie in the range themselves, and move with it. */
#ifndef WEFT_CELL_ARENA_H
#define WEFT_CELL_ARENA_H

#include <stdbool.h>
#include <stdint.h>

#define WEFT__ARENA_PAGE 4096u

/* Whole pages in use, alike in all they have. */
struct weft__arena_extent {
    uint64_t begin, end;
    uint32_t prot;   /* PROT_* */
    uint32_t source; /* 0: the range's own pages; else a file, by the caller's number */
    uint64_t offset; /* in the file, of begin */
};

struct weft__arena {
    uint64_t begin, end;
    uint64_t floor; /* where no address is wished, none below is given */
    uint32_t n, max;
    struct weft__arena_extent *extents; /* ascending, apart, never two that could be one */
};

struct weft__arena_map {
    uint64_t address; /* 0: anywhere */
    uint64_t len_bytes;
    bool fixed;   /* there and nowhere else; what is there goes */
    bool careful; /* with fixed: but only where nothing is */
    uint32_t prot;
    uint32_t source;
    uint64_t offset;
};

/* begin and end are of pages; extents has room for max and stays. The floor is begin. */
void weft__arena_init(struct weft__arena *arena, uint64_t begin, uint64_t end,
                      struct weft__arena_extent *extents, uint32_t max);
/* Finds a place and notes it. Without `fixed` an address is a wish. Lengths are rounded up to
 * pages.
 * Errors: WEFT_EINVAL no length, or an address inside a page; WEFT_ENOMEM no such room, or outside
 * of the arena; WEFT_EEXIST careful, and something is there. */
int weft__arena_map(struct weft__arena *arena, const struct weft__arena_map *what,
                    uint64_t *address_out);
/* Holes are fine.  Errors: WEFT_EINVAL; WEFT_ENOMEM outside, or no room to note it. */
int weft__arena_unmap(struct weft__arena *arena, uint64_t address, uint64_t len_bytes);
/* Errors: WEFT_EINVAL; WEFT_ENOMEM something of it is not mapped, or no room to note it. */
int weft__arena_protect(struct weft__arena *arena, uint64_t address, uint64_t len_bytes,
                        uint32_t prot);
/* Whether one more change can be noted. */
bool weft__arena_has_room(const struct weft__arena *arena);
/* The extent that holds the address, or the first above it, or NULL. */
const struct weft__arena_extent *weft__arena_find(const struct weft__arena *arena,
                                                  uint64_t address);
/* Whether all that is noted makes sense: a table that has come from elsewhere is not trusted. */
bool weft__arena_is_sound(const struct weft__arena *arena);

#endif
