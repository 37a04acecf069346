/* What a program finds of its rank when the runtime is not linked to it: in programs that run in
 * cells, with all their libraries inside, and reach the runtime through their cell alone; and in
 * those that are processes of their own. */
#include "base/heap.h"
#include "mpi/own.h"
#include "weft/cell.h"
#include "weft/memory.h"
#include "weft/migrate.h"

struct weft_cell *weft_cell_self(void)
{
    return weft__mpi_own_cell();
}

void *weft_alloc(size_t len_bytes)
{
    struct weft_cell *cell = weft_cell_self();
    return cell ? weft__heap_calloc(cell->heap, 1, len_bytes) : NULL;
}

void weft_free(void *ptr)
{
    struct weft_cell *cell = weft_cell_self();
    if (cell)
        weft__heap_free(cell->heap, ptr);
}

/* A program in a cell goes on where it is, on whichever host: entry is for those that cannot. */
int weft_migration_point(int (*entry)(void *argument), void *argument)
{
    struct weft_cell *cell = weft_cell_self();
    if (!cell || !atomic_load_explicit(&cell->move_pending, memory_order_relaxed))
        return 0;
    return cell->calls->migration_point(cell, entry, argument);
}
