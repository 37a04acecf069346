/* Ranks leave the hosts that are about to go, whatever the policy; no other rank moves. They go
 * where most of the app is already. */
#include "plan/policy.h"

void weft__policy_stay(const struct weft_detect *ask)
{
    for (size_t i = 0; i < ask->hosts_n; i++)
        ask->hosts[i].target = ask->hosts[i].ours;
}

void weft__policy_leave(const struct weft_detect *ask)
{
    size_t leave = 0;
    weft__policy_stay(ask);
    for (size_t i = 0; i < ask->hosts_n; i++) {
        struct weft_plan_host *host = &ask->hosts[i];
        host->open = !host->leaving;
        if (host->leaving) {
            leave += host->ours;
            host->target = 0;
        }
    }
    weft__policy_fill(ask, leave);
}
