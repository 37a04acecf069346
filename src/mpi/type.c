/* The table of predefined datatypes, and packing.
 *
 * A type's number is its handle's value, so that nothing in the rank's range points to this table.
 * The Fortran types are those of a compiler with 4-byte INTEGER, REAL and LOGICAL. The types for
 * MINLOC and MAXLOC are the C structs { value; int index; }: where the struct has padding, the size
 * leaves it out and messages are packed without it.
 */
#include "mpi/type.h"

#include <complex.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "mpi/error.h"

#define FIRST 0x200u
#define LAST 0x2ebu

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
struct int_int {
    int value, index;
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
#define PLAIN(number, bytes, base_, group_, name_)                                             \
    [(number) - FIRST] = {.size = (bytes), .extent = (bytes), .base = WEFT_MPI_BASE_##base_,   \
                          .group = WEFT_MPI_GROUP_##group_, .first = (bytes), .name = name_}
#define PAIR(number, struct_, value_, base_, name_)                                            \
    [(number) - FIRST] = {.size = sizeof(value_) + sizeof(int), .extent = sizeof(struct_),     \
                          .base = WEFT_MPI_BASE_##base_, .group = WEFT_MPI_GROUP_PAIR,         \
                          .first = sizeof(value_), .second = offsetof(struct_, index), .name = name_}

static const struct weft_mpi_type types[LAST - FIRST + 1] = {
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
    PLAIN(0x212, sizeof(float complex), CF, COMPLEX, "MPI_C_FLOAT_COMPLEX"),
    PLAIN(0x213, sizeof(float complex), CF, COMPLEX, "MPI_CXX_FLOAT_COMPLEX"),
    PLAIN(0x214, sizeof(double), D, FLOATING, "MPI_DOUBLE"),
    PLAIN(0x216, sizeof(double complex), CD, COMPLEX, "MPI_C_DOUBLE_COMPLEX"),
    PLAIN(0x217, sizeof(double complex), CD, COMPLEX, "MPI_CXX_DOUBLE_COMPLEX"),
    PLAIN(0x218, 4, I32, LOGICAL, "MPI_LOGICAL"),
    PLAIN(0x219, 4, I32, FORTRAN_INTEGER, "MPI_INTEGER"),
    PLAIN(0x21a, 4, F, FLOATING, "MPI_REAL"),
    PLAIN(0x21b, 8, CF, COMPLEX, "MPI_COMPLEX"),
    PLAIN(0x21c, 8, D, FLOATING, "MPI_DOUBLE_PRECISION"),
    PLAIN(0x21d, 16, CD, COMPLEX, "MPI_DOUBLE_COMPLEX"),
    PLAIN(0x21e, 1, NONE, NONE, "MPI_CHARACTER"),
    PLAIN(0x220, sizeof(long double), LD, FLOATING, "MPI_LONG_DOUBLE"),
    PLAIN(0x224, sizeof(long double complex), CLD, COMPLEX, "MPI_C_LONG_DOUBLE_COMPLEX"),
    PLAIN(0x225, sizeof(long double complex), CLD, COMPLEX, "MPI_CXX_LONG_DOUBLE_COMPLEX"),
    PAIR(0x228, struct float_int, float, F_I, "MPI_FLOAT_INT"),
    PAIR(0x229, struct double_int, double, D_I, "MPI_DOUBLE_INT"),
    PAIR(0x22a, struct long_int, long, L_I, "MPI_LONG_INT"),
    PAIR(0x22b, struct int_int, int, I_I, "MPI_2INT"),
    PAIR(0x22c, struct short_int, short, S_I, "MPI_SHORT_INT"),
    PAIR(0x22d, struct long_double_int, long double, LD_I, "MPI_LONG_DOUBLE_INT"),
    PLAIN(0x230, 8, F_F, PAIR, "MPI_2REAL"),
    PLAIN(0x231, 16, D_D, PAIR, "MPI_2DOUBLE_PRECISION"),
    PLAIN(0x232, 8, I_I, PAIR, "MPI_2INTEGER"),
    PLAIN(0x238, sizeof(_Bool), U8, LOGICAL, "MPI_C_BOOL"),
    PLAIN(0x239, sizeof(_Bool), U8, LOGICAL, "MPI_CXX_BOOL"),
    PLAIN(0x23c, sizeof(wchar_t), NONE, NONE, "MPI_WCHAR"),
    PLAIN(0x240, 1, I8, INTEGER, "MPI_INT8_T"),
    PLAIN(0x241, 1, U8, INTEGER, "MPI_UINT8_T"),
    PLAIN(0x243, 1, NONE, NONE, "MPI_CHAR"),
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
    PLAIN(0x2d3, 4, NONE, NONE, "MPI_COMPLEX4"),
    PLAIN(0x2d8, 8, I64, LOGICAL, "MPI_LOGICAL8"),
    PLAIN(0x2d9, 8, I64, FORTRAN_INTEGER, "MPI_INTEGER8"),
    PLAIN(0x2da, 8, D, FLOATING, "MPI_REAL8"),
    PLAIN(0x2db, 8, CF, COMPLEX, "MPI_COMPLEX8"),
    PLAIN(0x2e0, 16, I128, LOGICAL, "MPI_LOGICAL16"),
    PLAIN(0x2e1, 16, I128, FORTRAN_INTEGER, "MPI_INTEGER16"),
    PLAIN(0x2e2, 16, NONE, NONE, "MPI_REAL16"),
    PLAIN(0x2e3, 16, CD, COMPLEX, "MPI_COMPLEX16"),
    PLAIN(0x2eb, 32, NONE, NONE, "MPI_COMPLEX32"),
};
/* clang-format on */

const struct weft_mpi_type *weft__mpi_type_find(MPI_Datatype datatype)
{
    uintptr_t value = (uintptr_t)datatype;
    if (value < FIRST || value > LAST || types[value - FIRST].size == 0)
        return NULL;
    return &types[value - FIRST];
}

const struct weft_mpi_type *weft__mpi_type_get(uint32_t number)
{
    return &types[number - FIRST];
}

void weft__mpi_type_pack(const struct weft_mpi_type *type, const void *from, MPI_Count count,
                         void *packed)
{
    const unsigned char *in = from;
    unsigned char *out = packed;
    size_t second = (size_t)(type->size - type->first);
    for (MPI_Count i = 0; i < count; i++) {
        memcpy(out, in, type->first);
        memcpy(out + type->first, in + type->second, second);
        in += type->extent;
        out += type->size;
    }
}

/* One value, or the front of it. */
static void unpack_one(const struct weft_mpi_type *type, const unsigned char *in, size_t len,
                       unsigned char *out)
{
    memcpy(out, in, len < type->first ? len : type->first);
    if (len > type->first)
        memcpy(out + type->second, in + type->first, len - type->first);
}

void weft__mpi_type_unpack(const struct weft_mpi_type *type, const void *packed, size_t len_bytes,
                           void *into)
{
    const unsigned char *in = packed;
    unsigned char *out = into;
    while (len_bytes > 0) {
        size_t len = len_bytes < type->size ? len_bytes : type->size;
        unpack_one(type, in, len, out);
        in += len;
        out += type->extent;
        len_bytes -= len;
    }
}

void weft__mpi_type_copy(const struct weft_mpi_type *type, const void *from, MPI_Count count,
                         void *into)
{
    if (count > 0 && from != into)
        memmove(into, from, (size_t)count * type->extent);
}

static int invalid_type(struct weft_mpi *mpi, const char *where, MPI_Datatype datatype)
{
    return weft__mpi_error_raise(mpi, NULL, MPI_ERR_TYPE, where, "handle 0x%zx is not a datatype",
                                 weft__mpi_handle_value(datatype));
}

int PMPI_Type_size(MPI_Datatype datatype, int *size)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    const struct weft_mpi_type *type = weft__mpi_type_find(datatype);
    if (!type)
        return invalid_type(mpi, WEFT_MPI_HERE, datatype);
    *size = type->size;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Type_size);

int PMPI_Type_size_c(MPI_Datatype datatype, MPI_Count *size)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    const struct weft_mpi_type *type = weft__mpi_type_find(datatype);
    if (!type)
        return invalid_type(mpi, WEFT_MPI_HERE, datatype);
    *size = type->size;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Type_size_c);

int PMPI_Type_size_x(MPI_Datatype datatype, MPI_Count *size)
{
    return PMPI_Type_size_c(datatype, size);
}
WEFT_MPI_EXPORT(MPI_Type_size_x);

int PMPI_Type_get_extent_c(MPI_Datatype datatype, MPI_Count *lb, MPI_Count *extent)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    const struct weft_mpi_type *type = weft__mpi_type_find(datatype);
    if (!type)
        return invalid_type(mpi, WEFT_MPI_HERE, datatype);
    *lb = 0;
    *extent = type->extent;
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Type_get_extent_c);

int PMPI_Type_get_extent(MPI_Datatype datatype, MPI_Aint *lb, MPI_Aint *extent)
{
    MPI_Count lb_c = 0, extent_c = 0;
    int err = PMPI_Type_get_extent_c(datatype, &lb_c, &extent_c);
    if (!err) {
        *lb = lb_c;
        *extent = extent_c;
    }
    return err;
}
WEFT_MPI_EXPORT(MPI_Type_get_extent);

int PMPI_Type_get_extent_x(MPI_Datatype datatype, MPI_Count *lb, MPI_Count *extent)
{
    return PMPI_Type_get_extent_c(datatype, lb, extent);
}
WEFT_MPI_EXPORT(MPI_Type_get_extent_x);

int PMPI_Type_get_name(MPI_Datatype datatype, char *type_name, int *resultlen)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    const struct weft_mpi_type *type = weft__mpi_type_find(datatype);
    if (!type)
        return invalid_type(mpi, WEFT_MPI_HERE, datatype);
    *resultlen = snprintf(type_name, MPI_MAX_OBJECT_NAME, "%s", type->name);
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Type_get_name);

/* Predefined types are committed already. */
int PMPI_Type_commit(MPI_Datatype *datatype)
{
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    if (!weft__mpi_type_find(*datatype))
        return invalid_type(mpi, WEFT_MPI_HERE, *datatype);
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Type_commit);
