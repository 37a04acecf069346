/* The lane messages between the processes of one app: a fixed header of 56 bytes, little endian,
 * and a payload.
 *
 *   0  u16 magic "WP" (0x5057)     24  i32 source rank (-1: the process itself)
 *   2  u8  version (1)             28  u32 source's incarnation
 *   3  u8  type                    32  u64 sequence, per (source, dest), from 1; 0: none
 *   4  u8  hops: times forwarded   40  u64 acknowledges dest -> source packets up to this sequence
 *   5  u8  flags                   48  u32 process that sent it first
 *   6  u16 reserved, 0             52  u32 payload length in bytes
 *   8  u64 app                     56  payload
 *   16 i32 dest rank
 *   20 u32 dest's incarnation, as the sender knows it
 */
#ifndef WEFT_GROUP_PACKET_H
#define WEFT_GROUP_PACKET_H

#include <stddef.h>
#include <stdint.h>

#define WEFT_PACKET_HEADER_BYTES 56
#define WEFT_PACKET_MAGIC 0x5057u
#define WEFT_PACKET_VERSION 1
#define WEFT_PACKET_HOPS_MAX 4

enum weft_packet_type {
    WEFT_PACKET_DATA = 1, /* a rank's packet; source, dest, sequence, ack */
    WEFT_PACKET_ACK,      /* source acknowledges packets of dest */
    WEFT_PACKET_ROUTE, /* where the dest rank of an earlier packet is now: struct weft_packet_route
                        */
    WEFT_PACKET_RESOLVE, /* source asks for memory that dest has exposed: struct weft_packet_resolve
                          */
    WEFT_PACKET_RESOLVED, /* the answer, to the asking process: struct weft_packet_resolved */
    WEFT_PACKET_MARKER /* process knows of dest's incarnation and sends nothing to its older places
                          any more over the lane that is told as ack */
};

enum weft_packet_flag {
    WEFT_PACKET_WANT_ACK = 1,   /* DATA: acknowledge at once */
    WEFT_PACKET_WANT_MARKER = 2 /* ROUTE: answer with a marker */
};

struct weft_packet_header {
    enum weft_packet_type type;
    uint8_t hops;
    uint8_t flags;
    uint64_t app;
    int32_t dest;
    uint32_t dest_incarnation;
    int32_t source;
    uint32_t source_incarnation;
    uint64_t sequence;
    uint64_t ack;
    uint32_t process;
    uint32_t payload_len;
};

#define WEFT_PACKET_HOST_MAX 256  /* with NUL */
#define WEFT_PACKET_LANE_MAX 2048 /* with NUL */

struct weft_packet_route {
    uint32_t process;
    uint32_t incarnation;
    char host[WEFT_PACKET_HOST_MAX];
    char lane[WEFT_PACKET_LANE_MAX]; /* lane address of the process */
};
#define WEFT_PACKET_ROUTE_BYTES_MAX (12 + WEFT_PACKET_HOST_MAX + WEFT_PACKET_LANE_MAX)

struct weft_packet_resolve {
    uint64_t request; /* the asker's choice */
    uint64_t expose_id;
};
#define WEFT_PACKET_RESOLVE_BYTES 16

struct weft_packet_resolved {
    uint64_t request;
    int32_t err;      /* 0; WEFT_ENOENT: nothing is exposed under the id; WEFT_ESTALE: ask again */
    uint32_t process; /* the owner's process: where the key holds */
    uint64_t key, key_base, key_len;
    uint64_t len_bytes; /* of the exposed memory, which begins where the key's range begins */
};
#define WEFT_PACKET_RESOLVED_BYTES 48

void weft__packet_encode(const struct weft_packet_header *header,
                         uint8_t out[WEFT_PACKET_HEADER_BYTES]);
/* payload_out points into data.  Errors: WEFT_EPROTO short, wrong magic or type, lengths disagree,
 * ranks outside [0, size), hops over the limit, a payload that does not fit the type;
 * WEFT_EVERSION. */
int weft__packet_decode(const void *data, size_t len_bytes, int32_t size,
                        struct weft_packet_header *header_out, const uint8_t **payload_out);

/* Each returns the payload's length. */
size_t weft__packet_route_encode(const struct weft_packet_route *route,
                                 uint8_t out[WEFT_PACKET_ROUTE_BYTES_MAX]);
size_t weft__packet_resolve_encode(const struct weft_packet_resolve *resolve,
                                   uint8_t out[WEFT_PACKET_RESOLVE_BYTES]);
size_t weft__packet_resolved_encode(const struct weft_packet_resolved *resolved,
                                    uint8_t out[WEFT_PACKET_RESOLVED_BYTES]);
/* Errors: WEFT_EPROTO. */
int weft__packet_route_decode(const uint8_t *payload, size_t len_bytes,
                              struct weft_packet_route *route_out);
int weft__packet_resolve_decode(const uint8_t *payload, size_t len_bytes,
                                struct weft_packet_resolve *resolve_out);
int weft__packet_resolved_decode(const uint8_t *payload, size_t len_bytes,
                                 struct weft_packet_resolved *resolved_out);

#endif
