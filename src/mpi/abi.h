/* The public header as the library sees it: its functions are what the library exports. */
#ifndef WEFT_MPI_ABI_H
#define WEFT_MPI_ABI_H

#pragma GCC visibility push(default)
#include "mpi/mpi.h"
#pragma GCC visibility pop

/* A function is defined as PMPI_x; this gives it its name MPI_x, behind which a tool may put
 * itself. */
#define WEFT_MPI_EXPORT(name) extern __typeof(P##name) name __attribute__((alias("P" #name)))

#endif
