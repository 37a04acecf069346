/* One-sided reads of another process's memory by plain libfabric, for comparison: no more than the
 * provider can do, both sides polling. */
#ifndef WEFT_BENCH_RAW_RMA_H
#define WEFT_BENCH_RAW_RMA_H

#include <stddef.h>
#include <stdint.h>

/* Straight: into the mapping of the file. Bounced: into a ring of buffers, and written into the
 * file from there. */
enum raw_rma_way { RAW_RMA_STRAIGHT, RAW_RMA_BOUNCED };

/* What the source lends. */
struct raw_rma_memory {
    const char *provider; /* "net" */
    void *base;
    size_t len_bytes;
};
/* The source's side, for bench_fork(): ctx is a struct raw_rma_memory. */
int raw_rma_source(void *ctx, int fd);

struct raw_rma;
/* The receiver's side: fd is the other end of the source's. */
struct raw_rma *raw_rma_open(const char *provider, int fd);
void raw_rma_close(struct raw_rma *raw);
/* Nanoseconds until all of it is in a memory file that was made on the way. */
uint64_t raw_rma_read(struct raw_rma *raw, enum raw_rma_way way);

#endif
