/* Collectives as the program calls them: arguments checked, schedule written, started, waited for.
 */
#include "mpi/coll.h"
#include "mpi/error.h"
#include "mpi/op.h"
#include "mpi/p2p.h"
#include "mpi/protocol.h"
#include "mpi/request.h"
#include "mpi/wait.h"

/* Starts the schedule; request NULL: waits for it. */
static int launch(struct weft_mpi *mpi, const char *where, struct weft_mpi_request *collective,
                  MPI_Request *handle_out)
{
    if (!collective)
        return weft__mpi_error_raise(mpi, NULL, MPI_ERR_NO_MEM, where, "the rank's region is full");
    weft__mpi_schedule_start(mpi, collective);
    if (!handle_out)
        return weft__mpi_wait_finish(mpi, where, collective, MPI_STATUS_IGNORE);
    *handle_out = weft__mpi_request_handle(collective);
    return MPI_SUCCESS;
}

static int check_root(struct weft_mpi *mpi, const char *where, const struct weft_mpi_comm *comm,
                      int root)
{
    if (root >= 0 && root < comm->size)
        return MPI_SUCCESS;
    return weft__mpi_error_raise(mpi, comm, MPI_ERR_ROOT, where, "root %d in a communicator of %d",
                                 root, comm->size);
}

static int barrier(const char *where, MPI_Comm handle, MPI_Request *request)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    struct weft_mpi_comm *comm;
    int err = weft__mpi_comm_get(mpi, where, handle, &comm);
    if (err)
        return err;
    return launch(mpi, where, weft__mpi_coll_barrier(mpi, comm), request);
}

int PMPI_Barrier(MPI_Comm comm)
{
    return barrier(WEFT_MPI_HERE, comm, NULL);
}
WEFT_MPI_EXPORT(MPI_Barrier);

int PMPI_Ibarrier(MPI_Comm comm, MPI_Request *request)
{
    return barrier(WEFT_MPI_HERE, comm, request);
}
WEFT_MPI_EXPORT(MPI_Ibarrier);

static int bcast(const char *where, const struct weft_mpi_args *args, int root,
                 MPI_Request *request)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    int err = weft__mpi_p2p_check_data(mpi, where, args);
    struct weft_mpi_comm *comm = weft__mpi_comm_find(mpi, args->comm);
    if (!err && args->buf == MPI_IN_PLACE)
        err = weft__mpi_error_raise(mpi, comm, MPI_ERR_BUFFER, where,
                                    "MPI_IN_PLACE has no meaning here");
    if (!err)
        err = check_root(mpi, where, comm, root);
    if (err)
        return err;
    const struct weft_mpi_data data = {.from = args->buf,
                                       .into = (void *)(uintptr_t)args->buf,
                                       .count = args->count,
                                       .type = weft__mpi_type_number(args->datatype)};
    return launch(mpi, where, weft__mpi_coll_bcast(mpi, comm, &data, root), request);
}

struct reduce_args {
    const void *sendbuf;
    void *recvbuf;
    MPI_Count count;
    MPI_Datatype datatype;
    MPI_Op op;
    int root; /* NO_ROOT: every rank gets the result */
    MPI_Comm comm;
};
enum { NO_ROOT = -1 };

static int check_reduce_op(struct weft_mpi *mpi, const char *where,
                           const struct weft_mpi_comm *comm, MPI_Op op, MPI_Datatype datatype)
{
    const struct weft_mpi_type *type = weft__mpi_type_find(mpi, datatype);
    if (!weft__mpi_op_known(mpi, op))
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_OP, where,
                                     "handle 0x%zx is not an operation of reductions",
                                     weft__mpi_handle_value(op));
    if (!weft__mpi_op_defined(op, type))
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_OP, where, "%s is not defined for %s",
                                     weft__mpi_op_name(op), weft__mpi_type_label(type));
    return MPI_SUCCESS;
}

/* The buffers that this rank needs are there and are not one. */
static int check_reduce_buffers(struct weft_mpi *mpi, const char *where,
                                const struct weft_mpi_comm *comm, const struct reduce_args *args)
{
    bool receives = args->root == NO_ROOT || args->root == comm->rank;
    if (args->sendbuf == MPI_IN_PLACE && !receives)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_BUFFER, where,
                                     "MPI_IN_PLACE is for the root");
    if (!receives || args->count == 0)
        return MPI_SUCCESS;
    if (!args->recvbuf || args->recvbuf == MPI_IN_PLACE)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_BUFFER, where, "no buffer for the result");
    if (args->sendbuf == args->recvbuf)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_BUFFER, where,
                                     "send and receive buffer are the same: pass MPI_IN_PLACE");
    return MPI_SUCCESS;
}

static int check_reduce(struct weft_mpi *mpi, const char *where, const struct reduce_args *args)
{
    const struct weft_mpi_args data = {
        .buf = args->sendbuf, .count = args->count, .datatype = args->datatype, .comm = args->comm};
    int err = weft__mpi_p2p_check_data(mpi, where, &data);
    const struct weft_mpi_comm *comm = weft__mpi_comm_find(mpi, args->comm);
    if (!err)
        err = check_reduce_op(mpi, where, comm, args->op, args->datatype);
    if (!err && args->root != NO_ROOT)
        err = check_root(mpi, where, comm, args->root);
    return err ? err : check_reduce_buffers(mpi, where, comm, args);
}

static int reduce(const char *where, const struct reduce_args *args, MPI_Request *request)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    int err = check_reduce(mpi, where, args);
    if (err)
        return err;
    struct weft_mpi_comm *comm = weft__mpi_comm_find(mpi, args->comm);
    const struct weft_mpi_reduce desc = {
        .from = args->sendbuf == MPI_IN_PLACE ? args->recvbuf : args->sendbuf,
        .into = args->root == NO_ROOT || args->root == comm->rank ? args->recvbuf : NULL,
        .count = args->count,
        .type = weft__mpi_type_number(args->datatype),
        .op = (uint32_t)weft__mpi_handle_value(args->op)};
    if (args->root == NO_ROOT)
        return launch(mpi, where, weft__mpi_coll_allreduce(mpi, comm, &desc), request);
    return launch(mpi, where, weft__mpi_coll_reduce(mpi, comm, &desc, args->root), request);
}

struct alltoall_args {
    struct weft_mpi_args send, recv; /* a block's count and type; both have the communicator */
};

/* One side: its block, and a block for each rank. */
static int check_blocks(struct weft_mpi *mpi, const char *where, const struct weft_mpi_args *args)
{
    int err = weft__mpi_p2p_check_data(mpi, where, args);
    if (err)
        return err;
    const struct weft_mpi_comm *comm = weft__mpi_comm_find(mpi, args->comm);
    const struct weft_mpi_type *type = weft__mpi_type_find(mpi, args->datatype);
    MPI_Count count;
    if (__builtin_mul_overflow(args->count, comm->size, &count) ||
        !weft__mpi_type_fits(type, count))
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_COUNT, where,
                                     "%lld values of %s for each of %d ranks are more than memory "
                                     "holds",
                                     (long long)args->count, weft__mpi_type_label(type),
                                     comm->size);
    return MPI_SUCCESS;
}

static int check_alltoall(struct weft_mpi *mpi, const char *where, const struct alltoall_args *args)
{
    const struct weft_mpi_args *send = &args->send, *recv = &args->recv;
    int err = send->buf == MPI_IN_PLACE ? MPI_SUCCESS : check_blocks(mpi, where, send);
    if (!err)
        err = check_blocks(mpi, where, recv);
    if (err || recv->count == 0)
        return err;
    const struct weft_mpi_comm *comm = weft__mpi_comm_find(mpi, recv->comm);
    if (recv->buf == MPI_IN_PLACE)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_BUFFER, where,
                                     "MPI_IN_PLACE is for the send buffer");
    if (send->buf == recv->buf)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_BUFFER, where,
                                     "send and receive buffer are the same: pass MPI_IN_PLACE");
    return MPI_SUCCESS;
}

static int alltoall(const char *where, const struct alltoall_args *args, MPI_Request *request)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    int err = check_alltoall(mpi, where, args);
    if (err)
        return err;
    const struct weft_mpi_args *send = &args->send, *recv = &args->recv;
    struct weft_mpi_comm *comm = weft__mpi_comm_find(mpi, recv->comm);
    struct weft_mpi_alltoall desc = {.into = (void *)(uintptr_t)recv->buf,
                                     .into_count = recv->count,
                                     .into_type = weft__mpi_type_number(recv->datatype)};
    if (send->buf != MPI_IN_PLACE) {
        /* Blocks without values need no buffer; NULL would mean in place. */
        desc.from = send->buf ? send->buf : "";
        desc.from_count = send->count;
        desc.from_type = weft__mpi_type_number(send->datatype);
    }
    return launch(mpi, where, weft__mpi_coll_alltoall(mpi, comm, &desc), request);
}

/* clang-format off */
#define BCAST(name, Count, handle, ...)                                                            \
    int P##name(void *buffer, Count count, MPI_Datatype datatype, int root, MPI_Comm comm __VA_ARGS__) \
    {                                                                                              \
        const struct weft_mpi_args args = {.buf = buffer, .count = count, .datatype = datatype, .comm = comm}; \
        return bcast(#name, &args, root, handle);                                                  \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)

#define REDUCE(name, Count, handle, ...)                                                           \
    int P##name(const void *sendbuf, void *recvbuf, Count count, MPI_Datatype datatype, MPI_Op op, \
                int root, MPI_Comm comm __VA_ARGS__)                                               \
    {                                                                                              \
        const struct reduce_args args = {sendbuf, recvbuf, count, datatype, op, root < 0 ? MPI_PROC_NULL : root, comm}; \
        return reduce(#name, &args, handle);                                                       \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)

#define ALLREDUCE(name, Count, handle, ...)                                                        \
    int P##name(const void *sendbuf, void *recvbuf, Count count, MPI_Datatype datatype, MPI_Op op, \
                MPI_Comm comm __VA_ARGS__)                                                         \
    {                                                                                              \
        const struct reduce_args args = {sendbuf, recvbuf, count, datatype, op, NO_ROOT, comm};    \
        return reduce(#name, &args, handle);                                                       \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)

#define ALLTOALL(name, Count, handle, ...)                                                         \
    int P##name(const void *sendbuf, Count sendcount, MPI_Datatype sendtype, void *recvbuf,        \
                Count recvcount, MPI_Datatype recvtype, MPI_Comm comm __VA_ARGS__)                 \
    {                                                                                              \
        const struct alltoall_args args = {                                                        \
            .send = {.buf = sendbuf, .count = sendcount, .datatype = sendtype, .comm = comm},      \
            .recv = {.buf = recvbuf, .count = recvcount, .datatype = recvtype, .comm = comm}};     \
        return alltoall(#name, &args, handle);                                                     \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)

#define WITH_REQUEST , MPI_Request *request

BCAST(MPI_Bcast, int, NULL,);
BCAST(MPI_Bcast_c, MPI_Count, NULL,);
BCAST(MPI_Ibcast, int, request, WITH_REQUEST);
BCAST(MPI_Ibcast_c, MPI_Count, request, WITH_REQUEST);
REDUCE(MPI_Reduce, int, NULL,);
REDUCE(MPI_Reduce_c, MPI_Count, NULL,);
REDUCE(MPI_Ireduce, int, request, WITH_REQUEST);
REDUCE(MPI_Ireduce_c, MPI_Count, request, WITH_REQUEST);
ALLREDUCE(MPI_Allreduce, int, NULL,);
ALLREDUCE(MPI_Allreduce_c, MPI_Count, NULL,);
ALLREDUCE(MPI_Iallreduce, int, request, WITH_REQUEST);
ALLREDUCE(MPI_Iallreduce_c, MPI_Count, request, WITH_REQUEST);
ALLTOALL(MPI_Alltoall, int, NULL,);
ALLTOALL(MPI_Alltoall_c, MPI_Count, NULL,);
ALLTOALL(MPI_Ialltoall, int, request, WITH_REQUEST);
ALLTOALL(MPI_Ialltoall_c, MPI_Count, request, WITH_REQUEST);
/* clang-format on */

static int reduce_local(const char *where, const struct weft_mpi_args *args, void *inoutbuf,
                        MPI_Op op)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    int err = weft__mpi_p2p_check_data(mpi, where, args);
    if (!err)
        err = check_reduce_op(mpi, where, NULL, op, args->datatype);
    if (err)
        return err;
    const struct weft_mpi_combine combine = {.op = (uint32_t)weft__mpi_handle_value(op),
                                             .type = weft__mpi_type_number(args->datatype),
                                             .count = args->count,
                                             .left = args->buf,
                                             .right = inoutbuf,
                                             .into = inoutbuf};
    weft__mpi_op_combine(mpi, &combine);
    return MPI_SUCCESS;
}

int PMPI_Reduce_local(const void *inbuf, void *inoutbuf, int count, MPI_Datatype datatype,
                      MPI_Op op)
{
    const struct weft_mpi_args args = {
        .buf = inbuf, .count = count, .datatype = datatype, .comm = MPI_COMM_SELF};
    return reduce_local(WEFT_MPI_HERE, &args, inoutbuf, op);
}
WEFT_MPI_EXPORT(MPI_Reduce_local);

int PMPI_Reduce_local_c(const void *inbuf, void *inoutbuf, MPI_Count count, MPI_Datatype datatype,
                        MPI_Op op)
{
    const struct weft_mpi_args args = {
        .buf = inbuf, .count = count, .datatype = datatype, .comm = MPI_COMM_SELF};
    return reduce_local(WEFT_MPI_HERE, &args, inoutbuf, op);
}
WEFT_MPI_EXPORT(MPI_Reduce_local_c);
