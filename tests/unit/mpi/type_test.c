#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mpi/state.h"

static struct weft_mpi empty; /* without derived types */

static void values_that_are_no_types_are_not_found(void **state)
{
    static const uintptr_t wrong[] = {0,     1,     0x1ff, 0x200,    0x204,      0x211,
                                      0x215, 0x2ec, 0x300, 1u << 20, UINTPTR_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_null(weft__mpi_type_find(&empty, (MPI_Datatype)wrong[i]));
}

/* The ABI writes the size of types from 0x240 on into the value. */
static void sizes_agree_with_the_values_that_encode_them(void **state)
{
    int found = 0;
    (void)state;
    for (uintptr_t value = 0x240; value <= 0x2eb; value++) {
        const struct weft_mpi_type *type = weft__mpi_type_find(&empty, (MPI_Datatype)value);
        if (!type)
            continue;
        found++;
        assert_int_equal(type->size, 1 << ((value >> 3) & 7));
        assert_int_equal(type->extent, type->size);
    }
    assert_int_equal(found, 30);
}

static void c_types_have_their_sizes(void **state)
{
    static const struct {
        MPI_Datatype type;
        size_t size;
    } want[] = {{MPI_SHORT, sizeof(short)},
                {MPI_INT, sizeof(int)},
                {MPI_LONG, sizeof(long)},
                {MPI_LONG_LONG, sizeof(long long)},
                {MPI_FLOAT, sizeof(float)},
                {MPI_DOUBLE, sizeof(double)},
                {MPI_LONG_DOUBLE, sizeof(long double)},
                {MPI_C_BOOL, sizeof(_Bool)},
                {MPI_WCHAR, sizeof(__WCHAR_TYPE__)},
                {MPI_CHAR, 1},
                {MPI_PACKED, 1},
                {MPI_AINT, sizeof(MPI_Aint)},
                {MPI_COUNT, sizeof(MPI_Count)},
                {MPI_OFFSET, sizeof(MPI_Offset)},
                {MPI_C_DOUBLE_COMPLEX, 2 * sizeof(double)}};
    (void)state;
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
        assert_int_equal(weft__mpi_type_find(&empty, want[i].type)->size, want[i].size);
}

struct short_int {
    short value;
    int index;
};

static void packing_leaves_gaps_out_and_unpacking_leaves_them_alone(void **state)
{
    const struct weft_mpi_type *type = weft__mpi_type_find(&empty, MPI_SHORT_INT);
    struct short_int in[5], out[5], untouched;
    unsigned char packed[30];
    (void)state;
    assert_int_equal(type->size, 6);
    assert_int_equal(type->extent, sizeof(struct short_int));
    memset(&untouched, 0x11, sizeof(untouched));
    for (int i = 0; i < 5; i++)
        in[i] = (struct short_int){(short)(i + 1), -i};
    const struct weft_mpi_buffer from = {in, 5, type->number}, into = {out, 5, type->number};
    weft__mpi_type_pack(&empty, &from, 0, packed, sizeof(packed));
    for (size_t cut = 0; cut <= sizeof(packed); cut++) {
        memset(out, 0x11, sizeof(out));
        weft__mpi_type_unpack(&empty, &into, 0, packed, cut);
        for (size_t i = 0; i < 5; i++) {
            if (cut >= 6 * i + 2)
                assert_int_equal(out[i].value, in[i].value);
            if (cut >= 6 * i + 6)
                assert_int_equal(out[i].index, in[i].index);
            if (cut <= 6 * i)
                assert_memory_equal(&out[i], &untouched, sizeof(untouched));
            assert_memory_equal((char *)&out[i] + 2, &untouched, 2);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_that_are_no_types_are_not_found),
        cmocka_unit_test(sizes_agree_with_the_values_that_encode_them),
        cmocka_unit_test(c_types_have_their_sizes),
        cmocka_unit_test(packing_leaves_gaps_out_and_unpacking_leaves_them_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
