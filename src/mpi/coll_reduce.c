/* Reductions by trees, and scans. All of them combine along T(n), see coll.c.
 *
 * In a reduction to a root, the root stands for each block that it is in, so the tree costs log2(n)
 * rounds for every root. Recursive doubling makes every rank combine the same operands in the same
 * order. A scan by doubling keeps two values: that of the rank's block of 2^k ranks, and that of
 * all ranks up to it. Long vectors go in segments: what a rank needs of scratch memory is two
 * segments, and the ranks of a tree work on different segments at a time.
 */
#include "mpi/coll_parts.h"

/* A reduction while a part of it is written: where this rank's partial result is, and where the
 * next one goes. */
struct reduction {
    struct weft_mpi_schedule *s;
    struct weft_mpi_buffer partial;
    void *into, *incoming;
};

static struct weft_mpi_buffer at(const struct reduction *r, void *buf)
{
    return (struct weft_mpi_buffer){buf, r->partial.count, r->partial.type};
}

static void recv_partial(const struct reduction *r, int64_t peer)
{
    const struct weft_mpi_buffer incoming = at(r, r->incoming);
    weft__mpi_schedule_recv(r->s, peer, &incoming);
}

static void combine_partials(struct reduction *r, bool incoming_is_left)
{
    const struct weft_mpi_buffer incoming = at(r, r->incoming);
    weft__mpi_schedule_fence(r->s);
    if (incoming_is_left)
        weft__mpi_schedule_combine(r->s, &incoming, r->partial.buf, r->into);
    else
        weft__mpi_schedule_combine(r->s, &r->partial, incoming.buf, r->into);
    r->partial.buf = r->into;
}

/* Who has the partial result of the block of ranks [first, first + width): the root where it is in
 * it. */
static int64_t owner(int64_t first, int64_t width, int64_t root)
{
    return root >= first && root - first < width ? root : first;
}

static void add_reduce(struct reduction *r, int32_t root)
{
    const struct weft_mpi_comm *comm = r->s->comm;
    for (int64_t half = 1; half < comm->size; half *= 2) {
        int64_t first = comm->rank & ~(2 * half - 1), second = first + half;
        if (second >= comm->size)
            continue;
        int64_t left = owner(first, half, root), right = owner(second, half, root);
        bool right_stays = right == root;
        int64_t stays = right_stays ? right : left, goes = right_stays ? left : right;
        if (comm->rank == goes) {
            weft__mpi_schedule_send(r->s, stays, &r->partial);
            return;
        }
        if (comm->rank == stays) {
            recv_partial(r, goes);
            combine_partials(r, right_stays);
        }
    }
}

void *weft__mpi_reduce_steps(struct weft_mpi_schedule *s, const struct weft_mpi_buffer *mine,
                             void *into, void *incoming)
{
    struct reduction r = {.s = s, .partial = *mine, .into = into, .incoming = incoming};
    add_reduce(&r, 0);
    return r.partial.buf;
}

/* Alone: the result is the contribution. */
static void copy_result(const struct reduction *r, const struct weft_mpi_buffer *into)
{
    if (r->partial.buf != into->buf)
        weft__mpi_schedule_copy(r->s, &r->partial, into);
}

static bool has_result(const struct weft_mpi_schedule *s)
{
    return s->coll.kind != WEFT_MPI_COLL_REDUCE || s->comm->rank == s->coll.root;
}

bool weft__mpi_reduce_begin(struct weft_mpi_schedule *s)
{
    const struct weft_mpi_buffer mine = weft__mpi_coll_mine(&s->coll);
    uint64_t per_part = s->segment > 0 ? weft__mpi_coll_values(s->mpi, mine.type, s->segment) : 0;
    weft__mpi_coll_divide(s, (uint64_t)mine.count, per_part);
    return s->comm->size == 1 ||
           weft__mpi_schedule_scratch(
               s, weft__mpi_coll_slots_bytes(s->mpi, mine.type, s->segment, has_result(s) ? 1 : 2));
}

/* The current part; its result's place in *result_out. */
static struct reduction part(struct weft_mpi_schedule *s, struct weft_mpi_buffer *result_out)
{
    struct weft_mpi_buffer mine = weft__mpi_coll_mine(&s->coll), whole = mine;
    uint64_t first = weft__mpi_coll_part_first(s), len = weft__mpi_coll_part_len(s);
    struct weft_mpi_slots slots = weft__mpi_coll_slots(s, mine.type, s->segment);
    whole.buf = (void *)(uintptr_t)s->coll.into.buf;
    *result_out = weft__mpi_coll_range(s->mpi, &whole, first, len);
    if (!has_result(s))
        result_out->buf = weft__mpi_coll_slot(&slots, 1);
    return (struct reduction){.s = s,
                              .partial = weft__mpi_coll_range(s->mpi, &mine, first, len),
                              .into = result_out->buf,
                              .incoming = weft__mpi_coll_slot(&slots, 0)};
}

void weft__mpi_reduce_binomial(struct weft_mpi_schedule *s)
{
    struct weft_mpi_buffer result;
    struct reduction r = part(s, &result);
    add_reduce(&r, s->coll.root);
    if (has_result(s))
        copy_result(&r, &result);
}

void weft__mpi_reduce_doubling(struct weft_mpi_schedule *s)
{
    struct weft_mpi_buffer result;
    struct reduction r = part(s, &result);
    for (int64_t half = 1; half < s->comm->size; half *= 2) {
        int64_t peer = s->comm->rank ^ half;
        recv_partial(&r, peer);
        weft__mpi_schedule_send(s, peer, &r.partial);
        combine_partials(&r, peer < s->comm->rank);
    }
    copy_result(&r, &result);
}

void weft__mpi_reduce_bcast(struct weft_mpi_schedule *s)
{
    struct weft_mpi_buffer result;
    struct reduction r = part(s, &result);
    add_reduce(&r, 0);
    if (s->comm->rank == 0)
        copy_result(&r, &result);
    weft__mpi_schedule_fence(s);
    weft__mpi_bcast_steps(s, 0, &result);
}

/* ---- reduce and scatter, for short vectors: through rank 0 ---- */

static struct weft_mpi_buffer all_blocks(const struct weft_mpi_schedule *s)
{
    struct weft_mpi_buffer all = weft__mpi_coll_mine(&s->coll);
    all.count = 0;
    for (int32_t i = 0; i < s->comm->size; i++)
        all.count += weft__mpi_coll_count(&s->coll, &s->coll.into, i);
    return all;
}

bool weft__mpi_reduce_scatter_begin(struct weft_mpi_schedule *s)
{
    struct weft_mpi_buffer all = all_blocks(s);
    return weft__mpi_schedule_scratch(
        s, weft__mpi_coll_slots_bytes(s->mpi, all.type, (uint64_t)all.count, 2));
}

void weft__mpi_reduce_scatter_root(struct weft_mpi_schedule *s)
{
    struct weft_mpi_buffer all = all_blocks(s), mine = weft__mpi_coll_whole(&s->coll.into);
    struct weft_mpi_slots slots = weft__mpi_coll_slots(s, all.type, (uint64_t)all.count);
    struct reduction r = {.s = s,
                          .partial = all,
                          .into = weft__mpi_coll_slot(&slots, 1),
                          .incoming = weft__mpi_coll_slot(&slots, 0)};
    mine.count = weft__mpi_coll_count(&s->coll, &s->coll.into, s->comm->rank);
    add_reduce(&r, 0);
    weft__mpi_schedule_fence(s);
    if (s->comm->rank != 0) {
        weft__mpi_schedule_recv(s, 0, &mine);
        return;
    }
    uint64_t first = 0;
    for (int32_t i = 0; i < s->comm->size; i++) {
        MPI_Count count = weft__mpi_coll_count(&s->coll, &s->coll.into, i);
        struct weft_mpi_buffer block =
            weft__mpi_coll_range(s->mpi, &r.partial, first, (uint64_t)count);
        if (i != 0)
            weft__mpi_schedule_send(s, i, &block);
        else if (block.buf != mine.buf)
            weft__mpi_schedule_copy(s, &block, &mine);
        first += (uint64_t)count;
    }
}

/* ---- scans ---- */

bool weft__mpi_scan_begin(struct weft_mpi_schedule *s)
{
    const struct weft_mpi_buffer mine = weft__mpi_coll_mine(&s->coll);
    weft__mpi_coll_divide(s, (uint64_t)mine.count,
                          weft__mpi_coll_values(s->mpi, mine.type, s->segment));
    return s->comm->size == 1 ||
           weft__mpi_schedule_scratch(s,
                                      weft__mpi_coll_slots_bytes(s->mpi, mine.type, s->segment, 2));
}

/* What comes from the left belongs before all that this rank has seen. */
static void add_left(const struct reduction *r, const struct weft_mpi_buffer *result, bool first)
{
    const struct weft_mpi_buffer incoming = at(r, r->incoming);
    if (first)
        weft__mpi_schedule_copy(r->s, &incoming, result);
    else
        weft__mpi_schedule_combine(r->s, &incoming, result->buf, result->buf);
}

void weft__mpi_scan_doubling(struct weft_mpi_schedule *s)
{
    bool empty = s->coll.kind == WEFT_MPI_COLL_EXSCAN; /* the result, so far */
    struct weft_mpi_buffer result;
    struct reduction r = part(s, &result);
    struct weft_mpi_slots slots = weft__mpi_coll_slots(s, result.type, s->segment);
    int64_t size = s->comm->size, me = s->comm->rank;
    r.into = weft__mpi_coll_slot(&slots, 1);
    if (!empty)
        copy_result(&r, &result);
    for (int64_t half = 1; half < size; half *= 2) {
        int64_t peer = me ^ half, end = (me & ~(2 * half - 1)) + 2 * half;
        bool from_left = peer < me, wanted = end < size; /* somebody behind the pair's block is */
        if (peer >= size)
            continue;
        if (from_left || wanted)
            recv_partial(&r, peer);
        if (!from_left || wanted)
            weft__mpi_schedule_send(s, peer, &r.partial);
        weft__mpi_schedule_fence(s);
        if (wanted) /* first: in place, the contribution is the result's buffer */
            combine_partials(&r, from_left);
        if (from_left) {
            add_left(&r, &result, empty);
            empty = false;
        }
    }
}
