/* Cutting: long runs into pieces of at most chunk_bytes where they lie; short runs packed one
 * behind the other, in their order, a piece ending before the run that would not fit. Source and
 * receiver both cut, so they must agree to the byte: nothing here may depend on anything but runs,
 * chunk_bytes and pack_below_bytes. */
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

static void add_long(struct weft_image *image, const struct weft_extent *run)
{
    for (uint64_t done = 0; done < run->len_bytes;) {
        uint64_t left = run->len_bytes - done;
        uint32_t len = left < image->chunk_bytes ? (uint32_t)left : image->chunk_bytes;
        image->pieces[image->pieces_n++] =
            (struct weft_image_piece){.source_offset = run->offset + done, .len_bytes = len};
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
    image->pieces = calloc(weft__image_count(image) + 1, sizeof(*image->pieces));
    if (!image->pieces)
        return weft_fail(WEFT_ENOMEM, "no memory for the pieces of an image");
    image->total_bytes = image->runs.total_bytes;
    for (size_t i = 0; i < image->runs.n; i++) {
        if (is_short(image, &image->runs.at[i]))
            open = add_short(image, i, open);
        else
            add_long(image, &image->runs.at[i]);
    }
    return 0;
}
