/* Operations of the program.
 *
 * MPI's functions write their result over the right operand, which may be somebody's send buffer.
 * So the right operand is copied first: into the place of the result, or, where that is the left
 * operand, piece by piece into memory of its own. The function is free to see any number of values
 * at a time. Its address is that of the program's own code: in a cell it lies in the cell and moves
 * with it.
 */
#include <limits.h>

#include "base/heap.h"
#include "mpi/error.h"
#include "mpi/op.h"
#include "mpi/state.h"

#define PIECE_BYTES 65536 /* of values that are copied at a time; at least one value */

static struct weft_mpi_op *op_at(struct weft_mpi *mpi, uint32_t number)
{
    return weft__mpi_table_at(&mpi->ops, weft__mpi_table_index(number));
}

const struct weft_mpi_op *weft__mpi_op_user(struct weft_mpi *mpi, MPI_Op op)
{
    const struct weft_mpi_op *found =
        weft__mpi_table_find(&mpi->ops, weft__mpi_handle_value(op), WEFT_MPI_OP_KIND);
    return found && !found->freed ? found : NULL;
}

bool weft__mpi_op_commutes(struct weft_mpi *mpi, uint32_t number)
{
    return number <= WEFT_MPI_HANDLE_MASK || op_at(mpi, number)->commutes;
}

uint32_t weft__mpi_op_hold(struct weft_mpi *mpi, uint32_t number)
{
    if (number > WEFT_MPI_HANDLE_MASK)
        op_at(mpi, number)->holders++;
    return number;
}

void weft__mpi_op_drop(struct weft_mpi *mpi, uint32_t number)
{
    if (number <= WEFT_MPI_HANDLE_MASK)
        return;
    struct weft_mpi_op *op = op_at(mpi, number);
    if (--op->holders > 0)
        return;
    weft__mpi_table_remove(&mpi->ops, weft__mpi_table_index(number));
    weft__heap_free(mpi->cell->heap, op);
}

void weft__mpi_op_fini(struct weft_mpi *mpi)
{
    for (uint32_t i = 0; i < mpi->ops.len; i++)
        weft__heap_free(mpi->cell->heap, weft__mpi_table_at(&mpi->ops, i));
    weft__mpi_table_fini(&mpi->ops, mpi->cell->heap);
}

/* The function may ask about the type, also where the program has freed it meanwhile. */
static void lend_type(struct weft_mpi *mpi, uint32_t number, bool lent)
{
    if (!weft__mpi_type_is_derived(number))
        return;
    if (lent)
        weft__mpi_type_derived(mpi, number)->users++;
    else
        weft__mpi_type_derived(mpi, number)->users--;
}

static void call_fn(struct weft_mpi *mpi, const struct weft_mpi_combine *c, void *left, void *inout)
{
    const struct weft_mpi_op *op = op_at(mpi, c->op);
    int64_t extent = weft__mpi_type_get(mpi, c->type)->extent;
    MPI_Datatype datatype = weft__mpi_type_handle(c->type);
    MPI_Count count = c->count;
    if (op->large_fn) {
        op->large_fn(left, inout, &count, &datatype);
        return;
    }
    for (MPI_Count done = 0; done < c->count;) {
        int n = c->count - done < INT_MAX ? (int)(c->count - done) : INT_MAX, len = n;
        op->fn((char *)left + done * extent, (char *)inout + done * extent, &len, &datatype);
        done += n;
    }
}

/* inout = left op inout. */
static void call(struct weft_mpi *mpi, const struct weft_mpi_combine *c, void *left, void *inout)
{
    lend_type(mpi, c->type, true);
    call_fn(mpi, c, left, inout);
    lend_type(mpi, c->type, false);
}

static struct weft_mpi_buffer values(const struct weft_mpi_combine *c, const void *buf)
{
    return (struct weft_mpi_buffer){(void *)(uintptr_t)buf, c->count, c->type};
}

/* The result takes the place of the left operand. */
static void call_in_pieces(struct weft_mpi *mpi, const struct weft_mpi_combine *combine)
{
    const struct weft_mpi_type *type = weft__mpi_type_get(mpi, combine->type);
    int64_t first, extent = type->extent > 0 ? type->extent : -type->extent;
    MPI_Count at_once = extent > 0 && extent < PIECE_BYTES ? PIECE_BYTES / extent : 1;
    if (at_once > combine->count)
        at_once = combine->count;
    size_t len = weft__mpi_type_span(type, at_once, &first);
    void *memory = weft__heap_alloc(mpi->cell->heap, len);
    if (!memory)
        weft__mpi_error_fatal(mpi, MPI_ERR_NO_MEM, "no room for %zu bytes of operands", len);
    void *copy = (void *)((uintptr_t)memory - (uintptr_t)first); /* NOLINT */
    for (MPI_Count done = 0; done < combine->count; done += at_once) {
        struct weft_mpi_combine c = *combine;
        if (c.count - done < at_once)
            at_once = c.count - done;
        c.count = at_once;
        c.into = (char *)combine->into + done * type->extent;
        const struct weft_mpi_buffer right =
            values(&c, (const char *)combine->right + done * type->extent);
        const struct weft_mpi_buffer temporary = values(&c, copy), into = values(&c, c.into);
        weft__mpi_type_copy(mpi, &right, &temporary);
        call(mpi, &c, c.into, copy);
        weft__mpi_type_copy(mpi, &temporary, &into);
    }
    weft__heap_free(mpi->cell->heap, memory);
}

void weft__mpi_op_call(struct weft_mpi *mpi, const struct weft_mpi_combine *combine)
{
    if (combine->count == 0)
        return;
    if (combine->into == combine->left) {
        call_in_pieces(mpi, combine);
        return;
    }
    const struct weft_mpi_buffer right = values(combine, combine->right);
    const struct weft_mpi_buffer into = values(combine, combine->into);
    weft__mpi_type_copy(mpi, &right, &into);
    call(mpi, combine, (void *)(uintptr_t)combine->left, combine->into);
}

/* ---- for the program ---- */

static int create(const char *where, const struct weft_mpi_op *desc, MPI_Op *handle_out)
{
    struct weft_mpi *mpi = weft__mpi_enter(where);
    if (!desc->fn && !desc->large_fn)
        return weft__mpi_error_raise(mpi, NULL, MPI_ERR_ARG, where, "no function");
    struct weft_mpi_op *op = weft__heap_alloc(mpi->cell->heap, sizeof(*op));
    int32_t index = op ? weft__mpi_table_add(&mpi->ops, mpi->cell->heap, op) : -1;
    if (index < 0) {
        weft__heap_free(mpi->cell->heap, op);
        return weft__mpi_error_raise(mpi, NULL, MPI_ERR_NO_MEM, where, "the rank's region is full");
    }
    *op = *desc;
    op->holders = 1;
    *handle_out = (MPI_Op)weft__mpi_table_handle(index, WEFT_MPI_OP_KIND);
    return MPI_SUCCESS;
}

int PMPI_Op_create(MPI_User_function *user_fn, int commute, MPI_Op *op)
{
    const struct weft_mpi_op desc = {.fn = user_fn, .commutes = commute != 0};
    return create(WEFT_MPI_HERE, &desc, op);
}
WEFT_MPI_EXPORT(MPI_Op_create);

int PMPI_Op_create_c(MPI_User_function_c *user_fn, int commute, MPI_Op *op)
{
    const struct weft_mpi_op desc = {.large_fn = user_fn, .commutes = commute != 0};
    return create(WEFT_MPI_HERE, &desc, op);
}
WEFT_MPI_EXPORT(MPI_Op_create_c);

int PMPI_Op_free(MPI_Op *op)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    if (!weft__mpi_op_user(mpi, *op))
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_OP,
                              "handle 0x%zx is not an operation of the program",
                              weft__mpi_handle_value(*op));
    op_at(mpi, weft__mpi_op_number(*op))->freed = true;
    weft__mpi_op_drop(mpi, weft__mpi_op_number(*op));
    *op = MPI_OP_NULL;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Op_free);

int PMPI_Op_commutative(MPI_Op op, int *commute)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    bool special = op == MPI_REPLACE || op == MPI_NO_OP;
    if (!special && !weft__mpi_op_known(mpi, op))
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_OP, "handle 0x%zx is not an operation",
                              weft__mpi_handle_value(op));
    *commute = !special && weft__mpi_op_commutes(mpi, weft__mpi_op_number(op));
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Op_commutative);
