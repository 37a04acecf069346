/* Lists of ranges: what is in either, in one and not in the other, in both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "snapshot/extent.h"

enum { LEN = 48, ROUNDS = 3000 };

static void from_bits(uint64_t bits, struct weft_extents *list)
{
    weft__extents_clear(list);
    for (uint64_t i = 0; i < LEN; i++)
        if (bits >> i & 1)
            assert_int_equal(weft__extents_add(list, i, 1), 0);
}

static void assert_bits(const struct weft_extents *list, uint64_t bits)
{
    uint64_t found = 0, total = 0;
    for (size_t i = 0; i < list->n; i++) {
        for (uint64_t k = 0; k < list->at[i].len_bytes; k++)
            found |= UINT64_C(1) << (list->at[i].offset + k);
        total += list->at[i].len_bytes;
        if (i > 0) /* what touches is one */
            assert_true(list->at[i].offset > list->at[i - 1].offset + list->at[i - 1].len_bytes);
    }
    assert_int_equal(found, bits);
    assert_int_equal(total, list->total_bytes);
}

static void lists_are_combined_as_sets(void **state)
{
    struct weft_extents a = {0}, b = {0}, out = {0};
    uint64_t x = 1, mask = (UINT64_C(1) << LEN) - 1;
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        uint64_t p = i % 7 == 0 ? 0 : (x >> 5 & x >> 11) & mask;
        uint64_t q = i % 5 == 0 ? mask : (x >> 3 | x >> 13) & mask;
        from_bits(p, &a);
        from_bits(q, &b);
        assert_int_equal(weft__extents_either(&a, &b, &out), 0);
        assert_bits(&out, p | q);
        assert_int_equal(weft__extents_without(&a, &b, &out), 0);
        assert_bits(&out, p & ~q);
        assert_int_equal(weft__extents_without(&b, &a, &out), 0);
        assert_bits(&out, q & ~p);
        assert_int_equal(weft__extents_both(&a, &b, &out), 0);
        assert_bits(&out, p & q);
    }
    weft__extents_fini(&a);
    weft__extents_fini(&b);
    weft__extents_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lists_are_combined_as_sets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
