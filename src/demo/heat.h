/* The solver of the heat demo, for whatever main it is linked with.
 *
 * ny rows of nx interior points are spread over the ranks by rows. A step makes each point the mean
 * of its four neighbours: 0.25 * (((up + down) + left) + right), in this order, without fused
 * multiply-add, so the result has the same bits for every number of ranks and every placement. The
 * interior starts at 0; the fixed boundary above column j is (j * 7 + seed) % 101, the other three
 * sides are 0. Every ten steps all ranks learn the squared change.
 *
 * Everything that a rank knows is one struct: grids, a nonce that is drawn once, the number of
 * steps that the rank has made, and a record of how long its steps took.
 */
#ifndef WEFT_DEMO_HEAT_H
#define WEFT_DEMO_HEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mpi.h>

enum { HEAT_BINS_MAX = 3000 };

struct heat_options {
    long nx, ny, steps, seed;
    bool help;
    char error[200]; /* empty: the options are good */
};

struct heat_bin {
    int64_t start_ms; /* since the epoch */
    int64_t steps;
    int64_t max_step_us;
};

struct heat {
    struct heat_options options;
    int rank, size;
    long rows, width; /* of this rank, without and with the halo */
    double *now, *next;
    double change;
    double start_s;
    uint64_t nonce;
    char nonce_at_start[17];
    char start_host[MPI_MAX_PROCESSOR_NAME];
    long start_pid;
    long steps;            /* made by this rank */
    long moves;            /* that the program knows of: those of heat_points.c */
    uint64_t region_bytes; /* that this program has allocated and written */
    int64_t step_end_us;   /* wall clock */
    long bins_n, bins_lost;
    struct heat_bin bins[HEAT_BINS_MAX];
};

/* Where a rank keeps its memory: each main says so. free: NULL is fine. */
void *heat_alloc(size_t len_bytes);
void heat_free(void *memory);

/* What the arguments ask for; what is wrong with them stands in options->error. */
void heat_read_options(struct heat_options *options, int argc, char **argv);
/* Whether that many ranks can solve it; where they cannot, options->error says why. */
bool heat_is_to_run(struct heat_options *options, int ranks);
/* Says what there is to say instead of solving: help, or what is wrong. Returns main's result. */
int heat_decline(const struct heat_options *options);
/* After MPI_Init, by all ranks. Ends the app where there is no memory. */
struct heat *heat_begin(const struct heat_options *options);
void heat_step(struct heat *heat);
/* Prints the result and what became of each rank; frees all. */
void heat_end(struct heat *heat);

#endif
