/* Broadcast, gather, scatter, allgather and alltoall with their v- and w-forms, over a small matrix
 * whose rows are spread over the ranks. Each rank prints a sum that depends on the data alone.
 * Arguments: rounds. */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { COLUMNS = 37 };

static int rank, size;
static uint64_t checksum = 14695981039346656037u;

static void mix(const int *values, int n)
{
    for (int i = 0; i < n; i++)
        checksum = (checksum ^ (uint64_t)(unsigned)values[i]) * 1099511628211u;
}

static int rows_of(int r)
{
    return 1 + (r * 5 + 3) % 4;
}

static int *vector(int n)
{
    int *v = malloc((size_t)(n > 0 ? n : 1) * sizeof(*v));
    if (!v)
        MPI_Abort(MPI_COMM_WORLD, 2);
    return v;
}

/* A table of parameters from each rank in turn. */
static void parameters(int round)
{
    int table[COLUMNS];
    for (int root = 0; root < size; root++) {
        for (int i = 0; i < COLUMNS; i++)
            table[i] = rank == root ? root * 1000 + i * round : -1;
        MPI_Bcast(table, COLUMNS, MPI_INT, root, MPI_COMM_WORLD);
        mix(table, COLUMNS);
    }
}

/* Rows are dealt out, changed, collected at another rank and at all. */
static void rows(int round)
{
    int total = 0, root = round % size, mine = rows_of(rank);
    int *counts = vector(size), *displs = vector(size);
    for (int i = 0; i < size; i++) {
        counts[i] = rows_of(i) * COLUMNS;
        displs[i] = total;
        total += counts[i];
    }
    int *all = vector(total), *own = vector(mine * COLUMNS);
    for (int i = 0; i < total && rank == root; i++)
        all[i] = i * 7 + round;
    MPI_Scatterv(all, counts, displs, MPI_INT, own, mine * COLUMNS, MPI_INT, root, MPI_COMM_WORLD);
    for (int i = 0; i < mine * COLUMNS; i++)
        own[i] = own[i] * 3 + rank;
    root = (root + 1) % size;
    for (int i = 0; i < total; i++)
        all[i] = 0;
    MPI_Gatherv(own, mine * COLUMNS, MPI_INT, all, counts, displs, MPI_INT, root, MPI_COMM_WORLD);
    mix(all, total);
    MPI_Allgatherv(own, mine * COLUMNS, MPI_INT, all, counts, displs, MPI_INT, MPI_COMM_WORLD);
    mix(all, total);
    free(own);
    free(all);
    free(displs);
    free(counts);
}

static void blocks(int round)
{
    int *all = vector(size * 4), own[4], one = rank * rank + round;
    for (int i = 0; i < size * 4; i++)
        all[i] = rank == 0 ? i + round : 0;
    MPI_Scatter(all, 4, MPI_INT, rank == 0 ? MPI_IN_PLACE : own, 4, MPI_INT, 0, MPI_COMM_WORLD);
    if (rank != 0)
        mix(own, 4);
    MPI_Allgather(&one, 1, MPI_INT, all, 1, MPI_INT, MPI_COMM_WORLD);
    mix(all, size);
    all[rank] = -one;
    MPI_Gather(rank == 0 ? MPI_IN_PLACE : &all[rank], 1, MPI_INT, all, 1, MPI_INT, 0,
               MPI_COMM_WORLD);
    mix(all, size);
    free(all);
}

/* A transposition of blocks: to each rank as many values as both ranks' numbers say. */
static void transposition(int round)
{
    int *counts = vector(size), *displs = vector(size), total = 0;
    for (int i = 0; i < size; i++) {
        counts[i] = (rank + i + round) % 5 * 9;
        displs[i] = total;
        total += counts[i] + 2;
    }
    int *out = vector(total), *in = vector(total);
    for (int i = 0; i < total; i++) {
        out[i] = rank * 10000 + i;
        in[i] = -1;
    }
    MPI_Alltoallv(out, counts, displs, MPI_INT, in, counts, displs, MPI_INT, MPI_COMM_WORLD);
    mix(in, total);
    MPI_Alltoallv(MPI_IN_PLACE, NULL, NULL, MPI_INT, in, counts, displs, MPI_INT, MPI_COMM_WORLD);
    mix(in, total);
    free(in);
    free(out);
    free(displs);
    free(counts);
}

/* Columns of the sender become rows of the receiver: two types on each side. */
static void corner_turn(void)
{
    MPI_Datatype column;
    int *out = vector(size * size), *in = vector(size * size);
    int *counts = vector(size), *from = vector(size), *into = vector(size);
    MPI_Datatype *columns = malloc((size_t)size * sizeof(MPI_Datatype));
    MPI_Datatype *ints = malloc((size_t)size * sizeof(MPI_Datatype));
    if (!columns || !ints)
        MPI_Abort(MPI_COMM_WORLD, 2);
    MPI_Type_vector(size, 1, size, MPI_INT, &column);
    MPI_Type_commit(&column);
    for (int i = 0; i < size; i++) {
        counts[i] = 1;
        columns[i] = column;
        from[i] = i * (int)sizeof(int);
    }
    for (int i = 0; i < size * size; i++)
        out[i] = rank * 100 + i;
    int *sizes = vector(size);
    for (int i = 0; i < size; i++) {
        sizes[i] = size;
        ints[i] = MPI_INT;
        into[i] = i * size * (int)sizeof(int);
    }
    MPI_Alltoallw(out, counts, from, columns, in, sizes, into, ints, MPI_COMM_WORLD);
    mix(in, size * size);
    MPI_Alltoall(in, size, MPI_INT, out, size, MPI_INT, MPI_COMM_WORLD);
    mix(out, size * size);
    MPI_Type_free(&column);
    free(sizes);
    free(ints);
    free(columns);
    free(into);
    free(from);
    free(counts);
    free(in);
    free(out);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    int rounds = argc > 1 ? atoi(argv[1]) : 20;
    for (int round = 0; round < rounds; round++) {
        parameters(round);
        rows(round);
        blocks(round);
        transposition(round);
        corner_turn();
        MPI_Barrier(MPI_COMM_WORLD);
    }
    printf("data %d of %d: %016llx\n", rank, size, (unsigned long long)checksum);
    MPI_Finalize();
    return 0;
}
