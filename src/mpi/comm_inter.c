/* Intercommunicators: two groups that talk to each other.
 *
 * One rank of each side meets the other's over a communicator that both are in; they tell each
 * other who is on their side and offer a context, of which that of the lower world rank counts;
 * then each tells its own side. Parts and merging are the same meeting, over the intercommunicator
 * itself. A side that is alone again in a collective has its own communicator,
 * whose context its speaker offers.
 */
#include "mpi/comm_inter.h"

#include <string.h>

#include "base/heap.h"
#include "mpi/comm.h"
#include "mpi/error.h"
#include "mpi/group.h"
#include "mpi/request.h"
#include "mpi/schedule.h"

/* What the speakers tell each other, before who is on their side. */
struct opening {
    uint64_t context;
    int32_t size, high, world_rank, unused;
};

/* What a speaker tells its side, before who is on the other. */
struct outcome {
    uint64_t context, local_context;
    int32_t size, high, first, err;
};

int weft__mpi_meeting_swap(struct weft_mpi *mpi, const struct weft_mpi_meeting *meeting,
                           const struct weft_mpi_buffer *mine, const struct weft_mpi_buffer *theirs)
{
    struct weft_mpi_request *request = weft__mpi_schedule_new(mpi, meeting->bridge);
    if (!request)
        return MPI_ERR_NO_MEM;
    weft__mpi_schedule_set_tag(request->schedule,
                               WEFT_MPI_TAG_PARTIAL + meeting->tag % WEFT_MPI_TAG_PARTIAL);
    weft__mpi_schedule_send(request->schedule, meeting->peer, mine);
    weft__mpi_schedule_recv(request->schedule, meeting->peer, theirs);
    return weft__mpi_make_finish(mpi, request);
}

static struct weft_mpi_buffer bytes(void *data, size_t len)
{
    return (struct weft_mpi_buffer){data, (MPI_Count)len, weft__mpi_type_number(MPI_BYTE)};
}

static int32_t *list_ranks(struct weft_mpi *mpi, const struct weft_mpi_group *group)
{
    int32_t *ranks = weft__heap_alloc(mpi->cell->heap, (size_t)group->size * sizeof(*ranks) + 1);
    for (int32_t i = 0; ranks && i < group->size; i++)
        ranks[i] = weft__mpi_group_world_rank(group, i);
    return ranks;
}

/* For the speaker: outcome and the other side's ranks, to be freed. */
static int meet(struct weft_mpi *mpi, const struct weft_mpi_meeting *meeting,
                struct outcome *outcome, int32_t **theirs_out)
{
    struct weft_heap *heap = mpi->cell->heap;
    struct opening mine = {.context = weft__mpi_comm_offer(mpi),
                           .size = meeting->group->size,
                           .high = meeting->high,
                           .world_rank = mpi->cell->rank};
    struct opening theirs = {0};
    struct weft_mpi_buffer out = bytes(&mine, sizeof(mine)), in = bytes(&theirs, sizeof(theirs));
    int err = weft__mpi_meeting_swap(mpi, meeting, &out, &in);
    if (err)
        return err;
    int32_t *ranks = list_ranks(mpi, meeting->group);
    int32_t *others = weft__heap_alloc(heap, (size_t)theirs.size * sizeof(*others) + 1);
    out = bytes(ranks, (size_t)mine.size * sizeof(*ranks));
    in = bytes(others, (size_t)theirs.size * sizeof(*others));
    err = ranks && others ? weft__mpi_meeting_swap(mpi, meeting, &out, &in) : MPI_ERR_NO_MEM;
    weft__heap_free(heap, ranks);
    if (err) {
        weft__heap_free(heap, others);
        return err;
    }
    bool lower = mine.world_rank < theirs.world_rank;
    outcome->context = lower ? mine.context : theirs.context;
    outcome->size = theirs.size;
    outcome->high = theirs.high;
    outcome->first = mine.high == theirs.high ? lower : !mine.high;
    *theirs_out = others;
    return MPI_SUCCESS;
}

int weft__mpi_meeting_tell(struct weft_mpi *mpi, const struct weft_mpi_meeting *meeting, void *data,
                           size_t len)
{
    int32_t size = meeting->local->size;
    const struct weft_mpi_tree tree = {
        .root = meeting->speaker,
        .n = size,
        .me = (int32_t)(((int64_t)meeting->local->rank + size - meeting->speaker) % size),
        .data = data,
        .len_bytes = len};
    return weft__mpi_make_finish(mpi, weft__mpi_make_tree(mpi, meeting->local, &tree));
}

int weft__mpi_meet(struct weft_mpi *mpi, struct weft_mpi_meeting *meeting)
{
    struct outcome outcome = {0};
    int32_t *ranks = NULL;
    bool speaks = meeting->local->rank == meeting->speaker;
    if (speaks) {
        outcome.err = meet(mpi, meeting, &outcome, &ranks);
        outcome.local_context = weft__mpi_comm_offer(mpi);
    }
    int err = weft__mpi_meeting_tell(mpi, meeting, &outcome, sizeof(outcome));
    if (!err)
        err = outcome.err;
    if (!err && !speaks)
        ranks = weft__heap_alloc(mpi->cell->heap, (size_t)outcome.size * sizeof(*ranks) + 1);
    if (!err)
        err = ranks ? weft__mpi_meeting_tell(mpi, meeting, ranks,
                                             (size_t)outcome.size * sizeof(*ranks))
                    : MPI_ERR_NO_MEM;
    meeting->context = outcome.context;
    meeting->local_context = outcome.local_context;
    meeting->first = outcome.first != 0;
    meeting->remote = err ? NULL : weft__mpi_group_new(mpi, outcome.size, ranks);
    weft__heap_free(mpi->cell->heap, ranks);
    if (!err && !meeting->remote)
        return MPI_ERR_NO_MEM;
    return err;
}

int weft__mpi_make_sides(struct weft_mpi *mpi, const struct weft_mpi_make *make, uint64_t context,
                         uint64_t local_context, struct weft_mpi_comm **made_out)
{
    struct weft_mpi_comm *made = NULL;
    int err = weft__mpi_make(mpi, make, context, &made);
    if (err)
        return err;
    made->local = weft__mpi_comm_new(mpi, make->group, NULL);
    if (!made->local) {
        weft__mpi_comm_retract(mpi, made);
        return MPI_ERR_NO_MEM;
    }
    weft__mpi_comm_open(mpi, made->local, local_context);
    *made_out = made;
    return MPI_SUCCESS;
}

int weft__mpi_make_inter(struct weft_mpi *mpi, struct weft_mpi_make *make,
                         struct weft_mpi_meeting *meeting, struct weft_mpi_comm **made_out)
{
    int err = weft__mpi_meet(mpi, meeting);
    make->group = meeting->group;
    make->remote = meeting->remote;
    *made_out = NULL;
    if (!err && meeting->remote->rank != MPI_UNDEFINED)
        err = MPI_ERR_COMM; /* on both sides */
    if (!err && meeting->remote->size > 0 && meeting->group->rank != MPI_UNDEFINED)
        err = weft__mpi_make_sides(mpi, make, meeting->context, meeting->local_context, made_out);
    weft__mpi_group_put(mpi, meeting->remote);
    return err;
}

struct weft_mpi_meeting weft__mpi_meeting_of(struct weft_mpi_comm *inter)
{
    return (struct weft_mpi_meeting){.local = inter->local, .bridge = inter, .group = inter->group};
}

/* ---- as the program calls it ---- */

/* What only the speaker's arguments say. */
static int check_bridge(struct weft_mpi *mpi, const char *where, struct weft_mpi_meeting *meeting,
                        MPI_Comm peer_comm)
{
    int err = weft__mpi_comm_get(mpi, where, peer_comm, &meeting->bridge);
    if (err)
        return err;
    const struct weft_mpi_comm *bridge = meeting->bridge;
    if (meeting->peer < 0 || meeting->peer >= bridge->peers ||
        (!bridge->remote && meeting->peer == bridge->rank))
        return weft__mpi_error_raise(mpi, bridge, MPI_ERR_RANK, where,
                                     "remote leader %d in a communicator of %d", meeting->peer,
                                     bridge->peers);
    return MPI_SUCCESS;
}

int PMPI_Intercomm_create(MPI_Comm local_comm, int local_leader, MPI_Comm peer_comm,
                          int remote_leader, int tag, MPI_Comm *newintercomm)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *local, *made;
    int err = weft__mpi_comm_get(mpi, WEFT_MPI_HERE, local_comm, &local);
    if (err)
        return err;
    if (local->remote)
        return WEFT_MPI_RAISE(mpi, local, MPI_ERR_COMM, "it is an intercommunicator");
    if (local_leader < 0 || local_leader >= local->size)
        return WEFT_MPI_RAISE(mpi, local, MPI_ERR_RANK, "local leader %d in a communicator of %d",
                              local_leader, local->size);
    if (tag < 0)
        return WEFT_MPI_RAISE(mpi, local, MPI_ERR_TAG, "tag %d", tag);
    struct weft_mpi_meeting meeting = {.local = local,
                                       .speaker = local_leader,
                                       .peer = remote_leader,
                                       .tag = tag,
                                       .group = local->group};
    if (local->rank == local_leader)
        err = check_bridge(mpi, WEFT_MPI_HERE, &meeting, peer_comm);
    if (err)
        return err;
    struct weft_mpi_make make = {.parent = local};
    err = weft__mpi_make_inter(mpi, &make, &meeting, &made);
    if (err)
        return weft__mpi_make_failed(mpi, WEFT_MPI_HERE, local, err);
    *newintercomm = made ? made->handle : MPI_COMM_NULL;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Intercomm_create);

/* Both sides in one, the one that is not high first. */
static struct weft_mpi_group *merge(struct weft_mpi *mpi, const struct weft_mpi_meeting *meeting)
{
    const struct weft_mpi_group *first = meeting->first ? meeting->group : meeting->remote;
    const struct weft_mpi_group *second = meeting->first ? meeting->remote : meeting->group;
    size_t n = (size_t)first->size + (size_t)second->size;
    struct weft_mpi_group *group = NULL;
    int32_t *ranks = weft__heap_alloc(mpi->cell->heap, n * sizeof(*ranks));
    for (int32_t i = 0; ranks && i < first->size; i++)
        ranks[i] = weft__mpi_group_world_rank(first, i);
    for (int32_t i = 0; ranks && i < second->size; i++)
        ranks[first->size + i] = weft__mpi_group_world_rank(second, i);
    if (ranks)
        group = weft__mpi_group_new(mpi, (int32_t)n, ranks);
    weft__heap_free(mpi->cell->heap, ranks);
    return group;
}

int PMPI_Intercomm_merge(MPI_Comm intercomm, int high, MPI_Comm *newintracomm)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *inter, *made = NULL;
    int err = weft__mpi_comm_get(mpi, WEFT_MPI_HERE, intercomm, &inter);
    if (err)
        return err;
    if (!inter->remote)
        return WEFT_MPI_RAISE(mpi, inter, MPI_ERR_COMM, "it is no intercommunicator");
    struct weft_mpi_meeting meeting = weft__mpi_meeting_of(inter);
    meeting.high = high != 0;
    err = weft__mpi_meet(mpi, &meeting);
    struct weft_mpi_make make = {.parent = inter};
    if (meeting.remote && !(make.group = merge(mpi, &meeting)))
        err = MPI_ERR_NO_MEM;
    if (!err)
        err = weft__mpi_make(mpi, &make, meeting.context, &made);
    weft__mpi_group_put(mpi, make.group);
    weft__mpi_group_put(mpi, meeting.remote);
    if (err)
        return weft__mpi_make_failed(mpi, WEFT_MPI_HERE, inter, err);
    *newintracomm = made->handle;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Intercomm_merge);
