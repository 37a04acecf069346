/* What the main job costs, question by question: scripts/bench demo.
 *
 * Within a part the cases and their peers take turns, round by round, so that a slow minute hits
 * them all; what is printed are medians. */
#include "demo.h"
#include "parts.h"

static const struct bench_part parts[] = {
    {"link", demo_link, "latency and bandwidth of lanes, and of plain TCP"},
    {"fanin", demo_fanin, "requests per second at a control server, and at ZeroMQ's proxy"},
    {"pull", demo_pull, "a region pulled, against one raw get"},
    {"point", demo_point, "a migration point when nothing is pending"},
    {"pause", demo_pause, "how long a moved rank stands still, by its size"},
    {"mpi", demo_mpi, "messages and steps of MPI programs; CPU time burnt while idle"},
};

int main(int argc, char **argv)
{
    const struct bench_program program = {.name = "bench-demo",
                                          .rounds = 5,
                                          .parts = parts,
                                          .parts_n = sizeof(parts) / sizeof(parts[0])};
    return bench_main(&program, argc, argv);
}
