/* Comparing memory in steps of many sizes gives what comparing byte by byte gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "snapshot/scan.h"

enum { LEN = 70000, TURNS = 4000, PAGE = 4096 };

static uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static size_t naive(const unsigned char *a, const unsigned char *b, size_t at, size_t end,
                    int equal)
{
    while (at < end && (a[at] == b[at]) != equal)
        at++;
    return at;
}

struct pair {
    unsigned char *a, *b; /* LEN bytes each, in memory of exactly that length */
};

static int pair_open(void **state)
{
    struct pair *pair = malloc(sizeof(*pair));
    uint64_t seed = 7;
    pair->a = malloc(LEN);
    pair->b = malloc(LEN);
    for (size_t i = 0; i < LEN; i++)
        pair->a[i] = (unsigned char)random_next(&seed);
    memcpy(pair->b, pair->a, LEN);
    *state = pair;
    return 0;
}

static int pair_close(void **state)
{
    struct pair *pair = *state;
    free(pair->a);
    free(pair->b);
    free(pair);
    return 0;
}

static void check(const struct pair *pair, size_t at, size_t end)
{
    assert_int_equal(weft__scan_differ(pair->a, pair->b, at, end),
                     naive(pair->a, pair->b, at, end, 0));
    assert_int_equal(weft__scan_equal(pair->a, pair->b, at, end),
                     naive(pair->a, pair->b, at, end, 1));
}

static void one_different_byte_is_found_wherever_it_is(void **state)
{
    const struct pair *pair = *state;
    uint64_t seed = 11;
    for (int turn = 0; turn < TURNS; turn++) {
        size_t where = (size_t)(random_next(&seed) % LEN);
        size_t at = (size_t)(random_next(&seed) % (LEN + 1));
        size_t end = at + (size_t)(random_next(&seed) % (LEN + 1 - at));
        pair->b[where] ^= 4;
        check(pair, at, end);
        check(pair, 0, LEN);
        check(pair, where, LEN);
        check(pair, where + 1, LEN);
        pair->b[where] ^= 4;
    }
}

static void runs_of_differences_end_where_bytes_are_equal_again(void **state)
{
    const struct pair *pair = *state;
    uint64_t seed = 13;
    for (int turn = 0; turn < TURNS; turn++) {
        size_t at = (size_t)(random_next(&seed) % (LEN - 300));
        size_t len = 1 + (size_t)(random_next(&seed) % 300);
        for (size_t i = 0; i < len; i++)
            pair->b[at + i] ^= (unsigned char)(1 + random_next(&seed) % 255);
        check(pair, at - (at > 50 ? 50 : at), LEN);
        check(pair, at, LEN);
        check(pair, at, at + len);
        check(pair, at + len / 2, at + len);
        memcpy(pair->b + at, pair->a + at, len);
    }
}

static void the_edges_of_steps_are_not_passed_over(void **state)
{
    const struct pair *pair = *state;
    const size_t aligned = (PAGE - (uintptr_t)pair->a % PAGE) % PAGE;
    static const size_t edges[] = {0, 8, 64, 512, 4096, 4608, 16384, 20480, 32768, 49152};
    for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++)
        for (size_t where = aligned + edges[i] - (edges[i] > 0); where <= aligned + edges[i];
             where++) {
            pair->b[where] ^= 1;
            for (size_t at = 0; at <= where; at += at < 200 ? 1 : 997)
                check(pair, at, LEN);
            pair->b[where] ^= 1;
        }
}

static void nothing_is_read_where_there_is_nothing(void **state)
{
    const struct pair *pair = *state;
    check(pair, 0, 0);
    check(pair, LEN, LEN);
    check(pair, 5, 5);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, pair_open, pair_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(one_different_byte_is_found_wherever_it_is),
        CASE(runs_of_differences_end_where_bytes_are_equal_again),
        CASE(the_edges_of_steps_are_not_passed_over),
        CASE(nothing_is_read_where_there_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
