/* An allocator whose whole state lies inside the range that it serves, so that the range can be copied to the same
 * addresses of another process and go on there. Freestanding: no libc state, no locks (one thread at a time), no
 * pointer to anything outside the range. Blocks are 16-byte aligned. */
#ifndef WEFT_BASE_HEAP_H
#define WEFT_BASE_HEAP_H

#include <stddef.h>

struct weft_heap; /* lies at the start of the range */

/* Makes a heap of [base, base + len_bytes); touches only the first page. len_bytes >= 64 KiB (assert). */
struct weft_heap *weft__heap_init(void *base, size_t len_bytes);
void *weft__heap_alloc(struct weft_heap *heap, size_t len_bytes); /* NULL: full */
void *weft__heap_calloc(struct weft_heap *heap, size_t n, size_t len_bytes);
void *weft__heap_alloc_aligned(struct weft_heap *heap, size_t align, size_t len_bytes);
void *weft__heap_realloc(struct weft_heap *heap, void *ptr, size_t len_bytes);
void weft__heap_free(struct weft_heap *heap, void *ptr); /* NULL is fine */
size_t weft__heap_used(const struct weft_heap *heap);    /* bytes in live blocks, with headers */
size_t weft__heap_high(const struct weft_heap *heap);    /* highest offset ever handed out */

#endif
