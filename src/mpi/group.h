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

static inline int32_t weft__mpi_group_world_rank(const struct weft_mpi_group *group, int32_t rank)
{
    return group->world_ranks ? group->world_ranks[rank] : rank;
}

#endif
