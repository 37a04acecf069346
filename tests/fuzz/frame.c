/* Control frames: flags, lengths, and what an error reply needs. Input: two bytes that choose the
 * limit of bodies, then the frame. */
#include "fuzz.h"
#include "weft/error.h"
#include "wire/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    size_t body_max = (size_t)fuzz_number(&input, 2) * 16;
    uint8_t *bytes = fuzz_copy(input.at, input.left);
    struct weft_frame frame;
    int err = weft__frame_decode(bytes, input.left, body_max, &frame);
    FUZZ_CHECK(err == WEFT_OK || err == WEFT_EPROTO || err == WEFT_EVERSION ||
               err == WEFT_EMSGSIZE);
    if (err == WEFT_OK) {
        uint8_t again[WEFT_FRAME_HEADER_BYTES];
        FUZZ_CHECK(frame.body_len <= body_max);
        FUZZ_CHECK(frame.body_len == input.left - WEFT_FRAME_HEADER_BYTES);
        FUZZ_CHECK(frame.body == bytes + WEFT_FRAME_HEADER_BYTES);
        weft__frame_encode_header(&frame, again);
        FUZZ_CHECK(memcmp(again, bytes, sizeof(again)) == 0);
    } else {
        FUZZ_CHECK(frame.body == NULL && frame.body_len == 0);
    }
    free(bytes);
    return 0;
}
