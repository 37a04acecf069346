/* A member's lock, barrier and notify.
 *
 * Calls of one kind go through a gate one after the other, so that each has its number. A number is
 * used up when its outcome is known; a barrier that was given up goes on under its number, a lock
 * gets a new one and tells how far its outcomes are known, so that the host takes back what was
 * granted and never heard of.
 */
#include <errno.h>
#include <time.h>

#include "base/clock.h"
#include "control/client.h"
#include "group/client_parts.h"
#include "group/coord.h"
#include "group/group.h"
#include "weft/error.h"

enum { TRY_MS = 10000 };

uint64_t weft__group_deadline(uint32_t timeout_ms)
{
    return weft__now_ns() + timeout_ms * WEFT_NS_PER_MS;
}

int weft__group_gate_enter(struct weft_group *group, struct group_gate *gate, uint64_t deadline_ns)
{
    struct timespec at = {.tv_sec = (time_t)(deadline_ns / WEFT_NS_PER_S),
                          .tv_nsec = (long)(deadline_ns % WEFT_NS_PER_S)};
    int rc = 0;
    pthread_mutex_lock(&group->lock);
    while (gate->taken && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&group->wake, &group->lock, &at);
    bool mine = !gate->taken;
    gate->taken = true;
    pthread_mutex_unlock(&group->lock);
    return mine ? WEFT_OK
                : weft_fail(WEFT_ETIMEDOUT,
                            "member %u of group %016llx: other threads were before this one",
                            group->member, (unsigned long long)group->id);
}

void weft__group_gate_leave(struct weft_group *group, struct group_gate *gate)
{
    pthread_mutex_lock(&group->lock);
    gate->taken = false;
    pthread_cond_broadcast(&group->wake);
    pthread_mutex_unlock(&group->lock);
}

/* ---- lock ---- */

/* unsure_too: one of which nobody knows counts, as who asks for the lock anew has meant it. */
static uint64_t unlocks_sent(struct weft_group *group, bool unsure_too)
{
    pthread_mutex_lock(&group->lock);
    if (unsure_too) {
        group->unlock_number += group->unlock_unsure;
        group->unlock_unsure = false;
    }
    uint64_t number = group->unlock_number;
    pthread_mutex_unlock(&group->lock);
    return number;
}

/* unsure: nobody knows whether it has come. */
static void unlock_is_sent(struct weft_group *group, uint64_t number, bool unsure)
{
    pthread_mutex_lock(&group->lock);
    if (number > group->unlock_number) {
        group->unlock_number += !unsure;
        group->unlock_unsure = unsure;
    }
    pthread_mutex_unlock(&group->lock);
}

static int lock(struct weft_group *group, uint32_t flags, uint32_t timeout_ms)
{
    uint64_t deadline_ns = weft__group_deadline(timeout_ms);
    Weft__Group__Call request = weft__group_request(group);
    int err = weft__group_gate_enter(group, &group->locks, deadline_ns);
    if (err != WEFT_OK)
        return err;
    bool only_try = timeout_ms == 0 || (flags & WEFT_COORD_TRY) != 0;
    request.flags = flags | (only_try ? WEFT_COORD_TRY : 0);
    request.wait_ms = only_try ? TRY_MS : weft__left_ms(deadline_ns);
    request.number = ++group->lock_number;
    request.settled = group->lock_settled;
    request.released = unlocks_sent(group, true);
    err = weft__group_ask(group->groups, WEFT_GROUP_LOCK, &request, NULL, NULL);
    if (err == WEFT_OK || err == WEFT_EOWNERDEAD)
        group->lock_settled = group->lock_number;
    weft__group_gate_leave(group, &group->locks);
    return err;
}

int weft_group_lock(struct weft_group *group, uint32_t timeout_ms)
{
    return lock(group, 0, timeout_ms);
}

int weft_group_lock_recursive(struct weft_group *group, uint32_t timeout_ms)
{
    return lock(group, WEFT_COORD_RECURSIVE, timeout_ms);
}

int weft_group_trylock(struct weft_group *group)
{
    return lock(group, WEFT_COORD_TRY, TRY_MS);
}

int weft_group_unlock(struct weft_group *group)
{
    Weft__Group__Call request = weft__group_request(group);
    int err = weft__group_gate_enter(group, &group->unlocks, weft__group_deadline(TRY_MS));
    if (err != WEFT_OK)
        return err;
    request.number = unlocks_sent(group, false) + 1;
    err = weft__group_ask(group->groups, WEFT_GROUP_UNLOCK, &request, NULL, NULL);
    unlock_is_sent(group, request.number, err != WEFT_OK && err != WEFT_EPERM);
    weft__group_gate_leave(group, &group->unlocks);
    return err;
}

int weft_group_unlock_async(struct weft_group *group)
{
    Weft__Group__Call request = weft__group_request(group);
    int err = weft__group_gate_enter(group, &group->unlocks, weft__group_deadline(TRY_MS));
    if (err != WEFT_OK)
        return err;
    request.session = group->groups->session;
    request.number = unlocks_sent(group, false) + 1;
    err = weft__client_push(group->groups->client, group->groups->async_url, WEFT_GROUP_UNLOCK,
                            &request.base);
    if (err == WEFT_OK)
        unlock_is_sent(group, request.number, false);
    weft__group_gate_leave(group, &group->unlocks);
    return err;
}

/* ---- barrier and notify ---- */

int weft_group_barrier(struct weft_group *group, uint32_t timeout_ms)
{
    uint64_t deadline_ns = weft__group_deadline(timeout_ms);
    Weft__Group__Call request = weft__group_request(group);
    int err = weft__group_gate_enter(group, &group->barriers, deadline_ns);
    if (err != WEFT_OK)
        return err;
    request.number = group->barrier_number + 1;
    request.wait_ms = weft__left_ms(deadline_ns);
    err = weft__group_ask(group->groups, WEFT_GROUP_BARRIER, &request, NULL, NULL);
    if (err == WEFT_OK)
        group->barrier_number++;
    weft__group_gate_leave(group, &group->barriers);
    return err;
}

int weft_group_notify(struct weft_group *group, uint32_t timeout_ms)
{
    uint64_t deadline_ns = weft__group_deadline(timeout_ms);
    Weft__Group__Call request = weft__group_request(group);
    int err = weft__group_gate_enter(group, &group->notifies, deadline_ns);
    if (err != WEFT_OK)
        return err;
    request.number = group->notify_number + 1;
    request.wait_ms = weft__left_ms(deadline_ns);
    err = weft__group_ask(group->groups, WEFT_GROUP_NOTIFY, &request, NULL, NULL);
    if (err == WEFT_OK)
        group->notify_number++;
    weft__group_gate_leave(group, &group->notifies);
    return err;
}

int weft_group_cancel(struct weft_group *group)
{
    Weft__Group__Call request = weft__group_request(group);
    return weft__group_ask(group->groups, WEFT_GROUP_CANCEL, &request, NULL, NULL);
}
