/* Info objects: keys with values, in the order in which they were set. */
#ifndef WEFT_MPI_INFO_H
#define WEFT_MPI_INFO_H

#include "mpi/state.h"

/* An object without a handle.  NULL: the region is full. */
struct weft_mpi_info *weft__mpi_info_new(struct weft_mpi *mpi);
/* NULL is fine. */
void weft__mpi_info_free(struct weft_mpi *mpi, struct weft_mpi_info *info);
/* NULL: the region is full. from NULL: nothing in it. */
struct weft_mpi_info *weft__mpi_info_copy(struct weft_mpi *mpi, const struct weft_mpi_info *from);
/* The value of a key; NULL: there is none. */
const char *weft__mpi_info_value(const struct weft_mpi_info *info, const char *key);
/* Replaces the key's value.  MPI_SUCCESS or MPI_ERR_NO_MEM. */
int weft__mpi_info_put(struct weft_mpi *mpi, struct weft_mpi_info *info, const char *key,
                       const char *value);
/* Sets all of from's keys.  MPI_SUCCESS or MPI_ERR_NO_MEM. */
int weft__mpi_info_merge(struct weft_mpi *mpi, struct weft_mpi_info *info,
                         const struct weft_mpi_info *from);
/* The object of a handle that the program gave to `where` as hints; MPI_INFO_NULL: NULL.
 * Errors: MPI_ERR_INFO, raised on comm. */
int weft__mpi_info_get(struct weft_mpi *mpi, const struct weft_mpi_comm *comm, const char *where,
                       MPI_Info handle, struct weft_mpi_info **info_out);
/* Gives an object of the caller to the program.  NULL: there is no room for a handle. */
MPI_Info weft__mpi_info_publish(struct weft_mpi *mpi, struct weft_mpi_info *info);
/* Gives back the memory for them, if the program has freed them all; it may still do so later. */
void weft__mpi_info_fini(struct weft_mpi *mpi);

#endif
