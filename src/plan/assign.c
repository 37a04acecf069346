/* Growth, then refinement by Kernighan and Lin, as Fiduccia and Mattheyses do it: in a pass the
 * best change is made again and again, also when it is for the worse, each rank changes place once,
 * and in the end the best state on the way is kept. So a pair of ranks gets out of a place that
 * neither would leave alone. A change is a move of one rank to a host that has room, or a swap of
 * two.
 *
 * Several beginnings are tried: the placement as it is, the moves that detection without traffic
 * would make, growth, which moves the rank that loses least or wins most, one by one, and
 * placements from nothing that fill one host after the other. What the ranks of each host pull a
 * rank with is kept in a matrix, so that a change is weighed in constant time.
 *
 * Bounds: passes, changes per pass and looks at changes (LOOKS_MAX) are limited; in worlds
 * of more than EXHAUSTIVE ranks swaps are looked for from the rank that wants to move most only. A
 * world that is too large for the matrix keeps the first beginning. Rejected: multi-level
 * partitioning (apps of a few hundred ranks do not need it), random restarts (two planners must not
 * differ). */
#include "plan/assign.h"

#include <stdlib.h>
#include <string.h>

#include "weft/error.h"

#define MATRIX_MAX ((size_t)4 << 20)
#define LOOKS_MAX ((size_t)512 << 10) /* some 15 ms */
#define EXHAUSTIVE 64u
#define FEW 16u /* ranks: a placement from nothing begins at each host in turn */
#define PASSES_MAX 8u
#define WORSE_MAX 8u              /* changes in a row that do not come to a better state */
#define AVERSE (INT64_C(1) << 60) /* of all ranks together: more than any traffic */
#define NONE UINT32_MAX

struct work {
    const struct weft_assign *ask;
    uint32_t n;
    size_t k;
    uint32_t *at;    /* host of each rank */
    uint32_t *count; /* of ranks, by host */
    uint32_t *came;  /* those of them that are not there now */
    int64_t *bases;  /* sum over the ranks of a host */
    int64_t *pull;   /* by rank and host: weight of the edges to its ranks */
    bool *fixed, *locked;
    int64_t averse;      /* price of going back to a host that was left */
    size_t looks, limit; /* so far; of the present beginning */
};

struct change {
    uint32_t rank, to; /* NONE: there is none */
    uint32_t with;     /* NONE: a move; else the rank that comes in exchange */
    int64_t gain;
};

/* ---- the state ---- */

static int64_t *pull_of(const struct work *w, uint32_t rank, uint32_t host)
{
    return &w->pull[(size_t)rank * w->k + host];
}

static void put(struct work *w, uint32_t rank, uint32_t host, int sign)
{
    const struct weft_graph *graph = w->ask->graph;
    uint32_t one = (uint32_t)sign;
    w->count[host] += one;
    w->came[host] += w->ask->host_of[rank] != host ? one : 0;
    w->bases[host] += sign * (int64_t)graph->base[rank];
    for (uint32_t i = graph->first[rank]; i < graph->first[rank + 1]; i++)
        *pull_of(w, graph->edges[i].to, host) += sign * (int64_t)graph->edges[i].weight;
}

static void place(struct work *w, uint32_t rank, uint32_t host)
{
    put(w, rank, w->at[rank], -1);
    w->at[rank] = host;
    put(w, rank, host, 1);
}

static void clear(struct work *w)
{
    memset(w->count, 0, w->k * sizeof(*w->count));
    memset(w->came, 0, w->k * sizeof(*w->came));
    memset(w->bases, 0, w->k * sizeof(*w->bases));
    memset(w->pull, 0, (size_t)w->n * w->k * sizeof(*w->pull));
    memset(w->at, 0xff, w->n * sizeof(*w->at));
}

static void begin_at(struct work *w, const uint32_t *host_of)
{
    clear(w);
    for (uint32_t rank = 0; rank < w->n; rank++) {
        w->at[rank] = host_of[rank];
        put(w, rank, host_of[rank], 1);
    }
}

/* Weight between a rank and all ranks of a host but itself. */
static int64_t attraction(const struct work *w, uint32_t rank, uint32_t host)
{
    int64_t base = (int64_t)w->ask->graph->base[rank];
    int64_t all = *pull_of(w, rank, host) + base * w->count[host] + w->bases[host];
    return w->at[rank] == host ? all - 2 * base : all;
}

static int64_t price(const struct work *w, uint32_t rank, uint32_t host)
{
    if (w->ask->host_of[rank] == host)
        return 0;
    bool back = w->ask->left != NULL && w->ask->left[rank] == host;
    return (int64_t)w->ask->move_cost + (back ? w->averse : 0);
}

/* What is saved when the rank goes there and nobody else moves. */
static int64_t gain_of(const struct work *w, uint32_t rank, uint32_t to)
{
    uint32_t from = w->at[rank];
    return attraction(w, rank, to) - attraction(w, rank, from) + price(w, rank, from) -
           price(w, rank, to);
}

static bool is_home(const struct work *w, uint32_t rank, uint32_t host)
{
    return w->ask->host_of[rank] == host;
}

static bool may_come(const struct work *w, uint32_t rank, uint32_t host)
{
    return is_home(w, rank, host) || w->came[host] < w->ask->free[host];
}

static bool may_swap(const struct work *w, uint32_t a, uint32_t b)
{
    uint32_t g = w->at[a], h = w->at[b];
    uint32_t g_came = w->came[g] - !is_home(w, a, g) + !is_home(w, b, g);
    uint32_t h_came = w->came[h] - !is_home(w, b, h) + !is_home(w, a, h);
    return (g_came <= w->ask->free[g] || g_came <= w->came[g]) &&
           (h_came <= w->ask->free[h] || h_came <= w->came[h]);
}

static bool is_free(const struct work *w, uint32_t rank)
{
    return !w->fixed[rank] && !w->locked[rank];
}

/* ---- looking for the best change ---- */

static void look_at_move(struct work *w, uint32_t rank, uint32_t to, struct change *best)
{
    if (to == w->at[rank] || w->count[to] >= w->ask->most[to] || !may_come(w, rank, to))
        return;
    int64_t gain = gain_of(w, rank, to);
    if (best->rank == NONE || gain > best->gain)
        *best = (struct change){rank, to, NONE, gain};
}

static void look_at_swap(struct work *w, uint32_t a, uint32_t b, struct change *best)
{
    if (w->at[a] == w->at[b])
        return;
    int64_t gain = gain_of(w, a, w->at[b]) + gain_of(w, b, w->at[a]);
    if ((best->rank != NONE && gain <= best->gain) || !may_swap(w, a, b))
        return;
    gain -= 2 * (int64_t)weft__graph_weight(w->ask->graph, a, b);
    if (best->rank == NONE || gain > best->gain)
        *best = (struct change){a, w->at[b], b, gain};
}

static struct change best_of_all(struct work *w)
{
    struct change best = {.rank = NONE};
    for (uint32_t a = 0; a < w->n; a++) {
        if (!is_free(w, a))
            continue;
        for (uint32_t host = 0; host < w->k; host++)
            look_at_move(w, a, host, &best);
        for (uint32_t b = a + 1; b < w->n; b++)
            if (is_free(w, b))
                look_at_swap(w, a, b, &best);
        w->looks += w->k + (w->n - a);
    }
    return best;
}

/* The rank that wants to be elsewhere most, and where. */
static struct change most_wanted(struct work *w)
{
    struct change wish = {.rank = NONE};
    for (uint32_t rank = 0; rank < w->n; rank++) {
        for (uint32_t host = 0; is_free(w, rank) && host < w->k; host++) {
            if (host == w->at[rank] || w->ask->most[host] == 0 || w->ask->free[host] == 0)
                continue;
            int64_t gain = gain_of(w, rank, host);
            if (wish.rank == NONE || gain > wish.gain)
                wish = (struct change){rank, host, NONE, gain};
        }
    }
    w->looks += (size_t)w->n * w->k;
    return wish;
}

static struct change best_of_one(struct work *w)
{
    struct change best = {.rank = NONE}, wish = most_wanted(w);
    if (wish.rank == NONE)
        return best;
    look_at_move(w, wish.rank, wish.to, &best);
    for (uint32_t b = 0; b < w->n; b++)
        if (w->at[b] == wish.to && is_free(w, b))
            look_at_swap(w, wish.rank, b, &best);
    w->looks += w->n;
    if (best.rank == NONE) /* it cannot go there: another one's turn */
        w->locked[wish.rank] = true;
    return best;
}

/* ---- refinement ---- */

static void make(struct work *w, const struct change *change)
{
    uint32_t from = w->at[change->rank];
    place(w, change->rank, change->to);
    w->locked[change->rank] = true;
    if (change->with != NONE) {
        place(w, change->with, from);
        w->locked[change->with] = true;
    }
}

/* Back to the best state: `best` is the placement as it was then. */
static void restore(struct work *w, const uint32_t *best)
{
    for (uint32_t rank = 0; rank < w->n; rank++)
        if (w->at[rank] != best[rank])
            place(w, rank, best[rank]);
}

/* One pass; returns what it saved. best: room for a placement. */
static int64_t pass(struct work *w, uint32_t *best)
{
    int64_t sum = 0, most = 0;
    unsigned worse = 0;
    memset(w->locked, 0, w->n * sizeof(*w->locked));
    memcpy(best, w->at, w->n * sizeof(*best));
    for (uint32_t step = 0; step < w->n && worse < WORSE_MAX && w->looks < w->limit; step++) {
        struct change change = w->n <= EXHAUSTIVE ? best_of_all(w) : best_of_one(w);
        if (change.rank == NONE && w->n <= EXHAUSTIVE)
            break;
        if (change.rank == NONE)
            continue;
        make(w, &change);
        sum += change.gain;
        worse++;
        if (sum > most) {
            most = sum;
            worse = 0;
            memcpy(best, w->at, w->n * sizeof(*best));
        }
    }
    restore(w, best);
    return most;
}

/* What the whole placement costs: traffic across hosts, and moves. */
static int64_t cost_of(const struct work *w)
{
    int64_t twice = 0, prices = 0;
    for (uint32_t rank = 0; rank < w->n; rank++) {
        for (uint32_t host = 0; host < w->k; host++)
            twice += host != w->at[rank] && w->count[host] > 0 ? attraction(w, rank, host) : 0;
        prices += price(w, rank, w->at[rank]);
    }
    return twice / 2 + prices;
}

/* ---- beginnings ---- */

/* The moves of detection without traffic: highest rank first, to the first host that wants one. */
static void fill_in_order(struct work *w)
{
    uint32_t to = 0;
    for (uint32_t rank = w->n; rank-- > 0;) {
        uint32_t from = w->at[rank];
        if (w->count[from] <= w->ask->target[from] || w->fixed[rank])
            continue;
        while (to < w->k && w->count[to] >= w->ask->target[to])
            to++;
        if (to == w->k)
            return;
        place(w, rank, to);
    }
}

static bool grow_once(struct work *w)
{
    struct change best = {.rank = NONE};
    for (uint32_t rank = 0; rank < w->n; rank++) {
        uint32_t from = w->at[rank];
        if (w->fixed[rank] || w->count[from] <= w->ask->target[from] || !is_home(w, rank, from))
            continue;
        for (uint32_t host = 0; host < w->k; host++) {
            if (w->count[host] >= w->ask->target[host])
                continue;
            int64_t gain = gain_of(w, rank, host);
            if (best.rank == NONE || gain > best.gain)
                best = (struct change){rank, host, NONE, gain};
        }
    }
    w->looks += (size_t)w->n * w->k;
    if (best.rank == NONE)
        return false;
    place(w, best.rank, best.to);
    return true;
}

static void grow(struct work *w)
{
    for (size_t end = w->looks + LOOKS_MAX / 5; w->looks < end && grow_once(w);)
        ;
    fill_in_order(w); /* what the bound has left over */
}

/* The rank that is nowhere yet and goes best with those of a host; NONE: nobody may come. */
static uint32_t best_to_add(struct work *w, uint32_t host)
{
    uint32_t best = NONE;
    int64_t most = 0;
    for (uint32_t rank = 0; rank < w->n; rank++) {
        if (w->at[rank] != NONE || !may_come(w, rank, host))
            continue;
        int64_t worth = attraction(w, rank, host) - price(w, rank, host);
        bool better = best == NONE || worth > most;
        if (!better && worth == most) /* of equals one that is there */
            better = is_home(w, rank, host) && !is_home(w, best, host);
        if (better) {
            best = rank;
            most = worth;
        }
    }
    w->looks += w->n;
    return best;
}

static void add(struct work *w, uint32_t rank, uint32_t host)
{
    w->at[rank] = host;
    put(w, rank, host, 1);
}

static bool add_anywhere(struct work *w, uint32_t rank)
{
    uint32_t best = NONE;
    for (uint32_t host = 0; host < w->k; host++) {
        if (w->count[host] >= w->ask->most[host] || !may_come(w, rank, host))
            continue;
        if (best == NONE || attraction(w, rank, host) > attraction(w, rank, best))
            best = host;
    }
    if (best != NONE)
        add(w, rank, best);
    return best != NONE;
}

/* A placement from nothing: host after host, from `first` on, gets the ranks that go best with
 * those that it has, up to its number in `up_to`. false: some rank finds no place. */
static bool regrow(struct work *w, const uint32_t *up_to, uint32_t first)
{
    clear(w);
    for (uint32_t i = 0; i < w->k; i++) {
        uint32_t host = (uint32_t)((first + i) % w->k);
        while (w->count[host] < up_to[host]) {
            uint32_t rank = best_to_add(w, host);
            if (rank == NONE)
                break;
            add(w, rank, host);
        }
    }
    for (uint32_t rank = 0; rank < w->n; rank++)
        if (w->at[rank] == NONE && !add_anywhere(w, rank))
            return false;
    return true;
}

/* Whether nobody has to move. */
static bool may_stay(const struct work *w)
{
    for (uint32_t host = 0; host < w->k; host++)
        if (w->count[host] > w->ask->most[host])
            return false;
    return true;
}

static void refine(struct work *w, uint32_t *scratch, uint32_t *out, int64_t *least)
{
    w->limit = w->looks + LOOKS_MAX / 5; /* an equal share for each beginning */
    for (unsigned i = 0; i < PASSES_MAX && w->looks < w->limit; i++)
        if (pass(w, scratch) <= 0)
            break;
    int64_t cost = cost_of(w);
    if (cost >= *least)
        return;
    *least = cost;
    memcpy(out, w->at, w->n * sizeof(*out));
}

static void try_regrown(struct work *w, uint32_t *scratch, uint32_t *out, int64_t *least)
{
    uint32_t firsts = w->n <= FEW ? (uint32_t)w->k : 1;
    for (uint32_t first = 0; first < firsts && w->looks < 2 * LOOKS_MAX; first++) {
        if ((size_t)w->n * w->n > LOOKS_MAX / 2)
            return;
        if (regrow(w, w->ask->target, first))
            refine(w, scratch, out, least);
        if (regrow(w, w->ask->most, first))
            refine(w, scratch, out, least);
    }
}

static void try_beginnings(struct work *w, uint32_t *scratch, uint32_t *out)
{
    int64_t least = INT64_MAX;
    begin_at(w, w->ask->host_of);
    if (may_stay(w) && !w->ask->only_excess)
        refine(w, scratch, out, &least);
    begin_at(w, w->ask->host_of);
    fill_in_order(w);
    refine(w, scratch, out, &least);
    begin_at(w, w->ask->host_of);
    grow(w);
    refine(w, scratch, out, &least);
    if (!w->ask->only_excess)
        try_regrown(w, scratch, out, &least);
}

/* ---- */

static void work_fini(struct work *w)
{
    free(w->at);
    free(w->count);
    free(w->came);
    free(w->bases);
    free(w->pull);
    free(w->fixed);
    free(w->locked);
}

static int work_init(struct work *w, const struct weft_assign *ask)
{
    size_t n = ask->graph->n, k = ask->hosts_n;
    *w = (struct work){.ask = ask, .n = ask->graph->n, .k = k, .averse = AVERSE / ((int64_t)n + 1)};
    w->at = malloc((n + 1) * sizeof(*w->at));
    w->count = calloc(k + 1, sizeof(*w->count));
    w->came = calloc(k + 1, sizeof(*w->came));
    w->bases = calloc(k + 1, sizeof(*w->bases));
    w->pull = calloc(n * k + 1, sizeof(*w->pull));
    w->fixed = calloc(n + 1, sizeof(*w->fixed));
    w->locked = calloc(n + 1, sizeof(*w->locked));
    if (w->at == NULL || w->count == NULL || w->came == NULL || w->bases == NULL ||
        w->pull == NULL || w->fixed == NULL || w->locked == NULL) {
        work_fini(w);
        return weft_fail(WEFT_ENOMEM, "no memory to place %zu ranks on %zu hosts", n, k);
    }
    begin_at(w, ask->host_of);
    for (uint32_t rank = 0; rank < w->n && ask->only_excess; rank++)
        w->fixed[rank] = w->count[ask->host_of[rank]] <= ask->target[ask->host_of[rank]];
    return WEFT_OK;
}

int weft__assign(const struct weft_assign *ask, uint32_t *host_of_out)
{
    struct work w;
    uint32_t n = ask->graph->n;
    if (n > 0 && ask->hosts_n > MATRIX_MAX / n)
        return weft_fail(WEFT_ERANGE, "%u ranks on %zu hosts are too many to weigh their traffic",
                         n, ask->hosts_n);
    uint32_t *scratch = malloc(((size_t)n + 1) * sizeof(*scratch));
    if (scratch == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory to place %u ranks", n);
    int err = work_init(&w, ask);
    if (err == WEFT_OK) {
        try_beginnings(&w, scratch, host_of_out);
        work_fini(&w);
    }
    free(scratch);
    return err;
}
