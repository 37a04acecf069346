/* Collectives drawn at random, alike on all ranks, with what each must give: data are 64-bit words
 * at known places of every type, so each rank can say what it gets. All memory is in the rank's
 * region. */
#ifndef WEFT_TESTS_MPI_JOBS_H
#define WEFT_TESTS_MPI_JOBS_H

#include "cases.h"

enum { JOBS_RANKS = 40, JOBS_TYPES = 4 };

enum job_kind {
    JOB_BARRIER,
    JOB_BCAST,
    JOB_GATHER,
    JOB_GATHERV,
    JOB_SCATTER,
    JOB_SCATTERV,
    JOB_ALLGATHER,
    JOB_ALLGATHERV,
    JOB_ALLTOALL,
    JOB_ALLTOALLV,
    JOB_ALLTOALLW,
    JOB_REDUCE,
    JOB_ALLREDUCE,
    JOB_REDUCE_SCATTER,
    JOB_REDUCE_SCATTER_BLOCK,
    JOB_SCAN,
    JOB_EXSCAN,
    JOB_KINDS
};

enum job_form { JOB_BLOCKING, JOB_NONBLOCKING, JOB_PERSISTENT };

enum job_op { JOB_INT_SUM, JOB_DOUBLE_SUM, JOB_AFFINE, JOB_OPS };

/* What all ranks know: made once per rank. */
struct jobs {
    int rank, size;
    MPI_Datatype types[JOBS_TYPES];
    bool functions;            /* operations of the program, which lie outside the region */
    MPI_Op affine[JOBS_TYPES]; /* does not commute; on pairs of words of the type */
};

/* A block, or a block for each rank. */
struct job_side {
    int type;
    int64_t *words; /* with a margin on either side */
    int64_t *want;  /* of a side that is received */
    size_t words_n;
    int64_t units[JOBS_RANKS]; /* words of each block */
    int64_t at[JOBS_RANKS];    /* where each begins, in words */
    int counts[JOBS_RANKS], displs[JOBS_RANKS];
    MPI_Count wide_counts[JOBS_RANKS];
    MPI_Aint wide_displs[JOBS_RANKS];
    MPI_Datatype types[JOBS_RANKS];
};

struct job {
    const struct jobs *jobs;
    enum job_kind kind;
    enum job_op op;
    bool in_place, wide;
    int root, salt;
    struct job_side from, into;
    MPI_Request request;
};

void jobs_init(struct jobs *jobs, bool functions);
void jobs_fini(struct jobs *jobs);

/* Draws one; units: the most words of a block (times 6). */
struct job *job_new(const struct jobs *jobs, uint64_t *random, enum job_kind kind, int64_t units);
void job_free(struct job *job);
/* Fills the buffers of this rank with what belongs to a salt. */
void job_fill(struct job *job, int salt);
/* Calls the function in this form; the persistent form is not started. */
void job_call(struct job *job, enum job_form form);
/* Every word is what it must be, also those that nobody may write. */
void job_check(const struct job *job);

/* The next number of a sequence that is alike on all ranks. */
uint64_t job_random(uint64_t *state);

#endif
