/* Collectives between two groups: a pipeline whose stages are intercommunicators. Even ranks
 * produce blocks of any length, odd ones reduce them and send verdicts back; every rank prints the
 * bits that it got. Arguments: rounds. */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 60, LONG = 30000, RANKS_MAX = 64 };

static int world_rank, rank, n, others;
static MPI_Comm inter;
static uint64_t checksum = 14695981039346656037u;

static void mix(const void *data, size_t bytes)
{
    const unsigned char *at = data;
    for (size_t i = 0; i < bytes; i++)
        checksum = (checksum ^ at[i]) * 1099511628211u;
}

static double number(int i, int round)
{
    uint64_t r = (uint64_t)(i * 7919 + world_rank * 104729 + round) * 0x9e3779b97f4a7c15u;
    r ^= r >> 29;
    return ((double)(r >> 20) - 8e12) * 1e-9;
}

/* As this rank names the root that is rank `root` of the even ones, or of the odd ones. */
static int root_of(int root, int odd)
{
    if (world_rank % 2 != odd)
        return root;
    return rank == root ? MPI_ROOT : MPI_PROC_NULL;
}

static void rooted(int round)
{
    double mine[BLOCK], *all = calloc((size_t)others * BLOCK, sizeof(*all));
    int odd = round % 2, size = world_rank % 2 == odd ? n : others,
        root = root_of(round % size, odd);
    for (int i = 0; i < BLOCK; i++)
        mine[i] = number(i, round);
    MPI_Bcast(mine, BLOCK, MPI_DOUBLE, root, inter);
    mix(mine, sizeof(mine));
    MPI_Gather(mine, BLOCK, MPI_DOUBLE, all, BLOCK, MPI_DOUBLE, root, inter);
    mix(all, (size_t)others * BLOCK * sizeof(*all));
    for (int i = 0; i < others * BLOCK; i++)
        all[i] += i;
    MPI_Scatter(all, BLOCK, MPI_DOUBLE, mine, BLOCK, MPI_DOUBLE, root, inter);
    mix(mine, sizeof(mine));
    MPI_Reduce(mine, all, BLOCK, MPI_DOUBLE, MPI_MAX, root, inter);
    mix(all, BLOCK * sizeof(*all));
    free(all);
}

/* Blocks for each rank of the other side, of lengths that both sides can say. */
static int length(int even, int odd, int round)
{
    return (even * 5 + odd * 3 + round) % 9;
}

static void exchanged(int round)
{
    int out_n[RANKS_MAX], in_n[RANKS_MAX], out_at[RANKS_MAX], in_at[RANKS_MAX], at = 0;
    MPI_Request request;
    for (int i = 0; i < others; i++) {
        out_n[i] = world_rank % 2 ? length(i, rank, round) : length(rank, i, round + 1);
        in_n[i] = world_rank % 2 ? length(i, rank, round + 1) : length(rank, i, round);
        out_at[i] = in_at[i] = at;
        at += 9;
    }
    double *out = calloc((size_t)at, sizeof(*out)), *in = calloc((size_t)at, sizeof(*in));
    for (int i = 0; i < at; i++)
        out[i] = number(i, round);
    MPI_Ialltoallv(out, out_n, out_at, MPI_DOUBLE, in, in_n, in_at, MPI_DOUBLE, inter, &request);
    double first = number(0, round), *firsts = calloc((size_t)others, sizeof(*firsts));
    MPI_Allgather(&first, 1, MPI_DOUBLE, firsts, 1, MPI_DOUBLE, inter);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    mix(in, (size_t)at * sizeof(*in));
    mix(firsts, (size_t)others * sizeof(*firsts));
    free(out);
    free(in);
    free(firsts);
}

static void reduced(int round)
{
    double *mine = malloc(LONG * sizeof(*mine)), *theirs = malloc(LONG * sizeof(*theirs));
    MPI_Request requests[2];
    int sum = world_rank + round, got = 0, counts[RANKS_MAX], all = n * others * 4;
    for (int i = 0; i < LONG; i++)
        mine[i] = (int)number(i, round) % 1000;
    MPI_Iallreduce(mine, theirs, LONG, MPI_DOUBLE, MPI_SUM, inter, &requests[0]);
    MPI_Iallreduce(&sum, &got, 1, MPI_INT, MPI_SUM, inter, &requests[1]);
    MPI_Waitall(2, requests, MPI_STATUSES_IGNORE);
    mix(theirs, LONG * sizeof(*theirs));
    mix(&got, sizeof(got));
    for (int i = 0; i < n; i++)
        counts[i] = all * (i + 1) / n - all * i / n;
    MPI_Reduce_scatter(mine, theirs, counts, MPI_DOUBLE, MPI_SUM, inter);
    mix(theirs, (size_t)counts[rank] * sizeof(*theirs));
    MPI_Reduce_scatter_block(mine, theirs, others * 4, MPI_DOUBLE, MPI_MIN, inter);
    mix(theirs, (size_t)others * 4 * sizeof(*theirs));
    free(mine);
    free(theirs);
}

/* Made once; each start sends what is then there. */
static void repeated(int rounds)
{
    double mine = 0, theirs = 0;
    MPI_Request requests[2];
    MPI_Allreduce_init(&mine, &theirs, 1, MPI_DOUBLE, MPI_SUM, inter, MPI_INFO_NULL, &requests[0]);
    MPI_Barrier_init(inter, MPI_INFO_NULL, &requests[1]);
    for (int round = 0; round < rounds; round++) {
        mine = number(round, round);
        MPI_Startall(2, requests);
        MPI_Waitall(2, requests, MPI_STATUSES_IGNORE);
        mix(&theirs, sizeof(theirs));
    }
    MPI_Request_free(&requests[0]);
    MPI_Request_free(&requests[1]);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 6, size;
    MPI_Comm mine;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (size < 2 || size > RANKS_MAX) {
        fprintf(stderr, "2 to %d ranks\n", RANKS_MAX);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    MPI_Comm_split(MPI_COMM_WORLD, world_rank % 2, 0, &mine);
    MPI_Intercomm_create(mine, 0, MPI_COMM_WORLD, 1 - world_rank % 2, 1, &inter);
    MPI_Comm_rank(inter, &rank);
    MPI_Comm_size(inter, &n);
    MPI_Comm_remote_size(inter, &others);
    for (int round = 0; round < rounds; round++) {
        rooted(round);
        exchanged(round);
        reduced(round);
        MPI_Barrier(inter);
    }
    repeated(rounds);
    printf("rank %d, %d of %d beside %d: %016llx\n", world_rank, rank, n, others,
           (unsigned long long)checksum);
    MPI_Comm_free(&inter);
    MPI_Comm_free(&mine);
    MPI_Finalize();
    return 0;
}
