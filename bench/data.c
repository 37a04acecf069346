/* What the data plane costs: scripts/bench data.
 *
 * Transports first (ofi, inproc, tcp), snapshots after them. Each part has baselines of its own
 * beside it, written for speed and doing no more than what is compared: raw libfabric, raw sockets,
 * memcpy. A peer that is not installed is named as missing, and its goals are not measured. */
#include "data.h"
#include "parts.h"

static const struct bench_part parts[] = {
    {"machine", data_machine, "what this run is measured on"},
    {"ofi", data_ofi, "messages and memory over libfabric, against raw libfabric"},
    {"inproc", data_inproc, "between threads, against a cache line between cores and memcpy"},
    {"tcp", data_tcp, "messages and memory over TCP, against sockets, MPI libraries and UCX"},
    {"push", data_snapshot_push, "snapshots pushed and pulled, against raw reads"},
    {"memory", data_snapshot_memory, "differences against memcmp, dirty pages by tracker"},
    {"store", data_snapshot_store, "snapshots to disk and back, against plain files"},
};

int main(int argc, char **argv)
{
    const struct bench_program program = {.name = "bench-data",
                                          .rounds = 7,
                                          .parts = parts,
                                          .parts_n = sizeof(parts) / sizeof(parts[0])};
    return bench_main(&program, argc, argv);
}
