/* Groups of ranks. */
#ifndef WEFT_MPI_GROUP_H
#define WEFT_MPI_GROUP_H

#include "mpi/state.h"

/* A group of these world ranks in this order (copied), held by the caller.  NULL: the region is
 * full. */
struct weft_mpi_group *weft__mpi_group_new(struct weft_mpi *mpi, int32_t size,
                                           const int32_t world_ranks[]);
struct weft_mpi_group *weft__mpi_group_new_world(struct weft_mpi *mpi);

static inline struct weft_mpi_group *weft__mpi_group_hold(struct weft_mpi_group *group)
{
    group->refs++;
    return group;
}

/* The last one frees it. NULL is fine. */
void weft__mpi_group_put(struct weft_mpi *mpi, struct weft_mpi_group *group);

/* Gives the caller's hold to the program.  NULL: there is no room for a handle; the hold is gone.
 */
MPI_Group weft__mpi_group_publish(struct weft_mpi *mpi, struct weft_mpi_group *group);
/* The group of a handle that the program gave to `where`.  Errors: MPI_ERR_GROUP, raised on comm.
 */
int weft__mpi_group_get(struct weft_mpi *mpi, const struct weft_mpi_comm *comm, const char *where,
                        MPI_Group handle, struct weft_mpi_group **group_out);
/* MPI_IDENT, MPI_SIMILAR or MPI_UNEQUAL.  MPI_SUCCESS or MPI_ERR_NO_MEM. */
int weft__mpi_group_compare(struct weft_mpi *mpi, const struct weft_mpi_group *a,
                            const struct weft_mpi_group *b, int *result_out);
/* Where each world rank is in the group, MPI_UNDEFINED where it is not; to be freed by the caller.
 * NULL: the region is full. */
int32_t *weft__mpi_group_places(struct weft_mpi *mpi, const struct weft_mpi_group *group);
/* Frees the empty group, the program's groups and the table. */
void weft__mpi_group_fini(struct weft_mpi *mpi);

static inline int32_t weft__mpi_group_world_rank(const struct weft_mpi_group *group, int32_t rank)
{
    return group->world_ranks ? group->world_ranks[rank] : rank;
}

#endif
