#include <complex.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mpi/op.h"
#include "mpi/state.h"

static struct weft_mpi empty; /* without derived types */

static void run(MPI_Op op, MPI_Datatype type, struct weft_mpi_combine desc)
{
    assert_true(weft__mpi_op_known(&empty, op));
    assert_true(weft__mpi_op_defined(op, weft__mpi_type_find(&empty, type)));
    desc.op = (uint32_t)(uintptr_t)op;
    desc.type = weft__mpi_type_number(type);
    weft__mpi_op_combine(&empty, &desc);
}

#define combine(op, type, n, a, b, r)                                                              \
    run(op, type, (struct weft_mpi_combine){.count = (n), .left = (a), .right = (b), .into = (r)})

static const long long samples[] = {0,   1,   -1,   2,     -3,     7,          100,           -100,
                                    127, 128, -128, 32767, -32768, 2147483647, -2147483648LL, 255};
enum { SAMPLES = sizeof(samples) / sizeof(samples[0]) };

/* Every pair of samples, in the type T, against arithmetic in 128 bits cut to T. */
#define CHECK(op, expression)                                                                      \
    do {                                                                                           \
        combine(op, type, SAMPLES *SAMPLES, left, right, into);                                    \
        for (int i = 0; i < SAMPLES * SAMPLES; i++) {                                              \
            const wide x = (wide)left[i], y = (wide)right[i];                                      \
            assert_true((into[i] == (__typeof(into[0]))(expression)));                             \
        }                                                                                          \
    } while (0)

__extension__ typedef __int128 wide;

#define INTEGER_TEST(name, T)                                                                      \
    static void name(MPI_Datatype type)                                                            \
    {                                                                                              \
        T left[SAMPLES * SAMPLES], right[SAMPLES * SAMPLES], into[SAMPLES * SAMPLES];              \
        for (int i = 0; i < SAMPLES * SAMPLES; i++) {                                              \
            left[i] = (T)samples[i / SAMPLES];                                                     \
            right[i] = (T)samples[i % SAMPLES];                                                    \
        }                                                                                          \
        CHECK(MPI_SUM, x + y);                                                                     \
        CHECK(MPI_PROD, x *y);                                                                     \
        CHECK(MPI_MIN, x < y ? x : y);                                                             \
        CHECK(MPI_MAX, x > y ? x : y);                                                             \
        CHECK(MPI_BAND, x &y);                                                                     \
        CHECK(MPI_BOR, x | y);                                                                     \
        CHECK(MPI_BXOR, x ^ y);                                                                    \
        CHECK(MPI_LAND, x != 0 && y != 0);                                                         \
        CHECK(MPI_LOR, x != 0 || y != 0);                                                          \
        CHECK(MPI_LXOR, (x != 0) != (y != 0));                                                     \
    }

INTEGER_TEST(check_i8, int8_t)
INTEGER_TEST(check_i16, int16_t)
INTEGER_TEST(check_i32, int32_t)
INTEGER_TEST(check_i64, int64_t)
INTEGER_TEST(check_u8, uint8_t)
INTEGER_TEST(check_u16, uint16_t)
INTEGER_TEST(check_u32, uint32_t)
INTEGER_TEST(check_u64, uint64_t)

static void integers_compute_modulo_their_width(void **state)
{
    (void)state;
    check_i8(MPI_SIGNED_CHAR);
    check_i8(MPI_INT8_T);
    check_i16(MPI_SHORT);
    check_i16(MPI_INT16_T);
    check_i32(MPI_INT);
    check_i32(MPI_INT32_T);
    check_i64(MPI_LONG);
    check_i64(MPI_LONG_LONG);
    check_i64(MPI_INT64_T);
    check_u8(MPI_UNSIGNED_CHAR);
    check_u8(MPI_UINT8_T);
    check_u16(MPI_UNSIGNED_SHORT);
    check_u32(MPI_UNSIGNED);
    check_u64(MPI_UNSIGNED_LONG);
    check_u64(MPI_UINT64_T);
}

static void floating_values_compute_as_in_c(void **state)
{
    const double a[] = {1.5, -0.0, 1e308, 3, -7}, b[] = {2.25, 0.0, 1e308, -3, 0.1};
    double r[5];
    (void)state;
    combine(MPI_SUM, MPI_DOUBLE, 5, a, b, r);
    for (int i = 0; i < 5; i++)
        assert_true(r[i] == a[i] + b[i]);
    assert_true(isinf(r[2]));
    combine(MPI_PROD, MPI_DOUBLE, 5, a, b, r);
    for (int i = 0; i < 5; i++)
        assert_true(r[i] == a[i] * b[i]);
    combine(MPI_MAX, MPI_DOUBLE, 5, a, b, r);
    assert_true(r[0] == 2.25 && r[3] == 3 && r[4] == 0.1 && signbit(r[1]));
    combine(MPI_MIN, MPI_DOUBLE, 5, a, b, r);
    assert_true(r[0] == 1.5 && r[3] == -3 && r[4] == -7 && signbit(r[1]));
    const float f = 0.1f, g = 0.2f;
    float h;
    combine(MPI_SUM, MPI_FLOAT, 1, &f, &g, &h);
    assert_true(h == f + g);
    const long double l = 0.1L, m = 1e-18L;
    long double n;
    combine(MPI_SUM, MPI_LONG_DOUBLE, 1, &l, &m, &n);
    assert_true(n == l + m);
}

static void complex_values_add_and_multiply(void **state)
{
    const double complex a = 1 + 2 * I, b = -3 + 0.5 * I;
    double complex r;
    (void)state;
    combine(MPI_SUM, MPI_C_DOUBLE_COMPLEX, 1, &a, &b, &r);
    assert_true(creal(r) == -2 && cimag(r) == 2.5);
    combine(MPI_PROD, MPI_C_DOUBLE_COMPLEX, 1, &a, &b, &r);
    assert_true(creal(r) == -4 && cimag(r) == -5.5);
    assert_false(weft__mpi_op_defined(MPI_MAX, weft__mpi_type_find(&empty, MPI_C_DOUBLE_COMPLEX)));
}

struct double_int {
    double value;
    int index;
};

static void locations_keep_the_lower_index_of_equal_values(void **state)
{
    const struct double_int a[] = {{1, 5}, {2, 5}, {3, 5}, {3, 9}},
                            b[] = {{2, 1}, {1, 9}, {3, 4}, {3, 10}};
    struct double_int r[4];
    (void)state;
    combine(MPI_MINLOC, MPI_DOUBLE_INT, 4, a, b, r);
    assert_true(r[0].value == 1 && r[0].index == 5 && r[1].value == 1 && r[1].index == 9);
    assert_true(r[2].index == 4 && r[3].index == 9);
    combine(MPI_MAXLOC, MPI_DOUBLE_INT, 4, a, b, r);
    assert_true(r[0].value == 2 && r[0].index == 1 && r[1].value == 2 && r[1].index == 5);
    assert_true(r[2].index == 4 && r[3].index == 9);
}

static void booleans_stay_booleans(void **state)
{
    const _Bool a[] = {0, 0, 1, 1}, b[] = {0, 1, 0, 1};
    _Bool r[4];
    (void)state;
    combine(MPI_LAND, MPI_C_BOOL, 4, a, b, r);
    assert_true(!r[0] && !r[1] && !r[2] && r[3]);
    combine(MPI_LOR, MPI_C_BOOL, 4, a, b, r);
    assert_true(!r[0] && r[1] && r[2] && r[3]);
    combine(MPI_LXOR, MPI_C_BOOL, 4, a, b, r);
    assert_true(!r[0] && r[1] && r[2] && !r[3]);
}

static void the_result_may_replace_either_operand(void **state)
{
    int left[3] = {1, 2, 3}, right[3] = {10, 20, 30};
    (void)state;
    combine(MPI_SUM, MPI_INT, 3, left, right, right);
    assert_true(right[0] == 11 && right[1] == 22 && right[2] == 33 && left[0] == 1);
    combine(MPI_SUM, MPI_INT, 3, left, right, left);
    assert_true(left[0] == 12 && left[1] == 24 && left[2] == 36 && right[0] == 11);
}

static void operations_that_are_none_are_not_known(void **state)
{
    (void)state;
    assert_false(weft__mpi_op_known(&empty, MPI_OP_NULL));
    assert_false(weft__mpi_op_known(&empty, MPI_REPLACE));
    assert_false(weft__mpi_op_known(&empty, MPI_NO_OP));
    assert_false(weft__mpi_op_known(&empty, (MPI_Op)0x25));
    assert_string_equal(weft__mpi_op_name(MPI_BXOR), "MPI_BXOR");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_compute_modulo_their_width),
        cmocka_unit_test(floating_values_compute_as_in_c),
        cmocka_unit_test(complex_values_add_and_multiply),
        cmocka_unit_test(locations_keep_the_lower_index_of_equal_values),
        cmocka_unit_test(booleans_stay_booleans),
        cmocka_unit_test(the_result_may_replace_either_operand),
        cmocka_unit_test(operations_that_are_none_are_not_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
