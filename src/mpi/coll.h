/* Writing the schedules of collectives; the request still has to be started. NULL: the region is
 * full. */
#ifndef WEFT_MPI_COLL_H
#define WEFT_MPI_COLL_H

#include "mpi/schedule.h"

struct weft_mpi_reduce {
    const void *from; /* this rank's contribution; may be into */
    void *into;       /* the result, where this rank gets it; else NULL */
    MPI_Count count;
    uint32_t type, op;
};

struct weft_mpi_alltoall {
    const void *from; /* a block for each rank; NULL: in place, from_count and from_type unused */
    void *into;       /* a block of each rank */
    MPI_Count from_count, into_count; /* of a block */
    uint32_t from_type, into_type;
};

struct weft_mpi_request *weft__mpi_coll_barrier(struct weft_mpi *mpi, struct weft_mpi_comm *comm);
/* data.from and data.into: the buffer. */
struct weft_mpi_request *weft__mpi_coll_bcast(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                                              const struct weft_mpi_data *data, int32_t root);
struct weft_mpi_request *weft__mpi_coll_reduce(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                                               const struct weft_mpi_reduce *desc, int32_t root);
struct weft_mpi_request *weft__mpi_coll_allreduce(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                                                  const struct weft_mpi_reduce *desc);
struct weft_mpi_request *weft__mpi_coll_alltoall(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                                                 const struct weft_mpi_alltoall *desc);

#endif
