/* Topologies: grids of ranks, and how ranks are spread over dimensions. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "weft/memory.h"

enum { NODES_MAX = 300, DIMS_MAX = 4 };

/* Of all falling factorisations the one with the least spread, then with the longest shortest, then
 * the longest next one, by trying all. */
static bool is_better(int k, const int *now, const int *best)
{
    int spread = now[0] - now[k - 1], best_spread = best[0] - best[k - 1], i = k - 1;
    if (best[0] == 0 || spread != best_spread)
        return best[0] == 0 || spread < best_spread;
    while (i > 0 && now[i] == best[i])
        i--;
    return now[i] > best[i];
}

static void best_of(int n, int k, int at, int *now, int *best)
{
    int longest = at > 0 ? now[at - 1] : n;
    now[at] = n;
    if (at == k - 1 && n <= longest && is_better(k, now, best))
        memcpy(best, now, (size_t)k * sizeof(*best));
    for (int f = 1; at < k - 1 && f <= n && f <= longest; f++) {
        now[at] = f;
        if (n % f == 0)
            best_of(n / f, k, at + 1, now, best);
    }
}

static int dims_main(void *argument)
{
    int dims[40], want[DIMS_MAX], now[DIMS_MAX];
    (void)argument;
    cases_init(NULL, NULL);
    for (int n = 1; n <= NODES_MAX; n++)
        for (int k = 1; k <= DIMS_MAX; k++) {
            memset(dims, 0, sizeof(dims));
            check(MPI_Dims_create(n, k, dims) == MPI_SUCCESS);
            memset(want, 0, sizeof(want));
            best_of(n, k, 0, now, want);
            check(memcmp(dims, want, (size_t)k * sizeof(dims[0])) == 0);
        }
    memcpy(dims, (int[3]){0, 3, 0}, 3 * sizeof(int));
    check(MPI_Dims_create(36, 3, dims) == MPI_SUCCESS);
    check(dims[0] == 4 && dims[1] == 3 && dims[2] == 3);
    memcpy(dims, (int[3]){0, 5, 0}, 3 * sizeof(int));
    check(MPI_Dims_create(36, 3, dims) == MPI_ERR_DIMS && dims[0] == 0);
    memcpy(dims, (int[2]){-1, 0}, 2 * sizeof(int));
    check(MPI_Dims_create(4, 2, dims) == MPI_ERR_DIMS);
    memcpy(dims, (int[2]){2, 3}, 2 * sizeof(int));
    check(MPI_Dims_create(4, 2, dims) == MPI_ERR_DIMS && MPI_Dims_create(6, 2, dims) == 0);
    check(MPI_Dims_create(0, 2, dims) == MPI_ERR_ARG);
    check(MPI_Dims_create(5, 0, NULL) == MPI_SUCCESS);
    memset(dims, 0, sizeof(dims));
    check(MPI_Dims_create(INT_MAX, 2, dims) == MPI_SUCCESS && dims[0] == INT_MAX && dims[1] == 1);
    memset(dims, 0, sizeof(dims));
    check(MPI_Dims_create(7488, 3, dims) == MPI_SUCCESS);
    check(dims[0] == 26 && dims[1] == 18 && dims[2] == 16);
    for (int k = 1; k <= 40; k++) {
        memset(dims, 0, sizeof(dims));
        check(MPI_Dims_create(1396755360, k, dims) == MPI_SUCCESS); /* many divisors */
    }
    memset(dims, 0, sizeof(dims));
    check(MPI_Dims_create(1 << 30, 40, dims) == MPI_SUCCESS && dims[29] == 2 && dims[30] == 1);
    MPI_Finalize();
    return 0;
}

static void dimensions_are_as_even_as_can_be(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 1}, dims_main, NULL);
}

struct grid {
    int dims[3], periods[3];
};

static void check_grid(MPI_Comm cart, const struct grid *grid, int rank)
{
    int dims[3], periods[3], coords[3], want[3], other[3], got, n, source, dest;
    check(MPI_Cartdim_get(cart, &n) == MPI_SUCCESS && n == 3);
    check(MPI_Topo_test(cart, &n) == MPI_SUCCESS && n == MPI_CART);
    check(MPI_Cart_get(cart, 3, dims, periods, coords) == MPI_SUCCESS);
    check(memcmp(dims, grid->dims, sizeof(dims)) == 0);
    check(memcmp(periods, grid->periods, sizeof(periods)) == 0);
    want[0] = rank / (dims[1] * dims[2]);
    want[1] = rank / dims[2] % dims[1];
    want[2] = rank % dims[2];
    check(memcmp(coords, want, sizeof(want)) == 0);
    check(MPI_Cart_coords(cart, rank, 3, coords) == MPI_SUCCESS);
    check(memcmp(coords, want, sizeof(want)) == 0);
    check(MPI_Cart_rank(cart, coords, &got) == MPI_SUCCESS && got == rank);
    for (int d = 0; d < 3; d++)
        for (int disp = -4; disp <= 4; disp++) {
            check(MPI_Cart_shift(cart, d, disp, &source, &dest) == MPI_SUCCESS);
            memcpy(other, coords, sizeof(other));
            other[d] += disp;
            bool inside = periods[d] || (other[d] >= 0 && other[d] < dims[d]);
            int err = MPI_Cart_rank(cart, other, &got);
            check(err == (inside ? MPI_SUCCESS : MPI_ERR_ARG));
            check(dest == (inside ? got : MPI_PROC_NULL));
        }
}

/* A value goes around, or falls off, along each dimension. */
static void check_shifts(MPI_Comm cart, const struct grid *grid, int rank)
{
    for (int d = 0; d < 3; d++) {
        int source, dest, got = -1, at[3];
        check(MPI_Cart_shift(cart, d, 1, &source, &dest) == MPI_SUCCESS);
        check(MPI_Sendrecv(&rank, 1, MPI_INT, dest, 0, &got, 1, MPI_INT, source, 0, cart,
                           MPI_STATUS_IGNORE) == MPI_SUCCESS);
        check(MPI_Cart_coords(cart, rank, 3, at) == MPI_SUCCESS);
        check(got == (source == MPI_PROC_NULL ? -1 : source));
        check((source == MPI_PROC_NULL) == (at[d] == 0 && !grid->periods[d]));
    }
}

static void check_subs(MPI_Comm cart, const struct grid *grid)
{
    int coords[3], n, size, sum;
    check(MPI_Cart_get(cart, 3, (int[3]){0}, (int[3]){0}, coords) == MPI_SUCCESS);
    for (int mask = 0; mask < 8; mask++) {
        int remain[3] = {mask & 1, mask & 2, mask & 4}, want = 1, at[3], dims[3], periods[3];
        int key = 0, kept = 0;
        MPI_Comm sub;
        check(MPI_Cart_sub(cart, remain, &sub) == MPI_SUCCESS);
        for (int d = 0; d < 3; d++)
            if (remain[d])
                want *= grid->dims[d];
            else
                key = key * 16 + coords[d];
        check(MPI_Comm_size(sub, &size) == MPI_SUCCESS && size == want);
        check(MPI_Cart_get(sub, 3, dims, periods, at) == MPI_SUCCESS);
        for (int d = 0; d < 3; d++)
            if (remain[d]) {
                check(at[kept] == coords[d] && dims[kept] == grid->dims[d]);
                check(periods[kept++] == grid->periods[d]);
            }
        check(MPI_Cartdim_get(sub, &n) == MPI_SUCCESS && n == kept);
        check(MPI_Cart_rank(sub, at, &n) == MPI_SUCCESS);
        check(MPI_Comm_rank(sub, &size) == MPI_SUCCESS && n == size);
        /* All of them have the same coordinates in what was dropped. */
        check(MPI_Allreduce(&key, &sum, 1, MPI_INT, MPI_SUM, sub) == MPI_SUCCESS);
        check(sum == key * want && MPI_Comm_free(&sub) == MPI_SUCCESS);
    }
}

static int grid_main(void *argument)
{
    const struct grid *grid = argument;
    int rank, n = grid->dims[0] * grid->dims[1] * grid->dims[2];
    MPI_Comm cart, dup;
    cases_init(&rank, NULL);
    check(MPI_Cart_map(MPI_COMM_WORLD, 3, grid->dims, grid->periods, &n) == MPI_SUCCESS);
    check(MPI_Cart_create(MPI_COMM_WORLD, 3, grid->dims, grid->periods, 1, &cart) == MPI_SUCCESS);
    check((cart == MPI_COMM_NULL) == (n == MPI_UNDEFINED));
    if (cart != MPI_COMM_NULL) {
        check(MPI_Comm_rank(cart, &rank) == MPI_SUCCESS);
        check_grid(cart, grid, rank);
        check_shifts(cart, grid, rank);
        check_subs(cart, grid);
        check(MPI_Comm_dup(cart, &dup) == MPI_SUCCESS && MPI_Comm_free(&cart) == MPI_SUCCESS);
        native_move_region();
        check_grid(dup, grid, rank);
        check(MPI_Comm_free(&dup) == MPI_SUCCESS);
    }
    check(MPI_Barrier(MPI_COMM_WORLD) == MPI_SUCCESS);
    MPI_Finalize();
    return 0;
}

static void grids_know_their_neighbours(void **state)
{
    static const struct grid grids[] = {{{3, 2, 2}, {0, 1, 0}},
                                        {{1, 1, 1}, {1, 0, 1}},
                                        {{2, 1, 4}, {1, 1, 1}},
                                        {{1, 5, 2}, {0, 0, 0}}};
    (void)state;
    for (size_t i = 0; i < sizeof(grids) / sizeof(grids[0]); i++) {
        struct grid grid = grids[i];
        int n = grid.dims[0] * grid.dims[1] * grid.dims[2];
        for (uint64_t seed = 0; seed < 2; seed++)
            cases_run(&(struct native_options){.ranks = n + (int)i,
                                               .seed = seed,
                                               .region_bytes = 2 << 20},
                      grid_main, &grid);
    }
}

static int errors_main(void *argument)
{
    int n, one[1] = {1}, four[1] = {4}, zero[1] = {0}, coords[2];
    MPI_Comm cart, out = MPI_COMM_NULL, world = MPI_COMM_WORLD;
    (void)argument;
    cases_init(NULL, NULL);
    check(MPI_Topo_test(world, &n) == MPI_SUCCESS && n == MPI_UNDEFINED);
    check(MPI_Cartdim_get(world, &n) == MPI_ERR_TOPOLOGY);
    check(MPI_Cart_sub(world, one, &out) == MPI_ERR_TOPOLOGY);
    check(MPI_Cart_create(world, 1, four, zero, 0, &out) == MPI_ERR_DIMS);
    check(MPI_Cart_create(world, 1, zero, zero, 0, &out) == MPI_ERR_DIMS);
    check(MPI_Cart_create(world, -1, one, zero, 0, &out) == MPI_ERR_DIMS);
    check(MPI_Cart_create(MPI_COMM_NULL, 1, one, zero, 0, &out) == MPI_ERR_COMM);
    check(MPI_Cart_create(world, 1, (int[1]){3}, zero, 0, &cart) == MPI_SUCCESS);
    check(MPI_Cart_coords(cart, 3, 1, coords) == MPI_ERR_RANK);
    check(MPI_Cart_coords(cart, 0, 0, coords) == MPI_ERR_DIMS);
    check(MPI_Cart_rank(cart, four, &n) == MPI_ERR_ARG);
    check(MPI_Cart_shift(cart, 1, 1, &n, &n) == MPI_ERR_DIMS);
    check(MPI_Comm_free(&cart) == MPI_SUCCESS);
    /* Without dimensions there is one rank. */
    check(MPI_Cart_create(world, 0, NULL, NULL, 0, &cart) == MPI_SUCCESS);
    if (cart != MPI_COMM_NULL) {
        check(MPI_Comm_size(cart, &n) == MPI_SUCCESS && n == 1);
        check(MPI_Cart_rank(cart, NULL, &n) == MPI_SUCCESS && n == 0);
        check(MPI_Comm_free(&cart) == MPI_SUCCESS);
    }
    check(out == MPI_COMM_NULL);
    MPI_Finalize();
    return 0;
}

static void wrong_grids_give_their_class(void **state)
{
    (void)state;
    cases_run(&(struct native_options){.ranks = 3}, errors_main, NULL);
}

/* A ring of the first ranks, with a double edge from 0 to 1. */
static int graph_main(void *argument)
{
    enum { NODES = 4 };
    int rank, size, n, edges_n, indx[NODES], edges[2 * NODES + 1], got[2 * NODES + 1];
    MPI_Comm graph, dup;
    (void)argument;
    cases_init(&rank, &size);
    for (int i = 0; i < NODES; i++) {
        indx[i] = 2 * i + 3;
        edges[2 * i + 1] = (i + 1) % NODES;
        edges[2 * i + 2] = (i + NODES - 1) % NODES;
    }
    edges[0] = 1;
    check(MPI_Graph_map(MPI_COMM_WORLD, NODES, indx, edges, &n) == MPI_SUCCESS);
    check(n == (rank < NODES ? rank : MPI_UNDEFINED));
    check(MPI_Graph_create(MPI_COMM_WORLD, NODES, indx, edges, 1, &graph) == MPI_SUCCESS);
    check((graph == MPI_COMM_NULL) == (rank >= NODES));
    if (graph != MPI_COMM_NULL) {
        check(MPI_Comm_dup(graph, &dup) == MPI_SUCCESS && MPI_Comm_free(&graph) == MPI_SUCCESS);
        native_move_region();
        check(MPI_Topo_test(dup, &n) == MPI_SUCCESS && n == MPI_GRAPH);
        check(MPI_Graphdims_get(dup, &n, &edges_n) == MPI_SUCCESS);
        check(n == NODES && edges_n == 2 * NODES + 1);
        check(MPI_Graph_get(dup, NODES, edges_n, got, got) == MPI_SUCCESS);
        check(memcmp(got, edges, sizeof(edges)) == 0);
        check(MPI_Graph_neighbors_count(dup, rank, &n) == MPI_SUCCESS && n == 2 + (rank == 0));
        check(MPI_Graph_neighbors(dup, rank, n, got) == MPI_SUCCESS);
        check(got[n - 1] == (rank + NODES - 1) % NODES && got[n - 2] == (rank + 1) % NODES);
        check(MPI_Graph_neighbors_count(dup, NODES, &n) == MPI_ERR_RANK);
        check(MPI_Cartdim_get(dup, &n) == MPI_ERR_TOPOLOGY);
        check(MPI_Comm_free(&dup) == MPI_SUCCESS);
    }
    indx[1] = 0;
    check(MPI_Graph_create(MPI_COMM_WORLD, NODES, indx, edges, 0, &graph) == MPI_ERR_ARG);
    check(MPI_Graph_create(MPI_COMM_WORLD, size + 1, indx, edges, 0, &graph) == MPI_ERR_ARG);
    MPI_Finalize();
    return 0;
}

static void graphs_know_their_edges(void **state)
{
    (void)state;
    for (int n = 4; n <= 6; n++)
        cases_run(&(struct native_options){.ranks = n, .region_bytes = 2 << 20}, graph_main, NULL);
}

/* Values, which the compiler takes for addresses of too few integers where it sees them. */
static int *volatile unweighted = MPI_UNWEIGHTED;
static int *volatile weights_empty = MPI_WEIGHTS_EMPTY;

/* From each rank to the next one and to rank 0, weights by both. */
static int weight(int from, int to)
{
    return 10 * from + to + 1;
}

static void check_dist(MPI_Comm graph, bool weighted)
{
    int rank, size, in, out, flag, ranks[32], weights[32], count[16] = {0};
    check(MPI_Comm_rank(graph, &rank) == MPI_SUCCESS && MPI_Comm_size(graph, &size) == 0);
    check(MPI_Dist_graph_neighbors_count(graph, &in, &out, &flag) == MPI_SUCCESS);
    check(out == 2 && in == 1 + (rank == 0 ? size : 0) && !flag == !weighted);
    int to[2], to_weights[2] = {-1, -1};
    memset(weights, -1, sizeof(weights));
    check(MPI_Dist_graph_neighbors(graph, in, ranks, weights, out, to, to_weights) == MPI_SUCCESS);
    for (int i = 0; i < in; i++) {
        count[ranks[i]]++;
        check(weights[i] == (weighted ? weight(ranks[i], rank) : -1));
    }
    check(count[(rank + size - 1) % size] == 1 + (rank == 0));
    for (int i = 0; i < 2; i++) {
        check(to[i] == 0 || to[i] == (rank + 1) % size);
        check(to_weights[i] == (weighted ? weight(rank, to[i]) : -1));
    }
}

static int dist_main(void *argument)
{
    int rank, size, sources[16], degrees[16], to[32], weights[32], n = 0;
    MPI_Comm graph, dup;
    (void)argument;
    cases_init(&rank, &size);
    /* Each rank names its own edges, or the last one names all. */
    for (int all = 0; all < 2; all++) {
        n = 0;
        for (int i = 0; i < size; i++) {
            if (all ? rank != size - 1 : i != rank)
                continue;
            sources[n] = i;
            degrees[n] = 2;
            to[2 * n] = (i + 1) % size;
            to[2 * n + 1] = 0;
            weights[2 * n] = weight(i, to[2 * n]);
            weights[2 * n + 1] = weight(i, 0);
            n++;
        }
        check(MPI_Dist_graph_create(MPI_COMM_WORLD, n, sources, degrees, to,
                                    n ? weights : weights_empty, MPI_INFO_NULL, 1,
                                    &graph) == MPI_SUCCESS);
        check_dist(graph, true);
        check(MPI_Comm_free(&graph) == MPI_SUCCESS);
        check(MPI_Dist_graph_create(MPI_COMM_WORLD, n, sources, degrees, to, unweighted,
                                    MPI_INFO_NULL, 1, &graph) == MPI_SUCCESS);
        check(MPI_Comm_dup(graph, &dup) == MPI_SUCCESS && MPI_Comm_free(&graph) == MPI_SUCCESS);
        native_move_region();
        check_dist(dup, false);
        check(MPI_Topo_test(dup, &n) == MPI_SUCCESS && n == MPI_DIST_GRAPH);
        check(MPI_Comm_free(&dup) == MPI_SUCCESS);
    }
    check(MPI_Dist_graph_create(MPI_COMM_WORLD, 1, &size, &size, to, unweighted, MPI_INFO_NULL, 0,
                                &graph) == MPI_ERR_RANK);
    MPI_Finalize();
    return 0;
}

static int adjacent_main(void *argument)
{
    int rank, size, from[17], from_weights[17], to[2], to_weights[2], n = 0;
    MPI_Comm graph;
    (void)argument;
    cases_init(&rank, &size);
    from[n++] = (rank + size - 1) % size;
    for (int i = 0; rank == 0 && i < size; i++)
        from[n++] = i;
    for (int i = 0; i < n; i++)
        from_weights[i] = weight(from[i], rank);
    to[0] = 0;
    to[1] = (rank + 1) % size;
    for (int i = 0; i < 2; i++)
        to_weights[i] = weight(rank, to[i]);
    check(MPI_Dist_graph_create_adjacent(MPI_COMM_WORLD, n, from, from_weights, 2, to, to_weights,
                                         MPI_INFO_NULL, 0, &graph) == MPI_SUCCESS);
    check_dist(graph, true);
    check(MPI_Comm_free(&graph) == MPI_SUCCESS);
    check(MPI_Dist_graph_create_adjacent(MPI_COMM_WORLD, n, from, unweighted, 2, to, unweighted,
                                         MPI_INFO_NULL, 0, &graph) == MPI_SUCCESS);
    check_dist(graph, false);
    check(MPI_Comm_free(&graph) == MPI_SUCCESS);
    to[0] = -1;
    check(MPI_Dist_graph_create_adjacent(MPI_COMM_WORLD, 0, NULL, weights_empty, 2, to, to_weights,
                                         MPI_INFO_NULL, 0, &graph) == MPI_ERR_RANK);
    MPI_Finalize();
    return 0;
}

static void distributed_graphs_know_the_edges_of_their_rank(void **state)
{
    (void)state;
    for (int n = 1; n <= 6; n++) {
        cases_run(&(struct native_options){.ranks = n, .region_bytes = 2 << 20}, dist_main, NULL);
        cases_run_all(n, adjacent_main, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dimensions_are_as_even_as_can_be),
        cmocka_unit_test(grids_know_their_neighbours),
        cmocka_unit_test(wrong_grids_give_their_class),
        cmocka_unit_test(graphs_know_their_edges),
        cmocka_unit_test(distributed_graphs_know_the_edges_of_their_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
