/* The executor of ordinary programs: each rank is a whole program, with its own C library, in its
 * range of addresses. Nothing in there points outside, so a rank can be stopped at any call of the
 * runtime, and goes on elsewhere when its pages are there. */
#ifndef WEFT_CELL_EXECUTOR_H
#define WEFT_CELL_EXECUTOR_H

#include "exec/executor.h"

/* What the user of a machine that cannot run cells can do; ends a text. */
#define WEFT__CELL_ELSE "; weft run --process can run it, or link it with weftcc -shared"

extern const struct weft__executor weft__executor_cell;

#endif
