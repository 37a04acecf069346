/* The header, written and read byte by byte so that neither alignment nor the machine's
 * byte order matters.
 *
 * A decoder sits in front of everything that a stranger can send, so it checks each field before
 * anybody looks at it: magic, version, reserved bits, and that the length in the header is the
 * length that came. What could be read is handed out also with an error, because a server answers
 * by correlation and call code: a client that is told "wrong version" can say so to its user.
 * Packed structs with memcpy were rejected: they are host order, and padding or a compiler flag
 * decides what is on the wire.
 */
#include "wire/frame.h"

#include <string.h>

#include "weft/error.h"

static void put16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, (uint16_t)value);
    put16(at + 2, (uint16_t)(value >> 16));
}

static void put64(uint8_t *at, uint64_t value)
{
    put32(at, (uint32_t)value);
    put32(at + 4, (uint32_t)(value >> 32));
}

static uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] | (at[1] << 8));
}

static uint32_t get32(const uint8_t *at)
{
    return get16(at) | ((uint32_t)get16(at + 2) << 16);
}

static uint64_t get64(const uint8_t *at)
{
    return get32(at) | ((uint64_t)get32(at + 4) << 32);
}

void weft__frame_encode_header(const struct weft_frame *frame,
                               uint8_t header_out[WEFT_FRAME_HEADER_BYTES])
{
    put32(header_out, WEFT_FRAME_MAGIC);
    put16(header_out + 4, WEFT_FRAME_VERSION);
    put16(header_out + 6, frame->call);
    put16(header_out + 8, frame->flags);
    put16(header_out + 10, 0);
    put32(header_out + 12, (uint32_t)frame->error);
    put64(header_out + 16, frame->correlation);
    put32(header_out + 24, frame->deadline_ms);
    put32(header_out + 28, frame->body_len);
    put64(header_out + 32, frame->client);
    put64(header_out + 40, frame->sequence);
}

void weft__frame_set_correlation(uint8_t header[WEFT_FRAME_HEADER_BYTES], uint64_t correlation)
{
    put64(header + 16, correlation);
}

/* What no side that speaks this version writes. */
static int check_fields(const uint8_t *at, uint16_t call)
{
    const unsigned known =
        WEFT_FRAME_REPLY | WEFT_FRAME_ERROR | WEFT_FRAME_IDEMPOTENT | WEFT_FRAME_CANCEL;
    if (get16(at + 10) != 0 || (get16(at + 8) & ~known) != 0)
        return weft_fail(WEFT_EPROTO, "the header of call %u has unknown flags", call);
    if ((get64(at + 32) == 0) != (get64(at + 40) == 0))
        return weft_fail(WEFT_EPROTO, "the header of call %u has a client or a sequence, not both",
                         call);
    return WEFT_OK;
}

int weft__frame_decode(const void *data, size_t len_bytes, size_t body_max,
                       struct weft_frame *frame_out)
{
    const uint8_t *at = data;
    size_t body_len;

    memset(frame_out, 0, sizeof(*frame_out));
    if (len_bytes < WEFT_FRAME_HEADER_BYTES)
        return weft_fail(WEFT_EPROTO, "a frame of %zu bytes is shorter than its %d byte header",
                         len_bytes, WEFT_FRAME_HEADER_BYTES);
    if (get32(at) != WEFT_FRAME_MAGIC)
        return weft_fail(WEFT_EPROTO, "a frame starts with 0x%08x, not with the magic 0x%08x",
                         get32(at), WEFT_FRAME_MAGIC);
    frame_out->call = get16(at + 6);
    frame_out->correlation = get64(at + 16);
    if (get16(at + 4) != WEFT_FRAME_VERSION)
        return weft_fail(
            WEFT_EVERSION,
            "a frame has version %u, this side speaks version %d; install the same release on both",
            get16(at + 4), WEFT_FRAME_VERSION);
    body_len = len_bytes - WEFT_FRAME_HEADER_BYTES;
    if (body_len > body_max)
        return weft_fail(WEFT_EMSGSIZE, "the body of call %u has %zu bytes, at most %zu are taken",
                         frame_out->call, body_len, body_max);
    if (get32(at + 28) != body_len)
        return weft_fail(WEFT_EPROTO, "the header of call %u announces %u bytes of body, %zu came",
                         frame_out->call, get32(at + 28), body_len);
    int err = check_fields(at, frame_out->call);
    if (err != WEFT_OK)
        return err;
    frame_out->flags = get16(at + 8);
    frame_out->error = (int32_t)get32(at + 12);
    frame_out->deadline_ms = get32(at + 24);
    frame_out->body_len = (uint32_t)body_len;
    frame_out->client = get64(at + 32);
    frame_out->sequence = get64(at + 40);
    frame_out->body = at + WEFT_FRAME_HEADER_BYTES;
    return WEFT_OK;
}
