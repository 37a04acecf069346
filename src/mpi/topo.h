/* Topologies: what a communicator says about who is near whom. */
#ifndef WEFT_MPI_TOPO_H
#define WEFT_MPI_TOPO_H

#include "mpi/state.h"

/* One block, which a duplicate copies as it is. */
struct weft_mpi_topo {
    size_t len_bytes; /* of all of it */
    int kind;         /* MPI_CART, MPI_GRAPH, MPI_DIST_GRAPH */
    int n;            /* CART: dimensions. GRAPH: nodes. DIST_GRAPH: ranks with edges to this one */
    int edges_n;      /* GRAPH: edges. DIST_GRAPH: ranks with edges from this one */
    int weighted;     /* DIST_GRAPH */
    int values[];     /* CART: n lengths, n times whether periodic, n coordinates of this rank.
                         GRAPH: n ends of the nodes' edges, the edges. DIST_GRAPH: n ranks, n weights,
                         edges_n ranks, edges_n weights */
};

/* Zeroed but for kind, n and its length.  NULL: the region is full. */
struct weft_mpi_topo *weft__mpi_topo_new(struct weft_mpi *mpi, int kind, int n, size_t values_n);
/* NULL: the region is full. */
struct weft_mpi_topo *weft__mpi_topo_copy(struct weft_mpi *mpi, const struct weft_mpi_topo *topo);
/* The communicator of a handle that the program gave to `where`, with a topology of this kind.
 * Errors: MPI_ERR_COMM, MPI_ERR_TOPOLOGY, raised. */
int weft__mpi_topo_get(struct weft_mpi *mpi, const char *where, MPI_Comm handle, int kind,
                       struct weft_mpi_comm **comm_out);
/* Gives the first n ranks of comm, all of whose ranks call, a communicator with this topology,
 * which is the communicator's from then on; the others NULL, and the topology is freed.  Errors:
 * not raised. */
int weft__mpi_topo_make(struct weft_mpi *mpi, struct weft_mpi_comm *comm, int32_t n,
                        struct weft_mpi_topo *topo, struct weft_mpi_comm **made_out);

#endif
