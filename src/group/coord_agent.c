/* The agent: the members of a group that are on this host, and what they wait for.
 *
 * It counts its members and speaks for them together: one ARRIVE when the last of them has come,
 * one RELEASE back. Whether a member may unlock is known here, so an unlock is answered at once.
 * Every call carries its number: repeated, it changes nothing. Names of files: what hosts say to an
 * agent is in coord_inbox.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "group/coord_members.h"
#include "weft/error.h"
#include "weft/group.h"

/* ---- members ---- */

static void open_member(struct weft_coord *coord, struct coord_group *group,
                        const struct weft_coord_call *call)
{
    char text[WEFT_COORD_TEXT_MAX];
    struct coord_member *member = weft__coord_member(group, call->member);
    struct weft_coord_answer answer = {.roster = group->roster};
    if (group->failed != 0) {
        weft__coord_answer(coord, call->token, group->failed, group->why);
        return;
    }
    if (member == NULL) {
        bool there = call->member < group->roster->n;
        snprintf(text, sizeof(text), there ? "member %u is on host %s" : "there is no member %u%s",
                 call->member,
                 there ? group->roster->hosts[group->roster->host_of[call->member]].name : "");
        weft__coord_answer(coord, call->token, WEFT_EINVAL, text);
        return;
    }
    if (member->open == COORD_CLOSED) {
        weft__coord_answer(
            coord, call->token, WEFT_ESTALE,
            weft__coord_why_gone(group, call->member, group->seats[call->member].last, text));
        return;
    }
    if (member->open == COORD_OPEN && member->session != call->session) {
        weft__coord_answer(coord, call->token, WEFT_EBUSY, "another process is this member");
        return;
    }
    if (member->open == COORD_NEVER_OPEN) {
        member->open = COORD_OPEN;
        member->session = call->session;
        group->open_n++;
        weft__coord_tell_home(
            coord, group,
            (struct weft_coord_item){.kind = WEFT_COORD_OPENED, .member = member->index});
    }
    coord->desc.answer(coord->desc.ctx, call->token, &answer);
}

void weft__coord_opens_run(struct weft_coord *coord, const struct coord_group *group)
{
    struct coord_waiter *waiter, *next;
    DL_FOREACH_SAFE(coord->opens, waiter, next)
    {
        if (waiter->number != group->id)
            continue;
        struct weft_coord_call call = {.op = WEFT_COORD_OPEN,
                                       .token = waiter->token,
                                       .session = waiter->session,
                                       .group = group->id,
                                       .member = waiter->member};
        DL_DELETE(coord->opens, waiter);
        coord->waiters_n--;
        free(waiter);
        open_member(coord, weft__coord_group(coord, call.group), &call);
    }
}

void weft__coord_member_gone(struct weft_coord *coord, struct coord_group *group,
                             struct coord_member *member, int why)
{
    struct coord_waiter *waiter, *next;
    const uint32_t index = member->index;
    if (member->open != COORD_OPEN)
        return;
    member->open = COORD_CLOSED;
    group->open_n--;
    DL_FOREACH_SAFE(group->waiters, waiter, next)
    {
        if (waiter->member == index && waiter->op != WEFT_COORD_DELETE)
            weft__coord_wake(coord, &group->waiters, waiter, WEFT_ESTALE,
                             "this member has left, or was declared dead after a silence");
    }
    weft__coord_member_fini(coord, member);
    if (group->failed != 0) {
        group->seats[index].last = why;
        coord->sweep = true;
        return;
    }
    weft__coord_post_all(
        coord, group,
        (struct weft_coord_item){
            .kind = WEFT_COORD_LAST, .group = group->id, .member = index, .err = why},
        true);
    group->seats[index].last = why; /* at once: nobody here sends to it any more */
    weft__coord_tell_home(
        coord, group,
        (struct weft_coord_item){
            .kind = WEFT_COORD_LEFT, .member = index, .err = why, .number = member->notified});
}

/* ---- lock ---- */

static void answer_want(struct weft_coord *coord, const struct coord_group *group,
                        const struct coord_member *member, uint64_t token)
{
    char text[WEFT_COORD_TEXT_MAX];
    const char *said = NULL;
    if (member->want_err == WEFT_EOWNERDEAD)
        said = weft__coord_why_gone(group, member->want_dead, WEFT_EPEERDEAD, text);
    weft__coord_answer(coord, token, member->want_err, said);
}

void weft__coord_want_ends(struct weft_coord *coord, struct coord_group *group,
                           struct coord_member *member, int err)
{
    if (member->want != COORD_WAITS)
        return;
    member->want = COORD_REFUSED;
    member->want_err = err;
    weft__coord_tell_home(coord, group,
                          (struct weft_coord_item){.kind = WEFT_COORD_FORGET,
                                                   .member = member->index,
                                                   .number = member->asked});
}

/* Unlocks up to this number: a pushed one may still be on its way, and count for nothing then. */
static void unlock_up_to(struct weft_coord *coord, const struct coord_group *group,
                         struct coord_member *member, uint64_t number)
{
    for (; member->unlocked < number && member->depth > 0; member->unlocked++) {
        member->depth--;
        member->unlocked_err = WEFT_OK;
        weft__coord_tell_home(
            coord, group,
            (struct weft_coord_item){.kind = WEFT_COORD_RELINQUISH, .member = member->index});
    }
    if (member->unlocked < number) {
        member->unlocked = number;
        member->unlocked_err = WEFT_EPERM;
    }
}

static void want_anew(struct weft_coord *coord, struct coord_group *group,
                      struct coord_member *member, const struct weft_coord_call *call)
{
    bool recursive = (call->flags & WEFT_COORD_RECURSIVE) != 0;
    weft__coord_want_ends(coord, group, member, WEFT_ECANCELED);
    unlock_up_to(coord, group, member, call->released);
    if (member->want == COORD_GRANTED && member->asked > call->settled && member->depth > 0) {
        member->depth--; /* the member never learnt that it had it */
        weft__coord_tell_home(
            coord, group,
            (struct weft_coord_item){.kind = WEFT_COORD_RELINQUISH, .member = member->index});
    }
    member->asked = call->number;
    if (member->depth > 0 && !(recursive && member->recursive)) {
        member->want = COORD_REFUSED;
        member->want_err = WEFT_EBUSY;
        weft__coord_answer(coord, call->token, WEFT_EBUSY, "this member has the lock already");
        return;
    }
    member->want = COORD_WAITS;
    if (member->depth == 0)
        member->recursive = recursive;
    if (weft__coord_wait(coord, &group->waiters, call) == NULL) {
        member->want = COORD_REFUSED;
        member->want_err = WEFT_ETIMEDOUT;
        return;
    }
    weft__coord_tell_home(coord, group,
                          (struct weft_coord_item){.kind = WEFT_COORD_ASK,
                                                   .member = member->index,
                                                   .number = call->number,
                                                   .flags = (uint8_t)call->flags});
}

static void lock_call(struct weft_coord *coord, struct coord_group *group,
                      struct coord_member *member, const struct weft_coord_call *call)
{
    if (call->number > member->asked)
        want_anew(coord, group, member, call);
    else if (call->number != member->asked || call->number == 0)
        weft__coord_answer(coord, call->token, WEFT_EINVAL, "not the number of the next lock");
    else if (member->want != COORD_WAITS)
        answer_want(coord, group, member, call->token);
    else
        (void)weft__coord_wait(coord, &group->waiters, call);
}

static void unlock_call(struct weft_coord *coord, struct coord_group *group,
                        struct coord_member *member, const struct weft_coord_call *call)
{
    if (call->number < member->unlocked || call->number == 0) {
        weft__coord_answer(coord, call->token, WEFT_EINVAL, "not the number of the next unlock");
        return;
    }
    unlock_up_to(coord, group, member, call->number);
    weft__coord_answer(coord, call->token, member->unlocked_err,
                       member->unlocked_err != WEFT_OK ? "this member does not hold the lock"
                                                       : NULL);
}

/* ---- barrier and notify ---- */

static void arrive(struct weft_coord *coord, struct coord_group *group, uint64_t number)
{
    for (uint32_t i = 0; i < group->members_n; i++) {
        if (group->members[i].arrived < number)
            return;
    }
    if (group->arrived >= number)
        return;
    group->arrived = number;
    weft__coord_tell_home(coord, group,
                          (struct weft_coord_item){.kind = WEFT_COORD_ARRIVE, .number = number});
}

static void barrier_call(struct weft_coord *coord, struct coord_group *group,
                         struct coord_member *member, const struct weft_coord_call *call)
{
    char text[WEFT_COORD_TEXT_MAX];
    if (call->number <= group->released && call->number > 0) {
        weft__coord_answer(coord, call->token, WEFT_OK, NULL);
    } else if (call->number != group->released + 1) {
        weft__coord_answer(coord, call->token, WEFT_EINVAL, "not the number of the next barrier");
    } else if (group->first_gone != WEFT_COORD_NOBODY) {
        weft__coord_answer(coord, call->token, WEFT_EPEERDEAD,
                           weft__coord_why_gone(group, group->first_gone,
                                                group->seats[group->first_gone].gone, text));
    } else {
        member->arrived = call->number;
        (void)weft__coord_wait(coord, &group->waiters, call);
        arrive(coord, group, call->number);
    }
}

static void notify_all_here(struct weft_coord *coord, struct coord_group *group)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < group->members_n; i++) {
        if (group->members[i].index > 0 && group->members[i].notified < least)
            least = group->members[i].notified;
    }
    if (least == UINT64_MAX || least <= group->notifies)
        return;
    group->notifies = least;
    weft__coord_tell_home(coord, group,
                          (struct weft_coord_item){.kind = WEFT_COORD_NOTIFIES, .number = least});
}

static void notify_call(struct weft_coord *coord, struct coord_group *group,
                        struct coord_member *member, const struct weft_coord_call *call)
{
    char text[WEFT_COORD_TEXT_MAX];
    uint32_t gone = WEFT_COORD_NOBODY;
    if (member->index == 0) {
        gone = weft__coord_not_notified(group, call->number);
        if (call->number <= group->notified || group->roster->n == 1)
            weft__coord_answer(coord, call->token, WEFT_OK, NULL);
        else if (gone == WEFT_COORD_NOBODY)
            (void)weft__coord_wait(coord, &group->waiters, call);
        else
            weft__coord_answer(coord, call->token, WEFT_EPEERDEAD,
                               weft__coord_why_gone(group, gone, group->seats[gone].gone, text));
    } else if (call->number <= member->notified && call->number > 0) {
        weft__coord_answer(coord, call->token, WEFT_OK, NULL);
    } else if (call->number != member->notified + 1) {
        weft__coord_answer(coord, call->token, WEFT_EINVAL, "not the number of the next notify");
    } else if (group->seats[0].gone != 0) {
        weft__coord_answer(coord, call->token, WEFT_EPEERDEAD,
                           weft__coord_why_gone(group, 0, group->seats[0].gone, text));
    } else {
        member->notified = call->number;
        notify_all_here(coord, group);
        weft__coord_answer(coord, call->token, WEFT_OK, NULL);
    }
}

/* ---- messages ---- */

static void deliver(struct weft_coord *coord, struct coord_group *group,
                    const struct weft_coord_call *call, uint8_t *bytes)
{
    struct coord_member *to = weft__coord_member(group, call->peer);
    if (to != NULL)
        weft__coord_deliver(coord, group, to, call->member,
                            (struct weft_coord_bytes){bytes, call->len_bytes});
    else
        weft__coord_post(coord, group->roster, group->roster->host_of[call->peer],
                         (struct weft_coord_item){.kind = WEFT_COORD_MESSAGE,
                                                  .group = group->id,
                                                  .member = call->member,
                                                  .peer = call->peer,
                                                  .bytes = bytes,
                                                  .len_bytes = call->len_bytes});
}

static void send_new(struct weft_coord *coord, struct coord_group *group,
                     struct weft_coord_credit *credit, const struct weft_coord_call *call)
{
    struct weft_coord_answer full = {
        .err = WEFT_EAGAIN, .retry_ms = 5, .text = "the receiver has not received enough yet"};
    if (!weft__coord_credit_room(credit)) {
        coord->desc.answer(coord->desc.ctx, call->token, &full);
        return;
    }
    uint8_t *bytes = call->len_bytes > 0 ? malloc(call->len_bytes) : NULL;
    if (bytes == NULL && call->len_bytes > 0) {
        weft__coord_answer(coord, call->token, WEFT_ENOMEM, NULL);
        return;
    }
    if (bytes != NULL)
        memcpy(bytes, call->bytes, call->len_bytes);
    credit->sent++;
    credit->sent_size += call->len_bytes;
    weft__coord_answer(coord, call->token, WEFT_OK, NULL);
    deliver(coord, group, call, bytes);
}

static void send_call(struct weft_coord *coord, struct coord_group *group,
                      struct coord_member *member, const struct weft_coord_call *call)
{
    char text[WEFT_COORD_TEXT_MAX];
    const struct coord_seat *seat =
        call->peer < group->roster->n ? &group->seats[call->peer] : NULL;
    if (seat == NULL || call->len_bytes > WEFT_GROUP_MESSAGE_MAX) {
        weft__coord_answer(coord, call->token, seat == NULL ? WEFT_EINVAL : WEFT_EMSGSIZE,
                           seat == NULL ? "there is no such member to send to" : NULL);
        return;
    }
    struct weft_coord_credit *credit = weft__coord_credit(member, call->peer);
    if (call->number <= credit->sent && call->number > 0) {
        weft__coord_answer(coord, call->token, WEFT_OK, NULL);
    } else if (call->number != credit->sent + 1) {
        weft__coord_answer(coord, call->token, WEFT_EINVAL, "not the number of the next message");
    } else if (seat->gone != 0 || seat->last != 0) {
        weft__coord_answer(coord, call->token, WEFT_EPEERDEAD,
                           weft__coord_why_gone(group, call->peer,
                                                seat->gone != 0 ? seat->gone : seat->last, text));
    } else {
        send_new(coord, group, credit, call);
    }
}

static void recv_call(struct weft_coord *coord, struct coord_group *group,
                      struct coord_member *member, const struct weft_coord_call *call)
{
    char text[WEFT_COORD_TEXT_MAX];
    if (call->peer >= group->roster->n) {
        weft__coord_answer(coord, call->token, WEFT_EINVAL, "there is no such member");
        return;
    }
    struct weft_coord_box *box = weft__coord_box(member, call->peer);
    weft__coord_received(coord, group, member, box, call->number);
    if (call->number != box->first)
        weft__coord_answer(coord, call->token, WEFT_EINVAL, "not the number of the next message");
    else if (box->n > 0)
        weft__coord_answer_box(coord, call->token, box);
    else if (group->seats[call->peer].last != 0)
        weft__coord_answer(
            coord, call->token, WEFT_EPEERDEAD,
            weft__coord_why_gone(group, call->peer, group->seats[call->peer].last, text));
    else
        (void)weft__coord_wait(coord, &group->waiters, call);
}

/* ---- calls ---- */

static void cancel_call(struct weft_coord *coord, struct coord_group *group,
                        struct coord_member *member, const struct weft_coord_call *call)
{
    struct coord_waiter *waiter, *next;
    weft__coord_want_ends(coord, group, member, WEFT_ECANCELED);
    DL_FOREACH_SAFE(group->waiters, waiter, next)
    {
        if (waiter->member == member->index && waiter->op != WEFT_COORD_DELETE)
            weft__coord_wake(coord, &group->waiters, waiter, WEFT_ECANCELED, NULL);
    }
    weft__coord_answer(coord, call->token, WEFT_OK, NULL);
}

static void leave_call(struct weft_coord *coord, struct coord_group *group,
                       struct coord_member *member, const struct weft_coord_call *call)
{
    weft__coord_member_gone(coord, group, member, WEFT_ESHUTDOWN);
    weft__coord_answer(coord, call->token, WEFT_OK, NULL);
}

static void member_call(struct weft_coord *coord, struct coord_group *group,
                        struct coord_member *member, const struct weft_coord_call *call)
{
    static void (*const runs[])(struct weft_coord *, struct coord_group *, struct coord_member *,
                                const struct weft_coord_call *) = {
        [WEFT_COORD_LEAVE] = leave_call,     [WEFT_COORD_CANCEL] = cancel_call,
        [WEFT_COORD_LOCK] = lock_call,       [WEFT_COORD_UNLOCK] = unlock_call,
        [WEFT_COORD_BARRIER] = barrier_call, [WEFT_COORD_NOTIFY] = notify_call,
        [WEFT_COORD_SEND] = send_call,       [WEFT_COORD_RECV] = recv_call,
    };
    if (call->op < sizeof(runs) / sizeof(runs[0]) && runs[call->op] != NULL)
        runs[call->op](coord, group, member, call);
    else
        weft__coord_answer(coord, call->token, WEFT_EUNKNOWNCALL, NULL);
}

static void delete_call(struct weft_coord *coord, struct coord_group *group,
                        const struct weft_coord_call *call)
{
    if (group->failed != 0) {
        weft__coord_answer(coord, call->token, WEFT_OK, NULL);
        return;
    }
    if (weft__coord_wait(coord, &group->waiters, call) != NULL)
        weft__coord_tell_home(coord, group, (struct weft_coord_item){.kind = WEFT_COORD_ENDS});
}

void weft__coord_agent_call(struct weft_coord *coord, const struct weft_coord_call *call)
{
    struct coord_group *group = weft__coord_group(coord, call->group);
    struct weft_coord_call wait = *call;
    wait.number = call->group; /* what opens are found by */
    if (call->op == WEFT_COORD_OPEN && (group == NULL || !group->started)) {
        (void)weft__coord_wait(coord, &coord->opens, &wait);
        return;
    }
    if (group == NULL) {
        bool left = call->op == WEFT_COORD_LEAVE; /* the group has ended with its last member */
        weft__coord_answer(coord, call->token, left ? WEFT_OK : WEFT_ENOENT,
                           "no such group on this host: it has ended, or was not made yet");
        return;
    }
    struct coord_member *member = weft__coord_member(group, call->member);
    if (call->op == WEFT_COORD_OPEN)
        open_member(coord, group, call);
    else if (call->op == WEFT_COORD_DELETE)
        delete_call(coord, group, call);
    else if (member == NULL || member->open == COORD_NEVER_OPEN)
        weft__coord_answer(coord, call->token, WEFT_EINVAL, "this member is not open here");
    else if (member->session != call->session)
        weft__coord_answer(coord, call->token, WEFT_EPERM, "another process is this member");
    else if (member->open == COORD_CLOSED && call->op == WEFT_COORD_LEAVE)
        weft__coord_answer(coord, call->token, WEFT_OK, NULL);
    else if (member->open == COORD_CLOSED)
        weft__coord_answer(coord, call->token, WEFT_ESTALE,
                           "this member has left, or was declared dead after a silence");
    else if (group->failed != 0 && call->op != WEFT_COORD_LEAVE)
        weft__coord_answer(coord, call->token, group->failed, group->why);
    else
        member_call(coord, group, member, call);
}
