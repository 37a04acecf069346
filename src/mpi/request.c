/* The table of requests: chunks that never move, each twice as long as the one before, and a free
 * list.
 *
 * A handle is the slot's index, so it can lie in the program's memory and survive a move. Requests
 * of the library itself (parts of collectives, blocking calls) use the same table, never become
 * handles, and are used again at once, while they are in the cache; a slot whose handle the program
 * has had is used again as late as possible, so that a stale handle is noticed. Pins
 * are counted per request: a rank whose pending request uses a buffer on its stack or in a global
 * cannot be moved until the request completes, because only the rank's range travels.
 */
#include "mpi/request.h"

#include <string.h>

#include "base/heap.h"
#include "mpi/attached.h"
#include "mpi/comm.h"
#include "mpi/error.h"
#include "mpi/match.h"
#include "mpi/schedule.h"
#include "mpi/status.h"

/* Index of the chunk's first request, and length of all chunks before it. */
static uint32_t chunk_start(uint32_t chunk)
{
    return WEFT_MPI_CHUNK * ((1u << chunk) - 1);
}

static void add_chunk(struct weft_mpi *mpi)
{
    uint32_t start = chunk_start(mpi->chunks_n), len = WEFT_MPI_CHUNK << mpi->chunks_n;
    struct weft_mpi_request *chunk = NULL;
    if (mpi->chunks_n < WEFT_MPI_CHUNKS_MAX)
        chunk = weft__heap_calloc(mpi->cell->heap, len, sizeof(*chunk));
    if (!chunk)
        weft__mpi_error_fatal(mpi, MPI_ERR_NO_MEM,
                              "%u requests are pending and there is no room for more",
                              mpi->requests_n);
    for (uint32_t i = 0; i < len; i++) {
        chunk[i].index = start + i;
        weft__mpi_list_append(&mpi->free, &chunk[i].link);
    }
    mpi->chunks[mpi->chunks_n++] = chunk;
}

struct weft_mpi_request *weft__mpi_request_new(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                                               enum weft_mpi_request_kind kind)
{
    if (weft__mpi_list_empty(&mpi->free))
        add_chunk(mpi);
    struct weft_mpi_request *request = WEFT_MPI_ITEM(mpi->free.next, struct weft_mpi_request, link);
    uint32_t index = request->index;
    weft__mpi_list_remove(&request->link);
    memset(request, 0, offsetof(struct weft_mpi_request, index_link));
    request->index = index;
    request->kind = (uint8_t)kind;
    request->comm = comm;
    weft__mpi_comm_hold(comm);
    mpi->requests_n++;
    return request;
}

static void unpin(struct weft_mpi *mpi, struct weft_mpi_request *request)
{
    if (!request->pinned)
        return;
    request->pinned = false;
    if (--mpi->cell->pins == 0)
        mpi->cell->pin_reason[0] = '\0';
}

static void free_message(struct weft_mpi *mpi, struct weft_mpi_message *message)
{
    if (message)
        weft__mpi_match_drop(mpi, message);
}

static void free_kind(struct weft_mpi *mpi, struct weft_mpi_request *request)
{
    if (request->kind == WEFT_MPI_COLLECTIVE)
        weft__mpi_schedule_free(mpi, request->schedule);
    else if (request->kind == WEFT_MPI_MESSAGE)
        free_message(mpi, request->message);
    else if (request->kind == WEFT_MPI_GENERALIZED)
        weft__heap_free(mpi->cell->heap, request->generalized);
    else if (request->kind == WEFT_MPI_SEND && request->segment)
        weft__mpi_attached_release(mpi, request->segment);
}

/* Nothing in the rank's range may point to what is outside, not even in what is free. */
static void forget_addresses(struct weft_mpi_request *request)
{
    request->buf = NULL;
    request->bytes = NULL;
    if (request->kind == WEFT_MPI_SEND)
        request->out.payload = NULL;
    else if (request->cookie)
        request->get.into = NULL;
}

void weft__mpi_request_free(struct weft_mpi *mpi, struct weft_mpi_request *request)
{
    if (request == mpi->sent)
        return;
    if (request->packed)
        weft__heap_free(mpi->cell->heap, request->packed);
    if (request->schedule)
        free_kind(mpi, request);
    unpin(mpi, request);
    forget_addresses(request);
    weft__mpi_type_drop(mpi, request->type);
    request->kind = WEFT_MPI_FREE;
    weft__mpi_comm_put(mpi, request->comm);
    if (request->given)
        weft__mpi_list_append(&mpi->free, &request->link);
    else
        weft__mpi_list_append(mpi->free.next, &request->link);
    mpi->requests_n--;
}

struct weft_mpi_request *weft__mpi_request_far(const struct weft_mpi *mpi, uint64_t index)
{
    if (index >= chunk_start(mpi->chunks_n))
        return NULL;
    uint32_t chunk = 31u - (uint32_t)__builtin_clz((uint32_t)index / WEFT_MPI_CHUNK + 1);
    struct weft_mpi_request *request = &mpi->chunks[chunk][index - chunk_start(chunk)];
    return request->kind == WEFT_MPI_FREE ? NULL : request;
}

MPI_Request weft__mpi_request_handle(struct weft_mpi_request *request)
{
    request->given = true;
    uintptr_t value =
        ((uintptr_t)request->index + 1) << WEFT_MPI_HANDLE_SHIFT | WEFT_MPI_REQUEST_KIND;
    return (MPI_Request)value;
}

void weft__mpi_request_data(struct weft_mpi *mpi, struct weft_mpi_request *request,
                            const struct weft_mpi_buffer *data)
{
    request->buf = data->buf;
    request->count = data->count;
    request->type = weft__mpi_type_hold(mpi, data->type);
}

static void add_pin(struct weft_mpi *mpi, struct weft_mpi_request *request)
{
    static const char reason[] =
        "a pending MPI request uses memory outside the rank's region; use weft_alloc";
    struct weft_cell *cell = mpi->cell;
    _Static_assert(sizeof(reason) <= sizeof(cell->pin_reason), "the reason fits");
    request->pinned = true;
    if (cell->pins++ == 0)
        memcpy(cell->pin_reason, reason, sizeof(reason));
}

void weft__mpi_request_pin(struct weft_mpi *mpi, struct weft_mpi_request *request,
                           const struct weft_mpi_buffer *data)
{
    int64_t first;
    if (request->pinned)
        return;
    size_t len = weft__mpi_type_span(weft__mpi_type_get(mpi, data->type), data->count, &first);
    uintptr_t at = (uintptr_t)data->buf + (uintptr_t)first;
    if (len > 0 && !weft_cell_holds(mpi->cell, (const void *)at, len)) /* NOLINT: from a type */
        add_pin(mpi, request);
}

void weft__mpi_request_pin_code(struct weft_mpi *mpi, struct weft_mpi_request *request,
                                const void *code)
{
    if (!request->pinned && code && !weft_cell_holds(mpi->cell, code, 1))
        add_pin(mpi, request);
}

static void settle(struct weft_mpi *mpi, struct weft_mpi_request *request);

/* The send of a send-receive is done. */
static void part_done(struct weft_mpi *mpi, struct weft_mpi_request *recv, int error)
{
    if (!recv->error)
        recv->error = error;
    settle(mpi, recv);
}

static void settle(struct weft_mpi *mpi, struct weft_mpi_request *request)
{
    struct weft_mpi_request *parent = request->parent;
    int error = request->error;
    if (request->parts > 1) {
        request->parts--;
        return;
    }
    if (request->kind != WEFT_MPI_GENERALIZED) /* its functions are still to be called */
        unpin(mpi, request);
    request->done = true;
    if (!parent && !request->detached)
        return;
    weft__mpi_request_free(mpi, request);
    if (parent && parent->kind == WEFT_MPI_COLLECTIVE)
        weft__mpi_schedule_part_done(mpi, parent, error);
    else if (parent)
        part_done(mpi, parent, error);
}

void weft__mpi_request_complete(struct weft_mpi *mpi, struct weft_mpi_request *request, int error)
{
    weft__mpi_list_remove(&request->link);
    if (!request->error)
        request->error = error;
    settle(mpi, request);
}

void weft__mpi_request_rewind(struct weft_mpi *mpi, struct weft_mpi_request *request)
{
    if (request->packed)
        weft__heap_free(mpi->cell->heap, request->packed);
    request->packed = NULL;
    request->done = false;
    request->cancelled = false;
    request->cancelling = false;
    request->exposed = false;
    request->in_pieces = false;
    request->error = MPI_SUCCESS;
    request->cookie = 0;
    request->got_bytes = 0;
}

void weft__mpi_request_release(struct weft_mpi *mpi, struct weft_mpi_request *request)
{
    if (!request->persistent) {
        weft__mpi_request_free(mpi, request);
        return;
    }
    weft__mpi_request_rewind(mpi, request);
    request->inactive = true;
}

void weft__mpi_request_status(const struct weft_mpi_request *request, MPI_Status *status)
{
    if (request->kind == WEFT_MPI_RECV)
        weft__mpi_status_set(status, request->source, request->got_tag, request->got_bytes);
    else
        weft__mpi_status_set(status, MPI_ANY_SOURCE, MPI_ANY_TAG, 0);
    if (request->cancelled)
        weft__mpi_status_set_cancelled(status);
}

void weft__mpi_request_init(struct weft_mpi *mpi)
{
    struct weft_mpi_request *sent = weft__mpi_request_new(mpi, mpi->world, WEFT_MPI_SEND);
    sent->peer = MPI_PROC_NULL;
    sent->done = true;
    mpi->sent = sent;
}

void weft__mpi_request_fini(struct weft_mpi *mpi)
{
    mpi->sent = NULL;
    for (uint32_t i = 0; i < chunk_start(mpi->chunks_n); i++) {
        struct weft_mpi_request *request = weft__mpi_request_at(mpi, i);
        if (request)
            weft__mpi_request_free(mpi, request);
    }
    for (uint32_t i = 0; i < mpi->chunks_n; i++) {
        weft__heap_free(mpi->cell->heap, mpi->chunks[i]);
        mpi->chunks[i] = NULL;
    }
    mpi->chunks_n = 0;
    weft__mpi_list_init(&mpi->free);
}
