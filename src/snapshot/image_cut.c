/* Cutting: long runs into pieces of at most chunk_bytes where they lie; short runs packed one
 * behind the other, in their order, a piece ending before the run that would not fit. Source and
 * receiver both cut, so they must agree to the byte: nothing here may depend on anything but runs,
 * chunk_bytes and pack_below_bytes.
 *
 * Long runs are shared span by span. A network card pins what is shared, and holes of it become
 * memory: so a hole is shared only where it is at most an eighth of the run behind it, or where
 * there would be too many spans otherwise. Rejected: one span from the first run to the last, which
 * made 64 GiB of a region with a few MiB in it. */
#include "snapshot/image_cut.h"

#include <stdbool.h>
#include <stdlib.h>

#include "weft/error.h"

int weft__image_sizes_ok(uint32_t chunk_bytes, uint32_t pack_below_bytes)
{
    return chunk_bytes > 0 && chunk_bytes % WEFT_REGION_PAGE == 0 &&
           chunk_bytes <= WEFT_IMAGE_CHUNK_MAX && pack_below_bytes > 0 &&
           pack_below_bytes <= chunk_bytes;
}

static bool is_short(const struct weft_image *image, const struct weft_extent *run)
{
    return run->len_bytes < image->pack_below_bytes;
}

uint64_t weft__image_count(const struct weft_image *image)
{
    uint64_t pieces = 0, fill = 0;
    for (size_t i = 0; i < image->runs.n; i++) {
        const struct weft_extent *run = &image->runs.at[i];
        if (!is_short(image, run)) {
            pieces += (run->len_bytes + image->chunk_bytes - 1) / image->chunk_bytes;
            continue;
        }
        if (fill == 0 || fill + run->len_bytes > image->chunk_bytes) {
            pieces++;
            fill = 0;
        }
        fill += run->len_bytes;
    }
    return pieces;
}

enum { HOLES_STEP = 3, ALL_HOLES = 24 };

/* Makes the spans, or (NULL) only counts them. holes: how much larger than an eighth of a run the
 * hole before it may be, as a power of two; ALL_HOLES: as large as it likes. */
static size_t walk_spans(const struct weft_image *image, unsigned holes,
                         struct weft_image_span *spans)
{
    uint64_t end = 0;
    size_t n = 0;
    for (size_t i = 0; i < image->runs.n; i++) {
        const struct weft_extent *run = &image->runs.at[i];
        if (is_short(image, run))
            continue;
        const uint64_t most = holes < ALL_HOLES ? run->len_bytes / 8 << holes : UINT64_MAX;
        if (n == 0 || run->offset - end > most) {
            if (spans)
                spans[n].range.offset = run->offset;
            n++;
        }
        end = run->offset + run->len_bytes;
        if (spans)
            spans[n - 1].range.len_bytes = end - spans[n - 1].range.offset;
    }
    return n;
}

static int make_spans(struct weft_image *image)
{
    unsigned holes = 0;
    while ((image->spans_n = walk_spans(image, holes, NULL)) > WEFT_IMAGE_SPANS_MAX)
        holes += HOLES_STEP;
    image->spans = calloc(image->spans_n + 1, sizeof(*image->spans));
    if (!image->spans)
        return weft_fail(WEFT_ENOMEM, "no memory for the spans of an image");
    (void)walk_spans(image, holes, image->spans);
    return 0;
}

static void add_long(struct weft_image *image, const struct weft_extent *run, size_t span)
{
    for (uint64_t done = 0; done < run->len_bytes;) {
        uint64_t left = run->len_bytes - done;
        uint32_t len = left < image->chunk_bytes ? (uint32_t)left : image->chunk_bytes;
        image->pieces[image->pieces_n++] = (struct weft_image_piece){
            .source_offset = run->offset + done, .len_bytes = len, .runs_at = (uint32_t)span};
        done += len;
    }
}

/* Adds a short run to the open packed piece, or opens the next one; returns the piece that is open
 * then. */
static struct weft_image_piece *add_short(struct weft_image *image, size_t run,
                                          struct weft_image_piece *open)
{
    uint32_t len = (uint32_t)image->runs.at[run].len_bytes;
    if (!open || open->len_bytes + len > image->chunk_bytes) {
        open = &image->pieces[image->pieces_n++];
        *open = (struct weft_image_piece){
            .source_offset = image->packed_len_bytes, .packed = 1, .runs_at = (uint32_t)run};
    }
    open->len_bytes += len;
    open->runs_n++;
    image->packed_len_bytes += len;
    return open;
}

int weft__image_cut(struct weft_image *image)
{
    struct weft_image_piece *open = NULL;
    size_t span = 0;
    int err = make_spans(image);
    if (err)
        return err;
    image->pieces = calloc(weft__image_count(image) + 1, sizeof(*image->pieces));
    if (!image->pieces)
        return weft_fail(WEFT_ENOMEM, "no memory for the pieces of an image");
    image->total_bytes = image->runs.total_bytes;
    for (size_t i = 0; i < image->runs.n; i++) {
        const struct weft_extent *run = &image->runs.at[i];
        if (is_short(image, run)) {
            open = add_short(image, i, open);
            continue;
        }
        const struct weft_extent *range = &image->spans[span].range;
        span += run->offset >= range->offset + range->len_bytes;
        add_long(image, run, span);
    }
    return 0;
}
