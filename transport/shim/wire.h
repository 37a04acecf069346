/* What shims say to each other, little endian, inside messages of the inner transport. A message of
 * the caller has an 8-byte prefix (the first two fields); everything else is a whole head, then the
 * address of who asks (GET, PUT), then the bytes of the piece (PUT, DATA). */
#ifndef WEFT_TRANSPORT_SHIM_WIRE_H
#define WEFT_TRANSPORT_SHIM_WIRE_H

#include <stdint.h>

#define WEFT_SHIM_MAGIC 0x31485357u /* "WSH1" */
#define WEFT_SHIM_PREFIX 8

enum weft_shim_type {
    WEFT_SHIM_MESSAGE,
    WEFT_SHIM_GET,
    WEFT_SHIM_PUT,
    WEFT_SHIM_DATA,
    WEFT_SHIM_ACK
};

struct weft_shim_head {
    uint32_t magic;
    uint16_t type;
    uint16_t addr_len; /* GET, PUT */
    uint64_t id;       /* the initiator's name for the operation */
    uint64_t key;
    uint64_t offset; /* of the whole operation in the range ... */
    uint64_t len;    /* ... and its length: each piece is checked as a part of it, so that a bad
                        operation does nothing */
    uint64_t at;     /* of this piece in the operation */
    uint32_t piece;  /* bytes of this piece */
    int32_t err;     /* DATA, ACK */
};
_Static_assert(sizeof(struct weft_shim_head) == 56, "the head travels as it is");

#endif
