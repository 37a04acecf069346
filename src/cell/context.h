/* The registers of a program, as the kernel gives them to a signal handler, in a form that can lie
 * in the rank's range: kept over a wait, or put into a frame for a handler of the program's own. */
#ifndef WEFT_CELL_CONTEXT_H
#define WEFT_CELL_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

#define WEFT__CONTEXT_FLOATING_MAX (24u << 10) /* of the floating point and vector registers */

struct weft__context {
    gregset_t general;
    uint64_t floating_len;
    unsigned char floating[WEFT__CONTEXT_FLOATING_MAX];
};

/* Bytes of the floating point and vector registers in a context of the kernel's. */
size_t weft__context_floating_len(const ucontext_t *from);
void weft__context_save(struct weft__context *into, const ucontext_t *from);
void weft__context_load(ucontext_t *into, const struct weft__context *from);

/* The parts. What is loaded may be anything: of it only what the kernel would let a program set is
 * taken, since the kernel ends a process whose registers it cannot load. */
void weft__context_load_general(ucontext_t *into, const gregset_t from);
void weft__context_load_floating(ucontext_t *into, const void *from, size_t len);

#endif
