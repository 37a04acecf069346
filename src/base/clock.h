/* Time as a value that is passed in, so that tests and the simulator own it. */
#ifndef WEFT_BASE_CLOCK_H
#define WEFT_BASE_CLOCK_H

#include <stdint.h>

#define WEFT_NS_PER_US 1000ULL
#define WEFT_NS_PER_MS 1000000ULL
#define WEFT_NS_PER_S 1000000000ULL
#define WEFT_NEVER UINT64_MAX

struct weft_clock {
    uint64_t (*now_ns)(void *ctx); /* monotonic */
    void *ctx;
};

/* The machine's monotonic clock. */
const struct weft_clock *weft__clock_real(void);
/* Nanoseconds of the machine's monotonic clock. */
uint64_t weft__now_ns(void);
/* Milliseconds until then, rounded up; 0: it is over. */
uint32_t weft__left_ms(uint64_t deadline_ns);
/* Milliseconds since the epoch, for what is shown to people and compared between hosts. */
uint64_t weft__wall_ms(void);
/* The same in nanoseconds. */
uint64_t weft__wall_ns(void);

/* How far another machine's monotonic clock is ahead of ours. */
struct weft_clock_offset {
    int64_t ns;         /* 0 where the clocks may be one and the same */
    uint64_t within_ns; /* so exactly; UINT64_MAX: not known yet */
};
/* theirs: what their clock said between two moments of ours, a question and its answer. That moment
 * is taken to be the middle: the error is half of the time between at most. The closest answer so
 * far counts. */
void weft__clock_compare(struct weft_clock_offset *offset, uint64_t theirs_ns, uint64_t asked_ns,
                         uint64_t answered_ns);

static inline uint64_t weft__clock_now(const struct weft_clock *clock)
{
    return clock->now_ns(clock->ctx);
}

#endif
