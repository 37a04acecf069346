/* Packets on their way out: sent at once, or kept in order until there is credit. */
#ifndef WEFT_MPI_OUT_H
#define WEFT_MPI_OUT_H

#include "mpi/state.h"

/* Asks the runtime for its largest packet. */
void weft__mpi_out_limits(struct weft_mpi *mpi);
/* Longest message that fits into one packet. */
size_t weft__mpi_out_eager_max(const struct weft_mpi *mpi);
/* Sends request->out, now or when there is credit. An EAGER that is sent completes its request
 * unless it waits for an answer; one that is too long for a packet has its message exposed and
 * turns into an RTS. True: the request is not done, and the message's bytes stay in use. */
bool weft__mpi_out_post(struct weft_mpi *mpi, struct weft_mpi_request *request);
/* Sends a packet without data, now or when there is credit. */
void weft__mpi_out_control(struct weft_mpi *mpi, int32_t dest,
                           const struct weft_mpi_header *header);
/* Takes a packet back that has not left yet.  False: it has. */
bool weft__mpi_out_withdraw(struct weft_mpi *mpi, struct weft_mpi_request *request);
/* One packet, now: for a message that has no request.  Errors: WEFT_EAGAIN, WEFT_EMSGSIZE: make
 * one. */
int weft__mpi_out_now(struct weft_mpi *mpi, int32_t dest, const struct weft_mpi_header *header,
                      const void *payload);
/* Tries what waits for credit. */
void weft__mpi_out_retry(struct weft_mpi *mpi);
/* The MPI error for an error of the runtime. */
int weft__mpi_out_error(int err);

#endif
