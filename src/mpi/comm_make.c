/* Making communicators from communicators: what the members tell each other, and what each makes of
 * it.
 *
 * Rank 0 of the new communicator offers its context (see comm.c). For a duplicate that is a
 * broadcast. For a split every rank adds an offer of its own to what it tells all others (colour
 * and key), and the first member of each colour has made the offer that counts.
 */
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "mpi/coll.h"
#include "mpi/comm.h"
#include "mpi/error.h"
#include "mpi/group.h"
#include "mpi/protocol.h"
#include "mpi/request.h"
#include "mpi/schedule.h"

/* Runs a collective of the library's own; its error, not raised. */
static int finish(struct weft_mpi *mpi, struct weft_mpi_request *collective)
{
    if (!collective)
        return MPI_ERR_NO_MEM;
    weft__mpi_schedule_start(mpi, collective);
    weft__mpi_protocol_finish(mpi, collective);
    int err = collective->error;
    weft__mpi_request_free(mpi, collective);
    return err;
}

static int raise_failed(struct weft_mpi *mpi, const char *where, const struct weft_mpi_comm *comm,
                        int err)
{
    return weft__mpi_error_raise(mpi, comm, err, where, "no communicator was made");
}

/* Opens a communicator of this group and gives it a handle. */
static int make(struct weft_mpi *mpi, const struct weft_mpi_comm *parent,
                struct weft_mpi_group *group, uint64_t context, struct weft_mpi_comm **comm_out)
{
    struct weft_mpi_comm *comm = weft__mpi_comm_new(mpi, group, NULL);
    if (!comm)
        return MPI_ERR_NO_MEM;
    comm->errhandler = parent->errhandler;
    weft__mpi_comm_open(mpi, comm, context);
    if (!weft__mpi_comm_publish(mpi, comm)) {
        weft__mpi_comm_put(mpi, comm);
        return MPI_ERR_NO_MEM;
    }
    *comm_out = comm;
    return MPI_SUCCESS;
}

/* ---- duplicates ---- */

static int dup(const char *where, MPI_Comm handle, MPI_Comm *handle_out)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    struct weft_mpi_comm *comm, *made = NULL;
    int err = weft__mpi_comm_get(mpi, where, handle, &comm);
    if (err)
        return err;
    uint64_t context = comm->rank == 0 ? weft__mpi_comm_offer(mpi) : 0;
    const struct weft_mpi_buffer data = {&context, sizeof(context),
                                         weft__mpi_type_number(MPI_BYTE)};
    err = finish(mpi, weft__mpi_coll_bcast(mpi, comm, &data, 0));
    if (!err)
        err = make(mpi, comm, comm->group, context, &made);
    if (err)
        return raise_failed(mpi, where, comm, err);
    *handle_out = made->handle;
    return MPI_SUCCESS;
}

int PMPI_Comm_dup(MPI_Comm comm, MPI_Comm *newcomm)
{
    return dup(WEFT_MPI_HERE, comm, newcomm);
}
WEFT_MPI_EXPORT(MPI_Comm_dup);

/* ---- splits ---- */

/* What each rank tells all others. */
struct choice {
    int32_t color, key;
    uint64_t context;
};

/* Each rank's choice to all, in log2(n) rounds: after round k a rank has those of the 2^k ranks
 * from itself on. */
static int exchange(struct weft_mpi *mpi, struct weft_mpi_comm *comm, struct choice *all)
{
    int32_t size = comm->size;
    struct weft_mpi_request *request = weft__mpi_schedule_new(mpi, comm);
    if (!request)
        return MPI_ERR_NO_MEM;
    for (int32_t have = 1; have < size;) {
        int32_t n = have < size - have ? have : size - have;
        struct weft_mpi_buffer data = {all, n * (MPI_Count)sizeof(*all),
                                       weft__mpi_type_number(MPI_BYTE)};
        weft__mpi_schedule_send(request->schedule, ((int64_t)comm->rank + size - have) % size,
                                &data);
        data.buf = all + have;
        weft__mpi_schedule_recv(request->schedule, ((int64_t)comm->rank + have) % size, &data);
        weft__mpi_schedule_fence(request->schedule);
        have += n;
    }
    return finish(mpi, request);
}

/* A rank of this one's colour; all[i] is the choice of rank (own + i) % size. */
struct member {
    int32_t key, rank, world_rank;
    uint64_t context;
};

static int compare_members(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->rank < y->rank ? -1 : 1;
}

static int32_t choose(const struct weft_mpi_comm *comm, const struct choice *all,
                      struct member *members)
{
    int32_t n = 0;
    for (int32_t i = 0; i < comm->size; i++) {
        int32_t rank = (int32_t)(((int64_t)comm->rank + i) % comm->size);
        if (all[i].color != all[0].color)
            continue;
        members[n++] = (struct member){.key = all[i].key,
                                       .rank = rank,
                                       .world_rank = weft__mpi_group_world_rank(comm->group, rank),
                                       .context = all[i].context};
    }
    qsort(members, (size_t)n, sizeof(*members), compare_members);
    return n;
}

static int make_part(struct weft_mpi *mpi, const struct weft_mpi_comm *comm,
                     const struct choice *all, struct weft_mpi_comm **comm_out)
{
    struct weft_heap *heap = mpi->cell->heap;
    struct member *members = weft__heap_alloc(heap, (size_t)comm->size * sizeof(*members));
    int32_t *ranks = weft__heap_alloc(heap, (size_t)comm->size * sizeof(*ranks));
    struct weft_mpi_group *group = NULL;
    int err = MPI_ERR_NO_MEM;
    if (members && ranks) {
        int32_t n = choose(comm, all, members);
        for (int32_t i = 0; i < n; i++)
            ranks[i] = members[i].world_rank;
        group = weft__mpi_group_new(mpi, n, ranks);
    }
    if (group)
        err = make(mpi, comm, group, members[0].context, comm_out);
    weft__mpi_group_put(mpi, group);
    weft__heap_free(heap, ranks);
    weft__heap_free(heap, members);
    return err;
}

static int split(const char *where, MPI_Comm handle, int color, int key, MPI_Comm *handle_out)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    struct weft_mpi_comm *comm, *made = NULL;
    int err = weft__mpi_comm_get(mpi, where, handle, &comm);
    if (err)
        return err;
    if (color < 0 && color != MPI_UNDEFINED)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_ARG, where, "color %d", color);
    struct choice *all = weft__heap_alloc(mpi->cell->heap, (size_t)comm->size * sizeof(*all));
    if (!all)
        return raise_failed(mpi, where, comm, MPI_ERR_NO_MEM);
    all[0] = (struct choice){.color = color, .key = key, .context = weft__mpi_comm_offer(mpi)};
    err = exchange(mpi, comm, all);
    if (!err && color != MPI_UNDEFINED)
        err = make_part(mpi, comm, all, &made);
    weft__heap_free(mpi->cell->heap, all);
    if (err)
        return raise_failed(mpi, where, comm, err);
    *handle_out = made ? made->handle : MPI_COMM_NULL;
    return MPI_SUCCESS;
}

int PMPI_Comm_split(MPI_Comm comm, int color, int key, MPI_Comm *newcomm)
{
    return split(WEFT_MPI_HERE, comm, color, key, newcomm);
}
WEFT_MPI_EXPORT(MPI_Comm_split);
