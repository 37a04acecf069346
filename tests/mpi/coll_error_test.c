/* What is wrong with a collective is said by the rank that can know it, and nobody waits for ever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "weft/memory.h"

static const MPI_Comm world = MPI_COMM_WORLD;

static void add(void *in, void *inout, int *len, MPI_Datatype *type)
{
    int *a = in, *b = inout;
    (void)type;
    for (int i = 0; i < *len; i++)
        b[i] += a[i];
}

static void check_roots(int *x, int *y)
{
    static const int wrong[] = {-1, 2, MPI_PROC_NULL, MPI_ROOT};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        int root = wrong[i];
        check(MPI_Bcast(x, 1, MPI_INT, root, world) == MPI_ERR_ROOT);
        check(MPI_Gather(x, 1, MPI_INT, y, 1, MPI_INT, root, world) == MPI_ERR_ROOT);
        check(MPI_Scatter(x, 1, MPI_INT, y, 1, MPI_INT, root, world) == MPI_ERR_ROOT);
        check(MPI_Reduce(x, y, 1, MPI_INT, MPI_SUM, root, world) == MPI_ERR_ROOT);
    }
}

static void check_counts_and_types(int *x, int *y)
{
    int counts[2] = {1, -1}, displs[2] = {0, 1};
    MPI_Datatype type, none = MPI_DATATYPE_NULL;
    MPI_Type_contiguous(2, MPI_INT, &type);
    check(MPI_Bcast(x, 1, type, 0, world) == MPI_ERR_TYPE); /* not committed */
    check(MPI_Type_free(&type) == MPI_SUCCESS);
    check(MPI_Allgather(x, -1, MPI_INT, y, 1, MPI_INT, world) == MPI_ERR_COUNT);
    check(MPI_Allgather(x, 1, MPI_INT, y, 1, none, world) == MPI_ERR_TYPE);
    check(MPI_Allgatherv(x, 1, MPI_INT, y, counts, displs, MPI_INT, world) == MPI_ERR_COUNT);
    check(MPI_Alltoallv(x, counts, displs, MPI_INT, y, counts, displs, MPI_INT, world) ==
          MPI_ERR_COUNT);
    check(MPI_Reduce_scatter(x, y, counts, MPI_INT, MPI_SUM, world) == MPI_ERR_COUNT);
    check(MPI_Scan(x, y, -2, MPI_INT, MPI_SUM, world) == MPI_ERR_COUNT);
    check(MPI_Allreduce_c(x, y, (MPI_Count)1 << 62, MPI_INT, MPI_SUM, world) == MPI_ERR_COUNT);
    check(MPI_Allgather_c(x, 1, MPI_INT, y, (MPI_Count)1 << 60, MPI_INT, world) == MPI_ERR_COUNT);
}

static void check_buffers(int rank, int *x, int *y)
{
    check(MPI_Bcast(NULL, 1, MPI_INT, 0, world) == MPI_ERR_BUFFER);
    check(MPI_Bcast(MPI_IN_PLACE, 1, MPI_INT, 0, world) == MPI_ERR_BUFFER);
    check(MPI_Allgather(x, 1, MPI_INT, MPI_IN_PLACE, 1, MPI_INT, world) == MPI_ERR_BUFFER);
    check(MPI_Scan(x, NULL, 1, MPI_INT, MPI_SUM, world) == MPI_ERR_BUFFER);
    check(MPI_Exscan(x, x, 1, MPI_INT, MPI_SUM, world) == MPI_ERR_BUFFER);
    check(MPI_Gather(MPI_IN_PLACE, 1, MPI_INT, y, 1, MPI_INT, 1 - rank, world) == MPI_ERR_BUFFER);
    check(MPI_Scatter(x, 1, MPI_INT, MPI_IN_PLACE, 1, MPI_INT, 1 - rank, world) == MPI_ERR_BUFFER);
    check(MPI_Reduce(MPI_IN_PLACE, y, 1, MPI_INT, MPI_SUM, 1 - rank, world) == MPI_ERR_BUFFER);
}

static void check_operations(int *x, int *y)
{
    double d[2] = {0}, e[2];
    MPI_Op op;
    check(MPI_Scan(d, e, 1, MPI_DOUBLE, MPI_BAND, world) == MPI_ERR_OP);
    check(MPI_Reduce_scatter_block(x, y, 1, MPI_INT, MPI_OP_NULL, world) == MPI_ERR_OP);
    check(MPI_Allreduce(x, y, 1, MPI_INT, MPI_REPLACE, world) == MPI_ERR_OP);
    check(MPI_Op_create(add, 1, &op) == MPI_SUCCESS);
    MPI_Op stale = op;
    check(MPI_Op_free(&op) == MPI_SUCCESS);
    check(MPI_Exscan(x, y, 1, MPI_INT, stale, world) == MPI_ERR_OP);
}

static int arguments_main(void *argument)
{
    int rank, x[8] = {0}, y[8] = {0};
    (void)argument;
    cases_init(&rank, NULL);
    check_roots(x, y);
    check_counts_and_types(x, y);
    check_buffers(rank, x, y);
    check_operations(x, y);
    check(MPI_Barrier(MPI_COMM_NULL) == MPI_ERR_COMM);
    x[0] = rank + 1;
    check(MPI_Allreduce(x, y, 1, MPI_INT, MPI_SUM, world) == MPI_SUCCESS && y[0] == 3);
    MPI_Finalize();
    return 0;
}

static void wrong_arguments_are_refused_before_anything_is_sent(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 2}, arguments_main, NULL);
}

/* A rank that is no root may pass anything where only the root's argument counts. */
static int ignored_main(void *argument)
{
    int rank, size, x = 0, all[16];
    int *bad = (int *)(uintptr_t)8;
    const MPI_Datatype no_type = (MPI_Datatype)(uintptr_t)77;
    (void)argument;
    cases_init(&rank, &size);
    for (int root = 0; root < size; root++) {
        bool is_root = rank == root;
        x = rank;
        check(MPI_Gather(&x, 1, MPI_INT, is_root ? all : bad, is_root ? 1 : -5,
                         is_root ? MPI_INT : no_type, root, world) == MPI_SUCCESS);
        for (int i = 0; i < size && is_root; i++)
            check(all[i] == i);
        check(MPI_Scatter(is_root ? all : bad, is_root ? 1 : -5, is_root ? MPI_INT : no_type, &x, 1,
                          MPI_INT, root, world) == MPI_SUCCESS);
        check(x == rank);
        check(MPI_Gatherv(&x, 1, MPI_INT, is_root ? all : NULL,
                          is_root ? (const int[]){1, 1, 1, 1} : NULL,
                          is_root ? (const int[]){3, 2, 1, 0} : NULL, is_root ? MPI_INT : no_type,
                          root, world) == MPI_SUCCESS);
        check(!is_root || (all[0] == 3 && all[3] == 0));
        check(MPI_Reduce(&x, is_root ? all : NULL, 1, MPI_INT, MPI_SUM, root, world) ==
              MPI_SUCCESS);
        check(!is_root || all[0] == 6);
    }
    MPI_Finalize();
    return 0;
}

static void what_counts_at_the_root_alone_is_not_looked_at_elsewhere(void **state)
{
    (void)state;
    cases_run_all(4, ignored_main, NULL);
}

/* Lengths that differ: each function is called with one value more on rank 1 than elsewhere. */
struct lengths {
    int rank, size, count;
    int *x, *y;
};

static int call_other(const struct lengths *l, int what)
{
    int counts[16], displs[16];
    for (int i = 0; i < l->size; i++) {
        counts[i] = l->count;
        displs[i] = i * 8;
    }
    switch (what) {
    case 0:
        return MPI_Bcast(l->x, l->count, MPI_INT, 0, world);
    case 1:
        return MPI_Reduce(l->x, l->y, l->count, MPI_INT, MPI_SUM, 0, world);
    case 2:
        return MPI_Allreduce(l->x, l->y, l->count, MPI_INT, MPI_SUM, world);
    case 3:
        return MPI_Gather(l->x, l->count, MPI_INT, l->y, 2, MPI_INT, 0, world);
    case 4:
        return MPI_Scatter(l->x, 2, MPI_INT, l->y, l->count, MPI_INT, 0, world);
    case 5:
        return MPI_Allgather(l->x, l->count, MPI_INT, l->y, 2, MPI_INT, world);
    case 6:
        return MPI_Alltoall(l->x, l->count, MPI_INT, l->y, 2, MPI_INT, world);
    case 7:
        return MPI_Gatherv(l->x, l->count, MPI_INT, l->y, counts, displs, MPI_INT, 0, world);
    case 8:
        return MPI_Scan(l->x, l->y, l->count, MPI_INT, MPI_SUM, world);
    case 9:
        return MPI_Exscan(l->x, l->y, l->count, MPI_INT, MPI_SUM, world);
    case 10:
        return MPI_Reduce_scatter_block(l->x, l->y, l->count, MPI_INT, MPI_SUM, world);
    default:
        return MPI_Alltoallv(l->x, counts, displs, MPI_INT, l->y, counts, displs, MPI_INT, world);
    }
}
enum { OTHERS = 12 };

static int lengths_main(void *argument)
{
    struct lengths l;
    (void)argument;
    cases_init(&l.rank, &l.size);
    l.x = weft_alloc(8 * 16 * sizeof(int));
    l.y = weft_alloc(8 * 16 * sizeof(int));
    for (int what = 0; what < OTHERS; what++) {
        int failed, any = 0;
        l.count = l.rank == 1 ? 3 : 2;
        memset(l.x, 0, 8 * 16 * sizeof(int));
        int err = call_other(&l, what);
        check(err == MPI_SUCCESS || err == MPI_ERR_TRUNCATE || err == MPI_ERR_NOT_SAME);
        failed = err != MPI_SUCCESS;
        check(MPI_Allreduce(&failed, &any, 1, MPI_INT, MPI_MAX, world) == MPI_SUCCESS);
        check(any == 1);
        l.count = 2;
        check(call_other(&l, what) == MPI_SUCCESS);
    }
    weft_free(l.x);
    weft_free(l.y);
    MPI_Finalize();
    return 0;
}

static void lengths_that_differ_are_an_error_somewhere_and_the_next_one_works(void **state)
{
    (void)state;
    for (int n = 2; n <= 8; n += 3)
        cases_run_all(n, lengths_main, NULL);
}

static int other_function_main(void *argument)
{
    int rank, x = 0;
    (void)argument;
    cases_init(&rank, NULL);
    if (rank == 0)
        MPI_Bcast(&x, 1, MPI_INT, 0, world);
    else
        MPI_Barrier(world);
    MPI_Finalize();
    return 0;
}

static int other_algorithm_main(void *argument)
{
    enum { LONG = 1 << 20 };
    int rank;
    (void)argument;
    cases_init(&rank, NULL);
    char *x = weft_alloc(LONG), *y = weft_alloc(LONG);
    MPI_Allreduce(x, y, rank == 0 ? LONG : 8, MPI_BYTE, MPI_BOR, world);
    MPI_Barrier(world);
    MPI_Finalize();
    return 0;
}

static void ranks_that_disagree_on_what_they_do_end_the_app(void **state)
{
    (void)state;
    cases_run_fatal(2, other_function_main, MPI_ERR_NOT_SAME, "another collective");
    cases_run_fatal(2, other_algorithm_main, MPI_ERR_NOT_SAME, "other lengths");
}

/* ---- memory ---- */

static int full_main(void *argument)
{
    enum { COUNT = 150000 };
    int rank;
    (void)argument;
    cases_init(&rank, NULL);
    double *x = weft_alloc(COUNT * sizeof(*x));
    void **blocks = NULL, **block;
    for (size_t len = 1 << 16; len >= 64; len /= 2)
        while ((block = weft_alloc(len)) != NULL) {
            *block = (void *)blocks;
            blocks = block;
        }
    check(MPI_Allreduce(MPI_IN_PLACE, x, COUNT, MPI_DOUBLE, MPI_SUM, world) == MPI_ERR_NO_MEM);
    check(MPI_Scan(MPI_IN_PLACE, x, COUNT, MPI_DOUBLE, MPI_SUM, world) == MPI_ERR_NO_MEM);
    while ((block = blocks) != NULL) {
        blocks = *block;
        weft_free(block);
    }
    x[0] = rank;
    check(MPI_Allreduce(MPI_IN_PLACE, x, COUNT, MPI_DOUBLE, MPI_SUM, world) == MPI_SUCCESS);
    check(x[0] == 3);
    weft_free(x);
    MPI_Finalize();
    return 0;
}

static void a_full_region_is_an_error_and_not_the_end(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 3, .region_bytes = 4u << 20}, full_main, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_arguments_are_refused_before_anything_is_sent),
        cmocka_unit_test(what_counts_at_the_root_alone_is_not_looked_at_elsewhere),
        cmocka_unit_test(lengths_that_differ_are_an_error_somewhere_and_the_next_one_works),
        cmocka_unit_test(ranks_that_disagree_on_what_they_do_end_the_app),
        cmocka_unit_test(a_full_region_is_an_error_and_not_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
