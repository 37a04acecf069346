/* Reductions and scans: sums of doubles whose order shows, positions of extremes, products of small
 * matrices, which do not commute, and long vectors. Each rank prints the bits that it got.
 * Arguments: rounds. */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHORT = 50, MIDDLE = 8000, LONG = 40000 };

struct matrix {
    uint64_t a, b, c, d;
};

static int rank, size;
static uint64_t checksum = 14695981039346656037u;
static MPI_Datatype matrix_type;
static MPI_Op multiply, keep_largest;

static void mix(const void *data, size_t bytes)
{
    const unsigned char *at = data;
    for (size_t i = 0; i < bytes; i++)
        checksum = (checksum ^ at[i]) * 1099511628211u;
}

static double number(int i, int round)
{
    uint64_t r = (uint64_t)(i * 7919 + rank * 104729 + round) * 0x9e3779b97f4a7c15u;
    r ^= r >> 29;
    return ((double)(r >> 20) - 8e12) * (r % 3 == 0 ? 1e-13 : 1e-9);
}

static void product(void *in, void *inout, int *len, MPI_Datatype *type)
{
    const struct matrix *x = in;
    struct matrix *y = inout;
    (void)type;
    for (int i = 0; i < *len; i++) {
        struct matrix m = {x[i].a * y[i].a + x[i].b * y[i].c, x[i].a * y[i].b + x[i].b * y[i].d,
                           x[i].c * y[i].a + x[i].d * y[i].c, x[i].c * y[i].b + x[i].d * y[i].d};
        y[i] = m;
    }
}

/* By absolute value; of equal ones the left. */
static void larger(void *in, void *inout, int *len, MPI_Datatype *type)
{
    const double *x = in;
    double *y = inout;
    (void)type;
    for (int i = 0; i < *len; i++) {
        double a = x[i] < 0 ? -x[i] : x[i], b = y[i] < 0 ? -y[i] : y[i];
        if (a >= b)
            y[i] = x[i];
    }
}

static void sums(int round)
{
    double mine[SHORT], all[SHORT];
    for (int i = 0; i < SHORT; i++)
        mine[i] = number(i, round);
    MPI_Allreduce(mine, all, SHORT, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    mix(all, sizeof(all));
    memset(all, 0, sizeof(all));
    MPI_Reduce(mine, all, SHORT, MPI_DOUBLE, MPI_PROD, round % size, MPI_COMM_WORLD);
    mix(all, sizeof(all));
    MPI_Scan(mine, all, SHORT, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    mix(all, sizeof(all));
    memset(all, 0, sizeof(all));
    MPI_Exscan(mine, all, SHORT, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    mix(all, sizeof(all));
    MPI_Allreduce(MPI_IN_PLACE, mine, SHORT, MPI_DOUBLE, keep_largest, MPI_COMM_WORLD);
    mix(mine, sizeof(mine));
}

static void extremes(int round)
{
    struct {
        double value;
        int rank;
    } mine = {number(1, round), rank}, all;
    MPI_Allreduce(&mine, &all, 1, MPI_DOUBLE_INT, MPI_MAXLOC, MPI_COMM_WORLD);
    mix(&all.value, sizeof(all.value));
    mix(&all.rank, sizeof(all.rank));
    int bits[3] = {1 << rank % 31, rank, 1};
    MPI_Allreduce(MPI_IN_PLACE, bits, 3, MPI_INT, MPI_BXOR, MPI_COMM_WORLD);
    mix(bits, sizeof(bits));
}

static void matrices(int round)
{
    struct matrix mine[3], all[3];
    for (int i = 0; i < 3; i++)
        mine[i] = (struct matrix){(uint64_t)(rank + i + 1), 2, 3, (uint64_t)round};
    MPI_Reduce(mine, all, 3, matrix_type, multiply, size - 1, MPI_COMM_WORLD);
    if (rank == size - 1)
        mix(all, sizeof(all));
    MPI_Scan(mine, all, 3, matrix_type, multiply, MPI_COMM_WORLD);
    mix(all, sizeof(all));
}

static void scattered(int round)
{
    int *counts = malloc((size_t)size * sizeof(*counts)), total = 0;
    for (int i = 0; i < size; i++)
        total += counts[i] = (i * 3 + round) % 7;
    double *mine = malloc((size_t)(total + size * 4) * sizeof(*mine)), part[8] = {0};
    for (int i = 0; i < total; i++)
        mine[i] = number(i, round);
    MPI_Reduce_scatter(mine, part, counts, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    mix(part, sizeof(part));
    for (int i = 0; i < size * 4; i++)
        mine[i] = number(i, round + 1);
    MPI_Reduce_scatter_block(MPI_IN_PLACE, mine, 4, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    mix(mine, 4 * sizeof(*mine));
    free(mine);
    free(counts);
}

/* Of 64 KiB, where the way depends on how the world began. */
static void middle_vectors(int round)
{
    enum { MATRICES = MIDDLE / 4 };
    double *mine = malloc(MIDDLE * sizeof(*mine)), *all = malloc(MIDDLE * sizeof(*all));
    struct matrix *matrices = malloc(MATRICES * sizeof(*matrices));
    for (int i = 0; i < MIDDLE; i++)
        mine[i] = number(i, round);
    for (int i = 0; i < MATRICES; i++)
        matrices[i] = (struct matrix){(uint64_t)(rank + i), 2, 3, (uint64_t)round};
    MPI_Allreduce(mine, all, MIDDLE, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    mix(all, MIDDLE * sizeof(*all));
    MPI_Allreduce(MPI_IN_PLACE, matrices, MATRICES, matrix_type, multiply, MPI_COMM_WORLD);
    mix(matrices, MATRICES * sizeof(*matrices));
    free(matrices);
    free(all);
    free(mine);
}

static void long_vectors(void)
{
    double *mine = malloc(LONG * sizeof(*mine)), *all = malloc(LONG * sizeof(*all));
    for (int i = 0; i < LONG; i++)
        mine[i] = number(i, 5);
    MPI_Allreduce(mine, all, LONG, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    mix(all, LONG * sizeof(*all));
    MPI_Scan(mine, all, LONG, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    mix(all, LONG * sizeof(*all));
    MPI_Bcast(all, LONG, MPI_DOUBLE, size - 1, MPI_COMM_WORLD);
    mix(all, LONG * sizeof(*all));
    free(all);
    free(mine);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Type_contiguous(4, MPI_UINT64_T, &matrix_type);
    MPI_Type_commit(&matrix_type);
    MPI_Op_create(product, 0, &multiply);
    MPI_Op_create(larger, 1, &keep_largest);
    int rounds = argc > 1 ? atoi(argv[1]) : 20;
    for (int round = 0; round < rounds; round++) {
        sums(round);
        extremes(round);
        matrices(round);
        scattered(round);
        if (round % 4 == 1)
            middle_vectors(round);
        if (round % 8 == 0)
            long_vectors();
    }
    printf("reduce %d of %d: %016llx\n", rank, size, (unsigned long long)checksum);
    MPI_Op_free(&multiply);
    MPI_Op_free(&keep_largest);
    MPI_Type_free(&matrix_type);
    MPI_Finalize();
    return 0;
}
