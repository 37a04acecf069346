/* What comes over a lane: the lane's own header, the packet in it, and the payload of the packet.
 * Input: a byte whose bits say what is put right (1: the lane's header, 2: the packet's), a byte
 * for the size of the app, then the message. */
#include "fuzz.h"
#include "group/packet.h"
#include "link/impl.h"
#include "weft/error.h"

#define TOKEN 0x1122334455667788u

static int32_t app_size;

static void check_payload(const struct weft_packet_header *header, const uint8_t *payload)
{
    struct weft_packet_route route;
    struct weft_packet_resolve resolve;
    struct weft_packet_resolved resolved;
    uint8_t again[WEFT_PACKET_ROUTE_BYTES_MAX];
    size_t len = 0;
    if (weft__packet_route_decode(payload, header->payload_len, &route) == WEFT_OK) {
        FUZZ_CHECK(memchr(route.host, 0, sizeof(route.host)) &&
                   memchr(route.lane, 0, sizeof(route.lane)));
        len = weft__packet_route_encode(&route, again);
        FUZZ_CHECK(len == header->payload_len && memcmp(again, payload, len) == 0);
    }
    if (weft__packet_resolve_decode(payload, header->payload_len, &resolve) == WEFT_OK) {
        len = weft__packet_resolve_encode(&resolve, again);
        FUZZ_CHECK(len == header->payload_len && memcmp(again, payload, len) == 0);
    }
    if (weft__packet_resolved_decode(payload, header->payload_len, &resolved) == WEFT_OK) {
        len = weft__packet_resolved_encode(&resolved, again);
        FUZZ_CHECK(len == header->payload_len && memcmp(again, payload, len) == 0);
    }
}

static void take(void *ctx, const void *data, size_t len_bytes)
{
    struct weft_packet_header header;
    const uint8_t *payload;
    uint8_t again[WEFT_PACKET_HEADER_BYTES];
    (void)ctx;
    if (weft__packet_decode(data, len_bytes, app_size, &header, &payload) != WEFT_OK)
        return;
    FUZZ_CHECK(header.payload_len == len_bytes - WEFT_PACKET_HEADER_BYTES);
    FUZZ_CHECK(header.dest >= -1 && header.dest < app_size);
    FUZZ_CHECK(header.source >= -1 && header.source < app_size);
    weft__packet_encode(&header, again);
    FUZZ_CHECK(memcmp(again, data, sizeof(again)) == 0);
    check_payload(&header, payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct weft_lane *lane;
    struct fuzz_input input = {data, size};
    unsigned right = (unsigned)fuzz_number(&input, 1);
    app_size = (int32_t)fuzz_number(&input, 1);
    size_t len = input.left;
    uint8_t *bytes = fuzz_copy(input.at, len);
    struct weft__lane_header lane_header = {LANE_MAGIC, (uint32_t)(len - sizeof(lane_header)),
                                            TOKEN};
    if (!lane && !(lane = aligned_alloc(64, (sizeof(*lane) + 63u) & ~(size_t)63u)))
        return 0;
    memset(lane, 0, sizeof(*lane));
    lane->token = TOKEN;
    lane->message = take;
    if (right & 1 && len >= sizeof(lane_header))
        memcpy(bytes, &lane_header, sizeof(lane_header));
    if (right & 2 && len >= sizeof(lane_header) + WEFT_PACKET_HEADER_BYTES) {
        uint8_t *packet = bytes + sizeof(lane_header);
        uint32_t payload = (uint32_t)(len - sizeof(lane_header) - WEFT_PACKET_HEADER_BYTES);
        memcpy(packet, "WP\1", 3);
        memcpy(packet + 52, &payload, sizeof(payload));
    }
    weft__lane_arrived(lane, bytes, len);
    free(bytes);
    return 0;
}
