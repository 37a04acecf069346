/* Tables of handles.
 *
 * A handle is an index, not an address: it lies in the program's memory, must fit into an int for
 * other languages, and a wrong one must be found out without being followed. Objects are blocks of
 * their own and never move; only the array of their addresses grows. Free slots are a queue inside
 * the array: each holds twice the index of the next one, plus one.
 */
#include "mpi/table.h"

#include "base/heap.h"
#include "mpi/state.h"

#define FIRST_SLOTS 16u
#define SLOTS_MAX (1u << (31 - WEFT_MPI_HANDLE_SHIFT))

static bool is_free(const void *slot)
{
    return ((uintptr_t)slot & 1u) != 0;
}

/* next: index + 1 of the next free slot, 0: none. */
static void *free_slot(uint32_t next)
{
    return (void *)((uintptr_t)next << 1 | 1u);
}

static void append_free(struct weft_mpi_table *table, uint32_t index)
{
    table->slots[index] = free_slot(0);
    if (table->newest)
        table->slots[table->newest - 1] = free_slot(index + 1);
    else
        table->oldest = index + 1;
    table->newest = index + 1;
}

static bool grow(struct weft_mpi_table *table, struct weft_heap *heap)
{
    uint32_t len = table->len ? 2 * table->len : FIRST_SLOTS;
    if (len >= SLOTS_MAX)
        return false;
    void **slots = weft__heap_realloc(heap, table->slots, len * sizeof(*slots));
    if (!slots)
        return false;
    table->slots = slots;
    for (uint32_t i = table->len; i < len; i++)
        append_free(table, i);
    table->len = len;
    return true;
}

int32_t weft__mpi_table_add(struct weft_mpi_table *table, struct weft_heap *heap, void *item)
{
    if (table->oldest == 0 && !grow(table, heap))
        return -1;
    uint32_t index = table->oldest - 1;
    table->oldest = (uint32_t)((uintptr_t)table->slots[index] >> 1);
    if (table->oldest == 0)
        table->newest = 0;
    table->slots[index] = item;
    table->used++;
    return (int32_t)index;
}

void *weft__mpi_table_at(const struct weft_mpi_table *table, uint64_t index)
{
    if (index >= table->len || is_free(table->slots[index]))
        return NULL;
    return table->slots[index];
}

void weft__mpi_table_remove(struct weft_mpi_table *table, uint32_t index)
{
    append_free(table, index);
    table->used--;
}

void *weft__mpi_table_find(const struct weft_mpi_table *table, uintptr_t handle, uint32_t kind)
{
    uintptr_t index = handle >> WEFT_MPI_HANDLE_SHIFT;
    if ((handle & WEFT_MPI_HANDLE_MASK) != kind || index == 0)
        return NULL;
    return weft__mpi_table_at(table, index - 1);
}

uint32_t weft__mpi_table_index(uintptr_t handle)
{
    return (uint32_t)(handle >> WEFT_MPI_HANDLE_SHIFT) - 1;
}

uintptr_t weft__mpi_table_handle(int32_t index, uint32_t kind)
{
    return ((uintptr_t)index + 1) << WEFT_MPI_HANDLE_SHIFT | kind;
}

void weft__mpi_table_fini(struct weft_mpi_table *table, struct weft_heap *heap)
{
    weft__heap_free(heap, table->slots);
    *table = (struct weft_mpi_table){0};
}
