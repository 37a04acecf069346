/* A program's first stack: what the kernel hands over at its entry, laid out by the System V ABI.
 *
 * Source: System V ABI, AMD64 supplement, section 3.4.1 (initial process state); the same layout
 * holds on AArch64. */
#ifndef WEFT_CELL_STACK_H
#define WEFT_CELL_STACK_H

#include <stddef.h>
#include <stdint.h>

/* An entry of the auxiliary vector: AT_* and its value. */
struct weft__stack_aux {
    uint64_t type, value;
};

struct weft__stack_desc {
    unsigned char *bottom, *top; /* of the memory; top is aligned to 16 */
    char *const *argv;           /* ends with NULL */
    char *const *envp;           /* ends with NULL */
    const struct weft__stack_aux *aux;
    size_t aux_n;
    const char *path;            /* of the program: AT_EXECFN */
    const unsigned char *random; /* 16 bytes: AT_RANDOM */
};

/* Copies everything to the top of the memory; *sp_out is the stack pointer at the entry. AT_EXECFN,
 * AT_RANDOM and AT_NULL are added to the vector.
 * Thread: any.  Blocks: no.  Errors: WEFT_ENOMEM it fills more than half of the memory. */
int weft__stack_build(const struct weft__stack_desc *desc, uint64_t **sp_out);

#endif
