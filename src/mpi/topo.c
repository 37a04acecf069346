/* Topologies. */
#include "mpi/topo.h"

#include <string.h>

#include "base/heap.h"

struct weft_mpi_topo {
    size_t len_bytes; /* of all of it */
};

struct weft_mpi_topo *weft__mpi_topo_copy(struct weft_mpi *mpi, const struct weft_mpi_topo *topo)
{
    struct weft_mpi_topo *copy = weft__heap_alloc(mpi->cell->heap, topo->len_bytes);
    if (copy)
        memcpy(copy, topo, topo->len_bytes);
    return copy;
}
