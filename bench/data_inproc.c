/* inproc between two threads on two cores, beside the least that the machine needs: a cache line
 * from core to core, and memcpy. */
#include <stdlib.h>
#include <string.h>

#include "data.h"
#include "raw_memory.h"
#include "weft/error.h"

#define COPY_BYTES ((size_t)1 << 20)

static struct results {
    struct bench_series line, copy;
} results;

static void label_all(void)
{
    data_label(&results.line,
               &(struct data_label){.id = "data.line.8B.raw",
                                    .what = "cache line, one way, two cores",
                                    .subject = "cache-line",
                                    .unit = "us",
                                    .config = "two threads, a core each, spinning on one word"});
    data_label(&results.copy, &(struct data_label){.id = "data.copy.1MiB.raw",
                                                   .what = "memcpy of 1 MiB",
                                                   .subject = "memcpy",
                                                   .unit = "GB/s",
                                                   .config = "one thread, the same two buffers"});
}

int data_inproc(const struct bench *bench)
{
    char *from = malloc(COPY_BYTES), *to = malloc(COPY_BYTES);
    if (!from || !to)
        bench_die("memory", WEFT_ENOMEM);
    memset(from, 1, COPY_BYTES);
    memset(to, 2, COPY_BYTES);
    label_all();
    for (unsigned round = 0; round < bench->rounds; round++) {
        bench_add(&results.line, raw_line_ns(bench) / 1e3);
        bench_add(&results.copy, raw_copy(bench, to, from, COPY_BYTES));
    }
    free(from);
    free(to);
    bench_print(bench, &results.line);
    bench_print(bench, &results.copy);
    return 0;
}
