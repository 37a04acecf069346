/* Reductions of long vectors: each rank reduces its own piece.
 *
 * Every rank sends each other one that one's piece and combines what it gets for its own, along
 * T(n) (see coll.c); an allreduce then hands the results round. Each byte is sent and combined
 * n - 1 times in all, which is the least there is, all ranks work all the time, and any number of
 * ranks will do: halving by pairs moves as much, but wants a power of two. It costs n(n-1)
 * messages, so it is for vectors whose pieces are long.
 *
 * A rank takes in the pieces of WINDOW ranks at a time and combines them at once, while they are in
 * the cache. What is left of a window is a block of WINDOW ranks; blocks wait, as the bits of a
 * binary counter do, until the block beside them is there. So scratch memory is a window and
 * log2(n) pieces, and a piece is a segment.
 */
#include "mpi/coll_parts.h"

enum { WINDOW = 16 }; /* a power of two */

struct split {
    struct weft_mpi_schedule *s;
    struct weft_mpi_buffer mine, result; /* of all ranks' pieces; of this rank's */
    struct weft_mpi_slots slots;
    uint64_t segment, first; /* of reduce_scatter: of a block */
    int64_t size, me;
};

/* Combinations in the order in which they are done; the last one goes into the result. */
struct fold {
    struct weft_mpi_schedule *s;
    struct weft_mpi_buffer left;
    void *right, *into;
    bool any;
};

static void flush(struct fold *fold, void *into)
{
    if (fold->any)
        weft__mpi_schedule_combine(fold->s, &fold->left, fold->right, into);
    fold->any = false;
}

/* The operands' memory is used for results, but never that of this rank's contribution. */
static void *combine(struct fold *fold, void *left, void *right, const void *contribution)
{
    flush(fold, fold->into);
    fold->left.buf = left;
    fold->right = right;
    fold->into = right == contribution ? left : right;
    fold->any = true;
    return fold->into;
}

/* ---- pieces ---- */

static void piece_bounds(const struct split *w, int64_t rank, uint64_t *first_out,
                         uint64_t *len_out)
{
    const struct weft_mpi_schedule *s = w->s;
    if (s->coll.kind == WEFT_MPI_COLL_ALLREDUCE) {
        uint64_t len = weft__mpi_coll_part_len(s), n = (uint64_t)w->size, i = (uint64_t)rank;
        uint64_t extra = i < len % n ? i : len % n;
        *first_out = weft__mpi_coll_part_first(s) + len / n * i + extra;
        *len_out = len / n + (i < len % n ? 1 : 0);
        return;
    }
    uint64_t block = 0, done = s->part * s->segment, rest;
    for (int64_t i = 0; i < rank; i++)
        block += (uint64_t)weft__mpi_coll_count(&s->coll, &s->coll.into, i);
    rest = (uint64_t)weft__mpi_coll_count(&s->coll, &s->coll.into, rank);
    rest -= done < rest ? done : rest;
    *first_out = block + done;
    *len_out = rest < s->segment ? rest : s->segment;
}

static struct weft_mpi_buffer piece(const struct split *w, int64_t rank)
{
    uint64_t first, len;
    piece_bounds(w, rank, &first, &len);
    return weft__mpi_coll_range(w->s->mpi, &w->mine, first, len);
}

static uint64_t piece_len(const struct split *w, int64_t rank)
{
    uint64_t first, len;
    piece_bounds(w, rank, &first, &len);
    return len;
}

/* ---- this rank's piece ---- */

/* The pieces of the window's ranks come in; those of the window send to all. */
static void exchange(const struct split *w, int64_t begin, int64_t end)
{
    const struct weft_mpi_buffer own = piece(w, w->me);
    for (int64_t peer = begin; peer < end && own.count > 0; peer++) {
        const struct weft_mpi_buffer slot = {weft__mpi_coll_slot(&w->slots, peer - begin),
                                             own.count, own.type};
        if (peer != w->me)
            weft__mpi_schedule_recv(w->s, peer, &slot);
    }
    for (int64_t i = 1; i < w->size && w->me >= begin && w->me < end; i++) {
        int64_t peer = (w->me + i) % w->size;
        const struct weft_mpi_buffer out = piece(w, peer);
        if (out.count > 0)
            weft__mpi_schedule_send(w->s, peer, &out);
    }
    weft__mpi_schedule_fence(w->s);
}

/* What the window's ranks make together. */
static void *combine_window(const struct split *w, struct fold *fold, int64_t begin, int64_t end)
{
    void *own = fold->left.buf, *operands[WINDOW];
    for (int64_t i = begin; i < end; i++)
        operands[i - begin] = i == w->me ? own : weft__mpi_coll_slot(&w->slots, i - begin);
    for (int64_t half = 1; half < end - begin; half *= 2)
        for (int64_t i = 0; i + half < end - begin; i += 2 * half)
            operands[i] = combine(fold, operands[i], operands[i + half], own);
    return operands[0];
}

static void reduce_own(const struct split *w)
{
    const struct weft_mpi_buffer own = piece(w, w->me);
    void *blocks[32];
    int64_t count = 0; /* full windows so far: its bits say which blocks wait */
    for (int64_t begin = 0; begin < w->size; begin += WINDOW) {
        bool last = begin + WINDOW >= w->size;
        int64_t end = last ? w->size : begin + WINDOW;
        struct fold fold = {.s = w->s, .left = own};
        exchange(w, begin, end);
        if (own.count == 0)
            continue;
        void *block = combine_window(w, &fold, begin, end);
        int level = 0;
        for (; (count >> level) != 0 && (last || (count >> level & 1) != 0); level++)
            if (count >> level & 1)
                block = combine(&fold, blocks[level], block, own.buf);
        blocks[level] = weft__mpi_coll_slot(&w->slots, WINDOW + level);
        flush(&fold, last ? w->result.buf : blocks[level]);
        count++;
    }
}

static void copy_alone(const struct split *w)
{
    const struct weft_mpi_buffer own = piece(w, 0);
    if (own.buf != w->result.buf)
        weft__mpi_schedule_copy(w->s, &own, &w->result);
}

static size_t slots_n(const struct weft_mpi_comm *comm)
{
    return comm->size <= WINDOW ? (size_t)comm->size
                                : WINDOW + weft__mpi_coll_log2(comm->size / WINDOW + 1) + 1;
}

/* ---- allreduce ---- */

bool weft__mpi_split_allreduce_begin(struct weft_mpi_schedule *s)
{
    const struct weft_mpi_buffer mine = weft__mpi_coll_mine(&s->coll);
    uint64_t n = (uint64_t)s->comm->size;
    weft__mpi_coll_divide(s, (uint64_t)mine.count,
                          weft__mpi_coll_values(s->mpi, mine.type, s->segment * n));
    return weft__mpi_schedule_scratch(
        s, weft__mpi_coll_slots_bytes(s->mpi, mine.type, s->segment / n + 1, slots_n(s->comm)));
}

static void hand_round(const struct split *w)
{
    struct split into = *w;
    into.mine.buf = (void *)(uintptr_t)w->s->coll.into.buf;
    const struct weft_mpi_buffer own = piece(&into, w->me);
    weft__mpi_schedule_fence(w->s);
    for (int64_t i = 1; i < w->size; i++) {
        const struct weft_mpi_buffer in = piece(&into, (w->me + i) % w->size);
        if (in.count > 0)
            weft__mpi_schedule_recv(w->s, (w->me + i) % w->size, &in);
    }
    for (int64_t i = 1; i < w->size && own.count > 0; i++)
        weft__mpi_schedule_send(w->s, (w->me + w->size - i) % w->size, &own);
}

void weft__mpi_split_allreduce(struct weft_mpi_schedule *s)
{
    struct split w = {
        .s = s, .mine = weft__mpi_coll_mine(&s->coll), .size = s->comm->size, .me = s->comm->rank};
    struct split into = w;
    into.mine.buf = (void *)(uintptr_t)s->coll.into.buf;
    w.slots = weft__mpi_coll_slots(s, w.mine.type, s->segment / (uint64_t)w.size + 1);
    w.result = piece(&into, w.me);
    if (w.size == 1) {
        copy_alone(&w);
        return;
    }
    reduce_own(&w);
    hand_round(&w);
}

/* ---- reduce and scatter ---- */

static uint64_t longest_block(const struct weft_mpi_schedule *s)
{
    MPI_Count longest = 0;
    for (int32_t i = 0; i < s->comm->size; i++) {
        MPI_Count count = weft__mpi_coll_count(&s->coll, &s->coll.into, i);
        longest = count > longest ? count : longest;
    }
    return (uint64_t)longest;
}

/* In place, the result would lie where contributions are still to be sent from: it is kept aside
 * until the end. */
static size_t kept_bytes(const struct weft_mpi_schedule *s)
{
    MPI_Count count = weft__mpi_coll_count(&s->coll, &s->coll.into, s->comm->rank);
    if (!s->coll.in_place)
        return 0;
    return weft__mpi_coll_slots_bytes(s->mpi, s->coll.into.type, (uint64_t)count, 1);
}

bool weft__mpi_split_scatter_begin(struct weft_mpi_schedule *s)
{
    uint64_t values = weft__mpi_coll_values(s->mpi, s->coll.into.type, s->segment);
    weft__mpi_coll_divide(s, longest_block(s), values);
    size_t slots =
        weft__mpi_coll_slots_bytes(s->mpi, s->coll.into.type, s->segment, slots_n(s->comm));
    size_t kept = kept_bytes(s);
    if (!weft__mpi_schedule_scratch(s, slots + kept + (size_t)s->comm->size * sizeof(MPI_Count)))
        return false;
    weft__mpi_coll_keep_counts(s, (MPI_Count *)(void *)(s->scratch + slots + kept));
    return true;
}

void weft__mpi_split_scatter(struct weft_mpi_schedule *s)
{
    struct split w = {
        .s = s, .mine = weft__mpi_coll_mine(&s->coll), .size = s->comm->size, .me = s->comm->rank};
    struct weft_mpi_buffer into = weft__mpi_coll_whole(&s->coll.into), whole = into;
    w.slots = weft__mpi_coll_slots(s, w.mine.type, s->segment);
    into.count = weft__mpi_coll_count(&s->coll, &s->coll.into, w.me);
    if (s->coll.in_place) {
        struct weft_mpi_slots kept = weft__mpi_coll_slots(s, into.type, (uint64_t)into.count);
        kept.first += w.slots.stride * slots_n(s->comm);
        whole.buf = weft__mpi_coll_slot(&kept, 0);
    }
    whole.count = into.count;
    w.result =
        weft__mpi_coll_range(s->mpi, &whole, weft__mpi_coll_part_first(s), piece_len(&w, w.me));
    if (w.size == 1)
        copy_alone(&w);
    else
        reduce_own(&w);
    weft__mpi_schedule_fence(s);
    if (s->coll.in_place && s->part + 1 == s->parts)
        weft__mpi_schedule_copy(s, &whole, &into);
}
