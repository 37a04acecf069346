/* Collectives as the program calls them: arguments checked, schedule written, started, waited for.
 *
 * Each function fills one description, so all are checked by the same code: which sides of it count
 * on this rank (from: what is sent, into: what is received), what MPI_IN_PLACE stands for, and then
 * each side that counts. What does not count is not looked at: a rank that is no root may pass
 * anything there. On an intercommunicator the ranks beside the root say MPI_PROC_NULL, nothing
 * counts there, and a side of several blocks has one for each rank of the other group.
 */
#include "mpi/collective.h"

#include "mpi/coll_parts.h"
#include "mpi/error.h"
#include "mpi/op.h"
#include "mpi/request.h"
#include "mpi/schedule.h"
#include "mpi/wait.h"

/* A call while it is checked. */
struct check {
    struct weft_mpi *mpi;
    struct weft_mpi_comm *comm;
    const char *where;
    const struct weft_mpi_call *call;
    struct weft_mpi_coll coll; /* as it will be carried out */
    bool root;                 /* this rank is it */
    int32_t from_n, into_n;    /* blocks of a side that has several */
};

#define LENGTHS_DIFFER "ranks do not agree on how long the messages are"
#define RAISE(c, code, ...)                                                                        \
    weft__mpi_error_raise((c)->mpi, (c)->comm, code, (c)->where, __VA_ARGS__)

static bool has_root(const struct check *c)
{
    switch ((enum weft_mpi_coll_kind)c->coll.kind) {
    case WEFT_MPI_COLL_BCAST:
    case WEFT_MPI_COLL_GATHER:
    case WEFT_MPI_COLL_GATHERV:
    case WEFT_MPI_COLL_SCATTER:
    case WEFT_MPI_COLL_SCATTERV:
    case WEFT_MPI_COLL_REDUCE:
        return true;
    default:
        return false;
    }
}

static bool is_scatter(const struct check *c)
{
    return c->coll.kind == WEFT_MPI_COLL_SCATTER || c->coll.kind == WEFT_MPI_COLL_SCATTERV;
}

static bool is_neighbors(const struct check *c)
{
    return c->coll.kind == WEFT_MPI_COLL_NEIGHBORS || c->coll.kind == WEFT_MPI_COLL_NEIGHBORS_ALL;
}

static bool is_reduction(const struct check *c)
{
    return c->coll.kind >= WEFT_MPI_COLL_REDUCE;
}

/* ---- one side ---- */

static int check_count(const struct check *c, MPI_Count count)
{
    return count < 0 ? RAISE(c, MPI_ERR_COUNT, "count %lld", (long long)count) : MPI_SUCCESS;
}

/* n blocks of count values have sizes and addresses, and lie somewhere. */
static int check_blocks(const struct check *c, const struct weft_mpi_side *side, uint32_t number,
                        MPI_Count count, MPI_Count n)
{
    const struct weft_mpi_type *type = weft__mpi_type_get(c->mpi, number);
    MPI_Count all;
    int err = check_count(c, count);
    if (err)
        return err;
    if (__builtin_mul_overflow(count, n, &all) || !weft__mpi_type_fits(type, all))
        return RAISE(c, MPI_ERR_COUNT, "%lld times %lld values of %s are more than memory holds",
                     (long long)n, (long long)count, weft__mpi_type_label(type));
    if (side->buf == MPI_IN_PLACE)
        return RAISE(c, MPI_ERR_BUFFER, "MPI_IN_PLACE has no meaning here");
    if (weft__mpi_type_misses(type, side->buf, count))
        return RAISE(c, MPI_ERR_BUFFER, "no buffer for %lld values of %s", (long long)count,
                     weft__mpi_type_label(type));
    return MPI_SUCCESS;
}

/* n blocks. */
static int check_side(const struct check *c, struct weft_mpi_side *side, MPI_Datatype datatype,
                      int32_t n)
{
    int err = side->types ? MPI_SUCCESS : weft__mpi_type_check(c->mpi, c->comm, c->where, datatype);
    if (!side->types)
        side->type = weft__mpi_type_number(datatype);
    if (err || !side->counts)
        return err ? err : check_blocks(c, side, side->type, side->count, n);
    for (int32_t i = 0; i < n && !err; i++) {
        uint32_t type = side->type;
        if (side->types) {
            err = weft__mpi_type_check(c->mpi, c->comm, c->where, side->types[i]);
            type = weft__mpi_type_number(side->types[i]);
        }
        if (!err)
            err = check_blocks(c, side, type, weft__mpi_coll_count(&c->coll, side, i), 1);
    }
    return err;
}

/* ---- the whole ---- */

static int check_root(struct check *c)
{
    const struct weft_mpi_comm *comm = c->comm;
    int32_t root = c->coll.root;
    bool named = !comm->remote || (root != MPI_ROOT && root != MPI_PROC_NULL);
    if (!has_root(c))
        return MPI_SUCCESS;
    if (named && (root < 0 || root >= comm->peers))
        return RAISE(c, MPI_ERR_ROOT, "root %d in a %s of %d", root,
                     comm->remote ? "remote group" : "communicator", comm->peers);
    c->root = root == (comm->remote ? MPI_ROOT : comm->rank);
    return MPI_SUCCESS;
}

static int check_in_place(struct check *c)
{
    const struct weft_mpi_side *own = is_scatter(c) ? &c->coll.into : &c->coll.from;
    c->coll.in_place = own->buf == MPI_IN_PLACE && c->coll.kind != WEFT_MPI_COLL_BCAST &&
                       !is_neighbors(c) && !c->comm->remote;
    if (c->coll.in_place && has_root(c) && !c->root)
        return RAISE(c, MPI_ERR_BUFFER, "MPI_IN_PLACE is for the root");
    return MPI_SUCCESS;
}

static bool from_counts(const struct check *c)
{
    if (c->coll.kind == WEFT_MPI_COLL_BARRIER || c->coll.kind == WEFT_MPI_COLL_BCAST)
        return false;
    return is_scatter(c) ? c->root : c->coll.root >= 0 && !c->coll.in_place;
}

static bool into_counts(const struct check *c)
{
    if (c->coll.kind == WEFT_MPI_COLL_BARRIER)
        return false;
    if (is_scatter(c))
        return c->coll.root >= 0 && !c->coll.in_place;
    if (c->coll.kind == WEFT_MPI_COLL_BCAST)
        return c->coll.root != MPI_PROC_NULL;
    return !has_root(c) || c->root;
}

static int check_sides(struct check *c)
{
    const struct weft_mpi_side unused = {0};
    struct weft_mpi_coll *coll = &c->coll;
    enum weft_mpi_coll_kind kind = coll->kind;
    bool from_blocks = is_scatter(c) || kind == WEFT_MPI_COLL_ALLTOALL ||
                       kind == WEFT_MPI_COLL_ALLTOALLV || kind == WEFT_MPI_COLL_NEIGHBORS_ALL;
    bool into_blocks =
        kind <= WEFT_MPI_COLL_NEIGHBORS_ALL && kind != WEFT_MPI_COLL_BCAST && !is_scatter(c);
    bool reduces_blocks = kind == WEFT_MPI_COLL_REDUCE_SCATTER;
    int err = MPI_SUCCESS;
    if (!from_counts(c))
        coll->from = unused;
    else
        err = check_side(c, &coll->from, c->call->from_type, from_blocks ? c->from_n : 1);
    if (!into_counts(c))
        coll->into = unused;
    else if (!err)
        err = check_side(c, &coll->into, c->call->into_type,
                         into_blocks || reduces_blocks ? c->into_n : 1);
    if (kind == WEFT_MPI_COLL_BCAST)
        coll->from = coll->into;
    return err;
}

int weft__mpi_collective_check_op(struct weft_mpi *mpi, const char *where,
                                  const struct weft_mpi_comm *comm, MPI_Op op,
                                  MPI_Datatype datatype)
{
    const struct weft_mpi_type *type = weft__mpi_type_find(mpi, datatype);
    if (!weft__mpi_op_known(mpi, op))
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_OP, where,
                                     "handle 0x%zx is not an operation of reductions",
                                     weft__mpi_handle_value(op));
    if (!weft__mpi_op_defined(op, type))
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_OP, where, "%s is not defined for %s",
                                     weft__mpi_op_name(op), weft__mpi_type_label(type));
    return MPI_SUCCESS;
}

/* All blocks of a reduce_scatter have sizes and addresses; contribution and result are not one. */
static int check_reduction(struct check *c)
{
    struct weft_mpi_coll *coll = &c->coll;
    const struct weft_mpi_side *mine = from_counts(c) ? &coll->from : &coll->into;
    MPI_Count sum = 0;
    if (!from_counts(c) && !into_counts(c))
        return MPI_SUCCESS;
    int err =
        weft__mpi_collective_check_op(c->mpi, c->where, c->comm, c->call->op, c->call->from_type);
    coll->op = (uint32_t)weft__mpi_handle_value(c->call->op);
    for (int32_t i = 0; i < c->comm->size && coll->kind == WEFT_MPI_COLL_REDUCE_SCATTER; i++)
        if (__builtin_add_overflow(sum, weft__mpi_coll_count(coll, &coll->into, i), &sum))
            sum = INT64_MAX;
    if (!err)
        err = check_blocks(c, mine, mine->type, sum, 1);
    return err;
}

/* Buffers that are equal, where none of them would be used as it is. */
static int check_alias(const struct check *c)
{
    const struct weft_mpi_side *from = &c->coll.from, *into = &c->coll.into;
    bool empty = !into->counts && into->count == 0;
    if ((c->coll.kind != WEFT_MPI_COLL_ALLTOALL && !is_reduction(c)) || empty || c->coll.in_place ||
        !into->buf || into->buf != from->buf)
        return MPI_SUCCESS;
    return RAISE(c, MPI_ERR_BUFFER, "send and receive buffer are the same: pass MPI_IN_PLACE");
}

static int check(struct check *c)
{
    int err = check_root(c);
    if (!err)
        err = check_in_place(c);
    if (!err)
        err = check_sides(c);
    if (!err && is_reduction(c))
        err = check_reduction(c);
    return err ? err : check_alias(c);
}

static int32_t blocks_n(const struct check *c, bool in)
{
    if (is_neighbors(c))
        return weft__mpi_neighbors_n(c->comm, in);
    return c->coll.kind == WEFT_MPI_COLL_REDUCE_SCATTER ? c->comm->size : c->comm->peers;
}

int weft__mpi_collective_call(const char *where, const struct weft_mpi_call *call, MPI_Comm handle,
                              enum weft_mpi_form form, MPI_Request *request_out)
{
    struct check c = {
        .mpi = weft__mpi_enter(where), .where = where, .call = call, .coll = call->coll};
    int err = weft__mpi_comm_get(c.mpi, where, handle, &c.comm);
    if (err)
        return err;
    if (c.comm->remote && call->coll.kind >= WEFT_MPI_COLL_SCAN)
        return RAISE(&c, MPI_ERR_COMM, "an intercommunicator has no scans");
    if (is_neighbors(&c) && !c.comm->topo)
        return RAISE(&c, MPI_ERR_TOPOLOGY, "the communicator has no topology");
    c.from_n = blocks_n(&c, false);
    c.into_n = blocks_n(&c, true);
    err = check(&c);
    if (err)
        return err;
    if (form == WEFT_MPI_BLOCKING && weft__mpi_coll_now(c.mpi, c.comm, &c.coll, &err))
        return err ? RAISE(&c, err, LENGTHS_DIFFER) : err;
    struct weft_mpi_request *request = weft__mpi_coll_new(c.mpi, c.comm, &c.coll);
    if (!request)
        return RAISE(&c, MPI_ERR_NO_MEM, "the rank's region is full");
    if (form == WEFT_MPI_PERSISTENT)
        weft__mpi_schedule_persist(request);
    else
        weft__mpi_schedule_start(c.mpi, request);
    if (form == WEFT_MPI_BLOCKING)
        return weft__mpi_wait_finish(c.mpi, where, request, MPI_STATUS_IGNORE);
    *request_out = weft__mpi_request_handle(request);
    return MPI_SUCCESS;
}

int PMPI_Barrier(MPI_Comm comm)
{
    static const struct weft_mpi_call call = {.coll.kind = WEFT_MPI_COLL_BARRIER};
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct weft_mpi_comm *found = weft__mpi_comm_find(mpi, comm);
    int err;
    if (found && weft__mpi_coll_now(mpi, found, &call.coll, &err))
        return err ? weft__mpi_error_raise(mpi, found, err, WEFT_MPI_HERE, LENGTHS_DIFFER)
                   : MPI_SUCCESS;
    return weft__mpi_collective_call(WEFT_MPI_HERE, &call, comm, WEFT_MPI_BLOCKING, NULL);
}
WEFT_MPI_EXPORT(MPI_Barrier);

int PMPI_Ibarrier(MPI_Comm comm, MPI_Request *request)
{
    const struct weft_mpi_call call = {.coll.kind = WEFT_MPI_COLL_BARRIER};
    return weft__mpi_collective_call(WEFT_MPI_HERE, &call, comm, WEFT_MPI_NONBLOCKING, request);
}
WEFT_MPI_EXPORT(MPI_Ibarrier);

int PMPI_Barrier_init(MPI_Comm comm, MPI_Info info, MPI_Request *request)
{
    const struct weft_mpi_call call = {.coll.kind = WEFT_MPI_COLL_BARRIER};
    (void)info;
    return weft__mpi_collective_call(WEFT_MPI_HERE, &call, comm, WEFT_MPI_PERSISTENT, request);
}
WEFT_MPI_EXPORT(MPI_Barrier_init);
