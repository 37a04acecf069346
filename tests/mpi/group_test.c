/* Groups against an oracle of arrays, and what is wrong with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "weft/memory.h"

enum { RANKS = 7, ROUNDS = 300 };

struct set {
    int n, ranks[RANKS];
};

static uint32_t state = 1; /* the test has one rank that computes */

static unsigned random_below(unsigned n)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % n;
}

/* Some world ranks in some order. */
static struct set random_set(void)
{
    struct set set = {0, {0}};
    bool used[RANKS] = {false};
    int n = (int)random_below(RANKS + 1);
    while (set.n < n) {
        int rank = (int)random_below(RANKS);
        if (!used[rank])
            set.ranks[set.n++] = rank;
        used[rank] = true;
    }
    return set;
}

static int place(const struct set *set, int rank)
{
    for (int i = 0; i < set->n; i++)
        if (set->ranks[i] == rank)
            return i;
    return MPI_UNDEFINED;
}

static MPI_Group make(MPI_Group world, const struct set *set)
{
    MPI_Group group;
    check(MPI_Group_incl(world, set->n, set->ranks, &group) == MPI_SUCCESS);
    check((group == MPI_GROUP_EMPTY) == (set->n == 0));
    return group;
}

static void check_group(MPI_Group world, MPI_Group group, const struct set *want)
{
    int n, rank, me, all[RANKS], got[RANKS];
    check(MPI_Group_size(group, &n) == MPI_SUCCESS && n == want->n);
    check(MPI_Comm_rank(MPI_COMM_WORLD, &me) == MPI_SUCCESS);
    check(MPI_Group_rank(group, &rank) == MPI_SUCCESS && rank == place(want, me));
    for (int i = 0; i < RANKS; i++)
        all[i] = i;
    check(MPI_Group_translate_ranks(group, n, all, world, got) == MPI_SUCCESS);
    check(n == 0 || memcmp(got, want->ranks, (size_t)n * sizeof(got[0])) == 0);
    check(MPI_Group_translate_ranks(world, RANKS, all, group, got) == MPI_SUCCESS);
    for (int i = 0; i < RANKS; i++)
        check(got[i] == place(want, i));
}

static void check_and_free(MPI_Group world, MPI_Group group, const struct set *want)
{
    check_group(world, group, want);
    check(MPI_Group_free(&group) == MPI_SUCCESS && group == MPI_GROUP_NULL);
}

/* which: in the first, in both, not in the second. */
static struct set choose(const struct set *a, const struct set *b, int which)
{
    struct set out = {0, {0}};
    for (int i = 0; i < a->n; i++)
        if (which == 0 || (place(b, a->ranks[i]) != MPI_UNDEFINED) == (which == 1))
            out.ranks[out.n++] = a->ranks[i];
    for (int i = 0; which == 0 && i < b->n; i++)
        if (place(a, b->ranks[i]) == MPI_UNDEFINED)
            out.ranks[out.n++] = b->ranks[i];
    return out;
}

static int compare(const struct set *a, const struct set *b)
{
    if (a->n != b->n)
        return MPI_UNEQUAL;
    if (memcmp(a->ranks, b->ranks, (size_t)a->n * sizeof(a->ranks[0])) == 0)
        return MPI_IDENT;
    for (int i = 0; i < a->n; i++)
        if (place(b, a->ranks[i]) == MPI_UNDEFINED)
            return MPI_UNEQUAL;
    return MPI_SIMILAR;
}

static void check_pair(MPI_Group world, const struct set *a, const struct set *b)
{
    MPI_Group x = make(world, a), y = make(world, b), z;
    int result;
    struct set want = choose(a, b, 0);
    check(MPI_Group_union(x, y, &z) == MPI_SUCCESS);
    check_and_free(world, z, &want);
    want = choose(a, b, 1);
    check(MPI_Group_intersection(x, y, &z) == MPI_SUCCESS);
    check_and_free(world, z, &want);
    want = choose(a, b, 2);
    check(MPI_Group_difference(x, y, &z) == MPI_SUCCESS);
    check_and_free(world, z, &want);
    check(MPI_Group_compare(x, y, &result) == MPI_SUCCESS && result == compare(a, b));
    check_and_free(world, x, a);
    check_and_free(world, y, b);
}

/* Some of a group by position: listed, and all others. */
static void check_picks(MPI_Group world, const struct set *a)
{
    MPI_Group x = make(world, a), y;
    struct set picks = random_set(), some = {0, {0}}, others = {0, {0}};
    int n = 0;
    for (int i = 0; i < picks.n; i++)
        if (picks.ranks[i] < a->n)
            picks.ranks[n++] = picks.ranks[i];
    picks.n = n;
    for (int i = 0; i < n; i++)
        some.ranks[some.n++] = a->ranks[picks.ranks[i]];
    for (int i = 0; i < a->n; i++)
        if (place(&picks, i) == MPI_UNDEFINED)
            others.ranks[others.n++] = a->ranks[i];
    check(MPI_Group_incl(x, n, picks.ranks, &y) == MPI_SUCCESS);
    check_and_free(world, y, &some);
    check(MPI_Group_excl(x, n, picks.ranks, &y) == MPI_SUCCESS);
    check_and_free(world, y, &others);
    check_and_free(world, x, a);
}

static int sets_main(void *argument)
{
    int rank;
    MPI_Group world;
    (void)argument;
    cases_init(&rank, NULL);
    check(MPI_Comm_group(MPI_COMM_WORLD, &world) == MPI_SUCCESS);
    if (rank == 3) {
        size_t used = native_heap_used();
        for (int i = 0; i < ROUNDS; i++) {
            struct set a = random_set(), b = i % 4 ? random_set() : a;
            check_pair(world, &a, &b);
            check_picks(world, &a);
        }
        check(native_heap_used() <= used + 4096);
    }
    check(MPI_Group_free(&world) == MPI_SUCCESS);
    MPI_Finalize();
    return 0;
}

static void sets_agree_with_an_oracle(void **test_state)
{
    (void)test_state;
    cases_run(&(struct native_options){.ranks = RANKS}, sets_main, NULL);
}

static int ranges_main(void *argument)
{
    MPI_Group world, x;
    int both[2][3] = {{6, 2, -2}, {1, 1, 5}}, odd[1][3] = {{1, 6, 2}}, none[1][3] = {{3, 2, 1}};
    (void)argument;
    cases_init(NULL, NULL);
    check(MPI_Comm_group(MPI_COMM_WORLD, &world) == MPI_SUCCESS);
    check(MPI_Group_range_incl(world, 2, both, &x) == MPI_SUCCESS);
    check_and_free(world, x, &(struct set){4, {6, 4, 2, 1}});
    check(MPI_Group_range_excl(world, 1, odd, &x) == MPI_SUCCESS);
    check_and_free(world, x, &(struct set){4, {0, 2, 4, 6}});
    check(MPI_Group_range_incl(world, 1, none, &x) == MPI_SUCCESS && x == MPI_GROUP_EMPTY);
    check(MPI_Group_range_excl(world, 0, NULL, &x) == MPI_SUCCESS);
    check_and_free(world, x, &(struct set){7, {0, 1, 2, 3, 4, 5, 6}});
    check(MPI_Group_free(&world) == MPI_SUCCESS);
    MPI_Finalize();
    return 0;
}

static void ranges_are_what_they_say(void **test_state)
{
    (void)test_state;
    cases_run(&(struct native_options){.ranks = RANKS}, ranges_main, NULL);
}

static int errors_main(void *argument)
{
    MPI_Group world, x = MPI_GROUP_NULL, old;
    int n, twice[2] = {1, 1}, high[1] = {2}, proc_null[1] = {MPI_PROC_NULL}, got[1] = {0};
    int still[1][3] = {{0, 1, 0}}, beyond[1][3] = {{0, 2, 1}}, again[2][3] = {{0, 1, 1}, {1, 1, 1}};
    (void)argument;
    cases_init(NULL, NULL);
    check(MPI_Comm_group(MPI_COMM_WORLD, &world) == MPI_SUCCESS);
    check(MPI_Group_size(MPI_GROUP_NULL, &n) == MPI_ERR_GROUP);
    check(MPI_Group_incl(world, 2, twice, &x) == MPI_ERR_RANK);
    check(MPI_Group_incl(world, 1, high, &x) == MPI_ERR_RANK);
    check(MPI_Group_excl(world, 1, high, &x) == MPI_ERR_RANK);
    check(MPI_Group_incl(world, -1, high, &x) == MPI_ERR_ARG);
    check(MPI_Group_range_incl(world, 1, still, &x) == MPI_ERR_ARG);
    check(MPI_Group_range_incl(world, 1, beyond, &x) == MPI_ERR_RANK);
    check(MPI_Group_range_excl(world, 2, again, &x) == MPI_ERR_RANK && x == MPI_GROUP_NULL);
    check(MPI_Group_translate_ranks(world, 1, high, world, got) == MPI_ERR_RANK);
    check(MPI_Group_translate_ranks(world, 1, proc_null, world, got) == MPI_SUCCESS &&
          got[0] == MPI_PROC_NULL);
    check(MPI_Group_size(MPI_GROUP_EMPTY, &n) == MPI_SUCCESS && n == 0);
    check(MPI_Group_rank(MPI_GROUP_EMPTY, &n) == MPI_SUCCESS && n == MPI_UNDEFINED);
    check(MPI_Group_compare(MPI_GROUP_EMPTY, MPI_GROUP_EMPTY, &n) == MPI_SUCCESS && n == MPI_IDENT);
    old = world;
    check(MPI_Group_free(&world) == MPI_SUCCESS);
    check(MPI_Group_size(old, &n) == MPI_ERR_GROUP && MPI_Group_free(&old) == MPI_ERR_GROUP);
    check(MPI_Group_free(&world) == MPI_ERR_GROUP);
    MPI_Finalize();
    return 0;
}

static void wrong_groups_and_ranks_give_their_class(void **test_state)
{
    (void)test_state;
    cases_run(&(struct native_options){.ranks = 2}, errors_main, NULL);
}

/* A group outlives its communicator and a move. */
static int move_main(void *argument)
{
    int rank, size, n;
    MPI_Comm dup;
    (void)argument;
    cases_init(&rank, &size);
    MPI_Group *groups = weft_alloc(2 * sizeof(*groups));
    check(MPI_Comm_dup(MPI_COMM_WORLD, &dup) == MPI_SUCCESS);
    check(MPI_Comm_group(dup, &groups[0]) == MPI_SUCCESS);
    check(MPI_Comm_free(&dup) == MPI_SUCCESS);
    check(MPI_Group_excl(groups[0], 1, &(int){0}, &groups[1]) == MPI_SUCCESS);
    native_move_region();
    check(native_foreign_pointer() == NULL);
    check(MPI_Group_size(groups[0], &n) == MPI_SUCCESS && n == size);
    check(MPI_Group_size(groups[1], &n) == MPI_SUCCESS && n == size - 1);
    check(MPI_Comm_create(MPI_COMM_WORLD, groups[1], &dup) == MPI_SUCCESS);
    check((dup == MPI_COMM_NULL) == (rank == 0));
    native_move_region();
    if (rank > 0) {
        check(MPI_Comm_rank(dup, &n) == MPI_SUCCESS && n == rank - 1);
        check(MPI_Barrier(dup) == MPI_SUCCESS);
        check(MPI_Comm_free(&dup) == MPI_SUCCESS);
    }
    check(MPI_Group_free(&groups[0]) == MPI_SUCCESS && MPI_Group_free(&groups[1]) == MPI_SUCCESS);
    weft_free(groups);
    MPI_Finalize();
    return 0;
}

static void groups_move_with_their_rank(void **test_state)
{
    (void)test_state;
    cases_run(&(struct native_options){.ranks = 3, .region_bytes = 2 << 20}, move_main, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_agree_with_an_oracle),
        cmocka_unit_test(ranges_are_what_they_say),
        cmocka_unit_test(wrong_groups_and_ranks_give_their_class),
        cmocka_unit_test(groups_move_with_their_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
