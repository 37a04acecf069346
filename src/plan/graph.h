/* Who exchanges how much with whom, as a planner wants it: an undirected graph over the ranks of a
 * placement. Weights are integers, so that sums do not depend on their order. */
#ifndef WEFT_PLAN_GRAPH_H
#define WEFT_PLAN_GRAPH_H

#include <stddef.h>
#include <stdint.h>

struct weft_graph_edge {
    uint32_t to;
    uint64_t weight; /* beyond the bases of the two ranks */
};

/* The weight of a pair is base[a] + base[b] + that of its edge, if there is one: what a rank
 * exchanges with many others in small parts is its base, the same to each of them. The unit is
 * nanoseconds of communication per second of run. */
struct weft_graph {
    uint32_t n;
    uint32_t *first;               /* n + 1 indexes into edges */
    struct weft_graph_edge *edges; /* by rank, then by peer; each pair twice */
    uint64_t *base;
    double message_share; /* of all weight: what comes from the number of messages, not of bytes */
};

struct weft_graph_pair {
    uint32_t a, b; /* not the same */
    uint64_t weight;
};

/* A pair may be given more than once, its weights add up. All bases are 0.
 * Owns: weft__graph_fini(), which is fine for a zeroed one.  Errors: WEFT_ENOMEM. */
int weft__graph_init(struct weft_graph *graph, uint32_t n, const struct weft_graph_pair *pairs,
                     size_t pairs_n);
void weft__graph_fini(struct weft_graph *graph);
/* Of a pair of different ranks. */
uint64_t weft__graph_weight(const struct weft_graph *graph, uint32_t a, uint32_t b);
/* The sum of all pairs whose ranks are on different hosts; hosts are numbers below hosts_n.
 * Errors: WEFT_ENOMEM. */
int weft__graph_cross(const struct weft_graph *graph, const uint32_t *host_of, size_t hosts_n,
                      uint64_t *weight_out);

#endif
