/* Schedules: what a collective does, written down before it starts.
 *
 * Building (which rank talks to whom, in which order) is apart from running, so blocking,
 * non-blocking and persistent forms share both. The steps lie in one block of the rank's range with
 * their scratch memory. All messages of a collective carry its number as tag, in the communicator's
 * second context: two collectives under way do not mix. An error of a part is kept, and the
 * schedule runs to its end: a rank that stopped would leave the others waiting.
 */
#include "mpi/schedule.h"

#include <string.h>

#include "base/check.h"
#include "base/heap.h"
#include "mpi/protocol.h"
#include "mpi/request.h"

#define TAG_MASK 0x3fffffffu

struct weft_mpi_request *weft__mpi_schedule_new(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                                                uint32_t steps_max, size_t scratch_bytes)
{
    size_t steps = (steps_max * sizeof(struct weft_mpi_step) + 15u) & ~(size_t)15u;
    size_t head = (sizeof(struct weft_mpi_schedule) + 15u) & ~(size_t)15u;
    struct weft_mpi_schedule *schedule =
        weft__heap_alloc(mpi->cell->heap, head + steps + scratch_bytes);
    if (!schedule)
        return NULL;
    memset(schedule, 0, sizeof(*schedule));
    schedule->mpi = mpi;
    schedule->steps_max = steps_max;
    schedule->tag = (int32_t)(comm->collectives++ & TAG_MASK);
    schedule->scratch = (unsigned char *)schedule + head + steps;
    struct weft_mpi_request *request = weft__mpi_request_new(mpi, comm, WEFT_MPI_COLLECTIVE);
    request->schedule = schedule;
    return request;
}

static struct weft_mpi_step *add(struct weft_mpi_request *request, enum weft_mpi_step_kind kind)
{
    struct weft_mpi_schedule *schedule = request->schedule;
    weft__check(schedule->steps_n < schedule->steps_max);
    struct weft_mpi_step *step = &schedule->steps[schedule->steps_n++];
    memset(step, 0, sizeof(*step));
    step->kind = (uint8_t)kind;
    return step;
}

static void add_data(struct weft_mpi_request *request, struct weft_mpi_step *step,
                     const struct weft_mpi_data *data)
{
    step->combine.left = data->from;
    step->combine.into = data->into;
    step->combine.count = data->count;
    step->combine.type = weft__mpi_type_hold(request->schedule->mpi, data->type);
}

void weft__mpi_schedule_free(struct weft_mpi *mpi, struct weft_mpi_schedule *schedule)
{
    for (uint32_t i = 0; schedule && i < schedule->steps_n; i++) {
        weft__mpi_type_drop(mpi, schedule->steps[i].combine.type);
        weft__mpi_op_drop(mpi, schedule->steps[i].combine.op);
    }
    weft__heap_free(mpi->cell->heap, schedule);
}

void weft__mpi_schedule_send(struct weft_mpi_request *request, int32_t peer,
                             const struct weft_mpi_data *data)
{
    struct weft_mpi_step *step = add(request, WEFT_MPI_STEP_SEND);
    step->peer = peer;
    add_data(request, step, data);
}

void weft__mpi_schedule_recv(struct weft_mpi_request *request, int32_t peer,
                             const struct weft_mpi_data *data)
{
    struct weft_mpi_step *step = add(request, WEFT_MPI_STEP_RECV);
    step->peer = peer;
    add_data(request, step, data);
}

void weft__mpi_schedule_fence(struct weft_mpi_request *request)
{
    add(request, WEFT_MPI_STEP_FENCE);
}

void weft__mpi_schedule_combine(struct weft_mpi_request *request,
                                const struct weft_mpi_combine *combine)
{
    add(request, WEFT_MPI_STEP_COMBINE)->combine = *combine;
    weft__mpi_op_hold(request->schedule->mpi, combine->op);
    weft__mpi_type_hold(request->schedule->mpi, combine->type);
}

void weft__mpi_schedule_copy(struct weft_mpi_request *request, const struct weft_mpi_data *data)
{
    add_data(request, add(request, WEFT_MPI_STEP_COPY), data);
}

static void start_part(struct weft_mpi *mpi, struct weft_mpi_request *collective,
                       const struct weft_mpi_step *step)
{
    bool send = step->kind == WEFT_MPI_STEP_SEND;
    struct weft_mpi_request *part =
        weft__mpi_request_new(mpi, collective->comm, send ? WEFT_MPI_SEND : WEFT_MPI_RECV);
    part->parent = collective;
    part->collective = true;
    part->peer = step->peer;
    part->tag = collective->schedule->tag;
    /* A send only reads its buffer. */
    weft__mpi_request_data(
        mpi, part,
        &(struct weft_mpi_buffer){send ? (void *)(uintptr_t)step->combine.left : step->combine.into,
                                  step->combine.count, step->combine.type});
    collective->schedule->pending++;
    if (send)
        weft__mpi_protocol_send(mpi, part);
    else
        weft__mpi_protocol_recv(mpi, part);
}

static void run_local(struct weft_mpi *mpi, const struct weft_mpi_step *step)
{
    const struct weft_mpi_combine *c = &step->combine;
    if (step->kind == WEFT_MPI_STEP_COMBINE)
        weft__mpi_op_combine(mpi, c);
    else
        weft__mpi_type_copy(
            mpi, &(struct weft_mpi_buffer){(void *)(uintptr_t)c->left, c->count, c->type},
            &(struct weft_mpi_buffer){c->into, c->count, c->type});
}

/* Runs until a fence with something pending, or the end. The count of pending parts is kept above
 * zero meanwhile, so that parts which complete at once do not make the collective ready. */
static void run(struct weft_mpi *mpi, struct weft_mpi_request *request)
{
    struct weft_mpi_schedule *schedule = request->schedule;
    schedule->pending++;
    while (schedule->next < schedule->steps_n) {
        const struct weft_mpi_step *step = &schedule->steps[schedule->next];
        if (step->kind == WEFT_MPI_STEP_FENCE && schedule->pending > 1)
            break;
        schedule->next++;
        if (step->kind == WEFT_MPI_STEP_SEND || step->kind == WEFT_MPI_STEP_RECV)
            start_part(mpi, request, step);
        else if (step->kind != WEFT_MPI_STEP_FENCE && !request->error)
            run_local(mpi, step);
    }
    if (--schedule->pending == 0)
        weft__mpi_request_complete(mpi, request, MPI_SUCCESS);
}

static void pin(struct weft_mpi *mpi, struct weft_mpi_request *request, const void *buf,
                const struct weft_mpi_step *step)
{
    /* Only its address is looked at. */
    const struct weft_mpi_buffer data = {(void *)(uintptr_t)buf, step->combine.count,
                                         step->combine.type};
    if (buf || weft__mpi_type_is_derived(step->combine.type))
        weft__mpi_request_pin(mpi, request, &data);
}

/* Steps to come use the program's buffers also while no part is under way that pins them. */
void weft__mpi_schedule_start(struct weft_mpi *mpi, struct weft_mpi_request *request)
{
    const struct weft_mpi_schedule *schedule = request->schedule;
    run(mpi, request);
    for (uint32_t i = schedule->next; i < schedule->steps_n && !request->done; i++) {
        const struct weft_mpi_step *step = &schedule->steps[i];
        if (step->kind == WEFT_MPI_STEP_FENCE)
            continue;
        pin(mpi, request, step->combine.left, step);
        pin(mpi, request, step->combine.right, step);
        pin(mpi, request, step->combine.into, step);
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
