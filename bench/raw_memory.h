/* memcpy on this machine: what is compared with copies. */
#ifndef WEFT_BENCH_RAW_MEMORY_H
#define WEFT_BENCH_RAW_MEMORY_H

#include <stddef.h>

/* Bytes per nanosecond: the median of n single copies, from and to memory that is there. */
double raw_copy(void *to, const void *from, size_t len_bytes, unsigned n);

#endif
