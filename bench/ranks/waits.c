/* Two ranks that wait for each other for ever: rank 0 in MPI_Recv for a message that rank 1 never
 * sends, rank 1 in MPI_Recv likewise. Prints "ready": what the app burns from then on is what
 * waiting costs. */
#include <stdio.h>

#include <mpi.h>

int main(int argc, char **argv)
{
    int rank, nothing;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0) {
        printf("ready\n");
        fflush(stdout);
    }
    MPI_Recv(&nothing, 1, MPI_INT, 1 - rank, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    MPI_Finalize();
    return 0;
}
