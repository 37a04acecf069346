/* Communicators: the world and the rank itself. Each has two contexts, for point to point and for
 * collectives, so that the messages of the one never match receives of the other. */
#include "mpi/error.h"
#include "mpi/list.h"

static void init_one(struct weft_mpi_comm *comm, uint32_t index, MPI_Comm handle)
{
    comm->handle = handle;
    comm->context = 2 * index;
    comm->errhandler = MPI_ERRORS_ARE_FATAL;
    for (int i = 0; i < 2; i++) {
        weft__mpi_list_init(&comm->queues[i].posted);
        weft__mpi_list_init(&comm->queues[i].unexpected);
    }
}

void weft__mpi_comm_init(struct weft_mpi *mpi)
{
    struct weft_mpi_comm *world = &mpi->comms[0], *self = &mpi->comms[1];
    init_one(world, 0, MPI_COMM_WORLD);
    world->rank = mpi->cell->rank;
    world->size = mpi->cell->size;
    init_one(self, 1, MPI_COMM_SELF);
    self->size = 1;
    mpi->self_rank = mpi->cell->rank;
    self->world_ranks = &mpi->self_rank;
}

struct weft_mpi_comm *weft__mpi_comm_find(struct weft_mpi *mpi, MPI_Comm handle)
{
    for (int i = 0; i < WEFT_MPI_COMMS; i++)
        if (mpi->comms[i].handle == handle)
            return &mpi->comms[i];
    return NULL;
}

struct weft_mpi_comm *weft__mpi_comm_by_context(struct weft_mpi *mpi, uint32_t context)
{
    return context < WEFT_MPI_CONTEXTS ? &mpi->comms[context / 2] : NULL;
}

int weft__mpi_comm_get(struct weft_mpi *mpi, const char *where, MPI_Comm handle,
                       struct weft_mpi_comm **comm_out)
{
    struct weft_mpi_comm *comm = weft__mpi_comm_find(mpi, handle);
    if (!comm)
        return weft__mpi_error_raise(mpi, NULL, MPI_ERR_COMM, where, "handle 0x%zx",
                                     weft__mpi_handle_value(handle));
    *comm_out = comm;
    return MPI_SUCCESS;
}

int PMPI_Comm_rank(MPI_Comm comm, int *rank)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c;
    int err = weft__mpi_comm_get(mpi, WEFT_MPI_HERE, comm, &c);
    if (err)
        return err;
    *rank = c->rank;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Comm_rank);

int PMPI_Comm_size(MPI_Comm comm, int *size)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c;
    int err = weft__mpi_comm_get(mpi, WEFT_MPI_HERE, comm, &c);
    if (err)
        return err;
    *size = c->size;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Comm_size);

int PMPI_Comm_test_inter(MPI_Comm comm, int *flag)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c;
    int err = weft__mpi_comm_get(mpi, WEFT_MPI_HERE, comm, &c);
    if (err)
        return err;
    *flag = 0;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Comm_test_inter);
