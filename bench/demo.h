/* The parts of bench-demo. Each runs in a process of its own, prints its lines, and returns 0 when
 * it has completed, whatever it has measured. */
#ifndef WEFT_BENCH_DEMO_H
#define WEFT_BENCH_DEMO_H

#include "bench.h"

/* Latency and bandwidth of lanes over each transport, and of plain TCP. */
int demo_link(const struct bench *bench);
/* Requests per second at a control server, and at ZeroMQ's own proxy. */
int demo_fanin(const struct bench *bench);
/* A region pulled, against one raw get. */
int demo_pull(const struct bench *bench);
/* What a migration point costs when nothing is pending. */
int demo_point(const struct bench *bench);
/* How long a rank stands still while it moves, against its size. */
int demo_pause(const struct bench *bench);
/* Messages and steps of MPI programs under weft run; what idle processes burn. */
int demo_mpi(const struct bench *bench);

#endif
