/* Barriers and broadcasts.
 *
 * A barrier of two ranks is one of dissemination; for more, and for very short broadcasts, see
 * coll_wide.c.
 *
 * A short broadcast is a binomial tree. A long one is a chain over the ranks from the root on, in
 * segments: each rank receives and sends every byte once, and neighbours in the chain are mostly
 * neighbours on a host. Segments are of bytes, because two ranks may name the same bytes by
 * different types; where a type has gaps, they are packed and unpacked segment by segment.
 */
#include "mpi/coll_parts.h"

bool weft__mpi_barrier_begin(struct weft_mpi_schedule *s)
{
    (void)s;
    return true;
}

void weft__mpi_barrier_dissemination(struct weft_mpi_schedule *s)
{
    const struct weft_mpi_buffer nothing = weft__mpi_coll_packed(NULL, 0);
    int64_t size = s->comm->size, me = s->comm->rank;
    for (int64_t distance = 1; distance < size; distance *= 2) {
        weft__mpi_schedule_send(s, (me + distance) % size, &nothing);
        weft__mpi_schedule_recv(s, (me + size - distance) % size, &nothing);
        weft__mpi_schedule_fence(s);
    }
}

void weft__mpi_barrier_steps(struct weft_mpi_schedule *s)
{
    const struct weft_mpi_buffer nothing = weft__mpi_coll_packed(NULL, 0);
    int64_t size = s->comm->size, me = s->comm->rank, bit;
    for (bit = 1; bit < size && (me & bit) == 0; bit *= 2)
        if (me + bit < size)
            weft__mpi_schedule_recv(s, me + bit, &nothing);
    weft__mpi_schedule_fence(s);
    if (me != 0) {
        weft__mpi_schedule_send(s, me - bit, &nothing);
        weft__mpi_schedule_fence(s);
    }
}

/* ---- broadcast ---- */

void weft__mpi_bcast_steps(struct weft_mpi_schedule *s, int32_t root,
                           const struct weft_mpi_buffer *buffer)
{
    int64_t size = s->comm->size, me = (s->comm->rank + size - root) % size, bit = 1;
    while (bit < size && (me & bit) == 0)
        bit *= 2;
    if (me != 0) {
        weft__mpi_schedule_recv(s, (me - bit + root) % size, buffer);
        weft__mpi_schedule_fence(s);
    }
    for (bit /= 2; bit > 0; bit /= 2)
        if (me + bit < size)
            weft__mpi_schedule_send(s, (me + bit + root) % size, buffer);
}

bool weft__mpi_bcast_begin(struct weft_mpi_schedule *s)
{
    (void)s;
    return true;
}

void weft__mpi_bcast_binomial(struct weft_mpi_schedule *s)
{
    const struct weft_mpi_buffer buffer = weft__mpi_coll_whole(&s->coll.into);
    weft__mpi_bcast_steps(s, s->coll.root, &buffer);
}

static bool is_run(const struct weft_mpi_schedule *s)
{
    const struct weft_mpi_side *side = &s->coll.into;
    return weft__mpi_type_is_run(weft__mpi_type_get(s->mpi, side->type), side->count);
}

bool weft__mpi_bcast_chain_begin(struct weft_mpi_schedule *s)
{
    const struct weft_mpi_buffer buffer = weft__mpi_coll_whole(&s->coll.into);
    weft__mpi_coll_divide(s, weft__mpi_coll_bytes(s->mpi, &buffer), s->segment);
    s->parts++; /* in part p segment p comes in and segment p - 1 goes out */
    return is_run(s) || weft__mpi_schedule_scratch(s, 2 * (size_t)s->segment);
}

/* Where a segment is: in the buffer, or packed in one of two places. */
static struct weft_mpi_buffer segment(const struct weft_mpi_schedule *s, uint64_t number)
{
    const struct weft_mpi_side *side = &s->coll.into;
    uint64_t first = number * s->segment, rest = s->total - first;
    uint64_t len = rest < s->segment ? rest : s->segment;
    unsigned char *data = weft__mpi_type_at(weft__mpi_type_get(s->mpi, side->type), side->buf);
    void *at = s->scratch ? s->scratch + number % 2 * s->segment : data + first;
    return weft__mpi_coll_packed(at, len);
}

void weft__mpi_bcast_chain(struct weft_mpi_schedule *s)
{
    const struct weft_mpi_buffer whole = weft__mpi_coll_whole(&s->coll.into);
    int64_t size = s->comm->size, me = (s->comm->rank + size - s->coll.root) % size;
    bool comes = s->part + 1 < s->parts, goes = s->part > 0 && me + 1 < size;
    struct weft_mpi_buffer in = {0}, out = {0};
    if (goes) {
        out = segment(s, s->part - 1);
        weft__mpi_schedule_send(s, (s->comm->rank + 1) % size, &out);
    }
    if (!comes)
        return;
    in = segment(s, s->part);
    if (me > 0) {
        weft__mpi_schedule_recv(s, (s->comm->rank + size - 1) % size, &in);
        weft__mpi_schedule_fence(s);
    }
    uint64_t first = s->part * s->segment;
    if (s->scratch && me == 0)
        weft__mpi_schedule_pack(s, &whole, first, in.buf, (size_t)in.count);
    else if (s->scratch)
        weft__mpi_schedule_unpack(s, &whole, first, in.buf, (size_t)in.count);
}
