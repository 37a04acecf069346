/* Basic elements in packed data: down the nest, as a walk that packs. */
#include "mpi/state.h"
#include "mpi/type.h"

static uint64_t part_elements(struct weft_mpi *mpi, const struct weft_mpi_part *part)
{
    return (uint64_t)part->count * weft__mpi_type_get(mpi, part->child)->elements;
}

/* In less than a value. Deep as the types nest. */
static int64_t elements_within(struct weft_mpi *mpi, const struct weft_mpi_type *type, uint64_t len)
{
    if (type->unit) {
        uint64_t unit = weft__mpi_type_get(mpi, type->unit)->size;
        return len % unit == 0 ? (int64_t)(len / unit) : -1;
    }
    uint64_t n = len / type->body * (type->elements / (uint64_t)type->repeat), start = 0;
    len %= type->body;
    for (uint32_t i = 0; i < type->parts_n; i++) {
        uint64_t end = i + 1 < type->parts_n ? type->parts[i + 1].start : type->body;
        if (len < end) {
            int64_t inside = weft__mpi_type_elements(
                mpi, weft__mpi_type_get(mpi, type->parts[i].child), len - start);
            return inside < 0 ? inside : (int64_t)n + inside;
        }
        n += part_elements(mpi, &type->parts[i]);
        start = end;
    }
    return (int64_t)n;
}

int64_t weft__mpi_type_elements(struct weft_mpi *mpi, const struct weft_mpi_type *type,
                                uint64_t len)
{
    int64_t whole = (int64_t)(len / type->size * type->elements);
    int64_t inside = len % type->size > 0 ? elements_within(mpi, type, len % type->size) : 0;
    return inside < 0 ? inside : whole + inside;
}

/* Of fewer than a value has. */
static int64_t bytes_within(struct weft_mpi *mpi, const struct weft_mpi_type *type, uint64_t n)
{
    if (type->unit)
        return (int64_t)(n * weft__mpi_type_get(mpi, type->unit)->size);
    uint64_t in_body = type->elements / (uint64_t)type->repeat;
    uint64_t bodies = n / in_body * type->body;
    n %= in_body;
    for (uint32_t i = 0; i < type->parts_n && n > 0; i++) {
        uint64_t elements = part_elements(mpi, &type->parts[i]);
        if (n < elements)
            return (int64_t)(bodies + type->parts[i].start) +
                   weft__mpi_type_bytes(mpi, weft__mpi_type_get(mpi, type->parts[i].child), n);
        n -= elements;
        if (n == 0 && i + 1 < type->parts_n)
            return (int64_t)(bodies + type->parts[i + 1].start);
    }
    return (int64_t)bodies;
}

int64_t weft__mpi_type_bytes(struct weft_mpi *mpi, const struct weft_mpi_type *type,
                             uint64_t elements)
{
    uint64_t whole;
    if (__builtin_mul_overflow(elements / type->elements, type->size, &whole) ||
        whole > INT64_MAX - type->size)
        return -1;
    return (int64_t)whole + bytes_within(mpi, type, elements % type->elements);
}
