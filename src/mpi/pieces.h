/* Long messages that cannot be exposed whole: they are fetched in pieces. */
#ifndef WEFT_MPI_PIECES_H
#define WEFT_MPI_PIECES_H

#include "mpi/state.h"

/* An RTS with this expose_id, which the runtime gives nobody, announces such a message. */
#define WEFT_MPI_PIECES UINT64_MAX

/* Receiver: the message is for recv, recv->got_bytes of it, to lie at into. */
void weft__mpi_pieces_begin(struct weft_mpi *mpi, struct weft_mpi_request *recv, void *into);
/* PIECE: where the next one lies. Returns whose get is ready to be started; NULL: none. */
struct weft_mpi_request *
weft__mpi_pieces_found(struct weft_mpi *mpi, const struct weft_mpi_header *header, int32_t source);
/* The get of a piece is done. False: it was the last one. */
bool weft__mpi_pieces_go_on(struct weft_mpi *mpi, struct weft_mpi_request *recv);

/* Sender: WANT: shows the next piece, when it is its turn. */
void weft__mpi_pieces_wanted(struct weft_mpi *mpi, struct weft_mpi_request *send,
                             const struct weft_mpi_header *header);
/* The send is over. */
void weft__mpi_pieces_end(struct weft_mpi *mpi, struct weft_mpi_request *send);

#endif
