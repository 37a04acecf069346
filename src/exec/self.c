/* What programs call without a table: their own cell, memory of their region, the migration point.
 */
#include <stddef.h>

#include "base/heap.h"
#include "exec/impl.h"
#include "weft/memory.h"
#include "weft/migrate.h"

/* initial-exec: one load; libweft is there when the process starts. */
static _Thread_local struct weft_cell *self __attribute__((tls_model("initial-exec")));

void weft__self_set(struct weft_cell *cell)
{
    self = cell;
}

struct weft_cell *weft_cell_self(void)
{
    return self;
}

void *weft_alloc(size_t len_bytes)
{
    return self ? weft__heap_calloc(self->heap, 1, len_bytes) : NULL;
}

void weft_free(void *ptr)
{
    if (self)
        weft__heap_free(self->heap, ptr);
}

int weft_migration_point(int (*entry)(void *argument), void *argument)
{
    struct weft_cell *cell = self;
    if (!cell ||
        __builtin_expect(!atomic_load_explicit(&cell->move_pending, memory_order_relaxed), 1))
        return 0;
    return cell->calls->migration_point(cell, entry, argument);
}
