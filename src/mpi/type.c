/* The tables of datatypes: predefined ones, static, and the derived ones of a rank.
 *
 * A type's number is its handle's value, so that nothing in the rank's range points to the static
 * table. A derived type's number is its slot's index above the 12 bits that the ABI reserves. It is
 * counted: the program holds it until MPI_Type_free, and requests, schedules and types that are
 * made of it hold it too.
 *
 * The Fortran types are those of a compiler with 4-byte INTEGER, REAL and LOGICAL. The types for
 * MINLOC and MAXLOC are the C structs { value; int index; }: where the struct has padding, the size
 * leaves it out and messages are packed without it.
 *
 * MPI_CHAR is an integer for reductions, though MPI says that letters cannot be reduced: MPICH and
 * Open MPI reduce it as one, and so many programs keep their flags in a char.
 */
#include "mpi/type.h"

#include <complex.h>
#include <wchar.h>

#include "base/heap.h"
#include "mpi/error.h"
#include "mpi/state.h"

#define FIRST WEFT_MPI_TYPE_FIRST
#define LAST WEFT_MPI_TYPE_LAST

struct float_int {
    float value;
    int index;
};
struct double_int {
    double value;
    int index;
};
struct long_int {
    long value;
    int index;
};
struct short_int {
    short value;
    int index;
};
struct long_double_int {
    long double value;
    int index;
};

/* clang-format off */
#define BASIC(number_, bytes, align_, base_, group_, name_)                                        \
    [(number_) - FIRST] = {.size = (bytes), .extent = (bytes), .true_extent = (bytes), .elements = 1, \
                           .unit = (number_), .align = (align_), .base = WEFT_MPI_BASE_##base_,    \
                           .group = WEFT_MPI_GROUP_##group_, .dense = true, .committed = true,     \
                           .number = (number_), .name = name_}
#define PLAIN(number_, bytes, base_, group_, name_) BASIC(number_, bytes, bytes, base_, group_, name_)
#define COMPLEX(number_, bytes, base_, name_) BASIC(number_, bytes, (bytes) / 2, base_, COMPLEX, name_)
#define VALUES(offset_, start_, count_, child_)                                                    \
    {.offset = (offset_), .start = (start_), .count = (count_), .child = (child_), .single = true}
#define PAIR_OF(number_, bytes, extent_, base_, name_)                                             \
    .size = (bytes), .extent = (extent_), .elements = 2, .number = (number_), .base = WEFT_MPI_BASE_##base_, \
    .group = WEFT_MPI_GROUP_PAIR, .committed = true, .depth = 1, .body = (bytes), .repeat = 1, .name = name_
/* A value and an index, maybe with a gap before the index or behind it. */
#define PAIR(number_, struct_, value_, unit_, base_, name_)                                        \
    [(number_) - FIRST] = {                                                                        \
        PAIR_OF(number_, sizeof(value_) + sizeof(int), sizeof(struct_), base_, name_),             \
        .true_extent = offsetof(struct_, index) + sizeof(int), .align = _Alignof(struct_),         \
        .dense = offsetof(struct_, index) == sizeof(value_), .parts_n = 2,                         \
        .parts = (const struct weft_mpi_part[]){                                                   \
            VALUES(0, 0, 1, unit_), VALUES(offsetof(struct_, index), sizeof(value_), 1, 0x209)}}
#define TWO(number_, bytes, unit_, base_, name_)                                                   \
    [(number_) - FIRST] = {                                                                        \
        PAIR_OF(number_, bytes, bytes, base_, name_), .true_extent = (bytes), .unit = (unit_),     \
        .align = (bytes) / 2, .dense = true, .parts_n = 1,                                         \
        .parts = (const struct weft_mpi_part[]){VALUES(0, 0, 2, unit_)}}

const struct weft_mpi_type weft__mpi_type_predefined[LAST - FIRST + 1] = {
    PLAIN(0x201, 8, I64, MULTI, "MPI_AINT"),
    PLAIN(0x202, 8, I64, MULTI, "MPI_COUNT"),
    PLAIN(0x203, 8, I64, MULTI, "MPI_OFFSET"),
    PLAIN(0x207, 1, NONE, NONE, "MPI_PACKED"),
    PLAIN(0x208, sizeof(short), I16, INTEGER, "MPI_SHORT"),
    PLAIN(0x209, sizeof(int), I32, INTEGER, "MPI_INT"),
    PLAIN(0x20a, sizeof(long), I64, INTEGER, "MPI_LONG"),
    PLAIN(0x20b, sizeof(long long), I64, INTEGER, "MPI_LONG_LONG"),
    PLAIN(0x20c, sizeof(short), U16, INTEGER, "MPI_UNSIGNED_SHORT"),
    PLAIN(0x20d, sizeof(int), U32, INTEGER, "MPI_UNSIGNED"),
    PLAIN(0x20e, sizeof(long), U64, INTEGER, "MPI_UNSIGNED_LONG"),
    PLAIN(0x20f, sizeof(long long), U64, INTEGER, "MPI_UNSIGNED_LONG_LONG"),
    PLAIN(0x210, sizeof(float), F, FLOATING, "MPI_FLOAT"),
    COMPLEX(0x212, sizeof(float complex), CF, "MPI_C_FLOAT_COMPLEX"),
    COMPLEX(0x213, sizeof(float complex), CF, "MPI_CXX_FLOAT_COMPLEX"),
    PLAIN(0x214, sizeof(double), D, FLOATING, "MPI_DOUBLE"),
    COMPLEX(0x216, sizeof(double complex), CD, "MPI_C_DOUBLE_COMPLEX"),
    COMPLEX(0x217, sizeof(double complex), CD, "MPI_CXX_DOUBLE_COMPLEX"),
    PLAIN(0x218, 4, I32, LOGICAL, "MPI_LOGICAL"),
    PLAIN(0x219, 4, I32, FORTRAN_INTEGER, "MPI_INTEGER"),
    PLAIN(0x21a, 4, F, FLOATING, "MPI_REAL"),
    COMPLEX(0x21b, 8, CF, "MPI_COMPLEX"),
    PLAIN(0x21c, 8, D, FLOATING, "MPI_DOUBLE_PRECISION"),
    COMPLEX(0x21d, 16, CD, "MPI_DOUBLE_COMPLEX"),
    PLAIN(0x21e, 1, NONE, NONE, "MPI_CHARACTER"),
    PLAIN(0x220, sizeof(long double), LD, FLOATING, "MPI_LONG_DOUBLE"),
    COMPLEX(0x224, sizeof(long double complex), CLD, "MPI_C_LONG_DOUBLE_COMPLEX"),
    COMPLEX(0x225, sizeof(long double complex), CLD, "MPI_CXX_LONG_DOUBLE_COMPLEX"),
    PAIR(0x228, struct float_int, float, 0x210, F_I, "MPI_FLOAT_INT"),
    PAIR(0x229, struct double_int, double, 0x214, D_I, "MPI_DOUBLE_INT"),
    PAIR(0x22a, struct long_int, long, 0x20a, L_I, "MPI_LONG_INT"),
    TWO(0x22b, 2 * sizeof(int), 0x209, I_I, "MPI_2INT"),
    PAIR(0x22c, struct short_int, short, 0x208, S_I, "MPI_SHORT_INT"),
    PAIR(0x22d, struct long_double_int, long double, 0x220, LD_I, "MPI_LONG_DOUBLE_INT"),
    TWO(0x230, 8, 0x21a, F_F, "MPI_2REAL"),
    TWO(0x231, 16, 0x21c, D_D, "MPI_2DOUBLE_PRECISION"),
    TWO(0x232, 8, 0x219, I_I, "MPI_2INTEGER"),
    PLAIN(0x238, sizeof(_Bool), U8, LOGICAL, "MPI_C_BOOL"),
    PLAIN(0x239, sizeof(_Bool), U8, LOGICAL, "MPI_CXX_BOOL"),
    PLAIN(0x23c, sizeof(wchar_t), NONE, NONE, "MPI_WCHAR"),
    PLAIN(0x240, 1, I8, INTEGER, "MPI_INT8_T"),
    PLAIN(0x241, 1, U8, INTEGER, "MPI_UINT8_T"),
    PLAIN(0x243, 1, I8, INTEGER, "MPI_CHAR"),
    PLAIN(0x244, 1, I8, INTEGER, "MPI_SIGNED_CHAR"),
    PLAIN(0x245, 1, U8, INTEGER, "MPI_UNSIGNED_CHAR"),
    PLAIN(0x247, 1, U8, BYTE, "MPI_BYTE"),
    PLAIN(0x248, 2, I16, INTEGER, "MPI_INT16_T"),
    PLAIN(0x249, 2, U16, INTEGER, "MPI_UINT16_T"),
    PLAIN(0x250, 4, I32, INTEGER, "MPI_INT32_T"),
    PLAIN(0x251, 4, U32, INTEGER, "MPI_UINT32_T"),
    PLAIN(0x258, 8, I64, INTEGER, "MPI_INT64_T"),
    PLAIN(0x259, 8, U64, INTEGER, "MPI_UINT64_T"),
    PLAIN(0x2c0, 1, I8, LOGICAL, "MPI_LOGICAL1"),
    PLAIN(0x2c1, 1, I8, FORTRAN_INTEGER, "MPI_INTEGER1"),
    PLAIN(0x2c8, 2, I16, LOGICAL, "MPI_LOGICAL2"),
    PLAIN(0x2c9, 2, I16, FORTRAN_INTEGER, "MPI_INTEGER2"),
    PLAIN(0x2ca, 2, NONE, NONE, "MPI_REAL2"),
    PLAIN(0x2d0, 4, I32, LOGICAL, "MPI_LOGICAL4"),
    PLAIN(0x2d1, 4, I32, FORTRAN_INTEGER, "MPI_INTEGER4"),
    PLAIN(0x2d2, 4, F, FLOATING, "MPI_REAL4"),
    BASIC(0x2d3, 4, 2, NONE, NONE, "MPI_COMPLEX4"),
    PLAIN(0x2d8, 8, I64, LOGICAL, "MPI_LOGICAL8"),
    PLAIN(0x2d9, 8, I64, FORTRAN_INTEGER, "MPI_INTEGER8"),
    PLAIN(0x2da, 8, D, FLOATING, "MPI_REAL8"),
    COMPLEX(0x2db, 8, CF, "MPI_COMPLEX8"),
    PLAIN(0x2e0, 16, I128, LOGICAL, "MPI_LOGICAL16"),
    PLAIN(0x2e1, 16, I128, FORTRAN_INTEGER, "MPI_INTEGER16"),
    PLAIN(0x2e2, 16, NONE, NONE, "MPI_REAL16"),
    COMPLEX(0x2e3, 16, CD, "MPI_COMPLEX16"),
    BASIC(0x2eb, 32, 16, NONE, NONE, "MPI_COMPLEX32"),
};
/* clang-format on */

const struct weft_mpi_type *weft__mpi_type_find(struct weft_mpi *mpi, MPI_Datatype datatype)
{
    uintptr_t value = weft__mpi_handle_value(datatype);
    if (value > LAST) {
        const struct weft_mpi_type *type =
            weft__mpi_table_find(&mpi->types, value, WEFT_MPI_TYPE_KIND);
        return type && type->users > 0 ? type : NULL;
    }
    if (value < FIRST || weft__mpi_type_predefined[value - FIRST].size == 0)
        return NULL;
    return &weft__mpi_type_predefined[value - FIRST];
}

struct weft_mpi_type *weft__mpi_type_derived(struct weft_mpi *mpi, uint32_t number)
{
    return weft__mpi_table_at(&mpi->types, weft__mpi_table_index(number));
}

/* One holder less; the last one puts it before those that are to be released. */
static void let_go(struct weft_mpi *mpi, uint32_t number, struct weft_mpi_type **releasing)
{
    if (!weft__mpi_type_is_derived(number))
        return;
    struct weft_mpi_type *type = weft__mpi_type_derived(mpi, number);
    if (--type->holders > 0)
        return;
    type->next = *releasing;
    *releasing = type;
}

static void free_type(struct weft_mpi *mpi, struct weft_mpi_type *type)
{
    struct weft_heap *heap = mpi->cell->heap;
    if (!type->shares)
        weft__heap_free(heap, (void *)(uintptr_t)type->parts); /* constant since it was made */
    weft__heap_free(heap, type->contents);
    weft__heap_free(heap, type->name);
    weft__heap_free(heap, type);
}

/* A loop, not a recursion: chains of types can be long. */
void weft__mpi_type_release(struct weft_mpi *mpi, uint32_t number)
{
    struct weft_mpi_type *releasing = NULL;
    let_go(mpi, number, &releasing);
    while (releasing) {
        struct weft_mpi_type *type = releasing;
        const struct weft_mpi_contents *contents = type->contents;
        releasing = type->next;
        for (uint32_t i = 0; !type->shares && i < type->parts_n; i++)
            let_go(mpi, type->parts[i].child, &releasing);
        for (int64_t i = 0; contents && i < contents->types_n; i++)
            let_go(mpi, contents->types[i], &releasing);
        weft__mpi_table_remove(&mpi->types, weft__mpi_table_index(type->number));
        free_type(mpi, type);
    }
}

struct weft_mpi_type *weft__mpi_type_new(struct weft_mpi *mpi)
{
    struct weft_mpi_type *type = weft__heap_calloc(mpi->cell->heap, 1, sizeof(*type));
    int32_t index = type ? weft__mpi_table_add(&mpi->types, mpi->cell->heap, type) : -1;
    if (index < 0) {
        weft__heap_free(mpi->cell->heap, type);
        return NULL;
    }
    type->number = (uint32_t)weft__mpi_table_handle(index, WEFT_MPI_TYPE_KIND);
    type->holders = 1;
    return type;
}

void weft__mpi_type_fini(struct weft_mpi *mpi)
{
    struct weft_mpi_type *type;
    for (uint32_t i = 0; i < mpi->types.len; i++)
        if ((type = weft__mpi_table_at(&mpi->types, i)) != NULL)
            free_type(mpi, type);
    for (uint32_t i = 0; mpi->type_names && i <= LAST - FIRST; i++)
        weft__heap_free(mpi->cell->heap, mpi->type_names[i]);
    weft__heap_free(mpi->cell->heap, mpi->type_names);
    mpi->type_names = NULL;
    weft__mpi_table_fini(&mpi->types, mpi->cell->heap);
}

bool weft__mpi_type_fits(const struct weft_mpi_type *type, MPI_Count count)
{
    int64_t bytes, product, end;
    return !__builtin_mul_overflow((int64_t)type->size, count, &bytes) &&
           !__builtin_mul_overflow(type->extent, count, &product) && product != INT64_MIN &&
           !__builtin_add_overflow(product, type->true_lb, &end) &&
           !__builtin_add_overflow(product < 0 ? -product : product, type->true_extent, &end);
}

size_t weft__mpi_type_span(const struct weft_mpi_type *type, MPI_Count count, int64_t *first_out)
{
    *first_out = type->true_lb;
    if (count <= 0 || type->size == 0)
        return 0;
    int64_t between = (count - 1) * type->extent;
    if (between < 0) {
        *first_out += between;
        between = -between;
    }
    return (size_t)(between + type->true_extent);
}

int weft__mpi_type_check(struct weft_mpi *mpi, const struct weft_mpi_comm *comm, const char *where,
                         MPI_Datatype datatype)
{
    const struct weft_mpi_type *type = weft__mpi_type_find(mpi, datatype);
    if (!type)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_TYPE, where,
                                     "handle 0x%zx is not a datatype",
                                     weft__mpi_handle_value(datatype));
    if (!type->committed)
        return weft__mpi_error_raise(mpi, comm, MPI_ERR_TYPE, where,
                                     "%s is not committed (MPI_Type_commit)",
                                     weft__mpi_type_label(type));
    return MPI_SUCCESS;
}
