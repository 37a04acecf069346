/* Buffers for buffered sends: the program's memory, or the rank's region (MPI_BUFFER_AUTOMATIC). */
#ifndef WEFT_MPI_ATTACHED_H
#define WEFT_MPI_ATTACHED_H

#include "mpi/state.h"

/* The part of a buffer that holds one message, with this head. */
struct weft_mpi_segment;

/* Copies a message and sends the copy; done when it returns. desc says what and to whom (kind,
 * comm, peer, tag and data, as the protocol wants them); it stays as it is.
 * Errors: an MPI error code, raised. */
int weft__mpi_attached_send(struct weft_mpi *mpi, const char *where,
                            const struct weft_mpi_request *desc);
/* The message has left. */
void weft__mpi_attached_release(struct weft_mpi *mpi, struct weft_mpi_segment *segment);
/* The communicator, or the rank, is done with its buffer, in which nothing waits. NULL is fine. */
void weft__mpi_attached_free(struct weft_mpi *mpi, struct weft_mpi_attached *attached);

#endif
