/* What several hosts have to say to each other. */
#include "control.h"

static void not_yet(const struct bench *bench, struct bench_goal goal)
{
    goal.unknown = true;
    bench_print_goal(bench, &goal);
}

int control_hosts(const struct bench *bench)
{
    int err = control_barrier(bench);
    not_yet(bench, (struct bench_goal){.id = "control.state_pull_64m",
                                       .wanted = 0.8,
                                       .at_least = true,
                                       .unit = "ratio",
                                       .reason = "this build has no state service"});
    return err;
}
