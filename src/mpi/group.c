/* Groups: lists of world ranks, shared by all that have the same one and never changed. */
#include "mpi/group.h"

#include <string.h>

#include "base/heap.h"

static struct weft_mpi_group *make(struct weft_mpi *mpi, int32_t size, bool listed)
{
    size_t list = listed ? (size_t)size * sizeof(int32_t) : 0;
    struct weft_mpi_group *group = weft__heap_alloc(mpi->cell->heap, sizeof(*group) + list);
    if (!group)
        return NULL;
    *group = (struct weft_mpi_group){.refs = 1, .size = size, .rank = MPI_UNDEFINED};
    return group;
}

struct weft_mpi_group *weft__mpi_group_new(struct weft_mpi *mpi, int32_t size,
                                           const int32_t world_ranks[])
{
    struct weft_mpi_group *group = make(mpi, size, true);
    if (!group)
        return NULL;
    int32_t *list = (int32_t *)(group + 1);
    for (int32_t i = 0; i < size; i++) {
        list[i] = world_ranks[i];
        if (list[i] == mpi->cell->rank)
            group->rank = i;
    }
    group->world_ranks = list;
    return group;
}

struct weft_mpi_group *weft__mpi_group_new_world(struct weft_mpi *mpi)
{
    struct weft_mpi_group *group = make(mpi, mpi->cell->size, false);
    if (group)
        group->rank = mpi->cell->rank;
    return group;
}

void weft__mpi_group_put(struct weft_mpi *mpi, struct weft_mpi_group *group)
{
    if (group && --group->refs == 0)
        weft__heap_free(mpi->cell->heap, group);
}
