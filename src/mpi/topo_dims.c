/* Factors of a grid that is as even as can be: the longest dimension is as short as possible, then
 * the next one, and so on. They are searched for among the divisors, of which an int has 1344 at
 * most; a choice is given up as soon as what is left cannot be covered by shorter ones. */
#include "mpi/error.h"

/* The smallest divisor of n above f, which is below n. */
static int next_divisor(int n, int f)
{
    int root = 0;
    for (int64_t g = (int64_t)f + 1; g * g <= n; g++)
        if (n % g == 0)
            return (int)g;
    while ((int64_t)(root + 1) * (root + 1) <= n)
        root++;
    for (int g = root; g > 1; g--)
        if (n % g == 0 && n / g > f)
            return n / g;
    return n;
}

/* Whether n is a product of k factors of at most longest; written in falling order. */
static bool factor(int n, int k, int longest, int *factors)
{
    if (k == 0)
        return n == 1;
    double covered = 1;
    for (int i = 0; i < k && covered < n; i++)
        covered *= longest;
    if (covered < n)
        return false;
    for (int f = 1; f <= longest; f = next_divisor(n, f)) {
        factors[0] = f;
        if (factor(n / f, k - 1, f, factors + 1))
            return true;
        if (f == n)
            return false;
    }
    return false;
}

struct grid {
    int nodes, n;
    int *dims;        /* 0: to be found */
    int free_n, left; /* how many are to be found, and their product */
};

static int check_grid(struct weft_mpi *mpi, const char *where, struct grid *grid)
{
    int64_t fixed = 1;
    if (grid->nodes < 1 || grid->n < 0)
        return weft__mpi_error_raise(mpi, NULL, MPI_ERR_ARG, where, "%d ranks, %d dimensions",
                                     grid->nodes, grid->n);
    for (int i = 0; i < grid->n; i++) {
        int length = grid->dims[i];
        if (length < 0)
            return weft__mpi_error_raise(mpi, NULL, MPI_ERR_DIMS, where, "dimension %d is %d", i,
                                         length);
        grid->free_n += length == 0;
        fixed = length > 0 && fixed <= grid->nodes ? fixed * length : fixed;
    }
    if (grid->nodes % fixed != 0 || (grid->free_n == 0 && grid->n > 0 && grid->nodes != fixed))
        return weft__mpi_error_raise(mpi, NULL, MPI_ERR_DIMS, where,
                                     "%d ranks do not make a grid of these dimensions",
                                     grid->nodes);
    grid->left = (int)(grid->nodes / fixed);
    return MPI_SUCCESS;
}

int PMPI_Dims_create(int nnodes, int ndims, int dims[])
{
    enum { FACTORS_MAX = 32 }; /* more than an int has that are not 1 */
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct grid grid = {.nodes = nnodes, .n = ndims, .dims = dims};
    int factors[FACTORS_MAX], at = 0;
    int err = check_grid(mpi, WEFT_MPI_HERE, &grid);
    if (err)
        return err;
    int searched = grid.free_n < FACTORS_MAX ? grid.free_n : FACTORS_MAX;
    if (searched > 0)
        (void)factor(grid.left, searched, grid.left, factors);
    for (int i = 0; i < ndims; i++)
        if (dims[i] == 0) {
            dims[i] = at < searched ? factors[at] : 1;
            at++;
        }
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Dims_create);
