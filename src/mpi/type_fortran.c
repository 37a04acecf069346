/* Types of numbers with a precision and a range, as Fortran selects them.
 *
 * The same arguments give the same type, which the program does not free: a type is made when it is
 * asked for first, and found again by its arguments. Reductions take it as the type it stands for.
 */
#include "mpi/error.h"
#include "mpi/state.h"
#include "mpi/type_input.h"
#include "mpi/type_make.h"

/* Decimal digits and exponents of the types, smallest first. */
struct kind {
    int precision, range;
    uint16_t number;
};

static const struct kind integers[] = {
    {0, 2, 0x2c1}, {0, 4, 0x2c9}, {0, 9, 0x2d1}, {0, 18, 0x2d9}, {0, 38, 0x2e1}};
static const struct kind reals[] = {{6, 37, 0x2d2}, {15, 307, 0x2da}, {33, 4931, 0x2e2}};
static const struct kind complexes[] = {{6, 37, 0x2db}, {15, 307, 0x2e3}, {33, 4931, 0x2eb}};

static MPI_Datatype made_before(struct weft_mpi *mpi, const struct weft_mpi_input *input)
{
    for (uint32_t i = 0; i < mpi->types.len; i++) {
        const struct weft_mpi_type *type = weft__mpi_table_at(&mpi->types, i);
        const struct weft_mpi_contents *c = type ? type->contents : NULL;
        bool same = c && c->combiner == input->combiner;
        for (int j = 0; same && j < input->values_n; j++)
            same = c->integers[j] == weft__mpi_values_at(&input->values[j], 0);
        if (same)
            return weft__mpi_type_handle(type->number);
    }
    return MPI_DATATYPE_NULL;
}

static int make(struct weft_mpi *mpi, const struct weft_mpi_input *input, uint32_t number,
                MPI_Datatype *newtype)
{
    const struct weft_mpi_type *basic = weft__mpi_type_get(mpi, number);
    struct weft_mpi_type *type = weft__mpi_type_make_like(mpi, number);
    if (type) {
        type->base = basic->base;
        type->group = basic->group;
        type->committed = true;
    }
    return weft__mpi_type_publish(mpi, input, type, MPI_ERR_NO_MEM, newtype);
}

/* values: precision, range; or range alone. */
static int select_kind(const struct weft_mpi_input *input, const struct kind *kinds, int n,
                       MPI_Datatype *newtype)
{
    struct weft_mpi *mpi = weft__mpi_enter(input->where);
    int64_t range = weft__mpi_values_at(&input->values[input->values_n - 1], 0);
    int64_t precision = input->values_n > 1 ? weft__mpi_values_at(&input->values[0], 0) : 0;
    bool none = precision == MPI_UNDEFINED && range == MPI_UNDEFINED;
    MPI_Datatype found = made_before(mpi, input);
    for (int i = 0; i < n && found == MPI_DATATYPE_NULL && !none; i++)
        if (precision <= kinds[i].precision && range <= kinds[i].range) /* MPI_UNDEFINED < 0 */
            return make(mpi, input, kinds[i].number, newtype);
    if (found == MPI_DATATYPE_NULL)
        return weft__mpi_error_raise(mpi, NULL, MPI_ERR_ARG, input->where,
                                     "no type has precision %lld and range %lld",
                                     (long long)precision, (long long)range);
    *newtype = found;
    return MPI_SUCCESS;
}

/* clang-format off */
#define INPUT(combiner_, values_n_, ...)                                                           \
    const struct weft_mpi_input input = {.where = WEFT_MPI_HERE, .combiner = (combiner_),          \
                                         .values_n = (values_n_), .values = {__VA_ARGS__}}
#define V(pointer) WEFT_MPI_VALUES(INTEGERS, 1, pointer)
#define N(kinds) (int)(sizeof(kinds) / sizeof((kinds)[0]))
/* clang-format on */

int PMPI_Type_create_f90_integer(int r, MPI_Datatype *newtype)
{
    INPUT(MPI_COMBINER_F90_INTEGER, 1, V(&r));
    return select_kind(&input, integers, N(integers), newtype);
}
WEFT_MPI_EXPORT(MPI_Type_create_f90_integer);

int PMPI_Type_create_f90_real(int p, int r, MPI_Datatype *newtype)
{
    INPUT(MPI_COMBINER_F90_REAL, 2, V(&p), V(&r));
    return select_kind(&input, reals, N(reals), newtype);
}
WEFT_MPI_EXPORT(MPI_Type_create_f90_real);

int PMPI_Type_create_f90_complex(int p, int r, MPI_Datatype *newtype)
{
    INPUT(MPI_COMBINER_F90_COMPLEX, 2, V(&p), V(&r));
    return select_kind(&input, complexes, N(complexes), newtype);
}
WEFT_MPI_EXPORT(MPI_Type_create_f90_complex);
