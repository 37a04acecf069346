/* Topologies: what a communicator says about who is near whom. */
#ifndef WEFT_MPI_TOPO_H
#define WEFT_MPI_TOPO_H

#include "mpi/state.h"

/* NULL: the region is full. */
struct weft_mpi_topo *weft__mpi_topo_copy(struct weft_mpi *mpi, const struct weft_mpi_topo *topo);

#endif
