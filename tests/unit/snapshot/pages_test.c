/* Sets of pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "memory.h"
#include "snapshot/pages.h"
#include "snapshot/region.h"

#define PAGE ((uint64_t)WEFT_REGION_PAGE)
#define N 100000u /* pages: over three groups, and not whole words */

static void what_is_taken_is_what_was_added_in_order(void **state)
{
    struct weft_pages pages;
    struct weft_extents taken = {0};
    bool *flags = calloc(N, sizeof(*flags)), *found = calloc(N, sizeof(*found));
    uint64_t seed = 1234567;
    (void)state;
    assert_int_equal(weft__pages_init(&pages, N), 0);
    for (int round = 0; round < 50; round++) {
        for (uint64_t n = random_next(&seed) % 20; n; n--) {
            size_t first = random_next(&seed) % N;
            size_t count = random_next(&seed) % (random_next(&seed) % 8 ? 200 : 40000);
            count = count > N - first ? N - first : count;
            weft__pages_set(&pages, first, count);
            memset(flags + first, true, count);
        }
        for (size_t page = 0; page < N; page += 7)
            assert_int_equal(weft__pages_has(&pages, page), flags[page]);
        assert_int_equal(weft__pages_take(&pages, &taken), 0);
        for (size_t i = 0; i < taken.n; i++) {
            if (i > 0) /* runs that touch are one */
                assert_true(taken.at[i].offset >
                            taken.at[i - 1].offset + taken.at[i - 1].len_bytes);
            memset(found + taken.at[i].offset / PAGE, true, taken.at[i].len_bytes / PAGE);
        }
        assert_memory_equal(found, flags, N);
        memset(flags, false, N);
        memset(found, false, N);
        assert_int_equal(weft__pages_take(&pages, &taken), 0);
        assert_int_equal(taken.n, 0);
    }
    weft__extents_fini(&taken);
    weft__pages_fini(&pages);
    weft__pages_fini(&pages);
    free(flags);
    free(found);
}

static void a_set_over_a_huge_range_holds_its_first_and_last_page(void **state)
{
    const size_t n = WEFT_REGION_MAX_BYTES / PAGE;
    struct weft_pages pages;
    struct weft_extents taken = {0};
    (void)state;
    assert_int_equal(weft__pages_init(&pages, n), 0);
    weft__pages_set(&pages, 0, 1);
    weft__pages_set(&pages, n - 1, 1);
    assert_false(weft__pages_has(&pages, n));
    assert_int_equal(weft__pages_take(&pages, &taken), 0);
    assert_int_equal(taken.n, 2);
    assert_int_equal(taken.at[0].offset, 0);
    assert_int_equal(taken.at[1].offset, WEFT_REGION_MAX_BYTES - PAGE);
    weft__extents_fini(&taken);
    weft__pages_fini(&pages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken_is_what_was_added_in_order),
        cmocka_unit_test(a_set_over_a_huge_range_holds_its_first_and_last_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
