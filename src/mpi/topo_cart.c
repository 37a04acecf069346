/* Cartesian topologies: grids of ranks, the last dimension runs fastest. */
#include <limits.h>

#include "base/heap.h"
#include "mpi/comm.h"
#include "mpi/comm_make.h"
#include "mpi/error.h"
#include "mpi/topo.h"

struct grid {
    int n;
    const int *dims, *periods;
};

static struct grid grid_of(const struct weft_mpi_comm *comm)
{
    const struct weft_mpi_topo *topo = comm->topo;
    return (struct grid){topo->n, topo->values, topo->values + topo->n};
}

/* Of this rank. */
static const int *own_coords(const struct weft_mpi_comm *comm)
{
    return comm->topo->values + 2 * comm->topo->n;
}

static void find_coords(const struct grid *grid, int rank, int *coords)
{
    for (int i = grid->n - 1; i >= 0; i--) {
        coords[i] = rank % grid->dims[i];
        rank /= grid->dims[i];
    }
}

/* Into the range of a periodic dimension. */
static int wrap(int64_t coord, int length)
{
    int64_t rest = coord % length;
    return (int)(rest < 0 ? rest + length : rest);
}

/* Ranks in the grid; 0: it is not one, or has more than fit into an int. */
static int32_t count(const struct grid *grid)
{
    int64_t nodes = 1;
    for (int i = 0; i < grid->n; i++) {
        if (grid->dims[i] <= 0 || nodes * grid->dims[i] > INT_MAX)
            return 0;
        nodes *= grid->dims[i];
    }
    return (int32_t)nodes;
}

static int check_grid(struct weft_mpi *mpi, const char *where, const struct weft_mpi_comm *comm,
                      const struct grid *grid)
{
    if (comm->remote)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_COMM, where, "it is an intercommunicator");
    if (grid->n < 0 || (grid->n > 0 && (!grid->dims || !grid->periods)))
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_DIMS, where, "%d dimensions", grid->n);
    int32_t nodes = count(grid);
    if (nodes == 0)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_DIMS, where,
                                     "each dimension has one rank at least, all together at most "
                                     "%d",
                                     comm->size);
    if (nodes > comm->size)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_DIMS, where, "a grid of %d ranks out of %d",
                                     nodes, comm->size);
    return MPI_SUCCESS;
}

static struct weft_mpi_topo *new_topo(struct weft_mpi *mpi, const struct grid *grid, int rank)
{
    struct weft_mpi_topo *topo = weft__mpi_topo_new(mpi, MPI_CART, grid->n, 3 * (size_t)grid->n);
    if (!topo)
        return NULL;
    for (int i = 0; i < grid->n; i++) {
        topo->values[i] = grid->dims[i];
        topo->values[grid->n + i] = grid->periods[i] != 0;
    }
    find_coords(grid, rank, topo->values + 2 * grid->n);
    return topo;
}

int PMPI_Cart_create(MPI_Comm comm_old, int ndims, const int dims[], const int periods[],
                     int reorder, MPI_Comm *comm_cart)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *comm, *made;
    const struct grid grid = {ndims, dims, periods};
    (void)reorder;
    int err = weft__mpi_comm_get(mpi, WEFT_MPI_HERE, comm_old, &comm);
    if (!err)
        err = check_grid(mpi, WEFT_MPI_HERE, comm, &grid);
    if (err)
        return err;
    err = weft__mpi_topo_make(mpi, comm, count(&grid), new_topo(mpi, &grid, comm->rank), &made);
    if (err)
        return weft__mpi_make_failed(mpi, WEFT_MPI_HERE, comm, err);
    *comm_cart = made ? made->handle : MPI_COMM_NULL;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Cart_create);

int PMPI_Cart_map(MPI_Comm comm, int ndims, const int dims[], const int periods[], int *newrank)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c;
    const struct grid grid = {ndims, dims, periods};
    int err = weft__mpi_comm_get(mpi, WEFT_MPI_HERE, comm, &c);
    if (!err)
        err = check_grid(mpi, WEFT_MPI_HERE, c, &grid);
    if (!err)
        *newrank = c->rank < count(&grid) ? c->rank : MPI_UNDEFINED;
    return err;
}
WEFT_MPI_EXPORT(MPI_Cart_map);

int PMPI_Cartdim_get(MPI_Comm comm, int *ndims)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c;
    int err = weft__mpi_topo_get(mpi, WEFT_MPI_HERE, comm, MPI_CART, &c);
    if (!err)
        *ndims = c->topo->n;
    return err;
}
WEFT_MPI_EXPORT(MPI_Cartdim_get);

static int check_room(struct weft_mpi *mpi, const char *where, const struct weft_mpi_comm *comm,
                      int maxdims)
{
    if (maxdims >= comm->topo->n)
        return MPI_SUCCESS;
    return weft__mpi_error_raise(mpi, comm, MPI_ERR_DIMS, where,
                                 "room for %d dimensions, the topology has %d", maxdims,
                                 comm->topo->n);
}

int PMPI_Cart_get(MPI_Comm comm, int maxdims, int dims[], int periods[], int coords[])
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c;
    int err = weft__mpi_topo_get(mpi, WEFT_MPI_HERE, comm, MPI_CART, &c);
    if (!err)
        err = check_room(mpi, WEFT_MPI_HERE, c, maxdims);
    if (err)
        return err;
    const struct grid grid = grid_of(c);
    for (int i = 0; i < grid.n; i++) {
        dims[i] = grid.dims[i];
        periods[i] = grid.periods[i];
        coords[i] = own_coords(c)[i];
    }
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Cart_get);

int PMPI_Cart_rank(MPI_Comm comm, const int coords[], int *rank)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c;
    int err = weft__mpi_topo_get(mpi, WEFT_MPI_HERE, comm, MPI_CART, &c);
    if (err)
        return err;
    const struct grid grid = grid_of(c);
    int found = 0;
    for (int i = 0; i < grid.n; i++) {
        int coord = grid.periods[i] ? wrap(coords[i], grid.dims[i]) : coords[i];
        if (coord < 0 || coord >= grid.dims[i])
            return WEFT_MPI_RAISE(mpi, c, MPI_ERR_ARG, "coordinate %d in dimension %d of length %d",
                                  coord, i, grid.dims[i]);
        found = found * grid.dims[i] + coord;
    }
    *rank = found;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Cart_rank);

int PMPI_Cart_coords(MPI_Comm comm, int rank, int maxdims, int coords[])
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c;
    int err = weft__mpi_topo_get(mpi, WEFT_MPI_HERE, comm, MPI_CART, &c);
    if (!err)
        err = check_room(mpi, WEFT_MPI_HERE, c, maxdims);
    if (err)
        return err;
    if (rank < 0 || rank >= c->size)
        return WEFT_MPI_RAISE(mpi, c, MPI_ERR_RANK, "rank %d in a communicator of %d", rank,
                              c->size);
    const struct grid grid = grid_of(c);
    find_coords(&grid, rank, coords);
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Cart_coords);

/* The rank disp steps along a dimension; MPI_PROC_NULL: beyond the border. */
static int neighbour(const struct weft_mpi_comm *comm, int direction, int64_t disp)
{
    const struct grid grid = grid_of(comm);
    int length = grid.dims[direction], own = own_coords(comm)[direction], stride = 1;
    int64_t coord = own + disp;
    if (!grid.periods[direction] && (coord < 0 || coord >= length))
        return MPI_PROC_NULL;
    for (int i = direction + 1; i < grid.n; i++)
        stride *= grid.dims[i];
    return comm->rank + (wrap(coord, length) - own) * stride;
}

int PMPI_Cart_shift(MPI_Comm comm, int direction, int disp, int *rank_source, int *rank_dest)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c;
    int err = weft__mpi_topo_get(mpi, WEFT_MPI_HERE, comm, MPI_CART, &c);
    if (err)
        return err;
    if (direction < 0 || direction >= c->topo->n)
        return WEFT_MPI_RAISE(mpi, c, MPI_ERR_DIMS, "direction %d of %d dimensions", direction,
                              c->topo->n);
    *rank_source = neighbour(c, direction, -(int64_t)disp);
    *rank_dest = neighbour(c, direction, disp);
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Cart_shift);

/* The topology of the remaining dimensions; *color_out: which of the parts this rank is in. */
static struct weft_mpi_topo *remaining(struct weft_mpi *mpi, const struct weft_mpi_comm *comm,
                                       const int *remain, uint64_t *color_out)
{
    const struct grid grid = grid_of(comm);
    int n = 0, at = 0;
    *color_out = 0;
    for (int i = 0; i < grid.n; i++)
        n += remain[i] != 0;
    struct weft_mpi_topo *topo = weft__mpi_topo_new(mpi, MPI_CART, n, 3 * (size_t)n);
    for (int i = 0; topo && i < grid.n; i++) {
        if (!remain[i]) {
            *color_out = *color_out * (uint64_t)grid.dims[i] + (uint64_t)own_coords(comm)[i];
            continue;
        }
        topo->values[at] = grid.dims[i];
        topo->values[n + at] = grid.periods[i];
        topo->values[2 * n + at++] = own_coords(comm)[i];
    }
    return topo;
}

int PMPI_Cart_sub(MPI_Comm comm, const int remain_dims[], MPI_Comm *newcomm)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c, *made;
    uint64_t color;
    int err = weft__mpi_topo_get(mpi, WEFT_MPI_HERE, comm, MPI_CART, &c);
    if (err)
        return err;
    struct weft_mpi_topo *topo = remaining(mpi, c, remain_dims, &color);
    err = topo ? weft__mpi_make_split(mpi, c, &color, 0, &made) : MPI_ERR_NO_MEM;
    if (err) {
        weft__heap_free(mpi->cell->heap, topo);
        return weft__mpi_make_failed(mpi, WEFT_MPI_HERE, c, err);
    }
    made->topo = topo;
    *newcomm = made->handle;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Cart_sub);
