/* An executable that needs another MPI. */
int another_mpi(void);

int main(void)
{
    return another_mpi();
}
