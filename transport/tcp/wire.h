/* What goes over a connection: a hello from the side that has connected, then frames both ways,
 * each a head and its bytes. Little endian, but for the port, which is big endian. */
#ifndef WEFT_TRANSPORT_TCP_WIRE_H
#define WEFT_TRANSPORT_TCP_WIRE_H

#include <stdint.h>

#define WEFT_TCP_ID_BYTES 16
#define WEFT_TCP_HELLO_MAGIC 0x31435457u /* "WTC1" */
#define WEFT_TCP_HEAD_MAGIC 0x7754u
#define WEFT_TCP_NAME_MAGIC "tcp1"

/* An endpoint's name: its address as the SPI sees it. */
struct weft_tcp_name {
    uint8_t magic[4];
    uint8_t family; /* 4 or 6 */
    uint8_t zero;
    uint8_t port[2];
    uint8_t ip[16]; /* of IPv4 the first four, else 0 */
    uint8_t id[WEFT_TCP_ID_BYTES];
};
_Static_assert(sizeof(struct weft_tcp_name) == 40, "a name travels as it is");

struct weft_tcp_hello {
    uint32_t magic;
    uint32_t zero;
    uint8_t target[WEFT_TCP_ID_BYTES]; /* id of the endpoint that is meant */
    struct weft_tcp_name from;
};
_Static_assert(sizeof(struct weft_tcp_hello) == 64, "a hello travels as it is");

/* BYE: the sender sends no more messages and asks for nothing over this connection, but reads on
 * and answers. A GET is answered by DATA frames and a DONE, the PUTs of an operation by a DONE. */
enum weft_tcp_kind {
    WEFT_TCP_MESSAGE = 1,
    WEFT_TCP_BYE = 2,
    WEFT_TCP_GET = 3,
    WEFT_TCP_PUT = 4,
    WEFT_TCP_DATA = 5,
    WEFT_TCP_DONE = 6,
    WEFT_TCP_LONG = 7 /* a message with as long a head as they have */
};

struct weft_tcp_head {
    uint32_t len; /* of what follows */
    uint16_t kind;
    uint16_t magic;
};
_Static_assert(sizeof(struct weft_tcp_head) == 8, "a head travels as it is");

/* Behind the head of everything that belongs to a one-sided operation, and zero behind that of a
 * LONG message; the bytes come next. With 64 bytes before them the kernel's copy of a whole page
 * does not land less than 64 bytes behind where the page begins, which takes some processors twice
 * as long (of page-aligned 64 KiB, 23 us to the other side instead of 16). */
struct weft_tcp_ask {
    uint64_t id;     /* who asks names his operation with it */
    uint64_t key;    /* GET, PUT */
    uint64_t offset; /* of the whole operation in the range ... */
    uint64_t len;    /* ... and its length: each piece is checked as a part of it, so that a bad
                        operation does nothing */
    uint64_t at;     /* of the frame's bytes in the operation: PUT, DATA */
    int32_t err;     /* DONE */
    uint32_t zero[3];
};
_Static_assert(sizeof(struct weft_tcp_ask) == 56, "an ask travels as it is");

struct weft_tcp_frame {
    struct weft_tcp_head head;
    struct weft_tcp_ask ask;
};
_Static_assert(sizeof(struct weft_tcp_frame) == 64, "a frame travels as it is");

#endif
