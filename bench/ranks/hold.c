/* A rank with so many megabytes touched, an MPI program like any other, that can be moved whenever
 * it calls MPI. It writes one page in a hundred of them each second, and ends with 1 when another
 * one has changed. Prints "ready". Usage: hold MEBIBYTES */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <mpi.h>

enum { PAGE_WORDS = 512, NAP_US = 1000, TURNS = 1000 };

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    size_t pages = (argc > 1 ? (size_t)atol(argv[1]) : 1) * 256, at = 0, owed = 0;
    uint64_t *words = malloc(pages * PAGE_WORDS * sizeof(*words)), writes = 0;
    if (!words)
        MPI_Abort(MPI_COMM_WORLD, 1);
    for (size_t i = 0; i < pages * PAGE_WORDS; i++)
        words[i] = i;
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        int flag;
        MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &flag, MPI_STATUS_IGNORE);
        usleep(NAP_US);
        for (owed += pages; owed >= (size_t)TURNS * 100; owed -= (size_t)TURNS * 100) {
            words[at * PAGE_WORDS] = ++writes;
            at = (at + 97) % pages;
            if (words[at * PAGE_WORDS + 1] != at * PAGE_WORDS + 1)
                MPI_Abort(MPI_COMM_WORLD, 1);
        }
    }
}
