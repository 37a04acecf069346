/* What is known of a placement before it is decided: the one that the user has given, and those of
 * last time. */
#ifndef WEFT_HOST_WEFTD_PLACE_H
#define WEFT_HOST_WEFTD_PLACE_H

#include "host/weftd_view.h"
#include "plan/placements.h"

/* Whether the request's places are as many as its ranks.  Errors: WEFT_EINVAL */
int weft__weftd_place_check(const Weft__Host__RunRequest *request);

/* Decides where the app's ranks start, after the places given or, with hint CACHED, as last time
 * where that can be had; ask->given and cached are set here. Errors: as weft__decide(), with the
 * names of hosts; WEFT_EINVAL a place on no live host. */
int weft__weftd_place(const struct weft_app *app, const struct weft_view *view,
                      struct weft_decide *ask, uint32_t *host_of_out);
/* Remembers where the app's ranks are, for the next app of the same program and size. */
void weft__weftd_place_keep(struct weft_app *app);

/* The same for `ranks` of anything, by a key. decide: as last time only where ask->hint is CACHED.
 */
int weft__weftd_place_by_key(struct weft_host *host, const char *key, const struct weft_view *view,
                             struct weft_decide *ask, uint32_t *host_of_out);
void weft__weftd_place_keep_key(struct weft_host *host, const char *key,
                                const struct weft_placement_kept *placement);

#endif
