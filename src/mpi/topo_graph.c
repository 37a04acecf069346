/* Graph topologies: every rank knows the whole graph. Node i's edges end at index[i], in one list.
 */
#include <string.h>

#include "mpi/comm_make.h"
#include "mpi/error.h"
#include "mpi/topo.h"

struct graph {
    int nodes;
    const int *index, *edges;
};

static struct graph graph_of(const struct weft_mpi_comm *comm)
{
    const struct weft_mpi_topo *topo = comm->topo;
    return (struct graph){topo->n, topo->values, topo->values + topo->n};
}

static int edges_n(const struct graph *graph)
{
    return graph->nodes > 0 ? graph->index[graph->nodes - 1] : 0;
}

static int check_graph(struct weft_mpi *mpi, const char *where, const struct weft_mpi_comm *comm,
                       const struct graph *graph)
{
    if (comm->remote)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_COMM, where, "it is an intercommunicator");
    if (graph->nodes < 0 || graph->nodes > comm->size)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_ARG, where, "a graph of %d ranks out of %d",
                                     graph->nodes, comm->size);
    for (int i = 0; i < graph->nodes; i++)
        if (graph->index[i] < (i > 0 ? graph->index[i - 1] : 0))
            return weft__mpi_error_raise(mpi, comm, MPI_ERR_ARG, where,
                                         "the edges of node %d end at %d, before they begin", i,
                                         graph->index[i]);
    for (int i = 0; i < edges_n(graph); i++)
        if (graph->edges[i] < 0 || graph->edges[i] >= graph->nodes)
            return weft__mpi_error_raise(mpi, comm, MPI_ERR_ARG, where, "edge to node %d of %d",
                                         graph->edges[i], graph->nodes);
    return MPI_SUCCESS;
}

static struct weft_mpi_topo *new_topo(struct weft_mpi *mpi, const struct graph *graph)
{
    size_t nodes = (size_t)graph->nodes, edges = (size_t)edges_n(graph);
    struct weft_mpi_topo *topo = weft__mpi_topo_new(mpi, MPI_GRAPH, graph->nodes, nodes + edges);
    if (!topo)
        return NULL;
    topo->edges_n = (int)edges;
    if (nodes > 0)
        memcpy(topo->values, graph->index, nodes * sizeof(int));
    if (edges > 0)
        memcpy(topo->values + nodes, graph->edges, edges * sizeof(int));
    return topo;
}

int PMPI_Graph_create(MPI_Comm comm_old, int nnodes, const int indx[], const int edges[],
                      int reorder, MPI_Comm *comm_graph)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *comm, *made;
    const struct graph graph = {nnodes, indx, edges};
    (void)reorder;
    int err = weft__mpi_comm_get(mpi, WEFT_MPI_HERE, comm_old, &comm);
    if (!err)
        err = check_graph(mpi, WEFT_MPI_HERE, comm, &graph);
    if (err)
        return err;
    err = weft__mpi_topo_make(mpi, comm, nnodes, new_topo(mpi, &graph), &made);
    if (err)
        return weft__mpi_make_failed(mpi, WEFT_MPI_HERE, comm, err);
    *comm_graph = made ? made->handle : MPI_COMM_NULL;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Graph_create);

int PMPI_Graph_map(MPI_Comm comm, int nnodes, const int indx[], const int edges[], int *newrank)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c;
    const struct graph graph = {nnodes, indx, edges};
    int err = weft__mpi_comm_get(mpi, WEFT_MPI_HERE, comm, &c);
    if (!err)
        err = check_graph(mpi, WEFT_MPI_HERE, c, &graph);
    if (!err)
        *newrank = c->rank < nnodes ? c->rank : MPI_UNDEFINED;
    return err;
}
WEFT_MPI_EXPORT(MPI_Graph_map);

int PMPI_Graphdims_get(MPI_Comm comm, int *nnodes, int *nedges)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c;
    int err = weft__mpi_topo_get(mpi, WEFT_MPI_HERE, comm, MPI_GRAPH, &c);
    if (err)
        return err;
    *nnodes = c->topo->n;
    *nedges = c->topo->edges_n;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Graphdims_get);

/* As much of it as there is room for. */
static void copy(int *into, int max, const int *from, int n)
{
    if (max > 0 && n > 0)
        memcpy(into, from, (size_t)(n < max ? n : max) * sizeof(*into));
}

int PMPI_Graph_get(MPI_Comm comm, int maxindex, int maxedges, int indx[], int edges[])
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *c;
    int err = weft__mpi_topo_get(mpi, WEFT_MPI_HERE, comm, MPI_GRAPH, &c);
    if (err)
        return err;
    const struct graph graph = graph_of(c);
    copy(indx, maxindex, graph.index, graph.nodes);
    copy(edges, maxedges, graph.edges, edges_n(&graph));
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Graph_get);

/* The edges of one node. */
static int get_edges(struct weft_mpi *mpi, const char *where, MPI_Comm handle, int rank,
                     struct graph *edges_out)
{
    struct weft_mpi_comm *comm;
    int err = weft__mpi_topo_get(mpi, where, handle, MPI_GRAPH, &comm);
    if (err)
        return err;
    const struct graph graph = graph_of(comm);
    if (rank < 0 || rank >= graph.nodes)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_RANK, where, "rank %d in a graph of %d",
                                     rank, graph.nodes);
    int first = rank > 0 ? graph.index[rank - 1] : 0;
    *edges_out = (struct graph){.nodes = graph.index[rank] - first, .edges = graph.edges + first};
    return MPI_SUCCESS;
}

int PMPI_Graph_neighbors_count(MPI_Comm comm, int rank, int *nneighbors)
{
    struct graph edges = {0};
    int err = get_edges(weft__mpi_enter(WEFT_MPI_HERE), WEFT_MPI_HERE, comm, rank, &edges);
    if (!err)
        *nneighbors = edges.nodes;
    return err;
}
WEFT_MPI_EXPORT(MPI_Graph_neighbors_count);

int PMPI_Graph_neighbors(MPI_Comm comm, int rank, int maxneighbors, int neighbors[])
{
    struct graph edges = {0};
    int err = get_edges(weft__mpi_enter(WEFT_MPI_HERE), WEFT_MPI_HERE, comm, rank, &edges);
    if (!err)
        copy(neighbors, maxneighbors, edges.edges, edges.nodes);
    return err;
}
WEFT_MPI_EXPORT(MPI_Graph_neighbors);
