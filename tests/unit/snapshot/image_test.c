/* Images: how they are cut, packed and summed, and that no bytes but an encoded image are one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <xxhash.h>

#include "memory.h"
#include "snapshot/image.h"
#include "snapshot/image_cut.h"
#include "weft/error.h"

#define PAGE WEFT_REGION_PAGE
#define REGION_BYTES ((size_t)64 << 20)
#define HEADER 64

/* Scattered pages, a run below and one above the limit, and one of several chunks. */
static void region_make(struct weft_region *region)
{
    assert_int_equal(weft__region_init(region, "source", NULL, REGION_BYTES), 0);
    for (size_t i = 0; i < 40; i++)
        touch(region, 3 * i, 1, i + 1);
    touch(region, 1000, 3, 77);
    touch(region, 2000, 16, 78);
    touch(region, 3000, 700, 79);
    touch(region, REGION_BYTES / PAGE - 1, 1, 80);
}

static struct weft_image *image_make(const struct weft_region *region, uint32_t chunk,
                                     uint32_t pack_below)
{
    const struct weft_image_desc desc = {
        .region = region, .chunk_bytes = chunk, .pack_below_bytes = pack_below};
    struct weft_image *image = NULL;
    assert_int_equal(weft__image_build(&desc, &image), 0);
    return image;
}

/* Whether the pieces cover every run exactly once, have the bytes' sums, and no piece is too long.
 */
static void check_image(const struct weft_image *image, const struct weft_region *region)
{
    struct weft_region copy;
    struct weft_extents copied = {0};
    uint64_t total = 0, packed = 0;
    assert_int_equal(weft__region_init(&copy, "copy", NULL, region->len_bytes), 0);
    for (size_t i = 0; i < image->pieces_n; i++) {
        const struct weft_image_piece *piece = &image->pieces[i];
        const unsigned char *from =
            piece->packed ? image->packed + piece->source_offset
                          : (const unsigned char *)region->base + piece->source_offset;
        assert_true(piece->len_bytes > 0 && piece->len_bytes <= image->chunk_bytes);
        assert_true(piece->sum == XXH3_64bits(from, piece->len_bytes));
        total += piece->len_bytes;
        if (!piece->packed) {
            memcpy((char *)copy.base + piece->source_offset, from, piece->len_bytes);
            continue;
        }
        assert_int_equal(piece->source_offset, packed);
        packed += piece->len_bytes;
        const struct weft_extent *run = &image->runs.at[piece->runs_at];
        for (uint32_t left = piece->runs_n; left; run++) {
            if (run->len_bytes >= image->pack_below_bytes)
                continue;
            memcpy((char *)copy.base + run->offset, from, run->len_bytes);
            from += run->len_bytes;
            left--;
        }
    }
    assert_int_equal(total, image->total_bytes);
    assert_int_equal(packed, image->packed_len_bytes);
    assert_int_equal(image->pieces_n, weft__image_count(image));
    assert_int_equal(weft__region_touched(&copy, &copied), 0);
    assert_int_equal(copied.total_bytes, image->total_bytes);
    assert_int_equal(copied.n, image->runs.n);
    for (size_t i = 0; i < copied.n; i++)
        assert_memory_equal((char *)copy.base + copied.at[i].offset,
                            (char *)region->base + copied.at[i].offset, copied.at[i].len_bytes);
    weft__extents_fini(&copied);
    weft__region_fini(&copy);
}

static void an_image_covers_every_touched_page_once_however_it_is_cut(void **state)
{
    static const uint32_t chunks[] = {PAGE, 3 * PAGE, 64 * PAGE, 256 * PAGE, 4096 * PAGE};
    struct weft_region region;
    (void)state;
    region_make(&region);
    for (size_t c = 0; c < sizeof(chunks) / sizeof(chunks[0]); c++) {
        const uint32_t below[] = {1, PAGE, 2 * PAGE, 17 * PAGE, chunks[c], 0};
        for (size_t b = 0; b < sizeof(below) / sizeof(below[0]); b++) {
            if (below[b] > chunks[c])
                continue;
            struct weft_image *image = image_make(&region, chunks[c], below[b]);
            check_image(image, &region);
            assert_int_equal(image->total_bytes, (40 + 3 + 16 + 700 + 1) * PAGE);
            weft__image_free(image);
        }
    }
    weft__region_fini(&region);
}

/* Enough for several threads. */
static void a_large_image_has_the_right_sums_too(void **state)
{
    struct weft_region region;
    struct weft_image *image;
    (void)state;
    assert_int_equal(weft__region_init(&region, "source", NULL, REGION_BYTES), 0);
    touch(&region, 0, 9000, 7);
    for (size_t page = 9001; page + 1 < REGION_BYTES / PAGE; page += 7)
        touch(&region, page, 1, page);
    const struct weft_image_desc desc = {.region = &region};
    assert_int_equal(weft__image_build(&desc, &image), 0);
    assert_true(image->total_bytes > (size_t)32 << 20 && image->packed_len_bytes > 0);
    check_image(image, &region);
    weft__image_free(image);
    weft__region_fini(&region);
}

static void scattered_pages_are_packed_into_few_pieces(void **state)
{
    struct weft_region region;
    (void)state;
    assert_int_equal(weft__region_init(&region, "source", NULL, REGION_BYTES), 0);
    for (size_t i = 0; i < 512; i++)
        touch(&region, 2 * i, 1, i + 1);
    struct weft_image *image = image_make(&region, 0, 0);
    assert_int_equal(image->runs.n, 512);
    assert_int_equal(image->pieces_n, 2);
    check_image(image, &region);
    weft__image_free(image);
    weft__region_fini(&region);
}

static void an_untouched_region_is_an_empty_image_that_travels(void **state)
{
    struct weft_region region;
    struct weft_image *back;
    uint8_t *bytes;
    size_t len;
    (void)state;
    assert_int_equal(weft__region_init(&region, "source", NULL, REGION_BYTES), 0);
    struct weft_image *image = image_make(&region, 0, 0);
    assert_int_equal(image->pieces_n, 0);
    assert_int_equal(weft__image_encode(image, &bytes, &len), 0);
    assert_int_equal(weft__image_decode(bytes, len, &back), 0);
    assert_int_equal(back->pieces_n, 0);
    assert_int_equal(back->total_bytes, 0);
    weft__image_free(back);
    free(bytes);
    weft__image_free(image);
    weft__region_fini(&region);
}

static void given_ranges_are_taken_and_wrong_ones_refused(void **state)
{
    struct weft_region region;
    struct weft_extents extents = {0};
    struct weft_image *image = NULL;
    (void)state;
    region_make(&region);
    weft__extents_add(&extents, 3000 * PAGE, 5 * PAGE);
    weft__extents_add(&extents, 3100 * PAGE, 100 * PAGE);
    struct weft_image_desc desc = {.region = &region, .extents = &extents};
    assert_int_equal(weft__image_build(&desc, &image), 0);
    assert_int_equal(image->total_bytes, 105 * PAGE);
    check_image(image, &region);
    weft__image_free(image);
    weft__extents_add(&extents, 4000 * PAGE + 1, 100);
    assert_int_equal(weft__image_build(&desc, &image), WEFT_EINVAL);
    weft__extents_clear(&extents);
    weft__extents_add(&extents, REGION_BYTES - PAGE, 2 * PAGE);
    assert_int_equal(weft__image_build(&desc, &image), WEFT_EINVAL);
    desc.extents = NULL;
    desc.chunk_bytes = 5000;
    assert_int_equal(weft__image_build(&desc, &image), WEFT_EINVAL);
    weft__extents_fini(&extents);
    weft__region_fini(&region);
}

/* Every piece that is not packed lies in its span; no two spans overlap. Returns the holes in them.
 */
static uint64_t check_spans(const struct weft_image *image)
{
    uint64_t end = 0, shared = 0;
    for (size_t i = 0; i < image->spans_n; i++) {
        const struct weft_extent *range = &image->spans[i].range;
        assert_true(range->len_bytes > 0 && range->offset >= end);
        end = range->offset + range->len_bytes;
        shared += range->len_bytes;
    }
    for (size_t i = 0; i < image->pieces_n; i++) {
        const struct weft_image_piece *piece = &image->pieces[i];
        if (piece->packed)
            continue;
        assert_true(piece->runs_at < image->spans_n);
        const struct weft_extent *range = &image->spans[piece->runs_at].range;
        assert_true(piece->source_offset >= range->offset &&
                    piece->source_offset + piece->len_bytes <= range->offset + range->len_bytes);
    }
    return shared - (image->total_bytes - image->packed_len_bytes);
}

/* What is shared may be pinned, and holes of it become memory. */
static void holes_are_shared_only_where_they_are_small(void **state)
{
    struct weft_region region;
    struct weft_extents runs = {0};
    const struct weft_image_desc desc = {
        .region = &region, .extents = &runs, .pack_below_bytes = 16 * PAGE};
    struct weft_image *image;
    (void)state;
    assert_int_equal(weft__region_init(&region, "source", NULL, REGION_BYTES), 0);
    weft__extents_add(&runs, 0, 20 * PAGE);
    weft__extents_add(&runs, 22 * PAGE, 16 * PAGE);   /* a hole of an eighth */
    weft__extents_add(&runs, 41 * PAGE, 16 * PAGE);   /* a larger one */
    weft__extents_add(&runs, 57 * PAGE + PAGE, PAGE); /* packed */
    weft__extents_add(&runs, 60 * PAGE, 40 * PAGE);
    weft__extents_add(&runs, REGION_BYTES - 16 * PAGE, 16 * PAGE);
    assert_int_equal(weft__image_build(&desc, &image), 0);
    assert_int_equal(image->spans_n, 3);
    assert_int_equal(image->spans[0].range.len_bytes, 38 * PAGE);
    assert_int_equal(image->spans[1].range.offset, 41 * PAGE);
    assert_int_equal(image->spans[1].range.len_bytes, 59 * PAGE);
    assert_int_equal(check_spans(image), 2 * PAGE + 3 * PAGE);
    weft__image_free(image);
    weft__extents_fini(&runs);
    weft__region_fini(&region);
}

static void there_is_a_bound_on_the_number_of_spans(void **state)
{
    struct weft_region region;
    struct weft_extents runs = {0};
    const struct weft_image_desc desc = {
        .region = &region, .extents = &runs, .pack_below_bytes = 1};
    struct weft_image *image;
    uint64_t seed = 3;
    (void)state;
    assert_int_equal(weft__region_init(&region, "source", NULL, (size_t)6 << 30), 0);
    for (uint64_t page = 0; page < region.len_bytes / PAGE - 1000 && runs.n < 9000;
         page += 2 + random_next(&seed) % (runs.n % 3 ? 3 : 600))
        weft__extents_add(&runs, page * PAGE, PAGE);
    assert_int_equal(runs.n, 9000);
    assert_int_equal(weft__image_build(&desc, &image), 0);
    assert_true(image->spans_n > 1000 && image->spans_n <= WEFT_IMAGE_SPANS_MAX);
    (void)check_spans(image);
    weft__image_free(image);
    weft__extents_fini(&runs);
    weft__region_fini(&region);
}

static void what_was_decoded_is_what_was_encoded(void **state)
{
    struct weft_region region;
    struct weft_image *back;
    uint8_t *bytes, *again;
    size_t len, again_len;
    (void)state;
    region_make(&region);
    struct weft_image *image = image_make(&region, 64 * PAGE, 17 * PAGE);
    assert_true(image->spans_n > 0);
    image->spans[0].key.tp.key = 0x1122334455667788;
    image->packed_key.tp.base = 99;
    assert_int_equal(weft__image_encode(image, &bytes, &len), 0);
    assert_int_equal(weft__image_decode(bytes, len, &back), 0);
    assert_int_equal(back->pieces_n, image->pieces_n);
    assert_memory_equal(back->pieces, image->pieces, image->pieces_n * sizeof(*image->pieces));
    assert_int_equal(back->runs.n, image->runs.n);
    assert_memory_equal(back->runs.at, image->runs.at, image->runs.n * sizeof(*image->runs.at));
    assert_int_equal(back->region_len_bytes, REGION_BYTES);
    assert_int_equal(back->total_bytes, image->total_bytes);
    assert_int_equal(back->packed_len_bytes, image->packed_len_bytes);
    assert_int_equal(back->spans_n, image->spans_n);
    assert_memory_equal(back->spans, image->spans, image->spans_n * sizeof(*image->spans));
    assert_memory_equal(&back->packed_key, &image->packed_key, sizeof(back->packed_key));
    assert_int_equal(weft__image_encode(back, &again, &again_len), 0);
    assert_int_equal(again_len, len);
    assert_memory_equal(again, bytes, len);
    free(again);
    free(bytes);
    weft__image_free(back);
    weft__image_free(image);
    weft__region_fini(&region);
}

/* A small image in its encoded form. */
static uint8_t *encoded_make(size_t *len_out)
{
    struct weft_region region;
    uint8_t *bytes;
    assert_int_equal(weft__region_init(&region, "source", NULL, 4096 * PAGE), 0);
    touch(&region, 1, 1, 1);
    touch(&region, 3, 2, 2);
    touch(&region, 300, 40, 3);
    struct weft_image *image = image_make(&region, 16 * PAGE, 4 * PAGE);
    assert_int_equal(weft__image_encode(image, &bytes, len_out), 0);
    weft__image_free(image);
    weft__region_fini(&region);
    return bytes;
}

/* Decodes bytes whose last eight are made to fit; an image that comes out must be whole. */
static int decode_sealed(uint8_t *bytes, size_t len)
{
    struct weft_image *image = NULL;
    if (len >= 8) {
        uint64_t sum = XXH3_64bits(bytes, len - 8);
        memcpy(bytes + len - 8, &sum, 8);
    }
    int err = weft__image_decode(bytes, len, &image);
    assert_true((err == 0) == (image != NULL));
    if (err || !image)
        return err;
    uint64_t end = 0;
    for (size_t i = 0; i < image->runs.n; i++) {
        const struct weft_extent *run = &image->runs.at[i];
        assert_true(run->len_bytes > 0 && run->offset >= end);
        end = run->offset + run->len_bytes;
        assert_true(end <= image->region_len_bytes);
    }
    assert_int_equal(image->pieces_n, weft__image_count(image));
    uint8_t *again;
    size_t again_len;
    assert_int_equal(weft__image_encode(image, &again, &again_len), 0);
    assert_int_equal(again_len, len);
    assert_memory_equal(again, bytes, len);
    free(again);
    weft__image_free(image);
    return 0;
}

static void a_description_cut_anywhere_is_refused(void **state)
{
    size_t len;
    uint8_t *bytes = encoded_make(&len);
    (void)state;
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *part = malloc(cut + 1);
        memcpy(part, bytes, cut);
        assert_int_not_equal(decode_sealed(part, cut), 0);
        free(part);
    }
    free(bytes);
}

static void a_flipped_bit_is_a_damaged_description(void **state)
{
    struct weft_image *image = NULL;
    size_t len;
    uint8_t *bytes = encoded_make(&len);
    (void)state;
    for (size_t bit = 0; bit < 8 * len; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int err = weft__image_decode(bytes, len, &image);
        assert_true(err == WEFT_ECHECKSUM || (bit < 32 && err == WEFT_EPROTO) ||
                    (bit < 64 && err == WEFT_EVERSION));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(bytes);
}

static void garbage_with_a_good_sum_is_refused_or_a_whole_image(void **state)
{
    size_t len;
    uint64_t seed = 4711;
    uint8_t *bytes = encoded_make(&len), *trial = malloc(len + 64);
    unsigned taken = 0;
    (void)state;
    for (int round = 0; round < 200000; round++) {
        size_t trial_len = len;
        memcpy(trial, bytes, len);
        for (uint64_t n = random_next(&seed) % 4; n < 4; n++) {
            size_t at = 8 + (size_t)(random_next(&seed) % (len - 16));
            trial[at] =
                random_next(&seed) % 2 ? (uint8_t)random_next(&seed) : (uint8_t)(trial[at] + 1);
        }
        if (random_next(&seed) % 4 == 0) { /* longer */
            size_t more = 1 + (size_t)(random_next(&seed) % 64);
            memset(trial + len, (int)(random_next(&seed) % 256), more);
            trial_len = len + more;
        }
        taken += decode_sealed(trial, trial_len) == 0;
    }
    assert_true(taken > 0); /* keys and sums may be anything */
    free(trial);
    free(bytes);
}

static void put_u64(uint8_t *at, uint64_t value)
{
    memcpy(at, &value, 8);
}

static void impossible_numbers_are_refused_without_much_memory(void **state)
{
    size_t len;
    uint8_t *bytes = encoded_make(&len);
    uint8_t *trial = malloc(len);
    static const uint64_t huge[] = {UINT64_MAX, UINT64_MAX / 2, UINT32_MAX, 1ull << 40, 1000, 0};
    (void)state;
    for (size_t i = 0; i < sizeof(huge) / sizeof(huge[0]); i++) {
        static const size_t at[] = {8 /* region */, 48 /* runs */, 56 /* pieces */};
        for (size_t field = 0; field < 3; field++) {
            memcpy(trial, bytes, len);
            put_u64(trial + at[field], huge[i]);
            if (field == 0 && huge[i] == 1ull << 40)
                assert_int_equal(decode_sealed(trial, len), 0);
            else
                assert_int_equal(decode_sealed(trial, len), WEFT_EPROTO);
        }
    }
    memcpy(trial, bytes, len);
    trial[HEADER + 2] = 0; /* the second run touches the first */
    assert_int_equal(decode_sealed(trial, len), WEFT_EPROTO);
    memcpy(trial, bytes, len);
    trial[HEADER + 3] = 0; /* an empty run */
    assert_int_equal(decode_sealed(trial, len), WEFT_EPROTO);
    free(trial);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_image_covers_every_touched_page_once_however_it_is_cut),
        cmocka_unit_test(a_large_image_has_the_right_sums_too),
        cmocka_unit_test(scattered_pages_are_packed_into_few_pieces),
        cmocka_unit_test(an_untouched_region_is_an_empty_image_that_travels),
        cmocka_unit_test(given_ranges_are_taken_and_wrong_ones_refused),
        cmocka_unit_test(holes_are_shared_only_where_they_are_small),
        cmocka_unit_test(there_is_a_bound_on_the_number_of_spans),
        cmocka_unit_test(what_was_decoded_is_what_was_encoded),
        cmocka_unit_test(a_description_cut_anywhere_is_refused),
        cmocka_unit_test(a_flipped_bit_is_a_damaged_description),
        cmocka_unit_test(garbage_with_a_good_sum_is_refused_or_a_whole_image),
        cmocka_unit_test(impossible_numbers_are_refused_without_much_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
