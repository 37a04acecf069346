/* All-to-all against what it means: block i of rank j is block j of rank i. Each block is known
 * from its two ranks, so every rank can say what it must have got. */
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
    size_t extent, first, second, second_len; /* pieces of a value: [0, first) and second */
};

static const struct type types[] = {
    {MPI_BYTE, 1, 1, 0, 0},
    {MPI_SHORT, 2, 2, 0, 0},
    {MPI_INT, 4, 4, 0, 0},
    {MPI_DOUBLE, 8, 8, 0, 0},
    {MPI_LONG_DOUBLE, 16, 16, 0, 0},
    {MPI_C_DOUBLE_COMPLEX, 16, 16, 0, 0},
    {MPI_SHORT_INT, 8, 2, 4, 4},
    {MPI_LONG_INT, 16, 8, 8, 4},
    {MPI_LONG_DOUBLE_INT, 32, 16, 16, 4},
};
enum { TYPES = sizeof(types) / sizeof(types[0]), GAP = 0x5c };

struct world {
    int rank, size;
};

static uint64_t key_of(int from, int to, int round)
{
    return (uint64_t)(from * 100 + to) * 64 + (uint64_t)round;
}

/* Blocks that this rank sends, one behind the other. */
static void fill(const struct world *w, unsigned char *blocks, size_t block, int round)
{
    for (int to = 0; to < w->size; to++)
        cases_fill(blocks + (size_t)to * block, block, key_of(w->rank, to, round));
}

static bool piece_holds(const struct type *type, const unsigned char *got,
                        const unsigned char *want)
{
    return memcmp(got, want, type->first) == 0 &&
           memcmp(got + type->second, want + type->second, type->second_len) == 0;
}

static bool gap_holds(const struct type *type, const unsigned char *got)
{
    for (size_t i = type->first; i < type->extent; i++)
        if ((i < type->second || i >= type->second + type->second_len) && got[i] != GAP)
            return false;
    return true;
}

/* Blocks that this rank has got; in gaps of values there is still what was there before. */
static void look(const struct world *w, const struct type *type, const unsigned char *blocks,
                 size_t block, int round)
{
    unsigned char *want = weft_alloc(block + 1);
    for (int from = 0; from < w->size; from++) {
        const unsigned char *got = blocks + (size_t)from * block;
        cases_fill(want, block, key_of(from, w->rank, round));
        for (size_t at = 0; at < block; at += type->extent) {
            check(piece_holds(type, got + at, want + at));
            check(gap_holds(type, got + at));
        }
    }
    weft_free(want);
}

static void clear_gaps(const struct type *type, unsigned char *blocks, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += type->extent)
        for (size_t i = type->first; i < type->extent; i++)
            if (i < type->second || i >= type->second + type->second_len)
                blocks[at + i] = GAP;
}

static void exchange(const struct world *w, const struct type *type, int count, int round)
{
    size_t block = (size_t)count * type->extent, bytes = block * (size_t)w->size;
    unsigned char *out = weft_alloc(bytes + 1), *in = weft_alloc(bytes + 1);
    fill(w, out, block, round);
    memset(in, GAP, bytes + 1);
    check(MPI_Alltoall(out, count, type->handle, in, count, type->handle, MPI_COMM_WORLD) ==
          MPI_SUCCESS);
    look(w, type, in, block, round);
    check(in[bytes] == GAP);
    clear_gaps(type, out, bytes);
    out[bytes] = GAP;
    check(MPI_Alltoall_c(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, out, count, type->handle,
                         MPI_COMM_WORLD) == MPI_SUCCESS);
    look(w, type, out, block, round);
    check(out[bytes] == GAP);
    weft_free(out);
    weft_free(in);
}

static int every_type_main(void *argument)
{
    struct world w;
    const int *counts = argument;
    cases_init(&w.rank, &w.size);
    for (int t = 0; t < TYPES; t++)
        for (int i = 0; counts[i] >= 0; i++)
            exchange(&w, &types[t], counts[i], t + i);
    MPI_Finalize();
    return 0;
}

static void every_block_comes_where_it_belongs(void **state)
{
    static int counts[] = {0, 1, 700, -1};
    static const int sizes[] = {1, 2, 3, 5};
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        cases_run(&(struct native_options){.ranks = sizes[i], .seed = i}, every_type_main, counts);
}

static int many_main(void *argument)
{
    struct world w;
    (void)argument;
    cases_init(&w.rank, &w.size);
    exchange(&w, &types[2], 3, 1);
    exchange(&w, &types[0], 5000, 2);
    MPI_Finalize();
    return 0;
}

static void more_ranks_than_go_together_meet_each_other_too(void **state)
{
    static const int sizes[] = {16, 33};
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        cases_run(&(struct native_options){.ranks = sizes[i], .seed = i, .region_bytes = 4u << 20},
                  many_main, NULL);
}

/* One side counts pairs of int, the other int. */
static int two_types_main(void *argument)
{
    enum { PAIRS = 700 };
    struct world w;
    (void)argument;
    cases_init(&w.rank, &w.size);
    size_t block = PAIRS * 2 * sizeof(int), bytes = block * (size_t)w.size;
    unsigned char *out = weft_alloc(bytes), *in = weft_alloc(bytes);
    fill(&w, out, block, 3);
    check(MPI_Alltoall(out, PAIRS, MPI_2INT, in, 2 * PAIRS, MPI_INT, MPI_COMM_WORLD) ==
          MPI_SUCCESS);
    look(&w, &types[2], in, block, 3);
    weft_free(out);
    weft_free(in);
    MPI_Finalize();
    return 0;
}

static void both_sides_may_name_the_values_differently(void **state)
{
    (void)state;
    for (int n = 1; n <= 5; n++)
        cases_run_all(n, two_types_main, NULL);
}

static int truncated_main(void *argument)
{
    struct world w;
    int out[8], in[8];
    (void)argument;
    cases_init(&w.rank, &w.size);
    int err = MPI_Alltoall(out, 2, MPI_INT, in, w.rank == 0 ? 1 : 2, MPI_INT, MPI_COMM_WORLD);
    check(err == (w.rank == 0 ? MPI_ERR_TRUNCATE : MPI_SUCCESS));
    fill(&w, (unsigned char *)out, sizeof(int), 4);
    check(MPI_Alltoall(out, 1, MPI_INT, in, 1, MPI_INT, MPI_COMM_WORLD) == MPI_SUCCESS);
    look(&w, &types[2], (unsigned char *)in, sizeof(int), 4);
    MPI_Finalize();
    return 0;
}

static void a_block_too_long_is_an_error_and_the_next_collective_works(void **state)
{
    (void)state;
    cases_run_all(3, truncated_main, NULL);
}

/* Many under way, in place and not, with other collectives between them, regions moving. */
enum { ROUNDS = 2, COUNT = 600 };

struct under_way {
    struct world w;
    unsigned char *out[ROUNDS], *in[ROUNDS];
    MPI_Request requests[3 * ROUNDS];
    int64_t mine, sum[ROUNDS];
};

static void start_round(struct under_way *u, int round, MPI_Request *requests)
{
    size_t block = COUNT * sizeof(double), bytes = block * (size_t)u->w.size;
    u->out[round] = weft_alloc(bytes);
    u->in[round] = weft_alloc(bytes);
    fill(&u->w, u->out[round], block, 2 * round);
    fill(&u->w, u->in[round], block, 2 * round + 1);
    MPI_Ialltoall(MPI_IN_PLACE, 0, MPI_DOUBLE, u->in[round], COUNT, MPI_DOUBLE, MPI_COMM_WORLD,
                  &requests[0]);
    MPI_Iallreduce(&u->mine, &u->sum[round], 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD, &requests[1]);
    MPI_Ibarrier(MPI_COMM_WORLD, &requests[2]);
}

static void check_round(struct under_way *u, int round)
{
    size_t block = COUNT * sizeof(double);
    look(&u->w, &types[3], u->in[round], block, 2 * round + 1);
    check(MPI_Alltoall(u->out[round], COUNT, MPI_DOUBLE, u->in[round], COUNT, MPI_DOUBLE,
                       MPI_COMM_WORLD) == MPI_SUCCESS);
    look(&u->w, &types[3], u->in[round], block, 2 * round);
    check(u->sum[round] == (int64_t)u->w.size * (u->w.size - 1) / 2);
    weft_free(u->out[round]);
    weft_free(u->in[round]);
}

static int under_way_main(void *argument)
{
    struct world w;
    (void)argument;
    cases_init(&w.rank, &w.size);
    struct under_way *u = weft_alloc(sizeof(*u));
    u->w = w;
    u->mine = w.rank;
    for (int round = 0; round < ROUNDS; round++) {
        start_round(u, round, &u->requests[3 * round]);
        if (native_random() % 2 == 0)
            native_move_region();
    }
    check(native_foreign_pointer() == NULL);
    for (int left = 3 * ROUNDS; left > 0; left--) {
        int index;
        check(MPI_Waitany(3 * ROUNDS, u->requests, &index, MPI_STATUS_IGNORE) == MPI_SUCCESS);
        if (native_random() % 8 == 0)
            native_move_region();
    }
    for (int round = 0; round < ROUNDS; round++)
        check_round(u, round);
    weft_free(u);
    MPI_Finalize();
    return 0;
}

static void exchanges_under_way_do_not_mix_and_survive_moves(void **state)
{
    (void)state;
    for (int n = 1; n <= 4; n++)
        cases_run(
            &(struct native_options){.ranks = n, .seed = (uint64_t)n, .region_bytes = 1u << 20},
            under_way_main, NULL);
    cases_run(&(struct native_options){.ranks = 17, .seed = 7, .region_bytes = 1u << 20},
              under_way_main, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_block_comes_where_it_belongs),
        cmocka_unit_test(more_ranks_than_go_together_meet_each_other_too),
        cmocka_unit_test(both_sides_may_name_the_values_differently),
        cmocka_unit_test(a_block_too_long_is_an_error_and_the_next_collective_works),
        cmocka_unit_test(exchanges_under_way_do_not_mix_and_survive_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
