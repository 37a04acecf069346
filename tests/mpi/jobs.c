/* Every buffer is words with a margin. A type has its words at fixed places (gaps between them, one
 * before the buffer's address), so a block of u words is u / per values, for any of the types. What
 * must come is written by the same code as what goes out, into a copy of the buffer. */
#include "jobs.h"

#include <string.h>

#include "weft/memory.h"

enum { MARGIN = 8 };

/* No word looks like an address, so that what is one can be found in a region: the top bit is set,
 * or, where words are added up, one above all addresses that stays in a sum over all ranks. */
#define TOP (UINT64_C(1) << 63)
#define ABOVE (UINT64_C(1) << 56)
_Static_assert(JOBS_RANKS < 64, "sums of words below 2 * ABOVE stay below TOP");

/* Words of a value: where they lie, and how far it is to the next value. */
static const struct layout {
    int per, extent, at[3];
} layouts[JOBS_TYPES] = {
    {1, 1, {0}},
    {2, 4, {0, 2}},
    {3, 3, {0, 1, 2}},
    {2, 4, {-1, 2}},
};

uint64_t job_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t state = a * 0x100000001b3ull + b;
    return job_random(&state);
}

/* ---- types and operations ---- */

static MPI_Datatype make_type(const struct layout *layout)
{
    MPI_Aint displs[3];
    int lens[3] = {1, 1, 1};
    MPI_Datatype bare, type;
    for (int i = 0; i < layout->per; i++)
        displs[i] = layout->at[i] * 8;
    check(MPI_Type_create_hindexed(layout->per, lens, displs, MPI_INT64_T, &bare) == MPI_SUCCESS);
    check(MPI_Type_create_resized(bare, layout->at[0] * 8, layout->extent * 8, &type) ==
          MPI_SUCCESS);
    check(MPI_Type_free(&bare) == MPI_SUCCESS && MPI_Type_commit(&type) == MPI_SUCCESS);
    return type;
}

static int64_t *word(int64_t *words, int type, int64_t unit)
{
    const struct layout *layout = &layouts[type];
    return words + unit / layout->per * layout->extent + layout->at[unit % layout->per];
}

/* (a, b) is the map x -> a x + b; the left map is done last. */
static void compose(const uint64_t left[2], uint64_t right[2])
{
    right[1] = (left[0] * right[1] + left[1]) | TOP;
    right[0] = (left[0] * right[0]) | TOP;
}

static void apply_affine(int type, void *invec, void *inoutvec, int64_t units)
{
    for (int64_t i = 0; i < units; i += 2) {
        uint64_t left[2], right[2];
        for (int k = 0; k < 2; k++) {
            memcpy(&left[k], word(invec, type, i + k), 8);
            memcpy(&right[k], word(inoutvec, type, i + k), 8);
        }
        compose(left, right);
        for (int k = 0; k < 2; k++)
            memcpy(word(inoutvec, type, i + k), &right[k], 8);
    }
}

static void affine_1(void *in, void *inout, int *len, MPI_Datatype *type)
{
    (void)type;
    apply_affine(1, in, inout, *len * (int64_t)layouts[1].per);
}

static void affine_3(void *in, void *inout, MPI_Count *len, MPI_Datatype *type)
{
    (void)type;
    apply_affine(3, in, inout, *len * layouts[3].per);
}

void jobs_init(struct jobs *jobs, bool functions)
{
    jobs->functions = functions;
    MPI_Comm_rank(MPI_COMM_WORLD, &jobs->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &jobs->size);
    check(jobs->size <= JOBS_RANKS);
    jobs->types[0] = MPI_INT64_T;
    for (int i = 1; i < JOBS_TYPES; i++)
        jobs->types[i] = make_type(&layouts[i]);
    for (int i = 0; i < JOBS_TYPES; i++)
        jobs->affine[i] = MPI_OP_NULL;
    if (!functions)
        return;
    check(MPI_Op_create(affine_1, 0, &jobs->affine[1]) == MPI_SUCCESS);
    check(MPI_Op_create_c(affine_3, 0, &jobs->affine[3]) == MPI_SUCCESS);
}

void jobs_fini(struct jobs *jobs)
{
    for (int i = 1; i < JOBS_TYPES; i++)
        check(MPI_Type_free(&jobs->types[i]) == MPI_SUCCESS);
    if (!jobs->functions)
        return;
    check(MPI_Op_free(&jobs->affine[1]) == MPI_SUCCESS);
    check(MPI_Op_free(&jobs->affine[3]) == MPI_SUCCESS);
}

/* ---- drawing ---- */

static bool has_blocks_from(enum job_kind kind)
{
    return kind == JOB_SCATTER || kind == JOB_SCATTERV || kind == JOB_ALLTOALL ||
           kind == JOB_ALLTOALLV || kind == JOB_ALLTOALLW || kind == JOB_REDUCE_SCATTER ||
           kind == JOB_REDUCE_SCATTER_BLOCK;
}

static bool has_blocks_into(enum job_kind kind)
{
    return (kind >= JOB_GATHER && kind <= JOB_ALLTOALLW && kind != JOB_SCATTER &&
            kind != JOB_SCATTERV);
}

static bool has_root(enum job_kind kind)
{
    return kind == JOB_BCAST || kind == JOB_GATHER || kind == JOB_GATHERV || kind == JOB_SCATTER ||
           kind == JOB_SCATTERV || kind == JOB_REDUCE;
}

static bool is_reduction(enum job_kind kind)
{
    return kind >= JOB_REDUCE;
}

/* Lengths of blocks that differ, and gaps between them; alltoallw counts them in bytes. */
static bool has_lengths(enum job_kind kind)
{
    return kind == JOB_GATHERV || kind == JOB_SCATTERV || kind == JOB_ALLGATHERV ||
           kind == JOB_ALLTOALLV || kind == JOB_ALLTOALLW;
}

static int64_t span(int type, int64_t units)
{
    return units / layouts[type].per * layouts[type].extent;
}

static void set_block(const struct job *job, struct job_side *side, int i, int64_t units, int type)
{
    int64_t scale = job->kind == JOB_ALLTOALLW ? 1 : layouts[type].extent;
    side->units[i] = units;
    side->counts[i] = (int)(units / layouts[type].per);
    side->wide_counts[i] = side->counts[i];
    side->displs[i] = (int)(side->at[i] * (job->kind == JOB_ALLTOALLW ? 8 : 1) / scale);
    side->wide_displs[i] = side->displs[i];
    side->types[i] = job->jobs->types[type];
}

/* Blocks one behind the other; where lengths are given, with gaps and the last rank's first. */
static void lay_out(const struct job *job, struct job_side *side, const int64_t *units, bool blocks)
{
    int n = blocks ? job->jobs->size : 1;
    int64_t at = 0;
    bool spread = has_lengths(job->kind) && blocks;
    for (int k = 0; k < n; k++) {
        int i = spread ? n - 1 - k : k;
        side->at[i] = at;
        at += span(side->type, units[i]) + (spread ? 2 * layouts[side->type].extent : 0);
    }
    for (int i = 0; i < n; i++)
        set_block(job, side, i, units[i], side->type);
    side->words_n = (size_t)at + 2 * MARGIN;
    side->words = weft_alloc(side->words_n * 8);
    side->want = weft_alloc(side->words_n * 8);
    check(side->words && side->want);
}

/* Words that rank from sends to rank to. */
static int64_t units_of(const struct job *job, uint64_t key, int from, int to)
{
    int64_t most = job->from.units[0];
    if (job->kind == JOB_ALLTOALLV || job->kind == JOB_ALLTOALLW) {
        if (job->in_place) /* as many in both directions */
            return 6 *
                   (int64_t)(mix(key, (uint64_t)(from * to + from + to)) % (uint64_t)(most + 1));
        return 6 * (int64_t)(mix(key, (uint64_t)(from * 64 + to)) % (uint64_t)(most + 1));
    }
    int rank = job->kind == JOB_GATHERV || job->kind == JOB_ALLGATHERV ? from : to;
    if (has_lengths(job->kind) || job->kind == JOB_REDUCE_SCATTER)
        return 6 * (int64_t)(mix(key, (uint64_t)rank) % (uint64_t)(most + 1));
    return 6 * most;
}

static void draw_types(struct job *job, uint64_t *random)
{
    job->from.type = (int)(job_random(random) % JOBS_TYPES);
    job->into.type = (int)(job_random(random) % JOBS_TYPES);
    job->op = (enum job_op)(job_random(random) % (job->jobs->functions ? JOB_OPS : JOB_AFFINE));
    if (is_reduction(job->kind) && job->op == JOB_AFFINE)
        job->from.type = job_random(random) % 2 ? 1 : 3;
    else if (is_reduction(job->kind))
        job->from.type = 0;
    if (is_reduction(job->kind) || job->in_place)
        job->into.type = job->from.type;
    if (job->kind == JOB_BCAST) /* each rank names the same words in its own way */
        job->into.type = (job->into.type + job->jobs->rank) % JOBS_TYPES;
}

struct job *job_new(const struct jobs *jobs, uint64_t *random, enum job_kind kind, int64_t units)
{
    struct job *job = weft_alloc(sizeof(*job));
    int64_t from[JOBS_RANKS], into[JOBS_RANKS];
    job->jobs = jobs;
    job->kind = kind;
    job->wide = job_random(random) % 2;
    job->root = (int)(job_random(random) % (uint64_t)jobs->size);
    job->in_place = job_random(random) % 2 && kind != JOB_BCAST && kind != JOB_BARRIER;
    draw_types(job, random);
    uint64_t key = job_random(random);
    job->from.units[0] = (int64_t)(job_random(random) % (uint64_t)(units + 1));
    for (int i = 0; i < jobs->size; i++) {
        from[i] = units_of(job, key, jobs->rank, has_blocks_from(kind) ? i : jobs->rank);
        into[i] = units_of(job, key, has_blocks_into(kind) ? i : jobs->rank, jobs->rank);
    }
    if (!has_blocks_from(kind))
        from[0] = from[jobs->rank];
    if (!has_blocks_into(kind))
        into[0] = into[jobs->rank];
    if (job->in_place && (kind == JOB_REDUCE_SCATTER || kind == JOB_REDUCE_SCATTER_BLOCK))
        memcpy(into, from, sizeof(into)); /* the result's buffer has all contributions */
    lay_out(job, &job->from, from, has_blocks_from(kind));
    lay_out(job, &job->into, into,
            has_blocks_into(kind) ||
                (job->in_place && has_blocks_from(kind) && is_reduction(kind)));
    return job;
}

void job_free(struct job *job)
{
    weft_free(job->from.words);
    weft_free(job->from.want);
    weft_free(job->into.words);
    weft_free(job->into.want);
    weft_free(job);
}

/* ---- what goes in and what must come out ---- */

static int64_t *side_words(const struct job_side *side, bool want)
{
    return (want ? side->want : side->words) + MARGIN;
}

static uint64_t value(const struct job *job, int from, int to, int64_t unit)
{
    uint64_t r = mix((uint64_t)(job->salt * 4096 + from * 64 + to), (uint64_t)unit);
    double d;
    if (!is_reduction(job->kind) || job->op == JOB_AFFINE)
        return r | TOP;
    if (job->op == JOB_INT_SUM)
        return r >> 8 | ABOVE;
    d = ((double)(r >> 20) - 8e12) * (r % 3 == 0 ? 1e-13 : r % 3 == 1 ? 1e-9 : 1e-17);
    memcpy(&r, &d, sizeof(r));
    return r;
}

static void put(int64_t *words, int type, int64_t unit, uint64_t v)
{
    memcpy(word(words, type, unit), &v, sizeof(v));
}

/* A block of what rank from has for rank to. */
static void put_block(const struct job *job, const struct job_side *side, bool want, int i,
                      const int pair[2])
{
    int64_t *words = side_words(side, want) + side->at[i];
    for (int64_t u = 0; u < side->units[i]; u++)
        put(words, side->type, u, value(job, pair[0], pair[1], u));
}

/* The contribution of a rank to words u and u + 1 of the vector. */
static void contribution(const struct job *job, int rank, int64_t u, uint64_t out[2])
{
    out[0] = value(job, rank, 0, u);
    out[1] = value(job, rank, 0, u + 1);
}

static void combine(const struct job *job, const uint64_t left[2], uint64_t right[2])
{
    double a[2], b[2];
    if (job->op == JOB_AFFINE) {
        compose(left, right);
    } else if (job->op == JOB_INT_SUM) {
        right[0] += left[0];
        right[1] += left[1];
    } else {
        memcpy(a, left, sizeof(a));
        memcpy(b, right, sizeof(b));
        b[0] = a[0] + b[0];
        b[1] = a[1] + b[1];
        memcpy(right, b, sizeof(b));
    }
}

/* T(n), the library's tree, over ranks [first, first + width) that are below n. */
static void tree(const struct job *job, const int range[3], int64_t u, uint64_t out[2])
{
    int first = range[0], half = range[1] / 2, n = range[2];
    uint64_t left[2];
    if (range[1] == 1) {
        contribution(job, first, u, out);
        return;
    }
    if (first + half >= n) {
        tree(job, (const int[]){first, half, n}, u, out);
        return;
    }
    tree(job, (const int[]){first, half, n}, u, left);
    tree(job, (const int[]){first + half, half, n}, u, out);
    combine(job, left, out);
}

static void reduced(const struct job *job, int n, int64_t u, uint64_t out[2])
{
    int width = 1;
    while (width < n)
        width *= 2;
    tree(job, (const int[]){0, width, n}, u, out);
}

/* units words of the vector's reduction over the first n ranks, from word first on. */
static void want_reduced(const struct job *job, int n, int64_t first, int64_t units)
{
    int64_t *words = side_words(&job->into, true);
    for (int64_t u = 0; u < units; u += 2) {
        uint64_t v[2];
        reduced(job, n, first + u, v);
        put(words, job->into.type, u, v[0]);
        put(words, job->into.type, u + 1, v[1]);
    }
}

static void want_reduction(const struct job *job)
{
    int rank = job->jobs->rank, size = job->jobs->size;
    int64_t first = 0;
    switch (job->kind) {
    case JOB_REDUCE:
    case JOB_ALLREDUCE:
        if (job->kind == JOB_ALLREDUCE || rank == job->root)
            want_reduced(job, size, 0, job->from.units[0]);
        break;
    case JOB_SCAN:
        want_reduced(job, rank + 1, 0, job->from.units[0]);
        break;
    case JOB_EXSCAN:
        if (rank > 0)
            want_reduced(job, rank, 0, job->from.units[0]);
        break;
    default:
        for (int i = 0; i < rank; i++)
            first += job->from.units[i];
        want_reduced(job, size, first, job->from.units[rank]);
        break;
    }
}

static void want_data(const struct job *job)
{
    int rank = job->jobs->rank, size = job->jobs->size, root = job->root;
    if (job->kind == JOB_BCAST)
        put_block(job, &job->into, true, 0, (const int[]){root, 0});
    else if (job->kind == JOB_SCATTER || job->kind == JOB_SCATTERV) {
        if (!job->in_place || rank != root)
            put_block(job, &job->into, true, 0, (const int[]){root, rank});
    } else if (!has_root(job->kind) || rank == root) {
        bool alltoall = has_blocks_from(job->kind);
        for (int i = 0; i < size && has_blocks_into(job->kind); i++)
            put_block(job, &job->into, true, i, (const int[]){i, alltoall ? rank : 0});
    }
}

/* The contribution, into a side of one block or of all blocks in a row. */
static void put_vector(const struct job *job, const struct job_side *side)
{
    int n = has_blocks_from(job->kind) ? job->jobs->size : 1;
    int64_t *words = side_words(side, false), units = 0;
    for (int i = 0; i < n; i++)
        units += job->from.units[i];
    for (int64_t u = 0; u < units; u++)
        put(words, side->type, u, value(job, job->jobs->rank, 0, u));
}

static void fill_from(const struct job *job)
{
    int rank = job->jobs->rank, n = has_blocks_from(job->kind) ? job->jobs->size : 1;
    if (is_reduction(job->kind)) {
        put_vector(job, &job->from);
        return;
    }
    for (int i = 0; i < n; i++)
        put_block(job, &job->from, false, i,
                  (const int[]){rank, has_blocks_from(job->kind) ? i : 0});
}

/* In place: this rank's data are in the result's buffer. */
static void fill_into(const struct job *job)
{
    int rank = job->jobs->rank, size = job->jobs->size;
    if (job->kind == JOB_BCAST && rank == job->root)
        put_block(job, &job->into, false, 0, (const int[]){rank, 0});
    if (!job->in_place || (has_root(job->kind) && rank != job->root))
        return;
    if (is_reduction(job->kind)) {
        put_vector(job, &job->into);
    } else if (has_blocks_into(job->kind) && has_blocks_from(job->kind)) {
        for (int i = 0; i < size; i++)
            put_block(job, &job->into, false, i, (const int[]){rank, i});
    } else if (has_blocks_into(job->kind)) {
        put_block(job, &job->into, false, rank, (const int[]){rank, 0});
    }
}

void job_fill(struct job *job, int salt)
{
    job->salt = salt;
    memset(job->from.words, 0x5c, job->from.words_n * 8);
    memset(job->into.words, 0x5c, job->into.words_n * 8);
    fill_from(job);
    memcpy(job->from.want, job->from.words, job->from.words_n * 8);
    fill_into(job);
    memcpy(job->into.want, job->into.words, job->into.words_n * 8);
    if (is_reduction(job->kind))
        want_reduction(job);
    else
        want_data(job);
}

/* In place, a reduce_scatter leaves the rest of the contributions as it likes. */
static size_t compared_words(const struct job *job)
{
    bool scatters = job->kind == JOB_REDUCE_SCATTER || job->kind == JOB_REDUCE_SCATTER_BLOCK;
    if (!scatters || !job->in_place)
        return job->into.words_n;
    return MARGIN / 2 + (size_t)span(job->into.type, job->from.units[job->jobs->rank]);
}

void job_check(const struct job *job)
{
    bool same = memcmp(job->into.words, job->into.want, compared_words(job) * 8) == 0 &&
                memcmp(job->from.words, job->from.want, job->from.words_n * 8) == 0;
    if (!same)
        fprintf(stderr, "kind %d op %d of %d ranks, root %d, in place %d, types %d %d, words %zu\n",
                (int)job->kind, (int)job->op, job->jobs->size, job->root, job->in_place,
                job->from.type, job->into.type, job->into.words_n);
    check(same);
}

/* ---- the functions ---- */

struct call {
    struct job *job;
    enum job_form form;
    const void *from;
    void *into;
    MPI_Datatype from_type, into_type;
    MPI_Op op;
};

/* clang-format off */
#define FORMS(Name, Iname, Pname, ...)                                                             \
    (c->form == JOB_BLOCKING      ? Name(__VA_ARGS__, MPI_COMM_WORLD)                              \
     : c->form == JOB_NONBLOCKING ? Iname(__VA_ARGS__, MPI_COMM_WORLD, &c->job->request)           \
                                  : Pname(__VA_ARGS__, MPI_COMM_WORLD, MPI_INFO_NULL, &c->job->request))
#define WIDE(Name, Iname, ...) FORMS(MPI_##Name##_c, MPI_##Iname##_c, MPI_##Name##_init_c, __VA_ARGS__)
#define PLAIN(Name, Iname, ...) FORMS(MPI_##Name, MPI_##Iname, MPI_##Name##_init, __VA_ARGS__)
#define TWINS(Name, Iname, ...)                                                                    \
    (c->job->wide ? WIDE(Name, Iname, __VA_ARGS__) : PLAIN(Name, Iname, __VA_ARGS__))
/* clang-format on */

static int call_blocks(const struct call *c)
{
    const struct job_side *from = &c->job->from, *into = &c->job->into;
    int root = c->job->root;
    switch (c->job->kind) {
    case JOB_BCAST:
        return TWINS(Bcast, Ibcast, c->into, into->counts[0], c->into_type, root);
    case JOB_GATHER:
        return TWINS(Gather, Igather, c->from, from->counts[0], c->from_type, c->into,
                     into->counts[0], c->into_type, root);
    case JOB_SCATTER:
        return TWINS(Scatter, Iscatter, c->from, from->counts[0], c->from_type, c->into,
                     into->counts[0], c->into_type, root);
    case JOB_ALLGATHER:
        return TWINS(Allgather, Iallgather, c->from, from->counts[0], c->from_type, c->into,
                     into->counts[0], c->into_type);
    default:
        return TWINS(Alltoall, Ialltoall, c->from, from->counts[0], c->from_type, c->into,
                     into->counts[0], c->into_type);
    }
}

static int call_lengths(const struct call *c)
{
    const struct job_side *f = &c->job->from, *i = &c->job->into;
    int root = c->job->root;
    switch (c->job->kind) {
    case JOB_GATHERV:
        if (c->job->wide)
            return WIDE(Gatherv, Igatherv, c->from, f->counts[0], c->from_type, c->into,
                        i->wide_counts, i->wide_displs, c->into_type, root);
        return PLAIN(Gatherv, Igatherv, c->from, f->counts[0], c->from_type, c->into, i->counts,
                     i->displs, c->into_type, root);
    case JOB_SCATTERV:
        if (c->job->wide)
            return WIDE(Scatterv, Iscatterv, c->from, f->wide_counts, f->wide_displs, c->from_type,
                        c->into, i->counts[0], c->into_type, root);
        return PLAIN(Scatterv, Iscatterv, c->from, f->counts, f->displs, c->from_type, c->into,
                     i->counts[0], c->into_type, root);
    case JOB_ALLGATHERV:
        if (c->job->wide)
            return WIDE(Allgatherv, Iallgatherv, c->from, f->counts[0], c->from_type, c->into,
                        i->wide_counts, i->wide_displs, c->into_type);
        return PLAIN(Allgatherv, Iallgatherv, c->from, f->counts[0], c->from_type, c->into,
                     i->counts, i->displs, c->into_type);
    case JOB_ALLTOALLV:
        if (c->job->wide)
            return WIDE(Alltoallv, Ialltoallv, c->from, f->wide_counts, f->wide_displs,
                        c->from_type, c->into, i->wide_counts, i->wide_displs, c->into_type);
        return PLAIN(Alltoallv, Ialltoallv, c->from, f->counts, f->displs, c->from_type, c->into,
                     i->counts, i->displs, c->into_type);
    default:
        if (c->job->wide)
            return WIDE(Alltoallw, Ialltoallw, c->from, f->wide_counts, f->wide_displs, f->types,
                        c->into, i->wide_counts, i->wide_displs, i->types);
        return PLAIN(Alltoallw, Ialltoallw, c->from, f->counts, f->displs, f->types, c->into,
                     i->counts, i->displs, i->types);
    }
}

static int call_reduction(const struct call *c)
{
    const struct job_side *from = &c->job->from;
    int count = from->counts[0];
    switch (c->job->kind) {
    case JOB_REDUCE:
        return TWINS(Reduce, Ireduce, c->from, c->into, count, c->into_type, c->op, c->job->root);
    case JOB_ALLREDUCE:
        return TWINS(Allreduce, Iallreduce, c->from, c->into, count, c->into_type, c->op);
    case JOB_SCAN:
        return TWINS(Scan, Iscan, c->from, c->into, count, c->into_type, c->op);
    case JOB_EXSCAN:
        return TWINS(Exscan, Iexscan, c->from, c->into, count, c->into_type, c->op);
    case JOB_REDUCE_SCATTER_BLOCK:
        return TWINS(Reduce_scatter_block, Ireduce_scatter_block, c->from, c->into, count,
                     c->into_type, c->op);
    default:
        if (c->job->wide)
            return WIDE(Reduce_scatter, Ireduce_scatter, c->from, c->into, from->wide_counts,
                        c->into_type, c->op);
        return PLAIN(Reduce_scatter, Ireduce_scatter, c->from, c->into, from->counts, c->into_type,
                     c->op);
    }
}

static int call_barrier(const struct call *c)
{
    if (c->form == JOB_BLOCKING)
        return MPI_Barrier(MPI_COMM_WORLD);
    if (c->form == JOB_NONBLOCKING)
        return MPI_Ibarrier(MPI_COMM_WORLD, &c->job->request);
    return MPI_Barrier_init(MPI_COMM_WORLD, MPI_INFO_NULL, &c->job->request);
}

void job_call(struct job *job, enum job_form form)
{
    const struct jobs *jobs = job->jobs;
    bool mine = job->in_place && (!has_root(job->kind) || jobs->rank == job->root);
    bool scatters = job->kind == JOB_SCATTER || job->kind == JOB_SCATTERV;
    struct call c = {.job = job,
                     .form = form,
                     .from = side_words(&job->from, false),
                     .into = side_words(&job->into, false),
                     .from_type = jobs->types[job->from.type],
                     .into_type = jobs->types[job->into.type],
                     .op = MPI_SUM};
    if (mine && scatters)
        c.into = MPI_IN_PLACE;
    else if (mine)
        c.from = MPI_IN_PLACE;
    if (job->op == JOB_AFFINE)
        c.op = jobs->affine[job->from.type];
    else if (is_reduction(job->kind) && job->op == JOB_DOUBLE_SUM)
        c.into_type = MPI_DOUBLE;
    int err = job->kind == JOB_BARRIER  ? call_barrier(&c)
              : is_reduction(job->kind) ? call_reduction(&c)
              : has_lengths(job->kind)  ? call_lengths(&c)
                                        : call_blocks(&c);
    check(err == MPI_SUCCESS);
}
