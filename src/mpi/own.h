/* Cells of programs that are processes of their own: no runtime is in the process. */
#ifndef WEFT_MPI_OWN_H
#define WEFT_MPI_OWN_H

#include "weft/cell.h"

/* Data that only such a process has: all else that the library remembers lies in the cell. */
#define WEFT_MPI_OWN __attribute__((section(".weft_own")))

/* The cell of this process, whoever asks: the one that it was given as a program in a cell, or over
 * a line (weft/line.h), or, where the program was started by hand, one of a world of its own.
 * NULL: there is no memory for that. */
struct weft_cell *weft__mpi_own_cell(void);

/* line.c: NULL: this process has not been started with a line. Ends the process where that is
 * broken. */
struct weft_cell *weft__mpi_line_open(void);
/* Memory of the range that parts of messages can be shown in; expose() has said WEFT_ENOSPC. */
void *weft__mpi_line_window(size_t *len_out);
/* alone.c: a world of one rank.  NULL: no memory. */
struct weft_cell *weft__mpi_alone_open(void);

/* Calls from outside go to ranks that the runtime has in its own process: here WEFT_ENOTSUP. */
int weft__mpi_own_call_next(struct weft_cell *cell, uint64_t deadline_ns,
                            struct weft_executor_call *call_out);
int weft__mpi_own_call_answer(struct weft_cell *cell, uint64_t id, int err, const void *bytes,
                              size_t len_bytes);
int weft__mpi_own_call_is_cancelled(struct weft_cell *cell, uint64_t id);

#endif
