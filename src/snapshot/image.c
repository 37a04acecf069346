/* Images at their source.
 *
 * Sums are taken when the bytes are in the cache anyway: of packed pieces right after the copy, of
 * the others in one pass over the region, which is the only extra cost (XXH3 runs at memory speed).
 * Large images are summed by several threads: 47 to 60 ms a GiB by two, 78 by one, in which nothing
 * moves yet. What was pulled and goes on to others keeps the sums that it came with: no second
 * pass, and what a memory has changed meanwhile is found. The packed buffer is memory of its own:
 * the region goes on existing at its addresses, and a copy of short runs costs a third of a get for
 * each of them.
 */
#include "snapshot/image.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "snapshot/image_cut.h"
#include "snapshot/spare.h"
#include "weft/error.h"

#define FILL_ALONE_BYTES (UINT64_C(32) << 20) /* below, threads are not worth their start */
enum { FILL_THREADS_MAX = 4, FILL_TURN = 4 };

static int take_runs(struct weft_image *image, const struct weft_image_desc *desc)
{
    const struct weft_extents *from = desc->extents;
    if (!from)
        return weft__region_touched(desc->region, &image->runs);
    for (size_t i = 0; i < from->n; i++) {
        const struct weft_extent *run = &from->at[i];
        if ((run->offset | run->len_bytes) % WEFT_REGION_PAGE ||
            run->offset + run->len_bytes > desc->region->len_bytes)
            return weft_fail(WEFT_EINVAL,
                             "the range at 0x%llx of 0x%llx bytes is not whole pages of the region",
                             (unsigned long long)run->offset, (unsigned long long)run->len_bytes);
        int err = weft__extents_add(&image->runs, run->offset, run->len_bytes);
        if (err)
            return err;
    }
    return 0;
}

static int make_packed(struct weft_image *image)
{
    if (image->packed_len_bytes == 0)
        return 0;
    image->packed = weft__spare_get(image->packed_len_bytes);
    return image->packed ? 0
                         : weft_fail(WEFT_ENOMEM, "no memory to pack 0x%llx bytes",
                                     (unsigned long long)image->packed_len_bytes);
}

/* Copies the piece's runs to their place in the packed buffer. */
static void pack(const struct weft_image *image, const struct weft_image_piece *piece)
{
    const char *base = image->region->base;
    unsigned char *into = image->packed + piece->source_offset;
    const struct weft_extent *run = &image->runs.at[piece->runs_at];
    for (uint32_t left = piece->runs_n; left; run++) {
        if (run->len_bytes >= image->pack_below_bytes)
            continue;
        memcpy(into, base + run->offset, run->len_bytes);
        into += run->len_bytes;
        left--;
    }
}

static void fill_piece(const struct weft_image *image, struct weft_image_piece *piece)
{
    const char *base = image->region->base;
    if (piece->packed)
        pack(image, piece);
    piece->sum = XXH3_64bits(piece->packed ? (const void *)(image->packed + piece->source_offset)
                                           : (const void *)(base + piece->source_offset),
                             piece->len_bytes);
}

/* Pieces that several threads take by turns. */
struct filling {
    struct weft_image *image;
    atomic_size_t next;
};

static void *fill_some(void *arg)
{
    struct filling *filling = arg;
    struct weft_image *image = filling->image;
    for (;;) {
        size_t at = atomic_fetch_add(&filling->next, FILL_TURN);
        if (at >= image->pieces_n)
            return NULL;
        for (size_t end = at + FILL_TURN; at < end && at < image->pieces_n; at++)
            fill_piece(image, &image->pieces[at]);
    }
}

static unsigned helpers_for(const struct weft_image *image)
{
    cpu_set_t usable;
    if (image->total_bytes < FILL_ALONE_BYTES || sched_getaffinity(0, sizeof(usable), &usable) != 0)
        return 0;
    unsigned cpus = (unsigned)CPU_COUNT(&usable);
    return cpus > FILL_THREADS_MAX ? FILL_THREADS_MAX - 1 : cpus - 1;
}

/* Helpers take no signals: those are the program's. */
static void fill(struct weft_image *image)
{
    struct filling filling = {.image = image};
    pthread_t helpers[FILL_THREADS_MAX];
    const unsigned wanted = helpers_for(image);
    unsigned n = 0;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (n < wanted && pthread_create(&helpers[n], NULL, fill_some, &filling) == 0)
        n++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    fill_some(&filling);
    while (n > 0)
        pthread_join(helpers[--n], NULL);
}

int weft__image_build(const struct weft_image_desc *desc, struct weft_image **image_out)
{
    struct weft_image *image = calloc(1, sizeof(*image));
    if (!image)
        return weft_fail(WEFT_ENOMEM, "no memory for an image");
    image->region = desc->region;
    image->region_len_bytes = desc->region->len_bytes;
    image->chunk_bytes = desc->chunk_bytes ? desc->chunk_bytes : WEFT_IMAGE_CHUNK_BYTES;
    image->pack_below_bytes =
        desc->pack_below_bytes ? desc->pack_below_bytes : WEFT_IMAGE_PACK_BELOW_BYTES;
    if (!desc->pack_below_bytes && image->pack_below_bytes > image->chunk_bytes)
        image->pack_below_bytes = image->chunk_bytes;
    int err =
        weft__image_sizes_ok(image->chunk_bytes, image->pack_below_bytes)
            ? take_runs(image, desc)
            : weft_fail(
                  WEFT_EINVAL,
                  "an image has chunks of whole pages up to 64 MiB and packs runs below that");
    if (!err)
        err = weft__image_cut(image);
    if (!err)
        err = make_packed(image);
    if (err) {
        weft__image_free(image);
        return err;
    }
    fill(image);
    *image_out = image;
    return 0;
}

int weft__image_adopt(struct weft_image *image, const struct weft_region *region)
{
    int err = make_packed(image);
    if (err)
        return err;
    image->region = region;
    for (size_t i = 0; i < image->pieces_n; i++)
        if (image->pieces[i].packed)
            pack(image, &image->pieces[i]);
    return 0;
}

int weft__image_share(struct weft_image *image, struct weft_lane *lane)
{
    int err = 0;
    image->lane = lane;
    for (size_t i = 0; i < image->spans_n && !err; i++) {
        struct weft_image_span *span = &image->spans[i];
        err = weft__lane_register(lane, (char *)image->region->base + span->range.offset,
                                  span->range.len_bytes, WEFT_TP_READ, &span->shared, &span->key);
    }
    if (!err && image->packed)
        err = weft__lane_register(lane, image->packed, image->packed_len_bytes, WEFT_TP_READ,
                                  &image->packed_shared, &image->packed_key);
    return err;
}

static int place_packed(const struct weft_image *image, const struct weft_image_piece *piece,
                        const unsigned char *bytes, const struct weft_region *region)
{
    const struct weft_extent *run = &image->runs.at[piece->runs_at];
    for (uint32_t left = piece->runs_n; left; run++) {
        if (run->len_bytes >= image->pack_below_bytes)
            continue;
        int err = weft__region_write(region, run->offset, bytes, run->len_bytes);
        if (err)
            return err;
        bytes += run->len_bytes;
        left--;
    }
    return 0;
}

int weft__image_place(const struct weft_image *image, const struct weft_image_piece *piece,
                      const void *bytes, const struct weft_region *region)
{
    if (piece->packed)
        return place_packed(image, piece, bytes, region);
    return weft__region_write(region, piece->source_offset, bytes, piece->len_bytes);
}

void weft__image_free(struct weft_image *image)
{
    if (!image)
        return;
    for (size_t i = 0; i < image->spans_n && image->spans; i++)
        if (image->spans[i].shared)
            weft__lane_unregister(image->lane, image->spans[i].shared);
    if (image->packed_shared)
        weft__lane_unregister(image->lane, image->packed_shared);
    weft__spare_put(image->packed, image->packed_len_bytes);
    weft__extents_fini(&image->runs);
    free(image->pieces);
    free(image->spans);
    free(image);
}
