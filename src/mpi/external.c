/* external32: values one by one, down to the basic elements, whose type says how they are written.
 *
 * An element is one or two numbers (complex ones have two) of as many bytes as its alignment.
 * Numbers are written big endian; long has four bytes, wchar_t two, long double is the 128-bit
 * format of IEEE 754, which has the exponent of the x87 format and a longer fraction.
 */
#include "mpi/external.h"

#include <float.h>
#include <string.h>

#include "mpi/state.h"

enum { NUMBER_MAX = 16 };

struct visit {
    struct weft_mpi *mpi;
    unsigned char *packed;
    bool into_memory;
};

static uint64_t number_size(const struct weft_mpi_type *basic)
{
    MPI_Datatype handle = weft__mpi_type_handle(basic->number);
    if (handle == MPI_LONG || handle == MPI_UNSIGNED_LONG)
        return 4;
    return handle == MPI_WCHAR ? 2 : basic->align;
}

static void reverse(unsigned char *bytes, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        unsigned char byte = bytes[i];
        bytes[i] = bytes[n - 1 - i];
        bytes[n - 1 - i] = byte;
    }
}

static bool is_x87(const struct weft_mpi_type *basic)
{
    return LDBL_MANT_DIG == 64 &&
           (basic->base == WEFT_MPI_BASE_LD || basic->base == WEFT_MPI_BASE_CLD);
}

/* Little endian: 8 bytes of significand with its leading bit, sign and exponent; the 128-bit format
 * has 14 bytes of fraction, without the leading bit, below them. */
static void from_x87(unsigned char number[NUMBER_MAX])
{
    uint64_t significand, high, low;
    memcpy(&significand, number, 8);
    high = significand << 1 >> 16;
    low = significand << 49;
    memmove(number + 14, number + 8, 2);
    memcpy(number, &low, 8);
    memcpy(number + 8, &high, 6);
}

static void to_x87(unsigned char number[NUMBER_MAX])
{
    uint64_t significand, high = 0, low;
    memcpy(&low, number, 8);
    memcpy(&high, number + 8, 6);
    significand = high << 15 | low >> 49;
    if (number[14] != 0 || (number[15] & 0x7f) != 0)
        significand |= (uint64_t)1 << 63;
    memcpy(number, &significand, 8);
    memmove(number + 8, number + 14, 2);
    memset(number + 10, 0, 6);
}

static void write_number(const struct weft_mpi_type *basic, const unsigned char *memory,
                         unsigned char *packed)
{
    unsigned char number[NUMBER_MAX];
    memcpy(number, memory, basic->align);
    if (is_x87(basic))
        from_x87(number);
    size_t len = number_size(basic);
    reverse(number, len);
    memcpy(packed, number, len);
}

static void read_number(const struct weft_mpi_type *basic, const unsigned char *packed,
                        unsigned char *memory)
{
    unsigned char number[NUMBER_MAX];
    size_t len = number_size(basic);
    bool negative = basic->base == WEFT_MPI_BASE_I64 && (packed[0] & 0x80) != 0;
    memset(number, negative ? 0xff : 0, sizeof(number));
    memcpy(number, packed, len);
    reverse(number, len);
    if (is_x87(basic))
        to_x87(number);
    memcpy(memory, number, basic->align);
}

static void visit_basic(struct visit *v, const struct weft_mpi_type *basic, uintptr_t at, int64_t n)
{
    uint64_t len = number_size(basic), numbers = basic->size / basic->align * (uint64_t)n;
    for (uint64_t i = 0; i < numbers; i++, at += basic->align, v->packed += len) {
        unsigned char *memory = (unsigned char *)at; /* NOLINT: absolute addresses */
        if (v->into_memory)
            read_number(basic, v->packed, memory);
        else
            write_number(basic, memory, v->packed);
    }
}

/* Deep as the types nest. */
static void visit_values(struct visit *v, const struct weft_mpi_type *type, uintptr_t at,
                         int64_t count);

static void visit_body(struct visit *v, const struct weft_mpi_type *type, uintptr_t at)
{
    for (uint32_t i = 0; i < type->parts_n; i++) {
        const struct weft_mpi_part *part = &type->parts[i];
        const struct weft_mpi_type *child = weft__mpi_type_get(v->mpi, part->child);
        uintptr_t first = at + (uintptr_t)part->offset;
        if (part->single)
            first -= (uintptr_t)child->true_lb;
        visit_values(v, child, first, part->count);
    }
}

static void visit_values(struct visit *v, const struct weft_mpi_type *type, uintptr_t at,
                         int64_t count)
{
    for (int64_t i = 0; i < count; i++, at += (uintptr_t)type->extent) {
        if (type->dense && type->unit)
            visit_basic(v, weft__mpi_type_get(v->mpi, type->unit), at + (uintptr_t)type->true_lb,
                        (int64_t)type->elements);
        else
            for (int64_t j = 0; j < type->repeat; j++)
                visit_body(v, type, at + (uintptr_t)j * (uintptr_t)type->stride);
    }
}

uint64_t weft__mpi_external_size(struct weft_mpi *mpi, const struct weft_mpi_type *type)
{
    uint64_t size = 0;
    if (type->size == 0)
        return 0;
    if (type->unit) {
        const struct weft_mpi_type *basic = weft__mpi_type_get(mpi, type->unit);
        return type->size / basic->align * number_size(basic);
    }
    for (uint32_t i = 0; i < type->parts_n; i++) {
        const struct weft_mpi_type *child = weft__mpi_type_get(mpi, type->parts[i].child);
        size += (uint64_t)type->parts[i].count * weft__mpi_external_size(mpi, child);
    }
    return size * (uint64_t)type->repeat;
}

void weft__mpi_external_pack(struct weft_mpi *mpi, const struct weft_mpi_buffer *from, void *packed)
{
    struct visit v = {.mpi = mpi, .packed = packed};
    visit_values(&v, weft__mpi_type_get(mpi, from->type), (uintptr_t)from->buf, from->count);
}

void weft__mpi_external_unpack(struct weft_mpi *mpi, const struct weft_mpi_buffer *into,
                               const void *packed)
{
    struct visit v = {
        .mpi = mpi, .packed = (unsigned char *)(uintptr_t)packed, .into_memory = true};
    visit_values(&v, weft__mpi_type_get(mpi, into->type), (uintptr_t)into->buf, into->count);
}
