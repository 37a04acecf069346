/* Processors of hosts and cells.
 *
 * The C library of a program in a cell chooses its functions when it starts, by what the processor
 * can do, and the choice moves with it. So an app starts with what the processors of its hosts have
 * in common, as they tell it to the registry, and what it started with stays its own for as long as
 * it lives, frozen or not. Shared objects choose anew wherever they go on: they are not concerned.
 */
#include "host/weftd_cpu.h"

#include <stdio.h>
#include <string.h>

#include "base/config.h"
#include "base/cpu.h"
#include "host/weftd.h"
#include "host/weftd_app.h"

enum { NAMED = 4 };

int weft__weftd_cpu_init(struct weft_host *host)
{
    int err = weft__cpu_limit(weft__config_text("WEFT_CPU_FEATURES"), weft__cpu_here(), &host->cpu);
    return err ? weft_fail(err, "WEFT_CPU_FEATURES: %s", weft_fail_text(err)) : WEFT_OK;
}

static uint64_t cpu_of(const struct weft_app *app, const char *name)
{
    const struct weft_member *member = weft__weftd_member(app->host, name);
    return member != NULL ? member->at.cpu : 0;
}

void weft__weftd_cpu_choose(struct weft_app *app)
{
    uint64_t common = app->processes_n > 0 ? cpu_of(app, app->processes[0].host) : 0;
    for (size_t i = 1; i < app->processes_n; i++)
        common = weft__cpu_common(common, cpu_of(app, app->processes[i].host));
    app->cpu = common;
}

bool weft__weftd_cpu_admits(const struct weft_app *app, const struct weft_registry_host *host)
{
    return !app->cells || weft__cpu_lacks(app->cpu, host->cpu) == 0;
}

int weft__weftd_cpu_refuse(struct weft_app *app, int32_t rank,
                           const struct weft_registry_host *host)
{
    char text[WEFT_CPU_TEXT_MAX];
    const char *now = weft__weftd_app_process(app, app->ranks[rank].process)->host;
    return weft_fail(WEFT_ENOTSUP,
                     "rank %d cannot go on there: the processor of host %s lacks %s, which the app "
                     "has started with and which host %s has",
                     rank, host->name,
                     weft__cpu_text(weft__cpu_lacks(app->cpu, host->cpu), NAMED, text), now);
}
