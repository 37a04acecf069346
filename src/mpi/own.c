/* Which cell a process has that is a rank by itself. Asked once; threads of the program may ask
 * later. */
#include "mpi/own.h"

#include <stddef.h>
#include <sys/auxv.h>

#include "weft/cell.h"

/* A cell never changes its place: not on any host. */
struct weft_cell *weft__mpi_own_cell(void)
{
    static struct weft_cell *found;
    if (!found)
        found = (struct weft_cell *)getauxval(WEFT_CELL_AUX);
    if (!found)
        found = weft__mpi_line_open();
    if (!found)
        found = weft__mpi_alone_open();
    return found;
}
