/* protobuf-c with the caps that it lacks: a size limit and a byte budget for the decoded tree.
 * Message types never refer to themselves, directly or in a circle: protobuf-c has no recursion
 * limit. */
#ifndef WEFT_WIRE_MESSAGE_H
#define WEFT_WIRE_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "wire/frame.h"

/* Decodes body into a new message.  Errors: WEFT_EPROTO malformed; WEFT_ENOMEM more than 16 x len +
 * 64 KiB of memory, or far more than its length in work; WEFT_EMSGSIZE over WEFT_FRAME_BODY_MAX.
 * Owns: *message_out is the caller's; free it with weft__message_free. */
int weft__message_decode(const ProtobufCMessageDescriptor *type, const void *body, size_t len_bytes,
                         ProtobufCMessage **message_out);
void weft__message_free(ProtobufCMessage *message); /* NULL is fine */
/* Packs into a new buffer (free()).  Errors: WEFT_ENOMEM; WEFT_EMSGSIZE over WEFT_FRAME_BODY_MAX.
 */
int weft__message_encode(const ProtobufCMessage *message, uint8_t **body_out, size_t *len_out);
/* A message of its own with the same content.  NULL: out of memory, or over WEFT_FRAME_BODY_MAX. */
ProtobufCMessage *weft__message_clone(const ProtobufCMessage *message);
/* A text for a field of a message: protobuf-c's fields are not const, but packing does not write.
 */
static inline char *weft__message_text(const char *text)
{
    return (char *)(uintptr_t)text;
}
/* Packs a whole frame: the header, whose body_len this sets, and message (NULL: an empty body),
 * into a new buffer (free()). */
int weft__message_frame(struct weft_frame *frame, const ProtobufCMessage *message,
                        uint8_t **data_out, size_t *len_out);

#endif
