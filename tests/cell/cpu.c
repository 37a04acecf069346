/* Says whether its C library uses AVX2, and meets the others until a file exists.
 * Argument: the file. */
#include <mpi.h>
#include <stdio.h>
#include <sys/platform/x86.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int rank, go_on = 1;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    printf("rank %d: avx2 %s\n", rank, CPU_FEATURE_ACTIVE(AVX2) ? "in use" : "left alone");
    fflush(stdout);
    while (go_on) {
        go_on = argc > 1 && access(argv[1], F_OK) != 0;
        MPI_Bcast(&go_on, 1, MPI_INT, 0, MPI_COMM_WORLD);
    }
    MPI_Finalize();
    return 0;
}
