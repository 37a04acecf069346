/* The one place that gives up for want of memory; when that is right is said in must.h.
 *
 * Nothing is asked of the heap with 0 bytes, because NULL is a proper answer to that.
 */
#include "base/must.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static _Noreturn void give_up(size_t n, size_t size)
{
    weft__error("out of memory for %zu x %zu bytes: this process ends", n, size);
    abort();
}

void *weft__must_alloc(size_t n, size_t size)
{
    void *block = n > 0 && size > 0 ? calloc(n, size) : calloc(1, 1);
    if (block == NULL)
        give_up(n, size);
    return block;
}

void *weft__must_grow(void *array, size_t n, size_t size)
{
    size_t bytes;
    void *grown =
        __builtin_mul_overflow(n, size, &bytes) ? NULL : realloc(array, bytes > 0 ? bytes : 1);
    if (grown == NULL)
        give_up(n, size);
    return grown;
}

void *weft__must_copy(const void *bytes, size_t len)
{
    void *copy = malloc(len > 0 ? len : 1);
    if (copy == NULL)
        give_up(1, len);
    if (len > 0)
        memcpy(copy, bytes, len);
    return copy;
}
