/* Compressed rows: an array of edges, and where each rank's begin.
 *
 * Sorted pairs are merged first, then each goes to both of its rows in one pass, which leaves the
 * rows sorted too. */
#include "plan/graph.h"

#include <stdlib.h>
#include <string.h>

#include "weft/error.h"

static int by_ranks(const void *a, const void *b)
{
    const struct weft_graph_pair *x = a, *y = b;
    if (x->a != y->a)
        return x->a < y->a ? -1 : 1;
    return (x->b > y->b) - (x->b < y->b);
}

/* Smaller rank first, sorted, each pair once; returns how many. */
static size_t merge(struct weft_graph_pair *pairs, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (pairs[i].a > pairs[i].b) {
            uint32_t a = pairs[i].a;
            pairs[i].a = pairs[i].b;
            pairs[i].b = a;
        }
    }
    qsort(pairs, n, sizeof(*pairs), by_ranks);
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && by_ranks(&pairs[kept - 1], &pairs[i]) == 0)
            pairs[kept - 1].weight += pairs[i].weight;
        else
            pairs[kept++] = pairs[i];
    }
    return kept;
}

/* Edges to smaller ranks come before those to greater ones, in both passes in the order of the
 * pairs. */
static void fill(struct weft_graph *graph, const struct weft_graph_pair *pairs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        graph->first[pairs[i].a + 1]++;
        graph->first[pairs[i].b + 1]++;
    }
    for (uint32_t r = 0; r < graph->n; r++)
        graph->first[r + 1] += graph->first[r];
    for (size_t i = 0; i < n; i++)
        graph->edges[graph->first[pairs[i].b]++] =
            (struct weft_graph_edge){pairs[i].a, pairs[i].weight};
    for (size_t i = 0; i < n; i++)
        graph->edges[graph->first[pairs[i].a]++] =
            (struct weft_graph_edge){pairs[i].b, pairs[i].weight};
    memmove(graph->first + 1, graph->first, graph->n * sizeof(*graph->first));
    graph->first[0] = 0;
}

int weft__graph_init(struct weft_graph *graph, uint32_t n, const struct weft_graph_pair *pairs,
                     size_t pairs_n)
{
    *graph = (struct weft_graph){.n = n};
    struct weft_graph_pair *sorted = malloc((pairs_n + 1) * sizeof(*sorted));
    graph->first = calloc((size_t)n + 1, sizeof(*graph->first));
    graph->base = calloc((size_t)n + 1, sizeof(*graph->base));
    graph->edges = malloc((2 * pairs_n + 1) * sizeof(*graph->edges));
    if (sorted == NULL || graph->first == NULL || graph->base == NULL || graph->edges == NULL) {
        free(sorted);
        weft__graph_fini(graph);
        return weft_fail(WEFT_ENOMEM, "no memory for the traffic of %u ranks", n);
    }
    if (pairs_n > 0)
        memcpy(sorted, pairs, pairs_n * sizeof(*sorted));
    fill(graph, sorted, merge(sorted, pairs_n));
    free(sorted);
    return WEFT_OK;
}

void weft__graph_fini(struct weft_graph *graph)
{
    free(graph->first);
    free(graph->base);
    free(graph->edges);
    *graph = (struct weft_graph){0};
}

uint64_t weft__graph_weight(const struct weft_graph *graph, uint32_t a, uint32_t b)
{
    uint64_t bases = graph->base[a] + graph->base[b];
    size_t from = graph->first[a], to = graph->first[a + 1];
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (graph->edges[middle].to == b)
            return bases + graph->edges[middle].weight;
        if (graph->edges[middle].to < b)
            from = middle + 1;
        else
            to = middle;
    }
    return bases;
}

int weft__graph_cross(const struct weft_graph *graph, const uint32_t *host_of, size_t hosts_n,
                      uint64_t *weight_out)
{
    uint64_t twice = 0, bases = 0;
    uint32_t *count = calloc(hosts_n + 1, sizeof(*count));
    if (count == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for the traffic between %zu hosts", hosts_n);
    for (uint32_t r = 0; r < graph->n; r++)
        count[host_of[r]]++;
    for (uint32_t r = 0; r < graph->n; r++) {
        bases += graph->base[r] * (graph->n - count[host_of[r]]);
        for (uint32_t i = graph->first[r]; i < graph->first[r + 1]; i++)
            twice += host_of[graph->edges[i].to] != host_of[r] ? graph->edges[i].weight : 0;
    }
    free(count);
    *weight_out = twice / 2 + bases;
    return WEFT_OK;
}
