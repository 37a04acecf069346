/* A send and a receive in one call. All arguments are checked before either starts: a wrong send
 * leaves no receive behind.
 *
 * The non-blocking forms are one request, the receive's; the send is a part of it, and the request
 * is done when both are. The replacing forms send a packed copy of the buffer, made at the start.
 */
#include "mpi/error.h"
#include "mpi/p2p.h"
#include "mpi/protocol.h"
#include "mpi/request.h"
#include "mpi/wait.h"

struct both {
    struct weft_mpi_args send, recv;
    bool replace;
};

static int check(struct weft_mpi *mpi, const char *where, const struct both *both)
{
    int err = weft__mpi_p2p_check(mpi, where, &both->send);
    return err ? err : weft__mpi_p2p_check(mpi, where, &both->recv);
}

/* The receive first: what comes meanwhile finds its place. The copy is made before that. */
static struct weft_mpi_request *new_send(struct weft_mpi *mpi, const struct both *both)
{
    struct weft_mpi_request *send = weft__mpi_p2p_new(mpi, &both->send);
    send->copied = both->replace;
    return send;
}

static int sendrecv(const char *where, const struct both *both, MPI_Status *status)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    int err = check(mpi, where, both);
    if (err)
        return err;
    struct weft_mpi_request *send = new_send(mpi, both);
    struct weft_mpi_request *recv = weft__mpi_p2p_new(mpi, &both->recv);
    if (both->replace) {
        weft__mpi_protocol_send(mpi, send);
        weft__mpi_protocol_recv(mpi, recv);
    } else {
        weft__mpi_protocol_recv(mpi, recv);
        weft__mpi_protocol_send(mpi, send);
    }
    weft__mpi_protocol_finish(mpi, recv);
    int send_err = weft__mpi_wait_finish(mpi, where, send, MPI_STATUS_IGNORE);
    err = weft__mpi_wait_finish(mpi, where, recv, status);
    return err ? err : send_err;
}

static int isendrecv(const char *where, const struct both *both, MPI_Request *handle_out)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    int err = check(mpi, where, both);
    if (err)
        return err;
    struct weft_mpi_request *send = new_send(mpi, both);
    struct weft_mpi_request *recv = weft__mpi_p2p_new(mpi, &both->recv);
    recv->parts = 2;
    send->parent = recv;
    *handle_out = weft__mpi_request_handle(recv);
    if (both->replace) {
        weft__mpi_protocol_send(mpi, send);
        weft__mpi_protocol_recv(mpi, recv);
    } else {
        weft__mpi_protocol_recv(mpi, recv);
        weft__mpi_protocol_send(mpi, send);
    }
    return MPI_SUCCESS;
}

/* clang-format off */
#define TWO                                                                                        \
    {.send = {.buf = sendbuf, .count = sendcount, .datatype = sendtype, .peer = dest, .tag = sendtag, .comm = comm}, \
     .recv = {.buf = recvbuf, .count = recvcount, .datatype = recvtype, .peer = source, .tag = recvtag, .comm = comm, \
              .recv = true}}

#define ONE                                                                                        \
    {.send = {.buf = buf, .count = count, .datatype = datatype, .peer = dest, .tag = sendtag, .comm = comm}, \
     .recv = {.buf = buf, .count = count, .datatype = datatype, .peer = source, .tag = recvtag, .comm = comm, \
              .recv = true},                                                                       \
     .replace = true}

#define SENDRECV(name, Count)                                                                      \
    int P##name(const void *sendbuf, Count sendcount, MPI_Datatype sendtype, int dest, int sendtag, \
                void *recvbuf, Count recvcount, MPI_Datatype recvtype, int source, int recvtag,    \
                MPI_Comm comm, MPI_Status *status)                                                 \
    {                                                                                              \
        const struct both both = TWO;                                                              \
        return sendrecv(#name, &both, status);                                                     \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)

#define ISENDRECV(name, Count)                                                                     \
    int P##name(const void *sendbuf, Count sendcount, MPI_Datatype sendtype, int dest, int sendtag, \
                void *recvbuf, Count recvcount, MPI_Datatype recvtype, int source, int recvtag,    \
                MPI_Comm comm, MPI_Request *request)                                               \
    {                                                                                              \
        const struct both both = TWO;                                                              \
        return isendrecv(#name, &both, request);                                                   \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)

#define SENDRECV_REPLACE(name, Count)                                                              \
    int P##name(void *buf, Count count, MPI_Datatype datatype, int dest, int sendtag, int source,  \
                int recvtag, MPI_Comm comm, MPI_Status *status)                                    \
    {                                                                                              \
        const struct both both = ONE;                                                              \
        return sendrecv(#name, &both, status);                                                     \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)

#define ISENDRECV_REPLACE(name, Count)                                                             \
    int P##name(void *buf, Count count, MPI_Datatype datatype, int dest, int sendtag, int source,  \
                int recvtag, MPI_Comm comm, MPI_Request *request)                                  \
    {                                                                                              \
        const struct both both = ONE;                                                              \
        return isendrecv(#name, &both, request);                                                   \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)
/* clang-format on */

SENDRECV(MPI_Sendrecv, int);
SENDRECV(MPI_Sendrecv_c, MPI_Count);
ISENDRECV(MPI_Isendrecv, int);
ISENDRECV(MPI_Isendrecv_c, MPI_Count);
SENDRECV_REPLACE(MPI_Sendrecv_replace, int);
SENDRECV_REPLACE(MPI_Sendrecv_replace_c, MPI_Count);
ISENDRECV_REPLACE(MPI_Isendrecv_replace, int);
ISENDRECV_REPLACE(MPI_Isendrecv_replace_c, MPI_Count);
