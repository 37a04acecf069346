/* Buffered sends: the message is copied into an attached buffer, and the copy is sent as any other
 * message would be.
 *
 * A buffer is cut into segments, first fit from its start; a segment is a head and the packed
 * message, and is free again when the message has left. Heads and messages need less than the
 * standard's MPI_BSEND_OVERHEAD each, so a buffer of the size that the standard asks for is enough.
 * The list of segments is in the order of addresses; messages mostly leave in the order in which
 * they came, so gaps are found at its ends. A message that could never fit is an error even where
 * it could have left at once: whether a program is right must not depend on where ranks are.
 *
 * Memory outside the rank's region keeps the rank where it is as long as it is attached.
 */
#include "mpi/attached.h"

#include <limits.h>
#include <string.h>

#include "base/heap.h"
#include "mpi/error.h"
#include "mpi/protocol.h"
#include "mpi/request.h"
#include "mpi/type.h"

#define ALIGN 16u

struct weft_mpi_segment {
    struct weft_mpi_link link;
    struct weft_mpi_attached *attached;
    size_t len; /* of the message */
    uint64_t order;
    uint64_t reserved;
    unsigned char bytes[];
};
_Static_assert(sizeof(struct weft_mpi_segment) + 2 * (size_t)ALIGN <= MPI_BSEND_OVERHEAD,
               "as the standard's constant says");

struct weft_mpi_attached {
    void *addr; /* MPI_BUFFER_AUTOMATIC: segments are blocks of the heap */
    size_t len;
    struct weft_mpi_link segments;
    struct weft_mpi_link flushes; /* requests */
    uint64_t order;               /* segments so far */
    bool pinned;
};

/* The slot that holds the buffer of a communicator, or the rank's. */
typedef struct weft_mpi_attached *slot;

static size_t footprint(size_t len)
{
    return (sizeof(struct weft_mpi_segment) + len + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static uintptr_t round_up(uintptr_t address)
{
    return (address + ALIGN - 1) & ~(uintptr_t)(ALIGN - 1);
}

static bool is_automatic(const struct weft_mpi_attached *attached)
{
    return attached->addr == MPI_BUFFER_AUTOMATIC;
}

static struct weft_mpi_segment *segment_of(struct weft_mpi_link *link)
{
    return WEFT_MPI_ITEM(link, struct weft_mpi_segment, link);
}

/* ---- segments ---- */

/* The first gap that is long enough; NULL: none. The segment goes before *before_out. */
static struct weft_mpi_segment *find_gap(const struct weft_mpi_attached *attached, size_t len,
                                         struct weft_mpi_link **before_out)
{
    uintptr_t at = round_up((uintptr_t)attached->addr);
    uintptr_t end = (uintptr_t)attached->addr + attached->len;
    struct weft_mpi_link *link = attached->segments.next;
    for (; link != &attached->segments; link = link->next) {
        if ((uintptr_t)segment_of(link) - at >= footprint(len))
            break;
        at = (uintptr_t)segment_of(link) + footprint(segment_of(link)->len);
    }
    *before_out = link;
    if (link == &attached->segments && (at > end || end - at < footprint(len)))
        return NULL;
    return (struct weft_mpi_segment *)at; /* NOLINT: in the program's buffer */
}

static struct weft_mpi_segment *take_segment(struct weft_mpi *mpi,
                                             struct weft_mpi_attached *attached, size_t len)
{
    struct weft_mpi_link *before = &attached->segments;
    struct weft_mpi_segment *segment;
    if (is_automatic(attached))
        segment = weft__heap_alloc(mpi->cell->heap, sizeof(*segment) + len);
    else
        segment = find_gap(attached, len, &before);
    if (!segment)
        return NULL;
    segment->attached = attached;
    segment->len = len;
    segment->order = attached->order++;
    weft__mpi_list_append(before, &segment->link);
    return segment;
}

/* Flushes wait for the segments that were there when they began. */
static void end_flushes(struct weft_mpi *mpi, struct weft_mpi_attached *attached)
{
    uint64_t oldest = attached->order;
    struct weft_mpi_link *list = &attached->segments, *next;
    for (struct weft_mpi_link *link = list->next; link != list; link = link->next)
        if (segment_of(link)->order < oldest)
            oldest = segment_of(link)->order;
    list = &attached->flushes;
    for (struct weft_mpi_link *link = list->next; link != list; link = next) {
        struct weft_mpi_request *flush = WEFT_MPI_ITEM(link, struct weft_mpi_request, link);
        next = link->next;
        if (flush->order <= oldest)
            weft__mpi_request_complete(mpi, flush, MPI_SUCCESS);
    }
}

void weft__mpi_attached_release(struct weft_mpi *mpi, struct weft_mpi_segment *segment)
{
    struct weft_mpi_attached *attached = segment->attached;
    weft__mpi_list_remove(&segment->link);
    if (is_automatic(attached))
        weft__heap_free(mpi->cell->heap, segment);
    if (!weft__mpi_list_empty(&attached->flushes))
        end_flushes(mpi, attached);
}

/* ---- sending ---- */

static int no_room(struct weft_mpi *mpi, const char *where, const struct weft_mpi_request *desc,
                   const struct weft_mpi_attached *attached, size_t len)
{
    if (!attached)
        return weft__mpi_error_raise(mpi, desc->comm, MPI_ERR_BUFFER, where,
                                     "no buffer is attached");
    if (is_automatic(attached))
        return weft__mpi_error_raise(mpi, desc->comm, MPI_ERR_NO_MEM, where,
                                     "the rank's region has no room for a copy of %zu bytes", len);
    size_t waiting = 0;
    for (const struct weft_mpi_link *link = attached->segments.next; link != &attached->segments;
         link = link->next)
        waiting++;
    return weft__mpi_error_raise(mpi, desc->comm, MPI_ERR_BUFFER, where,
                                 "%zu bytes do not fit into the attached buffer of %zu bytes, in "
                                 "which %zu messages wait",
                                 len, attached->len, waiting);
}

int weft__mpi_attached_send(struct weft_mpi *mpi, const char *where,
                            const struct weft_mpi_request *desc)
{
    struct weft_mpi_attached *attached =
        desc->comm->attached ? desc->comm->attached : mpi->attached;
    const struct weft_mpi_buffer from = weft__mpi_request_buffer(desc);
    size_t len = (size_t)desc->count * weft__mpi_type_get(mpi, desc->type)->size;
    if (desc->peer == MPI_PROC_NULL)
        return MPI_SUCCESS;
    struct weft_mpi_segment *segment = attached ? take_segment(mpi, attached, len) : NULL;
    if (attached && !segment) {
        weft__mpi_protocol_poke(mpi); /* perhaps one has left */
        segment = take_segment(mpi, attached, len);
    }
    if (!segment)
        return no_room(mpi, where, desc, attached, len);
    weft__mpi_type_pack(mpi, &from, 0, segment->bytes, len);
    struct weft_mpi_request *send = weft__mpi_request_new(mpi, desc->comm, WEFT_MPI_SEND);
    send->peer = desc->peer;
    send->tag = desc->tag;
    send->detached = true;
    send->segment = segment;
    weft__mpi_request_data(mpi, send,
                           &(struct weft_mpi_buffer){segment->bytes, (MPI_Count)len,
                                                     weft__mpi_type_number(MPI_PACKED)});
    weft__mpi_protocol_send(mpi, send);
    return MPI_SUCCESS;
}

/* ---- attaching ---- */

static void keep_in_place(struct weft_mpi *mpi, struct weft_mpi_attached *attached)
{
    static const char reason[] =
        "a buffer outside the rank's region is attached; use weft_alloc or MPI_BUFFER_AUTOMATIC";
    struct weft_cell *cell = mpi->cell;
    _Static_assert(sizeof(reason) <= sizeof(cell->pin_reason), "the reason fits");
    if (is_automatic(attached) || weft_cell_holds(cell, attached->addr, attached->len))
        return;
    attached->pinned = true;
    if (cell->pins++ == 0)
        memcpy(cell->pin_reason, reason, sizeof(reason));
}

static int attach(struct weft_mpi *mpi, const char *where, const struct weft_mpi_comm *comm,
                  slot *at, const struct weft_mpi_attached *desc)
{
    if (*at)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_BUFFER, where,
                                     "a buffer is attached already");
    if (!desc->addr && desc->len > 0)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_BUFFER, where, "no buffer");
    struct weft_mpi_attached *made = weft__heap_alloc(mpi->cell->heap, sizeof(*made));
    if (!made)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_NO_MEM, where, "the rank's region is full");
    *made = *desc;
    weft__mpi_list_init(&made->segments);
    weft__mpi_list_init(&made->flushes);
    keep_in_place(mpi, made);
    *at = made;
    return MPI_SUCCESS;
}

void weft__mpi_attached_free(struct weft_mpi *mpi, struct weft_mpi_attached *attached)
{
    if (!attached)
        return;
    if (attached->pinned && --mpi->cell->pins == 0)
        mpi->cell->pin_reason[0] = '\0';
    weft__heap_free(mpi->cell->heap, attached);
}

/* Until all that is in it has left. */
static void flush(struct weft_mpi *mpi, const struct weft_mpi_attached *attached)
{
    while (attached && !weft__mpi_list_empty(&attached->segments)) {
        uint32_t seen = weft__mpi_protocol_bell(mpi);
        weft__mpi_protocol_progress(mpi);
        if (!weft__mpi_list_empty(&attached->segments))
            weft__mpi_protocol_wait(mpi, seen);
    }
}

/* Where none is attached, it is as if one of no bytes were. */
static void detach(struct weft_mpi *mpi, slot *at, void *addr_out, size_t *len_out)
{
    struct weft_mpi_attached *attached = *at;
    void *addr = attached ? attached->addr : NULL;
    *len_out = attached ? attached->len : 0;
    memcpy(addr_out, &addr, sizeof(addr));
    flush(mpi, attached);
    *at = NULL;
    weft__mpi_attached_free(mpi, attached);
}

static MPI_Request iflush(struct weft_mpi *mpi, struct weft_mpi_attached *attached)
{
    struct weft_mpi_request *request = weft__mpi_request_new(mpi, mpi->self, WEFT_MPI_FLUSH);
    MPI_Request handle = weft__mpi_request_handle(request);
    weft__mpi_protocol_progress(mpi);
    if (!attached || weft__mpi_list_empty(&attached->segments)) {
        weft__mpi_request_complete(mpi, request, MPI_SUCCESS);
        return handle;
    }
    request->order = attached->order;
    weft__mpi_list_append(&attached->flushes, &request->link);
    return handle;
}

/* The slot of a communicator; NULL: the rank's. */
static int find_slot(struct weft_mpi *mpi, const char *where, const MPI_Comm *handle, slot **at_out)
{
    struct weft_mpi_comm *comm = NULL;
    int err = handle ? weft__mpi_comm_get(mpi, where, *handle, &comm) : MPI_SUCCESS;
    if (!err)
        *at_out = comm ? &comm->attached : &mpi->attached;
    return err;
}

static int attach_to(const char *where, const MPI_Comm *handle, void *buffer, MPI_Count size)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    slot *at;
    int err = find_slot(mpi, where, handle, &at);
    if (err)
        return err;
    const struct weft_mpi_comm *comm = handle ? weft__mpi_comm_find(mpi, *handle) : NULL;
    if (size < 0)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_ARG, where, "size %lld", (long long)size);
    const struct weft_mpi_attached desc = {
        .addr = buffer, .len = buffer == MPI_BUFFER_AUTOMATIC ? 0 : (size_t)size};
    return attach(mpi, where, comm, at, &desc);
}

static int detach_from(const char *where, const MPI_Comm *handle, void *addr_out,
                       MPI_Count *size_out)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    slot *at;
    int err = find_slot(mpi, where, handle, &at);
    size_t len = 0;
    if (err)
        return err;
    detach(mpi, at, addr_out, &len);
    *size_out = (MPI_Count)len;
    return MPI_SUCCESS;
}

/* The size of a buffer that was attached with a larger one than an int holds is cut. */
static int detach_int(const char *where, const MPI_Comm *comm, void *buffer_addr, int *size)
{
    MPI_Count large = 0;
    int err = detach_from(where, comm, buffer_addr, &large);
    if (!err)
        *size = large > INT_MAX ? INT_MAX : (int)large;
    return err;
}

/* request NULL: waits. */
static int flush_of(const char *where, const MPI_Comm *handle, MPI_Request *request)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    slot *at;
    int err = find_slot(mpi, where, handle, &at);
    if (err)
        return err;
    if (request)
        *request = iflush(mpi, *at);
    else
        flush(mpi, *at);
    return MPI_SUCCESS;
}

/* ---- the functions ---- */

int PMPI_Buffer_attach_c(void *buffer, MPI_Count size)
{
    return attach_to(WEFT_MPI_HERE, NULL, buffer, size);
}
WEFT_MPI_EXPORT(MPI_Buffer_attach_c);

int PMPI_Buffer_attach(void *buffer, int size)
{
    return attach_to(WEFT_MPI_HERE, NULL, buffer, size);
}
WEFT_MPI_EXPORT(MPI_Buffer_attach);

int PMPI_Buffer_detach_c(void *buffer_addr, MPI_Count *size)
{
    return detach_from(WEFT_MPI_HERE, NULL, buffer_addr, size);
}
WEFT_MPI_EXPORT(MPI_Buffer_detach_c);

int PMPI_Buffer_detach(void *buffer_addr, int *size)
{
    return detach_int(WEFT_MPI_HERE, NULL, buffer_addr, size);
}
WEFT_MPI_EXPORT(MPI_Buffer_detach);

int PMPI_Buffer_flush(void)
{
    return flush_of(WEFT_MPI_HERE, NULL, NULL);
}
WEFT_MPI_EXPORT(MPI_Buffer_flush);

int PMPI_Buffer_iflush(MPI_Request *request)
{
    return flush_of(WEFT_MPI_HERE, NULL, request);
}
WEFT_MPI_EXPORT(MPI_Buffer_iflush);

int PMPI_Comm_attach_buffer_c(MPI_Comm comm, void *buffer, MPI_Count size)
{
    return attach_to(WEFT_MPI_HERE, &comm, buffer, size);
}
WEFT_MPI_EXPORT(MPI_Comm_attach_buffer_c);

int PMPI_Comm_attach_buffer(MPI_Comm comm, void *buffer, int size)
{
    return attach_to(WEFT_MPI_HERE, &comm, buffer, size);
}
WEFT_MPI_EXPORT(MPI_Comm_attach_buffer);

int PMPI_Comm_detach_buffer_c(MPI_Comm comm, void *buffer_addr, MPI_Count *size)
{
    return detach_from(WEFT_MPI_HERE, &comm, buffer_addr, size);
}
WEFT_MPI_EXPORT(MPI_Comm_detach_buffer_c);

int PMPI_Comm_detach_buffer(MPI_Comm comm, void *buffer_addr, int *size)
{
    return detach_int(WEFT_MPI_HERE, &comm, buffer_addr, size);
}
WEFT_MPI_EXPORT(MPI_Comm_detach_buffer);

int PMPI_Comm_flush_buffer(MPI_Comm comm)
{
    return flush_of(WEFT_MPI_HERE, &comm, NULL);
}
WEFT_MPI_EXPORT(MPI_Comm_flush_buffer);

int PMPI_Comm_iflush_buffer(MPI_Comm comm, MPI_Request *request)
{
    return flush_of(WEFT_MPI_HERE, &comm, request);
}
WEFT_MPI_EXPORT(MPI_Comm_iflush_buffer);
