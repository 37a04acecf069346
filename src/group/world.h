/* Where the ranks of an app are, as one process knows it: rank -> (process, incarnation). Pure; one
 * thread at a time. A rank's incarnation grows by its commits; an update that is not newer changes
 * nothing. */
#ifndef WEFT_GROUP_WORLD_H
#define WEFT_GROUP_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#define WEFT_PROCESS_NONE UINT32_MAX

struct weft_world_entry {
    uint32_t process; /* WEFT_PROCESS_NONE: not known */
    uint32_t incarnation;
};

struct weft_world {
    int32_t size;
    struct weft_world_entry *entries;
};

/* Errors: WEFT_ENOMEM; WEFT_EINVAL size < 1. fini of a zeroed world is fine. */
int weft__world_init(struct weft_world *world, int32_t size);
void weft__world_fini(struct weft_world *world);
/* Returns whether the entry is newer than what was known and has been taken over. */
bool weft__world_update(struct weft_world *world, int32_t rank, struct weft_world_entry entry);
struct weft_world_entry weft__world_get(const struct weft_world *world, int32_t rank);

#endif
