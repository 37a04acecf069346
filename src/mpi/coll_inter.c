/* Collectives of intercommunicators: what one side has goes to the other.
 *
 * Gather and scatter go straight between the root and the ranks of the other side, allgather and
 * alltoall between each rank and each of the other side. All else goes through the first ranks of
 * the sides, and from there along trees, over the communicator that each side has for itself. A
 * reduction of a side is combined along T(n) (see coll.c) over that side's ranks, so it has the
 * same bits as among themselves. A root that is MPI_ROOT is this rank; beside it, at the ranks that
 * say MPI_PROC_NULL, nothing is done.
 *
 * Long broadcasts have no chain here: intercommunicators are rare, and theirs are short.
 */
#include "mpi/coll_parts.h"

enum { TOGETHER = 16, ROOT_TOGETHER = 64 }; /* exchanges under way; messages of a root */

bool weft__mpi_inter_begin(struct weft_mpi_schedule *s)
{
    (void)s;
    return true;
}

/* From rank 0 to all of its side. */
static void add_bcast(struct weft_mpi_schedule *s, const struct weft_mpi_buffer *buffer)
{
    s->local = true;
    weft__mpi_bcast_steps(s, 0, buffer);
    s->local = false;
}

void weft__mpi_inter_barrier(struct weft_mpi_schedule *s)
{
    const struct weft_mpi_buffer nothing = weft__mpi_coll_packed(NULL, 0);
    s->local = true;
    weft__mpi_barrier_steps(s);
    s->local = false;
    if (s->comm->rank == 0) {
        weft__mpi_schedule_send(s, 0, &nothing);
        weft__mpi_schedule_recv(s, 0, &nothing);
        weft__mpi_schedule_fence(s);
    }
    add_bcast(s, &nothing);
}

void weft__mpi_inter_bcast(struct weft_mpi_schedule *s)
{
    const struct weft_mpi_buffer buffer = weft__mpi_coll_whole(&s->coll.into);
    if (s->coll.root == MPI_PROC_NULL)
        return;
    if (s->coll.root == MPI_ROOT) {
        weft__mpi_schedule_send(s, 0, &buffer);
        return;
    }
    if (s->comm->rank == 0) {
        weft__mpi_schedule_recv(s, s->coll.root, &buffer);
        weft__mpi_schedule_fence(s);
    }
    add_bcast(s, &buffer);
}

/* ---- blocks ---- */

void weft__mpi_inter_gather(struct weft_mpi_schedule *s)
{
    const struct weft_mpi_buffer mine = weft__mpi_coll_whole(&s->coll.from);
    if (s->coll.root >= 0)
        weft__mpi_schedule_send(s, s->coll.root, &mine);
    for (int32_t i = 0; s->coll.root == MPI_ROOT && i < s->comm->peers; i++) {
        const struct weft_mpi_buffer in = weft__mpi_coll_block(s->mpi, &s->coll, &s->coll.into, i);
        weft__mpi_schedule_recv(s, i, &in);
        if (i % ROOT_TOGETHER == ROOT_TOGETHER - 1)
            weft__mpi_schedule_fence(s);
    }
}

void weft__mpi_inter_scatter(struct weft_mpi_schedule *s)
{
    const struct weft_mpi_buffer mine = weft__mpi_coll_whole(&s->coll.into);
    if (s->coll.root >= 0)
        weft__mpi_schedule_recv(s, s->coll.root, &mine);
    for (int32_t i = 0; s->coll.root == MPI_ROOT && i < s->comm->peers; i++) {
        const struct weft_mpi_buffer out = weft__mpi_coll_block(s->mpi, &s->coll, &s->coll.from, i);
        weft__mpi_schedule_send(s, i, &out);
        if (i % ROOT_TOGETHER == ROOT_TOGETHER - 1)
            weft__mpi_schedule_fence(s);
    }
}

/* With width the size of the larger side, rank r meets rank (k - r) mod width of the other in step
 * k, if there is one: every step is a matching, so steps that run together wait for no others. */
void weft__mpi_inter_exchange(struct weft_mpi_schedule *s)
{
    const struct weft_mpi_coll *coll = &s->coll;
    int64_t size = s->comm->size, peers = s->comm->peers, width = size > peers ? size : peers;
    for (int64_t step = 0; step < width; step++) {
        int64_t peer = (step - s->comm->rank + width) % width;
        if (peer < peers) {
            const struct weft_mpi_buffer in = weft__mpi_coll_block(s->mpi, coll, &coll->into, peer);
            struct weft_mpi_buffer out = weft__mpi_coll_whole(&coll->from);
            if (coll->kind != WEFT_MPI_COLL_ALLGATHER)
                out = weft__mpi_coll_block(s->mpi, coll, &coll->from, peer);
            weft__mpi_schedule_recv(s, peer, &in);
            weft__mpi_schedule_send(s, peer, &out);
        }
        if (step % TOGETHER == TOGETHER - 1)
            weft__mpi_schedule_fence(s);
    }
}

/* ---- reductions ---- */

/* Of this side, in scratch memory of two slots or more; rank 0 has the result. */
static struct weft_mpi_buffer add_reduce(struct weft_mpi_schedule *s,
                                         const struct weft_mpi_buffer *mine)
{
    const struct weft_mpi_slots slots = weft__mpi_coll_slots(s, mine->type, s->segment);
    struct weft_mpi_buffer result = *mine;
    s->local = true;
    result.buf = weft__mpi_reduce_steps(s, mine, weft__mpi_coll_slot(&slots, 1),
                                        weft__mpi_coll_slot(&slots, 0));
    s->local = false;
    return result;
}

/* The current part of a vector. */
static struct weft_mpi_buffer part_of(const struct weft_mpi_schedule *s,
                                      const struct weft_mpi_side *side)
{
    const struct weft_mpi_buffer whole = weft__mpi_coll_whole(side);
    return weft__mpi_coll_range(s->mpi, &whole, weft__mpi_coll_part_first(s),
                                weft__mpi_coll_part_len(s));
}

bool weft__mpi_inter_reduce_begin(struct weft_mpi_schedule *s)
{
    bool gives = s->coll.root >= 0;
    const struct weft_mpi_side *side = gives ? &s->coll.from : &s->coll.into;
    if (s->coll.root == MPI_PROC_NULL)
        return true;
    weft__mpi_coll_divide(s, (uint64_t)side->count,
                          weft__mpi_coll_values(s->mpi, side->type, s->segment));
    return !gives || weft__mpi_schedule_scratch(
                         s, weft__mpi_coll_slots_bytes(s->mpi, side->type, s->segment, 2));
}

void weft__mpi_inter_reduce(struct weft_mpi_schedule *s)
{
    struct weft_mpi_buffer data;
    if (s->coll.root >= 0) {
        data = part_of(s, &s->coll.from);
        data = add_reduce(s, &data);
        if (s->comm->rank == 0)
            weft__mpi_schedule_send(s, s->coll.root, &data);
    } else if (s->coll.root == MPI_ROOT) {
        data = part_of(s, &s->coll.into);
        weft__mpi_schedule_recv(s, 0, &data);
    }
}

/* The sides' results change places. */
static void add_swap(struct weft_mpi_schedule *s, const struct weft_mpi_buffer *ours,
                     const struct weft_mpi_buffer *theirs)
{
    if (s->comm->rank == 0) {
        weft__mpi_schedule_recv(s, 0, theirs);
        weft__mpi_schedule_send(s, 0, ours);
    }
    weft__mpi_schedule_fence(s);
}

void weft__mpi_inter_allreduce(struct weft_mpi_schedule *s)
{
    const struct weft_mpi_buffer mine = part_of(s, &s->coll.from),
                                 theirs = part_of(s, &s->coll.into);
    const struct weft_mpi_buffer ours = add_reduce(s, &mine);
    add_swap(s, &ours, &theirs);
    add_bcast(s, &theirs);
}

/* ---- reduce and scatter: blocks for the ranks of a side, of what the other side makes ---- */

bool weft__mpi_inter_reduce_scatter_begin(struct weft_mpi_schedule *s)
{
    uint32_t type = s->coll.from.type;
    uint64_t total = 0;
    for (int32_t i = 0; i < s->comm->size; i++)
        total += (uint64_t)weft__mpi_coll_count(&s->coll, &s->coll.into, i);
    weft__mpi_coll_divide(s, total, weft__mpi_coll_values(s->mpi, type, s->segment));
    size_t slots = weft__mpi_coll_slots_bytes(s->mpi, type, s->segment, 3);
    if (!weft__mpi_schedule_scratch(s, slots + (size_t)s->comm->size * sizeof(MPI_Count)))
        return false;
    weft__mpi_coll_keep_counts(s, (MPI_Count *)(void *)(s->scratch + slots));
    return true;
}

/* What the current part has of the block of a rank, which begins with this value: where in the part
 * and where in the block. */
static struct weft_mpi_buffer piece_of(const struct weft_mpi_schedule *s, uint64_t block, int32_t i,
                                       struct weft_mpi_buffer *into_out)
{
    uint64_t first = weft__mpi_coll_part_first(s), end = first + weft__mpi_coll_part_len(s);
    uint64_t block_end = block + (uint64_t)weft__mpi_coll_count(&s->coll, &s->coll.into, i);
    uint64_t from = block > first ? block : first, to = block_end < end ? block_end : end;
    const struct weft_mpi_slots slots = weft__mpi_coll_slots(s, s->coll.from.type, s->segment);
    const struct weft_mpi_buffer theirs = {weft__mpi_coll_slot(&slots, 2), 0, s->coll.from.type};
    const struct weft_mpi_buffer result = weft__mpi_coll_whole(&s->coll.into);
    uint64_t len = from < to ? to - from : 0;
    *into_out = weft__mpi_coll_range(s->mpi, &result, len > 0 ? from - block : 0, len);
    return weft__mpi_coll_range(s->mpi, &theirs, len > 0 ? from - first : 0, len);
}

void weft__mpi_inter_reduce_scatter(struct weft_mpi_schedule *s)
{
    const struct weft_mpi_side vector = {
        .buf = s->coll.from.buf, .count = (MPI_Count)s->total, .type = s->coll.from.type};
    const struct weft_mpi_slots slots = weft__mpi_coll_slots(s, vector.type, s->segment);
    const struct weft_mpi_buffer mine = part_of(s, &vector);
    const struct weft_mpi_buffer ours = add_reduce(s, &mine);
    struct weft_mpi_buffer theirs = mine, into;
    uint64_t block = 0;
    theirs.buf = weft__mpi_coll_slot(&slots, 2);
    add_swap(s, &ours, &theirs);
    s->local = true;
    for (int32_t i = 0; i < s->comm->size; i++) {
        const struct weft_mpi_buffer piece = piece_of(s, block, i, &into);
        if (piece.count > 0 && i == s->comm->rank && i == 0)
            weft__mpi_schedule_copy(s, &piece, &into);
        else if (piece.count > 0 && i == s->comm->rank)
            weft__mpi_schedule_recv(s, 0, &into);
        else if (piece.count > 0 && s->comm->rank == 0)
            weft__mpi_schedule_send(s, i, &piece);
        block += (uint64_t)weft__mpi_coll_count(&s->coll, &s->coll.into, i);
    }
    s->local = false;
}
