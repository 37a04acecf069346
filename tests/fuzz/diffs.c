/* A list of differences. It has one encoding: what is accepted is encoded to the same bytes, and
 * can be applied to a large enough snapshot. Input: a byte whose lowest bit says that the checksum
 * is put right, then the bytes. */
#include <xxhash.h>

#include "fuzz.h"
#include "snapshot/diff.h"
#include "weft/error.h"

#define ROOM_MAX ((uint64_t)1 << 20)

static void check_apply(const struct weft_diffs *diffs)
{
    const uint64_t room = weft__diffs_end(diffs);
    if (room > ROOM_MAX)
        return;
    unsigned char *memory = calloc(1, room + 1);
    FUZZ_CHECK(memory != NULL);
    FUZZ_CHECK(weft__diffs_apply(diffs, memory, room) == WEFT_OK);
    if (diffs->n)
        FUZZ_CHECK(weft__diffs_apply(diffs, memory, room - 1) == WEFT_ERANGE);
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    unsigned right = (unsigned)fuzz_number(&input, 1);
    const size_t len = input.left;
    uint8_t *bytes = fuzz_copy(input.at, len), *again;
    struct weft_diffs diffs = {0};
    size_t len_again;
    if (right & 1 && len >= 8) {
        uint64_t sum = XXH3_64bits(bytes, len - 8);
        memcpy(bytes + len - 8, &sum, sizeof(sum));
    }
    if (weft__diffs_decode(bytes, len, &diffs) == WEFT_OK) {
        FUZZ_CHECK(weft__diffs_encode(&diffs, &again, &len_again) == WEFT_OK);
        FUZZ_CHECK(len == len_again && memcmp(bytes, again, len) == 0);
        free(again);
        check_apply(&diffs);
    }
    weft__diffs_fini(&diffs);
    free(bytes);
    return 0;
}
