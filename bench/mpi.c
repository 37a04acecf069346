/* What calls of MPI cost, and what it costs to move who makes them: scripts/bench mpi.
 *
 * The peers are Open MPI and MPICH as Debian builds them, running the same source. Within a round
 * all take their turn; a goal is the median of the ratios of single rounds. A peer that is not
 * installed is named as missing, and its goals are not measured. CRIU is not in Debian 12, so
 * moves stand beside a plain read of the same bytes only. */
#include "mpi.h"
#include "parts.h"

static const struct bench_part parts[] = {
    {"near", mpi_near, "2 ranks on one host"},
    {"crowd", mpi_crowd, "8 and 64 ranks on the cores of this machine"},
    {"pack", mpi_pack, "MPI_Pack of derived types"},
    {"start", mpi_start, "64 ranks, from the command to its exit"},
    {"apart", mpi_apart, "2 ranks on two hosts, over TCP"},
    {"move", mpi_move, "a rank moved, against a read of the same bytes"},
};

int main(int argc, char **argv)
{
    const struct bench_program program = {.name = "bench-mpi",
                                          .rounds = 5,
                                          .parts = parts,
                                          .parts_n = sizeof(parts) / sizeof(parts[0])};
    return bench_main(&program, argc, argv);
}
