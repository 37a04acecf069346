/* Field by field, both ways: the pure machines know nothing of protobuf. */
#include "host/move_wire.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/config.h"
#include "weft/error.h"
#include "wire/message.h"

void weft__move_pack(const struct weft_move_message *message, uint64_t token,
                     Weft__Host__MoveMessage *twin)
{
    weft__host__move_message__init(twin);
    twin->token = token;
    twin->kind = (uint32_t)message->kind;
    twin->err = message->err;
    twin->rank = message->rank;
    twin->within_ms = message->within_ms;
    twin->then_ms = message->then_ms;
    twin->app = message->app;
    twin->move = message->move_id;
    twin->incarnation = message->incarnation;
    twin->home = message->home;
    twin->source = message->source;
    twin->dest = message->dest;
    twin->lease = message->lease;
    twin->owner_host = message->owner.host;
    twin->owner_incarnation = message->owner.incarnation;
    twin->round = message->round;
    twin->last = message->last;
    twin->round_bytes = message->bytes;
    twin->text = weft__message_text(message->text);
}

int weft__move_unpack(const Weft__Host__MoveMessage *twin, enum weft_move_role receiver,
                      struct weft_move_message *message)
{
    if (twin->kind == WEFT_MOVE_NOTHING || twin->kind >= WEFT_MOVE_KINDS_END ||
        weft__move_receiver((enum weft_move_kind)twin->kind) != receiver)
        return weft_fail(WEFT_EPROTO, "move message of kind %u does not belong here", twin->kind);
    if (twin->err > 0)
        return weft_fail(WEFT_EPROTO, "%d is no error", twin->err);
    memset(message, 0, sizeof(*message));
    message->kind = (enum weft_move_kind)twin->kind;
    message->err = twin->err;
    message->rank = twin->rank;
    message->within_ms = twin->within_ms;
    message->then_ms = twin->then_ms;
    message->app = twin->app;
    message->move_id = twin->move;
    message->incarnation = twin->incarnation;
    message->home = twin->home;
    message->source = twin->source;
    message->dest = twin->dest;
    message->lease = twin->lease;
    message->owner =
        (struct weft_move_owner){.host = twin->owner_host, .incarnation = twin->owner_incarnation};
    message->round = twin->round;
    message->last = twin->last;
    message->bytes = twin->round_bytes;
    snprintf(message->text, sizeof(message->text), "%s", twin->text);
    return WEFT_OK;
}

/* The rank runs on meanwhile, so there is no hurry: a process that is to be started may have as
 * long as at the start of an app. */
enum { PREPARE_MS = 15000 };

struct weft_move_params weft__move_params(void)
{
    struct weft_move_params params = weft__move_defaults;
    params.prepare_ns = PREPARE_MS * WEFT_NS_PER_MS;
    params.copy_passes = (uint32_t)weft__config_u64("WEFT_PRECOPY");
    params.pull_ns = weft__config_u64("WEFT_MOVE_DEADLINE_MS") * WEFT_NS_PER_MS;
    return params;
}
