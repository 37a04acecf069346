/* Short collectives in trees of four: barrier, bcast, allreduce; and the short way to carry them
 * out.
 *
 * Where ranks share cores, what a collective costs is messages and switches, not rounds. In a tree
 * of four a rank takes in up to three others at once; what has come is there when its turn comes,
 * so in a crowd each rank is switched to once for the way up and down. Four ranks that lie side by
 * side are mostly on one core. Results are combined along T(n), see coll.c: of four blocks the
 * first two, the last two, and these.
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

enum { FAN = 4, SHORT_MAX = 2048 };

/* A rank's place in the tree: relative to the root. */
struct place {
    int64_t me, size;
    int64_t bit; /* of the level where it is a child; the root: the first one that is too high */
};

static struct place place_of(const struct weft_mpi_comm *comm, int32_t root)
{
    struct place p = {.me = (comm->rank + comm->size - root) % comm->size, .size = comm->size};
    for (p.bit = 1; p.bit < p.size && p.me / p.bit % FAN == 0;)
        p.bit *= FAN;
    return p;
}

static int64_t parent_of(const struct place *p)
{
    return p->me - p->me / p->bit % FAN * p->bit;
}

/* At the level of a bit below its own. */
static int64_t children_of(const struct place *p, int64_t bit)
{
    int64_t n = (p->size - 1 - p->me) / bit;
    return n < FAN - 1 ? n : FAN - 1;
}

static int32_t rank_of(const struct place *p, int64_t place, int32_t root)
{
    return (int32_t)((place + root) % p->size);
}

/* ---- schedules ---- */

static void add_down(struct weft_mpi_schedule *s, const struct place *p,
                     const struct weft_mpi_buffer *buffer)
{
    if (p->me != 0) {
        weft__mpi_schedule_recv(s, rank_of(p, parent_of(p), s->coll.root), buffer);
        weft__mpi_schedule_fence(s);
    }
    for (int64_t bit = p->bit / FAN; bit > 0; bit /= FAN)
        for (int64_t k = 1; k <= children_of(p, bit); k++)
            weft__mpi_schedule_send(s, rank_of(p, p->me + k * bit, s->coll.root), buffer);
}

static void add_up(struct weft_mpi_schedule *s, const struct place *p,
                   const struct weft_mpi_buffer *buffer)
{
    weft__mpi_schedule_fence(s);
    if (p->me == 0)
        return;
    weft__mpi_schedule_send(s, parent_of(p), buffer);
    weft__mpi_schedule_fence(s);
}

void weft__mpi_barrier_wide(struct weft_mpi_schedule *s)
{
    const struct weft_mpi_buffer nothing = weft__mpi_coll_packed(NULL, 0);
    const struct place p = place_of(s->comm, 0);
    for (int64_t bit = 1; bit < p.bit; bit *= FAN)
        for (int64_t k = 1; k <= children_of(&p, bit); k++)
            weft__mpi_schedule_recv(s, p.me + k * bit, &nothing);
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
    weft__mpi_coll_divide(s, (uint64_t)mine.count, 0);
    return weft__mpi_schedule_scratch(
        s, weft__mpi_coll_slots_bytes(s->mpi, mine.type, s->segment, FAN - 1));
}

void weft__mpi_allreduce_wide(struct weft_mpi_schedule *s)
{
    const struct place p = place_of(s->comm, 0);
    struct weft_mpi_buffer partial = weft__mpi_coll_mine(&s->coll), slot[FAN - 1];
    const struct weft_mpi_buffer result = weft__mpi_coll_whole(&s->coll.into);
    struct weft_mpi_slots slots = weft__mpi_coll_slots(s, partial.type, s->segment);
    for (int i = 0; i < FAN - 1; i++)
        slot[i] =
            (struct weft_mpi_buffer){weft__mpi_coll_slot(&slots, i), partial.count, partial.type};
    for (int64_t bit = 1; bit < p.bit && children_of(&p, bit) > 0; bit *= FAN) {
        int64_t n = children_of(&p, bit);
        for (int64_t k = 0; k < n; k++)
            weft__mpi_schedule_recv(s, p.me + (k + 1) * bit, &slot[k]);
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
    add_down(s, &p, &result);
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
static void recv_from(struct now *now, struct children from)
{
    struct weft_mpi *mpi = now->mpi;
    for (;;) {
        uint32_t seen = weft__mpi_protocol_bell(mpi);
        take_kept(now, &from);
        if (from.n == 0)
            return;
        const struct weft_packet *packet = weft_cell_peek(mpi->cell);
        int32_t i = packet ? whose(now, packet, &from) : -1;
        if (i >= 0) {
            if (now->header.len_bytes > 0)
                weft__mpi_copy(from.into[i], packet->payload + WEFT_MPI_HEADER_BYTES,
                               now->header.len_bytes);
            weft_cell_consume(mpi->cell, packet);
            leave_out(&from, i);
        } else if (packet || weft__mpi_protocol_is_busy(mpi)) {
            weft__mpi_protocol_progress(mpi);
        }
        if (i < 0 && !packet)
            weft__mpi_protocol_wait(mpi, seen);
    }
}

static void recv_one(struct now *now, int32_t peer, void *into)
{
    recv_from(now, (struct children){.n = 1, .peers = {peer}, .into = {into}});
}

static void down(struct now *now, const struct place *p, void *bytes)
{
    int32_t root = now->coll->root;
    if (p->me != 0)
        recv_one(now, rank_of(p, parent_of(p), root), bytes);
    for (int64_t bit = p->bit / FAN; bit > 0; bit /= FAN)
        for (int64_t k = 1; k <= children_of(p, bit); k++)
            send_to(now, rank_of(p, p->me + k * bit, root), bytes);
}

/* slots: of SHORT_MAX bytes each; NULL: nothing comes. */
static struct children children(const struct place *p, int64_t bit, unsigned char *slots)
{
    struct children from = {.n = (int32_t)children_of(p, bit)};
    for (int32_t i = 0; i < from.n; i++) {
        from.peers[i] = (int32_t)(p->me + (i + 1) * bit);
        from.into[i] = slots ? slots + (size_t)i * SHORT_MAX : NULL;
    }
    return from;
}

static void barrier_now(struct now *now)
{
    const struct place p = place_of(now->comm, 0);
    for (int64_t bit = 1; bit < p.bit; bit *= FAN)
        recv_from(now, children(&p, bit, NULL));
    if (p.me != 0)
        send_to(now, (int32_t)parent_of(&p), NULL);
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
    const struct place p = place_of(now->comm, 0);
    const void *partial = weft__mpi_coll_mine(now->coll).buf;
    void *result = (void *)(uintptr_t)now->coll->into.buf;
    for (int64_t bit = 1; bit < p.bit && children_of(&p, bit) > 0; bit *= FAN) {
        int64_t n = children_of(&p, bit);
        recv_from(now, children(&p, bit, slots[0]));
        combine(now, partial, slots[0], result);
        partial = result;
        if (n == 3)
            combine(now, slots[1], slots[2], slots[1]);
        if (n >= 2)
            combine(now, partial, slots[1], result);
    }
    if (p.me != 0)
        send_to(now, (int32_t)parent_of(&p), partial);
    down(now, &p, result);
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
    struct now now = {.mpi = mpi,
                      .comm = comm,
                      .coll = coll,
                      .header = {.kind = WEFT_MPI_EAGER,
                                 .stamp = stamp,
                                 .context = comm->context | 1u,
                                 .source = comm->rank,
                                 .tag = weft__mpi_schedule_tag(comm),
                                 .len_bytes = len_bytes}};
    carry_out(&now);
    *error_out = now.error;
    return true;
}
