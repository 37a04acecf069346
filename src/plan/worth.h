/* Is a better plan worth its moves, and is this the time for it? */
#ifndef WEFT_PLAN_WORTH_H
#define WEFT_PLAN_WORTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan/detect.h"

/* What a move is believed to cost and to bring. All shares are of the app's time. */
struct weft_worth_params {
    double pair_share;  /* saved if every pair of ranks met on one host (0.20) */
    double host_share;  /* what it is worth if all hosts but one become free (0.25) */
    double margin;      /* gain must be at least this many times the cost (2.0) */
    uint64_t bandwidth; /* bytes per second that a pull moves (500 MB/s) */
    uint64_t pause_ns;  /* fixed part of a rank's pause (20 ms) */
    uint64_t
        residence_ns; /* an app rests at least this long after its start and after a plan (1 s) */
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
    uint64_t plan_ended_ns;  /* when the last one ended; 0: there was none */
    uint32_t plan_failures;  /* plans that failed one after the other */
    uint64_t bytes_per_rank; /* touched size of a rank's region */
};

enum weft_verdict {
    WEFT_VERDICT_GO,
    WEFT_VERDICT_NOT_BETTER,
    WEFT_VERDICT_PLAN_ACTIVE,
    WEFT_VERDICT_TOO_EARLY, /* minimum residence */
    WEFT_VERDICT_BACKING_OFF,
    WEFT_VERDICT_TOO_DEAR /* the gain does not pay for the moves */
};

struct weft_worth {
    enum weft_verdict verdict;
    uint64_t gain_ns;
    uint64_t cost_ns;
    uint64_t ask_again_ns; /* earliest time at which a time-dependent refusal may change; 0: not
                              time-dependent */
};

/* Weighs a plan.  Thread: any.  Blocks: no.  NULL params: the defaults. */
struct weft_worth weft__worth(const struct weft_worth_params *params,
                              const struct weft_worth_app *app, const struct weft_plan *plan,
                              size_t ranks, uint64_t now_ns);
const char *weft__verdict_name(enum weft_verdict verdict);

#endif
