/* Generalized requests: the program starts and completes them. */
#ifndef WEFT_MPI_GENERALIZED_H
#define WEFT_MPI_GENERALIZED_H

#include "mpi/state.h"

/* Fills status (NULL: ignored) as the program says. Its error code. */
int weft__mpi_generalized_query(struct weft_mpi *mpi, struct weft_mpi_request *request,
                                MPI_Status *status);
/* Tells the program that nobody will ask for the request any more. Its error code. */
int weft__mpi_generalized_end(struct weft_mpi *mpi, struct weft_mpi_request *request);
/* Tells the program that the request is to be cancelled. Its error code. */
int weft__mpi_generalized_cancel(struct weft_mpi *mpi, struct weft_mpi_request *request);

#endif
