/* Types of arrays: a part of one (subarray), or what a rank has of one that is distributed over a
 * grid of ranks (darray).
 *
 * Both are one loop per dimension around the loop of the next faster one; the loops that lie
 * between are types that the program never sees. Bounds are those of the whole array.
 */
#include "base/heap.h"
#include "mpi/error.h"
#include "mpi/state.h"
#include "mpi/type_input.h"
#include "mpi/type_make.h"

/* An array type while it grows from the fastest dimension to the slowest. */
struct nest {
    struct weft_mpi *mpi;
    int error;
    uint32_t type;  /* of what is there so far; held */
    int64_t unit;   /* bytes from one index of this dimension to the next */
    int64_t offset; /* of the first value */
};

static int64_t at(const struct weft_mpi_input *input, int values, int64_t i)
{
    return weft__mpi_values_at(&input->values[values], i);
}

static void replace(struct nest *nest, struct weft_mpi_type *type, int error)
{
    weft__mpi_type_drop(nest->mpi, nest->type);
    nest->type = type ? type->number : 0;
    if (!type)
        nest->error = error;
}

/* A dimension of n indices in a row; the first one's place goes into the offset. */
static void add_loop(struct nest *nest, int64_t n)
{
    struct weft_mpi_maker maker;
    if (nest->error)
        return;
    weft__mpi_type_make_begin(&maker, nest->mpi, 1);
    weft__mpi_type_make_add(&maker, 0, 1, nest->type);
    struct weft_mpi_type *type = weft__mpi_type_make_end(&maker, n, nest->unit);
    replace(nest, type, maker.error);
}

static void add_offset(struct nest *nest, int64_t index)
{
    int64_t bytes;
    if (__builtin_mul_overflow(index, nest->unit, &bytes) ||
        __builtin_add_overflow(nest->offset, bytes, &nest->offset))
        nest->error = MPI_ERR_VALUE_TOO_LARGE;
}

/* On to the next dimension. */
static void leave_dimension(struct nest *nest, int64_t size)
{
    if (__builtin_mul_overflow(nest->unit, size, &nest->unit))
        nest->error = MPI_ERR_VALUE_TOO_LARGE;
}

static int finish(struct nest *nest, const struct weft_mpi_input *input, MPI_Datatype *newtype)
{
    struct weft_mpi_type *type = NULL;
    struct weft_mpi_maker maker;
    if (!nest->error) {
        weft__mpi_type_make_begin(&maker, nest->mpi, 1);
        weft__mpi_type_make_add(&maker, nest->offset, 1, nest->type);
        type = weft__mpi_type_make_end(&maker, 1, 0);
        nest->error = maker.error;
    }
    weft__mpi_type_drop(nest->mpi, nest->type);
    if (type) {
        type->lb = 0;
        type->extent = nest->unit;
        type->bounded = true;
    }
    return weft__mpi_type_publish(nest->mpi, input, type, nest->error, newtype);
}

static void begin(struct nest *nest, struct weft_mpi *mpi, const struct weft_mpi_input *input)
{
    uint32_t old = weft__mpi_type_number(input->types[0]);
    *nest = (struct nest){.mpi = mpi,
                          .type = weft__mpi_type_hold(mpi, old),
                          .unit = weft__mpi_type_get(mpi, old)->extent};
}

/* The i-th dimension from the fastest. */
static int64_t dimension(int64_t i, int64_t n, int64_t order)
{
    return order == MPI_ORDER_C ? n - 1 - i : i;
}

static int bad(struct weft_mpi *mpi, const struct weft_mpi_input *input, const char *what,
               int64_t value)
{
    return weft__mpi_error_raise(mpi, NULL, MPI_ERR_ARG, input->where, "%s %lld", what,
                                 (long long)value);
}

static int check_order(struct weft_mpi *mpi, const struct weft_mpi_input *input, int64_t order)
{
    if (order != MPI_ORDER_C && order != MPI_ORDER_FORTRAN)
        return bad(mpi, input, "order", order);
    return weft__mpi_type_check_old(mpi, input);
}

/* ---- subarray; values: dimensions, sizes, sizes of the part, its starts, order ---- */

static int check_subarray(struct weft_mpi *mpi, const struct weft_mpi_input *input)
{
    int64_t n = at(input, 0, 0);
    if (n <= 0)
        return bad(mpi, input, "number of dimensions", n);
    for (int64_t i = 0; i < n; i++) {
        int64_t size = at(input, 1, i), part = at(input, 2, i), start = at(input, 3, i);
        if (size < 1)
            return bad(mpi, input, "size", size);
        if (part < 1 || part > size)
            return bad(mpi, input, "size of the part", part);
        if (start < 0 || start > size - part)
            return bad(mpi, input, "start", start);
    }
    return check_order(mpi, input, at(input, 4, 0));
}

static int subarray(const struct weft_mpi_input *input, MPI_Datatype *newtype)
{
    struct weft_mpi *mpi = weft__mpi_enter(input->where);
    struct nest nest;
    int err = check_subarray(mpi, input);
    if (err)
        return err;
    begin(&nest, mpi, input);
    int64_t n = at(input, 0, 0);
    for (int64_t i = 0; i < n && !nest.error; i++) {
        int64_t d = dimension(i, n, at(input, 4, 0));
        add_offset(&nest, at(input, 3, d));
        add_loop(&nest, at(input, 2, d));
        leave_dimension(&nest, at(input, 1, d));
    }
    return finish(&nest, input, newtype);
}

/* ---- darray; values: ranks, rank, dimensions, sizes, distributions, their arguments, grid,
 * order ---- */

enum { RANKS, RANK, DIMENSIONS, SIZES, DISTRIBUTIONS, ARGUMENTS, GRID, ORDER };

/* How a dimension is dealt out: blocks of so many indices, to the ranks in turn. */
static int64_t block_of(const struct weft_mpi_input *input, int64_t d)
{
    int64_t kind = at(input, DISTRIBUTIONS, d), argument = at(input, ARGUMENTS, d);
    int64_t size = at(input, SIZES, d), ranks = at(input, GRID, d);
    if (kind == MPI_DISTRIBUTE_NONE)
        return size;
    if (argument != MPI_DISTRIBUTE_DFLT_DARG)
        return argument;
    return kind == MPI_DISTRIBUTE_BLOCK ? (size - 1) / ranks + 1 : 1;
}

static int check_dimension(struct weft_mpi *mpi, const struct weft_mpi_input *input, int64_t d)
{
    int64_t kind = at(input, DISTRIBUTIONS, d), argument = at(input, ARGUMENTS, d);
    int64_t size = at(input, SIZES, d), ranks = at(input, GRID, d);
    if (size < 1)
        return bad(mpi, input, "size", size);
    if (ranks < 1)
        return bad(mpi, input, "ranks in a dimension", ranks);
    if (kind != MPI_DISTRIBUTE_NONE && kind != MPI_DISTRIBUTE_BLOCK &&
        kind != MPI_DISTRIBUTE_CYCLIC)
        return bad(mpi, input, "distribution", kind);
    if (kind == MPI_DISTRIBUTE_NONE)
        return ranks == 1 ? MPI_SUCCESS : bad(mpi, input, "ranks in a dimension of one", ranks);
    if (argument != MPI_DISTRIBUTE_DFLT_DARG && argument < 1)
        return bad(mpi, input, "argument of a distribution", argument);
    if (kind == MPI_DISTRIBUTE_BLOCK && block_of(input, d) < (size - 1) / ranks + 1)
        return bad(mpi, input, "block too small for the dimension", argument);
    return MPI_SUCCESS;
}

static int check_darray(struct weft_mpi *mpi, const struct weft_mpi_input *input)
{
    int64_t n = at(input, DIMENSIONS, 0), ranks = at(input, RANKS, 0), grid = 1;
    int err = MPI_SUCCESS;
    if (n <= 0)
        return bad(mpi, input, "number of dimensions", n);
    if (at(input, RANK, 0) < 0 || at(input, RANK, 0) >= ranks)
        return bad(mpi, input, "rank", at(input, RANK, 0));
    for (int64_t d = 0; d < n && !err; d++) {
        err = check_dimension(mpi, input, d);
        if (!err && __builtin_mul_overflow(grid, at(input, GRID, d), &grid))
            err = bad(mpi, input, "size of the grid in dimension", d);
    }
    if (!err && grid != ranks)
        err = bad(mpi, input, "the grid does not have all ranks:", grid);
    return err ? err : check_order(mpi, input, at(input, ORDER, 0));
}

/* Whole blocks, and what is left of the last one. The rank's first block is at the offset. */
static void add_cyclic(struct nest *nest, int64_t whole, int64_t rest, int64_t block, int64_t every)
{
    struct weft_mpi_maker maker;
    struct nest last = *nest;
    int64_t distance, rest_at;
    if (__builtin_mul_overflow(every, nest->unit, &distance) ||
        __builtin_mul_overflow(distance, whole, &rest_at)) {
        nest->error = MPI_ERR_VALUE_TOO_LARGE;
        return;
    }
    weft__mpi_type_hold(nest->mpi, last.type);
    add_loop(&last, rest);
    add_loop(nest, block);
    if (!nest->error && !last.error) {
        struct nest blocks = *nest;
        blocks.unit = distance;
        add_loop(&blocks, whole);
        nest->type = blocks.type;
        nest->error = blocks.error;
    }
    if (!nest->error && !last.error) {
        weft__mpi_type_make_begin(&maker, nest->mpi, 2);
        weft__mpi_type_make_add(&maker, 0, 1, nest->type);
        weft__mpi_type_make_add(&maker, rest_at, 1, last.type);
        replace(nest, weft__mpi_type_make_end(&maker, 1, 0), maker.error);
    }
    if (!nest->error)
        nest->error = last.error;
    weft__mpi_type_drop(nest->mpi, last.type);
}

static void add_distributed(struct nest *nest, const struct weft_mpi_input *input, int64_t d,
                            int64_t coordinate)
{
    int64_t size = at(input, SIZES, d), block = block_of(input, d), every, first;
    if (block > size)
        block = size; /* one rank has all */
    if (__builtin_mul_overflow(block, at(input, GRID, d), &every) ||
        __builtin_mul_overflow(block, coordinate, &first)) {
        nest->error = MPI_ERR_VALUE_TOO_LARGE;
        return;
    }
    int64_t behind = first < size ? size - first : 0; /* indices from the rank's first one on */
    int64_t whole = behind / every, rest = behind % every;
    if (rest >= block) {
        whole++;
        rest = 0;
    }
    if (behind > 0)
        add_offset(nest, first);
    add_cyclic(nest, whole, rest, block, every);
    leave_dimension(nest, size);
}

static int darray(const struct weft_mpi_input *input, MPI_Datatype *newtype)
{
    struct weft_mpi *mpi = weft__mpi_enter(input->where);
    struct nest nest;
    int err = check_darray(mpi, input);
    if (err)
        return err;
    begin(&nest, mpi, input);
    int64_t n = at(input, DIMENSIONS, 0);
    for (int64_t i = 0; i < n && !nest.error; i++) {
        /* Ranks are numbered in the order of C, whatever the order of the array. */
        int64_t d = dimension(i, n, at(input, ORDER, 0)), faster = 1;
        for (int64_t j = d + 1; j < n; j++)
            faster *= at(input, GRID, j);
        add_distributed(&nest, input, d, at(input, RANK, 0) / faster % at(input, GRID, d));
    }
    return finish(&nest, input, newtype);
}

/* clang-format off */
#define V(kind, n, pointer) WEFT_MPI_VALUES(kind, n, pointer)
#define N(n) ((n) > 0 ? (n) : 0)

#define SUBARRAY(name, Count, large_)                                                              \
    int P##name(int ndims, const Count array_of_sizes[], const Count array_of_subsizes[],          \
                const Count array_of_starts[], int order, MPI_Datatype oldtype, MPI_Datatype *newtype) \
    {                                                                                              \
        const struct weft_mpi_input input = {                                                      \
            .where = #name, .combiner = MPI_COMBINER_SUBARRAY, .large = (large_), .values_n = 5,   \
            .values = {V(INTEGERS, 1, &ndims), V(COUNTS, N(ndims), array_of_sizes),                \
                       V(COUNTS, N(ndims), array_of_subsizes), V(COUNTS, N(ndims), array_of_starts), \
                       V(INTEGERS, 1, &order)},                                                    \
            .types_n = 1, .types = &oldtype};                                                      \
        return subarray(&input, newtype);                                                          \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)

#define DARRAY(name, Count, large_)                                                                \
    int P##name(int size, int rank, int ndims, const Count array_of_gsizes[],                      \
                const int array_of_distribs[], const int array_of_dargs[], const int array_of_psizes[], \
                int order, MPI_Datatype oldtype, MPI_Datatype *newtype)                            \
    {                                                                                              \
        const struct weft_mpi_input input = {                                                      \
            .where = #name, .combiner = MPI_COMBINER_DARRAY, .large = (large_), .values_n = 8,     \
            .values = {V(INTEGERS, 1, &size), V(INTEGERS, 1, &rank), V(INTEGERS, 1, &ndims),       \
                       V(COUNTS, N(ndims), array_of_gsizes), V(INTEGERS, N(ndims), array_of_distribs), \
                       V(INTEGERS, N(ndims), array_of_dargs), V(INTEGERS, N(ndims), array_of_psizes), \
                       V(INTEGERS, 1, &order)},                                                    \
            .types_n = 1, .types = &oldtype};                                                      \
        return darray(&input, newtype);                                                            \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)
/* clang-format on */

SUBARRAY(MPI_Type_create_subarray, int, false);
SUBARRAY(MPI_Type_create_subarray_c, MPI_Count, true);
DARRAY(MPI_Type_create_darray, int, false);
DARRAY(MPI_Type_create_darray_c, MPI_Count, true);
