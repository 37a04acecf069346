/* Detection: is there a better placement for an app that runs? (Whether it is worth the moves:
 * worth.h.)
 *
 * | policy      | better means                                  | of all best placements         |
 * |-------------|-----------------------------------------------|--------------------------------|
 * | bin-pack    | fewer hosts; or as many, and fewer pairs of   | the one with the fewest moves  |
 * |             | ranks on different hosts                      |                                |
 * | empty-hosts | more hosts that nobody uses                   | few moves: only ranks on hosts |
 * |             |                                               | that become free               |
 * | compact     | as empty-hosts; the caller closes the hosts   | as empty-hosts                 |
 * |             | of other tenants                              |                                |
 * | spot        | nothing, but for hosts that are about to go   |                                |
 *
 * Where it is known what the ranks exchange, that counts instead of the number of pairs: of all
 * placements on the hosts that a policy has chosen, the one that lets least cross; and less of it
 * is better, also where the policy itself has nothing better (not under spot).
 *
 * Under every policy ranks leave a host that is about to go, and as long as there are such ranks no
 * other rank moves. Else a rank may always stay where it is, also on an overcommitted host; a rank
 * moves to a slot that is free now. */
#ifndef WEFT_PLAN_DETECT_H
#define WEFT_PLAN_DETECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan/decide.h"
#include "plan/graph.h"
#include "plan/roster.h"

enum weft_policy {
    WEFT_POLICY_BIN_PACK,
    WEFT_POLICY_EMPTY_HOSTS,
    WEFT_POLICY_COMPACT,
    WEFT_POLICY_SPOT
};

struct weft_plan_move {
    uint32_t rank;
    uint32_t from; /* index into hosts */
    uint32_t to;
};

/* How good a placement is; each policy looks at its own part. */
struct weft_plan_score {
    uint64_t hosts;       /* that have a rank */
    uint64_t cross_pairs; /* pairs of ranks on different hosts */
    uint64_t unused;      /* hosts that nobody uses, those about to go left out */
    uint64_t traffic;     /* between hosts, as the graph weighs it; 0: not known */
};

struct weft_detect {
    struct weft_roster *roster; /* of the round: the slots that a plan takes are added to `used`,
                                   so that the next app of the round sees them taken; slots that
                                   it leaves stay used until the moves are done */
    const uint32_t *host_of;    /* index of the host of each rank now */
    size_t ranks;
    enum weft_policy policy;
    const struct weft_graph *traffic; /* what the ranks exchange; NULL: not known */
    uint64_t move_cost;   /* of traffic: what it saves must be worth so much for each move */
    const uint32_t *left; /* of traffic: index of the host that each rank has left lately and does
                             not go back to, or a number that no host has; NULL: none */
};

struct weft_plan {
    struct weft_plan_move *moves; /* the caller's, room for `ranks` */
    size_t moves_n;               /* 0: nothing better */
    struct weft_plan_score now, then;
    bool traffic_known;
    double message_share; /* of the traffic */
    bool by_traffic;      /* the policy itself has no reason for it: less traffic between hosts */
    bool must;            /* ranks are on a host that is about to go: not a matter of worth */
    bool freeze;          /* and there is no room for them: no moves; freeze the app, or it dies */
};

/* Finds the moves: highest rank first, each to the first host of the array that still wants one.
 * Leaves the roster as it was; call weft__detect_take() for the plan that is carried out. Costs
 * some logarithms of the number of hosts, for each host that has ranks or gets some.
 * Thread: any.  Blocks: no.  Errors: WEFT_EINVAL a placement outside the array, no such policy, or
 * traffic of another number of ranks; WEFT_ENOMEM.
 * Source: faabric pull request 214 (order of moves; it names empty-hosts), its later batch
 * schedulers (what is better). */
int weft__detect(const struct weft_detect *ask, struct weft_plan *plan);
/* Scores moves that somebody else has thought of (plan->moves, moves_n): how good the placement is
 * now and then. Errors: WEFT_EINVAL a host outside the array, or a rank that is not there. */
int weft__detect_score(const struct weft_detect *ask, struct weft_plan *plan);
/* Marks the destination slots of the plan as used. */
void weft__detect_take(struct weft_roster *roster, const struct weft_plan *plan);

const char *weft__policy_name(enum weft_policy policy);
int weft__policy_parse(const char *text,
                       enum weft_policy *policy_out); /* "" is bin-pack.  Errors: WEFT_EINVAL */

#endif
