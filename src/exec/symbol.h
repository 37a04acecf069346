/* Names of functions, for people: where in a program something has happened. */
#ifndef WEFT_EXEC_SYMBOL_H
#define WEFT_EXEC_SYMBOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "function+0x12" for an address of an ELF file's own, as far as its symbol table tells; names of
 * C++ are as the linker has them. Longer names are cut.
 * Thread: any.  Blocks: while it reads the file.  Returns false: nothing is known, or the file
 * cannot be read; text is as it was. */
bool weft__symbol_at(int fd, uint64_t address, char *text, size_t room);

#endif
