/* A library that a program opens while it runs; see libraries.c. */
#include <stdlib.h>

static long *counted;
static __thread long times = 3;
static char large[300000];

long plugin_count(long add);
long plugin_call(long (*function)(long), long value);

__attribute__((constructor)) static void begin(void)
{
    counted = calloc(1, sizeof(*counted));
    large[sizeof(large) - 1] = 7;
}

__attribute__((destructor)) static void end(void)
{
    free(counted);
}

long plugin_count(long add)
{
    times++;
    *counted += add + large[sizeof(large) - 1];
    return *counted * times;
}

long plugin_call(long (*function)(long), long value)
{
    long before = *counted, result = function(value);
    return result + (before == *counted ? 1 : 1000000);
}
