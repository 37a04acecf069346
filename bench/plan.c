/* What planning costs and how good its plans are: scripts/bench plan. */
#include "plan.h"

#include "parts.h"

static const struct bench_part parts[] = {
    {"detection", plan_detection,
     "a check of all apps, and of one after a change, by cluster size"},
    {"count", plan_count, "what counting the traffic of ranks costs a message"},
    {"optimality", plan_optimality, "plans against the best of all placements and two cursors"},
    {"traffic", plan_traffic, "the same where it is known what the ranks exchange"},
    {"events", plan_events, "what recording an event costs"},
    {"sim", plan_sim, "how many moves a second are simulated"},
    {"gain", plan_gain, "an all-to-all program that is moved together while it runs"},
};

int main(int argc, char **argv)
{
    const struct bench_program program = {.name = "bench-plan",
                                          .rounds = 9,
                                          .parts = parts,
                                          .parts_n = sizeof(parts) / sizeof(parts[0])};
    return bench_main(&program, argc, argv);
}
