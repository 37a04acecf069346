/* Places that are known before a decision.
 *
 * A placement is kept when an app has started and, since its ranks may have found better places,
 * once more when it has ended well. It is by host names and only a memory: where one of the hosts
 * is not live now, or is about to go, or has no room, the decision is made anew, and what comes of
 * that is kept in its place. A placement given by the user is taken as it is, or refused: to do
 * something else would surprise whoever asked for it.
 */
#include "host/weftd_place.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/must.h"
#include "base/nearest.h"

enum { KEPT_MAX = 256, KEPT_RANKS_MAX = 1 << 20, KEY_MAX = 4352 };

/* ---- as last time ---- */

/* The indices of the hosts now; NULL: one is not there. free() */
static uint32_t *find_hosts(const struct weft_view *view, const struct weft_placement_kept *kept)
{
    uint32_t *now = weft__must_alloc(kept->hosts_n, sizeof(*now));
    uint32_t *host_of = weft__must_alloc(kept->ranks, sizeof(*host_of));
    bool all = true;
    for (size_t i = 0; i < kept->hosts_n; i++)
        now[i] = (uint32_t)weft__weftd_view_find(view, kept->hosts[i]);
    for (size_t i = 0; i < kept->ranks; i++) {
        host_of[i] = now[kept->host_of[i]];
        all = all && host_of[i] < view->n;
    }
    free(now);
    if (all)
        return host_of;
    free(host_of);
    return NULL;
}

int weft__weftd_place_by_key(struct weft_host *host, const char *key, const struct weft_view *view,
                             struct weft_decide *ask, uint32_t *host_of_out)
{
    const struct weft_placement_kept *kept =
        ask->hint == WEFT_HINT_CACHED ? weft__placements_find(&host->placements, key) : NULL;
    uint32_t *cached = kept != NULL ? find_hosts(view, kept) : NULL;
    ask->cached = cached;
    ask->cached_n = cached != NULL ? kept->ranks : 0;
    int err = weft__decide(ask, host_of_out, NULL);
    ask->cached = NULL;
    free(cached);
    return err;
}

void weft__weftd_place_keep_key(struct weft_host *host, const char *key,
                                const struct weft_placement_kept *placement)
{
    struct weft_placements *table = &host->placements;
    int err = table->max != 0 ? WEFT_OK : weft__placements_init(table, KEPT_MAX, KEPT_RANKS_MAX);
    if (err == WEFT_OK)
        err = weft__placements_keep(table, key, placement);
    if (err != WEFT_OK)
        weft__warn("a placement is not kept: %s", weft_fail_text(err));
}

static void name(const struct weft_app *app, char key[KEY_MAX])
{
    snprintf(key, KEY_MAX, "app %u %s", app->size, app->request->program);
}

void weft__weftd_place_keep(struct weft_app *app)
{
    char key[KEY_MAX];
    const char **hosts = weft__must_alloc(app->processes_n, sizeof(*hosts));
    uint32_t *host_of = weft__must_alloc(app->size, sizeof(*host_of));
    for (size_t i = 0; i < app->processes_n; i++)
        hosts[i] = app->processes[i].host;
    for (uint32_t r = 0; r < app->size; r++)
        host_of[r] = app->ranks[r].process - 1;
    name(app, key);
    weft__weftd_place_keep_key(
        app->host, key,
        &(struct weft_placement_kept){
            .hosts = hosts, .hosts_n = app->processes_n, .host_of = host_of, .ranks = app->size});
    free(hosts);
    free(host_of);
}

/* ---- as given ---- */

int weft__weftd_place_check(const Weft__Host__RunRequest *request)
{
    uint64_t places = 0;
    for (size_t i = 0; i < request->n_places; i++)
        places += request->places[i]->ranks;
    if (request->n_places == 0 || places == request->ranks)
        return WEFT_OK;
    return weft_fail(WEFT_EINVAL, "there are places for %" PRIu64 " ranks, the app has %u", places,
                     request->ranks);
}

static int no_host(const struct weft_view *view, const char *host)
{
    const char **names = weft__must_alloc(view->n, sizeof(*names));
    for (size_t i = 0; i < view->n; i++)
        names[i] = view->members[i]->at.name;
    const char *near = weft__nearest(host, names, view->n);
    int err = weft_fail(WEFT_EINVAL, "a place is on host '%s', which is not there%s%s", host,
                        near != NULL ? ", did you mean " : "", near != NULL ? near : "");
    free(names);
    return err;
}

static int read_places(const Weft__Host__RunRequest *request, const struct weft_view *view,
                       uint32_t *host_of)
{
    size_t rank = 0;
    for (size_t i = 0; i < request->n_places; i++) {
        const Weft__Host__Place *place = request->places[i];
        size_t host = weft__weftd_view_find(view, place->host);
        if (host == view->n)
            return no_host(view, place->host);
        for (uint32_t n = 0; n < place->ranks; n++)
            host_of[rank++] = (uint32_t)host;
    }
    return WEFT_OK;
}

/* Names the host that has no room. */
static int no_room(const struct weft_view *view, const struct weft_decide *ask)
{
    size_t full = 0;
    uint32_t ranks = 0;
    int err = weft__decide_full(ask, ask->given, &full);
    if (err != WEFT_OK || full >= view->n)
        return err != WEFT_OK ? err : weft_fail(WEFT_ENOSLOTS, "the places given have no room");
    for (size_t i = 0; i < ask->given_n; i++)
        ranks += ask->given[i] == full;
    return weft_fail(WEFT_ENOSLOTS, "host %s has places for %u ranks, and %u free slots%s",
                     view->members[full]->at.name, ranks, weft__plan_host_free(&view->hosts[full]),
                     view->hosts[full].leaving ? " (it is being drained)" : "");
}

static int place_as_given(const struct weft_app *app, const struct weft_view *view,
                          struct weft_decide *ask, uint32_t *host_of_out)
{
    uint32_t *given = weft__must_alloc(app->size, sizeof(*given));
    int err = read_places(app->request, view, given);
    ask->given = given;
    ask->given_n = app->size;
    if (err == WEFT_OK)
        err = weft__decide(ask, host_of_out, NULL);
    if (err == WEFT_ENOSLOTS)
        err = no_room(view, ask);
    ask->given = NULL;
    free(given);
    return err;
}

int weft__weftd_place(const struct weft_app *app, const struct weft_view *view,
                      struct weft_decide *ask, uint32_t *host_of_out)
{
    char key[KEY_MAX];
    if (app->request->n_places > 0)
        return place_as_given(app, view, ask, host_of_out);
    name(app, key);
    return weft__weftd_place_by_key(app->host, key, view, ask, host_of_out);
}
