/* Short collectives in trees of four: barrier, bcast, allreduce; and the short way to carry them
 * out. In a crowd an allreduce of up to CROWD_MAX bytes (coll.c) goes this way, too: it moves as
 * many bytes as pieces that each rank sends each other would, but in 2 (n - 1) messages instead of
 * 2 n (n - 1), each of which the receiver pulls out of its sender's memory. 64 KiB of 8 ranks on 2
 * cores take 23 us so, and 41 in pieces.
 *
 * Where ranks share cores, what a collective costs is messages and switches, not rounds. In a tree
 * of four a rank takes in up to three others at once; what has come is there when its turn comes,
 * so in a crowd each rank is switched to once for the way up and down. Four ranks that lie side by
 * side are mostly on one core. With 5 to 8 ranks, or 17 to 32, the tree has two roots, which are
 * mostly on two cores: they exchange what they have. Results are combined along T(n), see coll.c:
 * of four blocks the first two, the last two, and these.
 *
 * The short way is for calls that block: the same messages as those of the schedule, one after the
 * other, from and into the program's buffers and the stack, without requests. Ranks choose it, or
 * the schedule, each for itself. What is not plainly there (a message that has waited for us, one
 * that is not what was agreed on, no credit) goes through a request. */
#include <string.h>

#include "mpi/coll_parts.h"
#include "mpi/comm.h"
#include "mpi/error.h"
#include "mpi/match.h"
#include "mpi/op.h"
#include "mpi/out.h"
#include "mpi/protocol.h"
#include "mpi/request.h"
#include "weft/error.h"

enum { FAN = 4, FAN_BITS = 2, SHORT_MAX = 2048 };

/* A rank's place in the tree: relative to the root. */
struct place {
    int32_t me, size, root;
    int level; /* bits below the digit of its number by which it is a child; the root: below the
                  first digit that no place has */
    int32_t parent; /* a place; -1: none */
    bool twin;      /* it and its parent are two roots, each the other's parent */
};

static struct place place_of(const struct weft_mpi_comm *comm, int32_t root)
{
    struct place p = {.me = comm->rank - root, .size = comm->size, .root = root};
    if (p.me < 0)
        p.me += p.size;
    while (((int64_t)1 << p.level) < p.size && (p.me >> p.level & (FAN - 1)) == 0)
        p.level += FAN_BITS;
    p.parent = p.me > 0 ? p.me & ~((FAN - 1) << p.level) : -1;
    return p;
}

/* Where the root has one child at the highest level, the two do not send up and down but to each
 * other, at the same time. */
static struct place place_of_twins(const struct weft_mpi_comm *comm)
{
    struct place p = place_of(comm, 0);
    int top = 0;
    while (((int64_t)FAN << top) < p.size)
        top += FAN_BITS;
    int32_t twin = 1 << top;
    if ((p.size - 1) >> top != 1 || (p.me != 0 && p.me != twin))
        return p;
    p.level = top;
    p.parent = twin - p.me;
    p.twin = true;
    return p;
}

static int32_t rank_of(const struct place *p, int32_t place)
{
    int64_t rank = (int64_t)place + p->root;
    return (int32_t)(rank < p->size ? rank : rank - p->size);
}

static int32_t parent_of(const struct place *p)
{
    return rank_of(p, p->parent);
}

/* At a level below its own. */
static int32_t children_of(const struct place *p, int level)
{
    int32_t n = (p->size - 1 - p->me) >> level;
    return n < FAN - 1 ? n : FAN - 1;
}

/* The k-th of them, from 1 on. */
static int32_t child_of(const struct place *p, int level, int32_t k)
{
    return rank_of(p, p->me + (k << level));
}

/* ---- schedules ---- */

static void add_children(struct weft_mpi_schedule *s, const struct place *p,
                         const struct weft_mpi_buffer *buffer)
{
    for (int level = p->level - FAN_BITS; level >= 0; level -= FAN_BITS)
        for (int32_t k = 1; k <= children_of(p, level); k++)
            weft__mpi_schedule_send(s, child_of(p, level, k), buffer);
}

static void add_down(struct weft_mpi_schedule *s, const struct place *p,
                     const struct weft_mpi_buffer *buffer)
{
    if (p->parent >= 0) {
        weft__mpi_schedule_recv(s, parent_of(p), buffer);
        weft__mpi_schedule_fence(s);
    }
    add_children(s, p, buffer);
}

/* A twin's own comes at the same time. */
static void add_up(struct weft_mpi_schedule *s, const struct place *p,
                   const struct weft_mpi_buffer *buffer)
{
    weft__mpi_schedule_fence(s);
    if (p->parent < 0)
        return;
    weft__mpi_schedule_send(s, parent_of(p), buffer);
    if (!p->twin)
        weft__mpi_schedule_fence(s);
}

void weft__mpi_barrier_wide(struct weft_mpi_schedule *s)
{
    const struct weft_mpi_buffer nothing = weft__mpi_coll_packed(NULL, 0);
    const struct place p = place_of_twins(s->comm);
    for (int level = 0; level < p.level; level += FAN_BITS)
        for (int32_t k = 1; k <= children_of(&p, level); k++)
            weft__mpi_schedule_recv(s, child_of(&p, level, k), &nothing);
    add_up(s, &p, &nothing);
    add_down(s, &p, &nothing);
}

void weft__mpi_bcast_wide(struct weft_mpi_schedule *s)
{
    const struct weft_mpi_buffer buffer = weft__mpi_coll_whole(&s->coll.into);
    const struct place p = place_of(s->comm, s->coll.root);
    add_down(s, &p, &buffer);
}

bool weft__mpi_allreduce_wide_begin(struct weft_mpi_schedule *s)
{
    const struct weft_mpi_buffer mine = weft__mpi_coll_mine(&s->coll);
    const struct place p = place_of_twins(s->comm);
    weft__mpi_coll_divide(s, (uint64_t)mine.count, 0);
    if (!p.twin && (p.level == 0 || children_of(&p, 0) == 0))
        return true;
    return weft__mpi_schedule_scratch(
        s, weft__mpi_coll_slots_bytes(s->mpi, mine.type, s->segment, FAN - 1));
}

/* Both have the same two operands, in the order of ranks. */
static void add_twins(struct weft_mpi_schedule *s, const struct place *p,
                      const struct weft_mpi_buffer *partial, const struct weft_mpi_buffer *slot)
{
    void *result = (void *)(uintptr_t)s->coll.into.buf;
    weft__mpi_schedule_recv(s, parent_of(p), slot);
    weft__mpi_schedule_fence(s);
    if (p->me == 0)
        weft__mpi_schedule_combine(s, partial, slot->buf, result);
    else
        weft__mpi_schedule_combine(s, slot, partial->buf, result);
}

void weft__mpi_allreduce_wide(struct weft_mpi_schedule *s)
{
    const struct place p = place_of_twins(s->comm);
    struct weft_mpi_buffer partial = weft__mpi_coll_mine(&s->coll), slot[FAN - 1];
    const struct weft_mpi_buffer result = weft__mpi_coll_whole(&s->coll.into);
    struct weft_mpi_slots slots = weft__mpi_coll_slots(s, partial.type, s->segment);
    for (int i = 0; i < FAN - 1; i++)
        slot[i] =
            (struct weft_mpi_buffer){weft__mpi_coll_slot(&slots, i), partial.count, partial.type};
    for (int level = 0; level < p.level && children_of(&p, level) > 0; level += FAN_BITS) {
        int32_t n = children_of(&p, level);
        for (int32_t k = 1; k <= n; k++)
            weft__mpi_schedule_recv(s, child_of(&p, level, k), &slot[k - 1]);
        weft__mpi_schedule_fence(s);
        weft__mpi_schedule_combine(s, &partial, slot[0].buf, result.buf);
        partial.buf = result.buf;
        if (n == 3)
            weft__mpi_schedule_combine(s, &slot[1], slot[2].buf, slot[1].buf);
        if (n >= 2)
            weft__mpi_schedule_combine(s, &partial, slot[1].buf, result.buf);
    }
    if (s->comm->size == 1 && partial.buf != result.buf)
        weft__mpi_schedule_copy(s, &partial, &result);
    add_up(s, &p, &partial);
    if (p.twin) {
        add_twins(s, &p, &partial, &slot[0]);
        add_children(s, &p, &result);
    } else {
        add_down(s, &p, &result);
    }
}

/* ---- the short way ---- */

/* A collective that is carried out. */
struct now {
    struct weft_mpi *mpi;
    struct weft_mpi_comm *comm;
    const struct weft_mpi_coll *coll;
    struct weft_mpi_header header; /* of all its messages */
    int error;
};

/* Of a level: who, and what comes from each. */
struct children {
    int32_t n, peers[FAN - 1];
    void *into[FAN - 1];
};

static void by_request(struct now *now, enum weft_mpi_request_kind kind, int32_t peer, void *bytes)
{
    struct weft_mpi_request *request = weft__mpi_request_new(now->mpi, now->comm, kind);
    const struct weft_mpi_buffer data = weft__mpi_coll_packed(bytes, now->header.len_bytes);
    request->collective = true;
    request->peer = peer;
    request->tag = now->header.tag;
    request->stamp = now->header.stamp;
    weft__mpi_request_data(now->mpi, request, &data);
    if (kind == WEFT_MPI_SEND)
        weft__mpi_protocol_send(now->mpi, request);
    else
        weft__mpi_protocol_recv(now->mpi, request);
    weft__mpi_protocol_finish(now->mpi, request);
    if (request->error && !now->error)
        now->error = request->error;
    weft__mpi_request_free(now->mpi, request);
}

static void send_to(struct now *now, int32_t peer, const void *bytes)
{
    int32_t dest = weft__mpi_comm_world_rank(now->comm, peer);
    if (weft__mpi_out_now(now->mpi, dest, &now->header, bytes) != WEFT_OK)
        by_request(now, WEFT_MPI_SEND, peer, (void *)(uintptr_t)bytes); /* only read */
}

/* Which of them has sent the packet, and it is what was agreed on; -1: none. */
static int32_t whose(const struct now *now, const struct weft_packet *packet,
                     const struct children *from)
{
    const struct weft_mpi_header *header = (const void *)packet->payload, *wanted = &now->header;
    int32_t i = from->n;
    if (packet->len_bytes != WEFT_MPI_HEADER_BYTES + wanted->len_bytes ||
        header->kind != WEFT_MPI_EAGER || header->cookie != 0 || header->tag != wanted->tag ||
        header->context != wanted->context || header->stamp != wanted->stamp ||
        header->len_bytes != wanted->len_bytes)
        return -1;
    while (--i >= 0 && from->peers[i] != header->source)
        ;
    return i;
}

static void leave_out(struct children *from, int32_t i)
{
    from->n--;
    from->peers[i] = from->peers[from->n];
    from->into[i] = from->into[from->n];
}

/* What has come before it was wanted. */
static void take_kept(struct now *now, struct children *from)
{
    struct weft_mpi_queue *queue = weft__mpi_match_queue(now->comm, true);
    for (int32_t i = from->n - 1; i >= 0 && queue->unexpected_n > 0; i--)
        if (weft__mpi_match_unexpected(now->mpi, queue, from->peers[i], now->header.tag)) {
            by_request(now, WEFT_MPI_RECV, from->peers[i], from->into[i]);
            leave_out(from, i);
        }
}

/* From all of them, in the order in which it comes. */
static inline __attribute__((always_inline)) void recv_from(struct now *now, struct children *from)
{
    struct weft_mpi *mpi = now->mpi;
    for (;;) {
        uint32_t seen = weft__mpi_protocol_bell(mpi);
        if (weft__mpi_match_queue(now->comm, true)->unexpected_n > 0)
            take_kept(now, from);
        if (from->n == 0)
            return;
        const struct weft_packet *packet = weft_cell_peek(mpi->cell);
        int32_t i = packet ? whose(now, packet, from) : -1;
        if (i >= 0) {
            if (now->header.len_bytes > 0)
                weft__mpi_copy(from->into[i], packet->payload + WEFT_MPI_HEADER_BYTES,
                               now->header.len_bytes);
            weft_cell_consume(mpi->cell, packet);
            leave_out(from, i);
        } else if (packet || weft__mpi_protocol_is_busy(mpi)) {
            weft__mpi_protocol_progress(mpi);
        }
        if (i < 0 && !packet)
            weft__mpi_protocol_wait_near(mpi, seen);
    }
}

static inline __attribute__((always_inline)) void recv_one(struct now *now, int32_t peer,
                                                           void *into)
{
    struct children from = {.n = 1, .peers = {peer}, .into = {into}};
    recv_from(now, &from);
}

static void send_to_children(struct now *now, const struct place *p, const void *bytes)
{
    for (int level = p->level - FAN_BITS; level >= 0; level -= FAN_BITS)
        for (int32_t k = 1, n = children_of(p, level); k <= n; k++)
            send_to(now, child_of(p, level, k), bytes);
}

static inline __attribute__((always_inline)) void down(struct now *now, const struct place *p,
                                                       void *bytes)
{
    if (p->parent >= 0)
        recv_one(now, parent_of(p), bytes);
    send_to_children(now, p, bytes);
}

/* slots: of SHORT_MAX bytes each; NULL: nothing comes. */
static inline struct children children(const struct place *p, int level, unsigned char *slots)
{
    struct children from;
    from.n = children_of(p, level);
    for (int32_t i = 0; i < from.n; i++) {
        from.peers[i] = child_of(p, level, i + 1);
        from.into[i] = slots ? slots + (size_t)i * SHORT_MAX : NULL;
    }
    return from;
}

static void barrier_now(struct now *now)
{
    const struct place p = place_of_twins(now->comm);
    for (int level = 0; level < p.level; level += FAN_BITS) {
        struct children from = children(&p, level, NULL);
        recv_from(now, &from);
    }
    if (p.parent >= 0)
        send_to(now, parent_of(&p), NULL);
    down(now, &p, NULL);
}

static void swap_now(struct now *now)
{
    int32_t peer = 1 - now->comm->rank;
    send_to(now, peer, NULL);
    recv_one(now, peer, NULL);
}

static void bcast_now(struct now *now)
{
    const struct place p = place_of(now->comm, now->coll->root);
    down(now, &p, (void *)(uintptr_t)now->coll->into.buf);
}

static void combine(const struct now *now, const void *left, const void *right, void *into)
{
    const struct weft_mpi_combine combine = {.op = now->coll->op,
                                             .type = now->coll->into.type,
                                             .count = now->coll->into.count,
                                             .left = left,
                                             .right = right,
                                             .into = into};
    weft__mpi_op_combine(now->mpi, &combine);
}

static void allreduce_now(struct now *now)
{
    _Alignas(64) unsigned char slots[FAN - 1][SHORT_MAX];
    const struct place p = place_of_twins(now->comm);
    const void *partial = weft__mpi_coll_mine(now->coll).buf;
    void *result = (void *)(uintptr_t)now->coll->into.buf;
    for (int level = 0; level < p.level && children_of(&p, level) > 0; level += FAN_BITS) {
        struct children from = children(&p, level, slots[0]);
        int32_t n = from.n;
        recv_from(now, &from);
        combine(now, partial, slots[0], result);
        partial = result;
        if (n == 3)
            combine(now, slots[1], slots[2], slots[1]);
        if (n >= 2)
            combine(now, partial, slots[1], result);
    }
    if (p.parent >= 0)
        send_to(now, parent_of(&p), partial);
    if (!p.twin) {
        down(now, &p, result);
        return;
    }
    recv_one(now, parent_of(&p), slots[0]);
    combine(now, p.me == 0 ? partial : slots[0], p.me == 0 ? slots[0] : partial, result);
    send_to_children(now, &p, result);
}

static void reduce_two_now(struct now *now)
{
    _Alignas(64) unsigned char slot[SHORT_MAX];
    int32_t me = now->comm->rank;
    const void *mine = weft__mpi_coll_mine(now->coll).buf;
    send_to(now, 1 - me, mine);
    recv_one(now, 1 - me, slot);
    combine(now, me == 0 ? mine : slot, me == 0 ? slot : mine,
            (void *)(uintptr_t)now->coll->into.buf);
}

static void (*short_way(weft__mpi_coll_add *add, int32_t size))(struct now *)
{
    if (add == weft__mpi_barrier_wide)
        return barrier_now;
    if (add == weft__mpi_bcast_wide)
        return bcast_now;
    if (add == weft__mpi_allreduce_wide)
        return allreduce_now;
    if (add == weft__mpi_barrier_dissemination && size == 2)
        return swap_now;
    return add == weft__mpi_reduce_doubling && size == 2 ? reduce_two_now : NULL;
}

/* Whether the data lie in one piece from their buffers' addresses on, with a type that needs no
 * holder. */
static bool is_plain(struct weft_mpi *mpi, const struct weft_mpi_coll *coll)
{
    const struct weft_mpi_side *side = &coll->into;
    if (coll->kind == WEFT_MPI_COLL_BARRIER)
        return true;
    if (coll->kind != WEFT_MPI_COLL_BCAST && coll->kind != WEFT_MPI_COLL_ALLREDUCE)
        return false;
    const struct weft_mpi_type *type = weft__mpi_type_get(mpi, side->type);
    return !weft__mpi_type_is_derived(side->type) && weft__mpi_type_is_run(type, side->count) &&
           type->true_lb == 0 && (uint64_t)side->count * type->size <= SHORT_MAX &&
           (uint64_t)side->count * (uint64_t)type->extent <= SHORT_MAX;
}

static struct now begin(struct weft_mpi *mpi, struct weft_mpi_comm *comm, uint16_t stamp,
                        uint64_t len_bytes)
{
    return (struct now){.mpi = mpi,
                        .comm = comm,
                        .header = {.kind = WEFT_MPI_EAGER,
                                   .stamp = stamp,
                                   .context = comm->context | 1u,
                                   .source = comm->rank,
                                   .tag = weft__mpi_schedule_tag(comm),
                                   .len_bytes = len_bytes}};
}

bool weft__mpi_coll_now(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                        const struct weft_mpi_coll *coll, int *error_out)
{
    uint64_t len_bytes = 0;
    weft__mpi_coll_add *add = NULL;
    if (comm->size < 2 || comm->remote || !is_plain(mpi, coll))
        return false;
    if (coll->kind != WEFT_MPI_COLL_BARRIER)
        len_bytes = (uint64_t)coll->into.count * weft__mpi_type_get(mpi, coll->into.type)->size;
    uint16_t stamp = weft__mpi_coll_stamp(mpi, comm, coll, &add);
    void (*carry_out)(struct now *) = short_way(add, comm->size);
    if (!carry_out || len_bytes > weft__mpi_out_eager_max(mpi))
        return false;
    struct now now = begin(mpi, comm, stamp, len_bytes);
    now.coll = coll;
    carry_out(&now);
    *error_out = now.error;
    return true;
}
