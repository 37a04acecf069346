/* Counters of 64 bits, read by anybody. */
#ifndef WEFT_BASE_COUNTER_H
#define WEFT_BASE_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

struct weft_counter {
    _Atomic uint64_t value;
};

static inline void weft__counter_add(struct weft_counter *counter, uint64_t n)
{
    atomic_fetch_add_explicit(&counter->value, n, memory_order_relaxed);
}

/* Where those who count take turns, each after the one before. It takes a third as long. */
static inline void weft__counter_add_alone(struct weft_counter *counter, uint64_t n)
{
    uint64_t value = atomic_load_explicit(&counter->value, memory_order_relaxed);
    atomic_store_explicit(&counter->value, value + n, memory_order_relaxed);
}

static inline uint64_t weft__counter_get(const struct weft_counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

#endif
