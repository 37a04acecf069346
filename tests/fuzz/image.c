/* The descriptor of an image, and the descriptor of a move that carries one. An image has one
 * encoding: what is accepted is encoded to the same bytes. Input: a byte whose bits say what is put
 * right (1: the checksum, 2: wrapped into a descriptor of a move), then the bytes. */
#include <xxhash.h>

#include "exec/move.h"
#include "fuzz.h"
#include "snapshot/image.h"
#include "weft/error.h"

static void check_image(const uint8_t *bytes, size_t len)
{
    struct weft_image *image;
    uint8_t *again;
    size_t len_again;
    if (weft__image_decode(bytes, len, &image) != WEFT_OK)
        return;
    FUZZ_CHECK(weft__image_encode(image, &again, &len_again) == WEFT_OK);
    FUZZ_CHECK(len == len_again && memcmp(bytes, again, len) == 0);
    free(again);
    weft__image_free(image);
}

static void check_move(const uint8_t *bytes, size_t len)
{
    struct weft__move move;
    uint8_t *again;
    size_t len_again;
    if (weft__move_decode(bytes, len, &move) != WEFT_OK)
        return;
    FUZZ_CHECK(move.image >= bytes && move.image_len <= len);
    FUZZ_CHECK(move.build_id_len <= WEFT_BUILD_ID_MAX);
    FUZZ_CHECK(memchr(move.lane, 0, sizeof(move.lane)) != NULL);
    FUZZ_CHECK(weft__move_encode(&move, &again, &len_again) == WEFT_OK);
    FUZZ_CHECK(len_again <= len); /* a lane address ends at its first NUL */
    free(again);
    check_image(move.image, (size_t)move.image_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    unsigned right = (unsigned)fuzz_number(&input, 1);
    size_t len = input.left;
    uint8_t *bytes = fuzz_copy(input.at, len);
    if (right & 1 && len >= 8) {
        uint64_t sum = XXH3_64bits(bytes, len - 8);
        memcpy(bytes + len - 8, &sum, sizeof(sum));
    }
    check_image(bytes, len);
    check_move(bytes, len);
    if (right & 2) {
        struct weft__move move = {
            .app = 1, .rank = 0, .size = 1, .lane = "zmq;00", .image = bytes, .image_len = len};
        uint8_t *wrapped;
        size_t wrapped_len;
        FUZZ_CHECK(weft__move_encode(&move, &wrapped, &wrapped_len) == WEFT_OK);
        check_move(wrapped, wrapped_len);
        free(wrapped);
    }
    free(bytes);
    return 0;
}
