/* Point to point: the blocking forms are the non-blocking ones, waited for. Ready sends are
 * standard sends: that a receive is posted is the program's promise and nothing that we need.
 *
 * The short way needs no request: a send of a message that lies in one piece, fits into one packet
 * and has none before it is a header on the stack and the runtime's send(); where it does not
 * block, its handle is that of all sends that are over. A blocking receive, where none is posted
 * and nothing waits to be received, takes what it wants out of the mailbox, if that comes first.
 * With 8 bytes the two together take 29 ns of the processor, 7 of them for the packet; with
 * requests it was 109 (scripts/bench match).
 */
#include "mpi/p2p.h"

#include <string.h>

#include "mpi/attached.h"
#include "mpi/error.h"
#include "mpi/out.h"
#include "mpi/protocol.h"
#include "mpi/request.h"
#include "mpi/status.h"
#include "mpi/type.h"
#include "mpi/wait.h"
#include "weft/error.h"

static int check_type(struct weft_mpi *mpi, const char *where, const struct weft_mpi_comm *comm,
                      const struct weft_mpi_args *args)
{
    int err = weft__mpi_type_check(mpi, comm, where, args->datatype);
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

int weft__mpi_p2p_check_buffer(struct weft_mpi *mpi, const char *where,
                               const struct weft_mpi_comm *comm, const struct weft_mpi_args *args)
{
    if (args->count < 0)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_COUNT, where, "count %lld",
                                     (long long)args->count);
    return check_type(mpi, where, comm, args);
}

int weft__mpi_p2p_check_data(struct weft_mpi *mpi, const char *where,
                             const struct weft_mpi_args *args)
{
    struct weft_mpi_comm *comm;
    int err = weft__mpi_comm_get(mpi, where, args->comm, &comm);
    return err ? err : weft__mpi_p2p_check_buffer(mpi, where, comm, args);
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

/* What a call is about, when its arguments have been found right. */
struct subject {
    struct weft_mpi_comm *comm;
    const struct weft_mpi_type *type;
};

enum { SMALL = 4096 };

/* Whether all is plainly right. Where it is not, weft__mpi_p2p_check() says what is wrong, or that
 * nothing is. */
static bool is_plain(struct weft_mpi *mpi, const struct weft_mpi_args *args,
                     struct subject *subject_out)
{
    struct weft_mpi_comm *comm = weft__mpi_comm_find(mpi, args->comm);
    const struct weft_mpi_type *type = weft__mpi_type_find(mpi, args->datatype);
    *subject_out = (struct subject){comm, type};
    if (!comm || !type || !type->committed)
        return false;
    bool peer = (uint32_t)args->peer < (uint32_t)comm->peers || args->peer == MPI_PROC_NULL ||
                (args->recv && args->peer == MPI_ANY_SOURCE);
    bool tag = args->tag >= 0 || (args->recv && args->tag == MPI_ANY_TAG);
    bool values = args->count >= 0 && args->count <= INT32_MAX && type->size <= SMALL &&
                  type->extent >= 0 && type->extent <= SMALL && type->true_lb == 0;
    return peer && tag && values && (uintptr_t)args->buf >= SMALL;
}

static int resolve(struct weft_mpi *mpi, const char *where, const struct weft_mpi_args *args,
                   struct subject *subject_out)
{
    return is_plain(mpi, args, subject_out) ? MPI_SUCCESS : weft__mpi_p2p_check(mpi, where, args);
}

static struct weft_mpi_request *new_request(struct weft_mpi *mpi, const struct weft_mpi_args *args,
                                            struct weft_mpi_comm *comm)
{
    const struct weft_mpi_buffer data = weft__mpi_p2p_buffer(args);
    struct weft_mpi_request *request =
        weft__mpi_request_new(mpi, comm, args->recv ? WEFT_MPI_RECV : WEFT_MPI_SEND);
    request->peer = args->peer;
    request->tag = args->tag;
    request->sync = args->sync;
    request->buffered = args->buffered;
    weft__mpi_request_data(mpi, request, &data);
    return request;
}

struct weft_mpi_request *weft__mpi_p2p_new(struct weft_mpi *mpi, const struct weft_mpi_args *args)
{
    return new_request(mpi, args, weft__mpi_comm_find(mpi, args->comm));
}

static int start_buffered(struct weft_mpi *mpi, const char *where, struct weft_mpi_request *request)
{
    int err = weft__mpi_attached_send(mpi, where, request);
    if (err)
        weft__mpi_request_free(mpi, request);
    else
        weft__mpi_request_complete(mpi, request, MPI_SUCCESS);
    return err;
}

static int start(struct weft_mpi *mpi, const char *where, const struct weft_mpi_args *args,
                 struct weft_mpi_request *request)
{
    if (args->buffered)
        return start_buffered(mpi, where, request);
    if (args->recv)
        weft__mpi_protocol_recv(mpi, request);
    else
        weft__mpi_protocol_send(mpi, request);
    return MPI_SUCCESS;
}

/* ---- the short way ---- */

/* False: it is not open. */
static bool send_now(struct weft_mpi *mpi, const struct weft_mpi_args *args,
                     const struct subject *subject)
{
    const struct weft_mpi_comm *comm = subject->comm;
    const struct weft_mpi_type *type = subject->type;
    const struct weft_mpi_header header = {.kind = WEFT_MPI_EAGER,
                                           .context = comm->context,
                                           .source = comm->rank,
                                           .tag = args->tag,
                                           .len_bytes = (uint64_t)args->count * type->size};
    if (args->peer < 0 || args->sync || args->buffered ||
        header.len_bytes > weft__mpi_out_eager_max(mpi) ||
        !weft__mpi_type_is_run(type, args->count))
        return false;
    int32_t dest = weft__mpi_comm_world_rank(comm, args->peer);
    return dest != mpi->cell->rank &&
           weft__mpi_out_now(mpi, dest, &header, weft__mpi_type_at(type, args->buf)) == WEFT_OK;
}

/* The next packet, waited for; NULL: there is something else to do. */
static const struct weft_packet *next_packet(struct weft_mpi *mpi)
{
    for (;;) {
        uint32_t seen = weft__mpi_protocol_bell(mpi);
        const struct weft_packet *packet = weft_cell_peek(mpi->cell);
        if (packet || weft__mpi_protocol_is_busy(mpi))
            return packet;
        weft__mpi_protocol_wait_near(mpi, seen);
    }
}

/* Whether a packet is a whole message that the receive takes and nobody waits to hear of. */
static bool is_wanted(const struct weft_packet *packet, const struct weft_mpi_args *args,
                      const struct weft_mpi_comm *comm)
{
    const struct weft_mpi_header *header = (const void *)packet->payload;
    return packet->len_bytes >= WEFT_MPI_HEADER_BYTES && header->kind == WEFT_MPI_EAGER &&
           header->cookie == 0 && header->context == comm->context &&
           header->len_bytes == packet->len_bytes - WEFT_MPI_HEADER_BYTES &&
           (header->source == args->peer || args->peer == MPI_ANY_SOURCE) &&
           (header->tag == args->tag || args->tag == MPI_ANY_TAG);
}

/* False: it is not open. */
static bool recv_now(struct weft_mpi *mpi, const struct weft_mpi_args *args,
                     const struct subject *subject, MPI_Status *status)
{
    const struct weft_mpi_queue *queue = &subject->comm->queues[0];
    if (queue->posted_n > 0 || queue->unexpected_n > 0 || args->peer == MPI_PROC_NULL ||
        !weft__mpi_type_is_run(subject->type, args->count))
        return false;
    const struct weft_packet *packet = next_packet(mpi);
    if (!packet || !is_wanted(packet, args, subject->comm))
        return false;
    const struct weft_mpi_header *header = (const void *)packet->payload;
    if (header->len_bytes > (uint64_t)args->count * subject->type->size)
        return false; /* an error: the long way tells */
    if (header->len_bytes > 0)
        weft__mpi_copy(weft__mpi_type_at(subject->type, args->buf),
                       packet->payload + WEFT_MPI_HEADER_BYTES, header->len_bytes);
    weft__mpi_status_set(status, header->source, header->tag, header->len_bytes);
    weft_cell_consume(mpi->cell, packet);
    return true;
}

/* A receive that does not block, of what has come already, is done when the program gets it. Others
 * that were posted before take what is theirs first. NULL: it has to be posted. */
static struct weft_mpi_request *irecv_now(struct weft_mpi *mpi, const struct weft_mpi_args *args,
                                          const struct subject *subject)
{
    const struct weft_mpi_queue *queue = &subject->comm->queues[0];
    if (queue->unexpected_n > 0 || args->peer == MPI_PROC_NULL ||
        !weft__mpi_protocol_catch_up(mpi, queue))
        return NULL;
    const struct weft_packet *packet = weft_cell_peek(mpi->cell);
    if (!is_wanted(packet, args, subject->comm) || queue->unexpected_n > 0)
        return NULL;
    struct weft_mpi_request *request = new_request(mpi, args, subject->comm);
    weft__mpi_protocol_recv_packet(mpi, request, packet);
    return request;
}

static int blocking(const char *where, const struct weft_mpi_args *args, MPI_Status *status)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    struct subject subject;
    int err = resolve(mpi, where, args, &subject);
    if (err)
        return err;
    if (args->recv ? recv_now(mpi, args, &subject, status) : send_now(mpi, args, &subject))
        return MPI_SUCCESS;
    struct weft_mpi_request *request = new_request(mpi, args, subject.comm);
    err = start(mpi, where, args, request);
    return err ? err : weft__mpi_wait_finish(mpi, where, request, status);
}

static int nonblocking(const char *where, const struct weft_mpi_args *args, MPI_Request *handle_out)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    struct subject subject;
    int err = resolve(mpi, where, args, &subject);
    if (err)
        return err;
    struct weft_mpi_request *request = weft__mpi_request_sent(mpi);
    if (args->recv)
        request = irecv_now(mpi, args, &subject);
    else if (!send_now(mpi, args, &subject))
        request = NULL;
    if (!request) {
        request = new_request(mpi, args, subject.comm);
        err = start(mpi, where, args, request);
    }
    if (!err)
        *handle_out = weft__mpi_request_handle(request);
    return err;
}

/* clang-format off */
#define ARGS(peer_, ...)                                                                           \
    {.buf = buf, .count = count, .datatype = datatype, .peer = (peer_), .tag = tag, .comm = comm, __VA_ARGS__}

#define SEND(name, Count, ...)                                                                     \
    int P##name(const void *buf, Count count, MPI_Datatype datatype, int dest, int tag, MPI_Comm comm) \
    {                                                                                              \
        const struct weft_mpi_args args = ARGS(dest, __VA_ARGS__);                                 \
        return blocking(#name, &args, MPI_STATUS_IGNORE);                                          \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)

#define ISEND(name, Count, ...)                                                                    \
    int P##name(const void *buf, Count count, MPI_Datatype datatype, int dest, int tag, MPI_Comm comm, \
                MPI_Request *request)                                                              \
    {                                                                                              \
        const struct weft_mpi_args args = ARGS(dest, __VA_ARGS__);                                 \
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

SEND(MPI_Send, int, .sync = false);
SEND(MPI_Send_c, MPI_Count, .sync = false);
SEND(MPI_Rsend, int, .sync = false);
SEND(MPI_Rsend_c, MPI_Count, .sync = false);
SEND(MPI_Ssend, int, .sync = true);
SEND(MPI_Ssend_c, MPI_Count, .sync = true);
SEND(MPI_Bsend, int, .buffered = true);
SEND(MPI_Bsend_c, MPI_Count, .buffered = true);
ISEND(MPI_Isend, int, .sync = false);
ISEND(MPI_Isend_c, MPI_Count, .sync = false);
ISEND(MPI_Irsend, int, .sync = false);
ISEND(MPI_Irsend_c, MPI_Count, .sync = false);
ISEND(MPI_Issend, int, .sync = true);
ISEND(MPI_Issend_c, MPI_Count, .sync = true);
ISEND(MPI_Ibsend, int, .buffered = true);
ISEND(MPI_Ibsend_c, MPI_Count, .buffered = true);
RECV(MPI_Recv, int);
RECV(MPI_Recv_c, MPI_Count);
IRECV(MPI_Irecv, int);
IRECV(MPI_Irecv_c, MPI_Count);
