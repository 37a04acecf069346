/* What the ranks of an app exchange per second, as its home knows it: for each rank the peers that
 * it exchanges most with, one by one, and all others as one sum.
 *
 * Rates are exponential averages: what is reported counts fully now and fades with time, so a pair
 * that falls silent is forgotten without a word. Memory is bounded: at most
 * weft__traffic_peers_max() peers are kept per rank. Pure: times are passed in.
 * Thread: one at a time. */
#ifndef WEFT_PLAN_TRAFFIC_H
#define WEFT_PLAN_TRAFFIC_H

#include <stddef.h>
#include <stdint.h>

#include "plan/graph.h"

#define WEFT_TRAFFIC_PEERS_MAX 64u
#define WEFT_TRAFFIC_FADE_NS 10000000000ull /* what was counted so long ago weighs 1/e */

/* How many peers are kept of each rank: 64, fewer in apps of more than 4,096 ranks. */
uint32_t weft__traffic_peers_max(uint32_t ranks);

/* What a rank has exchanged with a peer: packets to it, gets from it. */
struct weft_traffic_news {
    uint32_t peer;
    uint64_t sent_bytes, sent, got_bytes, got;
};
/* The same of all peers that are not named, both ways. */
struct weft_traffic_rest {
    uint64_t bytes, messages;
};

/* The heaviest max of n entries come first, by bytes and a weight per message; the others are
 * summed up. Returns how many come first. */
size_t weft__traffic_pick(struct weft_traffic_news *news, size_t n, size_t max,
                          struct weft_traffic_rest *rest_out);

struct weft_traffic_entry {
    uint32_t peer;
    double to_bytes, to_messages, from_bytes, from_messages; /* faded sums as of at_ns of the row */
};

struct weft_traffic_row {
    struct weft_traffic_entry *entries;
    uint32_t n, room;
    double rest_bytes, rest_messages;
    uint64_t at_ns;
};

struct weft_traffic {
    struct weft_traffic_row *rows;
    uint32_t ranks;
    uint64_t since_ns; /* of the first news; 0: there were none */
};

/* Owns: weft__traffic_fini(), which is fine for a zeroed one.  Errors: WEFT_ENOMEM. */
int weft__traffic_init(struct weft_traffic *traffic, uint32_t ranks);
void weft__traffic_fini(struct weft_traffic *traffic);
/* Takes over news of one rank. covered_ns: the time that they are of.
 * Errors: WEFT_EINVAL no such rank or peer; WEFT_ENOMEM; nothing has changed then. */
struct weft_traffic_report {
    uint32_t rank;
    const struct weft_traffic_news *news;
    size_t n;
    struct weft_traffic_rest rest;
    uint64_t covered_ns;
};
int weft__traffic_add(struct weft_traffic *traffic, const struct weft_traffic_report *report,
                      uint64_t now_ns);

/* What flows from one rank to another, per second. */
struct weft_traffic_pair {
    uint32_t source, dest;
    double bytes, messages;
};
/* At most max pairs, heaviest first. Pairs that have all but faded are left out, and those that are
 * not kept one by one.  Errors: WEFT_ENOMEM. */
int weft__traffic_heaviest(const struct weft_traffic *traffic, uint64_t now_ns, size_t max,
                           struct weft_traffic_pair *pairs_out, size_t *n_out);

/* ---- as a graph for the planner ---- */

/* Nanoseconds of communication per second of run: what a byte or a message costs that goes from
 * host to host instead of within one. */
struct weft_traffic_cost {
    double byte_ns;    /* 1 / bandwidth of a host's link */
    double message_ns; /* latency and overhead */
};

/* The ranks that have not ended, rising; the graph knows them by index. */
struct weft_traffic_placed {
    const uint32_t *ranks;
    uint32_t n;
    struct weft_traffic_cost cost;
};
/* Owns: weft__graph_fini().  Errors: WEFT_ENOMEM. */
int weft__traffic_graph(const struct weft_traffic *traffic,
                        const struct weft_traffic_placed *placed, uint64_t now_ns,
                        struct weft_graph *graph_out);

#endif
