/* Communicators: who is in them, what belongs to which, and how long they live. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"

enum { MANY = 10000, TREE_DEPTH = 12, RANKS_MAX = 16 };

static int dup_main(void *argument)
{
    int rank, size, x, got;
    MPI_Comm dup, twice;
    MPI_Status s;
    (void)argument;
    cases_init(&rank, &size);
    check(MPI_Comm_dup(MPI_COMM_WORLD, &dup) == MPI_SUCCESS && dup != MPI_COMM_WORLD);
    check(MPI_Comm_dup(dup, &twice) == MPI_SUCCESS && twice != dup);
    check(MPI_Comm_rank(twice, &x) == MPI_SUCCESS && x == rank);
    check(MPI_Comm_size(twice, &x) == MPI_SUCCESS && x == size);
    /* The same tag to the same rank on three communicators, received in the other order. */
    MPI_Comm comms[3] = {MPI_COMM_WORLD, dup, twice};
    MPI_Request requests[3];
    for (int i = 0; i < 3; i++) {
        x = 100 * rank + i;
        check(MPI_Send(&x, 1, MPI_INT, (rank + 1) % size, 7, comms[i]) == MPI_SUCCESS);
    }
    for (int i = 2; i >= 0; i--) {
        check(MPI_Recv(&got, 1, MPI_INT, MPI_ANY_SOURCE, 7, comms[i], &s) == MPI_SUCCESS);
        check(got == 100 * ((rank + size - 1) % size) + i);
        check(MPI_Ibarrier(comms[i], &requests[i]) == MPI_SUCCESS);
    }
    check(MPI_Waitall(3, requests, MPI_STATUSES_IGNORE) == MPI_SUCCESS);
    check(MPI_Comm_free(&dup) == MPI_SUCCESS && dup == MPI_COMM_NULL);
    check(MPI_Comm_free(&twice) == MPI_SUCCESS);
    check(MPI_Barrier(comms[1]) == MPI_ERR_COMM);
    MPI_Finalize();
    return 0;
}

static void duplicates_keep_their_messages_apart(void **state)
{
    (void)state;
    for (int n = 1; n <= 4; n++)
        cases_run_all(n, dup_main, NULL);
}

/* Rank 0 is ahead by a communicator and 20 messages of the next one before the others look. */
static int early_main(void *argument)
{
    int rank, size, x;
    MPI_Comm dup, half;
    MPI_Request r;
    (void)argument;
    cases_init(&rank, &size);
    check(MPI_Comm_dup(MPI_COMM_WORLD, &dup) == MPI_SUCCESS);
    check(MPI_Comm_split(dup, rank % 2, 0, &half) == MPI_SUCCESS);
    if (rank == 0) {
        check(MPI_Ibarrier(half, &r) == MPI_SUCCESS);
        for (int i = 0; i < 20; i++)
            for (int to = 1; to < size; to++)
                check(MPI_Send(&i, 1, MPI_INT, to, 3, dup) == MPI_SUCCESS);
    } else {
        if (rank % 2 == 0)
            check(MPI_Ibarrier(half, &r) == MPI_SUCCESS);
        for (int i = 0; i < 20; i++)
            check(MPI_Recv(&x, 1, MPI_INT, 0, 3, dup, MPI_STATUS_IGNORE) == MPI_SUCCESS && x == i);
    }
    if (rank % 2 == 0)
        check(MPI_Wait(&r, MPI_STATUS_IGNORE) == MPI_SUCCESS);
    check(MPI_Comm_free(&half) == MPI_SUCCESS && MPI_Comm_free(&dup) == MPI_SUCCESS);
    MPI_Finalize();
    return 0;
}

static void messages_may_come_before_their_communicator(void **state)
{
    (void)state;
    for (int n = 2; n <= 5; n++)
        cases_run_all(n, early_main, NULL);
}

/* Freed while a send and a receive of it are pending: they complete. */
static int freed_main(void *argument)
{
    int rank, size, x = 0;
    static _Thread_local int y;
    MPI_Comm dup;
    MPI_Request r[2];
    (void)argument;
    cases_init(&rank, &size);
    check(MPI_Comm_dup(MPI_COMM_WORLD, &dup) == MPI_SUCCESS);
    int left = (rank + size - 1) % size;
    check(MPI_Irecv(&x, 1, MPI_INT, left, 0, dup, &r[0]) == MPI_SUCCESS);
    y = rank;
    check(MPI_Issend(&y, 1, MPI_INT, (rank + 1) % size, 0, dup, &r[1]) == MPI_SUCCESS);
    check(MPI_Comm_free(&dup) == MPI_SUCCESS);
    check(MPI_Waitall(2, r, MPI_STATUSES_IGNORE) == MPI_SUCCESS);
    check(x == left);
    MPI_Finalize();
    return 0;
}

static void what_is_in_flight_outlives_the_handle(void **state)
{
    (void)state;
    for (int n = 1; n <= 4; n++)
        cases_run_all(n, freed_main, NULL);
}

static int many_main(void *argument)
{
    int rank, x;
    (void)argument;
    cases_init(&rank, NULL);
    size_t used = 0;
    for (int i = 0; i < MANY; i++) {
        MPI_Comm dup;
        check(MPI_Comm_dup(MPI_COMM_WORLD, &dup) == MPI_SUCCESS);
        if (i % 1000 == 0) {
            x = i;
            check(MPI_Bcast(&x, 1, MPI_INT, 0, dup) == MPI_SUCCESS && x == i);
            check(MPI_Barrier(dup) == MPI_SUCCESS);
        }
        check(MPI_Comm_free(&dup) == MPI_SUCCESS);
        if (i == 0 || i == MANY - 1) {
            check(MPI_Barrier(MPI_COMM_WORLD) == MPI_SUCCESS);
            check(i == 0 || native_heap_used() <= used + 4096);
            used = native_heap_used();
        }
    }
    MPI_Finalize();
    return 0;
}

static void ten_thousand_duplicates_leave_nothing_behind(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 2}, many_main, NULL);
}

/* ---- splits against an oracle ---- */

/* The same on every rank: what rank r chooses at a node of the tree. */
static uint32_t mix(uint32_t seed, uint32_t node, uint32_t r)
{
    uint32_t z = seed * 0x9e3779b9u + node * 0x85ebca6bu + r * 0xc2b2ae35u;
    z ^= z >> 16;
    z *= 0x7feb352du;
    z ^= z >> 15;
    z *= 0x846ca68bu;
    return z ^ z >> 16;
}

static int choice_color(uint32_t seed, uint32_t node, int r)
{
    uint32_t z = mix(seed, node, (uint32_t)r);
    return z % 11 == 0 ? MPI_UNDEFINED : (int)(z / 11 % 3);
}

static int choice_key(uint32_t seed, uint32_t node, int r)
{
    return (int)(mix(seed, node + 1000, (uint32_t)r) % 7) - 3;
}

/* World ranks of those with color, sorted by key and by their order so far. */
static int oracle(uint32_t seed, uint32_t node, int color, const int *old, int n, int *out)
{
    int m = 0;
    for (int key = -3; key <= 3; key++)
        for (int i = 0; i < n; i++)
            if (choice_color(seed, node, old[i]) == color && choice_key(seed, node, old[i]) == key)
                out[m++] = old[i];
    return m;
}

static void check_members(MPI_Comm comm, const int *members, int n, int me)
{
    int rank, size, sum = 0, want = 0, left;
    check(MPI_Comm_size(comm, &size) == MPI_SUCCESS && size == n);
    check(MPI_Comm_rank(comm, &rank) == MPI_SUCCESS && members[rank] == me);
    for (int i = 0; i < n; i++)
        want += members[i] + 1;
    int mine = me + 1;
    check(MPI_Allreduce(&mine, &sum, 1, MPI_INT, MPI_SUM, comm) == MPI_SUCCESS && sum == want);
    check(MPI_Sendrecv(&me, 1, MPI_INT, (rank + 1) % n, 5, &left, 1, MPI_INT, MPI_ANY_SOURCE, 5,
                       comm, MPI_STATUS_IGNORE) == MPI_SUCCESS);
    check(left == members[(rank + n - 1) % n]);
}

static int tree_main(void *argument)
{
    int me, n;
    uint32_t seed = *(const uint32_t *)argument;
    int members[RANKS_MAX], next[RANKS_MAX];
    MPI_Comm path[TREE_DEPTH];
    cases_init(&me, &n);
    for (int i = 0; i < n; i++)
        members[i] = i;
    MPI_Comm comm = MPI_COMM_WORLD;
    uint32_t node = 1;
    int depth = 0;
    while (depth < TREE_DEPTH) {
        int color = choice_color(seed, node, me);
        check(MPI_Comm_split(comm, color, choice_key(seed, node, me), &path[depth]) == MPI_SUCCESS);
        if (color == MPI_UNDEFINED) {
            check(path[depth] == MPI_COMM_NULL);
            break;
        }
        int m = oracle(seed, node, color, members, n, next);
        check_members(path[depth], next, m, me);
        memcpy(members, next, sizeof(next));
        n = m;
        comm = path[depth++];
        node = node * 3 + (uint32_t)color + 1;
    }
    while (depth > 0)
        check(MPI_Comm_free(&path[--depth]) == MPI_SUCCESS);
    check(MPI_Barrier(MPI_COMM_WORLD) == MPI_SUCCESS);
    MPI_Finalize();
    return 0;
}

static void split_trees_agree_with_an_oracle(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 12; seed++)
        cases_run(
            &(struct native_options){.ranks = 1 + (int)(seed * 5 % RANKS_MAX), .seed = seed % 3},
            tree_main, &seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(duplicates_keep_their_messages_apart),
        cmocka_unit_test(messages_may_come_before_their_communicator),
        cmocka_unit_test(what_is_in_flight_outlives_the_handle),
        cmocka_unit_test(ten_thousand_duplicates_leave_nothing_behind),
        cmocka_unit_test(split_trees_agree_with_an_oracle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
