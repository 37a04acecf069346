/* Ranges against a plain array of bytes, and the cases that go wrong first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "state/ranges.h"
#include "weft/error.h"

#define SIZE 64u

static void assert_same(const struct weft_ranges *ranges, const bool *model)
{
    uint64_t end = 0;
    bool seen[SIZE] = {false};
    for (size_t i = 0; i < ranges->n; i++) {
        assert_true(ranges->at[i].len > 0);
        assert_true(i == 0 || ranges->at[i].offset > end); /* apart: neighbours are one */
        end = ranges->at[i].offset + ranges->at[i].len;
        assert_true(end <= SIZE);
        for (uint64_t at = ranges->at[i].offset; at < end; at++)
            seen[at] = true;
    }
    assert_memory_equal(seen, model, sizeof(seen));
}

static void random_changes_are_those_of_an_array(void **state)
{
    struct weft_ranges ranges = {0}, missing = {0};
    bool model[SIZE] = {false};
    uint32_t random = 1;
    (void)state;
    for (int i = 0; i < 20000; i++) {
        random = random * 1664525u + 1013904223u;
        uint32_t offset = (random >> 8) % SIZE, len = (random >> 16) % (SIZE - offset + 1);
        bool add = random >> 31;
        assert_int_equal(add ? weft__ranges_add(&ranges, offset, len)
                             : weft__ranges_remove(&ranges, offset, len),
                         WEFT_OK);
        memset(model + offset, add, len);
        assert_same(&ranges, model);
        offset = (random >> 4) % SIZE;
        len = SIZE - offset;
        bool holds = true, inverse[SIZE] = {false};
        for (uint32_t at = offset; at < SIZE; at++) {
            inverse[at] = !model[at];
            holds = holds && model[at];
        }
        assert_int_equal(weft__ranges_hold(&ranges, offset, len), holds);
        assert_int_equal(weft__ranges_missing(&ranges, offset, len, &missing), WEFT_OK);
        assert_same(&missing, inverse);
    }
    weft__ranges_fini(&ranges);
    weft__ranges_fini(&missing);
}

static void touching_ranges_become_one(void **state)
{
    struct weft_ranges ranges = {0};
    (void)state;
    assert_int_equal(weft__ranges_add(&ranges, 0, 4), WEFT_OK);
    assert_int_equal(weft__ranges_add(&ranges, 8, 4), WEFT_OK);
    assert_int_equal(ranges.n, 2);
    assert_int_equal(weft__ranges_add(&ranges, 4, 4), WEFT_OK);
    assert_int_equal(ranges.n, 1);
    assert_int_equal(weft__ranges_bytes(&ranges), 12);
    weft__ranges_fini(&ranges);
}

static void zero_bytes_change_nothing(void **state)
{
    struct weft_ranges ranges = {0};
    (void)state;
    assert_int_equal(weft__ranges_add(&ranges, 5, 0), WEFT_OK);
    assert_int_equal(weft__ranges_remove(&ranges, 5, 0), WEFT_OK);
    assert_int_equal(ranges.n, 0);
    assert_true(weft__ranges_hold(&ranges, 5, 0));
    assert_false(weft__ranges_hold(&ranges, 5, 1));
    weft__ranges_fini(&ranges);
}

static void offsets_have_64_bits(void **state)
{
    struct weft_ranges ranges = {0};
    uint64_t far = UINT64_C(1) << 40;
    (void)state;
    assert_int_equal(weft__ranges_add(&ranges, far, far), WEFT_OK);
    assert_int_equal(weft__ranges_remove(&ranges, far + 1, 1), WEFT_OK);
    assert_int_equal(ranges.n, 2);
    assert_int_equal(weft__ranges_bytes(&ranges), far - 1);
    weft__ranges_fini(&ranges);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_changes_are_those_of_an_array),
        cmocka_unit_test(touching_ranges_become_one),
        cmocka_unit_test(zero_bytes_change_nothing),
        cmocka_unit_test(offsets_have_64_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
