/* everyone FILE: in each step every rank sends every other one a message, of which every fourth is
 * large enough to be fetched by gets, and checks what it hears. Ends when FILE exists. */
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <mpi.h>

enum { RANKS_MAX = 16, TAG = 3, SMALL = 1000, LARGE = 16000 };

static int rank, size;
static uint64_t out[RANKS_MAX][LARGE], in[RANKS_MAX][LARGE];
static MPI_Request requests[2 * RANKS_MAX];

static uint64_t word_of(int from, int to, uint64_t step, int i)
{
    return ((uint64_t)from << 48 ^ (uint64_t)to << 32 ^ step) * 0x9e3779b97f4a7c15u + (uint64_t)i;
}

static void check(int from, uint64_t step, int words)
{
    for (int i = 0; i < words; i++)
        if (in[from][i] != word_of(from, rank, step, i)) {
            fprintf(stderr, "everyone: rank %d: step %llu from %d is wrong at %d\n", rank,
                    (unsigned long long)step, from, i);
            MPI_Abort(MPI_COMM_WORLD, 4);
        }
}

static void take_step(uint64_t step)
{
    int words = step % 4 == 0 ? LARGE : SMALL, n = 0;
    for (int peer = 0; peer < size; peer++) {
        if (peer == rank)
            continue;
        for (int i = 0; i < words; i++)
            out[peer][i] = word_of(rank, peer, step, i);
        MPI_Irecv(in[peer], words, MPI_UINT64_T, peer, TAG, MPI_COMM_WORLD, &requests[n++]);
        MPI_Isend(out[peer], words, MPI_UINT64_T, peer, TAG, MPI_COMM_WORLD, &requests[n++]);
    }
    MPI_Waitall(n, requests, MPI_STATUSES_IGNORE);
    for (int peer = 0; peer < size; peer++)
        if (peer != rank)
            check(peer, step, words);
}

int main(int argc, char **argv)
{
    uint64_t stop = 0;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (argc < 2 || size > RANKS_MAX)
        MPI_Abort(MPI_COMM_WORLD, 2);
    for (uint64_t step = 0; stop == 0; step++) {
        uint64_t here = rank == 0 && access(argv[1], F_OK) == 0;
        take_step(step);
        MPI_Allreduce(&here, &stop, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
    }
    if (rank == 0)
        printf("everyone was heard\n");
    MPI_Finalize();
    return 0;
}
