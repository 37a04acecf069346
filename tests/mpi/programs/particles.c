/* Particles that fly about and change owners: irregular messages of a realistic code.
 *
 * The unit square is cut into strips, one for each rank; particles that leave theirs are sent to
 * their new owner, by Alltoallv of a struct type in even steps and by messages of unknown number
 * and length (Probe, ANY_SOURCE) in odd ones. Each step an operation of our own finds the fastest
 * particle with its number, and every so often the strips are cut anew so that all have as many.
 * Two halves of the ranks, split off, hold counts of their own. Prints what all know at the end,
 * the same for every placement.
 *
 * Arguments: steps (default 40). */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mpi.h>

enum { PER_RANK = 400, CUT_EVERY = 8, TAG_MOVED = 7, TAG_NEIGHBOUR = 8 };

struct particle {
    double x, y, vx, vy;
    int64_t id;
    int32_t hops;
    char colour;
};

struct fastest {
    double speed;
    int64_t id;
};

static int rank, size;
static double *cuts; /* rank r has [cuts[r], cuts[r + 1]) */
static struct particle *mine;
static int n, room;
static MPI_Datatype particle_type, fastest_type;
static MPI_Op faster;
static MPI_Comm half;

static uint64_t draw(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static double unit(uint64_t *state)
{
    return (double)(draw(state) >> 11) / (double)(UINT64_C(1) << 53);
}

static void choose(void *in, void *inout, int *len, MPI_Datatype *type)
{
    const struct fastest *a = in;
    struct fastest *b = inout;
    (void)type;
    for (int i = 0; i < *len; i++)
        if (a[i].speed > b[i].speed || (a[i].speed == b[i].speed && a[i].id < b[i].id))
            b[i] = a[i];
}

static void make_types(void)
{
    int lengths[] = {4, 1, 1, 1};
    MPI_Aint at[] = {offsetof(struct particle, x), offsetof(struct particle, id),
                     offsetof(struct particle, hops), offsetof(struct particle, colour)};
    MPI_Datatype of[] = {MPI_DOUBLE, MPI_INT64_T, MPI_INT32_T, MPI_CHAR}, packed;
    MPI_Type_create_struct(4, lengths, at, of, &packed);
    MPI_Type_create_resized(packed, 0, sizeof(struct particle), &particle_type);
    MPI_Type_commit(&particle_type);
    MPI_Type_free(&packed);
    int pair[] = {1, 1};
    MPI_Aint pair_at[] = {offsetof(struct fastest, speed), offsetof(struct fastest, id)};
    MPI_Datatype pair_of[] = {MPI_DOUBLE, MPI_INT64_T};
    MPI_Type_create_struct(2, pair, pair_at, pair_of, &fastest_type);
    MPI_Type_commit(&fastest_type);
    MPI_Op_create(choose, 1, &faster);
}

static void take(const struct particle *particle)
{
    if (n == room) {
        room = 2 * room + 16;
        mine = realloc(mine, (size_t)room * sizeof(*mine));
        if (!mine)
            MPI_Abort(MPI_COMM_WORLD, 2);
    }
    mine[n++] = *particle;
}

static int owner(double x)
{
    int r = 0;
    while (r < size - 1 && x >= cuts[r + 1])
        r++;
    return r;
}

static void begin(void)
{
    int64_t own = PER_RANK, before = 0;
    MPI_Exscan(&own, &before, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
    if (rank == 0)
        before = 0;
    uint64_t seed = 42 + (uint64_t)rank;
    for (int i = 0; i < PER_RANK; i++)
        take(&(struct particle){.x = (rank + unit(&seed)) / size,
                                .y = unit(&seed),
                                .vx = (unit(&seed) - 0.5) * 0.2,
                                .vy = (unit(&seed) - 0.5) * 0.2,
                                .id = before + i,
                                .colour = (char)('a' + i % 26)});
}

static double bounce(double *v, double x)
{
    if (x >= 0 && x < 1)
        return x;
    *v = -*v;
    return x < 0 ? -x : 1.9999999999 - x;
}

static void fly(void)
{
    for (int i = 0; i < n; i++) {
        mine[i].x = bounce(&mine[i].vx, mine[i].x + mine[i].vx);
        mine[i].y = bounce(&mine[i].vy, mine[i].y + mine[i].vy);
    }
}

static int by_owner(const void *a, const void *b)
{
    const struct particle *p = a, *q = b;
    int first = owner(p->x), second = owner(q->x);
    return first != second ? (first > second) - (first < second)
                           : (p->id > q->id) - (p->id < q->id);
}

static int by_id(const void *a, const void *b)
{
    const struct particle *p = a, *q = b;
    return (p->id > q->id) - (p->id < q->id);
}

/* How many of ours each rank owns now, and where those begin. */
static void sort_out(int *counts, int *offsets)
{
    memset(counts, 0, (size_t)size * sizeof(int));
    qsort(mine, (size_t)n, sizeof(*mine), by_owner);
    for (int i = 0; i < n; i++) {
        int r = owner(mine[i].x);
        mine[i].hops += r != rank;
        counts[r]++;
    }
    offsets[0] = 0;
    for (int r = 1; r < size; r++)
        offsets[r] = offsets[r - 1] + counts[r - 1];
}

static void exchange_together(const int *counts, const int *offsets)
{
    int *from = calloc((size_t)size, sizeof(int)), *at = calloc((size_t)size, sizeof(int)), all = 0;
    MPI_Alltoall(counts, 1, MPI_INT, from, 1, MPI_INT, MPI_COMM_WORLD);
    for (int r = 0; r < size; r++) {
        at[r] = all;
        all += from[r];
    }
    struct particle *got = calloc((size_t)all + 1, sizeof(*got));
    MPI_Alltoallv(mine, counts, offsets, particle_type, got, from, at, particle_type,
                  MPI_COMM_WORLD);
    n = 0;
    for (int i = 0; i < all; i++)
        take(&got[i]);
    free(got);
    free(from);
    free(at);
}

/* Nobody knows who sends to whom: a reduction says how many messages come, and they are probed. */
static void exchange_singly(const int *counts, const int *offsets)
{
    int *sends = calloc((size_t)size, sizeof(int)), come = 0, wait = 0;
    MPI_Request *requests = calloc((size_t)size, sizeof(MPI_Request));
    struct particle *old = mine;
    int keep_from = offsets[rank], keep = counts[rank];
    for (int r = 0; r < size; r++)
        sends[r] = r != rank && counts[r] > 0;
    MPI_Reduce_scatter_block(sends, &come, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    for (int r = 0; r < size; r++)
        if (sends[r])
            MPI_Issend(old + offsets[r], counts[r], particle_type, r, TAG_MOVED, MPI_COMM_WORLD,
                       &requests[wait++]);
    mine = NULL;
    n = room = 0;
    for (int i = 0; i < keep; i++)
        take(&old[keep_from + i]);
    while (come-- > 0) {
        MPI_Status status;
        MPI_Message message;
        int count;
        MPI_Mprobe(MPI_ANY_SOURCE, TAG_MOVED, MPI_COMM_WORLD, &message, &status);
        MPI_Get_count(&status, particle_type, &count);
        struct particle *got = calloc((size_t)count + 1, sizeof(*got));
        MPI_Mrecv(got, count, particle_type, &message, &status);
        for (int i = 0; i < count; i++)
            take(&got[i]);
        free(got);
    }
    MPI_Waitall(wait, requests, MPI_STATUSES_IGNORE);
    free(old);
    free(requests);
    free(sends);
}

/* New cuts, from where everybody's particles are: a histogram that all reduce. */
static void cut_anew(void)
{
    enum { BINS = 512 };
    int bins[BINS] = {0}, all[BINS], total = 0, passed = 0, r = 1;
    for (int i = 0; i < n; i++)
        bins[(int)(mine[i].x * BINS) % BINS]++;
    MPI_Request request;
    MPI_Iallreduce(bins, all, BINS, MPI_INT, MPI_SUM, MPI_COMM_WORLD, &request);
    for (int flag = 0; !flag;)
        MPI_Test(&request, &flag, MPI_STATUS_IGNORE);
    for (int i = 0; i < BINS; i++)
        total += all[i];
    for (int i = 0; i < BINS && r < size; i++) {
        passed += all[i];
        if (passed * (int64_t)size >= (int64_t)total * r)
            cuts[r++] = (i + 1.0) / BINS;
    }
    while (r < size)
        cuts[r++] = 1;
}

/* Sums over the ranks of our half, told to the neighbour by Bsend. */
static int64_t half_hops(void)
{
    int64_t own = 0, sum, other = 0;
    int next = (rank + 1) % size, last = (rank + size - 1) % size;
    for (int i = 0; i < n; i++)
        own += mine[i].hops;
    MPI_Allreduce(&own, &sum, 1, MPI_INT64_T, MPI_SUM, half);
    MPI_Bsend(&sum, 1, MPI_INT64_T, next, TAG_NEIGHBOUR, MPI_COMM_WORLD);
    MPI_Recv(&other, 1, MPI_INT64_T, last, TAG_NEIGHBOUR, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    return sum * 3 + other;
}

static uint64_t hash_of(const struct particle *p)
{
    uint64_t words[4], hash = (uint64_t)p->id * 31 + (uint64_t)p->hops * 7 + (uint64_t)p->colour;
    memcpy(words, &p->x, sizeof(words));
    for (int i = 0; i < 4; i++)
        hash = (hash ^ words[i]) * UINT64_C(1099511628211);
    return hash;
}

static void report(int64_t hops, const struct fastest *found)
{
    struct {
        uint64_t hash;
        int64_t n, hops, fastest;
    } told = {0, n, hops, found->id}, *all = calloc((size_t)size, sizeof(told));
    qsort(mine, (size_t)n, sizeof(*mine), by_id);
    for (int i = 0; i < n; i++)
        told.hash = told.hash * 31 + hash_of(&mine[i]);
    MPI_Gather(&told, sizeof(told), MPI_BYTE, all, sizeof(told), MPI_BYTE, size - 1,
               MPI_COMM_WORLD);
    for (int r = 0; rank == size - 1 && r < size; r++)
        printf("rank %d: %lld particles, hash %016llx, hops %lld, fastest %lld\n", r,
               (long long)all[r].n, (unsigned long long)all[r].hash, (long long)all[r].hops,
               (long long)all[r].fastest);
    free(all);
}

int main(int argc, char **argv)
{
    static char attached[64 * (MPI_BSEND_OVERHEAD + 64)];
    int steps = argc > 1 ? atoi(argv[1]) : 40, attached_len;
    int64_t hops = 0;
    void *detached;
    struct fastest found = {0, -1};
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Comm_split(MPI_COMM_WORLD, rank < size / 2, -rank, &half);
    MPI_Buffer_attach(attached, sizeof(attached));
    make_types();
    cuts = calloc((size_t)size + 1, sizeof(double));
    int *counts = calloc((size_t)size, sizeof(int)), *offsets = calloc((size_t)size, sizeof(int));
    for (int r = 0; r <= size; r++)
        cuts[r] = (double)r / size;
    begin();
    for (int step = 0; step < steps; step++) {
        struct fastest own = {-1, -1};
        fly();
        for (int i = 0; i < n; i++) {
            struct fastest one = {
                mine[i].vx * mine[i].vx + mine[i].vy * mine[i].vy + mine[i].x * 1e-3, mine[i].id};
            int len = 1;
            choose(&one, &own, &len, &fastest_type);
        }
        MPI_Allreduce(&own, &found, 1, fastest_type, faster, MPI_COMM_WORLD);
        if (step % CUT_EVERY == CUT_EVERY - 1)
            cut_anew();
        sort_out(counts, offsets);
        if (step % 2)
            exchange_singly(counts, offsets);
        else
            exchange_together(counts, offsets);
        hops += half_hops();
    }
    report(hops, &found);
    MPI_Buffer_detach(&detached, &attached_len);
    MPI_Op_free(&faster);
    MPI_Type_free(&particle_type);
    MPI_Type_free(&fastest_type);
    MPI_Comm_free(&half);
    free(mine);
    free(cuts);
    free(counts);
    free(offsets);
    MPI_Finalize();
    return 0;
}
