/* What calls of MPI cost. Plain MPI, so that the same source measures any library. Rank 0 prints a
 * line for each task, in its order:
 *
 *   mpi pass 8 1.23        microseconds of half a round trip between ranks 0 and 1
 *   mpi band 1048576 2345  megabytes per second from rank 0 to rank 1, WINDOW messages under way
 *   mpi rate 8 1234567     messages per second, the same way
 *   mpi barrier 0 2.5      microseconds of one of many in a row; so bcast and allreduce of doubles
 *   mpi hello 3 64         each rank: its number and how many there are
 *
 * Usage: mpi MILLISECONDS WHAT:BYTES|hello...
 *
 * Every task is measured for about so long, at most twice that, in batches of a millisecond or two;
 * the result is the median batch, which one that was interrupted does not move. Roots of bcast take
 * turns, so that none begins before the last one has come to its root. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mpi.h>

enum { TAG = 1, WINDOW = 64, BATCHES_MAX = 4000, FIRST = 4, BATCH_MAX = 1 << 20 };
#define BATCH_S 0.001

static int rank, size, bytes;
static char *buffer, *other;

static void pass(int n)
{
    for (int i = 0; i < n && rank < 2; i++) {
        if (rank == 0)
            MPI_Send(buffer, bytes, MPI_CHAR, 1, TAG, MPI_COMM_WORLD);
        MPI_Recv(other, bytes, MPI_CHAR, 1 - rank, TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        if (rank == 1)
            MPI_Send(buffer, bytes, MPI_CHAR, 0, TAG, MPI_COMM_WORLD);
    }
}

/* Windows of messages, each answered when all of it has come. */
static void stream(int n)
{
    MPI_Request requests[WINDOW];
    char answer = 0;
    for (int i = 0; i < n && rank < 2; i++) {
        for (int k = 0; k < WINDOW; k++)
            if (rank == 0)
                MPI_Isend(buffer, bytes, MPI_CHAR, 1, TAG, MPI_COMM_WORLD, &requests[k]);
            else
                MPI_Irecv(other, bytes, MPI_CHAR, 0, TAG, MPI_COMM_WORLD, &requests[k]);
        MPI_Waitall(WINDOW, requests, MPI_STATUSES_IGNORE);
        if (rank == 0)
            MPI_Recv(&answer, 1, MPI_CHAR, 1, TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        else
            MPI_Send(&answer, 1, MPI_CHAR, 0, TAG, MPI_COMM_WORLD);
    }
}

static void barrier(int n)
{
    for (int i = 0; i < n; i++)
        MPI_Barrier(MPI_COMM_WORLD);
}

static void bcast(int n)
{
    for (int i = 0; i < n; i++)
        MPI_Bcast(buffer, bytes, MPI_CHAR, i % size, MPI_COMM_WORLD);
}

static void allreduce(int n)
{
    for (int i = 0; i < n; i++)
        MPI_Allreduce(buffer, other, bytes / 8, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
}

static const struct kind {
    const char *name;
    void (*run)(int n);
    double per_s, scale; /* the result: scale * seconds of one, or per_s / seconds of one */
} kinds[] = {
    {"pass", pass, 0, 0.5e6},    {"band", stream, WINDOW / 1e6, 0},
    {"rate", stream, WINDOW, 0}, {"barrier", barrier, 0, 1e6},
    {"bcast", bcast, 0, 1e6},    {"allreduce", allreduce, 0, 1e6},
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Rank 0's number for all. */
static int agree(double wanted, int max)
{
    int n = wanted < 1 ? 1 : wanted > max ? max : (int)wanted;
    MPI_Bcast(&n, 1, MPI_INT, 0, MPI_COMM_WORLD);
    return n;
}

static double timed(const struct kind *kind, int n)
{
    double start = MPI_Wtime();
    kind->run(n);
    return MPI_Wtime() - start;
}

/* How many make a batch: the best of three is looked at, since ranks are interrupted. */
static int batch_of(const struct kind *kind)
{
    int n = FIRST;
    for (;;) {
        double best = timed(kind, n);
        for (int i = 0; i < 2; i++) {
            double again = timed(kind, n);
            best = again < best ? again : best;
        }
        int next = agree(best < BATCH_S && n < BATCH_MAX ? 2.0 * n : n, BATCH_MAX);
        if (next == n)
            return n;
        n = next;
    }
}

/* Seconds of one, the median over batches. */
static double measure(const struct kind *kind, double seconds)
{
    static double batches[BATCHES_MAX];
    barrier(1);
    int n = batch_of(kind), times = agree(seconds / BATCH_S / 2, BATCHES_MAX);
    double start = MPI_Wtime();
    int done = 0;
    while (done < times && agree(MPI_Wtime() - start < 2 * seconds ? 2 : 1, 2) == 2)
        batches[done++] = timed(kind, n) / n;
    qsort(batches, (size_t)done, sizeof(double), by_value);
    return batches[done / 2];
}

/* false: there is no such task. */
static int run(const char *task, double seconds)
{
    if (strcmp(task, "hello") == 0) {
        printf("mpi hello %d %d\n", rank, size);
        return 1;
    }
    const char *colon = strchr(task, ':');
    const struct kind *kind = NULL;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (colon && strlen(kinds[i].name) == (size_t)(colon - task) &&
            strncmp(kinds[i].name, task, (size_t)(colon - task)) == 0)
            kind = &kinds[i];
    if (!kind)
        return 0;
    bytes = atoi(colon + 1);
    size_t len = ((size_t)bytes + 4096) / 4096 * 4096;
    buffer = aligned_alloc(4096, len);
    other = aligned_alloc(4096, len);
    if (!buffer || !other)
        MPI_Abort(MPI_COMM_WORLD, 1);
    memset(buffer, 0, len);
    memset(other, 0, len);
    double one = measure(kind, seconds), value = kind->scale * one;
    if (kind->per_s)
        value = kind->per_s / one * (strcmp(kind->name, "band") == 0 ? bytes : 1);
    if (rank == 0)
        printf("mpi %s %d %.6g\n", kind->name, bytes, value);
    fflush(stdout);
    free(buffer);
    free(other);
    return 1;
}

int main(int argc, char **argv)
{
    int ok = 1;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    for (int i = 2; i < argc && ok; i++)
        ok = run(argv[i], atof(argv[1]) / 1000);
    if ((argc < 3 || !ok) && rank == 0)
        fprintf(stderr, "usage: mpi MILLISECONDS WHAT:BYTES|hello...\n");
    MPI_Finalize();
    return argc < 3 || !ok ? 2 : 0;
}
