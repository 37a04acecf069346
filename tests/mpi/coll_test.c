/* Collectives against a serial reference that follows the documented combine tree, so results are
 * compared bit by bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "weft/memory.h"

struct type {
    MPI_Datatype handle;
    int size, extent; /* of one value */
    enum { INTEGER, FLOATING, COMPLEX, LOGICAL, BITS, MULTI, PAIR } group;
    enum { INT, FLT, DBL, LDBL } parts; /* what floating values are made of */
};

static const struct type types[] = {
    {MPI_SHORT, 2, 2, INTEGER, INT},
    {MPI_INT, 4, 4, INTEGER, INT},
    {MPI_LONG, 8, 8, INTEGER, INT},
    {MPI_LONG_LONG_INT, 8, 8, INTEGER, INT},
    {MPI_UNSIGNED_SHORT, 2, 2, INTEGER, INT},
    {MPI_UNSIGNED, 4, 4, INTEGER, INT},
    {MPI_UNSIGNED_LONG, 8, 8, INTEGER, INT},
    {MPI_UNSIGNED_LONG_LONG, 8, 8, INTEGER, INT},
    {MPI_SIGNED_CHAR, 1, 1, INTEGER, INT},
    {MPI_UNSIGNED_CHAR, 1, 1, INTEGER, INT},
    {MPI_INT8_T, 1, 1, INTEGER, INT},
    {MPI_INT16_T, 2, 2, INTEGER, INT},
    {MPI_INT32_T, 4, 4, INTEGER, INT},
    {MPI_INT64_T, 8, 8, INTEGER, INT},
    {MPI_UINT8_T, 1, 1, INTEGER, INT},
    {MPI_UINT16_T, 2, 2, INTEGER, INT},
    {MPI_UINT32_T, 4, 4, INTEGER, INT},
    {MPI_UINT64_T, 8, 8, INTEGER, INT},
    {MPI_FLOAT, 4, 4, FLOATING, FLT},
    {MPI_DOUBLE, 8, 8, FLOATING, DBL},
    {MPI_LONG_DOUBLE, 16, 16, FLOATING, LDBL},
    {MPI_C_FLOAT_COMPLEX, 8, 8, COMPLEX, FLT},
    {MPI_C_COMPLEX, 8, 8, COMPLEX, FLT},
    {MPI_C_DOUBLE_COMPLEX, 16, 16, COMPLEX, DBL},
    {MPI_C_LONG_DOUBLE_COMPLEX, 32, 32, COMPLEX, LDBL},
    {MPI_C_BOOL, 1, 1, LOGICAL, INT},
    {MPI_BYTE, 1, 1, BITS, INT},
    {MPI_AINT, 8, 8, MULTI, INT},
    {MPI_OFFSET, 8, 8, MULTI, INT},
    {MPI_COUNT, 8, 8, MULTI, INT},
    {MPI_FLOAT_INT, 8, 8, PAIR, FLT},
    {MPI_DOUBLE_INT, 12, 16, PAIR, DBL},
    {MPI_LONG_INT, 12, 16, PAIR, INT},
    {MPI_2INT, 8, 8, PAIR, INT},
    {MPI_SHORT_INT, 6, 8, PAIR, INT},
    {MPI_LONG_DOUBLE_INT, 20, 32, PAIR, LDBL},
    {MPI_INTEGER, 4, 4, INTEGER, INT},
    {MPI_REAL, 4, 4, FLOATING, FLT},
    {MPI_DOUBLE_PRECISION, 8, 8, FLOATING, DBL},
    {MPI_INTEGER16, 16, 16, INTEGER, INT},
    {MPI_CHAR, 1, 1, INTEGER, INT}, /* as MPICH and Open MPI do */
};
enum { TYPES = sizeof(types) / sizeof(types[0]) };

static const MPI_Op ops[] = {MPI_SUM,  MPI_PROD, MPI_MIN, MPI_MAX,  MPI_LAND,   MPI_LOR,
                             MPI_LXOR, MPI_BAND, MPI_BOR, MPI_BXOR, MPI_MINLOC, MPI_MAXLOC};
enum { OPS = sizeof(ops) / sizeof(ops[0]) };

static bool is_fortran_integer(const struct type *type)
{
    return type->handle == MPI_INTEGER || type->handle == MPI_INTEGER16;
}

/* The table of the standard, written again. */
static bool allowed(MPI_Op op, const struct type *type)
{
    int group = type->group;
    if (op == MPI_SUM || op == MPI_PROD)
        return group == INTEGER || group == FLOATING || group == COMPLEX || group == MULTI;
    if (op == MPI_MIN || op == MPI_MAX)
        return group == INTEGER || group == FLOATING || group == MULTI;
    if (op == MPI_LAND || op == MPI_LOR || op == MPI_LXOR)
        return (group == INTEGER && !is_fortran_integer(type)) || group == LOGICAL;
    if (op == MPI_MINLOC || op == MPI_MAXLOC)
        return group == PAIR;
    return group == INTEGER || group == BITS || group == MULTI;
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9ull;
    return x ^ (x >> 32);
}

static void put_floating(const struct type *type, unsigned char *at, double value)
{
    float f = (float)value;
    long double l = (long double)value / 3;
    if (type->parts == FLT)
        memcpy(at, &f, sizeof(f));
    else if (type->parts == DBL)
        memcpy(at, &value, sizeof(value));
    else
        memcpy(at, &l, sizeof(l));
}

/* Values of rank's contribution that make the order of floating additions show. */
static void make_values(const struct type *type, unsigned char *buffer, int count, int rank,
                        int salt)
{
    static const int part[] = {0, 4, 8, 16};
    memset(buffer, 0, (size_t)count * (size_t)type->extent);
    for (int i = 0; i < count; i++) {
        unsigned char *at = buffer + (size_t)i * (size_t)type->extent;
        uint64_t r = mix((uint64_t)i * 1000 + (uint64_t)rank * 7919 + (uint64_t)salt * 104729);
        double value = ((double)(r >> 20) - 8e12) * (r % 3 == 0   ? 1e-13
                                                     : r % 3 == 1 ? 1e-9
                                                                  : 1e-17);
        int index = (int)(r % 50);
        if (i % 3 == 2)
            value = r % 2 == 0 ? 0.0 : -0.0; /* min and max keep the left one */
        if (type->parts == INT)
            memcpy(at, &r, type->size < 8 ? (size_t)type->size : 8);
        if (type->group == LOGICAL)
            at[0] = r & 1;
        if (type->group == PAIR) {
            int small = (int)(r >> 8) % 5;
            memset(at, 0, (size_t)type->extent);
            if (type->parts != INT)
                put_floating(type, at, small);
            else
                at[0] = (unsigned char)(small + 3);
            memcpy(at + (type->size - 4 + (type->handle == MPI_SHORT_INT ? 2 : 0)), &index,
                   sizeof(index));
        } else if (type->parts != INT) {
            put_floating(type, at, value);
            if (type->group == COMPLEX)
                put_floating(type, at + part[type->parts], -value / 7);
        }
    }
}

struct tree {
    MPI_Op op;
    const struct type *type;
    int count, size, salt;
};

/* Combines the contributions of ranks [first, first + width) as T(size) does; result in out. */
static void combine_block(const struct tree *tree, int first, int width, unsigned char *out)
{
    size_t bytes = (size_t)tree->count * (size_t)tree->type->extent;
    if (width == 1) {
        make_values(tree->type, out, tree->count, first, tree->salt);
        return;
    }
    int half = width / 2;
    unsigned char *right = malloc(bytes + 1);
    combine_block(tree, first, half, out);
    if (first + half < tree->size) {
        combine_block(tree, first + half, half, right);
        check(MPI_Reduce_local(out, right, tree->count, tree->type->handle, tree->op) ==
              MPI_SUCCESS);
        memcpy(out, right, bytes);
    }
    free(right);
}

static void reference(const struct tree *tree, unsigned char *out)
{
    int width = 1;
    while (width < tree->size)
        width *= 2;
    combine_block(tree, 0, width, out);
}

/* Whether the values have the same bits; padding does not count. */
static bool same(const struct type *type, int count, const unsigned char *a, const unsigned char *b)
{
    int part = type->parts == LDBL ? 16 : type->extent,
        bits = type->parts == LDBL ? 10 : type->size;
    for (int i = 0; i < count; i++)
        for (int at = 0; at < type->extent; at += part) {
            const unsigned char *x = a + i * type->extent + at, *y = b + i * type->extent + at;
            int len = type->group == PAIR && at > 0 ? 4 : bits;
            if (type->group == PAIR && type->parts == INT && type->size == 6) /* short, gap, int */
                len = memcmp(x + 4, y + 4, 4) == 0 ? 2 : 8;
            if (memcmp(x, y, (size_t)len) != 0)
                return false;
        }
    return true;
}

struct buffers {
    int rank, size;
    unsigned char *mine, *result, *want;
};

static void check_pair(const struct buffers *b, MPI_Op op, const struct type *type, int count)
{
    size_t bytes = (size_t)count * (size_t)type->extent;
    reference(&(struct tree){op, type, count, b->size, count}, b->want);
    make_values(type, b->mine, count, b->rank, count);
    check(MPI_Allreduce(b->mine, b->result, count, type->handle, op, MPI_COMM_WORLD) ==
          MPI_SUCCESS);
    check(same(type, count, b->result, b->want));
    memcpy(b->result, b->mine, bytes);
    check(MPI_Allreduce(MPI_IN_PLACE, b->result, count, type->handle, op, MPI_COMM_WORLD) ==
          MPI_SUCCESS);
    check(same(type, count, b->result, b->want));
    for (int root = 0; root < b->size; root += 1 + b->size / 3) {
        memset(b->result, 0x77, bytes);
        check(MPI_Reduce(b->mine, b->result, count, type->handle, op, root, MPI_COMM_WORLD) ==
              MPI_SUCCESS);
        check(b->rank != root || same(type, count, b->result, b->want));
        check(b->rank == root || count == 0 || b->result[0] == 0x77);
    }
}

static int every_pair_main(void *argument)
{
    enum { ROOM = 160 * 1024 };
    struct buffers b;
    const int *counts = argument;
    cases_init(&b.rank, &b.size);
    b.mine = weft_alloc(ROOM);
    b.result = weft_alloc(ROOM);
    b.want = weft_alloc(ROOM);
    for (int t = 0; t < TYPES; t++)
        for (int o = 0; o < OPS; o++) {
            char one[64] = {0}, two[64];
            if (allowed(ops[o], &types[t])) {
                for (int i = 0; counts[i] >= 0; i++)
                    check_pair(&b, ops[o], &types[t], counts[i]);
            } else {
                check(MPI_Allreduce(one, two, 1, types[t].handle, ops[o], MPI_COMM_WORLD) ==
                      MPI_ERR_OP);
            }
        }
    weft_free(b.mine);
    weft_free(b.result);
    weft_free(b.want);
    MPI_Finalize();
    return 0;
}

static void every_operation_on_every_type_follows_the_tree(void **state)
{
    static int counts[] = {3, -1}, more[] = {0, 1, 700, -1}, many[] = {4999, -1};
    static const int sizes[] = {2, 3, 4, 5, 8, 16};
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        cases_run(&(struct native_options){.ranks = sizes[i]}, every_pair_main, counts);
    cases_run(&(struct native_options){.ranks = 1}, every_pair_main, more);
    cases_run(&(struct native_options){.ranks = 3, .seed = 5}, every_pair_main, more);
    cases_run(&(struct native_options){.ranks = 6, .share = 3}, every_pair_main, many);
}

static int all_roots_main(void *argument)
{
    struct buffers b;
    const struct type *type = &types[19];
    enum { COUNT = 2000 };
    (void)argument;
    cases_init(&b.rank, &b.size);
    b.mine = weft_alloc(COUNT * 8);
    b.result = weft_alloc(COUNT * 8);
    b.want = weft_alloc(COUNT * 8);
    check(type->handle == MPI_DOUBLE);
    for (int count = 5; count <= COUNT; count += COUNT - 5) {
        reference(&(struct tree){MPI_SUM, type, count, b.size, 1}, b.want);
        for (int root = 0; root < b.size; root++) {
            make_values(type, b.mine, count, b.rank, 1);
            if (b.rank == root)
                MPI_Reduce(MPI_IN_PLACE, b.mine, count, MPI_DOUBLE, MPI_SUM, root, MPI_COMM_WORLD);
            else
                MPI_Reduce(b.mine, NULL, count, MPI_DOUBLE, MPI_SUM, root, MPI_COMM_WORLD);
            check(b.rank != root || same(type, count, b.mine, b.want));
        }
    }
    weft_free(b.mine);
    weft_free(b.result);
    weft_free(b.want);
    MPI_Finalize();
    return 0;
}

static void a_sum_has_the_same_bits_at_every_root_and_for_every_order_of_arrival(void **state)
{
    (void)state;
    for (int n = 1; n <= 9; n++)
        for (uint64_t seed = 0; seed < 3; seed++)
            cases_run(&(struct native_options){.ranks = n, .seed = seed}, all_roots_main, NULL);
}

static int bcast_main(void *argument)
{
    static const int counts[] = {0, 1, 4056, 4057, 300000};
    int rank, size;
    (void)argument;
    cases_init(&rank, &size);
    unsigned char *buffer = weft_alloc(300000);
    for (int root = 0; root < size; root++)
        for (int i = 0; i < 5; i++) {
            size_t len = (size_t)counts[i];
            cases_fill(buffer, len, rank == root ? (uint64_t)(root + i) : 999);
            check(MPI_Bcast(buffer, counts[i], MPI_BYTE, root, MPI_COMM_WORLD) == MPI_SUCCESS);
            check(cases_holds(buffer, len, (uint64_t)(root + i)));
        }
    weft_free(buffer);
    MPI_Finalize();
    return 0;
}

static void a_broadcast_reaches_every_rank_from_every_root(void **state)
{
    static const int sizes[] = {1, 2, 3, 4, 5, 8, 16};
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        cases_run(&(struct native_options){.ranks = sizes[i], .seed = i}, bcast_main, NULL);
}

static _Atomic int arrived;

static int barrier_main(void *argument)
{
    int rank, size;
    (void)argument;
    cases_init(&rank, &size);
    for (int i = 1; i <= 30; i++) {
        atomic_fetch_add(&arrived, 1);
        check(MPI_Barrier(MPI_COMM_WORLD) == MPI_SUCCESS);
        check(atomic_load(&arrived) >= i * size);
        check(MPI_Barrier(MPI_COMM_SELF) == MPI_SUCCESS);
    }
    MPI_Finalize();
    return 0;
}

static void nobody_leaves_a_barrier_before_all_have_come(void **state)
{
    static const int sizes[] = {1, 2, 3, 4, 5, 8, 16};
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        atomic_store(&arrived, 0);
        cases_run(&(struct native_options){.ranks = sizes[i], .seed = i}, barrier_main, NULL);
    }
}

static int overlap_main(void *argument)
{
    enum { N = 6 };
    int rank, size, token;
    MPI_Request requests[3 * N];
    (void)argument;
    cases_init(&rank, &size);
    int64_t *in = weft_alloc(N * sizeof(*in)), *out = weft_alloc(N * sizeof(*out)),
            *root = weft_alloc(N * 8);
    for (int i = 0; i < N; i++) {
        in[i] = rank + i;
        root[i] = rank == i % size ? 100 + i : -1;
        MPI_Iallreduce(&in[i], &out[i], 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD, &requests[3 * i]);
        MPI_Ibarrier(MPI_COMM_WORLD, &requests[3 * i + 1]);
        MPI_Ibcast(&root[i], 1, MPI_INT64_T, i % size, MPI_COMM_WORLD, &requests[3 * i + 2]);
    }
    token = rank;
    MPI_Sendrecv_replace(&token, 1, MPI_INT, (rank + 1) % size, 0, (rank + size - 1) % size, 0,
                         MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    check(token == (rank + size - 1) % size);
    for (int left = 3 * N; left > 0; left--) {
        int index;
        check(MPI_Waitany(3 * N, requests, &index, MPI_STATUS_IGNORE) == MPI_SUCCESS && index >= 0);
    }
    for (int i = 0; i < N; i++)
        check(out[i] == size * (size - 1) / 2 + (int64_t)i * size && root[i] == 100 + i);
    weft_free(in);
    weft_free(out);
    weft_free(root);
    MPI_Finalize();
    return 0;
}

static void collectives_under_way_do_not_mix(void **state)
{
    (void)state;
    for (int n = 1; n <= 6; n++)
        cases_run_all(n, overlap_main, NULL);
}

static int mismatch_main(void *argument)
{
    int rank, values[4] = {1, 1, 1, 1}, sums[4];
    (void)argument;
    cases_init(&rank, NULL);
    int err = MPI_Allreduce(values, sums, rank == 0 ? 2 : 4, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    check(rank != 0 || err == MPI_ERR_TRUNCATE);
    check(MPI_Allreduce(values, sums, 4, MPI_INT, MPI_SUM, MPI_COMM_WORLD) == MPI_SUCCESS &&
          sums[3] == 2);
    MPI_Finalize();
    return 0;
}

static void counts_that_differ_are_an_error_and_the_next_collective_works(void **state)
{
    (void)state;
    cases_run_all(2, mismatch_main, NULL);
}

/* Whatever number the persistent one has, the tag that the program names is not that. */
static int partial_main(void *argument)
{
    int rank, x;
    MPI_Request request;
    MPI_Group group;
    MPI_Comm made;
    (void)argument;
    cases_init(&rank, NULL);
    check(MPI_Bcast_init(&x, 1, MPI_INT, 0, MPI_COMM_WORLD, MPI_INFO_NULL, &request) ==
          MPI_SUCCESS);
    check(MPI_Comm_group(MPI_COMM_WORLD, &group) == MPI_SUCCESS);
    for (int tag = 0; tag < 6; tag++) {
        x = rank == 0 ? 100 + tag : 0;
        if (rank == 0)
            check(MPI_Start(&request) == MPI_SUCCESS);
        check(MPI_Comm_create_group(MPI_COMM_WORLD, group, tag, &made) == MPI_SUCCESS);
        if (rank != 0)
            check(MPI_Start(&request) == MPI_SUCCESS);
        check(MPI_Wait(&request, MPI_STATUS_IGNORE) == MPI_SUCCESS && x == 100 + tag);
        check(MPI_Comm_free(&made) == MPI_SUCCESS);
    }
    check(MPI_Request_free(&request) == MPI_SUCCESS && MPI_Group_free(&group) == MPI_SUCCESS);
    MPI_Finalize();
    return 0;
}

static void a_persistent_collective_is_not_mixed_with_the_making_of_a_group(void **state)
{
    (void)state;
    cases_run_all(2, partial_main, NULL);
    cases_run_all(5, partial_main, NULL);
}

/* The same call again, on buffers that hold something else; with another in between, and with the
 * same one still under way. */
static int repeated_main(void *argument)
{
    int rank, size;
    MPI_Comm comm;
    MPI_Request requests[2];
    (void)argument;
    cases_init(&rank, &size);
    int *in = weft_alloc(64 * sizeof(int)), *out = weft_alloc(64 * sizeof(int));
    check(MPI_Comm_dup(MPI_COMM_WORLD, &comm) == MPI_SUCCESS);
    for (int round = 0; round < 60; round++) {
        int count = round % 5 == 4 ? 7 : 2, root = round % 7 == 6 ? size - 1 : 0;
        MPI_Op op = round % 3 == 2 ? MPI_MAX : MPI_SUM;
        for (int i = 0; i < 64; i++)
            in[i] = rank * 100 + round + i;
        check(MPI_Allreduce(in, out, count, MPI_INT, op, comm) == MPI_SUCCESS);
        for (int i = 0; i < count; i++)
            check(out[i] == (op == MPI_MAX ? (size - 1) * 100 + round + i
                                           : size * (size - 1) * 50 + size * (round + i)));
        check(MPI_Bcast(in, 2, MPI_INT, root, comm) == MPI_SUCCESS);
        check(in[0] == root * 100 + round && in[1] == root * 100 + round + 1);
        check(MPI_Iallreduce(in, out, 2, MPI_INT, MPI_SUM, comm, &requests[0]) == MPI_SUCCESS);
        check(MPI_Iallreduce(in, out + 2, 2, MPI_INT, MPI_SUM, comm, &requests[1]) == MPI_SUCCESS);
        native_move_region();
        check(MPI_Waitall(2, requests, MPI_STATUSES_IGNORE) == MPI_SUCCESS);
        check(out[0] == size * (root * 100 + round) && memcmp(out, out + 2, 8) == 0);
        check(MPI_Barrier(comm) == MPI_SUCCESS);
        check(native_foreign_pointer() == NULL);
    }
    check(MPI_Comm_free(&comm) == MPI_SUCCESS);
    weft_free(in);
    weft_free(out);
    MPI_Finalize();
    return 0;
}

static void a_call_that_is_repeated_works_on_what_its_buffers_then_hold(void **state)
{
    (void)state;
    for (int n = 1; n <= 5; n += 2)
        cases_run(
            &(struct native_options){.ranks = n, .seed = (uint64_t)n, .region_bytes = 1u << 20},
            repeated_main, NULL);
    cases_run(&(struct native_options){.ranks = 4, .region_bytes = 1u << 20}, repeated_main, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_on_every_type_follows_the_tree),
        cmocka_unit_test(a_sum_has_the_same_bits_at_every_root_and_for_every_order_of_arrival),
        cmocka_unit_test(a_broadcast_reaches_every_rank_from_every_root),
        cmocka_unit_test(nobody_leaves_a_barrier_before_all_have_come),
        cmocka_unit_test(collectives_under_way_do_not_mix),
        cmocka_unit_test(counts_that_differ_are_an_error_and_the_next_collective_works),
        cmocka_unit_test(a_persistent_collective_is_not_mixed_with_the_making_of_a_group),
        cmocka_unit_test(a_call_that_is_repeated_works_on_what_its_buffers_then_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
