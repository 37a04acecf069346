/* Schedules: what a collective does, written down before it starts.
 *
 * Writing (which rank talks to whom, in which order) is apart from running, so blocking,
 * non-blocking and persistent forms share both. A part's steps lie in one array of the rank's
 * range; when they have run, the next part is written into the same array, by an algorithm named by
 * number, because code is never stored. All messages of a collective carry its number as tag, in
 * the communicator's second context: two collectives under way do not mix. On an intercommunicator,
 * messages among the ranks of a side go over that side's own communicator, with tags below zero. A
 * persistent one keeps its tag: between two ranks messages do not overtake, and a rank starts it
 * again only when it has received all that belongs to the time before. An error of a part is kept,
 * and the schedule runs to its end: a rank that stopped would leave the others waiting.
 *
 * With libmpi alone (scripts/bench match), a rank's barrier, broadcast and allreduce of 8 bytes
 * take 114, 86 and 172 ns of the processor with 2 ranks, 197, 116 and 259 with 8. They took
 * about 1.7 times that when each was written anew, in memory from the heap, and each send had a
 * request.
 */
#include "mpi/schedule.h"

#include <string.h>

#include "base/check.h"
#include "base/heap.h"
#include "mpi/comm.h"
#include "mpi/error.h"
#include "mpi/op.h"
#include "mpi/out.h"
#include "mpi/protocol.h"
#include "mpi/request.h"
#include "weft/error.h"

#define TAG_MASK 0x1fffffffu
#define TAG_PERSISTENT 0x20000000
#define TAG_LOCAL INT32_MIN

enum { STEPS_FIRST = 16, SCRATCH_FIRST = 512, SPARES_MAX = 8 };

/* What a schedule comes with: enough for a short collective. Some blocks are kept when they are
 * free, so that one that follows another takes no memory from the heap. */
struct block {
    struct weft_mpi_schedule schedule;
    _Alignas(16) struct weft_mpi_step steps[STEPS_FIRST];
    _Alignas(16) unsigned char scratch[SCRATCH_FIRST];
    struct block *next; /* spare */
};

static struct block *block_of(struct weft_mpi_schedule *schedule)
{
    return WEFT_MPI_ITEM(schedule, struct block, schedule);
}

static struct block *take_block(struct weft_mpi *mpi)
{
    struct block *block = mpi->spare_schedules;
    if (!block)
        return weft__heap_alloc(mpi->cell->heap, sizeof(*block));
    mpi->spare_schedules = block->next;
    mpi->spare_schedules_n--;
    return block;
}

static void give_block(struct weft_mpi *mpi, struct block *block)
{
    if (mpi->spare_schedules_n == SPARES_MAX) {
        weft__heap_free(mpi->cell->heap, block);
        return;
    }
    block->next = mpi->spare_schedules;
    mpi->spare_schedules = block;
    mpi->spare_schedules_n++;
}

void weft__mpi_schedule_fini(struct weft_mpi *mpi)
{
    for (struct block *block; (block = mpi->spare_schedules) != NULL;) {
        mpi->spare_schedules = block->next;
        weft__heap_free(mpi->cell->heap, block);
    }
    mpi->spare_schedules_n = 0;
}

int32_t weft__mpi_schedule_tag(struct weft_mpi_comm *comm)
{
    return (int32_t)(comm->collectives++ & TAG_MASK);
}

static struct weft_mpi_request *new_request(struct weft_mpi *mpi,
                                            struct weft_mpi_schedule *schedule)
{
    struct weft_mpi_request *request =
        weft__mpi_request_new(mpi, schedule->comm, WEFT_MPI_COLLECTIVE);
    schedule->tag = weft__mpi_schedule_tag(schedule->comm);
    request->schedule = schedule;
    return request;
}

struct weft_mpi_request *weft__mpi_schedule_new(struct weft_mpi *mpi, struct weft_mpi_comm *comm)
{
    struct block *block = take_block(mpi);
    if (!block)
        return NULL;
    struct weft_mpi_schedule *schedule = &block->schedule;
    memset(schedule, 0, sizeof(*schedule));
    schedule->mpi = mpi;
    schedule->comm = comm;
    schedule->parts = 1;
    schedule->steps = block->steps;
    schedule->steps_max = STEPS_FIRST;
    return new_request(mpi, schedule);
}

bool weft__mpi_schedule_scratch(struct weft_mpi_schedule *schedule, size_t len_bytes)
{
    weft__check(!schedule->scratch);
    if (len_bytes <= SCRATCH_FIRST) {
        schedule->scratch = block_of(schedule)->scratch;
        return true;
    }
    schedule->scratch = weft__heap_alloc(schedule->mpi->cell->heap, len_bytes);
    schedule->no_memory = schedule->no_memory || !schedule->scratch;
    return schedule->scratch != NULL;
}

/* In the schedule's own block. */
static bool first_steps(const struct weft_mpi_schedule *schedule)
{
    return schedule->steps_max == STEPS_FIRST;
}

/* Nothing in the rank's range may point to what is outside, not even in what is free. */
static void drop(const struct weft_mpi_schedule *schedule, struct weft_mpi_step *step)
{
    weft__mpi_type_drop(schedule->mpi, step->from.type);
    weft__mpi_type_drop(schedule->mpi, step->into.type);
    if (step->kind == WEFT_MPI_STEP_OPEN)
        weft__mpi_comm_put(schedule->mpi, step->into.buf);
    step->from.buf = step->into.buf = step->packed = NULL;
    step->right = NULL;
}

static void clear(struct weft_mpi_schedule *schedule)
{
    for (uint32_t i = 0; i < schedule->steps_n; i++)
        drop(schedule, &schedule->steps[i]);
    schedule->steps_n = 0;
}

static void destroy(struct weft_mpi *mpi, struct weft_mpi_schedule *schedule)
{
    clear(schedule);
    weft__mpi_type_drop(mpi, schedule->coll.from.type);
    weft__mpi_type_drop(mpi, schedule->coll.into.type);
    weft__mpi_op_drop(mpi, schedule->coll.op);
    if (schedule->scratch != block_of(schedule)->scratch)
        weft__heap_free(mpi->cell->heap, schedule->scratch);
    if (!first_steps(schedule))
        weft__heap_free(mpi->cell->heap, schedule->steps);
    schedule->coll.from.buf = schedule->coll.into.buf = NULL;
    give_block(mpi, block_of(schedule));
}

/* ---- the last one of a communicator, written already for a program that repeats itself ---- */

static bool is_plain(const struct weft_mpi_side *side)
{
    return !side->counts && !side->displs && !side->types && side->type <= WEFT_MPI_HANDLE_MASK;
}

/* What lies elsewhere is not remembered. */
static bool is_near(const struct weft_mpi *mpi, const struct weft_mpi_side *side)
{
    return !side->buf || weft_cell_holds(mpi->cell, side->buf, 1);
}

/* It holds nothing of the program's making, and no memory but its own block. */
static bool can_be_kept(const struct weft_mpi *mpi, struct weft_mpi_schedule *schedule)
{
    const struct weft_mpi_coll *coll = &schedule->coll;
    bool own = !schedule->scratch || schedule->scratch == block_of(schedule)->scratch;
    return schedule->repeatable && schedule->parts == 1 && !schedule->error &&
           !schedule->no_memory && own && first_steps(schedule) && is_plain(&coll->from) &&
           is_plain(&coll->into) && coll->op <= WEFT_MPI_HANDLE_MASK && is_near(mpi, &coll->from) &&
           is_near(mpi, &coll->into);
}

void weft__mpi_schedule_free(struct weft_mpi *mpi, struct weft_mpi_schedule *schedule)
{
    if (!schedule)
        return;
    if (!can_be_kept(mpi, schedule)) {
        destroy(mpi, schedule);
        return;
    }
    weft__mpi_schedule_forget(mpi, schedule->comm);
    schedule->comm->kept = schedule;
}

void weft__mpi_schedule_forget(struct weft_mpi *mpi, struct weft_mpi_comm *comm)
{
    if (comm->kept)
        destroy(mpi, comm->kept);
    comm->kept = NULL;
}

static bool same_side(const struct weft_mpi_side *a, const struct weft_mpi_side *b)
{
    return a->buf == b->buf && a->count == b->count && a->type == b->type;
}

struct weft_mpi_request *weft__mpi_schedule_again(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                                                  const struct weft_mpi_coll *coll)
{
    struct weft_mpi_schedule *kept = comm->kept;
    if (!kept || kept->coll.kind != coll->kind || kept->coll.in_place != coll->in_place ||
        kept->coll.root != coll->root || kept->coll.op != coll->op ||
        !same_side(&kept->coll.from, &coll->from) || !same_side(&kept->coll.into, &coll->into) ||
        !is_plain(&coll->from) || !is_plain(&coll->into))
        return NULL;
    comm->kept = NULL;
    return new_request(mpi, kept);
}

/* ---- writing ---- */

static bool grow(struct weft_mpi_schedule *schedule)
{
    struct weft_heap *heap = schedule->mpi->cell->heap;
    struct weft_mpi_step *steps =
        weft__heap_alloc(heap, 2u * schedule->steps_max * sizeof(*schedule->steps));
    if (!steps)
        return false;
    memcpy(steps, schedule->steps, schedule->steps_n * sizeof(*steps));
    if (!first_steps(schedule))
        weft__heap_free(heap, schedule->steps);
    schedule->steps = steps;
    schedule->steps_max *= 2;
    return true;
}

/* Without room, the last step is written over and over: the schedule is never started. */
static struct weft_mpi_step *add(struct weft_mpi_schedule *schedule, enum weft_mpi_step_kind kind)
{
    if (schedule->steps_n == schedule->steps_max && !grow(schedule)) {
        schedule->no_memory = true;
        drop(schedule, &schedule->steps[--schedule->steps_n]);
    }
    struct weft_mpi_step *step = &schedule->steps[schedule->steps_n++];
    memset(step, 0, sizeof(*step));
    step->kind = (uint8_t)kind;
    step->local = schedule->local;
    return step;
}

/* Field by field: what lies between them would stay in the rank's range as it was on the stack. */
static void hold(const struct weft_mpi_schedule *schedule, const struct weft_mpi_buffer *buffer,
                 struct weft_mpi_buffer *into)
{
    into->buf = buffer->buf;
    into->count = buffer->count;
    into->type = weft__mpi_type_hold(schedule->mpi, buffer->type);
}

static uint64_t bytes_of(const struct weft_mpi_schedule *schedule,
                         const struct weft_mpi_buffer *buffer)
{
    return (uint64_t)buffer->count * weft__mpi_type_get(schedule->mpi, buffer->type)->size;
}

void weft__mpi_schedule_send(struct weft_mpi_schedule *schedule, int64_t peer,
                             const struct weft_mpi_buffer *from)
{
    struct weft_mpi_step *step = add(schedule, WEFT_MPI_STEP_SEND);
    step->peer = (int32_t)peer;
    hold(schedule, from, &step->from);
}

void weft__mpi_schedule_recv(struct weft_mpi_schedule *schedule, int64_t peer,
                             const struct weft_mpi_buffer *into)
{
    struct weft_mpi_step *step = add(schedule, WEFT_MPI_STEP_RECV);
    step->peer = (int32_t)peer;
    hold(schedule, into, &step->into);
}

void weft__mpi_schedule_fence(struct weft_mpi_schedule *schedule)
{
    add(schedule, WEFT_MPI_STEP_FENCE);
}

void weft__mpi_schedule_combine(struct weft_mpi_schedule *schedule,
                                const struct weft_mpi_buffer *left, const void *right, void *into)
{
    struct weft_mpi_step *step = add(schedule, WEFT_MPI_STEP_COMBINE);
    step->op = schedule->coll.op;
    hold(schedule, left, &step->from);
    step->right = right;
    step->into.buf = into;
}

void weft__mpi_schedule_copy(struct weft_mpi_schedule *schedule, const struct weft_mpi_buffer *from,
                             const struct weft_mpi_buffer *into)
{
    struct weft_mpi_step *step = add(schedule, WEFT_MPI_STEP_COPY);
    hold(schedule, from, &step->from);
    hold(schedule, into, &step->into);
    if (bytes_of(schedule, from) > bytes_of(schedule, into))
        schedule->error = MPI_ERR_TRUNCATE;
}

static void add_piece(struct weft_mpi_step *step, uint64_t offset, const void *packed,
                      size_t len_bytes)
{
    step->offset = offset;
    step->packed = (void *)(uintptr_t)packed; /* UNPACK only reads it */
    step->len_bytes = len_bytes;
}

void weft__mpi_schedule_pack(struct weft_mpi_schedule *schedule, const struct weft_mpi_buffer *from,
                             uint64_t offset, void *packed, size_t len_bytes)
{
    struct weft_mpi_step *step = add(schedule, WEFT_MPI_STEP_PACK);
    hold(schedule, from, &step->from);
    add_piece(step, offset, packed, len_bytes);
}

void weft__mpi_schedule_unpack(struct weft_mpi_schedule *schedule,
                               const struct weft_mpi_buffer *into, uint64_t offset,
                               const void *packed, size_t len_bytes)
{
    struct weft_mpi_step *step = add(schedule, WEFT_MPI_STEP_UNPACK);
    hold(schedule, into, &step->into);
    add_piece(step, offset, packed, len_bytes);
}

void weft__mpi_schedule_open(struct weft_mpi_schedule *schedule, struct weft_mpi_comm *comm,
                             uint64_t *context)
{
    struct weft_mpi_step *step = add(schedule, WEFT_MPI_STEP_OPEN);
    step->into.buf = comm;
    step->packed = context;
    weft__mpi_comm_hold(comm);
}

void weft__mpi_schedule_set_tag(struct weft_mpi_schedule *schedule, int32_t tag)
{
    schedule->tag = tag;
    schedule->comm->collectives--;
}

/* ---- running ---- */

static struct weft_mpi_comm *comm_of(const struct weft_mpi_schedule *schedule,
                                     const struct weft_mpi_step *step)
{
    return step->local ? schedule->comm->local : schedule->comm;
}

static int32_t tag_of(const struct weft_mpi_schedule *schedule, const struct weft_mpi_step *step)
{
    return schedule->tag | (step->local ? TAG_LOCAL : 0);
}

/* A message in one piece that fits into a packet, has none before it, and so needs no request.
 * False: it is not sent. */
static bool send_now(struct weft_mpi *mpi, const struct weft_mpi_schedule *schedule,
                     const struct weft_mpi_step *step)
{
    const struct weft_mpi_comm *comm = comm_of(schedule, step);
    const struct weft_mpi_type *type = weft__mpi_type_get(mpi, step->from.type);
    const struct weft_mpi_header header = {.kind = WEFT_MPI_EAGER,
                                           .stamp = schedule->stamp,
                                           .context = comm->context | 1u,
                                           .source = comm->rank,
                                           .tag = tag_of(schedule, step),
                                           .len_bytes = (uint64_t)step->from.count * type->size};
    if (step->peer < 0 || header.len_bytes > weft__mpi_out_eager_max(mpi) ||
        !weft__mpi_type_is_run(type, step->from.count))
        return false;
    int32_t dest = weft__mpi_comm_world_rank(comm, step->peer);
    return dest != mpi->cell->rank &&
           weft__mpi_out_now(mpi, dest, &header, weft__mpi_type_at(type, step->from.buf)) ==
               WEFT_OK;
}

static void start_part(struct weft_mpi *mpi, struct weft_mpi_request *collective,
                       const struct weft_mpi_step *step)
{
    bool send = step->kind == WEFT_MPI_STEP_SEND;
    if (send && send_now(mpi, collective->schedule, step))
        return;
    struct weft_mpi_request *part = weft__mpi_request_new(mpi, comm_of(collective->schedule, step),
                                                          send ? WEFT_MPI_SEND : WEFT_MPI_RECV);
    part->parent = collective;
    part->collective = true;
    part->peer = step->peer;
    part->tag = tag_of(collective->schedule, step);
    part->stamp = collective->schedule->stamp;
    weft__mpi_request_data(mpi, part, send ? &step->from : &step->into);
    collective->schedule->pending++;
    if (send)
        weft__mpi_protocol_send(mpi, part);
    else
        weft__mpi_protocol_recv(mpi, part);
}

static void run_local(struct weft_mpi *mpi, const struct weft_mpi_step *step)
{
    const struct weft_mpi_combine combine = {.op = step->op,
                                             .type = step->from.type,
                                             .count = step->from.count,
                                             .left = step->from.buf,
                                             .right = step->right,
                                             .into = step->into.buf};
    switch ((enum weft_mpi_step_kind)step->kind) {
    case WEFT_MPI_STEP_COMBINE:
        weft__mpi_op_combine(mpi, &combine);
        break;
    case WEFT_MPI_STEP_COPY:
        weft__mpi_type_copy(mpi, &step->from, &step->into);
        break;
    case WEFT_MPI_STEP_PACK:
        weft__mpi_type_pack(mpi, &step->from, step->offset, step->packed, step->len_bytes);
        break;
    case WEFT_MPI_STEP_UNPACK:
        weft__mpi_type_unpack(mpi, &step->into, step->offset, step->packed, step->len_bytes);
        break;
    case WEFT_MPI_STEP_OPEN:
        weft__mpi_comm_open(mpi, step->into.buf, *(const uint64_t *)step->packed);
        break;
    case WEFT_MPI_STEP_SEND:
    case WEFT_MPI_STEP_RECV:
    case WEFT_MPI_STEP_FENCE:
        break;
    }
}

/* The first part, which is the longest, was written: only a region filled since can refuse. */
static void write_part(struct weft_mpi_schedule *schedule, uint32_t part)
{
    clear(schedule);
    schedule->next = 0;
    schedule->part = part;
    weft__mpi_coll_add_part(schedule);
    if (schedule->no_memory)
        weft__mpi_error_fatal(schedule->mpi, MPI_ERR_NO_MEM,
                              "no room for part %u of a collective's %u", schedule->part,
                              schedule->parts);
}

/* Runs until a fence with something pending, or the end. The count of pending parts is kept above
 * zero meanwhile, so that parts which complete at once do not make the collective ready. */
static void run(struct weft_mpi *mpi, struct weft_mpi_request *request)
{
    struct weft_mpi_schedule *schedule = request->schedule;
    schedule->pending++;
    for (;;) {
        bool at_end = schedule->next == schedule->steps_n;
        const struct weft_mpi_step *step = &schedule->steps[schedule->next];
        if (at_end || step->kind == WEFT_MPI_STEP_FENCE) {
            if (schedule->pending > 1 || (at_end && schedule->part + 1 == schedule->parts))
                break;
            if (at_end)
                write_part(schedule, schedule->part + 1);
            else
                schedule->next++;
            continue;
        }
        schedule->next++;
        if (step->kind == WEFT_MPI_STEP_SEND || step->kind == WEFT_MPI_STEP_RECV)
            start_part(mpi, request, step);
        else if (!request->error)
            run_local(mpi, step);
    }
    if (--schedule->pending == 0)
        weft__mpi_request_complete(mpi, request, schedule->error);
}

static void pin(struct weft_mpi *mpi, struct weft_mpi_request *request,
                const struct weft_mpi_buffer *buffer)
{
    if (buffer->buf || weft__mpi_type_is_derived(buffer->type))
        weft__mpi_request_pin(mpi, request, buffer);
}

/* Steps to come use the program's buffers also while no part is under way that pins them. */
static void pin_steps(struct weft_mpi *mpi, struct weft_mpi_request *request)
{
    const struct weft_mpi_schedule *schedule = request->schedule;
    for (uint32_t i = schedule->next; i < schedule->steps_n; i++) {
        const struct weft_mpi_step *step = &schedule->steps[i];
        struct weft_mpi_buffer other = step->from;
        if (step->kind == WEFT_MPI_STEP_FENCE)
            continue;
        if (step->from.type)
            pin(mpi, request, &step->from);
        if (step->into.type)
            pin(mpi, request, &step->into);
        if (step->kind != WEFT_MPI_STEP_COMBINE)
            continue;
        other.buf = step->into.buf;
        pin(mpi, request, &other);
        other.buf = (void *)(uintptr_t)step->right; /* only its address is looked at */
        pin(mpi, request, &other);
    }
}

static void pin_side(struct weft_mpi *mpi, struct weft_mpi_request *request,
                     const struct weft_mpi_side *side)
{
    const struct weft_mpi_buffer buffer = {(void *)(uintptr_t)side->buf, 1, side->type};
    if (side->buf && side->type)
        pin(mpi, request, &buffer);
}

void weft__mpi_schedule_persist(struct weft_mpi_request *request)
{
    request->schedule->tag |= TAG_PERSISTENT;
    request->persistent = true;
    request->inactive = true;
}

void weft__mpi_schedule_start(struct weft_mpi *mpi, struct weft_mpi_request *request)
{
    struct weft_mpi_schedule *schedule = request->schedule;
    request->done = false;
    request->error = MPI_SUCCESS;
    schedule->next = 0;
    if (schedule->part > 0)
        write_part(schedule, 0);
    run(mpi, request);
    if (request->done)
        return;
    pin_steps(mpi, request);
    if (schedule->parts > 1) {
        pin_side(mpi, request, &schedule->coll.from);
        pin_side(mpi, request, &schedule->coll.into);
    }
}

void weft__mpi_schedule_part_done(struct weft_mpi *mpi, struct weft_mpi_request *request, int error)
{
    if (error && !request->error)
        request->error = error;
    if (--request->schedule->pending == 0)
        weft__mpi_list_append(&mpi->ready, &request->link);
}

void weft__mpi_schedule_run_ready(struct weft_mpi *mpi)
{
    while (!weft__mpi_list_empty(&mpi->ready)) {
        struct weft_mpi_request *request =
            WEFT_MPI_ITEM(mpi->ready.next, struct weft_mpi_request, link);
        weft__mpi_list_remove(&request->link);
        run(mpi, request);
    }
}
