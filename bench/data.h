/* The parts of bench-data, and what they share. Each part runs in a process of its own, prints its
 * series and goals, and returns 0 when it has completed, whatever it has measured.
 *
 * Every part measures in rounds: within a round all subjects take their turn, in another order each
 * time. A goal is the median of the ratios of single rounds (bench_ratio). */
#ifndef WEFT_BENCH_DATA_H
#define WEFT_BENCH_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench.h"

/* What this run is measured on. */
int data_machine(const struct bench *bench);
/* ofi against raw libfabric on the same provider. */
int data_ofi(const struct bench *bench);
/* inproc against a cache line between two cores, and memcpy. */
int data_inproc(const struct bench *bench);
/* tcp and zmq against raw sockets, Open MPI, MPICH and UCX. */
int data_tcp(const struct bench *bench);
/* Snapshots pushed and pulled, and the changes of one, against raw reads. */
int data_snapshot_push(const struct bench *bench);
/* Differences against memcmp, and trackers against each other. */
int data_snapshot_memory(const struct bench *bench);
/* Snapshots into files and back, against plain writes and reads. */
int data_snapshot_store(const struct bench *bench);

/* Keeps the calling thread, and the threads and programs that it starts, on one core: side 0 on the
 * first that this process may use, side 1 on the second, further ones round about. Both sides of
 * every comparison are placed alike.  Errors: none; a system that refuses leaves it where it is. */
void data_pin(unsigned side);
/* On all that it may use again. */
void data_unpin(void);

/* Puts the calling process, and what it starts from now on, before other work on the machine, which
 * would otherwise decide what two processes that must run at the same time reach: a session of its
 * own, with the highest weight of ordinary scheduling, one such process at a time. Programs that
 * open sessions themselves find the weight in BENCH_WEIGHT. Leave others their time with pauses.
 * false: it may not (only root may), or BENCH_WEIGHT=0 asks it not to: the kernel threads on which
 * soft-RoCE stands have the usual weight. */
bool data_go_first(void);

/* Where the process goes first: leaves others some time after what has been measured since then. */
void data_rest(bool first, uint64_t since_ns);

/* What a series is about. */
struct data_label {
    const char *id;      /* "data.ofi_latency.8B.raw": it ends with the subject */
    const char *what;    /* in words */
    const char *subject; /* "weft", or the peer */
    const char *unit;
    const char *config; /* provider, placement, completion, buffers */
};
void data_label(struct bench_series *series, const struct data_label *label);

/* Prints goal as the median over the rounds of weft's value divided by the peer's; goal says what
 * is wanted (id, wanted, at_least, reason: how it was measured). Where one of the two has no values
 * the goal is unknown, and reason says which was missing. Call it before the series are printed,
 * which sorts their values. */
void data_ratio_goal(const struct bench *bench, struct bench_goal goal,
                     const struct bench_series *weft, const struct bench_series *peer);

/* The one with the higher median; b where a has no values. Not each round's better one, which would
 * be the better of two draws. */
const struct bench_series *data_better(const struct bench_series *a, const struct bench_series *b);

#endif
