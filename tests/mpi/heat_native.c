/* Runs src/demo/heat.c, whose main is heat_main here, in the test runtime: heat_native RANKS SEED
 * MOVING OPTION... */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "native.h"

int heat_main(int argc, char **argv);

struct arguments {
    int argc;
    char **argv;
};

static int rank_main(void *argument)
{
    const struct arguments *arguments = argument;
    return heat_main(arguments->argc, arguments->argv);
}

int main(int argc, char **argv)
{
    struct native_result result;
    if (argc < 4)
        return 64;
    struct arguments arguments = {argc - 3, argv + 3};
    const struct native_options options = {.ranks = atoi(argv[1]),
                                           .seed = strtoull(argv[2], NULL, 10),
                                           .moving = atoi(argv[3]) != 0,
                                           .region_bytes = 4u << 20};
    native_run(&options, rank_main, &arguments, &result);
    printf("native {\"moves\":%llu,\"heap_used\":%zu}\n", (unsigned long long)result.moves,
           result.heap_used);
    if (result.aborted)
        fprintf(stderr, "%s\n", result.reason);
    return result.code;
}
