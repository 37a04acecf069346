/* Collectives of intercommunicators, in all their forms: every word that a rank gets is what the
 * other side has for it, reductions have the bits of the library's tree over the other side's
 * ranks, and what does not count on a rank is not looked at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "jobs.h"
#include "weft/memory.h"

enum { RANKS = 16, MARGIN = 4, TYPES = 2 };

/* No word looks like an address, nor does a sum of words. */
#define TOP (UINT64_C(1) << 63)
#define ABOVE (UINT64_C(1) << 56)

enum kind {
    BARRIER,
    BCAST,
    GATHER,
    GATHERV,
    SCATTER,
    SCATTERV,
    ALLGATHER,
    ALLGATHERV,
    ALLTOALL,
    ALLTOALLV,
    ALLTOALLW,
    REDUCE,
    ALLREDUCE,
    REDUCE_SCATTER,
    REDUCE_SCATTER_BLOCK,
    KINDS
};

struct sides {
    MPI_Comm mine, inter;
    MPI_Datatype types[TYPES]; /* a word; a word and a gap of one */
    MPI_Op op;                 /* MPI_OP_NULL: none of the program */
    bool low;
    int rank, n, other_n;
};

/* Blocks in a row, one for each rank of the other side or (reduce_scatter) of this, or one. */
struct side {
    int type, blocks;
    uint64_t *words, *want;
    size_t words_n;
    int counts[RANKS], displs[RANKS];
    MPI_Count wide_counts[RANKS];
    MPI_Aint wide_displs[RANKS];
    MPI_Datatype types[RANKS];
};

struct work {
    const struct sides *sides;
    enum kind kind;
    enum job_form form;
    bool wide, own_op, root_low, doubles;
    int root, units, salt;
    struct side from, into;
    MPI_Request request;
};

/* ---- who has what ---- */

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t state = a * 0x100000001b3ull + b;
    return job_random(&state);
}

static bool is_reduction(const struct work *w)
{
    return w->kind >= REDUCE;
}

static bool scatters_result(const struct work *w)
{
    return w->kind >= REDUCE_SCATTER;
}

static bool has_root(const struct work *w)
{
    return (w->kind >= BCAST && w->kind <= SCATTERV) || w->kind == REDUCE;
}

static bool root_sends(const struct work *w)
{
    return w->kind == BCAST || w->kind == SCATTER || w->kind == SCATTERV;
}

static bool is_root(const struct work *w)
{
    return w->sides->low == w->root_low && w->sides->rank == w->root;
}

static bool sends(const struct work *w)
{
    if (w->kind == BARRIER || !has_root(w))
        return w->kind != BARRIER;
    return root_sends(w) ? is_root(w) : w->sides->low != w->root_low;
}

static bool receives(const struct work *w)
{
    if (w->kind == BARRIER || !has_root(w))
        return w->kind != BARRIER;
    return root_sends(w) ? w->sides->low != w->root_low : is_root(w);
}

static bool has_lengths(const struct work *w)
{
    return w->kind == GATHERV || w->kind == SCATTERV || w->kind == ALLGATHERV ||
           w->kind == ALLTOALLV || w->kind == ALLTOALLW;
}

static bool alltoall(const struct work *w)
{
    return w->kind >= ALLTOALL && w->kind <= ALLTOALLW;
}

/* Words of the block that a rank of a side has for one of the other. */
static int block_len(const struct work *w, bool low, int from, int to)
{
    uint64_t pair = (uint64_t)(low ? 4096 : 0);
    if (!has_lengths(w))
        return w->units;
    if (w->kind == SCATTERV || alltoall(w))
        pair += (uint64_t)to + 1;
    if (w->kind != SCATTERV)
        pair += 64 * ((uint64_t)from + 1);
    return (int)(mix(pair, (uint64_t)w->units) % (uint64_t)(w->units + 1));
}

static int sum_len(const struct work *w)
{
    return scatters_result(w) ? w->units * w->sides->n * w->sides->other_n : w->units;
}

/* Of a reduction's result, for a rank of this side: as much in all on both sides. */
static int result_len(const struct work *w, int rank)
{
    int n = w->sides->n, all = sum_len(w);
    if (w->kind == REDUCE_SCATTER)
        return all * (rank + 1) * (rank + 1) / (n * n) - all * rank * rank / (n * n);
    return w->kind == REDUCE_SCATTER_BLOCK ? all / n : all;
}

static uint64_t value(const struct work *w, bool low, int pair, int64_t u)
{
    uint64_t r = mix((uint64_t)(w->salt * 8192 + (low ? 4096 : 0) + pair), (uint64_t)u);
    double d;
    if (!is_reduction(w) || w->own_op)
        return r | TOP;
    if (!w->doubles)
        return r >> 8 | ABOVE;
    d = ((double)(r >> 20) - 8e12) * (r % 3 == 0 ? 1e-13 : r % 3 == 1 ? 1e-9 : 1e-17);
    memcpy(&r, &d, sizeof(r));
    return r;
}

/* ---- drawing ---- */

static bool from_blocks(const struct work *w)
{
    return w->kind == SCATTER || w->kind == SCATTERV || alltoall(w);
}

static bool into_blocks(const struct work *w)
{
    return w->kind == GATHER || w->kind == GATHERV || w->kind == ALLGATHER ||
           w->kind == ALLGATHERV || alltoall(w);
}

/* Blocks one behind the other, with gaps and the last one first where lengths are given. */
static void lay_out(const struct work *w, struct side *side, const int *lens)
{
    int at = 0, stride = side->type + 1;
    bool spread = has_lengths(w) && side->blocks > 1;
    for (int k = 0; k < side->blocks; k++) {
        int i = spread ? side->blocks - 1 - k : k;
        side->counts[i] = lens[i];
        side->displs[i] = at * (w->kind == ALLTOALLW ? 8 * stride : 1);
        side->wide_counts[i] = lens[i];
        side->wide_displs[i] = side->displs[i];
        side->types[i] = w->sides->types[side->type];
        at += lens[i] + (spread ? 2 : 0);
    }
    side->words_n = (size_t)(at * stride + 2 * MARGIN);
    side->words = weft_alloc(side->words_n * 8);
    side->want = weft_alloc(side->words_n * 8);
    check(side->words && side->want);
}

static void draw_from(struct work *w)
{
    int lens[RANKS];
    w->from.blocks = from_blocks(w) ? w->sides->other_n : 1;
    for (int i = 0; i < w->from.blocks; i++)
        lens[i] = is_reduction(w) ? sum_len(w) : block_len(w, w->sides->low, w->sides->rank, i);
    lay_out(w, &w->from, lens);
}

static void draw_into(struct work *w)
{
    int lens[RANKS];
    w->into.blocks = into_blocks(w) ? w->sides->other_n : scatters_result(w) ? w->sides->n : 1;
    for (int i = 0; i < w->into.blocks; i++)
        lens[i] =
            is_reduction(w) ? result_len(w, i) : block_len(w, !w->sides->low, i, w->sides->rank);
    lay_out(w, &w->into, lens);
}

static struct work *work_new(const struct sides *sides, uint64_t *random, enum kind kind, int units)
{
    struct work *w = weft_alloc(sizeof(*w));
    w->sides = sides;
    w->kind = kind;
    w->wide = job_random(random) % 2;
    w->root_low = job_random(random) % 2;
    w->doubles = job_random(random) % 2;
    w->root = (int)(job_random(random) %
                    (uint64_t)(w->root_low == sides->low ? sides->n : sides->other_n));
    w->own_op = job_random(random) % 2 && !w->doubles && sides->op != MPI_OP_NULL;
    w->units = (int)(job_random(random) % (uint64_t)(units + 1));
    w->from.type = (int)(job_random(random) % TYPES);
    w->into.type = (int)(job_random(random) % TYPES);
    if (is_reduction(w))
        w->from.type = w->into.type = 0;
    draw_from(w);
    draw_into(w);
    return w;
}

static void work_free(struct work *w)
{
    weft_free(w->from.words);
    weft_free(w->from.want);
    weft_free(w->into.words);
    weft_free(w->into.want);
    weft_free(w);
}

/* ---- what goes in and what must come out ---- */

static void put_block(const struct work *w, const struct side *side, uint64_t *words, int i)
{
    bool out = side == &w->from, low = w->sides->low == out; /* who has had it first */
    int from = out ? w->sides->rank : into_blocks(w) ? i : w->root;
    int to = out ? (from_blocks(w) ? i : 0) : from_blocks(w) ? w->sides->rank : 0;
    int stride = side->type + 1;
    int at = MARGIN + side->displs[i] * (w->kind == ALLTOALLW ? 1 : 8 * stride) / 8;
    for (int u = 0; u < side->counts[i]; u++)
        words[at + u * stride] = value(w, low, from * 64 + to, u);
}

static uint64_t combine(const struct work *w, uint64_t left, uint64_t right)
{
    double a, b;
    if (w->own_op)
        return (left * 3 + right) | TOP;
    if (!w->doubles)
        return left + right;
    memcpy(&a, &left, 8);
    memcpy(&b, &right, 8);
    a += b;
    memcpy(&left, &a, 8);
    return left;
}

/* T(n), the library's tree, over ranks [first, first + width) of the other side. */
static uint64_t tree(const struct work *w, int first, int width, int64_t u)
{
    int half = width / 2;
    if (width == 1)
        return value(w, !w->sides->low, first * 64, u);
    if (first + half >= w->sides->other_n)
        return tree(w, first, half, u);
    return combine(w, tree(w, first, half, u), tree(w, first + half, half, u));
}

static void want_reduced(const struct work *w)
{
    int first = 0, width = 1;
    while (width < w->sides->other_n)
        width *= 2;
    for (int i = 0; i < w->sides->rank && scatters_result(w); i++)
        first += result_len(w, i);
    for (int u = 0; u < result_len(w, w->sides->rank); u++)
        w->into.want[MARGIN + u] = tree(w, 0, width, first + u);
}

static void work_fill(struct work *w, int salt)
{
    w->salt = salt;
    memset(w->from.words, 0x5c, w->from.words_n * 8);
    memset(w->into.words, 0x5c, w->into.words_n * 8);
    for (int i = 0; i < w->from.blocks && sends(w); i++)
        put_block(w, &w->from, w->from.words, i);
    memcpy(w->from.want, w->from.words, w->from.words_n * 8);
    memcpy(w->into.want, w->into.words, w->into.words_n * 8);
    if (receives(w) && is_reduction(w))
        want_reduced(w);
    for (int i = 0; i < w->into.blocks && receives(w) && !is_reduction(w); i++)
        put_block(w, &w->into, w->into.want, i);
}

static void work_check(const struct work *w)
{
    bool same = memcmp(w->into.words, w->into.want, w->into.words_n * 8) == 0 &&
                memcmp(w->from.words, w->from.want, w->from.words_n * 8) == 0;
    if (!same)
        fprintf(stderr, "kind %d of %d and %d ranks, root %d (low %d), %d words\n", (int)w->kind,
                w->sides->n, w->sides->other_n, w->root, w->root_low, w->units);
    check(same);
}

/* ---- the functions ---- */

/* As this rank passes it. */
struct call {
    struct work *w;
    void *from, *into;
    int from_n, into_n, root;
    MPI_Datatype from_type, into_type;
    MPI_Op op;
};

/* clang-format off */
#define FORMS(Name, Iname, Pname, ...)                                                             \
    (c->w->form == JOB_BLOCKING      ? Name(__VA_ARGS__, c->w->sides->inter)                       \
     : c->w->form == JOB_NONBLOCKING ? Iname(__VA_ARGS__, c->w->sides->inter, &c->w->request)      \
                                     : Pname(__VA_ARGS__, c->w->sides->inter, MPI_INFO_NULL, &c->w->request))
#define WIDE(Name, Iname, ...) FORMS(MPI_##Name##_c, MPI_##Iname##_c, MPI_##Name##_init_c, __VA_ARGS__)
#define PLAIN(Name, Iname, ...) FORMS(MPI_##Name, MPI_##Iname, MPI_##Name##_init, __VA_ARGS__)
#define TWINS(Name, Iname, ...)                                                                    \
    (c->w->wide ? WIDE(Name, Iname, __VA_ARGS__) : PLAIN(Name, Iname, __VA_ARGS__))
#define BLOCKS c->from, c->from_n, c->from_type, c->into, c->into_n, c->into_type
/* clang-format on */

static int call_barrier(const struct call *c)
{
    if (c->w->form == JOB_BLOCKING)
        return MPI_Barrier(c->w->sides->inter);
    if (c->w->form == JOB_NONBLOCKING)
        return MPI_Ibarrier(c->w->sides->inter, &c->w->request);
    return MPI_Barrier_init(c->w->sides->inter, MPI_INFO_NULL, &c->w->request);
}

static int call_blocks(const struct call *c)
{
    switch (c->w->kind) {
    case BARRIER:
        return call_barrier(c);
    case BCAST:
        if (sends(c->w))
            return TWINS(Bcast, Ibcast, c->from, c->from_n, c->from_type, c->root);
        return TWINS(Bcast, Ibcast, c->into, c->into_n, c->into_type, c->root);
    case GATHER:
        return TWINS(Gather, Igather, BLOCKS, c->root);
    case SCATTER:
        return TWINS(Scatter, Iscatter, BLOCKS, c->root);
    case ALLGATHER:
        return TWINS(Allgather, Iallgather, BLOCKS);
    default:
        return TWINS(Alltoall, Ialltoall, BLOCKS);
    }
}

static int call_lengths(const struct call *c)
{
    const struct side *f = &c->w->from, *i = &c->w->into;
    bool gathers = c->w->kind == GATHERV, wide = c->w->wide;
    switch (c->w->kind) {
    case GATHERV:
    case SCATTERV:
        if (gathers && wide)
            return WIDE(Gatherv, Igatherv, c->from, c->from_n, c->from_type, c->into,
                        i->wide_counts, i->wide_displs, c->into_type, c->root);
        if (gathers)
            return PLAIN(Gatherv, Igatherv, c->from, c->from_n, c->from_type, c->into, i->counts,
                         i->displs, c->into_type, c->root);
        if (wide)
            return WIDE(Scatterv, Iscatterv, c->from, f->wide_counts, f->wide_displs, c->from_type,
                        c->into, c->into_n, c->into_type, c->root);
        return PLAIN(Scatterv, Iscatterv, c->from, f->counts, f->displs, c->from_type, c->into,
                     c->into_n, c->into_type, c->root);
    case ALLGATHERV:
        if (wide)
            return WIDE(Allgatherv, Iallgatherv, c->from, c->from_n, c->from_type, c->into,
                        i->wide_counts, i->wide_displs, c->into_type);
        return PLAIN(Allgatherv, Iallgatherv, c->from, c->from_n, c->from_type, c->into, i->counts,
                     i->displs, c->into_type);
    case ALLTOALLV:
        if (wide)
            return WIDE(Alltoallv, Ialltoallv, c->from, f->wide_counts, f->wide_displs,
                        c->from_type, c->into, i->wide_counts, i->wide_displs, c->into_type);
        return PLAIN(Alltoallv, Ialltoallv, c->from, f->counts, f->displs, c->from_type, c->into,
                     i->counts, i->displs, c->into_type);
    default:
        if (wide)
            return WIDE(Alltoallw, Ialltoallw, c->from, f->wide_counts, f->wide_displs, f->types,
                        c->into, i->wide_counts, i->wide_displs, i->types);
        return PLAIN(Alltoallw, Ialltoallw, c->from, f->counts, f->displs, f->types, c->into,
                     i->counts, i->displs, i->types);
    }
}

static int call_reduction(const struct call *c)
{
    const struct side *into = &c->w->into;
    int count = c->w->kind == REDUCE && receives(c->w) ? c->into_n : c->from_n;
    switch (c->w->kind) {
    case REDUCE:
        return TWINS(Reduce, Ireduce, c->from, c->into, count, c->into_type, c->op, c->root);
    case ALLREDUCE:
        return TWINS(Allreduce, Iallreduce, c->from, c->into, count, c->into_type, c->op);
    case REDUCE_SCATTER_BLOCK:
        return TWINS(Reduce_scatter_block, Ireduce_scatter_block, c->from, c->into, c->into_n,
                     c->into_type, c->op);
    default:
        if (c->w->wide)
            return WIDE(Reduce_scatter, Ireduce_scatter, c->from, c->into, into->wide_counts,
                        c->into_type, c->op);
        return PLAIN(Reduce_scatter, Ireduce_scatter, c->from, c->into, into->counts, c->into_type,
                     c->op);
    }
}

static MPI_Datatype type_of(const struct work *w, const struct side *side)
{
    return is_reduction(w) && w->doubles ? MPI_DOUBLE : w->sides->types[side->type];
}

/* Where a side does not count on this rank, what would be wrong is passed. */
static void work_call(struct work *w, enum job_form form)
{
    struct call c = {.w = w, .from_n = -1, .into_n = -1, .root = MPI_PROC_NULL, .op = MPI_OP_NULL};
    c.from_type = c.into_type = MPI_DATATYPE_NULL;
    w->form = form;
    if (sends(w)) {
        c.from = w->from.words + MARGIN;
        c.from_n = w->from.counts[0];
        c.from_type = type_of(w, &w->from);
    }
    if (receives(w)) {
        c.into = w->into.words + MARGIN;
        c.into_n = w->into.counts[0];
        c.into_type = type_of(w, &w->into);
    }
    if (is_reduction(w) && (sends(w) || receives(w))) {
        c.op = w->own_op ? w->sides->op : MPI_SUM;
        c.into_type = c.from_type = type_of(w, &w->from);
    }
    if (w->sides->low != w->root_low)
        c.root = w->root;
    else if (w->sides->rank == w->root)
        c.root = MPI_ROOT;
    int err = is_reduction(w)  ? call_reduction(&c)
              : has_lengths(w) ? call_lengths(&c)
                               : call_blocks(&c);
    check(err == MPI_SUCCESS);
}

/* ---- worlds ---- */

struct draw {
    uint64_t seed;
    int rounds, units;
    int low; /* on the low side are the ranks that this divides */
    bool no_functions;
};

static void triple_and_add(void *in, void *inout, int *len, MPI_Datatype *type)
{
    const uint64_t *left = in;
    uint64_t *right = inout;
    (void)type;
    for (int i = 0; i < *len; i++)
        right[i] = (left[i] * 3 + right[i]) | TOP;
}

static struct sides *open_sides(const struct draw *draw)
{
    int me, size;
    cases_init(&me, &size);
    struct sides *s = weft_alloc(sizeof(*s));
    s->low = me % draw->low == 0;
    check(MPI_Comm_split(MPI_COMM_WORLD, s->low, -me, &s->mine) == MPI_SUCCESS);
    check(MPI_Intercomm_create(s->mine, 0, MPI_COMM_WORLD,
                               s->low ? (size - 1) % draw->low == 0 ? size - 2 : size - 1
                                      : (size - 1) / draw->low * draw->low,
                               3, &s->inter) == MPI_SUCCESS);
    check(MPI_Comm_rank(s->inter, &s->rank) == MPI_SUCCESS);
    check(MPI_Comm_size(s->inter, &s->n) == MPI_SUCCESS);
    check(MPI_Comm_remote_size(s->inter, &s->other_n) == MPI_SUCCESS);
    check(MPI_Neighbor_allgather(s, 0, MPI_INT, s, 0, MPI_INT, s->inter) == MPI_ERR_TOPOLOGY);
    s->types[0] = MPI_INT64_T;
    check(MPI_Type_create_resized(MPI_INT64_T, 0, 16, &s->types[1]) == MPI_SUCCESS);
    check(MPI_Type_commit(&s->types[1]) == MPI_SUCCESS);
    s->op = MPI_OP_NULL;
    if (!draw->no_functions)
        check(MPI_Op_create(triple_and_add, 0, &s->op) == MPI_SUCCESS);
    return s;
}

static void close_sides(struct sides *s)
{
    if (s->op != MPI_OP_NULL)
        check(MPI_Op_free(&s->op) == MPI_SUCCESS);
    check(MPI_Type_free(&s->types[1]) == MPI_SUCCESS);
    check(MPI_Comm_free(&s->inter) == MPI_SUCCESS && MPI_Comm_free(&s->mine) == MPI_SUCCESS);
    weft_free(s);
    MPI_Finalize();
}

static int blocking_main(void *argument)
{
    const struct draw *draw = argument;
    struct sides *s = open_sides(draw);
    uint64_t random = draw->seed * 1000;
    for (int round = 0; round < draw->rounds; round++)
        for (enum kind kind = BARRIER; kind < KINDS; kind++) {
            struct work *w = work_new(s, &random, kind, draw->units);
            work_fill(w, round);
            work_call(w, JOB_BLOCKING);
            work_check(w);
            work_free(w);
        }
    close_sides(s);
    return 0;
}

static void what_one_side_has_the_other_gets(void **state)
{
    (void)state;
    for (int n = 2; n <= 16; n += n < 9 ? 1 : 7)
        for (int low = 2; low <= 4 && low <= n; low++) {
            struct draw draw = {(uint64_t)n, 4, 7, low, false};
            cases_run(&(struct native_options){.ranks = n, .seed = (uint64_t)(low - 2)},
                      blocking_main, &draw);
        }
}

static void long_messages_go_in_segments(void **state)
{
    (void)state;
    for (int n = 2; n <= 5; n += 3) {
        struct draw draw = {(uint64_t)n, 2, 40000, 2, false};
        cases_run(&(struct native_options){.ranks = n, .seed = 1, .region_bytes = 64u << 20},
                  blocking_main, &draw);
    }
}

/* ---- many under way ---- */

/* Communicators that are made meanwhile talk among the ranks of a side, too. */
static void make_others(const struct sides *s, MPI_Comm made[3])
{
    check(MPI_Comm_dup(s->inter, &made[0]) == MPI_SUCCESS);
    check(MPI_Comm_split(s->inter, 0, s->rank, &made[1]) == MPI_SUCCESS);
    check(MPI_Intercomm_merge(s->inter, s->low, &made[2]) == MPI_SUCCESS);
}

static int nonblocking_main(void *argument)
{
    const struct draw *draw = argument;
    struct sides *s = open_sides(draw);
    uint64_t random = draw->seed * 1000;
    struct work **all = weft_alloc(KINDS * sizeof(*all));
    MPI_Request *requests = weft_alloc(KINDS * sizeof(*requests));
    MPI_Comm made[3];
    for (int round = 0; round < draw->rounds; round++) {
        for (int i = 0; i < KINDS; i++) {
            all[i] = work_new(s, &random, (enum kind)i, draw->units);
            work_fill(all[i], i);
            work_call(all[i], JOB_NONBLOCKING);
            requests[i] = all[i]->request;
            if (native_random() % 4 == 0)
                native_move_region();
        }
        check(!draw->no_functions || native_foreign_pointer() == NULL);
        make_others(s, made);
        for (int left = KINDS, index; left > 0; left--) {
            check(MPI_Waitany(KINDS, requests, &index, MPI_STATUS_IGNORE) == MPI_SUCCESS);
            work_check(all[index]);
            work_free(all[index]);
            if (native_random() % 4 == 0)
                native_move_region();
        }
        for (int i = 0; i < 3; i++)
            check(MPI_Comm_free(&made[i]) == MPI_SUCCESS);
    }
    weft_free(requests);
    weft_free(all);
    close_sides(s);
    return 0;
}

static void many_under_way_do_not_mix_and_survive_moves(void **state)
{
    (void)state;
    for (int n = 2; n <= 8; n += 1 + n / 3) {
        struct draw draw = {(uint64_t)n, 2, n == 4 ? 3000 : 20, 2, n % 2 == 0};
        cases_run(
            &(struct native_options){.ranks = n, .seed = (uint64_t)n, .region_bytes = 8u << 20},
            nonblocking_main, &draw);
    }
}

static int persistent_main(void *argument)
{
    const struct draw *draw = argument;
    struct sides *s = open_sides(draw);
    uint64_t random = draw->seed * 1000;
    struct work **all = weft_alloc(KINDS * sizeof(*all));
    MPI_Request *requests = weft_alloc(KINDS * sizeof(*requests));
    for (int i = 0; i < KINDS; i++) {
        all[i] = work_new(s, &random, (enum kind)i, draw->units);
        work_call(all[i], JOB_PERSISTENT);
        requests[i] = all[i]->request;
    }
    for (int round = 0; round < draw->rounds; round++) {
        int shift = (int)(native_random() % KINDS);
        for (int i = 0; i < KINDS; i++)
            work_fill(all[i], round);
        for (int i = 0; i < KINDS; i++)
            check(MPI_Start(&requests[(i + shift) % KINDS]) == MPI_SUCCESS);
        native_move_region();
        check(MPI_Waitall(KINDS, requests, MPI_STATUSES_IGNORE) == MPI_SUCCESS);
        for (int i = 0; i < KINDS; i++)
            work_check(all[i]);
    }
    for (int i = 0; i < KINDS; i++) {
        check(MPI_Request_free(&requests[i]) == MPI_SUCCESS);
        work_free(all[i]);
    }
    weft_free(requests);
    weft_free(all);
    close_sides(s);
    return 0;
}

static void persistent_ones_are_started_again_in_any_order(void **state)
{
    (void)state;
    for (int n = 2; n <= 7; n += 1 + n / 3) {
        struct draw draw = {(uint64_t)n + 50, 4, 20, 3 - n % 2, false};
        cases_run(
            &(struct native_options){.ranks = n, .seed = (uint64_t)n, .region_bytes = 4u << 20},
            persistent_main, &draw);
    }
}

/* ---- errors ---- */

static void check_roots(const struct sides *s, int *x, int *y)
{
    const int wrong[] = {-1, s->other_n};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        int root = wrong[i];
        check(MPI_Bcast(x, 1, MPI_INT, root, s->inter) == MPI_ERR_ROOT);
        check(MPI_Gather(x, 1, MPI_INT, y, 1, MPI_INT, root, s->inter) == MPI_ERR_ROOT);
        check(MPI_Scatter(x, 1, MPI_INT, y, 1, MPI_INT, root, s->inter) == MPI_ERR_ROOT);
        check(MPI_Reduce(x, y, 1, MPI_INT, MPI_SUM, root, s->inter) == MPI_ERR_ROOT);
    }
}

static void check_in_place(const struct sides *s, int *y)
{
    void *own = MPI_IN_PLACE;
    int counts[RANKS] = {0}, displs[RANKS] = {0};
    MPI_Comm c = s->inter;
    check(MPI_Allreduce(own, y, 1, MPI_INT, MPI_SUM, c) == MPI_ERR_BUFFER);
    check(MPI_Allgather(own, 1, MPI_INT, y, 1, MPI_INT, c) == MPI_ERR_BUFFER);
    check(MPI_Allgatherv(own, 1, MPI_INT, y, counts, displs, MPI_INT, c) == MPI_ERR_BUFFER);
    check(MPI_Alltoall(own, 1, MPI_INT, y, 1, MPI_INT, c) == MPI_ERR_BUFFER);
    check(MPI_Alltoallv(own, counts, displs, MPI_INT, y, counts, displs, MPI_INT, c) ==
          MPI_ERR_BUFFER);
    check(MPI_Reduce_scatter_block(own, y, 1, MPI_INT, MPI_SUM, c) == MPI_ERR_BUFFER);
    check(MPI_Reduce_scatter(own, y, counts, MPI_INT, MPI_SUM, c) == MPI_ERR_BUFFER);
    check(MPI_Reduce(own, y, 1, MPI_INT, MPI_SUM, 0, c) == MPI_ERR_BUFFER);
    check(MPI_Gather(y, 1, MPI_INT, own, 1, MPI_INT, MPI_ROOT, c) == MPI_ERR_BUFFER);
    check(MPI_Scatter(y, 1, MPI_INT, own, 1, MPI_INT, 0, c) == MPI_ERR_BUFFER);
    check(MPI_Bcast(own, 1, MPI_INT, MPI_ROOT, c) == MPI_ERR_BUFFER);
}

static int errors_main(void *argument)
{
    struct draw draw = {1, 1, 1, 2, false};
    int x = 1, y[RANKS];
    MPI_Request request;
    (void)argument;
    struct sides *s = open_sides(&draw);
    check_roots(s, &x, y);
    check_in_place(s, y);
    check(MPI_Scan(&x, y, 1, MPI_INT, MPI_SUM, s->inter) == MPI_ERR_COMM);
    check(MPI_Iexscan(&x, y, 1, MPI_INT, MPI_SUM, s->inter, &request) == MPI_ERR_COMM);
    check(MPI_Neighbor_allgather(&x, 1, MPI_INT, y, 1, MPI_INT, s->inter) == MPI_ERR_TOPOLOGY);
    check(MPI_Allreduce(&x, y, 1, MPI_INT, MPI_OP_NULL, s->inter) == MPI_ERR_OP);
    check(MPI_Allreduce(&x, &x, 1, MPI_INT, MPI_SUM, s->inter) == MPI_ERR_BUFFER);
    check(MPI_Barrier(s->inter) == MPI_SUCCESS);
    close_sides(s);
    return 0;
}

static void what_the_standard_forbids_is_an_error_of_its_class(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 5}, errors_main, NULL);
}

/* Both are told, and nobody waits for ever. */
static int disagreement_main(void *argument)
{
    struct draw draw = {1, 1, 1, 2, false};
    int x[64] = {0}, y[64];
    (void)argument;
    struct sides *s = open_sides(&draw);
    check(MPI_Allreduce(x, y, s->low ? 64 : 32, MPI_INT, MPI_SUM, s->inter) ==
          (s->low ? MPI_ERR_NOT_SAME : MPI_ERR_TRUNCATE));
    check(MPI_Barrier(s->inter) == MPI_SUCCESS);
    close_sides(s);
    return 0;
}

static void sides_that_disagree_on_lengths_are_told(void **state)
{
    (void)state;
    cases_run_all(2, disagreement_main, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_one_side_has_the_other_gets),
        cmocka_unit_test(long_messages_go_in_segments),
        cmocka_unit_test(many_under_way_do_not_mix_and_survive_moves),
        cmocka_unit_test(persistent_ones_are_started_again_in_any_order),
        cmocka_unit_test(what_the_standard_forbids_is_an_error_of_its_class),
        cmocka_unit_test(sides_that_disagree_on_lengths_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
