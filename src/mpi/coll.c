/* Which algorithm a collective takes, and what all of them use.
 *
 * The choice depends on the number of ranks, on lengths that all ranks know alike, and on whether
 * all of the world began on one host with more ranks than cores, never on who shares a host now: so
 * ranks agree without talking. For reductions it would not matter to the result:
 * all of them combine along one tree, T(n) over ranks 0..n-1 in order. A block of 2^k ranks is
 * (first half) op (second half), a block that is cut off by n is what is left of that. So a
 * reduction has the same bits for every placement, every root and every algorithm, operations that
 * do not commute see their operands in the order of ranks, and the last rank's scan is the
 * reduction. Rings that would start at another rank for each block were left out for that reason.
 */
#include "mpi/coll.h"

#include "base/heap.h"
#include "mpi/coll_parts.h"
#include "mpi/op.h"
#include "mpi/request.h"

#define KIB 1024u
#define ANY_LEN UINT64_MAX
#define MANY INT32_MAX
#define CROWD_MAX (256 * KIB)

struct row {
    enum weft_mpi_coll_kind kind;
    bool inter; /* of intercommunicators */
    bool crowd; /* more ranks than cores: see weft_cell.share */
    int32_t ranks_max;
    bool power_of_two;  /* of ranks */
    uint64_t bytes_max; /* of the length that counts, see length_of() */
    uint64_t segment;   /* bytes of a part, or of a rank's piece of it; 0: one part */
    bool (*begin)(struct weft_mpi_schedule *);
    void (*add)(struct weft_mpi_schedule *);
};

/* The first row that fits is taken. Sources:
 * dissemination: Hensgen, Finkel, Manber, Two algorithms for barrier synchronization, 1988;
 * binomial trees, recursive doubling, pairwise exchange, linear forms: Thakur, Rabenseifner, Gropp,
 *   Optimization of collective communication operations in MPICH, 2005;
 * chain: pipelined broadcast, as in Pjesivac-Grbovic et al., Performance analysis of MPI collective
 *   operations, 2007;
 * Bruck: Bruck, Ho, Kipnis, Upfal, Weathersby, Efficient algorithms for all-to-all communications
 *   in multiport message-passing systems, 1997;
 * split: reduce-scatter and allgather as in Rabenseifner, Optimization of collective reduction
 *   operations, 2004, with direct messages instead of halving, in segments;
 * scan by doubling: Hillis, Steele, Data parallel algorithms, 1986, over whole blocks of ranks. */
static const struct row rows[] = {
#define ROW(kind, ranks, power_of_two, bytes, segment, begin, add)                                 \
    {                                                                                              \
        WEFT_MPI_COLL_##kind, false, false, ranks, power_of_two, bytes, segment,                   \
            weft__mpi_##begin, weft__mpi_##add                                                     \
    }
#define CROWD(kind, bytes, segment, begin, add)                                                    \
    {                                                                                              \
        WEFT_MPI_COLL_##kind, false, true, MANY, false, bytes, segment, weft__mpi_##begin,         \
            weft__mpi_##add                                                                        \
    }
#define INTER(kind, segment, begin, add)                                                           \
    {                                                                                              \
        WEFT_MPI_COLL_##kind, true, false, MANY, false, ANY_LEN, segment, weft__mpi_inter_##begin, \
            weft__mpi_inter_##add                                                                  \
    }
    /* clang-format off */
    ROW(BARRIER, 2, false, ANY_LEN, 0, barrier_begin, barrier_dissemination),
    ROW(BARRIER, MANY, false, ANY_LEN, 0, barrier_begin, barrier_wide),
    ROW(BCAST, MANY, false, 2 * KIB, 0, bcast_begin, bcast_wide),
    ROW(BCAST, 2, false, ANY_LEN, 0, bcast_begin, bcast_binomial),
    ROW(BCAST, MANY, false, 512 * KIB, 0, bcast_begin, bcast_binomial),
    ROW(BCAST, MANY, false, ANY_LEN, 128 * KIB, bcast_chain_begin, bcast_chain),
    ROW(GATHER, 15, false, ANY_LEN, 0, gather_begin, gather_linear),
    ROW(GATHER, MANY, false, 2 * KIB, 0, gather_tree_begin, gather_tree),
    ROW(GATHER, MANY, false, ANY_LEN, 0, gather_begin, gather_linear),
    ROW(GATHERV, MANY, false, ANY_LEN, 0, gather_begin, gather_linear),
    ROW(SCATTER, 15, false, ANY_LEN, 0, gather_begin, scatter_linear),
    ROW(SCATTER, MANY, false, 2 * KIB, 0, gather_tree_begin, scatter_tree),
    ROW(SCATTER, MANY, false, ANY_LEN, 0, gather_begin, scatter_linear),
    ROW(SCATTERV, MANY, false, ANY_LEN, 0, gather_begin, scatter_linear),
    ROW(ALLGATHER, 4, false, 256 * KIB, 0, allgather_begin, allgather_direct),
    ROW(ALLGATHER, MANY, false, 64 * KIB, 0, allgather_bruck_begin, allgather_bruck),
    ROW(ALLGATHER, MANY, false, ANY_LEN, 0, allgather_begin, allgather_ring),
    ROW(ALLTOALL, 7, false, ANY_LEN, 0, alltoall_begin, alltoall_pairs),
    ROW(ALLTOALL, MANY, false, 256, 0, alltoall_bruck_begin, alltoall_bruck),
    ROW(ALLTOALL, MANY, false, ANY_LEN, 0, alltoall_begin, alltoall_pairs),
    ROW(ALLTOALLV, MANY, false, ANY_LEN, 0, alltoall_begin, alltoall_pairs),
    ROW(NEIGHBORS, MANY, false, ANY_LEN, 0, neighbors_begin, neighbors_exchange),
    ROW(NEIGHBORS_ALL, MANY, false, ANY_LEN, 0, neighbors_begin, neighbors_exchange),
    ROW(REDUCE, MANY, false, ANY_LEN, 128 * KIB, reduce_begin, reduce_binomial),
    ROW(ALLREDUCE, 2, true, 32 * KIB, 0, reduce_begin, reduce_doubling),
    ROW(ALLREDUCE, MANY, false, 2 * KIB, 0, allreduce_wide_begin, allreduce_wide),
    ROW(ALLREDUCE, MANY, false, 32 * KIB, 0, reduce_begin, reduce_bcast),
    CROWD(ALLREDUCE, CROWD_MAX, 0, allreduce_wide_begin, allreduce_wide),
    ROW(ALLREDUCE, 2, false, ANY_LEN, 256 * KIB, split_allreduce_begin, split_allreduce),
    ROW(ALLREDUCE, 64, false, ANY_LEN, 64 * KIB, split_allreduce_begin, split_allreduce),
    ROW(ALLREDUCE, MANY, false, ANY_LEN, 128 * KIB, reduce_begin, reduce_bcast),
    ROW(REDUCE_SCATTER, 4, false, ANY_LEN, 64 * KIB, split_scatter_begin, split_scatter),
    ROW(REDUCE_SCATTER, MANY, false, 32 * KIB, 0, reduce_scatter_begin, reduce_scatter_root),
    ROW(REDUCE_SCATTER, MANY, false, ANY_LEN, 64 * KIB, split_scatter_begin, split_scatter),
    ROW(SCAN, MANY, false, ANY_LEN, 128 * KIB, scan_begin, scan_doubling),
    ROW(EXSCAN, MANY, false, ANY_LEN, 128 * KIB, scan_begin, scan_doubling),
    INTER(BARRIER, 0, begin, barrier),
    INTER(BCAST, 0, begin, bcast),
    INTER(GATHER, 0, begin, gather),
    INTER(GATHERV, 0, begin, gather),
    INTER(SCATTER, 0, begin, scatter),
    INTER(SCATTERV, 0, begin, scatter),
    INTER(ALLGATHER, 0, begin, exchange),
    INTER(ALLTOALL, 0, begin, exchange),
    INTER(ALLTOALLV, 0, begin, exchange),
    INTER(REDUCE, 128 * KIB, reduce_begin, reduce),
    INTER(ALLREDUCE, 128 * KIB, reduce_begin, allreduce),
    INTER(REDUCE_SCATTER, 128 * KIB, reduce_scatter_begin, reduce_scatter),
/* clang-format on */
#undef ROW
#undef CROWD
#undef INTER
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

/* ---- blocks ---- */

MPI_Count weft__mpi_coll_count(const struct weft_mpi_coll *coll, const struct weft_mpi_side *side,
                               int64_t i)
{
    if (!side->counts)
        return side->count;
    return coll->wide ? ((const MPI_Count *)side->counts)[i] : ((const int *)side->counts)[i];
}

static int64_t displacement(const struct weft_mpi_coll *coll, const struct weft_mpi_side *side,
                            int64_t i)
{
    int64_t sum = 0;
    if (side->displs)
        return coll->wide || coll->wide_displs ? ((const MPI_Aint *)side->displs)[i]
                                               : ((const int *)side->displs)[i];
    if (!side->counts)
        return i * side->count;
    for (int64_t k = 0; k < i; k++)
        sum += weft__mpi_coll_count(coll, side, k);
    return sum;
}

struct weft_mpi_buffer weft__mpi_coll_block(struct weft_mpi *mpi, const struct weft_mpi_coll *coll,
                                            const struct weft_mpi_side *side, int64_t i)
{
    struct weft_mpi_buffer block = {.count = weft__mpi_coll_count(coll, side, i),
                                    .type = side->type};
    int64_t at = displacement(coll, side, i);
    if (side->types)
        block.type = weft__mpi_type_number(side->types[i]);
    else
        at *= weft__mpi_type_get(mpi, side->type)->extent;
    block.buf = (void *)((uintptr_t)side->buf + (uintptr_t)at); /* NOLINT: absolute addresses */
    return block;
}

uint64_t weft__mpi_coll_bytes(struct weft_mpi *mpi, const struct weft_mpi_buffer *buffer)
{
    return (uint64_t)buffer->count * weft__mpi_type_get(mpi, buffer->type)->size;
}

void weft__mpi_coll_pack(struct weft_mpi_schedule *s, const struct weft_mpi_buffer *from,
                         unsigned char *packed, uint64_t len_bytes)
{
    uint64_t bytes = weft__mpi_coll_bytes(s->mpi, from);
    weft__mpi_schedule_pack(s, from, 0, packed, bytes < len_bytes ? bytes : len_bytes);
    if (bytes > len_bytes)
        s->error = MPI_ERR_TRUNCATE;
}

void weft__mpi_coll_unpack(struct weft_mpi_schedule *s, const struct weft_mpi_buffer *into,
                           const unsigned char *packed, uint64_t len_bytes)
{
    uint64_t bytes = weft__mpi_coll_bytes(s->mpi, into);
    weft__mpi_schedule_unpack(s, into, 0, packed, bytes < len_bytes ? bytes : len_bytes);
    if (len_bytes > bytes)
        s->error = MPI_ERR_TRUNCATE;
}

/* ---- parts and scratch memory ---- */

uint32_t weft__mpi_coll_log2(int64_t n)
{
    uint32_t log = 0;
    while (((int64_t)1 << log) < n)
        log++;
    return log;
}

void weft__mpi_coll_divide(struct weft_mpi_schedule *s, uint64_t total, uint64_t per_part)
{
    s->total = total;
    s->segment = per_part > 0 && per_part < total ? per_part : total;
    s->parts = total > 0 ? (uint32_t)((total - 1) / s->segment) + 1 : 1;
}

void weft__mpi_coll_keep_counts(struct weft_mpi_schedule *s, MPI_Count *counts)
{
    for (int32_t i = 0; i < s->comm->size; i++)
        counts[i] = weft__mpi_coll_count(&s->coll, &s->coll.into, i);
    s->coll.into.counts = counts;
    s->coll.wide = true;
}

uint64_t weft__mpi_coll_values(struct weft_mpi *mpi, uint32_t type, uint64_t len_bytes)
{
    uint64_t size = weft__mpi_type_get(mpi, type)->size;
    if (size == 0)
        return UINT64_MAX;
    return size < len_bytes ? len_bytes / size : 1;
}

struct weft_mpi_buffer weft__mpi_coll_range(struct weft_mpi *mpi,
                                            const struct weft_mpi_buffer *buffer, uint64_t first,
                                            uint64_t len)
{
    int64_t extent = weft__mpi_type_get(mpi, buffer->type)->extent;
    uintptr_t at = (uintptr_t)buffer->buf + (uintptr_t)((int64_t)first * extent);
    /* NOLINTNEXTLINE: absolute addresses */
    return (struct weft_mpi_buffer){(void *)at, (MPI_Count)len, buffer->type};
}

/* From one slot to the next: addresses of slots, not of their data, are aligned. */
static size_t slot_stride(const struct weft_mpi_type *type, uint64_t len, int64_t *first_out)
{
    size_t span = weft__mpi_type_span(type, (MPI_Count)len, first_out);
    return (span + 31u) & ~(size_t)15u;
}

size_t weft__mpi_coll_slots_bytes(struct weft_mpi *mpi, uint32_t type, uint64_t len, size_t n)
{
    int64_t first;
    size_t stride = slot_stride(weft__mpi_type_get(mpi, type), len, &first);
    return stride > SIZE_MAX / 2 / n ? SIZE_MAX / 2 : stride * n;
}

struct weft_mpi_slots weft__mpi_coll_slots(const struct weft_mpi_schedule *s, uint32_t type,
                                           uint64_t len)
{
    int64_t first;
    size_t stride = slot_stride(weft__mpi_type_get(s->mpi, type), len, &first);
    int64_t aligned = first & ~(int64_t)15; /* data begin up to 15 bytes behind the slot's start */
    return (struct weft_mpi_slots){.first = (uintptr_t)s->scratch - (uintptr_t)aligned,
                                   .stride = stride};
}

/* ---- making one ---- */

/* The length by which an algorithm is chosen: of the whole, where all ranks know it; of a block of
 * gather, scatter and alltoall. */
static uint64_t length_of(struct weft_mpi *mpi, const struct weft_mpi_comm *comm,
                          const struct weft_mpi_coll *coll)
{
    const struct weft_mpi_side *into = &coll->into;
    struct weft_mpi_buffer buffer = weft__mpi_coll_mine(coll);
    if (comm->remote)
        return 0; /* there is one algorithm */
    switch ((enum weft_mpi_coll_kind)coll->kind) {
    case WEFT_MPI_COLL_BARRIER:
    case WEFT_MPI_COLL_GATHERV:
    case WEFT_MPI_COLL_SCATTERV:
    case WEFT_MPI_COLL_ALLTOALLV:
    case WEFT_MPI_COLL_NEIGHBORS:
    case WEFT_MPI_COLL_NEIGHBORS_ALL:
    case WEFT_MPI_COLL_KINDS:
        return 0;
    case WEFT_MPI_COLL_SCATTER:
        if (comm->rank != coll->root)
            buffer = weft__mpi_coll_whole(into);
        else
            buffer = weft__mpi_coll_whole(&coll->from);
        break;
    case WEFT_MPI_COLL_ALLGATHER:
    case WEFT_MPI_COLL_REDUCE_SCATTER:
        buffer = weft__mpi_coll_whole(into);
        buffer.count = 0;
        for (int32_t i = 0; i < comm->size; i++)
            buffer.count += weft__mpi_coll_count(coll, into, i);
        break;
    case WEFT_MPI_COLL_BCAST:
    case WEFT_MPI_COLL_GATHER:
    case WEFT_MPI_COLL_ALLTOALL:
    case WEFT_MPI_COLL_REDUCE:
    case WEFT_MPI_COLL_ALLREDUCE:
    case WEFT_MPI_COLL_SCAN:
    case WEFT_MPI_COLL_EXSCAN:
        break;
    }
    return weft__mpi_coll_bytes(mpi, &buffer);
}

static uint8_t choose(const struct weft_mpi *mpi, const struct weft_mpi_comm *comm,
                      const struct weft_mpi_coll *coll, uint64_t len_bytes)
{
    bool power_of_two = (comm->size & (comm->size - 1)) == 0, crowd = mpi->cell->share > 1;
    uint8_t i = 0;
    while (rows[i].kind != (enum weft_mpi_coll_kind)coll->kind ||
           rows[i].inter != (comm->remote != NULL) || (rows[i].crowd && !crowd) ||
           comm->size > rows[i].ranks_max || len_bytes > rows[i].bytes_max ||
           (rows[i].power_of_two && !power_of_two))
        i++;
    return i;
}

void weft__mpi_coll_add_part(struct weft_mpi_schedule *schedule)
{
    rows[schedule->algorithm].add(schedule);
}

/* Field by field: what lies between them would stay in the rank's range as it was on the stack. */
static void keep_side(struct weft_mpi *mpi, const struct weft_mpi_side *side,
                      struct weft_mpi_side *kept)
{
    kept->buf = side->buf;
    kept->count = side->count;
    kept->type = weft__mpi_type_hold(mpi, side->type);
    kept->counts = side->counts;
    kept->displs = side->displs;
    kept->types = side->types;
}

/* The program's arrays: an algorithm that needs them for later parts has made a copy. */
static void forget_arrays(const struct weft_mpi_coll *coll, struct weft_mpi_coll *kept)
{
    if (kept->into.counts == coll->into.counts)
        kept->into.counts = NULL;
    kept->from.counts = kept->from.displs = kept->into.displs = NULL;
    kept->from.types = kept->into.types = NULL;
}

/* Who sends what to whom follows from these. The program's operations have other numbers elsewhere.
 */
static uint16_t stamp_of(const struct weft_mpi_comm *comm, const struct weft_mpi_coll *coll,
                         uint8_t algorithm, uint32_t parts)
{
    /* The number that all of them know the root by. */
    int32_t root = coll->root == MPI_ROOT ? comm->rank : coll->root;
    uint32_t op = coll->op <= WEFT_MPI_HANDLE_MASK ? coll->op : 1;
    const uint64_t words[] = {algorithm, (uint64_t)root, parts, op};
    uint64_t hash = 0;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15u;
    return (uint16_t)(hash >> 48) | 1;
}

uint16_t weft__mpi_coll_stamp(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                              const struct weft_mpi_coll *coll, weft__mpi_coll_add **add_out)
{
    struct weft_mpi_choice *last = &comm->choice;
    uint64_t len_bytes = length_of(mpi, comm, coll);
    if (!last->stamp || last->kind != coll->kind || last->len_bytes != len_bytes ||
        last->root != coll->root || last->op != coll->op) {
        last->algorithm = choose(mpi, comm, coll, len_bytes);
        last->stamp = stamp_of(comm, coll, last->algorithm, 1);
        last->kind = coll->kind;
        last->len_bytes = len_bytes;
        last->root = coll->root;
        last->op = coll->op;
    }
    *add_out = rows[last->algorithm].add;
    return last->stamp;
}

struct weft_mpi_request *weft__mpi_coll_new(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                                            const struct weft_mpi_coll *coll)
{
    struct weft_mpi_request *request = weft__mpi_schedule_again(mpi, comm, coll);
    if (request)
        return request;
    request = weft__mpi_schedule_new(mpi, comm);
    if (!request)
        return NULL;
    struct weft_mpi_schedule *schedule = request->schedule;
    schedule->repeatable = true;
    schedule->coll.kind = coll->kind;
    schedule->coll.in_place = coll->in_place;
    schedule->coll.wide = coll->wide;
    schedule->coll.wide_displs = coll->wide_displs;
    schedule->coll.root = coll->root;
    schedule->coll.op = weft__mpi_op_hold(mpi, coll->op);
    keep_side(mpi, &coll->from, &schedule->coll.from);
    keep_side(mpi, &coll->into, &schedule->coll.into);
    schedule->algorithm = choose(mpi, comm, coll, length_of(mpi, comm, coll));
    schedule->segment = rows[schedule->algorithm].segment;
    if (rows[schedule->algorithm].begin(schedule))
        rows[schedule->algorithm].add(schedule);
    forget_arrays(coll, &schedule->coll);
    schedule->stamp = stamp_of(comm, &schedule->coll, schedule->algorithm, schedule->parts);
    if (schedule->no_memory) {
        weft__mpi_request_free(mpi, request);
        return NULL;
    }
    return request;
}

struct weft_mpi_request *weft__mpi_coll_barrier(struct weft_mpi *mpi, struct weft_mpi_comm *comm)
{
    const struct weft_mpi_coll coll = {.kind = WEFT_MPI_COLL_BARRIER};
    return weft__mpi_coll_new(mpi, comm, &coll);
}

struct weft_mpi_request *weft__mpi_coll_bcast(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                                              const struct weft_mpi_buffer *data, int32_t root)
{
    const struct weft_mpi_side side = {.buf = data->buf, .count = data->count, .type = data->type};
    const struct weft_mpi_coll coll = {
        .kind = WEFT_MPI_COLL_BCAST, .root = root, .from = side, .into = side};
    return weft__mpi_coll_new(mpi, comm, &coll);
}
