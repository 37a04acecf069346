/* A growing table of objects that the program names by handle: index, above the kind of handle. */
#ifndef WEFT_MPI_TABLE_H
#define WEFT_MPI_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct weft_heap;

/* Zeroed: empty. Slots that are free hold an odd number, never an address. */
struct weft_mpi_table {
    void **slots;
    uint32_t len;
    uint32_t oldest, newest; /* ends of the queue of free slots: index + 1; 0: none */
    uint32_t used;
};

/* Puts the item into a free slot, of which the one that was freed longest ago is taken: the handle
 * of a freed object stays wrong for as long as possible. Returns its index; < 0: the region is
 * full, or every handle is in use. */
int32_t weft__mpi_table_add(struct weft_mpi_table *table, struct weft_heap *heap, void *item);
/* NULL: nothing is there. */
void *weft__mpi_table_at(const struct weft_mpi_table *table, uint64_t index);
void weft__mpi_table_remove(struct weft_mpi_table *table, uint32_t index);
/* The item of a handle's value; NULL: it is of another kind, or names nothing. */
void *weft__mpi_table_find(const struct weft_mpi_table *table, uintptr_t handle, uint32_t kind);
/* The index that a handle of this table names. */
uint32_t weft__mpi_table_index(uintptr_t handle);
uintptr_t weft__mpi_table_handle(int32_t index, uint32_t kind);
/* Frees the table, not what is in it. */
void weft__mpi_table_fini(struct weft_mpi_table *table, struct weft_heap *heap);

#endif
