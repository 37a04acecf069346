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
    bool recv, sync;
};

/* Checks the arguments; raises where they are wrong. MPI_SUCCESS: *request_out is started. */
int weft__mpi_p2p_start(struct weft_mpi *mpi, const char *where, const struct weft_mpi_args *args,
                        struct weft_mpi_request **request_out);
/* Checks without starting. */
int weft__mpi_p2p_check(struct weft_mpi *mpi, const char *where, const struct weft_mpi_args *args);
/* The communicator, a count and a type, as every communication has them. */
int weft__mpi_p2p_check_data(struct weft_mpi *mpi, const char *where,
                             const struct weft_mpi_args *args);

#endif
