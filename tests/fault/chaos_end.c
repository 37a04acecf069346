/* What must be as it was before the faults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "ask.h"
#include "chaos.h"
#include "stage.h"

enum { FREE_MS = 40000, WARM_MS = 150, FDS_MORE_MAX = 8, FDS_MS = 20000 };

/* As cluster_await, with the events in the failure. */
#define chaos_await(chaos, timeout_ms, condition)                                                  \
    do {                                                                                           \
        struct child_patience patience_ = child_patience((uint64_t)(timeout_ms));                  \
        while (!(condition)) {                                                                     \
            if (child_patience_over(&patience_))                                                   \
                chaos_fail(chaos, "at the end, not within %u ms: %s", (unsigned)(timeout_ms),      \
                           #condition);                                                            \
            child_nap();                                                                           \
        }                                                                                          \
    } while (0)

static bool runs_at(struct chaos *chaos, const struct cluster_host *host)
{
    return cluster_weft(chaos->cluster, "run", "--at", host->address, "-n", "18",
                        cluster_program("hello"), NULL)
               ->code == 0;
}

/* Every host runs an app with ranks on all of them: so all know each other. On a machine that is
 * busy with other work a start may time out. */
static void warm(struct chaos *chaos)
{
    for (unsigned i = 0; i < CHAOS_HOSTS; i++)
        chaos_await(chaos, WARM_MS, runs_at(chaos, &chaos->cluster->hosts[i]));
    chaos_await(chaos, FREE_MS, ask_all_free(chaos->cluster));
}

void chaos_measure(struct chaos *chaos)
{
    warm(chaos);
    for (unsigned i = 0; i < CHAOS_HOSTS; i++)
        chaos->fds[i] = cluster_host_fds(&chaos->cluster->hosts[i]);
}

static bool fds_are_few(const struct chaos *chaos)
{
    for (unsigned i = 0; i < CHAOS_HOSTS; i++)
        if (cluster_host_fds(&chaos->cluster->hosts[i]) > chaos->fds[i] + FDS_MORE_MAX)
            return false;
    return true;
}

void chaos_check_left(struct chaos *chaos)
{
    chaos_await(chaos, FREE_MS, ask_alive(chaos->cluster, CHAOS_HOSTS));
    chaos_await(chaos, FREE_MS, ask_all_free(chaos->cluster));
    warm(chaos);
    for (unsigned i = 0; i < CHAOS_HOSTS; i++)
        fprintf(stderr, "    file descriptors of %s: %u before, %u after\n",
                chaos->cluster->hosts[i].name, chaos->fds[i],
                cluster_host_fds(&chaos->cluster->hosts[i]));
    chaos_await(chaos, FDS_MS, fds_are_few(chaos));
}
