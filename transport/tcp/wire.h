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

/* BYE: the sender will send no more over this connection, but reads on. */
enum weft_tcp_kind { WEFT_TCP_MESSAGE = 1, WEFT_TCP_BYE = 2 };

struct weft_tcp_head {
    uint32_t len; /* of what follows */
    uint16_t kind;
    uint16_t magic;
};
_Static_assert(sizeof(struct weft_tcp_head) == 8, "a head travels as it is");

#endif
