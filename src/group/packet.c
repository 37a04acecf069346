/* Packets: encoding and a decoder that trusts nothing.
 *
 * A decoded header has been checked against the size of the world and against its own payload, so
 * that nobody further in checks again. The texts of a ROUTE are copied out with their NUL.
 * Rejected: protobuf for these messages; a fixed header is decoded in a few nanoseconds on the
 * thread that drives the lane.
 */
#include "group/packet.h"

#include <stdbool.h>
#include <string.h>

#include "group/bytes.h"
#include "weft/error.h"

void weft__packet_encode(const struct weft_packet_header *header,
                         uint8_t out[WEFT_PACKET_HEADER_BYTES])
{
    weft__put_u16(out, WEFT_PACKET_MAGIC);
    out[2] = WEFT_PACKET_VERSION;
    out[3] = (uint8_t)header->type;
    out[4] = header->hops;
    out[5] = header->flags;
    weft__put_u16(out + 6, 0);
    weft__put_u64(out + 8, header->app);
    weft__put_u32(out + 16, (uint32_t)header->dest);
    weft__put_u32(out + 20, header->dest_incarnation);
    weft__put_u32(out + 24, (uint32_t)header->source);
    weft__put_u32(out + 28, header->source_incarnation);
    weft__put_u64(out + 32, header->sequence);
    weft__put_u64(out + 40, header->ack);
    weft__put_u32(out + 48, header->process);
    weft__put_u32(out + 52, header->payload_len);
}

static void read_header(const uint8_t *data, struct weft_packet_header *header_out)
{
    *header_out = (struct weft_packet_header){
        .type = (enum weft_packet_type)data[3],
        .hops = data[4],
        .flags = data[5],
        .app = weft__take_u64(data + 8),
        .dest = (int32_t)weft__take_u32(data + 16),
        .dest_incarnation = weft__take_u32(data + 20),
        .source = (int32_t)weft__take_u32(data + 24),
        .source_incarnation = weft__take_u32(data + 28),
        .sequence = weft__take_u64(data + 32),
        .ack = weft__take_u64(data + 40),
        .process = weft__take_u32(data + 48),
        .payload_len = weft__take_u32(data + 52),
    };
}

/* Whether the fields make sense for the type. */
static int check_type(const struct weft_packet_header *header)
{
    bool from_rank = header->source >= 0;
    bool numbered = header->sequence > 0;
    switch (header->type) {
    case WEFT_PACKET_DATA:
        return from_rank && numbered;
    case WEFT_PACKET_ACK:
        return from_rank && !numbered && header->payload_len == 0;
    case WEFT_PACKET_ROUTE:
        return !numbered && header->payload_len > 0;
    case WEFT_PACKET_RESOLVE:
        return from_rank && !numbered && header->payload_len == WEFT_PACKET_RESOLVE_BYTES;
    case WEFT_PACKET_RESOLVED:
        return !numbered && header->payload_len == WEFT_PACKET_RESOLVED_BYTES;
    case WEFT_PACKET_MARKER:
        return !numbered && header->payload_len == 0;
    }
    return 0;
}

int weft__packet_decode(const void *data, size_t len_bytes, int32_t size,
                        struct weft_packet_header *header_out, const uint8_t **payload_out)
{
    const uint8_t *bytes = data;
    if (len_bytes < WEFT_PACKET_HEADER_BYTES)
        return weft_fail(WEFT_EPROTO, "packet of %zu bytes is shorter than its header", len_bytes);
    if (weft__take_u16(bytes) != WEFT_PACKET_MAGIC)
        return weft_fail(WEFT_EPROTO, "packet begins with 0x%04x", weft__take_u16(bytes));
    if (bytes[2] != WEFT_PACKET_VERSION)
        return weft_fail(WEFT_EVERSION, "packet of version %u, not %d", bytes[2],
                         WEFT_PACKET_VERSION);
    struct weft_packet_header header;
    read_header(bytes, &header);
    if (header.payload_len != len_bytes - WEFT_PACKET_HEADER_BYTES)
        return weft_fail(WEFT_EPROTO, "packet of %zu bytes says %u bytes of payload", len_bytes,
                         header.payload_len);
    if (header.dest < 0 || header.dest >= size || header.source < -1 || header.source >= size)
        return weft_fail(WEFT_EPROTO, "packet from rank %d to rank %d in a world of %d",
                         (int)header.source, (int)header.dest, (int)size);
    if (header.hops > WEFT_PACKET_HOPS_MAX || weft__take_u16(bytes + 6) != 0 ||
        !check_type(&header))
        return weft_fail(WEFT_EPROTO, "packet of type %d is malformed", (int)header.type);
    *header_out = header;
    *payload_out = bytes + WEFT_PACKET_HEADER_BYTES;
    return WEFT_OK;
}

size_t weft__packet_route_encode(const struct weft_packet_route *route,
                                 uint8_t out[WEFT_PACKET_ROUTE_BYTES_MAX])
{
    size_t host_len = strnlen(route->host, WEFT_PACKET_HOST_MAX - 1);
    size_t lane_len = strnlen(route->lane, WEFT_PACKET_LANE_MAX - 1);
    weft__put_u32(out, route->process);
    weft__put_u32(out + 4, route->incarnation);
    weft__put_u16(out + 8, (uint16_t)host_len);
    weft__put_u16(out + 10, (uint16_t)lane_len);
    memcpy(out + 12, route->host, host_len);
    memcpy(out + 12 + host_len, route->lane, lane_len);
    return 12 + host_len + lane_len;
}

int weft__packet_route_decode(const uint8_t *payload, size_t len_bytes,
                              struct weft_packet_route *route_out)
{
    if (len_bytes < 12)
        return weft_fail(WEFT_EPROTO, "route of %zu bytes", len_bytes);
    size_t host_len = weft__take_u16(payload + 8);
    size_t lane_len = weft__take_u16(payload + 10);
    if (host_len >= WEFT_PACKET_HOST_MAX || lane_len >= WEFT_PACKET_LANE_MAX ||
        12 + host_len + lane_len != len_bytes)
        return weft_fail(WEFT_EPROTO, "route with names of %zu and %zu bytes in %zu", host_len,
                         lane_len, len_bytes);
    if (memchr(payload + 12, 0, host_len + lane_len))
        return weft_fail(WEFT_EPROTO, "route with a NUL in its names");
    memset(route_out, 0, sizeof(*route_out));
    route_out->process = weft__take_u32(payload);
    route_out->incarnation = weft__take_u32(payload + 4);
    memcpy(route_out->host, payload + 12, host_len);
    memcpy(route_out->lane, payload + 12 + host_len, lane_len);
    return WEFT_OK;
}

size_t weft__packet_resolve_encode(const struct weft_packet_resolve *resolve,
                                   uint8_t out[WEFT_PACKET_RESOLVE_BYTES])
{
    weft__put_u64(out, resolve->request);
    weft__put_u64(out + 8, resolve->expose_id);
    return WEFT_PACKET_RESOLVE_BYTES;
}

int weft__packet_resolve_decode(const uint8_t *payload, size_t len_bytes,
                                struct weft_packet_resolve *resolve_out)
{
    if (len_bytes != WEFT_PACKET_RESOLVE_BYTES)
        return weft_fail(WEFT_EPROTO, "resolve of %zu bytes", len_bytes);
    *resolve_out =
        (struct weft_packet_resolve){weft__take_u64(payload), weft__take_u64(payload + 8)};
    return WEFT_OK;
}

size_t weft__packet_resolved_encode(const struct weft_packet_resolved *resolved,
                                    uint8_t out[WEFT_PACKET_RESOLVED_BYTES])
{
    weft__put_u64(out, resolved->request);
    weft__put_u32(out + 8, (uint32_t)resolved->err);
    weft__put_u32(out + 12, resolved->process);
    weft__put_u64(out + 16, resolved->key);
    weft__put_u64(out + 24, resolved->key_base);
    weft__put_u64(out + 32, resolved->key_len);
    weft__put_u64(out + 40, resolved->len_bytes);
    return WEFT_PACKET_RESOLVED_BYTES;
}

int weft__packet_resolved_decode(const uint8_t *payload, size_t len_bytes,
                                 struct weft_packet_resolved *resolved_out)
{
    if (len_bytes != WEFT_PACKET_RESOLVED_BYTES)
        return weft_fail(WEFT_EPROTO, "resolved of %zu bytes", len_bytes);
    struct weft_packet_resolved resolved = {
        .request = weft__take_u64(payload),
        .err = (int32_t)weft__take_u32(payload + 8),
        .process = weft__take_u32(payload + 12),
        .key = weft__take_u64(payload + 16),
        .key_base = weft__take_u64(payload + 24),
        .key_len = weft__take_u64(payload + 32),
        .len_bytes = weft__take_u64(payload + 40),
    };
    if (resolved.err > 0 || (resolved.err == 0 && resolved.len_bytes > resolved.key_len))
        return weft_fail(WEFT_EPROTO, "resolved with error %d and %llu bytes of %llu",
                         (int)resolved.err, (unsigned long long)resolved.len_bytes,
                         (unsigned long long)resolved.key_len);
    *resolved_out = resolved;
    return WEFT_OK;
}
