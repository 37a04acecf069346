/* The functions that compute: reductions and scans. */
#include "mpi/collective.h"

#include "mpi/error.h"
#include "mpi/op.h"
#include "mpi/p2p.h"

/* clang-format off */
#define KIND(name, wide_) .coll.kind = WEFT_MPI_COLL_##name, .coll.wide = (wide_), .op = op
#define TYPES .from_type = datatype, .into_type = datatype
#define SIDES .coll.from = {.buf = sendbuf, .count = count}, .coll.into = {.buf = recvbuf, .count = count}
#define VECTOR(Count) const void *sendbuf, void *recvbuf, Count count, MPI_Datatype datatype, MPI_Op op

#define BOTH(FUNCTIONS)                                                                            \
    FUNCTIONS(int, , false);                                                                       \
    FUNCTIONS(MPI_Count, _c, true)

#define REDUCE(Count, C, wide)                                                                     \
    WEFT_MPI_FORMS(MPI_Reduce, MPI_Ireduce, C, (VECTOR(Count), int root),                          \
                   KIND(REDUCE, wide), .coll.root = root, TYPES, SIDES)
BOTH(REDUCE);

#define ALLREDUCE(Count, C, wide)                                                                  \
    WEFT_MPI_FORMS(MPI_Allreduce, MPI_Iallreduce, C, (VECTOR(Count)),                              \
                   KIND(ALLREDUCE, wide), TYPES, SIDES)
BOTH(ALLREDUCE);

#define SCAN(Count, C, wide)                                                                       \
    WEFT_MPI_FORMS(MPI_Scan, MPI_Iscan, C, (VECTOR(Count)), KIND(SCAN, wide), TYPES, SIDES)
BOTH(SCAN);

#define EXSCAN(Count, C, wide)                                                                     \
    WEFT_MPI_FORMS(MPI_Exscan, MPI_Iexscan, C, (VECTOR(Count)), KIND(EXSCAN, wide), TYPES, SIDES)
BOTH(EXSCAN);

#define REDUCE_SCATTER(Count, C, wide)                                                             \
    WEFT_MPI_FORMS(MPI_Reduce_scatter, MPI_Ireduce_scatter, C,                                     \
                   (const void *sendbuf, void *recvbuf, const Count recvcounts[],                  \
                    MPI_Datatype datatype, MPI_Op op),                                             \
                   KIND(REDUCE_SCATTER, wide), TYPES, .coll.from = {.buf = sendbuf},               \
                   .coll.into = {.buf = recvbuf, .counts = recvcounts})
BOTH(REDUCE_SCATTER);

#define REDUCE_SCATTER_BLOCK(Count, C, wide)                                                       \
    WEFT_MPI_FORMS(MPI_Reduce_scatter_block, MPI_Ireduce_scatter_block, C, (VECTOR(Count)),        \
                   KIND(REDUCE_SCATTER, wide), TYPES, .coll.from = {.buf = sendbuf},               \
                   .coll.into = {.buf = recvbuf, .count = count})
BOTH(REDUCE_SCATTER_BLOCK);
/* clang-format on */

/* Both operands are data of the caller: neither may stand for the other one. */
static int check_local(struct weft_mpi *mpi, const char *where, const struct weft_mpi_args *args,
                       const void *inoutbuf)
{
    if (args->count == 0)
        return MPI_SUCCESS;
    const char *wrong = args->buf == MPI_IN_PLACE || inoutbuf == MPI_IN_PLACE
                            ? "MPI_IN_PLACE has no meaning here"
                        : args->buf == inoutbuf ? "both operands are the same"
                                                : NULL;
    return wrong ? weft__mpi_error_raise(mpi, NULL, MPI_ERR_BUFFER, where, "%s", wrong)
                 : MPI_SUCCESS;
}

static int reduce_local(const char *where, const struct weft_mpi_args *args, void *inoutbuf,
                        MPI_Op op)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    int err = weft__mpi_p2p_check_data(mpi, where, args);
    if (!err)
        err = weft__mpi_collective_check_op(mpi, where, NULL, op, args->datatype);
    if (!err)
        err = check_local(mpi, where, args, inoutbuf);
    if (err)
        return err;
    const struct weft_mpi_combine combine = {.op = (uint32_t)weft__mpi_handle_value(op),
                                             .type = weft__mpi_type_number(args->datatype),
                                             .count = args->count,
                                             .left = args->buf,
                                             .right = inoutbuf,
                                             .into = inoutbuf};
    weft__mpi_op_combine(mpi, &combine);
    return MPI_SUCCESS;
}

int PMPI_Reduce_local(const void *inbuf, void *inoutbuf, int count, MPI_Datatype datatype,
                      MPI_Op op)
{
    const struct weft_mpi_args args = {
        .buf = inbuf, .count = count, .datatype = datatype, .comm = MPI_COMM_SELF};
    return reduce_local(WEFT_MPI_HERE, &args, inoutbuf, op);
}
WEFT_MPI_EXPORT(MPI_Reduce_local);

int PMPI_Reduce_local_c(const void *inbuf, void *inoutbuf, MPI_Count count, MPI_Datatype datatype,
                        MPI_Op op)
{
    const struct weft_mpi_args args = {
        .buf = inbuf, .count = count, .datatype = datatype, .comm = MPI_COMM_SELF};
    return reduce_local(WEFT_MPI_HERE, &args, inoutbuf, op);
}
WEFT_MPI_EXPORT(MPI_Reduce_local_c);
