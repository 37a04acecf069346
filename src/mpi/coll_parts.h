/* The algorithms of collectives, each in two functions: begin() says how many parts there are and
 * takes scratch memory (false: there is none), add() writes the steps of the current part. The
 * table in coll.c says which one is taken. */
#ifndef WEFT_MPI_COLL_PARTS_H
#define WEFT_MPI_COLL_PARTS_H

#include "mpi/coll.h"
#include "mpi/schedule.h"

typedef void weft__mpi_coll_add(struct weft_mpi_schedule *s);

/* What the ranks of a collective of one part have to agree on, and which algorithm that is. */
uint16_t weft__mpi_coll_stamp(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                              const struct weft_mpi_coll *coll, weft__mpi_coll_add **add_out);

bool weft__mpi_barrier_begin(struct weft_mpi_schedule *s);
void weft__mpi_barrier_dissemination(struct weft_mpi_schedule *s);
void weft__mpi_barrier_wide(struct weft_mpi_schedule *s);
/* Rank 0 is behind them when all ranks have come. */
void weft__mpi_barrier_steps(struct weft_mpi_schedule *s);

bool weft__mpi_bcast_begin(struct weft_mpi_schedule *s);
void weft__mpi_bcast_binomial(struct weft_mpi_schedule *s);
void weft__mpi_bcast_wide(struct weft_mpi_schedule *s);
bool weft__mpi_bcast_chain_begin(struct weft_mpi_schedule *s);
void weft__mpi_bcast_chain(struct weft_mpi_schedule *s);
/* The steps of a binomial tree from the root, behind what is there. */
void weft__mpi_bcast_steps(struct weft_mpi_schedule *s, int32_t root,
                           const struct weft_mpi_buffer *buffer);

bool weft__mpi_reduce_begin(struct weft_mpi_schedule *s);
void weft__mpi_reduce_binomial(struct weft_mpi_schedule *s);
void weft__mpi_reduce_doubling(struct weft_mpi_schedule *s);
void weft__mpi_reduce_bcast(struct weft_mpi_schedule *s);
/* The steps of a reduction to rank 0, behind what is there; into and incoming have room for as many
 * values. Where rank 0 has the result. */
void *weft__mpi_reduce_steps(struct weft_mpi_schedule *s, const struct weft_mpi_buffer *mine,
                             void *into, void *incoming);
bool weft__mpi_allreduce_wide_begin(struct weft_mpi_schedule *s);
void weft__mpi_allreduce_wide(struct weft_mpi_schedule *s);
bool weft__mpi_reduce_scatter_begin(struct weft_mpi_schedule *s);
void weft__mpi_reduce_scatter_root(struct weft_mpi_schedule *s);
bool weft__mpi_scan_begin(struct weft_mpi_schedule *s);
void weft__mpi_scan_doubling(struct weft_mpi_schedule *s);

bool weft__mpi_split_allreduce_begin(struct weft_mpi_schedule *s);
void weft__mpi_split_allreduce(struct weft_mpi_schedule *s);
bool weft__mpi_split_scatter_begin(struct weft_mpi_schedule *s);
void weft__mpi_split_scatter(struct weft_mpi_schedule *s);

bool weft__mpi_gather_begin(struct weft_mpi_schedule *s);
void weft__mpi_gather_linear(struct weft_mpi_schedule *s);
void weft__mpi_scatter_linear(struct weft_mpi_schedule *s);
bool weft__mpi_gather_tree_begin(struct weft_mpi_schedule *s);
void weft__mpi_gather_tree(struct weft_mpi_schedule *s);
void weft__mpi_scatter_tree(struct weft_mpi_schedule *s);

bool weft__mpi_allgather_begin(struct weft_mpi_schedule *s);
void weft__mpi_allgather_direct(struct weft_mpi_schedule *s);
void weft__mpi_allgather_ring(struct weft_mpi_schedule *s);
bool weft__mpi_allgather_bruck_begin(struct weft_mpi_schedule *s);
void weft__mpi_allgather_bruck(struct weft_mpi_schedule *s);

bool weft__mpi_alltoall_begin(struct weft_mpi_schedule *s);
void weft__mpi_alltoall_pairs(struct weft_mpi_schedule *s);
bool weft__mpi_alltoall_bruck_begin(struct weft_mpi_schedule *s);
void weft__mpi_alltoall_bruck(struct weft_mpi_schedule *s);

bool weft__mpi_neighbors_begin(struct weft_mpi_schedule *s);
void weft__mpi_neighbors_exchange(struct weft_mpi_schedule *s);
/* Of this rank, in the communicator's topology: it receives from so many (in), or sends to them. */
int32_t weft__mpi_neighbors_n(const struct weft_mpi_comm *comm, bool in);

/* Of intercommunicators: see coll_inter.c. */
bool weft__mpi_inter_begin(struct weft_mpi_schedule *s);
void weft__mpi_inter_barrier(struct weft_mpi_schedule *s);
void weft__mpi_inter_bcast(struct weft_mpi_schedule *s);
void weft__mpi_inter_gather(struct weft_mpi_schedule *s);
void weft__mpi_inter_scatter(struct weft_mpi_schedule *s);
void weft__mpi_inter_exchange(struct weft_mpi_schedule *s);
bool weft__mpi_inter_reduce_begin(struct weft_mpi_schedule *s);
void weft__mpi_inter_reduce(struct weft_mpi_schedule *s);
void weft__mpi_inter_allreduce(struct weft_mpi_schedule *s);
bool weft__mpi_inter_reduce_scatter_begin(struct weft_mpi_schedule *s);
void weft__mpi_inter_reduce_scatter(struct weft_mpi_schedule *s);

/* Cuts total values or bytes into parts of per_part (0: of all). */
void weft__mpi_coll_divide(struct weft_mpi_schedule *s, uint64_t total, uint64_t per_part);
/* The current part: first value or byte, and how many. */
static inline uint64_t weft__mpi_coll_part_first(const struct weft_mpi_schedule *s)
{
    return s->part * s->segment;
}
static inline uint64_t weft__mpi_coll_part_len(const struct weft_mpi_schedule *s)
{
    uint64_t rest = s->total - weft__mpi_coll_part_first(s);
    return rest < s->segment ? rest : s->segment;
}
/* Keeps the lengths of blocks of into for later parts, where the program's array is not read:
 * counts has room for one of each rank. */
void weft__mpi_coll_keep_counts(struct weft_mpi_schedule *s, MPI_Count *counts);
/* Values of a type that make up about so many bytes; at least one. */
uint64_t weft__mpi_coll_values(struct weft_mpi *mpi, uint32_t type, uint64_t len_bytes);
/* len values from the first-th on. */
struct weft_mpi_buffer weft__mpi_coll_range(struct weft_mpi *mpi,
                                            const struct weft_mpi_buffer *buffer, uint64_t first,
                                            uint64_t len);
/* The whole buffer of a side that is one block. */
static inline struct weft_mpi_buffer weft__mpi_coll_whole(const struct weft_mpi_side *side)
{
    return (struct weft_mpi_buffer){(void *)(uintptr_t)side->buf, side->count, side->type};
}
/* This rank's contribution to a reduction, which is in the result's buffer where it is in place. */
static inline struct weft_mpi_buffer weft__mpi_coll_mine(const struct weft_mpi_coll *coll)
{
    return weft__mpi_coll_whole(coll->in_place ? &coll->into : &coll->from);
}
/* Bytes of a buffer. */
uint64_t weft__mpi_coll_bytes(struct weft_mpi *mpi, const struct weft_mpi_buffer *buffer);
/* As many bytes, packed. */
static inline struct weft_mpi_buffer weft__mpi_coll_packed(void *at, uint64_t len_bytes)
{
    return (struct weft_mpi_buffer){at, (MPI_Count)len_bytes, weft__mpi_type_number(MPI_BYTE)};
}
/* A block into len bytes and back: too much is an error, too little leaves the rest alone. */
void weft__mpi_coll_pack(struct weft_mpi_schedule *s, const struct weft_mpi_buffer *from,
                         unsigned char *packed, uint64_t len_bytes);
void weft__mpi_coll_unpack(struct weft_mpi_schedule *s, const struct weft_mpi_buffer *into,
                           const unsigned char *packed, uint64_t len_bytes);
/* 0 for 1, 1 for 2, 2 for 3 and 4, ... */
uint32_t weft__mpi_coll_log2(int64_t n);

/* Places for values of one type in the scratch memory. */
struct weft_mpi_slots {
    uintptr_t first; /* address of slot 0 as a buffer of the type */
    size_t stride;
};
/* Bytes for n slots of len values. */
size_t weft__mpi_coll_slots_bytes(struct weft_mpi *mpi, uint32_t type, uint64_t len, size_t n);
struct weft_mpi_slots weft__mpi_coll_slots(const struct weft_mpi_schedule *s, uint32_t type,
                                           uint64_t len);
static inline void *weft__mpi_coll_slot(const struct weft_mpi_slots *slots, int64_t i)
{
    return (void *)(slots->first + (uintptr_t)i * slots->stride); /* NOLINT: see first */
}

#endif
