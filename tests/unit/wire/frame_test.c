#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "weft/error.h"
#include "wire/frame.h"

static const uint8_t body[5] = {'h', 'e', 'l', 'l', 'o'};

/* A good frame with a body of five bytes. */
static size_t make(uint8_t data_out[WEFT_FRAME_HEADER_BYTES + sizeof(body)])
{
    const struct weft_frame frame = {.call = 0x1234,
                                     .flags = WEFT_FRAME_REPLY,
                                     .error = -7,
                                     .correlation = 0x0102030405060708,
                                     .deadline_ms = 1500,
                                     .body_len = sizeof(body),
                                     .client = 0x1112131415161718,
                                     .sequence = 0x2122232425262728};

    weft__frame_encode_header(&frame, data_out);
    memcpy(data_out + WEFT_FRAME_HEADER_BYTES, body, sizeof(body));
    return WEFT_FRAME_HEADER_BYTES + sizeof(body);
}

static void what_is_encoded_is_decoded(void **state)
{
    uint8_t data[WEFT_FRAME_HEADER_BYTES + sizeof(body)];
    struct weft_frame frame;

    (void)state;
    assert_int_equal(weft__frame_decode(data, make(data), 5, &frame), WEFT_OK);
    assert_int_equal(frame.call, 0x1234);
    assert_int_equal(frame.flags, WEFT_FRAME_REPLY);
    assert_int_equal(frame.error, -7);
    assert_true(frame.correlation == 0x0102030405060708);
    assert_int_equal(frame.deadline_ms, 1500);
    assert_int_equal(frame.body_len, sizeof(body));
    assert_true(frame.client == 0x1112131415161718);
    assert_true(frame.sequence == 0x2122232425262728);
    assert_memory_equal(frame.body, body, sizeof(body));
}

static void a_client_without_a_sequence_is_malformed(void **state)
{
    uint8_t data[WEFT_FRAME_HEADER_BYTES + sizeof(body)];
    size_t len_bytes = make(data);
    struct weft_frame frame;

    (void)state;
    memset(data + 40, 0, 8);
    assert_int_equal(weft__frame_decode(data, len_bytes, 5, &frame), WEFT_EPROTO);
    len_bytes = make(data);
    memset(data + 32, 0, 8);
    assert_int_equal(weft__frame_decode(data, len_bytes, 5, &frame), WEFT_EPROTO);
}

static void the_header_is_little_endian_at_fixed_places(void **state)
{
    static const uint8_t wanted[WEFT_FRAME_HEADER_BYTES] = {
        'W',  'E',  'F',  'T',  2,    0,    0x34, 0x12, 1,    0,    0,    0,
        0xf9, 0xff, 0xff, 0xff, 8,    7,    6,    5,    4,    3,    2,    1,
        0xdc, 5,    0,    0,    5,    0,    0,    0,    0x18, 0x17, 0x16, 0x15,
        0x14, 0x13, 0x12, 0x11, 0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21};
    uint8_t data[WEFT_FRAME_HEADER_BYTES + sizeof(body)];

    (void)state;
    make(data);
    assert_memory_equal(data, wanted, sizeof(wanted));
}

static void every_frame_cut_short_is_malformed(void **state)
{
    uint8_t data[WEFT_FRAME_HEADER_BYTES + sizeof(body)];
    size_t len_bytes = make(data);
    struct weft_frame frame;

    (void)state;
    for (size_t n = 0; n < len_bytes; n++) {
        uint8_t *exact = malloc(n + 1); /* so that a sanitizer sees a read beyond n */

        memcpy(exact, data, n);
        exact = realloc(exact, n == 0 ? 1 : n);
        assert_int_equal(weft__frame_decode(exact, n, 100, &frame), WEFT_EPROTO);
        assert_int_equal(frame.body_len, 0);
        assert_null(frame.body);
        free(exact);
    }
}

static void bytes_behind_the_body_are_malformed(void **state)
{
    uint8_t data[WEFT_FRAME_HEADER_BYTES + sizeof(body) + 1] = {0};
    struct weft_frame frame;

    (void)state;
    make(data);
    assert_int_equal(weft__frame_decode(data, sizeof(data), 100, &frame), WEFT_EPROTO);
    assert_int_equal(frame.call, 0x1234);
}

static void a_huge_announced_length_is_malformed(void **state)
{
    uint8_t data[WEFT_FRAME_HEADER_BYTES + sizeof(body)];
    size_t len_bytes = make(data);
    struct weft_frame frame;

    (void)state;
    memset(data + 28, 0xff, 4);
    assert_int_equal(weft__frame_decode(data, len_bytes, WEFT_FRAME_BODY_MAX, &frame), WEFT_EPROTO);
}

static void another_magic_is_malformed(void **state)
{
    uint8_t data[WEFT_FRAME_HEADER_BYTES + sizeof(body)];
    size_t len_bytes = make(data);
    struct weft_frame frame;

    (void)state;
    for (size_t at = 0; at < 4; at++) {
        make(data);
        data[at] ^= 0x20;
        assert_int_equal(weft__frame_decode(data, len_bytes, 100, &frame), WEFT_EPROTO);
        assert_int_equal(frame.call, 0);
        assert_true(frame.correlation == 0);
    }
}

static void another_version_still_tells_whom_to_answer(void **state)
{
    uint8_t data[WEFT_FRAME_HEADER_BYTES + sizeof(body)];
    size_t len_bytes = make(data);
    struct weft_frame frame;

    (void)state;
    data[4] = 99;
    assert_int_equal(weft__frame_decode(data, len_bytes, 100, &frame), WEFT_EVERSION);
    assert_int_equal(frame.call, 0x1234);
    assert_true(frame.correlation == 0x0102030405060708);
    assert_null(frame.body);
}

static void a_body_over_the_limit_still_tells_whom_to_answer(void **state)
{
    uint8_t data[WEFT_FRAME_HEADER_BYTES + sizeof(body)];
    size_t len_bytes = make(data);
    struct weft_frame frame;

    (void)state;
    assert_int_equal(weft__frame_decode(data, len_bytes, sizeof(body) - 1, &frame), WEFT_EMSGSIZE);
    assert_int_equal(frame.call, 0x1234);
    assert_true(frame.correlation == 0x0102030405060708);
    assert_non_null(strstr(weft_fail_text(WEFT_EMSGSIZE), "at most 4"));
}

static void reserved_bits_must_be_zero(void **state)
{
    uint8_t data[WEFT_FRAME_HEADER_BYTES + sizeof(body)];
    size_t len_bytes = make(data);
    struct weft_frame frame;

    (void)state;
    data[10] = 1;
    assert_int_equal(weft__frame_decode(data, len_bytes, 100, &frame), WEFT_EPROTO);
    make(data);
    data[9] = 0x80;
    assert_int_equal(weft__frame_decode(data, len_bytes, 100, &frame), WEFT_EPROTO);
}

static void a_frame_may_lie_at_an_odd_address(void **state)
{
    uint8_t data[1 + WEFT_FRAME_HEADER_BYTES + sizeof(body)];
    struct weft_frame frame;

    (void)state;
    assert_int_equal(weft__frame_decode(data + 1, make(data + 1), 100, &frame), WEFT_OK);
    assert_true(frame.correlation == 0x0102030405060708);
}

static void the_correlation_of_a_header_can_be_changed(void **state)
{
    struct weft_frame frame = {
        .call = 7, .flags = WEFT_FRAME_REPLY, .correlation = 1, .client = 3, .sequence = 4};
    uint8_t before[WEFT_FRAME_HEADER_BYTES], after[WEFT_FRAME_HEADER_BYTES];

    (void)state;
    weft__frame_encode_header(&frame, before);
    frame.correlation = UINT64_C(0x8877665544332211);
    weft__frame_encode_header(&frame, after);
    weft__frame_set_correlation(before, frame.correlation);
    assert_memory_equal(before, after, sizeof(before));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_encoded_is_decoded),
        cmocka_unit_test(the_header_is_little_endian_at_fixed_places),
        cmocka_unit_test(a_client_without_a_sequence_is_malformed),
        cmocka_unit_test(every_frame_cut_short_is_malformed),
        cmocka_unit_test(bytes_behind_the_body_are_malformed),
        cmocka_unit_test(a_huge_announced_length_is_malformed),
        cmocka_unit_test(another_magic_is_malformed),
        cmocka_unit_test(another_version_still_tells_whom_to_answer),
        cmocka_unit_test(a_body_over_the_limit_still_tells_whom_to_answer),
        cmocka_unit_test(reserved_bits_must_be_zero),
        cmocka_unit_test(a_frame_may_lie_at_an_odd_address),
        cmocka_unit_test(the_correlation_of_a_header_can_be_changed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
