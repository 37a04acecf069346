/* Large messages of ranks whose memory is nearly full: one at a time, then some that do not fit,
 * received in another order than they were sent. Argument: "abort", it says something and aborts.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 64 << 20,
    BLOCKS = 64,
    LARGE = 56 << 20,
    TOO_LARGE = 90 << 20,
    SHORT = 17000001,
    MESSAGES = 4
};

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

static unsigned char byte_of(size_t i, int tag)
{
    return (unsigned char)(i * 5 + i / 4096 + (size_t)tag * 31);
}

static int check(const unsigned char *in, size_t len, int tag)
{
    int wrong = 0;
    for (size_t i = 0; i < len; i++)
        wrong += in[i] != byte_of(i, tag);
    return wrong;
}

static void send_all(void)
{
    MPI_Request requests[MESSAGES];
    unsigned char *out[MESSAGES];
    for (int tag = 0; tag < MESSAGES; tag++) {
        out[tag] = malloc(TOO_LARGE);
        for (size_t i = 0; i < TOO_LARGE; i++)
            out[tag][i] = byte_of(i, tag);
        MPI_Isend(out[tag], TOO_LARGE, MPI_BYTE, 1, tag, MPI_COMM_WORLD, &requests[tag]);
    }
    MPI_Waitall(MESSAGES, requests, MPI_STATUSES_IGNORE);
    for (int tag = 0; tag < MESSAGES; tag++)
        free(out[tag]);
}

/* The last one first, two at once, and one into too little room. */
static int receive_all(void)
{
    MPI_Request requests[2];
    unsigned char *in = malloc(TOO_LARGE), *more = malloc(TOO_LARGE);
    int class, wrong;
    MPI_Recv(in, TOO_LARGE, MPI_BYTE, 0, 3, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    wrong = check(in, TOO_LARGE, 3);
    MPI_Irecv(in, TOO_LARGE, MPI_BYTE, 0, 2, MPI_COMM_WORLD, &requests[0]);
    MPI_Irecv(more, TOO_LARGE, MPI_BYTE, 0, 0, MPI_COMM_WORLD, &requests[1]);
    MPI_Waitall(2, requests, MPI_STATUSES_IGNORE);
    wrong += check(in, TOO_LARGE, 2) + check(more, TOO_LARGE, 0);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    int err = MPI_Recv(in, SHORT, MPI_BYTE, 0, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    MPI_Error_class(err, &class);
    wrong += check(in, SHORT, 1) + (class != MPI_ERR_TRUNCATE) + (in[SHORT] != byte_of(SHORT, 2));
    free(in);
    free(more);
    return wrong;
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    if (argc > 1 && strcmp(argv[1], "abort") == 0) {
        printf("the last words of rank %d\n", rank);
        MPI_Abort(MPI_COMM_WORLD, 9);
    }
    fill();
    int wrong = exchange(LARGE) + exchange(LARGE);
    if (rank == 0)
        send_all();
    else
        wrong += receive_all();
    printf("rank %d: wrong %d, as it should be\n", rank, wrong);
    MPI_Barrier(MPI_COMM_WORLD);
    return MPI_Finalize();
}
