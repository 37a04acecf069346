/* The parts of bench-mpi, and what they share: one source, ranks/mpi.c, run by weft (in cells),
 * Open MPI and MPICH. Each part runs in a process of its own, prints its series and goals, and
 * returns 0 when it has completed, whatever it has measured. */
#ifndef WEFT_BENCH_MPI_H
#define WEFT_BENCH_MPI_H

#include <stdbool.h>
#include <stddef.h>

#include "bench.h"

/* 2 ranks on one host. */
int mpi_near(const struct bench *bench);
/* 8 and 64 ranks on the cores that there are. */
int mpi_crowd(const struct bench *bench);
/* Packing what lies scattered, by one rank. */
int mpi_pack(const struct bench *bench);
/* From the command to its exit. */
int mpi_start(const struct bench *bench);
/* 2 ranks on 2 hosts, over TCP. */
int mpi_apart(const struct bench *bench);
/* What a move of a rank costs, beside a read of the same bytes. */
int mpi_move(const struct bench *bench);

enum mpi_library { MPI_WEFT, MPI_OPENMPI, MPI_MPICH, MPI_LIBRARIES };
extern const char *const mpi_names[MPI_LIBRARIES];

enum mpi_place {
    MPI_NEAR,    /* one host, a core each */
    MPI_ONE_CPU, /* one host, all on one core */
    MPI_CROWDED, /* one host, more ranks than cores */
    MPI_APART    /* over TCP, a core each: two hosts for weft, the loopback interface for others */
};

struct mpi_task {
    const char *name; /* of ranks/mpi.c: "pass:8" */
    const char *unit;
    bool more_is_better;
};

/* One run for each library that is installed, in each round. */
struct mpi_field {
    const char *part; /* of the ids: mpi.PART.TASK.LIBRARY */
    const struct mpi_task *tasks;
    unsigned tasks_n;
    unsigned ranks;
    enum mpi_place place;
    const char *at; /* a host of weft's that is there; NULL: hosts are started for each run */
    bool without[MPI_LIBRARIES];
    struct bench_series (*series)[MPI_LIBRARIES]; /* by task */
};

/* Runs all rounds. A library that is missing or fails leaves its series without values. */
void mpi_run(const struct bench *bench, struct mpi_field *field);
void mpi_print(const struct bench *bench, struct mpi_field *field);
/* The peer whose median is best at the task; Open MPI where there is none. */
const struct bench_series *mpi_best(const struct mpi_field *field, unsigned task);

/* The command that starts so many ranks of a program, argv without its end; returns its length.
 * NULL is written for nothing. */
enum { MPI_ARGS_MAX = 48 };
unsigned mpi_command(enum mpi_library library, const struct mpi_field *field,
                     const char *argv[MPI_ARGS_MAX]);
/* The program of the library, or NULL: not there. */
const char *mpi_program(enum mpi_library library, char path[4096]);

#endif
