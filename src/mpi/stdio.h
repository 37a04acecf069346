/* The C library's streams of a rank. */
#ifndef WEFT_MPI_STDIO_H
#define WEFT_MPI_STDIO_H

#include "weft/cell.h"

/* Ends the app with this code, after what the rank has printed. */
void weft__mpi_stdio_end_app(struct weft_cell *cell, int code, const char *text)
    __attribute__((noreturn));

#endif
