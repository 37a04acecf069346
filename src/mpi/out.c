/* Packets on their way out.
 *
 * A packet without credit stays in a list, oldest first; while one waits, later ones to the same
 * rank queue behind it, so order per pair holds. A send's packet lies in its request and its data
 * stay in the program's buffer; only FIN, which outlives its receive, has a block of its own. The
 * largest packet can differ from host to host, so a refused length asks again and falls back to
 * rendezvous.
 */
#include "mpi/out.h"

#include <string.h>

#include "base/heap.h"
#include "mpi/error.h"
#include "mpi/pieces.h"
#include "mpi/request.h"
#include "weft/error.h"

void weft__mpi_out_limits(struct weft_mpi *mpi)
{
    uint64_t max = 0;
    int err = mpi->cell->calls->info(mpi->cell, WEFT_INFO_PACKET_MAX, &max, sizeof(max));
    if (err < 0 || max < sizeof(struct weft_mpi_header))
        weft__mpi_error_fatal(mpi, MPI_ERR_INTERN,
                              "the runtime's largest packet is %llu bytes (error %d)",
                              (unsigned long long)max, err);
    mpi->packet_max = max;
}

size_t weft__mpi_out_eager_max(const struct weft_mpi *mpi)
{
    return (size_t)mpi->packet_max - sizeof(struct weft_mpi_header);
}

int weft__mpi_out_error(int err)
{
    switch (err) {
    case WEFT_OK:
        return MPI_SUCCESS;
    case WEFT_ENOMEM:
        return MPI_ERR_NO_MEM;
    case WEFT_EINVAL: /* of expose() and get(): the addresses */
        return MPI_ERR_BUFFER;
    case WEFT_EPEERDEAD:
    case WEFT_EHOSTDEAD:
        return MPI_ERR_PROC_ABORTED;
    default:
        return MPI_ERR_OTHER;
    }
}

static int expose(struct weft_mpi *mpi, struct weft_mpi_request *request)
{
    struct weft_mpi_out *out = &request->out;
    int err = mpi->cell->calls->expose(mpi->cell, request->bytes, request->len_bytes,
                                       &request->expose_id);
    if (err != WEFT_OK && err != WEFT_ENOSPC)
        return err;
    request->exposed = err == WEFT_OK;
    out->header.kind = WEFT_MPI_RTS;
    out->header.expose_id = request->exposed ? request->expose_id : WEFT_MPI_PIECES;
    if (request->exposed)
        mpi->cell->calls->ticket(mpi->cell, request->expose_id, out->dest, &out->header.ticket);
    out->header.cookie = request->index + 1;
    out->payload_len = 0;
    return WEFT_OK;
}

/* What is not memory is the rank's own fault here, and names it; not one of the runtime there. */
static inline void touch(const void *payload, size_t len)
{
    const volatile unsigned char *bytes = payload;
    (void)bytes[0];
    (void)bytes[len - 1];
}

static int transmit(struct weft_mpi *mpi, struct weft_mpi_out *out)
{
    int err = WEFT_OK;
    if (out->payload_len > weft__mpi_out_eager_max(mpi))
        err = expose(mpi, out->request);
    if (err != WEFT_OK)
        return err;
    size_t head = weft__mpi_header_bytes(out->header.kind);
    struct iovec parts[2] = {{.iov_base = &out->header, .iov_len = head}};
    unsigned n = 1;
    if (out->payload_len > 0) {
        touch(out->payload, out->payload_len);
        /* The runtime only reads it. */
        parts[n++] = (struct iovec){.iov_base = (void *)(uintptr_t)out->payload,
                                    .iov_len = out->payload_len};
    }
    err = mpi->cell->calls->send(mpi->cell, out->dest, parts, n);
    if (err == WEFT_EMSGSIZE && out->payload_len > 0) {
        weft__mpi_out_limits(mpi);
        return out->payload_len > weft__mpi_out_eager_max(mpi) ? transmit(mpi, out) : err;
    }
    return err;
}

/* The packet has left, or can never leave. Whether its request waits for an answer. */
static bool settle(struct weft_mpi *mpi, struct weft_mpi_out *out, int err)
{
    struct weft_mpi_request *request = out->request;
    if (!request) {
        weft__heap_free(mpi->cell->heap, out);
        return false;
    }
    if (err == WEFT_OK && out->header.cookie != 0)
        return true;
    weft__mpi_request_complete(mpi, request, weft__mpi_out_error(err));
    return false;
}

static void enqueue(struct weft_mpi *mpi, struct weft_mpi_out *out)
{
    weft__mpi_list_append(&mpi->outs, &out->link);
    mpi->dests[out->dest].waiting++;
}

/* WEFT_EAGAIN: there is no credit, or others are first. */
static int try_now(struct weft_mpi *mpi, struct weft_mpi_out *out)
{
    if (mpi->dests[out->dest].waiting > 0)
        return WEFT_EAGAIN;
    return transmit(mpi, out);
}

bool weft__mpi_out_post(struct weft_mpi *mpi, struct weft_mpi_request *request)
{
    int err = try_now(mpi, &request->out);
    if (err != WEFT_EAGAIN)
        return settle(mpi, &request->out, err);
    enqueue(mpi, &request->out);
    return true;
}

int weft__mpi_out_now(struct weft_mpi *mpi, int32_t dest, const struct weft_mpi_header *header,
                      const void *payload)
{
    struct iovec parts[2] = {
        {.iov_base = (void *)(uintptr_t)header, .iov_len = WEFT_MPI_HEADER_BYTES}, /* only read */
        {.iov_base = (void *)(uintptr_t)payload, .iov_len = (size_t)header->len_bytes}};
    if (mpi->dests[dest].waiting > 0)
        return WEFT_EAGAIN;
    if (header->len_bytes > 0)
        touch(payload, (size_t)header->len_bytes);
    return mpi->cell->calls->send(mpi->cell, dest, parts, header->len_bytes > 0 ? 2 : 1);
}

void weft__mpi_out_control(struct weft_mpi *mpi, int32_t dest, const struct weft_mpi_header *header)
{
    struct weft_mpi_out out = {.dest = dest, .header = *header};
    if (try_now(mpi, &out) != WEFT_EAGAIN)
        return;
    struct weft_mpi_out *kept = weft__heap_alloc(mpi->cell->heap, sizeof(*kept));
    if (!kept)
        weft__mpi_error_fatal(mpi, MPI_ERR_NO_MEM, "no memory to acknowledge a message of rank %d",
                              dest);
    *kept = out;
    enqueue(mpi, kept);
}

bool weft__mpi_out_withdraw(struct weft_mpi *mpi, struct weft_mpi_request *request)
{
    struct weft_mpi_out *out = &request->out;
    if (!out->link.next)
        return false;
    weft__mpi_list_remove(&out->link);
    mpi->dests[out->dest].waiting--;
    return true;
}

void weft__mpi_out_retry(struct weft_mpi *mpi)
{
    if (weft__mpi_list_empty(&mpi->outs))
        return;
    mpi->pass++;
    for (struct weft_mpi_link *link = mpi->outs.next, *next; link != &mpi->outs; link = next) {
        struct weft_mpi_out *out = WEFT_MPI_ITEM(link, struct weft_mpi_out, link);
        struct weft_mpi_dest *dest = &mpi->dests[out->dest];
        next = link->next;
        if (dest->refused == mpi->pass)
            continue;
        int err = transmit(mpi, out);
        if (err == WEFT_EAGAIN) {
            dest->refused = mpi->pass;
            continue;
        }
        weft__mpi_list_remove(link);
        dest->waiting--;
        settle(mpi, out, err);
    }
}
