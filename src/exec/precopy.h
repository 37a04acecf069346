/* Copying a rank that runs, at the source: one of these while a move of it is being prepared. */
#ifndef WEFT_EXEC_PRECOPY_H
#define WEFT_EXEC_PRECOPY_H

#include <stdbool.h>
#include <stdint.h>

#include "snapshot/extent.h"

struct weft__rank;
struct weft__precopy;

/* What is still to be copied of a rank that stands, when the destination has the rounds up to this
 * one; touched: all pages that exist.  Thread: the rank's.  Both lists are cleared first.
 * Errors: WEFT_ENOENT no such round was made here: copy all; others likewise. */
int weft__precopy_rest(struct weft__rank *rank, uint32_t round, struct weft_extents *touched_out,
                       struct weft_extents *rest_out);
/* Ends it, if there is one.  Thread: any.  Blocks: no; a round under way ends by itself. */
void weft__precopy_end(struct weft__rank *rank);
/* Likewise, and waits until nothing of it looks at the rank's memory any more. */
void weft__precopy_stop(struct weft__rank *rank);

#endif
