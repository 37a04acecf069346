/* Operations of reductions, named by their number (the handle's value). */
#ifndef WEFT_MPI_OP_H
#define WEFT_MPI_OP_H

#include "mpi/abi.h"
#include "mpi/type.h"

/* Whether the handle is an operation that a reduction may use. */
bool weft__mpi_op_known(MPI_Op op);
/* Whether the standard defines it for the type (MPI 5.0 section 6.9.2). */
bool weft__mpi_op_defined(MPI_Op op, const struct weft_mpi_type *type);
const char *weft__mpi_op_name(MPI_Op op);

struct weft_mpi_combine {
    uint32_t op, type;
    MPI_Count count;
    const void *left, *right;
    void *into; /* may be left or right */
};

/* into[i] = left[i] op right[i]. The same operands give the same bits, always and everywhere. */
void weft__mpi_op_combine(struct weft_mpi *mpi, const struct weft_mpi_combine *combine);

#endif
