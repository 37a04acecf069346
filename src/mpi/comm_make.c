/* What making a communicator is made of: telling the members its context, and building it.
 *
 * The object and its handle can be there before its context: so a non-blocking duplicate is the
 * same as a blocking one, whose last step opens it.
 */
#include "mpi/comm_make.h"

#include <string.h>

#include "base/heap.h"
#include "mpi/attr.h"
#include "mpi/comm.h"
#include "mpi/errhandler.h"
#include "mpi/error.h"
#include "mpi/info.h"
#include "mpi/protocol.h"
#include "mpi/request.h"
#include "mpi/schedule.h"
#include "mpi/topo.h"

int weft__mpi_make_failed(struct weft_mpi *mpi, const char *where, const struct weft_mpi_comm *comm,
                          int err)
{
    if (err == MPI_ERR_NO_MEM)
        return weft__mpi_error_raise(mpi, comm, err, where, "no room for a communicator");
    return weft__mpi_error_raise(mpi, comm, err, where, "no communicator was made (code %d)", err);
}

int weft__mpi_make_finish(struct weft_mpi *mpi, struct weft_mpi_request *collective)
{
    if (!collective)
        return MPI_ERR_NO_MEM;
    if (collective->schedule->no_memory) {
        weft__mpi_request_free(mpi, collective);
        return MPI_ERR_NO_MEM;
    }
    weft__mpi_schedule_start(mpi, collective);
    weft__mpi_protocol_finish(mpi, collective);
    int err = collective->error;
    weft__mpi_request_free(mpi, collective);
    return err;
}

/* ---- building ---- */

/* What the new one takes over from its parent. */
static int inherit(struct weft_mpi *mpi, const struct weft_mpi_make *make,
                   struct weft_mpi_comm *comm)
{
    struct weft_mpi_comm *parent = make->parent;
    comm->errhandler = weft__mpi_errhandler_hold(mpi, parent->errhandler);
    if (make->info && !(comm->info = weft__mpi_info_copy(mpi, make->info)))
        return MPI_ERR_NO_MEM;
    if (!make->duplicate)
        return MPI_SUCCESS;
    if (parent->topo && !(comm->topo = weft__mpi_topo_copy(mpi, parent->topo)))
        return MPI_ERR_NO_MEM;
    const struct weft_mpi_attr_owner owner = {WEFT_MPI_ATTR_COMM, parent->handle, &parent->attrs};
    return weft__mpi_attr_copy(mpi, &owner, &comm->attrs);
}

int weft__mpi_make_begin(struct weft_mpi *mpi, const struct weft_mpi_make *make,
                         struct weft_mpi_comm **comm_out)
{
    struct weft_mpi_comm *comm = weft__mpi_comm_new(mpi, make->group, make->remote);
    if (!comm)
        return MPI_ERR_NO_MEM;
    int err = inherit(mpi, make, comm);
    if (!err && !weft__mpi_comm_publish(mpi, comm))
        err = MPI_ERR_NO_MEM;
    if (err) {
        weft__mpi_comm_put(mpi, comm);
        return err;
    }
    *comm_out = comm;
    return MPI_SUCCESS;
}

int weft__mpi_make(struct weft_mpi *mpi, const struct weft_mpi_make *make, uint64_t context,
                   struct weft_mpi_comm **comm_out)
{
    int err = weft__mpi_make_begin(mpi, make, comm_out);
    if (!err)
        weft__mpi_comm_open(mpi, *comm_out, context);
    return err;
}

/* ---- telling ---- */

static int32_t member(const struct weft_mpi_tree *tree, int64_t i)
{
    return tree->ranks ? tree->ranks[i] : (int32_t)((tree->root + i) % tree->n);
}

/* A binomial tree: number me has it from me without its lowest bit. */
void weft__mpi_make_add_tree(struct weft_mpi_schedule *schedule, const struct weft_mpi_tree *tree)
{
    const struct weft_mpi_buffer data = {tree->data, (MPI_Count)tree->len_bytes,
                                         weft__mpi_type_number(MPI_BYTE)};
    int64_t bit = 1;
    while (bit < tree->n && (tree->me & bit) == 0)
        bit *= 2;
    if (tree->me != 0) {
        weft__mpi_schedule_recv(schedule, member(tree, tree->me - bit), &data);
        weft__mpi_schedule_fence(schedule);
    }
    for (bit /= 2; bit > 0; bit /= 2)
        if (tree->me + bit < tree->n)
            weft__mpi_schedule_send(schedule, member(tree, tree->me + bit), &data);
}

struct weft_mpi_request *weft__mpi_make_tree(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                                             const struct weft_mpi_tree *tree)
{
    struct weft_mpi_request *request = weft__mpi_schedule_new(mpi, comm);
    if (request)
        weft__mpi_make_add_tree(request->schedule, tree);
    return request;
}

/* In log2(n) rounds: after round k a rank has what the 2^k ranks from itself on had. */
int weft__mpi_make_exchange(struct weft_mpi *mpi, struct weft_mpi_comm *comm, void *all, size_t len)
{
    int64_t size = comm->size, n;
    struct weft_mpi_request *request = weft__mpi_schedule_new(mpi, comm);
    if (!request)
        return MPI_ERR_NO_MEM;
    for (int64_t have = 1; have < size; have += n) {
        n = have < size - have ? have : size - have;
        struct weft_mpi_buffer data = {all, n * (MPI_Count)len, weft__mpi_type_number(MPI_BYTE)};
        weft__mpi_schedule_send(request->schedule, (comm->rank + size - have) % size, &data);
        data.buf = (unsigned char *)all + (size_t)have * len;
        weft__mpi_schedule_recv(request->schedule, (comm->rank + have) % size, &data);
        weft__mpi_schedule_fence(request->schedule);
    }
    return weft__mpi_make_finish(mpi, request);
}
