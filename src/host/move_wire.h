/* The move protocol's messages between processes: struct weft_move_message and its protobuf twin.
 */
#ifndef WEFT_HOST_MOVE_WIRE_H
#define WEFT_HOST_MOVE_WIRE_H

#include "plan/move.h"
#include "wire/host.pb-c.h"

/* Fills twin_out; its text points into message. What the I/O layer adds is left empty. */
void weft__move_pack(const struct weft_move_message *message, uint64_t token,
                     Weft__Host__MoveMessage *twin_out);
/* Errors: WEFT_EPROTO no kind of message, or one that `receiver` does not get. */
int weft__move_unpack(const Weft__Host__MoveMessage *twin, enum weft_move_role receiver,
                      struct weft_move_message *message_out);

/* The times of a move: the defaults, with WEFT_MOVE_DEADLINE_MS from frozen to committed. */
struct weft_move_params weft__move_params(void);

#endif
