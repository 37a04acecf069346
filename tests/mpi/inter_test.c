/* Intercommunicators: two sides that talk to each other, and become one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "weft/memory.h"

enum { ROUNDS = 300 };

/* Which ranks are on the low side: every third, the first half, all but the last, from a mask. */
static bool is_low(int way, int rank, int size)
{
    switch (way) {
    case 0:
        return rank % 3 == 0;
    case 1:
        return rank < (size + 1) / 2;
    default:
        return rank != 0;
    }
}

struct sides {
    MPI_Comm world, mine, inter;
    bool low;
    int way, rank, n, other_n;
    int others[16]; /* world ranks */
};

/* The leaders are the last rank of the low side and the first of the other. */
static void open_sides(struct sides *s, int way)
{
    int me, size, other = 0, low_n = 0, last_low = 0, first_high = 0;
    memset(s, 0, sizeof(*s));
    check(MPI_Comm_rank(MPI_COMM_WORLD, &me) == MPI_SUCCESS);
    check(MPI_Comm_size(MPI_COMM_WORLD, &size) == MPI_SUCCESS);
    s->way = way;
    s->low = is_low(way, me, size);
    for (int i = size - 1; i >= 0; i--)
        if (!is_low(way, i, size))
            first_high = i;
    for (int i = 0; i < size; i++) {
        if (is_low(way, i, size)) {
            last_low = i;
            low_n++;
        }
        if (is_low(way, i, size) != s->low)
            s->others[s->other_n++] = i;
    }
    other = s->low ? first_high : last_low;
    check(MPI_Comm_dup(MPI_COMM_WORLD, &s->world) == MPI_SUCCESS);
    check(MPI_Comm_split(s->world, s->low, 0, &s->mine) == MPI_SUCCESS);
    check(MPI_Intercomm_create(s->mine, s->low ? low_n - 1 : 0, s->world, other, 5, &s->inter) ==
          MPI_SUCCESS);
    check(MPI_Comm_rank(s->mine, &s->rank) == MPI_SUCCESS);
    check(MPI_Comm_size(s->mine, &s->n) == MPI_SUCCESS);
}

static void close_sides(struct sides *s)
{
    check(MPI_Comm_free(&s->inter) == MPI_SUCCESS && MPI_Comm_free(&s->mine) == MPI_SUCCESS);
    check(MPI_Comm_free(&s->world) == MPI_SUCCESS);
}

/* A message from each rank to each of the other side, and its status: the last one's first, the
 * others as they come. */
static void check_talk(const struct sides *s, MPI_Comm inter)
{
    int me, got, n, seen = 0;
    MPI_Status status;
    MPI_Request requests[16];
    check(MPI_Comm_rank(MPI_COMM_WORLD, &me) == MPI_SUCCESS);
    for (int i = 0; i < s->other_n; i++)
        check(MPI_Isend(&me, 1, MPI_INT, i, 3, inter, &requests[i]) == MPI_SUCCESS);
    for (int i = 0; i < s->other_n; i++) {
        int source = i == 0 ? s->other_n - 1 : MPI_ANY_SOURCE;
        check(MPI_Probe(source, 3, inter, &status) == MPI_SUCCESS);
        source = status.MPI_SOURCE;
        check(MPI_Recv(&got, 1, MPI_INT, source, 3, inter, &status) == MPI_SUCCESS);
        check(MPI_Get_count(&status, MPI_INT, &n) == MPI_SUCCESS && n == 1);
        check(status.MPI_SOURCE == source && got == s->others[source]);
        check((seen & 1 << source) == 0);
        seen |= 1 << source;
    }
    check(MPI_Waitall(s->other_n, requests, MPI_STATUSES_IGNORE) == MPI_SUCCESS);
    check(MPI_Barrier(s->world) == MPI_SUCCESS); /* the next round's messages are not these */
}

static void check_inter(const struct sides *s, MPI_Comm inter)
{
    int flag, n, result, numbers[16], world_ranks[16];
    MPI_Group world, remote, local, mine;
    check(MPI_Comm_test_inter(inter, &flag) == MPI_SUCCESS && flag);
    check(MPI_Comm_rank(inter, &n) == MPI_SUCCESS && n == s->rank);
    check(MPI_Comm_size(inter, &n) == MPI_SUCCESS && n == s->n);
    check(MPI_Comm_remote_size(inter, &n) == MPI_SUCCESS && n == s->other_n);
    check(MPI_Comm_group(MPI_COMM_WORLD, &world) == MPI_SUCCESS);
    check(MPI_Comm_remote_group(inter, &remote) == MPI_SUCCESS);
    check(MPI_Comm_group(inter, &local) == MPI_SUCCESS);
    check(MPI_Comm_group(s->mine, &mine) == MPI_SUCCESS);
    check(MPI_Group_compare(local, mine, &result) == MPI_SUCCESS && result == MPI_IDENT);
    for (int i = 0; i < n; i++)
        numbers[i] = i;
    check(MPI_Group_translate_ranks(remote, n, numbers, world, world_ranks) == MPI_SUCCESS);
    check(memcmp(world_ranks, s->others, (size_t)n * sizeof(world_ranks[0])) == 0);
    check(MPI_Group_free(&world) == MPI_SUCCESS && MPI_Group_free(&remote) == MPI_SUCCESS);
    check(MPI_Group_free(&local) == MPI_SUCCESS && MPI_Group_free(&mine) == MPI_SUCCESS);
    check(MPI_Comm_compare(inter, s->mine, &result) == MPI_SUCCESS && result == MPI_UNEQUAL);
    check_talk(s, inter);
}

static int talk_main(void *argument)
{
    int result;
    struct sides s;
    MPI_Comm dup;
    MPI_Request request;
    cases_init(NULL, NULL);
    open_sides(&s, *(const int *)argument);
    check_inter(&s, s.inter);
    check(MPI_Comm_idup(s.inter, &dup, &request) == MPI_SUCCESS);
    check_talk(&s, s.inter);
    check(MPI_Wait(&request, MPI_STATUS_IGNORE) == MPI_SUCCESS);
    check(MPI_Comm_compare(s.inter, dup, &result) == MPI_SUCCESS && result == MPI_CONGRUENT);
    check_inter(&s, dup);
    check_talk(&s, s.inter);
    check(MPI_Comm_free(&dup) == MPI_SUCCESS);
    close_sides(&s);
    MPI_Finalize();
    return 0;
}

static void sides_talk_to_each_other(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++)
        for (int n = 2; n <= 7; n += 1 + way % 2)
            cases_run_all(n, talk_main, &way);
}

/* Which side comes first, and who is where. */
static void check_merge(const struct sides *s, bool low_is_high, bool high_is_high)
{
    int me, size, rank, n, rank_of_0, want_first;
    MPI_Comm all;
    check(MPI_Comm_rank(MPI_COMM_WORLD, &me) == MPI_SUCCESS);
    check(MPI_Comm_size(MPI_COMM_WORLD, &size) == MPI_SUCCESS);
    check(MPI_Intercomm_merge(s->inter, s->low ? low_is_high : high_is_high, &all) == MPI_SUCCESS);
    check(MPI_Comm_size(all, &n) == MPI_SUCCESS && n == size);
    check(MPI_Comm_rank(all, &rank) == MPI_SUCCESS);
    check(MPI_Comm_test_inter(all, &n) == MPI_SUCCESS && !n);
    want_first = low_is_high == high_is_high ? -1 : s->low != low_is_high;
    check(want_first < 0 || rank == (want_first ? s->rank : s->other_n + s->rank));
    rank_of_0 = me;
    check(MPI_Bcast(&rank_of_0, 1, MPI_INT, 0, all) == MPI_SUCCESS);
    check(MPI_Allreduce(&rank, &n, 1, MPI_INT, MPI_SUM, all) == MPI_SUCCESS);
    check(n == size * (size - 1) / 2);
    check(MPI_Comm_free(&all) == MPI_SUCCESS);
}

static int merge_main(void *argument)
{
    struct sides s;
    cases_init(NULL, NULL);
    open_sides(&s, *(const int *)argument);
    check_merge(&s, false, true);
    check_merge(&s, true, false);
    check_merge(&s, true, true);
    check_merge(&s, false, false);
    close_sides(&s);
    MPI_Finalize();
    return 0;
}

static void sides_become_one(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++)
        for (int n = 2; n <= 6; n++)
            cases_run_all(n, merge_main, &way);
}

/* The first rank of each side, and a part where one side is empty. */
static int part_main(void *argument)
{
    int n, rank;
    struct sides s;
    MPI_Group mine, first;
    MPI_Comm part;
    (void)argument;
    cases_init(NULL, NULL);
    open_sides(&s, 1);
    check(MPI_Comm_group(s.inter, &mine) == MPI_SUCCESS);
    check(MPI_Group_incl(mine, 1, &(int){0}, &first) == MPI_SUCCESS);
    check(MPI_Comm_create(s.inter, first, &part) == MPI_SUCCESS);
    check((part == MPI_COMM_NULL) == (s.rank > 0));
    if (part != MPI_COMM_NULL) {
        check(MPI_Comm_remote_size(part, &n) == MPI_SUCCESS && n == 1);
        check(MPI_Sendrecv(&s.others[0], 1, MPI_INT, 0, 0, &rank, 1, MPI_INT, 0, 0, part,
                           MPI_STATUS_IGNORE) == MPI_SUCCESS);
        check(MPI_Comm_rank(MPI_COMM_WORLD, &n) == MPI_SUCCESS && n == rank);
        check(MPI_Comm_free(&part) == MPI_SUCCESS);
    }
    check(MPI_Comm_create(s.inter, s.low ? MPI_GROUP_EMPTY : mine, &part) == MPI_SUCCESS);
    check(part == MPI_COMM_NULL);
    check(MPI_Group_free(&first) == MPI_SUCCESS && MPI_Group_free(&mine) == MPI_SUCCESS);
    close_sides(&s);
    MPI_Finalize();
    return 0;
}

static void parts_of_both_sides_are_made(void **state)
{
    (void)state;
    for (int n = 2; n <= 6; n++)
        cases_run_all(n, part_main, NULL);
}

/* Ranks of the other side that choose as this one does, in falling order. */
static int split_main(void *argument)
{
    int n, me, want[16], want_n = 0, got, size;
    struct sides s;
    MPI_Comm part;
    MPI_Status status;
    cases_init(&me, &size);
    open_sides(&s, *(const int *)argument);
    for (int i = size - 1; i >= 0; i--)
        for (int k = 0; k < s.other_n; k++)
            if (s.others[k] == i && i % 4 < 3 && i % 4 / 2 == me % 4 / 2)
                want[want_n++] = i;
    check(MPI_Comm_split(s.inter, me % 4 == 3 ? MPI_UNDEFINED : me % 4 / 2, -me, &part) == 0);
    check((part == MPI_COMM_NULL) == (me % 4 == 3 || want_n == 0));
    if (part != MPI_COMM_NULL) {
        check(MPI_Comm_remote_size(part, &n) == MPI_SUCCESS && n == want_n);
        check(MPI_Comm_test_inter(part, &got) == MPI_SUCCESS && got);
        for (int i = 0; i < n; i++)
            check(MPI_Send(&me, 1, MPI_INT, i, 1, part) == MPI_SUCCESS);
        for (int i = 0; i < n; i++) {
            check(MPI_Recv(&got, 1, MPI_INT, MPI_ANY_SOURCE, 1, part, &status) == MPI_SUCCESS);
            check(got == want[status.MPI_SOURCE]);
        }
        MPI_Comm all;
        check(MPI_Intercomm_merge(part, s.low, &all) == MPI_SUCCESS);
        check(MPI_Comm_free(&part) == MPI_SUCCESS && MPI_Barrier(all) == MPI_SUCCESS);
        check(MPI_Comm_free(&all) == MPI_SUCCESS);
    }
    close_sides(&s);
    MPI_Finalize();
    return 0;
}

static void sides_are_split_together(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++)
        for (int n = 2; n <= 9; n++)
            cases_run(&(struct native_options){.ranks = n, .seed = (uint64_t)n % 3}, split_main,
                      &way);
}

static int many_main(void *argument)
{
    struct sides s;
    MPI_Comm dup, all;
    size_t used = 0;
    (void)argument;
    cases_init(NULL, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        open_sides(&s, i % 3);
        check(MPI_Comm_dup(s.inter, &dup) == MPI_SUCCESS);
        check(MPI_Intercomm_merge(dup, s.low, &all) == MPI_SUCCESS);
        check(MPI_Barrier(all) == MPI_SUCCESS);
        check(MPI_Comm_free(&dup) == MPI_SUCCESS && MPI_Comm_free(&all) == MPI_SUCCESS);
        close_sides(&s);
        check(i < 10 || native_heap_used() <= used + 4096);
        used = i == 9 ? native_heap_used() : used;
    }
    MPI_Finalize();
    return 0;
}

static void sides_that_are_freed_leave_nothing_behind(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 3}, many_main, NULL);
}

static int errors_main(void *argument)
{
    int me, x;
    struct sides s;
    MPI_Comm out;
    (void)argument;
    cases_init(&me, NULL);
    check(MPI_Intercomm_create(MPI_COMM_NULL, 0, MPI_COMM_WORLD, 0, 0, &out) == MPI_ERR_COMM);
    check(MPI_Intercomm_create(MPI_COMM_SELF, 1, MPI_COMM_WORLD, 0, 0, &out) == MPI_ERR_RANK);
    check(MPI_Intercomm_create(MPI_COMM_SELF, 0, MPI_COMM_WORLD, 9, 0, &out) == MPI_ERR_RANK);
    check(MPI_Intercomm_create(MPI_COMM_SELF, 0, MPI_COMM_WORLD, me, 0, &out) == MPI_ERR_RANK);
    check(MPI_Intercomm_create(MPI_COMM_SELF, 0, MPI_COMM_NULL, 0, 0, &out) == MPI_ERR_COMM);
    check(MPI_Intercomm_create(MPI_COMM_SELF, 0, MPI_COMM_WORLD, 0, -1, &out) == MPI_ERR_TAG);
    check(MPI_Intercomm_merge(MPI_COMM_WORLD, 0, &out) == MPI_ERR_COMM);
    open_sides(&s, 1);
    check(MPI_Comm_set_errhandler(s.inter, MPI_ERRORS_RETURN) == MPI_SUCCESS);
    check(MPI_Send(&x, 1, MPI_INT, s.other_n, 0, s.inter) == MPI_ERR_RANK);
    check(MPI_Intercomm_create(s.inter, 0, MPI_COMM_WORLD, 0, 0, &out) == MPI_ERR_COMM);
    check(MPI_Comm_create_group(s.inter, MPI_GROUP_EMPTY, 0, &out) == MPI_ERR_COMM);
    close_sides(&s);
    MPI_Finalize();
    return 0;
}

static void wrong_sides_give_their_class(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 3}, errors_main, NULL);
}

static int move_main(void *argument)
{
    struct sides s;
    MPI_Comm all;
    (void)argument;
    cases_init(NULL, NULL);
    open_sides(&s, 1);
    native_move_region();
    check_inter(&s, s.inter);
    native_move_region();
    check_merge(&s, false, true);
    check(MPI_Intercomm_merge(s.inter, 0, &all) == MPI_SUCCESS);
    native_move_region();
    check(MPI_Barrier(all) == MPI_SUCCESS && MPI_Comm_free(&all) == MPI_SUCCESS);
    close_sides(&s);
    MPI_Finalize();
    return 0;
}

static void intercommunicators_move_with_their_rank(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 3; seed++)
        cases_run(&(struct native_options){.ranks = 5, .seed = seed, .region_bytes = 2 << 20},
                  move_main, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sides_talk_to_each_other),
        cmocka_unit_test(sides_become_one),
        cmocka_unit_test(parts_of_both_sides_are_made),
        cmocka_unit_test(sides_are_split_together),
        cmocka_unit_test(sides_that_are_freed_leave_nothing_behind),
        cmocka_unit_test(wrong_sides_give_their_class),
        cmocka_unit_test(intercommunicators_move_with_their_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
