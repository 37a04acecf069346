/* Memory without which nothing sensible can be done.
 *
 * The rule of the tree: what a peer's message sizes, and whatever somebody can be refused for, is
 * allocated with malloc() and answered with WEFT_ENOMEM. The small records of work that has been
 * admitted already (an answer on its way, a step of a move, the list of ranks of an app that was
 * accepted) come from here: a daemon that cannot note what it has promised must not go on as if it
 * had. When there is no memory the process says so in its log and aborts; its host's or home's
 * death is handled like any other. Thread: any.  Blocks: no.  Owns: free(). Never NULL, also for 0
 * bytes. */
#ifndef WEFT_BASE_MUST_H
#define WEFT_BASE_MUST_H

#include <stddef.h>

/* n items of size bytes, zeroed. */
void *weft__must_alloc(size_t n, size_t size_bytes) __attribute__((returns_nonnull, malloc));
/* array (NULL: none yet) with room for n items; what is new is not zeroed. */
void *weft__must_grow(void *array, size_t n, size_t size_bytes) __attribute__((returns_nonnull));
/* A copy of len bytes; NULL with 0 bytes is fine. */
void *weft__must_copy(const void *bytes, size_t len_bytes) __attribute__((returns_nonnull, malloc));

#endif
