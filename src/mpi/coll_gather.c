/* Gather and scatter. The root talks to every rank by itself, some at a time; short blocks of many
 * ranks go along a binomial tree, packed, several blocks in a message. */
#include "mpi/coll_parts.h"

enum { TOGETHER = 64 }; /* messages under way at the root */

bool weft__mpi_gather_begin(struct weft_mpi_schedule *s)
{
    (void)s;
    return true;
}

void weft__mpi_gather_linear(struct weft_mpi_schedule *s)
{
    const struct weft_mpi_coll *coll = &s->coll;
    const struct weft_mpi_buffer mine = weft__mpi_coll_whole(&coll->from);
    int64_t size = s->comm->size, root = coll->root;
    if (s->comm->rank != root) {
        weft__mpi_schedule_send(s, root, &mine);
        return;
    }
    for (int64_t i = 0; i < size; i++) {
        const struct weft_mpi_buffer block = weft__mpi_coll_block(s->mpi, coll, &coll->into, i);
        if (i != root)
            weft__mpi_schedule_recv(s, i, &block);
        else if (!coll->in_place)
            weft__mpi_schedule_copy(s, &mine, &block);
        if (i % TOGETHER == TOGETHER - 1)
            weft__mpi_schedule_fence(s);
    }
}

void weft__mpi_scatter_linear(struct weft_mpi_schedule *s)
{
    const struct weft_mpi_coll *coll = &s->coll;
    const struct weft_mpi_buffer mine = weft__mpi_coll_whole(&coll->into);
    int64_t size = s->comm->size, root = coll->root;
    if (s->comm->rank != root) {
        weft__mpi_schedule_recv(s, root, &mine);
        return;
    }
    for (int64_t i = 0; i < size; i++) {
        const struct weft_mpi_buffer block = weft__mpi_coll_block(s->mpi, coll, &coll->from, i);
        if (i != root)
            weft__mpi_schedule_send(s, i, &block);
        else if (!coll->in_place)
            weft__mpi_schedule_copy(s, &block, &mine);
        if (i % TOGETHER == TOGETHER - 1)
            weft__mpi_schedule_fence(s);
    }
}

/* ---- by a tree: ranks are counted from the root ---- */

struct tree {
    struct weft_mpi_schedule *s;
    int64_t size, me; /* me: counted from the root */
    int64_t width;    /* of the subtree of this rank, cut off by size */
    int64_t bit;      /* where it hangs: its parent is me - bit */
    size_t block;     /* bytes, packed */
    bool gather;
};

/* This rank's own block: at the root, one of its side of blocks. */
static struct weft_mpi_buffer own_block(const struct tree *t)
{
    const struct weft_mpi_coll *coll = &t->s->coll;
    const struct weft_mpi_side *one = t->gather ? &coll->from : &coll->into;
    const struct weft_mpi_side *all = t->gather ? &coll->into : &coll->from;
    if (t->me == 0 && coll->in_place)
        return weft__mpi_coll_block(t->s->mpi, coll, all, coll->root);
    return weft__mpi_coll_whole(one);
}

static struct tree make_tree(struct weft_mpi_schedule *s)
{
    struct tree t = {.s = s, .size = s->comm->size, .bit = 1};
    t.gather = s->coll.kind == WEFT_MPI_COLL_GATHER;
    t.me = (s->comm->rank + t.size - s->coll.root) % t.size;
    while (t.bit < t.size && (t.me & t.bit) == 0)
        t.bit *= 2;
    t.width = t.me + t.bit < t.size ? t.bit : t.size - t.me;
    struct weft_mpi_buffer block = own_block(&t);
    if (t.me == 0)
        block = weft__mpi_coll_whole(t.gather ? &s->coll.into : &s->coll.from);
    t.block = (size_t)weft__mpi_coll_bytes(s->mpi, &block);
    return t;
}

static struct weft_mpi_buffer blocks(const struct tree *t, int64_t first, int64_t n)
{
    unsigned char *at = t->s->scratch + (size_t)(first - t->me) * t->block;
    return weft__mpi_coll_packed(at, (uint64_t)n * t->block);
}

static int64_t rank_of(const struct tree *t, int64_t number)
{
    return (number + t->s->coll.root) % t->size;
}

bool weft__mpi_gather_tree_begin(struct weft_mpi_schedule *s)
{
    const struct tree t = make_tree(s);
    return weft__mpi_schedule_scratch(s, (size_t)t.width * t.block);
}

void weft__mpi_gather_tree(struct weft_mpi_schedule *s)
{
    const struct tree t = make_tree(s);
    const struct weft_mpi_buffer own = own_block(&t);
    weft__mpi_coll_pack(s, &own, s->scratch, t.block);
    for (int64_t bit = 1; bit < t.bit && t.me + bit < t.size; bit *= 2) {
        int64_t rest = t.size - t.me - bit;
        const struct weft_mpi_buffer in = blocks(&t, t.me + bit, rest < bit ? rest : bit);
        weft__mpi_schedule_recv(s, rank_of(&t, t.me + bit), &in);
    }
    weft__mpi_schedule_fence(s);
    const struct weft_mpi_buffer all = blocks(&t, t.me, t.width);
    if (t.me != 0) {
        weft__mpi_schedule_send(s, rank_of(&t, t.me - t.bit), &all);
        return;
    }
    for (int64_t i = s->coll.in_place ? 1 : 0; i < t.size; i++) {
        const struct weft_mpi_buffer from = blocks(&t, i, 1);
        const struct weft_mpi_buffer into =
            weft__mpi_coll_block(s->mpi, &s->coll, &s->coll.into, rank_of(&t, i));
        weft__mpi_schedule_copy(s, &from, &into);
    }
}

void weft__mpi_scatter_tree(struct weft_mpi_schedule *s)
{
    const struct tree t = make_tree(s);
    const struct weft_mpi_buffer own = own_block(&t), all = blocks(&t, t.me, t.width);
    for (int64_t i = 0; t.me == 0 && i < t.size; i++) {
        const struct weft_mpi_buffer from =
            weft__mpi_coll_block(s->mpi, &s->coll, &s->coll.from, rank_of(&t, i));
        const struct weft_mpi_buffer into = blocks(&t, i, 1);
        weft__mpi_coll_pack(s, &from, into.buf, t.block);
    }
    if (t.me != 0) {
        weft__mpi_schedule_recv(s, rank_of(&t, t.me - t.bit), &all);
        weft__mpi_schedule_fence(s);
    }
    for (int64_t bit = t.bit / 2; bit > 0; bit /= 2) {
        int64_t rest = t.size - t.me - bit;
        const struct weft_mpi_buffer out = blocks(&t, t.me + bit, rest < bit ? rest : bit);
        if (rest > 0)
            weft__mpi_schedule_send(s, rank_of(&t, t.me + bit), &out);
    }
    if (t.me != 0 || !s->coll.in_place)
        weft__mpi_coll_unpack(s, &own, s->scratch, t.block);
}
