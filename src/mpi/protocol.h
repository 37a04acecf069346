/* How a message gets from one rank to another: starting sends and receives, and moving on what has
 * been started. */
#ifndef WEFT_MPI_PROTOCOL_H
#define WEFT_MPI_PROTOCOL_H

#include <string.h>

#include "mpi/state.h"

/* The request's kind, comm, peer (rank in comm, or MPI_PROC_NULL), tag, buf, count, type, sync,
 * collective are set. */
void weft__mpi_protocol_send(struct weft_mpi *mpi, struct weft_mpi_request *request);
void weft__mpi_protocol_recv(struct weft_mpi *mpi, struct weft_mpi_request *request);

/* The same with a message that a matched probe has taken; frees it. */
void weft__mpi_protocol_take(struct weft_mpi *mpi, struct weft_mpi_request *recv,
                             struct weft_mpi_message *message);
/* Completes an active send or receive as cancelled if no message, or receive, has been found for
 * it; a send may learn that later. */
void weft__mpi_protocol_cancel(struct weft_mpi *mpi, struct weft_mpi_request *request);
/* A message that is in no queue will never be received: tells its sender, and frees it. */
void weft__mpi_protocol_refuse(struct weft_mpi *mpi, struct weft_mpi_message *message);

/* memcpy(), of which a call costs more than 8 bytes do. */
static inline void weft__mpi_copy(void *to, const void *from, size_t len)
{
    if (len == sizeof(uint64_t))
        memcpy(to, from, sizeof(uint64_t));
    else
        memcpy(to, from, len);
}

/* Takes in what has come, sends what had no credit, completes what can be completed. Does not enter
 * the runtime where there is nothing to do. */
void weft__mpi_protocol_progress(struct weft_mpi *mpi);
/* Takes in what has come for receives that are posted in a queue, and no more. Returns whether
 * there is a packet behind it: then none is posted. */
bool weft__mpi_protocol_catch_up(struct weft_mpi *mpi, const struct weft_mpi_queue *queue);
/* A receive that is posted nowhere gets a message that has come whole.  Owns: the packet goes back.
 */
void weft__mpi_protocol_recv_packet(struct weft_mpi *mpi, struct weft_mpi_request *request,
                                    const struct weft_packet *packet);
/* Whether progress() has something to do, or to look at, beside the mailbox. */
static inline bool weft__mpi_protocol_is_busy(const struct weft_mpi *mpi)
{
    return !weft__mpi_list_empty(&mpi->outs) || !weft__mpi_list_empty(&mpi->starting) ||
           !weft__mpi_list_empty(&mpi->getting) || !weft__mpi_list_empty(&mpi->ready);
}
/* Lets the runtime move things forward once, then progresses. */
void weft__mpi_protocol_poke(struct weft_mpi *mpi);
/* Sleeps until something may have changed since the bell was seen. */
void weft__mpi_protocol_wait(struct weft_mpi *mpi, uint32_t seen);
/* The bell, to be read before progress() and handed to wait(). */
static inline uint32_t weft__mpi_protocol_bell(const struct weft_mpi *mpi)
{
    return atomic_load_explicit(&mpi->cell->bell, memory_order_acquire);
}
/* The same. The runtime is called from here where there is nothing else to do: each frame that a
 * rank returns through when it goes on, after others have run, is one that the processor does not
 * foresee. */
static inline void weft__mpi_protocol_wait_near(struct weft_mpi *mpi, uint32_t seen)
{
    struct weft_cell *cell = mpi->cell;
    if (cell->glances > 0 || weft__mpi_protocol_is_busy(mpi) ||
        cell->calls->wait(cell, seen, UINT64_MAX) != 0)
        weft__mpi_protocol_wait(mpi, seen);
}
/* Progresses until the request is done. */
void weft__mpi_protocol_finish(struct weft_mpi *mpi, struct weft_mpi_request *request);
/* Progresses until nothing waits for credit any more. */
void weft__mpi_protocol_flush(struct weft_mpi *mpi);

#endif
