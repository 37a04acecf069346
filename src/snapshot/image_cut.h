/* How an image is cut into pieces: a function of its runs and two sizes, so that only sums and
 * keys have to travel. */
#ifndef WEFT_SNAPSHOT_IMAGE_CUT_H
#define WEFT_SNAPSHOT_IMAGE_CUT_H

#include "snapshot/image.h"

#define WEFT_IMAGE_CHUNK_MAX (64u << 20)
#define WEFT_IMAGE_SPANS_MAX 4096u

/* Whether the two sizes are ones that an image can have. */
int weft__image_sizes_ok(uint32_t chunk_bytes, uint32_t pack_below_bytes);
/* How many pieces weft__image_cut() will make, without making them. */
uint64_t weft__image_count(const struct weft_image *image);
/* Makes the pieces, without sums, and the spans, without keys, and sets total_bytes and
 * packed_len_bytes.  Errors: WEFT_ENOMEM.
 */
int weft__image_cut(struct weft_image *image);

#endif
