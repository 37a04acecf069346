/* Is a better plan worth its moves, and is this the time for it? */
#ifndef WEFT_PLAN_WORTH_H
#define WEFT_PLAN_WORTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan/detect.h"

/* What a move is believed to cost and to bring. All shares are of the app's time. */
struct weft_worth_params {
    double pair_share;  /* saved if every pair of ranks met on one host (0.20); counts only where it
                           is not known what the ranks exchange */
    double traffic_max; /* traffic that no longer crosses hosts saves at most this share (0.9) */
    double traffic_less; /* a plan for the traffic alone must save this share of what crosses now
                            (0.2), and twice as much after each such plan of the last minute */
    double host_share;   /* what it is worth if all hosts but one become free (0.25) */
    double margin;       /* gain must be at least this many times the cost (2.0) */
    uint64_t bandwidth;  /* bytes per second that a pull moves (500 MB/s) */
    uint64_t pause_ns;   /* fixed part of a rank's pause (20 ms) */
    uint64_t
        residence_ns; /* an app rests at least this long after its start and after a plan (1 s) */
    uint64_t
        settle_ns; /* before a plan for the traffic alone, that is looked at for so long (2 s) */
    uint64_t backoff_first_ns; /* after a plan that failed (2 s), doubled with each further failure
                                  ... */
    uint64_t backoff_max_ns;   /* ... up to this (60 s) */
};
extern const struct weft_worth_params weft__worth_defaults;

/* What is known of the app when a plan is weighed. */
struct weft_worth_app {
    uint64_t started_ns;
    uint64_t expect_ns; /* whole duration that the user expects; 0: as long again as it has run */
    bool plan_active;   /* a plan of this app is being carried out */
    uint64_t plan_ended_ns;    /* when the last one ended; 0: there was none */
    uint32_t plan_failures;    /* plans that failed one after the other */
    uint64_t bytes_per_rank;   /* touched size of a rank's region */
    uint64_t traffic_since_ns; /* what its ranks exchange is known from then on; 0: it is not */
    uint32_t traffic_plans;    /* of the last minute, for the traffic alone */
};

enum weft_verdict {
    WEFT_VERDICT_GO,
    WEFT_VERDICT_NOT_BETTER,
    WEFT_VERDICT_PLAN_ACTIVE,
    WEFT_VERDICT_TOO_EARLY, /* minimum residence */
    WEFT_VERDICT_BACKING_OFF,
    WEFT_VERDICT_TOO_DEAR, /* the gain does not pay for the moves */
    WEFT_VERDICT_TOO_CLOSE /* noise could undo it */
};

struct weft_worth {
    enum weft_verdict verdict;
    uint64_t gain_ns;
    uint64_t cost_ns;
    uint64_t ask_again_ns; /* earliest time at which a time-dependent refusal may change; 0: not
                              time-dependent */
};

/* Over whom traffic is spread. */
struct weft_worth_spread {
    size_t ranks;
    size_t hosts;         /* that have some of them */
    double message_share; /* of the traffic: struct weft_graph */
};

/* Weighs a plan.  Thread: any.  Blocks: no.  NULL params: the defaults. */
struct weft_worth weft__worth(const struct weft_worth_params *params,
                              const struct weft_worth_app *app, const struct weft_plan *plan,
                              size_t ranks, uint64_t now_ns);
/* What each move of a plan has to save of the traffic that crosses hosts, in the unit of a graph,
 * so that the app gets the time back that it costs.  NULL params: the defaults. */
uint64_t weft__worth_move_cost(const struct weft_worth_params *params,
                               const struct weft_worth_app *app,
                               const struct weft_worth_spread *spread, uint64_t now_ns);
const char *weft__verdict_name(enum weft_verdict verdict);

#endif
