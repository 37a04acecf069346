/* Calls that wait, each until it is answered or overdue; bounded in number over all lists of a
 * host. A call that comes twice (the network doubled it, or its sender heard nothing) waits twice,
 * and both get the same answer: whichever of them still has somebody who listens. And the words
 * that name a member who will not come. */
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "group/coord_parts.h"
#include "weft/error.h"

enum { TWINS_MAX = 4 };

static bool same_kind(const struct coord_waiter *waiter, const struct weft_coord_call *call)
{
    return waiter->op == call->op && waiter->member == call->member &&
           (call->op != WEFT_COORD_RECV || waiter->peer == call->peer) &&
           call->op != WEFT_COORD_OPEN && call->op != WEFT_COORD_DELETE;
}

/* Makes place: an older call of its kind is over, the same one may wait a few times. false: a newer
 * one waits, and the call has been answered. */
static bool succeed(struct weft_coord *coord, struct coord_waiter **list,
                    const struct weft_coord_call *call)
{
    struct coord_waiter *waiter, *next, *first = NULL;
    unsigned twins = 0;
    DL_FOREACH_SAFE(*list, waiter, next)
    {
        if (!same_kind(waiter, call))
            continue;
        if (waiter->number > call->number) {
            weft__coord_answer(coord, call->token, WEFT_ECANCELED, "asked again");
            return false;
        }
        if (waiter->number < call->number) {
            weft__coord_wake(coord, list, waiter, WEFT_ECANCELED, "asked again");
            continue;
        }
        first = first == NULL ? waiter : first;
        twins++;
    }
    if (twins >= TWINS_MAX)
        weft__coord_wake(coord, list, first, WEFT_ECANCELED, "asked again");
    return true;
}

struct coord_waiter *weft__coord_wait(struct weft_coord *coord, struct coord_waiter **list,
                                      const struct weft_coord_call *call)
{
    if (!succeed(coord, list, call))
        return NULL;
    if (call->deadline_ns <= coord->now_ns) {
        weft__coord_answer(coord, call->token, WEFT_ETIMEDOUT, NULL);
        return NULL;
    }
    if (coord->waiters_n >= WEFT_COORD_WAITERS_MAX) {
        weft__coord_answer(coord, call->token, WEFT_EAGAIN, "too many calls wait on this host");
        return NULL;
    }
    struct coord_waiter *waiter = weft__must_alloc(1, sizeof(*waiter));
    *waiter = (struct coord_waiter){.op = (uint8_t)call->op,
                                    .member = call->member,
                                    .peer = call->peer,
                                    .token = call->token,
                                    .number = call->number,
                                    .deadline_ns = call->deadline_ns,
                                    .session = call->session};
    DL_APPEND(*list, waiter);
    coord->waiters_n++;
    weft__coord_by(coord, waiter->deadline_ns);
    return waiter;
}

void weft__coord_wake(struct weft_coord *coord, struct coord_waiter **list,
                      struct coord_waiter *waiter, int err, const char *text)
{
    uint64_t token = waiter->token;
    DL_DELETE(*list, waiter);
    coord->waiters_n--;
    free(waiter);
    weft__coord_answer(coord, token, err, text);
}

const char *weft__coord_why_gone(const struct coord_group *group, uint32_t member, int why,
                                 char text_out[WEFT_COORD_TEXT_MAX])
{
    const char *host = group->roster->hosts[group->roster->host_of[member]].name;
    unsigned long long id = group->id;
    if (why == WEFT_EHOSTUNREACH)
        snprintf(text_out, WEFT_COORD_TEXT_MAX,
                 "host %s, with member %u of group %016llx, has died", host, member, id);
    else
        snprintf(text_out, WEFT_COORD_TEXT_MAX, "member %u of group %016llx on host %s has %s",
                 member, id, host, why == WEFT_ESHUTDOWN ? "left" : "died");
    return text_out;
}
