/* Looking at a message without receiving it, and taking one out of its queue so that nobody else
 * receives it. What a matched probe has taken lies behind a handle of its own until it is received:
 * a slot of the table of requests, so it moves with the rank like everything else. */
#include "mpi/error.h"
#include "mpi/match.h"
#include "mpi/p2p.h"
#include "mpi/protocol.h"
#include "mpi/request.h"
#include "mpi/status.h"
#include "mpi/wait.h"

/* What is looked for, and where to put what is found. */
struct look {
    struct weft_mpi_args args;
    MPI_Message *message; /* NULL: it stays in its queue */
    MPI_Status *status;
};

static MPI_Message keep(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                        struct weft_mpi_message *message)
{
    struct weft_mpi_request *request = weft__mpi_request_new(mpi, comm, WEFT_MPI_MESSAGE);
    weft__mpi_match_take(mpi, weft__mpi_match_queue(comm, false), message);
    request->message = message;
    request->given = true;
    return (MPI_Message)weft__mpi_table_handle((int32_t)request->index, WEFT_MPI_MESSAGE_KIND);
}

static bool look_once(struct weft_mpi *mpi, const struct look *look)
{
    const struct weft_mpi_args *args = &look->args;
    if (args->peer == MPI_PROC_NULL) {
        if (look->message)
            *look->message = MPI_MESSAGE_NO_PROC;
        weft__mpi_status_set(look->status, MPI_PROC_NULL, MPI_ANY_TAG, 0);
        return true;
    }
    struct weft_mpi_comm *comm = weft__mpi_comm_find(mpi, args->comm);
    struct weft_mpi_queue *queue = weft__mpi_match_queue(comm, false);
    struct weft_mpi_message *found = weft__mpi_match_unexpected(mpi, queue, args->peer, args->tag);
    if (!found)
        return false;
    weft__mpi_status_set(look->status, found->header.source, found->header.tag,
                         (size_t)found->header.len_bytes);
    if (look->message)
        *look->message = keep(mpi, comm, found);
    return true;
}

static int look_until_found(const char *where, const struct look *look)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    int err = weft__mpi_p2p_check(mpi, where, &look->args);
    if (err)
        return err;
    for (;;) {
        uint32_t seen = weft__mpi_protocol_bell(mpi);
        weft__mpi_protocol_progress(mpi);
        if (look_once(mpi, look))
            return MPI_SUCCESS;
        weft__mpi_protocol_wait(mpi, seen);
    }
}

static int look_now(const char *where, const struct look *look, int *flag)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    int err = weft__mpi_p2p_check(mpi, where, &look->args);
    if (err)
        return err;
    weft__mpi_protocol_progress(mpi);
    *flag = look_once(mpi, look);
    if (!*flag) {
        weft__mpi_protocol_poke(mpi);
        *flag = look_once(mpi, look);
    }
    return MPI_SUCCESS;
}

#define LOOK(message_, status_)                                                                    \
    {                                                                                              \
        .args = {.datatype = MPI_BYTE, .peer = source, .tag = tag, .comm = comm, .recv = true},    \
        .message = (message_), .status = (status_)                                                 \
    }

int PMPI_Probe(int source, int tag, MPI_Comm comm, MPI_Status *status)
{
    const struct look look = LOOK(NULL, status);
    return look_until_found(WEFT_MPI_HERE, &look);
}
WEFT_MPI_EXPORT(MPI_Probe);

int PMPI_Iprobe(int source, int tag, MPI_Comm comm, int *flag, MPI_Status *status)
{
    const struct look look = LOOK(NULL, status);
    return look_now(WEFT_MPI_HERE, &look, flag);
}
WEFT_MPI_EXPORT(MPI_Iprobe);

int PMPI_Mprobe(int source, int tag, MPI_Comm comm, MPI_Message *message, MPI_Status *status)
{
    const struct look look = LOOK(message, status);
    return look_until_found(WEFT_MPI_HERE, &look);
}
WEFT_MPI_EXPORT(MPI_Mprobe);

/* lint: the standard's parameters */
int PMPI_Improbe(int source, int tag, MPI_Comm comm, int *flag, MPI_Message *message,
                 MPI_Status *status)
{
    const struct look look = LOOK(message, status);
    return look_now(WEFT_MPI_HERE, &look, flag);
}
WEFT_MPI_EXPORT(MPI_Improbe);

/* ---- receiving what a matched probe has taken ---- */

static struct weft_mpi_request *find_message(struct weft_mpi *mpi, MPI_Message handle)
{
    uintptr_t value = weft__mpi_handle_value(handle);
    if (value >> WEFT_MPI_HANDLE_SHIFT == 0 ||
        (value & WEFT_MPI_HANDLE_MASK) != WEFT_MPI_MESSAGE_KIND)
        return NULL;
    struct weft_mpi_request *request = weft__mpi_request_at(mpi, weft__mpi_table_index(value));
    return request && request->kind == WEFT_MPI_MESSAGE ? request : NULL;
}

/* Starts the receive of *message. */
static int start(struct weft_mpi *mpi, const char *where, const struct weft_mpi_args *into,
                 MPI_Message *message, struct weft_mpi_request **request_out)
{
    struct weft_mpi_request *kept = find_message(mpi, *message);
    if (!kept && *message != MPI_MESSAGE_NO_PROC)
        return weft__mpi_error_raise(mpi, NULL, MPI_ERR_REQUEST, where,
                                     "handle 0x%zx is not a message",
                                     weft__mpi_handle_value(*message));
    struct weft_mpi_comm *comm = kept ? kept->comm : mpi->world;
    int err = weft__mpi_p2p_check_buffer(mpi, where, comm, into);
    if (err)
        return err;
    struct weft_mpi_request *recv = weft__mpi_request_new(mpi, comm, WEFT_MPI_RECV);
    const struct weft_mpi_buffer data = weft__mpi_p2p_buffer(into);
    weft__mpi_request_data(mpi, recv, &data);
    recv->peer = MPI_PROC_NULL;
    if (kept) {
        struct weft_mpi_message *taken = kept->message;
        kept->message = NULL;
        weft__mpi_request_free(mpi, kept);
        weft__mpi_protocol_take(mpi, recv, taken);
    } else {
        weft__mpi_protocol_recv(mpi, recv);
    }
    *message = MPI_MESSAGE_NULL;
    *request_out = recv;
    return MPI_SUCCESS;
}

static int mrecv(const char *where, const struct weft_mpi_args *into, MPI_Message *message,
                 MPI_Status *status)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    struct weft_mpi_request *request = NULL;
    int err = start(mpi, where, into, message, &request);
    return err ? err : weft__mpi_wait_finish(mpi, where, request, status);
}

static int imrecv(const char *where, const struct weft_mpi_args *into, MPI_Message *message,
                  MPI_Request *handle)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    struct weft_mpi_request *request = NULL;
    int err = start(mpi, where, into, message, &request);
    if (!err)
        *handle = weft__mpi_request_handle(request);
    return err;
}

#define INTO                                                                                       \
    {                                                                                              \
        .buf = buf, .count = count, .datatype = datatype                                           \
    }

int PMPI_Mrecv_c(void *buf, MPI_Count count, MPI_Datatype datatype, MPI_Message *message,
                 MPI_Status *status)
{
    const struct weft_mpi_args into = INTO;
    return mrecv(WEFT_MPI_HERE, &into, message, status);
}
WEFT_MPI_EXPORT(MPI_Mrecv_c);

int PMPI_Mrecv(void *buf, int count, MPI_Datatype datatype, MPI_Message *message,
               MPI_Status *status)
{
    const struct weft_mpi_args into = INTO;
    return mrecv(WEFT_MPI_HERE, &into, message, status);
}
WEFT_MPI_EXPORT(MPI_Mrecv);

int PMPI_Imrecv_c(void *buf, MPI_Count count, MPI_Datatype datatype, MPI_Message *message,
                  MPI_Request *request)
{
    const struct weft_mpi_args into = INTO;
    return imrecv(WEFT_MPI_HERE, &into, message, request);
}
WEFT_MPI_EXPORT(MPI_Imrecv_c);

int PMPI_Imrecv(void *buf, int count, MPI_Datatype datatype, MPI_Message *message,
                MPI_Request *request)
{
    const struct weft_mpi_args into = INTO;
    return imrecv(WEFT_MPI_HERE, &into, message, request);
}
WEFT_MPI_EXPORT(MPI_Imrecv);
