/* Intercommunicators: how two groups that know nothing of each other agree. */
#ifndef WEFT_MPI_COMM_INTER_H
#define WEFT_MPI_COMM_INTER_H

#include "mpi/comm_make.h"
#include "mpi/state.h"
#include "mpi/type.h"

/* One rank of each side speaks for it. */
struct weft_mpi_meeting {
    struct weft_mpi_comm *local;  /* of this side */
    int32_t speaker;              /* in it */
    struct weft_mpi_comm *bridge; /* the speaker's way to the other speaker */
    int32_t peer, tag;            /* over there */
    struct weft_mpi_group *group; /* this side of the new communicator */
    int32_t high;                 /* this side wants to be behind the other */
    /* What comes out of it, on all ranks: */
    uint64_t context, local_context; /* for all, for this side */
    struct weft_mpi_group *remote;   /* the other side, held by the caller */
    bool first;                      /* this side comes first */
};

/* All ranks of both sides call.  Errors: not raised; remote is NULL. */
int weft__mpi_meet(struct weft_mpi *mpi, struct weft_mpi_meeting *meeting);
/* A meeting over an intercommunicator, of all that are in it. */
struct weft_mpi_meeting weft__mpi_meeting_of(struct weft_mpi_comm *inter);
/* What the speakers alone do: each gets what the other has.  Errors: not raised. */
int weft__mpi_meeting_swap(struct weft_mpi *mpi, const struct weft_mpi_meeting *meeting,
                           const struct weft_mpi_buffer *mine,
                           const struct weft_mpi_buffer *theirs);
/* What the speaker has, to all of its side, who call too.  Errors: not raised. */
int weft__mpi_meeting_tell(struct weft_mpi *mpi, const struct weft_mpi_meeting *meeting, void *data,
                           size_t len);
/* Makes an intercommunicator of make's groups, and what this side has for itself.  Errors: not
 * raised. */
int weft__mpi_make_sides(struct weft_mpi *mpi, const struct weft_mpi_make *make, uint64_t context,
                         uint64_t local_context, struct weft_mpi_comm **made_out);
/* Meets, and makes an intercommunicator of the two sides. *made_out NULL: this rank is not in it.
 * Errors: not raised. */
int weft__mpi_make_inter(struct weft_mpi *mpi, struct weft_mpi_make *make,
                         struct weft_mpi_meeting *meeting, struct weft_mpi_comm **made_out);

#endif
