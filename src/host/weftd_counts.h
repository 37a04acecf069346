/* What a weftd has counted of plans, moves, leases and events since it started: facts, each counted
 * where it happens. Of plans, moves and messages those of the apps at home here; of leases those on
 * this host's slots. */
#ifndef WEFT_HOST_WEFTD_COUNTS_H
#define WEFT_HOST_WEFTD_COUNTS_H

#include <stddef.h>
#include <stdint.h>

#include "control/times.h"
#include "plan/worth.h"

struct weft_host;
struct weft_app;
struct weft_app_move;

enum { WEFT_COUNTED_ERRORS = 16, WEFT_COUNTED_VERDICTS = 16, WEFT_COUNTS_MAX = 96 };

struct weft_counts {
    uint64_t moves_started, moves_done, moves_aborted;
    struct {
        int err;
        uint64_t n;
    } aborted[WEFT_COUNTED_ERRORS]; /* by reason; what does not fit counts with the last one */
    uint64_t move_bytes, move_forwarded;
    struct weft_times pause, took;
    uint64_t checks;
    uint64_t verdicts[WEFT_COUNTED_VERDICTS]; /* of better plans */
    struct weft_times look;                   /* how long a check has computed */
    struct weft_times delay; /* from the chance of a better placement to its detection */
    uint64_t slots_granted, slots_refused, slots_released, slots_expired;
    uint64_t forwarded, nacked, held, duplicates, retransmitted; /* of apps that are forgotten */
};

/* A move is over: its record says what has become of it. */
void weft__weftd_count_move(struct weft_host *host, const struct weft_app_move *move,
                            uint64_t took_ns);
/* A check has found a better plan, and this is its verdict. */
void weft__weftd_count_verdict(struct weft_host *host, enum weft_verdict verdict);
/* The app is about to be forgotten: its messages stay counted. */
void weft__weftd_count_forgotten(struct weft_host *host, const struct weft_app *app);

struct weft_count {
    char name[64];
    uint64_t value;
};
/* All of them; returns how many. */
size_t weft__weftd_counts(const struct weft_host *host, struct weft_count out[WEFT_COUNTS_MAX]);

#endif
