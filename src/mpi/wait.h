/* Waiting for requests and giving them back. */
#ifndef WEFT_MPI_WAIT_H
#define WEFT_MPI_WAIT_H

#include "mpi/state.h"

/* Waits, fills status, frees the request, raises its error. */
int weft__mpi_wait_finish(struct weft_mpi *mpi, const char *where, struct weft_mpi_request *request,
                          MPI_Status *status);
/* The active or inactive request of a handle that the program gave to `where`.  Errors:
 * MPI_ERR_REQUEST, raised. */
int weft__mpi_wait_get(struct weft_mpi *mpi, const char *where, MPI_Request handle,
                       struct weft_mpi_request **request_out);

#endif
