/* The list of pages of a rank that exist, as it travels: for each run the pages since the end of
 * the one before and its own pages, as base-128 numbers. A rank has some dozens of runs, one whose
 * heap is full of holes some thousands. */
#include <stdlib.h>

#include "base/bytes.h"
#include "exec/move.h"
#include "snapshot/region.h"
#include "weft/error.h"

#define NUMBER_MAX 5u /* digits of the number of pages of 1 TiB and more */

int weft__move_encode_pages(const struct weft_extents *pages, uint8_t **bytes_out, size_t *len_out)
{
    uint8_t *bytes = malloc(2 * NUMBER_MAX * pages->n + 1), *at = bytes;
    uint64_t end = 0;
    if (!bytes)
        return weft_fail(WEFT_ENOMEM, "no memory to describe %zu runs of pages", pages->n);
    for (size_t i = 0; i < pages->n; i++) {
        const struct weft_extent *run = &pages->at[i];
        at = weft__put_number(at, (run->offset - end) / WEFT_REGION_PAGE);
        at = weft__put_number(at, run->len_bytes / WEFT_REGION_PAGE);
        end = run->offset + run->len_bytes;
    }
    *bytes_out = bytes;
    *len_out = (size_t)(at - bytes);
    return WEFT_OK;
}

int weft__move_decode_pages(const uint8_t *bytes, size_t len, uint64_t len_bytes,
                            struct weft_extents *pages_out)
{
    struct weft_bytes in = {.at = bytes, .end = bytes + len};
    uint64_t end = 0, pages = len_bytes / WEFT_REGION_PAGE;
    int err = WEFT_OK;
    weft__extents_clear(pages_out);
    while (weft__bytes_left(&in) > 0 && !err) {
        uint64_t gap, run;
        if (!weft__bytes_number(&in, NUMBER_MAX, &gap) ||
            !weft__bytes_number(&in, NUMBER_MAX, &run) || run == 0 || gap > pages - end ||
            run > pages - end - gap)
            return weft_fail(WEFT_EPROTO, "the list of pages of a rank that moves is malformed");
        err = weft__extents_add(pages_out, (end + gap) * WEFT_REGION_PAGE, run * WEFT_REGION_PAGE);
        end += gap + run;
    }
    return err;
}
