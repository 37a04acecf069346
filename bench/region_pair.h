/* Two processes: the child holds regions, this one fetches them. */
#ifndef WEFT_BENCH_REGION_PAIR_H
#define WEFT_BENCH_REGION_PAIR_H

#include <stddef.h>
#include <stdint.h>

/* Which pages of a region are touched: `run` of every `stride`. */
struct region_pattern {
    const char *name;
    size_t run, stride;
};
#define REGION_PATTERNS 3
extern const struct region_pattern region_patterns[REGION_PATTERNS]; /* the first is dense */

struct region_options {
    const char *scheme; /* NULL: WEFT_DATA */
    size_t region_bytes;
    unsigned patterns_n; /* regions: the first so many patterns */
    uint32_t chunk_bytes, pack_below_bytes, window;
};
/* As the runtime does it. */
struct region_options region_options(size_t region_bytes);

struct region_times {
    uint64_t build_ns, pull_ns, mapped_ns; /* each from the start but build */
    uint64_t total_bytes;
};

struct region_pair;
/* Forks: before this process has threads, or where they do not matter. */
struct region_pair *region_pair_open(const struct region_options *options);
void region_pair_close(struct region_pair *pair);
const char *region_pair_transport(struct region_pair *pair);
/* Nanoseconds of one get of everything into a fresh mapping. */
uint64_t region_pair_raw(struct region_pair *pair);
/* A whole pull of the region with that pattern, into a fresh region. */
struct region_times region_pair_pull(struct region_pair *pair, uint32_t pattern);

#endif
