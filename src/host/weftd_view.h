/* The live hosts as planners want them: an array by name, with its slots. */
#ifndef WEFT_HOST_WEFTD_VIEW_H
#define WEFT_HOST_WEFTD_VIEW_H

#include "host/weftd_app.h"

/* Points into the host's list of members: good until that changes, so within one task only. */
struct weft_view {
    const struct weft_member **members;
    struct weft_plan_host *hosts; /* the same hosts; id: the index */
    size_t n;
    size_t lacking; /* closed, because their processors lack what the app uses */
};

/* As the app may use them: hosts that do not admit its tenant, or would have to share, and those
 * whose processor cannot do what its cells have chosen, are closed. */
void weft__weftd_view_init(struct weft_view *view, const struct weft_app *app);
void weft__weftd_view_fini(struct weft_view *view);
/* view->n: no live host has this name. */
size_t weft__weftd_view_find(const struct weft_view *view, const char *name);
/* The placement of an app: its ranks that have not ended, in order, and the index of the host of
 * each. */
struct weft_placement {
    uint32_t *ranks;
    uint32_t *host_of;
    size_t n;
};
/* fini also after an error.  Errors: WEFT_EBUSY a rank is on a host that is not in the list (yet).
 */
int weft__weftd_placement_init(struct weft_placement *placement, const struct weft_view *view,
                               struct weft_app *app);
void weft__weftd_placement_fini(struct weft_placement *placement);

#endif
