/* Topologies: what they have in common. No rank is given another number: ranks move to where they
 * are best while they run, so the order in which they were numbered says nothing about hosts. */
#include "mpi/topo.h"

#include <string.h>

#include "base/heap.h"
#include "mpi/comm_make.h"
#include "mpi/error.h"
#include "mpi/group.h"

struct weft_mpi_topo *weft__mpi_topo_new(struct weft_mpi *mpi, int kind, int n, size_t values_n)
{
    size_t len = sizeof(struct weft_mpi_topo) + values_n * sizeof(int);
    struct weft_mpi_topo *topo = weft__heap_calloc(mpi->cell->heap, 1, len);
    if (!topo)
        return NULL;
    topo->len_bytes = len;
    topo->kind = kind;
    topo->n = n;
    return topo;
}

struct weft_mpi_topo *weft__mpi_topo_copy(struct weft_mpi *mpi, const struct weft_mpi_topo *topo)
{
    struct weft_mpi_topo *copy = weft__heap_alloc(mpi->cell->heap, topo->len_bytes);
    if (copy)
        memcpy(copy, topo, topo->len_bytes);
    return copy;
}

int weft__mpi_topo_get(struct weft_mpi *mpi, const char *where, MPI_Comm handle, int kind,
                       struct weft_mpi_comm **comm_out)
{
    int err = weft__mpi_comm_get(mpi, where, handle, comm_out);
    const struct weft_mpi_topo *topo = err ? NULL : (*comm_out)->topo;
    const char *name = kind == MPI_CART    ? "Cartesian"
                       : kind == MPI_GRAPH ? "graph"
                                           : "distributed graph";
    if (!err && (!topo || topo->kind != kind))
        err = weft__mpi_error_raise(mpi, *comm_out, MPI_ERR_TOPOLOGY, where,
                                    "the communicator has no %s topology", name);
    return err;
}

static struct weft_mpi_group *first_ranks(struct weft_mpi *mpi, const struct weft_mpi_comm *comm,
                                          int32_t n)
{
    int32_t *ranks = weft__heap_alloc(mpi->cell->heap, (size_t)n * sizeof(*ranks) + 1);
    struct weft_mpi_group *group = NULL;
    for (int32_t i = 0; ranks && i < n; i++)
        ranks[i] = weft__mpi_group_world_rank(comm->group, i);
    if (ranks)
        group = weft__mpi_group_new(mpi, n, ranks);
    weft__heap_free(mpi->cell->heap, ranks);
    return group;
}

int weft__mpi_topo_make(struct weft_mpi *mpi, struct weft_mpi_comm *comm, int32_t n,
                        struct weft_mpi_topo *topo, struct weft_mpi_comm **made_out)
{
    struct weft_mpi_group *group =
        n == comm->size ? weft__mpi_group_hold(comm->group) : first_ranks(mpi, comm, n);
    int err = MPI_ERR_NO_MEM;
    *made_out = NULL;
    if (group && topo)
        err = weft__mpi_make_of_group(mpi, comm, group, -1, made_out);
    weft__mpi_group_put(mpi, group);
    if (*made_out)
        (*made_out)->topo = topo;
    else
        weft__heap_free(mpi->cell->heap, topo);
    return err;
}

int PMPI_Topo_test(MPI_Comm comm, int *status)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c;
    int err = weft__mpi_comm_get(mpi, WEFT_MPI_HERE, comm, &c);
    if (!err)
        *status = c->topo ? c->topo->kind : MPI_UNDEFINED;
    return err;
}
WEFT_MPI_EXPORT(MPI_Topo_test);
