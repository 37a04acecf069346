/* "Did you mean": the known name nearest to a misspelt one. */
#ifndef WEFT_BASE_NEAREST_H
#define WEFT_BASE_NEAREST_H

#include <stddef.h>

/* Insertions, deletions, substitutions and swaps of neighbours that turn a into b, letters of
 * either case alike. Texts are compared by their first 63 characters. */
size_t weft__edit_distance(const char *a, const char *b);
/* The name with the smallest distance to name, the first of equals; NULL where none is near enough
 * to be meant. */
const char *weft__nearest(const char *name, const char *const *names, size_t names_n);

#endif
