#include "typemap.h"

#include <string.h>

uint64_t typemap_mix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    return z ^ (z >> 27);
}

/* low <= result <= high */
static int pick(uint64_t *random, int low, int high)
{
    return low + (int)(typemap_mix(random) % (uint64_t)(high - low + 1));
}

/* Seldom none. */
static int some(uint64_t *random, int high)
{
    return pick(random, 0, 24) == 0 ? 0 : pick(random, 1, high);
}

static void begin(struct typemap *map)
{
    memset(map, 0, sizeof(*map));
    map->type = MPI_DATATYPE_NULL;
    map->entries = calloc(TYPEMAP_MAX, sizeof(*map->entries));
    check(map->entries);
}

static void add_entry(struct typemap *map, int64_t at, MPI_Datatype basic, int size, int align)
{
    check(map->n < TYPEMAP_MAX);
    map->entries[map->n++] = (struct typemap_entry){at, size, align, basic};
}

void typemap_basic(int i, struct typemap *out)
{
    begin(out);
    switch (i) {
    case 0:
        out->type = MPI_CHAR;
        add_entry(out, 0, MPI_CHAR, 1, 1);
        break;
    case 1:
        out->type = MPI_SHORT;
        add_entry(out, 0, MPI_SHORT, 2, 2);
        break;
    case 2:
        out->type = MPI_INT;
        add_entry(out, 0, MPI_INT, 4, 4);
        break;
    case 3:
        out->type = MPI_DOUBLE;
        add_entry(out, 0, MPI_DOUBLE, 8, 8);
        break;
    case 4:
        out->type = MPI_C_DOUBLE_COMPLEX;
        add_entry(out, 0, MPI_C_DOUBLE_COMPLEX, 16, 8);
        break;
    case 5:
        out->type = MPI_SHORT_INT;
        add_entry(out, 0, MPI_SHORT, 2, 2);
        add_entry(out, 4, MPI_INT, 4, 4);
        break;
    default:
        out->type = MPI_DOUBLE_INT;
        add_entry(out, 0, MPI_DOUBLE, 8, 8);
        add_entry(out, 8, MPI_INT, 4, 4);
        break;
    }
}

void typemap_free(struct typemap *map)
{
    MPI_Count integers, addresses, larges, types;
    int combiner;
    check(MPI_Type_get_envelope_c(map->type, &integers, &addresses, &larges, &types, &combiner) ==
          MPI_SUCCESS);
    if (combiner != MPI_COMBINER_NAMED)
        check(MPI_Type_free(&map->type) == MPI_SUCCESS);
    free(map->entries);
    map->entries = NULL;
}

int64_t typemap_size(const struct typemap *map)
{
    int64_t size = 0;
    for (int i = 0; i < map->n; i++)
        size += map->entries[i].size;
    return size;
}

static int64_t lowest(const struct typemap *map)
{
    int64_t low = map->n > 0 ? map->entries[0].at : 0;
    for (int i = 0; i < map->n; i++)
        if (map->entries[i].at < low)
            low = map->entries[i].at;
    return low;
}

static int64_t highest(const struct typemap *map)
{
    int64_t high = map->n > 0 ? map->entries[0].at + map->entries[0].size : 0;
    for (int i = 0; i < map->n; i++)
        if (map->entries[i].at + map->entries[i].size > high)
            high = map->entries[i].at + map->entries[i].size;
    return high;
}

int64_t typemap_lb(const struct typemap *map)
{
    return map->marked ? map->lb : lowest(map);
}

int64_t typemap_extent(const struct typemap *map)
{
    int64_t align = 1, extent = highest(map) - lowest(map);
    if (map->marked)
        return map->ub - map->lb;
    for (int i = 0; i < map->n; i++)
        if (map->entries[i].align > align)
            align = map->entries[i].align;
    return (extent + align - 1) / align * align;
}

int64_t typemap_low(const struct typemap *map, int count, int64_t *len_out)
{
    int64_t extent = typemap_extent(map), low = lowest(map), high = highest(map);
    int64_t last = (count - 1) * extent;
    if (last < 0)
        low += last;
    else
        high += last;
    *len_out = high - low;
    return low;
}

bool typemap_overlaps(const struct typemap *map, int count)
{
    int64_t len, low = typemap_low(map, count, &len), extent = typemap_extent(map);
    char *seen = calloc((size_t)len + 1, 1);
    bool overlaps = false;
    for (int i = 0; i < count; i++)
        for (int j = 0; j < map->n; j++)
            for (int k = 0; k < map->entries[j].size; k++)
                overlaps |= seen[i * extent + map->entries[j].at + k - low]++ != 0;
    free(seen);
    return overlaps;
}

void typemap_pack(const struct typemap *map, const char *buf, int count, char *packed)
{
    int64_t extent = typemap_extent(map);
    for (int i = 0; i < count; i++)
        for (int j = 0; j < map->n; j++) {
            const struct typemap_entry *e = &map->entries[j];
            memcpy(packed, (const char *)((uintptr_t)buf + (uintptr_t)(i * extent + e->at)),
                   (size_t)e->size);
            packed += e->size;
        }
}

void typemap_unpack(const struct typemap *map, char *buf, int count, const char *packed)
{
    int64_t extent = typemap_extent(map);
    for (int i = 0; i < count; i++)
        for (int j = 0; j < map->n; j++) {
            const struct typemap_entry *e = &map->entries[j];
            memcpy((char *)((uintptr_t)buf + (uintptr_t)(i * extent + e->at)), packed,
                   (size_t)e->size);
            packed += e->size;
        }
}

/* The map of old at an offset. */
static void add(struct typemap *map, const struct typemap *old, int64_t offset)
{
    for (int i = 0; i < old->n; i++) {
        const struct typemap_entry *e = &old->entries[i];
        add_entry(map, e->at + offset, e->basic, e->size, e->align);
    }
    if (!old->marked)
        return;
    if (!map->marked || old->lb + offset < map->lb)
        map->lb = old->lb + offset;
    if (!map->marked || old->ub + offset > map->ub)
        map->ub = old->ub + offset;
    map->marked = true;
}

static void add_block(struct typemap *map, const struct typemap *old, int64_t offset, int n)
{
    for (int i = 0; i < n; i++)
        add(map, old, offset + i * typemap_extent(old));
}

enum { LIST = 5 };

struct lists {
    int n, lengths[LIST], places[LIST];
    MPI_Aint bytes[LIST];
    MPI_Count large_lengths[LIST], large_places[LIST];
    MPI_Datatype types[LIST];
};

static void random_lists(uint64_t *random, struct lists *l)
{
    l->n = some(random, LIST);
    for (int i = 0; i < LIST; i++) {
        l->large_lengths[i] = l->lengths[i] = some(random, 3);
        l->places[i] = pick(random, -9, 20);
        l->bytes[i] = pick(random, -30, 60);
        l->large_places[i] = l->places[i];
    }
}

static void make_vector(uint64_t *random, const struct typemap *old, struct typemap *out)
{
    int n = some(random, 5), length = some(random, 4), stride = pick(random, -6, 8), form;
    int64_t extent = typemap_extent(old), step = stride * extent;
    switch (form = pick(random, 0, 5)) {
    case 0:
        check(MPI_Type_contiguous(n, old->type, &out->type) == MPI_SUCCESS);
        length = 1;
        step = extent;
        break;
    case 1:
        check(MPI_Type_contiguous_c(n, old->type, &out->type) == MPI_SUCCESS);
        length = 1;
        step = extent;
        break;
    case 2:
        check(MPI_Type_vector(n, length, stride, old->type, &out->type) == MPI_SUCCESS);
        break;
    case 3:
        check(MPI_Type_vector_c(n, length, stride, old->type, &out->type) == MPI_SUCCESS);
        break;
    default:
        step = stride * 5;
        if (form == 4)
            check(MPI_Type_create_hvector(n, length, step, old->type, &out->type) == MPI_SUCCESS);
        else
            check(MPI_Type_create_hvector_c(n, length, step, old->type, &out->type) == MPI_SUCCESS);
        break;
    }
    for (int i = 0; i < n; i++)
        add_block(out, old, i * step, length);
}

static void make_indexed(uint64_t *random, const struct typemap *old, struct typemap *out)
{
    struct lists l;
    int64_t unit = typemap_extent(old);
    int err = MPI_SUCCESS, form = pick(random, 0, 6), one = some(random, 3);
    random_lists(random, &l);
    if (form == 0)
        err = MPI_Type_indexed(l.n, l.lengths, l.places, old->type, &out->type);
    else if (form == 1)
        err = MPI_Type_indexed_c(l.n, l.large_lengths, l.large_places, old->type, &out->type);
    else if (form == 2)
        err = MPI_Type_create_hindexed(l.n, l.lengths, l.bytes, old->type, &out->type);
    else if (form == 3)
        err = MPI_Type_create_hindexed_c(l.n, l.large_lengths, l.bytes, old->type, &out->type);
    else if (form == 4)
        err = MPI_Type_create_indexed_block(l.n, one, l.places, old->type, &out->type);
    else if (form == 5)
        err = MPI_Type_create_hindexed_block(l.n, one, l.bytes, old->type, &out->type);
    else
        err = MPI_Type_create_indexed_block_c(l.n, one, l.large_places, old->type, &out->type);
    check(err == MPI_SUCCESS);
    bool bytes = form == 2 || form == 3 || form == 5;
    for (int i = 0; i < l.n; i++)
        add_block(out, old, bytes ? l.bytes[i] : l.places[i] * unit, form < 4 ? l.lengths[i] : one);
}

static void make_struct(uint64_t *random, const struct typemap *pool, int n, struct typemap *out)
{
    struct lists l;
    random_lists(random, &l);
    int first = pick(random, 0, n - 1);
    for (int i = 0; i < l.n; i++)
        l.types[i] = pool[(first + i * 3) % n].type;
    if (pick(random, 0, 1))
        check(MPI_Type_create_struct(l.n, l.lengths, l.bytes, l.types, &out->type) == MPI_SUCCESS);
    else
        check(MPI_Type_create_struct_c(l.n, l.large_lengths, l.bytes, l.types, &out->type) ==
              MPI_SUCCESS);
    for (int i = 0; i < l.n; i++)
        add_block(out, &pool[(first + i * 3) % n], l.bytes[i], l.lengths[i]);
}

enum { DIMENSIONS = 3 };

/* One array dimension as both constructors need it. */
struct grid {
    int n, order;
    int sizes[DIMENSIONS], parts[DIMENSIONS], starts[DIMENSIONS];
    int kinds[DIMENSIONS], arguments[DIMENSIONS], ranks[DIMENSIONS], coordinates[DIMENSIONS];
    MPI_Count large_sizes[DIMENSIONS], large_parts[DIMENSIONS], large_starts[DIMENSIONS];
};

static void random_grid(uint64_t *random, struct grid *g)
{
    static const int kinds[] = {MPI_DISTRIBUTE_BLOCK, MPI_DISTRIBUTE_CYCLIC, MPI_DISTRIBUTE_NONE};
    g->n = pick(random, 1, DIMENSIONS);
    g->order = pick(random, 0, 1) ? MPI_ORDER_C : MPI_ORDER_FORTRAN;
    for (int i = 0; i < g->n; i++) {
        g->large_sizes[i] = g->sizes[i] = pick(random, 1, 6);
        g->large_parts[i] = g->parts[i] = pick(random, 1, g->sizes[i]);
        g->large_starts[i] = g->starts[i] = pick(random, 0, g->sizes[i] - g->parts[i]);
        g->kinds[i] = kinds[pick(random, 0, 2)];
        g->ranks[i] = g->kinds[i] == MPI_DISTRIBUTE_NONE ? 1 : pick(random, 1, 3);
        g->coordinates[i] = pick(random, 0, g->ranks[i] - 1);
        int least = g->kinds[i] == MPI_DISTRIBUTE_BLOCK ? (g->sizes[i] - 1) / g->ranks[i] + 1 : 1;
        g->arguments[i] =
            pick(random, 0, 1) ? MPI_DISTRIBUTE_DFLT_DARG : pick(random, least, least + 2);
    }
}

static bool owns(const struct grid *g, int d, int index)
{
    int block = g->arguments[d];
    if (g->kinds[d] == MPI_DISTRIBUTE_NONE)
        return true;
    if (block == MPI_DISTRIBUTE_DFLT_DARG)
        block = g->kinds[d] == MPI_DISTRIBUTE_BLOCK ? (g->sizes[d] - 1) / g->ranks[d] + 1 : 1;
    return index / block % g->ranks[d] == g->coordinates[d];
}

/* All elements of the array in the order of memory, those that are wanted. */
static void add_array(const struct grid *g, const struct typemap *old, bool subarray,
                      struct typemap *out)
{
    int total = 1;
    for (int d = 0; d < g->n; d++)
        total *= g->sizes[d];
    for (int linear = 0; linear < total; linear++) {
        bool wanted = true;
        for (int i = 0, rest = linear; i < g->n; i++) {
            int d = g->order == MPI_ORDER_C ? g->n - 1 - i : i, index = rest % g->sizes[d];
            wanted &= subarray ? index >= g->starts[d] && index < g->starts[d] + g->parts[d]
                               : owns(g, d, index);
            rest /= g->sizes[d];
        }
        if (wanted)
            add(out, old, linear * typemap_extent(old));
    }
    out->marked = true;
    out->lb = 0;
    out->ub = total * typemap_extent(old);
}

static void make_array(uint64_t *random, const struct typemap *old, struct typemap *out)
{
    struct grid g;
    int form = pick(random, 0, 3), rank = 0, ranks = 1, err;
    random_grid(random, &g);
    for (int d = 0; d < g.n; d++) {
        rank = rank * g.ranks[d] + g.coordinates[d];
        ranks *= g.ranks[d];
    }
    if (form == 0)
        err = MPI_Type_create_subarray(g.n, g.sizes, g.parts, g.starts, g.order, old->type,
                                       &out->type);
    else if (form == 1)
        err = MPI_Type_create_subarray_c(g.n, g.large_sizes, g.large_parts, g.large_starts, g.order,
                                         old->type, &out->type);
    else if (form == 2)
        err = MPI_Type_create_darray(ranks, rank, g.n, g.sizes, g.kinds, g.arguments, g.ranks,
                                     g.order, old->type, &out->type);
    else
        err = MPI_Type_create_darray_c(ranks, rank, g.n, g.large_sizes, g.kinds, g.arguments,
                                       g.ranks, g.order, old->type, &out->type);
    check(err == MPI_SUCCESS);
    add_array(&g, old, form < 2, out);
}

static void make_like(uint64_t *random, const struct typemap *old, struct typemap *out)
{
    int lb = pick(random, -20, 20), extent = pick(random, -40, 80);
    add(out, old, 0);
    if (pick(random, 0, 1)) {
        check(MPI_Type_dup(old->type, &out->type) == MPI_SUCCESS);
        return;
    }
    check(MPI_Type_create_resized(old->type, lb, extent, &out->type) == MPI_SUCCESS);
    out->marked = true;
    out->lb = lb;
    out->ub = lb + extent;
}

/* The largest constructors take as many values. */
static bool small_enough(const struct typemap *map, int values)
{
    return map->n * values <= TYPEMAP_MAX;
}

void typemap_random(uint64_t *random, const struct typemap *pool, int n, struct typemap *out)
{
    const struct typemap *old = &pool[pick(random, 0, n - 1)];
    int form = pick(random, 0, 9);
    bool all_small = true;
    begin(out);
    for (int i = 0; i < n; i++)
        all_small &= small_enough(&pool[i], 3 * LIST);
    if (form < 3 && small_enough(old, 20))
        make_vector(random, old, out);
    else if (form < 6 && small_enough(old, 3 * LIST))
        make_indexed(random, old, out);
    else if (form < 7 && all_small)
        make_struct(random, pool, n, out);
    else if (form < 9 && small_enough(old, 6 * 6 * 6))
        make_array(random, old, out);
    else
        make_like(random, old, out);
    check(MPI_Type_commit(&out->type) == MPI_SUCCESS);
}

void typemap_alike(uint64_t *random, const struct typemap *map, int count, struct typemap *out)
{
    int n = map->n * count;
    int *lengths = calloc((size_t)n + 1, sizeof(*lengths));
    MPI_Aint *places = calloc((size_t)n + 1, sizeof(*places)), at = pick(random, -50, 50);
    MPI_Datatype *types = calloc((size_t)n + 1, sizeof(*types));
    begin(out);
    bool backwards = pick(random, 0, 1);
    for (int i = 0; i < n; i++) {
        const struct typemap_entry *e = &map->entries[i % map->n];
        at += pick(random, 0, 2) + (backwards ? -16 - e->size : 16);
        lengths[i] = 1;
        places[i] = at;
        types[i] = e->basic;
        add_entry(out, at, e->basic, e->size, e->align);
    }
    check(MPI_Type_create_struct(n, lengths, places, types, &out->type) == MPI_SUCCESS);
    check(MPI_Type_commit(&out->type) == MPI_SUCCESS);
    free(lengths);
    free(places);
    free(types);
}
