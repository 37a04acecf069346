/* Ranks leave the hosts that are about to go, whatever the policy; no other rank moves. They go
 * where most of the app is already. */
#include "plan/policy.h"

void weft__policy_stay(const struct weft_detection *detection)
{
    for (size_t i = 0; i < detection->own; i++) {
        struct weft_plan_host *host = weft__policy_touched(detection, i);
        host->target = host->ours;
    }
}

void weft__policy_leave(const struct weft_detection *detection)
{
    size_t leave = 0;
    weft__policy_stay(detection);
    for (size_t i = 0; i < detection->own; i++) {
        struct weft_plan_host *host = weft__policy_touched(detection, i);
        host->open = !host->leaving;
        if (host->leaving) {
            leave += host->ours;
            host->target = 0;
        }
    }
    weft__policy_fill(detection, leave, true);
}
