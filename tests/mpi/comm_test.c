/* Communicators: who is in them, what belongs to which, and how long they live. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "weft/memory.h"

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

/* Left behind at the end: receives that nobody waits for keep communicators that are freed. */
static int left_main(void *argument)
{
    int *values = weft_alloc(8 * sizeof(*values));
    (void)argument;
    cases_init(NULL, NULL);
    for (int i = 0; i < 8; i++) {
        MPI_Comm dup;
        MPI_Request request;
        check(MPI_Comm_dup(MPI_COMM_WORLD, &dup) == MPI_SUCCESS);
        check(MPI_Irecv(&values[i], 1, MPI_INT, MPI_ANY_SOURCE, 0, dup, &request) == MPI_SUCCESS);
        check(MPI_Request_free(&request) == MPI_SUCCESS);
        if (i % 4)
            check(MPI_Comm_free(&dup) == MPI_SUCCESS);
    }
    MPI_Finalize();
    weft_free(values);
    return 0;
}

static void what_is_left_behind_ends_with_the_program(void **state)
{
    (void)state;
    cases_run_all(3, left_main, NULL);
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

struct members {
    int n, ranks[RANKS_MAX]; /* of the world */
};

/* Those with color, sorted by key and by their order so far. */
static struct members oracle(uint32_t seed, uint32_t node, int color, const struct members *old)
{
    struct members out = {0, {0}};
    for (int key = -3; key <= 3; key++)
        for (int i = 0; i < old->n; i++)
            if (choice_color(seed, node, old->ranks[i]) == color &&
                choice_key(seed, node, old->ranks[i]) == key)
                out.ranks[out.n++] = old->ranks[i];
    return out;
}

static void check_members(MPI_Comm comm, const struct members *members, int me)
{
    int rank, size, sum = 0, want = 0, left, n = members->n;
    check(MPI_Comm_size(comm, &size) == MPI_SUCCESS && size == n);
    check(MPI_Comm_rank(comm, &rank) == MPI_SUCCESS && members->ranks[rank] == me);
    for (int i = 0; i < n; i++)
        want += members->ranks[i] + 1;
    int mine = me + 1;
    check(MPI_Allreduce(&mine, &sum, 1, MPI_INT, MPI_SUM, comm) == MPI_SUCCESS && sum == want);
    check(MPI_Sendrecv(&me, 1, MPI_INT, (rank + 1) % n, 5, &left, 1, MPI_INT, MPI_ANY_SOURCE, 5,
                       comm, MPI_STATUS_IGNORE) == MPI_SUCCESS);
    check(left == members->ranks[(rank + n - 1) % n]);
}

static int tree_main(void *argument)
{
    int me;
    uint32_t seed = *(const uint32_t *)argument, node = 1;
    struct members members;
    MPI_Comm path[TREE_DEPTH], comm = MPI_COMM_WORLD;
    cases_init(&me, &members.n);
    for (int i = 0; i < members.n; i++)
        members.ranks[i] = i;
    int depth = 0;
    while (depth < TREE_DEPTH) {
        int color = choice_color(seed, node, me);
        check(MPI_Comm_split(comm, color, choice_key(seed, node, me), &path[depth]) == MPI_SUCCESS);
        check((path[depth] == MPI_COMM_NULL) == (color == MPI_UNDEFINED));
        if (color == MPI_UNDEFINED)
            break;
        members = oracle(seed, node, color, &members);
        check_members(path[depth], &members, me);
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

/* ---- of groups ---- */

/* The members of the n-th of several groups that overlap, in an order of their own. */
static struct members overlapping(int n, int size)
{
    struct members out = {0, {0}};
    for (int i = size - 1; i >= 0; i--)
        if ((i + n) % 3 != 0)
            out.ranks[out.n++] = i;
    return out;
}

static bool is_member(const struct members *members, int rank)
{
    for (int i = 0; i < members->n; i++)
        if (members->ranks[i] == rank)
            return true;
    return false;
}

static int group_main(void *argument)
{
    int me, size;
    MPI_Group world, group;
    MPI_Comm comms[6];
    (void)argument;
    cases_init(&me, &size);
    check(MPI_Comm_group(MPI_COMM_WORLD, &world) == MPI_SUCCESS);
    for (int i = 0; i < 6; i++) {
        struct members members = overlapping(i, size);
        comms[i] = MPI_COMM_NULL;
        check(MPI_Group_incl(world, members.n, members.ranks, &group) == MPI_SUCCESS);
        /* Only the members call the one, all call the other. */
        if (i % 2 == 1)
            check(MPI_Comm_create(MPI_COMM_WORLD, group, &comms[i]) == MPI_SUCCESS);
        else if (is_member(&members, me))
            check(MPI_Comm_create_group(MPI_COMM_WORLD, group, i / 4, &comms[i]) == MPI_SUCCESS);
        check((comms[i] != MPI_COMM_NULL) == is_member(&members, me));
        if (comms[i] != MPI_COMM_NULL)
            check_members(comms[i], &members, me);
        check(MPI_Group_free(&group) == MPI_SUCCESS);
    }
    for (int i = 0; i < 6; i++)
        check(comms[i] == MPI_COMM_NULL || MPI_Comm_free(&comms[i]) == MPI_SUCCESS);
    check(MPI_Group_free(&world) == MPI_SUCCESS);
    MPI_Finalize();
    return 0;
}

static void groups_become_communicators(void **state)
{
    (void)state;
    for (int n = 1; n <= 7; n += 2)
        cases_run_all(n, group_main, NULL);
}

/* Disjoint ones at once: each rank gives its own group. */
static int disjoint_main(void *argument)
{
    int me, size, n;
    MPI_Group world, mine;
    MPI_Comm comm;
    (void)argument;
    cases_init(&me, &size);
    int range[1][3] = {{me % 2, size - 1, 2}};
    check(MPI_Comm_group(MPI_COMM_WORLD, &world) == MPI_SUCCESS);
    check(MPI_Group_range_incl(world, 1, range, &mine) == MPI_SUCCESS);
    for (int i = 0; i < 20; i++) {
        check(MPI_Comm_create(MPI_COMM_WORLD, mine, &comm) == MPI_SUCCESS);
        check(MPI_Comm_rank(comm, &n) == MPI_SUCCESS && n == me / 2);
        check(MPI_Allreduce(&(int){1}, &n, 1, MPI_INT, MPI_SUM, comm) == MPI_SUCCESS);
        check(n == (size + 1 - me % 2) / 2);
        check(MPI_Comm_free(&comm) == MPI_SUCCESS);
    }
    check(MPI_Group_free(&mine) == MPI_SUCCESS && MPI_Group_free(&world) == MPI_SUCCESS);
    MPI_Finalize();
    return 0;
}

static void disjoint_groups_are_made_at_once(void **state)
{
    (void)state;
    for (int n = 1; n <= 6; n++)
        cases_run_all(n, disjoint_main, NULL);
}

/* Duplicates of several communicators under way together, started in another order on each rank,
 * with blocking creations in between. */
static int concurrent_main(void *argument)
{
    enum { N = 5 };
    int me, size, sum;
    MPI_Comm parents[N], made[N], between;
    MPI_Request requests[N];
    (void)argument;
    cases_init(&me, &size);
    for (int i = 0; i < N; i++)
        check(MPI_Comm_split(MPI_COMM_WORLD, i == 0 ? 0 : me % i, 0, &parents[i]) == MPI_SUCCESS);
    for (int i = 0; i < N; i++) {
        int which = (i + me) % N;
        check(MPI_Comm_idup(parents[which], &made[which], &requests[which]) == MPI_SUCCESS);
        check(made[which] != MPI_COMM_NULL);
    }
    check(MPI_Comm_split(MPI_COMM_WORLD, 0, -me, &between) == MPI_SUCCESS);
    check(MPI_Waitall(N, requests, MPI_STATUSES_IGNORE) == MPI_SUCCESS);
    for (int i = N - 1; i >= 0; i--) {
        check(MPI_Comm_compare(parents[i], made[i], &sum) == MPI_SUCCESS && sum == MPI_CONGRUENT);
        check(MPI_Allreduce(&(int){1}, &sum, 1, MPI_INT, MPI_SUM, made[i]) == MPI_SUCCESS);
        check(MPI_Comm_free(&made[i]) == MPI_SUCCESS && MPI_Comm_free(&parents[i]) == MPI_SUCCESS);
    }
    check(MPI_Comm_rank(between, &sum) == MPI_SUCCESS && sum == size - 1 - me);
    check(MPI_Comm_free(&between) == MPI_SUCCESS);
    MPI_Finalize();
    return 0;
}

static void creations_under_way_together_do_not_mix(void **state)
{
    (void)state;
    for (int n = 1; n <= 6; n++)
        cases_run_all(n, concurrent_main, NULL);
}

/* ---- by what is shared ---- */

static void check_type_split(int type, const char *resource, int want_size)
{
    int size;
    MPI_Info info;
    MPI_Comm comm;
    check(MPI_Info_create(&info) == MPI_SUCCESS);
    check(!resource || MPI_Info_set(info, "mpi_hw_resource_type", resource) == MPI_SUCCESS);
    check(MPI_Comm_split_type(MPI_COMM_WORLD, type, 0, info, &comm) == MPI_SUCCESS);
    check((comm == MPI_COMM_NULL) == (want_size == 0));
    if (comm != MPI_COMM_NULL) {
        check(MPI_Comm_size(comm, &size) == MPI_SUCCESS && size == want_size);
        check(MPI_Comm_free(&comm) == MPI_SUCCESS);
    }
    check(MPI_Info_free(&info) == MPI_SUCCESS);
}

static int type_main(void *argument)
{
    int me, size, key = 0, flag, len = 64, parity;
    char value[64];
    MPI_Comm comm;
    MPI_Info info;
    (void)argument;
    cases_init(&me, &size);
    check_type_split(MPI_COMM_TYPE_SHARED, NULL, size);
    check_type_split(MPI_COMM_TYPE_HW_GUIDED, "mpi_shared_memory", size);
    check_type_split(MPI_COMM_TYPE_HW_GUIDED, "no such thing", 0);
    check_type_split(MPI_COMM_TYPE_HW_GUIDED, NULL, 0);
    check_type_split(MPI_COMM_TYPE_HW_UNGUIDED, NULL, 0);
    check_type_split(MPI_COMM_TYPE_RESOURCE_GUIDED, "mpi_shared_memory", size);
    check_type_split(MPI_UNDEFINED, NULL, 0);
    check(MPI_Comm_split_type(MPI_COMM_WORLD, 99, 0, MPI_INFO_NULL, &comm) == MPI_ERR_ARG);
    check(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, -me, MPI_INFO_NULL, &comm) ==
          MPI_SUCCESS);
    check(MPI_Comm_rank(comm, &key) == MPI_SUCCESS && key == size - 1 - me);
    check(MPI_Comm_free(&comm) == MPI_SUCCESS);
    /* A host's name is the one at this moment: odd ranks have moved to another host. */
    parity = me % 2;
    if (parity)
        native_move_region();
    check_type_split(MPI_COMM_TYPE_SHARED, NULL, (size + 1 - parity) / 2);
    check(MPI_Info_create(&info) == MPI_SUCCESS);
    check(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_HW_UNGUIDED, 0, info, &comm) ==
          MPI_SUCCESS);
    check(MPI_Comm_size(comm, &key) == MPI_SUCCESS && key == (size + 1 - parity) / 2);
    check(MPI_Info_get_string(info, "mpi_hw_resource_type", &len, value, &flag) == MPI_SUCCESS);
    check(flag && strcmp(value, "mpi_shared_memory") == 0);
    check(MPI_Info_free(&info) == MPI_SUCCESS && MPI_Comm_free(&comm) == MPI_SUCCESS);
    MPI_Finalize();
    return 0;
}

static void ranks_are_split_by_the_host_they_are_on(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 5}, type_main, NULL);
}

/* ---- questions ---- */

static int queries_main(void *argument)
{
    int me, size, result, len;
    char name[MPI_MAX_OBJECT_NAME], longest[2 * MPI_MAX_OBJECT_NAME];
    MPI_Comm dup, reversed;
    MPI_Group group;
    (void)argument;
    cases_init(&me, &size);
    check(MPI_Comm_get_name(MPI_COMM_WORLD, name, &len) == MPI_SUCCESS);
    check(strcmp(name, "MPI_COMM_WORLD") == 0 && len == 14);
    check(MPI_Comm_get_name(MPI_COMM_NULL, name, &len) == MPI_SUCCESS &&
          strcmp(name, "MPI_COMM_NULL") == 0);
    check(MPI_Comm_set_name(MPI_COMM_SELF, "me") == MPI_SUCCESS);
    check(MPI_Comm_get_name(MPI_COMM_SELF, name, &len) == MPI_SUCCESS && strcmp(name, "me") == 0);
    check(MPI_Comm_dup(MPI_COMM_SELF, &dup) == MPI_SUCCESS);
    check(MPI_Comm_get_name(dup, name, &len) == MPI_SUCCESS && len == 0 && name[0] == 0);
    memset(longest, 'n', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    check(MPI_Comm_set_name(dup, longest) == MPI_SUCCESS);
    check(MPI_Comm_get_name(dup, name, &len) == MPI_SUCCESS && len == MPI_MAX_OBJECT_NAME - 1);
    check(MPI_Comm_compare(dup, MPI_COMM_WORLD, &result) == MPI_SUCCESS);
    check(result == (size == 1 ? MPI_CONGRUENT : MPI_UNEQUAL));
    check(MPI_Comm_free(&dup) == MPI_SUCCESS);
    check(MPI_Comm_split(MPI_COMM_WORLD, 0, -me, &reversed) == MPI_SUCCESS);
    check(MPI_Comm_compare(reversed, MPI_COMM_WORLD, &result) == MPI_SUCCESS);
    check(result == (size == 1 ? MPI_CONGRUENT : MPI_SIMILAR));
    check(MPI_Comm_compare(reversed, reversed, &result) == MPI_SUCCESS && result == MPI_IDENT);
    check(MPI_Comm_test_inter(reversed, &result) == MPI_SUCCESS && !result);
    check(MPI_Comm_remote_size(reversed, &result) == MPI_ERR_COMM);
    check(MPI_Comm_remote_group(reversed, &group) == MPI_ERR_COMM);
    check(MPI_Comm_disconnect(&reversed) == MPI_SUCCESS && reversed == MPI_COMM_NULL);
    check(MPI_Comm_get_parent(&dup) == MPI_SUCCESS && dup == MPI_COMM_NULL);
    MPI_Finalize();
    return 0;
}

static void a_communicator_tells_what_it_is(void **state)
{
    (void)state;
    for (int n = 1; n <= 4; n++)
        cases_run_all(n, queries_main, NULL);
}

static void check_hint(MPI_Comm comm, const char *key, const char *want)
{
    MPI_Info info;
    char value[16];
    int flag, len = sizeof(value);
    check(MPI_Comm_get_info(comm, &info) == MPI_SUCCESS);
    check(MPI_Info_get_string(info, key, &len, value, &flag) == MPI_SUCCESS);
    check(flag == (want != NULL) && (!want || strcmp(value, want) == 0));
    check(MPI_Info_free(&info) == MPI_SUCCESS);
}

static int hints_main(void *argument)
{
    MPI_Info info;
    MPI_Comm dup, again;
    MPI_Request request;
    (void)argument;
    cases_init(NULL, NULL);
    check(MPI_Info_create(&info) == MPI_SUCCESS && MPI_Info_set(info, "a", "1") == MPI_SUCCESS);
    check_hint(MPI_COMM_WORLD, "a", NULL);
    check(MPI_Comm_set_info(MPI_COMM_WORLD, info) == MPI_SUCCESS);
    check_hint(MPI_COMM_WORLD, "a", "1");
    check(MPI_Comm_dup(MPI_COMM_WORLD, &dup) == MPI_SUCCESS);
    check_hint(dup, "a", NULL);
    check(MPI_Info_set(info, "a", "2") == MPI_SUCCESS);
    check(MPI_Comm_dup_with_info(dup, info, &again) == MPI_SUCCESS);
    check_hint(again, "a", "2");
    check(MPI_Comm_free(&again) == MPI_SUCCESS);
    check(MPI_Comm_idup_with_info(dup, info, &again, &request) == MPI_SUCCESS);
    check(MPI_Wait(&request, MPI_STATUS_IGNORE) == MPI_SUCCESS);
    check_hint(again, "a", "2");
    check(MPI_Comm_set_info(again, (MPI_Info)0x5130) == MPI_ERR_INFO);
    check(MPI_Info_free(&info) == MPI_SUCCESS);
    check(MPI_Comm_free(&again) == MPI_SUCCESS && MPI_Comm_free(&dup) == MPI_SUCCESS);
    MPI_Finalize();
    return 0;
}

static void hints_are_kept_and_told(void **state)
{
    (void)state;
    cases_run_all(3, hints_main, NULL);
}

static int errors_main(void *argument)
{
    MPI_Comm dup, old, out = MPI_COMM_NULL, world = MPI_COMM_WORLD;
    MPI_Group group, half;
    int me, x = 0;
    (void)argument;
    cases_init(&me, NULL);
    check(MPI_Comm_free(&world) == MPI_ERR_COMM && world == MPI_COMM_WORLD);
    check(MPI_Comm_free(&out) == MPI_ERR_COMM);
    check(MPI_Comm_dup(MPI_COMM_NULL, &out) == MPI_ERR_COMM);
    check(MPI_Comm_split(MPI_COMM_WORLD, -1, 0, &out) == MPI_ERR_ARG);
    check(MPI_Comm_split((MPI_Comm)0x100100, 0, 0, &out) == MPI_ERR_COMM);
    check(MPI_Comm_create(MPI_COMM_WORLD, MPI_GROUP_NULL, &out) == MPI_ERR_GROUP);
    check(MPI_Comm_group(MPI_COMM_WORLD, &group) == MPI_SUCCESS);
    check(MPI_Comm_create_group(MPI_COMM_WORLD, group, -1, &out) == MPI_ERR_TAG);
    check(MPI_Comm_create(MPI_COMM_SELF, group, &out) == MPI_ERR_GROUP);
    check(MPI_Group_incl(group, 1, &(int){0}, &half) == MPI_SUCCESS);
    if (me == 1)
        check(MPI_Comm_create_group(MPI_COMM_WORLD, half, 0, &out) == MPI_SUCCESS &&
              out == MPI_COMM_NULL);
    check(MPI_Group_free(&half) == MPI_SUCCESS && MPI_Group_free(&group) == MPI_SUCCESS);
    check(MPI_Comm_dup(MPI_COMM_WORLD, &dup) == MPI_SUCCESS);
    old = dup;
    check(MPI_Comm_free(&dup) == MPI_SUCCESS);
    check(MPI_Comm_free(&old) == MPI_ERR_COMM);
    check(MPI_Send(&x, 1, MPI_INT, 0, 0, old) == MPI_ERR_COMM);
    check(MPI_Comm_rank(old, &x) == MPI_ERR_COMM && MPI_Comm_compare(old, world, &x) != 0);
    MPI_Finalize();
    return 0;
}

static void wrong_communicators_give_their_class(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 2}, errors_main, NULL);
}

/* ---- moves ---- */

static void move_and_look(void)
{
    native_move_region();
    check(native_foreign_pointer() == NULL);
}

/* Moves between all steps, with a duplicate, a message that is early and a creation under way. */
static int move_main(void *argument)
{
    int me, size;
    (void)argument;
    cases_init(&me, &size);
    MPI_Comm *comms = weft_alloc(3 * sizeof(*comms));
    MPI_Request *requests = weft_alloc(2 * sizeof(*requests));
    int *values = weft_alloc(2 * sizeof(*values));
    check(MPI_Comm_split(MPI_COMM_WORLD, me % 2, -me, &comms[0]) == MPI_SUCCESS);
    move_and_look();
    check(MPI_Comm_idup(comms[0], &comms[1], &requests[0]) == MPI_SUCCESS);
    move_and_look();
    check(MPI_Wait(&requests[0], MPI_STATUS_IGNORE) == MPI_SUCCESS);
    check(MPI_Comm_dup(comms[1], &comms[2]) == MPI_SUCCESS);
    int left, n;
    check(MPI_Comm_rank(comms[2], &me) == MPI_SUCCESS && MPI_Comm_size(comms[2], &n) == 0);
    left = (me + n - 1) % n;
    values[0] = me;
    check(MPI_Isend(&values[0], 1, MPI_INT, (me + 1) % n, 1, comms[2], &requests[0]) == 0);
    check(MPI_Irecv(&values[1], 1, MPI_INT, left, 1, comms[2], &requests[1]) == MPI_SUCCESS);
    move_and_look();
    check(MPI_Comm_free(&comms[2]) == MPI_SUCCESS && MPI_Comm_free(&comms[0]) == MPI_SUCCESS);
    move_and_look();
    check(MPI_Waitall(2, requests, MPI_STATUSES_IGNORE) == MPI_SUCCESS && values[1] == left);
    check(MPI_Barrier(comms[1]) == MPI_SUCCESS);
    move_and_look();
    check(MPI_Comm_free(&comms[1]) == MPI_SUCCESS);
    weft_free(values);
    weft_free(requests);
    weft_free(comms);
    MPI_Finalize();
    return 0;
}

static void communicators_move_with_their_rank(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 3; seed++)
        cases_run(&(struct native_options){.ranks = 5, .seed = seed, .region_bytes = 2 << 20},
                  move_main, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(duplicates_keep_their_messages_apart),
        cmocka_unit_test(messages_may_come_before_their_communicator),
        cmocka_unit_test(what_is_in_flight_outlives_the_handle),
        cmocka_unit_test(what_is_left_behind_ends_with_the_program),
        cmocka_unit_test(ten_thousand_duplicates_leave_nothing_behind),
        cmocka_unit_test(split_trees_agree_with_an_oracle),
        cmocka_unit_test(groups_become_communicators),
        cmocka_unit_test(disjoint_groups_are_made_at_once),
        cmocka_unit_test(creations_under_way_together_do_not_mix),
        cmocka_unit_test(ranks_are_split_by_the_host_they_are_on),
        cmocka_unit_test(a_communicator_tells_what_it_is),
        cmocka_unit_test(hints_are_kept_and_told),
        cmocka_unit_test(wrong_communicators_give_their_class),
        cmocka_unit_test(communicators_move_with_their_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
