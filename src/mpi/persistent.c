/* Persistent requests: arguments checked once, started as often as the program wants.
 *
 * A request is inactive until it is started, and again when its end has been seen. It holds its
 * communicator and type from the beginning. Each start of a buffered one copies the message as it
 * then is, and is done at once.
 */
#include "mpi/attached.h"
#include "mpi/error.h"
#include "mpi/p2p.h"
#include "mpi/protocol.h"
#include "mpi/request.h"
#include "mpi/schedule.h"
#include "mpi/wait.h"

static int init(const char *where, const struct weft_mpi_args *args, MPI_Request *handle_out)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    int err = weft__mpi_p2p_check(mpi, where, args);
    if (err)
        return err;
    struct weft_mpi_request *request = weft__mpi_p2p_new(mpi, args);
    request->persistent = true;
    request->inactive = true;
    *handle_out = weft__mpi_request_handle(request);
    return MPI_SUCCESS;
}

/* The inactive request of a handle. */
static int get_inactive(struct weft_mpi *mpi, const char *where, MPI_Request handle,
                        struct weft_mpi_request **request_out)
{
    int err = weft__mpi_wait_get(mpi, where, handle, request_out);
    if (!err && !(*request_out)->inactive)
        return weft__mpi_error_raise(mpi, (*request_out)->comm, MPI_ERR_REQUEST, where,
                                     "handle 0x%zx is not an inactive persistent request",
                                     weft__mpi_handle_value(handle));
    return err;
}

static int start(struct weft_mpi *mpi, const char *where, struct weft_mpi_request *request)
{
    int err = MPI_SUCCESS;
    request->inactive = false;
    if (request->kind == WEFT_MPI_COLLECTIVE) {
        weft__mpi_schedule_start(mpi, request);
    } else if (request->kind == WEFT_MPI_RECV) {
        weft__mpi_protocol_recv(mpi, request);
    } else if (!request->buffered) {
        weft__mpi_protocol_send(mpi, request);
    } else {
        err = weft__mpi_attached_send(mpi, where, request);
        request->inactive = err != MPI_SUCCESS;
        if (!err)
            weft__mpi_request_complete(mpi, request, MPI_SUCCESS);
    }
    return err;
}

int PMPI_Start(MPI_Request *request)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_request *found;
    int err = get_inactive(mpi, WEFT_MPI_HERE, *request, &found);
    return err ? err : start(mpi, WEFT_MPI_HERE, found);
}
WEFT_MPI_EXPORT(MPI_Start);

/* All handles are checked before the first starts. */
int PMPI_Startall(int count, MPI_Request array_of_requests[])
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_request *found;
    if (count < 0)
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_COUNT, "count %d", count);
    for (int i = 0; i < count; i++) {
        int err = get_inactive(mpi, WEFT_MPI_HERE, array_of_requests[i], &found);
        if (err)
            return err;
    }
    for (int i = 0; i < count; i++) {
        int err = start(mpi, WEFT_MPI_HERE, weft__mpi_request_find(mpi, array_of_requests[i]));
        if (err)
            return err;
    }
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Startall);

/* clang-format off */
#define SEND_INIT(name, Count, ...)                                                                \
    int P##name(const void *buf, Count count, MPI_Datatype datatype, int dest, int tag, MPI_Comm comm, \
                MPI_Request *request)                                                              \
    {                                                                                              \
        const struct weft_mpi_args args = {.buf = buf, .count = count, .datatype = datatype,       \
                                           .peer = dest, .tag = tag, .comm = comm, __VA_ARGS__};   \
        return init(#name, &args, request);                                                        \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)

#define RECV_INIT(name, Count)                                                                     \
    int P##name(void *buf, Count count, MPI_Datatype datatype, int source, int tag, MPI_Comm comm, \
                MPI_Request *request)                                                              \
    {                                                                                              \
        const struct weft_mpi_args args = {.buf = buf, .count = count, .datatype = datatype,       \
                                           .peer = source, .tag = tag, .comm = comm, .recv = true}; \
        return init(#name, &args, request);                                                        \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)
/* clang-format on */

SEND_INIT(MPI_Send_init, int, .sync = false);
SEND_INIT(MPI_Send_init_c, MPI_Count, .sync = false);
SEND_INIT(MPI_Rsend_init, int, .sync = false);
SEND_INIT(MPI_Rsend_init_c, MPI_Count, .sync = false);
SEND_INIT(MPI_Ssend_init, int, .sync = true);
SEND_INIT(MPI_Ssend_init_c, MPI_Count, .sync = true);
SEND_INIT(MPI_Bsend_init, int, .buffered = true);
SEND_INIT(MPI_Bsend_init_c, MPI_Count, .buffered = true);
RECV_INIT(MPI_Recv_init, int);
RECV_INIT(MPI_Recv_init_c, MPI_Count);
