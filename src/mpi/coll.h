/* What a collective is to do, and the making of its schedule. */
#ifndef WEFT_MPI_COLL_H
#define WEFT_MPI_COLL_H

#include "mpi/state.h"
#include "mpi/type.h"

enum weft_mpi_coll_kind {
    WEFT_MPI_COLL_BARRIER,
    WEFT_MPI_COLL_BCAST,     /* from and into: the buffer */
    WEFT_MPI_COLL_GATHER,    /* from: a block; into: a block of each rank, at the root */
    WEFT_MPI_COLL_GATHERV,   /* the same, only the root knows all lengths */
    WEFT_MPI_COLL_SCATTER,   /* from: a block for each rank, at the root; into: a block */
    WEFT_MPI_COLL_SCATTERV,  /* the same, only the root knows all lengths */
    WEFT_MPI_COLL_ALLGATHER, /* from: a block; into: a block of each rank, their lengths known */
    WEFT_MPI_COLL_ALLTOALL,  /* from: a block for each rank; into: a block of each rank */
    WEFT_MPI_COLL_ALLTOALLV, /* the same, each rank knows its own lengths */
    WEFT_MPI_COLL_NEIGHBORS, /* from: a block; into: a block of each neighbour */
    WEFT_MPI_COLL_NEIGHBORS_ALL, /* from: a block for each neighbour; into: a block of each */
    WEFT_MPI_COLL_REDUCE,        /* from: a contribution; into: the result, at the root */
    WEFT_MPI_COLL_ALLREDUCE,
    WEFT_MPI_COLL_REDUCE_SCATTER, /* from: a block for each rank; into: this rank's result and the
                                     blocks' lengths */
    WEFT_MPI_COLL_SCAN,
    WEFT_MPI_COLL_EXSCAN,
    WEFT_MPI_COLL_KINDS
};

/* A block, or a block for each rank. */
struct weft_mpi_side {
    const void *buf; /* of into it is written */
    MPI_Count count; /* of a block, where all are equal */
    uint32_t type;
    const void *counts;        /* of each block; NULL: all are equal, one behind the other */
    const void *displs;        /* where each begins, in extents; NULL: one behind the other */
    const MPI_Datatype *types; /* of each block, displacements in bytes; NULL: one type */
};

struct weft_mpi_coll {
    uint8_t kind;     /* enum weft_mpi_coll_kind */
    bool in_place;    /* from is not looked at: this rank's blocks or contribution lie in into */
    bool wide;        /* counts are MPI_Count and displacements MPI_Aint, not int */
    bool wide_displs; /* displacements are MPI_Aint whatever counts are */
    int32_t root;
    uint32_t op;
    struct weft_mpi_side from, into;
};

/* A collective request that can be started with schedule_start(). The arrays of lengths are read
 * here alone.  NULL: the region is full. */
struct weft_mpi_request *weft__mpi_coll_new(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                                            const struct weft_mpi_coll *coll);
/* Carries a short one out, and waits for it. False: it has to be a request. *error_out:
 * MPI_ERR_TRUNCATE or MPI_ERR_NOT_SAME, where lengths differ. */
bool weft__mpi_coll_now(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                        const struct weft_mpi_coll *coll, int *error_out);
struct weft_mpi_request *weft__mpi_coll_barrier(struct weft_mpi *mpi, struct weft_mpi_comm *comm);
struct weft_mpi_request *weft__mpi_coll_bcast(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                                              const struct weft_mpi_buffer *data, int32_t root);

/* Where block i of a side is. */
struct weft_mpi_buffer weft__mpi_coll_block(struct weft_mpi *mpi, const struct weft_mpi_coll *coll,
                                            const struct weft_mpi_side *side, int64_t i);
/* Values of block i. */
MPI_Count weft__mpi_coll_count(const struct weft_mpi_coll *coll, const struct weft_mpi_side *side,
                               int64_t i);

struct weft_mpi_schedule;

/* Writes the steps of the schedule's current part. */
void weft__mpi_coll_add_part(struct weft_mpi_schedule *schedule);

#endif
