/* A library that has the name of another MPI's. */
int another_mpi(void);
int another_mpi(void)
{
    return 0;
}
