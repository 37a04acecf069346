/* Differences: what they say, that they lead from one memory to the other, that no bytes but
 * encoded ones are some. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <xxhash.h>

#include "memory.h"
#include "snapshot/diff.h"
#include "snapshot/scan.h"
#include "weft/error.h"

#define PAGE 4096u

static size_t random_below(uint64_t *seed, size_t n)
{
    return n ? (size_t)(random_next(seed) % n) : 0;
}

static void add(struct weft_merge *merge, uint64_t offset, uint64_t len, enum weft_merge_type type,
                enum weft_merge_op op)
{
    const struct weft_merge_region region = {
        .offset = offset, .len_bytes = len, .type = type, .op = op};
    assert_int_equal(weft__merge_add(merge, &region), 0);
}

static void make(const unsigned char *base, const unsigned char *now, size_t len,
                 const struct weft_merge *merge, struct weft_diffs *diffs)
{
    const struct weft_diff_desc desc = {
        .base = base, .base_len = len, .now = now, .now_len = len, .merge = merge};
    assert_int_equal(weft__diffs_make(&desc, diffs), 0);
}

static void ranges_are(const struct weft_diffs *diffs, const uint64_t (*expected)[2], size_t n)
{
    assert_int_equal(diffs->n, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(diffs->at[i].offset, expected[i][0]);
        assert_int_equal(diffs->at[i].len_bytes, expected[i][1]);
    }
}

/* ---- numbers ---- */

struct number_case {
    enum weft_merge_type type;
    enum weft_merge_op op;
    double from, to, operand;
};

static void put_number(unsigned char *at, enum weft_merge_type type, double value)
{
    int32_t i32 = (int32_t)value;
    int64_t i64 = (int64_t)value;
    float f = (float)value;
    const void *from = type == WEFT_MERGE_INT32   ? (const void *)&i32
                       : type == WEFT_MERGE_INT64 ? (const void *)&i64
                       : type == WEFT_MERGE_FLOAT ? (const void *)&f
                                                  : (const void *)&value;
    memcpy(at, from, weft__merge_element(type));
}

static void a_number_that_changed_is_one_operand(void **state)
{
    static const struct number_case cases[] = {
        {WEFT_MERGE_INT32, WEFT_MERGE_SUM, 100, 150, 50},
        {WEFT_MERGE_INT32, WEFT_MERGE_SUBTRACT, 150, 100, 50},
        {WEFT_MERGE_INT32, WEFT_MERGE_PRODUCT, 3, 150, 50},
        {WEFT_MERGE_INT32, WEFT_MERGE_MAX, 10, 200, 200},
        {WEFT_MERGE_INT32, WEFT_MERGE_MIN, 30, 10, 10},
        {WEFT_MERGE_INT64, WEFT_MERGE_SUM, 100, 150, 50},
        {WEFT_MERGE_INT64, WEFT_MERGE_SUBTRACT, 150, 100, 50},
        {WEFT_MERGE_INT64, WEFT_MERGE_PRODUCT, 3, 150, 50},
        {WEFT_MERGE_INT64, WEFT_MERGE_MAX, 10, 200, 200},
        {WEFT_MERGE_INT64, WEFT_MERGE_MIN, 30, 10, 10},
        {WEFT_MERGE_FLOAT, WEFT_MERGE_SUM, 513, 945, 432},
        {WEFT_MERGE_FLOAT, WEFT_MERGE_SUBTRACT, 945, 513, 432},
        {WEFT_MERGE_FLOAT, WEFT_MERGE_PRODUCT, 5, 655, 131},
        {WEFT_MERGE_FLOAT, WEFT_MERGE_MAX, 555.55, 666.66, 666.66},
        {WEFT_MERGE_FLOAT, WEFT_MERGE_MIN, 222.22, 333.33, 333.33},
        {WEFT_MERGE_DOUBLE, WEFT_MERGE_SUM, 513, 945, 432},
        {WEFT_MERGE_DOUBLE, WEFT_MERGE_SUBTRACT, 945, 513, 432},
        {WEFT_MERGE_DOUBLE, WEFT_MERGE_PRODUCT, 5, 655, 131},
        {WEFT_MERGE_DOUBLE, WEFT_MERGE_MAX, 555.55, 666.66, 666.66},
        {WEFT_MERGE_DOUBLE, WEFT_MERGE_MIN, 222.22, 333.33, 333.33},
    };
    static unsigned char base[5 * PAGE], now[5 * PAGE], operand[8];
    const size_t at = PAGE + 40;
    struct weft_diffs diffs = {0};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct number_case *c = &cases[i];
        const size_t size = weft__merge_element(c->type);
        struct weft_merge merge = {.limit_bytes = sizeof(base)};
        add(&merge, at, size, c->type, c->op);
        put_number(base + at, c->type, c->from);
        memcpy(now, base, sizeof(now));
        make(base, now, sizeof(base), &merge, &diffs);
        assert_int_equal(diffs.n, 0);
        put_number(now + at, c->type, c->to);
        put_number(operand, c->type, c->operand);
        make(base, now, sizeof(base), &merge, &diffs);
        ranges_are(&diffs, (const uint64_t[][2]){{at, size}}, 1);
        assert_int_equal(diffs.at[0].type, c->type);
        assert_int_equal(diffs.at[0].op, c->op);
        assert_memory_equal(weft__diff_data(&diffs, 0), operand, size);
        weft__merge_fini(&merge);
        memset(base, 0, sizeof(base));
    }
    weft__diffs_fini(&diffs);
}

static int32_t int_operand(const struct weft_diffs *diffs, size_t i)
{
    int32_t operand;
    memcpy(&operand, weft__diff_data(diffs, i), sizeof(operand));
    return operand;
}

static void put_int(unsigned char *memory, size_t at, int32_t value)
{
    memcpy(memory + at, &value, sizeof(value));
}

static void numbers_at_the_edges_come_in_order(void **state)
{
    static unsigned char base[5 * PAGE], now[5 * PAGE];
    const size_t last = sizeof(base) - 4;
    struct weft_merge merge = {.limit_bytes = sizeof(base)};
    struct weft_diffs diffs = {0};
    (void)state;
    add(&merge, 0, 4, WEFT_MERGE_INT32, WEFT_MERGE_SUBTRACT);
    add(&merge, PAGE + 8, 4, WEFT_MERGE_INT32, WEFT_MERGE_SUM);
    add(&merge, PAGE + 12, 4, WEFT_MERGE_INT32, WEFT_MERGE_SUBTRACT);
    add(&merge, last, 4, WEFT_MERGE_INT32, WEFT_MERGE_SUM);
    put_int(base, 0, 5000000);
    put_int(base, PAGE + 8, 10);
    put_int(base, PAGE + 12, 999999999);
    put_int(base, last, 100000000);
    put_int(now, 0, 2500001);
    put_int(now, PAGE + 8, 20000000);
    put_int(now, PAGE + 12, 1);
    put_int(now, last, 100000001);
    make(base, now, sizeof(base), &merge, &diffs);
    ranges_are(&diffs, (const uint64_t[][2]){{0, 4}, {PAGE + 8, 4}, {PAGE + 12, 4}, {last, 4}}, 4);
    assert_int_equal(int_operand(&diffs, 0), 2499999);
    assert_int_equal(int_operand(&diffs, 1), 19999990);
    assert_int_equal(int_operand(&diffs, 2), 999999998);
    assert_int_equal(int_operand(&diffs, 3), 1);
    assert_int_equal(weft__diffs_apply(&diffs, base, sizeof(base)), 0);
    assert_memory_equal(base, now, sizeof(base));
    weft__merge_fini(&merge);
    weft__diffs_fini(&diffs);
}

static void what_is_outside_of_the_regions_is_left_out(void **state)
{
    static unsigned char base[3 * PAGE], now[3 * PAGE];
    struct weft_merge merge = {.limit_bytes = sizeof(base)};
    struct weft_diffs diffs = {0};
    (void)state;
    add(&merge, 2 * PAGE + 80, 4, WEFT_MERGE_INT32, WEFT_MERGE_SUM); /* in reverse order */
    add(&merge, 80, 4, WEFT_MERGE_INT32, WEFT_MERGE_SUM);
    add(&merge, 400, 100, WEFT_MERGE_RAW, WEFT_MERGE_IGNORE);
    put_int(base, 80, 123456);
    put_int(base, 2 * PAGE + 80, 300000);
    memcpy(now, base, sizeof(now));
    put_int(now, 80, 150000);
    put_int(now, 2 * PAGE + 80, 650123);
    memset(now + 84, 7, 200);
    memset(now + 400, 7, 100);
    memset(now + PAGE, 7, PAGE);
    make(base, now, sizeof(base), &merge, &diffs);
    ranges_are(&diffs, (const uint64_t[][2]){{80, 4}, {2 * PAGE + 80, 4}}, 2);
    assert_int_equal(int_operand(&diffs, 0), 26544);
    assert_int_equal(int_operand(&diffs, 1), 350123);
    make(base, now, sizeof(base), NULL, &diffs);
    assert_int_equal(diffs.n, 0);
    weft__merge_fini(&merge);
    weft__diffs_fini(&diffs);
}

/* The reference system divides by the old value and ends with a fault where that is 0; where it
 * does not divide the product is wrong. Here the new value is told as it is. */
static void a_product_that_no_factor_gives_is_overwritten(void **state)
{
    int32_t base[6] = {3, 0, 4, 5, 0, 7}, now[6] = {6, 9, 6, 10, 0, 14}, merged[6];
    struct weft_merge merge = {0};
    struct weft_diffs diffs = {0};
    (void)state;
    add(&merge, 0, 0, WEFT_MERGE_INT32, WEFT_MERGE_PRODUCT);
    make((unsigned char *)base, (unsigned char *)now, sizeof(base), &merge, &diffs);
    ranges_are(&diffs, (const uint64_t[][2]){{0, 4}, {4, 4}, {8, 4}, {12, 4}, {20, 4}}, 5);
    assert_int_equal(diffs.at[0].op, WEFT_MERGE_PRODUCT);
    assert_int_equal(diffs.at[1].op, WEFT_MERGE_OVERWRITE);
    assert_int_equal(diffs.at[2].op, WEFT_MERGE_OVERWRITE);
    assert_int_equal(diffs.at[3].op, WEFT_MERGE_PRODUCT);
    memcpy(merged, base, sizeof(merged));
    assert_int_equal(weft__diffs_apply(&diffs, merged, sizeof(merged)), 0);
    assert_memory_equal(merged, now, sizeof(now));
    weft__merge_fini(&merge);
    weft__diffs_fini(&diffs);
}

/* ---- bytes ---- */

static void a_bool_and_raw_bytes_are_overwritten(void **state)
{
    static unsigned char base[5 * PAGE], now[5 * PAGE];
    const size_t at = PAGE + 40;
    struct weft_diffs diffs = {0};
    (void)state;
    struct weft_merge flag = {.limit_bytes = sizeof(base)};
    add(&flag, at, 1, WEFT_MERGE_BOOL, WEFT_MERGE_OVERWRITE);
    base[at] = true;
    make(base, now, sizeof(base), &flag, &diffs);
    ranges_are(&diffs, (const uint64_t[][2]){{at, 1}}, 1);
    assert_int_equal(diffs.at[0].type, WEFT_MERGE_RAW);
    assert_int_equal(*(const unsigned char *)weft__diff_data(&diffs, 0), false);
    weft__merge_fini(&flag);
    memset(base + at, 3, 100);
    memset(now + at, 4, 100);
    for (uint64_t len = 100; len <= 100; len -= 100) { /* given, and to the end */
        struct weft_merge raw = {.limit_bytes = sizeof(base)};
        add(&raw, at, len, WEFT_MERGE_RAW, WEFT_MERGE_OVERWRITE);
        make(base, now, sizeof(base), &raw, &diffs);
        ranges_are(&diffs, (const uint64_t[][2]){{at, 100}}, 1);
        assert_memory_equal(weft__diff_data(&diffs, 0), now + at, 100);
        weft__merge_fini(&raw);
    }
    struct weft_merge ignored = {.limit_bytes = sizeof(base)};
    add(&ignored, at, 100, WEFT_MERGE_RAW, WEFT_MERGE_IGNORE);
    make(base, now, sizeof(base), &ignored, &diffs);
    assert_int_equal(diffs.n, 0);
    weft__merge_fini(&ignored);
    weft__diffs_fini(&diffs);
}

static void runs_of_differing_bytes_are_exact(void **state)
{
    static const unsigned char a[] = {0, 0, 2, 2, 3, 3, 4, 4, 5, 5},
                               b[] = {0, 1, 1, 2, 3, 6, 6, 6, 5, 5};
    static const unsigned char c[] = {0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0},
                               d[] = {1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 0, 0};
    static unsigned char base[PAGE], now[PAGE];
    struct weft_merge all = {0}, window = {0};
    struct weft_diffs diffs = {0};
    (void)state;
    add(&all, 0, 0, WEFT_MERGE_RAW, WEFT_MERGE_OVERWRITE);
    add(&window, 3, 7, WEFT_MERGE_RAW, WEFT_MERGE_OVERWRITE);
    memset(now, 1, 10);
    memset(now + 11, 1, 2);
    now[14] = now[16] = 1;
    make(base, now, PAGE, &all, &diffs);
    ranges_are(&diffs, (const uint64_t[][2]){{0, 10}, {11, 2}, {14, 1}, {16, 1}}, 4);
    make(a, b, sizeof(a), &all, &diffs);
    ranges_are(&diffs, (const uint64_t[][2]){{1, 2}, {5, 3}}, 2);
    make(c, d, sizeof(c), &window, &diffs);
    ranges_are(&diffs, (const uint64_t[][2]){{3, 2}, {6, 1}, {8, 2}}, 3);
    weft__merge_fini(&all);
    weft__merge_fini(&window);
    weft__diffs_fini(&diffs);
}

/* The reference system ends a run at each page. A run that goes on costs one difference less per
 * page, and says the same. */
static void runs_go_on_across_pages_but_not_across_regions(void **state)
{
    static unsigned char base[4 * PAGE], now[4 * PAGE];
    struct weft_merge merge = {0};
    struct weft_diffs diffs = {0};
    (void)state;
    add(&merge, 0, 2 * PAGE + 9, WEFT_MERGE_RAW, WEFT_MERGE_OVERWRITE);
    add(&merge, 2 * PAGE + 9, 0, WEFT_MERGE_RAW, WEFT_MERGE_OVERWRITE);
    memset(now + 100, 1, 3 * PAGE);
    make(base, now, sizeof(base), &merge, &diffs);
    ranges_are(&diffs, (const uint64_t[][2]){{100, 2 * PAGE + 9 - 100}, {2 * PAGE + 9, PAGE + 91}},
               2);
    weft__merge_fini(&merge);
    weft__diffs_fini(&diffs);
}

/* The reference system sends page and region entire, mostly zeros. */
static void xored_runs_span_a_few_equal_bytes_and_no_more(void **state)
{
    static unsigned char base[PAGE], now[PAGE];
    struct weft_merge merge = {0};
    struct weft_diffs diffs = {0};
    (void)state;
    add(&merge, 0, 0, WEFT_MERGE_RAW, WEFT_MERGE_XOR);
    memset(base, 0x5a, sizeof(base));
    memcpy(now, base, sizeof(now));
    now[100] ^= 1;
    now[110] ^= 2;
    now[1000] ^= 4;
    make(base, now, PAGE, &merge, &diffs);
    ranges_are(&diffs, (const uint64_t[][2]){{100, 11}, {1000, 1}}, 2);
    assert_int_equal(((const unsigned char *)weft__diff_data(&diffs, 0))[0], 1);
    assert_int_equal(((const unsigned char *)weft__diff_data(&diffs, 0))[5], 0);
    assert_int_equal(((const unsigned char *)weft__diff_data(&diffs, 0))[10], 2);
    assert_int_equal(weft__diffs_apply(&diffs, base, PAGE), 0);
    assert_memory_equal(base, now, PAGE);
    weft__merge_fini(&merge);
    weft__diffs_fini(&diffs);
}

/* ---- growth ---- */

/* The reference system sends all that lies behind the end, whatever was written: here too where it
 * is not known what was. Where it is known, what was not written is zero on both sides, so that
 * growing by 64 GiB costs what was written there. */
static void what_lies_behind_the_end_comes_first(void **state)
{
    static unsigned char base[6 * PAGE], now[10 * PAGE];
    struct weft_merge merge = {.limit_bytes = sizeof(now)};
    struct weft_diffs diffs = {0};
    struct weft_extents dirty = {0};
    struct weft_diff_desc desc = {.base = base,
                                  .base_len = sizeof(base),
                                  .now = now,
                                  .now_len = sizeof(now),
                                  .merge = &merge};
    (void)state;
    add(&merge, 0, 0, WEFT_MERGE_RAW, WEFT_MERGE_OVERWRITE);
    now[sizeof(base)] = 1; /* at the end, and behind */
    now[8 * PAGE] = 2;
    assert_int_equal(weft__diffs_make(&desc, &diffs), 0);
    ranges_are(&diffs, (const uint64_t[][2]){{6 * PAGE, 4 * PAGE}}, 1);
    memset(now + 6 * PAGE - 100, 3, 200); /* across */
    assert_int_equal(weft__diffs_make(&desc, &diffs), 0);
    ranges_are(&diffs, (const uint64_t[][2]){{6 * PAGE, 4 * PAGE}, {6 * PAGE - 100, 100}}, 2);
    assert_int_equal(diffs.at[0].type, WEFT_MERGE_RAW);
    assert_int_equal(diffs.at[0].op, WEFT_MERGE_OVERWRITE);
    assert_int_equal(weft__diffs_end(&diffs), 10 * PAGE);
    weft__extents_add(&dirty, 5 * PAGE, 2 * PAGE);
    weft__extents_add(&dirty, 8 * PAGE, PAGE);
    desc.dirty = &dirty;
    assert_int_equal(weft__diffs_make(&desc, &diffs), 0);
    ranges_are(&diffs,
               (const uint64_t[][2]){{6 * PAGE, PAGE}, {8 * PAGE, PAGE}, {6 * PAGE - 100, 100}}, 3);
    desc.now_len = 4 * PAGE; /* shorter: what it has is compared */
    assert_int_equal(weft__diffs_make(&desc, &diffs), 0);
    assert_int_equal(diffs.n, 0);
    desc.now_len = 0;
    desc.dirty = NULL;
    assert_int_equal(weft__diffs_make(&desc, &diffs), 0);
    assert_int_equal(diffs.n, 0);
    weft__extents_fini(&dirty);
    weft__merge_fini(&merge);
    weft__diffs_fini(&diffs);
}

/* ---- properties ---- */

#define RANDOM_PAGES 12

struct trial {
    unsigned char base[RANDOM_PAGES * PAGE], now[RANDOM_PAGES * PAGE], merged[RANDOM_PAGES * PAGE];
    struct weft_merge merge;
    struct weft_extents dirty;
    struct weft_diffs diffs;
    uint64_t seed;
};

/* Numbers of magnitudes at which rounding is small. */
static void random_number(struct trial *t, unsigned char *at, enum weft_merge_type type)
{
    put_number(at, type, (double)(int32_t)random_next(&t->seed) / 16);
}

static void random_regions(struct trial *t)
{
    uint64_t at = 0;
    weft__merge_clear(&t->merge);
    t->merge.limit_bytes = sizeof(t->base);
    while (at < sizeof(t->base)) {
        struct weft_merge_region region;
        do {
            region.type = (enum weft_merge_type)random_below(&t->seed, WEFT_MERGE_TYPES);
            region.op = (enum weft_merge_op)random_below(&t->seed, WEFT_MERGE_OPS);
        } while (!weft__merge_allows(region.type, region.op));
        size_t element = weft__merge_element(region.type);
        region.offset = (at + element - 1) / element * element;
        region.len_bytes = element * (1 + random_below(&t->seed, 1500));
        if (region.offset >= sizeof(t->base) || region.len_bytes > sizeof(t->base) - region.offset)
            break;
        assert_int_equal(weft__merge_add(&t->merge, &region), 0);
        at = region.offset + region.len_bytes + random_below(&t->seed, 3) * 50;
    }
    assert_int_equal(weft__merge_fill(&t->merge, random_below(&t->seed, 2) ? WEFT_MERGE_XOR
                                                                           : WEFT_MERGE_OVERWRITE),
                     0);
}

/* Changes an element the way in which its operation can lead back. */
static void change(struct trial *t, const struct weft_merge_region *region, size_t at)
{
    unsigned char value[8], *now = t->now + at;
    size_t element = weft__merge_element(region->type);
    random_number(t, value, region->type < WEFT_MERGE_INT32 ? WEFT_MERGE_INT32 : region->type);
    if (region->op == WEFT_MERGE_MAX || region->op == WEFT_MERGE_MIN)
        weft__merge_apply(region, now, value, 1);
    else
        memcpy(now, value, element);
}

static void random_changes(struct trial *t)
{
    bool touched[RANDOM_PAGES] = {0};
    memcpy(t->now, t->base, sizeof(t->now));
    for (size_t n = random_below(&t->seed, 300); n; n--) {
        const struct weft_merge_region *region = &t->merge.at[random_below(&t->seed, t->merge.n)];
        size_t element = weft__merge_element(region->type);
        size_t len = region->len_bytes ? region->len_bytes : sizeof(t->base) - region->offset;
        size_t at = region->offset + random_below(&t->seed, len / element) * element;
        size_t run = 1 + random_below(&t->seed, 20);
        for (; run && at + element <= region->offset + len; run--, at += element) {
            change(t, region, at);
            touched[at / PAGE] = true;
        }
    }
    weft__extents_clear(&t->dirty);
    for (size_t page = 0; page < RANDOM_PAGES; page++)
        if (touched[page] || random_below(&t->seed, 3) == 0)
            weft__extents_add(&t->dirty, page * PAGE, PAGE);
}

static double number_at(const unsigned char *at, enum weft_merge_type type)
{
    float f;
    double d;
    if (type == WEFT_MERGE_FLOAT) {
        memcpy(&f, at, sizeof(f));
        return f;
    }
    memcpy(&d, at, sizeof(d));
    return d;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

/* What was merged is what it is now: of floating point, but for rounding; of ignored regions, what
 * it was. */
static void check_region(const struct trial *t, const struct weft_merge_region *region)
{
    size_t len = region->len_bytes ? region->len_bytes : sizeof(t->base) - region->offset;
    size_t element = weft__merge_element(region->type);
    const unsigned char *want =
        (region->op == WEFT_MERGE_IGNORE ? t->base : t->now) + region->offset;
    const unsigned char *got = t->merged + region->offset;
    if (region->type < WEFT_MERGE_FLOAT || region->op < WEFT_MERGE_SUM) {
        assert_memory_equal(got, want, len);
        return;
    }
    const double rounding = region->type == WEFT_MERGE_FLOAT ? 1e-6 : 1e-15;
    for (size_t i = 0; i < len; i += element) {
        double a = number_at(t->base + region->offset + i, region->type);
        double b = number_at(want + i, region->type), c = number_at(got + i, region->type);
        assert_true(fabs(b - c) <= rounding * 4 * larger(fabs(a), fabs(b)));
    }
}

static void differences_lead_from_one_memory_to_the_other(void **state)
{
    struct trial *t = calloc(1, sizeof(*t));
    (void)state;
    t->seed = 20240229;
    for (int round = 0; round < 150; round++) {
        uint8_t *bytes;
        size_t len;
        random_regions(t);
        for (size_t i = 0; i < t->merge.n; i++) {
            const struct weft_merge_region *region = &t->merge.at[i];
            size_t element = weft__merge_element(region->type);
            size_t room = region->len_bytes ? region->len_bytes : sizeof(t->base) - region->offset;
            for (size_t at = 0; at + element <= room; at += element) {
                unsigned char value[8];
                random_number(t, value,
                              region->type < WEFT_MERGE_INT32 ? WEFT_MERGE_INT32 : region->type);
                memcpy(t->base + region->offset + at, value, element);
            }
        }
        random_changes(t);
        const struct weft_diff_desc desc = {.base = t->base,
                                            .base_len = sizeof(t->base),
                                            .now = t->now,
                                            .now_len = sizeof(t->now),
                                            .dirty = round % 3 ? &t->dirty : NULL,
                                            .merge = &t->merge};
        assert_int_equal(weft__diffs_make(&desc, &t->diffs), 0);
        assert_int_equal(weft__diffs_encode(&t->diffs, &bytes, &len), 0);
        weft__diffs_fini(&t->diffs);
        assert_int_equal(weft__diffs_decode(bytes, len, &t->diffs), 0);
        free(bytes);
        memcpy(t->merged, t->base, sizeof(t->merged));
        assert_int_equal(weft__diffs_apply(&t->diffs, t->merged, sizeof(t->merged)), 0);
        for (size_t i = 0; i < t->merge.n; i++)
            check_region(t, &t->merge.at[i]);
    }
    weft__merge_fini(&t->merge);
    weft__extents_fini(&t->dirty);
    weft__diffs_fini(&t->diffs);
    free(t);
}

static void sums_and_maxima_of_many_copies_merge_in_any_order(void **state)
{
    enum { COPIES = 7, NUMBERS = 1000 };
    static int64_t base[2 * NUMBERS], now[2 * NUMBERS], want[2 * NUMBERS], merged[2 * NUMBERS];
    struct weft_diffs diffs[COPIES] = {0};
    struct weft_merge merge = {0};
    uint64_t seed = 99;
    (void)state;
    add(&merge, 0, sizeof(base) / 2, WEFT_MERGE_INT64, WEFT_MERGE_SUM);
    add(&merge, sizeof(base) / 2, 0, WEFT_MERGE_INT64, WEFT_MERGE_MAX);
    for (size_t i = 0; i < 2 * NUMBERS; i++)
        base[i] = want[i] = (int32_t)random_next(&seed);
    for (size_t copy = 0; copy < COPIES; copy++) {
        memcpy(now, base, sizeof(now));
        for (size_t n = 0; n < 300; n++) {
            size_t i = random_below(&seed, NUMBERS);
            int64_t by = (int32_t)random_next(&seed), top = (int32_t)random_next(&seed);
            now[i] += by;
            want[i] += by;
            now[NUMBERS + i] = top > now[NUMBERS + i] ? top : now[NUMBERS + i];
            want[NUMBERS + i] = top > want[NUMBERS + i] ? top : want[NUMBERS + i];
        }
        make((unsigned char *)base, (unsigned char *)now, sizeof(base), &merge, &diffs[copy]);
    }
    for (size_t first = 0; first < COPIES; first++) {
        memcpy(merged, base, sizeof(merged));
        for (size_t i = 0; i < COPIES; i++)
            assert_int_equal(
                weft__diffs_apply(&diffs[(first + 3 * i) % COPIES], merged, sizeof(merged)), 0);
        assert_memory_equal(merged, want, sizeof(want));
    }
    for (size_t copy = 0; copy < COPIES; copy++)
        weft__diffs_fini(&diffs[copy]);
    weft__merge_fini(&merge);
}

static void scanning_finds_what_comparing_byte_by_byte_finds(void **state)
{
    static unsigned char a[3 * PAGE], b[3 * PAGE];
    uint64_t seed = 31337;
    (void)state;
    for (int round = 0; round < 3000; round++) {
        size_t at = random_below(&seed, sizeof(a)), end = at + random_below(&seed, sizeof(a) - at);
        bool equal = random_below(&seed, 2);
        for (size_t i = 0; i < sizeof(a); i++)
            b[i] = (unsigned char)(a[i] ^ !equal);
        for (size_t n = random_below(&seed, 4); n; n--)
            b[random_below(&seed, sizeof(b))] ^= (unsigned char)(1u << random_below(&seed, 8));
        size_t differ = at, same = at;
        while (differ < end && a[differ] == b[differ])
            differ++;
        while (same < end && a[same] != b[same])
            same++;
        assert_int_equal(weft__scan_differ(a, b, at, end), differ);
        assert_int_equal(weft__scan_equal(a, b, at, end), same);
    }
}

/* ---- bad lists ---- */

static void a_list_of_which_one_cannot_be_applied_changes_nothing(void **state)
{
    static const struct weft_diff bad[] = {
        {.offset = PAGE - 4, .len_bytes = 8, .type = WEFT_MERGE_RAW, .op = WEFT_MERGE_OVERWRITE},
        {.offset = UINT64_MAX - 3, .len_bytes = 8, .op = WEFT_MERGE_OVERWRITE},
        {.offset = 2, .len_bytes = 4, .type = WEFT_MERGE_INT32, .op = WEFT_MERGE_SUM},
        {.offset = 4, .len_bytes = 6, .type = WEFT_MERGE_INT32, .op = WEFT_MERGE_SUM},
        {.offset = 4, .len_bytes = 8, .type = WEFT_MERGE_BOOL, .op = WEFT_MERGE_SUM},
        {.offset = 4, .len_bytes = 8, .type = WEFT_MERGE_INT32, .op = WEFT_MERGE_IGNORE},
        {.offset = 4, .len_bytes = 8, .type = 200, .op = WEFT_MERGE_XOR}};
    static const int errors[] = {WEFT_ERANGE, WEFT_ERANGE, WEFT_EINVAL, WEFT_EINVAL,
                                 WEFT_EINVAL, WEFT_EINVAL, WEFT_EINVAL};
    static unsigned char memory[PAGE];
    const struct weft_diff good = {.offset = 8, .len_bytes = 3, .op = WEFT_MERGE_OVERWRITE};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct weft_diffs diffs = {0};
        assert_int_equal(weft__diffs_add(&diffs, &good, "abcdefgh"), 0);
        assert_int_equal(weft__diffs_add(&diffs, &bad[i], "abcdefgh"), 0);
        assert_int_equal(weft__diffs_apply(&diffs, memory, sizeof(memory)), errors[i]);
        assert_int_equal(memory[8], 0);
        weft__diffs_fini(&diffs);
    }
}

/* Decodes a copy whose last eight bytes are made to fit; a list that comes out can be applied and
 * is encoded to the same bytes. */
static int decode_sealed(uint8_t *bytes, size_t len)
{
    struct weft_diffs diffs = {0};
    if (len >= 8) {
        uint64_t sum = XXH3_64bits(bytes, len - 8);
        memcpy(bytes + len - 8, &sum, 8);
    }
    int err = weft__diffs_decode(bytes, len, &diffs);
    if (err) {
        assert_null(diffs.at);
        return err;
    }
    uint8_t *again;
    size_t again_len, room = weft__diffs_end(&diffs);
    assert_int_equal(weft__diffs_encode(&diffs, &again, &again_len), 0);
    assert_int_equal(again_len, len);
    assert_memory_equal(again, bytes, len);
    free(again);
    if (room < 1u << 20) {
        unsigned char *memory = calloc(1, room + 1);
        assert_int_equal(weft__diffs_apply(&diffs, memory, room), 0);
        free(memory);
    }
    weft__diffs_fini(&diffs);
    return 0;
}

static uint8_t *encoded_make(size_t *len_out)
{
    static const struct weft_diff some[] = {
        {.offset = 5 * PAGE, .len_bytes = 200, .op = WEFT_MERGE_OVERWRITE},
        {.offset = 3, .len_bytes = 1, .op = WEFT_MERGE_XOR},
        {.offset = 400, .len_bytes = 16, .type = WEFT_MERGE_DOUBLE, .op = WEFT_MERGE_MIN},
        {.offset = UINT64_C(77) << 32,
         .len_bytes = 4,
         .type = WEFT_MERGE_INT32,
         .op = WEFT_MERGE_SUM}};
    unsigned char data[200];
    struct weft_diffs diffs = {0};
    uint8_t *bytes;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (unsigned char)i;
    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++)
        assert_int_equal(weft__diffs_add(&diffs, &some[i], data), 0);
    assert_int_equal(weft__diffs_encode(&diffs, &bytes, len_out), 0);
    weft__diffs_fini(&diffs);
    return bytes;
}

static void an_encoded_list_that_is_cut_or_damaged_is_refused(void **state)
{
    struct weft_diffs diffs = {0};
    size_t len;
    uint8_t *bytes = encoded_make(&len);
    (void)state;
    assert_int_equal(decode_sealed(bytes, len), 0);
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *part = malloc(cut + 1);
        memcpy(part, bytes, cut);
        assert_int_not_equal(decode_sealed(part, cut), 0);
        free(part);
    }
    for (size_t bit = 0; bit < 8 * len; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int err = weft__diffs_decode(bytes, len, &diffs);
        assert_true(err == WEFT_ECHECKSUM || (bit < 32 && err == WEFT_EPROTO) ||
                    (bit < 64 && err == WEFT_EVERSION));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(bytes);
}

static void garbage_with_a_good_sum_is_refused_or_a_whole_list(void **state)
{
    size_t len;
    uint64_t seed = 271828;
    uint8_t *bytes = encoded_make(&len), *trial = malloc(len);
    unsigned taken = 0;
    (void)state;
    for (int round = 0; round < 50000; round++) {
        memcpy(trial, bytes, len);
        for (size_t n = 1 + random_below(&seed, 4); n; n--) {
            size_t at = 8 + random_below(&seed, random_below(&seed, 2) ? 32 : len - 16);
            trial[at] =
                random_below(&seed, 2) ? (uint8_t)random_next(&seed) : (uint8_t)(trial[at] + 1);
        }
        taken += decode_sealed(trial, len) == 0;
    }
    assert_true(taken > 0); /* operands may be anything */
    free(trial);
    free(bytes);
}

static void an_empty_list_travels(void **state)
{
    struct weft_diffs none = {0}, back = {0};
    uint8_t *bytes;
    size_t len;
    (void)state;
    assert_int_equal(weft__diffs_encode(&none, &bytes, &len), 0);
    assert_int_equal(weft__diffs_decode(bytes, len, &back), 0);
    assert_int_equal(back.n, 0);
    assert_int_equal(weft__diffs_apply(&back, NULL, 0), 0);
    weft__diffs_fini(&back);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_that_changed_is_one_operand),
        cmocka_unit_test(numbers_at_the_edges_come_in_order),
        cmocka_unit_test(what_is_outside_of_the_regions_is_left_out),
        cmocka_unit_test(a_product_that_no_factor_gives_is_overwritten),
        cmocka_unit_test(a_bool_and_raw_bytes_are_overwritten),
        cmocka_unit_test(runs_of_differing_bytes_are_exact),
        cmocka_unit_test(runs_go_on_across_pages_but_not_across_regions),
        cmocka_unit_test(xored_runs_span_a_few_equal_bytes_and_no_more),
        cmocka_unit_test(what_lies_behind_the_end_comes_first),
        cmocka_unit_test(differences_lead_from_one_memory_to_the_other),
        cmocka_unit_test(sums_and_maxima_of_many_copies_merge_in_any_order),
        cmocka_unit_test(scanning_finds_what_comparing_byte_by_byte_finds),
        cmocka_unit_test(a_list_of_which_one_cannot_be_applied_changes_nothing),
        cmocka_unit_test(an_encoded_list_that_is_cut_or_damaged_is_refused),
        cmocka_unit_test(garbage_with_a_good_sum_is_refused_or_a_whole_list),
        cmocka_unit_test(an_empty_list_travels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
