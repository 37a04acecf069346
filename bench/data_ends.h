/* The kinds of ends that are measured. */
#ifndef WEFT_BENCH_DATA_ENDS_H
#define WEFT_BENCH_DATA_ENDS_H

#include "data_pair.h"

extern const struct data_kind data_weft;          /* weft's endpoints: data_weft.c */
extern const struct data_kind data_lane;          /* weft's lanes: data_lane.c */
extern const struct data_kind data_raw_libfabric; /* raw_libfabric.c */
extern const struct data_kind data_raw_socket;    /* raw_socket.c */
extern const struct data_kind data_mpi;           /* two ranks of an MPI library: data_peers.c */
extern const struct data_kind data_ucx;           /* ucx_perftest: data_peers.c */
extern const struct data_kind data_raw_memory;    /* between threads only: raw_memory.c */

#endif
