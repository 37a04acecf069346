/* tcp (and zmq beside it) against what else moves messages over TCP: raw sockets, Open MPI, MPICH,
 * UCX. All on the loopback interface, two processes, a core each, spinning; and asleep, but for the
 * MPI libraries, which cannot.
 *
 * A message has come when it lies in a buffer of the receiver's own, and sends complete when their
 * buffer may be used again, for all of them. 1 MiB is a get for weft, which is how ranks move long
 * messages, and a send into a posted receive for MPI and UCX: both end in the user's buffer, four
 * at a time, the same four over and over.
 *
 * Lanes over tcp and over libfabric's net stand side by side, because one of them is what a lane
 * takes where there is nothing faster than TCP (src/link/select.c).
 *
 * A goal is measured against the peer that is best in the run, and only where all three are there:
 * the best of those that happen to be installed would say nothing. */
#include <stdio.h>
#include <string.h>

#include "data.h"
#include "data_ends.h"
#include "data_table.h"
#include "transport/tcp/tcp.h"
#include "transport/zmq/zmq.h"

enum { MS = 60, SLICES = 2, FIGURES = FIGURE_PUT_64K /* no puts: peers have none */ };
enum subject { WEFT, OPENMPI, MPICH, UCX_TAG, UCX_AM, SOCKET, ZMQ, LANE, NET_LANE, SUBJECTS };

static const struct data_subject subjects[SUBJECTS] = {
    [WEFT] = {.id = "tcp",
              .name = "weft",
              .config = "tcp endpoints, two processes, a core each",
              .kind = &data_weft,
              .transport = &weft__tp_tcp},
    [OPENMPI] = {.id = "openmpi",
                 .name = "openmpi",
                 .config = "pml ob1, btl tcp over lo, MPI_Isend and MPI_Irecv, a core each",
                 .kind = &data_mpi,
                 .program = "mpirun.openmpi",
                 .test = "lib/bench/exchange-openmpi"},
    [MPICH] = {.id = "mpich",
               .name = "mpich",
               .config = "UCX_TLS=tcp,self over lo, MPI_Isend and MPI_Irecv, a core each",
               .kind = &data_mpi,
               .program = "mpiexec.mpich",
               .test = "lib/bench/exchange-mpich"},
    [UCX_TAG] = {.id = "ucx_tag",
                 .name = "ucx",
                 .config = "ucx_perftest, tags, UCX_TLS=tcp,self over lo, a core each",
                 .kind = &data_ucx,
                 .program = "ucx_perftest",
                 .test = "tag"},
    [UCX_AM] = {.id = "ucx_am",
                .name = "ucx",
                .config = "ucx_perftest, active messages, UCX_TLS=tcp,self over lo, a core each",
                .kind = &data_ucx,
                .program = "ucx_perftest",
                .test = "ucp_am"},
    [SOCKET] = {.id = "raw_socket",
                .name = "socket",
                .config = "one connection, no framing, TCP_NODELAY, two processes, a core each",
                .kind = &data_raw_socket},
    [ZMQ] = {.id = "zmq",
             .name = "weft",
             .config =
                 "zmq endpoints, two processes, a core each, which libzmq's I/O threads share",
             .kind = &data_weft,
             .transport = &weft__tp_zmq},
    [LANE] = {.id = "tcp_lane",
              .name = "weft",
              .config = "tcp lanes, two processes, a core each",
              .kind = &data_lane,
              .scheme = "tcp"},
    [NET_LANE] = {.id = "ofi_net_lane",
                  .name = "weft",
                  .config = "lanes over libfabric's net, two processes, a core each",
                  .kind = &data_lane,
                  .scheme = "ofi:net"},
};

static struct bench_series series[SUBJECTS][FIGURES];
static const struct data_table table = {.prefix = "data.tcp",
                                        .subjects = subjects,
                                        .subjects_n = SUBJECTS,
                                        .measures = data_figures,
                                        .measures_n = FIGURES,
                                        .slices = SLICES,
                                        .series = &series[0][0]};

/* The peer with the best median; which is not in the table's order of rounds any more. */
static enum subject best(enum data_figure measure, bool highest)
{
    enum subject found = OPENMPI;
    double best_value = 0;
    for (enum subject s = OPENMPI; s <= UCX_AM; s++) {
        struct bench_series sorted = series[s][measure];
        double value = bench_median(&sorted);
        if (sorted.n && (found == s || (highest ? value > best_value : value < best_value))) {
            found = s;
            best_value = value;
        }
    }
    return found;
}

/* NULL: all peers were measured. */
static const char *missing(enum data_figure measure)
{
    if (series[OPENMPI][measure].n == 0)
        return "Open MPI is missing";
    if (series[MPICH][measure].n == 0)
        return "MPICH is missing";
    if (series[UCX_TAG][measure].n == 0 || series[UCX_AM][measure].n == 0)
        return "UCX is missing";
    return NULL;
}

/* goal says what is wanted. */
static void goal(const struct bench *bench, struct bench_goal goal, enum data_figure measure)
{
    char reason[96];
    const char *lack = missing(measure);
    if (lack) {
        goal.unit = "ratio";
        goal.unknown = true;
        goal.reason = lack;
        bench_print_goal(bench, &goal);
        return;
    }
    enum subject peer = best(measure, goal.at_least);
    snprintf(reason, sizeof(reason), "%s; the best peer is %s", goal.reason, subjects[peer].id);
    goal.reason = reason;
    data_ratio_goal(bench, goal, &series[WEFT][measure], &series[peer][measure]);
}

int data_tcp(const struct bench *bench)
{
    data_table_run(bench, &table, MS);
    goal(bench,
         (struct bench_goal){
             .id = "data.tcp_latency", .wanted = 1, .reason = "half a round trip of 8 B"},
         FIGURE_PASS);
    goal(bench,
         (struct bench_goal){
             .id = "data.tcp_1m", .wanted = 0.95, .at_least = true, .reason = "1 MiB, 4 at a time"},
         FIGURE_GET_1M);
    goal(bench,
         (struct bench_goal){
             .id = "data.tcp_rate", .wanted = 5, .at_least = true, .reason = "8 B, 64 in flight"},
         FIGURE_RATE);
    data_table_print(bench, &table);
    return 0;
}
