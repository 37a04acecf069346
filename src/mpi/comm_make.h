/* What the files that make communicators share. */
#ifndef WEFT_MPI_COMM_MAKE_H
#define WEFT_MPI_COMM_MAKE_H

#include "mpi/state.h"

/* A communicator to be made from another one. */
struct weft_mpi_make {
    struct weft_mpi_comm *parent; /* its errors go where the parent's go */
    struct weft_mpi_group *group, *remote;
    const struct weft_mpi_info *info; /* hints; NULL: none */
    bool duplicate;                   /* with the parent's attributes and topology */
};

/* Makes it, with a handle but no context.  Errors: MPI_ERR_NO_MEM, what a callback returns. */
int weft__mpi_make_begin(struct weft_mpi *mpi, const struct weft_mpi_make *make,
                         struct weft_mpi_comm **comm_out);
/* Makes it and opens it. */
int weft__mpi_make(struct weft_mpi *mpi, const struct weft_mpi_make *make, uint64_t context,
                   struct weft_mpi_comm **comm_out);

/* A communicator of the group's members; NULL for those that are not.  tag < 0: all ranks of comm
 * call; else the members alone do. The same for ranks that have the same color (NULL: none).
 * Errors: MPI_ERR_NO_MEM, MPI_ERR_GROUP (a member is not in comm), not raised. */
int weft__mpi_make_of_group(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                            struct weft_mpi_group *group, int64_t tag,
                            struct weft_mpi_comm **made_out);
int weft__mpi_make_split(struct weft_mpi *mpi, struct weft_mpi_comm *comm, const uint64_t *color,
                         int key, struct weft_mpi_comm **made_out);

/* A broadcast from the first of n ranks of a communicator. */
struct weft_mpi_tree {
    const int32_t *ranks; /* NULL: all of them, from root on */
    int32_t root;
    int32_t n, me; /* this rank is number me */
    void *data;    /* in the rank's region */
    size_t len_bytes;
};

/* Its steps, and a schedule of its own.  NULL: the region is full. */
void weft__mpi_make_add_tree(struct weft_mpi_schedule *schedule, const struct weft_mpi_tree *tree);
struct weft_mpi_request *weft__mpi_make_tree(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                                             const struct weft_mpi_tree *tree);
/* Each rank's len bytes to all: all[i] is of rank (own + i) % size; all[0] is set.  Errors: not
 * raised. */
int weft__mpi_make_exchange(struct weft_mpi *mpi, struct weft_mpi_comm *comm, void *all,
                            size_t len);
/* Runs a collective of the library's own.  Errors: not raised; MPI_ERR_NO_MEM: collective NULL. */
int weft__mpi_make_finish(struct weft_mpi *mpi, struct weft_mpi_request *collective);
/* Raises err. */
int weft__mpi_make_failed(struct weft_mpi *mpi, const char *where, const struct weft_mpi_comm *comm,
                          int err);

#endif
