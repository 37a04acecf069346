/* Headers and tables of snapshot files, as bytes; no I/O.
 *
 * A file has one form: what the decoder accepts, the encoder writes again. Numbers that lead to
 * sizes are bounded before they are multiplied, and nothing is allocated before the caller has seen
 * that the file is as long as its header says. The sums are checked first, so what is said about
 * nonsense behind a right sum is for whoever writes such files.
 */
#include "snapshot/file.h"

#include <endian.h>
#include <string.h>

#include <xxhash.h>

#include "base/bytes.h"
#include "snapshot/region.h"
#include "weft/error.h"

#define VERSION 1
#define KEY_AT 64u
#define SUM_AT (WEFT_FILE_HEADER_BYTES - 8)
#define EXTENT_BYTES 16u
#define PAGES_MAX (WEFT_REGION_MAX_BYTES / WEFT_REGION_PAGE)

static const char magic[8] = {'W', 'E', 'F', 'T', 'S', 'N', 'A', 'P'};

static uint64_t whole_pages(uint64_t bytes)
{
    return (bytes + WEFT_REGION_PAGE - 1) / WEFT_REGION_PAGE * WEFT_REGION_PAGE;
}

uint64_t weft__file_chunks(const struct weft_file_head *head)
{
    return (head->data_bytes + head->chunk_bytes - 1) / head->chunk_bytes;
}

uint64_t weft__file_table_at(const struct weft_file_head *head)
{
    return WEFT_FILE_HEADER_BYTES + head->data_bytes;
}

static uint64_t table_used(const struct weft_file_head *head)
{
    return head->extents_n * EXTENT_BYTES + weft__file_chunks(head) * 8;
}

uint64_t weft__file_table_bytes(const struct weft_file_head *head)
{
    return whole_pages(table_used(head));
}

uint64_t weft__file_bytes(const struct weft_file_head *head)
{
    return weft__file_table_at(head) + weft__file_table_bytes(head);
}

/* ---- the header ---- */

void weft__file_head_encode(const struct weft_file_head *head,
                            uint8_t bytes_out[WEFT_FILE_HEADER_BYTES])
{
    size_t key_len = strnlen(head->key, WEFT_FILE_KEY_MAX);
    memset(bytes_out, 0, WEFT_FILE_HEADER_BYTES);
    memcpy(bytes_out, magic, sizeof(magic));
    weft__put_u32(bytes_out + 8, VERSION);
    weft__put_u32(bytes_out + 12, WEFT_REGION_PAGE);
    weft__put_u64(bytes_out + 16, head->size_bytes);
    weft__put_u64(bytes_out + 24, head->data_bytes);
    weft__put_u64(bytes_out + 32, head->extents_n);
    weft__put_u32(bytes_out + 40, head->chunk_bytes);
    weft__put_u32(bytes_out + 44, (uint32_t)key_len);
    weft__put_u64(bytes_out + 48, head->saved_wall_ms);
    weft__put_u64(bytes_out + 56, head->table_sum);
    memcpy(bytes_out + KEY_AT, head->key, key_len);
    weft__put_u64(bytes_out + SUM_AT, XXH3_64bits(bytes_out, SUM_AT));
}

static int check_frame(const uint8_t *bytes)
{
    if (memcmp(bytes, magic, sizeof(magic)) != 0)
        return weft_fail(WEFT_EPROTO, "at offset 0: this is no snapshot file");
    if (weft__get_u32(bytes + 8) != VERSION)
        return weft_fail(WEFT_EVERSION,
                         "at offset 8: it has version %u, this weft reads version %d; restore it "
                         "with the weft that saved it",
                         weft__get_u32(bytes + 8), VERSION);
    if (weft__get_u64(bytes + SUM_AT) != XXH3_64bits(bytes, SUM_AT))
        return weft_fail(WEFT_ECHECKSUM, "at offset 0: the header (%u bytes) is damaged",
                         WEFT_FILE_HEADER_BYTES);
    if (weft__get_u32(bytes + 12) != WEFT_REGION_PAGE)
        return weft_fail(WEFT_EPROTO,
                         "at offset 12: it was saved with pages of %u bytes, this weft has %u; "
                         "restore it with the weft that saved it",
                         weft__get_u32(bytes + 12), WEFT_REGION_PAGE);
    return 0;
}

static int nonsense(unsigned at, const char *what, uint64_t value)
{
    return weft_fail(WEFT_EPROTO, "at offset %u: the header has %s of %llu", at, what,
                     (unsigned long long)value);
}

static int check_numbers(const struct weft_file_head *head)
{
    uint64_t pages = head->data_bytes / WEFT_REGION_PAGE;
    if (head->size_bytes == 0 || head->size_bytes > WEFT_REGION_MAX_BYTES)
        return nonsense(16, "a size", head->size_bytes);
    if (head->data_bytes % WEFT_REGION_PAGE || head->data_bytes > whole_pages(head->size_bytes))
        return nonsense(24, "a size of the data", head->data_bytes);
    if (head->extents_n > pages || (head->extents_n == 0 && pages > 0))
        return nonsense(32, "a number of extents", head->extents_n);
    if (head->chunk_bytes == 0 || head->chunk_bytes % WEFT_REGION_PAGE ||
        head->chunk_bytes > WEFT_FILE_CHUNK_MAX)
        return nonsense(40, "a chunk", head->chunk_bytes);
    return 0;
}

/* The key has no NUL and nothing behind it. */
static int get_key(const uint8_t *bytes, struct weft_file_head *head)
{
    uint32_t len = weft__get_u32(bytes + 44);
    if (len == 0 || len > WEFT_FILE_KEY_MAX)
        return nonsense(44, "a length of the key", len);
    memcpy(head->key, bytes + KEY_AT, len);
    head->key[len] = '\0';
    if (strlen(head->key) != len)
        return nonsense(KEY_AT, "a key with a byte", 0);
    for (size_t at = KEY_AT + len; at < SUM_AT; at++)
        if (bytes[at] != 0)
            return nonsense((unsigned)at, "a byte", bytes[at]);
    return 0;
}

int weft__file_head_decode(const uint8_t bytes[WEFT_FILE_HEADER_BYTES],
                           struct weft_file_head *head_out)
{
    struct weft_file_head head = {.size_bytes = weft__get_u64(bytes + 16),
                                  .data_bytes = weft__get_u64(bytes + 24),
                                  .extents_n = weft__get_u64(bytes + 32),
                                  .chunk_bytes = weft__get_u32(bytes + 40),
                                  .saved_wall_ms = weft__get_u64(bytes + 48),
                                  .table_sum = weft__get_u64(bytes + 56)};
    int err = check_frame(bytes);
    if (!err)
        err = check_numbers(&head);
    if (!err)
        err = get_key(bytes, &head);
    if (!err)
        *head_out = head;
    return err;
}

/* ---- the table ---- */

void weft__file_table_encode(struct weft_file_head *head, const struct weft_extents *extents,
                             const uint64_t *sums, uint8_t *bytes_out)
{
    uint64_t chunks = weft__file_chunks(head), table = weft__file_table_bytes(head);
    uint8_t *at = bytes_out;
    for (size_t i = 0; i < extents->n; i++, at += EXTENT_BYTES) {
        weft__put_u64(at, extents->at[i].offset);
        weft__put_u64(at + 8, extents->at[i].len_bytes);
    }
    for (uint64_t i = 0; i < chunks; i++, at += 8)
        weft__put_u64(at, sums[i]);
    memset(at, 0, table - table_used(head));
    head->table_sum = XXH3_64bits(bytes_out, table);
}

static int get_extents(const struct weft_file_head *head, const uint8_t *bytes,
                       struct weft_extents *extents)
{
    uint64_t end = 0, size = whole_pages(head->size_bytes);
    for (uint64_t i = 0; i < head->extents_n; i++) {
        uint64_t offset = weft__get_u64(bytes + i * EXTENT_BYTES);
        uint64_t len = weft__get_u64(bytes + i * EXTENT_BYTES + 8);
        if ((offset | len) % WEFT_REGION_PAGE || len == 0 || offset > size || len > size - offset ||
            (i > 0 && offset <= end) || len > head->data_bytes - extents->total_bytes)
            return weft_fail(WEFT_EPROTO, "at offset 0x%llx: extent %llu of the table is nonsense",
                             (unsigned long long)(weft__file_table_at(head) + i * EXTENT_BYTES),
                             (unsigned long long)i);
        int err = weft__extents_add(extents, offset, len);
        if (err)
            return err;
        end = offset + len;
    }
    if (extents->total_bytes == head->data_bytes)
        return 0;
    return weft_fail(
        WEFT_EPROTO, "at offset 0x%llx: the table has extents of 0x%llx bytes, not 0x%llx",
        (unsigned long long)weft__file_table_at(head), (unsigned long long)extents->total_bytes,
        (unsigned long long)head->data_bytes);
}

static int check_padding(const struct weft_file_head *head, const uint8_t *bytes)
{
    for (uint64_t at = table_used(head); at < weft__file_table_bytes(head); at++)
        if (bytes[at] != 0)
            return weft_fail(WEFT_EPROTO, "at offset 0x%llx: the end of the table is not empty",
                             (unsigned long long)(weft__file_table_at(head) + at));
    return 0;
}

int weft__file_table_decode(const struct weft_file_head *head, uint8_t *bytes,
                            struct weft_extents *extents_out, const uint64_t **sums_out)
{
    uint64_t table = weft__file_table_bytes(head);
    struct weft_extents extents = {0};
    if (XXH3_64bits(bytes, table) != head->table_sum)
        return weft_fail(WEFT_ECHECKSUM, "at offset 0x%llx: the table (0x%llx bytes) is damaged",
                         (unsigned long long)weft__file_table_at(head), (unsigned long long)table);
    int err = get_extents(head, bytes, &extents);
    if (!err)
        err = check_padding(head, bytes);
    if (err) {
        weft__extents_fini(&extents);
        return err;
    }
    uint64_t *sums = (uint64_t *)(void *)(bytes + head->extents_n * EXTENT_BYTES);
    for (uint64_t i = 0; i < weft__file_chunks(head); i++)
        sums[i] = le64toh(sums[i]);
    *extents_out = extents;
    *sums_out = sums;
    return 0;
}
