/* Packing from any byte on, against packing all at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/heap.h"
#include "mpi/state.h"
#include "mpi/type_make.h"

enum { REGION = 4 << 20, BUFFER = 1 << 16, TYPES = 40, PACKED_MAX = 4000 };

static uint64_t mix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    return z ^ (z >> 27);
}

static int pick(uint64_t *random, int low, int high)
{
    return low + (int)(mix(random) % (uint64_t)(high - low + 1));
}

/* One of the types so far, or a predefined one, with some data. */
static uint32_t old_type(uint64_t *random, const uint32_t *types, int n)
{
    static const uint16_t predefined[] = {0x243, 0x208, 0x209, 0x214, 0x22c, 0x229};
    return n == 0 || pick(random, 0, 3) == 0 ? predefined[pick(random, 0, 5)]
                                             : types[pick(random, 0, n - 1)];
}

/* 0: it would be too large. */
static uint32_t random_type(struct weft_mpi *mpi, uint64_t *random, const uint32_t *types, int n)
{
    struct weft_mpi_maker maker;
    int parts = pick(random, 1, 4);
    weft__mpi_type_make_begin(&maker, mpi, parts);
    for (int i = 0; i < parts; i++)
        weft__mpi_type_make_add(&maker, pick(random, -20, 60), pick(random, 1, 3),
                                old_type(random, types, n));
    struct weft_mpi_type *type =
        weft__mpi_type_make_end(&maker, pick(random, 1, 4), pick(random, -70, 70));
    assert_non_null(type);
    if (type->size <= PACKED_MAX / 3 && type->true_extent < BUFFER / 8)
        return type->number;
    weft__mpi_type_drop(mpi, type->number);
    return 0;
}

/* All pieces of some lengths, from some starts on. */
static void check_pieces(struct weft_mpi *mpi, uint64_t *random, uint32_t number)
{
    static unsigned char memory[BUFFER], into[BUFFER], want[BUFFER];
    unsigned char all[PACKED_MAX], piece[PACKED_MAX];
    const struct weft_mpi_type *type = weft__mpi_type_get(mpi, number);
    int64_t first;
    size_t span = weft__mpi_type_span(type, 3, &first), size = 3 * type->size;
    assert_true(span <= BUFFER);
    for (size_t i = 0; i < span; i++)
        memory[i] = (unsigned char)mix(random);
    const struct weft_mpi_buffer from = {(void *)((uintptr_t)memory - (uintptr_t)first), 3, number};
    const struct weft_mpi_buffer to = {(void *)((uintptr_t)into - (uintptr_t)first), 3, number};
    const struct weft_mpi_buffer whole = {(void *)((uintptr_t)want - (uintptr_t)first), 3, number};
    weft__mpi_type_pack(mpi, &from, 0, all, size);
    memset(into, 0x5a, span);
    memset(want, 0x5a, span);
    weft__mpi_type_unpack(mpi, &whole, 0, all, size);
    for (size_t at = 0, len; at < size; at += len) {
        len = (size_t)pick(random, 1, 40);
        if (len > size - at)
            len = size - at;
        memset(piece, 0, sizeof(piece));
        weft__mpi_type_pack(mpi, &from, at, piece, len);
        assert_memory_equal(piece, all + at, len);
        assert_int_equal(piece[len], 0);
        weft__mpi_type_unpack(mpi, &to, at, all + at, len);
    }
    assert_memory_equal(into, want, span);
}

static void pieces_of_a_message_join(void **state)
{
    static struct weft_mpi mpi;
    struct weft_cell cell = {.len_bytes = REGION};
    void *memory = aligned_alloc(4096, REGION);
    (void)state;
    cell.heap = weft__heap_init(memory, REGION);
    mpi.cell = &cell;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        uint32_t types[TYPES];
        uint64_t random = seed;
        int n = 0;
        for (int i = 0; i < TYPES; i++) {
            uint32_t number = random_type(&mpi, &random, types, n);
            if (number) {
                check_pieces(&mpi, &random, number);
                types[n++] = number;
            }
        }
        for (int i = 0; i < n; i++)
            weft__mpi_type_drop(&mpi, types[i]);
        assert_int_equal(mpi.types.used, 0);
    }
    weft__mpi_type_fini(&mpi);
    assert_int_equal(weft__heap_verify(cell.heap), 0);
    free(memory);
}

/* What makes types fast: nests that are one loop, or one run, are found to be. */
static void types_in_disguise_are_seen_through(void **state)
{
    static struct weft_mpi mpi;
    struct weft_cell cell = {.len_bytes = REGION};
    void *memory = aligned_alloc(4096, REGION);
    struct weft_mpi_maker maker;
    const uint32_t number_of_int = weft__mpi_type_number(MPI_INT);
    (void)state;
    cell.heap = weft__heap_init(memory, REGION);
    mpi.cell = &cell;
    weft__mpi_type_make_begin(&maker, &mpi, 10);
    for (int i = 0; i < 10; i++)
        weft__mpi_type_make_add(&maker, 12 * i, 1, number_of_int);
    struct weft_mpi_type *strided = weft__mpi_type_make_end(&maker, 1, 0);
    assert_int_equal(strided->parts_n, 1);
    assert_int_equal(strided->repeat, 10);
    assert_int_equal(strided->stride, 12);
    weft__mpi_type_make_begin(&maker, &mpi, 10);
    for (int i = 0; i < 10; i++)
        weft__mpi_type_make_add(&maker, 4 * i, 1, number_of_int);
    struct weft_mpi_type *run = weft__mpi_type_make_end(&maker, 3, 40);
    assert_true(run->dense);
    assert_int_equal(run->parts_n, 1);
    assert_int_equal(run->depth, 0);
    assert_true(weft__mpi_type_is_run(run, 7));
    weft__mpi_type_drop(&mpi, strided->number);
    weft__mpi_type_drop(&mpi, run->number);
    weft__mpi_type_fini(&mpi);
    assert_int_equal(weft__heap_verify(cell.heap), 0);
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_of_a_message_join),
        cmocka_unit_test(types_in_disguise_are_seen_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
