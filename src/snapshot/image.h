/* An image: what is to be pulled of a region, cut into pieces, each with its checksum.
 *
 * The source builds it while the region stands still, shares it over a lane, and sends its encoded
 * form; the receiver decodes that and pulls. Long runs of pages are read where they lie; short ones
 * are packed one behind the other into a buffer beside the region, so that one get carries many.
 */
#ifndef WEFT_SNAPSHOT_IMAGE_H
#define WEFT_SNAPSHOT_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "link/lane.h"
#include "snapshot/extent.h"
#include "snapshot/region.h"

/* Defaults. */
#define WEFT_IMAGE_CHUNK_BYTES (1u << 20)
#define WEFT_IMAGE_PACK_BELOW_BYTES (64u << 10)
#define WEFT_IMAGE_ENCODED_MAX (8u << 20)

/* Bytes that one get fetches. */
struct weft_image_piece {
    uint64_t source_offset; /* in the region, or in the packed buffer */
    uint64_t sum;           /* XXH3-64 of the bytes */
    uint32_t len_bytes;
    uint32_t packed;  /* 0: read from the region (one run); 1: from the packed buffer */
    uint32_t runs_at; /* packed: its first run in runs[], long ones behind it are skipped; else: the
                         span in spans[] that it lies in */
    uint32_t runs_n;  /* packed */
};

/* A range of the region that is shared: long runs, and small holes between them. */
struct weft_image_span {
    struct weft_extent range;
    struct weft_lane_key key;
    struct weft_lane_region *shared; /* the source's own */
};

struct weft_image {
    uint64_t region_len_bytes;
    uint64_t total_bytes;      /* of all pieces */
    uint64_t packed_len_bytes; /* of the packed buffer */
    uint32_t chunk_bytes;      /* largest piece */
    uint32_t pack_below_bytes; /* shorter runs are packed */
    struct weft_lane_key packed_key;
    struct weft_extents runs; /* what is pulled, in the region */
    struct weft_image_piece *pieces;
    size_t pieces_n;
    struct weft_image_span *spans;
    size_t spans_n;
    /* the source's own; NULL in a decoded image */
    const struct weft_region *region;
    unsigned char *packed;
    struct weft_lane *lane;
    struct weft_lane_region *packed_shared;
};

struct weft_image_desc {
    const struct weft_region *region;
    const struct weft_extents *extents; /* whole pages; NULL: the touched ones */
    uint32_t chunk_bytes;               /* a multiple of the page; 0: WEFT_IMAGE_CHUNK_BYTES */
    uint32_t pack_below_bytes;          /* 0: WEFT_IMAGE_PACK_BELOW_BYTES; 1: nothing is packed */
};

/* Source: gathers, packs and sums. The region must not change until the pull is over.
 * Errors: WEFT_ENOMEM; WEFT_EINVAL. */
int weft__image_build(const struct weft_image_desc *desc, struct weft_image **image_out);
/* Source: registers what the image needs with the lane, for reading by who knows the keys. Once per
 * image. Errors: the lane's. */
int weft__image_share(struct weft_image *image, struct weft_lane *lane);
/* Makes the image of what was pulled one of the region that it has come into, which can be shared
 * from there: the sums stay.  Errors: WEFT_ENOMEM: it is as it was. */
int weft__image_adopt(struct weft_image *image, const struct weft_region *region);
/* Receiver: writes a piece's bytes to where they belong.  Errors: the region's. */
int weft__image_place(const struct weft_image *image, const struct weft_image_piece *piece,
                      const void *bytes, const struct weft_region *region);
/* Source: takes the keys back (if shared) and frees. The receiver: just frees. The region stays.
 * NULL is fine. */
void weft__image_free(struct weft_image *image);
/* The form that travels, little endian.  Owns: *bytes_out, free().
 * Errors: WEFT_EMSGSIZE over WEFT_IMAGE_ENCODED_MAX (some millions of scattered runs); WEFT_ENOMEM.
 */
int weft__image_encode(const struct weft_image *image, uint8_t **bytes_out, size_t *len_out);
/* Errors: WEFT_EPROTO malformed, the text says what; WEFT_EVERSION; WEFT_ECHECKSUM the descriptor
 * itself is damaged; WEFT_ENOMEM. */
int weft__image_decode(const void *bytes, size_t len_bytes, struct weft_image **image_out);

#endif
