/* What the control plane costs: scripts/bench control.
 *
 * Parts, and within a part weft and its peer, take turns round by round, so that a slow minute hits
 * all; medians are printed, and goals are medians of the ratios of single rounds. */
#include "control.h"
#include "parts.h"

static const struct bench_part parts[] = {
    {"rate", control_rate, "requests per second, latency, processor time and system calls"},
    {"slow", control_slow, "latency when one handler in a hundred takes 5 ms"},
    {"start", control_start_stop, "start and stop of a host"},
    {"group", control_barrier, "messages of a barrier of 64 members over 3 hosts"},
    {"state", control_state, "64 MiB from another host, against a raw get"},
};

int main(int argc, char **argv)
{
    const struct bench_program program = {.name = "bench-control",
                                          .rounds = 7,
                                          .parts = parts,
                                          .parts_n = sizeof(parts) / sizeof(parts[0])};
    return bench_main(&program, argc, argv);
}
