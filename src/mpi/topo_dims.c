/* Factors of a grid that is as even as can be: the longest and the shortest dimension are as close
 * to each other as possible; where that leaves a choice, the shortest is long, then the next one.
 * They are searched for among the divisors, of which an int has 1344 at most; a choice is given up
 * as soon as it cannot be as even as the best one so far. */
#include <string.h>

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

enum { FACTORS_MAX = 32 }; /* more than an int has that are not 1 */

struct search {
    int k;
    int factors[FACTORS_MAX]; /* falling */
    int best[FACTORS_MAX];
    int spread; /* of the best; -1: none yet */
};

/* Of two with the same spread the one whose shortest factor is longer, then the next one. */
static bool is_better(const struct search *s)
{
    int spread = s->factors[0] - s->factors[s->k - 1], i = s->k - 1;
    if (s->spread < 0 || spread != s->spread)
        return s->spread < 0 || spread < s->spread;
    while (i > 0 && s->factors[i] == s->best[i])
        i--;
    return s->factors[i] > s->best[i];
}

static void take(struct search *s)
{
    if (!is_better(s))
        return;
    s->spread = s->factors[0] - s->factors[s->k - 1];
    memcpy(s->best, s->factors, sizeof(s->best));
}

/* Whether k factors of at most f can make n. */
static bool covers(int f, int k, int n)
{
    double covered = 1;
    for (int i = 0; i < k && covered < n; i++)
        covered *= f;
    return covered >= n;
}

/* Tries all falling factors of n from number `at` on, in rising order. */
static void try_all(struct search *s, int at, int n) /* NOLINT: as deep as there are factors */
{
    int left = s->k - at, longest = at > 0 ? s->factors[at - 1] : n;
    if (left == 1) {
        s->factors[at] = n;
        if (n <= longest)
            take(s);
        return;
    }
    for (int f = 1; f <= longest; f = next_divisor(n, f)) {
        bool too_short = at > 0 && s->spread >= 0 && f < s->factors[0] - s->spread;
        s->factors[at] = f;
        /* The shortest is at most the mean: this one, and all that follow, are too long. */
        if (at == 0 && s->spread >= 0 && f > s->spread + 1 && covers(f - s->spread - 1, left, n))
            return;
        if (!too_short && covers(f, left, n))
            try_all(s, at + 1, n / f);
        if (f == n)
            return;
    }
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
    struct weft_mpi *mpi = weft__mpi_enter(WEFT_MPI_HERE);
    struct grid grid = {.nodes = nnodes, .n = ndims, .dims = dims};
    int at = 0;
    int err = check_grid(mpi, WEFT_MPI_HERE, &grid);
    if (err)
        return err;
    struct search search = {.k = grid.free_n < FACTORS_MAX ? grid.free_n : FACTORS_MAX,
                            .spread = -1};
    if (search.k > 0)
        try_all(&search, 0, grid.left);
    for (int i = 0; i < ndims; i++)
        if (dims[i] == 0) {
            dims[i] = at < search.k ? search.best[at] : 1;
            at++;
        }
    return MPI_SUCCESS;
}
WEFT_MPI_EXPORT(MPI_Dims_create);
