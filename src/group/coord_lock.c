/* First come, first served: testing and queueing are one step, so no unlock falls between them.
 *
 * There is one queue for plain and recursive asks; what differs is only what the owner itself may
 * ask for. A member that died with the lock leaves a mark, which the next owner is told, once; an
 * owner that gives the lock back without having learnt of its grant passes the mark on.
 */
#include "group/coord_lock.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "weft/error.h"

static const struct weft_coord_wanter nobody = {.member = WEFT_COORD_NOBODY};

void weft__coord_lock_init(struct weft_coord_lock *lock)
{
    *lock = (struct weft_coord_lock){
        .owner = nobody, .dead = WEFT_COORD_NOBODY, .dead_given = WEFT_COORD_NOBODY};
}

void weft__coord_lock_fini(struct weft_coord_lock *lock)
{
    free(lock->waiters);
    lock->waiters = NULL;
    lock->n = lock->max = 0;
}

static void answer(struct weft_coord_grant *grant_out, const struct weft_coord_wanter *wanter,
                   int err)
{
    *grant_out = (struct weft_coord_grant){
        .member = wanter->member, .number = wanter->number, .err = err, .dead = WEFT_COORD_NOBODY};
}

static void give(struct weft_coord_lock *lock, struct weft_coord_wanter wanter,
                 struct weft_coord_grant *grant_out)
{
    lock->owner = wanter;
    lock->depth = 1;
    answer(grant_out, &wanter, lock->dead != WEFT_COORD_NOBODY ? WEFT_EOWNERDEAD : WEFT_OK);
    grant_out->dead = lock->dead_given = lock->dead;
    lock->dead = WEFT_COORD_NOBODY;
}

static void take_out(struct weft_coord_lock *lock, size_t i)
{
    memmove(lock->waiters + i, lock->waiters + i + 1, (--lock->n - i) * sizeof(*lock->waiters));
}

static bool hand_over(struct weft_coord_lock *lock, struct weft_coord_grant *grant_out)
{
    lock->owner = nobody;
    lock->depth = 0;
    if (lock->n == 0)
        return false;
    struct weft_coord_wanter next = lock->waiters[0];
    take_out(lock, 0);
    give(lock, next, grant_out);
    return true;
}

bool weft__coord_lock_ask(struct weft_coord_lock *lock, struct weft_coord_wanter wanter,
                          struct weft_coord_grant *grant_out)
{
    if (lock->owner.member == WEFT_COORD_NOBODY) {
        give(lock, wanter, grant_out);
        return true;
    }
    if (lock->owner.member == wanter.member) {
        bool again = lock->owner.recursive && wanter.recursive && lock->depth < UINT32_MAX;
        if (again) {
            lock->depth++;
            lock->owner.number = wanter.number;
            lock->dead_given = WEFT_COORD_NOBODY;
        }
        answer(grant_out, &wanter, again ? WEFT_OK : WEFT_EBUSY);
        return true;
    }
    if (wanter.try_only) {
        answer(grant_out, &wanter, WEFT_EBUSY);
        return true;
    }
    if (lock->n == lock->max) {
        lock->max = lock->max > 0 ? 2 * lock->max : 8;
        lock->waiters = weft__must_grow(lock->waiters, lock->max, sizeof(*lock->waiters));
    }
    lock->waiters[lock->n++] = wanter;
    return false;
}

bool weft__coord_lock_release(struct weft_coord_lock *lock, uint32_t member,
                              struct weft_coord_grant *grant_out)
{
    if (lock->owner.member != member || --lock->depth > 0)
        return false;
    return hand_over(lock, grant_out);
}

bool weft__coord_lock_forget(struct weft_coord_lock *lock, uint32_t member, uint64_t number,
                             struct weft_coord_grant *grant_out)
{
    for (size_t i = 0; i < lock->n; i++) {
        if (lock->waiters[i].member == member && lock->waiters[i].number == number) {
            take_out(lock, i);
            return false;
        }
    }
    if (lock->owner.member != member || lock->owner.number != number)
        return false; /* it was told that the lock is busy */
    if (lock->depth == 1)
        lock->dead = lock->dead_given;
    return weft__coord_lock_release(lock, member, grant_out);
}

bool weft__coord_lock_bury(struct weft_coord_lock *lock, uint32_t member,
                           struct weft_coord_grant *grant_out)
{
    for (size_t i = lock->n; i-- > 0;) {
        if (lock->waiters[i].member == member)
            take_out(lock, i);
    }
    if (lock->owner.member != member)
        return false;
    lock->dead = member;
    return hand_over(lock, grant_out);
}
