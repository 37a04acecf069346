/* A log-linear histogram: below 8 us a bucket per microsecond, above 8 buckets for each power of
 * two, so that a bucket is at most 1/8 of its lower bound wide. 256 of them reach to 2^34 us, which
 * is 4.8 hours; what is longer counts in the last.
 *
 * A bucket is named by its largest value, so a quantile is never too low and at most 1/8 too high;
 * the largest value itself is kept exactly. All adds are relaxed: a reader sees each time at some
 * moment, in no order. Samples in a reservoir were rejected: p99.9 of them is a guess, and adding
 * one needs a lock or a random number.
 */
#include "control/times.h"

#include <stddef.h>

#define LINEAR_BITS 3
#define LINEAR (1u << LINEAR_BITS)

static unsigned bucket_of(uint64_t us)
{
    unsigned log2, at;

    if (us < LINEAR)
        return (unsigned)us;
    log2 = 63u - (unsigned)__builtin_clzll(us);
    at = (log2 - LINEAR_BITS + 1) * LINEAR + (unsigned)((us >> (log2 - LINEAR_BITS)) % LINEAR);
    return at < WEFT_TIMES_BUCKETS ? at : WEFT_TIMES_BUCKETS - 1;
}

static uint64_t largest_of(unsigned at)
{
    if (at < LINEAR)
        return at;
    return ((uint64_t)(LINEAR + at % LINEAR + 1) << (at / LINEAR - 1)) - 1;
}

static uint64_t get(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

void weft__times_add(struct weft_times *times, uint64_t us)
{
    uint64_t max_us = get(&times->max_us);

    atomic_fetch_add_explicit(&times->bucket[bucket_of(us)], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&times->sum_us, us, memory_order_relaxed);
    while (us > max_us &&
           !atomic_compare_exchange_weak_explicit(&times->max_us, &max_us, us, memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
}

static uint64_t count(const struct weft_times *times, uint64_t bucket_out[WEFT_TIMES_BUCKETS])
{
    uint64_t n = 0;

    for (unsigned i = 0; i < WEFT_TIMES_BUCKETS; i++) {
        bucket_out[i] = get(&times->bucket[i]);
        n += bucket_out[i];
    }
    return n;
}

uint64_t weft__times_mean_us(const struct weft_times *times)
{
    uint64_t bucket[WEFT_TIMES_BUCKETS];
    uint64_t n = count(times, bucket);

    return n == 0 ? 0 : get(&times->sum_us) / n;
}

/* The time that per_mille of all are not above. */
static uint64_t quantile(const uint64_t bucket[WEFT_TIMES_BUCKETS], uint64_t n, uint64_t per_mille)
{
    uint64_t rank = (n * per_mille + 999) / 1000, below = 0;
    unsigned at = 0;

    while (at < WEFT_TIMES_BUCKETS - 1 && (below += bucket[at]) < rank)
        at++;
    return largest_of(at);
}

static uint64_t lower(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void weft__times_get(const struct weft_times *times, struct weft_service_times *times_out)
{
    uint64_t bucket[WEFT_TIMES_BUCKETS];
    struct weft_service_times now = {.n = count(times, bucket)};

    if (now.n > 0) {
        now.max_us = get(&times->max_us);
        now.p50_us = lower(quantile(bucket, now.n, 500), now.max_us);
        now.p99_us = lower(quantile(bucket, now.n, 990), now.max_us);
        now.p999_us = lower(quantile(bucket, now.n, 999), now.max_us);
    }
    *times_out = now;
}
