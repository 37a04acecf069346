/* Beginning and end of MPI in a rank.
 *
 * The rank's state is one block of its region, found through the cell; after MPI_Finalize a small
 * rest of it says so. A rank that arrives on another host finds its state in place and does not
 * initialise again. Threads: a rank is one thread, so MPI_THREAD_FUNNELED is the most that is
 * granted.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/heap.h"
#include "mpi/attached.h"
#include "mpi/attr.h"
#include "mpi/coll.h"
#include "mpi/comm.h"
#include "mpi/errhandler.h"
#include "mpi/error.h"
#include "mpi/group.h"
#include "mpi/info.h"
#include "mpi/match.h"
#include "mpi/op.h"
#include "mpi/out.h"
#include "mpi/own.h"
#include "mpi/protocol.h"
#include "mpi/request.h"
#include "mpi/schedule.h"
#include "mpi/stdio.h"

/* The program that runs the rank has it; a program that is a process of its own does not. */
#pragma weak weft_cell_self

static struct weft_cell *self(void)
{
    return weft_cell_self ? weft_cell_self() : weft__mpi_own_cell();
}

static struct weft_cell *self_or_exit(const char *where)
{
    struct weft_cell *cell = self();
    if (cell)
        return cell;
    fprintf(stderr,
            "weft: %s: this thread is not a rank; start the program with weft run, and call MPI "
            "from its "
            "main thread only\n",
            where);
    exit(EXIT_FAILURE);
}

static void misplaced(struct weft_cell *cell, const char *where) __attribute__((noreturn));
static void misplaced(struct weft_cell *cell, const char *where)
{
    const struct weft_mpi *mpi = cell->mpi;
    char text[WEFT_MPI_TEXT_MAX];
    const char *why = "called before MPI_Init";
    if (mpi && mpi->magic != WEFT_MPI_MAGIC)
        why = "the rank came from a host whose libmpi is of another version";
    else if (mpi && mpi->finalized)
        why = "called after MPI_Finalize";
    snprintf(text, sizeof(text), "rank %d: %s: %s", cell->rank, where, why);
    weft__mpi_stdio_end_app(cell, MPI_ERR_OTHER, text);
}

struct weft_mpi *weft__mpi_enter(const char *where)
{
    struct weft_cell *cell = self_or_exit(where);
    struct weft_mpi *mpi = cell->mpi;
    if (!mpi || mpi->magic != WEFT_MPI_MAGIC || !mpi->initialized || mpi->finalized)
        misplaced(cell, where);
    return mpi;
}

static void fail_init(struct weft_cell *cell, const char *what) __attribute__((noreturn));
static void fail_init(struct weft_cell *cell, const char *what)
{
    char text[WEFT_MPI_TEXT_MAX];
    snprintf(text, sizeof(text), "rank %d: MPI_Init: %s", cell->rank, what);
    weft__mpi_stdio_end_app(cell, MPI_ERR_OTHER, text);
}

/* A program may bring a libmpi from when it was linked (-static-pie). */
static void check_version(struct weft_cell *cell)
{
    char text[160];
    if (cell->magic == WEFT_CELL_MAGIC && cell->version == WEFT_CELL_VERSION &&
        cell->calls->version == WEFT_CELL_VERSION)
        return;
    snprintf(text, sizeof(text),
             "the program's libmpi is for another weft (interface %d, here %u): link the program "
             "again with this weft's weftcc",
             WEFT_CELL_VERSION,
             cell->version == WEFT_CELL_VERSION ? cell->calls->version : cell->version);
    fail_init(cell, text);
}

static struct weft_mpi *new_state(struct weft_cell *cell)
{
    check_version(cell);
    struct weft_mpi *mpi = weft__heap_calloc(cell->heap, 1, sizeof(*mpi));
    if (!mpi)
        fail_init(cell, "the rank's region is full");
    mpi->magic = WEFT_MPI_MAGIC;
    mpi->cell = cell;
    mpi->file_errhandler = MPI_ERRORS_RETURN;
    weft__mpi_list_init(&mpi->free);
    weft__mpi_list_init(&mpi->outs);
    weft__mpi_list_init(&mpi->starting);
    weft__mpi_list_init(&mpi->getting);
    weft__mpi_list_init(&mpi->ready);
    cell->mpi = mpi;
    return mpi;
}

struct weft_mpi *weft__mpi_enter_any_time(const char *where)
{
    struct weft_cell *cell = self_or_exit(where);
    struct weft_mpi *mpi = cell->mpi;
    if (!mpi)
        return new_state(cell);
    if (mpi->magic != WEFT_MPI_MAGIC)
        misplaced(cell, where);
    return mpi;
}

static int init(const char *where, int required, int *provided)
{
    struct weft_mpi *mpi = weft__mpi_enter_any_time(where);
    struct weft_cell *cell = mpi->cell;
    if (mpi->initialized)
        fail_init(cell, "MPI was initialised before");
    weft__mpi_out_limits(mpi);
    mpi->dests = weft__heap_calloc(cell->heap, (size_t)cell->size, sizeof(*mpi->dests));
    if (!mpi->dests || !weft__mpi_comm_init(mpi))
        fail_init(cell, "the rank's region is full");
    weft__mpi_request_init(mpi);
    mpi->thread_level = required < MPI_THREAD_FUNNELED ? MPI_THREAD_SINGLE : MPI_THREAD_FUNNELED;
    mpi->initialized = true;
    cell->in_mpi = 1;
    *provided = mpi->thread_level;
    return MPI_SUCCESS;
}

int PMPI_Init(int *argc, char ***argv) /* NOLINT: the standard's parameters */
{
    int provided;
    (void)argc;
    (void)argv;
    return init(WEFT_MPI_HERE, MPI_THREAD_SINGLE, &provided);
}
WEFT_MPI_EXPORT(MPI_Init);

/* NOLINTNEXTLINE: the standard's parameters */
int PMPI_Init_thread(int *argc, char ***argv, int required, int *provided)
{
    (void)argc;
    (void)argv;
    return init(WEFT_MPI_HERE, required, provided);
}
WEFT_MPI_EXPORT(MPI_Init_thread);

/* Whether a send of this rank, or a receive that has found its message, is under way. */
static bool has_pending(struct weft_mpi *mpi)
{
    struct weft_mpi_request *request;
    if (!weft__mpi_list_empty(&mpi->getting) || !weft__mpi_list_empty(&mpi->starting))
        return true;
    for (uint64_t i = 0; i < (uint64_t)WEFT_MPI_CHUNK << mpi->chunks_n; i++)
        if ((request = weft__mpi_request_at(mpi, i)) && request->kind == WEFT_MPI_SEND &&
            !request->done && !request->inactive)
            return true;
    return false;
}

/* Messages that the program has sent arrive, or are refused; those under way to it end. */
static void finish_messages(struct weft_mpi *mpi)
{
    for (;;) {
        uint32_t seen = weft__mpi_protocol_bell(mpi);
        weft__mpi_protocol_progress(mpi);
        if (!has_pending(mpi))
            return;
        weft__mpi_protocol_wait(mpi, seen);
    }
}

/* The largest value of all ranks: none leaves before all have come. */
/* NOLINTNEXTLINE: the schedule writes value */
static int agree(struct weft_mpi *mpi, int32_t *value)
{
    const uint32_t type = weft__mpi_type_number(MPI_INT32_T);
    const struct weft_mpi_coll max = {.kind = WEFT_MPI_COLL_ALLREDUCE,
                                      .in_place = true,
                                      .op = (uint32_t)weft__mpi_handle_value(MPI_MAX),
                                      .into = {.buf = value, .count = 1, .type = type}};
    struct weft_mpi_request *request = weft__mpi_coll_new(mpi, mpi->world, &max);
    if (!request)
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_NO_MEM, "the rank's region is full");
    weft__mpi_schedule_start(mpi, request);
    weft__mpi_protocol_finish(mpi, request);
    weft__mpi_request_free(mpi, request);
    return MPI_SUCCESS;
}

static void refuse(struct weft_mpi *mpi, struct weft_mpi_queue *queue)
{
    struct weft_mpi_link *list = &queue->unexpected;
    for (struct weft_mpi_link *link = list->next, *next; link != list; link = next) {
        struct weft_mpi_message *message = WEFT_MPI_ITEM(link, struct weft_mpi_message, link);
        next = link->next;
        if (!message->header.cookie && !message->local)
            continue; /* nobody waits for an answer */
        weft__mpi_match_take(mpi, queue, message);
        weft__mpi_protocol_refuse(mpi, message);
    }
}

static void refuse_messages(struct weft_mpi *mpi, struct weft_mpi_comm *comm)
{
    weft__mpi_comm_hold(comm); /* a send of the rank to itself may be all that keeps it */
    refuse(mpi, &comm->queues[0]);
    refuse(mpi, &comm->queues[1]);
    weft__mpi_comm_put(mpi, comm);
}

/* Those behind handles of matched probes. */
static void refuse_probed(struct weft_mpi *mpi)
{
    struct weft_mpi_request *request;
    for (uint64_t i = 0; i < (uint64_t)WEFT_MPI_CHUNK << mpi->chunks_n; i++)
        if ((request = weft__mpi_request_at(mpi, i)) && request->kind == WEFT_MPI_MESSAGE) {
            weft__mpi_protocol_refuse(mpi, request->message);
            request->message = NULL;
        }
}

/* Receives that the program has left behind are given up, and stop pinning the rank. They may be
 * all that keeps the communicator: it is held from here to comm_fini(). */
static void drop_receives(struct weft_mpi *mpi, struct weft_mpi_comm *comm)
{
    weft__mpi_comm_hold(comm);
    struct weft_mpi_link *posted = &comm->queues[0].posted;
    weft__mpi_comm_hold(comm);
    while (!weft__mpi_list_empty(posted)) {
        struct weft_mpi_request *request =
            WEFT_MPI_ITEM(posted->next, struct weft_mpi_request, link);
        weft__mpi_match_withdraw(mpi, request);
        weft__mpi_request_complete(mpi, request, MPI_SUCCESS);
    }
    weft__mpi_comm_put(mpi, comm);
}

/* All ranks come here before any leaves, so whatever has not been received by then never will be:
 * it is refused, and no rank waits for it. Only where a rank still has a send under way do they
 * meet a second time, so that all are there to answer. */
static int end_messages(struct weft_mpi *mpi)
{
    int32_t *pending = weft__heap_alloc(mpi->cell->heap, sizeof(*pending));
    if (!pending)
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_NO_MEM, "the rank's region is full");
    weft__mpi_protocol_progress(mpi);
    *pending = has_pending(mpi);
    int err = agree(mpi, pending);
    mpi->finalizing = true;
    weft__mpi_comm_each(mpi, refuse_messages);
    refuse(mpi, &mpi->early);
    refuse_probed(mpi);
    finish_messages(mpi);
    if (!err && *pending)
        err = agree(mpi, pending);
    weft__mpi_protocol_flush(mpi);
    weft__heap_free(mpi->cell->heap, pending);
    return err;
}

int PMPI_Finalize(void)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    const struct weft_mpi_attr_owner self_attrs = {WEFT_MPI_ATTR_COMM, MPI_COMM_SELF,
                                                   &mpi->self->attrs};
    int err = weft__mpi_attr_delete_all(mpi, &self_attrs);
    if (err)
        return WEFT_MPI_RAISE(mpi, NULL, err, "an attribute's callback returned %d", err);
    err = end_messages(mpi);
    if (err)
        return err;
    weft__mpi_comm_each(mpi, drop_receives);
    weft__mpi_request_fini(mpi);
    weft__mpi_attached_free(mpi, mpi->attached);
    weft__mpi_comm_fini(mpi);
    weft__mpi_schedule_fini(mpi);
    weft__mpi_group_fini(mpi);
    weft__mpi_attr_type_fini(mpi);
    weft__mpi_attr_fini(mpi);
    weft__mpi_info_fini(mpi);
    weft__mpi_errhandler_fini(mpi);
    weft__mpi_match_fini(mpi);
    weft__mpi_op_fini(mpi);
    weft__mpi_type_fini(mpi);
    weft__heap_free(mpi->cell->heap, mpi->dests);
    mpi->dests = NULL;
    mpi->attached = NULL;
    mpi->finalized = true;
    mpi->cell->in_mpi = 0;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Finalize);

int PMPI_Initialized(int *flag)
{
    const struct weft_cell *cell = self();
    const struct weft_mpi *mpi = cell ? cell->mpi : NULL;
    *flag = mpi && mpi->initialized;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Initialized);

int PMPI_Finalized(int *flag)
{
    const struct weft_cell *cell = self();
    const struct weft_mpi *mpi = cell ? cell->mpi : NULL;
    *flag = mpi && mpi->finalized;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Finalized);

int PMPI_Query_thread(int *provided)
{
    *provided = weft__mpi_enter(WEFT_MPI_HERE)->thread_level;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Query_thread);

int PMPI_Is_thread_main(int *flag)
{
    *flag = self() != NULL;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Is_thread_main);

int PMPI_Abort(MPI_Comm comm, int errorcode)
{
    struct weft_cell *cell = self_or_exit(WEFT_MPI_HERE);
    char text[WEFT_MPI_TEXT_MAX];
    (void)comm;
    snprintf(text, sizeof(text), "rank %d: MPI_Abort: code %d", cell->rank, errorcode);
    weft__mpi_stdio_end_app(cell, errorcode, text);
}
WEFT_MPI_EXPORT(MPI_Abort);
