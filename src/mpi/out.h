/* Packets on their way out: sent at once, or kept in order until there is credit. */
#ifndef WEFT_MPI_OUT_H
#define WEFT_MPI_OUT_H

#include "mpi/state.h"

/* Asks the runtime for its largest packet. */
void weft__mpi_out_limits(struct weft_mpi *mpi);
/* Longest message that fits into one packet. */
size_t weft__mpi_out_eager_max(const struct weft_mpi *mpi);
/* Sends request->out, now or when there is credit. An EAGER that is sent completes its request
 * unless it waits for FIN; one that has become too long for a packet turns into an RTS. */
void weft__mpi_out_post(struct weft_mpi *mpi, struct weft_mpi_request *request);
/* Exposes the request's message and makes its packet an RTS; completes the request with an error
 * where that fails. */
bool weft__mpi_out_make_rts(struct weft_mpi *mpi, struct weft_mpi_request *request);
/* Tells the sender that its message has been received. */
void weft__mpi_out_fin(struct weft_mpi *mpi, int32_t dest, uint32_t cookie);
/* Tries what waits for credit. */
void weft__mpi_out_retry(struct weft_mpi *mpi);
/* The MPI error for an error of the runtime. */
int weft__mpi_out_error(int err);

#endif
