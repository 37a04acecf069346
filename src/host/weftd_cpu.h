/* Which processors the cells of an app can run on. */
#ifndef WEFT_HOST_WEFTD_CPU_H
#define WEFT_HOST_WEFTD_CPU_H

#include <stdbool.h>
#include <stdint.h>

struct weft_app;
struct weft_host;
struct weft_registry_host;

/* What this host tells of its processor.  Errors: WEFT_EINVAL WEFT_CPU_FEATURES makes no sense. */
int weft__weftd_cpu_init(struct weft_host *host);
/* The app starts on the hosts of its processes: its ranks get what these have in common. */
void weft__weftd_cpu_choose(struct weft_app *app);
/* Whether its ranks could go on there. */
bool weft__weftd_cpu_admits(const struct weft_app *app, const struct weft_registry_host *host);
/* Says why rank cannot move to the host, which does not admit it: returns WEFT_ENOTSUP. */
int weft__weftd_cpu_refuse(struct weft_app *app, int32_t rank,
                           const struct weft_registry_host *host);

#endif
