/* Datatypes, named by their number (the handle's value). Predefined ones only: at most two pieces
 * with a gap. */
#ifndef WEFT_MPI_TYPE_H
#define WEFT_MPI_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mpi/abi.h"

/* What the values are made of: chooses the code of an operation. */
enum weft_mpi_base {
    WEFT_MPI_BASE_NONE,
    WEFT_MPI_BASE_I8,
    WEFT_MPI_BASE_I16,
    WEFT_MPI_BASE_I32,
    WEFT_MPI_BASE_I64,
    WEFT_MPI_BASE_I128,
    WEFT_MPI_BASE_U8,
    WEFT_MPI_BASE_U16,
    WEFT_MPI_BASE_U32,
    WEFT_MPI_BASE_U64,
    WEFT_MPI_BASE_F,
    WEFT_MPI_BASE_D,
    WEFT_MPI_BASE_LD,
    WEFT_MPI_BASE_CF,
    WEFT_MPI_BASE_CD,
    WEFT_MPI_BASE_CLD,
    WEFT_MPI_BASE_F_I, /* pairs with an index */
    WEFT_MPI_BASE_D_I,
    WEFT_MPI_BASE_L_I,
    WEFT_MPI_BASE_I_I,
    WEFT_MPI_BASE_S_I,
    WEFT_MPI_BASE_LD_I,
    WEFT_MPI_BASE_F_F,
    WEFT_MPI_BASE_D_D
};

/* The standard's groups of types, which say what operations are allowed (MPI 5.0 section 6.9.2). */
enum weft_mpi_type_group {
    WEFT_MPI_GROUP_NONE,
    WEFT_MPI_GROUP_INTEGER,
    WEFT_MPI_GROUP_FORTRAN_INTEGER,
    WEFT_MPI_GROUP_FLOATING,
    WEFT_MPI_GROUP_LOGICAL,
    WEFT_MPI_GROUP_COMPLEX,
    WEFT_MPI_GROUP_BYTE,
    WEFT_MPI_GROUP_MULTI, /* MPI_AINT, MPI_OFFSET, MPI_COUNT */
    WEFT_MPI_GROUP_PAIR
};

struct weft_mpi_type {
    uint8_t size;   /* bytes of data; 0: no such type */
    uint8_t extent; /* bytes from one value to the next */
    uint8_t base;
    uint8_t group;
    uint8_t first;  /* bytes of the first piece, from 0 */
    uint8_t second; /* where the second piece begins; its length is size - first */
    char name[28];
};

/* NULL: no such type. */
const struct weft_mpi_type *weft__mpi_type_find(MPI_Datatype datatype);
/* The type of a number that find() has accepted. */
const struct weft_mpi_type *weft__mpi_type_get(uint32_t number);

static inline uint32_t weft__mpi_type_number(MPI_Datatype datatype)
{
    return (uint32_t)(uintptr_t)datatype;
}

static inline bool weft__mpi_type_has_gaps(const struct weft_mpi_type *type)
{
    return type->size != type->extent;
}

/* Data of count values into one piece of count * size bytes. */
void weft__mpi_type_pack(const struct weft_mpi_type *type, const void *from, MPI_Count count,
                         void *packed);
/* The other way round, for the first len_bytes of the piece. */
void weft__mpi_type_unpack(const struct weft_mpi_type *type, const void *packed, size_t len_bytes,
                           void *into);
/* Copies values as they lie. */
void weft__mpi_type_copy(const struct weft_mpi_type *type, const void *from, MPI_Count count,
                         void *into);

#endif
