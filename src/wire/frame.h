/* The control frame. Every control message is ONE ZeroMQ message part (after the empty delimiter
 * that REQ adds): a 32-byte header, little endian, and a body (a protobuf message of the call).
 *
 *   0  u32 magic "WEFT" (0x54464557)     16  u64 correlation: the client's choice, returned in the
 * reply 4  u16 version (1)                   24  u32 deadline: milliseconds that the client will
 * still wait; 0: none 6  u16 call code                     28  u32 body length in bytes 8  u16
 * flags                         32  body 10 u16 reserved, 0 12 i32 error: 0, or an enum weft_err in
 * a reply with WEFT_FRAME_ERROR (body: its text, not NUL-terminated)
 */
#ifndef WEFT_WIRE_FRAME_H
#define WEFT_WIRE_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define WEFT_FRAME_MAGIC 0x54464557u
#define WEFT_FRAME_VERSION 1
#define WEFT_FRAME_HEADER_BYTES 32
#define WEFT_FRAME_BODY_MAX (8u << 20) /* hard limit; a call may set a smaller one */

enum weft_frame_flag { WEFT_FRAME_REPLY = 1, WEFT_FRAME_ERROR = 2 };

struct weft_frame {
    uint16_t call;
    uint16_t flags;
    int32_t error;
    uint64_t correlation;
    uint32_t deadline_ms;
    uint32_t body_len;
    const uint8_t *body; /* after decode: into the decoded buffer */
};

void weft__frame_encode_header(const struct weft_frame *frame,
                               uint8_t header_out[WEFT_FRAME_HEADER_BYTES]);
/* Errors: WEFT_EPROTO short, wrong magic, lengths disagree; WEFT_EVERSION; WEFT_EMSGSIZE body over
 * body_max. On an error call and correlation are set all the same where the header could be read,
 * so that an error reply can be sent; everything else is 0. */
int weft__frame_decode(const void *data, size_t len_bytes, size_t body_max,
                       struct weft_frame *frame_out);

#endif
