/* What a program may ask about a datatype. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/heap.h"
#include "mpi/error.h"
#include "mpi/state.h"
#include "mpi/type.h"

static int invalid_type(struct weft_mpi *mpi, const char *where, MPI_Datatype datatype)
{
    return weft__mpi_error_raise(mpi, NULL, MPI_ERR_TYPE, where, "handle 0x%zx is not a datatype",
                                 weft__mpi_handle_value(datatype));
}

int PMPI_Type_size(MPI_Datatype datatype, int *size)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    const struct weft_mpi_type *type = weft__mpi_type_find(mpi, datatype);
    if (!type)
        return invalid_type(mpi, WEFT_MPI_HERE, datatype);
    *size = type->size > INT_MAX ? MPI_UNDEFINED : (int)type->size;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Type_size);

int PMPI_Type_size_c(MPI_Datatype datatype, MPI_Count *size)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    const struct weft_mpi_type *type = weft__mpi_type_find(mpi, datatype);
    if (!type)
        return invalid_type(mpi, WEFT_MPI_HERE, datatype);
    *size = (MPI_Count)type->size;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Type_size_c);

int PMPI_Type_size_x(MPI_Datatype datatype, MPI_Count *size)
{
    return PMPI_Type_size_c(datatype, size);
}
WEFT_MPI_EXPORT(MPI_Type_size_x);

/* clang-format off */
#define BOUNDS(name, Type, lb_field, extent_field)                                                 \
    int P##name(MPI_Datatype datatype, Type *lb, Type *extent)                                     \
    {                                                                                              \
        struct weft_mpi *mpi = weft__mpi_enter(#name);                                             \
        const struct weft_mpi_type *type = weft__mpi_type_find(mpi, datatype);                     \
        if (!type)                                                                                 \
            return invalid_type(mpi, #name, datatype);                                             \
        *lb = type->lb_field;                                                                      \
        *extent = type->extent_field;                                                              \
        return MPI_SUCCESS;                                                                        \
    }                                                                                              \
    WEFT_MPI_EXPORT(name)
/* clang-format on */

BOUNDS(MPI_Type_get_extent, MPI_Aint, lb, extent);
BOUNDS(MPI_Type_get_extent_c, MPI_Count, lb, extent);
BOUNDS(MPI_Type_get_extent_x, MPI_Count, lb, extent);
BOUNDS(MPI_Type_get_true_extent, MPI_Aint, true_lb, true_extent);
BOUNDS(MPI_Type_get_true_extent_c, MPI_Count, true_lb, true_extent);
BOUNDS(MPI_Type_get_true_extent_x, MPI_Count, true_lb, true_extent);

/* Where a name that the program gives is kept; NULL: the region is full. */
static char **name_slot(struct weft_mpi *mpi, uint32_t number)
{
    enum { N = WEFT_MPI_TYPE_LAST - WEFT_MPI_TYPE_FIRST + 1 };
    if (!mpi->type_names)
        mpi->type_names = weft__heap_calloc(mpi->cell->heap, N, sizeof(*mpi->type_names));
    return mpi->type_names ? &mpi->type_names[number - WEFT_MPI_TYPE_FIRST] : NULL;
}

static const char *name_of(struct weft_mpi *mpi, const struct weft_mpi_type *type)
{
    const char *given = NULL;
    if (!weft__mpi_type_is_derived(type->number) && mpi->type_names)
        given = mpi->type_names[type->number - WEFT_MPI_TYPE_FIRST];
    if (!given)
        given = type->name;
    return given ? given : "";
}

int PMPI_Type_get_name(MPI_Datatype datatype, char *type_name, int *resultlen)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    const struct weft_mpi_type *type = weft__mpi_type_find(mpi, datatype);
    if (datatype == MPI_DATATYPE_NULL) {
        *resultlen = snprintf(type_name, MPI_MAX_OBJECT_NAME, "MPI_DATATYPE_NULL");
        return MPI_SUCCESS;
    }
    if (!type)
        return invalid_type(mpi, WEFT_MPI_HERE, datatype);
    *resultlen = snprintf(type_name, MPI_MAX_OBJECT_NAME, "%s", name_of(mpi, type));
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Type_get_name);

int PMPI_Type_set_name(MPI_Datatype datatype, const char *type_name)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    if (!weft__mpi_type_find(mpi, datatype))
        return invalid_type(mpi, WEFT_MPI_HERE, datatype);
    size_t len = strnlen(type_name, MPI_MAX_OBJECT_NAME - 1);
    uint32_t number = weft__mpi_type_number(datatype);
    bool derived = weft__mpi_type_is_derived(number);
    char *copy = weft__heap_alloc(mpi->cell->heap, len + 1);
    char **slot = derived ? &weft__mpi_type_derived(mpi, number)->name : name_slot(mpi, number);
    if (!copy || !slot) {
        weft__heap_free(mpi->cell->heap, copy);
        return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_NO_MEM, "the rank's region is full");
    }
    memcpy(copy, type_name, len);
    copy[len] = '\0';
    weft__heap_free(mpi->cell->heap, *slot);
    *slot = copy;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Type_set_name);

/* The Fortran types of a class, by size. */
int PMPI_Type_match_size(int typeclass, int size, MPI_Datatype *datatype)
{
    static const struct {
        int class, size;
        uint16_t number;
    } sized[] = {
        {MPI_TYPECLASS_INTEGER, 1, 0x2c1},  {MPI_TYPECLASS_INTEGER, 2, 0x2c9},
        {MPI_TYPECLASS_INTEGER, 4, 0x2d1},  {MPI_TYPECLASS_INTEGER, 8, 0x2d9},
        {MPI_TYPECLASS_INTEGER, 16, 0x2e1}, {MPI_TYPECLASS_REAL, 2, 0x2ca},
        {MPI_TYPECLASS_REAL, 4, 0x2d2},     {MPI_TYPECLASS_REAL, 8, 0x2da},
        {MPI_TYPECLASS_REAL, 16, 0x2e2},    {MPI_TYPECLASS_COMPLEX, 4, 0x2d3},
        {MPI_TYPECLASS_COMPLEX, 8, 0x2db},  {MPI_TYPECLASS_COMPLEX, 16, 0x2e3},
        {MPI_TYPECLASS_COMPLEX, 32, 0x2eb},
    };
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    for (size_t i = 0; i < sizeof(sized) / sizeof(sized[0]); i++) {
        if (sized[i].class == typeclass && sized[i].size == size) {
            *datatype = weft__mpi_type_handle(sized[i].number);
            return MPI_SUCCESS;
        }
    }
    return WEFT_MPI_RAISE(mpi, NULL, MPI_ERR_ARG, "no type of class %d has %d bytes", typeclass,
                          size);
}
WEFT_MPI_EXPORT(MPI_Type_match_size);

/* The predefined pairs with an index of type int, and those of two equal Fortran types. */
int PMPI_Type_get_value_index(MPI_Datatype value_type, MPI_Datatype index_type,
                              MPI_Datatype *pair_type)
{
    static const uint16_t pairs[][3] = {
        {0x210, 0x209, 0x228}, {0x214, 0x209, 0x229}, {0x20a, 0x209, 0x22a},
        {0x209, 0x209, 0x22b}, {0x208, 0x209, 0x22c}, {0x220, 0x209, 0x22d},
        {0x21a, 0x21a, 0x230}, {0x21c, 0x21c, 0x231}, {0x219, 0x219, 0x232},
    };
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    if (!weft__mpi_type_find(mpi, value_type))
        return invalid_type(mpi, WEFT_MPI_HERE, value_type);
    if (!weft__mpi_type_find(mpi, index_type))
        return invalid_type(mpi, WEFT_MPI_HERE, index_type);
    *pair_type = MPI_DATATYPE_NULL;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        if (pairs[i][0] == weft__mpi_type_number(value_type) &&
            pairs[i][1] == weft__mpi_type_number(index_type))
            *pair_type = weft__mpi_type_handle(pairs[i][2]);
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Type_get_value_index);
