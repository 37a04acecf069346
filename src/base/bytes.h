/* Numbers as bytes: little endian, or to the base of 128, as they are in files and on the wire. */
#ifndef WEFT_BASE_BYTES_H
#define WEFT_BASE_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Writing: each returns where the next one goes. */

static inline uint8_t *weft__put_u32(uint8_t *at, uint32_t value)
{
    value = htole32(value);
    memcpy(at, &value, sizeof(value));
    return at + sizeof(value);
}

static inline uint8_t *weft__put_u64(uint8_t *at, uint64_t value)
{
    value = htole64(value);
    memcpy(at, &value, sizeof(value));
    return at + sizeof(value);
}

/* Seven bits a byte, low bits first, the eighth says that more come. */
static inline uint8_t *weft__put_number(uint8_t *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

/* Reading. */

static inline uint32_t weft__get_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return le32toh(value);
}

static inline uint64_t weft__get_u64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return le64toh(value);
}

/* What is left to be read. */
struct weft_bytes {
    const uint8_t *at, *end;
};

static inline size_t weft__bytes_left(const struct weft_bytes *in)
{
    return (size_t)(in->end - in->at);
}

/* These two only where it has been checked that so much is left. */
static inline uint32_t weft__bytes_u32(struct weft_bytes *in)
{
    in->at += sizeof(uint32_t);
    return weft__get_u32(in->at - sizeof(uint32_t));
}

static inline uint64_t weft__bytes_u64(struct weft_bytes *in)
{
    in->at += sizeof(uint64_t);
    return weft__get_u64(in->at - sizeof(uint64_t));
}

/* A number of at most so many digits, written with no more of them than it needs. Returns whether
 * there is one. */
static inline bool weft__bytes_number(struct weft_bytes *in, unsigned digits, uint64_t *value_out)
{
    uint64_t value = 0;
    for (unsigned digit = 0; digit < digits && weft__bytes_left(in) > 0; digit++) {
        uint8_t byte = *in->at++;
        value |= (uint64_t)(byte & 0x7f) << (7 * digit);
        if (byte & 0x80)
            continue;
        *value_out = value;
        return byte != 0 || digit == 0;
    }
    return false;
}

#endif
