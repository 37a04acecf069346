/* hello [LINES]: each rank prints that many numbered lines. */
#include <stdio.h>
#include <stdlib.h>

#include <mpi.h>

int main(int argc, char **argv)
{
    int rank, size, len;
    char host[MPI_MAX_PROCESSOR_NAME];
    long lines = argc > 1 ? strtol(argv[1], NULL, 10) : 1;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Get_processor_name(host, &len);
    for (long i = 0; i < lines; i++)
        printf("hello %d of %d on %s line %ld\n", rank, size, host, i);
    MPI_Finalize();
    return 0;
}
