/* Which rank goes where, once a policy has said how many ranks each host gets: the assignment that
 * lets the least traffic cross hosts, with few moves. */
#ifndef WEFT_PLAN_ASSIGN_H
#define WEFT_PLAN_ASSIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan/graph.h"

#define WEFT_ASSIGN_NO_HOST UINT32_MAX

/* Hosts are numbers below hosts_n. */
struct weft_assign {
    const struct weft_graph *graph;
    const uint32_t *host_of; /* of each rank now */
    size_t hosts_n;
    const uint32_t *target; /* ranks wanted on each host: where to begin */
    const uint32_t *most;   /* that a host may get: its target, or more where traffic decides */
    const uint32_t *free;   /* ranks that may come to each host: slots that are free now */
    bool only_excess;       /* only ranks of hosts that have more than their target move */
    const uint32_t *left;   /* host that each rank has left lately and does not go back to, or
                               WEFT_ASSIGN_NO_HOST; NULL: none */
    uint64_t move_cost;     /* what a move must save at least, in the graph's unit */
};

/* Writes the host of each rank. Bounded work, the same answer for the same question; within the
 * bounds a host never gets more than `most` ranks, nor more new ones than `free`.
 * Needs targets that add up to the number of ranks and can be reached.
 * Thread: any.  Blocks: no.  Errors: WEFT_ENOMEM. */
int weft__assign(const struct weft_assign *ask, uint32_t *host_of_out);

#endif
