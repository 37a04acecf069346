/* Distributed graphs: every rank knows its own edges. Where any rank may name any edge, all tell
 * all, and each keeps what is its own: edges stand in the order of the ranks that named them.
 */
#include <limits.h>
#include <string.h>

#include "base/heap.h"
#include "mpi/coll.h"
#include "mpi/comm_make.h"
#include "mpi/error.h"
#include "mpi/info.h"
#include "mpi/topo.h"

/* One end of this rank's edges. */
struct side {
    int n;
    const int *ranks, *weights; /* weights may be MPI_UNWEIGHTED or MPI_WEIGHTS_EMPTY */
};

static bool has_weights(const int *weights)
{
    return weights && weights != MPI_UNWEIGHTED && weights != MPI_WEIGHTS_EMPTY;
}

static int check_side(struct weft_mpi *mpi, const char *where, const struct weft_mpi_comm *comm,
                      const struct side *side)
{
    if (side->n < 0 || (side->n > 0 && !side->ranks))
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_ARG, where, "%d edges", side->n);
    for (int i = 0; i < side->n; i++) {
        if (side->ranks[i] < 0 || side->ranks[i] >= comm->size)
            return weft__mpi_error_raise(mpi, comm, MPI_ERR_RANK, where,
                                         "an edge of rank %d in a communicator of %d",
                                         side->ranks[i], comm->size);
        if (has_weights(side->weights) && side->weights[i] < 0)
            return weft__mpi_error_raise(mpi, comm, MPI_ERR_ARG, where, "an edge of weight %d",
                                         side->weights[i]);
    }
    return MPI_SUCCESS;
}

static void fill_side(int *into, const struct side *side)
{
    for (int i = 0; i < side->n; i++) {
        into[i] = side->ranks[i];
        into[side->n + i] = has_weights(side->weights) ? side->weights[i] : 1;
    }
}

static struct weft_mpi_topo *new_topo(struct weft_mpi *mpi, int in_n, int out_n)
{
    struct weft_mpi_topo *topo =
        weft__mpi_topo_new(mpi, MPI_DIST_GRAPH, in_n, 2 * ((size_t)in_n + (size_t)out_n));
    if (topo)
        topo->edges_n = out_n;
    return topo;
}

static int get_old(struct weft_mpi *mpi, const char *where, MPI_Comm handle, MPI_Info info,
                   struct weft_mpi_comm **comm_out)
{
    struct weft_mpi_info *hints;
    int err = weft__mpi_comm_get(mpi, where, handle, comm_out);
    if (!err && (*comm_out)->remote)
        err = weft__mpi_error_raise(mpi, *comm_out, MPI_ERR_COMM, where,
                                    "it is an intercommunicator");
    return err ? err : weft__mpi_info_get(mpi, *comm_out, where, info, &hints);
}

/* topo NULL: there was no room for it. */
static int hand_out(struct weft_mpi *mpi, const char *where, struct weft_mpi_comm *comm,
                    struct weft_mpi_topo *topo, MPI_Comm *handle_out)
{
    struct weft_mpi_comm *made = NULL;
    int err = weft__mpi_topo_make(mpi, comm, comm->size, topo, &made);
    if (err || !made)
        return weft__mpi_make_failed(mpi, where, comm, err);
    *handle_out = made->handle;
    return MPI_SUCCESS;
}

int PMPI_Dist_graph_create_adjacent(MPI_Comm comm_old, int indegree, const int sources[],
                                    const int sourceweights[], int outdegree,
                                    const int destinations[], const int destweights[],
                                    MPI_Info info, int reorder, MPI_Comm *comm_dist_graph)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *comm;
    const struct side in = {indegree, sources, sourceweights};
    const struct side out = {outdegree, destinations, destweights};
    (void)reorder;
    int err = get_old(mpi, WEFT_MPI_HERE, comm_old, info, &comm);
    if (!err)
        err = check_side(mpi, WEFT_MPI_HERE, comm, &in);
    if (!err)
        err = check_side(mpi, WEFT_MPI_HERE, comm, &out);
    if (err)
        return err;
    struct weft_mpi_topo *topo = new_topo(mpi, in.n, out.n);
    if (topo) {
        fill_side(topo->values, &in);
        fill_side(topo->values + 2 * (size_t)in.n, &out);
        topo->weighted = sourceweights != MPI_UNWEIGHTED && destweights != MPI_UNWEIGHTED;
    }
    return hand_out(mpi, WEFT_MPI_HERE, comm, topo, comm_dist_graph);
}
WEFT_MPI_EXPORT(MPI_Dist_graph_create_adjacent);

/* ---- edges that any rank names ---- */

struct edge {
    int from, to, weight;
};
#define EDGE_INTS 3

/* What a rank names. */
struct named {
    int n;
    const int *sources, *degrees, *destinations, *weights;
};

static int64_t count_named(const struct named *named)
{
    int64_t n = 0;
    for (int i = 0; i < named->n; i++)
        n += named->degrees[i] > 0 ? named->degrees[i] : 0;
    return n;
}

static int check_named(struct weft_mpi *mpi, const char *where, const struct weft_mpi_comm *comm,
                       const struct named *named)
{
    const struct side sources = {named->n, named->sources, NULL};
    int err = check_side(mpi, where, comm, &sources);
    for (int i = 0; i < named->n && !err; i++)
        if (named->degrees[i] < 0)
            err = weft__mpi_error_raise(mpi, comm, MPI_ERR_ARG, where, "%d edges of rank %d",
                                        named->degrees[i], named->sources[i]);
    if (err)
        return err;
    int64_t n = count_named(named);
    if (n > INT_MAX / EDGE_INTS)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_ARG, where, "%lld edges", (long long)n);
    const struct side all = {(int)n, named->destinations, named->weights};
    return check_side(mpi, where, comm, &all);
}

static void list_named(const struct named *named, struct edge *edges)
{
    int at = 0;
    for (int i = 0; i < named->n; i++)
        for (int k = 0; k < named->degrees[i]; k++, at++)
            edges[at] = (struct edge){named->sources[i], named->destinations[at],
                                      has_weights(named->weights) ? named->weights[at] : 1};
}

/* All edges, in the order of the ranks that name them. */
struct edges {
    struct edge *list;
    int64_t n;
};

static int gather(struct weft_mpi *mpi, struct weft_mpi_comm *comm, const struct edge *own,
                  const int *counts, struct edges *all)
{
    const struct weft_mpi_coll coll = {
        .kind = WEFT_MPI_COLL_ALLGATHER,
        .from = {.buf = own, .count = counts[comm->rank], .type = weft__mpi_type_number(MPI_INT)},
        .into = {.buf = all->list, .type = weft__mpi_type_number(MPI_INT), .counts = counts}};
    return weft__mpi_make_finish(mpi, weft__mpi_coll_new(mpi, comm, &coll));
}

/* counts: in ints, of each rank. */
static int exchange_counts(struct weft_mpi *mpi, struct weft_mpi_comm *comm, int own, int *counts)
{
    struct weft_heap *heap = mpi->cell->heap;
    int *rotated = weft__heap_alloc(heap, (size_t)comm->size * sizeof(*rotated));
    if (!rotated)
        return MPI_ERR_NO_MEM;
    rotated[0] = own;
    int err = weft__mpi_make_exchange(mpi, comm, rotated, sizeof(*rotated));
    for (int32_t i = 0; i < comm->size && !err; i++)
        counts[((int64_t)comm->rank + i) % comm->size] = rotated[i];
    weft__heap_free(heap, rotated);
    return err;
}

static int exchange_edges(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                          const struct named *named, struct edges *all)
{
    struct weft_heap *heap = mpi->cell->heap;
    size_t own_n = (size_t)count_named(named);
    struct edge *own = weft__heap_alloc(heap, own_n * sizeof(*own) + 1);
    int *counts = weft__heap_alloc(heap, (size_t)comm->size * sizeof(*counts));
    int err = own && counts ? MPI_SUCCESS : MPI_ERR_NO_MEM;
    if (!err) {
        list_named(named, own);
        err = exchange_counts(mpi, comm, (int)own_n * EDGE_INTS, counts);
    }
    for (int32_t i = 0; i < comm->size && !err; i++)
        all->n += counts[i] / EDGE_INTS;
    if (!err && !(all->list = weft__heap_alloc(heap, (size_t)all->n * sizeof(*own) + 1)))
        err = MPI_ERR_NO_MEM;
    if (!err)
        err = gather(mpi, comm, own, counts, all);
    weft__heap_free(heap, counts);
    weft__heap_free(heap, own);
    return err;
}

/* Those that begin or end here. */
static struct weft_mpi_topo *keep_own(struct weft_mpi *mpi, const struct weft_mpi_comm *comm,
                                      const struct edges *all)
{
    int in_n = 0, out_n = 0, in = 0, out = 0;
    for (int64_t i = 0; i < all->n; i++) {
        in_n += all->list[i].to == comm->rank;
        out_n += all->list[i].from == comm->rank;
    }
    struct weft_mpi_topo *topo = new_topo(mpi, in_n, out_n);
    for (int64_t i = 0; topo && i < all->n; i++) {
        const struct edge *edge = &all->list[i];
        int *ins = topo->values, *outs = ins + 2 * (size_t)in_n;
        if (edge->to == comm->rank) {
            ins[in] = edge->from;
            ins[in_n + in++] = edge->weight;
        }
        if (edge->from == comm->rank) {
            outs[out] = edge->to;
            outs[out_n + out++] = edge->weight;
        }
    }
    return topo;
}

int PMPI_Dist_graph_create(MPI_Comm comm_old, int n, const int sources[], const int degrees[],
                           const int destinations[], const int weights[], MPI_Info info,
                           int reorder, MPI_Comm *comm_dist_graph)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *comm;
    const struct named named = {n, sources, degrees, destinations, weights};
    struct edges all = {0};
    (void)reorder;
    int err = get_old(mpi, WEFT_MPI_HERE, comm_old, info, &comm);
    if (!err)
        err = check_named(mpi, WEFT_MPI_HERE, comm, &named);
    if (err)
        return err;
    err = exchange_edges(mpi, comm, &named, &all);
    struct weft_mpi_topo *topo = err ? NULL : keep_own(mpi, comm, &all);
    weft__heap_free(mpi->cell->heap, all.list);
    if (err)
        return weft__mpi_make_failed(mpi, WEFT_MPI_HERE, comm, err);
    if (topo)
        topo->weighted = weights != MPI_UNWEIGHTED;
    return hand_out(mpi, WEFT_MPI_HERE, comm, topo, comm_dist_graph);
}
WEFT_MPI_EXPORT(MPI_Dist_graph_create);

/* ---- questions ---- */

int PMPI_Dist_graph_neighbors_count(MPI_Comm comm, int *indegree, int *outdegree, int *weighted)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c;
    int err = weft__mpi_topo_get(mpi, WEFT_MPI_HERE, comm, MPI_DIST_GRAPH, &c);
    if (err)
        return err;
    *indegree = c->topo->n;
    *outdegree = c->topo->edges_n;
    *weighted = c->topo->weighted;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Dist_graph_neighbors_count);

/* As many as there is room for. */
static void tell_side(const int *values, int n, int max, int *ranks, int *weights)
{
    for (int i = 0; i < n && i < max; i++)
        ranks[i] = values[i];
    for (int i = 0; has_weights(weights) && i < n && i < max; i++)
        weights[i] = values[n + i];
}

int PMPI_Dist_graph_neighbors(MPI_Comm comm, int maxindegree, int sources[], int sourceweights[],
                              int maxoutdegree, int destinations[], int destweights[])
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c;
    int err = weft__mpi_topo_get(mpi, WEFT_MPI_HERE, comm, MPI_DIST_GRAPH, &c);
    if (err)
        return err;
    if (maxindegree < 0 || maxoutdegree < 0)
        return WEFT_MPI_RAISE(mpi, c, MPI_ERR_ARG, "room for %d and %d edges", maxindegree,
                              maxoutdegree);
    const struct weft_mpi_topo *topo = c->topo;
    bool weighted = topo->weighted != 0;
    tell_side(topo->values, topo->n, maxindegree, sources, weighted ? sourceweights : NULL);
    tell_side(topo->values + 2 * (size_t)topo->n, topo->edges_n, maxoutdegree, destinations,
              weighted ? destweights : NULL);
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Dist_graph_neighbors);
