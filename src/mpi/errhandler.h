/* Error handlers: the predefined ones and those of the program. */
#ifndef WEFT_MPI_ERRHANDLER_H
#define WEFT_MPI_ERRHANDLER_H

#include "mpi/state.h"

enum weft_mpi_errhandler_kind {
    WEFT_MPI_ERRHANDLER_COMM,
    WEFT_MPI_ERRHANDLER_WIN,
    WEFT_MPI_ERRHANDLER_FILE,
    WEFT_MPI_ERRHANDLER_SESSION
};

/* An object keeps its handler, whatever the program frees. Predefined ones are fine. */
MPI_Errhandler weft__mpi_errhandler_hold(struct weft_mpi *mpi, MPI_Errhandler handler);
void weft__mpi_errhandler_put(struct weft_mpi *mpi, MPI_Errhandler handler);
/* Calls a handler of the program with the object's handle.  False: it is a predefined one. */
bool weft__mpi_errhandler_call(struct weft_mpi *mpi, MPI_Errhandler handler, void *object,
                               int code);
/* Gives back the memory for them, if the program has freed them all; it may still do so later. */
void weft__mpi_errhandler_fini(struct weft_mpi *mpi);

#endif
