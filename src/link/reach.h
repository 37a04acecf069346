/* Which paths lead from here to another host's lane, and why the others do not: by trying. */
#ifndef WEFT_LINK_REACH_H
#define WEFT_LINK_REACH_H

#include <stdio.h>

#include "link/select.h"

/* Writes one line for each path of the lane address: "to ADDRESS by NAME from ADDRESS: reached in
 * 0.4 ms", or what is wrong, and one more where a lane of this host would use none of them: "to it
 * no data goes: ...", as the two hosts have not the same WEFT_DATA. Blocks: at most 5 s per path,
 * once its transport is loaded.  Errors: WEFT_EINVAL no lane address, or net no list. */
int weft__reach_report(const struct weft__select *select, const char *lane, FILE *out);

#endif
