/* The rank -> (process, incarnation) map: a plain table in which only the newer wins. The
 * incarnation alone decides, so updates may arrive in any order, twice, and from anybody who heard
 * of a commit. */
#include "group/world.h"

#include <stdlib.h>

#include "weft/error.h"

int weft__world_init(struct weft_world *world, int32_t size)
{
    if (size < 1)
        return weft_fail(WEFT_EINVAL, "a world of %d ranks", (int)size);
    struct weft_world_entry *entries = malloc((size_t)size * sizeof(*entries));
    if (!entries)
        return weft_fail(WEFT_ENOMEM, "no memory for the map of %d ranks", (int)size);
    for (int32_t i = 0; i < size; i++)
        entries[i] = (struct weft_world_entry){.process = WEFT_PROCESS_NONE};
    *world = (struct weft_world){.size = size, .entries = entries};
    return WEFT_OK;
}

void weft__world_fini(struct weft_world *world)
{
    free(world->entries);
    *world = (struct weft_world){0};
}

bool weft__world_update(struct weft_world *world, int32_t rank, struct weft_world_entry entry)
{
    if (rank < 0 || rank >= world->size || entry.process == WEFT_PROCESS_NONE)
        return false;
    struct weft_world_entry *known = &world->entries[rank];
    if (known->process != WEFT_PROCESS_NONE && entry.incarnation <= known->incarnation)
        return false;
    *known = entry;
    return true;
}

struct weft_world_entry weft__world_get(const struct weft_world *world, int32_t rank)
{
    if (rank < 0 || rank >= world->size)
        return (struct weft_world_entry){.process = WEFT_PROCESS_NONE};
    return world->entries[rank];
}
