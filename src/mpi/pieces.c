/* Messages in pieces, where the runtime sees only a part of a rank's memory (line.c), and a copy of
 * the whole message finds no room there.
 *
 * Such a message is announced without being exposed. Whoever receives it says which byte it wants
 * next; the sender copies a piece from there on into its one window, exposes it, and says where it
 * is; the receiver pulls it and wants the next one, until it has all and answers as always. Only
 * messages that a receive has already been found for use the window, so each use of it ends, and
 * messages may be received in any order, however little room there is. Rejected: waiting for room
 * that copies have which are to be received later; ranks would wait for each other for ever. */
#include "mpi/pieces.h"

#include <stdatomic.h>
#include <string.h>

#include "mpi/error.h"
#include "mpi/list.h"
#include "mpi/out.h"
#include "mpi/own.h"
#include "mpi/request.h"
#include "weft/error.h"

/* Of a send: what is wanted of it. */
#define WANTED_BYTE(send) ((send)->got_bytes)
#define WANTED_BY(send) ((send)->sent_bytes)

/* Whose piece lies in the window, NULL: it is free; and who waits for it. */
static WEFT_MPI_OWN struct weft_mpi_request *shown;
static WEFT_MPI_OWN uint64_t shown_id;
static WEFT_MPI_OWN struct weft_mpi_link waiting = {.prev = &waiting, .next = &waiting};

/* ---- receiving ---- */

static void want(struct weft_mpi *mpi, const struct weft_mpi_request *recv)
{
    weft__mpi_out_control(mpi, recv->world_source,
                          &(struct weft_mpi_header){.kind = WEFT_MPI_WANT,
                                                    .cookie = recv->cookie,
                                                    .expose_id = recv->index + 1,
                                                    .len_bytes = recv->out.payload_len});
}

/* Its `out` is of no other use: where the message goes, and how much of it has come. */
void weft__mpi_pieces_begin(struct weft_mpi *mpi, struct weft_mpi_request *recv, void *into)
{
    recv->in_pieces = true;
    recv->out.payload = into;
    recv->out.payload_len = 0;
    want(mpi, recv);
}

struct weft_mpi_request *
weft__mpi_pieces_found(struct weft_mpi *mpi, const struct weft_mpi_header *header, int32_t source)
{
    struct weft_mpi_request *recv = weft__mpi_request_at(mpi, (uint64_t)header->cookie - 1);
    if (!recv || !recv->in_pieces || recv->world_source != source || recv->done)
        weft__mpi_error_fatal(mpi, MPI_ERR_INTERN,
                              "rank %d shows a part of a message that nobody wants", source);
    recv->get.source = source;
    recv->get.expose_id = header->expose_id;
    recv->get.offset = 0;
    recv->get.into = (unsigned char *)(uintptr_t)recv->out.payload + recv->out.payload_len;
    size_t rest = recv->got_bytes - recv->out.payload_len; /* of a shorter receive */
    recv->get.len_bytes = header->len_bytes < rest ? (size_t)header->len_bytes : rest;
    return recv;
}

bool weft__mpi_pieces_go_on(struct weft_mpi *mpi, struct weft_mpi_request *recv)
{
    recv->out.payload_len += recv->get.len_bytes;
    if (recv->out.payload_len == recv->got_bytes)
        return false;
    want(mpi, recv);
    return true;
}

/* ---- sending ---- */

static void show(struct weft_mpi *mpi, struct weft_mpi_request *send)
{
    size_t room = 0, len = send->len_bytes - WANTED_BYTE(send);
    void *window = weft__mpi_line_window(&room);
    len = len < room ? len : room;
    memcpy(window, (const unsigned char *)send->bytes + WANTED_BYTE(send), len);
    int err = mpi->cell->calls->expose(mpi->cell, window, len, &shown_id);
    if (err != WEFT_OK)
        weft__mpi_error_fatal(mpi, weft__mpi_out_error(err),
                              "a part of a long message cannot be shown to its receiver");
    shown = send;
    weft__mpi_out_control(mpi, send->out.dest,
                          &(struct weft_mpi_header){.kind = WEFT_MPI_PIECE,
                                                    .cookie = (uint32_t)WANTED_BY(send),
                                                    .expose_id = shown_id,
                                                    .len_bytes = len});
}

/* The window is free again, if it was this one's. */
static void hide(struct weft_mpi *mpi, const struct weft_mpi_request *send)
{
    if (shown != send)
        return;
    mpi->cell->calls->unexpose(mpi->cell, shown_id);
    shown = NULL;
}

static void show_next(struct weft_mpi *mpi)
{
    if (shown || weft__mpi_list_empty(&waiting))
        return;
    struct weft_mpi_request *next = WEFT_MPI_ITEM(waiting.next, struct weft_mpi_request, link);
    weft__mpi_list_remove(&next->link);
    show(mpi, next);
}

void weft__mpi_pieces_wanted(struct weft_mpi *mpi, struct weft_mpi_request *send,
                             const struct weft_mpi_header *header)
{
    hide(mpi, send);
    WANTED_BYTE(send) = (size_t)header->len_bytes;
    WANTED_BY(send) = header->expose_id;
    weft__mpi_list_append(&waiting, &send->link);
    show_next(mpi);
}

void weft__mpi_pieces_end(struct weft_mpi *mpi, struct weft_mpi_request *send)
{
    hide(mpi, send);
    show_next(mpi);
}
