/* Sets of processor features. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/cpu_features.h"
#include "weft/error.h"

#define BIT(name) (UINT64_C(1) << CPU_##name)

static const uint64_t all = (UINT64_C(1) << CPU_FEATURES_N) - 1;

static uint64_t limit(const char *list, uint64_t set)
{
    uint64_t left = 0;
    assert_int_equal(weft__cpu_limit(list, set, &left), WEFT_OK);
    return left;
}

static void an_empty_list_leaves_all(void **state)
{
    (void)state;
    assert_true(limit("", all) == all);
}

static void what_is_taken_away_takes_what_needs_it_along(void **state)
{
    (void)state;
    uint64_t left = limit("-avx2", all);
    assert_true(left & BIT(avx));
    assert_true(left & BIT(fma));
    assert_false(left & (BIT(avx2) | BIT(avx512f) | BIT(avx512vnni) | BIT(avx_vnni)));
    left = limit("-xsave,-sse4_2", all);
    assert_true(left & BIT(sse4_1));
    assert_false(left & (BIT(sse4_2) | BIT(avx) | BIT(fma) | BIT(amx_tile)));
}

static void what_is_named_brings_what_it_needs(void **state)
{
    (void)state;
    assert_true(limit("sse4_2,popcnt", all) ==
                (BIT(sse2) | BIT(sse3) | BIT(ssse3) | BIT(sse4_1) | BIT(sse4_2) | BIT(popcnt)));
    assert_true(limit("avx512bw", all) & BIT(avx512f));
    assert_true(limit("avx2", BIT(sse2) | BIT(sse3)) == BIT(sse2)); /* it is not there */
}

static void unknown_names_are_told_with_the_nearest(void **state)
{
    (void)state;
    uint64_t left = 7;
    assert_int_equal(weft__cpu_limit("-avx22", all, &left), WEFT_EINVAL);
    assert_non_null(strstr(weft_fail_text(WEFT_EINVAL), "did you mean avx2"));
    assert_int_equal(weft__cpu_limit("-avx2,fma", all, &left), WEFT_EINVAL);
    assert_true(left == 7);
}

static void wide_registers_that_lie_elsewhere_are_not_in_common(void **state)
{
    (void)state;
    uint64_t one = limit("-avx512_at_832", all), other = limit("-avx512_at_1088", all);
    assert_true(one & BIT(avx512f));
    assert_true(other & BIT(avx512f));
    uint64_t both = weft__cpu_common(one, other);
    assert_true(both & BIT(avx2));
    assert_false(both & (BIT(avx512f) | BIT(avx512bw)));
    assert_true(weft__cpu_lacks(one, other) == BIT(avx512_at_1088));
}

static void where_nothing_is_known_nothing_is_lacking(void **state)
{
    (void)state;
    assert_true(weft__cpu_lacks(0, all) == 0);
    assert_true(weft__cpu_lacks(all, 0) == 0);
    assert_true(weft__cpu_lacks(BIT(sse2) | BIT(avx2), BIT(sse2)) == BIT(avx2));
}

static void levels_are_those_of_the_abi(void **state)
{
    (void)state;
    assert_string_equal(weft__cpu_level(all), "x86-64-v4");
    assert_string_equal(weft__cpu_level(limit("-avx512f", all)), "x86-64-v3");
    assert_string_equal(weft__cpu_level(limit("-avx2", all)), "x86-64-v2");
    assert_string_equal(weft__cpu_level(limit("-popcnt", all)), "x86-64-v1");
    assert_string_equal(weft__cpu_level(0), "");
}

static void texts_name_some_and_count_the_rest(void **state)
{
    char text[WEFT_CPU_TEXT_MAX];
    (void)state;
    assert_string_equal(weft__cpu_text(BIT(sse2) | BIT(avx2) | BIT(fma), 0, text), "sse2 fma avx2");
    assert_string_equal(weft__cpu_text(BIT(sse2) | BIT(avx2) | BIT(fma), 2, text),
                        "sse2 fma and 1 more");
    assert_string_equal(weft__cpu_text(0, 0, text), "");
    assert_true(strlen(weft__cpu_text(all, 0, text)) < WEFT_CPU_TEXT_MAX / 2);
}

static void the_c_library_is_told_what_to_do_without(void **state)
{
    char text[WEFT_CPU_TUNABLES_MAX];
    (void)state;
    assert_string_equal(weft__cpu_tunables(0, "glibc.malloc.check=1", text), "");
    assert_string_equal(weft__cpu_tunables(BIT(fsrm), NULL, text), ""); /* it has no name for it */
    assert_string_equal(weft__cpu_tunables(BIT(avx2) | BIT(avx512f), NULL, text),
                        "glibc.cpu.hwcaps=-AVX2,-AVX512F");
    assert_string_equal(weft__cpu_tunables(BIT(avx2), "glibc.malloc.check=1", text),
                        "glibc.cpu.hwcaps=-AVX2:glibc.malloc.check=1");
    assert_string_equal(
        weft__cpu_tunables(BIT(avx2), "a=1:glibc.cpu.hwcaps=-ERMS:glibc.malloc.check=1", text),
        "a=1:glibc.cpu.hwcaps=-AVX2,-ERMS:glibc.malloc.check=1");
}

static void this_processor_has_what_every_one_of_its_kind_has(void **state)
{
    (void)state;
#if defined(__x86_64__)
    assert_true(weft__cpu_here() & BIT(sse2));
    assert_int_equal((weft__cpu_here() & BIT(avx2)) != 0, __builtin_cpu_supports("avx2") != 0);
    assert_int_equal((weft__cpu_here() & BIT(avx512vl)) != 0,
                     __builtin_cpu_supports("avx512vl") != 0);
    assert_int_equal((weft__cpu_here() & BIT(bmi2)) != 0, __builtin_cpu_supports("bmi2") != 0);
#else
    assert_true(weft__cpu_here() == 0);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_list_leaves_all),
        cmocka_unit_test(what_is_taken_away_takes_what_needs_it_along),
        cmocka_unit_test(what_is_named_brings_what_it_needs),
        cmocka_unit_test(unknown_names_are_told_with_the_nearest),
        cmocka_unit_test(wide_registers_that_lie_elsewhere_are_not_in_common),
        cmocka_unit_test(where_nothing_is_known_nothing_is_lacking),
        cmocka_unit_test(levels_are_those_of_the_abi),
        cmocka_unit_test(texts_name_some_and_count_the_rest),
        cmocka_unit_test(the_c_library_is_told_what_to_do_without),
        cmocka_unit_test(this_processor_has_what_every_one_of_its_kind_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
