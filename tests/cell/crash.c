/* Rank 1 goes wrong as the argument says; the others wait for it. */
#include <mpi.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile int *volatile nowhere;

static unsigned deep(unsigned n);
static unsigned (*volatile again)(unsigned n) = deep; /* the compiler may not know */

static unsigned deep(unsigned n)
{
    volatile char bytes[4096];
    bytes[0] = (char)n;
    return again(n + 1) + (unsigned)bytes[0];
}

int main(int argc, char **argv)
{
    int rank;
    const char *how = argc > 1 ? argv[1] : "";
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank == 1) {
        if (strcmp(how, "segv") == 0)
            *nowhere = 1;
        if (strcmp(how, "deep") == 0)
            return (int)deep(0);
        if (strcmp(how, "abort") == 0)
            abort();
        if (strcmp(how, "exit") == 0)
            exit(5);
        if (strcmp(how, "jump") == 0)
            ((void (*)(void))(size_t)0x1234)();
    }
    MPI_Barrier(MPI_COMM_WORLD);
    MPI_Finalize();
    return 0;
}
