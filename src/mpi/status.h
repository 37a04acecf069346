/* What the library keeps in the private part of MPI_Status: two integers of length, one of flags.
 */
#ifndef WEFT_MPI_STATUS_H
#define WEFT_MPI_STATUS_H

#include <stddef.h>

#include "mpi/abi.h"

/* Not cancelled; leaves MPI_ERROR alone. status NULL (MPI_STATUS_IGNORE) is fine, here and below.
 */
void weft__mpi_status_set(MPI_Status *status, int source, int tag, size_t len_bytes);
void weft__mpi_status_set_cancelled(MPI_Status *status);
/* The status of nothing: a null request. */
void weft__mpi_status_set_empty(MPI_Status *status);

#endif
