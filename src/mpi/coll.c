/* Barrier, broadcast and reductions.
 *
 * Reductions have one combine tree, T(n) over ranks 0..n-1 in order: a block of 2^k ranks is (first
 * half) op (second half), a block that is cut off by n is what is left of that. It depends on the
 * number of ranks alone, not on the root, on who shares a host, or on what arrives first: a result
 * has the same bits for every placement and after every move, and Reduce and Allreduce agree. In
 * Reduce the root stands for each block that it is in, so the tree costs log2(n) rounds for every
 * root. Allreduce over a power of two runs recursive doubling, in which every rank combines the
 * same operands in the same order; else it reduces to rank 0 and broadcasts. Source of the barrier:
 * Hensgen, Finkel, Manber, Two algorithms for barrier synchronization, 1988.
 */
#include "mpi/coll.h"

#include "mpi/schedule.h"

static uint32_t rounds(int32_t size)
{
    uint32_t n = 0;
    while (((int64_t)1 << n) < size)
        n++;
    return n;
}

struct weft_mpi_request *weft__mpi_coll_barrier(struct weft_mpi *mpi, struct weft_mpi_comm *comm)
{
    const struct weft_mpi_data nothing = {.type = weft__mpi_type_number(MPI_BYTE)};
    int64_t size = comm->size;
    struct weft_mpi_request *request = weft__mpi_schedule_new(mpi, comm, 3 * rounds(comm->size), 0);
    if (!request)
        return NULL;
    for (int64_t distance = 1; distance < size; distance *= 2) {
        weft__mpi_schedule_send(request, (int32_t)((comm->rank + distance) % size), &nothing);
        weft__mpi_schedule_recv(request, (int32_t)((comm->rank + size - distance) % size),
                                &nothing);
        weft__mpi_schedule_fence(request);
    }
    return request;
}

/* A binomial tree over the ranks counted from the root. */
static void add_bcast(struct weft_mpi_request *request, int32_t root,
                      const struct weft_mpi_data *data)
{
    const struct weft_mpi_comm *comm = request->comm;
    int64_t size = comm->size, me = (comm->rank + size - root) % size, bit = 1;
    while (bit < size && (me & bit) == 0)
        bit *= 2;
    if (me != 0) {
        weft__mpi_schedule_recv(request, (int32_t)((me - bit + root) % size), data);
        weft__mpi_schedule_fence(request);
    }
    for (bit /= 2; bit > 0; bit /= 2)
        if (me + bit < size)
            weft__mpi_schedule_send(request, (int32_t)((me + bit + root) % size), data);
}

struct weft_mpi_request *weft__mpi_coll_bcast(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                                              const struct weft_mpi_data *data, int32_t root)
{
    struct weft_mpi_request *request = weft__mpi_schedule_new(mpi, comm, rounds(comm->size) + 2, 0);
    if (request)
        add_bcast(request, root, data);
    return request;
}

/* A reduction while its schedule is written: where this rank's partial result is, and where the
 * next one goes. */
struct reduction {
    struct weft_mpi_request *request;
    struct weft_mpi_combine combine; /* op, type, count */
    const void *partial;
    void *into, *incoming;
};

static void send_partial(const struct reduction *r, int32_t peer)
{
    const struct weft_mpi_data data = {
        .from = r->partial, .count = r->combine.count, .type = r->combine.type};
    weft__mpi_schedule_send(r->request, peer, &data);
}

static void recv_partial(const struct reduction *r, int32_t peer)
{
    const struct weft_mpi_data data = {
        .into = r->incoming, .count = r->combine.count, .type = r->combine.type};
    weft__mpi_schedule_recv(r->request, peer, &data);
}

static void combine_partials(struct reduction *r, bool incoming_is_left)
{
    struct weft_mpi_combine combine = r->combine;
    weft__mpi_schedule_fence(r->request);
    combine.left = incoming_is_left ? r->incoming : r->partial;
    combine.right = incoming_is_left ? r->partial : r->incoming;
    combine.into = r->into;
    weft__mpi_schedule_combine(r->request, &combine);
    r->partial = r->into;
}

/* Who has the partial result of the block of ranks [first, first + width): the root where it is in
 * it. */
static int64_t owner(int64_t first, int64_t width, int64_t root)
{
    return root >= first && root - first < width ? root : first;
}

static void add_reduce(struct reduction *r, int32_t root)
{
    const struct weft_mpi_comm *comm = r->request->comm;
    for (int64_t half = 1; half < comm->size; half *= 2) {
        int64_t first = comm->rank & ~(2 * half - 1), second = first + half;
        if (second >= comm->size)
            continue;
        int64_t left = owner(first, half, root), right = owner(second, half, root);
        bool right_stays = right == root;
        int64_t stays = right_stays ? right : left, goes = right_stays ? left : right;
        if (comm->rank == goes) {
            send_partial(r, (int32_t)stays);
            return;
        }
        if (comm->rank == stays) {
            recv_partial(r, (int32_t)goes);
            combine_partials(r, right_stays);
        }
    }
}

static void add_doubling(struct reduction *r)
{
    const struct weft_mpi_comm *comm = r->request->comm;
    for (int32_t half = 1; half < comm->size; half *= 2) {
        int32_t peer = comm->rank ^ half;
        recv_partial(r, peer);
        send_partial(r, peer);
        combine_partials(r, peer < comm->rank);
    }
}

/* Steps: at most four per round, a copy, and those of a broadcast. */
static bool begin(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                  const struct weft_mpi_reduce *desc, struct reduction *r)
{
    int64_t first; /* of the data, from the buffer's address */
    size_t bytes = weft__mpi_type_span(weft__mpi_type_get(mpi, desc->type), desc->count, &first);
    bytes = (bytes + 15u) & ~(size_t)15u;
    r->request = weft__mpi_schedule_new(mpi, comm, 5 * rounds(comm->size) + 4, 2 * bytes);
    if (!r->request)
        return false;
    r->combine =
        (struct weft_mpi_combine){.op = desc->op, .type = desc->type, .count = desc->count};
    r->partial = desc->from;
    uintptr_t scratch = (uintptr_t)r->request->schedule->scratch - (uintptr_t)first;
    r->incoming = (void *)scratch;                                 /* NOLINT */
    r->into = desc->into ? desc->into : (void *)(scratch + bytes); /* NOLINT */
    return true;
}

/* Alone: the result is the contribution. */
static void add_copy(const struct reduction *r, void *into)
{
    const struct weft_mpi_data data = {
        .from = r->partial, .into = into, .count = r->combine.count, .type = r->combine.type};
    if (r->partial != into)
        weft__mpi_schedule_copy(r->request, &data);
}

struct weft_mpi_request *weft__mpi_coll_reduce(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                                               const struct weft_mpi_reduce *desc, int32_t root)
{
    struct reduction r;
    if (!begin(mpi, comm, desc, &r))
        return NULL;
    add_reduce(&r, root);
    if (comm->rank == root)
        add_copy(&r, desc->into);
    return r.request;
}

struct weft_mpi_request *weft__mpi_coll_allreduce(struct weft_mpi *mpi, struct weft_mpi_comm *comm,
                                                  const struct weft_mpi_reduce *desc)
{
    struct reduction r;
    if (!begin(mpi, comm, desc, &r))
        return NULL;
    if ((comm->size & (comm->size - 1)) == 0) {
        add_doubling(&r);
        add_copy(&r, desc->into);
        return r.request;
    }
    const struct weft_mpi_data result = {
        .from = desc->into, .into = desc->into, .count = desc->count, .type = desc->type};
    add_reduce(&r, 0);
    weft__mpi_schedule_fence(r.request);
    add_bcast(r.request, 0, &result);
    return r.request;
}
