/* Communicators of the same ranks, and of a group that its members name.
 *
 * Rank 0 of the new one offers its context (see comm.c) and tells the others along a tree. The
 * ranks that are not in it are not asked: where all ranks call, they are done at once.
 */
#include "base/heap.h"
#include "mpi/comm.h"
#include "mpi/comm_inter.h"
#include "mpi/comm_make.h"
#include "mpi/error.h"
#include "mpi/group.h"
#include "mpi/info.h"
#include "mpi/request.h"
#include "mpi/schedule.h"

/* ---- duplicates ---- */

static void add_intra(struct weft_mpi *mpi, struct weft_mpi_schedule *schedule,
                      struct weft_mpi_comm *made, uint64_t *context)
{
    const struct weft_mpi_comm *parent = schedule->comm;
    const struct weft_mpi_tree tree = {
        .n = parent->size, .me = parent->rank, .data = context, .len_bytes = sizeof(*context)};
    if (parent->rank == 0)
        *context = weft__mpi_comm_offer(mpi);
    weft__mpi_make_add_tree(schedule, &tree);
    weft__mpi_schedule_fence(schedule);
    if (made)
        weft__mpi_schedule_open(schedule, made, context);
}

/* The side whose rank 0 has the lower number in the world begins: that rank offers the context, and
 * one for what the other side has for itself, and tells all of them. The other side's rank 0
 * answers all of the first in the same way. contexts: of the side that answers, of all, of the side
 * that begins. */
static void add_inter(struct weft_mpi *mpi, struct weft_mpi_schedule *schedule,
                      struct weft_mpi_comm *made, uint64_t contexts[3])
{
    const struct weft_mpi_comm *parent = schedule->comm;
    bool begins = weft__mpi_group_world_rank(parent->group, 0) <
                  weft__mpi_group_world_rank(parent->remote, 0);
    uint64_t *here = begins ? &contexts[1] : &contexts[0]; /* what this side is told */
    uint64_t *there = begins ? &contexts[0] : &contexts[1];
    const MPI_Count len = 2 * sizeof(contexts[0]);
    const struct weft_mpi_buffer in = {here, len, weft__mpi_type_number(MPI_BYTE)};
    const struct weft_mpi_buffer out = {there, len, weft__mpi_type_number(MPI_BYTE)};
    if (parent->rank == 0 && begins)
        contexts[1] = weft__mpi_comm_offer(mpi);
    if (parent->rank == 0)
        contexts[begins ? 0 : 2] = weft__mpi_comm_offer(mpi);
    if (!begins) {
        weft__mpi_schedule_recv(schedule, 0, &in);
        weft__mpi_schedule_fence(schedule);
    }
    for (int32_t i = 0; parent->rank == 0 && i < parent->remote->size; i++)
        weft__mpi_schedule_send(schedule, i, &out);
    if (begins)
        weft__mpi_schedule_recv(schedule, 0, &in);
    weft__mpi_schedule_fence(schedule);
    if (made) {
        weft__mpi_schedule_open(schedule, made->local, &contexts[begins ? 2 : 0]);
        weft__mpi_schedule_open(schedule, made, &contexts[1]);
    }
}

/* Tells the context to all ranks of the parent, and opens made (NULL: nothing) with it. */
static struct weft_mpi_request *write_dup(struct weft_mpi *mpi, struct weft_mpi_comm *parent,
                                          struct weft_mpi_comm *made)
{
    struct weft_mpi_request *request = weft__mpi_schedule_new(mpi, parent);
    if (!request)
        return NULL;
    struct weft_mpi_schedule *schedule = request->schedule;
    if (weft__mpi_schedule_scratch(schedule, 3 * sizeof(uint64_t))) {
        uint64_t *contexts = (uint64_t *)(void *)schedule->scratch;
        if (parent->remote)
            add_inter(mpi, schedule, made, contexts);
        else
            add_intra(mpi, schedule, made, contexts);
    }
    if (!schedule->no_memory)
        return request;
    weft__mpi_request_free(mpi, request);
    return NULL;
}

struct dup_args {
    const char *where;
    MPI_Comm comm;
    MPI_Info info;
};

static int begin_dup(struct weft_mpi *mpi, struct weft_mpi_comm *comm, struct weft_mpi_info *info,
                     struct weft_mpi_comm **made_out)
{
    const struct weft_mpi_make make = {.parent = comm,
                                       .group = comm->group,
                                       .remote = comm->remote,
                                       .info = info,
                                       .duplicate = true};
    int err = weft__mpi_make_begin(mpi, &make, made_out);
    if (err || !comm->remote)
        return err;
    (*made_out)->local = weft__mpi_comm_new(mpi, comm->group, NULL);
    if ((*made_out)->local)
        return MPI_SUCCESS;
    weft__mpi_comm_retract(mpi, *made_out);
    *made_out = NULL;
    return MPI_ERR_NO_MEM;
}

/* Makes the new one up to its context. Where that fails, what the others wait for is done all the
 * same: the communicator is missing on this rank, and the error is this rank's. */
static int start_dup(struct weft_mpi *mpi, const struct dup_args *args,
                     struct weft_mpi_comm **made_out, struct weft_mpi_request **request_out)
{
    struct weft_mpi_comm *comm, *made = NULL;
    struct weft_mpi_info *info;
    int err = weft__mpi_comm_get(mpi, args->where, args->comm, &comm);
    if (!err)
        err = weft__mpi_info_get(mpi, comm, args->where, args->info, &info);
    if (err)
        return err;
    err = begin_dup(mpi, comm, info, &made);
    struct weft_mpi_request *request = write_dup(mpi, comm, made);
    if (!err && !request) {
        err = MPI_ERR_NO_MEM;
        weft__mpi_comm_retract(mpi, made);
    } else if (err) {
        (void)weft__mpi_make_finish(mpi, request);
    }
    if (err)
        return weft__mpi_make_failed(mpi, args->where, comm, err);
    *made_out = made;
    *request_out = request;
    return MPI_SUCCESS;
}

static int dup(const struct dup_args *args, MPI_Comm *handle_out)
{
    struct weft_mpi *mpi = weft__mpi_enter(args->where);
    struct weft_mpi_comm *made = NULL;
    struct weft_mpi_request *request = NULL;
    *handle_out = MPI_COMM_NULL;
    int err = start_dup(mpi, args, &made, &request);
    if (!made)
        return err;
    err = weft__mpi_make_finish(mpi, request);
    if (err) {
        weft__mpi_comm_retract(mpi, made);
        return weft__mpi_make_failed(mpi, args->where, weft__mpi_comm_find(mpi, args->comm), err);
    }
    *handle_out = made->handle;
    return MPI_SUCCESS;
}

static int idup(const struct dup_args *args, MPI_Comm *handle_out, MPI_Request *request_out)
{
    struct weft_mpi *mpi = weft__mpi_enter(args->where);
    struct weft_mpi_comm *made = NULL;
    struct weft_mpi_request *request = NULL;
    *handle_out = MPI_COMM_NULL;
    int err = start_dup(mpi, args, &made, &request);
    if (!made)
        return err;
    *handle_out = made->handle;
    *request_out = weft__mpi_request_handle(request);
    weft__mpi_schedule_start(mpi, request);
    return MPI_SUCCESS;
}

int PMPI_Comm_dup(MPI_Comm comm, MPI_Comm *newcomm)
{
    return dup(&(struct dup_args){WEFT_MPI_HERE, comm, MPI_INFO_NULL}, newcomm);
}
WEFT_MPI_EXPORT(MPI_Comm_dup);

int PMPI_Comm_dup_with_info(MPI_Comm comm, MPI_Info info, MPI_Comm *newcomm)
{
    return dup(&(struct dup_args){WEFT_MPI_HERE, comm, info}, newcomm);
}
WEFT_MPI_EXPORT(MPI_Comm_dup_with_info);

int PMPI_Comm_idup(MPI_Comm comm, MPI_Comm *newcomm, MPI_Request *request)
{
    return idup(&(struct dup_args){WEFT_MPI_HERE, comm, MPI_INFO_NULL}, newcomm, request);
}
WEFT_MPI_EXPORT(MPI_Comm_idup);

int PMPI_Comm_idup_with_info(MPI_Comm comm, MPI_Info info, MPI_Comm *newcomm, MPI_Request *request)
{
    return idup(&(struct dup_args){WEFT_MPI_HERE, comm, info}, newcomm, request);
}
WEFT_MPI_EXPORT(MPI_Comm_idup_with_info);

/* ---- of a group ---- */

/* The ranks of the group's members in the communicator, with room for a context in front.
 * MPI_ERR_GROUP: one of them is not in it. */
static int find_members(struct weft_mpi *mpi, const struct weft_mpi_comm *comm,
                        const struct weft_mpi_group *group, uint64_t **block_out)
{
    struct weft_heap *heap = mpi->cell->heap;
    int32_t *places = weft__mpi_group_places(mpi, comm->group);
    uint64_t *block =
        weft__heap_alloc(heap, sizeof(*block) + (size_t)group->size * sizeof(int32_t));
    int err = places && block ? MPI_SUCCESS : MPI_ERR_NO_MEM;
    for (int32_t i = 0; i < group->size && !err; i++) {
        int32_t *rank = (int32_t *)(block + 1) + i;
        *rank = places[weft__mpi_group_world_rank(group, i)];
        if (*rank == MPI_UNDEFINED)
            err = MPI_ERR_GROUP;
    }
    weft__heap_free(heap, places);
    if (err)
        weft__heap_free(heap, block);
    else
        *block_out = block;
    return err;
}

/* For a member. */
static int make_of_group(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                         struct weft_mpi_group *group, int64_t tag, struct weft_mpi_comm **made_out)
{
    uint64_t *block;
    int err = find_members(mpi, comm, group, &block);
    if (err)
        return err;
    *block = group->rank == 0 ? weft__mpi_comm_offer(mpi) : 0;
    const struct weft_mpi_tree tree = {.ranks = (const int32_t *)(block + 1),
                                       .n = group->size,
                                       .me = group->rank,
                                       .data = block,
                                       .len_bytes = sizeof(*block)};
    struct weft_mpi_request *request = weft__mpi_make_tree(mpi, comm, &tree);
    if (request && tag >= 0)
        weft__mpi_schedule_set_tag(request->schedule,
                                   (int32_t)(tag % WEFT_MPI_TAG_PARTIAL) + WEFT_MPI_TAG_PARTIAL);
    err = weft__mpi_make_finish(mpi, request);
    const struct weft_mpi_make make = {.parent = comm, .group = group};
    if (!err)
        err = weft__mpi_make(mpi, &make, *block, made_out);
    weft__heap_free(mpi->cell->heap, block);
    return err;
}

int weft__mpi_make_of_group(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                            struct weft_mpi_group *group, int64_t tag,
                            struct weft_mpi_comm **made_out)
{
    *made_out = NULL;
    if (group->rank != MPI_UNDEFINED)
        return make_of_group(mpi, comm, group, tag, made_out);
    if (tag < 0)
        comm->collectives++; /* as the members count it */
    return MPI_SUCCESS;
}

/* Each side names its part. */
static int create_inter(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                        struct weft_mpi_group *group, struct weft_mpi_comm **made_out)
{
    uint64_t *members;
    int err = find_members(mpi, comm, group, &members);
    if (err)
        return err;
    weft__heap_free(mpi->cell->heap, members);
    struct weft_mpi_make make = {.parent = comm};
    struct weft_mpi_meeting meeting = weft__mpi_meeting_of(comm);
    meeting.group = group;
    return weft__mpi_make_inter(mpi, &make, &meeting, made_out);
}

struct create_args {
    const char *where;
    MPI_Comm comm;
    MPI_Group group;
    int64_t tag;
};

static int create(const struct create_args *args, MPI_Comm *handle_out)
{
    struct weft_mpi *mpi = weft__mpi_enter(args->where);
    struct weft_mpi_comm *comm, *made = NULL;
    struct weft_mpi_group *group;
    int err = weft__mpi_comm_get(mpi, args->where, args->comm, &comm);
    if (!err && comm->remote && args->tag >= 0)
        err = weft__mpi_error_raise(mpi, comm, MPI_ERR_COMM, args->where,
                                    "it is an intercommunicator");
    if (!err)
        err = weft__mpi_group_get(mpi, comm, args->where, args->group, &group);
    if (err)
        return err;
    err = comm->remote ? create_inter(mpi, comm, group, &made)
                       : weft__mpi_make_of_group(mpi, comm, group, args->tag, &made);
    if (err)
        return weft__mpi_make_failed(mpi, args->where, comm, err);
    *handle_out = made ? made->handle : MPI_COMM_NULL;
    return MPI_SUCCESS;
}

int PMPI_Comm_create(MPI_Comm comm, MPI_Group group, MPI_Comm *newcomm)
{
    return create(&(struct create_args){WEFT_MPI_HERE, comm, group, -1}, newcomm);
}
WEFT_MPI_EXPORT(MPI_Comm_create);

int PMPI_Comm_create_group(MPI_Comm comm, MPI_Group group, int tag, MPI_Comm *newcomm)
{
    if (tag < 0) {
        struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
        return WEFT_MPI_RAISE(mpi, weft__mpi_comm_find(mpi, comm), MPI_ERR_TAG, "tag %d", tag);
    }
    return create(&(struct create_args){WEFT_MPI_HERE, comm, group, tag}, newcomm);
}
WEFT_MPI_EXPORT(MPI_Comm_create_group);
