/* Collectives among the neighbours of a grid, against what its shifts say, and of a graph. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "weft/memory.h"

enum { DIMS = 2, N = 2 * DIMS, LEN = 900, GAP = -7 };

struct grid {
    MPI_Comm comm;
    int rank, neighbors[N];
    int *out, *in; /* N blocks of LEN, with room between them */
    MPI_Request request;
};

/* What rank a has for the neighbour in direction k. */
static int value(int a, int k, int i)
{
    return a * 10000 + k * 1000 + i;
}

static void make(struct grid *g, int rows, int columns, bool periodic)
{
    const int dims[DIMS] = {rows, columns}, periods[DIMS] = {periodic, true};
    check(MPI_Cart_create(MPI_COMM_WORLD, DIMS, dims, periods, 0, &g->comm) == MPI_SUCCESS);
    MPI_Comm_rank(g->comm, &g->rank);
    for (int d = 0; d < DIMS; d++)
        MPI_Cart_shift(g->comm, d, 1, &g->neighbors[2 * d], &g->neighbors[2 * d + 1]);
    g->out = weft_alloc(N * (LEN + 1) * sizeof(int));
    g->in = weft_alloc(N * (LEN + 1) * sizeof(int));
}

static void fill(struct grid *g)
{
    for (int k = 0; k < N; k++)
        for (int i = 0; i < LEN + 1; i++) {
            g->out[k * (LEN + 1) + i] = value(g->rank, k, i);
            g->in[k * (LEN + 1) + i] = GAP;
        }
}

/* Block k came from neighbour k, who sent it in the opposite direction (gathered: its first one).
 */
static void look(const struct grid *g, int len, int stride, bool gathered)
{
    for (int k = 0; k < N; k++)
        for (int i = 0; i < len; i++) {
            int want = value(g->neighbors[k], gathered ? 0 : k ^ 1, i);
            if (g->neighbors[k] == MPI_PROC_NULL)
                want = GAP;
            check(g->in[k * stride + i] == want);
        }
}

static void equal_blocks(struct grid *g)
{
    fill(g);
    check(MPI_Neighbor_allgather(g->out, LEN, MPI_INT, g->in, LEN, MPI_INT, g->comm) ==
          MPI_SUCCESS);
    look(g, LEN, LEN, true);
    fill(g);
    check(MPI_Ineighbor_alltoall_c(g->out, LEN + 1, MPI_INT, g->in, LEN + 1, MPI_INT, g->comm,
                                   &g->request) == MPI_SUCCESS);
    native_move_region();
    check(MPI_Wait(&g->request, MPI_STATUS_IGNORE) == MPI_SUCCESS);
    look(g, LEN + 1, LEN + 1, false);
}

static void given_blocks(struct grid *g)
{
    int counts[N], displs[N];
    MPI_Aint bytes[N];
    MPI_Datatype types[N];
    for (int k = 0; k < N; k++) {
        counts[k] = LEN;
        displs[k] = k * (LEN + 1);
        bytes[k] = displs[k] * (MPI_Aint)sizeof(int);
        types[k] = MPI_INT;
    }
    fill(g);
    check(MPI_Neighbor_allgatherv(g->out, LEN, MPI_INT, g->in, counts, displs, MPI_INT, g->comm) ==
          MPI_SUCCESS);
    look(g, LEN, LEN + 1, true);
    fill(g);
    check(MPI_Neighbor_alltoallv(g->out, counts, displs, MPI_INT, g->in, counts, displs, MPI_INT,
                                 g->comm) == MPI_SUCCESS);
    look(g, LEN, LEN + 1, false);
    check(MPI_Neighbor_alltoallw_init(g->out, counts, bytes, types, g->in, counts, bytes, types,
                                      g->comm, MPI_INFO_NULL, &g->request) == MPI_SUCCESS);
    for (int round = 0; round < 3; round++) {
        fill(g);
        check(MPI_Start(&g->request) == MPI_SUCCESS);
        check(MPI_Wait(&g->request, MPI_STATUS_IGNORE) == MPI_SUCCESS);
        look(g, LEN, LEN + 1, false);
        check(g->in[LEN] == GAP);
    }
    check(MPI_Request_free(&g->request) == MPI_SUCCESS);
}

static int grid_main(void *argument)
{
    const int *shape = argument;
    cases_init(NULL, NULL);
    struct grid *g = weft_alloc(sizeof(*g));
    check(MPI_Neighbor_allgather(&g, 0, MPI_INT, &g, 0, MPI_INT, MPI_COMM_WORLD) ==
          MPI_ERR_TOPOLOGY);
    for (int periodic = 0; periodic < 2; periodic++) {
        make(g, shape[0], shape[1], periodic);
        equal_blocks(g);
        given_blocks(g);
        weft_free(g->out);
        weft_free(g->in);
        check(MPI_Comm_free(&g->comm) == MPI_SUCCESS);
    }
    weft_free(g);
    MPI_Finalize();
    return 0;
}

static void blocks_come_from_the_neighbour_on_the_right_side(void **state)
{
    static int shapes[][DIMS] = {{1, 1}, {1, 2}, {2, 1}, {2, 2}, {3, 2}, {3, 3}};
    (void)state;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        cases_run_all(shapes[i][0] * shapes[i][1], grid_main, shapes[i]);
}

enum { RANKS_MAX = 5 };

static const int *const volatile none = MPI_UNWEIGHTED; /* the compiler takes it for an address */

/* Each rank has edges to all above itself: as many blocks come as there are ranks below. */
static MPI_Comm make_ladder(int rank, int size, bool adjacent)
{
    MPI_Comm comm;
    int below[RANKS_MAX], above[RANKS_MAX], out_n = size - 1 - rank;
    for (int i = 0; i < RANKS_MAX; i++) {
        below[i] = i;
        above[i] = rank + 1 + i;
    }
    if (adjacent)
        check(MPI_Dist_graph_create_adjacent(MPI_COMM_WORLD, rank, below, none, out_n, above, none,
                                             MPI_INFO_NULL, 0, &comm) == MPI_SUCCESS);
    else
        check(MPI_Dist_graph_create(MPI_COMM_WORLD, 1, &rank, &out_n, above, none, MPI_INFO_NULL, 0,
                                    &comm) == MPI_SUCCESS);
    return comm;
}

static void climb(MPI_Comm comm, int rank)
{
    int out[RANKS_MAX], in[RANKS_MAX + 1], counts[RANKS_MAX], displs[RANKS_MAX];
    for (int i = 0; i < RANKS_MAX; i++) {
        out[i] = value(rank, rank + 1 + i, 0);
        in[i] = GAP;
        counts[i] = 1;
        displs[i] = i;
    }
    in[RANKS_MAX] = GAP;
    check(MPI_Neighbor_alltoall(out, 1, MPI_INT, in, 1, MPI_INT, comm) == MPI_SUCCESS);
    for (int i = 0; i <= RANKS_MAX; i++)
        check(in[i] == (i < rank ? value(i, rank, 0) : GAP));
    check(MPI_Neighbor_allgather(&rank, 1, MPI_INT, in, 1, MPI_INT, comm) == MPI_SUCCESS);
    for (int i = 0; i < rank; i++)
        check(in[i] == i);
    check(MPI_Neighbor_alltoallv(out, counts, displs, MPI_INT, in, counts, displs, MPI_INT, comm) ==
          MPI_SUCCESS);
    for (int i = 0; i <= RANKS_MAX; i++)
        check(in[i] == (i < rank ? value(i, rank, 0) : GAP));
}

static int ladder_main(void *argument)
{
    int rank, size;
    (void)argument;
    cases_init(&rank, &size);
    for (int adjacent = 0; adjacent < 2; adjacent++) {
        MPI_Comm comm = make_ladder(rank, size, adjacent);
        climb(comm, rank);
        check(MPI_Comm_free(&comm) == MPI_SUCCESS);
    }
    MPI_Finalize();
    return 0;
}

static void edges_of_a_distributed_graph_have_directions(void **state)
{
    (void)state;
    for (int n = 1; n <= RANKS_MAX; n++)
        cases_run_all(n, ladder_main, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_come_from_the_neighbour_on_the_right_side),
        cmocka_unit_test(edges_of_a_distributed_graph_have_directions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
