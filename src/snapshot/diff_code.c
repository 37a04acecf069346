/* The form of differences that travels.
 *
 *   0 u32 "WDIF"   4 u32 version (1)   8 u64 number of differences
 *   16 for each: from the end of the one before to its offset, signed (0, -1, 1, ... as 0, 1, 2,
 *      ...); length; each as a base-128 number, low bits first; a byte: type * 16 + operation
 *   then the operands, one behind the other, then the XXH3-64 of all before (u64)
 *                                                                               all little endian
 *
 * Each list has one encoding. A small difference costs three to five bytes and its operands. The
 * decoder allocates in proportion to what it was given, and lets nothing pass that could not be
 * applied to a large enough snapshot.
 */
#include "snapshot/diff.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "base/bytes.h"
#include "snapshot/region.h"
#include "weft/error.h"

#define MAGIC 0x46494457u /* "WDIF" */
#define VERSION 1
#define HEADER_BYTES 16u
#define TAIL_BYTES 8u
#define NUMBER_MAX 6u  /* digits of 2^41 */
#define LEAST_BYTES 3u /* of a difference, without its operands */

static uint64_t folded(int64_t value)
{
    return value < 0 ? 2 * (uint64_t) - (value + 1) + 1 : 2 * (uint64_t)value;
}

static int64_t unfolded(uint64_t value)
{
    return value & 1 ? -(int64_t)(value / 2) - 1 : (int64_t)(value / 2);
}

static uint8_t *put_list(uint8_t *at, const struct weft_diffs *diffs)
{
    uint64_t end = 0;
    for (size_t i = 0; i < diffs->n; i++) {
        const struct weft_diff *diff = &diffs->at[i];
        at = weft__put_number(at, folded((int64_t)(diff->offset - end)));
        at = weft__put_number(at, diff->len_bytes);
        *at++ = (uint8_t)(diff->type << 4 | diff->op);
        end = diff->offset + diff->len_bytes;
    }
    for (size_t i = 0; i < diffs->n; i++) {
        memcpy(at, weft__diff_data(diffs, i), diffs->at[i].len_bytes);
        at += diffs->at[i].len_bytes;
    }
    return at;
}

int weft__diffs_encode(const struct weft_diffs *diffs, uint8_t **bytes_out, size_t *len_out)
{
    size_t room = HEADER_BYTES + (2 * NUMBER_MAX + 1) * diffs->n + TAIL_BYTES;
    for (size_t i = 0; i < diffs->n; i++)
        room += diffs->at[i].len_bytes;
    if (room > WEFT_DIFFS_ENCODED_MAX)
        return weft_fail(WEFT_EMSGSIZE,
                         "%zu differences of 0x%zx bytes are more than travel in one piece (4 "
                         "GiB); push the snapshot instead",
                         diffs->n, room);
    uint8_t *bytes = malloc(room);
    if (!bytes)
        return weft_fail(WEFT_ENOMEM, "no memory to encode differences of 0x%zx bytes", room);
    uint8_t *at = weft__put_u64(weft__put_u32(weft__put_u32(bytes, MAGIC), VERSION), diffs->n);
    at = put_list(at, diffs);
    at = weft__put_u64(at, XXH3_64bits(bytes, (size_t)(at - bytes)));
    *bytes_out = bytes;
    *len_out = (size_t)(at - bytes);
    return 0;
}

static int get_diff(struct weft_bytes *in, uint64_t end, struct weft_diff *diff_out)
{
    uint64_t gap, len;
    if (!weft__bytes_number(in, NUMBER_MAX, &gap) || !weft__bytes_number(in, NUMBER_MAX, &len) ||
        weft__bytes_left(in) == 0)
        return weft_fail(WEFT_EPROTO, "malformed number in a list of differences");
    const int64_t from = (int64_t)end + unfolded(gap);
    const uint8_t type = *in->at >> 4, op = *in->at & 15;
    in->at++;
    if (!weft__merge_allows(type, op) || op == WEFT_MERGE_IGNORE)
        return weft_fail(WEFT_EPROTO, "no difference is of type %u and operation %u", type, op);
    const uint64_t element = op >= WEFT_MERGE_SUM ? weft__merge_element(type) : 1;
    if (from < 0 || len == 0 || len > WEFT_REGION_MAX_BYTES ||
        (uint64_t)from > WEFT_REGION_MAX_BYTES - len || (uint64_t)from % element || len % element)
        return weft_fail(WEFT_EPROTO,
                         "a difference at %lld of %llu bytes is empty, misaligned or out of range",
                         (long long)from, (unsigned long long)len);
    *diff_out =
        (struct weft_diff){.offset = (uint64_t)from, .len_bytes = len, .type = type, .op = op};
    return 0;
}

static int check_frame(const void *bytes, size_t len_bytes, struct weft_bytes *in)
{
    if (len_bytes < HEADER_BYTES + TAIL_BYTES || len_bytes > WEFT_DIFFS_ENCODED_MAX)
        return weft_fail(WEFT_EPROTO, "a list of differences cannot have %zu bytes", len_bytes);
    struct weft_bytes tail = {.at = (const uint8_t *)bytes + len_bytes - TAIL_BYTES};
    *in = (struct weft_bytes){.at = bytes, .end = tail.at};
    if (weft__bytes_u32(in) != MAGIC)
        return weft_fail(WEFT_EPROTO, "this is no list of differences");
    uint32_t version = weft__bytes_u32(in);
    if (version != VERSION)
        return weft_fail(WEFT_EVERSION,
                         "the list of differences has version 0x%x, this is version %d; use the "
                         "same version on all hosts",
                         version, VERSION);
    if (weft__bytes_u64(&tail) != XXH3_64bits(bytes, len_bytes - TAIL_BYTES))
        return weft_fail(WEFT_ECHECKSUM, "the list of differences is damaged");
    return 0;
}

static int get_list(struct weft_bytes *in, uint64_t n, struct weft_diffs *diffs)
{
    uint64_t end = 0, total = 0;
    diffs->at = calloc(n ? n : 1, sizeof(*diffs->at));
    if (!diffs->at)
        return weft_fail(WEFT_ENOMEM, "no memory for %llu differences", (unsigned long long)n);
    diffs->capacity = n ? n : 1;
    for (; diffs->n < n; diffs->n++) {
        struct weft_diff *diff = &diffs->at[diffs->n];
        int err = get_diff(in, end, diff);
        if (err)
            return err;
        end = diff->offset + diff->len_bytes;
        diff->data_at = total;
        total += diff->len_bytes;
        if (total > weft__bytes_left(in))
            break;
    }
    if (total != weft__bytes_left(in))
        return weft_fail(WEFT_EPROTO, "the operands of a list of differences do not fit it");
    diffs->data = malloc(total ? total : 1);
    if (!diffs->data)
        return weft_fail(WEFT_ENOMEM, "no memory for differences of %llu bytes",
                         (unsigned long long)total);
    memcpy(diffs->data, in->at, total);
    diffs->data_len = total;
    diffs->data_capacity = total ? total : 1;
    return 0;
}

int weft__diffs_decode(const void *bytes, size_t len_bytes, struct weft_diffs *diffs_out)
{
    struct weft_diffs diffs = {0};
    struct weft_bytes in = {NULL, NULL};
    int err = check_frame(bytes, len_bytes, &in);
    if (err)
        return err;
    uint64_t n = weft__bytes_u64(&in);
    if (n > WEFT_DIFFS_MAX || n > weft__bytes_left(&in) / LEAST_BYTES)
        return weft_fail(WEFT_EPROTO, "a list of %zu bytes cannot have %llu differences", len_bytes,
                         (unsigned long long)n);
    err = get_list(&in, n, &diffs);
    if (err) {
        weft__diffs_fini(&diffs);
        return err;
    }
    *diffs_out = diffs;
    return 0;
}
