/* The parts of bench-control; each prints its series and goals. */
#ifndef WEFT_BENCH_CONTROL_H
#define WEFT_BENCH_CONTROL_H

#include "bench.h"

/* Requests per second, latency, processor time and system calls, against the reference. */
int control_rate(const struct bench *bench);
/* Latency when one handler in a hundred takes long. */
int control_slow(const struct bench *bench);
/* A whole host, from its start to its end. */
int control_start_stop(const struct bench *bench);
/* Messages of a barrier over three hosts. */
int control_barrier(const struct bench *bench);
/* A big value from another host, against a raw get. */
int control_state(const struct bench *bench);

#endif
