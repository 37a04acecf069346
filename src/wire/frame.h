/* The control frame: what every client of a host speaks, over plain ZeroMQ (ZMTP 3: libzmq 4).
 *
 * Every control message is ONE ZeroMQ message part (after the empty delimiter that REQ adds): a
 * header of 48 bytes, little endian, and a body (a protobuf message, or the call's own bytes).
 * Requests go from REQ or DEALER to a service's sync port, pushes from PUSH to its async port.
 *
 *    at  type  field
 *     0  u32   magic "WEFT" (0x54464557)
 *     4  u16   version, 2
 *     6  u16   call code
 *     8  u16   flags, enum weft_frame_flag
 *    10  u16   0
 *    12  i32   error: 0, or an enum weft_err in a reply with WEFT_FRAME_ERROR, whose body is a text
 *              (not NUL-terminated)
 *    16  u64   correlation: the client's choice, returned in the reply
 *    24  u32   in a request: milliseconds that the client will still wait, 0: for ever; work that
 *              has not begun by then is not begun. In an error reply WEFT_EAGAIN: milliseconds
 *              after which to try again, 0: no idea
 *    28  u32   length of the body in bytes
 *    32  u64   client: a random number of the client's, 0: it has none
 *    40  u64   sequence: the number of this request among the client's, from 1 on; 0 with client 0
 *    48        body
 *
 * A request with a client number runs at most once at a port. One that comes again (the same
 * client, sequence and call) gets the answer of the first: if that still runs, the answer goes to
 * the connection, and has the correlation, of whoever asked last. Where the answer is no longer
 * kept (seconds after the deadline, or after 256 newer ones), or the sequence is more than 1,000
 * behind the newest, it gets WEFT_ESTALE. What was refused with WEFT_EAGAIN before a handler saw it
 * has not run and may be sent again under its number. A request with WEFT_FRAME_IDEMPOTENT may run
 * again instead. A frame with WEFT_FRAME_CANCEL asks for nothing: it says that the client no longer
 * wants the answer to the request with its correlation, which came over the same connection; it has
 * no reply of its own.
 */
#ifndef WEFT_WIRE_FRAME_H
#define WEFT_WIRE_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define WEFT_FRAME_MAGIC 0x54464557u
#define WEFT_FRAME_VERSION 2
#define WEFT_FRAME_HEADER_BYTES 48
#define WEFT_FRAME_BODY_MAX (8u << 20) /* hard limit; a call may set a smaller one */

enum weft_frame_flag {
    WEFT_FRAME_REPLY = 1,
    WEFT_FRAME_ERROR = 2,
    WEFT_FRAME_IDEMPOTENT = 4,
    WEFT_FRAME_CANCEL = 8
};

struct weft_frame {
    uint16_t call;
    uint16_t flags;
    int32_t error;
    uint64_t correlation;
    uint32_t deadline_ms; /* in an error reply: when to try again */
    uint32_t body_len;
    uint64_t client;
    uint64_t sequence;
    const uint8_t *body; /* after decode: into the decoded buffer */
};

void weft__frame_encode_header(const struct weft_frame *frame,
                               uint8_t header_out[WEFT_FRAME_HEADER_BYTES]);
/* Changes the correlation in an encoded header. */
void weft__frame_set_correlation(uint8_t header[WEFT_FRAME_HEADER_BYTES], uint64_t correlation);
/* Errors: WEFT_EPROTO short, wrong magic, unknown flags, lengths disagree, a client without a
 * sequence; WEFT_EVERSION; WEFT_EMSGSIZE body over
 * body_max. On an error call and correlation are set all the same where the header could be read,
 * so that an error reply can be sent; everything else is 0. */
int weft__frame_decode(const void *data, size_t len_bytes, size_t body_max,
                       struct weft_frame *frame_out);

#endif
