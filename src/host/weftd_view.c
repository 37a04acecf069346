/* The live hosts in one array.
 *
 * The list of members is sorted by name, so the view is, and a name is found by bisection; ranks
 * are looked up by process, once each, because an app has many more ranks than processes.
 */
#include "host/weftd_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "host/weftd_cpu.h"
#include "plan/lease.h"

/* The host that leases decides; this is what it said last. */
static bool admits(const struct weft_registry_host *at, const struct weft_app *app)
{
    struct weft_tenancy tenancy = {.any = at->occupied, .mixed = at->shared, .apart = at->apart};
    snprintf(tenancy.tenant, sizeof(tenancy.tenant), "%s", at->tenant);
    return weft__tenancy_admits(&tenancy, app->request->tenant, app->policy == WEFT_POLICY_COMPACT);
}

void weft__weftd_view_init(struct weft_view *view, const struct weft_app *app)
{
    const struct weft_host *host = app->host;
    view->members = weft__must_alloc(host->members_n, sizeof(const struct weft_member *));
    view->hosts = weft__must_alloc(host->members_n, sizeof(*view->hosts));
    view->n = 0;
    view->lacking = 0;
    for (size_t i = 0; i < host->members_n; i++) {
        const struct weft_member *member = &host->members[i];
        if (!member->at.alive)
            continue;
        view->members[view->n] = member;
        bool lacks = !weft__weftd_cpu_admits(app, &member->at);
        view->lacking += lacks;
        view->hosts[view->n] = (struct weft_plan_host){.id = view->n,
                                                       .slots = member->at.slots,
                                                       .used = member->at.used,
                                                       .closed = lacks || !admits(&member->at, app),
                                                       .leaving = member->at.leaving};
        view->n++;
    }
}

void weft__weftd_view_fini(struct weft_view *view)
{
    free(view->members);
    free(view->hosts);
}

size_t weft__weftd_view_find(const struct weft_view *view, const char *name)
{
    size_t from = 0, to = view->n;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int order = strcmp(view->members[middle]->at.name, name);
        if (order == 0)
            return middle;
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return view->n;
}

int weft__weftd_placement_init(struct weft_placement *placement, const struct weft_view *view,
                               struct weft_app *app)
{
    uint32_t *of_process = weft__must_alloc(app->processes_n, sizeof(*of_process));
    *placement = (struct weft_placement){
        .ranks = weft__must_alloc(app->size, sizeof(*placement->ranks)),
        .host_of = weft__must_alloc(app->size, sizeof(*placement->host_of))};
    int err = WEFT_OK;
    for (size_t i = 0; i < app->processes_n; i++)
        of_process[i] = (uint32_t)weft__weftd_view_find(view, app->processes[i].host);
    for (uint32_t r = 0; r < app->size && err == WEFT_OK; r++) {
        uint32_t number = app->ranks[r].process;
        if (app->ranks[r].ended)
            continue;
        placement->ranks[placement->n] = r;
        placement->host_of[placement->n++] = of_process[number - 1];
        if (of_process[number - 1] == view->n)
            err =
                weft_fail(WEFT_EBUSY, "rank %u is on host %s, which the registry does not list now",
                          r, weft__weftd_app_process(app, number)->host);
    }
    free(of_process);
    return err;
}

void weft__weftd_placement_fini(struct weft_placement *placement)
{
    free(placement->ranks);
    free(placement->host_of);
}
