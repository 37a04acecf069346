/* Allgather: the blocks of all ranks, at all ranks, with lengths that every rank knows.
 *
 * Of few ranks each sends its block to every other one. Short blocks of many go by Bruck's way: in
 * round k a rank has the 2^k blocks from its own on, packed one behind the other, and gets as many
 * from the rank 2^k further on; any number of ranks will do, and any lengths. Long blocks go round
 * a ring: each rank receives every block once, from its neighbour, who is mostly on the same host.
 */
#include "mpi/coll_parts.h"

enum { TOGETHER = 16 }; /* exchanges under way */

static struct weft_mpi_buffer block_of(const struct weft_mpi_schedule *s, int64_t rank)
{
    return weft__mpi_coll_block(s->mpi, &s->coll, &s->coll.into, rank % s->comm->size);
}

static void place_own(struct weft_mpi_schedule *s)
{
    const struct weft_mpi_buffer mine = weft__mpi_coll_whole(&s->coll.from),
                                 block = block_of(s, s->comm->rank);
    if (s->coll.in_place)
        return;
    weft__mpi_schedule_copy(s, &mine, &block);
}

bool weft__mpi_allgather_begin(struct weft_mpi_schedule *s)
{
    (void)s;
    return true;
}

void weft__mpi_allgather_direct(struct weft_mpi_schedule *s)
{
    int64_t size = s->comm->size, me = s->comm->rank;
    struct weft_mpi_buffer mine = block_of(s, me);
    if (!s->coll.in_place)
        mine = weft__mpi_coll_whole(&s->coll.from);
    for (int64_t i = 1; i < size; i++) {
        const struct weft_mpi_buffer in = block_of(s, me + i);
        weft__mpi_schedule_recv(s, (me + i) % size, &in);
        weft__mpi_schedule_send(s, (me + size - i) % size, &mine);
        if (i % TOGETHER == 0)
            weft__mpi_schedule_fence(s);
    }
    place_own(s);
}

void weft__mpi_allgather_ring(struct weft_mpi_schedule *s)
{
    int64_t size = s->comm->size, me = s->comm->rank;
    place_own(s);
    for (int64_t i = 0; i + 1 < size; i++) {
        const struct weft_mpi_buffer in = block_of(s, me + size - i - 1),
                                     out = block_of(s, me + size - i);
        weft__mpi_schedule_recv(s, (me + size - 1) % size, &in);
        weft__mpi_schedule_send(s, (me + 1) % size, &out);
        weft__mpi_schedule_fence(s);
    }
}

/* ---- Bruck ---- */

static uint64_t block_bytes(const struct weft_mpi_schedule *s, int64_t rank)
{
    struct weft_mpi_buffer block = {
        .count = weft__mpi_coll_count(&s->coll, &s->coll.into, rank % s->comm->size),
        .type = s->coll.into.type};
    return weft__mpi_coll_bytes(s->mpi, &block);
}

/* Of n blocks, from a rank's on. */
static uint64_t blocks_bytes(const struct weft_mpi_schedule *s, int64_t rank, int64_t n)
{
    uint64_t sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += block_bytes(s, rank + i);
    return sum;
}

bool weft__mpi_allgather_bruck_begin(struct weft_mpi_schedule *s)
{
    return weft__mpi_schedule_scratch(s, (size_t)blocks_bytes(s, 0, s->comm->size));
}

void weft__mpi_allgather_bruck(struct weft_mpi_schedule *s)
{
    int64_t size = s->comm->size, me = s->comm->rank;
    struct weft_mpi_buffer mine = block_of(s, me);
    if (!s->coll.in_place)
        mine = weft__mpi_coll_whole(&s->coll.from);
    weft__mpi_coll_pack(s, &mine, s->scratch, block_bytes(s, me));
    for (int64_t have = 1; have < size; have *= 2) {
        int64_t n = size - have < have ? size - have : have;
        const struct weft_mpi_buffer out =
            weft__mpi_coll_packed(s->scratch, blocks_bytes(s, me, n));
        const struct weft_mpi_buffer in = weft__mpi_coll_packed(
            s->scratch + blocks_bytes(s, me, have), blocks_bytes(s, me + have, n));
        weft__mpi_schedule_recv(s, (me + have) % size, &in);
        weft__mpi_schedule_send(s, (me + size - have) % size, &out);
        weft__mpi_schedule_fence(s);
    }
    uint64_t at = 0;
    for (int64_t i = 0; i < size; i++) {
        const struct weft_mpi_buffer into = block_of(s, me + i);
        if (i > 0 || !s->coll.in_place)
            weft__mpi_coll_unpack(s, &into, s->scratch + at, block_bytes(s, me + i));
        at += block_bytes(s, me + i);
    }
}
