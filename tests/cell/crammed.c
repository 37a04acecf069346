/* Large messages of ranks whose memory is nearly full. Argument: "fatal", and the last one, which
 * cannot fit, ends the program; "abort", it says something and aborts. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 64 << 20, BLOCKS = 64, LARGE = 56 << 20, TOO_LARGE = 160 << 20 };

static int rank, ranks;

/* All but one block; nothing of it is touched. */
static void fill(void)
{
    void *blocks[BLOCKS];
    int n = 0;
    MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
    while (n < BLOCKS && MPI_Alloc_mem(BLOCK, MPI_INFO_NULL, &blocks[n]) == MPI_SUCCESS)
        n++;
    if (n > 0)
        MPI_Free_mem(blocks[n - 1]);
}

/* Each rank's copy for the other leaves no room for a copy of what comes. */
static int exchange(size_t len)
{
    int wrong = 0, other = ranks - 1 - rank;
    unsigned char *out = malloc(len), *in = malloc(len);
    for (size_t i = 0; i < len; i++)
        out[i] = (unsigned char)(i * 7 + i / 4096 + (size_t)rank);
    MPI_Sendrecv(out, (int)len, MPI_BYTE, other, 1, in, (int)len, MPI_BYTE, other, 1,
                 MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    for (size_t i = 0; i < len; i++)
        wrong += in[i] != (unsigned char)(i * 7 + i / 4096 + (size_t)other);
    free(out);
    free(in);
    return wrong;
}

int main(int argc, char **argv)
{
    int err = MPI_SUCCESS, class = MPI_SUCCESS;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    if (argc > 1 && strcmp(argv[1], "abort") == 0) {
        printf("the last words of rank %d\n", rank);
        MPI_Abort(MPI_COMM_WORLD, 9);
    }
    fill();
    int wrong = exchange(LARGE) + exchange(LARGE);
    if (argc < 2 || strcmp(argv[1], "fatal") != 0)
        MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    if (rank == 0) {
        unsigned char *out = calloc(TOO_LARGE, 1);
        err = MPI_Send(out, TOO_LARGE, MPI_BYTE, 1, 2, MPI_COMM_WORLD);
        MPI_Error_class(err, &class);
        free(out);
    }
    printf("rank %d: wrong %d, %s\n", rank, wrong,
           class == (rank == 0 ? MPI_ERR_NO_MEM : MPI_SUCCESS) ? "as it should be"
                                                               : "another error");
    MPI_Barrier(MPI_COMM_WORLD);
    return MPI_Finalize();
}
