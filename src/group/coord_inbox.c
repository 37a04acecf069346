/* What other hosts, and the home, say to a group's agent. */
#include <stdio.h>
#include <stdlib.h>

#include "group/coord_members.h"
#include "weft/error.h"

static void started(struct weft_coord *coord, struct coord_group *group)
{
    group->started = true;
    weft__coord_opens_run(coord, group);
}

/* ---- barrier and notify ---- */

static void released(struct weft_coord *coord, struct coord_group *group, uint64_t number)
{
    struct coord_waiter *waiter, *next;
    if (number > group->released)
        group->released = number;
    DL_FOREACH_SAFE(group->waiters, waiter, next)
    {
        if (waiter->op == WEFT_COORD_BARRIER && waiter->number <= group->released)
            weft__coord_wake(coord, &group->waiters, waiter, WEFT_OK, NULL);
    }
}

static void notified(struct weft_coord *coord, struct coord_group *group, uint64_t number)
{
    struct coord_waiter *waiter, *next;
    if (number > group->notified)
        group->notified = number;
    DL_FOREACH_SAFE(group->waiters, waiter, next)
    {
        if (waiter->op == WEFT_COORD_NOTIFY && waiter->number <= group->notified)
            weft__coord_wake(coord, &group->waiters, waiter, WEFT_OK, NULL);
    }
}

/* ---- lock ---- */

static void granted(struct weft_coord *coord, struct coord_group *group,
                    const struct weft_coord_item *item)
{
    char text[WEFT_COORD_TEXT_MAX];
    struct coord_waiter *waiter, *next;
    struct coord_member *member = weft__coord_member(group, item->member);
    if (member == NULL || member->open != COORD_OPEN || member->want != COORD_WAITS ||
        member->asked != item->number)
        return; /* it has been given up, and the home was told */
    bool mine = item->err == WEFT_OK || item->err == WEFT_EOWNERDEAD;
    member->want = mine ? COORD_GRANTED : COORD_REFUSED;
    member->want_err = item->err;
    member->want_dead = item->peer < group->roster->n ? item->peer : 0;
    member->depth += mine;
    DL_FOREACH_SAFE(group->waiters, waiter, next)
    {
        if (waiter->op == WEFT_COORD_LOCK && waiter->member == item->member)
            weft__coord_wake(
                coord, &group->waiters, waiter, item->err,
                item->err == WEFT_EOWNERDEAD
                    ? weft__coord_why_gone(group, member->want_dead, WEFT_EPEERDEAD, text)
                    : NULL);
    }
}

/* ---- members that are gone ---- */

/* Wakes who receives from it: what it has sent is here. */
static void last_from(struct weft_coord *coord, struct coord_group *group, uint32_t from, int why)
{
    char text[WEFT_COORD_TEXT_MAX];
    struct coord_waiter *waiter, *next;
    if (group->seats[from].last == 0)
        group->seats[from].last = why;
    DL_FOREACH_SAFE(group->waiters, waiter, next)
    {
        if (waiter->op == WEFT_COORD_RECV && waiter->peer == from)
            weft__coord_wake(coord, &group->waiters, waiter, WEFT_EPEERDEAD,
                             weft__coord_why_gone(group, from, why, text));
    }
}

static void gone(struct weft_coord *coord, struct coord_group *group,
                 const struct weft_coord_item *item)
{
    char text[WEFT_COORD_TEXT_MAX];
    struct coord_waiter *waiter, *next;
    const uint32_t member = item->member;
    if (group->seats[member].gone != 0)
        return;
    group->seats[member].gone = item->err != 0 ? item->err : WEFT_EPEERDEAD;
    group->seats[member].notified = item->number;
    if (group->first_gone == WEFT_COORD_NOBODY)
        group->first_gone = member;
    DL_FOREACH_SAFE(group->waiters, waiter, next)
    {
        bool concerned =
            (waiter->op == WEFT_COORD_BARRIER && waiter->number > group->released) ||
            (waiter->op == WEFT_COORD_NOTIFY && item->number < waiter->number && member != 0);
        if (concerned)
            weft__coord_wake(coord, &group->waiters, waiter, WEFT_EPEERDEAD,
                             weft__coord_why_gone(group, member, group->seats[member].gone, text));
    }
    if (item->err == WEFT_EHOSTUNREACH)
        last_from(coord, group, member, item->err);
}

void weft__coord_agent_host_dead(struct weft_coord *coord, struct coord_group *group, uint32_t host)
{
    char text[WEFT_COORD_TEXT_MAX];
    if (host == group->roster->home) {
        snprintf(text, sizeof(text), "host %s, the home of group %016llx, has died",
                 group->roster->hosts[host].name, (unsigned long long)group->id);
        weft__coord_group_fail(coord, group, WEFT_EPEERDEAD, text);
        return;
    }
    for (uint32_t i = 0; i < group->roster->n; i++) {
        if (group->roster->host_of[i] == host)
            last_from(coord, group, i, WEFT_EHOSTUNREACH);
    }
}

/* ---- messages ---- */

static void message(struct weft_coord *coord, struct coord_group *group,
                    struct weft_coord_item *item)
{
    struct coord_member *to = weft__coord_member(group, item->peer);
    if (to == NULL) {
        coord->dropped++;
        return;
    }
    struct weft_coord_bytes bytes = {item->bytes, item->len_bytes};
    item->bytes = NULL;
    weft__coord_deliver(coord, group, to, item->member, bytes);
}

static void consumed(struct weft_coord *coord, struct coord_group *group,
                     const struct weft_coord_item *item)
{
    struct coord_member *sender = weft__coord_member(group, item->peer);
    if (sender == NULL || sender->open != COORD_OPEN)
        return;
    struct weft_coord_credit *credit = weft__coord_credit(sender, item->member);
    if (item->number > credit->sent || item->size > credit->sent_size ||
        item->number < credit->consumed) {
        coord->dropped++;
        return;
    }
    credit->consumed = item->number;
    credit->consumed_size = item->size;
}

/* ---- all of it ---- */

static void from_home(struct weft_coord *coord, struct coord_group *group,
                      const struct weft_coord_item *item)
{
    switch ((enum weft_coord_kind)item->kind) {
    case WEFT_COORD_START:
        started(coord, group);
        break;
    case WEFT_COORD_RELEASE:
        released(coord, group, item->number);
        break;
    case WEFT_COORD_GRANT:
        granted(coord, group, item);
        break;
    case WEFT_COORD_NOTIFIED:
        notified(coord, group, item->number);
        break;
    case WEFT_COORD_GONE:
        gone(coord, group, item);
        break;
    default:
        weft__coord_group_fail(coord, group, item->err < 0 ? item->err : WEFT_ECANCELED,
                               item->err == WEFT_ECANCELED ? "the group was deleted"
                                                           : "the group has ended");
        break;
    }
}

void weft__coord_agent_item(struct weft_coord *coord, struct coord_group *group, uint32_t host,
                            struct weft_coord_item *item)
{
    const struct weft_coord_roster *roster = group->roster;
    bool members_own = item->member < roster->n && roster->host_of[item->member] == host;
    if (group->failed != 0)
        return;
    if (item->kind <= WEFT_COORD_END) {
        if (host == roster->home && item->member < roster->n)
            from_home(coord, group, item);
        else
            coord->dropped++;
    } else if (!members_own) {
        coord->dropped++;
    } else if (item->kind == WEFT_COORD_LAST) {
        last_from(coord, group, item->member, item->err != 0 ? item->err : WEFT_EPEERDEAD);
    } else if (item->kind == WEFT_COORD_MESSAGE) {
        message(coord, group, item);
    } else {
        consumed(coord, group, item);
    }
}

void weft__coord_agent_tick(struct weft_coord *coord, struct coord_group *group)
{
    struct coord_waiter *waiter, *next;
    DL_FOREACH_SAFE(group->waiters, waiter, next)
    {
        if (waiter->deadline_ns > coord->now_ns) {
            weft__coord_by(coord, waiter->deadline_ns);
            continue;
        }
        if (waiter->op == WEFT_COORD_LOCK)
            weft__coord_want_ends(coord, group, weft__coord_member(group, waiter->member),
                                  WEFT_ETIMEDOUT);
        weft__coord_wake(coord, &group->waiters, waiter, WEFT_ETIMEDOUT, NULL);
    }
}
