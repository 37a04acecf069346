/* The environment of a dynamic program in a cell: as it is given, and its dynamic linker finds
 * weft's own libmpi_abi before any other. */
#ifndef WEFT_CELL_ENVIRONMENT_H
#define WEFT_CELL_ENVIRONMENT_H

/* The folder of the libmpi_abi that runs in cells: beside the program of this process, or where
 * both are installed.  NULL: there is none.  Thread: any. */
const char *weft__environment_libraries(void);

/* A copy of the list that shares all strings but one with it, where LD_LIBRARY_PATH begins with the
 * folder; *own_out is that string.
 * Owns: the list and *own_out, free(), on success only.  Errors: NULL, no memory. */
char **weft__environment_new(char *const *from, const char *folder, char **own_out);

#endif
