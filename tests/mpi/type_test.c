/* Datatypes against type maps that are written out, in nests from a seed. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "typemap.h"

enum { POOL = 60 };

/* Memory that holds count values, from its lowest byte on. */
struct memory {
    char *bytes;
    size_t len;
    void *buf; /* what MPI is given */
};

static void make_memory(struct memory *m, const struct typemap *map, int count, uint64_t key)
{
    int64_t len, low = typemap_low(map, count, &len);
    m->len = (size_t)len;
    m->bytes = malloc(m->len + 1);
    m->buf = (void *)((uintptr_t)m->bytes - (uintptr_t)low);
    cases_fill(m->bytes, m->len, key);
}

static void check_bounds(const struct typemap *map)
{
    MPI_Aint lb, extent;
    MPI_Count large_lb, large_extent, size;
    int64_t len, low = typemap_low(map, 1, &len);
    check(MPI_Type_size_c(map->type, &size) == MPI_SUCCESS && size == typemap_size(map));
    check(MPI_Type_get_extent(map->type, &lb, &extent) == MPI_SUCCESS);
    check(lb == typemap_lb(map) && extent == typemap_extent(map));
    check(MPI_Type_get_extent_c(map->type, &large_lb, &large_extent) == MPI_SUCCESS);
    check(lb == large_lb && extent == large_extent);
    check(MPI_Type_get_true_extent(map->type, &lb, &extent) == MPI_SUCCESS);
    check(map->n == 0 || (lb == low && extent == len));
}

/* From every count of elements to bytes and back, and from every length in between. */
static void check_elements(const struct typemap *map)
{
    MPI_Status status;
    MPI_Count bytes = 0, got;
    if (map->n == 0)
        return;
    memset(&status, 0, sizeof(status));
    for (int n = 0; n < 3 * map->n; n++) {
        const struct typemap_entry *e = &map->entries[n % map->n];
        check(MPI_Status_set_elements(&status, map->type, n) == MPI_SUCCESS);
        check(MPI_Get_count_c(&status, MPI_BYTE, &got) == MPI_SUCCESS && got == bytes);
        check(MPI_Get_elements_c(&status, map->type, &got) == MPI_SUCCESS && got == n);
        check(MPI_Get_count_c(&status, map->type, &got) == MPI_SUCCESS);
        check(got == (n % map->n == 0 ? n / map->n : MPI_UNDEFINED));
        if (e->size > 1) {
            check(MPI_Status_set_elements_x(&status, MPI_BYTE, bytes + 1) == MPI_SUCCESS);
            check(MPI_Get_elements_x(&status, map->type, &got) == MPI_SUCCESS);
            check(got == MPI_UNDEFINED);
        }
        bytes += e->size;
    }
}

static void check_packing(const struct typemap *map, int count, uint64_t key)
{
    struct memory from, into, want;
    int64_t size = typemap_size(map) * count;
    char *packed = malloc((size_t)size + 1), *expected = malloc((size_t)size + 1);
    int position = 0, room;
    make_memory(&from, map, count, key);
    make_memory(&into, map, count, key + 1);
    make_memory(&want, map, count, key + 1);
    check(MPI_Pack_size(count, map->type, MPI_COMM_WORLD, &room) == MPI_SUCCESS && room == size);
    check(MPI_Pack(from.buf, count, map->type, packed, room, &position, MPI_COMM_WORLD) ==
          MPI_SUCCESS);
    check(position == size);
    typemap_pack(map, from.buf, count, expected);
    check(memcmp(packed, expected, (size_t)size) == 0);
    position = 0;
    check(MPI_Unpack(packed, room, &position, into.buf, count, map->type, MPI_COMM_WORLD) ==
          MPI_SUCCESS);
    check(position == size);
    typemap_unpack(map, want.buf, count, packed);
    check(memcmp(into.bytes, want.bytes, want.len) == 0);
    free(from.bytes);
    free(into.bytes);
    free(want.bytes);
    free(packed);
    free(expected);
}

/* A message to oneself, as another type of the same signature. */
static void check_message(uint64_t *random, const struct typemap *map, int count, uint64_t key)
{
    struct typemap other;
    struct memory from, into, want;
    int64_t size = typemap_size(map) * count;
    MPI_Status status;
    int elements;
    if (map->n == 0 || map->n * count > TYPEMAP_MAX)
        return;
    typemap_alike(random, map, count, &other);
    char *packed = malloc((size_t)size + 1);
    make_memory(&from, map, count, key);
    make_memory(&into, &other, 1, key + 1);
    make_memory(&want, &other, 1, key + 1);
    check(MPI_Sendrecv(from.buf, count, map->type, 0, 1, into.buf, 1, other.type, 0, 1,
                       MPI_COMM_SELF, &status) == MPI_SUCCESS);
    check(MPI_Get_elements(&status, other.type, &elements) == MPI_SUCCESS);
    check(elements == map->n * count);
    typemap_pack(map, from.buf, count, packed);
    typemap_unpack(&other, want.buf, 1, packed);
    check(memcmp(into.bytes, want.bytes, want.len) == 0);
    free(from.bytes);
    free(into.bytes);
    free(want.bytes);
    free(packed);
    typemap_free(&other);
}

static void check_type(uint64_t *random, const struct typemap *map)
{
    uint64_t key = typemap_mix(random);
    check_bounds(map);
    check_elements(map);
    for (int count = 0; count <= 3; count++)
        if (map->n > 0 && !typemap_overlaps(map, count))
            check_packing(map, count, key);
    if (map->n > 0)
        check_message(random, map, 2, key);
}

/* Types below a type are freed in any order, also before it is used. */
static void check_pool(uint64_t seed)
{
    struct typemap pool[POOL];
    uint64_t random = seed;
    int first = 0;
    for (int i = 0; i < TYPEMAP_BASICS; i++)
        typemap_basic(i, &pool[i]);
    for (int i = TYPEMAP_BASICS; i < POOL; i++) {
        if (i - first > 20)
            typemap_free(&pool[first++]);
        typemap_random(&random, &pool[first], i - first, &pool[i]);
        check_type(&random, &pool[i]);
    }
    while (first < POOL)
        typemap_free(&pool[first++]);
}

static int constructors_main(void *argument)
{
    cases_init(NULL, NULL);
    for (uint64_t seed = 1; seed <= *(uint64_t *)argument; seed++)
        check_pool(seed);
    MPI_Finalize();
    return 0;
}

static void every_constructor_agrees_with_its_type_map(void **state)
{
    uint64_t seeds = 60;
    (void)state;
    cases_run(&(struct native_options){.ranks = 1}, constructors_main, &seeds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_constructor_agrees_with_its_type_map),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
