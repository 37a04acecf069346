/* A rank that is moved from host to host, and what that took. */
#ifndef WEFT_BENCH_MOVER_H
#define WEFT_BENCH_MOVER_H

#include <stdbool.h>

#include "bench.h"
#include "hosts.h"

struct bench_mover {
    struct bench_app app;
    struct bench_series pause, whole; /* milliseconds; their configurations are filled in */
    unsigned at;                      /* host */
    double bytes, copied;             /* of the last move: when the rank stood, and before */
};

/* Starts an app of one rank: the program with its size as argument. Returns when it is "ready".
 * precopy: the rank is copied while it runs. */
void bench_mover_start(const struct bench_hosts *hosts, struct bench_mover *mover,
                       const char *program, unsigned mib, bool precopy);
/* Moves the rank to the next of three hosts; counts: what it took is added to the series. */
void bench_mover_move(const struct bench_hosts *hosts, struct bench_mover *mover, bool counts);

#endif
