/* The form of an image that travels.
 *
 *   0 u32 "WIMG"   4 u16 version (2)   6 u16 0   8 u64 length of the region   16 u32 chunk
 *   20 u32 pack below   24 key of the packed buffer (3 u64)   48 u64 number of runs
 *   56 u64 number of pieces   64 runs: pages since the end of the run before, pages; each as a
 *   base-128 number, low bits first
 *   then the key of each span (3 u64), the sum of each piece (u64) and the XXH3-64 of all before
 *   (u64)                                                                       all little endian
 *
 * Each image has one encoding, and every other sequence of bytes is refused: numbers have no spare
 * digits, runs do not touch, spans and pieces are those that follow from the runs. The decoder
 * allocates in proportion to what it was given.
 */
#include "snapshot/image.h"

#include <stdlib.h>

#include <xxhash.h>

#include "base/bytes.h"
#include "snapshot/image_cut.h"
#include "weft/error.h"

#define MAGIC 0x474d4957u /* "WIMG" */
#define VERSION 2
#define HEADER_BYTES 64u
#define KEY_BYTES 24u
#define TAIL_BYTES 8u
#define NUMBER_MAX 5u /* digits of the number of pages of 1 TiB and more */
#define PAGES_MAX (WEFT_REGION_MAX_BYTES / WEFT_REGION_PAGE)

static uint8_t *put_key(uint8_t *at, const struct weft_lane_key *key)
{
    return weft__put_u64(weft__put_u64(weft__put_u64(at, key->tp.key), key->tp.base),
                         key->tp.len_bytes);
}

static uint8_t *put_header(uint8_t *at, const struct weft_image *image)
{
    at = weft__put_u32(weft__put_u32(at, MAGIC), VERSION);
    at = weft__put_u64(at, image->region_len_bytes);
    at = weft__put_u32(weft__put_u32(at, image->chunk_bytes), image->pack_below_bytes);
    at = put_key(at, &image->packed_key);
    return weft__put_u64(weft__put_u64(at, image->runs.n), image->pieces_n);
}

int weft__image_encode(const struct weft_image *image, uint8_t **bytes_out, size_t *len_out)
{
    size_t room = HEADER_BYTES + 2 * NUMBER_MAX * image->runs.n + KEY_BYTES * image->spans_n +
                  8 * image->pieces_n + TAIL_BYTES;
    uint8_t *bytes = malloc(room);
    if (!bytes)
        return weft_fail(WEFT_ENOMEM, "no memory to encode an image");
    uint8_t *at = put_header(bytes, image);
    uint64_t end = 0;
    for (size_t i = 0; i < image->runs.n; i++) {
        const struct weft_extent *run = &image->runs.at[i];
        at = weft__put_number(at, (run->offset - end) / WEFT_REGION_PAGE);
        at = weft__put_number(at, run->len_bytes / WEFT_REGION_PAGE);
        end = run->offset + run->len_bytes;
    }
    for (size_t i = 0; i < image->spans_n; i++)
        at = put_key(at, &image->spans[i].key);
    for (size_t i = 0; i < image->pieces_n; i++)
        at = weft__put_u64(at, image->pieces[i].sum);
    at = weft__put_u64(at, XXH3_64bits(bytes, (size_t)(at - bytes)));
    size_t len = (size_t)(at - bytes);
    if (len > WEFT_IMAGE_ENCODED_MAX) {
        free(bytes);
        return weft_fail(WEFT_EMSGSIZE,
                         "the description of %zu scattered runs has %zu bytes, more than %u",
                         image->runs.n, len, WEFT_IMAGE_ENCODED_MAX);
    }
    *bytes_out = bytes;
    *len_out = len;
    return 0;
}

static struct weft_lane_key get_key(struct weft_bytes *in)
{
    struct weft_lane_key key;
    key.tp.key = weft__bytes_u64(in);
    key.tp.base = weft__bytes_u64(in);
    key.tp.len_bytes = weft__bytes_u64(in);
    return key;
}

/* At most PAGES_MAX. */
static int get_pages(struct weft_bytes *in, uint64_t *pages_out)
{
    if (weft__bytes_number(in, NUMBER_MAX, pages_out) && *pages_out <= PAGES_MAX)
        return 0;
    return weft_fail(WEFT_EPROTO, "malformed number in the description of an image");
}

static int check_frame(const void *bytes, size_t len_bytes, struct weft_bytes *in)
{
    if (len_bytes < HEADER_BYTES + TAIL_BYTES || len_bytes > WEFT_IMAGE_ENCODED_MAX)
        return weft_fail(WEFT_EPROTO, "the description of an image cannot have %zu bytes",
                         len_bytes);
    struct weft_bytes tail = {.at = (const uint8_t *)bytes + len_bytes - TAIL_BYTES};
    *in = (struct weft_bytes){.at = bytes, .end = tail.at};
    if (weft__bytes_u32(in) != MAGIC)
        return weft_fail(WEFT_EPROTO, "this is no description of an image");
    uint32_t version = weft__bytes_u32(in);
    if (version != VERSION)
        return weft_fail(
            WEFT_EVERSION,
            "the description of an image has version 0x%x, this is version %d; use the same "
            "version on all hosts",
            version, VERSION);
    if (weft__bytes_u64(&tail) != XXH3_64bits(bytes, len_bytes - TAIL_BYTES))
        return weft_fail(WEFT_ECHECKSUM, "the description of an image is damaged");
    return 0;
}

static int get_runs(struct weft_bytes *in, struct weft_image *image, uint64_t runs_n)
{
    uint64_t end = 0, pages = image->region_len_bytes / WEFT_REGION_PAGE;
    if (runs_n > weft__bytes_left(in) / 2)
        return weft_fail(WEFT_EPROTO, "the description of an image is too short for its runs");
    for (uint64_t i = 0; i < runs_n; i++) {
        uint64_t gap, len;
        int err = get_pages(in, &gap);
        if (!err)
            err = get_pages(in, &len);
        if (err)
            return err;
        if (len == 0 || (gap == 0 && i > 0) || gap > pages - end || len > pages - end - gap)
            return weft_fail(
                WEFT_EPROTO,
                "run %llu of an image is empty, touches the one before or leaves the region",
                (unsigned long long)i);
        err =
            weft__extents_add(&image->runs, (end + gap) * WEFT_REGION_PAGE, len * WEFT_REGION_PAGE);
        if (err)
            return err;
        end += gap + len;
    }
    return 0;
}

static int get_pieces(struct weft_bytes *in, struct weft_image *image, uint64_t pieces_n)
{
    if (pieces_n > weft__bytes_left(in) / 8 || pieces_n != weft__image_count(image))
        return weft_fail(WEFT_EPROTO, "the sums of an image do not fit its runs");
    int err = weft__image_cut(image);
    if (!err && weft__bytes_left(in) != image->spans_n * KEY_BYTES + pieces_n * 8)
        err = weft_fail(WEFT_EPROTO, "the keys of an image do not fit its runs");
    for (size_t i = 0; i < image->spans_n && !err; i++)
        image->spans[i].key = get_key(in);
    for (uint64_t i = 0; i < pieces_n && !err; i++)
        image->pieces[i].sum = weft__bytes_u64(in);
    return err;
}

static int decode(struct weft_bytes *in, struct weft_image *image)
{
    image->region_len_bytes = weft__bytes_u64(in);
    image->chunk_bytes = weft__bytes_u32(in);
    image->pack_below_bytes = weft__bytes_u32(in);
    image->packed_key = get_key(in);
    uint64_t runs_n = weft__bytes_u64(in), pieces_n = weft__bytes_u64(in);
    if (image->region_len_bytes == 0 || image->region_len_bytes % WEFT_REGION_PAGE ||
        image->region_len_bytes > WEFT_REGION_MAX_BYTES ||
        !weft__image_sizes_ok(image->chunk_bytes, image->pack_below_bytes))
        return weft_fail(WEFT_EPROTO, "the sizes in the description of an image are impossible");
    int err = get_runs(in, image, runs_n);
    return err ? err : get_pieces(in, image, pieces_n);
}

int weft__image_decode(const void *bytes, size_t len_bytes, struct weft_image **image_out)
{
    struct weft_bytes in = {NULL, NULL};
    int err = check_frame(bytes, len_bytes, &in);
    if (err)
        return err;
    struct weft_image *image = calloc(1, sizeof(*image));
    if (!image)
        return weft_fail(WEFT_ENOMEM, "no memory for an image");
    err = decode(&in, image);
    if (err) {
        weft__image_free(image);
        return err;
    }
    *image_out = image;
    return 0;
}
