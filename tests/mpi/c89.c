/* mpi.h, and the functions in it that have a body, are C89. */
#include <mpi.h>

int main(void)
{
    return MPI_Comm_f2c(MPI_Comm_c2f(MPI_COMM_WORLD)) == MPI_COMM_WORLD ? 0 : 1;
}
