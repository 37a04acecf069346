/* Making a datatype: values are added in the order of the type map, then repeated. */
#ifndef WEFT_MPI_TYPE_MAKE_H
#define WEFT_MPI_TYPE_MAKE_H

#include "mpi/type.h"

/* Lowest and highest byte of something, from the type's origin. */
struct weft_mpi_range {
    bool any;
    int64_t low, high;
};

struct weft_mpi_maker {
    struct weft_mpi *mpi;
    int error; /* of what was added: MPI_ERR_NO_MEM, MPI_ERR_VALUE_TOO_LARGE, MPI_ERR_TYPE (too
                  deep) */
    struct weft_mpi_part *parts;
    uint32_t parts_n, parts_max;
    uint64_t body, elements;
    uint32_t unit, align;
    uint8_t depth;
    struct weft_mpi_range data,
        bounds; /* of the values; as set, where a type below has set bounds */
};

/* Room for so many parts; fails as maker->error tells. */
void weft__mpi_type_make_begin(struct weft_mpi_maker *maker, struct weft_mpi *mpi,
                               int64_t parts_max);
/* count values of a type, the first at offset. */
void weft__mpi_type_make_add(struct weft_mpi_maker *maker, int64_t offset, int64_t count,
                             uint32_t child);
/* The type of `repeat` times what was added, each `stride` bytes from the one before. The caller
 * holds it; the maker is empty. NULL: see maker->error. */
struct weft_mpi_type *weft__mpi_type_make_end(struct weft_mpi_maker *maker, int64_t repeat,
                                              int64_t stride);
/* The same values with other bounds (or as they are); NULL: no room. */
struct weft_mpi_type *weft__mpi_type_make_like(struct weft_mpi *mpi, uint32_t old);

#endif
