/* The descriptor of a move: it travels unharmed, and nothing else is taken for one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "exec/move.h"
#include "weft/error.h"

static struct weft__move make(void)
{
    struct weft__move move = {
        .app = 1,
        .rank = 2,
        .size = 4,
        .base = 0x200000000000ull,
        .stride = 1ull << 34,
        .incarnation = 9,
        .executor = 1,
        .build_id = {1, 2, 3},
        .build_id_len = 20,
        .entry_offset = 0x1234,
        .argument = 0x200000001000ull,
        .clock_ns = 5,
        .wall_ms = 6,
        .lane = "zmq;0102",
        .image = (const uint8_t *)"image",
        .image_len = 5,
    };
    return move;
}

static void an_encoded_descriptor_decodes_to_itself(void **state)
{
    (void)state;
    struct weft__move in = make(), out;
    uint8_t *bytes;
    size_t len;
    assert_int_equal(weft__move_encode(&in, &bytes, &len), 0);
    assert_int_equal(weft__move_decode(bytes, len, &out), 0);
    assert_memory_equal(out.image, "image", 5);
    assert_string_equal(out.lane, in.lane);
    uint8_t *again;
    size_t again_len;
    assert_int_equal(weft__move_encode(&out, &again, &again_len), 0);
    assert_int_equal(len, again_len);
    assert_memory_equal(bytes, again, len);
    free(bytes);
    free(again);
}

static void a_descriptor_of_any_other_length_is_refused(void **state)
{
    (void)state;
    struct weft__move in = make(), out;
    uint8_t *bytes;
    size_t len;
    assert_int_equal(weft__move_encode(&in, &bytes, &len), 0);
    for (size_t i = 0; i < len; i++) {
        uint8_t *copy = malloc(i ? i : 1);
        memcpy(copy, bytes, i);
        assert_int_equal(weft__move_decode(copy, i, &out), WEFT_EPROTO);
        free(copy);
    }
    bytes[6] = 0xff;
    bytes[7] = 0xff;
    assert_int_equal(weft__move_decode(bytes, len, &out), WEFT_EPROTO);
    bytes[4]++;
    assert_int_equal(weft__move_decode(bytes, len, &out), WEFT_EVERSION);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_encoded_descriptor_decodes_to_itself),
        cmocka_unit_test(a_descriptor_of_any_other_length_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
