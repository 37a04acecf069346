/* Groups: lists of world ranks, shared by all that have the same one and never changed. */
#include "mpi/group.h"

#include <string.h>

#include "base/heap.h"
#include "mpi/error.h"

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

int32_t *weft__mpi_group_places(struct weft_mpi *mpi, const struct weft_mpi_group *group)
{
    size_t world = (size_t)mpi->cell->size;
    int32_t *places = weft__heap_alloc(mpi->cell->heap, world * sizeof(*places));
    if (!places)
        return NULL;
    for (size_t i = 0; i < world; i++)
        places[i] = MPI_UNDEFINED;
    for (int32_t i = 0; i < group->size; i++)
        places[weft__mpi_group_world_rank(group, i)] = i;
    return places;
}

static bool is_same_order(const struct weft_mpi_group *a, const struct weft_mpi_group *b)
{
    for (int32_t i = 0; i < a->size; i++)
        if (weft__mpi_group_world_rank(a, i) != weft__mpi_group_world_rank(b, i))
            return false;
    return true;
}

int weft__mpi_group_compare(struct weft_mpi *mpi, const struct weft_mpi_group *a,
                            const struct weft_mpi_group *b, int *result_out)
{
    *result_out = a->size == b->size ? MPI_IDENT : MPI_UNEQUAL;
    if (a->size != b->size || is_same_order(a, b))
        return MPI_SUCCESS;
    int32_t *places = weft__mpi_group_places(mpi, a);
    if (!places)
        return MPI_ERR_NO_MEM;
    *result_out = MPI_SIMILAR;
    for (int32_t i = 0; i < b->size; i++)
        if (places[weft__mpi_group_world_rank(b, i)] == MPI_UNDEFINED)
            *result_out = MPI_UNEQUAL;
    weft__heap_free(mpi->cell->heap, places);
    return MPI_SUCCESS;
}

/* ---- handles ---- */

static struct weft_mpi_group *find(struct weft_mpi *mpi, MPI_Group handle)
{
    if (handle == MPI_GROUP_EMPTY)
        return mpi->empty;
    return weft__mpi_table_find(&mpi->groups, weft__mpi_handle_value(handle), WEFT_MPI_GROUP_KIND);
}

int weft__mpi_group_get(struct weft_mpi *mpi, const struct weft_mpi_comm *comm, const char *where,
                        MPI_Group handle, struct weft_mpi_group **group_out)
{
    struct weft_mpi_group *group = find(mpi, handle);
    if (!group)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_GROUP, where, "handle 0x%zx",
                                     weft__mpi_handle_value(handle));
    *group_out = group;
    return MPI_SUCCESS;
}

/* A group without ranks is always MPI_GROUP_EMPTY to the program. */
MPI_Group weft__mpi_group_publish(struct weft_mpi *mpi, struct weft_mpi_group *group)
{
    if (group->size == 0) {
        weft__mpi_group_put(mpi, group);
        return MPI_GROUP_EMPTY;
    }
    int32_t index = weft__mpi_table_add(&mpi->groups, mpi->cell->heap, group);
    if (index < 0) {
        weft__mpi_group_put(mpi, group);
        return NULL;
    }
    return (MPI_Group)weft__mpi_table_handle(index, WEFT_MPI_GROUP_KIND);
}

int PMPI_Group_free(MPI_Group *group)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_group *own = NULL;
    int err = weft__mpi_group_get(mpi, NULL, WEFT_MPI_HERE, *group, &own);
    if (err)
        return err;
    if (own != mpi->empty) {
        weft__mpi_table_remove(&mpi->groups, weft__mpi_table_index(weft__mpi_handle_value(*group)));
        weft__mpi_group_put(mpi, own);
    }
    *group = MPI_GROUP_NULL;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Group_free);

void weft__mpi_group_fini(struct weft_mpi *mpi)
{
    for (uint32_t i = 0; i < mpi->groups.len; i++)
        weft__mpi_group_put(mpi, weft__mpi_table_at(&mpi->groups, i));
    weft__mpi_table_fini(&mpi->groups, mpi->cell->heap);
    weft__mpi_group_put(mpi, mpi->empty);
    mpi->empty = NULL;
}
