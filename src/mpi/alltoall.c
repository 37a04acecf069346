/* All-to-all: block i of rank j becomes block j of rank i.
 *
 * In step k rank r exchanges blocks with rank (k - r) mod n: every step is a matching of the ranks
 * in pairs, over all steps each pair meets once, and each rank meets itself once (that exchange
 * goes through the library's messages to oneself, which know every pair of types). Some steps run
 * together, then all of them are waited for: what a rank has under way is bounded whatever the
 * number of ranks. In place, what goes out is copied to scratch memory first, so the scratch is
 * bounded too. Blocks are not combined on their way (Bruck), which would need fewer
 * messages for small blocks, but as many copies of each block as there are rounds.
 */
#include "mpi/coll.h"

enum { TOGETHER = 16 }; /* steps */

struct window {
    struct weft_mpi_request *request;
    const struct weft_mpi_alltoall *desc;
    int64_t size, me, from_bytes, into_bytes; /* of a block */
};

static unsigned char *block_into(const struct window *w, int64_t peer)
{
    return (unsigned char *)w->desc->into + peer * w->into_bytes;
}

/* In place: where a step of the window keeps what it sends. */
static unsigned char *scratch(const struct window *w, int64_t step)
{
    return w->request->schedule->scratch + step % TOGETHER * w->into_bytes;
}

static int32_t partner(const struct window *w, int64_t step)
{
    return (int32_t)((step - w->me + w->size) % w->size);
}

static void keep_block(const struct window *w, int64_t step)
{
    const struct weft_mpi_data data = {.from = block_into(w, partner(w, step)),
                                       .into = scratch(w, step),
                                       .count = w->desc->into_count,
                                       .type = w->desc->into_type};
    weft__mpi_schedule_copy(w->request, &data);
}

static void exchange(const struct window *w, int64_t step)
{
    const struct weft_mpi_alltoall *desc = w->desc;
    int32_t peer = partner(w, step);
    struct weft_mpi_data received = {
        .into = block_into(w, peer), .count = desc->into_count, .type = desc->into_type};
    struct weft_mpi_data sent = received;
    if (desc->from) {
        sent.from = (const unsigned char *)desc->from + peer * w->from_bytes;
        sent.count = desc->from_count;
        sent.type = desc->from_type;
    } else {
        sent.from = scratch(w, step);
    }
    weft__mpi_schedule_recv(w->request, peer, &received);
    weft__mpi_schedule_send(w->request, peer, &sent);
}

static void add_window(const struct window *w, int64_t first, int64_t end)
{
    bool in_place = !w->desc->from;
    for (int64_t step = first; step < end && in_place; step++)
        if (partner(w, step) != w->me)
            keep_block(w, step);
    for (int64_t step = first; step < end; step++)
        if (!in_place || partner(w, step) != w->me)
            exchange(w, step);
    weft__mpi_schedule_fence(w->request);
}

struct weft_mpi_request *weft__mpi_coll_alltoall(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                                                 const struct weft_mpi_alltoall *desc)
{
    struct window w = {.desc = desc, .size = comm->size, .me = comm->rank};
    int64_t together = w.size < TOGETHER ? w.size : TOGETHER;
    w.into_bytes = desc->into_count * weft__mpi_type_get(mpi, desc->into_type)->extent;
    if (desc->from)
        w.from_bytes = desc->from_count * weft__mpi_type_get(mpi, desc->from_type)->extent;
    w.request = weft__mpi_schedule_new(mpi, comm, (uint32_t)(4 * w.size),
                                       desc->from ? 0 : (size_t)(together * w.into_bytes));
    if (!w.request)
        return NULL;
    for (int64_t first = 0; first < w.size; first += TOGETHER)
        add_window(&w, first, first + TOGETHER < w.size ? first + TOGETHER : w.size);
    return w.request;
}
