/* A rank with so many bytes of its region touched that works a little and can be moved at any time.
 * Prints "ready"; checks its bytes whenever it has moved, and ends with 1 if they have changed.
 * Usage: stand MEBIBYTES */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <mpi.h>

#include "weft/memory.h"
#include "weft/migrate.h"

struct rank {
    size_t words;
    uint64_t *bytes;
};

static uint64_t word(size_t i)
{
    return (i + 1) * 0x9e3779b97f4a7c15u;
}

static int go_on(void *argument);

static _Noreturn void run(struct rank *rank)
{
    const struct timespec nap = {.tv_nsec = 500000};
    for (;;) {
        weft_migration_point(go_on, rank);
        nanosleep(&nap, NULL);
    }
}

static int go_on(void *argument)
{
    struct rank *rank = argument;
    for (size_t i = 0; i < rank->words; i++)
        if (rank->bytes[i] != word(i)) {
            fprintf(stderr, "stand: word %zu has changed\n", i);
            MPI_Abort(MPI_COMM_WORLD, 1);
        }
    run(rank);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    struct rank *rank = weft_alloc(sizeof(*rank));
    size_t mebibytes = argc > 1 ? (size_t)atol(argv[1]) : 1;
    if (!rank || !(rank->bytes = weft_alloc(mebibytes << 20))) {
        fprintf(stderr, "stand: %zu MiB do not fit into the region\n", mebibytes);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    rank->words = (mebibytes << 20) / sizeof(*rank->bytes);
    for (size_t i = 0; i < rank->words; i++)
        rank->bytes[i] = word(i);
    printf("ready\n");
    fflush(stdout);
    run(rank);
}
