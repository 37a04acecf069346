/* The constructors of datatypes, without arrays over dimensions (type_array.c). Each is written
 * once for counts of both widths. */
#include "mpi/attr.h"
#include "mpi/error.h"
#include "mpi/state.h"
#include "mpi/type_input.h"
#include "mpi/type_make.h"

static const char *why(int error)
{
    if (error == MPI_ERR_NO_MEM)
        return "the rank's region is full (weft run --rank-memory)";
    if (error == MPI_ERR_TYPE)
        return "types of types nest too deep (64 levels)";
    return "sizes or displacements need more than 64 bits";
}

int weft__mpi_type_publish(struct weft_mpi *mpi, const struct weft_mpi_input *input,
                           struct weft_mpi_type *type, int error, MPI_Datatype *handle_out)
{
    if (type)
        type->contents = weft__mpi_type_contents(mpi, input);
    if (type && !type->contents) {
        weft__mpi_type_drop(mpi, type->number);
        type = NULL;
        error = MPI_ERR_NO_MEM;
    }
    if (!type)
        return weft__mpi_error_raise(mpi, NULL, error, input->where, "%s", why(error));
    type->users = 1;
    *handle_out = weft__mpi_type_handle(type->number);
    return MPI_SUCCESS;
}

int weft__mpi_type_check_old(struct weft_mpi *mpi, const struct weft_mpi_input *input)
{
    for (int64_t i = 0; i < input->types_n; i++)
        if (!weft__mpi_type_find(mpi, input->types[i]))
            return weft__mpi_error_raise(mpi, NULL, MPI_ERR_TYPE, input->where,
                                         "handle 0x%zx is not a datatype",
                                         weft__mpi_handle_value(input->types[i]));
    return MPI_SUCCESS;
}

/* No number is negative. */
static int check_counts(struct weft_mpi *mpi, const struct weft_mpi_input *input,
                        const struct weft_mpi_values *values, int error)
{
    for (int64_t i = 0; i < values->n; i++)
        if (weft__mpi_values_at(values, i) < 0)
            return weft__mpi_error_raise(mpi, NULL, error, input->where, "%lld is negative",
                                         (long long)weft__mpi_values_at(values, i));
    return MPI_SUCCESS;
}

static uint32_t old_type(const struct weft_mpi_input *input)
{
    return weft__mpi_type_number(input->types[0]);
}

/* values: count, block length, stride. */
static int vector(const struct weft_mpi_input *input, MPI_Datatype *newtype)
{
    struct weft_mpi *mpi = weft__mpi_enter(input->where);
    struct weft_mpi_maker maker;
    int64_t n = weft__mpi_values_at(&input->values[0], 0), stride = 0;
    int64_t length = input->values_n > 1 ? weft__mpi_values_at(&input->values[1], 0) : n;
    int err = check_counts(mpi, input, &input->values[0], MPI_ERR_COUNT);
    if (!err && input->values_n > 1)
        err = check_counts(mpi, input, &input->values[1], MPI_ERR_ARG);
    if (!err)
        err = weft__mpi_type_check_old(mpi, input);
    if (err)
        return err;
    weft__mpi_type_make_begin(&maker, mpi, 1);
    weft__mpi_type_make_add(&maker, 0, length, old_type(input));
    if (input->values_n == 1) {
        n = 1; /* contiguous: one block */
    } else {
        int64_t unit = weft__mpi_type_get(mpi, old_type(input))->extent;
        stride = weft__mpi_values_at(&input->values[2], 0);
        if (input->values[2].kind == WEFT_MPI_COUNTS && n > 1 &&
            __builtin_mul_overflow(stride, unit, &stride))
            maker.error = MPI_ERR_VALUE_TOO_LARGE;
    }
    struct weft_mpi_type *type = weft__mpi_type_make_end(&maker, n, stride);
    return weft__mpi_type_publish(mpi, input, type, maker.error, newtype);
}

/* values: count, block lengths (one for all, or as many), displacements; types: one for all, or as
 * many. */
static void add_blocks(struct weft_mpi_maker *maker, const struct weft_mpi_input *input)
{
    const struct weft_mpi_values *lengths = &input->values[1], *where = &input->values[2];
    for (int64_t i = 0; i < where->n && !maker->error; i++) {
        int64_t at = weft__mpi_values_at(where, i);
        uint32_t old = weft__mpi_type_number(input->types[input->types_n > 1 ? i : 0]);
        int64_t length = weft__mpi_values_at(lengths, lengths->n > 1 ? i : 0);
        if (length > 0 && where->kind == WEFT_MPI_COUNTS &&
            __builtin_mul_overflow(at, weft__mpi_type_get(maker->mpi, old)->extent, &at))
            maker->error = MPI_ERR_VALUE_TOO_LARGE;
        weft__mpi_type_make_add(maker, at, length, old);
    }
}

static int blocks(const struct weft_mpi_input *input, MPI_Datatype *newtype)
{
    struct weft_mpi *mpi = weft__mpi_enter(input->where);
    struct weft_mpi_maker maker;
    int err = check_counts(mpi, input, &input->values[0], MPI_ERR_COUNT);
    if (!err)
        err = check_counts(mpi, input, &input->values[1], MPI_ERR_ARG);
    if (!err)
        err = weft__mpi_type_check_old(mpi, input);
    if (err)
        return err;
    weft__mpi_type_make_begin(&maker, mpi, input->values[2].n);
    add_blocks(&maker, input);
    struct weft_mpi_type *type = weft__mpi_type_make_end(&maker, 1, 0);
    return weft__mpi_type_publish(mpi, input, type, maker.error, newtype);
}

/* values: lower bound, extent. */
static int resized(const struct weft_mpi_input *input, MPI_Datatype *newtype)
{
    struct weft_mpi *mpi = weft__mpi_enter(input->where);
    int64_t end, lb = weft__mpi_values_at(&input->values[0], 0);
    int64_t extent = weft__mpi_values_at(&input->values[1], 0);
    int err = weft__mpi_type_check_old(mpi, input), error = MPI_ERR_NO_MEM;
    struct weft_mpi_type *type = NULL;
    if (err)
        return err;
    if (__builtin_add_overflow(lb, extent, &end))
        error = MPI_ERR_VALUE_TOO_LARGE;
    else
        type = weft__mpi_type_make_like(mpi, old_type(input));
    if (type) {
        type->lb = lb;
        type->extent = extent;
        type->bounded = true;
        type->committed = false;
    }
    return weft__mpi_type_publish(mpi, input, type, error, newtype);
}

/* clang-format off */
#define V(kind, n, pointer) WEFT_MPI_VALUES(kind, n, pointer)
#define INPUT(name, combiner_, large_, values_n_, types_n_, types_, ...)                           \
    const struct weft_mpi_input input = {.where = #name, .combiner = (combiner_), .large = (large_), \
                                         .values_n = (values_n_), .values = {__VA_ARGS__},         \
                                         .types_n = (types_n_), .types = (types_)}
/* A list is not looked at where its length is negative. */
#define N(count) ((count) > 0 ? (count) : 0)

#define LARGE(Count) (sizeof(Count) > sizeof(int))
#define EITHER(kind, counts, addresses)                                                            \
    (WEFT_MPI_##kind == WEFT_MPI_ADDRESSES ? MPI_COMBINER_##addresses : MPI_COMBINER_##counts)

#define CONTIGUOUS(name, Count)                                                                    \
    int P##name(Count count, MPI_Datatype oldtype, MPI_Datatype *newtype)                          \
    {                                                                                              \
        INPUT(name, MPI_COMBINER_CONTIGUOUS, LARGE(Count), 1, 1, &oldtype, V(COUNTS, 1, &count));         \
        return vector(&input, newtype);                                                            \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)

#define VECTOR(name, Count, Stride, kind)                                                          \
    int P##name(Count count, Count blocklength, Stride stride, MPI_Datatype oldtype, MPI_Datatype *newtype) \
    {                                                                                              \
        INPUT(name, EITHER(kind, VECTOR, HVECTOR), LARGE(Count), 3, 1, &oldtype, V(COUNTS, 1, &count), V(COUNTS, 1, &blocklength), \
              V(kind, 1, &stride));                                                                \
        return vector(&input, newtype);                                                            \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)

#define INDEXED(name, Count, Displacement, kind)                                                   \
    int P##name(Count count, const Count array_of_blocklengths[],                                  \
                const Displacement array_of_displacements[], MPI_Datatype oldtype, MPI_Datatype *newtype) \
    {                                                                                              \
        INPUT(name, EITHER(kind, INDEXED, HINDEXED), LARGE(Count), 3, 1, &oldtype, V(COUNTS, 1, &count),                         \
              V(COUNTS, N(count), array_of_blocklengths), V(kind, N(count), array_of_displacements)); \
        return blocks(&input, newtype);                                                            \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)

#define BLOCKS(name, Count, Displacement, kind)                                                    \
    int P##name(Count count, Count blocklength, const Displacement array_of_displacements[],       \
                MPI_Datatype oldtype, MPI_Datatype *newtype)                                       \
    {                                                                                              \
        INPUT(name, EITHER(kind, INDEXED_BLOCK, HINDEXED_BLOCK), LARGE(Count), 3, 1, &oldtype, V(COUNTS, 1, &count), V(COUNTS, 1, &blocklength), \
              V(kind, N(count), array_of_displacements));                                          \
        return blocks(&input, newtype);                                                            \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)

#define STRUCT(name, Count, Displacement)                                                          \
    int P##name(Count count, const Count array_of_blocklengths[],                                  \
                const Displacement array_of_displacements[], const MPI_Datatype array_of_types[],  \
                MPI_Datatype *newtype)                                                             \
    {                                                                                              \
        INPUT(name, MPI_COMBINER_STRUCT, LARGE(Count), 3, N(count), array_of_types, V(COUNTS, 1, &count), \
              V(COUNTS, N(count), array_of_blocklengths), V(ADDRESSES, N(count), array_of_displacements)); \
        return blocks(&input, newtype);                                                            \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)

#define RESIZED(name, Displacement, large)                                                         \
    int P##name(MPI_Datatype oldtype, Displacement lb, Displacement extent, MPI_Datatype *newtype) \
    {                                                                                              \
        INPUT(name, MPI_COMBINER_RESIZED, large, 2, 1, &oldtype, V(ADDRESSES, 1, &lb), V(ADDRESSES, 1, &extent)); \
        return resized(&input, newtype);                                                           \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)
/* clang-format on */

CONTIGUOUS(MPI_Type_contiguous, int);
CONTIGUOUS(MPI_Type_contiguous_c, MPI_Count);
VECTOR(MPI_Type_vector, int, int, COUNTS);
VECTOR(MPI_Type_vector_c, MPI_Count, MPI_Count, COUNTS);
VECTOR(MPI_Type_create_hvector, int, MPI_Aint, ADDRESSES);
VECTOR(MPI_Type_create_hvector_c, MPI_Count, MPI_Count, ADDRESSES);
INDEXED(MPI_Type_indexed, int, int, COUNTS);
INDEXED(MPI_Type_indexed_c, MPI_Count, MPI_Count, COUNTS);
INDEXED(MPI_Type_create_hindexed, int, MPI_Aint, ADDRESSES);
INDEXED(MPI_Type_create_hindexed_c, MPI_Count, MPI_Count, ADDRESSES);
BLOCKS(MPI_Type_create_indexed_block, int, int, COUNTS);
BLOCKS(MPI_Type_create_indexed_block_c, MPI_Count, MPI_Count, COUNTS);
BLOCKS(MPI_Type_create_hindexed_block, int, MPI_Aint, ADDRESSES);
BLOCKS(MPI_Type_create_hindexed_block_c, MPI_Count, MPI_Count, ADDRESSES);
STRUCT(MPI_Type_create_struct, int, MPI_Aint);
STRUCT(MPI_Type_create_struct_c, MPI_Count, MPI_Count);
RESIZED(MPI_Type_create_resized, MPI_Aint, false);
RESIZED(MPI_Type_create_resized_c, MPI_Count, true);

/* Takes a handle from the program. */
static void release(struct weft_mpi *mpi, MPI_Datatype *datatype)
{
    uint32_t number = weft__mpi_type_number(*datatype);
    weft__mpi_type_derived(mpi, number)->users--;
    weft__mpi_type_drop(mpi, number);
    *datatype = MPI_DATATYPE_NULL;
}

int PMPI_Type_dup(MPI_Datatype oldtype, MPI_Datatype *newtype)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    const struct weft_mpi_input input = {
        .where = WEFT_MPI_HERE, .combiner = MPI_COMBINER_DUP, .types_n = 1, .types = &oldtype};
    int err = weft__mpi_type_check_old(mpi, &input);
    if (err)
        return err;
    struct weft_mpi_type *type = weft__mpi_type_make_like(mpi, old_type(&input));
    if (type)
        type->committed = weft__mpi_type_find(mpi, oldtype)->committed;
    err = weft__mpi_type_publish(mpi, &input, type, MPI_ERR_NO_MEM, newtype);
    if (err)
        return err;
    err = weft__mpi_attr_type_dup(mpi, weft__mpi_type_number(oldtype),
                                  weft__mpi_type_number(*newtype));
    if (!err)
        return MPI_SUCCESS;
    (void)weft__mpi_attr_type_free(mpi, weft__mpi_type_number(*newtype)); /* those copied so far */
    release(mpi, newtype);
    return WEFT_MPI_RAISE(mpi, NULL, err, "an attribute's callback returned %d", err);
}
WEFT_MPI_EXPORT(MPI_Type_dup);

/* Nothing is left to be done: types are made ready to be walked. */
int PMPI_Type_commit(MPI_Datatype *datatype)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    if (!weft__mpi_type_find(mpi, *datatype))
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_TYPE, "handle 0x%zx is not a datatype",
                              weft__mpi_handle_value(*datatype));
    uint32_t number = weft__mpi_type_number(*datatype);
    if (weft__mpi_type_is_derived(number))
        weft__mpi_type_derived(mpi, number)->committed = true;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Type_commit);

/* Types of Fortran's numbers count as predefined. */
static bool is_selected(struct weft_mpi *mpi, uint32_t number)
{
    int combiner = weft__mpi_type_get(mpi, number)->contents->combiner;
    return combiner == MPI_COMBINER_F90_INTEGER || combiner == MPI_COMBINER_F90_REAL ||
           combiner == MPI_COMBINER_F90_COMPLEX;
}

int PMPI_Type_free(MPI_Datatype *datatype)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    uint32_t number = weft__mpi_type_number(*datatype);
    if (!weft__mpi_type_find(mpi, *datatype))
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_TYPE, "handle 0x%zx is not a datatype",
                              weft__mpi_handle_value(*datatype));
    if (!weft__mpi_type_is_derived(number) || is_selected(mpi, number))
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_TYPE, "%s is predefined",
                              weft__mpi_type_label(weft__mpi_type_get(mpi, number)));
    if (weft__mpi_type_derived(mpi, number)->users == 1) {
        int err = weft__mpi_attr_type_free(mpi, number);
        if (err)
            return WEFT_MPI_RAISE(mpi, NULL, err, "an attribute's callback returned %d", err);
    }
    release(mpi, datatype);
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Type_free);
