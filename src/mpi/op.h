/* Operations of reductions, named by their number (the handle's value): the predefined ones, and
 * those of the program in a table in the rank's range. */
#ifndef WEFT_MPI_OP_H
#define WEFT_MPI_OP_H

#include "mpi/abi.h"
#include "mpi/type.h"

#define WEFT_MPI_OP_KIND 0x20u /* low bits of the number of a program's operation */

struct weft_mpi_combine;

/* An operation of the program. */
struct weft_mpi_op {
    MPI_User_function *fn; /* one of both */
    MPI_User_function_c *large_fn;
    bool commutes;
    bool freed; /* by the program; lives on for those who hold it */
    uint32_t holders;
};

static inline uint32_t weft__mpi_op_number(MPI_Op op)
{
    return (uint32_t)(uintptr_t)op;
}

/* Whether the handle is an operation that a reduction may use. */
bool weft__mpi_op_known(struct weft_mpi *mpi, MPI_Op op);
/* Whether it is defined for the type: MPI 5.0 section 6.9.2; the program's are for all. */
bool weft__mpi_op_defined(MPI_Op op, const struct weft_mpi_type *type);
const char *weft__mpi_op_name(MPI_Op op);
/* Of an operation that is known: whether operands may change places. The combine tree of
 * reductions keeps their order anyway. */
bool weft__mpi_op_commutes(struct weft_mpi *mpi, uint32_t number);
/* Keeps an operation that is known until the drop() that belongs to it, whatever the program frees.
 * Returns the number. */
uint32_t weft__mpi_op_hold(struct weft_mpi *mpi, uint32_t number);
/* 0 is fine. */
void weft__mpi_op_drop(struct weft_mpi *mpi, uint32_t number);
/* The program's operation behind a handle; NULL: not one. */
const struct weft_mpi_op *weft__mpi_op_user(struct weft_mpi *mpi, MPI_Op op);
/* combine() for these. */
void weft__mpi_op_call(struct weft_mpi *mpi, const struct weft_mpi_combine *combine);
/* Frees the table. */
void weft__mpi_op_fini(struct weft_mpi *mpi);

struct weft_mpi_combine {
    uint32_t type, op;
    MPI_Count count;
    const void *left, *right;
    void *into; /* may be left or right */
};

/* into[i] = left[i] op right[i]. The same operands give the same bits, always and everywhere.
 * Operations of the program are called here; they may not call MPI for communication. */
void weft__mpi_op_combine(struct weft_mpi *mpi, const struct weft_mpi_combine *combine);

#endif
