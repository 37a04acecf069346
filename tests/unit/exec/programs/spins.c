/* Computes without ever calling the runtime, until the first of the two words at address argv[1] is
 * set; sets the second at its start. */
#include "common.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
    atomic_int *word = argc > 1 ? (void *)(uintptr_t)strtoull(argv[1], NULL, 0) : NULL;
    if (word)
        atomic_store(&word[1], 1);
    while (word && !atomic_load(word))
        ;
    return 0;
}
