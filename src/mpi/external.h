/* The representation "external32": big endian, sizes as in MPI 5.0 section 14.5.2. */
#ifndef WEFT_MPI_EXTERNAL_H
#define WEFT_MPI_EXTERNAL_H

#include "mpi/type.h"

/* Bytes of one value; those of count values are count times as many. */
uint64_t weft__mpi_external_size(struct weft_mpi *mpi, const struct weft_mpi_type *type);
void weft__mpi_external_pack(struct weft_mpi *mpi, const struct weft_mpi_buffer *from,
                             void *packed);
void weft__mpi_external_unpack(struct weft_mpi *mpi, const struct weft_mpi_buffer *into,
                               const void *packed);

#endif
