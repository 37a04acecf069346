/* Errors: a code goes to the error handler of the communicator it belongs to, with a text that
 * names function and values. */
#ifndef WEFT_MPI_ERROR_H
#define WEFT_MPI_ERROR_H

#include "mpi/state.h"

#define WEFT_MPI_TEXT_MAX 400

/* Raises code on comm (NULL: the error belongs to no communicator, so MPI_COMM_SELF's handler has
 * it). Returns code where the handler is MPI_ERRORS_RETURN or the program's own, else ends the app.
 * Source: MPI 5.0 section 9.3.
 * lint: four and a text */
int weft__mpi_error_raise(struct weft_mpi *mpi, const struct weft_mpi_comm *comm, int code,
                          const char *where, const char *fmt, ...) WEFT_PRINTF(5, 6);

/* Raises code on the handler of files that are not open. */
int weft__mpi_error_raise_file(struct weft_mpi *mpi, int code, const char *where, const char *fmt,
                               ...) WEFT_PRINTF(4, 5);

/* The text of a class of the standard; NULL: it is none. */
const char *weft__mpi_error_class_text(int code);
/* The class of a code, of the standard or of the program; MPI_ERR_UNKNOWN: it is none. mpi NULL:
 * the program has made none. */
int weft__mpi_error_class(const struct weft_mpi *mpi, int code);
/* The highest code in use, of the standard or of the program. */
int weft__mpi_error_last(const struct weft_mpi *mpi);

/* Ends the app: what happened leaves the library unusable, whatever the handler. */
void weft__mpi_error_fatal(struct weft_mpi *mpi, int code, const char *fmt, ...) WEFT_PRINTF(3, 4)
    __attribute__((noreturn));

/* In a function PMPI_x: the name MPI_x. */
#define WEFT_MPI_HERE (__func__ + 1)

#define WEFT_MPI_RAISE(mpi, comm, code, ...)                                                       \
    weft__mpi_error_raise(mpi, comm, code, WEFT_MPI_HERE, __VA_ARGS__)

#endif
