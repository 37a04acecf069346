/* The records of a group here, and of its members; messages between them. */
#include "group/coord_members.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "weft/error.h"

enum { BATCH = 64, BATCH_BYTES = 64 << 10 };

struct coord_member *weft__coord_member(const struct coord_group *group, uint32_t index)
{
    uint32_t from = 0, to = group->members_n;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (group->members[middle].index == index)
            return &group->members[middle];
        if (group->members[middle].index < index)
            from = middle + 1;
        else
            to = middle;
    }
    return NULL;
}

void weft__coord_member_fini(struct weft_coord *coord, struct coord_member *member)
{
    for (size_t i = 0; i < member->boxes_n; i++) {
        coord->mail_bytes -= member->boxes[i].held;
        weft__coord_box_fini(&member->boxes[i]);
    }
    free(member->boxes);
    free(member->credits);
    member->boxes = NULL;
    member->credits = NULL;
    member->boxes_n = member->credits_n = 0;
}

struct weft_coord_box *weft__coord_box(struct coord_member *member, uint32_t from)
{
    for (size_t i = 0; i < member->boxes_n; i++) {
        if (member->boxes[i].from == from)
            return &member->boxes[i];
    }
    member->boxes = weft__must_grow(member->boxes, member->boxes_n + 1, sizeof(*member->boxes));
    weft__coord_box_init(&member->boxes[member->boxes_n], from);
    return &member->boxes[member->boxes_n++];
}

struct weft_coord_credit *weft__coord_credit(struct coord_member *member, uint32_t to)
{
    for (size_t i = 0; i < member->credits_n; i++) {
        if (member->credits[i].to == to)
            return &member->credits[i];
    }
    member->credits =
        weft__must_grow(member->credits, member->credits_n + 1, sizeof(*member->credits));
    member->credits[member->credits_n] = (struct weft_coord_credit){.to = to};
    return &member->credits[member->credits_n++];
}

void weft__coord_tell_home(struct weft_coord *coord, const struct coord_group *group,
                           struct weft_coord_item item)
{
    item.group = group->id;
    weft__coord_post(coord, group->roster, group->roster->home, item);
}

void weft__coord_answer_box(struct weft_coord *coord, uint64_t token,
                            const struct weft_coord_box *box)
{
    struct weft_coord_bytes messages[BATCH];
    struct weft_coord_answer answer = {.messages = messages};
    answer.messages_n = weft__coord_box_look(box, messages, BATCH, BATCH_BYTES);
    coord->desc.answer(coord->desc.ctx, token, &answer);
}

void weft__coord_deliver(struct weft_coord *coord, struct coord_group *group,
                         struct coord_member *to, uint32_t from, struct weft_coord_bytes message)
{
    struct coord_waiter *waiter, *next;
    if (to->open == COORD_CLOSED) {
        free((void *)(uintptr_t)message.bytes);
        return;
    }
    struct weft_coord_box *box = weft__coord_box(to, from);
    if (!weft__coord_box_put(box, (uint8_t *)(uintptr_t)message.bytes, message.len_bytes)) {
        coord->dropped++; /* its host does not count as it should */
        return;
    }
    coord->mail_bytes += message.len_bytes + WEFT_COORD_MESSAGE_COST;
    DL_FOREACH_SAFE(group->waiters, waiter, next)
    {
        uint64_t token = waiter->token;
        if (waiter->op != WEFT_COORD_RECV || waiter->member != to->index || waiter->peer != from)
            continue;
        DL_DELETE(group->waiters, waiter);
        coord->waiters_n--;
        free(waiter);
        weft__coord_answer_box(coord, token, box);
    }
}

void weft__coord_received(struct weft_coord *coord, struct coord_group *group,
                          const struct coord_member *member, struct weft_coord_box *box,
                          uint64_t number)
{
    struct coord_member *sender = weft__coord_member(group, box->from);
    size_t held = box->held;
    weft__coord_box_received(box, number);
    coord->mail_bytes -= held - box->held;
    if (!weft__coord_box_tell(box))
        return;
    if (sender == NULL) {
        weft__coord_post(coord, group->roster, group->roster->host_of[box->from],
                         (struct weft_coord_item){.kind = WEFT_COORD_CONSUMED,
                                                  .group = group->id,
                                                  .member = member->index,
                                                  .peer = box->from,
                                                  .number = box->told,
                                                  .size = box->told_size});
        return;
    }
    struct weft_coord_credit *credit = weft__coord_credit(sender, member->index);
    credit->consumed = box->told;
    credit->consumed_size = box->told_size;
}

uint32_t weft__coord_not_notified(const struct coord_group *group, uint64_t number)
{
    for (uint32_t i = 1; group->first_gone != WEFT_COORD_NOBODY && i < group->roster->n; i++) {
        if (group->seats[i].gone != 0 && group->seats[i].notified < number)
            return i;
    }
    return WEFT_COORD_NOBODY;
}

/* This host's index in the roster; hosts_n: it is not in it. */
static uint32_t self_in(const struct weft_coord *coord, const struct weft_coord_roster *roster)
{
    uint32_t i = 0;
    while (i < roster->hosts_n && (roster->hosts[i].incarnation != coord->desc.self.incarnation ||
                                   strcmp(roster->hosts[i].name, coord->desc.self.name) != 0))
        i++;
    return i;
}

struct coord_group *weft__coord_group_new(struct weft_coord *coord,
                                          struct weft_coord_roster *roster)
{
    uint32_t self = self_in(coord, roster);
    if (self == roster->hosts_n || HASH_COUNT(coord->groups) >= WEFT_COORD_GROUPS_MAX)
        return NULL;
    struct coord_group *group = calloc(1, sizeof(*group));
    struct coord_seat *seats = calloc(roster->n, sizeof(*seats));
    uint32_t here = 0;
    for (uint32_t i = 0; i < roster->n; i++)
        here += roster->host_of[i] == self;
    struct coord_member *members = calloc(here + 1, sizeof(*members));
    if (group == NULL || seats == NULL || members == NULL) {
        free(group);
        free(seats);
        free(members);
        return NULL;
    }
    roster->refs++;
    *group = (struct coord_group){.id = roster->id,
                                  .roster = roster,
                                  .self = self,
                                  .seats = seats,
                                  .members = members,
                                  .first_gone = WEFT_COORD_NOBODY};
    for (uint32_t i = 0; i < roster->n; i++) {
        if (roster->host_of[i] == self)
            members[group->members_n++].index = i;
    }
    HASH_ADD(hh, coord->groups, id, sizeof(group->id), group);
    for (uint32_t i = 0; i < roster->hosts_n; i++) { /* also those that never say a word */
        if (!weft__coord_watch(coord, &roster->hosts[i]))
            weft__coord_agent_host_dead(coord, group, i);
    }
    return group;
}

void weft__coord_group_fail(struct weft_coord *coord, struct coord_group *group, int err,
                            const char *text)
{
    struct coord_waiter *waiter, *next;
    if (group->failed != 0)
        return;
    group->failed = err;
    snprintf(group->why, sizeof(group->why), "%s", text);
    DL_FOREACH_SAFE(group->waiters, waiter, next)
    {
        bool done = waiter->op == WEFT_COORD_DELETE && err == WEFT_ECANCELED;
        weft__coord_wake(coord, &group->waiters, waiter, done ? WEFT_OK : err, group->why);
    }
    for (uint32_t i = 0; i < group->members_n; i++)
        weft__coord_member_fini(coord, &group->members[i]);
    coord->sweep = true;
}

void weft__coord_group_free(struct weft_coord *coord, struct coord_group *group, int err,
                            const char *text)
{
    weft__coord_group_fail(coord, group, err, text);
    HASH_DEL(coord->groups, group);
    weft__coord_home_free(group->home);
    weft__coord_roster_put(group->roster);
    free(group->seats);
    free(group->members);
    free(group);
}
