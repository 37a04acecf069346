/* Packets: what is encoded comes back, and nothing that is not a packet gets through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "group/packet.h"
#include "weft/error.h"

#define SIZE 8

static struct weft_packet_header data_header(uint32_t payload_len)
{
    return (struct weft_packet_header){
        .type = WEFT_PACKET_DATA,
        .hops = 3,
        .flags = WEFT_PACKET_WANT_ACK,
        .app = 0x1122334455667788ull,
        .dest = 7,
        .dest_incarnation = 5,
        .source = 2,
        .source_incarnation = 9,
        .sequence = 0x8000000000000001ull,
        .ack = 77,
        .process = 3,
        .payload_len = payload_len,
    };
}

static size_t build(uint8_t *out, const struct weft_packet_header *header, const void *payload)
{
    weft__packet_encode(header, out);
    if (header->payload_len)
        memcpy(out + WEFT_PACKET_HEADER_BYTES, payload, header->payload_len);
    return WEFT_PACKET_HEADER_BYTES + header->payload_len;
}

static void an_encoded_packet_decodes_to_itself(void **state)
{
    (void)state;
    uint8_t bytes[128];
    struct weft_packet_header in = data_header(5), out;
    const uint8_t *payload;
    size_t len = build(bytes, &in, "hello");
    assert_int_equal(weft__packet_decode(bytes, len, SIZE, &out, &payload), 0);
    uint8_t again[128];
    build(again, &out, payload);
    assert_memory_equal(bytes, again, len);
    assert_int_equal(out.sequence, in.sequence);
    assert_int_equal(out.source, in.source);
    assert_memory_equal(payload, "hello", 5);
}

static void the_header_is_little_endian_at_fixed_places(void **state)
{
    (void)state;
    uint8_t bytes[128];
    struct weft_packet_header in = data_header(0);
    build(bytes, &in, "");
    assert_int_equal(bytes[0], 'W');
    assert_int_equal(bytes[1], 'P');
    assert_int_equal(bytes[8], 0x88);
    assert_int_equal(bytes[15], 0x11);
    assert_int_equal(bytes[16], 7);
    assert_int_equal(bytes[39], 0x80);
}

static void every_shorter_packet_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[128];
    struct weft_packet_header in = data_header(5), out;
    const uint8_t *payload;
    size_t len = build(bytes, &in, "hello");
    for (size_t i = 0; i < len; i++) {
        uint8_t *copy = malloc(i ? i : 1);
        memcpy(copy, bytes, i);
        assert_int_equal(weft__packet_decode(copy, i, SIZE, &out, &payload), WEFT_EPROTO);
        free(copy);
    }
}

static void refuse(struct weft_packet_header header, int32_t size)
{
    uint8_t bytes[128] = {0};
    struct weft_packet_header out;
    const uint8_t *payload;
    weft__packet_encode(&header, bytes);
    assert_int_equal(weft__packet_decode(bytes, WEFT_PACKET_HEADER_BYTES + header.payload_len, size,
                                         &out, &payload),
                     WEFT_EPROTO);
}

static void ranks_outside_the_world_are_refused(void **state)
{
    (void)state;
    struct weft_packet_header header = data_header(0);
    header.dest = SIZE;
    refuse(header, SIZE);
    header.dest = -1;
    refuse(header, SIZE);
    header = data_header(0);
    header.source = SIZE;
    refuse(header, SIZE);
    header.source = -1; /* only processes have no rank */
    refuse(header, SIZE);
    header.source = INT32_MIN;
    refuse(header, SIZE);
}

static void a_packet_that_went_round_too_often_is_refused(void **state)
{
    (void)state;
    struct weft_packet_header header = data_header(0);
    header.hops = WEFT_PACKET_HOPS_MAX + 1;
    refuse(header, SIZE);
}

static void fields_that_do_not_fit_the_type_are_refused(void **state)
{
    (void)state;
    struct weft_packet_header header = data_header(0);
    header.sequence = 0;
    refuse(header, SIZE);
    header = data_header(1);
    header.type = WEFT_PACKET_ACK;
    header.sequence = 0;
    refuse(header, SIZE);
    header.type = WEFT_PACKET_RESOLVE;
    refuse(header, SIZE);
    header.type = WEFT_PACKET_MARKER;
    refuse(header, SIZE);
    header.type = (enum weft_packet_type)99;
    refuse(header, SIZE);
}

static void another_version_is_named(void **state)
{
    (void)state;
    uint8_t bytes[WEFT_PACKET_HEADER_BYTES];
    struct weft_packet_header in = data_header(0), out;
    const uint8_t *payload;
    weft__packet_encode(&in, bytes);
    bytes[2] = WEFT_PACKET_VERSION + 1;
    assert_int_equal(weft__packet_decode(bytes, sizeof(bytes), SIZE, &out, &payload),
                     WEFT_EVERSION);
}

static void random_bytes_never_decode_to_something_outside_the_world(void **state)
{
    (void)state;
    uint64_t seed = 12345;
    for (int round = 0; round < 200000; round++) {
        uint8_t bytes[WEFT_PACKET_HEADER_BYTES + 8];
        struct weft_packet_header in = data_header(8), out;
        const uint8_t *payload;
        build(bytes, &in, "12345678");
        for (int hits = 0; hits < 3; hits++) {
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            bytes[(seed >> 33) % sizeof(bytes)] = (uint8_t)(seed >> 24);
        }
        if (weft__packet_decode(bytes, sizeof(bytes), SIZE, &out, &payload) != 0)
            continue;
        assert_in_range(out.dest, 0, SIZE - 1);
        assert_true(out.source >= -1 && out.source < SIZE);
        assert_int_equal(out.payload_len, 8);
        assert_ptr_equal(payload, bytes + WEFT_PACKET_HEADER_BYTES);
    }
}

static void a_route_decodes_to_itself_with_its_names(void **state)
{
    (void)state;
    struct weft_packet_route in = {.process = 4, .incarnation = 6, .host = "b", .lane = "zmq;00ff"},
                             out;
    uint8_t bytes[WEFT_PACKET_ROUTE_BYTES_MAX];
    size_t len = weft__packet_route_encode(&in, bytes);
    assert_int_equal(weft__packet_route_decode(bytes, len, &out), 0);
    assert_memory_equal(&in, &out, sizeof(in));
    for (size_t i = 0; i < len; i++)
        assert_int_equal(weft__packet_route_decode(bytes, i, &out), WEFT_EPROTO);
}

static void a_route_with_a_name_that_is_too_long_or_has_a_nul_is_refused(void **state)
{
    (void)state;
    struct weft_packet_route in = {.host = "host", .lane = "lane"}, out;
    uint8_t bytes[WEFT_PACKET_ROUTE_BYTES_MAX + 64];
    size_t len = weft__packet_route_encode(&in, bytes);
    bytes[13] = 0;
    assert_int_equal(weft__packet_route_decode(bytes, len, &out), WEFT_EPROTO);
    memset(bytes, 'x', sizeof(bytes));
    bytes[8] = 0;
    bytes[9] = 1; /* 256 */
    bytes[10] = 0;
    bytes[11] = 0;
    assert_int_equal(weft__packet_route_decode(bytes, 12 + 256, &out), WEFT_EPROTO);
}

static void the_payloads_of_a_rendezvous_decode_to_themselves(void **state)
{
    (void)state;
    uint8_t bytes[WEFT_PACKET_RESOLVED_BYTES];
    struct weft_packet_resolve resolve = {.request = 1, .expose_id = ~0ull}, resolve_out;
    weft__packet_resolve_encode(&resolve, bytes);
    assert_int_equal(weft__packet_resolve_decode(bytes, WEFT_PACKET_RESOLVE_BYTES, &resolve_out),
                     0);
    assert_memory_equal(&resolve, &resolve_out, sizeof(resolve));
    struct weft_packet_resolved resolved = {
        .request = 2, .err = WEFT_ENOENT, .process = 3, .key = 4, .key_base = 5};
    struct weft_packet_resolved resolved_out;
    weft__packet_resolved_encode(&resolved, bytes);
    assert_int_equal(weft__packet_resolved_decode(bytes, sizeof(bytes), &resolved_out), 0);
    assert_memory_equal(&resolved, &resolved_out, sizeof(resolved));
}

static void an_answer_that_promises_more_than_its_key_covers_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[WEFT_PACKET_RESOLVED_BYTES];
    struct weft_packet_resolved in = {.key_len = 10, .len_bytes = 11}, out;
    weft__packet_resolved_encode(&in, bytes);
    assert_int_equal(weft__packet_resolved_decode(bytes, sizeof(bytes), &out), WEFT_EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_encoded_packet_decodes_to_itself),
        cmocka_unit_test(the_header_is_little_endian_at_fixed_places),
        cmocka_unit_test(every_shorter_packet_is_refused),
        cmocka_unit_test(ranks_outside_the_world_are_refused),
        cmocka_unit_test(a_packet_that_went_round_too_often_is_refused),
        cmocka_unit_test(fields_that_do_not_fit_the_type_are_refused),
        cmocka_unit_test(another_version_is_named),
        cmocka_unit_test(random_bytes_never_decode_to_something_outside_the_world),
        cmocka_unit_test(a_route_decodes_to_itself_with_its_names),
        cmocka_unit_test(a_route_with_a_name_that_is_too_long_or_has_a_nul_is_refused),
        cmocka_unit_test(the_payloads_of_a_rendezvous_decode_to_themselves),
        cmocka_unit_test(an_answer_that_promises_more_than_its_key_covers_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
