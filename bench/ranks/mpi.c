/* What calls of MPI cost. Plain MPI, so that the same source measures any library. Rank 0 prints a
 * line for each task, in its order:
 *
 *   mpi pass 8 1.23        microseconds of half a round trip between ranks 0 and 1
 *   mpi band 1048576 2345  megabytes per second from rank 0 to rank 1, WINDOW messages under way
 *   mpi rate 8 1234567     messages per second, the same way
 *   mpi barrier 0 2.5      microseconds of one of many in a row; so bcast and allreduce of doubles
 *   mpi pack_face 65536 3.4  gigabytes per second of the processor that MPI_Pack packs, of a type
 *                          with so many bytes of data
 *   mpi hello 3 64         each rank: its number and how many there are
 *
 * Usage: mpi MILLISECONDS WHAT:BYTES|hello...
 *
 * Every task is measured for about so long, at most twice that, in batches of a millisecond or two;
 * the result is the median batch, which one that was interrupted does not move. Roots of bcast take
 * turns, so that none begins before the last one has come to its root. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <mpi.h>

enum { TAG = 1, WINDOW = 64, BATCHES_MAX = 4000, FIRST = 4, BATCH_MAX = 1 << 20 };
#define BATCH_S 0.001

static int rank, size, bytes;
static char *buffer, *other;
static MPI_Datatype type;

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

/* ---- types to pack ---- */

static void pack(int n)
{
    for (int i = 0; i < n; i++) {
        int at = 0;
        MPI_Pack(buffer, 1, type, other, bytes, &at, MPI_COMM_SELF);
    }
}

static void make_doubles(void)
{
    MPI_Type_vector(bytes / 8, 1, 2, MPI_DOUBLE, &type);
}

static void make_blocks(void)
{
    MPI_Type_vector(bytes / 128, 16, 32, MPI_DOUBLE, &type);
}

static void make_structs(void)
{
    struct one {
        char name[2];
        int id;
        double mass;
        short kind;
    };
    MPI_Datatype bare, one, members[] = {MPI_CHAR, MPI_INT, MPI_DOUBLE, MPI_SHORT};
    int lens[] = {2, 1, 1, 1};
    MPI_Aint displs[] = {offsetof(struct one, name), offsetof(struct one, id),
                         offsetof(struct one, mass), offsetof(struct one, kind)};
    MPI_Type_create_struct(4, lens, displs, members, &bare);
    MPI_Type_create_resized(bare, 0, sizeof(struct one), &one);
    MPI_Type_contiguous(bytes / 16, one, &type);
    MPI_Type_free(&bare);
    MPI_Type_free(&one);
}

/* Blocks of 4, 8 and 12 bytes. */
static void make_indexed(void)
{
    int n = bytes / 8, *lens = malloc((size_t)n * 2 * sizeof(int)), *displs = lens + n;
    for (int i = 0; i < n; i++) {
        lens[i] = i % 3 + 1;
        displs[i] = i * 5;
    }
    MPI_Type_indexed(n, lens, displs, MPI_INT, &type);
    free(lens);
}

/* Two deep, of a cube of doubles. */
static void make_face(void)
{
    int n = 1;
    while (n * n * 16 < bytes)
        n++;
    int sizes[] = {n, n, n}, parts[] = {n, n, 2}, starts[] = {0, 0, 0};
    MPI_Type_create_subarray(3, sizes, parts, starts, MPI_ORDER_C, MPI_DOUBLE, &type);
}

/* Vectors of vectors of vectors, 24 bytes in the innermost. */
static void make_nest(void)
{
    MPI_Datatype inner, middle;
    MPI_Type_vector(3, 1, 2, MPI_DOUBLE, &inner);
    MPI_Type_create_hvector(16, 1, 64, inner, &middle);
    MPI_Type_create_hvector(bytes / (16 * 24), 1, 16 * 64 + 32, middle, &type);
    MPI_Type_free(&inner);
    MPI_Type_free(&middle);
}

static const struct kind {
    const char *name;
    void (*run)(int n);
    double per_s, scale; /* the result: scale * seconds of one, or per_s / seconds of one */
    int by_bytes;        /* times bytes */
    void (*make)(void);
} kinds[] = {
    {"pass", pass, 0, 0.5e6, 0, NULL},
    {"band", stream, WINDOW / 1e6, 0, 1, NULL},
    {"rate", stream, WINDOW, 0, 0, NULL},
    {"barrier", barrier, 0, 1e6, 0, NULL},
    {"bcast", bcast, 0, 1e6, 0, NULL},
    {"allreduce", allreduce, 0, 1e6, 0, NULL},
    {"pack_doubles", pack, 1e-9, 0, 1, make_doubles},
    {"pack_blocks", pack, 1e-9, 0, 1, make_blocks},
    {"pack_structs", pack, 1e-9, 0, 1, make_structs},
    {"pack_indexed", pack, 1e-9, 0, 1, make_indexed},
    {"pack_face", pack, 1e-9, 0, 1, make_face},
    {"pack_nest", pack, 1e-9, 0, 1, make_nest},
};

static size_t make_type(const struct kind *kind)
{
    MPI_Aint first, extent;
    if (!kind->make)
        return (size_t)bytes;
    kind->make();
    MPI_Type_commit(&type);
    MPI_Type_get_extent(type, &first, &extent);
    return (size_t)extent;
}

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

/* What a rank does by itself takes time of the processor: others may be at work. */
static double now(const struct kind *kind)
{
    struct timespec t;
    if (!kind->make)
        return MPI_Wtime();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double timed(const struct kind *kind, int n)
{
    double start = now(kind);
    kind->run(n);
    return now(kind) - start;
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
    size_t in_len = (make_type(kind) + 4096) / 4096 * 4096;
    buffer = aligned_alloc(4096, in_len);
    other = aligned_alloc(4096, len);
    if (!buffer || !other)
        MPI_Abort(MPI_COMM_WORLD, 1);
    memset(buffer, 0, in_len);
    memset(other, 0, len);
    double one = measure(kind, seconds), value = kind->scale * one;
    if (kind->per_s)
        value = kind->per_s / one * (kind->by_bytes ? bytes : 1);
    if (rank == 0)
        printf("mpi %s %d %.6g\n", kind->name, bytes, value);
    fflush(stdout);
    free(buffer);
    free(other);
    if (kind->make)
        MPI_Type_free(&type);
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
