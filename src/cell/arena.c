/* A sorted table of extents. Each change cuts the table at the ends of what changes, changes whole
 * extents, and joins what has become alike; so there is one way to split and one to join.
 *
 * Room is looked for from the bottom up, by a walk over the table: programs have some dozens of
 * extents (an allocator asks for megabytes at a time), and what is alike is one extent. Rejected:
 * a tree, which would be pointers in memory that may come from elsewhere. */
#include "cell/arena.h"

#include <string.h>

#include "weft/error.h"

#define CUTS 3u /* extents that one change may add */

void weft__arena_init(struct weft__arena *arena, uint64_t begin, uint64_t end,
                      struct weft__arena_extent *extents, uint32_t max)
{
    *arena = (struct weft__arena){
        .begin = begin, .end = end, .floor = begin, .max = max, .extents = extents};
}

/* Index of the first extent that ends above the address. */
static uint32_t first_above(const struct weft__arena *arena, uint64_t address)
{
    uint32_t low = 0, high = arena->n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (arena->extents[middle].end > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

const struct weft__arena_extent *weft__arena_find(const struct weft__arena *arena, uint64_t address)
{
    uint32_t i = first_above(arena, address);
    return i < arena->n ? &arena->extents[i] : NULL;
}

bool weft__arena_has_room(const struct weft__arena *arena)
{
    return arena->n + CUTS <= arena->max;
}

static void insert(struct weft__arena *arena, uint32_t i, const struct weft__arena_extent *extent)
{
    memmove(&arena->extents[i + 1], &arena->extents[i], (arena->n - i) * sizeof(*extent));
    arena->extents[i] = *extent;
    arena->n++;
}

static void erase(struct weft__arena *arena, uint32_t i, uint32_t n)
{
    memmove(&arena->extents[i], &arena->extents[i + n],
            (arena->n - i - n) * sizeof(*arena->extents));
    arena->n -= n;
}

/* Makes the address a boundary; returns the index of the first extent at or above it. */
static uint32_t cut(struct weft__arena *arena, uint64_t address)
{
    uint32_t i = first_above(arena, address);
    if (i == arena->n || arena->extents[i].begin >= address)
        return i;
    struct weft__arena_extent upper = arena->extents[i];
    upper.offset += upper.source ? address - upper.begin : 0;
    upper.begin = address;
    arena->extents[i].end = address;
    insert(arena, i + 1, &upper);
    return i + 1;
}

static bool are_one(const struct weft__arena_extent *low, const struct weft__arena_extent *high)
{
    return low->end == high->begin && low->prot == high->prot && low->source == high->source &&
           (!low->source || low->offset + (low->end - low->begin) == high->offset);
}

/* Joins what is alike from the extent below i to the one at `to`. */
static void join(struct weft__arena *arena, uint32_t i, uint32_t to)
{
    for (uint32_t k = to < arena->n ? to : arena->n - 1; arena->n > 1 && k > 0 && k + 1 > i; k--) {
        struct weft__arena_extent *low = &arena->extents[k - 1], *high = &arena->extents[k];
        if (are_one(low, high)) {
            low->end = high->end;
            erase(arena, k, 1);
        }
    }
}

/* Rounds up to pages; checks against the arena. */
static int check(const struct weft__arena *arena, uint64_t address, uint64_t *len_bytes)
{
    uint64_t len = (*len_bytes + WEFT__ARENA_PAGE - 1) & ~(uint64_t)(WEFT__ARENA_PAGE - 1);
    if (*len_bytes == 0 || address % WEFT__ARENA_PAGE)
        return WEFT_EINVAL;
    if (len < *len_bytes || address < arena->begin || address > arena->end ||
        len > arena->end - address || !weft__arena_has_room(arena))
        return WEFT_ENOMEM;
    *len_bytes = len;
    return WEFT_OK;
}

static bool is_empty(const struct weft__arena *arena, uint64_t begin, uint64_t end)
{
    const struct weft__arena_extent *next = weft__arena_find(arena, begin);
    return !next || next->begin >= end;
}

/* The lowest gap with room. */
static int find_room(const struct weft__arena *arena, uint64_t len_bytes, uint64_t *address_out)
{
    uint64_t at = arena->floor;
    for (uint32_t i = first_above(arena, at); i < arena->n; i++) {
        if (arena->extents[i].begin > at && arena->extents[i].begin - at >= len_bytes)
            break;
        at = arena->extents[i].end;
    }
    if (arena->end - at < len_bytes)
        return WEFT_ENOMEM;
    *address_out = at;
    return WEFT_OK;
}

static void set(struct weft__arena *arena, const struct weft__arena_extent *extent)
{
    uint32_t i = cut(arena, extent->begin), end = cut(arena, extent->end);
    erase(arena, i, end - i);
    insert(arena, i, extent);
    join(arena, i, i + 1);
}

int weft__arena_map(struct weft__arena *arena, const struct weft__arena_map *what,
                    uint64_t *address_out)
{
    uint64_t address = what->address, len = what->len_bytes;
    int err = check(arena, address ? address : arena->begin, &len);
    if (what->fixed && !err && what->careful && !is_empty(arena, address, address + len))
        err = WEFT_EEXIST;
    if (!what->fixed && (err || !address || !is_empty(arena, address, address + len))) {
        len = what->len_bytes;
        err = check(arena, arena->begin, &len);
        if (!err)
            err = find_room(arena, len, &address);
    }
    if (err)
        return err;
    set(arena, &(struct weft__arena_extent){.begin = address,
                                            .end = address + len,
                                            .prot = what->prot,
                                            .source = what->source,
                                            .offset = what->source ? what->offset : 0});
    *address_out = address;
    return WEFT_OK;
}

int weft__arena_unmap(struct weft__arena *arena, uint64_t address, uint64_t len_bytes)
{
    int err = check(arena, address, &len_bytes);
    if (err)
        return err;
    uint32_t i = cut(arena, address), end = cut(arena, address + len_bytes);
    erase(arena, i, end - i);
    return WEFT_OK;
}

static bool is_full(const struct weft__arena *arena, uint64_t begin, uint64_t end)
{
    for (uint32_t i = first_above(arena, begin); begin < end; i++) {
        if (i == arena->n || arena->extents[i].begin > begin)
            return false;
        begin = arena->extents[i].end;
    }
    return true;
}

int weft__arena_protect(struct weft__arena *arena, uint64_t address, uint64_t len_bytes,
                        uint32_t prot)
{
    int err = check(arena, address, &len_bytes);
    if (!err && !is_full(arena, address, address + len_bytes))
        err = WEFT_ENOMEM;
    if (err)
        return err;
    uint32_t i = cut(arena, address), end = cut(arena, address + len_bytes);
    for (uint32_t k = i; k < end; k++)
        arena->extents[k].prot = prot;
    join(arena, i, end);
    return WEFT_OK;
}

bool weft__arena_is_sound(const struct weft__arena *arena)
{
    uint64_t at = arena->begin;
    if (arena->n > arena->max || arena->begin > arena->floor || arena->floor > arena->end)
        return false;
    for (uint32_t i = 0; i < arena->n; i++) {
        const struct weft__arena_extent *extent = &arena->extents[i];
        if (extent->begin < at || extent->end <= extent->begin || extent->end > arena->end ||
            extent->begin % WEFT__ARENA_PAGE || extent->end % WEFT__ARENA_PAGE ||
            (i > 0 && are_one(extent - 1, extent)))
            return false;
        at = extent->end;
    }
    return true;
}
