/* An allocator whose whole state lies inside the range that it serves, so that the range can be
 * copied to the same addresses of another process and go on there. Freestanding: no libc state, no
 * locks (one thread at a time), no pointer to anything outside the range. Blocks are 16-byte
 * aligned. The same calls give the same addresses. A pointer that is not a live block's (freed
 * twice, overwritten header) is a trap, where it is seen. */
#ifndef WEFT_BASE_HEAP_H
#define WEFT_BASE_HEAP_H

#include <stddef.h>

struct weft_heap; /* lies at the start of the range */

/* Makes a heap of [base, base + len_bytes); touches only the first 4 KiB. 64 KiB <= len_bytes <=
 * 2^46 (checked). */
struct weft_heap *weft__heap_init(void *base, size_t len_bytes);
/* Promises that the range was all zero before init (a fresh mapping): calloc then leaves bytes that
 * were never handed out untouched instead of clearing them. */
void weft__heap_assume_zero(struct weft_heap *heap);
void *weft__heap_alloc(struct weft_heap *heap,
                       size_t len_bytes); /* NULL: full; 0 bytes: a block of its own */
void *weft__heap_calloc(struct weft_heap *heap, size_t n, size_t len_bytes);
/* align: a power of two (checked). */
void *weft__heap_alloc_aligned(struct weft_heap *heap, size_t align, size_t len_bytes);
/* In place where it can; NULL: full, and ptr lives on. ptr NULL: alloc. */
void *weft__heap_realloc(struct weft_heap *heap, void *ptr, size_t len_bytes);
void weft__heap_free(struct weft_heap *heap, void *ptr); /* NULL is fine */
size_t
weft__heap_len(const void *ptr); /* bytes that the block can hold: at least what was asked for */
size_t weft__heap_used(const struct weft_heap *heap); /* bytes in live blocks, with headers */
size_t weft__heap_high(const struct weft_heap *heap); /* highest offset ever handed out */
size_t weft__heap_end(const struct weft_heap *heap); /* offset of the end of the highest live block:
                                                        nothing lives above */
/* Walks everything; 0, or the number of the first invariant that is broken. For tests. */
int weft__heap_verify(const struct weft_heap *heap);

#endif
