/* The environment of a dynamic program in a cell: as it is given, but its dynamic linker
 * finds weft's own libmpi_abi before any other, and leaves nothing to be bound later. */
#ifndef WEFT_CELL_ENVIRONMENT_H
#define WEFT_CELL_ENVIRONMENT_H

/* The folder of the libmpi_abi that runs in cells: beside the program of this process, or where
 * both are installed.  NULL: there is none.  Thread: any. */
const char *weft__environment_libraries(void);

/* A copy of the list that shares strings with it, where LD_BIND_NOW is set, and LD_LIBRARY_PATH
 * begins with the folder: *own_out is that string. folder NULL: there is none, *own_out is NULL.
 * Owns: the list and *own_out, free(), on success only.  Errors: NULL, no memory. */
char **weft__environment_new(char *const *from, const char *folder, char **own_out);

#endif
