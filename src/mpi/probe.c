/* Looking at a message without receiving it. */
#include "mpi/error.h"
#include "mpi/match.h"
#include "mpi/p2p.h"
#include "mpi/protocol.h"
#include "mpi/status.h"

static bool look(struct weft_mpi *mpi, const struct weft_mpi_args *args, MPI_Status *status)
{
    if (args->peer == MPI_PROC_NULL) {
        weft__mpi_status_set(status, MPI_PROC_NULL, MPI_ANY_TAG, 0);
        return true;
    }
    struct weft_mpi_queue *queue =
        weft__mpi_match_queue(weft__mpi_comm_find(mpi, args->comm), false);
    const struct weft_mpi_message *message =
        weft__mpi_match_unexpected(mpi, queue, args->peer, args->tag);
    if (!message)
        return false;
    weft__mpi_status_set(status, message->header.source, message->header.tag,
                         (size_t)message->header.len_bytes);
    return true;
}

#define PROBE_ARGS                                                                                 \
    {                                                                                              \
        .datatype = MPI_BYTE, .peer = source, .tag = tag, .comm = comm, .recv = true               \
    }

int PMPI_Probe(int source, int tag, MPI_Comm comm, MPI_Status *status)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    const struct weft_mpi_args args = PROBE_ARGS;
    int err = weft__mpi_p2p_check(mpi, WEFT_MPI_HERE, &args);
    if (err)
        return err;
    for (;;) {
        uint32_t seen = weft__mpi_protocol_bell(mpi);
        weft__mpi_protocol_progress(mpi);
        if (look(mpi, &args, status))
            return MPI_SUCCESS;
        weft__mpi_protocol_wait(mpi, seen);
    }
}
WEFT_MPI_EXPORT(MPI_Probe);

int PMPI_Iprobe(int source, int tag, MPI_Comm comm, int *flag, MPI_Status *status)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    const struct weft_mpi_args args = PROBE_ARGS;
    int err = weft__mpi_p2p_check(mpi, WEFT_MPI_HERE, &args);
    if (err)
        return err;
    weft__mpi_protocol_progress(mpi);
    *flag = look(mpi, &args, status);
    if (!*flag) {
        weft__mpi_protocol_poke(mpi);
        *flag = look(mpi, &args, status);
    }
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Iprobe);
