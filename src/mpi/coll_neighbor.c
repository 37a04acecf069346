/* Collectives among neighbours: a message to each, a message from each.
 *
 * The neighbours of a rank in a grid are, for each dimension, the one before it and the one behind
 * it. In a periodic dimension of one or two ranks both are the same rank: what it sends to the one
 * before itself is, over there, what comes from the one behind. Sends go in the order of
 * neighbours, so receives of a dimension are posted the other way round.
 *
 * In a graph a rank sends to those that it receives from; in a distributed one it has edges of
 * either direction, each in the order in which they were given.
 */
#include "mpi/coll_parts.h"
#include "mpi/topo.h"

int32_t weft__mpi_neighbors_n(const struct weft_mpi_comm *comm, bool in)
{
    const struct weft_mpi_topo *topo = comm->topo;
    if (topo->kind == MPI_CART)
        return 2 * topo->n;
    if (topo->kind == MPI_DIST_GRAPH)
        return in ? topo->n : topo->edges_n;
    return topo->values[comm->rank] - (comm->rank > 0 ? topo->values[comm->rank - 1] : 0);
}

/* The rank that is by step (1, -1) further on in a dimension; MPI_PROC_NULL: none. */
static int64_t in_grid(const struct weft_mpi_comm *comm, int dim, int step)
{
    const struct weft_mpi_topo *topo = comm->topo;
    const int *dims = topo->values, *periods = dims + topo->n, *coords = periods + topo->n;
    int64_t coord = (int64_t)coords[dim] + step, width = 1;
    if ((coord < 0 || coord >= dims[dim]) && !periods[dim])
        return MPI_PROC_NULL;
    for (int i = dim + 1; i < topo->n; i++)
        width *= dims[i];
    coord = (coord + dims[dim]) % dims[dim];
    return comm->rank + (coord - coords[dim]) * width;
}

static int64_t neighbor(const struct weft_mpi_comm *comm, int32_t i, bool in)
{
    const struct weft_mpi_topo *topo = comm->topo;
    if (topo->kind == MPI_CART)
        return in_grid(comm, i / 2, i % 2 ? 1 : -1);
    if (topo->kind == MPI_DIST_GRAPH)
        return topo->values[in ? i : 2 * topo->n + i];
    int first = comm->rank > 0 ? topo->values[comm->rank - 1] : 0;
    return topo->values[topo->n + first + i];
}

bool weft__mpi_neighbors_begin(struct weft_mpi_schedule *s)
{
    (void)s;
    return true;
}

void weft__mpi_neighbors_exchange(struct weft_mpi_schedule *s)
{
    const struct weft_mpi_coll *coll = &s->coll;
    int32_t in_n = weft__mpi_neighbors_n(s->comm, true);
    int32_t out_n = weft__mpi_neighbors_n(s->comm, false);
    bool grid = s->comm->topo->kind == MPI_CART, gather = coll->kind == WEFT_MPI_COLL_NEIGHBORS;
    for (int32_t k = 0; k < in_n; k++) {
        int32_t i = grid ? k ^ 1 : k;
        const struct weft_mpi_buffer in = weft__mpi_coll_block(s->mpi, coll, &coll->into, i);
        weft__mpi_schedule_recv(s, neighbor(s->comm, i, true), &in);
    }
    for (int32_t i = 0; i < out_n; i++) {
        struct weft_mpi_buffer out = weft__mpi_coll_whole(&coll->from);
        if (!gather)
            out = weft__mpi_coll_block(s->mpi, coll, &coll->from, i);
        weft__mpi_schedule_send(s, neighbor(s->comm, i, false), &out);
    }
}
