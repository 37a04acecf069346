/* Collectives that overlap with computation, with each other and with messages: non-blocking ones
 * completed in different orders, and persistent ones started again and again. Each rank prints a
 * sum that does not depend on what finished first. Arguments: rounds. */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { N = 24, KINDS = 6 };

static int rank, size;
static uint64_t checksum = 14695981039346656037u;
static int in[KINDS][N * 64], out[KINDS][N * 64];

static uint64_t sum_of(const int *values, int n)
{
    uint64_t sum = 14695981039346656037u;
    for (int i = 0; i < n; i++)
        sum = (sum ^ (uint64_t)(unsigned)values[i]) * 1099511628211u;
    return sum;
}

static void fill(int round)
{
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; i < N * size; i++) {
            in[k][i] = rank * 100000 + k * 1000 + i + round;
            out[k][i] = -1;
        }
}

static void mix_all(void)
{
    for (int k = 0; k < KINDS; k++)
        checksum = checksum * 31 + sum_of(out[k], N * size);
}

static void start_all(int round, MPI_Request *requests)
{
    for (int i = 0; i < N; i++)
        out[0][i] = rank == round % size ? in[0][i] : -1;
    MPI_Ibcast(out[0], N, MPI_INT, round % size, MPI_COMM_WORLD, &requests[0]);
    MPI_Iallreduce(in[1], out[1], N, MPI_INT, MPI_SUM, MPI_COMM_WORLD, &requests[1]);
    MPI_Ialltoall(in[2], N, MPI_INT, out[2], N, MPI_INT, MPI_COMM_WORLD, &requests[2]);
    MPI_Iallgather(in[3], N, MPI_INT, out[3], N, MPI_INT, MPI_COMM_WORLD, &requests[3]);
    MPI_Iscan(in[4], out[4], N, MPI_INT, MPI_MAX, MPI_COMM_WORLD, &requests[4]);
    MPI_Ireduce_scatter_block(in[5], out[5], N, MPI_INT, MPI_SUM, MPI_COMM_WORLD, &requests[5]);
}

/* A token goes round while the collectives are under way. */
static void pass_token(int round)
{
    int token = round, next = (rank + 1) % size, previous = (rank + size - 1) % size;
    if (rank == 0) {
        MPI_Send(&token, 1, MPI_INT, next, 3, MPI_COMM_WORLD);
        MPI_Recv(&token, 1, MPI_INT, previous, 3, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    } else {
        MPI_Recv(&token, 1, MPI_INT, previous, 3, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        token += rank;
        MPI_Send(&token, 1, MPI_INT, next, 3, MPI_COMM_WORLD);
    }
    checksum = checksum * 31 + (uint64_t)(unsigned)token;
}

static void finish(int round, MPI_Request *requests)
{
    int flag = 0, index;
    if (round % 3 == 0) {
        MPI_Waitall(KINDS, requests, MPI_STATUSES_IGNORE);
    } else if (round % 3 == 1) {
        for (int left = KINDS; left > 0; left--)
            MPI_Waitany(KINDS, requests, &index, MPI_STATUS_IGNORE);
    } else {
        while (!flag)
            MPI_Testall(KINDS, requests, &flag, MPI_STATUSES_IGNORE);
    }
}

static void persistent(int rounds)
{
    static int values[N], sums[N], all[N * 64];
    MPI_Request requests[3];
    MPI_Allreduce_init(values, sums, N, MPI_INT, MPI_SUM, MPI_COMM_WORLD, MPI_INFO_NULL,
                       &requests[0]);
    MPI_Allgather_init(values, N, MPI_INT, all, N, MPI_INT, MPI_COMM_WORLD, MPI_INFO_NULL,
                       &requests[1]);
    MPI_Barrier_init(MPI_COMM_WORLD, MPI_INFO_NULL, &requests[2]);
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < N; i++)
            values[i] = rank * round + i;
        MPI_Startall(3, requests);
        MPI_Waitall(3, requests, MPI_STATUSES_IGNORE);
        checksum = checksum * 31 + sum_of(sums, N) + sum_of(all, N * size);
    }
    for (int i = 0; i < 3; i++)
        MPI_Request_free(&requests[i]);
}

int main(int argc, char **argv)
{
    MPI_Request requests[KINDS];
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (size > 64)
        MPI_Abort(MPI_COMM_WORLD, 2);
    int rounds = argc > 1 ? atoi(argv[1]) : 40;
    for (int round = 0; round < rounds; round++) {
        fill(round);
        start_all(round, requests);
        if (size > 1)
            pass_token(round);
        finish(round, requests);
        mix_all();
    }
    persistent(rounds);
    printf("overlap %d of %d: %016llx\n", rank, size, (unsigned long long)checksum);
    MPI_Finalize();
    return 0;
}
