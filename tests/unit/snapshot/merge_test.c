/* Merge regions: the list, and operations on elements. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "snapshot/merge.h"
#include "weft/error.h"

#define PAGE 4096u

static int add(struct weft_merge *merge, uint64_t offset, uint64_t len, enum weft_merge_type type,
               enum weft_merge_op op)
{
    const struct weft_merge_region region = {
        .offset = offset, .len_bytes = len, .type = type, .op = op};
    return weft__merge_add(merge, &region);
}

static void regions_are(const struct weft_merge *merge, const uint64_t (*expected)[2], size_t n)
{
    assert_int_equal(merge->n, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(merge->at[i].offset, expected[i][0]);
        assert_int_equal(merge->at[i].len_bytes, expected[i][1]);
    }
}

static void regions_are_sorted_whatever_the_order_they_come_in(void **state)
{
    struct weft_merge merge = {.limit_bytes = 5 * PAGE};
    static const uint64_t expected[][2] = {{0, 4}, {40, 8}, {48, 100}, {PAGE, 0}};
    (void)state;
    assert_int_equal(add(&merge, 48, 100, WEFT_MERGE_RAW, WEFT_MERGE_OVERWRITE), 0);
    assert_int_equal(add(&merge, PAGE, 0, WEFT_MERGE_INT64, WEFT_MERGE_SUM), 0);
    assert_int_equal(add(&merge, 0, 4, WEFT_MERGE_INT32, WEFT_MERGE_MAX), 0);
    assert_int_equal(add(&merge, 40, 8, WEFT_MERGE_DOUBLE, WEFT_MERGE_MIN), 0);
    regions_are(&merge, expected, 4);
    weft__merge_clear(&merge);
    assert_int_equal(merge.n, 0);
    weft__merge_fini(&merge);
}

static void refused(struct weft_merge *merge, const struct weft_merge_region *region, int err,
                    const char *part)
{
    size_t n = merge->n;
    assert_int_equal(weft__merge_add(merge, region), err);
    if (!strstr(weft_fail_text(err), part))
        print_message("not \"%s\" in: %s\n", part, weft_fail_text(err));
    assert_non_null(strstr(weft_fail_text(err), part));
    assert_int_equal(merge->n, n);
}

static void regions_that_overlap_are_refused(void **state)
{
    struct weft_merge merge = {.limit_bytes = 5 * PAGE};
    static const uint64_t bad[][2] = {{96, 8},  {100, 4},  {104, 100}, {196, 8},
                                      {0, 101}, {0, 5000}, {0, 0},     {PAGE + 8, 8}};
    (void)state;
    assert_int_equal(add(&merge, 100, 100, WEFT_MERGE_RAW, WEFT_MERGE_XOR), 0);
    assert_int_equal(add(&merge, PAGE, 0, WEFT_MERGE_RAW, WEFT_MERGE_IGNORE), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct weft_merge_region region = {.offset = bad[i][0], .len_bytes = bad[i][1]};
        refused(&merge, &region, WEFT_EEXIST, "overlaps");
    }
    assert_int_equal(add(&merge, 96, 4, WEFT_MERGE_INT32, WEFT_MERGE_SUM), 0); /* they touch */
    assert_int_equal(add(&merge, 200, 4, WEFT_MERGE_INT32, WEFT_MERGE_SUM), 0);
    weft__merge_fini(&merge);
}

static void regions_that_are_misaligned_or_outside_are_refused(void **state)
{
    struct weft_merge merge = {.limit_bytes = 5 * PAGE}, huge = {0};
    struct weft_merge_region region = {.type = WEFT_MERGE_INT64, .op = WEFT_MERGE_SUM};
    (void)state;
    region.offset = 4;
    region.len_bytes = 8;
    refused(&merge, &region, WEFT_EINVAL, "misaligned");
    region.offset = 8;
    region.len_bytes = 12;
    refused(&merge, &region, WEFT_EINVAL, "misaligned");
    region.len_bytes = 5 * PAGE;
    refused(&merge, &region, WEFT_ERANGE, "leaves the snapshot");
    region.offset = 5 * PAGE;
    region.len_bytes = 0;
    refused(&merge, &region, WEFT_ERANGE, "leaves the snapshot");
    region.offset = UINT64_MAX - 7;
    region.len_bytes = 16;
    refused(&huge, &region, WEFT_ERANGE, "leaves the snapshot");
    region.offset = UINT64_C(1) << 40; /* far behind 4 GiB, where there is no limit */
    assert_int_equal(weft__merge_add(&huge, &region), 0);
    weft__merge_fini(&huge);
    weft__merge_fini(&merge);
}

static void numbers_take_every_operation_and_bytes_only_those_of_bytes(void **state)
{
    struct weft_merge merge = {0};
    struct weft_merge_region region = {.len_bytes = 8};
    unsigned allowed = 0;
    (void)state;
    for (int type = 0; type < WEFT_MERGE_TYPES; type++)
        for (int op = 0; op < WEFT_MERGE_OPS; op++)
            allowed += weft__merge_allows((enum weft_merge_type)type, (enum weft_merge_op)op);
    assert_int_equal(allowed, 4 * WEFT_MERGE_OPS + 2 * 3);
    region.type = WEFT_MERGE_BOOL;
    for (region.op = WEFT_MERGE_SUM; region.op < WEFT_MERGE_OPS; region.op++)
        refused(&merge, &region, WEFT_EINVAL, "unsupported combination");
    region.type = WEFT_MERGE_RAW;
    region.op = WEFT_MERGE_PRODUCT;
    refused(&merge, &region, WEFT_EINVAL, "product raw");
    region.type = (enum weft_merge_type)77;
    refused(&merge, &region, WEFT_EINVAL, "unsupported combination");
    assert_false(weft__merge_allows(WEFT_MERGE_INT32, (enum weft_merge_op)99));
    weft__merge_fini(&merge);
}

static void gaps_between_regions_are_filled(void **state)
{
    static const uint64_t none[][2] = {{0, 0}}, first[][2] = {{0, 100}, {100, 0}},
                          last[][2] = {{0, 3 * PAGE - 100}, {3 * PAGE - 100, 100}},
                          two[][2] = {{0, PAGE}, {PAGE, 4}, {PAGE + 4, 4}, {PAGE + 8, 0}},
                          three[][2] = {{0, 8},
                                        {8, 4},
                                        {12, PAGE - 12},
                                        {PAGE, 8},
                                        {PAGE + 8, PAGE},
                                        {2 * PAGE + 8, 100},
                                        {2 * PAGE + 108, 0}};
    struct weft_merge merge = {.limit_bytes = 3 * PAGE};
    (void)state;
    assert_int_equal(weft__merge_fill(&merge, WEFT_MERGE_XOR), 0);
    regions_are(&merge, none, 1);
    assert_int_equal(merge.at[0].op, WEFT_MERGE_XOR);
    assert_int_equal(weft__merge_fill(&merge, WEFT_MERGE_XOR), 0); /* nothing is left to fill */
    regions_are(&merge, none, 1);
    weft__merge_clear(&merge);
    add(&merge, 0, 100, WEFT_MERGE_RAW, WEFT_MERGE_IGNORE);
    assert_int_equal(weft__merge_fill(&merge, WEFT_MERGE_OVERWRITE), 0);
    regions_are(&merge, first, 2);
    assert_int_equal(merge.at[0].op, WEFT_MERGE_IGNORE);
    assert_int_equal(merge.at[1].op, WEFT_MERGE_OVERWRITE);
    weft__merge_clear(&merge);
    add(&merge, 3 * PAGE - 100, 100, WEFT_MERGE_RAW, WEFT_MERGE_IGNORE);
    assert_int_equal(weft__merge_fill(&merge, WEFT_MERGE_XOR), 0);
    regions_are(&merge, last, 2);
    weft__merge_clear(&merge);
    add(&merge, PAGE, 4, WEFT_MERGE_INT32, WEFT_MERGE_SUM);
    add(&merge, PAGE + 4, 4, WEFT_MERGE_INT32, WEFT_MERGE_SUM);
    assert_int_equal(weft__merge_fill(&merge, WEFT_MERGE_XOR), 0);
    regions_are(&merge, two, 4);
    weft__merge_clear(&merge);
    add(&merge, 2 * PAGE + 8, 100, WEFT_MERGE_RAW, WEFT_MERGE_IGNORE);
    add(&merge, 8, 4, WEFT_MERGE_INT32, WEFT_MERGE_SUM);
    add(&merge, PAGE, 8, WEFT_MERGE_DOUBLE, WEFT_MERGE_MAX);
    assert_int_equal(weft__merge_fill(&merge, WEFT_MERGE_XOR), 0);
    regions_are(&merge, three, 7);
    assert_int_equal(weft__merge_fill(&merge, WEFT_MERGE_SUM), WEFT_EINVAL);
    regions_are(&merge, three, 7);
    weft__merge_fini(&merge);
}

static void there_is_a_bound_on_the_number_of_regions(void **state)
{
    struct weft_merge merge = {0};
    (void)state;
    for (uint64_t i = 0; i < WEFT_MERGE_REGIONS_MAX; i++)
        assert_int_equal(add(&merge, 8 * i, 4, WEFT_MERGE_INT32, WEFT_MERGE_SUM), 0);
    assert_int_equal(add(&merge, 8 * WEFT_MERGE_REGIONS_MAX, 4, WEFT_MERGE_INT32, WEFT_MERGE_SUM),
                     WEFT_ENOSPC);
    assert_int_equal(weft__merge_fill(&merge, WEFT_MERGE_XOR), WEFT_ENOSPC);
    assert_int_equal(merge.n, WEFT_MERGE_REGIONS_MAX);
    weft__merge_fini(&merge);
}

/* ---- operations ---- */

static int32_t apply_int(enum weft_merge_op op, int32_t into, int32_t operand)
{
    const struct weft_merge_region how = {.type = WEFT_MERGE_INT32, .op = op};
    weft__merge_apply(&how, &into, &operand, 1);
    return into;
}

static void operands_are_applied(void **state)
{
    (void)state;
    assert_int_equal(apply_int(WEFT_MERGE_SUM, 100, 10), 110);
    assert_int_equal(apply_int(WEFT_MERGE_SUBTRACT, 100, 10), 90);
    assert_int_equal(apply_int(WEFT_MERGE_PRODUCT, 10, 20), 200);
    assert_int_equal(apply_int(WEFT_MERGE_MIN, 1000, 100), 100);
    assert_int_equal(apply_int(WEFT_MERGE_MIN, 10, 20), 10);
    assert_int_equal(apply_int(WEFT_MERGE_MAX, 100, 1000), 1000);
    assert_int_equal(apply_int(WEFT_MERGE_MAX, 20, 10), 20);
    assert_int_equal(apply_int(WEFT_MERGE_MAX, -20, -10), -10);
    assert_int_equal(apply_int(WEFT_MERGE_SUM, INT32_MAX, 1), INT32_MIN);
    assert_int_equal(apply_int(WEFT_MERGE_IGNORE, 5, 7), 5);
}

/* Whether there is an operand from one integer to another, which then leads there. */
static bool leads(enum weft_merge_op op, int64_t from, int64_t to)
{
    const struct weft_merge_region how = {.type = WEFT_MERGE_INT64, .op = op};
    int64_t operand, into = from;
    if (weft__merge_operands(&how, &from, &to, 1, &operand) == 0)
        return from == to; /* which needs none */
    weft__merge_apply(&how, &into, &operand, 1);
    assert_true(into == to);
    return true;
}

static void integer_operands_lead_back_at_the_limits_too(void **state)
{
    static const int64_t values[] = {0, 1, -1, 2, 7, -7, INT64_MAX, INT64_MIN, INT64_MIN + 1, 1000};
    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        for (size_t j = 0; j < sizeof(values) / sizeof(values[0]); j++) {
            assert_true(leads(WEFT_MERGE_SUM, values[i], values[j]));
            assert_true(leads(WEFT_MERGE_SUBTRACT, values[i], values[j]));
            leads(WEFT_MERGE_PRODUCT, values[i], values[j]);
            assert_true(leads(values[j] > values[i] ? WEFT_MERGE_MAX : WEFT_MERGE_MIN, values[i],
                              values[j]));
        }
    assert_true(leads(WEFT_MERGE_PRODUCT, 3, 150));
    assert_true(leads(WEFT_MERGE_PRODUCT, -1, INT64_MIN));
    assert_true(leads(WEFT_MERGE_PRODUCT, 5, 0));
    assert_false(leads(WEFT_MERGE_PRODUCT, 0, 5)); /* nothing times 0 is 5, */
    assert_false(leads(WEFT_MERGE_PRODUCT, 4, 6)); /* and no integer times 4 is 6 */
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static void floating_operands_lead_close_or_there_is_none(void **state)
{
    static const double values[] = {0,    1,        -3,        0.1,     1e300,  -1e-300,
                                    1e20, INFINITY, -INFINITY, DBL_MAX, DBL_MIN};
    (void)state;
    for (enum weft_merge_op op = WEFT_MERGE_SUM; op <= WEFT_MERGE_PRODUCT; op++)
        for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
            for (size_t j = 0; j < sizeof(values) / sizeof(values[0]); j++) {
                const struct weft_merge_region how = {.type = WEFT_MERGE_DOUBLE, .op = op};
                double from = values[i], to = values[j], operand, into = from;
                if (weft__merge_operands(&how, &from, &to, 1, &operand) == 0)
                    continue;
                weft__merge_apply(&how, &into, &operand, 1);
                double scale = larger(fabs(from), fabs(to));
                assert_true(into == to || fabs(into - to) <= 1e-14 * scale);
            }
    const struct weft_merge_region sum = {.type = WEFT_MERGE_FLOAT, .op = WEFT_MERGE_SUM};
    float from = INFINITY, to = 1, operand;
    assert_int_equal(weft__merge_operands(&sum, &from, &to, 1, &operand), 0);
    from = 513;
    to = 945;
    assert_int_equal(weft__merge_operands(&sum, &from, &to, 1, &operand), 1);
    assert_true(operand == 432);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regions_are_sorted_whatever_the_order_they_come_in),
        cmocka_unit_test(regions_that_overlap_are_refused),
        cmocka_unit_test(regions_that_are_misaligned_or_outside_are_refused),
        cmocka_unit_test(numbers_take_every_operation_and_bytes_only_those_of_bytes),
        cmocka_unit_test(gaps_between_regions_are_filled),
        cmocka_unit_test(there_is_a_bound_on_the_number_of_regions),
        cmocka_unit_test(operands_are_applied),
        cmocka_unit_test(integer_operands_lead_back_at_the_limits_too),
        cmocka_unit_test(floating_operands_lead_close_or_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
