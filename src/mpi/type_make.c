/* Making a datatype out of others.
 *
 * Values that follow each other without a gap become one part, and parts of equal length at equal
 * distances become a loop over one part, so that an indexed type that is a vector in disguise is
 * packed like one. A type whose data are one run of elements of one basic type is entered by no
 * walk, however it was made: it counts as flat, so that only real nests use up the bound on the
 * depth. Everything is computed in 128 bits and must fit into 63. Source of the bounds: MPI 5.0
 * section 5.1.7.
 */
#include "mpi/type_make.h"

#include <string.h>

#include "base/heap.h"
#include "mpi/state.h"

__extension__ typedef __int128 wide;

static int64_t narrow(struct weft_mpi_maker *maker, wide value)
{
    if (value > INT64_MAX || value < -INT64_MAX) {
        maker->error = MPI_ERR_VALUE_TOO_LARGE;
        return 0;
    }
    return (int64_t)value;
}

/* Adds [low, high), repeated up to the distance `last`. */
static void widen(struct weft_mpi_maker *maker, struct weft_mpi_range *range, wide low, wide high,
                  wide last)
{
    if (last < 0)
        low += last;
    else
        high += last;
    int64_t l = narrow(maker, low), h = narrow(maker, high);
    if (!range->any || l < range->low)
        range->low = l;
    if (!range->any || h > range->high)
        range->high = h;
    range->any = true;
}

void weft__mpi_type_make_begin(struct weft_mpi_maker *maker, struct weft_mpi *mpi,
                               int64_t parts_max)
{
    memset(maker, 0, sizeof(*maker));
    maker->mpi = mpi;
    maker->align = 1;
    if (parts_max > UINT32_MAX) {
        maker->error = MPI_ERR_NO_MEM;
        return;
    }
    maker->parts_max = (uint32_t)parts_max;
    maker->parts = weft__heap_alloc(mpi->cell->heap, (size_t)parts_max * sizeof(*maker->parts));
    if (!maker->parts)
        maker->error = MPI_ERR_NO_MEM;
}

/* Longer by count values, where they go on at its end. */
static bool join(struct weft_mpi_maker *maker, const struct weft_mpi_type *type, int64_t offset,
                 int64_t count)
{
    if (maker->parts_n == 0)
        return false;
    struct weft_mpi_part *last = &maker->parts[maker->parts_n - 1];
    if (last->child != type->number || !weft__mpi_type_is_run(type, 2) ||
        (wide)last->offset + (wide)last->count * (wide)type->size != (wide)offset + type->true_lb)
        return false;
    last->count += count;
    return true;
}

static void add_part(struct weft_mpi_maker *maker, const struct weft_mpi_type *type, int64_t offset,
                     int64_t count)
{
    bool single = weft__mpi_type_is_run(type, count);
    if (join(maker, type, offset, count))
        return;
    maker->parts[maker->parts_n++] =
        (struct weft_mpi_part){.offset = single ? offset + type->true_lb : offset,
                               .start = maker->body,
                               .count = count,
                               .child = weft__mpi_type_hold(maker->mpi, type->number),
                               .single = single};
}

void weft__mpi_type_make_add(struct weft_mpi_maker *maker, int64_t offset, int64_t count,
                             uint32_t child)
{
    const struct weft_mpi_type *type = weft__mpi_type_get(maker->mpi, child);
    if (maker->error || count == 0)
        return;
    wide last = (wide)(count - 1) * type->extent;
    narrow(maker, last);
    if (maker->error)
        return;
    if (type->bounded)
        widen(maker, &maker->bounds, (wide)offset + type->lb,
              (wide)offset + type->lb + type->extent, last);
    if (type->align > maker->align)
        maker->align = type->align;
    if (type->size == 0)
        return;
    widen(maker, &maker->data, (wide)offset + type->true_lb,
          (wide)offset + type->true_lb + type->true_extent, last);
    uint64_t body = (uint64_t)narrow(maker, (wide)maker->body + (wide)count * (wide)type->size);
    if (maker->error)
        return;
    maker->unit = maker->body == 0 || maker->unit == type->unit ? type->unit : 0;
    add_part(maker, type, offset, count);
    maker->body = body;
    maker->elements += (uint64_t)count * type->elements; /* not more than bytes */
    if (type->depth > maker->depth)
        maker->depth = type->depth;
}

static uint64_t len_of(const struct weft_mpi_maker *maker, uint32_t part)
{
    uint64_t end = part + 1 < maker->parts_n ? maker->parts[part + 1].start : maker->body;
    return end - maker->parts[part].start;
}

/* Whether the parts are one run of bytes. */
static bool is_run(const struct weft_mpi_maker *maker)
{
    int64_t at = maker->parts_n > 0 ? maker->parts[0].offset : 0;
    for (uint32_t i = 0; i < maker->parts_n; i++) {
        if (!maker->parts[i].single || maker->parts[i].offset != at)
            return false;
        at += (int64_t)len_of(maker, i);
    }
    return true;
}

/* The distance of parts that differ in nothing else; false: there is none. */
static bool find_stride(const struct weft_mpi_maker *maker, int64_t *stride_out)
{
    const struct weft_mpi_part *parts = maker->parts;
    if (maker->parts_n < 2 || __builtin_sub_overflow(parts[1].offset, parts[0].offset, stride_out))
        return false;
    for (uint32_t i = 1; i < maker->parts_n; i++) {
        int64_t stride;
        if (parts[i].child != parts[0].child || parts[i].count != parts[0].count ||
            __builtin_sub_overflow(parts[i].offset, parts[i - 1].offset, &stride) ||
            stride != *stride_out)
            return false;
    }
    return true;
}

/* Parts into a loop over the first of them, where that is all the difference. */
static void roll(struct weft_mpi_maker *maker, struct weft_mpi_type *type)
{
    int64_t stride;
    if (type->repeat != 1 || !find_stride(maker, &stride))
        return;
    for (uint32_t i = 1; i < maker->parts_n; i++)
        weft__mpi_type_drop(maker->mpi, maker->parts[i].child);
    type->repeat = maker->parts_n;
    type->stride = stride;
    type->body = maker->parts[1].start;
    maker->parts_n = 1;
}

static void set_bounds(struct weft_mpi_maker *maker, struct weft_mpi_type *type)
{
    const struct weft_mpi_range *data = &maker->data, *bounds = &maker->bounds;
    type->true_lb = data->low;
    type->true_extent = narrow(maker, (wide)data->high - data->low);
    type->align = maker->align;
    if (bounds->any) {
        type->bounded = true;
        type->lb = bounds->low;
        type->extent = narrow(maker, (wide)bounds->high - bounds->low);
    } else {
        wide extent = ((wide)type->true_extent + maker->align - 1) / maker->align * maker->align;
        type->lb = type->true_lb;
        type->extent = narrow(maker, extent);
    }
}

/* What `repeat` does to sizes and bounds. */
static void repeat_all(struct weft_mpi_maker *maker, int64_t repeat, int64_t stride)
{
    wide last = (wide)(repeat - 1) * stride;
    struct weft_mpi_range *ranges[] = {&maker->data, &maker->bounds};
    if (repeat == 0)
        maker->data = maker->bounds = (struct weft_mpi_range){0};
    for (int i = 0; i < 2; i++)
        if (ranges[i]->any)
            widen(maker, ranges[i], ranges[i]->low, ranges[i]->high, last);
    maker->elements *= (uint64_t)repeat;
}

static void shrink(struct weft_mpi_maker *maker)
{
    struct weft_mpi_part *parts = weft__heap_realloc(maker->mpi->cell->heap, maker->parts,
                                                     maker->parts_n * sizeof(*maker->parts));
    if (parts)
        maker->parts = parts;
}

static void fill(struct weft_mpi_maker *maker, struct weft_mpi_type *type, int64_t repeat,
                 int64_t stride)
{
    type->body = maker->body;
    type->repeat = maker->body > 0 ? repeat : 1;
    type->stride = stride;
    type->unit = maker->unit;
    type->dense = is_run(maker) && (type->repeat == 1 || stride == (int64_t)maker->body);
    type->size = (uint64_t)narrow(maker, (wide)maker->body * repeat);
    repeat_all(maker, repeat, stride);
    set_bounds(maker, type);
    type->elements = maker->elements;
    type->depth = type->dense && type->unit ? 0 : (uint8_t)(maker->depth + 1);
    roll(maker, type);
    shrink(maker);
    type->parts = maker->parts;
    type->parts_n = maker->parts_n;
}

static void give_up(struct weft_mpi_maker *maker)
{
    for (uint32_t i = 0; i < maker->parts_n; i++)
        weft__mpi_type_drop(maker->mpi, maker->parts[i].child);
    weft__heap_free(maker->mpi->cell->heap, maker->parts);
    maker->parts = NULL;
    maker->parts_n = 0;
}

struct weft_mpi_type *weft__mpi_type_make_end(struct weft_mpi_maker *maker, int64_t repeat,
                                              int64_t stride)
{
    struct weft_mpi_type *type = NULL;
    if (!maker->error && (type = weft__mpi_type_new(maker->mpi)) == NULL)
        maker->error = MPI_ERR_NO_MEM;
    if (repeat == 0) {
        give_up(maker);
        maker->body = maker->elements = 0;
        maker->unit = 0;
    }
    if (maker->error) {
        give_up(maker);
        return NULL;
    }
    if (maker->depth >= WEFT_MPI_TYPE_DEPTH)
        maker->error = MPI_ERR_TYPE;
    fill(maker, type, repeat, stride);
    maker->parts = NULL;
    if (maker->error) {
        weft__mpi_type_drop(maker->mpi, type->number);
        return NULL;
    }
    return type;
}

struct weft_mpi_type *weft__mpi_type_make_like(struct weft_mpi *mpi, uint32_t old)
{
    struct weft_mpi_maker maker;
    if (!weft__mpi_type_is_derived(old)) {
        weft__mpi_type_make_begin(&maker, mpi, 1);
        weft__mpi_type_make_add(&maker, 0, 1, old);
        return weft__mpi_type_make_end(&maker, 1, 0);
    }
    struct weft_mpi_type *type = weft__mpi_type_new(mpi);
    if (!type)
        return NULL;
    uint32_t number = type->number;
    *type = *weft__mpi_type_get(mpi, old);
    type->number = number;
    type->users = 0;
    type->holders = 1;
    type->shares = true;
    type->name = NULL;
    type->contents = NULL;
    return type;
}
