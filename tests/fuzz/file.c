/* The header of a snapshot file, and the table that follows it. A file has one form: what is
 * accepted is encoded to the same bytes. Input: a byte whose bit 1 says that the sums are put
 * right, then the header, then the table (the data between them is no matter of the decoder). */
#include <endian.h>
#include <stdbool.h>
#include <xxhash.h>

#include "fuzz.h"
#include "snapshot/file.h"
#include "weft/error.h"

enum { TABLE_MAX = 1 << 20, SUM_AT = WEFT_FILE_HEADER_BYTES - 8, TABLE_SUM_AT = 56 };

static void put_sum(uint8_t *at, uint64_t sum)
{
    sum = htole64(sum);
    memcpy(at, &sum, sizeof(sum));
}

static void check_table(const struct weft_file_head *head, const uint8_t *bytes, size_t len)
{
    struct weft_extents extents;
    const uint64_t *sums;
    struct weft_file_head again = *head;
    uint8_t *table = fuzz_copy(bytes, len), *twin = fuzz_copy(bytes, len);
    if (weft__file_table_decode(head, table, &extents, &sums) == WEFT_OK) {
        FUZZ_CHECK(extents.n == head->extents_n && extents.total_bytes == head->data_bytes);
        weft__file_table_encode(&again, &extents, sums, twin);
        FUZZ_CHECK(again.table_sum == head->table_sum && memcmp(twin, bytes, len) == 0);
        weft__extents_fini(&extents);
    }
    free(table);
    free(twin);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    bool right = fuzz_number(&input, 1) & 1;
    uint8_t header[WEFT_FILE_HEADER_BYTES] = {0}, twin[WEFT_FILE_HEADER_BYTES];
    struct weft_file_head head;
    size_t used = 512; /* what lies between it and the sum is 0 */
    const uint8_t *at = fuzz_take(&input, &used);
    memcpy(header, at, used);
    size_t len = input.left < TABLE_MAX ? (input.left + 4095) / 4096 * 4096 : TABLE_MAX;
    uint8_t *table = calloc(1, len + 1);
    FUZZ_CHECK(table != NULL);
    if (input.left > 0)
        memcpy(table, input.at, input.left < len ? input.left : len);
    if (right) {
        put_sum(header + TABLE_SUM_AT, XXH3_64bits(table, len));
        put_sum(header + SUM_AT, XXH3_64bits(header, SUM_AT));
    }
    if (weft__file_head_decode(header, &head) == WEFT_OK) {
        weft__file_head_encode(&head, twin);
        FUZZ_CHECK(memcmp(header, twin, sizeof(header)) == 0);
        FUZZ_CHECK(weft__file_bytes(&head) > head.data_bytes);
        if (weft__file_table_bytes(&head) == len)
            check_table(&head, table, len);
    }
    free(table);
    return 0;
}
