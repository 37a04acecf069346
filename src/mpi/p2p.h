/* Sends and receives as the program asks for them: arguments checked, requests started. */
#ifndef WEFT_MPI_P2P_H
#define WEFT_MPI_P2P_H

#include "mpi/state.h"

struct weft_mpi_args {
    const void *buf; /* a receive writes it */
    MPI_Count count;
    MPI_Datatype datatype;
    int peer, tag;
    MPI_Comm comm;
    bool recv, sync, buffered;
};

/* A request for arguments that have been checked, not started. */
struct weft_mpi_request *weft__mpi_p2p_new(struct weft_mpi *mpi, const struct weft_mpi_args *args);
/* Checks without starting. */
int weft__mpi_p2p_check(struct weft_mpi *mpi, const char *where, const struct weft_mpi_args *args);
/* The communicator, a count and a type, as every communication has them. */
int weft__mpi_p2p_check_data(struct weft_mpi *mpi, const char *where,
                             const struct weft_mpi_args *args);
/* The same without the communicator; errors are raised on comm. */
int weft__mpi_p2p_check_buffer(struct weft_mpi *mpi, const char *where,
                               const struct weft_mpi_comm *comm, const struct weft_mpi_args *args);

/* The values in memory, of arguments that have been checked. */
static inline struct weft_mpi_buffer weft__mpi_p2p_buffer(const struct weft_mpi_args *args)
{
    return (struct weft_mpi_buffer){(void *)(uintptr_t)args->buf, args->count,
                                    weft__mpi_type_number(args->datatype)};
}

#endif
