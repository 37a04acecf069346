/* Matching: posted receives against messages, per communicator and context. */
#ifndef WEFT_MPI_MATCH_H
#define WEFT_MPI_MATCH_H

#include "mpi/state.h"

struct weft_mpi_queue *weft__mpi_match_queue(struct weft_mpi_comm *comm, bool collective);
/* The oldest posted receive that takes a message of this source and tag, removed; NULL: none. */
struct weft_mpi_request *weft__mpi_match_posted(struct weft_mpi_queue *queue, int32_t source,
                                                int32_t tag);
/* The oldest message that a receive of this source and tag (or any) takes; stays in the queue.
 * NULL: none. */
struct weft_mpi_message *weft__mpi_match_unexpected(struct weft_mpi_queue *queue, int32_t source,
                                                    int32_t tag);
/* Keeps a message that nobody has asked for; bytes (NULL: none) are copied. A full region ends the
 * app. */
struct weft_mpi_message *weft__mpi_match_keep(struct weft_mpi *mpi, struct weft_mpi_queue *queue,
                                              const struct weft_mpi_header *header,
                                              const void *bytes);
/* Takes it out of its queue and frees it. */
void weft__mpi_match_drop(struct weft_mpi *mpi, struct weft_mpi_message *message);

#endif
