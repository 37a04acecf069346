/* All-to-all: block i of rank j becomes block j of rank i.
 *
 * In step k rank r exchanges blocks with rank (k - r) mod n: every step is a matching of the ranks
 * in pairs, over all steps each pair meets once, and a rank that meets itself copies its block.
 * Some steps run together, then all of them are waited for: what a rank has under way is bounded
 * whatever the number of ranks. In place, what goes out is packed into scratch memory first, and so
 * few steps run together that the scratch is bounded too.
 *
 * Short blocks of many ranks go by Bruck's way: log2(n) messages, of half of the blocks each,
 * instead of n - 1. Block i of the packed blocks is the one for the rank i further on; in round k
 * those whose number has bit k go 2^k ranks on, and lie where they lay.
 */
#include "mpi/coll_parts.h"

enum { TOGETHER = 16 }; /* steps */

#define SCRATCH_MAX ((uint64_t)4 << 20)

static struct weft_mpi_buffer into_block(const struct weft_mpi_schedule *s, int64_t peer)
{
    return weft__mpi_coll_block(s->mpi, &s->coll, &s->coll.into, peer);
}

static uint64_t into_bytes(const struct weft_mpi_schedule *s, int64_t peer)
{
    const struct weft_mpi_buffer block = into_block(s, peer);
    return weft__mpi_coll_bytes(s->mpi, &block);
}

/* ---- pairs ---- */

static int64_t partner(const struct weft_mpi_schedule *s, int64_t step)
{
    return (step - s->comm->rank + s->comm->size) % s->comm->size;
}

static uint64_t step_bytes(const struct weft_mpi_schedule *s, int64_t step)
{
    return (into_bytes(s, partner(s, step)) + 15u) & ~(uint64_t)15u;
}

/* The step behind those that run together with this one; the scratch that they take. */
static int64_t window_end(const struct weft_mpi_schedule *s, int64_t first, uint64_t *bytes_out)
{
    int64_t end = first;
    *bytes_out = 0;
    while (end < s->comm->size && end - first < TOGETHER) {
        uint64_t bytes = s->coll.in_place ? step_bytes(s, end) : 0;
        if (end > first && *bytes_out + bytes > SCRATCH_MAX)
            break;
        *bytes_out += bytes;
        end++;
    }
    return end;
}

bool weft__mpi_alltoall_begin(struct weft_mpi_schedule *s)
{
    uint64_t most = 0, bytes;
    for (int64_t first = 0; first < s->comm->size && s->coll.in_place;) {
        first = window_end(s, first, &bytes);
        most = bytes > most ? bytes : most;
    }
    return !s->coll.in_place || weft__mpi_schedule_scratch(s, (size_t)most);
}

static void exchange(struct weft_mpi_schedule *s, int64_t peer, const struct weft_mpi_buffer *kept)
{
    const struct weft_mpi_buffer in = into_block(s, peer);
    struct weft_mpi_buffer out = *kept;
    if (!s->coll.in_place)
        out = weft__mpi_coll_block(s->mpi, &s->coll, &s->coll.from, peer);
    if (peer == s->comm->rank && !s->coll.in_place) {
        weft__mpi_schedule_copy(s, &out, &in);
    } else if (peer != s->comm->rank) {
        weft__mpi_schedule_recv(s, peer, &in);
        weft__mpi_schedule_send(s, peer, &out);
    }
}

void weft__mpi_alltoall_pairs(struct weft_mpi_schedule *s)
{
    uint64_t bytes;
    for (int64_t first = 0, end; first < s->comm->size; first = end) {
        struct weft_mpi_buffer kept[TOGETHER] = {{0}};
        uint64_t at = 0;
        end = window_end(s, first, &bytes);
        for (int64_t step = first; step < end && s->coll.in_place; step++) {
            const struct weft_mpi_buffer from = into_block(s, partner(s, step));
            uint64_t len = into_bytes(s, partner(s, step));
            kept[step - first] = weft__mpi_coll_packed(s->scratch + at, len);
            if (partner(s, step) != s->comm->rank)
                weft__mpi_schedule_pack(s, &from, 0, s->scratch + at, (size_t)len);
            at += step_bytes(s, step);
        }
        for (int64_t step = first; step < end; step++)
            exchange(s, partner(s, step), &kept[step - first]);
        weft__mpi_schedule_fence(s);
    }
}

/* ---- Bruck ---- */

/* Of a block: what is sent, which all ranks agree on. */
static uint64_t bruck_bytes(const struct weft_mpi_schedule *s)
{
    const struct weft_mpi_buffer block = weft__mpi_coll_mine(&s->coll);
    return weft__mpi_coll_bytes(s->mpi, &block);
}

bool weft__mpi_alltoall_bruck_begin(struct weft_mpi_schedule *s)
{
    /* The blocks, and those that go and come in a round. */
    return weft__mpi_schedule_scratch(s, (size_t)bruck_bytes(s) * 2 * (size_t)(s->comm->size + 1));
}

struct bruck {
    struct weft_mpi_schedule *s;
    int64_t size, me;
    uint64_t block; /* bytes */
};

static unsigned char *packed_block(const struct bruck *b, int64_t i)
{
    return b->s->scratch + (uint64_t)i * b->block;
}

static void move_block(const struct bruck *b, unsigned char *from, unsigned char *into)
{
    const struct weft_mpi_buffer out = weft__mpi_coll_packed(from, b->block),
                                 in = weft__mpi_coll_packed(into, b->block);
    weft__mpi_schedule_copy(b->s, &out, &in);
}

static void add_round(const struct bruck *b, int64_t bit)
{
    unsigned char *out = packed_block(b, b->size), *in = out;
    int64_t n = 0;
    for (int64_t i = bit; i < b->size; i++)
        if (i & bit)
            move_block(b, packed_block(b, i), out + (uint64_t)n++ * b->block);
    in += (uint64_t)n * b->block;
    const struct weft_mpi_buffer sent = weft__mpi_coll_packed(out, (uint64_t)n * b->block),
                                 received = weft__mpi_coll_packed(in, (uint64_t)n * b->block);
    weft__mpi_schedule_recv(b->s, (b->me + b->size - bit) % b->size, &received);
    weft__mpi_schedule_send(b->s, (b->me + bit) % b->size, &sent);
    weft__mpi_schedule_fence(b->s);
    n = 0;
    for (int64_t i = bit; i < b->size; i++)
        if (i & bit)
            move_block(b, in + (uint64_t)n++ * b->block, packed_block(b, i));
}

void weft__mpi_alltoall_bruck(struct weft_mpi_schedule *s)
{
    struct bruck b = {.s = s, .size = s->comm->size, .me = s->comm->rank};
    const struct weft_mpi_side *from = s->coll.in_place ? &s->coll.into : &s->coll.from;
    b.block = bruck_bytes(s);
    for (int64_t i = 0; i < b.size; i++) {
        const struct weft_mpi_buffer out =
            weft__mpi_coll_block(s->mpi, &s->coll, from, (b.me + i) % b.size);
        weft__mpi_coll_pack(s, &out, packed_block(&b, i), b.block);
    }
    for (int64_t bit = 1; bit < b.size; bit *= 2)
        add_round(&b, bit);
    for (int64_t i = 0; i < b.size; i++) {
        const struct weft_mpi_buffer in = into_block(s, (b.me + b.size - i) % b.size);
        weft__mpi_coll_unpack(s, &in, packed_block(&b, i), b.block);
    }
}
