/* Groups made from groups, and questions about them. All is local.
 *
 * Sets are computed over an array with a place for each world rank: as much memory as a group of
 * the world for a moment, and linear time.
 */
#include <string.h>

#include "base/heap.h"
#include "mpi/error.h"
#include "mpi/group.h"

int PMPI_Group_size(MPI_Group group, int *size)
{
    struct weft_mpi_group *g;
    int err = weft__mpi_group_get(weft__mpi_enter(WEFT_MPI_HERE), NULL, WEFT_MPI_HERE, group, &g);
    if (!err)
        *size = g->size;
    return err;
}
WEFT_MPI_EXPORT(MPI_Group_size);

int PMPI_Group_rank(MPI_Group group, int *rank)
{
    struct weft_mpi_group *g;
    int err = weft__mpi_group_get(weft__mpi_enter(WEFT_MPI_HERE), NULL, WEFT_MPI_HERE, group, &g);
    if (!err)
        *rank = g->rank;
    return err;
}
WEFT_MPI_EXPORT(MPI_Group_rank);

static int no_room(struct weft_mpi *mpi, const char *where)
{
    return weft__mpi_error_raise(mpi, NULL, MPI_ERR_NO_MEM, where, "no room for a group");
}

/* Gives the program a group of these world ranks; NULL: there was no room for them. */
static int hand_out(struct weft_mpi *mpi, const char *where, int32_t n, const int32_t *world_ranks,
                    MPI_Group *handle_out)
{
    struct weft_mpi_group *group = world_ranks ? weft__mpi_group_new(mpi, n, world_ranks) : NULL;
    MPI_Group handle = group ? weft__mpi_group_publish(mpi, group) : NULL;
    if (!handle)
        return no_room(mpi, where);
    *handle_out = handle;
    return MPI_SUCCESS;
}

/* ---- sets ---- */

static int get_two(struct weft_mpi *mpi, const char *where, const MPI_Group handles[2],
                   struct weft_mpi_group *groups_out[2])
{
    int err = weft__mpi_group_get(mpi, NULL, where, handles[0], &groups_out[0]);
    return err ? err : weft__mpi_group_get(mpi, NULL, where, handles[1], &groups_out[1]);
}

enum set { UNION, INTERSECTION, DIFFERENCE };

/* The members of the result, at most as many as the world has. */
static int32_t choose(enum set set, struct weft_mpi_group *const groups[2],
                      const int32_t *places[2], int32_t *out)
{
    int32_t n = 0;
    for (int32_t i = 0; i < groups[0]->size; i++) {
        int32_t rank = weft__mpi_group_world_rank(groups[0], i);
        bool in_second = places[1][rank] != MPI_UNDEFINED;
        if (set == UNION || in_second == (set == INTERSECTION))
            out[n++] = rank;
    }
    for (int32_t i = 0; set == UNION && i < groups[1]->size; i++) {
        int32_t rank = weft__mpi_group_world_rank(groups[1], i);
        if (places[0][rank] == MPI_UNDEFINED)
            out[n++] = rank;
    }
    return n;
}

static int combine(const char *where, enum set set, const MPI_Group handles[2],
                   MPI_Group *handle_out)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    struct weft_heap *heap = mpi->cell->heap;
    struct weft_mpi_group *groups[2];
    int err = get_two(mpi, where, handles, groups);
    if (err)
        return err;
    int32_t *first = weft__mpi_group_places(mpi, groups[0]);
    int32_t *second = weft__mpi_group_places(mpi, groups[1]);
    int32_t *out = weft__heap_alloc(heap, (size_t)mpi->cell->size * sizeof(*out));
    const int32_t *places[2] = {first, second};
    if (first && second && out)
        err = hand_out(mpi, where, choose(set, groups, places, out), out, handle_out);
    else
        err = no_room(mpi, where);
    weft__heap_free(heap, out);
    weft__heap_free(heap, second);
    weft__heap_free(heap, first);
    return err;
}

/* clang-format off */
#define SET(name, set)                                                                             \
    int P##name(MPI_Group group1, MPI_Group group2, MPI_Group *newgroup)                           \
    {                                                                                              \
        const MPI_Group both[2] = {group1, group2};                                                \
        return combine(#name, set, both, newgroup);                                                \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)
/* clang-format on */

SET(MPI_Group_union, UNION);
SET(MPI_Group_intersection, INTERSECTION);
SET(MPI_Group_difference, DIFFERENCE);

int PMPI_Group_compare(MPI_Group group1, MPI_Group group2, int *result)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    const MPI_Group both[2] = {group1, group2};
    struct weft_mpi_group *groups[2];
    int err = get_two(mpi, WEFT_MPI_HERE, both, groups);
    if (err)
        return err;
    err = weft__mpi_group_compare(mpi, groups[0], groups[1], result);
    return err ? no_room(mpi, WEFT_MPI_HERE) : MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Group_compare);

int PMPI_Group_translate_ranks(MPI_Group group1, int n, const int ranks1[], MPI_Group group2,
                               int ranks2[])
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    const MPI_Group both[2] = {group1, group2};
    struct weft_mpi_group *groups[2];
    int err = get_two(mpi, WEFT_MPI_HERE, both, groups);
    if (err)
        return err;
    if (n < 0)
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_ARG, "%d ranks", n);
    for (int i = 0; i < n; i++)
        if ((ranks1[i] < 0 || ranks1[i] >= groups[0]->size) && ranks1[i] != MPI_PROC_NULL)
            return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_RANK, "rank %d in a group of %d", ranks1[i],
                                  groups[0]->size);
    int32_t *places = weft__mpi_group_places(mpi, groups[1]);
    if (!places)
        return no_room(mpi, WEFT_MPI_HERE);
    for (int i = 0; i < n; i++)
        ranks2[i] = ranks1[i] == MPI_PROC_NULL
                        ? MPI_PROC_NULL
                        : places[weft__mpi_group_world_rank(groups[0], ranks1[i])];
    weft__heap_free(mpi->cell->heap, places);
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Group_translate_ranks);

/* ---- some of a group ---- */

/* Ranks of a group that the program has listed. */
struct pick {
    const struct weft_mpi_group *group;
    int32_t *listed; /* in order; as long as the group */
    int32_t listed_n;
    bool *is_listed; /* by rank */
};

static void pick_fini(struct weft_mpi *mpi, struct pick *pick)
{
    weft__heap_free(mpi->cell->heap, pick->listed);
    weft__heap_free(mpi->cell->heap, pick->is_listed);
}

static int pick_init(struct weft_mpi *mpi, const char *where, MPI_Group handle, struct pick *pick)
{
    struct weft_mpi_group *group;
    *pick = (struct pick){0};
    int err = weft__mpi_group_get(mpi, NULL, where, handle, &group);
    if (err)
        return err;
    pick->group = group;
    pick->listed =
        weft__heap_calloc(mpi->cell->heap, (size_t)group->size + 1, sizeof(*pick->listed));
    pick->is_listed =
        weft__heap_calloc(mpi->cell->heap, (size_t)group->size + 1, sizeof(*pick->is_listed));
    return pick->listed && pick->is_listed ? MPI_SUCCESS : no_room(mpi, where);
}

static int pick_one(struct weft_mpi *mpi, const char *where, struct pick *pick, int64_t rank)
{
    if (rank < 0 || rank >= pick->group->size)
        return weft__mpi_error_raise(mpi, NULL, MPI_ERR_RANK, where, "rank %lld in a group of %d",
                                     (long long)rank, pick->group->size);
    if (pick->is_listed[rank])
        return weft__mpi_error_raise(mpi, NULL, MPI_ERR_RANK, where, "rank %lld twice",
                                     (long long)rank);
    pick->is_listed[rank] = true;
    pick->listed[pick->listed_n++] = (int32_t)rank;
    return MPI_SUCCESS;
}

/* first, last, stride */
static int pick_range(struct weft_mpi *mpi, const char *where, struct pick *pick,
                      const int range[3])
{
    int64_t first = range[0], last = range[1], stride = range[2];
    if (stride == 0)
        return weft__mpi_error_raise(mpi, NULL, MPI_ERR_ARG, where, "stride 0");
    int err = MPI_SUCCESS;
    for (int64_t rank = first; !err && (stride > 0 ? rank <= last : rank >= last); rank += stride)
        err = pick_one(mpi, where, pick, rank);
    return err;
}

/* The listed ones in their order, or the others in the group's. */
static int hand_out_pick(struct weft_mpi *mpi, const char *where, struct pick *pick, bool include,
                         MPI_Group *handle_out)
{
    int32_t n = 0;
    if (include)
        for (; n < pick->listed_n; n++)
            pick->listed[n] = weft__mpi_group_world_rank(pick->group, pick->listed[n]);
    else
        for (int32_t i = 0; i < pick->group->size; i++)
            if (!pick->is_listed[i])
                pick->listed[n++] = weft__mpi_group_world_rank(pick->group, i);
    return hand_out(mpi, where, n, pick->listed, handle_out);
}

struct listing {
    MPI_Group group;
    int n;
    const int *ranks; /* NULL: ranges */
    const int (*ranges)[3];
    bool include;
};

static int list(const char *where, const struct listing *listing, MPI_Group *handle_out)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    struct pick pick;
    int err = pick_init(mpi, where, listing->group, &pick);
    if (!err && listing->n < 0)
        err = weft__mpi_error_raise(mpi, NULL, MPI_ERR_ARG, where, "%d of them", listing->n);
    for (int i = 0; i < listing->n && !err; i++)
        err = listing->ranks ? pick_one(mpi, where, &pick, listing->ranks[i])
                             : pick_range(mpi, where, &pick, listing->ranges[i]);
    if (!err)
        err = hand_out_pick(mpi, where, &pick, listing->include, handle_out);
    pick_fini(mpi, &pick);
    return err;
}

/* clang-format off */
#define LIST(name, include_)                                                                       \
    int P##name(MPI_Group group, int n, const int ranks[], MPI_Group *newgroup)                    \
    {                                                                                              \
        const struct listing listing = {.group = group, .n = n, .ranks = ranks, .include = (include_)}; \
        return list(#name, &listing, newgroup);                                                    \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)

#define RANGES(name, include_)                                                                     \
    int P##name(MPI_Group group, int n, int ranges[][3], MPI_Group *newgroup)                      \
    {                                                                                              \
        const struct listing listing = {.group = group, .n = n, .ranges = (const int(*)[3])ranges, \
                                        .include = (include_)};                                    \
        return list(#name, &listing, newgroup);                                                    \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)
/* clang-format on */

LIST(MPI_Group_incl, true);
LIST(MPI_Group_excl, false);
RANGES(MPI_Group_range_incl, true);
RANGES(MPI_Group_range_excl, false);
