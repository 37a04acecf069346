/* How a message gets from one rank to another.
 *
 * EAGER: the data travel with the header. RTS: the sender exposes its buffer, the receiver gets the
 * bytes when it has a place for them and answers FIN, upon which the sender withdraws the buffer. A
 * synchronous send that fits into a packet is EAGER and waits for FIN too. A message of a rank to
 * itself never leaves the library: it is copied from buffer to buffer, or kept as if it had come.
 *
 * Everything moves in progress(): the library has no thread, and the runtime never calls it. The
 * mailbox is read in place, so an expected eager message is copied once.
 */
#include "mpi/protocol.h"

#include <string.h>

#include "base/heap.h"
#include "mpi/comm.h"
#include "mpi/error.h"
#include "mpi/match.h"
#include "mpi/out.h"
#include "mpi/pieces.h"
#include "mpi/request.h"
#include "mpi/schedule.h"
#include "mpi/type.h"
#include "weft/error.h"

#define GLANCES_MAX 64u
#define RETRY_NS 1000000u /* how long to sleep when only credit is missing and nothing rings */

/* The program's buffer stays in use until the request is done. */
static void pin(struct weft_mpi *mpi, struct weft_mpi_request *request)
{
    const struct weft_mpi_type *type = weft__mpi_type_get(mpi, request->type);
    if (weft__mpi_type_is_run(type, request->count) &&
        weft_cell_holds(mpi->cell, weft__mpi_type_at(type, request->buf), request->len_bytes))
        return;
    const struct weft_mpi_buffer data = weft__mpi_request_buffer(request);
    weft__mpi_request_pin(mpi, request, &data);
}

/* ---- receiving ---- */

/* What belongs to a collective is as long as its ranks have agreed. If they do not carry out the
 * same collective, some of them would wait for ever. */
static void check_collective(struct weft_mpi *mpi, struct weft_mpi_request *recv,
                             const struct weft_mpi_header *header)
{
    if (header->stamp != recv->stamp)
        weft__mpi_error_fatal(mpi, MPI_ERR_NOT_SAME,
                              "rank %d of a communicator carries out another collective than rank "
                              "%d, or the same with other lengths, another root or operation",
                              header->source, recv->comm->rank);
    if (recv->got_bytes < recv->len_bytes)
        recv->error = MPI_ERR_NOT_SAME;
}

static void matched(struct weft_mpi *mpi, struct weft_mpi_request *recv,
                    const struct weft_mpi_header *header)
{
    recv->source = header->source;
    recv->got_tag = header->tag;
    recv->got_bytes = (size_t)header->len_bytes;
    if (recv->got_bytes > recv->len_bytes) {
        recv->got_bytes = recv->len_bytes;
        recv->sent_bytes = header->len_bytes;
        recv->error = MPI_ERR_TRUNCATE;
    }
    if (recv->collective)
        check_collective(mpi, recv, header);
}

static void take_bytes(struct weft_mpi *mpi, struct weft_mpi_request *recv,
                       const struct weft_mpi_header *header, const void *bytes)
{
    const struct weft_mpi_type *type = weft__mpi_type_get(mpi, recv->type);
    const struct weft_mpi_buffer into = weft__mpi_request_buffer(recv);
    matched(mpi, recv, header);
    if (!weft__mpi_type_is_run(type, recv->count))
        weft__mpi_type_unpack(mpi, &into, 0, bytes, recv->got_bytes);
    else if (recv->got_bytes > 0)
        weft__mpi_copy(weft__mpi_type_at(type, recv->buf), bytes, recv->got_bytes);
    weft__mpi_request_complete(mpi, recv, MPI_SUCCESS);
}

static void answer(struct weft_mpi *mpi, int32_t dest, enum weft_mpi_kind kind, uint32_t cookie)
{
    weft__mpi_out_control(mpi, dest, &(struct weft_mpi_header){.kind = kind, .cookie = cookie});
}

static uint64_t context_of(const struct weft_mpi_request *request)
{
    return request->comm->context | (request->collective ? 1u : 0u);
}

static void end_get(struct weft_mpi *mpi, struct weft_mpi_request *recv, int err)
{
    if (recv->in_pieces && err == WEFT_OK && weft__mpi_pieces_go_on(mpi, recv))
        return;
    const struct weft_mpi_buffer into = weft__mpi_request_buffer(recv);
    answer(mpi, recv->world_source, WEFT_MPI_FIN, recv->cookie);
    if (err == WEFT_OK && recv->packed)
        weft__mpi_type_unpack(mpi, &into, 0, recv->packed, recv->got_bytes);
    weft__mpi_request_complete(mpi, recv, weft__mpi_out_error(err));
}

static void start_get(struct weft_mpi *mpi, struct weft_mpi_request *recv)
{
    atomic_store_explicit(&recv->get.state, 1, memory_order_relaxed);
    int err = mpi->cell->calls->get(mpi->cell, &recv->get);
    if (err == WEFT_OK)
        weft__mpi_list_append(&mpi->getting, &recv->link);
    else if (err == WEFT_EAGAIN)
        weft__mpi_list_append(&mpi->starting, &recv->link);
    else
        end_get(mpi, recv, err);
}

static void take_exposed(struct weft_mpi *mpi, struct weft_mpi_request *recv,
                         const struct weft_mpi_header *header, int32_t world_source)
{
    matched(mpi, recv, header);
    recv->world_source = world_source;
    recv->cookie = header->cookie;
    const struct weft_mpi_type *type = weft__mpi_type_get(mpi, recv->type);
    void *into = weft__mpi_type_at(type, recv->buf);
    if (recv->got_bytes > 0 && !weft__mpi_type_is_run(type, recv->count))
        into = recv->packed = weft__heap_alloc(mpi->cell->heap, recv->got_bytes);
    if (recv->got_bytes == 0 || !into) {
        end_get(mpi, recv, recv->got_bytes == 0 ? WEFT_OK : WEFT_ENOMEM);
        return;
    }
    recv->get.source = world_source;
    recv->get.expose_id = header->expose_id;
    recv->get.ticket = header->ticket;
    recv->get.offset = 0;
    recv->get.into = into;
    recv->get.len_bytes = recv->got_bytes;
    pin(mpi, recv);
    if (header->expose_id == WEFT_MPI_PIECES)
        weft__mpi_pieces_begin(mpi, recv, into);
    else
        start_get(mpi, recv);
}

static void take_local(struct weft_mpi *mpi, struct weft_mpi_request *recv,
                       const struct weft_mpi_message *message)
{
    struct weft_mpi_request *send = message->local;
    take_bytes(mpi, recv, &message->header, send->bytes);
    weft__mpi_request_complete(mpi, send, MPI_SUCCESS);
}

static void take_message(struct weft_mpi *mpi, struct weft_mpi_request *recv,
                         struct weft_mpi_message *message)
{
    const struct weft_mpi_header *header = &message->header;
    if (message->local) {
        take_local(mpi, recv, message);
    } else if (header->kind == WEFT_MPI_RTS) {
        take_exposed(mpi, recv, header, message->world_source);
    } else {
        if (header->cookie)
            answer(mpi, message->world_source, WEFT_MPI_FIN, header->cookie);
        take_bytes(mpi, recv, header, message->bytes);
    }
    weft__mpi_match_drop(mpi, message);
}

static void from_nobody(struct weft_mpi *mpi, struct weft_mpi_request *recv)
{
    recv->source = MPI_PROC_NULL;
    recv->got_tag = MPI_ANY_TAG;
    weft__mpi_request_complete(mpi, recv, MPI_SUCCESS);
}

void weft__mpi_protocol_recv(struct weft_mpi *mpi, struct weft_mpi_request *request)
{
    struct weft_mpi_queue *queue = weft__mpi_match_queue(request->comm, request->collective);
    request->len_bytes = (size_t)request->count * weft__mpi_type_get(mpi, request->type)->size;
    if (request->peer == MPI_PROC_NULL) {
        from_nobody(mpi, request);
        return;
    }
    struct weft_mpi_message *message =
        weft__mpi_match_unexpected(mpi, queue, request->peer, request->tag);
    if (message) {
        weft__mpi_match_take(mpi, queue, message);
        take_message(mpi, request, message);
        return;
    }
    weft__mpi_match_post(mpi, request);
    pin(mpi, request);
}

void weft__mpi_protocol_take(struct weft_mpi *mpi, struct weft_mpi_request *recv,
                             struct weft_mpi_message *message)
{
    recv->len_bytes = (size_t)recv->count * weft__mpi_type_get(mpi, recv->type)->size;
    take_message(mpi, recv, message);
}

/* ---- sending ---- */

/* Makes one piece of the message where its type has gaps, or a copy is wanted. */
static bool pack(struct weft_mpi *mpi, struct weft_mpi_request *send)
{
    const struct weft_mpi_type *type = weft__mpi_type_get(mpi, send->type);
    const struct weft_mpi_buffer from = weft__mpi_request_buffer(send);
    send->len_bytes = (size_t)send->count * type->size;
    send->bytes = weft__mpi_type_at(type, send->buf);
    if (send->len_bytes == 0 || (!send->copied && weft__mpi_type_is_run(type, send->count)))
        return true;
    send->packed = weft__heap_alloc(mpi->cell->heap, send->len_bytes);
    if (!send->packed) {
        weft__mpi_request_complete(mpi, send, MPI_ERR_NO_MEM);
        return false;
    }
    weft__mpi_type_pack(mpi, &from, 0, send->packed, send->len_bytes);
    send->bytes = send->packed;
    return true;
}

static void send_to_self(struct weft_mpi *mpi, struct weft_mpi_request *send)
{
    struct weft_mpi_queue *queue = weft__mpi_match_queue(send->comm, send->collective);
    const struct weft_mpi_header *header = &send->out.header;
    struct weft_mpi_request *recv = weft__mpi_match_posted(mpi, queue, header->source, header->tag);
    if (recv) {
        take_bytes(mpi, recv, header, send->bytes);
        weft__mpi_request_complete(mpi, send, MPI_SUCCESS);
    } else if (!send->sync && send->len_bytes <= weft__mpi_out_eager_max(mpi)) {
        (void)weft__mpi_match_keep(mpi, queue, header, send->bytes);
        weft__mpi_request_complete(mpi, send, MPI_SUCCESS);
    } else {
        weft__mpi_match_keep(mpi, queue, header, NULL)->local = send;
        if (!send->packed)
            pin(mpi, send);
    }
}

static void send_away(struct weft_mpi *mpi, struct weft_mpi_request *send)
{
    struct weft_mpi_out *out = &send->out;
    out->request = send;
    out->payload = send->bytes;
    out->payload_len = send->len_bytes;
    if (send->sync)
        out->header.cookie = send->index + 1;
    if (weft__mpi_out_post(mpi, send) && !send->packed)
        pin(mpi, send);
}

void weft__mpi_protocol_send(struct weft_mpi *mpi, struct weft_mpi_request *request)
{
    const struct weft_mpi_comm *comm = request->comm;
    if (request->peer == MPI_PROC_NULL) {
        weft__mpi_request_complete(mpi, request, MPI_SUCCESS);
        return;
    }
    if (!pack(mpi, request))
        return;
    request->out.dest = weft__mpi_comm_world_rank(comm, request->peer);
    request->out.header = (struct weft_mpi_header){.kind = WEFT_MPI_EAGER,
                                                   .stamp = request->stamp,
                                                   .context = context_of(request),
                                                   .source = comm->rank,
                                                   .tag = request->tag,
                                                   .len_bytes = request->len_bytes};
    if (request->out.dest == mpi->cell->rank)
        send_to_self(mpi, request);
    else
        send_away(mpi, request);
}

/* A send is over: received, or dropped by its receiver. That is what a cancelled one wants. */
static void end_send(struct weft_mpi *mpi, struct weft_mpi_request *send, bool received)
{
    if (send->exposed)
        mpi->cell->calls->unexpose(mpi->cell, send->expose_id);
    else
        weft__mpi_pieces_end(mpi, send);
    send->exposed = false;
    send->cancelled = !received && send->cancelling;
    weft__mpi_request_complete(mpi, send,
                               received || send->cancelled ? MPI_SUCCESS : MPI_ERR_OTHER);
}

/* Where it is not found, a matched probe has it. */
static void cancel_local(struct weft_mpi *mpi, struct weft_mpi_request *send)
{
    struct weft_mpi_queue *queue = weft__mpi_match_queue(send->comm, send->collective);
    struct weft_mpi_link *list = &queue->unexpected;
    for (struct weft_mpi_link *link = list->next; link != list; link = link->next) {
        struct weft_mpi_message *message = WEFT_MPI_ITEM(link, struct weft_mpi_message, link);
        if (message->local != send)
            continue;
        weft__mpi_match_take(mpi, queue, message);
        weft__mpi_protocol_refuse(mpi, message);
        return;
    }
}

void weft__mpi_protocol_cancel(struct weft_mpi *mpi, struct weft_mpi_request *request)
{
    if (request->kind == WEFT_MPI_RECV) {
        if (!request->posted || request->parts > 0)
            return;
        weft__mpi_match_withdraw(mpi, request);
        request->cancelled = true;
        request->source = MPI_ANY_SOURCE;
        request->got_tag = MPI_ANY_TAG;
        weft__mpi_request_complete(mpi, request, MPI_SUCCESS);
    } else if (!request->cancelling) {
        const struct weft_mpi_out *out = &request->out;
        request->cancelling = true;
        if (out->dest == mpi->cell->rank)
            cancel_local(mpi, request);
        else if (weft__mpi_out_withdraw(mpi, request))
            end_send(mpi, request, false);
        else
            weft__mpi_out_control(mpi, out->dest,
                                  &(struct weft_mpi_header){.kind = WEFT_MPI_CANCEL,
                                                            .context = out->header.context,
                                                            .cookie = out->header.cookie});
    }
}

/* ---- moving on ---- */

static struct weft_mpi_queue *queue_of(struct weft_mpi *mpi, const struct weft_mpi_header *header)
{
    struct weft_mpi_comm *comm = weft__mpi_comm_by_context(mpi, header->context);
    return comm ? weft__mpi_match_queue(comm, (header->context & 1u) != 0) : &mpi->early;
}

static void on_message(struct weft_mpi *mpi, const struct weft_mpi_header *header,
                       const void *bytes, int32_t source)
{
    struct weft_mpi_queue *queue = queue_of(mpi, header);
    struct weft_mpi_request *recv = weft__mpi_match_posted(mpi, queue, header->source, header->tag);
    bool eager = header->kind == WEFT_MPI_EAGER;
    if (!recv && mpi->finalizing && header->cookie != 0) {
        answer(mpi, source, WEFT_MPI_REFUSED, header->cookie);
    } else if (!recv) {
        weft__mpi_match_keep(mpi, queue, header, eager ? bytes : NULL)->world_source = source;
    } else if (eager) {
        if (header->cookie)
            answer(mpi, source, WEFT_MPI_FIN, header->cookie);
        take_bytes(mpi, recv, header, bytes);
    } else {
        take_exposed(mpi, recv, header, source);
    }
}

void weft__mpi_protocol_refuse(struct weft_mpi *mpi, struct weft_mpi_message *message)
{
    if (message->local)
        end_send(mpi, message->local, false);
    else if (message->header.cookie)
        answer(mpi, message->world_source, WEFT_MPI_REFUSED, message->header.cookie);
    weft__mpi_match_drop(mpi, message);
}

/* FIN, REFUSED, WANT: of a message that was sent there. */
static void on_answer(struct weft_mpi *mpi, const struct weft_mpi_header *header, int32_t source)
{
    struct weft_mpi_request *send = weft__mpi_request_at(mpi, header->cookie - 1);
    if (!send || send->kind != WEFT_MPI_SEND || send->out.dest != source || send->done)
        weft__mpi_error_fatal(mpi, MPI_ERR_INTERN,
                              "rank %d acknowledges a message that was not sent", source);
    if (header->kind == WEFT_MPI_WANT)
        weft__mpi_pieces_wanted(mpi, send, header);
    else
        end_send(mpi, send, header->kind == WEFT_MPI_FIN);
}

static void on_piece(struct weft_mpi *mpi, const struct weft_mpi_header *header, int32_t source)
{
    start_get(mpi, weft__mpi_pieces_found(mpi, header, source));
}

static struct weft_mpi_message *find_cookie(const struct weft_mpi_queue *queue, uint32_t cookie,
                                            int32_t source)
{
    const struct weft_mpi_link *list = &queue->unexpected;
    for (struct weft_mpi_link *link = list->next; link != list; link = link->next) {
        struct weft_mpi_message *message = WEFT_MPI_ITEM(link, struct weft_mpi_message, link);
        if (message->header.cookie == cookie && message->world_source == source && !message->local)
            return message;
    }
    return NULL;
}

/* A message that is not found has been received, or will be: then its FIN answers. */
static void on_cancel(struct weft_mpi *mpi, const struct weft_mpi_header *header, int32_t source)
{
    struct weft_mpi_queue *queue = queue_of(mpi, header);
    struct weft_mpi_message *message = find_cookie(queue, header->cookie, source);
    if (!message)
        return;
    weft__mpi_match_take(mpi, queue, message);
    weft__mpi_protocol_refuse(mpi, message);
}

static void on_packet(struct weft_mpi *mpi, const struct weft_packet *packet)
{
    struct weft_mpi_header header = {.kind = 0};
    uint16_t kind = 0;
    if (packet->len_bytes >= sizeof(kind))
        memcpy(&kind, packet->payload, sizeof(kind));
    const size_t head = weft__mpi_header_bytes(kind);
    if (packet->len_bytes < head)
        weft__mpi_error_fatal(mpi, MPI_ERR_INTERN, "packet of %u bytes from rank %d",
                              packet->len_bytes, packet->source);
    size_t data = packet->len_bytes - head;
    memcpy(&header, packet->payload, WEFT_MPI_HEADER_BYTES);
    if (kind != WEFT_MPI_EAGER)
        memcpy(&header, packet->payload, head);
    if (header.kind == WEFT_MPI_FIN || header.kind == WEFT_MPI_REFUSED ||
        header.kind == WEFT_MPI_WANT)
        on_answer(mpi, &header, packet->source);
    else if (header.kind == WEFT_MPI_PIECE)
        on_piece(mpi, &header, packet->source);
    else if (header.kind == WEFT_MPI_CANCEL)
        on_cancel(mpi, &header, packet->source);
    else if ((header.kind == WEFT_MPI_EAGER && header.len_bytes == data) ||
             header.kind == WEFT_MPI_RTS)
        on_message(mpi, &header, packet->payload + head, packet->source);
    else
        weft__mpi_error_fatal(mpi, MPI_ERR_INTERN, "packet of kind %u with %zu bytes from rank %d",
                              header.kind, data, packet->source);
}

static void poll_gets(struct weft_mpi *mpi)
{
    for (struct weft_mpi_link *link = mpi->getting.next, *next; link != &mpi->getting;
         link = next) {
        struct weft_mpi_request *recv = WEFT_MPI_ITEM(link, struct weft_mpi_request, link);
        int state = atomic_load_explicit(&recv->get.state, memory_order_acquire);
        next = link->next;
        if (state <= 0) {
            weft__mpi_list_remove(link);
            end_get(mpi, recv, state);
        }
    }
}

static void retry_gets(struct weft_mpi *mpi)
{
    struct weft_mpi_link *last = mpi->starting.prev;
    while (!weft__mpi_list_empty(&mpi->starting)) {
        struct weft_mpi_link *link = mpi->starting.next;
        weft__mpi_list_remove(link);
        start_get(mpi, WEFT_MPI_ITEM(link, struct weft_mpi_request, link));
        if (link == last)
            return;
    }
}

static void take_packet(struct weft_mpi *mpi, const struct weft_packet *packet)
{
    on_packet(mpi, packet);
    weft_cell_consume(mpi->cell, packet);
}

bool weft__mpi_protocol_catch_up(struct weft_mpi *mpi, const struct weft_mpi_queue *queue)
{
    const struct weft_packet *packet;
    while ((packet = weft_cell_peek(mpi->cell)) != NULL && queue->posted_n > 0)
        take_packet(mpi, packet);
    return packet != NULL;
}

void weft__mpi_protocol_recv_packet(struct weft_mpi *mpi, struct weft_mpi_request *request,
                                    const struct weft_packet *packet)
{
    const struct weft_mpi_header *header = (const void *)packet->payload;
    request->len_bytes = (size_t)request->count * weft__mpi_type_get(mpi, request->type)->size;
    take_bytes(mpi, request, header, packet->payload + WEFT_MPI_HEADER_BYTES);
    weft_cell_consume(mpi->cell, packet);
}

void weft__mpi_protocol_progress(struct weft_mpi *mpi)
{
    const struct weft_packet *packet;
    while ((packet = weft_cell_peek(mpi->cell)) != NULL)
        take_packet(mpi, packet);
    if (!weft__mpi_protocol_is_busy(mpi))
        return;
    poll_gets(mpi);
    retry_gets(mpi);
    weft__mpi_out_retry(mpi);
    weft__mpi_schedule_run_ready(mpi);
}

void weft__mpi_protocol_poke(struct weft_mpi *mpi)
{
    struct weft_cell *cell = mpi->cell;
    (void)cell->calls->wait(cell, weft__mpi_protocol_bell(mpi), 0);
    weft__mpi_protocol_progress(mpi);
}

static inline void pause_briefly(void)
{
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
}

/* Whether what is waited for comes before it is worth while to enter the runtime. Now and then it
 * is entered all the same: others may have work for this thread. */
static bool glance(struct weft_mpi *mpi, uint32_t seen)
{
    const _Atomic int32_t *others = mpi->cell->others;
    for (uint32_t i = mpi->cell->glances; i > 0; i--) {
        if (others && atomic_load_explicit(others, memory_order_relaxed) > 0)
            return false;
        if (weft_cell_peek(mpi->cell) || weft__mpi_protocol_bell(mpi) != seen)
            return ++mpi->glances % GLANCES_MAX != 0;
        pause_briefly();
    }
    return false;
}

void weft__mpi_protocol_wait(struct weft_mpi *mpi, uint32_t seen)
{
    struct weft_cell *cell = mpi->cell;
    if (!weft__mpi_protocol_is_busy(mpi) && glance(mpi, seen))
        return;
    uint64_t deadline = UINT64_MAX;
    if (!weft__mpi_list_empty(&mpi->outs) || !weft__mpi_list_empty(&mpi->starting))
        deadline = cell->calls->now(cell) + RETRY_NS;
    int err = cell->calls->wait(cell, seen, deadline);
    if (err != WEFT_OK && err != WEFT_ETIMEDOUT)
        weft__mpi_error_fatal(mpi, MPI_ERR_INTERN, "cannot wait for messages (error %d)", err);
}

void weft__mpi_protocol_finish(struct weft_mpi *mpi, struct weft_mpi_request *request)
{
    for (;;) {
        uint32_t seen = weft__mpi_protocol_bell(mpi);
        if (request->done)
            return;
        weft__mpi_protocol_progress(mpi);
        if (request->done)
            return;
        weft__mpi_protocol_wait(mpi, seen);
    }
}

void weft__mpi_protocol_flush(struct weft_mpi *mpi)
{
    for (;;) {
        uint32_t seen = weft__mpi_protocol_bell(mpi);
        weft__mpi_protocol_progress(mpi);
        if (weft__mpi_list_empty(&mpi->outs))
            return;
        weft__mpi_protocol_wait(mpi, seen);
    }
}
