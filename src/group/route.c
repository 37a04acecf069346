/* The routing rule.
 *
 * A rank that runs here takes every packet that is addressed to it, whatever incarnation the sender
 * believed in: there is only one that runs, and its channels sort out doubles. Everything else
 * depends on who knows more. A packet is accepted by a channel or stays in its sender's window, so
 * DROP and a full hold cost time, never a packet.
 */
#include "group/route.h"

#include "group/packet.h"

/* Sends it on, or sends word back. */
static enum weft_route_action pass_on(const struct weft_route_question *question)
{
    bool forward = question->forwards && question->hops < WEFT_PACKET_HOPS_MAX;
    return forward ? WEFT_ROUTE_FORWARD : WEFT_ROUTE_NACK;
}

enum weft_route_action weft__route_decide(const struct weft_route_question *question)
{
    const struct weft_world_entry *known = &question->known;
    bool mine = known->process == question->self;
    bool older =
        known->process == WEFT_PROCESS_NONE || question->packet_incarnation > known->incarnation;
    switch (question->place) {
    case WEFT_PLACE_HERE:
        return WEFT_ROUTE_DELIVER;
    case WEFT_PLACE_FROZEN:
        return WEFT_ROUTE_HOLD;
    case WEFT_PLACE_ARRIVING: /* whoever knows more than this process is merely early */
        return older || mine ? WEFT_ROUTE_HOLD : pass_on(question);
    case WEFT_PLACE_ELSEWHERE: /* mine: it is about to be made here */
        if (older)
            return WEFT_ROUTE_HOLD_ASK;
        return mine ? WEFT_ROUTE_HOLD : pass_on(question);
    }
    return WEFT_ROUTE_DROP;
}
