/* Says something without flushing it, and asks something; then it ends as the argument says, when
 * its input does if there is none. */
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    char answer[64];
    int number;
    const char *how = argc > 1 ? argv[1] : "";
    printf("before MPI\n");
    MPI_Init(&argc, &argv);
    printf("a whole line\n");
    printf("a part");
    if (strcmp(how, "segv") == 0)
        raise(SIGSEGV);
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "mpi abort") == 0)
        MPI_Abort(MPI_COMM_WORLD, 9);
    if (strcmp(how, "fatal") == 0)
        MPI_Send(&number, 1, MPI_INT, 5, 0, MPI_COMM_WORLD);
    printf(", your name? ");
    fflush(stdout);
    while (fgets(answer, sizeof(answer), stdin))
        printf("hello, %s", answer);
    return MPI_Finalize();
}
