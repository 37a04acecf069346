/* Communicators of the ranks that make the same choice.
 *
 * Every rank tells all others its choice, its key and an offer of a context (see comm.c); the first
 * member of each part has made the offer that counts. Choices are 64 bits: a colour, or the hash of
 * the name of the host where the rank is at this moment. A rank that moves later stays in the
 * communicators it is in, so what a program made of "the ranks of this host" may be spread;
 * messages do not care, and there is no memory that ranks share.
 */
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "mpi/comm.h"
#include "mpi/comm_inter.h"
#include "mpi/comm_make.h"
#include "mpi/error.h"
#include "mpi/group.h"
#include "mpi/info.h"

/* What each rank tells all others. */
struct choice {
    uint64_t color, context;
    int32_t key;
    uint32_t in; /* 0: of no part */
};

/* A rank of this one's part. Without gaps: bits of the stack must not stay in the rank's range. */
struct member {
    int32_t key, rank, world_rank, unused;
    uint64_t context;
};

static int compare_members(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->rank < y->rank ? -1 : 1;
}

/* The members of a part, sorted. all[i] is the choice of rank (first + i) % size of the group. */
static int32_t choose(const struct weft_mpi_group *group, int32_t first, const struct choice *all,
                      uint64_t color, struct member *members)
{
    int32_t n = 0;
    for (int32_t i = 0; i < group->size; i++) {
        int32_t rank = (int32_t)(((int64_t)first + i) % group->size);
        if (!all[i].in || all[i].color != color)
            continue;
        members[n++] = (struct member){.key = all[i].key,
                                       .rank = rank,
                                       .world_rank = weft__mpi_group_world_rank(group, rank),
                                       .context = all[i].context};
    }
    qsort(members, (size_t)n, sizeof(*members), compare_members);
    return n;
}

/* A part of one side: its group, held, and what its first member has offered. group NULL:
 * nobody is in it. */
struct part {
    uint64_t color; /* set before */
    struct weft_mpi_group *group;
    uint64_t context;
};

static int find_part(struct weft_mpi *mpi, const struct weft_mpi_group *of, int32_t first,
                     const struct choice *all, struct part *part_out)
{
    struct weft_heap *heap = mpi->cell->heap;
    struct member *members = weft__heap_alloc(heap, (size_t)of->size * sizeof(*members));
    int32_t *ranks = weft__heap_alloc(heap, (size_t)of->size * sizeof(*ranks));
    int err = members && ranks ? MPI_SUCCESS : MPI_ERR_NO_MEM;
    int32_t n = err ? 0 : choose(of, first, all, part_out->color, members);
    for (int32_t i = 0; i < n; i++)
        ranks[i] = members[i].world_rank;
    part_out->group = n > 0 ? weft__mpi_group_new(mpi, n, ranks) : NULL;
    part_out->context = n > 0 ? members[0].context : 0;
    if (n > 0 && !part_out->group)
        err = MPI_ERR_NO_MEM;
    weft__heap_free(heap, ranks);
    weft__heap_free(heap, members);
    return err;
}

static int make_intra(struct weft_mpi *mpi, struct weft_mpi_comm *comm, const struct choice *all,
                      struct weft_mpi_comm **made_out)
{
    struct part mine = {.color = all[0].color};
    int err = find_part(mpi, comm->group, comm->rank, all, &mine);
    const struct weft_mpi_make make = {.parent = comm, .group = mine.group};
    if (!err)
        err = weft__mpi_make(mpi, &make, mine.context, made_out);
    weft__mpi_group_put(mpi, mine.group);
    return err;
}

int weft__mpi_make_split(struct weft_mpi *mpi, struct weft_mpi_comm *comm, const uint64_t *color,
                         int key, struct weft_mpi_comm **made_out)
{
    struct choice *all = weft__heap_alloc(mpi->cell->heap, (size_t)comm->size * sizeof(*all));
    if (!all)
        return MPI_ERR_NO_MEM;
    all[0] = (struct choice){.color = color ? *color : 0,
                             .context = color ? weft__mpi_comm_offer(mpi) : 0,
                             .key = key,
                             .in = color != NULL};
    *made_out = NULL;
    int err = weft__mpi_make_exchange(mpi, comm, all, sizeof(*all));
    if (!err && color)
        err = make_intra(mpi, comm, all, made_out);
    weft__heap_free(mpi->cell->heap, all);
    return err;
}

/* ---- of an intercommunicator: parts of both sides with the same colour ---- */

/* The first members offer two contexts each, one behind the other: the second is for their own
 * side. Of the first ones that of the lower world rank counts. */
static int make_sides(struct weft_mpi *mpi, struct weft_mpi_comm *inter, const struct choice *mine,
                      const struct choice *theirs, struct weft_mpi_comm **made_out)
{
    struct part here = {.color = mine[0].color}, there = {.color = mine[0].color};
    int err = find_part(mpi, inter->group, inter->rank, mine, &here);
    if (!err)
        err = find_part(mpi, inter->remote, 0, theirs, &there);
    if (!err && there.group) {
        bool lower =
            weft__mpi_group_world_rank(here.group, 0) < weft__mpi_group_world_rank(there.group, 0);
        const struct weft_mpi_make make = {
            .parent = inter, .group = here.group, .remote = there.group};
        err = weft__mpi_make_sides(mpi, &make, lower ? here.context : there.context,
                                   weft__mpi_comm_next(here.context), made_out);
    }
    weft__mpi_group_put(mpi, there.group);
    weft__mpi_group_put(mpi, here.group);
    return err;
}

/* Each side's choices to all of the other. */
static int exchange_sides(struct weft_mpi *mpi, struct weft_mpi_comm *inter, struct choice *mine,
                          struct choice *theirs)
{
    const struct weft_mpi_meeting meeting = weft__mpi_meeting_of(inter);
    size_t len = (size_t)inter->remote->size * sizeof(*theirs);
    const struct weft_mpi_buffer out = {mine, inter->size * (MPI_Count)sizeof(*mine),
                                        weft__mpi_type_number(MPI_BYTE)};
    const struct weft_mpi_buffer in = {theirs, (MPI_Count)len, weft__mpi_type_number(MPI_BYTE)};
    int err = weft__mpi_make_exchange(mpi, inter->local, mine, sizeof(*mine));
    if (!err && inter->rank == 0)
        err = weft__mpi_meeting_swap(mpi, &meeting, &out, &in);
    int told = weft__mpi_meeting_tell(mpi, &meeting, theirs, len);
    return err ? err : told;
}

static int split_inter(struct weft_mpi *mpi, struct weft_mpi_comm *inter, const uint64_t *color,
                       int key, struct weft_mpi_comm **made_out)
{
    struct weft_heap *heap = mpi->cell->heap;
    struct choice *mine = weft__heap_alloc(heap, (size_t)inter->size * sizeof(*mine));
    struct choice *theirs = weft__heap_calloc(heap, (size_t)inter->remote->size, sizeof(*theirs));
    int err = mine && theirs ? MPI_SUCCESS : MPI_ERR_NO_MEM;
    *made_out = NULL;
    if (!err) {
        mine[0] = (struct choice){.color = color ? *color : 0,
                                  .context = weft__mpi_comm_offer(mpi),
                                  .key = key,
                                  .in = color != NULL};
        (void)weft__mpi_comm_offer(mpi);
        err = exchange_sides(mpi, inter, mine, theirs);
    }
    if (!err && color)
        err = make_sides(mpi, inter, mine, theirs, made_out);
    weft__heap_free(heap, theirs);
    weft__heap_free(heap, mine);
    return err;
}

int PMPI_Comm_split(MPI_Comm comm, int color, int key, MPI_Comm *newcomm)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c, *made = NULL;
    int err = weft__mpi_comm_get(mpi, WEFT_MPI_HERE, comm, &c);
    if (err)
        return err;
    if (color < 0 && color != MPI_UNDEFINED)
        return WEFT_MPI_RAISE(mpi, c, MPI_ERR_ARG, "color %d", color);
    const uint64_t own = (uint64_t)color;
    err = (c->remote ? split_inter : weft__mpi_make_split)(
        mpi, c, color == MPI_UNDEFINED ? NULL : &own, key, &made);
    if (err)
        return weft__mpi_make_failed(mpi, WEFT_MPI_HERE, c, err);
    *newcomm = made ? made->handle : MPI_COMM_NULL;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Comm_split);

/* ---- by what ranks share ---- */

#define RESOURCE_KEY "mpi_hw_resource_type"
#define RESOURCE_MEMORY "mpi_shared_memory"

enum sharing { NOTHING, HOST, BELOW, WORLD_SET, SELF_SET, WRONG };

static bool is_value(const struct weft_mpi_info *info, const char *key, const char *value)
{
    const char *found = weft__mpi_info_value(info, key);
    return found && strcmp(found, value) == 0;
}

/* A resource that we do not know is none: MPI_COMM_NULL, as the standard has it. */
static enum sharing what_is_shared(int split_type, const struct weft_mpi_info *info)
{
    bool memory = is_value(info, RESOURCE_KEY, RESOURCE_MEMORY);
    switch (split_type) {
    case MPI_UNDEFINED:
        return NOTHING;
    case MPI_COMM_TYPE_SHARED:
        return HOST;
    case MPI_COMM_TYPE_HW_GUIDED:
        return memory ? HOST : NOTHING;
    case MPI_COMM_TYPE_HW_UNGUIDED:
        return BELOW;
    case MPI_COMM_TYPE_RESOURCE_GUIDED:
        if (is_value(info, "mpi_pset_name", "mpi://WORLD"))
            return WORLD_SET;
        if (is_value(info, "mpi_pset_name", "mpi://SELF"))
            return SELF_SET;
        return memory ? HOST : NOTHING;
    default:
        return WRONG;
    }
}

/* FNV-1a: two names of one app's hosts with the same 64 bits do not happen. */
static uint64_t hash(const char *text)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 0x100000001b3u;
    return h;
}

static int color_of(struct weft_mpi *mpi, enum sharing shared, uint64_t *color_out)
{
    char name[MPI_MAX_PROCESSOR_NAME] = "";
    *color_out = shared == SELF_SET ? (uint64_t)mpi->cell->rank : 0;
    if (shared != HOST && shared != BELOW)
        return MPI_SUCCESS;
    if (mpi->cell->calls->info(mpi->cell, WEFT_INFO_HOST_NAME, name, sizeof(name)) < 0)
        return MPI_ERR_OTHER;
    name[sizeof(name) - 1] = '\0';
    *color_out = hash(name);
    return MPI_SUCCESS;
}

/* Below a host there is nothing that ranks share for as long as they live, so a communicator whose
 * ranks are all on one host has no parts. */
static void finish_below(struct weft_mpi *mpi, const struct weft_mpi_comm *comm,
                         struct weft_mpi_comm **made, struct weft_mpi_info *info)
{
    if (*made && (*made)->size == comm->size) {
        weft__mpi_comm_retract(mpi, *made);
        *made = NULL;
    }
    if (*made && info)
        (void)weft__mpi_info_put(mpi, info, RESOURCE_KEY, RESOURCE_MEMORY);
}

int PMPI_Comm_split_type(MPI_Comm comm, int split_type, int key, MPI_Info info, MPI_Comm *newcomm)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c, *made = NULL;
    struct weft_mpi_info *hints;
    int err = weft__mpi_comm_get(mpi, WEFT_MPI_HERE, comm, &c);
    if (!err)
        err = weft__mpi_info_get(mpi, c, WEFT_MPI_HERE, info, &hints);
    if (err)
        return err;
    enum sharing shared = what_is_shared(split_type, hints);
    if (shared == WRONG)
        return WEFT_MPI_RAISE(mpi, c, MPI_ERR_ARG, "split type %d", split_type);
    uint64_t color;
    err = color_of(mpi, shared, &color);
    if (!err)
        err = (c->remote ? split_inter : weft__mpi_make_split)(
            mpi, c, shared == NOTHING ? NULL : &color, key, &made);
    if (err)
        return weft__mpi_make_failed(mpi, WEFT_MPI_HERE, c, err);
    if (shared == BELOW)
        finish_below(mpi, c, &made, info == MPI_INFO_ENV ? NULL : hints);
    *newcomm = made ? made->handle : MPI_COMM_NULL;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Comm_split_type);
