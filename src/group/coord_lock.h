/* The lock of a group, at its home: an owner, how often it has taken it, and who waits, in order.
 */
#ifndef WEFT_GROUP_COORD_LOCK_H
#define WEFT_GROUP_COORD_LOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEFT_COORD_NOBODY UINT32_MAX

struct weft_coord_wanter {
    uint32_t member;
    bool recursive, try_only;
    uint64_t number; /* of the member's asks */
};

struct weft_coord_lock {
    struct weft_coord_wanter owner; /* member WEFT_COORD_NOBODY: free; number: its newest ask */
    uint32_t depth;
    uint32_t dead;       /* the owner before died: told to the next; or WEFT_COORD_NOBODY */
    uint32_t dead_given; /* what the owner was told */
    struct weft_coord_wanter *waiters;
    size_t n, max;
};

/* An answer to an ask. */
struct weft_coord_grant {
    uint32_t member;
    uint64_t number;
    int err;       /* WEFT_OK, WEFT_EOWNERDEAD: it has the lock; WEFT_EBUSY: it does not get it */
    uint32_t dead; /* WEFT_EOWNERDEAD: who */
};

void weft__coord_lock_init(struct weft_coord_lock *lock);
void weft__coord_lock_fini(struct weft_coord_lock *lock);
/* Each of these makes at most one grant; false: none. */
bool weft__coord_lock_ask(struct weft_coord_lock *lock, struct weft_coord_wanter wanter,
                          struct weft_coord_grant *grant_out);
/* One unlock by its owner; of others it is ignored (their hosts refuse it). */
bool weft__coord_lock_release(struct weft_coord_lock *lock, uint32_t member,
                              struct weft_coord_grant *grant_out);
/* The member does not want its ask `number` any more: out of the queue, or released once. */
bool weft__coord_lock_forget(struct weft_coord_lock *lock, uint32_t member, uint64_t number,
                             struct weft_coord_grant *grant_out);
/* The member is dead. */
bool weft__coord_lock_bury(struct weft_coord_lock *lock, uint32_t member,
                           struct weft_coord_grant *grant_out);

#endif
