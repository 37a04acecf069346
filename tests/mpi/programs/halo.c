/* A solver of realistic size: heat in a box, cut into blocks among the ranks in three dimensions.
 *
 * Faces are exchanged by persistent requests of subarray types; every so many steps each rank
 * writes its block into a file of its own and notes that in a log which stays open, and rank 0
 * gathers where the ranks are. Then everything is thrown away, read back from the files, and solved
 * on. Prints the sums that the blocks have in the end, the same for every placement.
 *
 * Arguments: steps (default 60). Files lie in TMPDIR, and are removed. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mpi.h>

enum { N = 24, EVERY = 10, FACES = 6, PATH = 4096 };

struct block {
    int rank, size;
    int dims[3], at[3], next[FACES]; /* neighbour behind each face, or MPI_PROC_NULL */
    int len[3], first[3];            /* without the halo */
    double *now, *then;
    MPI_Datatype out[FACES], in[FACES];
    MPI_Request requests[2][2 * FACES]; /* of both grids */
    FILE *log;
    char folder[PATH / 2];
    uint64_t job; /* drawn by rank 0: in the names of files */
};

static void fail(const char *what)
{
    perror(what);
    MPI_Abort(MPI_COMM_WORLD, 2);
}

/* ---- the blocks ---- */

/* The factors of size, as equal as they can be. */
static void spread(int size, int dims[3])
{
    dims[0] = dims[1] = dims[2] = 1;
    for (int factor = size; factor > 1;) {
        int prime = 2, least = 0;
        while (factor % prime)
            prime++;
        for (int d = 1; d < 3; d++)
            if (dims[d] < dims[least])
                least = d;
        dims[least] *= prime;
        factor /= prime;
    }
}

static int rank_at(const struct block *b, const int at[3])
{
    for (int d = 0; d < 3; d++)
        if (at[d] < 0 || at[d] >= b->dims[d])
            return MPI_PROC_NULL;
    return (at[0] * b->dims[1] + at[1]) * b->dims[2] + at[2];
}

static size_t index_of(const struct block *b, int x, int y, int z)
{
    return ((size_t)x * (size_t)(b->len[1] + 2) + (size_t)y) * (size_t)(b->len[2] + 2) + (size_t)z;
}

static size_t cells(const struct block *b)
{
    return index_of(b, b->len[0] + 1, b->len[1] + 1, b->len[2] + 1) + 1;
}

static void make_faces(struct block *b)
{
    int whole[3] = {b->len[0] + 2, b->len[1] + 2, b->len[2] + 2};
    for (int f = 0; f < FACES; f++) {
        int d = f / 2, upper = f % 2, part[3] = {b->len[0], b->len[1], b->len[2]};
        int from[3] = {1, 1, 1}, to[3] = {1, 1, 1}, at[3] = {b->at[0], b->at[1], b->at[2]};
        part[d] = 1;
        from[d] = upper ? b->len[d] : 1;
        to[d] = upper ? b->len[d] + 1 : 0;
        at[d] += upper ? 1 : -1;
        b->next[f] = rank_at(b, at);
        MPI_Type_create_subarray(3, whole, part, from, MPI_ORDER_C, MPI_DOUBLE, &b->out[f]);
        MPI_Type_create_subarray(3, whole, part, to, MPI_ORDER_C, MPI_DOUBLE, &b->in[f]);
        MPI_Type_commit(&b->out[f]);
        MPI_Type_commit(&b->in[f]);
    }
}

static void make_requests(struct block *b, double *grid, MPI_Request requests[2 * FACES])
{
    for (int f = 0; f < FACES; f++) {
        MPI_Recv_init(grid, 1, b->in[f], b->next[f], f ^ 1, MPI_COMM_WORLD, &requests[f]);
        MPI_Send_init(grid, 1, b->out[f], b->next[f], f, MPI_COMM_WORLD, &requests[FACES + f]);
    }
}

static void make_grids(struct block *b)
{
    b->now = calloc(cells(b), sizeof(double));
    b->then = calloc(cells(b), sizeof(double));
    if (!b->now || !b->then)
        fail("calloc");
    make_requests(b, b->now, b->requests[0]);
    make_requests(b, b->then, b->requests[1]);
}

static void drop_grids(struct block *b)
{
    for (int i = 0; i < 2; i++)
        for (int f = 0; f < 2 * FACES; f++)
            MPI_Request_free(&b->requests[i][f]);
    free(b->now);
    free(b->then);
    b->now = b->then = NULL;
}

static void init(struct block *b)
{
    spread(b->size, b->dims);
    b->at[0] = b->rank / (b->dims[1] * b->dims[2]);
    b->at[1] = b->rank / b->dims[2] % b->dims[1];
    b->at[2] = b->rank % b->dims[2];
    for (int d = 0; d < 3; d++) {
        b->first[d] = N * b->at[d] / b->dims[d];
        b->len[d] = N * (b->at[d] + 1) / b->dims[d] - b->first[d];
    }
    make_faces(b);
    make_grids(b);
    for (int x = 1; x <= b->len[0]; x++)
        for (int y = 1; y <= b->len[1]; y++)
            for (int z = 1; z <= b->len[2]; z++)
                b->now[index_of(b, x, y, z)] =
                    sin((b->first[0] + x) * 0.5) * cos((b->first[1] + y) * 0.3) +
                    (b->first[2] + z) % 5;
}

/* ---- steps ---- */

static double step(struct block *b)
{
    double change = 0, all;
    MPI_Startall(2 * FACES, b->requests[0]);
    MPI_Waitall(2 * FACES, b->requests[0], MPI_STATUSES_IGNORE);
    for (int x = 1; x <= b->len[0]; x++)
        for (int y = 1; y <= b->len[1]; y++)
            for (int z = 1; z <= b->len[2]; z++) {
                size_t i = index_of(b, x, y, z);
                double around = b->now[index_of(b, x - 1, y, z)] +
                                b->now[index_of(b, x + 1, y, z)] +
                                b->now[index_of(b, x, y - 1, z)] +
                                b->now[index_of(b, x, y + 1, z)] + b->now[i - 1] + b->now[i + 1];
                b->then[i] = b->now[i] + 0.1 * (around - 6 * b->now[i]);
                change = fmax(change, fabs(b->then[i] - b->now[i]));
            }
    double *grid = b->now;
    b->now = b->then;
    b->then = grid;
    for (int f = 0; f < 2 * FACES; f++) {
        MPI_Request request = b->requests[0][f];
        b->requests[0][f] = b->requests[1][f];
        b->requests[1][f] = request;
    }
    MPI_Allreduce(&change, &all, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return all;
}

/* ---- files ---- */

static void path_of(const struct block *b, const char *kind, char path[PATH])
{
    snprintf(path, PATH, "%s/halo-%016llx.%d.%s", b->folder, (unsigned long long)b->job, b->rank,
             kind);
}

static void save(struct block *b, int at)
{
    char path[PATH];
    path_of(b, "block", path);
    FILE *file = fopen(path, "w+");
    if (!file)
        fail(path);
    fwrite(&at, sizeof(at), 1, file);
    for (int x = 1; x <= b->len[0]; x++) {
        for (int y = 1; y <= b->len[1]; y++)
            fwrite(&b->now[index_of(b, x, y, 1)], sizeof(double), (size_t)b->len[2], file);
        if (x == b->len[0] / 2)
            MPI_Barrier(MPI_COMM_WORLD); /* with the file half written */
    }
    if (fclose(file) != 0)
        fail(path);
    fprintf(b->log, "step %d saved\n", at);
}

static int load(struct block *b)
{
    char path[PATH];
    int at = 0;
    path_of(b, "block", path);
    FILE *file = fopen(path, "r");
    if (!file || fread(&at, sizeof(at), 1, file) != 1)
        fail(path);
    MPI_Barrier(MPI_COMM_WORLD); /* with the file half read */
    for (int x = 1; x <= b->len[0]; x++)
        for (int y = 1; y <= b->len[1]; y++)
            if (fread(&b->now[index_of(b, x, y, 1)], sizeof(double), (size_t)b->len[2], file) !=
                (size_t)b->len[2])
                fail(path);
    fclose(file);
    return at;
}

static void open_files(struct block *b)
{
    char path[PATH];
    const char *folder = getenv("TMPDIR");
    snprintf(b->folder, sizeof(b->folder), "%s", folder ? folder : "/tmp");
    if (b->rank == 0) {
        FILE *random = fopen("/dev/urandom", "r");
        if (!random || fread(&b->job, sizeof(b->job), 1, random) != 1)
            fail("/dev/urandom");
        fclose(random);
    }
    MPI_Bcast(&b->job, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD);
    path_of(b, "log", path);
    b->log = fopen(path, "w+");
    if (!b->log)
        fail(path);
}

/* Returns how many lines the log has. */
static int close_files(struct block *b)
{
    char path[PATH], line[64];
    int lines = 0;
    rewind(b->log);
    while (fgets(line, sizeof(line), b->log))
        lines++;
    fclose(b->log);
    path_of(b, "log", path);
    unlink(path);
    path_of(b, "block", path);
    unlink(path);
    return lines;
}

/* ---- the result ---- */

static void report(struct block *b, double change, int lines)
{
    struct {
        double sum, greatest;
        int rank, lines;
    } mine = {0, -1e30, b->rank, lines}, *all = calloc((size_t)b->size, sizeof(mine));
    for (int x = 1; x <= b->len[0]; x++)
        for (int y = 1; y <= b->len[1]; y++)
            for (int z = 1; z <= b->len[2]; z++) {
                mine.sum += b->now[index_of(b, x, y, z)];
                mine.greatest = fmax(mine.greatest, b->now[index_of(b, x, y, z)]);
            }
    MPI_Gather(&mine, sizeof(mine), MPI_BYTE, all, sizeof(mine), MPI_BYTE, 0, MPI_COMM_WORLD);
    for (int r = 0; b->rank == 0 && r < b->size; r++)
        printf("block %d: sum %.17g, greatest %.17g, %d lines\n", all[r].rank, all[r].sum,
               all[r].greatest, all[r].lines);
    if (b->rank == 0)
        printf("last change %.17g\n", change);
    free(all);
}

int main(int argc, char **argv)
{
    struct block b = {0};
    double change = 0;
    int lines, steps = argc > 1 ? atoi(argv[1]) : 60;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &b.rank);
    MPI_Comm_size(MPI_COMM_WORLD, &b.size);
    open_files(&b);
    init(&b);
    for (int at = 0, restarted = 0; at < steps; at++) {
        if (at % EVERY == 0)
            save(&b, at);
        if (at == steps / 2 && !restarted++) {
            drop_grids(&b);
            make_grids(&b);
            at = load(&b);
        }
        change = step(&b);
    }
    lines = close_files(&b);
    report(&b, change, lines);
    drop_grids(&b);
    for (int f = 0; f < FACES; f++) {
        MPI_Type_free(&b.out[f]);
        MPI_Type_free(&b.in[f]);
    }
    MPI_Finalize();
    return 0;
}
