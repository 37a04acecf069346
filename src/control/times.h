/* How long things took: a histogram that any thread adds to and anybody reads meanwhile. */
#ifndef WEFT_CONTROL_TIMES_H
#define WEFT_CONTROL_TIMES_H

#include <stdatomic.h>
#include <stdint.h>

#include "control/server.h"

#define WEFT_TIMES_BUCKETS 256

/* All zero: empty. */
struct weft_times {
    _Atomic uint64_t bucket[WEFT_TIMES_BUCKETS];
    _Atomic uint64_t sum_us;
    _Atomic uint64_t max_us;
};

/* Thread: any. */
void weft__times_add(struct weft_times *times, uint64_t us);
/* 0: nothing was added. */
uint64_t weft__times_mean_us(const struct weft_times *times);
/* What was added so far; a time that is added meanwhile may be missing. */
void weft__times_get(const struct weft_times *times, struct weft_service_times *times_out);

#endif
