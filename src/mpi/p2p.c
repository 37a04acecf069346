/* Point to point: the blocking forms are the non-blocking ones, waited for. Ready sends are
 * standard sends: that a receive is posted is the program's promise and nothing that we need. */
#include "mpi/p2p.h"

#include <string.h>

#include "base/heap.h"
#include "mpi/error.h"
#include "mpi/protocol.h"
#include "mpi/request.h"
#include "mpi/type.h"
#include "mpi/wait.h"

int weft__mpi_p2p_check_data(struct weft_mpi *mpi, const char *where,
                             const struct weft_mpi_args *args)
{
    struct weft_mpi_comm *comm;
    int err = weft__mpi_comm_get(mpi, where, args->comm, &comm);
    if (err)
        return err;
    if (args->count < 0)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_COUNT, where, "count %lld",
                                     (long long)args->count);
    err = weft__mpi_type_check(mpi, comm, where, args->datatype);
    if (err)
        return err;
    const struct weft_mpi_type *type = weft__mpi_type_find(mpi, args->datatype);
    if (!weft__mpi_type_fits(type, args->count))
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_COUNT, where,
                                     "%lld values of %s are more than memory holds",
                                     (long long)args->count, weft__mpi_type_label(type));
    if (weft__mpi_type_misses(type, args->buf, args->count))
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_BUFFER, where,
                                     "no buffer for %lld values of %s", (long long)args->count,
                                     weft__mpi_type_label(type));
    return MPI_SUCCESS;
}

int weft__mpi_p2p_check(struct weft_mpi *mpi, const char *where, const struct weft_mpi_args *args)
{
    int err = weft__mpi_p2p_check_data(mpi, where, args);
    if (err)
        return err;
    const struct weft_mpi_comm *comm = weft__mpi_comm_find(mpi, args->comm);
    bool any_peer = args->recv && args->peer == MPI_ANY_SOURCE;
    bool any_tag = args->recv && args->tag == MPI_ANY_TAG;
    if (args->buf == MPI_IN_PLACE)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_BUFFER, where,
                                     "MPI_IN_PLACE has no meaning here");
    if ((args->peer < 0 || args->peer >= comm->peers) && args->peer != MPI_PROC_NULL && !any_peer)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_RANK, where,
                                     "rank %d in a communicator of %d", args->peer, comm->peers);
    if (args->tag < 0 && !any_tag)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_TAG, where, "tag %d", args->tag);
    return MPI_SUCCESS;
}

int weft__mpi_p2p_start(struct weft_mpi *mpi, const char *where, const struct weft_mpi_args *args,
                        struct weft_mpi_request **request_out)
{
    int err = weft__mpi_p2p_check(mpi, where, args);
    if (err)
        return err;
    struct weft_mpi_request *request = weft__mpi_request_new(
        mpi, weft__mpi_comm_find(mpi, args->comm), args->recv ? WEFT_MPI_RECV : WEFT_MPI_SEND);
    request->peer = args->peer;
    request->tag = args->tag;
    weft__mpi_request_data(mpi, request,
                           &(struct weft_mpi_buffer){(void *)(uintptr_t)args->buf, args->count,
                                                     weft__mpi_type_number(args->datatype)});
    request->sync = args->sync;
    if (args->recv)
        weft__mpi_protocol_recv(mpi, request);
    else
        weft__mpi_protocol_send(mpi, request);
    *request_out = request;
    return MPI_SUCCESS;
}

static int blocking(const char *where, const struct weft_mpi_args *args, MPI_Status *status)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    struct weft_mpi_request *request = NULL;
    int err = weft__mpi_p2p_start(mpi, where, args, &request);
    if (err)
        return err;
    return weft__mpi_wait_finish(mpi, where, request, status);
}

static int nonblocking(const char *where, const struct weft_mpi_args *args, MPI_Request *handle_out)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    struct weft_mpi_request *request = NULL;
    int err = weft__mpi_p2p_start(mpi, where, args, &request);
    if (!err)
        *handle_out = weft__mpi_request_handle(request);
    return err;
}

/* clang-format off */
#define ARGS(peer_, ...)                                                                           \
    {.buf = buf, .count = count, .datatype = datatype, .peer = (peer_), .tag = tag, .comm = comm, __VA_ARGS__}

#define SEND(name, Count, sync_)                                                                   \
    int P##name(const void *buf, Count count, MPI_Datatype datatype, int dest, int tag, MPI_Comm comm) \
    {                                                                                              \
        const struct weft_mpi_args args = ARGS(dest, .sync = (sync_));                             \
        return blocking(#name, &args, MPI_STATUS_IGNORE);                                          \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)

#define ISEND(name, Count, sync_)                                                                  \
    int P##name(const void *buf, Count count, MPI_Datatype datatype, int dest, int tag, MPI_Comm comm, \
                MPI_Request *request)                                                              \
    {                                                                                              \
        const struct weft_mpi_args args = ARGS(dest, .sync = (sync_));                             \
        return nonblocking(#name, &args, request);                                                 \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)

#define RECV(name, Count)                                                                          \
    int P##name(void *buf, Count count, MPI_Datatype datatype, int source, int tag, MPI_Comm comm, \
                MPI_Status *status)                                                                \
    {                                                                                              \
        const struct weft_mpi_args args = ARGS(source, .recv = true);                              \
        return blocking(#name, &args, status);                                                     \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)

#define IRECV(name, Count)                                                                         \
    int P##name(void *buf, Count count, MPI_Datatype datatype, int source, int tag, MPI_Comm comm, \
                MPI_Request *request)                                                              \
    {                                                                                              \
        const struct weft_mpi_args args = ARGS(source, .recv = true);                              \
        return nonblocking(#name, &args, request);                                                 \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)
/* clang-format on */

SEND(MPI_Send, int, false);
SEND(MPI_Send_c, MPI_Count, false);
SEND(MPI_Rsend, int, false);
SEND(MPI_Rsend_c, MPI_Count, false);
SEND(MPI_Ssend, int, true);
SEND(MPI_Ssend_c, MPI_Count, true);
ISEND(MPI_Isend, int, false);
ISEND(MPI_Isend_c, MPI_Count, false);
ISEND(MPI_Irsend, int, false);
ISEND(MPI_Irsend_c, MPI_Count, false);
ISEND(MPI_Issend, int, true);
ISEND(MPI_Issend_c, MPI_Count, true);
RECV(MPI_Recv, int);
RECV(MPI_Recv_c, MPI_Count);
IRECV(MPI_Irecv, int);
IRECV(MPI_Irecv_c, MPI_Count);

/* Both arguments are checked before either starts: a wrong send leaves no receive behind. */
static int sendrecv(const char *where, const struct weft_mpi_args *send,
                    const struct weft_mpi_args *recv, MPI_Status *status)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    struct weft_mpi_request *sending = NULL, *receiving = NULL;
    int err = weft__mpi_p2p_check(mpi, where, send);
    if (!err)
        err = weft__mpi_p2p_start(mpi, where, recv, &receiving);
    if (!err)
        err = weft__mpi_p2p_start(mpi, where, send, &sending);
    if (err)
        return err;
    weft__mpi_protocol_finish(mpi, receiving);
    int send_err = weft__mpi_wait_finish(mpi, where, sending, MPI_STATUS_IGNORE);
    err = weft__mpi_wait_finish(mpi, where, receiving, status);
    return err ? err : send_err;
}

/* clang-format off */
#define SENDRECV(name, Count)                                                                      \
    int P##name(const void *sendbuf, Count sendcount, MPI_Datatype sendtype, int dest, int sendtag, \
                void *recvbuf, Count recvcount, MPI_Datatype recvtype, int source, int recvtag,    \
                MPI_Comm comm, MPI_Status *status)                                                 \
    {                                                                                              \
        const struct weft_mpi_args send = {.buf = sendbuf, .count = sendcount, .datatype = sendtype, \
                                           .peer = dest, .tag = sendtag, .comm = comm};            \
        const struct weft_mpi_args recv = {.buf = recvbuf, .count = recvcount, .datatype = recvtype, \
                                           .peer = source, .tag = recvtag, .comm = comm, .recv = true}; \
        return sendrecv(#name, &send, &recv, status);                                              \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)
/* clang-format on */

SENDRECV(MPI_Sendrecv, int);
SENDRECV(MPI_Sendrecv_c, MPI_Count);

static int sendrecv_replace(const char *where, const struct weft_mpi_args *send,
                            const struct weft_mpi_args *recv, MPI_Status *status)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    int err = weft__mpi_p2p_check(mpi, where, send);
    if (err)
        return err;
    const struct weft_mpi_type *type = weft__mpi_type_find(mpi, send->datatype);
    struct weft_mpi_args copied = *send;
    copied.count = send->count * (MPI_Count)type->size;
    copied.datatype = MPI_PACKED;
    void *copy = weft__heap_alloc(mpi->cell->heap, (size_t)copied.count);
    if (!copy)
        return weft__mpi_error_raise(mpi, weft__mpi_comm_find(mpi, send->comm), MPI_ERR_NO_MEM,
                                     where, "no room for a copy of %lld values of %s",
                                     (long long)send->count, weft__mpi_type_label(type));
    weft__mpi_type_pack(mpi,
                        &(struct weft_mpi_buffer){(void *)(uintptr_t)send->buf, send->count,
                                                  weft__mpi_type_number(send->datatype)},
                        0, copy, (size_t)copied.count);
    copied.buf = copy;
    err = sendrecv(where, &copied, recv, status);
    weft__heap_free(mpi->cell->heap, copy);
    return err;
}

/* clang-format off */
#define SENDRECV_REPLACE(name, Count)                                                              \
    int P##name(void *buf, Count count, MPI_Datatype datatype, int dest, int sendtag, int source,  \
                int recvtag, MPI_Comm comm, MPI_Status *status)                                    \
    {                                                                                              \
        const struct weft_mpi_args send = {.buf = buf, .count = count, .datatype = datatype,       \
                                           .peer = dest, .tag = sendtag, .comm = comm};            \
        const struct weft_mpi_args recv = {.buf = buf, .count = count, .datatype = datatype,       \
                                           .peer = source, .tag = recvtag, .comm = comm, .recv = true}; \
        return sendrecv_replace(#name, &send, &recv, status);                                      \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)
/* clang-format on */

SENDRECV_REPLACE(MPI_Sendrecv_replace, int);
SENDRECV_REPLACE(MPI_Sendrecv_replace_c, MPI_Count);
