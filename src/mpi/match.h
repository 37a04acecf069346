/* Matching: posted receives against messages, per communicator and context. */
#ifndef WEFT_MPI_MATCH_H
#define WEFT_MPI_MATCH_H

#include "mpi/state.h"

static inline struct weft_mpi_queue *weft__mpi_match_queue(struct weft_mpi_comm *comm,
                                                           bool collective)
{
    return &comm->queues[collective ? 1 : 0];
}

/* Adds a receive behind those that wait in the queue of its communicator. */
void weft__mpi_match_post(struct weft_mpi *mpi, struct weft_mpi_request *request);
/* Takes a receive that is posted out of its queue. */
void weft__mpi_match_withdraw(struct weft_mpi *mpi, struct weft_mpi_request *request);
/* The oldest posted receive that takes a message of this source and tag, withdrawn; NULL: none. */
struct weft_mpi_request *weft__mpi_match_posted(struct weft_mpi *mpi, struct weft_mpi_queue *queue,
                                                int32_t source, int32_t tag);
/* The oldest message that a receive of this source and tag (or any) takes; stays in the queue.
 * NULL: none. */
struct weft_mpi_message *weft__mpi_match_unexpected(struct weft_mpi *mpi,
                                                    struct weft_mpi_queue *queue, int32_t source,
                                                    int32_t tag);
/* Keeps a message that nobody has asked for; bytes (NULL: none) are copied. A full region ends the
 * app. */
struct weft_mpi_message *weft__mpi_match_keep(struct weft_mpi *mpi, struct weft_mpi_queue *queue,
                                              const struct weft_mpi_header *header,
                                              const void *bytes);
/* Takes it out of its queue: no receive finds it any more. */
void weft__mpi_match_take(struct weft_mpi *mpi, struct weft_mpi_queue *queue,
                          struct weft_mpi_message *message);
/* From one queue to the end of another. */
void weft__mpi_match_move(struct weft_mpi *mpi, struct weft_mpi_message *message,
                          struct weft_mpi_queue *from, struct weft_mpi_queue *to);
/* Frees a message that is in no queue. */
void weft__mpi_match_drop(struct weft_mpi *mpi, struct weft_mpi_message *message);
/* Frees the tables; the queues are empty. */
void weft__mpi_match_fini(struct weft_mpi *mpi);

#endif
