/* Which cell a process has that is a rank by itself. Asked once; threads of the program may ask
 * later. */
#include "mpi/own.h"

#include <stddef.h>
#include <sys/auxv.h>

#include "weft/error.h"

/* A cell never changes its place: not on any host. */
struct weft_cell *weft__mpi_own_cell(void)
{
    static WEFT_MPI_OWN struct weft_cell *found;
    if (!found)
        found = (struct weft_cell *)getauxval(WEFT_CELL_AUX);
    if (!found)
        found = weft__mpi_line_open();
    if (!found)
        found = weft__mpi_alone_open();
    return found;
}

int weft__mpi_own_call_next(struct weft_cell *cell, uint64_t deadline_ns,
                            struct weft_executor_call *call_out)
{
    (void)cell;
    (void)deadline_ns;
    (void)call_out;
    return WEFT_ENOTSUP;
}

int weft__mpi_own_call_answer(struct weft_cell *cell, uint64_t id, int err, const void *bytes,
                              size_t len_bytes)
{
    (void)cell;
    (void)id;
    (void)err;
    (void)bytes;
    (void)len_bytes;
    return WEFT_ENOTSUP;
}

int weft__mpi_own_call_is_cancelled(struct weft_cell *cell, uint64_t id)
{
    (void)cell;
    (void)id;
    return 0;
}
