/* What a benchmark and the rank that it runs in its own process tell each other. */
#ifndef WEFT_BENCH_BURSTS_H
#define WEFT_BENCH_BURSTS_H

#include <stdatomic.h>
#include <stdint.h>

enum { BURSTS_WINDOW = 64, BURSTS_EACH = 100 };
#define BURSTS_END UINT32_MAX

struct bursts {
    _Atomic uint32_t wanted;  /* a new number: so many bursts, please */
    _Atomic uint32_t done;    /* the last number that was */
    _Atomic uint64_t took_ns; /* of its thread's time */
};

#endif
