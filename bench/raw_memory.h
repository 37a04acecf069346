/* Memory at its best on this machine: what messages and copies between threads are compared with.
 */
#ifndef WEFT_BENCH_RAW_MEMORY_H
#define WEFT_BENCH_RAW_MEMORY_H

#include <stddef.h>

#include "bench.h"

/* Nanoseconds that a cache line takes from one core to the other, one way: half of the median time
 * of round trips of one word between two threads, each placed by data_pin. */
double raw_line_ns(const struct bench *bench);
/* Bytes per nanosecond of memcpy, median of single copies, from and to memory that is there. */
double raw_copy(const struct bench *bench, void *to, const void *from, size_t len_bytes);

#endif
